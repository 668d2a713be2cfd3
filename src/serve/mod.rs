//! The shell: threads and sockets around the zones, the answers and git.
//!
//! One thread follows the remote and swaps the served catalog. Others wait for queries on the sockets; on
//! a machine of its own the network thread asks [`Server::respond`] directly and these hardly ever run.

mod follow;
mod tcp;
mod udp;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use crate::answer::{self, Transport};
use crate::config::Config;
use crate::git::{Limits, Repository};
use crate::zone::Catalog;

/// The server: what answers need, shared by all threads.
pub struct Server {
    catalog: ArcSwapOption<Catalog>,
    started: Instant,
    first_answer: Milestone,
}

/// An address that cannot be served.
#[derive(Debug)]
pub struct ServeError {
    what: String,
    source: io::Error,
}

impl Server {
    /// Returns a server that has no zones yet: it answers SERVFAIL.
    #[must_use]
    pub fn new(started: Instant) -> Arc<Server> {
        Arc::new(Server { catalog: ArcSwapOption::empty(), started, first_answer: Milestone::default() })
    }

    /// Writes the reply to `query` into `reply` and returns its length, or `None` where silence is right.
    ///
    /// Never blocks and never allocates: any thread may ask.
    pub fn respond(&self, transport: Transport, query: &[u8], reply: &mut [u8]) -> Option<usize> {
        let catalog = self.catalog.load();
        let length = answer::respond(catalog.as_deref(), transport, query, reply)?;
        if catalog.is_some() {
            self.first_answer.reach(self.started);
        }
        Some(length)
    }

    /// Makes `catalog` the one that is served and frees the one before.
    fn publish(&self, catalog: Catalog) {
        let Some(mut old) = self.catalog.swap(Some(Arc::new(catalog))) else { return };
        // A reader may hold the old catalog for the length of an answer. Freeing it can take long, so wait
        // for the reader here: the freeing must not fall to the thread that answers.
        while Arc::get_mut(&mut old).is_none() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Serves for ever as `config` says.
    ///
    /// `memory` is all the memory there is, in octets, where it is ours alone: bounds are sized by it.
    ///
    /// # Errors
    ///
    /// An address that cannot be bound, or a thread that cannot be started. Nothing is served then.
    pub fn run(self: Arc<Self>, config: Config, memory: Option<u64>) -> Result<std::convert::Infallible, ServeError> {
        let cannot = |what: String| move |source| ServeError { what, source };
        let mut datagrams = Vec::new();
        let mut listeners = Vec::new();
        for address in &config.listen {
            datagrams.push(UdpSocket::bind(address).map_err(cannot(format!("listen on UDP {address}")))?);
            listeners.push(TcpListener::bind(address).map_err(cannot(format!("listen on TCP {address}")))?);
        }
        let addresses: Vec<String> = config.listen.iter().map(SocketAddr::to_string).collect();
        log::info!("listening on {} after {} ms", addresses.join(", "), self.elapsed());

        let limits = memory.map_or_else(Limits::default, Limits::for_memory);
        let repository = Repository::new(config.git_remote, limits);
        let connections = tcp::Connections::new(memory);
        let start = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = thread::Builder::new().name(name.to_string()).spawn(work);
            thread.map(drop).map_err(cannot(format!("start the {name} thread")))
        };
        let server = Arc::clone(&self);
        start("git", Box::new(move || follow::run(&server, repository, config.git_poll)))?;
        for socket in datagrams {
            for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
                let socket = socket.try_clone().map_err(cannot("share a UDP socket".to_string()))?;
                let server = Arc::clone(&self);
                start("udp", Box::new(move || udp::run(&server, &socket)))?;
            }
        }
        for listener in listeners {
            let (server, connections) = (Arc::clone(&self), Arc::clone(&connections));
            start("tcp", Box::new(move || tcp::run(&server, &listener, &connections)))?;
        }

        log::info!("first answer after {} ms", self.first_answer.wait());
        loop {
            thread::park();
        }
    }

    /// Returns the time since the start, in milliseconds.
    fn elapsed(&self) -> u128 {
        self.started.elapsed().as_millis()
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.what, self.source)?;
        match self.source.kind() {
            io::ErrorKind::PermissionDenied => {
                f.write_str("; ports below 1024 need root or the capability cap_net_bind_service")
            }
            io::ErrorKind::AddrInUse => f.write_str("; another server is there: stop it, or choose another --listen"),
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
/// Reaching it costs a thread that answers one load, so the waiting is a poll.
#[derive(Default)]
struct Milestone {
    /// Milliseconds since the start plus one, or 0 while it is not reached.
    reached: AtomicU64,
}

impl Milestone {
    fn reach(&self, started: Instant) {
        if self.reached.load(Ordering::Relaxed) == 0 {
            let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
            // Whoever comes second was not first.
            let _ = self.reached.compare_exchange(0, milliseconds + 1, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Waits until it is reached and returns when that was, in milliseconds since the start.
    fn wait(&self) -> u64 {
        loop {
            match self.reached.load(Ordering::Relaxed) {
                0 => thread::sleep(Duration::from_millis(100)),
                milliseconds => return milliseconds - 1,
            }
        }
    }
}
