//! Notices a timer that fires again and again although nothing is due.
//!
//! That must not happen: whatever a firing is for is used up by it (see [`super::scheduler`]). But where it does, the
//! machine spends all its time in the interrupt and looks dead. So it is noticed, and from then on the timer is kept
//! from firing that often, which leaves the threads most of the processor.

use crate::kernel::time::Nanos;

/// How many firings for nothing, within [`WINDOW`], are a storm: some are normal, one a millisecond at most.
const MOST: u32 = 1000;
const WINDOW: Nanos = 200_000_000;
/// How far apart firings are kept after a storm.
const DISTANCE: Nanos = 1_000_000;

/// What is remembered of past firings.
pub(super) struct Storm {
    /// Firings for nothing since `since`.
    idle: u32,
    since: Nanos,
    noticed: bool,
}

impl Storm {
    /// Returns the state of a timer that has not fired.
    pub(super) const fn new() -> Self {
        Self { idle: 0, since: 0, noticed: false }
    }

    /// Takes note of a firing at `now`, `useful` if anything was due. Returns whether the first storm is noticed by it.
    pub(super) fn fired(&mut self, now: Nanos, useful: bool) -> bool {
        if useful || now.saturating_sub(self.since) > WINDOW {
            (self.idle, self.since) = (0, now);
        }
        self.idle += u32::from(!useful);
        let first = self.idle >= MOST && !self.noticed;
        self.noticed |= first;
        first
    }

    /// Returns when a timer meant for `deadline` may fire; `now` is asked only after a storm.
    pub(super) fn earliest(&self, deadline: Nanos, now: impl FnOnce() -> Nanos) -> Nanos {
        if self.noticed { deadline.max(now().saturating_add(DISTANCE)) } else { deadline }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_storm_is_noticed_once_and_calmed() {
        let mut storm = Storm::new();
        assert_eq!(storm.earliest(5, || unreachable!()), 5);
        let noticed: Vec<u32> = (0..5 * MOST).filter(|&i| storm.fired(Nanos::from(i) * 10_000, false)).collect();
        assert_eq!(noticed, [MOST - 1]);
        assert_eq!(storm.earliest(5, || 100), 100 + DISTANCE);
        assert_eq!(storm.earliest(5_000_000, || 100), 5_000_000, "what is far off is left alone");
    }

    #[test]
    fn ordinary_firings_are_no_storm() {
        let mut storm = Storm::new();
        // For nothing, but rarely; often, but for something.
        assert!(!(0..10 * MOST).any(|i| storm.fired(Nanos::from(i) * 1_000_000, false)));
        assert!(!(0..10 * MOST).any(|i| storm.fired(20_000_000_000 + Nanos::from(i) * 1000, i % 100 == 0)));
        assert_eq!(storm.earliest(5, || unreachable!()), 5);
    }
}
