//! Git's push conversation: one branch moved by compare-and-swap, and an outcome that is true.
//!
//! gitoxide has none. The remote lists its references; we name the branch, where it is and where it shall be, and send a
//! pack; the remote reports. See gitprotocol-pack(5). It moves the branch only if it is still where we said.
//!
//! What is known of the outcome hangs on the pack's checksum, its last 20 bytes. A remote that lacks them cannot take the
//! push, so until they are written every failure means that nothing has changed. From then on only the remote's report
//! says what happened, and without one the outcome is unknown until a fetch tells ([`Repository::fate`]). Most of the
//! work here is to keep these cases apart.
//!
//! The pack holds each object as the draft has it: whole, or as a delta against an object that the branch's old commit or
//! the pack itself has (a "thin" pack, which the remote completes).
//!
//! Entries of a record may go along (`record`): another reference, moved in the same transaction if the remote has any, so that
//! nothing is recorded that was refused.

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
const WAITING: &str = "waiting for the remote's word on the push";

/// Why a push did not succeed, or is not known to have.
///
/// The text is one line: what happened, where, and what to do if that is not plain.
#[derive(Debug)]
pub enum PushError {
    /// The remote is as it was: the push failed before all of it was sent.
    NotSent(Error),
    /// The branch at the remote is not where the draft begins, or somebody else was moving it at the same time. The remote
    /// did not take the push. Fetch, and begin again on what is there.
    Stale,
    /// The record at the remote is not where the entries begin: another server has recorded what it serves. The remote did
    /// not take the push. Look at what is recorded, and begin again on that.
    RecordMoved,
    /// The remote declined to add to the record, and them alone: why, in one printable line. It did not take the push.
    RecordRefused(String),
    /// The remote declined, by a hook or by policy.
    Refused {
        /// Git's reason, such as `pre-receive hook declined`: one line, printable, cut at 300 bytes.
        reason: String,
        /// What the remote wrote beside it, such as the hook's text: lines, printable, cut at 4 kB; may be empty.
        said: String,
    },
    /// The push was sent and no report came: whether the remote took it is unknown, or not decided yet.
    /// [`Repository::fate`] tells. Pushing the same draft again is safe, since its commits are the same and cannot be taken
    /// twice; but if that is stale, the first push may have been the one that moved the branch, so ask then, too.
    Unknown(Error),
}

impl Repository {
    /// Pushes the commits of `draft` to the branch it began on, if the branch is still there; never by force.
    ///
    /// On success the draft's tip is the commit held, and what it does not reach is dropped. On an error nothing changes
    /// here. A draft without commits succeeds without a word to the remote; so does one that the remote has already.
    ///
    /// Until `sending` the push may be abandoned without a trace. It bounds everything up to the last bytes of the pack,
    /// without which no remote takes a push. From there `report` bounds the wait for the remote's word.
    pub fn push(&mut self, draft: &Draft, sending: Deadline, report: Duration) -> Result<(), PushError> {
        self.push_recording(draft, &[], sending, report).map(drop)
    }

    /// Does as [`push`](Repository::push), and adds `entries`, each of which follows the one before, to the branch's record,
    /// if that is still where they begin.
    ///
    /// On success the commits are on the branch; whether the entries are in the record as well is what is returned. If there
    /// are no commits, a record that declines is an error.
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

    /// Asks the remote what has become of `commit`, the tip of a draft that began at `since`.
    ///
    /// Transfers at most the commits the branch has beyond these two, and what they changed. Takes no account of, and
    /// does not change, the commit held.
    pub fn fate(&self, commit: ObjectId, since: ObjectId) -> Result<Fate, Error> {
        self.fate_by(commit, since, Deadline::from_now(self.timeouts.total))
    }

    /// As [`Self::fate`], with an answer by `deadline` or an error.
    pub fn fate_by(&self, commit: ObjectId, since: ObjectId, deadline: Deadline) -> Result<Fate, Error> {
        let session = Session::open(&self.upstream, self.protocol, self.timeouts, deadline)?;
        session.fate(commit, since, &self.limits)
    }

    /// Returns what is held when `draft` has become the head: what it needs, and what of that is not held yet.
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
    /// Returns whether the same changes may go through later without anybody changing the remote or the configuration.
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

/// A conversation that has found out where the branch is.
struct Push<'a> {
    transport: Transport,
    capabilities: Capabilities,
    branch: &'a str,
    /// Where the branch is; `None` if it is not there.
    at: Option<ObjectId>,
    record: &'a str,
    /// Where the record is; `None` if it is not there.
    recorded: Option<ObjectId>,
}

/// What to send.
struct Payload<'a> {
    /// The commits for the branch.
    draft: Option<&'a Draft>,
    /// What to add to the record.
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
            // What git's daemon says where a fetch is allowed and a push is not; the fetch was.
            Error::Refused { message, .. } if message.contains("access denied") || message.contains("not enabled") => {
                Error::ReadOnly { message }
            }
            error => error,
        })?;
        capabilities.check_format()?;
        for needed in ["report-status", "side-band-64k"] {
            // Without the first we could not know what happened, without the second not why.
            if !capabilities.has(needed) {
                return Err(Error::Unsupported { what: format!("pushing to a git server without {needed}") });
            }
        }
        let at = listing.tip.map(|tip| tip.object);
        let recorded = listing.beside.and_then(|(_, recorded)| recorded);
        Ok(Push { transport, capabilities, branch, at, record, recorded })
    }

    /// Ends the conversation: nothing is to be changed.
    fn leave(mut self) {
        let _ = self.transport.send(b"0000");
    }

    /// Sends all that is to be sent and waits for the report.
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
            // Nothing is lost yet, and a remote that stops reading may have said why.
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

    /// Reads the report up to its end. What the remote does after it, such as a post-receive hook, is not waited for.
    fn report(&mut self, payload: &Payload<'_>) -> Result<Recorded, PushError> {
        /// A line each for the pack and the branch, and a few options.
        const MOST: usize = 16 << 10;
        const SAID_MOST: usize = 4 << 10;
        let unknown = |what: &str| PushError::Unknown(Error::protocol(WAITING, what));
        let mut report = Vec::new();
        let mut said = Vec::new();
        loop {
            let line = self.transport.line().map_err(|error| match error {
                // The web server speaks, and git has not seen the push.
                Error::Http(error) if error.is_declined() => PushError::NotSent(Error::Http(error)),
                error => PushError::Unknown(error),
            });
            let line = match line? {
                PacketLineRef::Data(line) => line,
                _ => return Err(unknown("the remote ended without a report")),
            };
            match line.split_first() {
                // An empty piece says only that the remote is at it still.
                Some((1, piece)) => {
                    report.extend_from_slice(piece);
                    if report.len() > MOST {
                        return Err(unknown("a report without an end"));
                    }
                    let of = |reference: &str| Report::read(&report, reference).map_err(|what| unknown(&what));
                    if let Some((branch, record)) = of(self.branch)?.zip(of(self.record)?) {
                        return outcomes(payload, branch, record, &said);
                    }
                }
                Some((2, text)) => said.extend_from_slice(&text[..text.len().min(SAID_MOST - said.len())]),
                Some((3, text)) => {
                    let message = printable(text);
                    return Err(PushError::Unknown(Error::Refused { doing: WAITING, message }));
                }
                _ => return Err(unknown("a line of no side band")),
            }
        }
    }
}

/// A pack on its way out.
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

/// What the remote reports, as far as it concerns our branch.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    /// Why the pack could not be taken.
    unpack: Option<String>,
    /// Whether the branch was moved, and why not.
    branch: Option<Result<(), String>>,
    /// The branch that was moved in place of ours.
    other_name: Option<String>,
    /// The commit it was moved to in place of ours.
    other_commit: Option<String>,
}

impl Report {
    /// Reads a report; `None` if it has not come to its end.
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

/// What git says of a reference that it did not move because of another one.
const OTHER_AT_FAULT: &str = "atomic push failure";

/// Returns what became of all that was sent.
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

/// Returns what it means that the remote did not move the branch.
fn declined(reason: String, said: String) -> PushError {
    /// What git calls it when the branch is not, or is no longer, where we said, or is locked by somebody's push.
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

/// Returns what the remote said, fit to be shown: lines of printable characters, without empty ends.
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
    fn a_race_and_a_full_disk_are_told_apart() {
        let declined = |reason: &str, said: &str| declined(reason.into(), said.into());
        let raced = "error: cannot lock ref 'refs/heads/main': is at 1 but expected 2";
        assert!(matches!(declined("failed to update ref", raced), PushError::Stale));
        assert!(matches!(declined("failed to update ref", ""), PushError::Stale));
        let full = "error: unable to write new file: No space left on device";
        assert!(matches!(declined("failed to update ref", full), PushError::Refused { .. }));
        assert!(matches!(declined("pre-receive hook declined", raced), PushError::Refused { .. }));
    }

    #[test]
    fn what_is_said_is_fit_to_be_shown() {
        assert_eq!(lines(b"\n one\r\n\ttwo\x1b[0m \n\nthree\xff\n\n"), " one\n two\\u{1b}[0m\n\nthree\u{fffd}");
        assert_eq!(lines(b""), "");
    }
}
