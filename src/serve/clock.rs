//! The time, read once for each query.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock that gives both kinds of time for one reading.
pub(super) struct Clock {
    started: Instant,
    /// The time at the start in seconds since 1970, modulo 2³², as the system sees it now.
    unix: AtomicU32,
}

impl Clock {
    pub(super) fn new(started: Instant) -> Self {
        let clock = Clock { started, unix: AtomicU32::new(0) };
        clock.set();
        clock
    }

    /// Takes the system's time over, which may be set at any time, and drift from the other; returns by how many seconds it
    /// has done so.
    pub(super) fn set(&self) -> i32 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix = (now.as_secs() as u32).wrapping_sub(self.started.elapsed().as_secs() as u32);
        unix.wrapping_sub(self.unix.swap(unix, Ordering::Relaxed)) as i32
    }

    /// Returns the moment that is `uptime` after the start.
    pub(super) fn moment(&self, uptime: Duration) -> Instant {
        self.started + uptime
    }

    /// Returns the time since the start, and the time in seconds since 1970, modulo 2³².
    #[inline]
    pub(super) fn now(&self) -> (Duration, u32) {
        let uptime = self.started.elapsed();
        (uptime, self.unix.load(Ordering::Relaxed).wrapping_add(uptime.as_secs() as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_times_are_right() {
        let clock = Clock::new(Instant::now() - Duration::from_secs(5));
        let (uptime, unix) = clock.now();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as u32;
        assert!(uptime >= Duration::from_secs(5));
        // Two clocks are read, and a second may turn in between.
        assert!(now.wrapping_sub(unix).wrapping_add(2) <= 4, "{unix} at {now}");
    }
}
