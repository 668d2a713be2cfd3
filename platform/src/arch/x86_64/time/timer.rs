//! The one-shot timer, set to a time of the monotonic clock.

use super::clock::{self, monotonic};
use super::scale::Scale;
use crate::arch::units::Nanos;
use crate::arch::x86_64::apic;
use crate::arch::x86_64::processor::Processor;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Whether the timer is set to a time-stamp counter value rather than to a count of its own.
static BY_DEADLINE: AtomicBool = AtomicBool::new(false);
/// Ticks of the timer's own count per nanosecond, as a [`Scale`].
static RATE: AtomicU64 = AtomicU64::new(0);

/// Prepares the timer; without a rate of its own it uses the time-stamp counter.
pub(super) fn start(own_hertz: Option<u64>) {
    BY_DEADLINE.store(own_hertz.is_none(), Relaxed);
    RATE.store(Scale::per_nano(own_hertz.unwrap_or(0)).raw(), Relaxed);
    apic::start_timer(own_hertz.is_none());
}

/// Sets this processor's timer to fire at `deadline`, immediately if that has passed.
pub(crate) fn set(deadline: Nanos) {
    if BY_DEADLINE.load(Relaxed) {
        let (tsc, version) = clock::tsc_at(deadline);
        Processor::current().timer_version.store(version, Relaxed);
        return apic::set_deadline(tsc);
    }
    // If the count is too large for the register, the timer fires early; the handler finds nothing to do and sets it
    // again.
    let ticks = Scale::from_raw(RATE.load(Relaxed)).ticks(deadline.saturating_sub(monotonic()));
    apic::set_count(u32::try_from(ticks).unwrap_or(u32::MAX));
}

/// Returns whether the clock parameters have changed since this processor's timer was set, so that it would fire at the
/// wrong time.
#[inline]
pub(crate) fn is_stale() -> bool {
    BY_DEADLINE.load(Relaxed) && clock::version() != Processor::current().timer_version.load(Relaxed)
}
