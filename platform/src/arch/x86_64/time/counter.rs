//! The time-stamp counter.

/// Reads the time-stamp counter.
#[inline]
pub(crate) fn cycles() -> u64 {
    // SAFETY: every 64-bit processor has it, and nothing restricts its use here.
    unsafe { core::arch::x86_64::_rdtsc() }
}
