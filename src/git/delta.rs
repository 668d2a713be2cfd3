//! Git's delta instructions: copy from a base, insert new bytes. They are applied and produced here.

use super::{Error, zlib};

/// Why a delta cannot be applied.
#[derive(Debug)]
pub(super) enum DeltaError {
    /// The instructions are invalid for this base.
    Damaged(&'static str),
    /// The size exceeds the bound, or memory ran out.
    Other(Error),
}

/// Applies `delta` to `base` and returns the result; refuses a result of more than `most` bytes in advance.
pub(super) fn apply(base: &[u8], delta: &[u8], most: u64) -> Result<Vec<u8>, DeltaError> {
    use DeltaError::{Damaged, Other};
    let mut rest = delta;
    if size(&mut rest)? != base.len() as u64 {
        return Err(Damaged("delta for a base of another size"));
    }
    let result_size = size(&mut rest)?;
    if result_size > most {
        return Err(Other(Error::limit("object", result_size, most, "bytes")));
    }
    let mut result = zlib::buffer(result_size).map_err(Other)?;
    let mut room = &mut result[..];
    while let Some((&command, after)) = rest.split_first() {
        rest = after;
        let piece = if command & 0x80 != 0 {
            let offset = operand(command, 4, &mut rest)?;
            let length = match operand(command >> 4, 3, &mut rest)? {
                0 => 0x10000,
                length => length,
            };
            offset
                .checked_add(length)
                .and_then(|end| base.get(offset..end))
                .ok_or(Damaged("delta copies from outside its base"))?
        } else if command != 0 {
            let (piece, after) =
                rest.split_at_checked(usize::from(command)).ok_or(Damaged("delta ends within an insertion"))?;
            rest = after;
            piece
        } else {
            return Err(Damaged("delta with a reserved instruction"));
        };
        let (target, after) =
            room.split_at_mut_checked(piece.len()).ok_or(Damaged("delta makes more bytes than declared"))?;
        target.copy_from_slice(piece);
        room = after;
    }
    if !room.is_empty() {
        return Err(Damaged("delta makes fewer bytes than declared"));
    }
    Ok(result)
}

/// Returns a delta that turns `base` into `target`.
///
/// A common start and end are copied. Between them, blocks of the base are searched for at every position of the target
/// by a rolling hash, in time proportional to both and with at most 512 kB of additional memory. That finds changed
/// lines exactly and moved ones well enough; git's own packs are denser by searching among many bases, whereas here one
/// is known.
pub(super) fn make(base: &[u8], target: &[u8]) -> Vec<u8> {
    let mut delta = Writer(Vec::new());
    delta.size(base.len());
    delta.size(target.len());
    let head = common_start(base, target);
    let tail = common_end(&base[head..], &target[head..]);
    let middle = &target[head..target.len() - tail];
    delta.copy(0, head);
    match Index::new(base, head..base.len() - tail) {
        Some(index) if middle.len() >= index.block => blocks(base, middle, &index, &mut delta),
        _ => delta.insert(middle),
    }
    delta.copy(base.len() - tail, tail);
    delta.0
}

/// Writes `target` as copies of indexed blocks of `base`, extended as far as possible, and insertions of the rest.
fn blocks(base: &[u8], target: &[u8], index: &Index, delta: &mut Writer) {
    let block = index.block;
    let mut written = 0;
    let mut at = 0;
    let mut hash = hash(&target[..block]);
    while at + block <= target.len() {
        match index.find(hash).filter(|from| base[*from..*from + block] == target[at..at + block]) {
            Some(from) => {
                let before = common_end(&base[..from], &target[written..at]);
                let length = common_start(&base[from..], &target[at..]);
                delta.insert(&target[written..at - before]);
                delta.copy(from - before, before + length);
                at += length;
                written = at;
                hash = target.get(at..at + block).map_or(0, self::hash);
            }
            None => {
                if let Some(next) = target.get(at + block) {
                    hash = index.roll(hash, target[at], *next);
                }
                at += 1;
            }
        }
    }
    delta.insert(&target[written..]);
}

/// The positions of blocks of a base, by hash.
struct Index {
    /// The length of a block.
    block: usize,
    /// Offsets in the base, [`Index::NONE`] in free slots.
    slots: Vec<u32>,
    /// The weight in the hash of the byte that leaves a block.
    weight: u64,
}

impl Index {
    const NONE: u32 = u32::MAX;

    /// Indexes a part of `base`; `None` if it is shorter than a block, or there is no memory for it.
    fn new(base: &[u8], part: std::ops::Range<usize>) -> Option<Self> {
        const BLOCK_LEAST: usize = 32;
        const MAX_BLOCKS: usize = 1 << 16;
        let block = part.len().div_ceil(MAX_BLOCKS).max(BLOCK_LEAST);
        let count = part.len() / block;
        if count == 0 || u32::try_from(base.len()).is_err() {
            return None;
        }
        let size = (2 * count).next_power_of_two();
        let mut slots = Vec::new();
        slots.try_reserve_exact(size).ok()?;
        slots.resize(size, Index::NONE);
        let weight = (0..block).fold(1u64, |weight, _| weight.wrapping_mul(FACTOR));
        let mut index = Index { block, slots, weight };
        for at in part.step_by(block).take(count) {
            let slot = index.slot(hash(&base[at..at + block]));
            if index.slots[slot] == Index::NONE {
                index.slots[slot] = at as u32;
            }
        }
        Some(index)
    }

    /// Returns the position of a block that may have this hash.
    fn find(&self, hash: u64) -> Option<usize> {
        let at = self.slots[self.slot(hash)];
        (at != Index::NONE).then_some(at as usize)
    }

    /// Returns the hash of a block moved on by a byte.
    fn roll(&self, hash: u64, leaves: u8, enters: u8) -> u64 {
        let hash = hash.wrapping_mul(FACTOR).wrapping_add(u64::from(enters));
        hash.wrapping_sub(self.weight.wrapping_mul(u64::from(leaves)))
    }

    fn slot(&self, hash: u64) -> usize {
        // The high bits of a product depend on all bits of its factors.
        let mixed = (hash ^ hash >> 32).wrapping_mul(FACTOR);
        (mixed >> 32) as usize & (self.slots.len() - 1)
    }
}

/// An odd number with well-distributed bits.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

fn hash(block: &[u8]) -> u64 {
    block.iter().fold(0, |hash: u64, byte| hash.wrapping_mul(FACTOR).wrapping_add(u64::from(*byte)))
}

/// Returns the length of the common prefix of `a` and `b`.
fn common_start(a: &[u8], b: &[u8]) -> usize {
    const STEP: usize = 64;
    let chunks = a.chunks_exact(STEP).zip(b.chunks_exact(STEP));
    let equal = STEP * chunks.take_while(|(a, b)| a == b).count();
    equal + a[equal..].iter().zip(&b[equal..]).take_while(|(a, b)| a == b).count()
}

/// Returns the length of the common suffix of `a` and `b`.
fn common_end(a: &[u8], b: &[u8]) -> usize {
    const STEP: usize = 64;
    let chunks = a.rchunks_exact(STEP).zip(b.rchunks_exact(STEP));
    let equal = STEP * chunks.take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[..a.len() - equal], &b[..b.len() - equal]);
    equal + a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}

/// A delta under construction.
struct Writer(Vec<u8>);

impl Writer {
    fn size(&mut self, size: usize) {
        let mut rest = size;
        while rest >= 0x80 {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }

    /// Copies from the base, in pieces that every version of git supports.
    fn copy(&mut self, from: usize, length: usize) {
        const MAX: usize = 0x10000;
        let (mut from, mut left) = (from, length);
        while left > 0 {
            let length = left.min(MAX);
            let start = self.0.len();
            self.0.push(0x80);
            self.operand(start, 0, &(from as u32).to_le_bytes());
            // An operand without bytes means the maximum.
            self.operand(start, 4, &(length as u16).to_le_bytes());
            from += length;
            left -= length;
        }
    }

    fn insert(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(0x7f) {
            self.0.push(piece.len() as u8);
            self.0.extend_from_slice(piece);
        }
    }

    /// Writes those bytes of an operand that are not zero, and marks them in the instruction from bit `first` on.
    fn operand(&mut self, instruction: usize, first: usize, bytes: &[u8]) {
        for (at, byte) in bytes.iter().enumerate().filter(|(_, byte)| **byte != 0) {
            self.0[instruction] |= 1 << (first + at);
            self.0.push(*byte);
        }
    }
}

/// Reads a size: seven bits per byte, least first.
fn size(rest: &mut &[u8]) -> Result<u64, DeltaError> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let (&byte, after) = rest.split_first().ok_or(DeltaError::Damaged("delta ends within a size"))?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(DeltaError::Damaged("delta with a size beyond 63 bits"))
}

/// Reads those bytes of an operand whose bits are set in `present`, least first.
fn operand(present: u8, bytes: u32, rest: &mut &[u8]) -> Result<usize, DeltaError> {
    let mut value = 0usize;
    for at in 0..bytes {
        if present & (1 << at) != 0 {
            let (&byte, after) = rest.split_first().ok_or(DeltaError::Damaged("delta ends within a copy"))?;
            *rest = after;
            value |= usize::from(byte) << (8 * at);
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_and_inserts() {
        assert_eq!(apply(b"0123456789", b"\x0a\x08\x91\x02\x03\x02ab\x91\x07\x03", 99).unwrap(), b"234ab789");
        assert_eq!(apply(b"", b"\x00\x00", 0).unwrap(), b"");
        let base = vec![7; 0x10000];
        assert_eq!(apply(&base, b"\x80\x80\x04\x80\x80\x04\x80", 0x10000).unwrap(), base);
    }

    #[test]
    fn refuses_lies() {
        for (delta, word) in [
            (&b""[..], "ends within a size"),
            (b"\x03\x01\x01a", "base of another size"),
            (b"\x02\x03\x02ab", "fewer bytes"),
            (b"\x02\x01\x02ab", "more bytes"),
            (b"\x02\x05\x91\x01\x05", "outside its base"),
            (b"\x02\x05\x00", "reserved"),
            (b"\x02\x05\x05ab", "within an insertion"),
            (b"\x02\x05\x91\x00", "within a copy"),
            (b"\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "63 bits"),
        ] {
            let error = format!("{:?}", apply(b"xy", delta, 100).unwrap_err());
            assert!(error.contains(word), "{delta:?}: {error}");
        }
        assert!(matches!(apply(b"xy", b"\x02\xff\x01\x02ab", 100), Err(DeltaError::Other(Error::Limit { .. }))));
    }

    #[test]
    fn deltas_made_can_be_applied() {
        let zone = |serial: u32, skip: u32| -> Vec<u8> {
            let mut text = format!("$TTL 3600\n@ IN SOA ns1 hostmaster {serial} 7200 900 1209600 300\n");
            for host in (0..40_000u32).filter(|host| *host != skip) {
                text += &format!("host{host} IN A 10.0.{}.{}\n", host.wrapping_mul(2_654_435_761) >> 24, host % 256);
            }
            text.into_bytes()
        };
        let old = zone(1, 99_999);
        let mut random = 7u64;
        let mut noise = |length: usize| -> Vec<u8> {
            let mut next = || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 56) as u8
            };
            (0..length).map(|_| next()).collect()
        };
        let (one, two) = (noise(70_000), noise(3000));
        let moved = [&old[500_000..], b"something new", &old[..500_000]].concat();
        for (name, base, target, most) in [
            ("nothing", vec![], vec![], 10),
            ("same", old.clone(), old.clone(), 200),
            ("removed", old.clone(), zone(2, 20_000), 300),
            ("added", zone(1, 20_000), zone(1_000_000, 99_999), 300),
            ("to nothing", old.clone(), vec![], 10),
            ("from nothing", vec![], two.clone(), 3100),
            ("appended", old.clone(), [&old[..], &two].concat(), 3300),
            ("moved", old.clone(), moved, 1000),
            ("unlike", two.clone(), one.clone(), 70_800),
            ("inside", two.clone(), [&one[..500], &two[100..], &one[600..700], &two[..50]].concat(), 800),
            ("one byte", vec![7; 0x10000], [vec![8], vec![7; 0xffff]].concat(), 30),
            ("short", b"a".to_vec(), b"ab".to_vec(), 8),
        ] {
            let delta = make(&base, &target);
            assert_eq!(apply(&base, &delta, 1 << 30).unwrap(), target, "{name}");
            assert!(delta.len() <= most, "{name}: {} bytes", delta.len());
        }
        for _ in 0..200 {
            let mut target = old[..5000].to_vec();
            for edit in noise(6).chunks(2) {
                let at = usize::from(edit[0]) * 15;
                let new = noise(usize::from(edit[1]) / 4);
                target.splice(at..at + usize::from(edit[1] % 9), new);
            }
            assert_eq!(apply(&old[..4900], &make(&old[..4900], &target), 1 << 20).unwrap(), target);
        }
    }
}
