//! Dialing: looks up the addresses of a host and connects to the first one that answers.
//!
//! This is a stub resolver (RFC 1034 §5.3.1), which needs recursive servers. Both address families are queried in
//! parallel. Addresses are tried as they arrive, IPv6 first and alternating between families, at intervals of a quarter
//! of a second, and the first connection wins (RFC 8305). Names are absolute: search lists are not used.
//!
//! ```text
//! host ─┬─ is an address ──────────────────────────────────┬─► race ─► a thread per try ─► TcpStream
//!       └─► cache ─► search ─► query (a thread per server) ┘
//! ```
//!
//! `lookup`, `search` and `race` do no I/O; `query` has the sockets, and this module has the threads. A dial never takes
//! longer than the caller's time limit. Threads that are still busy then (a connection that is no longer needed, a
//! silent resolver) end soon after, and their number is bounded.

mod cache;
mod error;
mod lookup;
mod query;
mod race;
mod search;

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use error::DialError;

use cache::Cache;
use lookup::{Family, Reply};
use race::Race;
use search::Search;

use crate::dns::Name;

/// The maximum number of threads for all dials together.
const MAX_THREADS: usize = 24;

/// The maximum number of queued events of one dial; threads with more events block.
const MAX_EVENTS: usize = 64;

/// The stack size of a thread that queries or connects, in octets; without an operating system, the memory is allocated
/// at once.
const STACK: usize = 64 * 1024;

/// How long to wait for resolvers while there are recently expired addresses (RFC 8767 §5).
const STALE_WAIT: Duration = Duration::from_millis(1800);

/// How long a resolver may still answer after the dial has ended, to fill the cache.
const LINGER: Duration = Duration::from_secs(4);

/// The time limit of an attempt without its own thread, while there are other addresses to try.
const UNTHREADED_TIMEOUT: Duration = Duration::from_secs(1);

/// The minimum time between two warnings about the use of expired addresses.
const REMINDER: Duration = Duration::from_secs(60);

/// A dialer: looks up the addresses of a host and connects to the first one that answers (RFC 8305). Clones share their
/// cache.
#[derive(Clone, Debug)]
pub struct Dialer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    source: Source,
    cache: Mutex<Cache>,
    /// The number of running threads.
    threads: AtomicUsize,
    /// The time of the last warning about the use of expired addresses.
    last_warning: Mutex<Option<Instant>>,
}

/// The source of addresses.
#[derive(Debug)]
enum Source {
    /// The operating system.
    System,
    /// These servers.
    Servers(Vec<SocketAddr>),
    /// The servers in this file, which is read for each lookup.
    File(String),
}

/// A message from a thread of a dial.
enum Event {
    Reply(SocketAddr, Family, Reply),
    Tried(SocketAddr, io::Result<TcpStream>),
}

impl Dialer {
    /// Returns a dialer that uses the operating system's resolver.
    pub fn system() -> Self {
        Self::with_source(Source::System)
    }

    /// Returns a dialer that uses these resolvers, in this order.
    pub fn with_servers(servers: Vec<SocketAddr>) -> Self {
        Self::with_source(Source::Servers(servers))
    }

    /// Returns a dialer that uses the resolvers in a file like `/etc/resolv.conf`, which is read for each lookup.
    pub fn from_file(path: &str) -> Self {
        Self::with_source(Source::File(path.to_string()))
    }

    fn with_source(source: Source) -> Self {
        let (cache, threads, last_warning) = Default::default();
        Dialer { shared: Arc::new(Shared { source, cache, threads, last_warning }) }
    }

    /// Connects to `port` of `host`, a name or a numeric address, within `patience`.
    ///
    /// # Errors
    ///
    /// Returns which resolvers or addresses were tried, and how each one failed.
    pub fn connect(&self, host: &str, port: u16, patience: Duration) -> Result<TcpStream, DialError> {
        let started = Instant::now();
        let mut dial = Dial::new(&self.shared, host, port, started, patience);
        if let Some(addresses) = known(host, port) {
            addresses.into_iter().for_each(|address| dial.race.add(address));
            return dial.run();
        }
        let servers = match &self.shared.source {
            Source::System => {
                let addresses = self.shared.by_system(host, port, patience)?;
                addresses.into_iter().for_each(|address| dial.race.add(address));
                return dial.run();
            }
            Source::Servers(servers) => servers.clone(),
            Source::File(path) => lookup::servers(&fs::read_to_string(path).unwrap_or_default()),
        };
        let name = host_name(host)?;
        if servers.is_empty() {
            return Err(DialError::NoResolver { host: host.to_string() });
        }
        dial.look_up(name, servers);
        dial.run()
    }
}

/// Returns the addresses of a host that needs no lookup: a numeric address or `localhost` (RFC 6761 §6.3).
fn known(host: &str, port: u16) -> Option<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(vec![SocketAddr::new(address, port)]);
    }
    if let Some((address, zone)) = host.split_once('%')
        && let (Ok(address), Ok(zone)) = (address.parse::<Ipv6Addr>(), zone.parse())
    {
        return Some(vec![SocketAddrV6::new(address, port, 0, zone).into()]);
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let is_here = name == "localhost" || name.ends_with(".localhost");
    is_here.then(|| vec![(Ipv6Addr::LOCALHOST, port).into(), (Ipv4Addr::LOCALHOST, port).into()])
}

/// Parses a host as a domain name.
fn host_name(host: &str) -> Result<Name, DialError> {
    let bad = |reason: String| DialError::BadName { host: host.to_string(), reason };
    if !host.is_ascii() {
        return Err(bad("the name must be in ASCII; write it as xn--…".to_string()));
    }
    let name = Name::from_text(host).map_err(|error| bad(error.to_string()))?;
    if name == Name::root() { Err(bad("the name is the DNS root".to_string())) } else { Ok(name) }
}

impl Shared {
    /// Looks up a name with the system's resolver, which may take longer than `patience`; the caller waits no longer
    /// than that.
    fn by_system(self: &Arc<Self>, host: &str, port: u16, patience: Duration) -> Result<Vec<SocketAddr>, DialError> {
        let (sender, receiver) = sync_channel(1);
        let name = host.to_string();
        self.start("resolve", None, move || {
            // The receiver may be gone.
            let _ = sender.send((name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>));
        })
        .map_err(|source| DialError::Resources { source })?;
        let host = host.to_string();
        match receiver.recv_timeout(patience) {
            Ok(Ok(addresses)) if addresses.is_empty() => Err(DialError::NoAddresses { host, by: None }),
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(source)) => Err(DialError::System { host, source }),
            Err(_) => Err(DialError::Silent { host, servers: Vec::new(), after: patience }),
        }
    }

    /// Starts a thread, unless there are too many.
    fn start(
        self: &Arc<Self>,
        name: &str,
        stack: Option<usize>,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let permit =
            Permit::take(self).ok_or_else(|| io::Error::other("too many concurrent lookups and connections"))?;
        let mut thread = thread::Builder::new().name(name.to_string());
        if let Some(stack) = stack {
            thread = thread.stack_size(stack);
        }
        let work = move || {
            work();
            drop(permit);
        };
        thread.spawn(work).map(drop)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs the use of expired addresses, as a warning at most once per [`REMINDER`].
    fn log_stale(&self, host: &str, error: &DialError) {
        let mut last_warning = self.last_warning.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last_warning.is_none_or(|last_warning| last_warning.elapsed() >= REMINDER);
        let level = if due { log::Level::Warn } else { log::Level::Debug };
        log::log!(level, "{error}; using the expired addresses of {host}");
        if due {
            *last_warning = Some(Instant::now());
        }
    }
}

/// A permit for a thread; dropping it releases it.
struct Permit(Arc<Shared>);

impl Permit {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let more = |taken| (taken < MAX_THREADS).then_some(taken + 1);
        shared.threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Permit(Arc::clone(shared)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.threads.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The state of one dial.
struct Dial<'a> {
    shared: &'a Arc<Shared>,
    host: &'a str,
    port: u16,
    started: Instant,
    patience: Duration,
    race: Race,
    search: Search,
    /// The name of the host, if it needs a lookup.
    name: Option<Name>,
    /// Expired addresses, to be used if resolvers are slow or fail.
    stale: Vec<IpAddr>,
    /// The addresses that threads are trying.
    trying: Vec<SocketAddr>,
    tried: Vec<(SocketAddr, io::Error)>,
    events: (SyncSender<Event>, Receiver<Event>),
    /// Whether the dial has ended.
    ended: Arc<AtomicBool>,
}

impl<'a> Dial<'a> {
    fn new(shared: &'a Arc<Shared>, host: &'a str, port: u16, started: Instant, patience: Duration) -> Self {
        Dial {
            shared,
            host,
            port,
            started,
            patience,
            race: Race::new(shared.cache().winner(host, started), started),
            search: Search::none(started),
            name: None,
            stale: Vec::new(),
            trying: Vec::new(),
            tried: Vec::new(),
            events: sync_channel(MAX_EVENTS),
            ended: Arc::default(),
        }
    }

    /// Starts the lookup of the families that are not cached.
    fn look_up(&mut self, name: Name, servers: Vec<SocketAddr>) {
        self.search = Search::new(servers, self.started);
        for family in Family::BOTH {
            let mut cache = self.shared.cache();
            if let Some((by, reply)) = cache.get(&name, family, self.started) {
                drop(cache);
                self.handle_reply(by, family, reply);
            } else {
                self.stale.extend(cache.stale(&name, family, self.started).unwrap_or_default());
            }
        }
        self.name = Some(name);
    }

    /// Runs the dial until it connects or fails.
    fn run(mut self) -> Result<TcpStream, DialError> {
        let deadline = self.started + self.patience;
        loop {
            let now = Instant::now();
            if now >= deadline {
                return Err(self.error(true));
            }
            while let Some(server) = self.search.next(now) {
                self.query(server, deadline);
            }
            self.use_stale(now);
            if let Some(address) = self.race.next(now) {
                match self.attempt(address, deadline) {
                    Some(stream) => return Ok(self.finish(address, stream)),
                    None => continue,
                }
            }
            if self.search.is_over() && self.race.is_empty() && self.trying.is_empty() && self.stale.is_empty() {
                return Err(self.error(false));
            }
            let stale = (!self.stale.is_empty()).then_some(self.started + STALE_WAIT);
            let wake = [self.search.wake(), self.race.wake(), stale].into_iter().flatten().fold(deadline, Instant::min);
            // The dial itself has a sender, so the only possible error is a timeout.
            match self.events.1.recv_timeout(wake.saturating_duration_since(now)) {
                Ok(Event::Reply(server, family, reply)) => self.handle_reply(server, family, reply),
                Ok(Event::Tried(address, Ok(stream))) => return Ok(self.finish(address, stream)),
                Ok(Event::Tried(address, Err(error))) => {
                    self.trying.retain(|other| *other != address);
                    self.tried.push((address, error));
                    self.race.failed(Instant::now());
                }
                Err(_) => {}
            }
        }
    }

    /// Starts a thread that queries `server`.
    fn query(&mut self, server: SocketAddr, deadline: Instant) {
        let Some(name) = self.name.clone() else { return };
        let families = self.search.open();
        let (queried, shared, ended) = (families.clone(), Arc::clone(self.shared), Arc::clone(&self.ended));
        let (sender, started) = (self.events.0.clone(), self.started);
        let deadline = deadline.max(started + LINGER);
        let work = move || {
            let enough = || ended.load(Ordering::Relaxed) && started.elapsed() >= LINGER;
            query::query(server, &name, &families, deadline, &enough, &mut |family, reply| {
                log::debug!("{name}, {family:?}: {server}: {reply:?}");
                shared.cache().put(&name, family, server, &reply, Instant::now());
                // The receiver may be gone.
                let _ = sender.send(Event::Reply(server, family, reply));
            });
        };
        if let Err(error) = self.shared.start("resolve", Some(STACK), work) {
            for family in queried {
                self.handle_reply(server, family, Reply::Failed(format!("cannot be queried: {error}")));
            }
        }
    }

    fn handle_reply(&mut self, server: SocketAddr, family: Family, reply: Reply) {
        let now = Instant::now();
        let addresses = self.search.handle_reply(server, family, reply, now);
        let is_alone = !self.search.is_over();
        self.race.found(&addresses, self.port, is_alone, now);
        if !addresses.is_empty() || self.search.is_denied() {
            self.stale.clear();
        }
    }

    /// Falls back to expired addresses when resolvers are slow or fail.
    fn use_stale(&mut self, now: Instant) {
        if self.stale.is_empty() || !self.search.is_over() && now < self.started + STALE_WAIT {
            return;
        }
        let stale = std::mem::take(&mut self.stale);
        let error = self.search.error(self.host, now - self.started);
        self.shared.log_stale(self.host, &error);
        self.race.found(&stale, self.port, false, now);
    }

    /// Tries an address, in a thread if there are others to try.
    fn attempt(&mut self, address: SocketAddr, deadline: Instant) -> Option<TcpStream> {
        let left = move || deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let is_last = self.search.is_over() && self.race.is_empty() && self.trying.is_empty();
        if !is_last {
            let sender = self.events.0.clone();
            let work = move || {
                let _ = sender.send(Event::Tried(address, TcpStream::connect_timeout(&address, left())));
            };
            match self.shared.start("connect", Some(STACK), work) {
                Ok(()) => {
                    self.trying.push(address);
                    return None;
                }
                Err(error) => log::debug!("connecting to {address} without a thread: {error}; delaying other attempts"),
            }
        }
        let patience = if is_last { left() } else { left().min(UNTHREADED_TIMEOUT) };
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => return Some(stream),
            Err(error) => self.tried.push((address, error)),
        }
        self.race.failed(Instant::now());
        None
    }

    /// Records the winner and configures the connection for requests that are written as a whole.
    fn finish(&self, address: SocketAddr, stream: TcpStream) -> TcpStream {
        self.shared.cache().won(self.host, address.ip(), Instant::now());
        // Nagle's algorithm is not needed; if this fails, requests are only delayed.
        let _ = stream.set_nodelay(true);
        stream
    }

    /// Returns the error of the dial.
    fn error(&mut self, is_late: bool) -> DialError {
        let mut tried = std::mem::take(&mut self.tried);
        let late =
            || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {}", error::seconds(self.patience)));
        tried.extend(self.trying.iter().filter(|_| is_late).map(|address| (*address, late())));
        // Replace the system's own timeout errors with the same text.
        for (_, error) in tried.iter_mut().filter(|(_, error)| error.kind() == io::ErrorKind::TimedOut) {
            *error = late();
        }
        if tried.is_empty() { self.search.error(self.host, self.patience) } else { DialError::Unreachable { tried } }
    }
}

impl Drop for Dial<'_> {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
