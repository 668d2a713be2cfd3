//! The record of what was served: a chain of commits beside the branch, under a reference of its own.
//!
//! Each entry has the tree of a commit of the branch, and the entry before it as its only parent. So an entry costs the remote
//! one object, and what was served is kept there however the branch is rewritten; its first parents are what was served,
//! in order. What an entry's message says is for who writes it.
//!
//! The reference lies outside of branches and tags, so that nobody is shown it, clones it or builds it by accident.

use super::{
    Deadline, Error, File, Limits, ObjectId, Repository, Signature, Upstream,
    pack::HASH,
    protocol::{Have, Session},
    store::{Object, Store},
    tree::{self, Objects},
    zlib::Zlib,
};
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

/// The commit a reference beside the branch names, with its files.
pub struct Beside {
    /// The commit's id.
    pub id: ObjectId,
    /// The id of its root directory.
    pub tree: ObjectId,
    /// Its message.
    pub message: String,
    /// Its files.
    pub files: Vec<File>,
    /// What it needs beyond the commit held.
    objects: Store,
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

impl Repository {
    /// Fetches the commit that `reference`, a full name, names now: what it has beyond the one held. `None` if there is none.
    ///
    /// The commit held stays as it is.
    pub fn beside(&self, reference: &str) -> Result<Option<Beside>, Error> {
        let head = self.head.as_ref().ok_or(Error::NotFetched)?;
        let upstream = Upstream { remote: self.upstream.remote.with_reference(reference), ..self.upstream.clone() };
        let deadline = Deadline::from_now(self.timeouts.total);
        let session = match Session::open(&upstream, self.protocol, self.timeouts, deadline) {
            Err(Error::NoBranch { .. } | Error::Empty) => return Ok(None),
            session => session?,
        };
        let id = session.tip().commit;
        let have = Have { commit: head.commit.id, shallow: head.shallow };
        let received = session.fetch(Some(have), &self.store, &self.limits)?;
        Beside::new(id, received.pack.objects, &self.store, &self.limits).map(Some)
    }
}

impl Beside {
    fn new(id: ObjectId, objects: Store, held: &Store, limits: &Limits) -> Result<Self, Error> {
        let together = Objects { held, new: Some(&objects) };
        let zlib = &mut Zlib::new();
        let tree = tree::commit(&together, id, zlib)?.tree;
        let content = together.get(&id).ok_or(Error::Missing { id })?.inflate(zlib)?;
        let files = tree::files(&together, tree, limits)?;
        Ok(Beside { id, tree, message: tree::message(&content), files, objects })
    }

    /// Returns the content of a file; `repository` is the one it was fetched beside.
    pub fn read(&self, repository: &Repository, id: ObjectId) -> Result<Vec<u8>, Error> {
        let together = Objects { held: &repository.store, new: Some(&self.objects) };
        together.get(&id).ok_or(Error::NotHeld { id })?.inflate(&mut Zlib::new())
    }
}
