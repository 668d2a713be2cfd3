//! Log lines in bounds: of what happens to ten thousand zones at once, or again and again, a few are logged.

use std::time::Duration;

/// How many warnings there may be in a period.
const MOST: u32 = 20;

/// How long a period is, unless it is said.
const PERIOD: Duration = Duration::from_secs(10);

/// Counts warnings, and says which are to be told.
#[derive(Clone, Debug)]
pub(crate) struct Warnings {
    period: Duration,
    since: Duration,
    told: u32,
    left_out: u32,
}

impl Default for Warnings {
    fn default() -> Self {
        Self::each(PERIOD)
    }
}

impl Warnings {
    /// Makes one with periods of this length.
    pub(crate) fn each(period: Duration) -> Self {
        Warnings { period, since: Duration::ZERO, told: 0, left_out: 0 }
    }

    /// Returns the warning as it is to be told at the time `now`, with a word on those left out before; `None` if it
    /// is one too many.
    pub(crate) fn tell(&mut self, now: Duration, text: String) -> Option<String> {
        if now.saturating_sub(self.since) >= self.period {
            (self.since, self.told) = (now, 0);
        }
        if self.told >= MOST {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.told += 1;
        match std::mem::take(&mut self.left_out) {
            0 => Some(text),
            left_out => Some(format!("{text} (and {left_out} more before)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_short_and_counted() {
        let mut warnings = Warnings::default();
        let told = (0..100).filter_map(|n| warnings.tell(Duration::from_secs(1), n.to_string())).count();
        assert_eq!(told, 20);
        let next = warnings.tell(Duration::from_secs(11), "x".into());
        assert_eq!(next.as_deref(), Some("x (and 80 more before)"));
        assert_eq!(warnings.tell(Duration::from_secs(12), "y".into()).as_deref(), Some("y"));
    }
}
