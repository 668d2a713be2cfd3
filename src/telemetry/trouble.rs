//! Repeated failures: when one is logged again, and how long it has lasted.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::text;

/// Interval between the first two reminders of a failure; it doubles with each.
const FIRST: Duration = Duration::from_secs(60);

/// Maximum interval between two reminders.
const LONGEST: Duration = Duration::from_secs(3600);

/// Number of errors remembered as logged, and maximum number of new ones logged between two reminders.
const KNOWN: usize = 4;

/// Decides when a repeated failure is logged: at once, when another error takes its place, and then after 1, 2, 4 …
/// minutes, up to an hour.
///
/// Errors that alternate are each logged once and then with the reminders only. Times are relative to some moment that
/// is the same for all calls.
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    /// When the failure began; `None` if there is none.
    since: Option<Duration>,
    tries: u32,
    /// When the next reminder is due, and the interval between it and the one after.
    due: Duration,
    step: Duration,
    /// The errors logged last, as hashes.
    known: Vec<u64>,
    /// Number of further errors that may be logged before the next reminder.
    left: usize,
    is_logged: bool,
}

/// A failure that is over. It is displayed as `3 h 12 min, 57 tries`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overcome {
    /// How long it lasted.
    pub lasted: Duration,
    /// Number of attempts that failed.
    pub tries: u32,
}

impl Trouble {
    /// Records a failure at the time `now`; returns whether to log it.
    ///
    /// `error` must not contain parts that differ each time, such as the time of the next attempt.
    pub fn failed(&mut self, now: Duration, error: &str) -> bool {
        self.tries = self.tries.saturating_add(1);
        let mut hasher = DefaultHasher::new();
        error.hash(&mut hasher);
        let hash = hasher.finish();
        let is_known = self.known.contains(&hash);
        let is_reminder = match self.since {
            None => {
                (self.since, self.step) = (Some(now), FIRST);
                true
            }
            Some(_) => now >= self.due,
        };
        if is_reminder {
            (self.due, self.left) = (now + self.step, KNOWN);
            self.step = (self.step * 2).min(LONGEST);
        } else if is_known || self.left == 0 {
            return false;
        } else {
            self.left -= 1;
        }
        if !is_known {
            if self.known.len() == KNOWN {
                self.known.remove(0);
            }
            self.known.push(hash);
        }
        self.is_logged = true;
        true
    }

    /// Records a success at the time `now`; returns the failure that is over, if it was logged.
    pub fn ended(&mut self, now: Duration) -> Option<Overcome> {
        let Trouble { since: Some(since), tries, is_logged: true, .. } = std::mem::take(self) else { return None };
        Some(Overcome { lasted: now.saturating_sub(since), tries })
    }
}

impl fmt::Display for Overcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Overcome { lasted, tries } = self;
        write!(f, "{}, {tries} {}", text::time(*lasted), if *tries == 1 { "try" } else { "tries" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the seconds of a day at which a failure that repeats every `every` seconds is logged.
    fn logged(every: u64, error: impl Fn(u64) -> String) -> Vec<u64> {
        let mut trouble = Trouble::default();
        let times = (0..86_400 / every).map(|n| n * every);
        times.filter(|second| trouble.failed(Duration::from_secs(*second), &error(*second / every))).collect()
    }

    #[test]
    fn reminders_come_at_growing_intervals() {
        let times = logged(30, |_| "down".to_string());
        assert_eq!(times[..8], [0, 60, 180, 420, 900, 1860, 3780, 7380]);
        assert_eq!(times[7..].windows(2).map(|pair| pair[1] - pair[0]).max(), Some(3600));
        assert!(times.len() < 32, "{times:?}");
    }

    #[test]
    fn another_error_is_logged_at_once_and_one_of_many_is_not_each_time() {
        assert_eq!(logged(10, |n| if n < 2 { "a" } else { "b" }.to_string())[..3], [0, 20, 60]);
        let taking_turns = logged(10, |n| format!("error {}", n % 2));
        assert_eq!(taking_turns[..4], [0, 10, 60, 180]);
        let always_new = logged(10, |n| format!("error {n}"));
        assert!(always_new.len() < 32 * (KNOWN + 1), "{}", always_new.len());
    }

    #[test]
    fn the_end_reports_the_duration() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.ended(Duration::from_secs(1)), None);
        for minute in 0..57 {
            trouble.failed(Duration::from_secs(100 + minute * 60), "down");
        }
        let over = trouble.ended(Duration::from_secs(100 + 11_520)).unwrap();
        assert_eq!(over.to_string(), "3 h 12 min, 57 tries");
        assert_eq!(trouble.ended(Duration::from_secs(20_000)), None);
        assert!(trouble.failed(Duration::from_secs(20_001), "down"), "a new failure is logged");
        assert_eq!(trouble.ended(Duration::from_secs(20_002)).unwrap().to_string(), "1 s, 1 try");
    }
}
