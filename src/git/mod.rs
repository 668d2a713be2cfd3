//! The remote as a store: fetch a branch into memory, read its files, commit changes, push them.
//!
//! A [`Repository`] holds one commit of one branch with its trees and files, and nothing of its history: the first
//! [`fetch`](Repository::fetch) clones at depth 1, later ones bring what changed. Everything is in memory, each object
//! compressed on its own; after a move what the new commit does not reach is dropped, so memory does not grow with time. A
//! fetch that fails leaves the old commit as it was.
//!
//! A [`Draft`] collects commits on top of the one held. [`push`](Repository::push) sends them all at once and either
//! succeeds, and the last of them is the commit held, or says which of four things happened ([`PushError`]): nothing was
//! sent, the branch had moved, the remote refused, or nobody knows yet. The branch is never moved by force. What nobody
//! knows yet is asked later ([`fate`](Repository::fate)).
//!
//! The remote is not trusted with anything but the content of its files. All it can make us spend is bounded by [`Limits`]
//! and [`Timeouts`]; every object is verified by its hash.
//!
//! From the wire up: [`Remote`] says where and [`Access`] who we are, `transport` gets there (over `http` and `tls` or [`ssh`]
//! where that is asked for), `greeting` reads what is there, `protocol` asks, [`pack`] unpacks (`delta`, `zlib`), [`store`]
//! keeps, `tree` reads, `draft` writes, `push` sends, and with it what `record` keeps. Beside it [`History`] fetches what was before, into
//! an `archive`. Programs other than the server read repositories of their own machine through [`local`].

mod access;
mod archive;
mod delta;
mod draft;
mod error;
mod greeting;
mod history;
mod http;
mod limits;
mod links;
pub mod local;
pub mod pack;
mod protocol;
mod push;
mod record;
mod remote;
mod rest;
mod signature;
pub mod ssh;
pub mod store;
mod tls;
mod transport;
mod tree;
mod zlib;

pub use access::{Access, Secret, Upstream};
pub use draft::Draft;
pub use error::Error;
pub use gix_hash::ObjectId;
pub use history::{History, PastCommit};
pub use http::{HttpError, HttpProblem};
pub use limits::Limits;
pub use links::{Listing, Way};
pub use push::{Fate, PushError};
pub use record::{Beside, Entry, Recorded, record_of};
pub use remote::{Kind, Remote, RemoteError};
pub use rest::Rest;
pub use signature::Signature;

pub use crate::net::tls::{Fingerprint, TlsError, Trust};
pub use crate::net::{Deadline, Timeouts};
use protocol::{Have, Session};
use push::Parting;
use std::collections::BTreeSet;
use store::Store;
use tree::{Lookup, Objects};
use zlib::Zlib;

/// A commit of a remote branch, held in memory.
pub struct Repository {
    upstream: Upstream,
    limits: Limits,
    timeouts: Timeouts,
    protocol: Protocol,
    store: Store,
    head: Option<Head>,
    parting: Parting,
}

/// The commit we hold.
struct Head {
    commit: CommitInfo,
    /// Whether the remote cut its history off behind it.
    shallow: bool,
    /// The full name of the reference it was found under, if that is known: what to push to.
    reference: Option<String>,
}

/// What a fetch found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The branch is where it was.
    Unchanged,
    /// The branch is at another commit, which is held now.
    Moved {
        /// The new commit.
        commit: ObjectId,
        /// The commit held before; `None` for the first.
        from: Option<ObjectId>,
        /// The size of the pack that was transferred.
        pack_bytes: u64,
    },
}

/// A commit, as far as a log line wants to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommitInfo {
    /// The commit's id.
    pub id: ObjectId,
    /// The id of its root directory.
    pub tree: ObjectId,
    /// The author's name, printable; empty if there is none.
    pub author: String,
    /// The first line of the message, printable, cut at 300 bytes.
    pub summary: String,
}

#[cfg(test)]
impl CommitInfo {
    /// A commit by an author, for tests.
    pub(crate) fn new(id: ObjectId, author: &str) -> Self {
        CommitInfo { id, tree: id, author: author.into(), summary: String::new() }
    }
}

/// A regular file or a symbolic link of a commit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// Its path from the root of the repository, parts separated by `/`.
    pub path: String,
    /// The id of its content: equal ids are equal files.
    pub id: ObjectId,
    /// Where it leads if it is a symbolic link, as it is written there.
    pub link: Option<String>,
}

/// The protocol version to ask the remote for. It may answer in an older one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// The original one, in which the remote begins by listing every reference.
    V0,
    /// The original one, announced.
    V1,
    /// The one with commands.
    #[default]
    V2,
}

/// Returns the id of a file's content; the null id, which no file has, for one made to collide with another.
pub fn blob_id(content: &[u8]) -> ObjectId {
    const SHA1: gix_hash::Kind = gix_hash::Kind::Sha1;
    gix_object::compute_hash(SHA1, gix_object::Kind::Blob, content).unwrap_or(ObjectId::null(SHA1))
}

impl Protocol {
    /// Returns the version to push with: there is no version 2 of that.
    fn for_push(self) -> Self {
        match self {
            Protocol::V1 => Protocol::V1,
            Protocol::V0 | Protocol::V2 => Protocol::V0,
        }
    }
}

impl Repository {
    /// Makes a repository that holds nothing yet. Nothing is sent before the first [`fetch`](Repository::fetch).
    pub fn new(upstream: impl Into<Upstream>, limits: Limits) -> Self {
        Repository {
            upstream: upstream.into(),
            limits,
            timeouts: Timeouts::default(),
            protocol: Protocol::default(),
            store: Store::default(),
            head: None,
            parting: Parting::default(),
        }
    }

    /// Sets how long to wait for the remote.
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets the protocol version to ask for; for remotes that mistake the usual one, and for tests.
    pub fn with_protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Returns where the repository comes from.
    pub fn remote(&self) -> &Remote {
        &self.upstream.remote
    }

    /// Returns the same with the way to get there.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Returns the full name of the branch followed, once it is known; `None` if it is none, but a tag.
    pub fn branch(&self) -> Option<&str> {
        let reference = self.head.as_ref()?.reference.as_deref();
        reference.filter(|name| name.starts_with("refs/heads/"))
    }

    /// Returns the objects held.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Asks the remote where the branch is, and brings what is new.
    ///
    /// Blocks as long as [`Timeouts`] allows. On an error the commit held before stays, whole.
    pub fn fetch(&mut self) -> Result<Fetched, Error> {
        self.fetch_by(Deadline::from_now(self.timeouts.total))
    }

    /// Does as [`fetch`](Repository::fetch), but not beyond `deadline`.
    pub fn fetch_by(&mut self, deadline: Deadline) -> Result<Fetched, Error> {
        self.parting.attend();
        let have = self.head.as_ref().map(|head| Have { commit: head.commit.id, shallow: head.shallow });
        match self.fetch_from(have, deadline) {
            // What we have is not what the remote makes of it. Whatever the reason, a whole clone is not concerned.
            Err(Error::Missing { .. }) if have.is_some() => self.fetch_from(None, deadline),
            // It was there, since we hold a commit of it.
            Err(Error::NoBranch { name, has, more, hint, .. }) if have.is_some() => {
                Err(Error::NoBranch { name, existed: true, has, more, hint })
            }
            Err(Error::Empty) if have.is_some() => {
                let name = self.upstream.remote.reference().unwrap_or(greeting::HEAD).to_owned();
                Err(Error::NoBranch { name, existed: true, has: Vec::new(), more: 0, hint: None })
            }
            result => result,
        }
    }

    /// Returns the commit held.
    pub fn commit(&self) -> Option<CommitInfo> {
        self.head.as_ref().map(|head| head.commit.clone())
    }

    /// Returns the regular files and symbolic links of the current commit in the order of their paths.
    ///
    /// Submodules are left out. So is a file whose path is not UTF-8, with a warning in the log: no
    /// zone can have such a name.
    pub fn files(&self) -> Result<Vec<File>, Error> {
        let head = self.head.as_ref().ok_or(Error::NotFetched)?;
        tree::files(&Objects { held: &self.store, new: None }, head.commit.tree, &self.limits)
    }

    /// Returns the content of an object of the current commit, such as a file's.
    pub fn read(&self, id: ObjectId) -> Result<Vec<u8>, Error> {
        self.store.get(&id).ok_or(Error::NotHeld { id })?.inflate(&mut Zlib::new())
    }

    /// Begins commits on top of the one held.
    pub fn draft(&self) -> Result<Draft, Error> {
        let head = self.head.as_ref().ok_or(Error::NotFetched)?;
        Ok(Draft::new(head.commit.id, head.commit.tree, &self.limits))
    }

    fn fetch_from(&mut self, have: Option<Have>, deadline: Deadline) -> Result<Fetched, Error> {
        let session = Session::open(&self.upstream, self.protocol, self.timeouts, deadline)?;
        let tip = session.tip();
        let from = self.head.as_ref().map(|head| head.commit.id);
        let reference = session.reference().map(String::from);
        if let Some(head) = self.head.as_mut().filter(|head| head.commit.id == tip.commit) {
            head.reference = reference;
            session.close();
            return Ok(Fetched::Unchanged);
        }
        let received = session.fetch(have, &self.store, &self.limits)?;

        let objects = Objects { held: &self.store, new: Some(&received.pack.objects) };
        let reached = reach(&objects, tip.commit, &self.limits)?;
        let size = |id: &ObjectId| objects.get(id).map_or(0, |object| object.stream.len() as u64);
        reached.check_size(size, &self.limits)?;

        // From here on nothing fails.
        let (id, pack_bytes) = (reached.commit.id, received.pack.bytes);
        self.take(reached, received.pack.objects, received.shallow, reference);
        Ok(Fetched::Moved { commit: id, from, pack_bytes })
    }

    /// Holds the commit of `reached` from now on, for which `new` is needed, and nothing that it does not reach.
    fn take(&mut self, reached: Reached, new: Store, shallow: bool, reference: Option<String>) {
        self.store.absorb(new);
        self.store.retain(|id| reached.objects.contains(id));
        self.head = Some(Head { commit: reached.commit, shallow, reference });
    }
}

/// A commit and the objects that it needs, itself among them.
struct Reached {
    commit: CommitInfo,
    objects: BTreeSet<ObjectId>,
}

/// Visits all that `commit` needs and checks that it is there, sound, and within the bounds on files.
fn reach(objects: &dyn Lookup, commit: ObjectId, limits: &Limits) -> Result<Reached, Error> {
    let zlib = &mut Zlib::new();
    let commit = tree::commit(objects, commit, zlib)?;
    let mut reached = BTreeSet::from([commit.id, commit.tree]);
    tree::walk(objects, commit.tree, limits, zlib, &mut |_, _, id| {
        reached.insert(id);
    })?;
    Ok(Reached { commit, objects: reached })
}

impl Reached {
    /// Checks the bounds on what is held, `size` being the compressed bytes of an object.
    fn check_size(&self, size: impl Fn(&ObjectId) -> u64, limits: &Limits) -> Result<(), Error> {
        let bytes: u64 = self.objects.iter().map(size).sum();
        if bytes > limits.store_bytes {
            return Err(Error::limit("content of the commit", bytes, limits.store_bytes, "compressed bytes"));
        }
        if self.objects.len() as u64 > u64::from(limits.objects) {
            return Err(Error::limit("commit", self.objects.len() as u64, limits.objects.into(), "objects"));
        }
        Ok(())
    }
}
