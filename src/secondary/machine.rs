//! All zones followed: what is to be done next, and how much of it at a time.
//!
//! A *round* looks for changes of a zone: the primaries are tried in their order until one of them has answered.
//!
//! ```text
//! idle ─ refresh, retry, NOTIFY ─► asking (SOA, UDP) ─ newer, or no reply ─► queued ─► transferring ─► idle
//!   │                                 └ not newer ─► idle                     ▲            │ differences failed: whole
//!   └ nothing held ───────────────────────────────────────────────────────────┘◄───────────┘ failed: the next primary
//! ```
//!
//! A reply to an SOA query over UDP that never comes is no reason to give a primary up: the transfer of differences asks
//! the same over TCP, and tells what is wrong. A primary that cannot be reached is passed over for a while, for all
//! zones; when it is heard again, the zones that wait for it are looked after at once.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use log::Level;

use super::answer::{self, Answer};
use super::events::{Effect, Event, Failure, Limits, Order};
use super::follower::{Asking, Follower, Phase};
use super::incoming::Outcome;
use super::sources::Primary;
use crate::dns::message::{Reader, request};
use crate::dns::{Name, Serial, Type};
use crate::notify::{Now, Warnings, peer};
use crate::telemetry::Trouble;
use crate::text;
use crate::tsig::{Sent, sign};
use crate::zone::Zone;

/// How many remarks on a zone that was transferred are told.
const MOST_REMARKS: usize = 5;

/// The period in which there are so many lines at most on what a primary may repeat: it answers twice a second for each zone.
const REMARKS: Duration = Duration::from_secs(60);

/// How many transfers of differences may get lost in a row before the whole zone is asked for: there are primaries that
/// have none, say so by their SOA record alone, and then nothing more.
const MOST_LOST: u32 = 2;

/// Follows zones.
#[derive(Debug)]
pub struct Secondary {
    limits: Limits,
    zones: BTreeMap<Name, Follower>,
    /// When something is due for a zone; each zone is there once at most.
    timers: BTreeSet<(Duration, Name)>,
    /// The zones whose SOA queries await a reply, by whom was asked and the messages' identifiers.
    asked: HashMap<(SocketAddr, u16), Name>,
    primaries: BTreeMap<SocketAddr, Source>,
    orders: HashMap<u64, (Name, SocketAddr)>,
    last_order: u64,
    warnings: Warnings,
    /// Bounds what is remarked that a primary can repeat.
    remarks: Warnings,
}

/// What is known of a primary, for all its zones.
#[derive(Debug, Default)]
struct Source {
    /// The zones that wait for a transfer.
    queue: VecDeque<Name>,
    transfers: usize,
    /// It could not be reached, and is passed over until then.
    unreachable: Option<Duration>,
    trouble: Trouble,
    /// How many zones it is a primary of.
    zones: usize,
}

/// What is wrong with a primary.
struct Fault {
    address: SocketAddr,
    reason: String,
    cause: Cause,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// It cannot be reached.
    Unreachable,
    /// The connection broke.
    Lost,
    /// What it says is no good.
    Wrong,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.reason)
    }
}

/// One event being handled.
struct Turn<'t> {
    now: Now,
    random: &'t mut dyn FnMut() -> u32,
    effects: Vec<Effect>,
}

impl Turn<'_> {
    fn log(&mut self, level: Level, text: String) {
        self.effects.push(Effect::Log(level, text));
    }

    /// Returns a random duration less than `most`.
    fn up_to(&mut self, most: Duration) -> Duration {
        most.mul_f64(f64::from((self.random)()) / (f64::from(u32::MAX) + 1.0))
    }
}

impl Secondary {
    /// Makes a secondary of no zones.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            zones: BTreeMap::new(),
            timers: BTreeSet::new(),
            asked: HashMap::new(),
            primaries: BTreeMap::new(),
            orders: HashMap::new(),
            last_order: 0,
            warnings: Warnings::default(),
            remarks: Warnings::each(REMARKS),
        }
    }

    /// Lets an event happen, and returns what is to be done. `random` yields random numbers.
    pub fn handle(&mut self, now: Now, event: Event<'_>, random: &mut dyn FnMut() -> u32) -> Vec<Effect> {
        let mut turn = Turn { now, random, effects: Vec::new() };
        match event {
            Event::Follow { apex, primaries } => self.follow(apex, primaries, &mut turn),
            Event::Forget { apex } => self.forget(apex, &mut turn),
            Event::Notified { apex, source, serial } => self.notified(apex, source, serial, &turn),
            Event::Reply { source, message } => self.reply(peer(source), message, &mut turn),
            Event::Progress { order } => self.progress(order, &turn),
            Event::Ended { order, result } => self.ended(order, result, &mut turn),
            Event::Tick => {}
        }
        self.pass(&mut turn);
        self.start_transfers(&mut turn);
        turn.effects
    }

    /// Returns when [`Event::Tick`] is due; `None` if there is nothing to wait for.
    #[must_use]
    pub fn wake(&self) -> Option<Duration> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Returns whether a zone is followed.
    #[must_use]
    pub fn follows(&self, apex: &Name) -> bool {
        self.zones.contains_key(apex)
    }

    /// Returns whether an address is that of a primary of a zone, which may notify of it (RFC 1996 §3.10).
    #[must_use]
    pub fn is_primary(&self, apex: &Name, source: IpAddr) -> bool {
        let source = source.to_canonical();
        let primaries = self.zones.get(apex).map_or(&[][..], |zone| &zone.primaries);
        primaries.iter().any(|primary| primary.address.ip().to_canonical() == source)
    }

    fn follow(&mut self, apex: Name, primaries: Vec<Primary>, turn: &mut Turn<'_>) {
        let before = match self.zones.entry(apex.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(Follower::new(primaries.clone()));
                Vec::new()
            }
            Entry::Occupied(entry) if entry.get().primaries == primaries => return,
            Entry::Occupied(mut entry) => {
                let before = std::mem::replace(&mut entry.get_mut().primaries, primaries.clone());
                self.leave_phase(&apex, true, turn);
                before
            }
        };
        for primary in primaries {
            self.primaries.entry(peer(primary.address)).or_default().zones += 1;
        }
        self.release(&before);
        self.round(&apex, turn);
    }

    /// Notes that a zone has these primaries no more.
    fn release(&mut self, primaries: &[Primary]) {
        for primary in primaries {
            let address = peer(primary.address);
            if let Some(source) = self.primaries.get_mut(&address) {
                source.zones -= 1;
                if source.zones == 0 && source.transfers == 0 {
                    self.primaries.remove(&address);
                }
            }
        }
    }

    fn forget(&mut self, apex: &Name, turn: &mut Turn<'_>) {
        self.leave_phase(apex, true, turn);
        let Some(zone) = self.zones.remove(apex) else { return };
        if let Some(timer) = zone.timer {
            self.timers.remove(&(timer, apex.clone()));
        }
        self.release(&zone.primaries);
        turn.effects.push(Effect::Withdraw(apex.clone()));
    }

    /// Ends what is under way for a zone, which is idle then; `abort` to break a transfer off.
    fn leave_phase(&mut self, apex: &Name, abort: bool, turn: &mut Turn<'_>) {
        let Some(zone) = self.zones.get_mut(apex) else { return };
        match std::mem::replace(&mut zone.phase, Phase::Idle { due: turn.now.uptime }) {
            Phase::Idle { .. } => {}
            Phase::Asking(asking) => drop(self.asked.remove(&(peer(asking.to), asking.id))),
            Phase::Queued { primary, .. } => {
                if let Some(source) = self.primaries.get_mut(&peer(primary.address)) {
                    source.queue.retain(|queued| queued != apex);
                }
            }
            Phase::Transferring { order, .. } => {
                if let Some((_, address)) = self.orders.remove(&order)
                    && let Some(source) = self.primaries.get_mut(&address)
                {
                    source.transfers -= 1;
                }
                if abort {
                    turn.effects.push(Effect::Abort { order });
                }
            }
        }
    }

    /// Puts a zone into a phase.
    fn enter(&mut self, apex: &Name, phase: Phase, turn: &mut Turn<'_>) {
        self.leave_phase(apex, false, turn);
        match &phase {
            Phase::Idle { .. } => {}
            Phase::Asking(asking) => drop(self.asked.insert((peer(asking.to), asking.id), apex.clone())),
            Phase::Queued { primary, .. } => {
                self.primaries.entry(peer(primary.address)).or_default().queue.push_back(apex.clone());
            }
            Phase::Transferring { order, primary, .. } => {
                let address = peer(primary.address);
                self.orders.insert(*order, (apex.clone(), address));
                self.primaries.entry(address).or_default().transfers += 1;
            }
        }
        if let Some(zone) = self.zones.get_mut(apex) {
            zone.phase = phase;
        }
        self.set_timer(apex);
    }

    fn set_timer(&mut self, apex: &Name) {
        let Some(zone) = self.zones.get_mut(apex) else { return };
        let due = zone.due();
        if due == zone.timer {
            return;
        }
        if let Some(before) = std::mem::replace(&mut zone.timer, due) {
            self.timers.remove(&(before, apex.clone()));
        }
        self.timers.extend(due.map(|due| (due, apex.clone())));
    }

    /// Does what is due.
    fn pass(&mut self, turn: &mut Turn<'_>) {
        while let Some((due, apex)) = self.timers.first().cloned() {
            if due > turn.now.uptime {
                return;
            }
            self.timers.pop_first();
            let Some(zone) = self.zones.get_mut(&apex) else { continue };
            zone.timer = None;
            if zone.expire(turn.now.uptime) {
                let text = format!("{apex}: expired, no primary has answered for too long; its names get SERVFAIL");
                turn.effects.push(Effect::Expire(apex.clone()));
                let text = self.warnings.tell(turn.now.uptime, text);
                turn.effects.extend(text.map(|text| Effect::Log(Level::Error, text)));
            }
            let is_due = zone.phase.due().is_some_and(|due| due <= turn.now.uptime);
            match &zone.phase {
                Phase::Idle { .. } if is_due => self.round(&apex, turn),
                Phase::Asking(asking) if is_due && asking.tries < self.limits.tries => self.ask_again(&apex, turn),
                // Differences asked for over TCP tell the same, or what is wrong.
                Phase::Asking(asking) if is_due => {
                    let primary = asking.primary.clone();
                    self.enter(&apex, Phase::Queued { primary, whole: false }, turn);
                }
                Phase::Transferring { order, .. } if is_due => {
                    let order = *order;
                    turn.effects.push(Effect::Abort { order });
                    self.ended(order, Err(Failure::Lost("it takes too long".into())), turn);
                }
                _ => {}
            }
            self.set_timer(&apex);
        }
    }

    /// Begins to look for changes of a zone.
    fn round(&mut self, apex: &Name, turn: &mut Turn<'_>) {
        let asks = self.zones.get(apex).is_some_and(|zone| zone.held.is_some());
        if asks && self.asked.len() >= self.limits.queries {
            let due = turn.now.uptime + Duration::from_millis(100) + turn.up_to(Duration::from_millis(100));
            self.enter(apex, Phase::Idle { due }, turn);
            return;
        }
        let Some(zone) = self.zones.get_mut(apex) else { return };
        zone.begin_round(turn.now.uptime);
        self.next_primary(apex, None, turn);
    }

    /// Goes on to the next primary of a zone's round; `failed` is what is wrong with the one before.
    fn next_primary(&mut self, apex: &Name, failed: Option<Fault>, turn: &mut Turn<'_>) {
        let now = turn.now.uptime;
        let Some(zone) = self.zones.get_mut(apex) else { return };
        let is_reachable = |primary: &Primary| {
            let source = self.primaries.get(&peer(primary.address));
            source.and_then(|source| source.unreachable).is_none_or(|until| until <= now)
        };
        let before = zone.left.len();
        while zone.left.front().is_some_and(|primary| !is_reachable(primary)) {
            zone.left.pop_front();
        }
        let passed_over = zone.left.len() < before;
        let Some(primary) = zone.left.pop_front() else {
            let lost = passed_over || failed.as_ref().is_some_and(|fault| fault.cause != Cause::Wrong);
            let delay = zone.failed(lost, &self.limits);
            if let Some(fault) = failed {
                let text = format!("{apex}: {fault}; next try in {}", text::time(delay));
                // That a primary cannot be reached is logged once for all its zones.
                if fault.cause != Cause::Unreachable && zone.trouble.failed(now, &fault.to_string()) {
                    self.warn(text, turn);
                } else {
                    turn.log(Level::Debug, text);
                }
            }
            let due = now + delay - turn.up_to(delay / 10);
            self.enter(apex, Phase::Idle { due }, turn);
            return;
        };
        let whole = zone.held.is_none();
        match failed {
            Some(fault) if fault.cause != Cause::Unreachable => self.warn(format!("{apex}: {fault}"), turn),
            _ => {}
        }
        if whole {
            self.enter(apex, Phase::Queued { primary, whole }, turn);
        } else {
            self.ask(apex, primary, turn);
        }
    }

    /// Remarks on what a primary does, which may do it again and again.
    fn remark(&mut self, text: String, turn: &mut Turn<'_>) {
        if let Some(text) = self.remarks.tell(turn.now.uptime, text) {
            turn.log(Level::Info, text);
        }
    }

    fn warn(&mut self, text: String, turn: &mut Turn<'_>) {
        if let Some(text) = self.warnings.tell(turn.now.uptime, text) {
            turn.log(Level::Warn, text);
        }
    }

    /// Sends an SOA query (RFC 1034 §4.3.5).
    fn ask(&mut self, apex: &Name, primary: Primary, turn: &mut Turn<'_>) {
        let to = primary.address;
        let mut id = (turn.random)() as u16;
        while self.asked.contains_key(&(peer(to), id)) {
            id = id.wrapping_add(1);
        }
        let mut message = request(id, 0, apex, Type::SOA);
        let sent = primary.key.as_ref().and_then(|key| sign(key, &mut message, turn.now.unix));
        let due = turn.now.uptime + self.limits.timeout;
        turn.effects.push(Effect::Send { to, message: message.clone() });
        let asking = Asking { primary, to, id, message, sent, tries: 1, due };
        self.enter(apex, Phase::Asking(Box::new(asking)), turn);
    }

    fn ask_again(&mut self, apex: &Name, turn: &mut Turn<'_>) {
        let Some(zone) = self.zones.get_mut(apex) else { return };
        let Phase::Asking(asking) = &mut zone.phase else { return };
        zone.begun = Some(turn.now.uptime);
        asking.due = turn.now.uptime + self.limits.timeout * 2_u32.saturating_pow(asking.tries);
        asking.tries += 1;
        turn.effects.push(Effect::Send { to: asking.to, message: asking.message.clone() });
    }

    /// Takes a datagram; what is no reply that is awaited is passed over.
    fn reply(&mut self, source: SocketAddr, message: &[u8], turn: &mut Turn<'_>) {
        let Ok(reader) = Reader::new(message) else { return };
        let Some(apex) = self.asked.get(&(source, reader.header().id)).cloned() else { return };
        let Some(Phase::Asking(asking)) = self.zones.get(&apex).map(|zone| &zone.phase) else { return };
        let verified = asking.sent.as_ref().map(|sent| Sent::verify(sent, message, turn.now.unix));
        let message = match &verified {
            None => message,
            Some(Ok(message)) => message,
            // Anybody may have sent it: the true reply may still come.
            Some(Err(_)) => return,
        };
        let Some(answer) = answer::read(message, &apex) else { return };
        let primary = asking.primary.clone();
        self.heard(source, turn);
        let Some(zone) = self.zones.get_mut(&apex) else { return };
        match answer {
            Answer::Serial(serial) if zone.wants(serial) => {
                zone.behind = true;
                self.enter(&apex, Phase::Queued { primary, whole: false }, turn);
            }
            Answer::Serial(serial) => self.up_to_date(&apex, primary.address, serial, turn),
            Answer::Truncated => self.enter(&apex, Phase::Queued { primary, whole: false }, turn),
            Answer::No(reason) => {
                let fault = Fault { address: primary.address, reason, cause: Cause::Wrong };
                self.next_primary(&apex, Some(fault), turn);
            }
        }
    }

    /// Notes that a primary can be reached; zones that wait because it could not are looked after at once.
    fn heard(&mut self, address: SocketAddr, turn: &mut Turn<'_>) {
        let Some(source) = self.primaries.get_mut(&address) else { return };
        if source.unreachable.take().is_none() {
            return;
        }
        if let Some(over) = source.trouble.ended(turn.now.uptime) {
            self.remark(format!("{address}: can be reached again after {over}"), turn);
        }
        let has = |zone: &Follower| zone.primaries.iter().any(|primary| peer(primary.address) == address);
        let waiting = self.zones.iter().filter(|(_, zone)| zone.failures > 0 && has(zone));
        for apex in waiting.map(|(apex, _)| apex.clone()).collect::<Vec<_>>() {
            let soon = turn.now.uptime + turn.up_to(Duration::from_secs(1));
            if let Some(zone) = self.zones.get_mut(&apex) {
                zone.look(soon, &self.limits);
            }
            self.set_timer(&apex);
        }
    }

    /// Notes that a primary cannot be reached, and sends the zones that wait for it to others.
    fn unreachable(&mut self, address: SocketAddr, reason: &str, turn: &mut Turn<'_>) {
        let Some(source) = self.primaries.get_mut(&address) else { return };
        source.unreachable = Some(turn.now.uptime + self.limits.unreachable);
        let queue = std::mem::take(&mut source.queue);
        if source.trouble.failed(turn.now.uptime, reason) {
            let wait = text::time(self.limits.unreachable);
            let text = format!("primary {address}, of {} zones: {reason}; next try after {wait}", source.zones);
            self.warn(text, turn);
        }
        for apex in queue {
            let fault = Fault { address, reason: reason.to_string(), cause: Cause::Unreachable };
            self.next_primary(&apex, Some(fault), turn);
        }
    }

    /// Ends a round well: the zone is fresh.
    fn up_to_date(&mut self, apex: &Name, from: SocketAddr, serial: Serial, turn: &mut Turn<'_>) {
        let Some(zone) = self.zones.get_mut(apex) else { return };
        if let Some(held) = &zone.held {
            if held.serial().is_newer_than(serial) {
                let text = format!("{apex}: {from} has serial {serial}, we have {}, which is kept", held.serial());
                let text = self.remarks.tell(turn.now.uptime, text);
                turn.effects.extend(text.map(|text| Effect::Log(Level::Info, text)));
            }
            if zone.expired {
                turn.effects.push(Effect::Serve(held.clone()));
            }
        }
        if let Some(over) = zone.trouble.ended(turn.now.uptime)
            && let Some(text) = self.warnings.tell(turn.now.uptime, format!("{apex}: up to date again after {over}"))
        {
            turn.effects.push(Effect::Log(Level::Info, text));
        }
        let (refresh, again) = zone.succeeded(turn.now.uptime, &self.limits);
        let due = match again {
            Some(due) => due,
            None => turn.now.uptime + refresh - turn.up_to(refresh / 10),
        };
        self.enter(apex, Phase::Idle { due }, turn);
    }

    fn notified(&mut self, apex: &Name, source: IpAddr, serial: Option<Serial>, turn: &Turn<'_>) {
        let Some(zone) = self.zones.get_mut(apex) else { return };
        zone.notified(source.to_canonical(), serial, turn.now.uptime, &self.limits);
        self.set_timer(apex);
    }

    fn progress(&mut self, order: u64, turn: &Turn<'_>) {
        let Some((apex, _)) = self.orders.get(&order).cloned() else { return };
        if let Some(Phase::Transferring { idle, .. }) = self.zones.get_mut(&apex).map(|zone| &mut zone.phase) {
            *idle = turn.now.uptime + self.limits.idle;
        }
        self.set_timer(&apex);
    }

    fn ended(&mut self, order: u64, result: Result<Outcome, Failure>, turn: &mut Turn<'_>) {
        let Some((apex, address)) = self.orders.get(&order).cloned() else { return };
        let Some(zone) = self.zones.get(&apex) else { return };
        let Phase::Transferring { primary, whole, .. } = &zone.phase else { return };
        let (primary, whole) = (primary.clone(), *whole);
        self.leave_phase(&apex, false, turn);
        if !matches!(result, Err(Failure::Unreachable(_))) {
            self.heard(address, turn);
        }
        match result {
            Ok(Outcome::UpToDate(serial)) => self.up_to_date(&apex, address, serial, turn),
            Ok(Outcome::Zone { zone, remarks, incremental }) => {
                // They are for the primary's operator to act upon.
                for remark in remarks.into_iter().take(MOST_REMARKS) {
                    self.remark(remark.to_string(), turn);
                }
                self.take_over(&apex, zone, address, incremental, turn);
            }
            Err(Failure::Transfer(error)) if !whole && error.is_of_differences() => {
                let text = format!("{apex}: differences from {address}: {error}; the whole zone is asked for");
                self.remark(text, turn);
                self.enter(&apex, Phase::Queued { primary, whole: true }, turn);
            }
            Err(failure) => {
                let reason = failure.to_string();
                if let (Some(zone), Failure::Lost(_), false) = (self.zones.get_mut(&apex), &failure, whole) {
                    zone.lost_differences += 1;
                }
                let cause = match failure {
                    Failure::Unreachable(_) => Cause::Unreachable,
                    Failure::Lost(_) => Cause::Lost,
                    Failure::Transfer(_) => Cause::Wrong,
                };
                if cause == Cause::Unreachable {
                    self.unreachable(address, &reason, turn);
                }
                self.next_primary(&apex, Some(Fault { address, reason, cause }), turn);
            }
        }
    }

    /// Takes a zone over that was transferred, if it is newer than what is held.
    fn take_over(&mut self, apex: &Name, new: Zone, from: SocketAddr, incremental: bool, turn: &mut Turn<'_>) {
        let Some(zone) = self.zones.get_mut(apex) else { return };
        let serial = new.serial();
        if new.apex() == apex && zone.wants(serial) {
            let new = Arc::new(new);
            let how = if incremental { "IXFR" } else { "AXFR" };
            let text = format!("{apex}: serial {serial} from {from} by {how}, {} records", new.record_count());
            zone.held = Some(new.clone());
            zone.expired = false;
            turn.effects.push(Effect::Serve(new));
            turn.log(Level::Info, text);
        }
        self.up_to_date(apex, from, serial, turn);
    }

    /// Starts the transfers that are queued, primary by primary in turn, as far as there may be more.
    fn start_transfers(&mut self, turn: &mut Turn<'_>) {
        loop {
            let before = self.orders.len();
            let ready = self.primaries.iter().filter(|(_, source)| !source.queue.is_empty());
            for address in ready.map(|(address, _)| *address).collect::<Vec<_>>() {
                if self.orders.len() >= self.limits.transfers {
                    return;
                }
                let Some(source) = self.primaries.get_mut(&address) else { continue };
                if source.transfers < self.limits.per_primary
                    && let Some(apex) = source.queue.pop_front()
                {
                    self.start(&apex, turn);
                }
            }
            if self.orders.len() == before {
                return;
            }
        }
    }

    fn start(&mut self, apex: &Name, turn: &mut Turn<'_>) {
        let Some(zone) = self.zones.get_mut(apex) else { return };
        // It is out of the queue already, and a long queue is not to be searched for it.
        let due = turn.now.uptime;
        let phase = std::mem::replace(&mut zone.phase, Phase::Idle { due });
        let Phase::Queued { primary, whole } = phase else { return };
        let whole = whole || zone.held.is_none() || zone.lost_differences >= MOST_LOST;
        self.last_order += 1;
        let held = zone.held.clone().filter(|_| !whole);
        let order = Order { id: self.last_order, apex: apex.clone(), primary: primary.clone(), held };
        turn.effects.push(Effect::Transfer(order));
        let now = turn.now.uptime;
        let (idle, end) = (now + self.limits.idle, now + self.limits.longest);
        let phase = Phase::Transferring { primary, order: self.last_order, whole, idle, end };
        self.enter(apex, phase, turn);
    }
}
