//! The record of what was served: a chain of commits beside the branch, under a reference of its own.
//!
//! Each entry has the tree of a commit of the branch, and the entry before it as its only parent. So an entry costs the remote
//! one object, and what was served is kept there however the branch is rewritten; its first parents are what was served,
//! in order. What an entry's message says is for who writes it.
//!
//! The reference lies outside of branches and tags, so that nobody is shown it, clones it or builds it by accident.

use super::{Error, ObjectId, Signature, pack::HASH, store::Object, zlib::Zlib};
use gix_object::Kind;

/// Where the records of all branches lie.
const RECORDS: &str = "refs/zonule/served/";

/// An entry of a record, to be pushed.
#[derive(Clone)]
pub struct Entry {
    pub(super) id: ObjectId,
    /// The entry before it.
    pub(super) before: Option<ObjectId>,
    pub(super) object: Object,
}

/// What became of the entries that went along with a push that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The remote has them.
    Yes,
    /// The remote declined them, and them alone: why, in one printable line.
    No(String),
}

/// Returns the full name of the reference under which the record of a branch is, given by its full name, too.
pub fn record_of(branch: &str) -> Option<String> {
    branch.strip_prefix("refs/heads/").map(|name| format!("{RECORDS}{name}"))
}

impl Entry {
    /// Makes the entry that follows `before`: the directory `tree`, which the remote has or gets with the same push.
    pub fn new(before: Option<ObjectId>, tree: ObjectId, author: &Signature, message: &str) -> Result<Entry, Error> {
        let parent = before.map_or_else(String::new, |before| format!("parent {before}\n"));
        let message = message.replace('\0', " ");
        let text = format!("tree {tree}\n{parent}author {author}\ncommitter {author}\n\n{}\n", message.trim());
        let id = gix_object::compute_hash(HASH, Kind::Commit, text.as_bytes())
            .map_err(|error| Error::Object { id: HASH.null(), what: error.to_string() })?;
        let stream = Zlib::new().deflate(text.as_bytes())?;
        let size = u32::try_from(text.len()).unwrap_or(u32::MAX);
        Ok(Entry { id, before, object: Object { kind: Kind::Commit, size, stream } })
    }

    /// Returns the id of the entry before it.
    pub fn before(&self) -> Option<ObjectId> {
        self.before
    }

    /// Returns the entry's id.
    pub fn id(&self) -> ObjectId {
        self.id
    }
}
