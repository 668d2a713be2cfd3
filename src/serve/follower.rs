//! The secondary: the threads around [`Secondary`], which follow zones at their primaries.
//!
//! One thread holds the state and publishes what is served. SOA queries go through an [`Exchange`]. Each transfer has
//! its own thread and connection, and reports its progress and result to the first thread.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write as _};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::exchange::Exchange;
use super::mailbox::{Item, Mailbox};
use super::{GIT_STACK, Served, Server, seconds};
use crate::catalog_zone::{Step, Subscription};
use crate::dns::{Name, Serial};
use crate::keys::Keyring;
use crate::net::Tcp;
use crate::net::framing::{FRAME, Inbox, framed};
use crate::notify::Warnings;
use crate::primary::ZoneJudge;
use crate::secondary::{Bounds, Effect, Event, Failure, Limits, Order, Outcome, Primary, Progress, Secondary};
use crate::zone::{Entry, Fault, Zones};

/// Timeout for connecting to a primary.
const CONNECT: Duration = Duration::from_secs(10);

/// How often a transfer reports progress.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// The subject of a call to the thread.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// A served zone.
    Zone(Name),
    /// A transfer, by the number of its order.
    Transfer(u64),
}

/// A call to the thread about a subject.
pub(super) enum Call {
    /// A notification of the zone has arrived.
    Notified { source: IpAddr, serial: Option<Serial> },
    /// The transfer is making progress.
    Progress,
    /// The transfer has ended.
    Ended(Box<Result<Outcome, Failure>>),
}

/// The calls that the thread has to handle.
pub(super) type Calls = Mailbox<Subject, Call>;

/// Merges two calls about the same subject.
///
/// Of two notifications, the one that may announce the newer version counts; one without a serial number may announce
/// any.
fn merge(before: Call, new: Call) -> Call {
    match (&before, &new) {
        (Call::Notified { serial: Some(known), .. }, Call::Notified { serial: Some(told), .. })
            if known.is_newer_than(*told) =>
        {
            before
        }
        (Call::Notified { serial: None, .. }, Call::Notified { serial: Some(_), .. })
        | (Call::Ended(_), Call::Progress) => before,
        _ => new,
    }
}

/// Passes a notification of a zone to the thread.
pub(super) fn notify(calls: &Calls, apex: &Name, source: IpAddr, serial: Option<Serial>) {
    calls.put(Subject::Zone(apex.clone()), Call::Notified { source, serial }, merge);
}

/// The zones to follow.
pub(super) struct Plan {
    /// Zones configured by name, with their primaries.
    pub(super) zones: BTreeMap<Name, Vec<Primary>>,
    /// The primaries of the catalog and its members.
    pub(super) primaries: Vec<Primary>,
    /// The consumed catalog.
    pub(super) catalog: Option<Name>,
    /// Maximum size of a transfer.
    pub(super) bounds: Bounds,
    /// The judge of zones before they are served, if there is one.
    pub(super) judge: Option<ZoneJudge>,
}

/// State of the thread.
struct Follower {
    server: Arc<Server>,
    machine: Secondary,
    limits: Limits,
    plan: Plan,
    subscription: Subscription,
    /// The zones as they were transferred.
    zones: Zones,
    keys: Arc<Keyring>,
    calls: Arc<Calls>,
    exchange: Exchange,
    /// Limits the warnings about catalogs.
    warnings: Warnings,
    /// The connections of transfers in progress, used to abort them.
    open: Arc<Mutex<HashMap<u64, Option<TcpStream>>>>,
    /// Whether what is served has changed and must be published.
    is_changed: bool,
}

/// Starts the thread that follows zones as planned.
pub(super) fn start(server: Arc<Server>, plan: Plan, keys: Arc<Keyring>) -> io::Result<()> {
    let Some(calls) = server.polling.follower.clone() else { return Err(io::Error::other("zones come from git")) };
    let replies = Arc::clone(&calls);
    let exchange = Exchange::open("replies", move |source, message| replies.put_datagram(source, message))?;
    let configured: BTreeSet<Name> = plan.zones.keys().chain(&plan.catalog).cloned().collect();
    let limits = Limits::default();
    let follower = Follower {
        server,
        machine: Secondary::new(limits),
        limits,
        plan,
        subscription: Subscription::new(configured),
        zones: Zones::default(),
        keys,
        calls,
        exchange,
        warnings: Warnings::default(),
        open: Arc::default(),
        is_changed: true,
    };
    let thread = thread::Builder::new().name("secondary".to_string()).stack_size(GIT_STACK);
    thread.spawn(move || follower.run()).map(drop)
}

impl Follower {
    fn run(mut self) {
        let mut zones: Vec<(Name, Vec<Primary>)> =
            self.plan.zones.iter().map(|(apex, primaries)| (apex.clone(), primaries.clone())).collect();
        zones.extend(self.plan.catalog.iter().map(|catalog| (catalog.clone(), self.plan.primaries.clone())));
        for (apex, primaries) in zones {
            self.follow(apex, primaries);
        }
        self.publish();
        loop {
            let wait = self.machine.wake().map(|wake| wake.saturating_sub(self.server.clock.now().0));
            match self.calls.take(wait.unwrap_or(Duration::from_secs(3600))) {
                Some(Item::Message(Subject::Zone(apex), Call::Notified { source, serial })) => {
                    self.handle(Event::Notified { apex: &apex, source, serial });
                }
                Some(Item::Message(Subject::Transfer(order), Call::Ended(result))) => {
                    self.open().remove(&order);
                    self.handle(Event::Ended { order, result: *result });
                }
                Some(Item::Message(Subject::Transfer(order), _)) => self.handle(Event::Progress { order }),
                Some(Item::Datagram(source, message)) => self.handle(Event::Reply { source, message: &message }),
                // Notifications are the only calls about zones.
                Some(Item::Message(Subject::Zone(_), _)) | None => self.handle(Event::Tick),
            }
            self.publish();
        }
    }

    /// Follows a zone from these primaries. Until it arrives, it is served as a zone that is still awaited.
    fn follow(&mut self, apex: Name, primaries: Vec<Primary>) {
        if self.zones.get(&apex).is_none() {
            self.zones.insert_broken(apex.clone(), Fault::Awaited);
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
                // A transfer without an entry that is still connecting ends as soon as it is connected.
                if let Some(Some(stream)) = self.open().remove(&order) {
                    // An error means that the connection is closed already.
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
            Effect::Serve(zone) => {
                if let Some(Err(reason)) = self.plan.judge.as_ref().map(|judge| judge(&zone)) {
                    let meanwhile = match self.zones.get(zone.apex()).and_then(Entry::zone) {
                        Some(old) => format!("serial {} is still served", old.serial()),
                        None => "it answers SERVFAIL".to_string(),
                    };
                    log::error!("zone {} serial {} refused: {reason}; {meanwhile}", zone.apex(), zone.serial());
                    return;
                }
                self.is_changed = true;
                self.zones.insert(Arc::clone(&zone));
                if self.plan.catalog.as_ref() == Some(zone.apex()) {
                    for step in self.subscription.update(&zone) {
                        self.take(step);
                    }
                }
            }
            Effect::Expire(apex) => {
                self.is_changed = true;
                self.zones.insert_broken(apex, Fault::Expired);
            }
            Effect::Withdraw(apex) => {
                self.is_changed = true;
                self.zones.remove(&apex);
            }
            Effect::Log(level, text) => log::log!(level, "{text}"),
        }
    }

    /// Carries out a step of a catalog.
    fn take(&mut self, step: Step) {
        match step {
            Step::Follow { apex, .. } => self.follow(apex, self.plan.primaries.clone()),
            Step::Forget { apex } => self.handle(Event::Forget { apex: &apex }),
            Step::Log(level, text) => {
                // A catalog may have as many errors as it has members, each time it changes.
                if let Some(text) = self.warnings.admit(self.server.clock.now().0, text) {
                    log::log!(level, "{text}");
                }
            }
        }
    }

    fn publish(&mut self) {
        if std::mem::take(&mut self.is_changed) {
            let (zones, keys) = (Some(self.zones.clone()), Arc::clone(&self.keys));
            self.server.publish(Served { zones, keys, origin: None });
        }
    }

    /// Starts a transfer in its own thread.
    fn transfer(&self, order: Order) {
        let id = order.id;
        self.open().insert(id, None);
        let transfer = Transfer {
            server: Arc::clone(&self.server),
            calls: Arc::clone(&self.calls),
            open: Arc::clone(&self.open),
            bounds: self.plan.bounds,
            idle: self.limits.idle,
        };
        let thread = thread::Builder::new().name("transfer".to_string()).stack_size(GIT_STACK);
        if let Err(error) = thread.spawn(move || transfer.run(&order)) {
            let failure = Failure::Unreachable(format!("no thread for it can be started: {error}"));
            self.calls.put(Subject::Transfer(id), Call::Ended(Box::new(Err(failure))), merge);
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Option<TcpStream>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread of a transfer.
struct Transfer {
    server: Arc<Server>,
    calls: Arc<Calls>,
    open: Arc<Mutex<HashMap<u64, Option<TcpStream>>>>,
    bounds: Bounds,
    idle: Duration,
}

impl Transfer {
    fn run(&self, order: &Order) {
        let result = self.transfer(order);
        self.calls.put(Subject::Transfer(order.id), Call::Ended(Box::new(result)), merge);
    }

    fn transfer(&self, order: &Order) -> Result<Outcome, Failure> {
        let lost = |error: io::Error| Failure::Lost(error.to_string());
        let id = self.server.random.next() as u16;
        let Some((mut incoming, request)) = order.begin(self.bounds, id, seconds()) else {
            return Err(Failure::Lost("the request cannot be signed".to_string()));
        };
        let connected = TcpStream::connect_timeout(&order.primary.address, CONNECT);
        let stream = connected.map_err(|error| Failure::Unreachable(error.to_string()))?;
        match self.open.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&order.id) {
            Some(place) => *place = stream.try_clone().ok(),
            None => return Err(Failure::Lost("broken off".to_string())),
        }
        stream.set_nodelay(true).map_err(lost)?;
        let mut stream = Tcp::over(stream, self.idle);
        stream.write_all(&framed(&request).map_err(lost)?).map_err(lost)?;
        let mut inbox = Inbox::new(stream, FRAME);
        let mut told = Instant::now();
        loop {
            let message = inbox.message().map_err(lost)?.ok_or_else(|| lost(io::ErrorKind::UnexpectedEof.into()))?;
            match incoming.message(message, seconds()) {
                Ok(Progress::More) => {}
                Ok(Progress::Finished(outcome)) => return Ok(outcome),
                Err(error) => return Err(Failure::Transfer(error)),
            }
            if told.elapsed() >= SIGN_OF_LIFE {
                told = Instant::now();
                self.calls.put(Subject::Transfer(order.id), Call::Progress, merge);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_notifications_the_newest_counts_and_an_end_is_not_lost() {
        let (calls, apex) = (Calls::default(), Name::from_text("example.org").unwrap());
        let take =
            || calls.take(Duration::ZERO).map(|item| if let Item::Message(_, call) = item { call } else { panic!() });
        let source = IpAddr::from([192, 0, 2, 1]);
        for serial in [Some(5), Some(9), Some(7), Some(9)] {
            notify(&calls, &apex, source, serial.map(Serial));
        }
        assert!(matches!(take(), Some(Call::Notified { serial: Some(serial), .. }) if serial == Serial(9)));
        for serial in [Some(5), None, Some(7)] {
            notify(&calls, &apex, source, serial.map(Serial));
        }
        assert!(matches!(take(), Some(Call::Notified { serial: None, .. })));
        let lost = || Call::Ended(Box::new(Err(Failure::Lost(String::new()))));
        for call in [Call::Progress, lost(), Call::Progress] {
            calls.put(Subject::Transfer(1), call, merge);
        }
        assert!(matches!(take(), Some(Call::Ended(_))));
        assert!(take().is_none());
    }
}
