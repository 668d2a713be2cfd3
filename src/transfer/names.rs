//! Name compression in messages of any size, at a few steps per label (RFC 1035 §4.1.4).
//!
//! A table stores each written label by its offset and the offset of the name after it. A name is looked up from the
//! root down, one label at a time. Labels match only in the same letter case, because a transfer preserves it (RFC 5936
//! §3.4). Pointers reach only the first 16 KiB of a message, so the table does not grow beyond that.

use crate::dns::name::LabelOffsets;

/// The largest offset a compression pointer reaches.
const MAX_POINTER: usize = 0x3fff;

/// The capacity of the table in labels; a message full of host names has about 1500 below [`MAX_POINTER`].
const SLOTS: usize = 4096;

/// The maximum number of slots that are probed for a label, which bounds the cost of deliberate collisions.
const PROBES: usize = 8;

/// A label in a message.
#[derive(Clone, Copy)]
struct Slot {
    /// The offset of the name after the label; 0 is the root.
    parent: u16,
    /// The offset of the label; 0 is an empty slot.
    at: u16,
}

/// The names in a message that pointers can refer to.
pub(super) struct Names {
    slots: Box<[Slot; SLOTS]>,
}

/// The location of a written name.
pub(super) struct Written {
    /// The offset after the name.
    pub(super) end: usize,
    /// The offset for pointers to the whole name; `None` if it is out of reach or a pointer would not save space.
    pub(super) at: Option<u16>,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { slots: Box::new([Slot { parent: 0, at: 0 }; SLOTS]) }
    }

    /// Clears the table for the next message.
    pub(super) fn clear(&mut self) {
        self.slots.fill(Slot { parent: 0, at: 0 });
    }

    /// Writes a name into a message at an offset; returns `None` if there is no room, after which message and table
    /// must be discarded.
    #[inline]
    pub(super) fn write(&mut self, message: &mut [u8], at: usize, name: &[u8]) -> Option<Written> {
        let offsets = LabelOffsets::of(name);
        let mut starts = offsets.as_slice();
        let mut end = name.len().saturating_sub(1);
        let mut parent = 0;
        while let Some((&start, before)) = starts.split_last() {
            let label = &name[usize::from(start)..end];
            let Some(found) = self.find(message, parent, label) else { break };
            (parent, end, starts) = (found, usize::from(start), before);
        }
        // The first `end` octets are new; a pointer or the root follows.
        message.get_mut(at..at + end)?.copy_from_slice(&name[..end]);
        let after = at + end;
        let after = if parent == 0 {
            *message.get_mut(after)? = 0;
            after + 1
        } else {
            message.get_mut(after..after + 2)?.copy_from_slice(&(0xc000 | parent).to_be_bytes());
            after + 2
        };
        for &start in starts.iter().rev() {
            let start = usize::from(start);
            if at + start > MAX_POINTER {
                // Labels further left may be within reach, but the table cannot store them without the ones after them.
                return Some(Written { end: after, at: u16::try_from(at).ok().filter(|_| at <= MAX_POINTER) });
            }
            let here = (at + start) as u16;
            self.insert(parent, &name[start..end], here);
            (parent, end) = (here, start);
        }
        Some(Written { end: after, at: (parent > 0).then_some(parent) })
    }

    /// Returns the offset of a label, given with its length octet, that is followed by the name at `parent`.
    #[inline]
    fn find(&self, message: &[u8], parent: u16, label: &[u8]) -> Option<u16> {
        let hash = hash(parent, label);
        for probe in 0..PROBES {
            let slot = self.slots[(hash + probe) % SLOTS];
            if slot.at == 0 {
                return None;
            }
            let at = usize::from(slot.at);
            if slot.parent == parent && message.get(at..at + label.len()) == Some(label) {
                return Some(slot.at);
            }
        }
        None
    }

    fn insert(&mut self, parent: u16, label: &[u8], at: u16) {
        let hash = hash(parent, label);
        for probe in 0..PROBES {
            let slot = &mut self.slots[(hash + probe) % SLOTS];
            if slot.at == 0 {
                *slot = Slot { parent, at };
                return;
            }
        }
    }
}

/// Hashes a label and the offset of the name after it to a slot index.
#[inline]
fn hash(parent: u16, label: &[u8]) -> usize {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = u64::from(parent);
    let (chunks, rest) = label.as_chunks::<8>();
    for chunk in chunks {
        hash = (hash ^ u64::from_le_bytes(*chunk)).wrapping_mul(FACTOR);
        hash ^= hash >> 32;
    }
    let rest = rest.iter().fold(0, |rest, &octet| rest << 8 | u64::from(octet));
    hash = (hash ^ rest).wrapping_mul(FACTOR);
    (hash >> 52) as usize
}
