//! The sender of notifications: scheduling, retransmission and limits (RFC 1996 §3, §4).
//!
//! For each zone and target there is at most one *job*, however often the zone changes:
//!
//! ```text
//! queued ─ a slot is free ─► waiting ─ acknowledged ─► resting ─ the interval is over ─► gone, or queued again
//!                             │  ▲ │
//!                             └──┘ └ refused, or no reply to the last try ─► gone, with a warning
//!                            no reply
//! ```
//!
//! A notification always announces the newest version. If a zone changes while a reply is outstanding, the new version
//! is sent when the old one would have been retransmitted, or when it is acknowledged. So a burst of changes does not
//! cause a burst of messages.
//!
//! Slots are limited for all targets together and for each one. A target that does not answer any try of a job has only
//! one slot until it answers again, so that the jobs of a dead server neither delay others nor send many messages.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use log::Level;

use super::{Now, Target, Warnings, peer};
use crate::dns::message::{Rcode, Reader, class, opcode, request};
use crate::dns::{Name, Serial, Type};
use crate::tsig::{Sent, sign};
use crate::zone::Zone;

/// The opcode NOTIFY with the AA flag (RFC 1996 §4.1).
const FLAGS: u16 = (opcode::NOTIFY as u16) << 11 | 0x0400;

/// The maximum length of a UDP message without EDNS, in octets (RFC 1035 §2.3.4); the SOA hint is omitted if it does
/// not fit.
const MAX_MESSAGE: usize = 512;

/// The maximum count of tries that is kept when a newer version replaces an unacknowledged one.
const MAX_INHERITED_TRIES: u32 = 3;

/// The number of peers above which idle ones are removed.
const MAX_IDLE_PEERS: usize = 4096;

/// Limits for concurrency and retransmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The timeout of the first try; it doubles with each further try.
    pub timeout: Duration,
    /// The maximum number of tries for a notification.
    pub tries: u32,
    /// The minimum time between two notifications for one zone to one target.
    pub interval: Duration,
    /// The maximum number of outstanding replies over all targets.
    pub outstanding: usize,
    /// The maximum number of outstanding replies from one target.
    pub per_target: usize,
}

impl Default for Limits {
    /// Allows six tries within a minute (RFC 1996 §3.6 leaves both open), at least half a second apart for one zone.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1),
            tries: 6,
            interval: Duration::from_millis(500),
            outstanding: 1024,
            per_target: 32,
        }
    }
}

/// An event for a [`Notifier`].
#[derive(Debug)]
pub enum Event<'a> {
    /// A zone has a new serial number, or is newly served.
    Changed {
        /// The current version of the zone.
        zone: &'a Zone,
        /// The servers to notify; see [`targets`](super::targets()).
        targets: Vec<Target>,
    },
    /// A zone is no longer served.
    Removed {
        /// Its name.
        apex: &'a Name,
    },
    /// A datagram arrived.
    Reply {
        /// The source address.
        source: SocketAddr,
        /// The message.
        message: &'a [u8],
    },
    /// Time has passed.
    Tick,
}

/// An action that a [`Notifier`] requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a datagram, from a port that receives the replies.
    Send {
        /// The destination address.
        to: SocketAddr,
        /// The message.
        message: Vec<u8>,
    },
    /// Write a log line.
    Log(Level, String),
}

/// The notifier: sends notifications until they are acknowledged or abandoned.
#[derive(Debug, Default)]
pub struct Notifier {
    limits: Limits,
    /// The jobs by ascending number, so that they are processed in order of arrival.
    jobs: HashMap<u64, Job>,
    last_job: u64,
    index: BTreeMap<(Name, SocketAddr), u64>,
    peers: HashMap<SocketAddr, Peer>,
    /// The peers with a queued job and a free slot, without duplicates.
    ready: VecDeque<SocketAddr>,
    timers: BTreeSet<(Duration, u64)>,
    outstanding: usize,
    warnings: Warnings,
}

/// The version of a zone to announce.
#[derive(Debug)]
struct Version {
    apex: Name,
    serial: Serial,
    ttl: u32,
    soa: Box<[u8]>,
}

#[derive(Debug)]
struct Job {
    target: Target,
    version: Arc<Version>,
    state: State,
    /// The number of tries since the target last replied.
    tries: u32,
    /// The times of the first and of the last try since then.
    first_sent: Duration,
    last_sent: Duration,
    /// Whether a warning about an unverifiable reply was logged.
    warned: bool,
}

#[derive(Debug)]
enum State {
    Queued,
    Waiting(Box<Waiting>),
    Resting { due: Duration, again: bool },
}

/// A message whose reply is outstanding.
#[derive(Debug)]
struct Waiting {
    id: u16,
    version: Arc<Version>,
    octets: Vec<u8>,
    sent: Option<Sent>,
    due: Duration,
}

#[derive(Debug, Default)]
struct Peer {
    queue: BTreeSet<u64>,
    /// The jobs that wait for a reply, by message ID.
    ids: HashMap<u16, u64>,
    is_ready: bool,
    silent: bool,
    last_heard: Option<Duration>,
}

impl Peer {
    fn has_slot(&self, limits: &Limits) -> bool {
        self.ids.len() < if self.silent { 1 } else { limits.per_target }
    }
}

impl Notifier {
    /// Creates an idle notifier.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Handles an event and returns the requested actions. `random` returns random numbers.
    pub fn handle(&mut self, now: Now, event: Event<'_>, random: &mut dyn FnMut() -> u32) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Changed { zone, targets } => self.changed(zone, targets),
            Event::Removed { apex } => self.retain_targets(apex, &BTreeSet::new()),
            Event::Reply { source, message } => self.reply(now, peer(source), message, &mut effects),
            Event::Tick => {}
        }
        self.run_timers(now, random, &mut effects);
        self.send_queued(now, random, &mut effects);
        effects
    }

    /// Returns when [`Event::Tick`] is due; `None` if there is nothing to wait for.
    #[must_use]
    pub fn wake(&self) -> Option<Duration> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Returns whether there is nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    fn changed(&mut self, zone: &Zone, targets: Vec<Target>) {
        let rrset = zone.node(zone.apex()).and_then(|node| node.rrset(Type::SOA));
        let Some((soa, rrset)) = rrset.and_then(|rrset| Some((rrset.rdata().next()?, rrset))) else { return };
        let (apex, serial) = (zone.apex().clone(), zone.serial());
        let version = Arc::new(Version { apex: apex.clone(), serial, ttl: rrset.ttl(), soa: soa.into() });
        self.retain_targets(&apex, &targets.iter().map(|target| peer(target.address)).collect());
        for target in targets {
            let address = peer(target.address);
            let Some(id) = self.index.get(&(apex.clone(), address)) else {
                self.add_job(target, version.clone());
                continue;
            };
            let Some(job) = self.jobs.get_mut(id) else { continue };
            (job.target, job.version) = (target, version.clone());
            match &mut job.state {
                State::Queued => {}
                State::Waiting(_) => job.tries = job.tries.min(MAX_INHERITED_TRIES),
                State::Resting { again, .. } => *again = true,
            }
        }
    }

    fn add_job(&mut self, target: Target, version: Arc<Version>) {
        self.last_job += 1;
        let (id, address) = (self.last_job, peer(target.address));
        self.index.insert((version.apex.clone(), address), id);
        let never = Duration::ZERO;
        let job =
            Job { target, version, state: State::Queued, tries: 0, first_sent: never, last_sent: never, warned: false };
        self.jobs.insert(id, job);
        if self.peers.len() > MAX_IDLE_PEERS {
            self.peers.retain(|_, peer| peer.is_ready || !peer.queue.is_empty() || !peer.ids.is_empty());
        }
        self.enqueue(id, address);
    }

    fn enqueue(&mut self, id: u64, address: SocketAddr) {
        self.peers.entry(address).or_default().queue.insert(id);
        self.make_ready(address);
    }

    /// Adds a peer to the ready queue if it has a queued job and a free slot.
    fn make_ready(&mut self, address: SocketAddr) {
        let Some(peer) = self.peers.get_mut(&address) else { return };
        if !peer.is_ready && !peer.queue.is_empty() && peer.has_slot(&self.limits) {
            peer.is_ready = true;
            self.ready.push_back(address);
        }
    }

    /// Ends the jobs of a zone whose targets are not in the set.
    fn retain_targets(&mut self, apex: &Name, targets: &BTreeSet<SocketAddr>) {
        let first = (apex.clone(), SocketAddr::from(([0, 0, 0, 0], 0)));
        let all = self.index.range(first..).take_while(|((name, _), _)| name == apex);
        let gone: Vec<u64> = all.filter(|((_, to), _)| !targets.contains(to)).map(|(_, id)| *id).collect();
        for id in gone {
            self.end(id);
        }
    }

    fn end(&mut self, id: u64) {
        let Some(job) = self.jobs.get(&id) else { return };
        let address = peer(job.target.address);
        self.index.remove(&(job.version.apex.clone(), address));
        self.leave_state(id);
        self.jobs.remove(&id);
    }

    /// Releases the queue entry, slot or timer that belongs to a job's state; the caller must set a new state.
    fn leave_state(&mut self, id: u64) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let address = peer(job.target.address);
        match std::mem::replace(&mut job.state, State::Queued) {
            State::Queued => {
                if let Some(peer) = self.peers.get_mut(&address) {
                    peer.queue.remove(&id);
                }
            }
            State::Waiting(waiting) => {
                self.timers.remove(&(waiting.due, id));
                if let Some(peer) = self.peers.get_mut(&address) {
                    peer.ids.remove(&waiting.id);
                }
                self.outstanding -= 1;
                self.make_ready(address);
            }
            State::Resting { due, .. } => drop(self.timers.remove(&(due, id))),
        }
    }

    /// Performs all due actions.
    fn run_timers(&mut self, now: Now, random: &mut dyn FnMut() -> u32, effects: &mut Vec<Effect>) {
        while let Some(&(due, id)) = self.timers.first() {
            if due > now.uptime {
                return;
            }
            let Some(job) = self.jobs.get(&id) else {
                self.timers.pop_first();
                continue;
            };
            match job.state {
                State::Waiting(_) if job.tries >= self.limits.tries => self.give_up(now, id, effects),
                State::Waiting(_) => self.send(now, id, random, effects),
                State::Resting { again: true, .. } => {
                    let address = peer(job.target.address);
                    self.leave_state(id);
                    self.enqueue(id, address);
                }
                State::Resting { again: false, .. } | State::Queued => {
                    self.timers.pop_first();
                    self.end(id);
                }
            }
        }
    }

    fn give_up(&mut self, now: Now, id: u64, effects: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get(&id) else { return };
        let Version { apex, serial, .. } = &*job.version;
        let text = format!(
            "{apex}: no reply from {} to {} notifications of serial {serial}; giving up",
            job.target.address, job.tries
        );
        if let Some(peer) = self.peers.get_mut(&peer(job.target.address)) {
            peer.silent |= peer.last_heard.is_none_or(|heard| heard < job.first_sent);
        }
        self.warn(now, text, effects);
        self.end(id);
    }

    fn warn(&mut self, now: Now, text: String, effects: &mut Vec<Effect>) {
        effects.extend(self.warnings.admit(now.uptime, text).map(|text| Effect::Log(Level::Warn, text)));
    }

    /// Sends queued jobs while there are free slots, taking the targets in turn.
    fn send_queued(&mut self, now: Now, random: &mut dyn FnMut() -> u32, effects: &mut Vec<Effect>) {
        while self.outstanding < self.limits.outstanding {
            let Some(address) = self.ready.pop_front() else { return };
            let Some(peer) = self.peers.get_mut(&address) else { continue };
            peer.is_ready = false;
            if peer.has_slot(&self.limits)
                && let Some(id) = peer.queue.pop_first()
            {
                self.send(now, id, random, effects);
            }
            self.make_ready(address);
        }
    }

    /// Sends or retransmits the message of a job.
    fn send(&mut self, now: Now, id: u64, random: &mut dyn FnMut() -> u32, effects: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(peer) = self.peers.get_mut(&peer(job.target.address)) else { return };
        let before = match std::mem::replace(&mut job.state, State::Queued) {
            State::Waiting(waiting) => {
                self.timers.remove(&(waiting.due, id));
                self.outstanding -= 1;
                peer.ids.remove(&waiting.id);
                Some(waiting)
            }
            State::Queued | State::Resting { .. } => None,
        };
        let is_current = |waiting: &Waiting| {
            let same_key = waiting.sent.as_ref().map(Sent::key) == job.target.key.as_ref();
            same_key && Arc::ptr_eq(&waiting.version, &job.version)
        };
        let mut waiting = match before {
            // Send the same octets again, so that a reply to any try can be verified.
            Some(waiting) if is_current(&waiting) => waiting,
            _ => {
                let mut message_id = random() as u16;
                while peer.ids.contains_key(&message_id) {
                    message_id = message_id.wrapping_add(1);
                }
                let mut octets = job.version.message(message_id);
                let sent = job.target.key.as_ref().and_then(|key| sign(key, &mut octets, now.unix));
                Box::new(Waiting { id: message_id, version: job.version.clone(), octets, sent, due: now.uptime })
            }
        };
        if job.tries == 0 {
            job.first_sent = now.uptime;
        }
        waiting.due = now.uptime + self.limits.timeout * 2_u32.saturating_pow(job.tries.min(16));
        (job.tries, job.last_sent) = (job.tries + 1, now.uptime);
        effects.push(Effect::Send { to: job.target.address, message: waiting.octets.clone() });
        self.timers.insert((waiting.due, id));
        peer.ids.insert(waiting.id, id);
        self.outstanding += 1;
        job.state = State::Waiting(waiting);
    }

    /// Handles a datagram; ignores it unless it is an expected reply.
    fn reply(&mut self, now: Now, source: SocketAddr, message: &[u8], effects: &mut Vec<Effect>) {
        let Ok(reader) = Reader::new(message) else { return };
        let Some(&id) = self.peers.get(&source).and_then(|peer| peer.ids.get(&reader.header().id)) else { return };
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let State::Waiting(waiting) = &job.state else { return };
        let Some(code) = waiting.code_of(reader) else { return };
        if let Some(sent) = &waiting.sent
            && let Err(error) = sent.verify(message, now.unix)
        {
            // The message may be forged; the genuine reply may still arrive.
            if !std::mem::replace(&mut job.warned, true) {
                let text = format!(
                    "{}: invalid reply from {} to a notification: {error}; waiting for another",
                    job.version.apex, job.target.address
                );
                self.warn(now, text, effects);
            }
            return;
        }
        if let Some(peer) = self.peers.get_mut(&source) {
            (peer.silent, peer.last_heard) = (false, Some(now.uptime));
        }
        match code {
            Rcode::NO_ERROR => {}
            // The next try may succeed.
            Rcode::SERVER_FAILURE => return,
            code => {
                let (code, address) = (code, job.target.address);
                let text = format!("{}: {address} answered {code} to a notification; giving up", job.version.apex);
                self.warn(now, text, effects);
                self.end(id);
                return;
            }
        }
        let again = waiting.version.serial != job.version.serial;
        let due = job.last_sent + self.limits.interval;
        let (apex, serial) = (&job.version.apex, waiting.version.serial);
        let text = format!("{apex}: {} acknowledged serial {serial}", job.target.address);
        effects.push(Effect::Log(Level::Debug, text));
        self.leave_state(id);
        if let Some(job) = self.jobs.get_mut(&id) {
            (job.tries, job.warned, job.state) = (0, false, State::Resting { due, again });
            self.timers.insert((due, id));
        }
    }
}

impl Version {
    /// Builds the notification, with the SOA record as a hint (RFC 1996 §3.7).
    fn message(&self, id: u16) -> Vec<u8> {
        let mut message = request(id, FLAGS, &self.apex, Type::SOA);
        let Ok(len) = u16::try_from(self.soa.len()) else { return message };
        if message.len() + 12 + self.soa.len() > MAX_MESSAGE {
            return message;
        }
        message[7] = 1;
        message.extend(b"\xc0\x0c\x00\x06\x00\x01");
        message.extend(self.ttl.to_be_bytes());
        message.extend(len.to_be_bytes());
        message.extend_from_slice(&self.soa);
        message
    }
}

impl Waiting {
    /// Returns the response code if a message with the right ID is the reply (RFC 1996 §3.8).
    fn code_of(&self, mut reader: Reader<'_>) -> Option<Rcode> {
        let header = *reader.header();
        if !header.is_response() || header.opcode() != opcode::NOTIFY {
            return None;
        }
        let is_ours = match reader.question().ok()? {
            Some(question) => {
                let same = question.name == self.version.apex && question.qtype == Type::SOA;
                same && question.qclass == class::IN && header.counts[0] == 1
            }
            // Servers that do not support the operation may omit the question.
            None => header.rcode() != Rcode::NO_ERROR,
        };
        is_ours.then_some(header.rcode())
    }
}

#[cfg(test)]
mod tests;
