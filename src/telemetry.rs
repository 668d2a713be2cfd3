//! The log: one line per record on the console, with UTC time, level and module.

mod trouble;

use std::io::Write as _;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use log::{LevelFilter, Log, Metadata, Record};

use crate::text;
pub use trouble::{Overcome, Trouble};

/// The maximum level of logged records, in general and for single modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter {
    /// The level of modules without a level of their own.
    pub level: LevelFilter,
    /// Levels of single modules by path below the crate, such as `git`.
    pub modules: Vec<(String, LevelFilter)>,
}

/// Logs all records from now on to standard error, as far as `filter` permits.
///
/// A second call has no effect: the first filter stays.
pub fn init(filter: LogFilter) {
    let most = filter.modules.iter().map(|(_, level)| *level).fold(filter.level, Ord::max);
    if log::set_boxed_logger(Box::new(Console { filter })).is_ok() {
        log::set_max_level(most);
    }
}

/// Limits the number of log lines of one kind per minute and counts the rest, for lines that strangers can cause.
#[derive(Debug, Default)]
pub struct Throttle {
    /// The minute and the number of its lines.
    state: AtomicU64,
    /// Number of lines left out since the last summary.
    left_out: AtomicU64,
    /// When the first of them was left out, in seconds, plus one; 0 if there is none.
    since: AtomicU64,
}

impl Throttle {
    /// Maximum number of lines per minute.
    const LINES: u64 = 20;

    /// Minimum period that a summary covers, in seconds.
    const PERIOD: u64 = 60;

    /// Returns whether a line may be written at `now`, the time since some fixed moment; counts it if not.
    pub fn allows(&self, now: Duration) -> bool {
        let minute = (now.as_secs() / 60) << 32;
        let count = |state: u64| {
            if state & !u64::from(u32::MAX) == minute { state + 1 } else { minute + 1 }
        };
        let before = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
            Some(count(state)).filter(|state| state - minute <= Self::LINES)
        });
        if before.is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            // A failed exchange means that another thread was first.
            let _ = self.since.compare_exchange(0, now.as_secs() + 1, Ordering::Relaxed, Ordering::Relaxed);
        }
        before.is_ok()
    }

    /// Returns the number of lines left out and the period in seconds, once the period is a minute or more.
    ///
    /// One thread should call this periodically.
    pub fn summary(&self, now: Duration) -> Option<(u64, u64)> {
        let since = self.since.load(Ordering::Relaxed).checked_sub(1)?;
        let seconds = now.as_secs().saturating_sub(since);
        if seconds < Self::PERIOD {
            return None;
        }
        self.since.store(0, Ordering::Relaxed);
        let count = self.left_out.swap(0, Ordering::Relaxed);
        (count > 0).then_some((count, seconds))
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        LogFilter { level: LevelFilter::Info, modules: Vec::new() }
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let level = |text: &str| {
            text.parse::<LevelFilter>().map_err(|_| {
                format!("has the level \"{}\"; levels are off, error, warn, info, debug, trace", text.escape_debug())
            })
        };
        let mut filter = LogFilter::default();
        for part in text.split(',') {
            match part.split_once('=') {
                Some((module, text)) => filter.modules.push((module.to_string(), level(text)?)),
                None => filter.level = level(part)?,
            }
        }
        Ok(filter)
    }
}

struct Console {
    filter: LogFilter,
}

impl Log for Console {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= level_of(&self.filter, metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = line(SystemTime::now(), record);
            // A lost console must not stop the server.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

/// Libraries that let a remote cause any number of log lines: they are logged only if they are named in the filter.
const MUTED: [&str; 1] = ["sunset"];

/// Returns the level for the module `target`: that of the longest configured path that contains it.
fn level_of(filter: &LogFilter, target: &str) -> LevelFilter {
    let path = module(target);
    let covers = |module: &str| {
        let rest = path.strip_prefix(module).or_else(|| target.strip_prefix(module));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let matching = filter.modules.iter().filter(|(module, _)| covers(module));
    let library = target.split("::").next().unwrap_or(target);
    let default = if MUTED.contains(&library) { LevelFilter::Off } else { filter.level };
    matching.max_by_key(|(module, _)| module.len()).map_or(default, |(_, level)| *level)
}

fn module(target: &str) -> &str {
    target.strip_prefix("zonule::").unwrap_or(target)
}

/// Maximum size of a message before escaping, in octets; the rest is cut off.
const MOST: usize = 8 << 10;

/// Formats a record as one line. Foreign text that was not escaped before is escaped here, so that it cannot forge a
/// second line or hide a part of this one.
fn line(now: SystemTime, record: &Record<'_>) -> String {
    let time = match Timestamp::try_from(now) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => "(no time)".to_string(),
    };
    let level = record.level().as_str().to_ascii_lowercase();
    let module = module(record.target());
    let module = module.split("::").next().unwrap_or(module);
    let mut line = format!("{time} {level:<5} {module}: ");
    let message = record.args().to_string();
    let end = message.floor_char_boundary(MOST);
    line.push_str(&text::escaped(&message[..end]));
    if end < message.len() {
        line.push_str(&format!("… ({} octets more)", message.len() - end));
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_line_has_time_level_and_module_and_stays_one_line() {
        let now = UNIX_EPOCH + Duration::from_millis(1_790_000_000_120);
        let text = line(
            now,
            &Record::builder()
                .level(log::Level::Warn)
                .target("zonule::git::fetch")
                .args(format_args!("remote: {}", "a\nb\u{1b}[0m\u{202e}c"))
                .build(),
        );
        assert_eq!(text, "2026-09-21T14:13:20.120Z warn  git: remote: a\\nb\\u{1b}[0m\\u{202e}c\n");
        let long = "ä".repeat(10_000);
        let text = line(now, &Record::builder().args(format_args!("{long}")).build());
        assert!(text.ends_with("ä… (11808 octets more)\n") && text.len() < MOST + 100, "{}", text.len());
    }

    #[test]
    fn a_throttle_lets_some_lines_through_each_minute() {
        let throttle = Throttle::default();
        let count = |second| (0..100).filter(|_| throttle.allows(Duration::from_secs(second))).count() as u64;
        assert_eq!((count(3), count(59), count(60), count(119), count(4000)), (20, 0, 20, 0, 20));
    }

    #[test]
    fn lines_left_out_are_counted_once() {
        let throttle = Throttle::default();
        let at = Duration::from_secs;
        assert_eq!(throttle.summary(at(1000)), None);
        for _ in 0..3500 {
            throttle.allows(at(1003));
        }
        assert_eq!(throttle.summary(at(1004)), None);
        assert_eq!(throttle.summary(at(1063)), Some((3480, 60)));
        assert_eq!(throttle.summary(at(2000)), None);
    }

    #[test]
    fn the_longest_module_decides() {
        let filter: LogFilter = "warn,git=debug,git::pack=off".parse().unwrap();
        assert_eq!(level_of(&filter, "zonule::git::fetch"), LevelFilter::Debug);
        assert_eq!(level_of(&filter, "zonule::git::pack"), LevelFilter::Off);
        assert_eq!(level_of(&filter, "zonule::gitlike"), LevelFilter::Warn);
        assert_eq!(level_of(&filter, "zonule"), LevelFilter::Warn);
    }
}
