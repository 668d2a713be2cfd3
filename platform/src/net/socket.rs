//! What an application holds: the records behind socket descriptors.

use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::buffers::{ACCEPTED_RECEIVE, ACCEPTED_SEND, DATAGRAM_RECEIVE, DATAGRAM_SEND};
use super::datagram::Datagram;
use super::errno::Errno;
use super::listener::{BACKLOG_LIMIT, Listener};
use super::machine::Nanos;
use super::stack::Stack;
use super::stream::Stream;
use super::waiters::{Waiters, readiness};

/// The most sockets applications may hold.
const LIMIT: usize = 1024;
/// Ports the system chooses from, as Linux does.
const EPHEMERAL: core::ops::RangeInclusive<u16> = 32768..=60999;

/// How many ports of ended connections are left alone: those of a minute, which TIME-WAIT takes, at 68 a second.
const RECENT_PORTS: usize = 4096;

/// Names a socket as long as it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketId(pub(super) usize);

/// Which half of a connection is shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// Receiving.
    Read,
    /// Sending.
    Write,
    /// Both.
    Both,
}

/// What `setsockopt` and `ioctl` set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) nonblocking: bool,
    pub(crate) receive_timeout: Option<Nanos>,
    pub(crate) send_timeout: Option<Nanos>,
    pub(crate) no_delay: bool,
    pub(crate) time_to_live: u8,
    pub(crate) broadcast: bool,
    pub(crate) reuse_address: bool,
    pub(crate) keep_alive: bool,
    /// Seconds `close` may take; zero resets the connection.
    pub(crate) linger: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nonblocking: false,
            receive_timeout: None,
            send_timeout: None,
            no_delay: false,
            time_to_live: 64,
            broadcast: false,
            reuse_address: false,
            keep_alive: false,
            linger: None,
        }
    }
}

/// What a socket is at the moment.
pub(crate) enum Kind {
    /// A stream socket that neither listens nor is connected.
    Idle,
    /// A stream socket that accepts connections.
    Listener(Listener),
    /// A connection, or an attempt at one.
    Stream(Stream),
    /// A datagram socket.
    Datagram(Datagram),
}

/// A socket of an application.
pub(crate) struct Record {
    pub(crate) kind: Kind,
    /// Whether its addresses are IPv6 ones; else they are IPv4.
    pub(crate) v6: bool,
    pub(crate) bound: Option<SocketAddr>,
    pub(crate) options: Options,
    /// An error to be reported once, by the next call or `SO_ERROR`.
    pub(crate) error: Option<Errno>,
    pub(crate) read_closed: bool,
    pub(crate) write_closed: bool,
    pub(crate) waiters: Arc<Waiters>,
}

impl Record {
    pub(super) fn new(kind: Kind, v6: bool) -> Self {
        Self {
            kind,
            v6,
            bound: None,
            options: Options::default(),
            error: None,
            read_closed: false,
            write_closed: false,
            waiters: Arc::new(Waiters::new()),
        }
    }

    /// Returns the address that stands for any, with port 0.
    pub(super) fn unspecified(&self) -> SocketAddr {
        if self.v6 { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() }
    }

    /// Checks that `address` is of the socket's own family.
    pub(super) fn check_family(&self, address: SocketAddr) -> Result<(), Errno> {
        match address {
            _ if address.is_ipv6() != self.v6 => Err(Errno::AFNOSUPPORT),
            // IPv4 is not spoken through IPv6 sockets: see `bind`.
            SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => Err(Errno::NETUNREACH),
            _ => Ok(()),
        }
    }

    /// Returns when something in the record expires.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        match &self.kind {
            Kind::Listener(listener) => listener.deadline(),
            _ => None,
        }
    }
}

impl Stack {
    /// Opens a stream socket, or with `datagram` a datagram socket, for IPv4 or with `v6` for IPv6.
    pub(crate) fn open(&mut self, datagram: bool, v6: bool) -> Result<SocketId, Errno> {
        let kind = if datagram { Kind::Datagram(Datagram::default()) } else { Kind::Idle };
        self.insert(Record::new(kind, v6))
    }

    pub(super) fn insert(&mut self, record: Record) -> Result<SocketId, Errno> {
        if let Some(free) = self.records.iter().position(Option::is_none) {
            self.records[free] = Some(record);
            return Ok(SocketId(free));
        }
        if self.records.len() >= LIMIT {
            return Err(Errno::MFILE);
        }
        self.records.push(Some(record));
        Ok(SocketId(self.records.len() - 1))
    }

    pub(crate) fn record(&self, id: SocketId) -> Result<&Record, Errno> {
        self.records.get(id.0).and_then(Option::as_ref).ok_or(Errno::BADF)
    }

    pub(crate) fn record_mut(&mut self, id: SocketId) -> Result<&mut Record, Errno> {
        self.records.get_mut(id.0).and_then(Option::as_mut).ok_or(Errno::BADF)
    }

    /// Binds the socket to an address of ours, port 0 meaning any free one.
    ///
    /// The families stay apart, as if every IPv6 socket had `IPV6_V6ONLY` set: a service binds 0.0.0.0 and \[::\], side
    /// by side, and no peer's IPv4 address ever appears in an IPv6 form that slips through somebody's comparison
    /// (RFC 4942 §2.2).
    pub(crate) fn bind(&mut self, id: SocketId, address: SocketAddr) -> Result<(), Errno> {
        let record = self.record(id)?;
        let datagram = match &record.kind {
            _ if record.bound.is_some() => return Err(Errno::INVAL),
            Kind::Idle => false,
            Kind::Datagram(_) => true,
            Kind::Listener(_) | Kind::Stream(_) => return Err(Errno::INVAL),
        };
        record.check_family(address)?;
        if !address.ip().is_unspecified() && !self.link.is_own(address.ip()) {
            return Err(Errno::ADDRNOTAVAIL);
        }
        let port = match address.port() {
            0 => self.ephemeral_port(datagram, address.ip())?,
            _ if self.is_bound(datagram, address, record.options.reuse_address) => return Err(Errno::ADDRINUSE),
            port => port,
        };
        let bound = SocketAddr::new(address.ip(), port);
        if datagram {
            self.open_datagram(id)?;
        }
        self.record_mut(id)?.bound = Some(bound);
        Ok(())
    }

    /// Returns where the socket is bound; if it is not yet, that becomes a free port.
    pub(super) fn bind_anywhere(&mut self, id: SocketId) -> Result<SocketAddr, Errno> {
        if self.record(id)?.bound.is_none() {
            self.bind(id, self.record(id)?.unspecified())?;
        }
        self.record(id)?.bound.ok_or(Errno::INVAL)
    }

    /// Makes the socket accept connections, at most `backlog` of them unaccepted.
    pub(crate) fn listen(&mut self, id: SocketId, backlog: i32) -> Result<(), Errno> {
        // Linux reads a negative backlog as "the most there is".
        let backlog = usize::try_from(backlog).unwrap_or(BACKLOG_LIMIT).clamp(1, BACKLOG_LIMIT);
        match &mut self.record_mut(id)?.kind {
            Kind::Listener(listener) => listener.backlog = backlog,
            Kind::Stream(_) => return Err(Errno::INVAL),
            Kind::Datagram(_) => return Err(Errno::OPNOTSUPP),
            Kind::Idle => {
                let bound = self.bind_anywhere(id)?;
                if self.listener_at(bound).is_some() {
                    return Err(Errno::ADDRINUSE);
                }
                self.record_mut(id)?.kind = Kind::Listener(Listener::new(backlog));
            }
        }
        Ok(())
    }

    /// Closes the application's side; a connection's unsent data is still delivered.
    pub(crate) fn close(&mut self, id: SocketId) {
        let Some(record) = self.records.get_mut(id.0).and_then(Option::take) else { return };
        match record.kind {
            Kind::Idle => {}
            Kind::Listener(listener) => self.close_listener(listener),
            Kind::Stream(stream) => self.close_stream(stream, &record.options),
            Kind::Datagram(datagram) => self.close_datagram(&datagram),
        }
        record.waiters.wake();
    }

    /// Shuts one or both directions down and wakes whoever waits on the socket.
    pub(crate) fn shutdown(&mut self, id: SocketId, how: Shutdown) -> Result<(), Errno> {
        let (read, write) = (how != Shutdown::Write, how != Shutdown::Read);
        let record = self.record_mut(id)?;
        match &record.kind {
            Kind::Idle => return Err(Errno::NOTCONN),
            Kind::Listener(_) => {
                // As on Linux: the socket stops listening, and threads in accept() return with EINVAL.
                if read && let Kind::Listener(listener) = core::mem::replace(&mut record.kind, Kind::Idle) {
                    self.close_listener(listener);
                }
            }
            Kind::Stream(stream) => {
                let handle = stream.live.ok_or(Errno::NOTCONN)?;
                record.read_closed |= read;
                record.write_closed |= write;
                if write {
                    self.tcp_mut(handle).close();
                }
            }
            Kind::Datagram(datagram) => {
                let connected = datagram.peer.is_some();
                record.read_closed |= read;
                record.write_closed |= write;
                // The flags are set even so: a thread blocked in recv() wakes up (as on Linux).
                if !connected {
                    self.record(id)?.waiters.wake();
                    return Err(Errno::NOTCONN);
                }
            }
        }
        self.record(id)?.waiters.wake();
        Ok(())
    }

    /// Returns the socket's own address.
    pub(crate) fn local_address(&self, id: SocketId) -> Result<SocketAddr, Errno> {
        let record = self.record(id)?;
        let bound = record.bound.unwrap_or(record.unspecified());
        Ok(match &record.kind {
            Kind::Stream(stream) => stream.local,
            Kind::Datagram(Datagram { peer: Some(peer), .. }) => match self.source_for(record, peer.ip()) {
                Ok(source) => SocketAddr::new(source, bound.port()),
                Err(_) => bound,
            },
            _ => bound,
        })
    }

    /// Returns the address of the socket's peer.
    pub(crate) fn peer_address(&self, id: SocketId) -> Result<SocketAddr, Errno> {
        match &self.record(id)?.kind {
            Kind::Stream(stream) if stream.established && stream.live.is_some() => Ok(stream.remote),
            Kind::Datagram(datagram) => datagram.peer.ok_or(Errno::NOTCONN),
            _ => Err(Errno::NOTCONN),
        }
    }

    /// Connects the socket, or begins to (`EINPROGRESS`).
    pub(crate) fn connect(&mut self, id: SocketId, address: SocketAddr) -> Result<(), Errno> {
        match &self.record(id)?.kind {
            Kind::Datagram(_) => self.connect_datagram(id, address),
            _ => self.connect_stream(id, address),
        }
    }

    /// Sends bytes, to `destination` where the kind of socket allows it. Returns how many were taken.
    pub(crate) fn send(&mut self, id: SocketId, bytes: &[u8], destination: Option<SocketAddr>) -> Result<usize, Errno> {
        match &self.record(id)?.kind {
            Kind::Datagram(_) => self.send_datagram(id, bytes, destination),
            _ => self.send_stream(id, bytes),
        }
    }

    /// Receives bytes, leaving them in the queue with `peek`. Returns how many, and who sent a datagram.
    pub(crate) fn receive_from(
        &mut self,
        id: SocketId,
        out: &mut [u8],
        peek: bool,
    ) -> Result<(usize, Option<SocketAddr>), Errno> {
        match &self.record(id)?.kind {
            Kind::Datagram(_) => self.receive_datagram(id, out, peek).map(|(length, source)| (length, Some(source))),
            _ => self.receive_stream(id, out, peek).map(|length| (length, None)),
        }
    }

    /// Returns the bits of [`readiness`] that hold for the socket.
    pub(crate) fn readiness(&self, id: SocketId) -> u32 {
        self.record(id).map_or(readiness::ERROR, |record| self.readiness_of(record))
    }

    pub(super) fn readiness_of(&self, record: &Record) -> u32 {
        let mut ready = match &record.kind {
            // A fresh stream socket polls like this on Linux.
            Kind::Idle => readiness::WRITE | readiness::HANG_UP,
            Kind::Listener(listener) => {
                if self.has_acceptable(listener) {
                    readiness::READ
                } else {
                    0
                }
            }
            Kind::Stream(stream) => self.stream_readiness(record, stream),
            Kind::Datagram(datagram) => Self::datagram_readiness(record, datagram),
        };
        if record.error.is_some() {
            ready |= readiness::ERROR;
        }
        ready
    }

    /// Makes the stack's socket follow the options that concern it.
    pub(crate) fn apply_options(&mut self, id: SocketId) -> Result<(), Errno> {
        let record = self.record(id)?;
        let options = record.options;
        if let Kind::Stream(Stream { live: Some(handle), .. }) = record.kind {
            let socket = self.tcp_mut(handle);
            socket.set_nagle_enabled(!options.no_delay);
            socket.set_hop_limit(Some(options.time_to_live));
        }
        Ok(())
    }

    /// Returns the bytes the receive buffer holds, or the send buffer.
    pub(crate) fn buffer_size(&self, id: SocketId, receive: bool) -> Result<usize, Errno> {
        Ok(match &self.record(id)?.kind {
            Kind::Datagram(_) if receive => DATAGRAM_RECEIVE,
            Kind::Datagram(_) => DATAGRAM_SEND,
            Kind::Stream(Stream { live: Some(handle), .. }) if receive => self.tcp(*handle).recv_capacity(),
            Kind::Stream(Stream { live: Some(handle), .. }) => self.tcp(*handle).send_capacity(),
            _ if receive => ACCEPTED_RECEIVE,
            _ => *ACCEPTED_SEND.start(),
        })
    }

    /// Returns the address of ours that the socket speaks from to `address`, if packets have anywhere to go.
    pub(super) fn source_for(&self, record: &Record, address: IpAddr) -> Result<IpAddr, Errno> {
        let reachable = self.link.is_peer(address) && self.link.next_hop(address).is_some();
        let bound = record.bound.map(|bound| bound.ip()).filter(|bound| !bound.is_unspecified());
        match bound.or_else(|| self.link.source_for(address)) {
            // An address the socket was bound to may be ours no longer.
            Some(source) if reachable && self.link.is_own(source) => Ok(source),
            _ => Err(Errno::NETUNREACH),
        }
    }

    /// Returns a random free port for `address`, one of ours or any (RFC 6056 §3.3.1).
    pub(super) fn ephemeral_port(&self, datagram: bool, address: IpAddr) -> Result<u16, Errno> {
        self.free_port(datagram, address, |_| true)
    }

    /// Returns a random free port for a connection from an address of ours, not one of the last [`RECENT_PORTS`].
    ///
    /// The remote may still keep the last connection from a port in TIME-WAIT. It then drops our SYN, because the sequence
    /// number of the new connection need not be above that of the old one (RFC 9293 §3.10.7.4).
    pub(super) fn stream_port(&mut self, source: IpAddr) -> Result<u16, Errno> {
        let port = self.free_port(false, source, |port| !self.recent_ports.contains(&port))?;
        while self.recent_ports.len() >= RECENT_PORTS {
            self.recent_ports.pop_front();
        }
        if self.recent_ports.try_reserve(1).is_ok() {
            self.recent_ports.push_back(port);
        }
        Ok(port)
    }

    /// Returns the first free port behind a random one that is also `acceptable`.
    fn free_port(&self, datagram: bool, address: IpAddr, acceptable: impl Fn(u16) -> bool) -> Result<u16, Errno> {
        let count = EPHEMERAL.end() - EPHEMERAL.start() + 1;
        let mut random = [0; 4];
        (self.machine.random)(&mut random);
        let first = (u32::from_ne_bytes(random) % u32::from(count)) as u16;
        (0..count)
            .map(|step| EPHEMERAL.start() + ((u32::from(first) + u32::from(step)) % u32::from(count)) as u16)
            .find(|port| {
                acceptable(*port)
                    && !self.is_bound(datagram, SocketAddr::new(address, *port), false)
                    && !self.has_orphan_at(datagram, *port)
            })
            .ok_or(Errno::ADDRINUSE)
    }

    /// Returns whether a socket stands in the way of binding `address`; `reuse` when the binder set SO_REUSEADDR.
    fn is_bound(&self, datagram: bool, address: SocketAddr, reuse: bool) -> bool {
        self.records.iter().flatten().any(|record| {
            let same = matches!(record.kind, Kind::Datagram(_)) == datagram
                && record.bound.is_some_and(|bound| overlap(bound, address));
            let shares =
                !datagram && reuse && record.options.reuse_address && !matches!(record.kind, Kind::Listener(_));
            same && !shares
        })
    }

    fn has_orphan_at(&self, datagram: bool, port: u16) -> bool {
        let at_port = |handle| self.tcp(handle).local_endpoint().is_some_and(|endpoint| endpoint.port == port);
        !datagram && self.orphans.iter().any(|orphan| at_port(orphan.handle))
    }
}

/// Returns whether something sent to one of the addresses may be meant for the other: of a family, they share the port
/// and stand for a common address.
pub(super) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
        && a.port() == b.port()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}
