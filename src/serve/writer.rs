//! The one writer: fetches, updates and pushes in one order.
//!
//! One thread holds the repository and what is served. It looks at the remote now and then and loads what is new; it takes
//! updates from the queue, makes a commit of each, pushes them together, and only when the remote has accepted them are
//! they served and their clients told. Nobody else changes anything, so there is nothing to lock and nothing to merge:
//! whoever pushes to the remote between our look and our push makes the push fail, and all is done again on what is there
//! then.
//!
//! ```text
//! queue ─► prepare, commit (each on the one before) ─► push ─┬─ accepted ──► serve, NOERROR
//!            ▲                                               ├─ stale ─────► fetch, load, again
//!            │                                               ├─ refused ───► halves, each again; one alone: REFUSED
//!            └── what was queued meanwhile                   ├─ not sent ──► SERVFAIL
//!                                                            └─ unknown ───► fetch until it is known
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::queue::{Job, Outcome};
use super::{Served, Server, seconds};
use crate::config::Author;
use crate::git::{self, Deadline, Draft, Fate, ObjectId, PushError, Repository, Signature};
use crate::message::Rcode;
use crate::notify::Trigger;
use crate::primary::{Base, Commit, Origin, Primary};
use crate::update::Refusal;
use crate::zone::Name;

/// The wait after the first failure; it doubles with each further one.
const RETRY_FIRST: Duration = Duration::from_millis(500);

/// The longest wait between two tries while nothing is served yet.
const RETRY_MOST: Duration = Duration::from_secs(30);

/// How often a failure that lasts is told, at least this long apart; what happens between is logged as debug.
const REMINDER: Duration = Duration::from_secs(60);

/// How far apart looks at the remote are that notifications bring about.
const LOOKS: Duration = Duration::from_millis(500);

/// How long the remote may take to say what became of a push: its hooks run meanwhile.
const REPORT: Duration = Duration::from_secs(120);

/// The waits between two tries to find out what became of a push, and between two pushes of the same.
const INQUIRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// For how long push may follow push before people get their turn, and how long that lasts.
const PUSHING: Duration = Duration::from_secs(1);
const TURN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// How long a branch that is being moved is left alone, for the first time; then for longer.
const LOCKED: Duration = Duration::from_millis(20);

/// How many races for the branch may be lost in a row.
const RACES: usize = 10;

/// The thread's state.
pub(super) struct Writer {
    server: Arc<Server>,
    repository: Repository,
    primary: Primary,
    poll: Duration,
    committer: Author,
    /// The name of the catalog that is produced.
    catalog: Option<Name>,
    /// The commit that is served.
    loaded: Option<ObjectId>,
    failures: u32,
    told: Option<(String, Instant)>,
}

/// The commit that the next one is made upon.
struct Upon<'a> {
    repository: &'a Repository,
    draft: &'a Draft,
}

impl Base for Upon<'_> {
    type Error = git::Error;

    fn read(&self, id: &ObjectId) -> Result<Vec<u8>, git::Error> {
        self.draft.read(self.repository, *id)
    }

    fn names(&self) -> Result<Vec<String>, git::Error> {
        self.draft.root_names(self.repository)
    }
}

/// What came of a push in the end.
enum Pushed {
    /// The remote has it.
    Accepted,
    /// The branch has moved: all must be done again on what is there now.
    Stale,
    /// The remote does not want it.
    Refused(Outcome),
    /// The remote does not have it, for this reason.
    Failed(String),
}

impl Writer {
    pub(super) fn new(
        server: Arc<Server>,
        repository: Repository,
        primary: Primary,
        poll: Duration,
        committer: Author,
        catalog: Option<Name>,
    ) -> Self {
        Writer { server, repository, primary, poll, committer, catalog, loaded: None, failures: 0, told: None }
    }

    /// Keeps what is served equal to what the remote holds, and makes updates, for ever.
    pub(super) fn run(mut self) -> ! {
        let server = Arc::clone(&self.server);
        let mut next = Instant::now();
        let mut trigger = Trigger::new(LOOKS);
        let mut turns = Turns::default();
        loop {
            if server.queue.was_poked() {
                trigger.want();
            }
            if trigger.begin(server.clock.now().0) || Instant::now() >= next {
                next = Instant::now() + self.follow();
                trigger.finished();
            }
            let due = trigger.due().map_or(next, |due| server.clock.moment(due).min(next));
            let jobs = server.queue.take(due);
            if !jobs.is_empty() {
                let begun = Instant::now();
                self.settle(jobs);
                turns.give(begun, begun.elapsed(), server.patience);
            }
        }
    }

    /// Takes over what is new at the remote; returns how long to wait before the next look.
    fn follow(&mut self) -> Duration {
        let error = match self.look() {
            Ok(()) => {
                if self.failures > 0 {
                    log::info!("{}: answers again", self.repository.remote());
                }
                self.failures = 0;
                self.told = None;
                return self.poll;
            }
            Err(error) => error,
        };
        let loaded = self.loaded.is_some();
        let wait = backoff(self.failures).min(if loaded { self.poll } else { RETRY_MOST });
        self.failures += 1;
        let meanwhile = if loaded { "the zones loaded before are served" } else { "answering SERVFAIL" };
        let text = format!("{}: {error}", self.repository.remote());
        let due = self.told.as_ref().is_none_or(|(last, at)| *last != text || at.elapsed() >= REMINDER);
        let level = if due { log::Level::Warn } else { log::Level::Debug };
        log::log!(level, "{text}; meanwhile {meanwhile}; next try in {wait:?}");
        if due {
            self.told = Some((text, Instant::now()));
        }
        wait
    }

    /// Fetches once, and loads and serves the remote's commit if that is another.
    fn look(&mut self) -> Result<(), git::Error> {
        self.repository.fetch()?;
        self.load()?;
        self.server.agreed.store(seconds(), Ordering::Relaxed);
        Ok(())
    }

    /// Loads and serves the commit that was fetched, unless it is served already.
    fn load(&mut self) -> Result<(), git::Error> {
        let first = self.loaded.is_none();
        if let Some(commit) = self.take_over()? {
            // Before contents are served whose serial number was not raised: a secondary would know them by the old one. What
            // was served before the start nobody knows.
            if !first {
                self.raise_serials();
            }
            self.publish();
            let (zones, records) = self.primary.size();
            if first {
                let after = self.server.elapsed();
                log::info!("zones loaded after {after} ms: {zones} zones, {records} records, commit {commit}");
            } else {
                log::info!("commit {commit}: {zones} zones, {records} records");
            }
        } else if self.primary.not_raised().next().is_some() {
            self.raise_serials();
            self.publish();
        }
        Ok(())
    }

    /// Loads the commit that was fetched, and returns it, unless it is loaded already.
    fn take_over(&mut self) -> Result<Option<ObjectId>, git::Error> {
        let commit = self.repository.commit().map(|commit| commit.id);
        let Some(commit) = commit.filter(|commit| Some(*commit) != self.loaded) else { return Ok(None) };
        let repository = &self.repository;
        let changes = self.primary.load(repository.files()?, |id| repository.read(*id));
        let first = self.loaded.replace(commit).is_none();
        for change in &changes {
            change.log(first);
        }
        Ok(Some(commit))
    }

    /// Makes what is loaded what is served.
    fn publish(&self) {
        let Some(commit) = self.loaded else { return };
        let mut catalog = self.primary.catalog().clone();
        if let Some(name) = &self.catalog {
            self.server.add_catalog(name, &mut catalog);
        }
        let keys = Arc::clone(self.primary.keyring());
        self.server.agreed.store(seconds(), Ordering::Relaxed);
        self.server.publish(Served { catalog: Some(catalog), keys, origin: Some((self.primary.clone(), commit)) });
    }

    /// Commits higher serial numbers for the zones that were changed without one.
    fn raise_serials(&mut self) {
        for _ in 0..RACES {
            let zones: Vec<Name> = self.primary.not_raised().cloned().collect();
            let (Some(changed_by), false) = (self.repository.commit(), zones.is_empty()) else { return };
            let mut next = self.primary.clone();
            let mut draft = match self.repository.draft() {
                Ok(draft) => draft,
                Err(error) => return log::error!("cannot commit raised serials: {error}"),
            };
            let mut summaries = Vec::new();
            for apex in &zones {
                let upon = Upon { repository: &self.repository, draft: &draft };
                let commit = next.prepare_raise(apex, &changed_by, &upon).and_then(|commit| {
                    self.commit(&mut draft, &commit, &self.committer.name)?;
                    Ok(commit)
                });
                match commit {
                    Ok(commit) => {
                        summaries.push(commit.summary().to_string());
                        next.accept(commit);
                    }
                    Err(refusal) => log::error!(
                        "zone {apex}: cannot raise the serial: {}; raise it in the SOA and push",
                        refusal.reason
                    ),
                }
            }
            if draft.is_empty() {
                return;
            }
            match self.push(&draft, self.server.patience) {
                Pushed::Accepted => {
                    self.adopt(next, &draft);
                    for summary in summaries {
                        log::info!("committed: {summary}");
                    }
                    return;
                }
                Pushed::Stale => {
                    let fetched = self.repository.fetch().map(drop);
                    if let Err(error) = fetched.and_then(|()| self.take_over().map(drop)) {
                        return log::warn!(
                            "{}: {error}; raised serials wait for the next look",
                            self.repository.remote()
                        );
                    }
                }
                Pushed::Refused(Outcome { why, .. }) => {
                    let why = why.map_or_else(String::new, |(_, text)| text.to_string());
                    log::error!("the remote refuses raised serials: {why}; raise them in the SOA and push");
                    return;
                }
                Pushed::Failed(reason) => {
                    log::error!("cannot push raised serials: {reason}; tried again with the next look at the remote");
                    return;
                }
            }
        }
    }

    /// Makes updates: each is replied to when its outcome is known.
    fn settle(&mut self, mut jobs: Vec<Job>) {
        let server = Arc::clone(&self.server);
        // What is judged and edited must be what the commits are made upon, whatever failed before.
        if let Err(error) = self.load() {
            return self.fail(jobs, &error.to_string());
        }
        for race in 0..RACES {
            let now = Instant::now();
            let (expired, left): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| job.deadline <= now);
            for job in expired {
                server.settle(&job, &Outcome::because(Rcode::SERVER_FAILURE, "the git remote was busy for too long"));
            }
            jobs = left;
            // Those whose deadline comes first are told with the others: a push cannot be taken back for some.
            let Some(patience) = jobs.iter().map(|job| job.deadline - now).max() else { return };

            let mut next = self.primary.clone();
            let mut draft = match self.repository.draft() {
                Ok(draft) => draft,
                Err(error) => return self.fail(jobs, &error.to_string()),
            };
            let prepared: Vec<Result<Option<String>, Refusal>> =
                jobs.iter().map(|job| self.make(&mut next, &mut draft, job)).collect();
            if draft.is_empty() {
                for (job, outcome) in jobs.iter().zip(prepared) {
                    server.settle(job, &outcome.map_or_else(Outcome::from, |_| Outcome::SUCCESS));
                }
                return;
            }
            match self.push(&draft, patience) {
                Pushed::Accepted => {
                    self.adopt(next, &draft);
                    self.publish();
                    for (job, outcome) in jobs.iter().zip(prepared) {
                        match outcome {
                            Ok(summary) => {
                                if let Some(summary) = summary {
                                    log::info!("committed: {summary}, from {}", job.client);
                                }
                                server.settle(job, &Outcome::SUCCESS);
                            }
                            Err(refusal) => server.settle(job, &refusal.into()),
                        }
                    }
                    return;
                }
                Pushed::Stale => {
                    let left = patience.saturating_sub(now.elapsed());
                    let fetched = self.repository.fetch_by(Deadline::from_now(left)).map(drop);
                    if let Err(error) = fetched.and_then(|()| self.load()) {
                        return self.fail(jobs, &error.to_string());
                    }
                    if self.repository.commit().is_some_and(|commit| commit.id == draft.base()) {
                        // Somebody is about to move the branch and holds its lock.
                        thread::sleep(LOCKED * (race as u32 + 1));
                    }
                }
                Pushed::Refused(outcome) => {
                    if draft.len() == 1 {
                        return self.conclude(jobs, prepared, &outcome);
                    }
                    // One of them is why, or several; the others are to be made.
                    let second = jobs.split_off(jobs.len() / 2);
                    self.settle(jobs);
                    return self.settle(second);
                }
                Pushed::Failed(reason) => {
                    let outcome = Outcome::because(Rcode::SERVER_FAILURE, &reason);
                    return self.conclude(jobs, prepared, &outcome);
                }
            }
        }
        self.fail(jobs, "others keep changing the branch");
    }

    /// Makes a commit of an update upon those before it; returns the message's first line, or `None` if there is nothing
    /// to change.
    fn make(&self, next: &mut Primary, draft: &mut Draft, job: &Job) -> Result<Option<String>, Refusal> {
        let Some(commit) = self.judge(next, draft, job)? else { return Ok(None) };
        let mut author = job.key.name().to_string();
        author.pop();
        self.commit(draft, &commit, &author)?;
        let summary = commit.summary().to_string();
        next.accept(commit);
        Ok(Some(summary))
    }

    /// Returns the commit that makes an update upon those of a draft, `None` if there is nothing to change.
    fn judge(&self, primary: &Primary, draft: &Draft, job: &Job) -> Result<Option<Commit>, Refusal> {
        still_valid(primary, job)?;
        let apex = job.update.zone();
        if self.catalog.as_ref() == Some(apex) && primary.catalog().get(apex).is_none() {
            // A zone of its name would take its place, and secondaries would drop all others.
            return Err(Refusal::new(Rcode::REFUSED, "the server generates this zone (--catalog)"));
        }
        let origin = Origin { key: job.key.name(), client: job.client };
        primary.prepare(&job.update, origin, &Upon { repository: &self.repository, draft })
    }

    fn commit(&self, draft: &mut Draft, commit: &Commit, author: &str) -> Result<(), Refusal> {
        let Author { name, email } = &self.committer;
        let now = seconds();
        let (author, committer) = (Signature::new(author, email, now), Signature::new(name, email, now));
        let made = draft.commit(&self.repository, commit.files(), &author, &committer, commit.message());
        made.map(drop).map_err(|error| Refusal::new(Rcode::SERVER_FAILURE, error.to_string()))
    }

    /// Tells what came of updates whose push came to nothing, which is `outcome` for those that had a commit.
    fn conclude(&mut self, jobs: Vec<Job>, prepared: Vec<Result<Option<String>, Refusal>>, outcome: &Outcome) {
        for (job, prepared) in jobs.iter().zip(prepared) {
            if let Ok(Some(_)) = prepared {
                self.server.settle(job, outcome);
                continue;
            }
            // What it was judged by is not what became true, so it is judged anew.
            let draft = self.repository.draft();
            let draft = draft.map_err(|error| Refusal::new(Rcode::SERVER_FAILURE, error.to_string()));
            match draft.and_then(|draft| self.judge(&self.primary, &draft, job)) {
                Ok(None) => self.server.settle(job, &Outcome::SUCCESS),
                Ok(Some(_)) => self.server.settle(job, outcome),
                Err(refusal) => self.server.settle(job, &refusal.into()),
            }
        }
    }

    fn fail(&self, jobs: Vec<Job>, reason: &str) {
        for job in jobs {
            self.server.settle(&job, &Outcome::because(Rcode::SERVER_FAILURE, reason));
        }
    }

    /// Takes over what was pushed: `next`, made of `draft`, or what the remote has by now.
    fn adopt(&mut self, next: Primary, draft: &Draft) {
        self.primary = next;
        self.loaded = Some(draft.tip());
        // Somebody may have pushed upon it before we knew that it was accepted. Where we know that much and no more, because
        // the remote is away again, the next look brings the rest.
        if self.repository.commit().is_some_and(|commit| commit.id != draft.tip() && commit.id != draft.base())
            && let Err(error) = self.load()
        {
            log::warn!("{}: {error}", self.repository.remote());
        }
    }

    /// Pushes, and does not return before it is known whether the remote has accepted it.
    fn push(&mut self, draft: &Draft, patience: Duration) -> Pushed {
        let deadline = Instant::now() + patience;
        let (mut in_doubt, mut wait) = (false, INQUIRY.0);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let error = match self.repository.push(draft, Deadline::from_now(left), REPORT) {
                Ok(()) => return Pushed::Accepted,
                // What moved the branch may be the first push, of which nothing was heard.
                Err(PushError::Stale) if in_doubt => match self.find_out(draft) {
                    Fate::Taken => return self.taken(),
                    Fate::Lost | Fate::Open => return Pushed::Stale,
                },
                Err(PushError::Stale) => return Pushed::Stale,
                Err(error @ PushError::Refused { .. }) => {
                    log::error!("{}: {error}", self.repository.remote());
                    let PushError::Refused { reason, said } = error else { unreachable!("it was matched just now") };
                    let said = if said.is_empty() { reason } else { said };
                    return Pushed::Refused(Outcome::because(Rcode::REFUSED, &said));
                }
                Err(error @ PushError::NotSent(_)) => {
                    log::error!("{}: {error}", self.repository.remote());
                    return Pushed::Failed(format!("the git remote cannot be pushed to: {error}"));
                }
                Err(PushError::Unknown(error)) => error,
            };
            let level = if in_doubt { log::Level::Debug } else { log::Level::Warn };
            log::log!(level, "{}: {error}; looking what became of the push", self.repository.remote());
            match self.find_out(draft) {
                Fate::Taken => return self.taken(),
                Fate::Lost => return Pushed::Stale,
                // The same commits once more: should the first push be taken after all, it is the same.
                Fate::Open if Instant::now() < deadline => {
                    in_doubt = true;
                    thread::sleep(wait.min(deadline.saturating_duration_since(Instant::now())));
                    wait = (wait * 2).min(INQUIRY.1);
                }
                Fate::Open => return Pushed::Failed(format!("the git remote did not take the push: {error}")),
            }
        }
    }

    /// Brings what the remote has beside a push that it took without a word.
    fn taken(&mut self) -> Pushed {
        if let Err(error) = self.repository.fetch() {
            log::warn!("{}: {error}", self.repository.remote());
        }
        Pushed::Accepted
    }

    /// Returns what has become of the commits of `draft`, as soon as the remote answers.
    fn find_out(&mut self, draft: &Draft) -> Fate {
        let (mut wait, most) = INQUIRY;
        loop {
            match self.repository.fate(draft.tip(), draft.base()) {
                Ok(fate) => return fate,
                Err(error) => log::debug!("{}: {error}; next try in {wait:?}", self.repository.remote()),
            }
            thread::sleep(wait);
            wait = (wait * 2).min(most);
        }
    }
}

/// Leaves the branch to others now and then while updates come without end.
///
/// A person's push takes as long as ours, and is lost if one of ours comes between. Pushes that follow each other leave no
/// gap for it; so after a while there is one, long enough for several tries. What is queued meanwhile goes together.
#[derive(Default)]
struct Turns {
    /// Since when push has followed push, and when the last one ended.
    run: Option<(Instant, Instant)>,
}

impl Turns {
    /// Pauses after a push of some length if it is time for it.
    fn give(&mut self, begun: Instant, length: Duration, patience: Duration) {
        let since = match self.run {
            Some((since, ended)) if begun.saturating_duration_since(ended) < TURN.0 => since,
            _ => begun,
        };
        let ended = begun + length;
        self.run = Some((since, ended));
        if ended.saturating_duration_since(since) >= PUSHING {
            thread::sleep((length * 3).clamp(TURN.0, TURN.1).min(patience / 4));
            self.run = None;
        }
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Outcome::because(refusal.rcode, &refusal.reason)
    }
}

/// Checks that the key of an update, which may have waited, is still one: a commit takes effect on all that follow it.
fn still_valid(primary: &Primary, job: &Job) -> Result<(), Refusal> {
    match primary.keyring().get(job.key.name()) {
        Some(key) if *key == job.key => Ok(()),
        _ => Err(Refusal::new(Rcode::REFUSED, "the key was withdrawn while the update waited")),
    }
}

/// Returns the wait after `failures` failures and one more.
fn backoff(failures: u32) -> Duration {
    RETRY_FIRST.saturating_mul(2u32.saturating_pow(failures)).min(RETRY_MOST)
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

    #[test]
    fn pushes_without_end_leave_a_gap_and_few_pushes_none() {
        let now = Instant::now();
        let (at, patience) = (|milliseconds| now + Duration::from_millis(milliseconds), Duration::from_millis(4));
        let mut turns = Turns::default();
        for begun in [0, 250, 500] {
            turns.give(at(begun), Duration::from_millis(200), patience);
            assert_eq!(turns.run.map(|(since, _)| since), Some(now), "{begun}");
        }
        turns.give(at(800), Duration::from_millis(200), patience);
        assert!(turns.run.is_none(), "a second of them is enough");
        turns.give(at(5000), Duration::from_millis(200), patience);
        turns.give(at(5900), Duration::from_millis(200), patience);
        assert_eq!(turns.run.map(|(since, _)| since), Some(at(5900)), "there was a gap");
    }
}
