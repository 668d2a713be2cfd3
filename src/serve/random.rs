//! Unpredictable numbers for the message IDs of our own queries.

use std::hash::Hasher as _;
use std::sync::atomic::{AtomicU64, Ordering};

use siphasher::sip::SipHasher24;

/// A source of random numbers that many threads may draw from.
///
/// Each number comes from the system, so that two copies of a machine made from one snapshot get different ones, XORed
/// with a keyed hash of a counter, which cannot fail.
pub(super) struct Random {
    hasher: SipHasher24,
    count: AtomicU64,
}

impl Random {
    /// Returns a source with a secret that nobody else may know.
    pub(super) fn new(secret: [u8; 16]) -> Self {
        Random { hasher: SipHasher24::new_with_key(&secret), count: AtomicU64::new(0) }
    }

    /// Returns the next number.
    pub(super) fn next(&self) -> u32 {
        self.hashed() ^ getrandom::u32().unwrap_or(0)
    }

    fn hashed(&self) -> u32 {
        let mut hasher = self.hasher;
        hasher.write_u64(self.count.fetch_add(1, Ordering::Relaxed));
        hasher.finish() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_by_secret_and_by_count() {
        let (one, other) = (Random::new([1; 16]), Random::new([2; 16]));
        let mut seen: Vec<u32> = (0..100).flat_map(|_| [one.hashed(), other.hashed()]).collect();
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 198, "{}", seen.len());
    }

    /// Two sources with the same secret, as in two copies of a machine.
    #[test]
    fn copies_of_a_source_give_other_numbers() {
        let (one, other) = (Random::new([1; 16]), Random::new([1; 16]));
        assert!((0..100).any(|_| one.next() != other.next()));
    }
}
