//! The shell: the threads and sockets around zones, answers and git.
//!
//! One thread, the `writer`, follows the remote, makes updates and replaces what is served; in a secondary, this is the
//! `follower`. Other threads wait for queries on the sockets. On bare metal, the network thread calls
//! [`Server::respond`] directly, and these threads only get what takes longer: signed messages, updates and transfers.

mod answers;
mod aside;
mod clock;
mod complaints;
mod exchange;
mod follower;
mod http;
mod mailbox;
mod news;
mod past;
mod polling;
mod queue;
mod random;
mod record;
mod retired;
mod run;
mod start;
mod tcp;
mod transfers;
mod udp;
mod updates;
mod validation;
mod writer;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use self::answers::Answers;
use self::clock::Clock;
use self::complaints::{Complaints, Kind};
use self::news::News;
use self::polling::Polling;
use self::random::Random;
use self::retired::Retired;
use self::transfers::Transfers;
use self::updates::Updates;
use crate::answer::{self, Answer, Context, Transport};
use crate::config::Config;
use crate::dns::Name;
use crate::git::ObjectId;
use crate::keys::Keyring;
use crate::notify::Now;
use crate::primary::Primary;
use crate::transfer::Compared;
use crate::zone::{Entry, Zone, Zones};

/// Stack of the writer's thread, in octets. A trie of hostile names is several hundred branches deep and is freed
/// recursively.
const GIT_STACK: usize = 512 * 1024;

/// Stack of a thread that waits at a socket, in octets. On bare metal, this memory is allocated at once.
const SERVICE_STACK: usize = 128 * 1024;

/// The server: what all threads share, and the parts that belong to a task.
pub struct Server {
    served: ArcSwap<Served>,
    clock: Clock,
    random: Random,
    answers: Answers,
    updates: Updates,
    transfers: Transfers,
    polling: Polling,
    /// Mailbox of the thread that notifies secondaries of changes.
    news: Arc<News>,
    /// Mailbox of the thread that validates signed zones.
    changes: validation::Changes,
    /// Versions that are no longer served but not freed yet.
    retired: Arc<Retired>,
    complaints: Complaints,
}

/// What is served, as defined by one commit.
struct Served {
    /// The zones; `None` until the first are loaded.
    zones: Option<Zones>,
    keys: Arc<Keyring>,
    /// On a server with zones from git: the commit they come from, and the reference of the record of what was served.
    origin: Option<Source>,
}

/// Where zones come from.
struct Source {
    commit: ObjectId,
    record: Option<String>,
}

/// An address that cannot be served.
#[derive(Debug)]
pub struct ServeError {
    what: String,
    source: io::Error,
}

impl Server {
    /// Returns a server without zones yet: it answers SERVFAIL.
    ///
    /// Secrets are derived from `random`, which nobody else may know.
    #[must_use]
    pub fn new(started: Instant, config: &Config, random: [[u8; 16]; 3]) -> Arc<Server> {
        let [cookie, limiter, identifiers] = random;
        let keys = Arc::clone(Primary::new(config.serial, config.tsig_keys.clone()).keyring());
        Arc::new(Server {
            served: ArcSwap::from_pointee(Served { zones: None, keys, origin: None }),
            clock: Clock::new(started),
            random: Random::new(identifiers),
            answers: Answers::new(config, cookie, limiter),
            updates: Updates::new(config),
            transfers: Transfers::new(config),
            polling: Polling::new(config),
            news: Arc::default(),
            changes: validation::Changes::default(),
            retired: Arc::default(),
            complaints: Complaints::default(),
        })
    }

    /// Writes the reply to `query` from `source` into `reply`, unless there is no reply or it takes longer.
    #[inline]
    pub fn respond(&self, transport: Transport, source: IpAddr, query: &[u8], reply: &mut [u8]) -> Answer {
        let served = self.served.load();
        // A socket for both families reports IPv4 clients as IPv4-mapped IPv6 addresses.
        let context = self.context(&served, transport, source.to_canonical(), None);
        let answer = answer::respond(&context, query, reply);
        if matches!(answer, Answer::Reply(_)) && served.zones.is_some() {
            self.answers.first.reach(context.uptime);
        }
        answer
    }

    /// Returns everything that a reply depends on; `reserve` octets are left for a signature.
    #[inline]
    fn context<'a>(
        &'a self,
        served: &'a Served,
        transport: Transport,
        source: IpAddr,
        reserve: Option<usize>,
    ) -> Context<'a> {
        let (uptime, unix) = self.clock.now();
        Context {
            zones: served.zones.as_ref(),
            settings: &self.answers.settings,
            limiter: self.answers.limiter.as_ref(),
            transport,
            source,
            uptime,
            unix,
            reserve,
        }
    }

    /// Starts serving `served`, notifies those that follow a zone, and hands the previous version over to be freed.
    /// Does not wait for readers.
    fn publish(&self, served: Served) {
        let served = Arc::new(served);
        let old = self.served.swap(Arc::clone(&served));
        self.report_changes(&old, &served);
        self.retired.put(old);
    }

    /// Adds the differences between the previous and the new version to the history for secondaries, and has them
    /// notified.
    fn report_changes(&self, old: &Served, new: &Served) {
        let none = Zones::default();
        let (before, after) = (old.zones.as_ref().unwrap_or(&none), new.zones.as_ref().unwrap_or(&none));
        let history = || self.transfers.history();
        let tell = |apex: &Name, zone| self.news.put(apex.clone(), zone, |_, last| last);
        let validate = |apex: &Name, zone: Option<&Arc<Zone>>| {
            self.changes.put(apex.clone(), zone.cloned(), |_, last| last);
        };
        before.compare(after, |old, new| match (old.and_then(Entry::zone), new.and_then(Entry::zone)) {
            (Some(old), Some(new)) => {
                if Arc::ptr_eq(old, new) {
                    return;
                }
                // The comparison may take long, and requests for differences need the history meanwhile.
                let compared = Compared::of(old, new);
                history().add_compared(old, new, compared);
                if old.serial() != new.serial() {
                    tell(new.apex(), Some(Arc::clone(new)));
                }
                validate(new.apex(), Some(new));
            }
            (None, Some(new)) => {
                tell(new.apex(), Some(Arc::clone(new)));
                validate(new.apex(), Some(new));
            }
            (Some(old), None) => {
                history().remove(old);
                tell(old.apex(), None);
                validate(old.apex(), None);
            }
            (None, None) => {}
        });
    }

    /// Returns the level of the next log line of a kind that strangers can cause.
    fn complain(&self, kind: Kind) -> log::Level {
        self.complaints.level(kind, self.clock.now().0)
    }

    /// Returns the current time of both clocks.
    fn now(&self) -> Now {
        Now { uptime: self.clock.now().0, unix: seconds() }
    }

    /// Returns the time since the start, in milliseconds.
    fn elapsed(&self) -> u128 {
        self.clock.now().0.as_millis()
    }
}

/// Returns the time in seconds since 1970.
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.what, self.source)?;
        match self.source.kind() {
            io::ErrorKind::PermissionDenied => {
                f.write_str("; ports below 1024 need root or the capability cap_net_bind_service")
            }
            io::ErrorKind::AddrInUse => {
                f.write_str("; another server is there: stop it, or choose another address or port")
            }
            io::ErrorKind::AddrNotAvailable => f.write_str("; this host does not have the address"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests;
