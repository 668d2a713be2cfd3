//! Following the remote: fetch, load what changed, swap, wait, again.

use std::thread;
use std::time::{Duration, Instant};

use super::Server;
use crate::git::{self, ObjectId, Repository};
use crate::primary::Primary;

/// The wait after the first failure; it doubles with each further one.
const RETRY_FIRST: Duration = Duration::from_millis(500);

/// The longest wait between two tries while nothing is served yet.
const RETRY_MOST: Duration = Duration::from_secs(30);

/// How often a failure that lasts is told, at least this long apart; what happens between is logged as debug.
const REMINDER: Duration = Duration::from_secs(60);

/// Keeps what `server` serves equal to what the remote holds, for ever.
pub(super) fn run(server: &Server, mut repository: Repository, poll: Duration) {
    let mut primary = Primary::default();
    let mut loaded = None;
    let mut failures = 0;
    let mut told: Option<(String, Instant)> = None;
    loop {
        let wait = match step(server, &mut repository, &mut primary, &mut loaded) {
            Ok(()) => {
                if failures > 0 {
                    log::info!("{}: answers again", repository.remote());
                }
                failures = 0;
                told = None;
                poll
            }
            Err(error) => {
                let loaded = loaded.is_some();
                let wait = backoff(failures).min(if loaded { poll } else { RETRY_MOST });
                failures += 1;
                let meanwhile = if loaded { "the zones loaded before are served" } else { "answering SERVFAIL" };
                let text = format!("{}: {error}", repository.remote());
                let due = told.as_ref().is_none_or(|(last, at)| *last != text || at.elapsed() >= REMINDER);
                let level = if due { log::Level::Warn } else { log::Level::Debug };
                log::log!(level, "{text}; meanwhile {meanwhile}; next try in {wait:?}");
                if due {
                    told = Some((text, Instant::now()));
                }
                wait
            }
        };
        thread::sleep(wait);
    }
}

/// Returns the wait after `failures` failures and one more.
fn backoff(failures: u32) -> Duration {
    RETRY_FIRST.saturating_mul(2u32.saturating_pow(failures)).min(RETRY_MOST)
}

/// Fetches once, and loads and serves the remote's commit if it is not the one `loaded`.
fn step(
    server: &Server,
    repository: &mut Repository,
    primary: &mut Primary,
    loaded: &mut Option<ObjectId>,
) -> Result<(), git::Error> {
    repository.fetch()?;
    let commit = repository.commit().map(|commit| commit.id);
    let Some(commit) = commit.filter(|commit| Some(*commit) != *loaded) else { return Ok(()) };
    let changes = primary.load(repository.files()?, |id| repository.read(*id));
    server.publish(primary.catalog().clone());
    let first = loaded.replace(commit).is_none();
    for change in &changes {
        change.log(first);
    }
    let (zones, records) = primary.size();
    if first {
        log::info!("zones loaded after {} ms: {zones} zones, {records} records, commit {commit}", server.elapsed());
    } else {
        log::info!("commit {commit}: {zones} zones, {records} records");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most() {
        assert_eq!(backoff(0), Duration::from_millis(500));
        assert_eq!(backoff(1), Duration::from_secs(1));
        assert_eq!(backoff(5), Duration::from_secs(16));
        assert_eq!(backoff(6), RETRY_MOST);
        assert_eq!(backoff(u32::MAX), RETRY_MOST);
    }
}
