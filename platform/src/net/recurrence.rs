//! Telling clients from a SYN flood: who asks twice means it.
//!
//! A flood from forged addresses sends each SYN once, while a client whose SYN is lost repeats it after a second. So
//! while half-open connections crowd a listener, a SYN is only noted, and let in when it comes again. The notes
//! are a fixed table of fingerprints under a secret key; a note that is overwritten costs a client one more try.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::frame::Syn;
use super::stack::{Nanos, SECOND};

const ENTRIES: usize = 1 << 14;
/// A repetition sooner than this is none: clients wait at least as long (RFC 6298 §2.1: one second, less some slack).
const SOONEST: Nanos = SECOND / 2;
/// Notes older than this are forgotten.
const LATEST: Nanos = 20 * SECOND;

/// The SYNs noted lately.
pub(super) struct Recurrence {
    key: u64,
    /// A fingerprint and when it was noted.
    notes: Vec<(u32, Nanos)>,
}

impl Recurrence {
    /// Makes an empty table; `key` is secret.
    pub(super) fn new(key: u64) -> Self {
        // Without memory for the table every SYN counts as the first, which is to say it is let in by chance only.
        let mut notes = Vec::new();
        if notes.try_reserve_exact(ENTRIES).is_ok() {
            notes.resize(ENTRIES, (0, 0));
        }
        Self { key, notes }
    }

    /// Replaces the key: what is noted becomes meaningless, and is overwritten in time.
    pub(super) fn renew(&mut self, key: u64) {
        self.key = key;
    }

    /// Notes the SYN; returns whether it was noted before, in the time a client takes to repeat it.
    pub(super) fn is_repeated(&mut self, syn: &Syn, now: Nanos) -> bool {
        let hash = self.hash(syn);
        let Some(note) = self.notes.get_mut(hash as usize % ENTRIES) else { return false };
        let fingerprint = (hash >> 32) as u32;
        let age = now.saturating_sub(note.1);
        let known = note.0 == fingerprint && note.1 != 0 && age <= LATEST;
        if !known {
            *note = (fingerprint, now);
        }
        known && age >= SOONEST
    }

    fn hash(&self, syn: &Syn) -> u64 {
        let (high, low) = match syn.source.ip() {
            IpAddr::V4(v4) => (0, u64::from(v4.to_bits())),
            IpAddr::V6(v6) => ((v6.to_bits() >> 64) as u64, v6.to_bits() as u64),
        };
        let ports = u64::from(syn.source.port()) << 16 | u64::from(syn.destination.port());
        let words = [high, low, u64::from(syn.sequence) << 32 | ports];
        words.into_iter().fold(self.key, |state, word| {
            // The finalizer of SplitMix64, keyed by the state so far.
            let mut mixed = (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)).wrapping_add(self.key)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_repetition_in_time_counts() {
        let mut recurrence = Recurrence::new(7);
        let syn = Syn {
            source: "192.0.2.1:1234".parse().unwrap(),
            destination: "10.0.2.15:53".parse().unwrap(),
            sequence: 5,
        };
        let later = Syn { sequence: 6, ..syn };
        assert!(!recurrence.is_repeated(&syn, SECOND));
        assert!(!recurrence.is_repeated(&syn, SECOND + SECOND / 4), "too soon");
        assert!(recurrence.is_repeated(&syn, 2 * SECOND));
        assert!(recurrence.is_repeated(&syn, 4 * SECOND));
        assert!(!recurrence.is_repeated(&later, 4 * SECOND), "another attempt");
        assert!(!recurrence.is_repeated(&syn, 60 * SECOND), "forgotten");
    }
}
