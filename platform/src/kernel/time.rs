//! Time: a monotonic clock, and a wall clock that follows the machine's.

use crate::arch::{Firmware, time};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use core::time::Duration;

pub use crate::arch::Nanos;
pub use crate::arch::time::monotonic;
pub(crate) use crate::arch::time::timer;

/// The wall clock at entry, in nanoseconds since 1970.
static WALL_AT_ENTRY: AtomicU64 = AtomicU64::new(0);
static WALL_KNOWN: AtomicBool = AtomicBool::new(false);
/// What the machine's own time of day was at entry when it was last followed, in nanoseconds since 1970. It differs from
/// [`WALL_AT_ENTRY`] by what [`shift_wall`] added.
static MACHINE_AT_ENTRY: AtomicU64 = AtomicU64::new(0);

/// Returns the time since 1970, UTC. Where the machine has no clock it counts from 1970 on.
pub fn wall() -> Duration {
    Duration::from_nanos(WALL_AT_ENTRY.load(Relaxed).wrapping_add(monotonic()))
}

/// Returns whether the time of day is known.
pub fn wall_known() -> bool {
    WALL_KNOWN.load(Relaxed)
}

/// Calibrates the clock and the timer, and reads the time of day; called once, interrupts off.
///
/// # Errors
///
/// Returns why the machine cannot keep time.
pub(crate) fn start(firmware: &Firmware) -> Result<(), &'static str> {
    if let Some(time::RateDoubt { megahertz, why }) = time::start(firmware)? {
        crate::kprintln!("zonule: the clock may run at a wrong rate, taken for {megahertz} MHz: {why}");
    }
    match time::time_of_day(true) {
        Some((wall, _)) => {
            let at_entry = (wall.as_nanos() as u64).wrapping_sub(monotonic());
            MACHINE_AT_ENTRY.store(at_entry, Relaxed);
            WALL_AT_ENTRY.store(at_entry, Relaxed);
            WALL_KNOWN.store(true, Relaxed);
        }
        None => crate::kprintln!("zonule: the machine has no clock for the time of day: it counts from 1970"),
    }
    Ok(())
}

/// How the machine's time of day has jumped against the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// By how many nanoseconds; negative if the time of day went back.
    pub nanoseconds: i64,
    /// Whether the hypervisor says that the machine was stopped.
    pub stopped: bool,
}

impl Jump {
    /// Returns whether the difference matters, to signatures for instance: a second or more.
    pub fn is_significant(&self) -> bool {
        self.nanoseconds.unsigned_abs() >= 1_000_000_000
    }
}

/// Reads the machine's time of day again and has the wall clock follow where it has jumped: the machine was stopped, or
/// continues a snapshot, or its host's clock was set. Small differences are taken over silently.
///
/// One thread calls it, about once a second.
pub fn follow() -> Option<Jump> {
    let stopped = time::was_stopped();
    let nanoseconds = time::time_of_day(stopped).map_or(0, |(wall, tolerance)| {
        let before = MACHINE_AT_ENTRY.load(Relaxed);
        let jump = jump(before, wall, monotonic(), tolerance);
        MACHINE_AT_ENTRY.store(before.wrapping_add_signed(jump), Relaxed);
        shift_wall(jump);
        jump
    });
    let jump = Jump { nanoseconds, stopped };
    (stopped || jump.is_significant()).then_some(jump)
}

/// Sets the wall clock forward by `nanoseconds`, or back if they are negative. It then counts as known.
pub fn shift_wall(nanoseconds: i64) {
    WALL_AT_ENTRY.fetch_add(nanoseconds as u64, Relaxed);
    WALL_KNOWN.store(true, Relaxed);
}

/// Returns by how many nanoseconds a clock that was `at_entry` at entry has to be set for it to show `wall` now; zero if
/// it nearly does.
fn jump(at_entry: u64, wall: Duration, monotonic: Nanos, tolerance: u64) -> i64 {
    let jump = (wall.as_nanos() as u64).wrapping_sub(monotonic).wrapping_sub(at_entry) as i64;
    if jump.unsigned_abs() > tolerance { jump } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_follows_where_it_is_clearly_wrong() {
        const SECOND: u64 = 1_000_000_000;
        let jump = |at_entry, wall, monotonic| {
            jump(at_entry * SECOND, Duration::from_secs(wall), monotonic * SECOND, 2 * SECOND) / SECOND as i64
        };
        assert_eq!(jump(1000, 1102, 100), 0);
        assert_eq!(jump(1000, 1098, 100), 0);
        assert_eq!(jump(1000, 1103, 100), 3);
        assert_eq!(jump(1000, 1000, 100), -100);
        assert_eq!(jump(0, 1_800_000_000, 0), 1_800_000_000);
    }
}
