//! The listen backlog smoltcp lacks.
//!
//! A smoltcp socket in LISTEN takes one connection; a SYN that finds none is reset. So no socket waits in LISTEN here:
//! the frame is looked at first, and a SYN for a listening port gets a fresh socket just before the stack sees it. Such
//! sockets, half-open ones and those nobody accepted yet, are the listener's embryos, bounded by its backlog.
//!
//! Beyond the bound a SYN is dropped, not reset, so the client tries again. While half-open embryos crowd the backlog only
//! repeated SYNs are let in (`recurrence`), and the oldest embryo makes room once it is older than most honest
//! handshakes are: a SYN flood from forged addresses costs clients a second, not the service.

use alloc::vec::Vec;
use core::net::SocketAddr;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{self, State};

use super::buffers::Buffers;
use super::errno::Errno;
use super::frame::Syn;
use super::socket::{Kind, Options, Record, SocketId, overlap};
use super::stack::{Nanos, SECOND, Stack};
use super::stream::{DEAD_PEER, KEEP_ALIVE, Stream, endpoint};

/// The most connections a listener holds for its application.
pub(crate) const BACKLOG_LIMIT: usize = 128;
/// How long a half-open connection may take.
const HANDSHAKE: Nanos = 10 * SECOND;
/// After this time a half-open connection makes room for a new one when the backlog is full.
const HANDSHAKE_UNDER_PRESSURE: Nanos = SECOND / 4;

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

impl Listener {
    pub(super) fn new(backlog: usize) -> Self {
        Self { backlog, embryos: Vec::new() }
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

    /// Prepares for the SYN the stack sees next; returns whether the stack may see it.
    pub(super) fn expect_connection(&mut self, syn: &Syn) -> bool {
        // Where nobody listens the stack answers with a reset.
        let Some(index) = self.listener_at(syn.destination) else { return true };
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
        let exists = self.sockets.iter().any(|(_, socket)| match socket {
            smoltcp::socket::Socket::Tcp(socket) => same(socket),
            _ => false,
        });
        // A repeated SYN belongs to the socket that took the first.
        if exists {
            return true;
        }
        let now = self.now();
        if self.is_crowded(index) && !self.recurrence.is_repeated(syn, now) {
            return false;
        }
        let Some(buffers) = self.make_room(index, now) else { return false };
        let Some(handle) = self.embryo_socket(index, syn.destination.port(), buffers) else { return false };
        let bytes = buffers.bytes();
        if let Some(Kind::Listener(listener)) = self.records[index].as_mut().map(|record| &mut record.kind) {
            listener.embryos.push(Embryo { handle, bytes, born: now, half_open: true });
        }
        true
    }

    /// Returns whether half-open connections take most of the listener's backlog.
    fn is_crowded(&self, index: usize) -> bool {
        match self.records[index].as_ref().map(|record| &record.kind) {
            Some(Kind::Listener(listener)) => {
                let half_open = listener.embryos.iter().filter(|embryo| embryo.half_open).count();
                half_open * 4 >= listener.backlog * 3
            }
            _ => false,
        }
    }

    /// Makes sure the listener and the budget have room for one more embryo; returns what was reserved.
    fn make_room(&mut self, index: usize, now: Nanos) -> Option<Buffers> {
        let full = match self.records[index].as_ref().map(|record| &record.kind) {
            Some(Kind::Listener(listener)) => listener.embryos.len() >= listener.backlog,
            _ => return None,
        };
        if full {
            return self.recycle_embryo(index, now);
        }
        self.reserve_accepted(now).or_else(|| self.recycle_embryo(index, now))
    }

    /// Frees the oldest half-open embryo if it is old enough, and reserves its place; returns what was reserved.
    fn recycle_embryo(&mut self, index: usize, now: Nanos) -> Option<Buffers> {
        let Some(Kind::Listener(listener)) = self.records[index].as_mut().map(|record| &mut record.kind) else {
            return None;
        };
        let old = |embryo: &Embryo| embryo.half_open && now.saturating_sub(embryo.born) >= HANDSHAKE_UNDER_PRESSURE;
        let at = listener.embryos.iter().position(old)?;
        let embryo = listener.embryos.remove(at);
        self.discard(embryo.handle, embryo.bytes);
        self.reserve_accepted(now)
    }

    /// Takes the buffers of a connection off the budget.
    fn reserve_accepted(&mut self, now: Nanos) -> Option<Buffers> {
        let buffers = self.budget.accepted();
        self.reserve(buffers.bytes(), now).then_some(buffers)
    }

    /// Adds a socket in LISTEN for the budget reserved before; gives that back when memory is out.
    fn embryo_socket(&mut self, index: usize, port: u16, buffers: Buffers) -> Option<SocketHandle> {
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
        Some(self.sockets.add(socket))
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
