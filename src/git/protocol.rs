//! Git's fetch conversation, protocol versions 0, 1 and 2.
//!
//! Written on packet lines rather than on gix-protocol, which wants credential helpers, lock files and a negotiator,
//! keeps every reference a remote cares to list, panics on some lists a hostile one can send, and turns `deepen 1` of
//! versions 0 and 1 into a full clone by asking for `deepen-relative`. We want one commit and have at most one, so
//! there is nothing to negotiate: each request ends in `done`. See gitprotocol-v2(5) and gitprotocol-pack(5).

use super::{
    Deadline, Error, Limits, ObjectId, Protocol, Timeouts, Upstream,
    greeting::{AGENT, Capabilities, HEAD, Listing, Tip, greeting, id_and, trimmed},
    open::open,
    pack::{self, Archived, HASH, Unpacked},
    record_of,
    store::Store,
    transport::Transport,
    wire::{Service, broken},
    zlib::Zlib,
};
use crate::text::printable;
use gix_object::{CommitRefIter, Kind};
use gix_packetline::{PacketLineRef, blocking_io::encode};
use std::{
    cell::RefCell,
    io::{self, BufRead},
    ops::ControlFlow,
};

/// A conversation in which the remote's reference has been looked up.
pub(super) struct Session {
    transport: Transport,
    /// Whether version 2 is spoken.
    commands: bool,
    capabilities: Capabilities,
    deadline: Deadline,
    timeouts: Timeouts,
    tip: Tip,
    /// The reference followed; for `HEAD` the one it stands for.
    reference: Option<String>,
}

/// The result of a fetch.
pub(super) struct Received {
    pub(super) pack: Unpacked,
    /// Whether the history of the commit was cut off behind it.
    pub(super) shallow: bool,
}

/// The commit we have and whether its parents were left at the remote.
#[derive(Clone, Copy)]
pub(super) struct Have {
    pub(super) commit: ObjectId,
    pub(super) shallow: bool,
}

/// The fate of a commit that was pushed without a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is on the branch.
    Taken,
    /// It is not on the branch and never will be: the branch has moved on without it.
    Lost,
    /// It is not on the branch, which is still where the commit's draft started. The remote may still process it: a
    /// slow hook can outlast the connection.
    Open,
}

impl Session {
    /// Connects, and looks up the reference of the remote.
    pub(super) fn open(
        upstream: &Upstream,
        protocol: Protocol,
        timeouts: Timeouts,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        let remote = &upstream.remote;
        let mut transport = open(upstream, Service::UploadPack, protocol, timeouts, deadline)?;
        let wanted = remote.reference().unwrap_or(HEAD);
        let mut capabilities = Capabilities::default();
        let mut listing = Listing::new(wanted);
        let commands = greeting(&mut transport, &mut capabilities, &mut listing)?;
        capabilities.check_format()?;
        if commands {
            transport.doing = "looking up the branch";
            list(&mut transport, &capabilities, &[wanted], &mut listing)?;
            if listing.tip.is_none() {
                // The first list may hold branches whose names begin like the one wanted.
                listing = Listing::new(wanted);
                let record = record_of(wanted);
                let prefixes: Vec<&str> =
                    [HEAD, "refs/heads/", "refs/tags/"].into_iter().chain(record.as_deref()).collect();
                list(&mut transport, &capabilities, &prefixes, &mut listing)?;
                if !listing.any {
                    // Not empty yet: there may be references that are neither.
                    list(&mut transport, &capabilities, &[], &mut listing)?;
                }
            }
        }
        let reference = remote.reference().map(Into::into).or_else(|| listing.target.take());
        let tip = listing.conclude()?;
        Ok(Session { transport, commands, capabilities, deadline, timeouts, tip, reference })
    }

    /// Returns what the reference names now.
    pub(super) fn tip(&self) -> Tip {
        self.tip
    }

    /// Returns the full name of the reference followed. For `HEAD` it is the target, if the remote reported it.
    pub(super) fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// Ends the conversation without a fetch. The remote is informed that nothing is wanted, on a best-effort basis.
    pub(super) fn close(mut self) {
        let _ = self.transport.send(b"0000");
    }

    /// Fetches the tip at depth 1. With `have`, what that commit holds is not sent again; it must be complete in
    /// `held`.
    pub(super) fn fetch(mut self, have: Option<Have>, held: &Store, limits: &Limits) -> Result<Received, Error> {
        self.transport.doing = "waiting for the pack";
        let shallow = self.request(self.tip.object, have, 1)?;
        let pack = self.receive(held, limits)?;
        Ok(Received { pack, shallow })
    }

    /// Returns whether `commit` can be requested from the remote, which may still refuse.
    ///
    /// Version 2 takes the name of any object. The older ones take only what they have listed unless they say
    /// otherwise.
    pub(super) fn gives_out(&self, commit: ObjectId) -> bool {
        let any = ["allow-any-sha1-in-want", "allow-reachable-sha1-in-want"];
        self.commands || commit == self.tip.commit || any.iter().any(|capability| self.capabilities.has(capability))
    }

    /// Fetches `commit` and what is less than `depth` steps behind it, whole.
    pub(super) fn deepen(mut self, commit: ObjectId, depth: u32, limits: &Limits) -> Result<Archived, Error> {
        self.transport.doing = "waiting for the history";
        // What the reference names was listed; the commit that it comes down to may not have been.
        let object = if commit == self.tip.commit { self.tip.object } else { commit };
        self.request(object, None, depth)?;
        self.receive_by(|input, deadline, lost| pack::archive(input, limits, deadline, lost))
    }

    /// Asks for `object` at a depth and returns whether history was cut off behind the tip. The pack follows.
    fn request(&mut self, object: ObjectId, have: Option<Have>, depth: u32) -> Result<bool, Error> {
        let request =
            if self.commands { self.request_v2(object, have, depth) } else { self.request_v0(object, have, depth)? };
        let request = request.map_err(|error| self.transport.lost(error))?;
        self.transport.send(&request)?;
        if self.commands { self.answer_v2() } else { self.answer_v0() }
    }

    /// Determines whether `commit`, which follows `since`, is on the branch.
    ///
    /// Naming both as what we have makes the remote send the commits of the branch that are beyond them. One of these
    /// has `commit` as its parent, or it is not there: a walk that ends where ours began, however long the history.
    pub(super) fn fate(mut self, commit: ObjectId, since: ObjectId, limits: &Limits) -> Result<Fate, Error> {
        if self.tip.commit == commit || self.tip.commit == since {
            let fate = if self.tip.commit == commit { Fate::Taken } else { Fate::Open };
            self.close();
            return Ok(fate);
        }
        self.transport.doing = "looking for a commit";
        let known = if self.commands { self.ask_v2(commit, since)? } else { self.ask_v0(commit, since)? };
        if !known {
            return Ok(Fate::Lost);
        }
        let received = self.receive(&Store::default(), limits)?;
        let zlib = &mut Zlib::new();
        for (_, object) in received.objects.iter().filter(|(_, object)| object.kind == Kind::Commit) {
            let content = object.inflate(zlib)?;
            if CommitRefIter::from_bytes(&content, HASH).parent_ids().any(|parent| parent == commit) {
                return Ok(Fate::Taken);
            }
        }
        Ok(Fate::Lost)
    }

    /// Requests the commits beyond two commits; returns whether the remote knows either of them. If so, the pack
    /// follows.
    fn ask_v2(&mut self, commit: ObjectId, since: ObjectId) -> Result<bool, Error> {
        let doing = self.transport.doing;
        let only_commits = self.fetch_can("filter");
        let mut known = false;
        // Says whether it knows them only to those who are not done; then it may send the pack or wait to be asked
        // again.
        for done in [false, true] {
            let request = (|| {
                let mut request = command("fetch", &self.capabilities)?;
                let filter = only_commits.then_some("filter tree:0");
                for argument in ["no-progress", "ofs-delta"].into_iter().chain(filter) {
                    encode::text_to_write(argument.as_bytes(), &mut request)?;
                }
                encode::text_to_write(format!("want {}", self.tip.object).as_bytes(), &mut request)?;
                have_lines(commit, since, &mut request)?;
                if done {
                    encode::text_to_write(b"done", &mut request)?;
                }
                encode::flush_to_write(&mut request)?;
                Ok(request)
            })();
            let request = request.map_err(|error| self.transport.lost(error))?;
            self.transport.send(&request)?;
            loop {
                match self.transport.line()? {
                    PacketLineRef::Data(line) if trimmed(line) == b"packfile" => return Ok(true),
                    PacketLineRef::Data(line) => known |= line.starts_with(b"ACK "),
                    PacketLineRef::Delimiter => {}
                    PacketLineRef::Flush if !done && known => break,
                    PacketLineRef::Flush if !done => return Ok(false),
                    _ => return Err(Error::protocol(doing, "the remote sent no pack")),
                }
            }
        }
        Err(Error::protocol(doing, "the remote sent no pack"))
    }

    /// As [`Session::ask_v2`], in the older versions.
    fn ask_v0(&mut self, commit: ObjectId, since: ObjectId) -> Result<bool, Error> {
        let doing = self.transport.doing;
        let want = self.want_v0(self.tip.object, &["no-progress", "ofs-delta", "filter"])?;
        let request = (|| {
            let mut request = Vec::new();
            encode::text_to_write(want.as_bytes(), &mut request)?;
            if self.capabilities.has("filter") {
                encode::text_to_write(b"filter tree:0", &mut request)?;
            }
            encode::flush_to_write(&mut request)?;
            have_lines(commit, since, &mut request)?;
            encode::text_to_write(b"done", &mut request)?;
            Ok(request)
        })();
        let request = request.map_err(|error| self.transport.lost(error))?;
        self.transport.send(&request)?;
        match self.transport.line()? {
            PacketLineRef::Data(line) if line.starts_with(b"ACK ") => Ok(true),
            PacketLineRef::Data(line) if trimmed(line) == b"NAK" => Ok(false),
            _ => Err(Error::protocol(doing, "an answer that is neither ACK nor NAK")),
        }
    }

    /// Returns whether the remote's fetch command of version 2 has a feature.
    fn fetch_can(&self, feature: &str) -> bool {
        self.capabilities.value("fetch").is_some_and(|features| features.split(' ').any(|f| f == feature))
    }

    /// Returns the first line of a request of version 0, with those of `features` that the remote has.
    fn want_v0(&self, object: ObjectId, features: &[&str]) -> Result<String, Error> {
        if !self.capabilities.has("side-band-64k") {
            return Err(Error::Unsupported { what: "a git server without side-band-64k".into() });
        }
        let mut want = format!("want {object} side-band-64k");
        for feature in features.iter().filter(|feature| self.capabilities.has(feature)) {
            want = want + " " + feature;
        }
        if self.capabilities.has("agent") {
            want = want + " " + AGENT;
        }
        Ok(want)
    }

    fn request_v2(&self, object: ObjectId, have: Option<Have>, depth: u32) -> io::Result<Vec<u8>> {
        let mut request = command("fetch", &self.capabilities)?;
        for argument in ["thin-pack", "no-progress", "ofs-delta"] {
            encode::text_to_write(argument.as_bytes(), &mut request)?;
        }
        encode::text_to_write(format!("want {object}").as_bytes(), &mut request)?;
        if self.fetch_can("shallow") {
            depth_lines(have, depth, &mut request)?;
        }
        if let Some(have) = have {
            encode::text_to_write(format!("have {}", have.commit).as_bytes(), &mut request)?;
        }
        encode::text_to_write(b"done", &mut request)?;
        encode::flush_to_write(&mut request)?;
        Ok(request)
    }

    fn request_v0(&self, object: ObjectId, have: Option<Have>, depth: u32) -> Result<io::Result<Vec<u8>>, Error> {
        let want = self.want_v0(object, &["thin-pack", "no-progress", "ofs-delta"])?;
        Ok((|| {
            let mut request = Vec::new();
            encode::text_to_write(want.as_bytes(), &mut request)?;
            if self.capabilities.has("shallow") {
                depth_lines(have, depth, &mut request)?;
            }
            encode::flush_to_write(&mut request)?;
            if let Some(have) = have {
                encode::text_to_write(format!("have {}", have.commit).as_bytes(), &mut request)?;
            }
            encode::text_to_write(b"done", &mut request)?;
            Ok(request)
        })())
    }

    /// Reads the sections that precede the pack.
    fn answer_v2(&mut self) -> Result<bool, Error> {
        let commit = self.tip.commit;
        let doing = self.transport.doing;
        let mut shallow = false;
        loop {
            match self.transport.line()? {
                PacketLineRef::Data(line) if trimmed(line) == b"packfile" => return Ok(shallow),
                PacketLineRef::Data(line) => shallow |= is_shallow(line, commit),
                PacketLineRef::Delimiter => {}
                PacketLineRef::Flush | PacketLineRef::ResponseEnd => {
                    return Err(Error::protocol(doing, "the remote sent no pack"));
                }
            }
        }
    }

    /// Reads the new boundary of history, if one was asked for, and the acknowledgement.
    fn answer_v0(&mut self) -> Result<bool, Error> {
        let commit = self.tip.commit;
        let doing = self.transport.doing;
        let mut shallow = false;
        loop {
            match self.transport.line()? {
                PacketLineRef::Data(line) if line.starts_with(b"ACK ") || trimmed(line) == b"NAK" => {
                    return Ok(shallow);
                }
                PacketLineRef::Data(line) if line.starts_with(b"shallow ") || line.starts_with(b"unshallow ") => {
                    shallow |= is_shallow(line, commit);
                }
                PacketLineRef::Flush => {}
                _ => return Err(Error::protocol(doing, "an answer that is neither ACK nor NAK")),
            }
        }
    }

    fn receive(&mut self, held: &Store, limits: &Limits) -> Result<Unpacked, Error> {
        self.receive_by(|input, deadline, lost| pack::unpack(input, held, limits, deadline, lost))
    }

    /// Runs `unpack` on the pack in the side band, by the deadline; `unpack` converts I/O errors with the function it
    /// is given.
    fn receive_by<T>(
        &mut self,
        unpack: impl FnOnce(&mut dyn BufRead, Deadline, &dyn Fn(io::Error) -> Error) -> Result<T, Error>,
    ) -> Result<T, Error> {
        const DOING: &str = "receiving the pack";
        let (timeouts, deadline) = (self.timeouts, self.deadline);
        let complaint = RefCell::new(None);
        let lines = self.transport.lines();
        lines.reset_with(&[PacketLineRef::Flush]);
        let mut pack = lines.as_read_with_sidebands(|is_error, text| {
            let text = printable(text);
            if is_error || text.contains("fatal") || text.contains("error") {
                *complaint.borrow_mut() = Some(text);
            }
            if is_error { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        // A remote that fails reports the reason on a side band and then ends the stream in any of several ways.
        unpack(&mut pack, deadline, &|error| match complaint.take() {
            Some(message) => Error::Refused { doing: DOING, message },
            None => broken(DOING, timeouts, deadline, error),
        })
    }
}

/// Requests a list of the references that start with one of `prefixes`.
fn list(
    transport: &mut Transport,
    capabilities: &Capabilities,
    prefixes: &[&str],
    listing: &mut Listing<'_>,
) -> Result<(), Error> {
    let doing = transport.doing;
    let request = (|| {
        let mut request = command("ls-refs", capabilities)?;
        encode::text_to_write(b"peel", &mut request)?;
        encode::text_to_write(b"symrefs", &mut request)?;
        for prefix in prefixes {
            encode::text_to_write(format!("ref-prefix {prefix}").as_bytes(), &mut request)?;
        }
        encode::flush_to_write(&mut request)?;
        Ok(request)
    })();
    let request = request.map_err(|error| transport.lost(error))?;
    transport.send(&request)?;
    loop {
        let line = match transport.line()? {
            PacketLineRef::Data(line) => trimmed(line),
            PacketLineRef::Flush => return Ok(()),
            _ => return Err(Error::protocol(doing, "an unexpected delimiter")),
        };
        let (id, rest) = id_and(line).ok_or_else(|| Error::protocol(doing, "a line that is not a reference"))?;
        let mut words = rest.split(|byte| *byte == b' ');
        let name = words.next().unwrap_or_default();
        let mut commit = id;
        for word in words {
            if let Some(hex) = word.strip_prefix(b"peeled:") {
                commit = ObjectId::from_hex(hex).map_err(|_| Error::protocol(doing, "a tag that names no object"))?;
            } else if let Some(target) = word.strip_prefix(b"symref-target:") {
                listing.points(name, target);
            }
        }
        listing.see(name, id, commit);
    }
}

/// Starts a request of version 2.
fn command(name: &str, capabilities: &Capabilities) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    encode::text_to_write(format!("command={name}").as_bytes(), &mut request)?;
    if capabilities.has("agent") {
        encode::text_to_write(AGENT.as_bytes(), &mut request)?;
    }
    if capabilities.has("object-format") {
        encode::text_to_write(b"object-format=sha1", &mut request)?;
    }
    encode::delim_to_write(&mut request)?;
    Ok(request)
}

/// Requests `depth` commits of history, and declares where ours ends.
fn depth_lines(have: Option<Have>, depth: u32, request: &mut Vec<u8>) -> io::Result<()> {
    if let Some(have) = have.filter(|have| have.shallow) {
        encode::text_to_write(format!("shallow {}", have.commit).as_bytes(), &mut *request)?;
    }
    encode::text_to_write(format!("deepen {depth}").as_bytes(), request)?;
    Ok(())
}

/// Declares that we have two commits.
fn have_lines(commit: ObjectId, since: ObjectId, request: &mut Vec<u8>) -> io::Result<()> {
    for id in [commit, since] {
        encode::text_to_write(format!("have {id}").as_bytes(), &mut *request)?;
    }
    Ok(())
}

fn is_shallow(line: &[u8], commit: ObjectId) -> bool {
    trimmed(line).strip_prefix(b"shallow ").and_then(|hex| ObjectId::from_hex(hex).ok()) == Some(commit)
}
