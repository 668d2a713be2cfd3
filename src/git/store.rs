//! Git objects in memory, compressed one by one.
//!
//! An object is kept as the zlib stream that git would send for it whole. That needs more memory than a pack with
//! deltas, but an object can be dropped, read or sent on its own: collecting garbage is a `retain`, and a push copies
//! streams. The map is a B-tree because its nodes are dense; per object it takes about 85 bytes in addition to the
//! stream.

use super::{
    Error, ObjectId,
    zlib::{self, Zlib},
};
use gix_object::Kind;
use std::collections::BTreeMap;

/// A set of objects.
#[derive(Default)]
pub struct Store {
    objects: BTreeMap<ObjectId, Object>,
    bytes: u64,
}

/// An object as held.
#[derive(Clone)]
pub(super) struct Object {
    pub(super) kind: Kind,
    /// Size when inflated, in bytes.
    pub(super) size: u32,
    /// The zlib stream.
    pub(super) stream: Box<[u8]>,
}

impl Store {
    /// Returns how many objects are held.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Returns whether no object is held.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Returns the compressed bytes of all objects, without the cost of the map.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn get(&self, id: &ObjectId) -> Option<&Object> {
        self.objects.get(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ObjectId, &Object)> {
        self.objects.iter()
    }

    /// Adds an object under its id, unless it is present.
    pub(super) fn insert(&mut self, id: ObjectId, object: Object) {
        let size = object.stream.len() as u64;
        if let std::collections::btree_map::Entry::Vacant(vacant) = self.objects.entry(id) {
            vacant.insert(object);
            self.bytes += size;
        }
    }

    /// Moves all objects of `other` into this store.
    pub(super) fn absorb(&mut self, other: Store) {
        for (id, object) in other.objects {
            self.insert(id, object);
        }
    }

    /// Drops the objects for which `keep` returns false.
    pub(super) fn retain(&mut self, keep: impl Fn(&ObjectId) -> bool) {
        self.objects.retain(|id, _| keep(id));
        self.bytes = self.objects.values().map(|object| object.stream.len() as u64).sum();
    }
}

impl Object {
    /// Inflates the object.
    pub(super) fn inflate(&self, zlib: &mut Zlib) -> Result<Vec<u8>, Error> {
        let mut out = zlib::buffer(u64::from(self.size))?;
        match zlib.inflate(&mut &self.stream[..], &mut out) {
            Ok(()) => Ok(out),
            // It was checked when it was received; only a memory fault leads here.
            Err(error) => Err(Error::Pack { offset: 0, what: format!("an object held in memory: {error}") }),
        }
    }
}

/// Returns the id of a file's content; the null id, which no file has, for content crafted to collide with another.
pub fn blob_id(content: &[u8]) -> ObjectId {
    const SHA1: gix_hash::Kind = gix_hash::Kind::Sha1;
    gix_object::compute_hash(SHA1, gix_object::Kind::Blob, content).unwrap_or(ObjectId::null(SHA1))
}
