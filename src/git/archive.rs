//! Git objects in memory, for many versions of few files: deltas are kept as deltas.
//!
//! The opposite of a [`Store`]: it is small, but no object can be dropped on its own, and reading one means following
//! its delta to the base it was made from.

use super::{
    Error, ObjectId,
    cache::Cache,
    delta::{self, DeltaError},
    store::{Object, Store},
    zlib::{self, Zlib},
};
use gix_object::Kind;
use std::collections::BTreeMap;

/// Maximum number of deltas to apply when reading an object; in longer chains one object in this many is kept whole.
///
/// This is git's own bound (`pack.depth`), so ordinary packs are kept as received.
const MAX_LINKS: u8 = 50;

/// A set of objects, some of them as deltas against others.
#[derive(Default)]
pub(super) struct Archive {
    whole: Store,
    deltas: BTreeMap<ObjectId, Delta>,
    /// Compressed bytes of the deltas.
    bytes: u64,
}

/// An object as a delta against another of its kind.
struct Delta {
    base: ObjectId,
    kind: Kind,
    /// Number of deltas down to a whole object, including this one.
    links: u8,
    /// Bytes of the instructions when inflated.
    size: u32,
    /// The zlib stream of the instructions.
    stream: Box<[u8]>,
}

impl Archive {
    /// Returns how many objects there are.
    pub(super) fn len(&self) -> usize {
        self.whole.len() + self.deltas.len()
    }

    /// Returns the compressed bytes of all objects and deltas, without the cost of the maps.
    pub(super) fn bytes(&self) -> u64 {
        self.whole.bytes() + self.bytes
    }

    /// Returns what kind of object `id` is, if it is there.
    pub(super) fn kind(&self, id: &ObjectId) -> Option<Kind> {
        let whole = self.whole.get(id).map(|object| object.kind);
        whole.or_else(|| self.deltas.get(id).map(|delta| delta.kind))
    }

    /// Adds an object that is not present yet.
    pub(super) fn insert(&mut self, id: ObjectId, object: Object) {
        self.whole.insert(id, object);
    }

    /// Returns whether an object made from `base` can be kept as a delta: `base` is present and its chain is short
    /// enough.
    pub(super) fn can_depend_on(&self, base: &ObjectId) -> bool {
        self.whole.get(base).is_some() || self.deltas.get(base).is_some_and(|delta| delta.links < MAX_LINKS)
    }

    /// Adds an object that is not present yet as a delta against `base`, on which it [can
    /// lean](Archive::can_depend_on). The instructions, `size` bytes inflated, must be known to make it.
    pub(super) fn insert_delta(&mut self, id: ObjectId, kind: Kind, base: ObjectId, size: u32, stream: Box<[u8]>) {
        let links = self.deltas.get(&base).map_or(0, |delta| delta.links) + 1;
        self.bytes += stream.len() as u64;
        self.deltas.insert(id, Delta { base, kind, links, size, stream });
    }

    /// Returns the content of an object, of no more than `most` bytes. Contents in `cache` shorten the chain.
    pub(super) fn read(&self, id: &ObjectId, most: u64, zlib: &mut Zlib, cache: &Cache) -> Result<Vec<u8>, Error> {
        // They were checked when received; only a memory fault leads here.
        let broken = |what: &str| Error::Pack { offset: 0, what: format!("a delta held in memory: {what}") };
        let mut way = Vec::new();
        let mut at = *id;
        let mut content = loop {
            if let Some(content) = cache.peek(&at) {
                break zlib::copy(content)?;
            }
            match self.deltas.get(&at) {
                Some(delta) => {
                    way.push(delta);
                    at = delta.base;
                }
                None => break self.whole.get(&at).ok_or(Error::Missing { id: at })?.inflate(zlib)?,
            }
        };
        for delta in way.into_iter().rev() {
            let mut instructions = zlib::buffer(delta.size.into())?;
            zlib.inflate(&mut &delta.stream[..], &mut instructions).map_err(|error| broken(&error.to_string()))?;
            content = delta::apply(&content, &instructions, most).map_err(|error| match error {
                DeltaError::Damaged(what) => broken(what),
                DeltaError::Other(error) => error,
            })?;
        }
        Ok(content)
    }

    /// Returns the whole objects, which are all objects if none was added as a delta.
    pub(super) fn into_whole(self) -> Store {
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_delta_chain_exceeds_the_bound() {
        let (mut archive, mut zlib, cache) = (Archive::default(), Zlib::new(), Cache::new(0));
        let text = |n: u32| format!("a text that is long enough to be copied, and a number: {n}").into_bytes();
        let id = |n: u32| crate::git::blob_id(&text(n));
        for n in 0..200u32 {
            let base = n.saturating_sub(1);
            if archive.can_depend_on(&id(base)) {
                let delta = delta::make(&text(base), &text(n));
                let stream = zlib.deflate(&delta).unwrap();
                archive.insert_delta(id(n), Kind::Blob, id(base), delta.len() as u32, stream);
            } else {
                let stream = zlib.deflate(&text(n)).unwrap();
                archive.insert(id(n), Object { kind: Kind::Blob, size: text(n).len() as u32, stream });
            }
        }
        assert_eq!((archive.len(), archive.whole.len()), (200, 4));
        assert_eq!(archive.deltas.values().map(|delta| delta.links).max(), Some(MAX_LINKS));
        for n in 0..200u32 {
            assert_eq!(archive.read(&id(n), 1000, &mut zlib, &cache).unwrap(), text(n));
            assert_eq!(archive.kind(&id(n)), Some(Kind::Blob));
        }
        assert!(matches!(archive.read(&id(199), 10, &mut zlib, &cache), Err(Error::Limit { .. })));
        assert!(matches!(archive.read(&id(200), 1000, &mut zlib, &cache), Err(Error::Missing { .. })));
        let streams = archive.deltas.values().map(|delta| delta.stream.len() as u64).sum::<u64>();
        assert_eq!(archive.bytes(), archive.whole.bytes() + streams);
    }
}
