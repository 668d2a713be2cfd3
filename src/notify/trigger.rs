//! A rate limiter for checks: one at a time, with a minimum interval.

use std::time::Duration;

/// A trigger that merges any number of requests into few checks: one at a time, started at least an interval apart.
///
/// A request during a check leads to another check after it, because the current one may have missed the change.
#[derive(Clone, Debug)]
pub struct Trigger {
    interval: Duration,
    requested: bool,
    in_progress: bool,
    /// When the last check started.
    started: Option<Duration>,
}

impl Trigger {
    /// Creates a trigger whose checks start at least `interval` apart.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self { interval, requested: false, in_progress: false, started: None }
    }

    /// Requests a check.
    pub fn want(&mut self) {
        self.requested = true;
    }

    /// Starts a check if one is due at the time `now`; the caller must then perform it and call [`Self::finished`].
    #[must_use]
    pub fn begin(&mut self, now: Duration) -> bool {
        let due = self.due().is_some_and(|due| due <= now);
        if due {
            (self.requested, self.in_progress, self.started) = (false, true, Some(now));
        }
        due
    }

    /// Records that the check has ended, successfully or not.
    pub fn finished(&mut self) {
        self.in_progress = false;
    }

    /// Returns when the next check is due; `None` if none is requested or one is in progress.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        if !self.requested || self.in_progress {
            return None;
        }
        Some(self.started.map_or(Duration::ZERO, |started| started + self.interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_requests_few_checks() {
        let second = Duration::from_secs(1);
        let mut trigger = Trigger::new(second);
        assert!(!trigger.begin(second));
        let (mut checks, mut last_request_handled) = (0, true);
        for tick in 0..1000_u32 {
            let now = Duration::from_millis(u64::from(tick) * 10) + second;
            if tick < 500 {
                trigger.want();
                last_request_handled = false;
            }
            if trigger.begin(now) {
                checks += 1;
                last_request_handled = true;
            }
            if tick % 30 == 29 {
                trigger.finished();
            }
        }
        assert!(last_request_handled && (5..=6).contains(&checks), "{checks}");
        assert_eq!(trigger.due(), None);
    }

    #[test]
    fn request_during_a_check_triggers_another() {
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
