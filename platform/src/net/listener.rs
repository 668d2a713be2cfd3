//! The listen backlog smoltcp lacks.
//!
//! A smoltcp socket in LISTEN takes one connection; a SYN that finds none is reset. So no socket waits in LISTEN here:
//! the frame is looked at first, and a SYN for a listening port gets a fresh socket just before the stack sees it. Such
//! sockets, half-open ones and those nobody accepted yet, are the listener's embryos, bounded by its backlog.
//!
//! While half-open embryos crowd the backlog, or take their share of memory, SYNs are answered with cookies (`cookies`) and no state is
//! kept. A client that acknowledges a cookie is accepted, if necessary in the place of an old half-open embryo, so a SYN
//! flood from forged addresses does not keep clients out. If established connections fill the backlog because
//! the application does not accept them, SYNs are dropped, not reset, and the client retries.

use alloc::vec::Vec;
use core::net::SocketAddr;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::Socket;
use smoltcp::socket::tcp::{self, State};

use super::buffers::Buffers;
use super::cookies::{Opening, Segment, initial_number};
use super::device::Aside;
use super::errno::Errno;
use super::frame::{IPV4, IPV6, Syn, TCP};
use super::machine::{Nanos, SECOND};
use super::socket::{Kind, Options, Record, SocketId, overlap};
use super::stack::{Stack, instant};
use super::stream::{DEAD_PEER, KEEP_ALIVE, Stream, endpoint};
use crate::drivers::nic::Transmit;

/// The most connections a listener holds for its application.
pub(crate) const BACKLOG_LIMIT: usize = 128;
/// How long a half-open connection may take.
const HANDSHAKE: Nanos = 10 * SECOND;
/// The age at which a half-open connection may be replaced by one whose peer acknowledged a cookie. Most handshakes take
/// less, and a client that finds no room retransmits after about as long.
const HANDSHAKE_UNDER_PRESSURE: Nanos = SECOND;

/// Half-open connections of all listeners take at most this fraction of the memory for sockets: the rest is for established
/// connections and our own.
const HALF_OPEN_SHARE: usize = 4;
/// How many shifts of sequence numbers may be kept for connections that have ended.
const STALE_SHIFTS: usize = 64;

/// A port where connections are accepted.
pub(crate) struct Listener {
    pub(super) backlog: usize,
    /// In order of age.
    embryos: Vec<Embryo>,
}

/// A connection the application has not accepted.
struct Embryo {
    handle: SocketHandle,
    /// Of buffers.
    bytes: usize,
    born: Nanos,
    half_open: bool,
}

/// What to do with a segment that may open a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Pass it to the stack.
    Stack,
    /// Answer it with a cookie.
    Cookie,
    /// Drop it.
    Dropped,
}

impl Listener {
    pub(super) fn new(backlog: usize) -> Self {
        Self { backlog, embryos: Vec::new() }
    }

    fn half_open(&self) -> usize {
        self.embryos.iter().filter(|embryo| embryo.half_open).count()
    }

    /// Returns whether established connections fill the backlog.
    fn is_full(&self) -> bool {
        self.embryos.len() - self.half_open() >= self.backlog
    }

    /// Returns whether half-open connections take most of the backlog, or the backlog is full.
    fn is_crowded(&self) -> bool {
        self.embryos.len() >= self.backlog || self.half_open() * 4 >= self.backlog * 3
    }

    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.embryos.iter().find(|embryo| embryo.half_open).map(|embryo| embryo.born + HANDSHAKE)
    }
}

impl Stack {
    /// Returns the record index of the listener a connection to `address` is for.
    pub(super) fn listener_at(&self, address: SocketAddr) -> Option<usize> {
        self.records.iter().position(|record| {
            record.as_ref().is_some_and(|record| {
                matches!(record.kind, Kind::Listener(_)) && record.bound.is_some_and(|bound| overlap(bound, address))
            })
        })
    }

    fn listener_mut(&mut self, index: usize) -> Option<&mut Listener> {
        match self.records.get_mut(index)?.as_mut().map(|record| &mut record.kind) {
            Some(Kind::Listener(listener)) => Some(listener),
            _ => None,
        }
    }

    /// Returns whether there is a TCP socket for a connection between these ends.
    pub(super) fn has_connection(&self, own: SocketAddr, peer: SocketAddr) -> bool {
        let (own, peer) = (Some(endpoint(own)), Some(endpoint(peer)));
        self.sockets.iter().any(|(_, socket)| match socket {
            Socket::Tcp(socket) => socket.local_endpoint() == own && socket.remote_endpoint() == peer,
            _ => false,
        })
    }

    /// Prepares for the SYN the stack sees next, if it may.
    pub(super) fn expect_connection(&mut self, syn: &Syn) -> Admission {
        // Where nobody listens the stack answers with a reset.
        let Some(index) = self.listener_at(syn.destination) else { return Admission::Stack };
        let own = endpoint(syn.destination);
        let peer = endpoint(syn.source);
        let same =
            |socket: &tcp::Socket| socket.remote_endpoint() == Some(peer) && socket.local_endpoint() == Some(own);
        // RFC 9293 §3.6.1: a connection in TIME-WAIT gives way to a new one between the same ports.
        if let Some(at) = self.orphans.iter().position(|orphan| {
            let socket = self.tcp(orphan.handle);
            socket.state() == State::TimeWait && same(socket)
        }) {
            let orphan = self.orphans.remove(at);
            self.discard(orphan.handle, orphan.bytes);
        }
        // A repeated SYN belongs to the socket that took the first.
        if self.has_connection(syn.destination, syn.source) {
            return Admission::Stack;
        }
        let now = self.now();
        // Frames of the same burst may have completed connections.
        self.sweep_listener(index);
        let Some(listener) = self.listener_mut(index) else { return Admission::Dropped };
        if listener.is_full() {
            return Admission::Dropped;
        }
        if listener.is_crowded() {
            return Admission::Cookie;
        }
        let half_open = self.half_open_bytes();
        if half_open >= self.budget.limit() / HALF_OPEN_SHARE {
            return Admission::Cookie;
        }
        let Some(buffers) = self.reserve_accepted(now) else {
            // Memory is short: a client that acknowledges a cookie could only replace a half-open connection.
            return if half_open > 0 { Admission::Cookie } else { Admission::Dropped };
        };
        let Some(socket) = self.embryo_socket(index, syn.destination.port(), buffers) else {
            return Admission::Dropped;
        };
        self.add_embryo(index, socket, buffers.bytes(), now);
        Admission::Stack
    }

    /// Returns the bytes of buffer that the half-open connections of all listeners take.
    fn half_open_bytes(&self) -> usize {
        let listeners = self.records.iter().flatten().filter_map(|record| match &record.kind {
            Kind::Listener(listener) => Some(listener),
            _ => None,
        });
        let embryos = listeners.flat_map(|listener| &listener.embryos);
        embryos.filter(|embryo| embryo.half_open).map(|embryo| embryo.bytes).sum()
    }

    /// Answers a SYN with a cookie.
    pub(super) fn answer_with_cookie(&mut self, frame: &[u8], transmit: &mut impl Transmit) {
        let Some(segment) = Segment::parse(frame, &self.link) else { return };
        let Some(syn) = segment.opening() else { return };
        let cookie = self.cookies.make(&syn, self.now());
        let answer = syn.answer(cookie, self.segment_size(syn.ends.1));
        self.outbound.put(transmit, segment.hardware(), &answer, self.link.mtu);
    }

    /// Returns the largest segment that fits the path to a peer, in octets.
    fn segment_size(&self, peer: SocketAddr) -> u16 {
        let headers = if peer.is_ipv4() { IPV4 } else { IPV6 } + TCP;
        self.outbound.path(peer.ip()).saturating_sub(headers) as u16
    }

    /// Opens the connection if the segment acknowledges a cookie; returns whether to pass it to the stack.
    ///
    /// A segment for a listener that belongs to no connection and acknowledges no cookie is dropped, not reset: it may have
    /// overtaken the acknowledgement, or that was dropped for want of room, and the client retransmits both.
    pub(super) fn expect_proof(&mut self, frame: &[u8]) -> bool {
        let Some(segment) = Segment::parse(frame, &self.link).filter(Segment::acknowledges) else { return true };
        let (own, peer) = segment.ends();
        let Some(index) = self.listener_at(own) else { return true };
        if self.has_connection(own, peer) {
            return true;
        }
        let Some((sequence, cookie, window)) = segment.proof() else { return false };
        let Some(size) = self.cookies.check((own, peer), sequence, cookie, self.now()) else { return false };
        let size = size.min(self.segment_size(peer));
        self.open_proven(index, &Opening { ends: (own, peer), sequence, size, window }, cookie).is_some()
    }

    /// Creates the socket of a connection whose peer acknowledged `cookie`; the caller then passes the segment to the stack.
    fn open_proven(&mut self, index: usize, syn: &Opening, cookie: u32) -> Option<()> {
        let now = self.now();
        self.sweep_listener(index);
        let listener = self.listener_mut(index)?;
        if listener.is_full() {
            return None;
        }
        if listener.embryos.len() >= listener.backlog && !self.drop_half_open(index, now) {
            return None;
        }
        let buffers = self.reserve_accepted(now).or_else(|| {
            let listeners = 0..self.records.len();
            core::iter::once(index).chain(listeners).any(|index| self.drop_half_open(index, now));
            self.reserve_accepted(now)
        })?;
        let socket = self.embryo_socket(index, syn.ends.0.port(), buffers)?;
        // In a set of its own the socket processes the SYN; its SYN-ACK tells its initial sequence number and is discarded.
        let mut alone = SocketSet::new(Vec::new());
        let handle = alone.add(socket);
        let packet = syn.syn();
        let mut device = Aside { packet: Some(&packet), sent: Vec::new() };
        self.interface.poll_ingress_single(instant(now), &mut device, &mut alone);
        self.interface.poll_egress(instant(now), &mut device, &mut alone);
        let (Some(first), Socket::Tcp(socket)) = (initial_number(&device.sent), alone.remove(handle)) else {
            self.budget.give_back(buffers.bytes());
            return None;
        };
        self.shift_numbers(syn.ends, cookie.wrapping_sub(first));
        self.add_embryo(index, socket, buffers.bytes(), now);
        Some(())
    }

    /// Sets the shift of a connection's sequence numbers, and occasionally removes those of connections that have ended.
    fn shift_numbers(&mut self, ends: (SocketAddr, SocketAddr), shift: u32) {
        if self.outbound.sequences.kept() >= self.sockets.iter().count() + STALE_SHIFTS {
            let connections: Vec<_> = self.connections().collect();
            self.outbound.sequences.retain(connections.into_iter());
        }
        self.outbound.sequences.set(ends, shift);
    }

    /// Frees the oldest half-open embryo of a listener if it is old enough; returns whether one was freed.
    fn drop_half_open(&mut self, index: usize, now: Nanos) -> bool {
        self.sweep_listener(index);
        let old = |embryo: &Embryo| embryo.half_open && now.saturating_sub(embryo.born) >= HANDSHAKE_UNDER_PRESSURE;
        let Some(listener) = self.listener_mut(index) else { return false };
        let Some(at) = listener.embryos.iter().position(old) else { return false };
        let embryo = listener.embryos.remove(at);
        self.discard(embryo.handle, embryo.bytes);
        true
    }

    /// Takes the buffers of a connection off the budget.
    fn reserve_accepted(&mut self, now: Nanos) -> Option<Buffers> {
        let buffers = self.budget.accepted();
        self.reserve(buffers.bytes(), now).then_some(buffers)
    }

    /// Makes a socket in LISTEN for the budget reserved before; gives that back when memory is out.
    fn embryo_socket(&mut self, index: usize, port: u16, buffers: Buffers) -> Option<tcp::Socket<'static>> {
        let Some(mut socket) = buffers.socket() else {
            self.budget.give_back(buffers.bytes());
            return None;
        };
        socket.set_timeout(Some(DEAD_PEER));
        socket.set_keep_alive(Some(KEEP_ALIVE));
        if let Some(record) = &self.records[index] {
            socket.set_nagle_enabled(!record.options.no_delay);
            socket.set_hop_limit(Some(record.options.time_to_live));
        }
        // A fresh socket and a port that is not zero, or nobody would listen there: cannot fail.
        socket.listen(port).ok()?;
        Some(socket)
    }

    fn add_embryo(&mut self, index: usize, socket: tcp::Socket<'static>, bytes: usize, born: Nanos) {
        let handle = self.sockets.add(socket);
        if let Some(listener) = self.listener_mut(index) {
            listener.embryos.push(Embryo { handle, bytes, born, half_open: true });
        }
    }

    /// Removes the embryo whose SYN the stack did not take, at `address`.
    pub(super) fn tidy_listener(&mut self, address: SocketAddr) {
        if let Some(index) = self.listener_at(address) {
            self.sweep_listener(index);
        }
    }

    /// Looks at the embryos: those that were reset go, those whose handshake is done are ready.
    pub(super) fn sweep_listener(&mut self, index: usize) {
        let Some(Kind::Listener(listener)) = self.records[index].as_mut().map(|record| &mut record.kind) else {
            return;
        };
        let sockets = &self.sockets;
        let mut dead = Vec::new();
        listener.embryos.retain_mut(|embryo| {
            let state = sockets.get::<tcp::Socket>(embryo.handle).state();
            embryo.half_open = state == State::SynReceived;
            // A socket that is reset in SYN-RECEIVED goes back to LISTEN, where a stranger's SYN could find it.
            let alive = !matches!(state, State::Listen | State::Closed);
            if !alive {
                dead.push((embryo.handle, embryo.bytes));
            }
            alive
        });
        for (handle, bytes) in dead {
            self.discard(handle, bytes);
        }
    }

    /// Gives up handshakes that take too long.
    pub(super) fn expire_embryos(&mut self, index: usize, now: Nanos) {
        while let Some(Kind::Listener(listener)) = self.records[index].as_mut().map(|record| &mut record.kind)
            && let Some(at) = listener.embryos.iter().position(|e| e.half_open && e.born + HANDSHAKE <= now)
        {
            let embryo = listener.embryos.remove(at);
            self.discard(embryo.handle, embryo.bytes);
        }
    }

    pub(super) fn has_acceptable(&self, listener: &Listener) -> bool {
        listener.embryos.iter().any(|embryo| is_acceptable(self.tcp(embryo.handle)))
    }

    /// Takes the oldest finished connection of a listener.
    pub(crate) fn accept(&mut self, id: SocketId) -> Result<(SocketId, SocketAddr), Errno> {
        let record = self.record(id)?;
        let options = record.options;
        let listener = match &record.kind {
            Kind::Listener(listener) => listener,
            Kind::Datagram(_) => return Err(Errno::OPNOTSUPP),
            Kind::Idle | Kind::Stream(_) => return Err(Errno::INVAL),
        };
        let ready = |embryo: &Embryo| is_acceptable(self.tcp(embryo.handle));
        let at = listener.embryos.iter().position(ready).ok_or(Errno::AGAIN)?;
        let Embryo { handle, bytes, .. } = listener.embryos[at];
        let stream = Stream::accepted(self.tcp(handle), handle, bytes).ok_or(Errno::AGAIN)?;
        let (local, remote) = (stream.local, stream.remote);
        let mut accepted = Record::new(Kind::Stream(stream), local.is_ipv6());
        accepted.bound = Some(local);
        // As on Linux, options are inherited, the blocking mode is not.
        accepted.options = Options { nonblocking: false, ..options };
        let new = self.insert(accepted)?;
        if let Kind::Listener(listener) = &mut self.record_mut(id)?.kind {
            listener.embryos.remove(at);
        }
        Ok((new, remote))
    }

    /// Resets the connections nobody will accept any more.
    pub(super) fn close_listener(&mut self, listener: Listener) {
        for embryo in listener.embryos {
            self.abandon(embryo.handle, embryo.bytes, true);
        }
    }
}

/// Returns whether the handshake is done; a peer that has closed already may still have asked something.
fn is_acceptable(socket: &tcp::Socket) -> bool {
    matches!(socket.state(), State::Established | State::CloseWait)
}
