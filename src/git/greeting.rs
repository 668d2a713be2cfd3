//! The greeting of a git service: its capabilities and references (gitprotocol-pack(5), gitprotocol-v2(5)).
//!
//! A remote may list any number of references with any names. Only the wanted one is kept, and a few to suggest if it
//! is missing.

use super::{Error, ObjectId, record_of, transport::Transport};
use crate::text::printable;
use gix_packetline::PacketLineRef;

/// Our name in requests.
pub(super) const AGENT: &str = concat!("agent=zonule/", env!("CARGO_PKG_VERSION"));
/// The symbolic reference to the remote's default branch.
pub(super) const HEAD: &str = "HEAD";

/// The target of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tip {
    /// The object, which may be an annotated tag.
    pub(super) object: ObjectId,
    /// The commit it resolves to.
    pub(super) commit: ObjectId,
}

/// Reads the greeting and returns whether the remote uses version 2.
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
        // Object ids of another format would not parse as references, so this comes first.
        capabilities.check_format()?;
        // A shallow remote announces that here; one commit is complete nevertheless.
        if reference.starts_with(b"shallow ") {
            continue;
        }
        let (id, name) = id_and(reference).ok_or_else(|| Error::protocol(doing, "a line that is not a reference"))?;
        if name == b"capabilities^{}" {
            continue;
        }
        match name.strip_suffix(b"^{}") {
            Some(name) => listing.peel(name, id),
            None => listing.see(name, id, id),
        }
    }
}

/// The capabilities of the remote that matter here.
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

    /// Refuses a repository with another object format.
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

/// The references that a remote lists: the wanted one, and suggestions if it is missing.
pub(super) struct Listing<'a> {
    wanted: &'a str,
    /// A second reference to look for, and its target.
    pub(super) beside: Option<(&'a str, Option<ObjectId>)>,
    pub(super) tip: Option<Tip>,
    /// The branch that the wanted reference stands for, if it is symbolic.
    pub(super) target: Option<String>,
    /// Whether there is any reference.
    pub(super) any: bool,
    /// The record of the wanted branch, and whether it exists: then the branch once existed.
    record: Option<String>,
    is_recorded: bool,
    /// The full name of the branch that `HEAD` stands for.
    default: Option<String>,
    /// The full name of the reference that was probably meant, and its distance from the wanted one.
    meant: Option<(usize, String)>,
    branches: Vec<String>,
    more: usize,
}

/// Maximum length of a reference name that is considered.
const MAX_NAME: usize = 1000;

impl<'a> Listing<'a> {
    pub(super) fn new(wanted: &'a str) -> Self {
        Listing {
            wanted,
            beside: None,
            tip: None,
            target: None,
            any: false,
            record: record_of(wanted),
            is_recorded: false,
            default: None,
            meant: None,
            branches: Vec::new(),
            more: 0,
        }
    }

    pub(super) fn see(&mut self, name: &[u8], object: ObjectId, commit: ObjectId) {
        const MAX: usize = 10;
        self.any = true;
        if name == self.wanted.as_bytes() {
            self.tip = Some(Tip { object, commit });
        }
        if let Some((beside, found)) = &mut self.beside
            && name == beside.as_bytes()
        {
            *found = Some(object);
        }
        self.is_recorded |= self.record.as_ref().is_some_and(|record| name == record.as_bytes());
        if self.tip.is_none()
            && let Some(name) = str::from_utf8(name).ok().filter(|name| name.len() <= MAX_NAME)
            && let Some(distance) = distance(self.wanted, name, self.more == 0)
            && self.meant.as_ref().is_none_or(|(least, _)| distance < *least)
        {
            self.meant = Some((distance, name.to_owned()));
        }
        if let Some(branch) = name.strip_prefix(b"refs/heads/") {
            if self.branches.len() < MAX {
                self.branches.push(printable(branch));
            } else {
                self.more += 1;
            }
        }
    }

    /// Records that the symbolic reference `name` stands for `target`.
    pub(super) fn points(&mut self, name: &[u8], target: &[u8]) {
        let plain = |text: &&str| text.len() <= MAX_NAME && !text.contains(|c: char| c.is_control() || c == ' ');
        let target: Option<String> = str::from_utf8(target).ok().filter(plain).map(Into::into);
        if name == self.wanted.as_bytes() {
            self.target.clone_from(&target);
        }
        if name == HEAD.as_bytes() {
            self.default = target;
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
        if let Some(tip) = self.tip {
            return Ok(tip);
        }
        if !self.any {
            return Err(Error::Empty);
        }
        let hint = self.hint();
        let name = self.wanted.into();
        Err(Error::NoBranch { name, existed: self.is_recorded, has: self.branches, more: self.more, hint })
    }

    /// Returns what to write instead of a missing name.
    fn hint(&self) -> Option<String> {
        let wanted = short(self.wanted);
        let shown = |name: &str| printable(short(name).as_bytes());
        if self.wanted != HEAD && (wanted.eq_ignore_ascii_case(HEAD) || wanted == "@") {
            let default = self.default.as_deref().map(shown)?;
            return Some(format!("HEAD points to {default}: write #{default}, or nothing to follow HEAD"));
        }
        let (_, meant) = self.meant.as_ref()?;
        let name = shown(meant);
        Some(match meant.strip_prefix("refs/tags/") {
            Some(tag) => format!("{} is a tag: write #{name}", printable(tag.as_bytes())),
            None => format!("write #{name} if you mean that branch"),
        })
    }
}

/// Returns a reference as written after the `#` of a remote.
fn short(name: &str) -> &str {
    name.strip_prefix("refs/heads/").unwrap_or(name)
}

/// Returns the distance of the reference `name` from the wanted one, if it may have been meant; names that
/// are only spelt alike count if `by_spelling`.
fn distance(wanted: &str, name: &str, by_spelling: bool) -> Option<usize> {
    /// Longer names are not compared letter by letter.
    const LETTERS: usize = 60;
    let wanted = short(wanted);
    let (kind, name) = match (name.strip_prefix("refs/heads/"), name.strip_prefix("refs/tags/")) {
        (Some(branch), _) => ("heads", branch),
        (None, Some(tag)) => ("tags", tag),
        (None, None) => return None,
    };
    let is_branch = kind == "heads";
    // Of another kind, or in the words of other commands: tag `v1`, `heads/main`, `refs/heads/refs/heads/main`.
    let bare = wanted.strip_prefix("refs/").unwrap_or(wanted);
    let bare = ["heads/", "tags/"].iter().find_map(|kind| bare.strip_prefix(kind)).unwrap_or(bare);
    if name == bare {
        return Some(0);
    }
    // `origin/main`, `tree/main`, `refs/remotes/origin/main`.
    if is_branch && wanted.strip_suffix(name).is_some_and(|rest| rest.ends_with('/')) {
        return Some(1);
    }
    if name.to_lowercase() == bare.to_lowercase() {
        return Some(2);
    }
    if is_branch && matches!((bare, name), ("master", "main") | ("main", "master")) {
        return Some(3);
    }
    let letters = bare.len().max(name.len());
    if !by_spelling || letters > LETTERS {
        return None;
    }
    let distance = strsim::damerau_levenshtein(bare, name);
    (distance <= letters.div_ceil(4).min(3)).then_some(3 + distance)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The error for a branch that is not among `references`, the first of which is what HEAD stands for.
    fn error(wanted: &str, references: &[&str]) -> String {
        let mut listing = Listing::new(wanted);
        let id = ObjectId::null(gix_hash::Kind::Sha1);
        if let Some(first) = references.first() {
            listing.points(b"HEAD", first.as_bytes());
        }
        for name in references {
            listing.see(name.as_bytes(), id, id);
        }
        listing.conclude().unwrap_err().to_string()
    }

    #[test]
    fn the_reference_probably_meant_is_suggested() {
        let there = ["refs/heads/main", "refs/heads/feature/x", "refs/tags/v1"];
        for (wanted, hint) in [
            ("refs/heads/v1", "v1 is a tag: write #refs/tags/v1"),
            ("refs/heads/tags/v1", "v1 is a tag: write #refs/tags/v1"),
            ("refs/heads/heads/main", "write #main"),
            ("refs/heads/HEAD", "HEAD points to main: write #main,"),
            ("refs/heads/head", "HEAD points to main: write #main,"),
            ("refs/heads/@", "HEAD points to main: write #main,"),
            ("refs/heads/origin/main", "write #main"),
            ("refs/heads/origin/feature/x", "write #feature/x"),
            ("refs/remotes/origin/main", "write #main"),
            ("refs/tags/main", "write #main"),
            ("refs/heads/master", "write #main"),
            ("refs/heads/Main", "write #main"),
            ("refs/heads/mian", "write #main"),
            ("refs/heads/feature/y", "write #feature/x"),
            ("refs/heads/V1", "v1 is a tag: write #refs/tags/v1"),
        ] {
            let message = error(wanted, &there);
            assert!(message.contains(" does not exist at the remote, which has: main, feature/x; "), "{message}");
            assert!(message.contains(hint), "{wanted}: {message}");
        }
        assert!(error("refs/heads/production", &there).ends_with("which has: main, feature/x"));
        // Hostile names, and many.
        assert!(error("refs/heads/a", &["refs/heads/\u{202e}a"]).contains("write #\\u{202e}a"));
        let many: Vec<String> = (0..1000).map(|n| format!("refs/heads/branch{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let message = error("refs/heads/Branch777", &many);
        assert!(message.contains(" and 990 more; write #branch777 ") && message.len() < 300, "{message}");
    }

    #[test]
    fn a_deleted_branch_differs_from_an_empty_repository() {
        assert_eq!(error("refs/heads/main", &[]), "the repository is empty: push a first commit");
        let message = error("refs/heads/main", &["refs/notes/x"]);
        assert_eq!(message, "branch main does not exist at the remote, which has no branches");
        let message = error("refs/heads/main", &["refs/zonule/served/main"]);
        assert!(
            message.starts_with("branch main was deleted at the remote, which has no branches; push it"),
            "{message}"
        );
        let message = error("refs/heads/main", &["refs/heads/other", "refs/zonule/served/main"]);
        assert!(message.starts_with("branch main was deleted at the remote, which has: other; push it"), "{message}");
        let message = error("HEAD", &["refs/notes/x"]);
        assert_eq!(message, "HEAD at the remote points to no branch that exists; there are no branches: push one");
        let message = error("HEAD", &["refs/heads/other"]);
        assert_eq!(message, "HEAD at the remote points to no branch that exists; choose one with #branch: other");
    }
}
