//! The processor's random number instructions, RDSEED and RDRAND.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use raw_cpuid::CpuId;

/// How many times an instruction that reports failure is retried; Intel recommends ten.
const RETRIES: usize = 16;

/// What the processor supports. CPUID traps to the hypervisor, so the answer is kept.
static HAS_RDSEED: AtomicBool = AtomicBool::new(false);
static HAS_RDRAND: AtomicBool = AtomicBool::new(false);

/// Detects what the processor supports; called once, at boot.
pub(crate) fn start() {
    let id = CpuId::new();
    HAS_RDSEED.store(id.get_extended_feature_info().is_some_and(|f| f.has_rdseed()), Relaxed);
    HAS_RDRAND.store(id.get_feature_info().is_some_and(|f| f.has_rdrand()), Relaxed);
}

/// Returns whether [`draw`] can be expected to work.
pub(crate) fn can_draw() -> bool {
    HAS_RDRAND.load(Relaxed)
}

/// Fills `out` quickly with RDRAND; returns false if the processor lacks it or it does not work.
pub(crate) fn draw(out: &mut [u8]) -> bool {
    // SAFETY: the processor has the instruction.
    let drawn = HAS_RDRAND.load(Relaxed) && fill(out, || unsafe { rdrand() });
    if !drawn {
        // Never observed, but a processor may stop delivering numbers.
        HAS_RDRAND.store(false, Relaxed);
    }
    drawn
}

/// Fills `out` with the best instruction available, for seeding a generator; returns false if none works.
pub(crate) fn seed(out: &mut [u8]) -> bool {
    // SAFETY: the processor has the instruction.
    (HAS_RDSEED.load(Relaxed) && fill(out, || unsafe { rdseed() }))
        // SAFETY: as above.
        || (HAS_RDRAND.load(Relaxed) && fill(out, || unsafe { rdrand() }))
}

/// Fills `out` word by word; returns false if the source fails or is stuck.
fn fill(out: &mut [u8], mut next: impl FnMut() -> Option<u64>) -> bool {
    let mut previous = None;
    for octets in out.chunks_mut(8) {
        let Some(word) = (0..RETRIES).find_map(|_| next()) else { return false };
        // Firmware bugs have left processors returning all ones with success reported.
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
    use super::*;

    #[test]
    fn stuck_and_failing_sources_are_refused() {
        let mut seed = [0; 20];
        assert!(!fill(&mut seed, || Some(u64::MAX)));
        assert!(!fill(&mut seed, || Some(0)));
        assert!(!fill(&mut seed, || Some(0x1234)));
        assert!(!fill(&mut seed, || None));
        let mut count = 0;
        let mut failing = || {
            count += 1;
            (count % 5 == 0).then_some(count)
        };
        assert!(fill(&mut seed, &mut failing));
        assert_eq!(seed, *b"\x05\0\0\0\0\0\0\0\x0a\0\0\0\0\0\0\0\x0f\0\0\0");
    }
}
