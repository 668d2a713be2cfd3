//! Randomness: sources mixed into a generator that cannot be run backwards.
//!
//! The state is a ChaCha20 key. Each request uses a fresh stream and replaces the key by that stream's first
//! octets before any are given out, so what was given out cannot be computed from a later state. New seed is
//! taken in by replacing the key with output exclusive-ored with the seed, as the update of CTR_DRBG does
//! (NIST SP 800-90A §10.2.1.2): seed that is known or chosen by others does not undo what was there before.
//!
//! Copies of the machine made from one snapshot start with the same state, so every request takes in something that no
//! copy has: RDRAND and the time-stamp counter as the nonce of the stream, which costs no further block. A processor
//! without RDRAND is made up for by the virtio entropy device, which is asked with every request and waited for briefly.
//! After a sign of a resumption both sources give a whole new seed.

use crate::generation;
use crate::sync::Lock;
use crate::time::{self, read_tsc};
use crate::virtio::rng;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use raw_cpuid::CpuId;

/// Octets of the state.
const KEY: usize = 32;
/// Octets of a nonce.
const NONCE: usize = 12;
/// How often an instruction that reports failure is tried again; Intel advises ten.
const RETRIES: usize = 16;
/// The most given out from one stream; longer requests use several.
const STREAM: usize = 1 << 16;
/// How long the entropy device is waited for: by a request on a processor without RDRAND, and after a resumption.
const PATIENCE: time::Nanos = 1_000_000;
const PATIENCE_RESUMED: time::Nanos = 50_000_000;

static STATE: Lock<[u8; KEY]> = Lock::new([0; KEY]);
/// Whether a source that deserves trust has given at least a state's worth.
static READY: AtomicBool = AtomicBool::new(false);
/// What the processor has. To ask it again is a trap to the hypervisor.
static HAS_RDSEED: AtomicBool = AtomicBool::new(false);
static HAS_RDRAND: AtomicBool = AtomicBool::new(false);
/// The resumptions after which a seed was taken in.
static RESUMED: AtomicU64 = AtomicU64::new(0);

/// Takes in `seed` from a source worth trusting, a device made for it. Enough for a state makes the generator
/// ready.
pub fn mix(seed: &[u8]) {
    absorb(seed);
    if seed.len() >= KEY {
        READY.store(true, Relaxed);
    }
}

/// Fills `out` with random octets.
pub fn fill(out: &mut [u8]) {
    let resumed = generation::current().resumed;
    if RESUMED.swap(resumed, Relaxed) != resumed {
        seed_from_processor();
        rng::draw(PATIENCE_RESUMED);
    } else if !HAS_RDRAND.load(Relaxed) {
        rng::draw(PATIENCE);
    }
    for part in out.chunks_mut(STREAM) {
        let nonce = nonce();
        let mut state = STATE.lock();
        let mut stream = stream(&state, nonce);
        state.fill(0);
        stream.apply_keystream(&mut *state);
        drop(state);
        // The rest of the stream is nobody else's: it needs no lock.
        part.fill(0);
        stream.apply_keystream(part);
    }
}

/// Takes note that the machine was resumed after a stop: it may be a copy made from a snapshot. To be called when a clock
/// shows that; a change of the VM generation id is noticed here.
pub fn resumed() {
    generation::resumed();
}

/// Returns whether the generator may be relied on.
pub fn ready() -> bool {
    READY.load(Relaxed)
}

/// Takes in what the processor has; called once, at boot.
pub(crate) fn start() {
    let id = CpuId::new();
    HAS_RDSEED.store(id.get_extended_feature_info().is_some_and(|f| f.has_rdseed()), Relaxed);
    HAS_RDRAND.store(id.get_feature_info().is_some_and(|f| f.has_rdrand()), Relaxed);
    generation::start();
    seed_from_processor();
    // No source by itself: small differences in how long things take, on top.
    for _ in 0..4 {
        jitter();
    }
}

/// Takes in `seed`, of which nothing is expected.
pub(crate) fn absorb(seed: &[u8]) {
    let mut state = STATE.lock();
    for part in seed.chunks(KEY) {
        let mut next = [0; KEY];
        stream(&state, [0; NONCE]).apply_keystream(&mut next);
        next.iter_mut().zip(part).for_each(|(octet, seed)| *octet ^= seed);
        *state = next;
    }
}

/// Returns the stream of a key. A key makes one only, so the nonce may be anything.
fn stream(key: &[u8; KEY], nonce: [u8; NONCE]) -> ChaCha20 {
    ChaCha20::new(key.into(), &nonce.into())
}

/// Returns what no copy of the machine has: with RDRAND, nobody can guess it either.
fn nonce() -> [u8; NONCE] {
    let mut nonce = [0; NONCE];
    // SAFETY: the processor has the instruction.
    if HAS_RDRAND.load(Relaxed) && !draw(&mut nonce, || unsafe { rdrand() }) {
        // Seen nowhere, but a processor may stop giving any.
        HAS_RDRAND.store(false, Relaxed);
    }
    nonce.iter_mut().zip(read_tsc().to_le_bytes()).for_each(|(octet, time)| *octet ^= time);
    nonce
}

/// Takes in the time-stamp counter while the cache and the hypervisor do as they like.
fn jitter() {
    let mut times = [0; KEY];
    for octets in times.chunks_exact_mut(8) {
        let mut sum = read_tsc();
        for _ in 0..8 {
            core::hint::spin_loop();
            sum = sum.rotate_left(7) ^ read_tsc();
        }
        octets.copy_from_slice(&sum.to_le_bytes());
    }
    absorb(&times);
}

/// Takes in a seed from RDSEED or RDRAND, if either works.
fn seed_from_processor() {
    let mut seed = [0; 2 * KEY];
    // SAFETY: the processor has the instruction.
    let drawn = (HAS_RDSEED.load(Relaxed) && draw(&mut seed, || unsafe { rdseed() }))
        // SAFETY: as above.
        || (HAS_RDRAND.load(Relaxed) && draw(&mut seed, || unsafe { rdrand() }));
    if drawn {
        mix(&seed);
    }
}

/// Fills `seed` word by word; false if a word cannot be had or the source is stuck.
fn draw(seed: &mut [u8], mut next: impl FnMut() -> Option<u64>) -> bool {
    let mut previous = None;
    for octets in seed.chunks_mut(8) {
        let Some(word) = (0..RETRIES).find_map(|_| next()) else { return false };
        // Firmware has left processors answering all ones, with success.
        if word == 0 || word == u64::MAX || previous == Some(word) {
            return false;
        }
        previous = Some(word);
        octets.copy_from_slice(&word.to_le_bytes()[..octets.len()]);
    }
    true
}

#[target_feature(enable = "rdseed")]
fn rdseed() -> Option<u64> {
    let mut word = 0;
    (core::arch::x86_64::_rdseed64_step(&mut word) == 1).then_some(word)
}

#[target_feature(enable = "rdrand")]
fn rdrand() -> Option<u64> {
    let mut word = 0;
    (core::arch::x86_64::_rdrand64_step(&mut word) == 1).then_some(word)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn stuck_and_failing_sources_are_refused() {
        let mut seed = [0; 20];
        assert!(!draw(&mut seed, || Some(u64::MAX)));
        assert!(!draw(&mut seed, || Some(0)));
        assert!(!draw(&mut seed, || Some(0x1234)));
        assert!(!draw(&mut seed, || None));
        let mut count = 0;
        let mut failing = || {
            count += 1;
            (count % 5 == 0).then_some(count)
        };
        assert!(draw(&mut seed, &mut failing));
        assert_eq!(seed, *b"\x05\0\0\0\0\0\0\0\x0a\0\0\0\0\0\0\0\x0f\0\0\0");
    }

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
