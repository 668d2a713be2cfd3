//! The timer that fires once, at a moment of the monotonic clock.

use super::scale::Scale;
use super::{Nanos, monotonic};
use crate::boot::tsc_at_entry;
use crate::cpu::apic;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Whether the timer is set to a value of the time-stamp counter rather than to a count of its own.
static BY_DEADLINE: AtomicBool = AtomicBool::new(false);
/// Ticks of what the timer goes by in a nanosecond, as [`Scale`] has it.
static RATE: AtomicU64 = AtomicU64::new(0);

/// Prepares the timer; without a rate of its own it goes by the time-stamp counter.
pub(super) fn start(tsc_hertz: u64, own_hertz: Option<u64>) {
    BY_DEADLINE.store(own_hertz.is_none(), Relaxed);
    RATE.store(Scale::per_nano(own_hertz.unwrap_or(tsc_hertz)).raw(), Relaxed);
    apic::start_timer(own_hertz.is_none());
}

/// Lets the timer fire at `deadline`, at once if that has passed, or never for the end of time.
pub(crate) fn set(deadline: Nanos) {
    let rate = Scale::from_raw(RATE.load(Relaxed));
    if BY_DEADLINE.load(Relaxed) {
        return apic::set_deadline(tsc_at_entry().saturating_add(rate.ticks(deadline)));
    }
    // A count that is too long for the register fires early, finds nothing to do and is set again.
    let ticks = rate.ticks(deadline.saturating_sub(monotonic()));
    apic::set_count(u32::try_from(ticks).unwrap_or(u32::MAX));
}
