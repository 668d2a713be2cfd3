//! Reading a pack from a stream, object by object.
//!
//! The pack itself is never held: every entry is inflated, hashed and stored compressed as it arrives. An entry that is
//! whole keeps the zlib stream that it arrived in. A delta is applied at once if its base is known, which git's packs
//! guarantee in practice, and waits compressed if not. So each delta is applied exactly once however long its chain,
//! and memory holds the objects compressed, one base, one delta, one result and a bounded cache of recent results.
//! Reading the pack's index or the chains by `gix_pack::data::File` would need the pack in one piece and inflate a
//! chain once per member.
//!
//! Cycles need no special handling: their members wait for each other and are refused at the end as deltas without a
//! base.

use super::{
    Deadline, Error, Limits, ObjectId,
    archive::Archive,
    cache::Cache,
    delta::{self, DeltaError},
    store::{Object, Store},
    zlib::{self, Zlib},
};
use gix_object::Kind;
use gix_pack::data;
use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read},
};

const UNPACKING: &str = "unpacking what the remote sent";

pub(super) const HASH: gix_hash::Kind = gix_hash::Kind::Sha1;

/// The contents of a pack.
pub struct Unpacked {
    /// Its objects that were not held before.
    pub objects: Store,
    /// The size of the pack, in bytes.
    pub bytes: u64,
}

/// The contents of a pack, with deltas kept as deltas.
pub(super) struct Archived {
    pub(super) objects: Archive,
    pub(super) bytes: u64,
}

/// Reads one pack from `input`, including its checksum. Deltas may be based on objects in `held` (a thin pack).
///
/// Every byte of `input` may be hostile: the bounds of `limits` hold, work stops at `deadline`, and nothing panics. An
/// I/O error of `input` is converted by `lost`, which knows the connection.
pub fn unpack(
    input: &mut dyn BufRead,
    held: &Store,
    limits: &Limits,
    deadline: Deadline,
    lost: &dyn Fn(io::Error) -> Error,
) -> Result<Unpacked, Error> {
    let Archived { objects, bytes } = read(input, Some(held), limits, deadline, lost)?;
    Ok(Unpacked { objects: objects.into_whole(), bytes })
}

/// Reads a self-contained pack like [`unpack`], and keeps its deltas as deltas.
pub(super) fn archive(
    input: &mut dyn BufRead,
    limits: &Limits,
    deadline: Deadline,
    lost: &dyn Fn(io::Error) -> Error,
) -> Result<Archived, Error> {
    read(input, None, limits, deadline, lost)
}

/// Reads a pack. If it may be based on objects in `held`, every object is made whole.
fn read(
    input: &mut dyn BufRead,
    held: Option<&Store>,
    limits: &Limits,
    deadline: Deadline,
    lost: &dyn Fn(io::Error) -> Error,
) -> Result<Archived, Error> {
    let mut source = Source {
        inner: input,
        hasher: gix_hash::hasher(HASH),
        offset: 0,
        bound: limits.pack_bytes,
        kept: Kept::default(),
    };
    let mut unpacker = Unpacker {
        held,
        limits,
        deadline,
        new: Archive::default(),
        entries: Vec::new(),
        waiting: BTreeMap::new(),
        cache: Cache::new(limits.cache_bytes),
        zlib: Zlib::new(),
    };
    let fail = |source: &Source<'_>, error: io::Error| match error.kind() {
        io::ErrorKind::InvalidData => Error::Pack { offset: source.offset, what: error.to_string() },
        io::ErrorKind::FileTooLarge => {
            Error::Limit { what: "pack", found: None, bound: limits.pack_bytes, unit: "bytes" }
        }
        _ => lost(error),
    };

    let mut header = [0; data::header::SIZE];
    source.read_exact(&mut header).map_err(|error| fail(&source, error))?;
    let (_, count) =
        data::header::decode(&header).map_err(|error| Error::Pack { offset: 0, what: error.to_string() })?;
    if count > limits.objects {
        return Err(Error::limit("pack", count.into(), limits.objects.into(), "objects"));
    }
    for _ in 0..count {
        Error::unless_over(deadline, UNPACKING)?;
        let offset = source.offset;
        // Checked here because gix does not distinguish an unknown type from an I/O error.
        let first = source.fill_buf().map(|chunk| chunk.first().copied());
        let first = first.map_err(|error| fail(&source, error))?;
        if let Some(kind @ (0 | 5)) = first.map(|byte| byte >> 4 & 7) {
            return Err(damaged(offset, &format!("an entry of unknown type {kind}")));
        }
        let entry = data::Entry::from_read(&mut source, offset, HASH.len_in_bytes());
        let entry = entry.map_err(|error| fail(&source, error))?;
        let size = entry.decompressed_size;
        if size > limits.object_bytes.min(u64::from(u32::MAX)) {
            return Err(Error::limit("object", size, limits.object_bytes, "bytes"));
        }
        let mut content = zlib::buffer(size)?;
        source.kept.start(content.len());
        unpacker.zlib.inflate(&mut source, &mut content).map_err(|error| fail(&source, error))?;
        let stream = match source.kept.take() {
            Some(stream) => stream,
            None => unpacker.zlib.deflate(&content)?,
        };
        unpacker.entry(offset, entry.header, Compressed { size: size as u32, stream }, content)?;
    }
    source.finish().map_err(|error| fail(&source, error))?;
    match unpacker.waiting.first_key_value() {
        None => Ok(Archived { objects: unpacker.new, bytes: source.offset + HASH.len_in_bytes() as u64 }),
        Some((Base::Id(id), _)) => Err(Error::Missing { id: *id }),
        Some((Base::Offset(offset), _)) => {
            Err(Error::Pack { offset: *offset, what: "deltas that depend on each other".into() })
        }
    }
}

/// The incoming pack: counted, bounded, hashed, and recorded if requested.
struct Source<'a> {
    inner: &'a mut dyn BufRead,
    hasher: gix_hash::Hasher,
    offset: u64,
    bound: u64,
    kept: Kept,
}

/// The bytes of the current entry's zlib stream, unless it is larger than a reasonable compressor produces.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    room: usize,
}

impl Kept {
    /// Begins an entry of `size` bytes inflated.
    fn start(&mut self, size: usize) {
        self.bytes.clear();
        self.room = size + size / 64 + 64;
    }

    fn extend(&mut self, bytes: &[u8]) {
        if bytes.len() <= self.room && self.bytes.try_reserve(bytes.len()).is_ok() {
            self.room -= bytes.len();
            self.bytes.extend_from_slice(bytes);
        } else {
            self.room = 0;
            self.bytes = Vec::new();
        }
    }

    /// Ends the entry; returns `None` if the stream was not kept and must be compressed again.
    fn take(&mut self) -> Option<Box<[u8]>> {
        if self.room == 0 {
            return None;
        }
        let mut exact = Vec::new();
        exact.try_reserve_exact(self.bytes.len()).ok()?;
        exact.extend_from_slice(&self.bytes);
        Some(exact.into_boxed_slice())
    }
}

impl Source<'_> {
    /// Verifies the checksum at the end of the pack.
    fn finish(&mut self) -> io::Result<()> {
        let hasher = std::mem::replace(&mut self.hasher, gix_hash::hasher(HASH));
        let mut trailer = [0; 20];
        self.inner.read_exact(&mut trailer)?;
        match hasher.try_finalize() {
            Ok(sum) if sum.as_slice() == trailer => Ok(()),
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "wrong checksum")),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
        }
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.offset >= self.bound {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let left = usize::try_from(self.bound - self.offset).unwrap_or(usize::MAX);
        let chunk = self.inner.fill_buf()?;
        Ok(&chunk[..chunk.len().min(left)])
    }

    fn consume(&mut self, amount: usize) {
        if amount == 0 {
            return;
        }
        // The bytes that `fill_buf` has just shown are still there, so this reads nothing and cannot fail.
        if let Ok(chunk) = self.inner.fill_buf() {
            let used = &chunk[..amount.min(chunk.len())];
            self.hasher.update(used);
            self.kept.extend(used);
        }
        self.inner.consume(amount);
        self.offset += amount as u64;
    }
}

impl Read for Source<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let chunk = self.fill_buf()?;
        let amount = chunk.len().min(out.len());
        out[..amount].copy_from_slice(&chunk[..amount]);
        self.consume(amount);
        Ok(amount)
    }
}

/// The base of a delta.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Base {
    /// The object with this id, in the pack or held. First in order: a delta that waits for an entry waits for an id in
    /// the end, and the id is reported.
    Id(ObjectId),
    /// The entry at this byte of the pack.
    Offset(u64),
}

/// A zlib stream and the size of its content.
struct Compressed {
    size: u32,
    stream: Box<[u8]>,
}

/// A delta whose base has not been seen.
struct Waiting {
    offset: u64,
    delta: Compressed,
}

struct Unpacker<'a> {
    held: Option<&'a Store>,
    limits: &'a Limits,
    deadline: Deadline,
    new: Archive,
    /// The offsets of entries, ascending, and the ids of their objects.
    entries: Vec<(u64, Option<ObjectId>)>,
    waiting: BTreeMap<Base, Vec<Waiting>>,
    cache: Cache,
    zlib: Zlib,
}

impl Unpacker<'_> {
    fn entry(
        &mut self,
        offset: u64,
        header: data::entry::Header,
        compressed: Compressed,
        content: Vec<u8>,
    ) -> Result<(), Error> {
        use data::entry::Header;
        self.entries.push((offset, None));
        let base = match header {
            Header::Commit => return self.whole(offset, Kind::Commit, compressed, &content),
            Header::Tree => return self.whole(offset, Kind::Tree, compressed, &content),
            Header::Blob => return self.whole(offset, Kind::Blob, compressed, &content),
            Header::Tag => return self.whole(offset, Kind::Tag, compressed, &content),
            Header::RefDelta { base_id } => Base::Id(base_id),
            Header::OfsDelta { base_distance } => {
                let at = offset.checked_sub(base_distance).filter(|at| *at < offset && self.index_of(*at).is_some());
                Base::Offset(at.ok_or_else(|| damaged(offset, "delta whose base is not an entry of the pack"))?)
            }
        };
        match self.known(base) {
            Some(id) => {
                let made = self.resolve(offset, id, compressed, &content)?;
                self.settle(offset, made)
            }
            None => {
                self.waiting.entry(base).or_default().push(Waiting { offset, delta: compressed });
                Ok(())
            }
        }
    }

    /// Stores an entry that is not a delta.
    fn whole(&mut self, offset: u64, kind: Kind, compressed: Compressed, content: &[u8]) -> Result<(), Error> {
        let id = self.hash(offset, kind, content)?;
        if self.kind(&id).is_none() {
            self.new.insert(id, Object { kind, size: compressed.size, stream: compressed.stream });
            self.check_size()?;
        }
        self.settle(offset, id)
    }

    /// Applies a delta and stores the result.
    fn resolve(
        &mut self,
        offset: u64,
        base: ObjectId,
        compressed: Compressed,
        delta: &[u8],
    ) -> Result<ObjectId, Error> {
        let kind = self.kind(&base).ok_or(Error::Missing { id: base })?;
        let most = self.limits.object_bytes.min(u64::from(u32::MAX));
        if !self.cache.holds(&base) {
            let content = match self.held.and_then(|held| held.get(&base)) {
                Some(object) => object.inflate(&mut self.zlib)?,
                None => self.new.read(&base, most, &mut self.zlib, &self.cache)?,
            };
            self.cache.put(base, content);
        }
        let content = self.cache.get(&base).ok_or(Error::Missing { id: base })?;
        let result = delta::apply(content, delta, most).map_err(|error| match error {
            DeltaError::Damaged(what) => damaged(offset, what),
            DeltaError::Other(error) => error,
        })?;
        let id = self.hash(offset, kind, &result)?;
        if self.kind(&id).is_none() {
            if self.held.is_none() && self.new.can_depend_on(&base) {
                self.new.insert_delta(id, kind, base, compressed.size, compressed.stream);
            } else {
                let stream = self.zlib.deflate(&result)?;
                self.new.insert(id, Object { kind, size: result.len() as u32, stream });
            }
            self.check_size()?;
        }
        self.cache.put(id, result);
        Ok(id)
    }

    /// Records the object of the entry at `offset`, and resolves the deltas that waited for it.
    fn settle(&mut self, offset: u64, id: ObjectId) -> Result<(), Error> {
        let mut settled = vec![(offset, id)];
        while let Some((offset, id)) = settled.pop() {
            if let Some(index) = self.index_of(offset) {
                self.entries[index].1 = Some(id);
            }
            for base in [Base::Offset(offset), Base::Id(id)] {
                for Waiting { offset, delta } in self.waiting.remove(&base).unwrap_or_default() {
                    Error::unless_over(self.deadline, UNPACKING)?;
                    let mut content = zlib::buffer(delta.size.into())?;
                    self.zlib
                        .inflate(&mut &delta.stream[..], &mut content)
                        .map_err(|error| damaged(offset, &error.to_string()))?;
                    settled.push((offset, self.resolve(offset, id, delta, &content)?));
                }
            }
        }
        Ok(())
    }

    fn check_size(&self) -> Result<(), Error> {
        if self.new.bytes() > self.limits.store_bytes {
            return Err(Error::Limit {
                what: "content of the pack",
                found: None,
                bound: self.limits.store_bytes,
                unit: "compressed bytes",
            });
        }
        Ok(())
    }

    fn hash(&self, offset: u64, kind: Kind, content: &[u8]) -> Result<ObjectId, Error> {
        gix_object::compute_hash(HASH, kind, content).map_err(|error| damaged(offset, &error.to_string()))
    }

    /// Returns the kind of the object `id`, if it is known yet.
    fn kind(&self, id: &ObjectId) -> Option<Kind> {
        self.new.kind(id).or_else(|| Some(self.held?.get(id)?.kind))
    }

    /// Returns the id of a base, if it is known yet.
    fn known(&self, base: Base) -> Option<ObjectId> {
        match base {
            Base::Id(id) => self.kind(&id).map(|_| id),
            Base::Offset(offset) => self.entries[self.index_of(offset)?].1,
        }
    }

    fn index_of(&self, offset: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&offset, |entry| entry.0).ok()
    }
}

fn damaged(offset: u64, what: &str) -> Error {
    Error::Pack { offset, what: what.into() }
}
