//! Names compressed within a message of any size (RFC 1035 §4.1.4), at a few steps per label.
//!
//! A table remembers each label written by where it stands and where the name behind it stands; so a name is looked up
//! from the root down, one label at a time, and what is found is the same to the letter: a transfer preserves letter case
//! (RFC 5936 §3.4). Only the first 16 KiB of a message can be pointed to, so the table fills up no further.

use crate::dns::name::LabelOffsets;

/// The largest offset a compression pointer reaches.
const MAX_POINTER: usize = 0x3fff;

/// How many labels there is room for; a message full of host names has some 1500 below [`MAX_POINTER`].
const SLOTS: usize = 4096;

/// How many slots are looked at for a label, which bounds the cost of labels made to collide.
const PROBES: usize = 8;

/// A label written in a message.
#[derive(Clone, Copy)]
struct Slot {
    /// Where the name behind the label stands; 0 is the root.
    parent: u16,
    /// Where the label stands; 0 is an empty slot.
    at: u16,
}

/// The names written in a message, to be pointed to.
pub(super) struct Names {
    slots: Box<[Slot; SLOTS]>,
}

/// Where a name was written.
pub(super) struct Written {
    /// The offset behind it.
    pub(super) end: usize,
    /// The offset to point to for the whole name; `None` if no pointer reaches it or none is worth it.
    pub(super) at: Option<u16>,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { slots: Box::new([Slot { parent: 0, at: 0 }; SLOTS]) }
    }

    /// Forgets everything, for the next message.
    pub(super) fn clear(&mut self) {
        self.slots.fill(Slot { parent: 0, at: 0 });
    }

    /// Writes a name into a message at an offset; `None` if there is no room, after which the message and what is
    /// remembered of it are of no more use.
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
        // The first `end` octets are new; behind them stands a pointer, or the root.
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
                // What stands further left may be within reach, but for the table only along with what is behind it.
                return Some(Written { end: after, at: u16::try_from(at).ok().filter(|_| at <= MAX_POINTER) });
            }
            let here = (at + start) as u16;
            self.remember(parent, &name[start..end], here);
            (parent, end) = (here, start);
        }
        Some(Written { end: after, at: (parent > 0).then_some(parent) })
    }

    /// Finds a label, given with its length octet, in front of a name that stands at `parent`.
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

    fn remember(&mut self, parent: u16, label: &[u8], at: u16) {
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

/// Mixes a label and what it stands in front of into a slot's number.
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
