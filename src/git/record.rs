//! The record of what was served: a chain of commits under a reference of its own, apart from the branch.
//!
//! Each entry has the tree of a commit of the branch, and the previous entry as its only parent. So an entry costs the
//! remote one object, and what was served stays available even if the branch is rewritten. Its first parents are the
//! contents served, in order. The caller chooses the message of an entry.
//!
//! The reference lies outside of branches and tags, so that it is not displayed, cloned or built by accident.

use super::{Error, ObjectId, Signature, pack::HASH, store::Object, zlib::Zlib};
use gix_object::Kind;

/// The prefix of the references of all records.
const RECORDS: &str = "refs/zonule/served/";

/// An entry of a record, to be pushed.
#[derive(Clone)]
pub struct Entry {
    pub(super) id: ObjectId,
    /// The previous entry.
    pub(super) before: Option<ObjectId>,
    pub(super) object: Object,
}

/// The outcome for the entries sent with a push that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The remote accepted them.
    Yes,
    /// The remote rejected only them: the reason, in one printable line.
    No(String),
}

/// Returns the full name of the reference of a branch's record, given the full name of the branch.
pub fn record_of(branch: &str) -> Option<String> {
    branch.strip_prefix("refs/heads/").map(|name| format!("{RECORDS}{name}"))
}

impl Entry {
    /// Returns the entry that follows `before`, with the directory `tree`, which the remote has or gets with the same
    /// push.
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

    /// Returns the id of the previous entry.
    pub fn before(&self) -> Option<ObjectId> {
        self.before
    }

    /// Returns the entry's id.
    pub fn id(&self) -> ObjectId {
        self.id
    }
}
