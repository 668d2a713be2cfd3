//! Differences from the record of what was served, for secondaries with a version that this server does not hold.
//!
//! What was served is in the record's entries, and only there: a branch's own commits may never have been served, or
//! others may have been served in their place. One thread fetches the entries when a secondary asks, and keeps them no
//! longer than it takes to find the differences; the differences stay, within the bounds of
//! [`History`](crate::transfer::History).

use crate::{primary, zonefile};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::complaints::Kind;
use super::{GIT_STACK, Server, Source};
use crate::dns::{Name, Serial};
use crate::git::{self, ObjectId, Timeouts, Upstream, Way};
use crate::net::{Promise, Wait};
use crate::transfer::{self, from_versions};
use crate::zone::Zone;
use crate::zonefile::{FileRole, IncludeError, may_be_part};

/// How long a secondary waits for differences before it gets the whole zone.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long fetched commits are kept for the next request.
const KEPT: Duration = Duration::from_secs(5);

/// How long fetching the record may take in total; other secondaries that wait get the whole zone meanwhile.
const FETCH: Duration = Duration::from_secs(120);

/// Maximum number of requests that wait.
const WAITING: usize = 64;

/// Number of zones for which a failed request is remembered.
const MISSES: usize = 1024;

/// Maximum size of the differences of one zone, in octets.
const MOST: usize = 64 << 20;

/// A request for the differences from a serial number to the served version of a zone.
pub(super) struct Recall {
    apex: Name,
    from: Serial,
    /// Dropped once the differences are there or could not be found.
    _done: Promise,
}

/// The requests that wait for the thread, in order of arrival; there are never many.
#[derive(Default)]
pub(super) struct Requests {
    waiting: Mutex<VecDeque<Recall>>,
    added: Condvar,
}

impl Requests {
    /// Adds a request. If too many wait, it is dropped, which ends the wait of its client.
    fn put(&self, request: Recall) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING {
            waiting.push_back(request);
            self.added.notify_one();
        }
    }

    /// Waits for a request for at most `patience` and takes it out.
    pub(super) fn take(&self, patience: Duration) -> Option<Recall> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.added.wait_timeout_while(waiting, patience, |waiting| waiting.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.pop_front()
    }
}

impl Server {
    /// Looks for differences in git's history and waits until they are there, could not be found, or `wait` is ended.
    ///
    /// The caller must not hold any part of what is served during the call.
    pub(super) fn recall(&self, apex: Name, from: Serial, wait: &Arc<Wait>) {
        let Some(past) = &self.transfers.past else { return };
        past.put(Recall { apex, from, _done: Promise::new(wait) });
        wait.reply(PATIENCE);
    }
}

/// State of the thread.
struct Past {
    server: Arc<Server>,
    upstream: Upstream,
    limits: git::Limits,
    depth: u32,
    /// The history fetched last, and the commit that was served at that time.
    commits: Option<(ObjectId, git::History)>,
    /// By zone, the version for which the last request failed, and the serial number requested.
    misses: HashMap<Name, (Serial, Serial)>,
}

/// Starts the thread, which looks back at most `depth` commits of the remote.
pub(super) fn start(server: Arc<Server>, upstream: Upstream, limits: git::Limits, depth: u32) -> io::Result<()> {
    let Some(requests) = server.transfers.past.clone() else {
        return Err(io::Error::other("zones come from primaries"));
    };
    let past = Past { server, upstream, limits, depth, commits: None, misses: HashMap::new() };
    let thread = thread::Builder::new().name("past".to_string()).stack_size(GIT_STACK);
    thread.spawn(move || past.run(&requests)).map(drop)
}

impl Past {
    fn run(mut self, requests: &Requests) -> ! {
        loop {
            match requests.take(KEPT) {
                Some(request) => self.fulfil(&request),
                None => self.commits = None,
            }
        }
    }

    fn fulfil(&mut self, Recall { apex, from, .. }: &Recall) {
        let served = self.server.served.load_full();
        let Some(zone) = served.zones.as_ref().and_then(|zones| zones.get(apex)?.zone()).cloned() else { return };
        drop(served);
        let zone = &zone;
        let history = || self.server.transfers.history();
        if self.depth == 0 || history().chain(*from, zone).is_some() {
            return;
        }
        if self.misses.get(apex) == Some(&(zone.serial(), *from)) {
            return;
        }
        match self.look_back(zone, *from) {
            Ok(true) => log::log!(
                self.server.complain(Kind::Differences),
                "zone {apex}: the differences from serial {from} on found in git's history"
            ),
            Ok(false) => {
                log::log!(
                    self.server.complain(Kind::Differences),
                    "zone {apex}: no certain differences from serial {from} on in git's history (--git-history)"
                );
                if self.misses.len() >= MISSES {
                    self.misses.clear();
                }
                self.misses.insert(apex.clone(), (zone.serial(), *from));
            }
            Err(error) => log::log!(
                self.server.complain(Kind::Differences),
                "zone {apex}: looking for differences from serial {from} on: {error}"
            ),
        }
    }

    /// Looks for differences in what was served; returns whether they are there.
    fn look_back(&mut self, zone: &Zone, from: Serial) -> Result<bool, git::Error> {
        let (commit, record) = {
            let served = self.server.served.load_full();
            let Some(Source { commit, record: Some(record), .. }) = &served.origin else { return Ok(false) };
            (*commit, record.clone())
        };
        if self.commits.as_ref().is_none_or(|(of, _)| *of != commit) {
            self.commits = None;
            let timeouts = Timeouts { total: FETCH, ..Timeouts::default() };
            let fetched = git::History::of_reference(&self.upstream, &record, self.depth, &self.limits, timeouts)?;
            let Some(fetched) = fetched else { return Ok(false) };
            self.commits = Some((commit, fetched));
        }
        let Some((_, commits)) = &self.commits else { return Ok(false) };
        let Some(differences) = from_versions(zone, versions(commits, zone.apex()), from, MOST) else {
            return Ok(false);
        };
        let mut history = self.server.transfers.history();
        history.extend(zone.apex(), differences);
        Ok(history.chain(from, zone).is_some())
    }
}

/// Yields the versions of a zone in the record, newest first, each once.
fn versions<'a>(commits: &'a git::History, apex: &'a Name) -> impl Iterator<Item = transfer::Past> + 'a {
    let mut named: Option<(String, Name)> = None;
    let mut last: Option<(ObjectId, bool, bool)> = None;
    (0..commits.commits().len()).filter_map(move |at| {
        let find = |path: &str| match commits.follow(at, path) {
            Ok(Way::File(real, id)) if real == path || may_be_part(&real).is_ok() => Some(Ok(id)),
            Ok(Way::Nothing) => None,
            Ok(Way::File(..) | Way::Directory(_) | Way::Broken { .. }) => Some(Err("a symbolic link".to_string())),
            Err(error) => Some(Err(error.to_string())),
        };
        let known = named.as_ref().and_then(|(path, _)| find(path));
        let id = match known {
            Some(id) => id,
            // The zone's file may have been renamed, possibly only in letter case.
            None => {
                last = None;
                let (file, name) =
                    commits.files(at).ok()?.into_iter().find_map(|file| match FileRole::of(&file.path) {
                        FileRole::Zone(name) if name == *apex => Some((file, name)),
                        _ => None,
                    })?;
                let found = find(&file.path)?;
                named = Some((file.path, name));
                found
            }
        };
        // A link that leads to no file made no zone, or one of which an earlier version stayed served.
        let Ok(id) = id else { return Some(transfer::Past::Unknown) };
        // If so, the file was broken then, or its serial number was not raised.
        let is_doubtful = commits.message(at).is_ok_and(|note| primary::names(&note, apex));
        // The same file is the same version, unless it includes others.
        if last == Some((id, false, is_doubtful)) {
            return None;
        }
        let Ok(text) = commits.read(id) else { return Some(transfer::Past::Unknown) };
        let (path, name) = named.as_ref()?;
        let reading = zonefile::read_including(name, path, &text, |path| match find(path) {
            Some(Ok(id)) => commits.read(id).map_err(|error| IncludeError::Unreadable(error.to_string())),
            Some(Err(reason)) => Err(IncludeError::Unreadable(reason)),
            None => Err(IncludeError::Missing),
        });
        last = Some((id, !reading.included.is_empty(), is_doubtful));
        let kind = if is_doubtful { transfer::Past::Doubtful } else { transfer::Past::Served };
        reading.zone.map(kind)
    })
}
