//! What a git service says first: what it can do, and the references it has (gitprotocol-pack(5), gitprotocol-v2(5)).
//!
//! A remote may list any number of references with any names: kept are the one wanted and a few to name if that is not there.

use super::{Error, ObjectId, error::printable, transport::Transport};
use gix_packetline::PacketLineRef;

/// What we call ourselves.
pub(super) const AGENT: &str = concat!("agent=zonule/", env!("CARGO_PKG_VERSION"));
/// The reference that stands for the branch a remote calls its own.
pub(super) const HEAD: &str = "HEAD";

/// What a reference names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tip {
    /// The object, perhaps an annotated tag.
    pub(super) object: ObjectId,
    /// The commit it comes down to.
    pub(super) commit: ObjectId,
}

/// Reads what the remote says first and returns whether it speaks version 2.
pub(super) fn greeting(
    transport: &mut Transport,
    capabilities: &mut Capabilities,
    listing: &mut Listing<'_>,
) -> Result<bool, Error> {
    let doing = transport.doing;
    let mut commands = false;
    let mut first = true;
    loop {
        let line = match transport.line()? {
            PacketLineRef::Data(line) => trimmed(line),
            PacketLineRef::Flush => return Ok(commands),
            _ => return Err(Error::protocol(doing, "an unexpected delimiter")),
        };
        if commands {
            capabilities.add(line)?;
            continue;
        }
        if first && line == b"version 1" {
            continue;
        }
        if first && line == b"version 2" {
            commands = true;
            continue;
        }
        let (reference, list) = match line.iter().position(|byte| *byte == 0) {
            Some(at) if first => (&line[..at], &line[at + 1..]),
            _ => (line, &b""[..]),
        };
        first = false;
        for capability in list.split(|byte| *byte == b' ') {
            capabilities.add(capability)?;
            if let Some(target) = capability.strip_prefix(b"symref=HEAD:") {
                listing.points(HEAD.as_bytes(), target);
            }
        }
        // Names of another format are no references to us, so this comes first.
        capabilities.check_format()?;
        // A remote that is itself shallow says so here; a commit is complete for us all the same.
        if reference.starts_with(b"shallow ") {
            continue;
        }
        let (id, name) = id_and(reference).ok_or_else(|| Error::protocol(doing, "a line that is no reference"))?;
        if name == b"capabilities^{}" {
            continue;
        }
        match name.strip_suffix(b"^{}") {
            Some(name) => listing.peel(name, id),
            None => listing.see(name, id, id),
        }
    }
}

/// What the remote can do, as far as it matters to us.
#[derive(Default)]
pub(super) struct Capabilities(Vec<String>);

impl Capabilities {
    pub(super) fn add(&mut self, capability: &[u8]) -> Result<(), Error> {
        const KNOWN: [&str; 16] = [
            "agent",
            "atomic",
            "object-format",
            "fetch",
            "shallow",
            "filter",
            "allow-any-sha1-in-want",
            "allow-reachable-sha1-in-want",
            "side-band-64k",
            "thin-pack",
            "no-progress",
            "ofs-delta",
            "report-status",
            "report-status-v2",
            "no-thin",
            "quiet",
        ];
        let Ok(text) = str::from_utf8(capability) else { return Ok(()) };
        let name = text.split_once('=').map_or(text, |(name, _)| name);
        // Kept once each, so that a remote cannot fill memory with them.
        if KNOWN.contains(&name) && !self.has(name) {
            self.0.push(text.into());
        }
        Ok(())
    }

    /// Refuses a repository whose objects have other names than ours.
    pub(super) fn check_format(&self) -> Result<(), Error> {
        match self.value("object-format").filter(|format| *format != "sha1") {
            Some(format) => {
                let what = format!("a repository with {} object names", printable(format.as_bytes()));
                Err(Error::Unsupported { what })
            }
            None => Ok(()),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.find(name)?.strip_prefix('=')
    }

    /// Returns what follows the name: nothing, or `=value`.
    fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|capability| {
            capability.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with('='))
        })
    }
}

/// The references a remote lists: the one we look for, and some to name if it is not there.
pub(super) struct Listing<'a> {
    wanted: &'a str,
    /// Another reference that may be there, and what it names.
    pub(super) beside: Option<(&'a str, Option<ObjectId>)>,
    pub(super) tip: Option<Tip>,
    /// The branch that the wanted reference stands for, if it is symbolic.
    pub(super) target: Option<String>,
    any: bool,
    branches: Vec<String>,
    more: usize,
}

impl<'a> Listing<'a> {
    pub(super) fn new(wanted: &'a str) -> Self {
        Listing { wanted, beside: None, tip: None, target: None, any: false, branches: Vec::new(), more: 0 }
    }

    pub(super) fn see(&mut self, name: &[u8], object: ObjectId, commit: ObjectId) {
        const MOST: usize = 10;
        self.any = true;
        if name == self.wanted.as_bytes() {
            self.tip = Some(Tip { object, commit });
        }
        if let Some((beside, found)) = &mut self.beside
            && name == beside.as_bytes()
        {
            *found = Some(object);
        }
        if let Some(branch) = name.strip_prefix(b"refs/heads/") {
            if self.branches.len() < MOST {
                self.branches.push(printable(branch));
            } else {
                self.more += 1;
            }
        }
    }

    /// Notes that the symbolic reference `name` stands for `target`.
    pub(super) fn points(&mut self, name: &[u8], target: &[u8]) {
        const MOST: usize = 1000;
        let plain = |text: &&str| text.len() <= MOST && !text.contains(|c: char| c.is_control() || c == ' ');
        if name == self.wanted.as_bytes() {
            self.target = str::from_utf8(target).ok().filter(plain).map(Into::into);
        }
    }

    pub(super) fn peel(&mut self, name: &[u8], commit: ObjectId) {
        if name == self.wanted.as_bytes()
            && let Some(tip) = &mut self.tip
        {
            tip.commit = commit;
        }
    }

    pub(super) fn conclude(self) -> Result<Tip, Error> {
        match self.tip {
            Some(tip) => Ok(tip),
            None if !self.any => Err(Error::Empty),
            None => Err(Error::NoBranch { name: self.wanted.into(), has: self.branches, more: self.more }),
        }
    }
}

/// Splits `<id> <rest>`.
pub(super) fn id_and(line: &[u8]) -> Option<(ObjectId, &[u8])> {
    let at = line.iter().position(|byte| *byte == b' ')?;
    Some((ObjectId::from_hex(&line[..at]).ok()?, &line[at + 1..]))
}

/// Returns a line without its end.
pub(super) fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}
