//! Git's push conversation: one branch is updated by compare-and-swap, with a reliable outcome.
//!
//! gitoxide has none. The remote lists its references; we send the branch with its old and new commit, and a
//! pack; the remote reports. See gitprotocol-pack(5). It updates the branch only if its old commit is still current.
//!
//! What is known of the outcome depends on the pack's checksum, its last 20 bytes. A remote that lacks them cannot
//! accept the push, so until they are written every failure means that nothing has changed. From then on only the
//! remote's report determines the outcome, and without one it is unknown until a later fetch ([`Repository::fate`]).
//! Most of the work here distinguishes these cases.
//!
//! The pack holds each object as the draft has it: whole, or as a delta against an object that the branch's old commit
//! or the pack itself has (a "thin" pack, which the remote completes).
//!
//! Entries of a record may be sent along (`record`): another reference, updated in the same transaction if the remote
//! supports it, so that nothing is recorded that was refused.

use super::{
    Deadline, Draft, Entry, Error, Fate, ObjectId, Recorded, Repository,
    draft::Drafted,
    greeting::{AGENT, Capabilities, Listing, greeting, trimmed},
    open::open,
    pack::HASH,
    protocol::Session,
    record_of,
    store::Store,
    transport::Transport,
    tree::{Objects, Reached, reach},
    wire::Service,
    zlib::Zlib,
};
use crate::text::{self, printable};
use gix_object::Kind;
use gix_pack::data::{self, entry::Header};
use gix_packetline::{PacketLineRef, blocking_io::encode, decode};
use std::{fmt, io, time::Duration};

const SENDING: &str = "sending the push";
const WAITING: &str = "waiting for the remote's report on the push";

/// Why a push did not succeed, or is not known to have.
///
/// The text is one line: what failed, where, and how to fix it unless that is obvious.
#[derive(Debug)]
pub enum PushError {
    /// The remote is unchanged: the push failed before all of it was sent.
    NotSent(Error),
    /// The branch at the remote is not where the draft starts, or another client was updating it at the same time. The
    /// remote did not accept the push. Fetch, and redo the draft on the new commit.
    Stale,
    /// The record at the remote is not where the entries start: another server has recorded what it serves. The remote
    /// did not accept the push. Read the record, and redo the entries on top of it.
    RecordMoved,
    /// The remote rejected only the record: the reason, in one printable line. It did not accept the push.
    RecordRefused(String),
    /// The remote rejected the push, by a hook or by policy.
    Refused {
        /// Git's reason, such as `pre-receive hook declined`: one line, printable, cut at 300 bytes.
        reason: String,
        /// Further text of the remote, such as the hook's output: lines, printable, cut at 4 kB; may be empty.
        said: String,
    },
    /// The push was sent and no report came: whether the remote accepted it is unknown or undecided.
    /// [`Repository::fate`] resolves this. Pushing the same draft again is safe, since its commits are the same and
    /// cannot be applied twice; but if that push is stale, the first one may have moved the branch, so call it then,
    /// too.
    Unknown(Error),
}

impl Repository {
    /// Pushes the commits of `draft` to the branch it began on, if the branch is still there; never by force.
    ///
    /// On success the draft's tip is the commit held, and what it does not reach is dropped. On an error nothing
    /// changes here. A draft without commits succeeds without contacting the remote, as does one that the remote
    /// already has.
    ///
    /// Until `sending` the push can be abandoned without effect. It bounds everything up to the last bytes of the pack,
    /// without which no remote accepts a push. After that, `report` bounds the wait for the remote's report.
    pub fn push(&mut self, draft: &Draft, sending: Deadline, report: Duration) -> Result<(), PushError> {
        self.push_recording(draft, &[], sending, report).map(drop)
    }

    /// Pushes like [`push`](Repository::push), and adds `entries`, each of which follows the previous one, to the
    /// branch's record, if that is still where they start.
    ///
    /// On success the commits are on the branch; the result says whether the entries are in the record as well. If
    /// there are no commits, a rejected record is an error.
    pub fn push_recording(
        &mut self,
        draft: &Draft,
        entries: &[Entry],
        sending: Deadline,
        report: Duration,
    ) -> Result<Recorded, PushError> {
        self.draining.attend();
        let head = self.head.as_ref().ok_or(PushError::NotSent(Error::NotFetched))?;
        let has_commits = !draft.is_empty() && head.commit.id != draft.tip();
        if !has_commits && entries.is_empty() {
            return Ok(Recorded::Yes);
        }
        if has_commits && head.commit.id != draft.base() {
            return Err(PushError::Stale);
        }
        let branch = head.reference.as_deref().unwrap_or("HEAD").to_owned();
        let Some(record) = record_of(&branch) else {
            return Err(PushError::NotSent(Error::NotABranch { name: printable(branch.as_bytes()) }));
        };
        let outcome = if has_commits { Some(self.outcome(draft).map_err(PushError::NotSent)?) } else { None };

        let mut push = Push::open(self, sending, &branch, &record).map_err(PushError::NotSent)?;
        let entries = match entries {
            [.., last] if push.recorded == Some(last.id) => &[],
            [first, ..] if push.recorded != first.before => {
                push.leave();
                return Err(PushError::RecordMoved);
            }
            entries => entries,
        };
        let sends_commits = has_commits && push.at == Some(draft.base());
        if has_commits && !sends_commits && push.at != Some(draft.tip()) {
            push.leave();
            return Err(PushError::Stale);
        }
        let mut recorded = Recorded::Yes;
        if sends_commits || !entries.is_empty() {
            let payload = Payload { draft: sends_commits.then_some(draft), entries };
            recorded = push.send(&payload, &self.store, sending, report)?;
            self.draining.add(push.transport.linger());
        } else {
            push.leave();
        }
        if let Some((reached, new)) = outcome {
            self.take(reached, new, true, Some(branch));
        }
        Ok(recorded)
    }

    /// Determines the fate of `commit`, the tip of a draft that started at `since`.
    ///
    /// Transfers at most the commits that the branch has beyond these two, and what they changed. Does not use or
    /// change the commit held.
    pub fn fate(&self, commit: ObjectId, since: ObjectId) -> Result<Fate, Error> {
        self.fate_by(commit, since, Deadline::from_now(self.timeouts.total))
    }

    /// As [`Self::fate`], with a result or an error by `deadline`.
    pub fn fate_by(&self, commit: ObjectId, since: ObjectId, deadline: Deadline) -> Result<Fate, Error> {
        let session = Session::open(&self.upstream, self.protocol, self.timeouts, deadline)?;
        session.fate(commit, since, &self.limits)
    }

    /// Returns the objects needed once `draft` is the head, and those of them that are not held yet.
    fn outcome(&self, draft: &Draft) -> Result<(Reached, Store), Error> {
        let zlib = &mut Zlib::new();
        let reached = reach(&draft.lookup(&self.store), draft.tip(), &self.limits)?;
        let mut new = Store::default();
        for id in reached.objects.iter().filter(|id| draft.get(id).is_some()) {
            new.insert(*id, draft.whole(&self.store, *id, zlib)?);
        }
        let objects = Objects { held: &self.store, new: Some(&new) };
        reached.check_size(|id| objects.get(id).map_or(0, |object| object.stream.len() as u64), &self.limits)?;
        Ok((reached, new))
    }
}

impl PushError {
    /// Returns whether the same changes may go through later without a change of the remote or the configuration.
    pub fn is_transient(&self) -> bool {
        match self {
            PushError::NotSent(error) | PushError::Unknown(error) => error.is_transient(),
            PushError::Stale | PushError::RecordMoved => true,
            PushError::RecordRefused(_) | PushError::Refused { .. } => false,
        }
    }
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PushError::NotSent(error) => write!(f, "not pushed: {error}"),
            PushError::Stale => f.write_str("not pushed: the branch has moved at the remote; fetch and try again"),
            PushError::RecordMoved => f.write_str("not pushed: another server has recorded what it serves"),
            PushError::RecordRefused(why) => write!(f, "the remote refused the record of what is served: {why}"),
            PushError::Refused { reason, said } if said.is_empty() => {
                write!(f, "the remote refused the push: {reason}")
            }
            PushError::Refused { reason, said } => {
                write!(f, "the remote refused the push: {reason}: {}", said.replace('\n', " | "))
            }
            PushError::Unknown(error) => write!(f, "pushed without a report, the outcome is unknown: {error}"),
        }
    }
}

impl std::error::Error for PushError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PushError::NotSent(error) | PushError::Unknown(error) => Some(error),
            PushError::Stale | PushError::RecordMoved | PushError::RecordRefused(_) | PushError::Refused { .. } => None,
        }
    }
}

/// A conversation in which the branch has been looked up.
struct Push<'a> {
    transport: Transport,
    capabilities: Capabilities,
    branch: &'a str,
    /// The commit of the branch; `None` if it does not exist.
    at: Option<ObjectId>,
    record: &'a str,
    /// The tip of the record; `None` if it does not exist.
    recorded: Option<ObjectId>,
}

/// The contents of a push.
struct Payload<'a> {
    /// The commits for the branch.
    draft: Option<&'a Draft>,
    /// The entries for the record.
    entries: &'a [Entry],
}

impl<'a> Push<'a> {
    fn open(repository: &Repository, sending: Deadline, branch: &'a str, record: &'a str) -> Result<Self, Error> {
        let Repository { upstream, protocol, timeouts, .. } = repository;
        let mut transport = open(upstream, Service::ReceivePack, protocol.for_push(), *timeouts, sending)?;
        let mut capabilities = Capabilities::default();
        let mut listing = Listing::new(branch);
        listing.beside = Some((record, None));
        greeting(&mut transport, &mut capabilities, &mut listing).map_err(|error| match error {
            // git's daemon answers so if fetches are allowed and pushes are not; the fetch was allowed.
            Error::Refused { message, .. } if message.contains("access denied") || message.contains("not enabled") => {
                Error::ReadOnly { message }
            }
            error => error,
        })?;
        capabilities.check_format()?;
        for needed in ["report-status", "side-band-64k"] {
            // Without the first the outcome would be unknown, without the second the reason.
            if !capabilities.has(needed) {
                return Err(Error::Unsupported { what: format!("pushing to a git server without {needed}") });
            }
        }
        let at = listing.tip.map(|tip| tip.object);
        let recorded = listing.beside.and_then(|(_, recorded)| recorded);
        Ok(Push { transport, capabilities, branch, at, record, recorded })
    }

    /// Ends the conversation without changes.
    fn leave(mut self) {
        let _ = self.transport.send(b"0000");
    }

    /// Sends the push and waits for the report.
    fn send(
        &mut self,
        payload: &Payload<'_>,
        held: &Store,
        sending: Deadline,
        report: Duration,
    ) -> Result<Recorded, PushError> {
        self.transport.doing = SENDING;
        let checksum = match self.send_most(payload, held, sending) {
            Ok(checksum) => checksum,
            // Nothing is undecided yet, and a remote that stops reading may have sent the reason.
            Err(error @ Error::Lost { .. }) => {
                return Err(match self.report(payload) {
                    Err(answer @ (PushError::Refused { .. } | PushError::Stale)) => answer,
                    Err(PushError::NotSent(answer) | PushError::Unknown(answer @ Error::Http(_))) => {
                        PushError::NotSent(answer)
                    }
                    _ => PushError::NotSent(error),
                });
            }
            Err(error) => return Err(PushError::NotSent(error)),
        };
        self.transport.set_deadline(Deadline::from_now(report));
        let sent = self.transport.send(&checksum);
        self.transport.doing = WAITING;
        match (sent, self.report(payload)) {
            // The write failed and no report came: the first of the two is the cause.
            (Err(error), Err(PushError::Unknown(_))) => Err(PushError::Unknown(error)),
            (_, outcome) => outcome,
        }
    }

    /// Sends everything but the pack's checksum, and returns that.
    fn send_most(&mut self, payload: &Payload<'_>, held: &Store, sending: Deadline) -> Result<Vec<u8>, Error> {
        let lost = |error: io::Error| Error::Lost { doing: SENDING, source: error };
        let Payload { draft, entries } = payload;
        let branch = draft.map(|draft| format!("{} {} {}", draft.base(), draft.tip(), self.branch));
        let ends = entries.first().zip(entries.last());
        let record = ends.map(|(first, last)| {
            format!("{} {} {}", first.before.unwrap_or_else(|| HASH.null()), last.id, self.record)
        });
        let mut commands = branch.into_iter().chain(record);
        let mut command = commands.next().unwrap_or_default() + "\0report-status side-band-64k";
        if draft.is_some() && !entries.is_empty() && self.capabilities.has("atomic") {
            command += " atomic";
        }
        if self.capabilities.has("report-status-v2") {
            command += " report-status-v2";
        }
        if self.capabilities.has("quiet") {
            command += " quiet";
        }
        if self.capabilities.has("object-format") {
            command += " object-format=sha1";
        }
        if self.capabilities.has("agent") {
            command = command + " " + AGENT;
        }
        let mut begin = Vec::new();
        encode::data_to_write(command.as_bytes(), &mut begin).map_err(lost)?;
        for command in commands {
            encode::data_to_write(command.as_bytes(), &mut begin).map_err(lost)?;
        }
        encode::flush_to_write(&mut begin).map_err(lost)?;

        let objects = || draft.iter().flat_map(|draft| draft.objects().map(move |object| (*draft, object)));
        let count = u32::try_from(objects().count() + entries.len()).unwrap_or(u32::MAX);
        let whole = self.capabilities.has("no-thin");
        let mut pack = Outgoing { transport: &mut self.transport, buffer: begin, hasher: gix_hash::hasher(HASH) };
        pack.write(&data::header::encode(data::Version::V2, count))?;
        let zlib = &mut Zlib::new();
        let mut head = Vec::new();
        for (draft, (id, drafted)) in objects() {
            Error::unless_over(sending, SENDING)?;
            let made;
            let (header, object) = match drafted {
                Drafted::Delta { base, delta } if !whole => (Header::RefDelta { base_id: *base }, delta),
                Drafted::Whole(object) => (header(object.kind), object),
                Drafted::Delta { delta, .. } => {
                    made = draft.whole(held, id, zlib)?;
                    (header(delta.kind), &made)
                }
            };
            head.clear();
            header.write_to(object.size.into(), &mut head).map_err(lost)?;
            pack.write(&head)?;
            pack.write(&object.stream)?;
        }
        for Entry { object, .. } in *entries {
            head.clear();
            header(object.kind).write_to(object.size.into(), &mut head).map_err(lost)?;
            pack.write(&head)?;
            pack.write(&object.stream)?;
        }
        let checksum = pack.finish()?;
        self.transport.send_up_to(checksum.len())?;
        Error::unless_over(sending, SENDING)?;
        Ok(checksum)
    }

    /// Reads the report to its end. It does not wait for what the remote does afterwards, such as a post-receive hook.
    fn report(&mut self, payload: &Payload<'_>) -> Result<Recorded, PushError> {
        /// A line each for the pack and the branch, and a few options.
        const MAX: usize = 16 << 10;
        const MAX_SAID: usize = 4 << 10;
        let unknown = |what: &str| PushError::Unknown(Error::protocol(WAITING, what));
        let mut report = Vec::new();
        let mut said = Vec::new();
        loop {
            let line = self.transport.line().map_err(|error| match error {
                // The answer comes from the web server, and git has not seen the push.
                Error::Http(error) if error.is_declined() => PushError::NotSent(Error::Http(error)),
                error => PushError::Unknown(error),
            });
            let line = match line? {
                PacketLineRef::Data(line) => line,
                _ => return Err(unknown("the remote ended without a report")),
            };
            match line.split_first() {
                // An empty piece only means that the remote is still busy.
                Some((1, piece)) => {
                    report.extend_from_slice(piece);
                    if report.len() > MAX {
                        return Err(unknown("a report without an end"));
                    }
                    let of = |reference: &str| Report::read(&report, reference).map_err(|what| unknown(&what));
                    if let Some((branch, record)) = of(self.branch)?.zip(of(self.record)?) {
                        return outcomes(payload, branch, record, &said);
                    }
                }
                Some((2, text)) => said.extend_from_slice(&text[..text.len().min(MAX_SAID - said.len())]),
                Some((3, text)) => {
                    let message = printable(text);
                    return Err(PushError::Unknown(Error::Refused { doing: WAITING, message }));
                }
                _ => return Err(unknown("a line of no side band")),
            }
        }
    }
}

/// An outgoing pack.
struct Outgoing<'a> {
    transport: &'a mut Transport,
    buffer: Vec<u8>,
    hasher: gix_hash::Hasher,
}

impl Outgoing<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        const CHUNK: usize = 32 << 10;
        self.hasher.update(bytes);
        for piece in bytes.chunks(CHUNK) {
            self.buffer.extend_from_slice(piece);
            if self.buffer.len() >= CHUNK {
                self.transport.send(&self.buffer)?;
                self.buffer.clear();
            }
        }
        Ok(())
    }

    /// Sends what is left, and returns the checksum, which is not sent.
    fn finish(self) -> Result<Vec<u8>, Error> {
        self.transport.send(&self.buffer)?;
        match self.hasher.try_finalize() {
            Ok(sum) => Ok(sum.as_slice().to_vec()),
            Err(error) => Err(Error::Pack { offset: 0, what: error.to_string() }),
        }
    }
}

fn header(kind: Kind) -> Header {
    match kind {
        Kind::Commit => Header::Commit,
        Kind::Tree => Header::Tree,
        Kind::Blob => Header::Blob,
        Kind::Tag => Header::Tag,
    }
}

/// The parts of the remote's report that concern our branch.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    /// Why the pack could not be stored.
    unpack: Option<String>,
    /// Whether the branch was moved, and why not.
    branch: Option<Result<(), String>>,
    /// The branch that was moved in place of ours.
    other_name: Option<String>,
    /// The commit it was moved to in place of ours.
    other_commit: Option<String>,
}

impl Report {
    /// Reads a report; `None` if it is incomplete.
    fn read(mut bytes: &[u8], branch: &str) -> Result<Option<Self>, String> {
        let mut report = Report::default();
        let mut ours = false;
        loop {
            let line = match decode::streaming(bytes) {
                Ok(decode::Stream::Incomplete { .. }) => return Ok(None),
                Ok(decode::Stream::Complete { line: PacketLineRef::Data(line), bytes_consumed }) => {
                    bytes = &bytes[bytes_consumed..];
                    trimmed(line)
                }
                Ok(decode::Stream::Complete { line: PacketLineRef::Flush, .. }) => return Ok(Some(report)),
                Ok(_) => return Err("a delimiter in the report".into()),
                Err(error) => return Err(printable(error.to_string().as_bytes())),
            };
            let space = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
            let (word, rest) = (&line[..space], line.get(space + 1..).unwrap_or_default());
            let reason = rest.strip_prefix(branch.as_bytes()).and_then(|reason| match reason.split_first() {
                None => Some(&b""[..]),
                Some((b' ', reason)) => Some(reason),
                Some(_) => None,
            });
            match (word, reason) {
                (b"unpack", _) if rest != b"ok" => report.unpack = Some(printable(rest)),
                (b"ok" | b"ng", None) => ours = false,
                (b"ok", Some(_)) => {
                    report.branch = Some(Ok(()));
                    ours = true;
                }
                (b"ng", Some(reason)) => report.branch = Some(Err(printable(reason))),
                (b"option", _) if ours => {
                    if let Some(name) = rest.strip_prefix(b"refname ") {
                        report.other_name = Some(printable(name)).filter(|name| name != branch);
                    } else if let Some(id) = rest.strip_prefix(b"new-oid ") {
                        report.other_commit = Some(printable(id));
                    }
                }
                _ => {}
            }
        }
    }

    fn outcome(self, tip: ObjectId, said: &[u8]) -> Result<(), PushError> {
        if let Some(reason) = self.unpack {
            let reason = format!("the pack could not be stored: {reason}");
            return Err(PushError::Refused { reason, said: lines(said) });
        }
        match self.branch {
            Some(Ok(())) if self.other_name.is_some() || self.other_commit.is_some_and(|id| tip != id) => {
                let what = "a git server that stores something else than was pushed".into();
                Err(PushError::Unknown(Error::Unsupported { what }))
            }
            Some(Ok(())) => Ok(()),
            Some(Err(reason)) => Err(declined(reason, lines(said))),
            None => Err(PushError::Unknown(Error::protocol(WAITING, "a report that does not name the branch"))),
        }
    }
}

/// Git's reason for a reference that it did not update because of another one.
const OTHER_AT_FAULT: &str = "atomic push failure";

/// Returns the outcome of the push.
fn outcomes(payload: &Payload<'_>, branch: Report, record: Report, said: &[u8]) -> Result<Recorded, PushError> {
    let record = payload.entries.last().map_or(Ok(()), |entry| record.outcome(entry.id, said));
    let record = record.map_err(|error| match error {
        PushError::Stale => PushError::RecordMoved,
        PushError::Refused { reason, said } if said.is_empty() => PushError::RecordRefused(reason),
        PushError::Refused { reason, said } => {
            PushError::RecordRefused(format!("{reason}: {}", said.replace('\n', " | ")))
        }
        error => error,
    });
    let Some(draft) = payload.draft else { return record.map(|()| Recorded::Yes) };
    match (branch.outcome(draft.tip(), said), record) {
        (Ok(()), Ok(())) => Ok(Recorded::Yes),
        (Ok(()), Err(PushError::RecordRefused(why))) => Ok(Recorded::No(why)),
        (Ok(()), Err(error)) => Ok(Recorded::No(error.to_string())),
        (
            Err(PushError::Refused { reason, .. }),
            Err(error @ (PushError::RecordMoved | PushError::RecordRefused(_))),
        ) if reason == OTHER_AT_FAULT => Err(error),
        (Err(error), _) => Err(error),
    }
}

/// Returns the error for a branch that the remote did not update.
fn declined(reason: String, said: String) -> PushError {
    /// Git's reasons if the branch is not at the expected commit, or is locked by another push.
    const MOVED: [&str; 9] = [
        "failed to update ref",
        "failed to lock",
        "cannot lock ref",
        "fetch first",
        "non-fast-forward",
        "stale info",
        "incorrect old value",
        "reference conflict",
        "atomic transaction failed",
    ];
    /// The first of these reasons is also given if the branch cannot be written at all.
    const BROKEN: [&str; 5] =
        ["Permission denied", "No space left", "Read-only file system", "File too large", "quota exceeded"];
    let moved = MOVED.iter().any(|text| reason.contains(text));
    if moved && !BROKEN.iter().any(|text| reason.contains(text) || said.contains(text)) {
        log::debug!("the branch moved during the push: {reason}: {said}");
        PushError::Stale
    } else {
        PushError::Refused { reason, said }
    }
}

/// Returns the remote's text as printable lines, without leading and trailing empty lines.
fn lines(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = |line: &str| text::escaped(&line.replace(['\t', '\r'], " ")).trim_end().to_owned();
    let lines: Vec<String> = text.lines().map(line).collect();
    lines.join("\n").trim_matches('\n').into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            encode::text_to_write(line.as_bytes(), &mut out).unwrap();
        }
        encode::flush_to_write(&mut out).unwrap();
        out
    }

    #[test]
    fn a_report_is_read_when_it_is_complete() {
        let bytes = report(&["unpack ok", "ng refs/heads/ma no", "ok refs/heads/main", "option new-oid 12"]);
        for length in 0..bytes.len() {
            assert_eq!(Report::read(&bytes[..length], "refs/heads/main"), Ok(None));
        }
        let expected = Report { branch: Some(Ok(())), other_commit: Some("12".into()), ..Report::default() };
        assert_eq!(Report::read(&bytes, "refs/heads/main"), Ok(Some(expected)));
        let expected = Report { branch: Some(Err("no".into())), ..Report::default() };
        assert_eq!(Report::read(&bytes, "refs/heads/ma"), Ok(Some(expected)));
        assert_eq!(Report::read(&bytes, "refs/heads/m"), Ok(Some(Report::default())));
        let bytes = report(&["unpack disk full", "ng refs/heads/main", "what"]);
        let expected =
            Report { unpack: Some("disk full".into()), branch: Some(Err(String::new())), ..Report::default() };
        assert_eq!(Report::read(&bytes, "refs/heads/main"), Ok(Some(expected)));
        assert!(Report::read(b"0001", "refs/heads/main").is_err());
        assert!(Report::read(b"HTTP", "refs/heads/main").is_err());
    }

    #[test]
    fn a_race_and_a_full_disk_are_distinguished() {
        let declined = |reason: &str, said: &str| declined(reason.into(), said.into());
        let raced = "error: cannot lock ref 'refs/heads/main': is at 1 but expected 2";
        assert!(matches!(declined("failed to update ref", raced), PushError::Stale));
        assert!(matches!(declined("failed to update ref", ""), PushError::Stale));
        let full = "error: unable to write new file: No space left on device";
        assert!(matches!(declined("failed to update ref", full), PushError::Refused { .. }));
        assert!(matches!(declined("pre-receive hook declined", raced), PushError::Refused { .. }));
    }

    #[test]
    fn remote_text_is_made_printable() {
        assert_eq!(lines(b"\n one\r\n\ttwo\x1b[0m \n\nthree\xff\n\n"), " one\n two\\u{1b}[0m\n\nthree\u{fffd}");
        assert_eq!(lines(b""), "");
    }
}
