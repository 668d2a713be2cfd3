//! The state machine of all followed zones: schedules queries and transfers within the limits.
//!
//! A *round* checks a zone for changes: it tries the primaries in order until one answers.
//!
//! ```text
//! idle ─ refresh, retry, NOTIFY ─► asking (SOA, UDP) ─ newer, or no reply ─► queued ─► transferring ─► idle
//!   │                                 └ not newer ─► idle                     ▲            │ differences failed: whole
//!   └ no version ─────────────────────────────────────────────────────────────┘◄───────────┘ failed: the next primary
//! ```
//!
//! A missing reply to an SOA query over UDP does not rule out a primary: an IXFR request over TCP asks the same and
//! yields an error if something is wrong. An unreachable primary is skipped for a while, for all zones; when it answers
//! again, the zones that wait for it are checked immediately.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use log::Level;

use super::answer::{self, SoaAnswer};
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

/// The maximum number of remarks that are logged for a transferred zone.
const MAX_REMARKS: usize = 5;

/// The period of the rate limit for messages that a primary can repeat: it may answer twice a second for each zone.
const REMARKS_PERIOD: Duration = Duration::from_secs(60);

/// The maximum number of consecutive lost transfers of differences before the whole zone is requested: some primaries
/// without differences send only their SOA record and nothing more.
const MAX_LOST_DIFFERENCES: u32 = 2;

/// The secondary: follows zones.
#[derive(Debug)]
pub struct Secondary {
    limits: Limits,
    zones: BTreeMap<Name, Follower>,
    /// The timers of the zones, at most one for each zone.
    timers: BTreeSet<(Duration, Name)>,
    /// The zones with an outstanding SOA query, by primary and message ID.
    outstanding: HashMap<(SocketAddr, u16), Name>,
    primaries: BTreeMap<SocketAddr, Source>,
    orders: HashMap<u64, (Name, SocketAddr)>,
    last_order: u64,
    warnings: Warnings,
    /// Limits the messages that a primary can repeat.
    remarks: Warnings,
}

/// The state of a primary, for all its zones.
#[derive(Debug, Default)]
struct Source {
    /// The zones that wait for a transfer slot.
    queue: VecDeque<Name>,
    transfers: usize,
    /// Until when the primary is skipped because it could not be reached.
    unreachable: Option<Duration>,
    trouble: Trouble,
    /// The number of zones that have this primary.
    zones: usize,
}

/// A failure of a primary.
struct Fault {
    address: SocketAddr,
    reason: String,
    cause: Cause,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The primary cannot be reached.
    Unreachable,
    /// The connection was lost.
    Lost,
    /// The primary sent an unusable answer.
    Wrong,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.reason)
    }
}

/// The handling of one event.
struct Turn<'t> {
    now: Now,
    random: &'t mut dyn FnMut() -> u32,
    effects: Vec<Effect>,
}

impl Turn<'_> {
    fn log(&mut self, level: Level, text: String) {
        self.effects.push(Effect::Log(level, text));
    }

    /// Returns a random duration below `limit`.
    fn up_to(&mut self, limit: Duration) -> Duration {
        limit.mul_f64(f64::from((self.random)()) / (f64::from(u32::MAX) + 1.0))
    }
}

impl Secondary {
    /// Creates a secondary without zones.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            zones: BTreeMap::new(),
            timers: BTreeSet::new(),
            outstanding: HashMap::new(),
            primaries: BTreeMap::new(),
            orders: HashMap::new(),
            last_order: 0,
            warnings: Warnings::default(),
            remarks: Warnings::with_period(REMARKS_PERIOD),
        }
    }

    /// Handles an event and returns the requested actions. `random` returns random numbers.
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
        self.run_timers(&mut turn);
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

    /// Returns whether an address belongs to a primary of a zone, which may send notifications for it (RFC 1996 §3.10).
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
        self.start_round(&apex, turn);
    }

    /// Removes a zone from the counts of these primaries.
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

    /// Ends the current activity of a zone, which is idle afterwards; `abort` requests that a transfer is aborted.
    fn leave_phase(&mut self, apex: &Name, abort: bool, turn: &mut Turn<'_>) {
        let Some(zone) = self.zones.get_mut(apex) else { return };
        match std::mem::replace(&mut zone.phase, Phase::Idle { due: turn.now.uptime }) {
            Phase::Idle { .. } => {}
            Phase::Asking(asking) => drop(self.outstanding.remove(&(peer(asking.to), asking.id))),
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

    /// Moves a zone to a phase.
    fn enter(&mut self, apex: &Name, phase: Phase, turn: &mut Turn<'_>) {
        self.leave_phase(apex, false, turn);
        match &phase {
            Phase::Idle { .. } => {}
            Phase::Asking(asking) => drop(self.outstanding.insert((peer(asking.to), asking.id), apex.clone())),
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

    /// Performs all due actions.
    fn run_timers(&mut self, turn: &mut Turn<'_>) {
        while let Some((due, apex)) = self.timers.first().cloned() {
            if due > turn.now.uptime {
                return;
            }
            self.timers.pop_first();
            let Some(zone) = self.zones.get_mut(&apex) else { continue };
            zone.timer = None;
            if zone.expire(turn.now.uptime) {
                let text = format!("{apex}: expired because no primary answered; answering SERVFAIL");
                turn.effects.push(Effect::Expire(apex.clone()));
                let text = self.warnings.admit(turn.now.uptime, text);
                turn.effects.extend(text.map(|text| Effect::Log(Level::Error, text)));
            }
            let is_due = zone.phase.due().is_some_and(|due| due <= turn.now.uptime);
            match &zone.phase {
                Phase::Idle { .. } if is_due => self.start_round(&apex, turn),
                Phase::Asking(asking) if is_due && asking.tries < self.limits.tries => self.resend_query(&apex, turn),
                // An IXFR request over TCP gets the same answer, or a useful error.
                Phase::Asking(asking) if is_due => {
                    let primary = asking.primary.clone();
                    self.enter(&apex, Phase::Queued { primary, whole: false }, turn);
                }
                Phase::Transferring { order, .. } if is_due => {
                    let order = *order;
                    turn.effects.push(Effect::Abort { order });
                    self.ended(order, Err(Failure::Lost("the transfer timed out".into())), turn);
                }
                _ => {}
            }
            self.set_timer(&apex);
        }
    }

    /// Starts a round for a zone.
    fn start_round(&mut self, apex: &Name, turn: &mut Turn<'_>) {
        let asks = self.zones.get(apex).is_some_and(|zone| zone.held.is_some());
        if asks && self.outstanding.len() >= self.limits.queries {
            let due = turn.now.uptime + Duration::from_millis(100) + turn.up_to(Duration::from_millis(100));
            self.enter(apex, Phase::Idle { due }, turn);
            return;
        }
        let Some(zone) = self.zones.get_mut(apex) else { return };
        zone.begin_round(turn.now.uptime);
        self.next_primary(apex, None, turn);
    }

    /// Continues with the next primary of a round; `failed` is the failure of the previous one.
    fn next_primary(&mut self, apex: &Name, failed: Option<Fault>, turn: &mut Turn<'_>) {
        let now = turn.now.uptime;
        let Some(zone) = self.zones.get_mut(apex) else { return };
        let is_reachable = |primary: &Primary| {
            let source = self.primaries.get(&peer(primary.address));
            source.and_then(|source| source.unreachable).is_none_or(|until| until <= now)
        };
        let before = zone.remaining.len();
        while zone.remaining.front().is_some_and(|primary| !is_reachable(primary)) {
            zone.remaining.pop_front();
        }
        let skipped = zone.remaining.len() < before;
        let Some(primary) = zone.remaining.pop_front() else {
            let lost = skipped || failed.as_ref().is_some_and(|fault| fault.cause != Cause::Wrong);
            let delay = zone.failed(lost, &self.limits);
            if let Some(fault) = failed {
                let text = format!("{apex}: {fault}; retrying in {}", text::time(delay));
                // An unreachable primary is logged once for all its zones.
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
            self.send_query(apex, primary, turn);
        }
    }

    /// Logs a message that a primary can repeat.
    fn remark(&mut self, text: String, turn: &mut Turn<'_>) {
        if let Some(text) = self.remarks.admit(turn.now.uptime, text) {
            turn.log(Level::Info, text);
        }
    }

    fn warn(&mut self, text: String, turn: &mut Turn<'_>) {
        if let Some(text) = self.warnings.admit(turn.now.uptime, text) {
            turn.log(Level::Warn, text);
        }
    }

    /// Sends an SOA query (RFC 1034 §4.3.5).
    fn send_query(&mut self, apex: &Name, primary: Primary, turn: &mut Turn<'_>) {
        let to = primary.address;
        let mut id = (turn.random)() as u16;
        while self.outstanding.contains_key(&(peer(to), id)) {
            id = id.wrapping_add(1);
        }
        let mut message = request(id, 0, apex, Type::SOA);
        let sent = primary.key.as_ref().and_then(|key| sign(key, &mut message, turn.now.unix));
        let due = turn.now.uptime + self.limits.timeout;
        turn.effects.push(Effect::Send { to, message: message.clone() });
        let asking = Asking { primary, to, id, message, sent, tries: 1, due };
        self.enter(apex, Phase::Asking(Box::new(asking)), turn);
    }

    fn resend_query(&mut self, apex: &Name, turn: &mut Turn<'_>) {
        let Some(zone) = self.zones.get_mut(apex) else { return };
        let Phase::Asking(asking) = &mut zone.phase else { return };
        zone.started = Some(turn.now.uptime);
        asking.due = turn.now.uptime + self.limits.timeout * 2_u32.saturating_pow(asking.tries);
        asking.tries += 1;
        turn.effects.push(Effect::Send { to: asking.to, message: asking.message.clone() });
    }

    /// Handles a datagram; ignores it unless it is an expected reply.
    fn reply(&mut self, source: SocketAddr, message: &[u8], turn: &mut Turn<'_>) {
        let Ok(reader) = Reader::new(message) else { return };
        let Some(apex) = self.outstanding.get(&(source, reader.header().id)).cloned() else { return };
        let Some(Phase::Asking(asking)) = self.zones.get(&apex).map(|zone| &zone.phase) else { return };
        let verified = asking.sent.as_ref().map(|sent| Sent::verify(sent, message, turn.now.unix));
        let message = match &verified {
            None => message,
            Some(Ok(message)) => message,
            // The message may be forged; the genuine reply may still arrive.
            Some(Err(_)) => return,
        };
        let Some(answer) = answer::read(message, &apex) else { return };
        let primary = asking.primary.clone();
        self.primary_answered(source, turn);
        let Some(zone) = self.zones.get_mut(&apex) else { return };
        match answer {
            SoaAnswer::Serial(serial) if zone.is_outdated_by(serial) => {
                zone.behind = true;
                self.enter(&apex, Phase::Queued { primary, whole: false }, turn);
            }
            SoaAnswer::Serial(serial) => self.finish_round(&apex, primary.address, serial, turn),
            SoaAnswer::Truncated => self.enter(&apex, Phase::Queued { primary, whole: false }, turn),
            SoaAnswer::No(reason) => {
                let fault = Fault { address: primary.address, reason, cause: Cause::Wrong };
                self.next_primary(&apex, Some(fault), turn);
            }
        }
    }

    /// Records that a primary can be reached, and schedules checks of the zones that were waiting for it.
    fn primary_answered(&mut self, address: SocketAddr, turn: &mut Turn<'_>) {
        let Some(source) = self.primaries.get_mut(&address) else { return };
        if source.unreachable.take().is_none() {
            return;
        }
        if let Some(over) = source.trouble.ended(turn.now.uptime) {
            self.remark(format!("primary {address} answers again after {over}"), turn);
        }
        let has = |zone: &Follower| zone.primaries.iter().any(|primary| peer(primary.address) == address);
        let waiting = self.zones.iter().filter(|(_, zone)| zone.failures > 0 && has(zone));
        for apex in waiting.map(|(apex, _)| apex.clone()).collect::<Vec<_>>() {
            let soon = turn.now.uptime + turn.up_to(Duration::from_secs(1));
            if let Some(zone) = self.zones.get_mut(&apex) {
                zone.schedule(soon, &self.limits);
            }
            self.set_timer(&apex);
        }
    }

    /// Records that a primary cannot be reached, and moves the zones in its queue to their next primaries.
    fn unreachable(&mut self, address: SocketAddr, reason: &str, turn: &mut Turn<'_>) {
        let Some(source) = self.primaries.get_mut(&address) else { return };
        source.unreachable = Some(turn.now.uptime + self.limits.unreachable);
        let queue = std::mem::take(&mut source.queue);
        if source.trouble.failed(turn.now.uptime, reason) {
            let wait = text::time(self.limits.unreachable);
            let text = format!("primary {address} of {} zones: {reason}; skipping it for {wait}", source.zones);
            self.warn(text, turn);
        }
        for apex in queue {
            let fault = Fault { address, reason: reason.to_string(), cause: Cause::Unreachable };
            self.next_primary(&apex, Some(fault), turn);
        }
    }

    /// Ends a round successfully: the zone is current.
    fn finish_round(&mut self, apex: &Name, from: SocketAddr, serial: Serial, turn: &mut Turn<'_>) {
        let Some(zone) = self.zones.get_mut(apex) else { return };
        if let Some(held) = &zone.held {
            if held.serial().is_newer_than(serial) {
                let text = format!("{apex}: {from} has the older serial {serial}; keeping serial {}", held.serial());
                let text = self.remarks.admit(turn.now.uptime, text);
                turn.effects.extend(text.map(|text| Effect::Log(Level::Info, text)));
            }
            if zone.expired {
                turn.effects.push(Effect::Serve(held.clone()));
            }
        }
        if let Some(over) = zone.trouble.ended(turn.now.uptime)
            && let Some(text) = self.warnings.admit(turn.now.uptime, format!("{apex}: up to date again after {over}"))
        {
            turn.effects.push(Effect::Log(Level::Info, text));
        }
        let (refresh, earlier) = zone.succeeded(turn.now.uptime, &self.limits);
        let due = match earlier {
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
            self.primary_answered(address, turn);
        }
        match result {
            Ok(Outcome::UpToDate(serial)) => self.finish_round(&apex, address, serial, turn),
            Ok(Outcome::Zone { zone, remarks, incremental }) => {
                // Only the operator of the primary can act on the remarks.
                for remark in remarks.into_iter().take(MAX_REMARKS) {
                    self.remark(remark.to_string(), turn);
                }
                self.install(&apex, zone, address, incremental, turn);
            }
            Err(Failure::Transfer(error)) if !whole && error.allows_full_transfer() => {
                let text = format!("{apex}: differences from {address} failed: {error}; requesting the whole zone");
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

    /// Installs a transferred zone if it is newer than the current version.
    fn install(&mut self, apex: &Name, new: Zone, from: SocketAddr, incremental: bool, turn: &mut Turn<'_>) {
        let Some(zone) = self.zones.get_mut(apex) else { return };
        let serial = new.serial();
        if new.apex() == apex && zone.is_outdated_by(serial) {
            let new = Arc::new(new);
            let how = if incremental { "IXFR" } else { "AXFR" };
            let text =
                format!("{apex}: transferred serial {serial} from {from} by {how}, {} records", new.record_count());
            zone.held = Some(new.clone());
            zone.expired = false;
            turn.effects.push(Effect::Serve(new));
            turn.log(Level::Info, text);
        }
        self.finish_round(apex, from, serial, turn);
    }

    /// Starts queued transfers within the limits, taking the primaries in turn.
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
        // The zone is no longer in the queue; do not search a long queue for it.
        let due = turn.now.uptime;
        let phase = std::mem::replace(&mut zone.phase, Phase::Idle { due });
        let Phase::Queued { primary, whole } = phase else { return };
        let whole = whole || zone.held.is_none() || zone.lost_differences >= MAX_LOST_DIFFERENCES;
        self.last_order += 1;
        let held = zone.held.clone().filter(|_| !whole);
        let order = Order { id: self.last_order, apex: apex.clone(), primary: primary.clone(), held };
        turn.effects.push(Effect::Transfer(order));
        let now = turn.now.uptime;
        let (idle, end) = (now + self.limits.idle, now + self.limits.max_duration);
        let phase = Phase::Transferring { primary, order: self.last_order, whole, idle, end };
        self.enter(apex, phase, turn);
    }
}
