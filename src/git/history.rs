//! The past of a branch: its last commits with their files, read on demand.
//!
//! A [`Repository`](super::Repository) holds one commit and drops the previous one. A caller that needs old contents,
//! to send a secondary the changes since, fetches a [`History`], reads it, and drops it. It shares nothing with the
//! repository, so it can be fetched by another thread and costs nothing while unused.
//!
//! Versions differ little. Objects received as deltas are kept as deltas, so a commit that changes a line of one zone
//! among a thousand costs some hundred bytes, where the directory and the file whole would be a hundred times that;
//! reading applies them (`archive`). Every object is hashed when it is received, as in a fetch.
//!
//! Only first parents are followed: these are the past states of the branch.

use super::{
    Deadline, Error, File, Limits, ObjectId, Protocol, Timeouts, Upstream,
    archive::Archive,
    cache::Cache,
    links::{self, Node, Way},
    pack::{Archived, HASH},
    protocol::Session,
    tree::{self, Lookup},
    zlib::{self, Zlib},
};
use gix_object::{Kind, TreeRefIter, tree::EntryKind};
use std::sync::{Mutex, PoisonError};

/// Maximum number of commits between a branch's new head and an older tip at which the tip is still found.
const MAX_MOVED: u32 = 64;

/// The last commits of a branch with their files.
pub struct History {
    commits: Vec<PastCommit>,
    pack_bytes: u64,
    objects: Archive,
    limits: Limits,
    reader: Mutex<Reader>,
}

/// A commit of a [`History`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastCommit {
    /// The commit's id.
    pub id: ObjectId,
    /// The id of its root directory: equal ids are equal contents.
    pub tree: ObjectId,
}

/// State that all reads share.
struct Reader {
    zlib: Zlib,
    /// The directories and commits read last. Deltas lead from one version to the next, so this is often most of the
    /// way.
    directories: Cache,
    /// The files, in a cache of their own so that a lookup between two versions of a large file does not evict the
    /// first.
    files: Cache,
}

impl Lookup for History {
    fn kind(&self, id: &ObjectId) -> Option<Kind> {
        self.objects.kind(id)
    }

    fn content(&self, id: &ObjectId, _: &mut Zlib) -> Result<Vec<u8>, Error> {
        let kind = self.objects.kind(id).ok_or(Error::Missing { id: *id })?;
        History::content(self, *id, kind)
    }
}

impl History {
    /// Fetches the commit `tip` and up to `depth` - 1 of its ancestors along first parents, with their trees and files.
    ///
    /// If the remote does not serve `tip` because it is not the branch's head, the head is fetched instead and `tip`
    /// looked up below it. If it is not found there either, because the branch was rewritten or has moved far, the
    /// history is that of the head: then the first of [`commits`](History::commits) is not `tip`.
    ///
    /// There are fewer commits if the history or the remote's knowledge of it ends, or if a bound of `limits` is
    /// reached: then half as many are requested. Blocks as long as `timeouts` allows for one fetch, however many
    /// attempts are made. Takes at most `pack_bytes + store_bytes + 4 * object_bytes + cache_bytes + 200 * objects`
    /// bytes of memory meanwhile, and without the first afterwards.
    pub fn fetch(
        upstream: &Upstream,
        tip: ObjectId,
        depth: u32,
        limits: &Limits,
        timeouts: Timeouts,
    ) -> Result<History, Error> {
        History::fetch_with(Protocol::default(), upstream, tip, depth, limits, timeouts)
    }

    /// Fetches like [`fetch`](History::fetch), with the given protocol version.
    pub fn fetch_with(
        protocol: Protocol,
        upstream: &Upstream,
        tip: ObjectId,
        depth: u32,
        limits: &Limits,
        timeouts: Timeouts,
    ) -> Result<History, Error> {
        let deadline = Deadline::from_now(timeouts.total);
        // A commit is an object, so there cannot be more, and no remote supports a larger depth.
        let mut depth = depth.clamp(1, limits.objects.clamp(1, i32::MAX as u32 - MAX_MOVED));
        let mut beyond = MAX_MOVED;
        let mut given_out = true;
        loop {
            let session = Session::open(upstream, protocol, timeouts, deadline)?;
            let head = session.tip().commit;
            let direct = given_out && session.gives_out(tip);
            let (want, more) = if direct { (tip, 0) } else { (head, beyond) };
            match session.deepen(want, depth + more, limits) {
                Ok(archived) => return History::new(archived, [tip, head], depth, limits, deadline),
                Err(Error::Refused { .. } | Error::Protocol { .. }) if direct && tip != head => given_out = false,
                Err(Error::Limit { .. } | Error::Memory { .. }) if depth + more > 1 => {
                    depth = (depth / 2).max(1);
                    beyond /= 2;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Fetches the commit that `reference`, a full name, names now, with up to `depth` - 1 ancestors; else as
    /// [`fetch`](History::fetch).
    ///
    /// Returns `None` if there is no such reference.
    pub fn of_reference(
        upstream: &Upstream,
        reference: &str,
        depth: u32,
        limits: &Limits,
        timeouts: Timeouts,
    ) -> Result<Option<History>, Error> {
        let upstream = Upstream { remote: upstream.remote.with_reference(reference), ..upstream.clone() };
        let deadline = Deadline::from_now(timeouts.total);
        let mut depth = depth.clamp(1, limits.objects.clamp(1, i32::MAX as u32));
        loop {
            let session = match Session::open(&upstream, Protocol::default(), timeouts, deadline) {
                Err(Error::NoBranch { .. } | Error::Empty) => return Ok(None),
                session => session?,
            };
            let head = session.tip().commit;
            match session.deepen(head, depth, limits) {
                Ok(archived) => return History::new(archived, [head, head], depth, limits, deadline).map(Some),
                Err(Error::Limit { .. } | Error::Memory { .. }) if depth > 1 => depth /= 2,
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the commits, newest first, each the first parent of the one before it. There is at least one.
    pub fn commits(&self) -> &[PastCommit] {
        &self.commits
    }

    /// Returns the size of the pack that was transferred.
    pub fn pack_bytes(&self) -> u64 {
        self.pack_bytes
    }

    /// Returns the compressed bytes held, and the number of objects.
    pub fn size(&self) -> (u64, usize) {
        (self.objects.bytes(), self.objects.len())
    }

    /// Returns where `path`, parts separated by `/`, leads in the commit of this index in
    /// [`commits`](History::commits).
    pub fn follow(&self, commit: usize, path: &str) -> Result<Way, Error> {
        let Some(commit) = self.commits.get(commit) else { return Ok(Way::Nothing) };
        links::follow(path, |path| self.look(commit.tree, path))
    }

    /// Returns the id of the regular file at `path` in the commit of this index; `None` if there is none. Links are not
    /// followed.
    pub fn file(&self, commit: usize, path: &str) -> Result<Option<ObjectId>, Error> {
        let Some(commit) = self.commits.get(commit) else { return Ok(None) };
        match self.look(commit.tree, path)? {
            Node::File(id) => Ok(Some(id)),
            _ => Ok(None),
        }
    }

    /// Returns what is at `path` below a directory; no part of it but the last may be a link.
    fn look(&self, root: ObjectId, path: &str) -> Result<Node, Error> {
        let mut at = (root, EntryKind::Tree);
        for name in path.split('/') {
            let (id, EntryKind::Tree) = at else { return Ok(Node::Nothing) };
            match self.entry(id, name.as_bytes())? {
                Some(entry) => at = entry,
                None => return Ok(Node::Nothing),
            }
        }
        let (id, kind) = at;
        Ok(match kind {
            EntryKind::Blob | EntryKind::BlobExecutable => Node::File(id),
            EntryKind::Link => Node::Link(tree::link_target(&self.read(id)?)),
            EntryKind::Tree => Node::Directory,
            EntryKind::Commit => Node::Nothing,
        })
    }

    /// Returns the files and links of the commit of this index, as [`Repository::files`](super::Repository::files)
    /// does.
    pub fn files(&self, commit: usize) -> Result<Vec<File>, Error> {
        let commit = self.commits.get(commit).ok_or(Error::NotFetched)?;
        tree::files(self, commit.tree, &self.limits)
    }

    /// Returns the message of the commit of this index.
    pub fn message(&self, commit: usize) -> Result<String, Error> {
        let commit = self.commits.get(commit).ok_or(Error::NotFetched)?;
        Ok(tree::message(&History::content(self, commit.id, Kind::Commit)?))
    }

    /// Returns the content of a file.
    ///
    /// The versions of a file are read quickest in the order of the commits, one file after the other.
    pub fn read(&self, id: ObjectId) -> Result<Vec<u8>, Error> {
        History::content(self, id, Kind::Blob)
    }

    /// Starts at `tip` if it was received, otherwise at `head`.
    fn new(
        archived: Archived,
        [tip, head]: [ObjectId; 2],
        depth: u32,
        limits: &Limits,
        deadline: Deadline,
    ) -> Result<History, Error> {
        let mut history = History {
            commits: Vec::new(),
            pack_bytes: archived.bytes,
            objects: archived.objects,
            limits: limits.clone(),
            reader: Mutex::new(Reader {
                zlib: Zlib::new(),
                directories: Cache::new(limits.cache_bytes / 2),
                files: Cache::new(limits.cache_bytes / 2),
            }),
        };
        let came = history.objects.kind(&tip) == Some(Kind::Commit);
        let mut next = Some(if came { tip } else { head });
        while let Some(id) = next {
            Error::unless_over(deadline, "reading the history")?;
            let (tree, parent) = tree::lineage(id, &History::content(&history, id, Kind::Commit)?)?;
            history.commits.push(PastCommit { id, tree });
            let enough = history.commits.len() as u64 >= u64::from(depth);
            // A parent that was not received is beyond the depth, or the remote lacks it, too.
            next = parent.filter(|parent| !enough && history.objects.kind(parent).is_some());
        }
        Ok(history)
    }

    /// Returns the entry of the directory `id` with a name.
    fn entry(&self, id: ObjectId, name: &[u8]) -> Result<Option<(ObjectId, EntryKind)>, Error> {
        let content = History::content(self, id, Kind::Tree)?;
        for entry in TreeRefIter::from_bytes(&content, HASH) {
            let damaged = |_| Error::Object { id, what: "a directory that cannot be read".into() };
            let entry = entry.map_err(damaged)?;
            if entry.filename == name {
                return Ok(Some((entry.oid.to_owned(), entry.mode.kind())));
            }
        }
        Ok(None)
    }

    fn content(&self, id: ObjectId, kind: Kind) -> Result<Vec<u8>, Error> {
        match self.objects.kind(&id).ok_or(Error::Missing { id })? {
            found if found == kind => {}
            found => return Err(Error::Object { id, what: format!("it is a {found} where a {kind} is named") }),
        }
        // A reader that panicked leaves no partial state: each stream starts afresh, and a cache holds whole contents
        // only.
        let Reader { zlib, directories, files } = &mut *self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let cache = if kind == Kind::Blob { files } else { directories };
        let content = self.objects.read(&id, self.limits.object_bytes, zlib, cache)?;
        if cache.peek(&id).is_none() {
            cache.put(id, zlib::copy(&content)?);
        }
        Ok(content)
    }
}
