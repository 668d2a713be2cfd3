//! Differences out of the record of what was served, for secondaries that know a version we do not.
//!
//! What was served is in the record's entries, and only there: a branch's own commits may never have been served, or others
//! in their place. They are fetched when a secondary asks, by one thread, and kept
//! no longer than it takes to find the differences; these stay, within the bounds of [`History`](crate::transfer::History).

use std::collections::HashMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use super::{GIT_STACK, Server, Source};
use crate::git::{self, ObjectId, Timeouts, Upstream, Way};
use crate::primary;
use crate::transfer::{self, from_versions};
use crate::zone::{self, FileRole, IncludeError, Name, Serial, Zone, may_be_part};

/// How long a secondary waits for it; then it gets the whole zone.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long past commits are kept for the next who asks.
const KEPT: Duration = Duration::from_secs(5);

/// How many wishes may wait.
const WAITING: usize = 64;

/// The most octets the differences of one zone may take.
const MOST: usize = 64 << 20;

/// A wish for the differences from a serial number to a version.
pub(super) struct Recall {
    zone: Arc<Zone>,
    from: Serial,
    /// Dropped when they are there, or cannot be had.
    done: SyncSender<()>,
}

impl Server {
    /// Looks for differences in git's history and waits for them; returns whether there may be some now.
    pub(super) fn recall(&self, zone: &Arc<Zone>, from: Serial) -> bool {
        let Some(past) = self.past.get() else { return false };
        let (done, finished) = sync_channel(1);
        let sent = past.try_send(Recall { zone: Arc::clone(zone), from, done });
        sent.is_ok() && finished.recv_timeout(PATIENCE).is_ok()
    }
}

/// The thread's state.
struct Past {
    server: Arc<Server>,
    upstream: Upstream,
    limits: git::Limits,
    depth: u32,
    /// The commits fetched last, and what they lead to.
    commits: Option<(ObjectId, git::History)>,
    /// By zone, the version for which the last wish could not be fulfilled, and that wish.
    misses: HashMap<Name, (Serial, Serial)>,
}

/// Starts the thread, which looks back at most `depth` commits of the remote.
pub(super) fn start(server: Arc<Server>, upstream: Upstream, limits: git::Limits, depth: u32) -> io::Result<()> {
    let (sender, wishes) = sync_channel(WAITING);
    // Nobody has set it before: there is one thread.
    let _ = server.past.set(sender);
    let past = Past { server, upstream, limits, depth, commits: None, misses: HashMap::new() };
    let thread = thread::Builder::new().name("past".to_string()).stack_size(GIT_STACK);
    thread.spawn(move || past.run(&wishes)).map(drop)
}

impl Past {
    fn run(mut self, wishes: &Receiver<Recall>) {
        loop {
            match wishes.recv_timeout(KEPT) {
                Ok(wish) => {
                    self.fulfil(&wish);
                    // Whoever waited longer than we took is gone.
                    let _ = wish.done.try_send(());
                }
                Err(RecvTimeoutError::Timeout) => self.commits = None,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn fulfil(&mut self, Recall { zone, from, .. }: &Recall) {
        let apex = zone.apex();
        let history = || self.server.history.lock().unwrap_or_else(PoisonError::into_inner);
        if self.depth == 0 || history().chain(*from, zone).is_some() {
            return;
        }
        if self.misses.get(apex) == Some(&(zone.serial(), *from)) {
            return;
        }
        match self.look_back(zone, *from) {
            Ok(true) => log::info!("zone {apex}: the differences from serial {from} on found in git's history"),
            Ok(false) => {
                log::info!(
                    "zone {apex}: no certain differences from serial {from} on in git's history (--git-history)"
                );
                self.misses.insert(apex.clone(), (zone.serial(), *from));
            }
            Err(error) => log::warn!("zone {apex}: looking for differences from serial {from} on: {error}"),
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
            let fetched =
                git::History::of_reference(&self.upstream, &record, self.depth, &self.limits, Timeouts::default())?;
            let Some(fetched) = fetched else { return Ok(false) };
            self.commits = Some((commit, fetched));
        }
        let Some((_, commits)) = &self.commits else { return Ok(false) };
        let Some(differences) = from_versions(zone, versions(commits, zone.apex()), from, MOST) else {
            return Ok(false);
        };
        let mut history = self.server.history.lock().unwrap_or_else(PoisonError::into_inner);
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
            // The zone's file may have been renamed, in other letters, too.
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
        // A link that leads to no file made no zone, or one of which a version before is served.
        let Ok(id) = id else { return Some(transfer::Past::Unknown) };
        // If so, the file was broken then, or its serial number not raised.
        let is_doubtful = commits.message(at).is_ok_and(|note| primary::names(&note, apex));
        // The same file is the same version, unless it includes others.
        if last == Some((id, false, is_doubtful)) {
            return None;
        }
        let Ok(text) = commits.read(id) else { return Some(transfer::Past::Unknown) };
        let (path, name) = named.as_ref()?;
        let reading = zone::read_including(name, path, &text, |path| match find(path) {
            Some(Ok(id)) => commits.read(id).map_err(|error| IncludeError::Unreadable(error.to_string())),
            Some(Err(reason)) => Err(IncludeError::Unreadable(reason)),
            None => Err(IncludeError::Missing),
        });
        last = Some((id, !reading.included.is_empty(), is_doubtful));
        let kind = if is_doubtful { transfer::Past::Doubtful } else { transfer::Past::Served };
        reading.zone.map(kind)
    })
}
