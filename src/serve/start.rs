//! Starts the threads and sockets of the server.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::run::Run;
use super::writer::{Lookback, Writer};
use super::{GIT_STACK, SERVICE_STACK, ServeError, Server, follower, http, news, past, seconds, tcp, udp, validation};
use crate::config::{Config, Origin};
use crate::git::{Limits, Repository, Rest, Upstream};
use crate::primary::Primary;
use crate::publish::Publisher;
use crate::transfer::{self, History};
use crate::{secondary, tsig};

/// Bounds of the differences that are kept for secondaries if there is enough memory.
pub(super) const DIFFERENCES: transfer::Limits = transfer::Limits { octets: 64 << 20, differences: 1000 };

impl Server {
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
        self.updates.replays().set_floor(seconds().saturating_sub(2));
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
            *self.transfers.history() = History::new(transfer::Limits { octets, ..DIFFERENCES });
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

        self.do_periodic_work()
    }

    /// Does periodic work that must not be done by a thread that answers, indefinitely.
    fn do_periodic_work(&self) -> ! {
        let mut answered = false;
        loop {
            match self.answers.first.reached() {
                Some(milliseconds) if !answered => {
                    answered = true;
                    log::info!("first answer after {milliseconds} ms");
                }
                _ => {}
            }
            self.answers.report_limits(self.clock.now().0);
            let jump = self.clock.set();
            // Smaller jumps do not affect signatures.
            if jump.unsigned_abs() > u32::from(tsig::FUDGE) {
                self.updates.clock_jumped(jump);
            }
            self.answers.renew_secret(Run::current());
            self.complaints.summarise(self.clock.now().0);
            self.poll_for_unproven();
            for job in self.updates.queue.take_expired() {
                self.settle(&job, &self.updates.overdue());
            }
            let look = if answered { Duration::from_secs(1) } else { Duration::from_millis(100) };
            // No update has a shorter deadline than this, so none that arrives meanwhile can expire.
            thread::sleep(self.updates.queue.patience(look));
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
