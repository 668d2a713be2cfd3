//! A rate limit for log messages: an event that affects ten thousand zones at once, or that repeats, is logged only a
//! few times.

use std::time::Duration;

/// The maximum number of warnings in a period.
const MAX_WARNINGS: u32 = 20;

/// The default length of a period.
const PERIOD: Duration = Duration::from_secs(10);

/// A rate limiter for log messages.
#[derive(Clone, Debug)]
pub(crate) struct Warnings {
    period: Duration,
    since: Duration,
    logged: u32,
    suppressed: u32,
}

impl Default for Warnings {
    fn default() -> Self {
        Self::with_period(PERIOD)
    }
}

impl Warnings {
    /// Creates a limiter with periods of this length.
    pub(crate) fn with_period(period: Duration) -> Self {
        Warnings { period, since: Duration::ZERO, logged: 0, suppressed: 0 }
    }

    /// Returns the message to log at the time `now`, with the number of suppressed messages before it; returns `None`
    /// if the limit is exceeded.
    pub(crate) fn admit(&mut self, now: Duration, text: String) -> Option<String> {
        if now.saturating_sub(self.since) >= self.period {
            (self.since, self.logged) = (now, 0);
        }
        if self.logged >= MAX_WARNINGS {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.logged += 1;
        match std::mem::take(&mut self.suppressed) {
            0 => Some(text),
            suppressed => Some(format!("{text} ({suppressed} earlier messages suppressed)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_short_and_counted() {
        let mut warnings = Warnings::default();
        let logged = (0..100).filter_map(|n| warnings.admit(Duration::from_secs(1), n.to_string())).count();
        assert_eq!(logged, 20);
        let next = warnings.admit(Duration::from_secs(11), "x".into());
        assert_eq!(next.as_deref(), Some("x (80 earlier messages suppressed)"));
        assert_eq!(warnings.admit(Duration::from_secs(12), "y".into()).as_deref(), Some("y"));
    }
}
