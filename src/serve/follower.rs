//! Being a secondary: the threads around [`Secondary`], which follow zones at their primaries.
//!
//! One thread holds the state and publishes what it serves; SOA queries go by an [`Exchange`]; each transfer has a thread
//! and a connection of its own, and tells the first one how it went.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::exchange::Exchange;
use super::{GIT_STACK, Served, Server, seconds};
use crate::catalog_zone::{Step, Subscription};
use crate::keys::Keyring;
use crate::secondary::{Bounds, Effect, Event, Failure, Limits, Order, Outcome, Primary, Progress, Secondary};
use crate::zone::{Catalog, Fault, Name, Serial};

/// How long to wait for a primary to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// How often a transfer tells that it goes on.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// What the thread is told.
pub(super) enum Call {
    /// A notification has come.
    Notified { apex: Name, source: IpAddr, serial: Option<Serial> },
    /// A datagram has come in.
    Reply(SocketAddr, Vec<u8>),
    /// A transfer goes on.
    Progress(u64),
    /// A transfer has ended.
    Ended(u64, Result<Outcome, Failure>),
}

/// What to follow.
pub(super) struct Plan {
    /// Zones told by name, with their primaries.
    pub(super) zones: BTreeMap<Name, Vec<Primary>>,
    /// The primaries of the catalog and its members.
    pub(super) primaries: Vec<Primary>,
    /// The catalog that is consumed.
    pub(super) catalog: Option<Name>,
    /// How large a transfer may be.
    pub(super) bounds: Bounds,
}

/// The thread's state.
struct Follower {
    server: Arc<Server>,
    machine: Secondary,
    limits: Limits,
    plan: Plan,
    subscription: Subscription,
    catalog: Catalog,
    keys: Arc<Keyring>,
    calls: Sender<Call>,
    exchange: Exchange,
    /// The connections of transfers under way, to be broken off by.
    open: Arc<Mutex<HashMap<u64, Option<TcpStream>>>>,
    /// What is served has changed and is to be published.
    is_changed: bool,
}

/// Starts the thread that follows zones as planned.
pub(super) fn start(server: Arc<Server>, plan: Plan, keys: Arc<Keyring>) -> io::Result<()> {
    let (calls, receiver) = channel();
    let replies = calls.clone();
    let exchange =
        Exchange::open("replies", move |source, message| replies.send(Call::Reply(source, message)).is_ok())?;
    // Nobody has set it before: there is one follower.
    let _ = server.follower.set(calls.clone());
    let configured: BTreeSet<Name> = plan.zones.keys().chain(&plan.catalog).cloned().collect();
    let limits = Limits::default();
    let follower = Follower {
        server,
        machine: Secondary::new(limits),
        limits,
        plan,
        subscription: Subscription::new(configured),
        catalog: Catalog::default(),
        keys,
        calls,
        exchange,
        open: Arc::default(),
        is_changed: true,
    };
    let thread = thread::Builder::new().name("secondary".to_string()).stack_size(GIT_STACK);
    thread.spawn(move || follower.run(&receiver)).map(drop)
}

impl Follower {
    fn run(mut self, calls: &Receiver<Call>) {
        let mut zones: Vec<(Name, Vec<Primary>)> =
            self.plan.zones.iter().map(|(apex, primaries)| (apex.clone(), primaries.clone())).collect();
        zones.extend(self.plan.catalog.iter().map(|catalog| (catalog.clone(), self.plan.primaries.clone())));
        for (apex, primaries) in zones {
            self.follow(apex, primaries);
        }
        self.publish();
        loop {
            let wait = self.machine.wake().map(|wake| wake.saturating_sub(self.server.clock.now().0));
            match calls.recv_timeout(wait.unwrap_or(Duration::from_secs(3600))) {
                Ok(Call::Notified { apex, source, serial }) => {
                    self.handle(Event::Notified { apex: &apex, source, serial });
                }
                Ok(Call::Reply(source, message)) => self.handle(Event::Reply { source, message: &message }),
                Ok(Call::Progress(order)) => self.handle(Event::Progress { order }),
                Ok(Call::Ended(order, result)) => {
                    self.open().remove(&order);
                    self.handle(Event::Ended { order, result });
                }
                Err(RecvTimeoutError::Timeout) => self.handle(Event::Tick),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.publish();
        }
    }

    /// Follows a zone from these primaries; until it comes it is known that it should be there.
    fn follow(&mut self, apex: Name, primaries: Vec<Primary>) {
        if self.catalog.get(&apex).is_none() {
            self.catalog.insert_broken(apex.clone(), Fault::Awaited);
            self.is_changed = true;
        }
        self.handle(Event::Follow { apex, primaries });
    }

    fn handle(&mut self, event: Event<'_>) {
        let server = Arc::clone(&self.server);
        let effects = self.machine.handle(server.now(), event, &mut || server.random.next());
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, message } => self.exchange.send(to, &message),
            Effect::Transfer(order) => self.transfer(order),
            Effect::Abort { order } => {
                // Without a place, one that is still connecting ends as soon as it is connected.
                if let Some(Some(stream)) = self.open().remove(&order) {
                    // An error means that it is gone already.
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
            Effect::Serve(zone) => {
                self.is_changed = true;
                self.catalog.insert(Arc::clone(&zone));
                if self.plan.catalog.as_ref() == Some(zone.apex()) {
                    for step in self.subscription.update(&zone) {
                        self.take(step);
                    }
                }
            }
            Effect::Expire(apex) => {
                self.is_changed = true;
                self.catalog.insert_broken(apex, Fault::Expired);
            }
            Effect::Withdraw(apex) => {
                self.is_changed = true;
                self.catalog.remove(&apex);
            }
            Effect::Log(level, text) => log::log!(level, "{text}"),
        }
    }

    /// Does what a catalog says.
    fn take(&mut self, step: Step) {
        match step {
            Step::Follow { apex, .. } => self.follow(apex, self.plan.primaries.clone()),
            Step::Forget { apex } => self.handle(Event::Forget { apex: &apex }),
            Step::Log(level, text) => log::log!(level, "{text}"),
        }
    }

    fn publish(&mut self) {
        if std::mem::take(&mut self.is_changed) {
            let (catalog, keys) = (Some(self.catalog.clone()), Arc::clone(&self.keys));
            self.server.publish(Served { catalog, keys, origin: None });
        }
    }

    /// Begins a transfer in a thread of its own.
    fn transfer(&self, order: Order) {
        let id = order.id;
        self.open().insert(id, None);
        let transfer = Transfer {
            server: Arc::clone(&self.server),
            calls: self.calls.clone(),
            open: Arc::clone(&self.open),
            bounds: self.plan.bounds,
            idle: self.limits.idle,
        };
        let thread = thread::Builder::new().name("transfer".to_string()).stack_size(GIT_STACK);
        if let Err(error) = thread.spawn(move || transfer.run(&order)) {
            let failure = Failure::Unreachable(format!("no thread for it can be started: {error}"));
            // We are the receiver.
            let _ = self.calls.send(Call::Ended(id, Err(failure)));
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Option<TcpStream>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transfer's thread.
struct Transfer {
    server: Arc<Server>,
    calls: Sender<Call>,
    open: Arc<Mutex<HashMap<u64, Option<TcpStream>>>>,
    bounds: Bounds,
    idle: Duration,
}

impl Transfer {
    fn run(&self, order: &Order) {
        let result = self.transfer(order);
        // Where nobody listens any more, nobody wants to know.
        let _ = self.calls.send(Call::Ended(order.id, result));
    }

    fn transfer(&self, order: &Order) -> Result<Outcome, Failure> {
        let lost = |error: io::Error| Failure::Lost(error.to_string());
        let id = self.server.random.next() as u16;
        let Some((mut incoming, request)) = order.begin(self.bounds, id, seconds()) else {
            return Err(Failure::Lost("the request cannot be signed".to_string()));
        };
        let connected = TcpStream::connect_timeout(&order.primary.address, CONNECT);
        let mut stream = connected.map_err(|error| Failure::Unreachable(error.to_string()))?;
        match self.open.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&order.id) {
            Some(place) => *place = stream.try_clone().ok(),
            None => return Err(Failure::Lost("broken off".to_string())),
        }
        stream.set_nodelay(true).map_err(lost)?;
        stream.set_read_timeout(Some(self.idle)).map_err(lost)?;
        stream.set_write_timeout(Some(self.idle)).map_err(lost)?;
        let length = u16::try_from(request.len()).map_err(|_| Failure::Lost("the request is too long".to_string()))?;
        stream.write_all(&[&length.to_be_bytes(), &*request].concat()).map_err(lost)?;
        let mut message = vec![0; usize::from(u16::MAX)];
        let mut told = Instant::now();
        let mut stream = io::BufReader::with_capacity(64 * 1024, stream);
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length).map_err(lost)?;
            let message = &mut message[..usize::from(u16::from_be_bytes(length))];
            stream.read_exact(message).map_err(lost)?;
            match incoming.message(message, seconds()) {
                Ok(Progress::More) => {}
                Ok(Progress::Finished(outcome)) => return Ok(outcome),
                Err(error) => return Err(Failure::Transfer(error)),
            }
            if told.elapsed() >= SIGN_OF_LIFE {
                told = Instant::now();
                let _ = self.calls.send(Call::Progress(order.id));
            }
        }
    }
}
