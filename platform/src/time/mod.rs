//! Time: a monotonic clock, a wall clock that follows the machine's, a one-shot timer.

mod calibrate;
mod clock;
mod cmos;
mod kvmclock;
mod scale;
pub(crate) mod timer;

use crate::boot::tsc_at_entry;
use crate::cpu::features::Features;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use core::time::Duration;

pub use clock::monotonic;

/// Nanoseconds, as a duration or since the machine was entered.
pub type Nanos = u64;

/// How often [`follow`] reads the CMOS clock: each reading takes dozens of accesses that the hypervisor emulates.
const CMOS_INTERVAL: Nanos = 10_000_000_000;

/// The wall clock at entry, in nanoseconds since 1970.
static WALL_AT_ENTRY: AtomicU64 = AtomicU64::new(0);
static WALL_KNOWN: AtomicBool = AtomicBool::new(false);
/// What the machine's own time of day was at entry when it was last followed, in nanoseconds since 1970. It differs from
/// [`WALL_AT_ENTRY`] by what [`shift_wall`] was told.
static MACHINE_AT_ENTRY: AtomicU64 = AtomicU64::new(0);
/// When the CMOS clock was last read.
static CMOS_READ: AtomicU64 = AtomicU64::new(0);

/// Returns the time since 1970, UTC. Where the machine has no clock it counts from 1970 on.
pub fn wall() -> Duration {
    Duration::from_nanos(WALL_AT_ENTRY.load(Relaxed).wrapping_add(monotonic()))
}

/// Returns whether the machine has told the time of day.
pub fn wall_known() -> bool {
    WALL_KNOWN.load(Relaxed)
}

/// Calibrates the clock and the timer, and reads the time of day; called once, interrupts off.
pub(crate) fn start(features: &Features) -> Result<(), &'static str> {
    let entry = tsc_at_entry();
    let by_hypervisor = kvmclock::start(entry);
    let rates = calibrate::measure(features, by_hypervisor)?;
    if by_hypervisor.is_none() {
        clock::start_by_rate(rates.tsc_hertz, entry);
    }
    timer::start(rates.timer_hertz);
    if let Some(doubt) = rates.doubt {
        let megahertz = rates.tsc_hertz / 1_000_000;
        crate::kprintln!("zonule: the clock may run at a wrong rate, taken for {megahertz} MHz: {doubt}");
    }
    match machine_wall(true) {
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
    let stopped = clock::was_stopped();
    let nanoseconds = machine_wall(stopped).map_or(0, |(wall, tolerance)| {
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

/// Returns the machine's own time of day and by how many nanoseconds two readings may differ; `None` if there is no
/// clock, or it is one that is slow to read and was read recently, unless `now` it must be.
fn machine_wall(now: bool) -> Option<(Duration, u64)> {
    /// KVM's is exact, but the host's drifts against it a little as it is kept right.
    const KVM_TOLERANCE: u64 = 50_000_000;
    /// A clock that ticks in seconds is up to one behind, and takes a while to be read.
    const CMOS_TOLERANCE: u64 = 2_000_000_000;
    if let Some(wall) = kvmclock::wall() {
        return Some((wall, KVM_TOLERANCE));
    }
    let time = monotonic();
    if !now && time.saturating_sub(CMOS_READ.load(Relaxed)) < CMOS_INTERVAL {
        return None;
    }
    CMOS_READ.store(time, Relaxed);
    cmos::read().map(|wall| (wall, CMOS_TOLERANCE))
}

/// Returns by how many nanoseconds a clock that was `at_entry` at entry has to be set for it to show `wall` now; zero if
/// it nearly does.
fn jump(at_entry: u64, wall: Duration, monotonic: Nanos, tolerance: u64) -> i64 {
    let jump = (wall.as_nanos() as u64).wrapping_sub(monotonic).wrapping_sub(at_entry) as i64;
    if jump.unsigned_abs() > tolerance { jump } else { 0 }
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
