//! Finding the addresses of a host, and connecting to the first that answers.
//!
//! A stub resolver (RFC 1034 §5.3.1): the servers it is told are recursive ones. Both families are asked for side by side;
//! what is found is tried as it comes, IPv6 first, family by family in turn, each a quarter of a second after the one
//! before, and the first connection wins (RFC 8305). Names are absolute: search lists are not used.
//!
//! ```text
//! host ─┬─ is an address ────────────────────────────┬─► race ─► a thread a try ─► TcpStream
//!       └─► cache ─► search ─► ask (a thread a server) ┘
//! ```
//!
//! `lookup`, `search` and `race` are values in, values out; `ask` has the sockets, and here are the threads. Nothing
//! is waited for beyond the caller's patience. Threads that are left behind then (a connection that nobody wants any
//! more, a resolver that is still silent) end soon after, and their number is bounded.

mod ask;
mod cache;
mod error;
mod lookup;
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

/// The most threads of all dials together.
const MOST_THREADS: usize = 24;

/// How many events of one connection in the making wait; threads that have more wait with them.
const EVENTS: usize = 64;

/// The stack of a thread that asks or connects, in octets; on a machine of its own it is memory taken at once.
const STACK: usize = 64 * 1024;

/// How long resolvers are waited for while there are addresses that did until lately (RFC 8767 §5).
const STALE_WAIT: Duration = Duration::from_millis(1800);

/// For how long a resolver that nobody waits for any more may still answer, to be remembered.
const LINGER: Duration = Duration::from_secs(4);

/// How long a try may take that has no thread of its own, while there are others to make.
const HURRY: Duration = Duration::from_secs(1);

/// How often it is told that resolvers are silent and old addresses are used.
const REMINDER: Duration = Duration::from_secs(60);

/// Finds the addresses of a host and connects to the first that answers (RFC 8305). Clones share what they learn.
#[derive(Clone, Debug)]
pub struct Dialer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    way: Way,
    cache: Mutex<Cache>,
    /// How many threads there are.
    threads: AtomicUsize,
    /// When the use of old addresses was told last.
    told: Mutex<Option<Instant>>,
}

/// Who is asked for addresses.
#[derive(Debug)]
enum Way {
    /// The operating system.
    System,
    /// These servers.
    Servers(Vec<SocketAddr>),
    /// The servers that this file tells, read for each look-up.
    File(String),
}

/// What the threads of a dial tell.
enum Event {
    Reply(SocketAddr, Family, Reply),
    Tried(SocketAddr, io::Result<TcpStream>),
}

impl Dialer {
    /// Has the operating system look names up.
    pub fn system() -> Self {
        Self::by(Way::System)
    }

    /// Asks these resolvers, in this order.
    pub fn with_servers(servers: Vec<SocketAddr>) -> Self {
        Self::by(Way::Servers(servers))
    }

    /// Asks the resolvers that a file in the manner of `/etc/resolv.conf` names at that time.
    pub fn from_file(path: &str) -> Self {
        Self::by(Way::File(path.to_string()))
    }

    fn by(way: Way) -> Self {
        let (cache, threads, told) = Default::default();
        Dialer { shared: Arc::new(Shared { way, cache, threads, told }) }
    }

    /// Connects to `port` of `host`, a name or a numeric address, within `patience`.
    ///
    /// # Errors
    ///
    /// Who was asked for addresses or for a connection, and what came.
    pub fn connect(&self, host: &str, port: u16, patience: Duration) -> Result<TcpStream, DialError> {
        let begun = Instant::now();
        let mut dial = Dial::new(&self.shared, host, port, begun, patience);
        if let Some(addresses) = known(host, port) {
            addresses.into_iter().for_each(|address| dial.race.add(address));
            return dial.run();
        }
        let servers = match &self.shared.way {
            Way::System => {
                let addresses = self.shared.by_system(host, port, patience)?;
                addresses.into_iter().for_each(|address| dial.race.add(address));
                return dial.run();
            }
            Way::Servers(servers) => servers.clone(),
            Way::File(path) => lookup::servers(&fs::read_to_string(path).unwrap_or_default()),
        };
        let name = host_name(host)?;
        if servers.is_empty() {
            return Err(DialError::NoResolver { host: host.to_string() });
        }
        dial.look_up(name, servers);
        dial.run()
    }
}

/// Returns the addresses of a host that needs no looking up: a numeric one, or this one (RFC 6761 §6.3).
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

/// Reads a host as a domain name.
fn host_name(host: &str) -> Result<Name, DialError> {
    let bad = |reason: String| DialError::BadName { host: host.to_string(), reason };
    if !host.is_ascii() {
        return Err(bad("write its name in ASCII, as xn--…".to_string()));
    }
    let name = Name::from_text(host).map_err(|error| bad(error.to_string()))?;
    if name == Name::root() { Err(bad("that is the root of all names".to_string())) } else { Ok(name) }
}

impl Shared {
    /// Has the system look a name up, which may take it as long as it likes, but us no longer than `patience`.
    fn by_system(self: &Arc<Self>, host: &str, port: u16, patience: Duration) -> Result<Vec<SocketAddr>, DialError> {
        let (tell, told) = sync_channel(1);
        let name = host.to_string();
        self.start("resolve", None, move || {
            // Nobody may be waiting any more.
            let _ = tell.send((name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>));
        })
        .map_err(|source| DialError::Resources { source })?;
        let host = host.to_string();
        match told.recv_timeout(patience) {
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
        let place = Place::take(self).ok_or_else(|| io::Error::other("too many look-ups and connections at a time"))?;
        let mut thread = thread::Builder::new().name(name.to_string());
        if let Some(stack) = stack {
            thread = thread.stack_size(stack);
        }
        let work = move || {
            work();
            drop(place);
        };
        thread.spawn(work).map(drop)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that old addresses are used, now and then.
    fn tell_of_stale(&self, host: &str, error: &DialError) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let due = told.is_none_or(|told| told.elapsed() >= REMINDER);
        let level = if due { log::Level::Warn } else { log::Level::Debug };
        log::log!(level, "{error}; meanwhile the addresses that {host} had until lately are used");
        if due {
            *told = Some(Instant::now());
        }
    }
}

/// One of the places for threads.
struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let more = |taken| (taken < MOST_THREADS).then_some(taken + 1);
        shared.threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Place(Arc::clone(shared)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.threads.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One connection in the making.
struct Dial<'a> {
    shared: &'a Arc<Shared>,
    host: &'a str,
    port: u16,
    begun: Instant,
    patience: Duration,
    race: Race,
    search: Search,
    /// What the host is called, if it is looked up.
    name: Option<Name>,
    /// Addresses that are not right any more, for the time being.
    stale: Vec<IpAddr>,
    /// The addresses being tried by threads.
    trying: Vec<SocketAddr>,
    tried: Vec<(SocketAddr, io::Error)>,
    events: (SyncSender<Event>, Receiver<Event>),
    /// Nobody waits any more.
    over: Arc<AtomicBool>,
}

impl<'a> Dial<'a> {
    fn new(shared: &'a Arc<Shared>, host: &'a str, port: u16, begun: Instant, patience: Duration) -> Self {
        Dial {
            shared,
            host,
            port,
            begun,
            patience,
            race: Race::new(shared.cache().winner(host, begun), begun),
            search: Search::none(begun),
            name: None,
            stale: Vec::new(),
            trying: Vec::new(),
            tried: Vec::new(),
            events: sync_channel(EVENTS),
            over: Arc::default(),
        }
    }

    /// Begins a search for what is not known.
    fn look_up(&mut self, name: Name, servers: Vec<SocketAddr>) {
        self.search = Search::new(servers, self.begun);
        for family in Family::BOTH {
            let mut cache = self.shared.cache();
            if let Some((by, reply)) = cache.get(&name, family, self.begun) {
                drop(cache);
                self.heard(by, family, reply);
            } else {
                self.stale.extend(cache.stale(&name, family, self.begun).unwrap_or_default());
            }
        }
        self.name = Some(name);
    }

    /// Connects, or finds that it cannot be.
    fn run(mut self) -> Result<TcpStream, DialError> {
        let deadline = self.begun + self.patience;
        loop {
            let now = Instant::now();
            if now >= deadline {
                return Err(self.error(true));
            }
            while let Some(server) = self.search.next(now) {
                self.ask(server, deadline);
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
            let stale = (!self.stale.is_empty()).then_some(self.begun + STALE_WAIT);
            let wake = [self.search.wake(), self.race.wake(), stale].into_iter().flatten().fold(deadline, Instant::min);
            // We hold a sender ourselves: the only error is that time has passed.
            match self.events.1.recv_timeout(wake.saturating_duration_since(now)) {
                Ok(Event::Reply(server, family, reply)) => self.heard(server, family, reply),
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

    /// Has a thread ask `server`.
    fn ask(&mut self, server: SocketAddr, deadline: Instant) {
        let Some(name) = self.name.clone() else { return };
        let families = self.search.open();
        let (asked, shared, over) = (families.clone(), Arc::clone(self.shared), Arc::clone(&self.over));
        let (sender, begun) = (self.events.0.clone(), self.begun);
        let deadline = deadline.max(begun + LINGER);
        let work = move || {
            let enough = || over.load(Ordering::Relaxed) && begun.elapsed() >= LINGER;
            ask::ask(server, &name, &families, deadline, &enough, &mut |family, reply| {
                log::debug!("{name}, {family:?}: {server}: {reply:?}");
                shared.cache().put(&name, family, server, &reply, Instant::now());
                // Nobody may be waiting any more.
                let _ = sender.send(Event::Reply(server, family, reply));
            });
        };
        if let Err(error) = self.shared.start("resolve", Some(STACK), work) {
            for family in asked {
                self.heard(server, family, Reply::Failed(format!("cannot be asked: {error}")));
            }
        }
    }

    fn heard(&mut self, server: SocketAddr, family: Family, reply: Reply) {
        let now = Instant::now();
        let addresses = self.search.heard(server, family, reply, now);
        let is_alone = !self.search.is_over();
        self.race.found(&addresses, self.port, is_alone, now);
        if !addresses.is_empty() || self.search.is_denied() {
            self.stale.clear();
        }
    }

    /// Falls back to old addresses when resolvers take too long or fail.
    fn use_stale(&mut self, now: Instant) {
        if self.stale.is_empty() || !self.search.is_over() && now < self.begun + STALE_WAIT {
            return;
        }
        let stale = std::mem::take(&mut self.stale);
        let error = self.search.error(self.host, now - self.begun);
        self.shared.tell_of_stale(self.host, &error);
        self.race.found(&stale, self.port, false, now);
    }

    /// Tries an address, by a thread if there are others to try meanwhile.
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
                Err(error) => log::debug!("connecting to {address}: {error}; others wait meanwhile"),
            }
        }
        let patience = if is_last { left() } else { left().min(HURRY) };
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => return Some(stream),
            Err(error) => self.tried.push((address, error)),
        }
        self.race.failed(Instant::now());
        None
    }

    /// Readies the connection that won for requests that are written whole.
    fn finish(&self, address: SocketAddr, stream: TcpStream) -> TcpStream {
        self.shared.cache().won(self.host, address.ip(), Instant::now());
        // There is nothing to gather; if it cannot be set, requests leave later.
        let _ = stream.set_nodelay(true);
        stream
    }

    /// Returns why there is no connection.
    fn error(&mut self, is_late: bool) -> DialError {
        let mut tried = std::mem::take(&mut self.tried);
        let late =
            || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {}", error::seconds(self.patience)));
        tried.extend(self.trying.iter().filter(|_| is_late).map(|address| (*address, late())));
        // What a system says of its own waiting is the same in other words.
        for (_, error) in tried.iter_mut().filter(|(_, error)| error.kind() == io::ErrorKind::TimedOut) {
            *error = late();
        }
        if tried.is_empty() { self.search.error(self.host, self.patience) } else { DialError::Unreachable { tried } }
    }
}

impl Drop for Dial<'_> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
