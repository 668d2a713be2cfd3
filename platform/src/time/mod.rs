//! Time: a monotonic clock, a wall clock set at boot and corrected since, a one-shot timer.

mod calibrate;
mod cmos;
mod kvmclock;
mod scale;
pub(crate) mod timer;

use crate::boot::tsc_at_entry;
use crate::cpu::features::Features;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use scale::Scale;

/// Nanoseconds, as a duration or since the machine was entered.
pub type Nanos = u64;

/// The time-stamp counter's period, as [`Scale`] has it; zero until calibrated.
static PERIOD: AtomicU64 = AtomicU64::new(0);
/// The wall clock at entry, in nanoseconds since 1970.
static WALL_AT_ENTRY: AtomicU64 = AtomicU64::new(0);
static WALL_KNOWN: AtomicBool = AtomicBool::new(false);

/// Returns the nanoseconds since the machine was entered; zero until the clock is calibrated.
#[inline]
pub fn monotonic() -> Nanos {
    Scale::from_raw(PERIOD.load(Relaxed)).nanos(ticks())
}

/// Returns the time since 1970, UTC. Where the machine has no clock it counts from 1970 on.
pub fn wall() -> Duration {
    Duration::from_nanos(WALL_AT_ENTRY.load(Relaxed) + monotonic())
}

/// Returns whether the machine has told the time of day.
pub fn wall_known() -> bool {
    WALL_KNOWN.load(Relaxed)
}

/// Calibrates the clock and the timer, and reads the time of day; called once, interrupts off.
pub(crate) fn start(features: &Features) -> Result<(), &'static str> {
    let kvm = kvmclock::detect();
    let rates = calibrate::measure(features, kvm.map(|k| k.tsc_hertz()))?;
    PERIOD.store(Scale::per_tick(rates.tsc_hertz).raw(), Relaxed);
    timer::start(rates.tsc_hertz, rates.timer_hertz);
    let wall = kvm.and_then(|k| k.wall()).or_else(cmos::read);
    match wall {
        Some(wall) => {
            let at_entry = (wall.as_nanos() as u64).saturating_sub(monotonic());
            WALL_AT_ENTRY.store(at_entry, Relaxed);
            WALL_KNOWN.store(true, Relaxed);
        }
        None => crate::kprintln!("zonule: the machine has no clock for the time of day: it counts from 1970"),
    }
    Ok(())
}

/// Looks at the machine's time of day again and corrects the wall clock if it has drifted; returns by how many
/// nanoseconds, where more was missing than such a clock can tell.
///
/// One thread may do so at a time.
pub fn correct_wall() -> Option<i64> {
    let wall = kvmclock::detect().and_then(|kvm| kvm.wall()).or_else(cmos::read)?;
    let before = WALL_AT_ENTRY.load(Relaxed);
    let at_entry = corrected(before, wall, monotonic())?;
    WALL_AT_ENTRY.store(at_entry, Relaxed);
    WALL_KNOWN.store(true, Relaxed);
    Some(at_entry.wrapping_sub(before) as i64)
}

/// Sets the wall clock forward by `nanoseconds`, or back if they are negative, as somebody who knows the time says.
///
/// One thread may do so at a time, and not while another calls [`correct_wall`].
pub fn shift_wall(nanoseconds: i64) {
    let now = i128::from(WALL_AT_ENTRY.load(Relaxed)) + i128::from(nanoseconds);
    // A time before 1970 is none that anybody means.
    WALL_AT_ENTRY.store(u64::try_from(now).unwrap_or(0), Relaxed);
    WALL_KNOWN.store(true, Relaxed);
}

/// Returns the wall clock at entry by which it shows `wall` now, unless it nearly does so.
fn corrected(at_entry: u64, wall: Duration, monotonic: Nanos) -> Option<u64> {
    /// A clock that ticks in seconds is up to one behind, and takes a while to be read.
    const TOLERANCE: u64 = 2_000_000_000;
    let right = (wall.as_nanos() as u64).saturating_sub(monotonic);
    (right.abs_diff(at_entry) > TOLERANCE).then_some(right)
}

/// Returns the time-stamp counter's ticks since entry.
#[inline]
fn ticks() -> u64 {
    read_tsc().wrapping_sub(tsc_at_entry())
}

/// Reads the time-stamp counter.
#[inline]
pub(crate) fn read_tsc() -> u64 {
    // SAFETY: every 64-bit processor has it, and nothing restricts it here.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_corrected_where_it_is_clearly_wrong() {
        const SECOND: u64 = 1_000_000_000;
        let wall = |seconds| Duration::from_secs(seconds);
        assert_eq!(corrected(1000 * SECOND, wall(1102), 100 * SECOND), None);
        assert_eq!(corrected(1000 * SECOND, wall(1098), 100 * SECOND), None);
        assert_eq!(corrected(1000 * SECOND, wall(1103), 100 * SECOND), Some(1003 * SECOND));
        assert_eq!(corrected(1000 * SECOND, wall(1000), 100 * SECOND), Some(900 * SECOND));
        assert_eq!(corrected(0, wall(1_800_000_000), 0), Some(1_800_000_000 * SECOND));
    }
}
