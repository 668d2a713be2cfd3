//! The shell: the threads and sockets around zones, answers and git.
//!
//! One thread, the `writer`, follows the remote, makes updates and replaces what is served; in a secondary, this is the
//! `follower`. Other threads wait for queries on the sockets. On bare metal, the network thread calls
//! [`Server::respond`] directly, and these threads only get what takes longer: signed messages, updates and transfers.

mod aside;
mod clock;
mod complaints;
mod exchange;
mod follower;
mod http;
mod mailbox;
mod news;
mod past;
mod queue;
mod random;
mod record;
mod retired;
mod run;
mod tcp;
mod transfers;
mod udp;
mod validation;
mod writer;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use self::clock::Clock;
use self::complaints::{Complaints, Kind};
use self::news::News;
use self::queue::{Outcome, Queue, Ticket};
use self::random::Random;
use self::retired::Retired;
use self::run::Run;
use self::writer::{Lookback, Writer};
use crate::answer::{self, Answer, Context, Event, Limiter, Secret, Settings, Transport};
use crate::config::{Config, Networks, Origin};
use crate::dns::Name;
use crate::dns::message::Rcode;
use crate::git::{Limits, ObjectId, Repository, Rest, Upstream};
use crate::keys::Keyring;
use crate::notify::{Now, Trigger};
use crate::primary::Primary;
use crate::publish::Publisher;
use crate::secondary;
use crate::transfer::{self, Compared, History};
use crate::tsig::{self, Replays};
use crate::zone::{Entry, Zone, Zones};

/// Stack of the writer's thread, in octets. A trie of hostile names is several hundred branches deep and is freed
/// recursively.
const GIT_STACK: usize = 512 * 1024;

/// Stack of a thread that waits at a socket, in octets. On bare metal, this memory is allocated at once.
const SERVICE_STACK: usize = 128 * 1024;

/// Bounds of the differences that are kept for secondaries if there is enough memory.
const DIFFERENCES: transfer::Limits = transfer::Limits { octets: 64 << 20, differences: 1000 };

/// The server: everything that answers depend on, shared by all threads.
pub struct Server {
    served: ArcSwap<Served>,
    settings: Settings,
    /// The run of the system in which the secret of cookies was drawn; `None` if the secret is configured, or if runs
    /// cannot be told apart.
    run: Mutex<Option<Run>>,
    limiter: Option<Limiter>,
    clock: Clock,
    first_answer: Milestone,
    queue: Queue,
    /// Recent updates, so that none is made twice.
    replays: Mutex<Replays<Arc<Ticket>>>,
    allow_update: Option<Networks>,
    allow_transfer: Networks,
    allow_notify: Networks,
    /// The primaries, which may send us notifications.
    primaries: Vec<IpAddr>,
    random: Random,
    /// The differences that secondaries may ask for.
    history: Mutex<History>,
    /// Number of transfers in progress.
    transfers: Arc<AtomicUsize>,
    /// Mailbox of the thread that notifies secondaries of changes.
    news: Arc<News>,
    /// Mailbox of the thread that validates signed zones.
    changes: validation::Changes,
    /// Versions that are no longer served but not freed yet.
    retired: Arc<Retired>,
    /// Channel to the thread that looks for differences in git's history, if there is one.
    past: OnceLock<SyncSender<past::Recall>>,
    /// Last time at which the remote was known to have what is served, in seconds since 1970; 0 if it never was.
    agreed: AtomicU64,
    /// Polls of the remote requested by senders that prove nothing.
    unproven: Mutex<Trigger>,
    /// Mailbox of the thread that follows primaries; `None` if zones come from git.
    follower: Option<Arc<follower::Calls>>,
    patience: Duration,
    /// The error of the last request to the remote, if it failed.
    obstacle: Mutex<Option<String>>,
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
        let (secrets, run) = match config.cookie_secrets.as_slice() {
            [] => (&[Secret::new(cookie)][..], Run::current()),
            given => (given, None),
        };
        let settings = Settings::new(secrets)
            .payload(config.edns_payload)
            .nsid(config.nsid.clone())
            .report_channel(config.report_channel.clone())
            .version(config.version_text.clone())
            .idle(tcp::IDLE);
        let keys = Arc::clone(Primary::new(config.serial, config.tsig_keys.clone()).keyring());
        Arc::new(Server {
            served: ArcSwap::from_pointee(Served { zones: None, keys, origin: None }),
            settings,
            run: Mutex::new(run),
            limiter: config.rate_limit.map(|limit| Limiter::new(limit, limiter)),
            clock: Clock::new(started),
            first_answer: Milestone::default(),
            queue: Queue::default(),
            // Updates signed before the start may have been accepted by a previous run. The two seconds allow for clock
            // ticks.
            replays: Mutex::new(Replays::new(tsig::Limits::default(), seconds().saturating_sub(2))),
            allow_update: config.allow_update.clone(),
            allow_transfer: config.allow_transfer.clone(),
            allow_notify: config.allow_notify.clone(),
            primaries: primaries_of(&config.origin),
            random: Random::new(identifiers),
            history: Mutex::new(History::new(DIFFERENCES)),
            transfers: Arc::default(),
            news: Arc::default(),
            changes: validation::Changes::default(),
            retired: Arc::default(),
            past: OnceLock::new(),
            agreed: AtomicU64::new(0),
            unproven: Mutex::new(Trigger::new(http::UNPROVEN)),
            follower: matches!(config.origin, Origin::Primaries { .. }).then(Arc::default),
            patience: config.update_patience,
            obstacle: Mutex::default(),
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
            self.first_answer.reach(context.uptime);
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
            settings: &self.settings,
            limiter: self.limiter.as_ref(),
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
        self.tell_of_changes(&old, &served);
        self.retired.put(old);
    }

    /// Adds the differences between the previous and the new version to the history for secondaries, and has them
    /// notified.
    fn tell_of_changes(&self, old: &Served, new: &Served) {
        let none = Zones::default();
        let (before, after) = (old.zones.as_ref().unwrap_or(&none), new.zones.as_ref().unwrap_or(&none));
        let history = || self.history.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// Serves as configured, indefinitely.
    ///
    /// `memory` is the total memory, in octets, if it is all ours: bounds are derived from it.
    ///
    /// # Errors
    ///
    /// An address that cannot be bound, or a thread that cannot be started. Nothing is served then.
    pub fn run(self: Arc<Self>, config: Config, memory: Option<u64>) -> Result<std::convert::Infallible, ServeError> {
        let cannot = |what: String| move |source| ServeError { what, source };
        let (version, poll) = (env!("CARGO_PKG_VERSION"), config.git_poll.as_secs());
        match &config.origin {
            Origin::Git(remote) => log::info!("zonule {version}: zones from {remote}, looked at every {poll} s"),
            Origin::Primaries { .. } => log::info!("zonule {version}: a secondary"),
        }
        // The clock may have been set since the server was created.
        self.clock.set();
        self.replays.lock().unwrap_or_else(PoisonError::into_inner).set_floor(seconds().saturating_sub(2));
        let mut datagrams = Vec::new();
        let mut listeners = Vec::new();
        for address in &config.listen {
            datagrams.push(UdpSocket::bind(address).map_err(cannot(format!("listen on UDP {address}")))?);
            listeners.push(TcpListener::bind(address).map_err(cannot(format!("listen on TCP {address}")))?);
        }
        let hooks = config.webhook.clone().map(|webhook| {
            let what = || format!("listen on TCP port {} for --webhook", webhook.port);
            http::listen(webhook.port).map_err(cannot(what())).map(|listeners| (listeners, webhook))
        });
        let hooks = hooks.transpose()?;
        let addresses: Vec<String> = config.listen.iter().map(SocketAddr::to_string).collect();
        log::info!("listening on {} after {} ms", addresses.join(", "), self.elapsed());

        let limits = memory.map_or_else(Limits::default, Limits::for_memory);
        if let Some(memory) = memory {
            let octets = DIFFERENCES.octets.min(usize::try_from(memory / 16).unwrap_or(usize::MAX));
            *self.history.lock().unwrap_or_else(PoisonError::into_inner) =
                History::new(transfer::Limits { octets, ..DIFFERENCES });
        }
        let connections = tcp::connections(config.tcp_connections, memory);
        let start = |name: &str, stack: usize, work: Box<dyn FnOnce() + Send>| {
            let thread = thread::Builder::new().name(name.to_string()).stack_size(stack).spawn(work);
            thread.map(drop).map_err(cannot(format!("start the {name} thread")))
        };
        let retired = Arc::clone(&self.retired);
        start("free", GIT_STACK, Box::new(move || retired.run()))?;
        news::start(Arc::clone(&self), &config)
            .map_err(cannot("start the thread that notifies secondaries".to_string()))?;
        validation::start(Arc::clone(&self)).map_err(cannot("start the thread that validates zones".to_string()))?;
        if let Some((listeners, webhook)) = hooks {
            let remote = match &config.origin {
                Origin::Git(remote) => Some(remote.to_string()),
                Origin::Primaries { .. } => None,
            };
            http::start(&self, listeners, webhook, remote)
                .map_err(cannot("start the thread that takes hooks".to_string()))?;
        }
        match config.origin {
            Origin::Git(remote) => {
                let upstream =
                    Upstream { remote, access: config.git_access, dialer: config.dialer, rest: Rest::default() };
                past::start(Arc::clone(&self), upstream.clone(), limits.clone(), config.git_history)
                    .map_err(cannot("start the thread that looks into git's history".to_string()))?;
                let repository = Repository::new(upstream, limits.clone());
                let primary = Primary::new(config.serial, config.tsig_keys).judged_by(validation::judge(config.bogus));
                let server = Arc::clone(&self);
                let (poll, author, publisher) = (config.git_poll, config.git_author, Publisher::new(config.catalog));
                let lookback = Lookback { limits, depth: config.git_history };
                let writer = Writer::new(server, repository, primary, poll, author, publisher, lookback);
                start("git", GIT_STACK, Box::new(move || writer.run()))?;
            }
            Origin::Primaries { zones, primaries } => {
                let judge = validation::judge(config.bogus);
                let plan = follower::Plan { zones, primaries, catalog: config.catalog, bounds: bounds(memory), judge };
                let keys = Arc::clone(&self.served.load().keys);
                follower::start(Arc::clone(&self), plan, keys)
                    .map_err(cannot("start the thread that follows primaries".to_string()))?;
            }
        }
        for socket in datagrams.into_iter().map(Arc::new) {
            for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
                let socket = Arc::clone(&socket);
                let server = Arc::clone(&self);
                start("udp", SERVICE_STACK, Box::new(move || udp::run(&server, &socket)))?;
            }
        }
        for listener in listeners {
            let (server, connections) = (Arc::clone(&self), Arc::clone(&connections));
            start("tcp", SERVICE_STACK, Box::new(move || tcp::run(&server, &listener, &connections)))?;
        }

        self.keep_house()
    }

    /// Does periodic work that must not be done by a thread that answers, indefinitely.
    fn keep_house(&self) -> ! {
        let mut answered = false;
        loop {
            match self.first_answer.reached() {
                Some(milliseconds) if !answered => {
                    answered = true;
                    log::info!("first answer after {milliseconds} ms");
                }
                _ => {}
            }
            if let Some(limiter) = &self.limiter {
                self.tell(limiter);
            }
            let jump = self.clock.set();
            // Smaller jumps do not affect signatures.
            if jump.unsigned_abs() > u32::from(tsig::FUDGE) {
                self.clock_jumped(jump);
            }
            self.renew_secret(Run::current());
            self.complaints.summarise(self.clock.now().0);
            self.look_for_the_unproven();
            for job in self.queue.take_expired() {
                self.settle(&job, &self.overdue());
            }
            let look = if answered { Duration::from_secs(1) } else { Duration::from_millis(100) };
            // No update has a shorter deadline than this, so none that arrives meanwhile can expire.
            thread::sleep(self.queue.patience(look));
        }
    }

    /// Records the error of the last request to the remote, or `None` if it succeeded.
    fn set_obstacle(&self, error: Option<&str>) {
        *self.obstacle.lock().unwrap_or_else(PoisonError::into_inner) = error.map(str::to_owned);
    }

    /// Returns the error of the last request to the remote, if it failed.
    fn obstacle(&self) -> Option<String> {
        self.obstacle.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the outcome of an update that the remote has not accepted in time.
    fn overdue(&self) -> Outcome {
        let reason = match self.obstacle() {
            Some(error) => format!("the git remote did not take the update in time: {error}"),
            None => "the git remote did not answer in time".to_string(),
        };
        Outcome::because(Rcode::SERVER_FAILURE, &reason)
    }

    /// Draws a new secret for cookies if the system is in another run: this machine is then a copy made from a
    /// snapshot, and other copies may have the same secret. A configured secret stays, because other servers are meant
    /// to share it.
    fn renew_secret(&self, current: Option<Run>) {
        let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        if run.is_none() || current.is_none() || *run == current {
            return;
        }
        let mut secret = [0; 16];
        match getrandom::fill(&mut secret) {
            Ok(()) => {
                self.settings.renew_secret(&Secret::new(secret));
                *run = current;
                log::info!("resumed, perhaps from a snapshot: DNS cookies are made with a new secret from now on");
            }
            Err(error) => log::error!("resumed, but there is no new secret for DNS cookies: {error}; retrying"),
        }
    }

    /// Handles a clock adjustment of `jump` seconds: the clock was wrong before.
    ///
    /// Updates signed before the start are refused because a previous run may have accepted them. Only a correct clock
    /// can tell when the start was: if the clock was ahead, all updates would be refused until that time is reached.
    fn clock_jumped(&self, jump: i32) {
        let now = seconds();
        let mut replays = self.replays.lock().unwrap_or_else(PoisonError::into_inner);
        let floor = if jump > 0 { replays.floor().max(now) } else { replays.floor().min(now) };
        replays.set_floor(floor);
        log::warn!("the clock was set by {jump:+} s: no update is taken that was signed until now");
    }

    /// Logs which clients' replies are rate-limited, and which are no longer.
    fn tell(&self, limiter: &Limiter) {
        let (dropped, truncated) = limiter.held_back();
        for event in limiter.events(self.clock.now().0) {
            match event {
                Event::Began(network, kind) => {
                    log::warn!("rate limit: too many {kind} to {network}; some are dropped or truncated from now on");
                }
                Event::Ended(network, kind) => log::info!(
                    "rate limit: no longer too many {kind} to {network}; since the start {dropped} replies were dropped \
                     and {truncated} truncated"
                ),
            }
        }
    }

    /// Returns the time since the start, in milliseconds.
    fn elapsed(&self) -> u128 {
        self.clock.now().0.as_millis()
    }
}

/// Returns the addresses of all primaries.
fn primaries_of(origin: &Origin) -> Vec<IpAddr> {
    match origin {
        Origin::Git(_) => Vec::new(),
        Origin::Primaries { zones, primaries } => {
            let all = zones.values().flatten().chain(primaries);
            all.map(|primary| primary.address.ip().to_canonical()).collect()
        }
    }
}

/// Returns the maximum size of a transfer if the total memory is `memory` octets.
fn bounds(memory: Option<u64>) -> secondary::Bounds {
    match memory {
        None => secondary::Bounds::default(),
        Some(memory) => {
            let octets = usize::try_from(memory / 4).unwrap_or(usize::MAX);
            secondary::Bounds { octets, records: octets / 32 }
        }
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

/// A moment that is reached once.
///
/// Checking it costs an answering thread one load, so a thread that waits for it has to poll.
#[derive(Default)]
struct Milestone {
    /// Milliseconds since the start plus one, or 0 until it is reached.
    reached: AtomicU64,
}

impl Milestone {
    fn reach(&self, uptime: Duration) {
        if self.reached.load(Ordering::Relaxed) == 0 {
            let milliseconds = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX - 1);
            // A failed exchange means that another thread was first.
            let _ = self.reached.compare_exchange(0, milliseconds + 1, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Returns when it was reached, in milliseconds since the start.
    fn reached(&self) -> Option<u64> {
        self.reached.load(Ordering::Relaxed).checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    mod model;

    use super::*;
    use crate::config::{self, Command, Host};

    /// Returns a server without zones, with more arguments than it needs.
    pub(super) fn server(arguments: &[&str], random: u8) -> Arc<Server> {
        let words = ["--git-remote=git://192.0.2.1/zones"].iter().chain(arguments).map(ToString::to_string);
        let Ok(Command::Serve(config)) = config::parse(Host::Process, words) else { panic!("{arguments:?}") };
        Server::new(Instant::now(), &config, [[random; 16]; 3])
    }

    /// Returns a query for example.org with the options `options`.
    fn query(options: &[u8]) -> Vec<u8> {
        let mut query =
            b"\0\x01\0\0\0\x01\0\0\0\0\0\x01\x07example\x03org\0\0\x01\0\x01\0\0\x29\x04\xd0\0\0\0\0\0".to_vec();
        query.push(options.len() as u8);
        query.extend(options);
        query
    }

    fn ask(server: &Server, transport: Transport, source: &str, query: &[u8]) -> Option<Vec<u8>> {
        let mut reply = vec![0; 4096];
        let answer = server.respond(transport, source.parse().unwrap(), query, &mut reply);
        let Answer::Reply(length) = answer else { return None };
        reply.truncate(length);
        Some(reply)
    }

    #[test]
    fn arguments_reach_the_replies() {
        let server = server(&["--edns-payload=4000", "--nsid=ns7"], 1);
        let reply = ask(&server, Transport::UDP, "192.0.2.1", &query(&[0, 3, 0, 0])).unwrap();
        assert_eq!(reply[29..][..18], *b"\0\0\x29\x0f\xa0\0\0\0\0\0\x25\0\x03\0\x03ns7");
        let reply = ask(&server, Transport::TCP, "192.0.2.1", &query(&[0, 11, 0, 0])).unwrap();
        assert_eq!(reply[40..][..6], [0, 11, 0, 2, 0, 100]);
    }

    /// Each server draws its own secret unless one is configured; an IPv4 client is the same client on either kind of
    /// socket.
    #[test]
    fn cookies_are_good_where_the_secret_is_known() {
        let asking = query(b"\0\x0a\0\x081234567X");
        let told = ["--cookie-secret=000102030405060708090a0b0c0d0e0f", "--rate-limit=1"];
        for (maker, prover, good) in
            [(server(&told, 1), server(&told, 2), true), (server(&[], 1), server(&["--rate-limit=1"], 2), false)]
        {
            let reply = ask(&maker, Transport::UDP, "192.0.2.1", &asking).unwrap();
            let cookie = &reply[40..68];
            assert_eq!(cookie[..13], *b"\0\x0a\0\x181234567X\x01");
            let proving = query(cookie);
            let replies = (0..100).filter_map(|_| ask(&prover, Transport::UDP, "::ffff:192.0.2.1", &proving));
            let served = replies.filter(|reply| reply[3] == 2).count();
            assert_eq!(served, if good { 100 } else { 1 });
        }
    }

    #[test]
    fn a_copy_of_a_machine_has_another_secret() {
        let given = ["--cookie-secret=000102030405060708090a0b0c0d0e0f"];
        for (server, renewed) in [(server(&[], 1), true), (server(&given, 1), false)] {
            let cookie =
                || ask(&server, Transport::TCP, "192.0.2.1", &query(b"\0\x0a\0\x081234567X")).unwrap()[40..68].to_vec();
            // A cookie made with a known secret is echoed unchanged.
            let echoed =
                |cookie: &[u8]| ask(&server, Transport::TCP, "192.0.2.1", &query(cookie)).unwrap()[40..68] == *cookie;
            let before = cookie();
            for same in [Run::current(), None] {
                server.renew_secret(same);
                assert!(echoed(&before));
            }
            server.renew_secret(Some(Run::other()));
            assert_eq!(echoed(&before), !renewed);
            let after = cookie();
            server.renew_secret(Some(Run::other()));
            assert!(echoed(&after), "once is enough");
        }
    }

    #[test]
    fn an_update_that_is_overdue_is_told_what_kept_it() {
        let server = server(&[], 1);
        assert_eq!(server.overdue().to_string(), "SERVFAIL: the git remote did not answer in time");
        server.set_obstacle(Some("the server answers 503"));
        let expected = "SERVFAIL: the git remote did not take the update in time: the server answers 503";
        assert_eq!(server.overdue().to_string(), expected);
        server.set_obstacle(None);
        assert_eq!(server.overdue().to_string(), "SERVFAIL: the git remote did not answer in time");
    }

    #[test]
    fn streams_are_not_limited() {
        let server = server(&["--rate-limit=1"], 1);
        let replies = |transport| (0..100).filter_map(|_| ask(&server, transport, "192.0.2.1", &query(&[]))).count();
        assert_eq!((replies(Transport::TCP), replies(Transport::UDP)), (100, 1));
    }

    /// Returns a server that serves a small example.org, with these arguments.
    fn serving(arguments: &[&str]) -> Arc<Server> {
        let server = server(arguments, 1);
        let text = "@ SOA ns host 2 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";
        let apex = Name::from_text("example.org").unwrap();
        let zone =
            crate::zonefile::read_including(&apex, "example.org", text.as_bytes(), |_| unreachable!()).zone.unwrap();
        let mut zones = Zones::default();
        zones.insert(Arc::new(zone));
        let keys = Arc::clone(&server.served.load().keys);
        server.publish(Served { zones: Some(zones), keys, origin: None });
        server
    }

    /// Sends a message that is set aside repeatedly over UDP; returns the number of replies, and whether any was
    /// truncated.
    fn replies(server: &Server, message: &[u8]) -> (usize, bool) {
        let (mut count, mut is_truncated) = (0, false);
        for _ in 0..100 {
            let mut reply = vec![0; 4096];
            let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
            let client = SocketAddr::from(([192, 0, 2, 1], 53));
            let back = queue::Back::Datagram(socket, client);
            let done = server.deal_with(Transport::UDP, client.ip(), message, &mut reply, back);
            if let aside::Done::Reply(length) = done {
                assert!(length >= 12);
                count += 1;
                is_truncated |= reply[2] & 2 != 0;
            }
        }
        (count, is_truncated)
    }

    #[test]
    fn what_a_forged_address_can_ask_for_is_limited_also_where_transfers_and_signatures_are_concerned() {
        let limited = ["--rate-limit=1,slip=2", "--allow-transfer=192.0.2.0/24"];
        let secret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let key = |name: &str| Arc::new(tsig::Key::parse_argument(&format!("{name}:hmac-sha256:{secret}")).unwrap());
        let argument = format!("--tsig-key=known._transfer.example.org:hmac-sha256:{secret}");
        let server = serving(&[&limited[..], &[&argument]].concat());
        // Unsigned IXFR from serial 1, from an allowed address: one reply unchanged, the others rate-limited as usual.
        let mut ixfr = b"\0\x01\0\0\0\x01\0\0\0\x01\0\0\x07example\x03org\0\0\xfb\0\x01".to_vec();
        ixfr.extend(b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\x16\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        let (count, is_truncated) = replies(&server, &ixfr);
        assert!((40..60).contains(&count) && is_truncated, "{count} {is_truncated}");
        let (count, _) = replies(&serving(&["--rate-limit=off", limited[1]]), &ixfr);
        assert_eq!(count, 100);
        // Errors about signatures: by an unknown key, and by a known one with a wrong signature.
        let ask = b"\0\x01\0\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x06\0\x01";
        let mut signed = ask.to_vec();
        tsig::sign(&key("other._transfer.example.org"), &mut signed, seconds()).unwrap();
        let (count, _) = replies(&server, &signed);
        assert!(count < 5, "BADKEY: {count}");
        let server = serving(&[&limited[..], &[&argument]].concat());
        let mut signed = ask.to_vec();
        tsig::sign(&key("known._transfer.example.org"), &mut signed, seconds()).unwrap();
        signed[1] = 2;
        signed[20] ^= 0x20;
        let (count, _) = replies(&server, &signed);
        assert!(count < 5, "BADSIG: {count}");
        // A client that holds a key is not spoofed.
        let mut signed = ask.to_vec();
        tsig::sign(&key("known._transfer.example.org"), &mut signed, seconds()).unwrap();
        assert_eq!(replies(&server, &signed), (100, false));
    }

    #[test]
    fn a_stranger_never_waits_over_tcp() {
        let server = serving(&["--allow-transfer=192.0.2.0/24"]);
        let (past, wishes) = std::sync::mpsc::sync_channel(64);
        server.past.set(past).unwrap();
        let deal = |source: [u8; 4], message: &[u8]| {
            let wait = Arc::default();
            let back = queue::Back::Stream(crate::net::Promise::new(&wait));
            // A wait for differences ends as soon as its place is needed.
            wait.end();
            let mut reply = vec![0; 65_535];
            server.deal_with(Transport::TCP, source.into(), message, &mut reply, back)
        };
        let mut ixfr = b"\0\x01\0\0\0\x01\0\0\0\x01\0\0\x07example\x03org\0\0\xfb\0\x01".to_vec();
        ixfr.extend(b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\x16\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        let (mut axfr, mut update, mut notify) = (ixfr[..29].to_vec(), ixfr[..29].to_vec(), ixfr[..29].to_vec());
        for message in [&mut axfr, &mut update, &mut notify] {
            message[9] = 0;
        }
        (axfr[26], update[26], notify[26]) = (252, 6, 6);
        (update[2], notify[2]) = (5 << 3, 4 << 3);
        let stranger = [198, 51, 100, 1];
        for message in [&ixfr, &axfr, &update, &notify] {
            assert!(matches!(deal(stranger, message), aside::Done::Reply(_)), "{message:02x?}");
        }
        assert!(wishes.try_recv().is_err(), "git is not asked for a stranger");
        assert!(matches!(deal([192, 0, 2, 1], &ixfr), aside::Done::Stream(_)));
        assert!(wishes.try_recv().is_ok(), "it is asked for those who may have the zone");
    }

    /// Returns a zone about as deep as possible: each octet of a name is a branch, and octets of two symbols are two.
    fn deepest() -> Arc<crate::zone::Zone> {
        let mut text = "@ SOA ns host 2 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n".to_string();
        let mut parents = String::new();
        for length in [63, 63, 63, 48] {
            for count in 1..=length {
                let before = "\\255".repeat(count - 1);
                text += &format!("{before}\\255{parents} A 192.0.2.1\n{before}\\254{parents} A 192.0.2.1\n");
            }
            parents = format!(".{}{parents}", "\\255".repeat(length));
        }
        let apex = Name::from_text("example.org").unwrap();
        let read = crate::zonefile::read_including(&apex, "example.org", text.as_bytes(), |_| unreachable!());
        Arc::new(read.zone.unwrap())
    }

    #[test]
    fn the_deepest_zone_is_freed_by_threads_that_serve() {
        let zone = deepest();
        assert!(zone.record_count() > 400);
        thread::Builder::new().stack_size(SERVICE_STACK).spawn(move || drop(zone)).unwrap().join().unwrap();
    }

    #[test]
    fn publishing_waits_for_no_reader_and_what_was_read_is_freed_afterwards() {
        let server = serving(&[]);
        let retired = Arc::clone(&server.retired);
        thread::spawn(move || retired.run());
        let old = server.served.load_full();
        let version = Arc::downgrade(&old);
        for _ in 0..100 {
            let keys = Arc::clone(&old.keys);
            server.publish(Served { zones: None, keys, origin: None });
        }
        assert!(old.zones.is_some(), "it is read on");
        drop(old);
        let deadline = Instant::now() + Duration::from_secs(60);
        while version.strong_count() > 0 {
            assert!(Instant::now() < deadline, "it is not freed");
            thread::sleep(Duration::from_millis(1));
        }
    }
}
