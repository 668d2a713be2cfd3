//! The single writer thread: fetches, updates and pushes, in one order.
//!
//! One thread owns the repository and what is served. It polls the remote and loads new commits. It takes updates from
//! the queue, makes one commit for each and pushes them together. Only once the remote has accepted the push are they
//! served and their clients answered. Nothing else changes the zones, so there is nothing to lock and nothing to merge:
//! if somebody else pushes to the remote between our fetch and our push, our push fails and the updates are redone on
//! top of the new head.
//!
//! ```text
//! queue ─► prepare, commit (each on the one before) ─► push ─┬─ accepted ──► serve, NOERROR
//!            ▲                                               ├─ stale ─────► fetch, load, again
//!            │                                               ├─ refused ───► halves, each again; one alone: REFUSED
//!            └── what was queued meanwhile                   ├─ not sent ──► SERVFAIL
//!                                                            └─ unknown ───► ask until it is known, or SERVFAIL
//! ```
//!
//! If it cannot be determined in time whether the remote has accepted a push, the clients are answered SERVFAIL and the
//! writer goes on. Every push names the commit it is based on, so nothing is overwritten. The push stays in doubt until
//! a fetch shows where the branch is. If the commits are on the branch, they are loaded like any others, and a client
//! that retransmits its message gets the actual outcome.
//!
//! Each commit is recorded before it is served (`record`), so that any server of this branch (this one after a reboot,
//! or another one now) knows which contents each serial number stands for.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::queue::{Job, Outcome, Ticket};
use super::record::{Found, Note, Record};
use super::{Served, Server, Source, seconds};
use crate::config::Author;
use crate::dns::Name;
use crate::dns::message::Rcode;
use crate::git::{self, Deadline, Draft, Fate, ObjectId, PushError, Recorded, Repository, Signature, Timeouts};
use crate::notify::Trigger;
use crate::primary::{Base, Change, Commit, Origin, Primary};
use crate::publish::Publisher;
use crate::telemetry::Trouble;
use crate::text;
use crate::update::Refusal;
use crate::zone::{Entry, Fingerprint, Zone};

/// Delay after the first failure; it doubles with each further one.
const RETRY_FIRST: Duration = Duration::from_millis(500);

/// Maximum delay between two attempts while nothing is served yet.
const RETRY_MOST: Duration = Duration::from_secs(30);

/// Minimum interval between polls of the remote that are triggered by notifications.
const LOOKS: Duration = Duration::from_millis(500);

/// How long the remote may take to report the result of a push. Its hooks run during this time.
const REPORT: Duration = Duration::from_secs(120);

/// Minimum and maximum delay between two attempts to find out the result of a push, and between two pushes of the same
/// commits.
const INQUIRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Minimum time spent on finding out the result of a push before giving up.
const INQUIRY_LEAST: Duration = Duration::from_secs(5);

/// Time after which a warning is logged that the result of a push is still unknown; the interval doubles with each
/// warning.
const INQUIRY_REMINDER: Duration = Duration::from_secs(2);

/// Minimum and maximum delay between polls of the remote while the result of a push is unknown. The delay grows with
/// the time since the push.
const DOUBT_LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How long a push in doubt is checked, and how many may be in doubt. No process at the remote takes longer.
const DOUBT: Duration = Duration::from_secs(900);
const DOUBTS: usize = 64;

/// How long pushes may follow each other before other pushers get a gap, and the minimum and maximum length of that
/// gap.
const PUSHING: Duration = Duration::from_secs(1);
const TURN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// How long to leave a branch alone that another push has locked, the first time; later waits are longer.
const LOCKED: Duration = Duration::from_millis(20);

/// How many races for the branch may be lost in a row.
const RACES: usize = 10;

/// How long the remote may take to accept the record of what is about to be served, before it is served unrecorded.
const RECORDING: Duration = Duration::from_secs(5);

/// How many times in a row a serial number is raised again after it was taken back without any other change.
const RAISES: u32 = 3;

/// State of the writer thread.
pub(super) struct Writer {
    server: Arc<Server>,
    repository: Repository,
    primary: Primary,
    poll: Duration,
    committer: Author,
    publisher: Publisher,
    lookback: Lookback,
    /// `primary` before anything was loaded.
    pristine: Primary,
    /// What was served last, by this server or by another one that recorded it since. New commits are compared with
    /// this, because what was loaded before may never be served.
    base: Primary,
    /// The commit that is served.
    loaded: Option<ObjectId>,
    /// Whether the commit must be loaded again, because what others served was recalled after it was loaded.
    is_behind: bool,
    record: Record,
    /// How many times in a row a zone's serial number was raised because it was taken back.
    taken_back: HashMap<Name, u32>,
    failures: u32,
    trouble: Trouble,
    /// Pushes of updates with an unknown result, oldest first.
    doubts: VecDeque<Doubt>,
}

/// A push of updates of which it is unknown whether the remote accepted it.
struct Doubt {
    tip: ObjectId,
    /// The commit it is based on.
    base: ObjectId,
    since: Instant,
    /// The tickets of its updates, which hold the outcome that retransmissions get.
    tickets: Vec<Arc<Ticket>>,
}

/// The commit that the next one is based on.
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

/// How far back the record of what was served may be followed.
pub(super) struct Lookback {
    pub(super) limits: git::Limits,
    pub(super) depth: u32,
}

/// The final result of a push.
enum Pushed {
    /// The remote has it.
    Accepted,
    /// The branch has moved: everything must be redone on top of the new head.
    Stale,
    /// Another server has recorded what it serves; that record must be read first.
    RecordMoved,
    /// The remote rejected it.
    Refused(Outcome),
    /// The remote does not have it, for this reason.
    Failed(String),
    /// It is unknown whether the remote has it, for this reason.
    Unknown(String),
}

impl Pushed {
    fn unknown(error: &dyn std::fmt::Display) -> Self {
        Pushed::Unknown(format!("it is not known whether the git remote has accepted the push: {error}"))
    }
}

impl Writer {
    pub(super) fn new(
        server: Arc<Server>,
        repository: Repository,
        primary: Primary,
        poll: Duration,
        committer: Author,
        publisher: Publisher,
        lookback: Lookback,
    ) -> Self {
        Writer {
            server,
            repository,
            pristine: primary.clone(),
            base: primary.clone(),
            primary,
            poll,
            committer,
            publisher,
            lookback,
            loaded: None,
            is_behind: false,
            record: Record::default(),
            taken_back: HashMap::new(),
            failures: 0,
            trouble: Trouble::default(),
            doubts: VecDeque::new(),
        }
    }

    /// Follows the remote and makes updates, indefinitely.
    pub(super) fn run(mut self) -> ! {
        let server = Arc::clone(&self.server);
        let mut next = Instant::now();
        let mut trigger = Trigger::new(LOOKS);
        let mut turns = Turns::default();
        loop {
            if server.updates.queue.was_poked() {
                trigger.want();
            }
            if trigger.begin(server.clock.now().0) || Instant::now() >= next {
                let wait = self.follow();
                next = Instant::now() + self.doubt_wait().map_or(wait, |sooner| wait.min(sooner));
                trigger.finished();
            }
            let due = trigger.due().map_or(next, |due| server.clock.moment(due).min(next));
            let jobs = server.updates.queue.take(due);
            if !jobs.is_empty() {
                let begun = Instant::now();
                self.settle(jobs);
                next = self.doubt_wait().map_or(next, |wait| next.min(Instant::now() + wait));
                turns.give(begun, begun.elapsed(), server.updates.patience);
            }
        }
    }

    /// Polls the remote and loads what is new; returns how long to wait before the next poll.
    fn follow(&mut self) -> Duration {
        if let Some(left) = self.repository.upstream().rest.left() {
            // The poll that follows the pause also sees whatever triggered this one.
            return left;
        }
        let error = match self.look() {
            Ok(()) => {
                self.server.updates.set_obstacle(None);
                self.failures = 0;
                if let Some(over) = self.trouble.ended(self.server.clock.now().0) {
                    log::info!("{}: answers again after {over}", self.repository.remote());
                }
                return self.poll;
            }
            Err(error) => error.to_string(),
        };
        self.server.updates.set_obstacle(Some(&error));
        let loaded = self.loaded.is_some();
        let usual = backoff(self.failures).min(if loaded { self.poll } else { RETRY_MOST });
        let wait = self.repository.upstream().rest.left().unwrap_or(usual);
        self.failures += 1;
        let meanwhile = if loaded { "the zones loaded before are served" } else { "answering SERVFAIL" };
        let is_logged = self.trouble.failed(self.server.clock.now().0, &error);
        let level = if is_logged { log::Level::Warn } else { log::Level::Debug };
        let (remote, next) = (self.repository.remote(), text::time(wait));
        log::log!(level, "{remote}: {error}; next try in {next}; meanwhile {meanwhile}");
        wait
    }

    /// Fetches once, and loads and serves the remote's commit if it is a new one.
    fn look(&mut self) -> Result<(), git::Error> {
        self.repository.fetch()?;
        self.load()?;
        self.server.polling.agree();
        self.resolve_doubts();
        Ok(())
    }

    /// Returns the maximum delay before the next poll if there are pushes in doubt.
    fn doubt_wait(&self) -> Option<Duration> {
        let newest = self.doubts.back()?;
        Some((newest.since.elapsed() / 2).clamp(DOUBT_LOOKS.0, DOUBT_LOOKS.1))
    }

    /// Finds out for each push in doubt whether its commits are on the fetched branch. If they are, they are already
    /// being served. Records the outcome for clients that retransmit.
    fn resolve_doubts(&mut self) {
        let Some(head) = self.repository.commit().map(|commit| commit.id) else { return };
        for doubt in std::mem::take(&mut self.doubts) {
            let fate = match head {
                head if head == doubt.tip => Ok(Fate::Taken),
                // The process that received it may still be running.
                head if head == doubt.base && doubt.since.elapsed() < DOUBT => Ok(Fate::Open),
                head if head == doubt.base => Ok(Fate::Lost),
                _ => self.repository.fate(doubt.tip, doubt.base),
            };
            let (remote, commit, count) = (self.repository.remote(), doubt.tip, doubt.tickets.len());
            let outcome = match fate {
                Ok(Fate::Taken) => {
                    log::info!(
                        "{remote}: the push of {commit}, in doubt before, was accepted: {count} updates are made"
                    );
                    Outcome::SUCCESS
                }
                Ok(Fate::Lost) => {
                    log::warn!(
                        "{remote}: the push of {commit}, in doubt before, was not accepted: {count} updates failed"
                    );
                    Outcome::because(Rcode::SERVER_FAILURE, "the git remote did not accept the push")
                }
                Ok(Fate::Open) => {
                    self.doubts.push_back(doubt);
                    continue;
                }
                Err(error) => {
                    if doubt.since.elapsed() < DOUBT {
                        self.doubts.push_back(doubt);
                    }
                    log::debug!("{remote}: {error}; still looking what became of the push of {commit}");
                    continue;
                }
            };
            doubt.tickets.iter().for_each(|ticket| ticket.amend(&outcome));
        }
    }

    /// Loads and serves the fetched commit, unless it is served already.
    fn load(&mut self) -> Result<(), git::Error> {
        let first = self.loaded.is_none();
        if first && let Err(error) = self.recall() {
            // If the problem persists, it shows again when something is to be recorded.
            log::warn!("{}: the record of what was served: {error}", self.repository.remote());
        }
        if let Some(commit) = self.take_over()? {
            self.settle_serials()?;
            self.publish();
            let (zones, records) = self.primary.size();
            if first {
                let after = self.server.elapsed();
                log::info!("zones loaded after {after} ms: {zones} zones, {records} records, commit {commit}");
            } else {
                log::info!("commit {commit}: {zones} zones, {records} records");
            }
        } else if self.primary.not_raised().next().is_some() || self.record.is_due() {
            self.settle_serials()?;
            self.publish();
        }
        Ok(())
    }

    /// Makes sure that what is loaded is recorded, under serial numbers that stand for nothing else.
    ///
    /// Contents with a serial number that was not raised get a new one before they are served: secondaries would
    /// otherwise take them for the old version.
    fn settle_serials(&mut self) -> Result<(), git::Error> {
        for _ in 0..RACES {
            self.raise_serials();
            if self.record_served() {
                return Ok(());
            }
            self.recall()?;
            self.repository.fetch()?;
            self.take_over()?;
        }
        log::warn!("{}: others keep recording what they serve; not recorded yet", self.repository.remote());
        Ok(())
    }

    /// Loads the fetched commit and returns it, unless it is loaded already.
    fn take_over(&mut self) -> Result<Option<ObjectId>, git::Error> {
        let Some(commit) = self.repository.commit() else { return Ok(None) };
        if Some(commit.id) == self.loaded && !self.is_behind {
            return Ok(None);
        }
        let repository = &self.repository;
        self.primary = self.base.clone();
        let changes = self.primary.load(repository.files()?, |id| repository.read(*id));
        let first = self.loaded.replace(commit.id).is_none();
        self.is_behind = false;
        for change in &changes {
            change.log(first);
        }
        if first || changes.iter().any(is_news) {
            self.note(commit.tree, commit.id);
        } else {
            self.record.add_nothing();
        }
        Ok(Some(commit.id))
    }

    /// Queues what is loaded for recording.
    fn note(&mut self, tree: ObjectId, commit: ObjectId) {
        self.record.add(Note { tree, text: self.primary.note(&commit), seconds: seconds() });
    }

    /// Takes over what was served last, by any server, from the record, so that what is loaded next is compared with
    /// it.
    fn recall(&mut self) -> Result<(), git::Error> {
        let Some(record) = self.repository.branch().and_then(git::record_of) else { return Ok(()) };
        let first = self.loaded.is_none();
        let Some(last) = self.repository.beside(&record)? else {
            self.record.is_gone();
            return Ok(());
        };
        match self.record.found(last.id, last.tree, &last.message) {
            Found::Known => return Ok(()),
            Found::Next => {
                self.base = self.primary.clone();
                return Ok(());
            }
            Found::News => {}
        }
        let (mut changes, is_all) =
            self.base.recall(last.files.clone(), |id| last.read(&self.repository, *id), &last.message);
        if !is_all {
            // A version is served that the last entry does not contain: its file was broken or held back.
            let (limits, depth) = (&self.lookback.limits, self.lookback.depth.max(1));
            let upstream = self.repository.upstream();
            let entries = git::History::of_reference(upstream, &record, depth, limits, Timeouts::default())?;
            if let Some(entries) = entries.filter(|entries| entries.commits()[0].id == last.id) {
                self.base = self.pristine.clone();
                for at in (0..entries.commits().len()).rev() {
                    let (files, note) = (entries.files(at)?, entries.message(at)?);
                    changes = self.base.recall(files, |id| entries.read(*id), &note).0;
                }
            }
        }
        for change in &changes {
            change.log(true);
        }
        self.is_behind = true;
        log::debug!("what was served last is entry {} of {record}", last.id);
        if first { Ok(()) } else { self.take_over().map(drop) }
    }

    /// Records what is about to be served. Returns `false` if this must start over on top of what others served.
    fn record_served(&mut self) -> bool {
        if !self.record.is_due() || self.repository.branch().is_none() {
            return true;
        }
        let pushed = self.record.entries(&self.committer).map_err(PushError::NotSent).and_then(|entries| {
            let draft = self.repository.draft().map_err(PushError::NotSent)?;
            self.repository.push_recording(&draft, &entries, Deadline::from_now(RECORDING), RECORDING)?;
            Ok(entries)
        });
        match pushed {
            Ok(entries) => self.record.accepted(&entries, None),
            Err(PushError::RecordMoved) => return false,
            Err(PushError::NotSent(error)) if !error.is_transient() => self.record.refuse(&error.to_string()),
            Err(error @ (PushError::Refused { .. } | PushError::RecordRefused(_))) => {
                self.record.refuse(&error.to_string());
            }
            Err(error) => log::warn!(
                "{}: cannot record what is served: {error}; tried again with the next look at the remote",
                self.repository.remote()
            ),
        }
        true
    }

    /// Starts serving what is loaded.
    fn publish(&mut self) {
        let Some(commit) = self.loaded else { return };
        self.record.is_served();
        self.base = self.primary.clone();
        let served = self.server.served.load_full();
        let (zones, fault) = self.publisher.publish(self.primary.zones(), served.zones.as_ref(), seconds());
        drop(served);
        if let Some(fault) = fault {
            log::error!("{fault}");
        }
        let keys = Arc::clone(self.primary.keyring());
        self.server.polling.agree();
        let record = self.repository.branch().and_then(git::record_of);
        let origin = Some(Source { commit, record });
        self.server.publish(Served { zones: Some(zones), keys, origin });
    }

    /// Returns the zone that is served under a name.
    fn served(&self, apex: &Name) -> Option<Arc<Zone>> {
        self.server.served.load().zones.as_ref()?.get(apex).and_then(Entry::zone).cloned()
    }

    /// Counts how many times serial numbers were raised that had been taken back without any other change, and stops
    /// after a few. Otherwise, something that undoes our commits would cause a new commit with each poll, indefinitely.
    fn mind_who_undoes(&mut self) {
        let zones: Vec<Name> = self.primary.not_raised().cloned().collect();
        for apex in zones {
            let (Some(served), Some(Entry::Zone(new))) = (self.served(&apex), self.primary.zones().get(&apex)) else {
                continue;
            };
            if Fingerprint::of_contents(&served) != Fingerprint::of_contents(new) {
                self.taken_back.remove(&apex);
                continue;
            }
            let count = self.taken_back.entry(apex.clone()).or_default();
            *count += 1;
            if *count > RAISES {
                log::error!(
                    "zone {apex}: its serial went {} -> {} without any other change, {count} times in a row: something at \
                     the remote undoes this server's commits; serial {} stays served until the zone is changed with a \
                     higher one",
                    served.serial(),
                    new.serial(),
                    served.serial()
                );
                self.primary.hold(&served);
            }
        }
        if let (Some(commit), Some(loaded)) = (self.repository.commit(), self.loaded)
            && commit.id == loaded
        {
            self.note(commit.tree, commit.id);
        }
    }

    /// Commits higher serial numbers for the zones that were changed without raising theirs.
    fn raise_serials(&mut self) {
        if self.primary.not_raised().next().is_some() {
            self.mind_who_undoes();
        }
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
            match self.push(&draft, &next, self.server.updates.patience) {
                Pushed::Accepted => {
                    self.adopt(next, &draft);
                    for summary in summaries {
                        log::info!("committed: {summary}");
                    }
                    return;
                }
                pushed @ (Pushed::Stale | Pushed::RecordMoved) => {
                    let recalled = if matches!(pushed, Pushed::RecordMoved) { self.recall() } else { Ok(()) };
                    let fetched = recalled.and_then(|()| self.repository.fetch().map(drop));
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
                Pushed::Unknown(reason) => {
                    log::error!("raised serials: {reason}; the next look at the remote shows it");
                    return;
                }
            }
        }
    }

    /// Makes updates, and replies to each when its outcome is known.
    fn settle(&mut self, mut jobs: Vec<Job>) {
        let server = Arc::clone(&self.server);
        // Updates must be checked against, and applied to, exactly what the commits are based on, whatever failed
        // before.
        if let Err(error) = self.load() {
            return self.fail(jobs, &error.to_string());
        }
        for race in 0..RACES {
            let now = Instant::now();
            let (expired, left): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| job.deadline <= now);
            for job in expired {
                server.settle(&job, &server.updates.overdue());
            }
            jobs = left;
            // Updates with an earlier deadline are answered together with the others: a push cannot be taken back for
            // some of them.
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
            match self.push(&draft, &next, patience) {
                Pushed::Accepted => {
                    self.adopt(next, &draft);
                    if let Err(error) = self.settle_serials() {
                        log::warn!("{}: {error}", self.repository.remote());
                    }
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
                pushed @ (Pushed::Stale | Pushed::RecordMoved) => {
                    let recalled = if matches!(pushed, Pushed::RecordMoved) { self.recall() } else { Ok(()) };
                    let left = patience.saturating_sub(now.elapsed());
                    let fetch = |()| self.repository.fetch_by(Deadline::from_now(left)).map(drop);
                    let fetched = recalled.and_then(fetch);
                    if let Err(error) = fetched.and_then(|()| self.load()) {
                        return self.fail(jobs, &error.to_string());
                    }
                    let is_where_it_was = self.repository.commit().is_some_and(|commit| commit.id == draft.base());
                    if is_where_it_was && matches!(pushed, Pushed::Stale) {
                        // Another push holds the lock of the branch and is about to move it.
                        thread::sleep(LOCKED * (race as u32 + 1));
                    }
                }
                Pushed::Refused(outcome) => {
                    if draft.len() == 1 {
                        return self.conclude(jobs, prepared, &outcome);
                    }
                    // One or several of them cause the rejection; the others should still be made.
                    let second = jobs.split_off(jobs.len() / 2);
                    self.settle(jobs);
                    return self.settle(second);
                }
                Pushed::Failed(reason) => {
                    let outcome = Outcome::because(Rcode::SERVER_FAILURE, &reason);
                    return self.conclude(jobs, prepared, &outcome);
                }
                Pushed::Unknown(reason) => {
                    self.doubt(&draft, &jobs, &prepared);
                    let outcome = Outcome::because(Rcode::SERVER_FAILURE, &reason);
                    return self.conclude(jobs, prepared, &outcome);
                }
            }
        }
        self.fail(jobs, "others keep changing the branch");
    }

    /// Commits an update on top of the ones before it. Returns the first line of the commit message, or `None` if there
    /// is nothing to change.
    fn make(&self, next: &mut Primary, draft: &mut Draft, job: &Job) -> Result<Option<String>, Refusal> {
        let Some(commit) = self.judge(next, draft, job)? else { return Ok(None) };
        let mut author = job.key.name().to_string();
        author.pop();
        self.commit(draft, &commit, &author)?;
        let summary = commit.summary().to_string();
        next.accept(commit);
        Ok(Some(summary))
    }

    /// Returns the commit that makes an update on top of those of a draft, or `None` if there is nothing to change.
    fn judge(&self, primary: &Primary, draft: &Draft, job: &Job) -> Result<Option<Commit>, Refusal> {
        still_valid(primary, job)?;
        let apex = job.update.zone();
        if self.publisher.generates(apex) && primary.zones().get(apex).is_none() {
            // A zone of that name would replace the generated one, and secondaries would drop all other zones.
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

    /// Replies to updates after their push has failed, or if its result is unknown. Those that had a commit get
    /// `outcome`.
    fn conclude(&mut self, jobs: Vec<Job>, prepared: Vec<Result<Option<String>, Refusal>>, outcome: &Outcome) {
        for (job, prepared) in jobs.iter().zip(prepared) {
            if let Ok(Some(_)) = prepared {
                self.server.settle(job, outcome);
                continue;
            }
            // It was checked against a state that did not come about, so it is checked again.
            let draft = self.repository.draft();
            let draft = draft.map_err(|error| Refusal::new(Rcode::SERVER_FAILURE, error.to_string()));
            match draft.and_then(|draft| self.judge(&self.primary, &draft, job)) {
                Ok(None) => self.server.settle(job, &Outcome::SUCCESS),
                Ok(Some(_)) => self.server.settle(job, outcome),
                Err(refusal) => self.server.settle(job, &refusal.into()),
            }
        }
    }

    /// Records that the result of the push of `draft` is unknown.
    fn doubt(&mut self, draft: &Draft, jobs: &[Job], prepared: &[Result<Option<String>, Refusal>]) {
        let committed = jobs.iter().zip(prepared).filter(|(_, prepared)| matches!(prepared, Ok(Some(_))));
        let tickets = committed.map(|(job, _)| Arc::clone(&job.ticket)).collect();
        if self.doubts.len() >= DOUBTS {
            self.doubts.pop_front();
        }
        self.doubts.push_back(Doubt { tip: draft.tip(), base: draft.base(), since: Instant::now(), tickets });
    }

    fn fail(&self, jobs: Vec<Job>, reason: &str) {
        for job in jobs {
            self.server.settle(&job, &Outcome::because(Rcode::SERVER_FAILURE, reason));
        }
    }

    /// Takes over what was pushed (`next`, made from `draft`), or what the remote has by now.
    fn adopt(&mut self, next: Primary, draft: &Draft) {
        self.base = next.clone();
        self.primary = next;
        self.loaded = Some(draft.tip());
        // Somebody may have pushed on top of it before we knew that it was accepted. If that is all we know, because
        // the remote is unreachable again, the next poll brings the rest.
        if self.repository.commit().is_some_and(|commit| commit.id != draft.tip() && commit.id != draft.base())
            && let Err(error) = self.load()
        {
            log::warn!("{}: {error}", self.repository.remote());
        }
    }

    /// Pushes `draft`, together with the record that `next`, made from it, will have been served. Returns only once it
    /// is known whether the remote has accepted the push, or when time runs out before it could be found out.
    fn push(&mut self, draft: &Draft, next: &Primary, patience: Duration) -> Pushed {
        let deadline = Instant::now() + patience;
        let (mut in_doubt, mut wait) = (false, INQUIRY.0);
        let note = Note { tree: draft.tree(), text: next.note(&draft.tip()), seconds: seconds() };
        let mut entries = self.record.entries_up_to(Some(&note), &self.committer).unwrap_or_default();
        let mut is_tried_without = false;
        // What made the push fail, other than a timeout.
        let mut cause: Option<String> = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let error = match self.repository.push_recording(draft, &entries, Deadline::from_now(left), REPORT) {
                Ok(Recorded::Yes) if !entries.is_empty() => {
                    self.record.accepted(&entries, Some(note));
                    return Pushed::Accepted;
                }
                Ok(recorded) => {
                    self.record.add(note);
                    match recorded {
                        Recorded::No(why) => self.record.refuse(&why),
                        Recorded::Yes if is_tried_without => self.record.refuse("a hook declined a push that held it"),
                        Recorded::Yes => {}
                    }
                    return Pushed::Accepted;
                }
                Err(PushError::RecordMoved) if !in_doubt => return Pushed::RecordMoved,
                // The record may have been moved by the first push, which may have succeeded.
                Err(PushError::RecordMoved) => match self.find_out(draft, deadline) {
                    Ok(Fate::Taken) => return self.taken(&entries, note),
                    Ok(Fate::Lost | Fate::Open) => return Pushed::RecordMoved,
                    Err(error) => return Pushed::unknown(&with_cause(&error, cause.as_deref())),
                },
                Err(PushError::RecordRefused(why)) => {
                    self.record.refuse(&why);
                    entries.clear();
                    continue;
                }
                // A hook that checks everything in a push may object to the record.
                Err(PushError::Refused { .. }) if !entries.is_empty() && !self.record.is_proven() => {
                    entries.clear();
                    is_tried_without = true;
                    continue;
                }
                // The branch may have been moved by the first push, which may have succeeded.
                Err(PushError::Stale) if in_doubt => match self.find_out(draft, deadline) {
                    Ok(Fate::Taken) => return self.taken(&entries, note),
                    Ok(Fate::Lost | Fate::Open) => return Pushed::Stale,
                    Err(error) => return Pushed::unknown(&with_cause(&error, cause.as_deref())),
                },
                Err(PushError::Stale) => return Pushed::Stale,
                Err(error @ PushError::Refused { .. }) => {
                    log::error!("{}: {error}", self.repository.remote());
                    let PushError::Refused { reason, said } = error else { unreachable!("it was matched just now") };
                    let said = if said.is_empty() { reason } else { said };
                    return Pushed::Refused(Outcome::because(Rcode::REFUSED, &said));
                }
                // It was sent before, and the result of that is unknown.
                Err(PushError::NotSent(error)) if in_doubt => {
                    let error = with_cause(&error, cause.as_deref());
                    self.server.updates.set_obstacle(Some(&error));
                    return Pushed::unknown(&error);
                }
                Err(PushError::NotSent(error)) => {
                    let error = with_cause(&error, cause.as_deref());
                    self.server.updates.set_obstacle(Some(&error));
                    let remote = self.repository.remote();
                    let Some(left) = self.repository.upstream().rest.left() else {
                        log::error!("{remote}: not pushed: {error}");
                        return Pushed::Failed(format!("the git remote cannot be pushed to: {error}"));
                    };
                    let next = text::time(left);
                    if left < deadline.saturating_duration_since(Instant::now()) {
                        log::warn!("{remote}: not pushed: {error}; next try in {next}");
                        thread::sleep(left);
                        continue;
                    }
                    log::error!("{remote}: not pushed: {error}; next try in {next}");
                    return Pushed::Failed(format!("the git remote cannot be pushed to: {error}; next try in {next}"));
                }
                Err(PushError::Unknown(error)) => error,
            };
            let is_timeout = matches!(error, git::Error::TimedOut { .. });
            let error = with_cause(&error, cause.as_deref());
            self.server.updates.set_obstacle(Some(&error));
            let level = if in_doubt { log::Level::Debug } else { log::Level::Warn };
            log::log!(level, "{}: {error}; checking what became of the push", self.repository.remote());
            if !is_timeout {
                cause = Some(error.clone());
            }
            match self.find_out(draft, deadline) {
                Ok(Fate::Taken) => return self.taken(&entries, note),
                Ok(Fate::Lost) => return Pushed::Stale,
                // Push the same commits again: if the first push is accepted after all, the result is the same.
                Ok(Fate::Open) if Instant::now() < deadline => {
                    in_doubt = true;
                    thread::sleep(wait.min(deadline.saturating_duration_since(Instant::now())));
                    wait = (wait * 2).min(INQUIRY.1);
                }
                // The process that received it may still be running.
                Ok(Fate::Open) | Err(_) => return Pushed::unknown(&error),
            }
        }
    }

    /// Fetches what the remote has after it accepted a push without reporting so, and finds out whether it accepted the
    /// record as well.
    fn taken(&mut self, entries: &[git::Entry], note: Note) -> Pushed {
        // Clients are waiting; the next poll fetches what is not fetched now.
        if let Err(error) = self.repository.fetch_by(Deadline::from_now(INQUIRY_LEAST)) {
            log::warn!("{}: {error}", self.repository.remote());
        }
        let record = self.repository.branch().and_then(git::record_of);
        let newest = record.and_then(|record| self.repository.beside(&record).ok()?).map(|newest| newest.id);
        if newest.is_some() && newest == entries.last().map(git::Entry::id) {
            self.record.accepted(entries, Some(note));
        } else {
            self.record.add(note);
        }
        Pushed::Accepted
    }

    /// Returns the fate of the commits of `draft`, or the reason why it is unknown once `deadline` has passed, but not
    /// before `INQUIRY_LEAST`.
    fn find_out(&mut self, draft: &Draft, deadline: Instant) -> Result<Fate, git::Error> {
        let (mut wait, most) = INQUIRY;
        let (begun, mut reminder) = (Instant::now(), INQUIRY_REMINDER);
        let deadline = deadline.max(begun + INQUIRY_LEAST);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let error = match self.repository.fate_by(draft.tip(), draft.base(), Deadline::from_now(left)) {
                Ok(fate) => return Ok(fate),
                Err(error) => error,
            };
            self.server.updates.set_obstacle(Some(&error.to_string()));
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(error);
            }
            let is_due = begun.elapsed() >= reminder;
            let level = if is_due { log::Level::Warn } else { log::Level::Debug };
            if is_due {
                reminder *= 2;
            }
            log::log!(
                level,
                "{}: {error}; it is not known what became of a push, and updates wait; asking for another {left:.0?}",
                self.repository.remote()
            );
            thread::sleep(wait.min(left));
            wait = (wait * 2).min(most);
        }
    }
}

/// Leaves gaps for other pushers while updates keep coming.
///
/// A person's push takes as long as ours, and fails if one of ours comes in between. Pushes that follow each other
/// leave no gap for it, so after a while there is one, long enough for several attempts. Updates queued during the gap
/// are pushed together.
#[derive(Default)]
struct Turns {
    /// When the current run of consecutive pushes began, and when the last one ended.
    run: Option<(Instant, Instant)>,
}

impl Turns {
    /// Pauses after a push of the given length if a gap is due.
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

/// Checks that the key of an update that may have waited is still valid: a commit affects all updates that follow it.
fn still_valid(primary: &Primary, job: &Job) -> Result<(), Refusal> {
    match primary.keyring().get(job.key.name()) {
        Some(key) if *key == job.key => Ok(()),
        _ => Err(Refusal::new(Rcode::REFUSED, "the key was withdrawn while the update waited")),
    }
}

/// Returns whether a change affects what is served.
pub(super) fn is_news(change: &Change) -> bool {
    !matches!(change, Change::Keys { .. } | Change::Remark(_) | Change::Unusable { .. })
}

/// Returns the text of an error; for a timeout, together with the failure before it.
fn with_cause(error: &git::Error, cause: Option<&str>) -> String {
    match (error, cause) {
        (git::Error::TimedOut { .. }, Some(cause)) => format!("{error}; before that: {cause}"),
        _ => error.to_string(),
    }
}

/// Returns the delay after `failures` failures and one more.
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
    fn a_wait_that_ended_does_not_hide_what_went_wrong() {
        let timeout = git::Error::TimedOut { doing: "connecting", after: Duration::from_secs(2) };
        let text = "timed out after 2 s while connecting";
        assert_eq!(with_cause(&timeout, None), text);
        assert_eq!(
            with_cause(&timeout, Some("the server answers 503")),
            format!("{text}; before that: the server answers 503")
        );
        assert_eq!(with_cause(&git::Error::NotFetched, Some("x")), git::Error::NotFetched.to_string());
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
