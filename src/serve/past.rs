//! Differences out of git's history, for secondaries that know a version we do not.
//!
//! What a zone was is in the past commits of its file. They are fetched when a secondary asks, by one thread, and kept
//! no longer than it takes to find the differences; these stay, within the bounds of [`History`](crate::transfer::History).

use std::collections::HashMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use super::{GIT_STACK, Server};
use crate::git::{self, ObjectId, Timeouts, Upstream};
use crate::transfer::from_versions;
use crate::zone::{self, IncludeError, Name, Serial, Type, Zone};

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
                log::info!("zone {apex}: no differences from serial {from} on in git's history (--git-history)");
                self.misses.insert(apex.clone(), (zone.serial(), *from));
            }
            Err(error) => log::warn!("zone {apex}: looking for differences from serial {from} on: {error}"),
        }
    }

    /// Looks for differences in the past commits; returns whether they are there.
    fn look_back(&mut self, zone: &Zone, from: Serial) -> Result<bool, git::Error> {
        let served = self.server.served.load_full();
        let Some((primary, tip)) = &served.origin else { return Ok(false) };
        let Some(path) = primary.file_of(zone.apex()) else { return Ok(false) };
        if self.commits.as_ref().is_none_or(|(of, _)| of != tip) {
            self.commits = None;
            let fetched = git::History::fetch(&self.upstream, *tip, self.depth, &self.limits, Timeouts::default())?;
            self.commits = Some((*tip, fetched));
        }
        let Some((_, commits)) = &self.commits else { return Ok(false) };
        // Should the tip not be had by itself, it is looked for behind what has come since.
        let begin = commits.commits().iter().position(|commit| commit.id == *tip).unwrap_or(0);
        let versions = raised(versions(commits, begin, zone.apex(), path));
        let Some(differences) = from_versions(zone, versions, from, MOST) else { return Ok(false) };
        let mut history = self.server.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.extend(zone.apex(), differences);
        Ok(history.chain(from, zone).is_some())
    }
}

/// Leaves out the versions that were pushed without a higher serial number and got one with the next commit: they were
/// not served, but held back until then. Versions come newest first.
///
/// Should one have been served after all, because that commit could not be pushed at once, the difference from the version
/// before it makes the same of it: it lacks nothing but the number.
fn raised(versions: impl Iterator<Item = Zone>) -> impl Iterator<Item = Zone> {
    let mut versions = versions.peekable();
    let mut newer: Option<Zone> = None;
    std::iter::from_fn(move || {
        loop {
            let version = versions.next()?;
            let older = versions.peek();
            let only_raised =
                |newer: &Zone| zone::difference(&version, newer).changes.iter().all(|change| change.rtype == Type::SOA);
            let is_held_back = older.is_some_and(|older| older.serial() == version.serial())
                && newer.as_ref().is_some_and(only_raised);
            newer = Some(version.clone());
            if !is_held_back {
                return Some(version);
            }
        }
    })
}

/// Yields the versions of a zone in past commits from one on, newest first, each once; those that were no good zones are left out.
fn versions<'a>(
    commits: &'a git::History,
    begin: usize,
    apex: &'a Name,
    path: &'a str,
) -> impl Iterator<Item = Zone> + 'a {
    let mut last: Option<(ObjectId, bool)> = None;
    (begin..commits.commits().len()).filter_map(move |at| {
        let id = commits.file(at, path).ok()??;
        // The same file is the same version, unless it includes others.
        if last == Some((id, false)) {
            return None;
        }
        let text = commits.read(id).ok()?;
        let reading = zone::read_including(apex, path, &text, |path| match commits.file(at, path) {
            Ok(Some(id)) => commits.read(id).map_err(|error| IncludeError::Unreadable(error.to_string())),
            Ok(None) => Err(IncludeError::Missing),
            Err(error) => Err(IncludeError::Unreadable(error.to_string())),
        });
        last = Some((id, !reading.included.is_empty()));
        reading.zone
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_held_back_are_left_out() {
        let apex = Name::from_text("example.org").unwrap();
        let version = |serial: u32, hosts: &[&str]| {
            let hosts: String = hosts.iter().map(|host| format!("{host} A 192.0.2.1\n")).collect();
            let text = format!("$TTL 60\n@ SOA ns h {serial} 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n{hosts}");
            zone::read(&apex, "example.org", text.as_bytes()).zone.unwrap()
        };
        let shown = |versions: Vec<Zone>| {
            let kept = raised(versions.into_iter());
            kept.map(|zone| (zone.serial().0, zone.record_count() - 3)).collect::<Vec<_>>()
        };
        // Pushed without a higher number, which was raised afterwards.
        let versions = vec![version(8, &["a", "b"]), version(7, &["a", "b"]), version(7, &["a"]), version(6, &[])];
        assert_eq!(shown(versions), [(8, 2), (7, 1), (6, 0)]);
        // Raised on its own, with nothing of that number before; and changed along with the raise.
        assert_eq!(shown(vec![version(8, &["a"]), version(7, &["a"]), version(6, &["a"])]), [(8, 1), (7, 1), (6, 1)]);
        let versions = vec![version(8, &["a", "b", "c"]), version(7, &["a", "b"]), version(7, &["a"])];
        assert_eq!(shown(versions), [(8, 3), (7, 2), (7, 1)]);
    }
}
