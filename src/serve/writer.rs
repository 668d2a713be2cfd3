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
//!                                                            └─ unknown ───► ask until it is known, or SERVFAIL
//! ```
//!
//! Where nobody can say in time whether the remote has accepted a push, the clients are answered SERVFAIL and the writer goes
//! on: whatever it pushes next says what it was made upon, so nothing is overwritten. The doubt remains until a fetch shows
//! where the branch is. If the commits are there they are loaded like anybody's, and a client that repeats its message gets
//! the outcome that turned out.
//!
//! Each commit is recorded before it is served (`record`), so that whoever serves this branch later, we after a reboot
//! or another server now, knows what each serial number stands for.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
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

/// The wait after the first failure; it doubles with each further one.
const RETRY_FIRST: Duration = Duration::from_millis(500);

/// The longest wait between two tries while nothing is served yet.
const RETRY_MOST: Duration = Duration::from_secs(30);

/// How far apart looks at the remote are that notifications bring about.
const LOOKS: Duration = Duration::from_millis(500);

/// How long the remote may take to say what became of a push: its hooks run meanwhile.
const REPORT: Duration = Duration::from_secs(120);

/// The waits between two tries to find out what became of a push, and between two pushes of the same.
const INQUIRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How long it takes at least before it is given up to find out what became of a push.
const INQUIRY_LEAST: Duration = Duration::from_secs(5);

/// When is logged for the first time that this takes long; each further time takes twice as long.
const INQUIRY_REMINDER: Duration = Duration::from_secs(2);

/// The waits between looks at the remote while it is not known what became of a push, which grow with the time since then.
const DOUBT_LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// For how long a push in doubt is asked about, and how many may be in doubt. No process at the remote takes longer.
const DOUBT: Duration = Duration::from_secs(900);
const DOUBTS: usize = 64;

/// For how long push may follow push before people get their turn, and how long that lasts.
const PUSHING: Duration = Duration::from_secs(1);
const TURN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// How long a branch that is being moved is left alone, for the first time; then for longer.
const LOCKED: Duration = Duration::from_millis(20);

/// How many races for the branch may be lost in a row.
const RACES: usize = 10;

/// How long the remote may take for the record of what is to be served, before that is served without.
const RECORDING: Duration = Duration::from_secs(5);

/// How often in a row a serial number is raised again that somebody has taken back, without any other change.
const RAISES: u32 = 3;

/// The thread's state.
pub(super) struct Writer {
    server: Arc<Server>,
    repository: Repository,
    primary: Primary,
    poll: Duration,
    committer: Author,
    publisher: Publisher,
    lookback: Lookback,
    /// What `primary` was before anything was loaded.
    pristine: Primary,
    /// What was served last, by us or by whoever recorded it since: what is loaded is compared with this, since what was
    /// loaded before it may never be served.
    base: Primary,
    /// The commit that is served.
    loaded: Option<ObjectId>,
    /// What is loaded is not all that the commit held says: what others served was recalled over it.
    is_behind: bool,
    record: Record,
    /// How often a zone's serial number was raised in a row because it was taken back.
    taken_back: HashMap<Name, u32>,
    failures: u32,
    trouble: Trouble,
    /// The pushes of updates of which it is not known what became, oldest first.
    doubts: VecDeque<Doubt>,
}

/// A push of updates of which it is not known whether the remote has accepted it.
struct Doubt {
    tip: ObjectId,
    /// What it was made upon.
    base: ObjectId,
    since: Instant,
    /// What retransmissions of its updates are told.
    tickets: Vec<Arc<Ticket>>,
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

/// How far the record of what was served may be followed back.
pub(super) struct Lookback {
    pub(super) limits: git::Limits,
    pub(super) depth: u32,
}

/// What came of a push in the end.
enum Pushed {
    /// The remote has it.
    Accepted,
    /// The branch has moved: all must be done again on what is there now.
    Stale,
    /// Another server has recorded what it serves, which must be looked at first.
    RecordMoved,
    /// The remote does not want it.
    Refused(Outcome),
    /// The remote does not have it, for this reason.
    Failed(String),
    /// It is not known whether the remote has it, for this reason.
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
                let wait = self.follow();
                next = Instant::now() + self.doubt_wait().map_or(wait, |sooner| wait.min(sooner));
                trigger.finished();
            }
            let due = trigger.due().map_or(next, |due| server.clock.moment(due).min(next));
            let jobs = server.queue.take(due);
            if !jobs.is_empty() {
                let begun = Instant::now();
                self.settle(jobs);
                next = self.doubt_wait().map_or(next, |wait| next.min(Instant::now() + wait));
                turns.give(begun, begun.elapsed(), server.patience);
            }
        }
    }

    /// Takes over what is new at the remote; returns how long to wait before the next look.
    fn follow(&mut self) -> Duration {
        if let Some(left) = self.repository.upstream().rest.left() {
            // Whatever made us look is seen by the look that follows.
            return left;
        }
        let error = match self.look() {
            Ok(()) => {
                self.server.set_obstacle(None);
                self.failures = 0;
                if let Some(over) = self.trouble.ended(self.server.clock.now().0) {
                    log::info!("{}: answers again after {over}", self.repository.remote());
                }
                return self.poll;
            }
            Err(error) => error.to_string(),
        };
        self.server.set_obstacle(Some(&error));
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

    /// Fetches once, and loads and serves the remote's commit if that is another.
    fn look(&mut self) -> Result<(), git::Error> {
        self.repository.fetch()?;
        self.load()?;
        self.server.agreed.store(seconds(), Ordering::Relaxed);
        self.resolve_doubts();
        Ok(())
    }

    /// Returns how long to wait at most before the next look, if there are pushes in doubt.
    fn doubt_wait(&self) -> Option<Duration> {
        let newest = self.doubts.back()?;
        Some((newest.since.elapsed() / 2).clamp(DOUBT_LOOKS.0, DOUBT_LOOKS.1))
    }

    /// Finds out, of each push in doubt, whether its commits are on the branch as it was fetched; if they are, they are
    /// served by now. What is known then is what clients that ask again are told.
    fn resolve_doubts(&mut self) {
        let Some(head) = self.repository.commit().map(|commit| commit.id) else { return };
        for doubt in std::mem::take(&mut self.doubts) {
            let fate = match head {
                head if head == doubt.tip => Ok(Fate::Taken),
                // The process that received it may still be at work.
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

    /// Loads and serves the commit that was fetched, unless it is served already.
    fn load(&mut self) -> Result<(), git::Error> {
        let first = self.loaded.is_none();
        if first && let Err(error) = self.recall() {
            // It comes to light again when something is to be recorded.
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

    /// Sees to it that what is loaded is recorded, and under serial numbers that stand for nothing else.
    ///
    /// Before contents are served whose serial number was not raised, they get one: a secondary would know them by the old.
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

    /// Loads the commit that was fetched, and returns it, unless it is loaded already.
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

    /// Takes note that what is loaded is to be recorded.
    fn note(&mut self, tree: ObjectId, commit: ObjectId) {
        self.record.add(Note { tree, text: self.primary.note(&commit), seconds: seconds() });
    }

    /// Takes over what the record says was served last, by whomever, so that what is loaded next is compared with it.
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
            // A version is served that the last entry does not have: its file was broken, or held back.
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

    /// Records what is to be served; returns whether that is done with, and not to be begun again on what others served.
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

    /// Makes what is loaded what is served.
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
        self.server.agreed.store(seconds(), Ordering::Relaxed);
        let record = self.repository.branch().and_then(git::record_of);
        let origin = Some(Source { commit, record });
        self.server.publish(Served { zones: Some(zones), keys, origin });
    }

    /// Returns what is served under a zone's name.
    fn served(&self, apex: &Name) -> Option<Arc<Zone>> {
        self.server.served.load().zones.as_ref()?.get(apex).and_then(Entry::zone).cloned()
    }

    /// Counts how often serial numbers are raised that were taken back without any other change, and leaves it at a few
    /// times: what undoes our commits would see one of them with each look at the remote, for ever.
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

    /// Commits higher serial numbers for the zones that were changed without one.
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
            match self.push(&draft, &next, self.server.patience) {
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
                server.settle(&job, &server.overdue());
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
                Pushed::Unknown(reason) => {
                    self.doubt(&draft, &jobs, &prepared);
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
        if self.publisher.generates(apex) && primary.zones().get(apex).is_none() {
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

    /// Notes that it is not known what became of the push of `draft`.
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

    /// Takes over what was pushed: `next`, made of `draft`, or what the remote has by now.
    fn adopt(&mut self, next: Primary, draft: &Draft) {
        self.base = next.clone();
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

    /// Pushes, and with it the record that `next`, made of `draft`, will have been served. Does not return before it is known
    /// whether the remote has accepted it, or patience is over and it cannot be found out.
    fn push(&mut self, draft: &Draft, next: &Primary, patience: Duration) -> Pushed {
        let deadline = Instant::now() + patience;
        let (mut in_doubt, mut wait) = (false, INQUIRY.0);
        let note = Note { tree: draft.tree(), text: next.note(&draft.tip()), seconds: seconds() };
        let mut entries = self.record.entries_up_to(Some(&note), &self.committer).unwrap_or_default();
        let mut is_tried_without = false;
        // What kept the remote from it, other than time.
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
                // What moved the record may be the first push, of which nothing was heard.
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
                // A hook that judges all of a push may mean the record.
                Err(PushError::Refused { .. }) if !entries.is_empty() && !self.record.is_proven() => {
                    entries.clear();
                    is_tried_without = true;
                    continue;
                }
                // What moved the branch may be the first push, of which nothing was heard.
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
                // It was sent before, and nothing was heard of that.
                Err(PushError::NotSent(error)) if in_doubt => {
                    let error = with_cause(&error, cause.as_deref());
                    self.server.set_obstacle(Some(&error));
                    return Pushed::unknown(&error);
                }
                Err(PushError::NotSent(error)) => {
                    let error = with_cause(&error, cause.as_deref());
                    self.server.set_obstacle(Some(&error));
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
            self.server.set_obstacle(Some(&error));
            let level = if in_doubt { log::Level::Debug } else { log::Level::Warn };
            log::log!(level, "{}: {error}; checking what became of the push", self.repository.remote());
            if !is_timeout {
                cause = Some(error.clone());
            }
            match self.find_out(draft, deadline) {
                Ok(Fate::Taken) => return self.taken(&entries, note),
                Ok(Fate::Lost) => return Pushed::Stale,
                // The same commits once more: should the first push be taken after all, it is the same.
                Ok(Fate::Open) if Instant::now() < deadline => {
                    in_doubt = true;
                    thread::sleep(wait.min(deadline.saturating_duration_since(Instant::now())));
                    wait = (wait * 2).min(INQUIRY.1);
                }
                // The process that received it may still be at work.
                Ok(Fate::Open) | Err(_) => return Pushed::unknown(&error),
            }
        }
    }

    /// Brings what the remote has beside a push that it took without a word, and finds out whether it took the record, too.
    fn taken(&mut self, entries: &[git::Entry], note: Note) -> Pushed {
        // Its clients wait; the next look brings what does not come now.
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

    /// Returns what has become of the commits of `draft`, or why that is not known: when `deadline` is over, but not too soon.
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
            self.server.set_obstacle(Some(&error.to_string()));
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

/// Returns whether a change is one of what is served.
pub(super) fn is_news(change: &Change) -> bool {
    !matches!(change, Change::Keys { .. } | Change::Remark(_) | Change::Unusable { .. })
}

/// Returns what went wrong; of a wait that ended because time was over, along with what went wrong before.
fn with_cause(error: &git::Error, cause: Option<&str>) -> String {
    match (error, cause) {
        (git::Error::TimedOut { .. }, Some(cause)) => format!("{error}; before that: {cause}"),
        _ => error.to_string(),
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
