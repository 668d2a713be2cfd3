//! The random number generator, which cannot be run backwards.
//!
//! The state is a ChaCha20 key. Each request uses a fresh stream and replaces the key by that stream's first
//! octets before any are given out, so what was given out cannot be computed from a later state. New seed is
//! taken in by replacing the key with output exclusive-ored with the seed, as the update of CTR_DRBG does
//! (NIST SP 800-90A §10.2.1.2): seed that is known or chosen by others does not undo what was there before.

use crate::base::lock::Lock;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Octets of the state.
pub(super) const KEY: usize = 32;
/// Octets of a nonce.
pub(super) const NONCE: usize = 12;

static STATE: Lock<[u8; KEY]> = Lock::new([0; KEY]);
/// Whether a source that deserves trust has given at least a state's worth.
static READY: AtomicBool = AtomicBool::new(false);

/// Takes in `seed` from a source worth trusting, a device made for it. Enough for a state makes the generator
/// ready.
pub(super) fn mix(seed: &[u8]) {
    absorb(seed);
    if seed.len() >= KEY {
        READY.store(true, Relaxed);
    }
}

/// Returns whether the generator may be relied on.
pub(super) fn ready() -> bool {
    READY.load(Relaxed)
}

/// Takes in `seed`, of which nothing is expected.
pub(super) fn absorb(seed: &[u8]) {
    let mut state = STATE.lock();
    for part in seed.chunks(KEY) {
        let mut next = [0; KEY];
        stream(&state, [0; NONCE]).apply_keystream(&mut next);
        next.iter_mut().zip(part).for_each(|(octet, seed)| *octet ^= seed);
        *state = next;
    }
}

/// Fills `out` from one stream of the key, whose nonce may be anything: a key makes one stream only.
pub(super) fn fill(out: &mut [u8], nonce: [u8; NONCE]) {
    let mut state = STATE.lock();
    let mut stream = stream(&state, nonce);
    state.fill(0);
    stream.apply_keystream(&mut *state);
    drop(state);
    // The rest of the stream is this request's alone: it needs no lock.
    out.fill(0);
    stream.apply_keystream(out);
}

/// Returns the stream of a key.
fn stream(key: &[u8; KEY], nonce: [u8; NONCE]) -> ChaCha20 {
    ChaCha20::new(key.into(), &nonce.into())
}
