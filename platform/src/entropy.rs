//! Randomness: sources mixed into a generator that cannot be run backwards.
//!
//! The state is a ChaCha20 key. Each request uses a fresh stream and replaces the key by that stream's first
//! octets before any are given out, so what was given out cannot be computed from a later state. New seed is
//! taken in by replacing the key with output exclusive-ored with the seed, as the update of CTR_DRBG does
//! (NIST SP 800-90A §10.2.1.2): seed that is known or chosen by others does not undo what was there before.

use crate::sync::Lock;
use crate::time::read_tsc;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use raw_cpuid::CpuId;

/// Octets of the state.
const KEY: usize = 32;
/// How often an instruction that reports failure is tried again; Intel advises ten.
const RETRIES: usize = 16;
/// The most given out from one stream; longer requests use several.
const STREAM: usize = 1 << 16;

static STATE: Lock<[u8; KEY]> = Lock::new([0; KEY]);
/// Whether a source that deserves trust has given at least a state's worth.
static READY: AtomicBool = AtomicBool::new(false);

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
    for part in out.chunks_mut(STREAM) {
        let mut state = STATE.lock();
        let mut stream = stream(&state);
        state.fill(0);
        stream.apply_keystream(&mut *state);
        drop(state);
        // The rest of the stream is nobody else's: it needs no lock.
        part.fill(0);
        stream.apply_keystream(part);
    }
}

/// Returns whether the generator may be relied on.
pub fn ready() -> bool {
    READY.load(Relaxed)
}

/// Takes in what the processor has; called once, at boot.
pub(crate) fn start() {
    let mut seed = [0; 2 * KEY];
    if hardware(&mut seed) {
        mix(&seed);
    }
    // No source by itself: small differences in how long things take, on top.
    for _ in 0..4 {
        jitter();
    }
}

fn absorb(seed: &[u8]) {
    let mut state = STATE.lock();
    for part in seed.chunks(KEY) {
        let mut next = [0; KEY];
        stream(&state).apply_keystream(&mut next);
        next.iter_mut().zip(part).for_each(|(octet, seed)| *octet ^= seed);
        *state = next;
    }
}

fn stream(key: &[u8; KEY]) -> ChaCha20 {
    // A key makes one stream only, so the nonce need not differ.
    ChaCha20::new(key.into(), &[0; 12].into())
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

/// Fills `seed` from RDSEED or RDRAND; false if neither works.
fn hardware(seed: &mut [u8]) -> bool {
    let id = CpuId::new();
    let has_seed = id.get_extended_feature_info().is_some_and(|f| f.has_rdseed());
    let has_random = id.get_feature_info().is_some_and(|f| f.has_rdrand());
    // SAFETY: the processor has the instruction.
    (has_seed && draw(seed, || unsafe { rdseed() }))
        // SAFETY: as above.
        || (has_random && draw(seed, || unsafe { rdrand() }))
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
