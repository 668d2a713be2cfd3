//! Randomness: sources mixed into a generator, on every request anew.
//!
//! Copies of the machine made from one snapshot start with the same state, so every request takes in something that no
//! copy has: what the processor gives and its cycle counter as the nonce of the stream, which costs no further block. A
//! processor without random instructions is made up for by the virtio entropy device, which is asked with every request
//! and waited for briefly. After a sign of a resumption both sources give a whole new seed.

use super::generation;
use super::generator::{self, KEY, NONCE};
use super::virtio::rng;
use crate::arch::{Nanos, random, time::cycles};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The most given out from one stream; longer requests use several.
const STREAM: usize = 1 << 16;
/// How long the entropy device is waited for: by a request on a processor without random instructions, and after a
/// resumption.
const PATIENCE: Nanos = 1_000_000;
const PATIENCE_RESUMED: Nanos = 50_000_000;

/// The resumptions after which a seed was taken in.
static RESUMED: AtomicU64 = AtomicU64::new(0);

/// Fills `out` with random octets.
pub fn fill(out: &mut [u8]) {
    let resumed = generation::current().resumed;
    if RESUMED.swap(resumed, Relaxed) != resumed {
        seed_from_processor();
        rng::draw(PATIENCE_RESUMED);
    } else if !random::can_draw() {
        rng::draw(PATIENCE);
    }
    for part in out.chunks_mut(STREAM) {
        generator::fill(part, nonce());
    }
}

/// Takes note that the machine was resumed after a stop: it may be a copy made from a snapshot. To be called when a clock
/// shows that; a change of the VM generation id is noticed here.
pub fn resumed() {
    generation::resumed();
}

/// Returns whether the generator may be relied on.
pub fn ready() -> bool {
    generator::ready()
}

/// Takes in what the processor has; called once, at boot.
pub(crate) fn start() {
    random::start();
    generation::start();
    seed_from_processor();
    // No source by itself: small differences in how long things take, on top.
    for _ in 0..4 {
        jitter();
    }
}

/// Returns what no copy of the machine has: with a random instruction, it cannot be guessed either.
fn nonce() -> [u8; NONCE] {
    let mut nonce = [0; NONCE];
    random::draw(&mut nonce);
    nonce.iter_mut().zip(cycles().to_le_bytes()).for_each(|(octet, time)| *octet ^= time);
    nonce
}

/// Takes in the cycle counter while the cache and the hypervisor do as they like.
fn jitter() {
    let mut times = [0; KEY];
    for octets in times.chunks_exact_mut(8) {
        let mut sum = cycles();
        for _ in 0..8 {
            core::hint::spin_loop();
            sum = sum.rotate_left(7) ^ cycles();
        }
        octets.copy_from_slice(&sum.to_le_bytes());
    }
    generator::absorb(&times);
}

/// Takes in a seed from the processor, if it gives any.
fn seed_from_processor() {
    let mut seed = [0; 2 * KEY];
    if random::seed(&mut seed) {
        generator::mix(&seed);
    }
}

#[cfg(test)]
mod tests {
    use super::generator::mix;
    use super::*;

    #[test]
    fn output_depends_on_the_seed_and_never_repeats() {
        let (mut first, mut second) = ([0; 48], [0; 48]);
        fill(&mut first);
        fill(&mut second);
        assert_ne!(first, second);
        assert!(!ready());
        mix(&[7; 31]);
        assert!(!ready());
        mix(&[7; 32]);
        assert!(ready());
    }
}
