//! The time, read once per query.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock that returns both kinds of time from one reading.
pub(super) struct Clock {
    started: Instant,
    /// The time of the start in seconds since 1970, modulo 2³², according to the system's current time.
    unix: AtomicU32,
}

impl Clock {
    pub(super) fn new(started: Instant) -> Self {
        let clock = Clock { started, unix: AtomicU32::new(0) };
        clock.set();
        clock
    }

    /// Adopts the system's time, which may be set at any time and may drift from the monotonic clock. Returns the
    /// adjustment in seconds.
    pub(super) fn set(&self) -> i32 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix = (now.as_secs() as u32).wrapping_sub(self.started.elapsed().as_secs() as u32);
        unix.wrapping_sub(self.unix.swap(unix, Ordering::Relaxed)) as i32
    }

    /// Returns the moment `uptime` after the start.
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
        // Two clocks are read, and the second may change in between.
        assert!(now.wrapping_sub(unix).wrapping_add(2) <= 4, "{unix} at {now}");
    }
}
