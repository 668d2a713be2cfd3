//! When a server allows the next request: `Retry-After` (RFC 9110 §10.2.3), and the fields of forges' rate limits.

use jiff::{Timestamp, fmt::strtime::BrokenDownTime, tz::TimeZone};
use std::time::{Duration, SystemTime};

/// The longest wait that is honoured. A server that asks for more gets the next request after this time.
pub(crate) const LONGEST: Duration = Duration::from_secs(3600);

/// The longest plausible wait; longer ones are ignored.
const MEANT: Duration = Duration::from_secs(86_400);

/// The fields of a reply that determine when to send the next request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pace {
    retry_after: Option<String>,
    /// The server's own clock (RFC 9110 §6.6.1).
    date: Option<String>,
    /// Requests left (`X-RateLimit-Remaining`, `RateLimit-Remaining`).
    remaining: Option<String>,
    /// When the limit is reset: seconds from now, or since 1970.
    reset: Option<String>,
}

impl Pace {
    /// Records a field, if it is one of these; the first of each name counts.
    pub(super) fn take(&mut self, name: &str, value: &[u8]) {
        let slot = match name.to_ascii_lowercase().as_str() {
            "retry-after" => &mut self.retry_after,
            "date" => &mut self.date,
            "x-ratelimit-remaining" | "ratelimit-remaining" => &mut self.remaining,
            "x-ratelimit-reset" | "ratelimit-reset" => &mut self.reset,
            _ => return,
        };
        if slot.is_none() {
            *slot = str::from_utf8(value).ok().map(|value| value.trim().to_owned());
        }
    }

    /// Returns whether the fields alone show that a refusal is due to a rate limit.
    pub(super) fn is_limit(&self) -> bool {
        self.retry_after.is_some() || self.remaining.as_deref() == Some("0")
    }

    /// Returns how long the server asks for no requests, at the time `now`; `None` if it does not specify that,
    /// or the time is implausible: zero, past, or more than a day.
    pub(super) fn wait(&self, now: SystemTime) -> Option<Duration> {
        let by_reset = || self.reset.as_deref().filter(|_| self.remaining.as_deref() == Some("0"));
        let text = self.retry_after.as_deref().or_else(by_reset)?;
        // The server's clock may differ from ours, and the time is relative to its own.
        let now =
            || self.date.as_deref().and_then(date).or_else(|| Timestamp::try_from(now).ok()).map(Timestamp::as_second);
        let seconds = match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => match text.parse::<i64>().ok()? {
                // No wait is that long, so this is a time.
                since_1970 @ 1_000_000_000.. if self.retry_after.is_none() => since_1970.checked_sub(now()?)?,
                seconds => seconds,
            },
            false => date(text)?.as_second().checked_sub(now()?)?,
        };
        let wait = Duration::from_secs(u64::try_from(seconds).ok()?);
        Some(wait).filter(|wait| !wait.is_zero() && *wait <= MEANT)
    }
}

/// Reads a date in any of the three formats of HTTP (RFC 9110 §5.6.7).
fn date(text: &str) -> Option<Timestamp> {
    ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"].into_iter().find_map(|form| {
        let time = BrokenDownTime::parse(form, text).ok()?.to_datetime().ok()?;
        TimeZone::UTC.to_timestamp(time).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::UNIX_EPOCH;

    /// 2026-09-21 14:13:20 UTC.
    const NOW: u64 = 1_790_000_000;

    fn wait(fields: &[(&str, &str)]) -> Option<u64> {
        let mut pace = Pace::default();
        for (name, value) in fields {
            pace.take(name, value.as_bytes());
        }
        pace.wait(UNIX_EPOCH + Duration::from_secs(NOW)).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_read() {
        for (value, expected) in [
            ("60", Some(60)),
            (" 7 ", Some(7)),
            ("86400", Some(86_400)),
            ("Mon, 21 Sep 2026 14:14:20 GMT", Some(60)),
            ("Monday, 21-Sep-26 14:14:20 GMT", Some(60)),
            ("Mon Sep 21 14:14:20 2026", Some(60)),
        ] {
            assert_eq!(wait(&[("Retry-After", value)]), expected, "{value}");
        }
        // A day of one digit, padded with a space.
        let date = [("date", "Tue Sep  1 14:13:20 2026"), ("retry-after", "Tue Sep  1 14:13:50 2026")];
        assert_eq!(wait(&date), Some(30));
    }

    #[test]
    fn implausible_waits_are_ignored() {
        for value in [
            "",
            "0",
            "-5",
            "+5",
            "1.5",
            "soon",
            "86401",
            "99999999999999999999999999",
            "9223372036854775807",
            "Mon, 21 Sep 2026 14:13:20 GMT",
            "Mon, 21 Sep 2020 14:14:20 GMT",
            "Mon, 21 Sep 2099 14:14:20 GMT",
            "Mon, 99 Sep 2026 14:14:20 GMT",
            "60, 60",
            "\u{202e}60",
        ] {
            assert_eq!(wait(&[("Retry-After", value)]), None, "{value}");
        }
        assert_eq!(wait(&[]), None);
    }

    #[test]
    fn a_date_is_relative_to_the_servers_clock() {
        let date = ("Date", "Thu, 01 Jan 1970 00:00:10 GMT");
        assert_eq!(wait(&[date, ("Retry-After", "Thu, 01 Jan 1970 00:01:10 GMT")]), Some(60));
    }

    #[test]
    fn limits_of_forges_tell_when_they_end() {
        assert_eq!(wait(&[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1790000090")]), Some(90));
        assert_eq!(wait(&[("RateLimit-Remaining", "0"), ("RateLimit-Reset", "90")]), Some(90));
        assert_eq!(wait(&[("X-RateLimit-Remaining", "7"), ("X-RateLimit-Reset", "1790000090")]), None);
        assert_eq!(wait(&[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1600000000")]), None);
    }

    proptest! {
        #[test]
        fn every_wait_is_bounded(value in "\\PC{0,40}|[0-9]{0,30}", reset in "[0-9]{0,20}") {
            let most = MEANT.as_secs();
            prop_assert!(wait(&[("Retry-After", &value)]).is_none_or(|wait| (1..=most).contains(&wait)));
            let limit = [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", &*reset)];
            prop_assert!(wait(&limit).is_none_or(|wait| (1..=most).contains(&wait)));
        }
    }
}
