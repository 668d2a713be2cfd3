//! One commit of a remote branch, held in memory, and fetches that follow the branch.

use super::{
    CommitInfo, Deadline, Error, File, Limits, ObjectId, Protocol, Remote, Timeouts, Upstream,
    draining::Draining,
    greeting,
    protocol::{Have, Session},
    store::Store,
    tree::{self, Objects, Reached, reach},
    zlib::Zlib,
};

/// A commit of a remote branch, held in memory.
pub struct Repository {
    pub(super) upstream: Upstream,
    pub(super) limits: Limits,
    pub(super) timeouts: Timeouts,
    pub(super) protocol: Protocol,
    pub(super) store: Store,
    pub(super) head: Option<Head>,
    pub(super) draining: Draining,
}

/// The commit held.
pub(super) struct Head {
    pub(super) commit: CommitInfo,
    /// Whether the remote omitted its history.
    pub(super) shallow: bool,
    /// The full name of its reference, if known: the target of pushes.
    pub(super) reference: Option<String>,
}

/// The result of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The branch has not moved.
    Unchanged,
    /// The branch has moved to another commit, which is now held.
    Moved {
        /// The new commit.
        commit: ObjectId,
        /// The commit held before; `None` for the first.
        from: Option<ObjectId>,
        /// The size of the pack that was transferred.
        pack_bytes: u64,
    },
}

impl Repository {
    /// Creates a repository that holds nothing yet. Nothing is sent before the first [`fetch`](Repository::fetch).
    pub fn new(upstream: impl Into<Upstream>, limits: Limits) -> Self {
        Repository {
            upstream: upstream.into(),
            limits,
            timeouts: Timeouts::default(),
            protocol: Protocol::default(),
            store: Store::default(),
            head: None,
            draining: Draining::default(),
        }
    }

    /// Sets how long to wait for the remote.
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets the protocol version to ask for; for remotes that mishandle the default, and for tests.
    pub fn with_protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Returns the address of the repository.
    pub fn remote(&self) -> &Remote {
        &self.upstream.remote
    }

    /// Returns the remote and how to reach it.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Returns the full name of the branch followed, once it is known; `None` if the reference is not a branch, such as
    /// a tag.
    pub fn branch(&self) -> Option<&str> {
        let reference = self.head.as_ref()?.reference.as_deref();
        reference.filter(|name| name.starts_with("refs/heads/"))
    }

    /// Returns the objects held.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Looks up the branch at the remote and fetches new objects.
    ///
    /// Blocks as long as [`Timeouts`] allows. On an error the commit held before stays complete.
    pub fn fetch(&mut self) -> Result<Fetched, Error> {
        self.fetch_by(Deadline::from_now(self.timeouts.total))
    }

    /// Fetches like [`fetch`](Repository::fetch), until `deadline` at the latest.
    pub fn fetch_by(&mut self, deadline: Deadline) -> Result<Fetched, Error> {
        self.draining.attend();
        let have = self.head.as_ref().map(|head| Have { commit: head.commit.id, shallow: head.shallow });
        match self.fetch_from(have, deadline) {
            // The remote's pack does not match the objects held. Whatever the reason, a full clone is not affected.
            Err(Error::Missing { .. }) if have.is_some() => self.fetch_from(None, deadline),
            // The branch existed, since a commit of it is held.
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

        // Nothing fails from here on.
        let (id, pack_bytes) = (reached.commit.id, received.pack.bytes);
        self.take(reached, received.pack.objects, received.shallow, reference);
        Ok(Fetched::Moved { commit: id, from, pack_bytes })
    }

    /// Makes the commit of `reached` the one held, adds its objects in `new`, and drops all that it does not reach.
    pub(super) fn take(&mut self, reached: Reached, new: Store, shallow: bool, reference: Option<String>) {
        self.store.absorb(new);
        self.store.retain(|id| reached.objects.contains(id));
        self.head = Some(Head { commit: reached.commit, shallow, reference });
    }
}
