//! Commits of another reference, fetched in addition to the one held, such as the record of what was served.

use super::{
    Deadline, Error, File, Limits, ObjectId, Repository, Upstream,
    protocol::{Have, Session},
    store::Store,
    tree::{self, Objects},
    zlib::Zlib,
};

/// The commit that another reference than the branch names, with its files.
pub struct Beside {
    /// The commit's id.
    pub id: ObjectId,
    /// The id of its root directory.
    pub tree: ObjectId,
    /// Its message.
    pub message: String,
    /// Its files.
    pub files: Vec<File>,
    /// Its objects that the commit held lacks.
    objects: Store,
}

impl Repository {
    /// Fetches the commit that `reference`, a full name, names now, as far as it differs from the one held; `None` if
    /// there is no such reference.
    ///
    /// The commit held does not change.
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

    /// Returns the content of a file; `repository` is the one that fetched this commit.
    pub fn read(&self, repository: &Repository, id: ObjectId) -> Result<Vec<u8>, Error> {
        let together = Objects { held: &repository.store, new: Some(&self.objects) };
        together.get(&id).ok_or(Error::NotHeld { id })?.inflate(&mut Zlib::new())
    }
}
