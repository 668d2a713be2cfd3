//! When to look for changes: at once, but one look at a time and not too often.

use std::time::Duration;

/// Turns any number of wishes into few looks: one at a time, begun at least an interval after the one before.
///
/// A wish that comes while a look is under way leads to another look after it, since the change may have come too late
/// for this one.
#[derive(Clone, Debug)]
pub struct Trigger {
    interval: Duration,
    wanted: bool,
    under_way: bool,
    /// When the last look began.
    begun: Option<Duration>,
}

impl Trigger {
    /// Makes a trigger whose looks begin at least `interval` apart.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self { interval, wanted: false, under_way: false, begun: None }
    }

    /// Notes that somebody wants a look.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// Begins a look if one is due at the time `now`; then the caller looks, and calls [`Self::finished`].
    #[must_use]
    pub fn begin(&mut self, now: Duration) -> bool {
        let due = self.due().is_some_and(|due| due <= now);
        if due {
            (self.wanted, self.under_way, self.begun) = (false, true, Some(now));
        }
        due
    }

    /// Notes that the look has ended, however it went.
    pub fn finished(&mut self) {
        self.under_way = false;
    }

    /// Returns when the next look is due; `None` if none is wanted or one is under way.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        if !self.wanted || self.under_way {
            return None;
        }
        Some(self.begun.map_or(Duration::ZERO, |begun| begun + self.interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_wishes_few_looks() {
        let second = Duration::from_secs(1);
        let mut trigger = Trigger::new(second);
        assert!(!trigger.begin(second));
        let (mut looks, mut last_wish_seen) = (0, true);
        for tick in 0..1000_u32 {
            let now = Duration::from_millis(u64::from(tick) * 10) + second;
            if tick < 500 {
                trigger.want();
                last_wish_seen = false;
            }
            if trigger.begin(now) {
                looks += 1;
                last_wish_seen = true;
            }
            if tick % 30 == 29 {
                trigger.finished();
            }
        }
        assert!(last_wish_seen && (5..=6).contains(&looks), "{looks}");
        assert_eq!(trigger.due(), None);
    }

    #[test]
    fn at_once_and_again_after_a_wish_meanwhile() {
        let mut trigger = Trigger::new(Duration::ZERO);
        trigger.want();
        assert!(trigger.begin(Duration::ZERO));
        trigger.want();
        assert!(!trigger.begin(Duration::ZERO), "one at a time");
        trigger.finished();
        assert!(trigger.begin(Duration::ZERO));
        trigger.finished();
        assert!(!trigger.begin(Duration::ZERO));
    }
}
