//! TCP connections as an application sees them, and what becomes of them after `close`.

use alloc::vec::Vec;
use core::net::SocketAddr;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{self, RecvError, State};
use smoltcp::time::Duration;
use smoltcp::wire::IpEndpoint;

use super::buffers;
use super::errno::Errno;
use super::machine::{Nanos, SECOND};
use super::socket::{Kind, Options, Record, SocketId};
use super::stack::{Orphan, Stack};
use super::waiters::readiness;

/// How long a peer may leave data, a SYN or keep-alives unanswered; Linux gives a SYN as long.
pub(super) const DEAD_PEER: Duration = Duration::from_secs(127);
/// How often an idle peer is asked whether it is still there. Without this a vanished one would hold buffers for ever.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(45);
/// Bytes that are sent before the first acknowledgement (RFC 6928 §2).
///
/// smoltcp's congestion control would begin with two segments. So what is short goes without any, and control begins when
/// this much is on its way and the application has more; it then grows with the acknowledgements of this.
const FIRST_FLIGHT: usize = 14_600;
/// How long closing may take once the application let go.
const LINGER: Nanos = 60 * SECOND;
/// How long a reset may wait to be sent.
const FAREWELL: Nanos = SECOND;
/// The most connections that linger. Beyond, the one nearest to its end goes.
const ORPHAN_LIMIT: usize = 128;

/// A connection, an attempt at one, or what is left of one.
pub(crate) struct Stream {
    /// The stack's socket, until the connection has ended.
    pub(super) live: Option<SocketHandle>,
    bytes: usize,
    pub(super) established: bool,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// What was received but not read when the connection ended.
    tail: Vec<u8>,
    tail_read: usize,
}

impl Stream {
    pub(super) fn accepted(socket: &tcp::Socket, handle: SocketHandle, bytes: usize) -> Option<Self> {
        Some(Self {
            live: Some(handle),
            bytes,
            established: true,
            local: address(socket.local_endpoint()?),
            remote: address(socket.remote_endpoint()?),
            tail: Vec::new(),
            tail_read: 0,
        })
    }
}

impl Stack {
    pub(super) fn connect_stream(&mut self, id: SocketId, remote: SocketAddr) -> Result<(), Errno> {
        let record = self.record_mut(id)?;
        record.check_family(remote)?;
        match &record.kind {
            Kind::Stream(Stream { live: Some(_), established: false, .. }) => return Err(Errno::ALREADY),
            Kind::Stream(Stream { live: None, established: false, .. }) => {
                // The failure of the last attempt is told once; then another may be made.
                let error = record.error.take();
                record.kind = Kind::Idle;
                if let Some(error) = error {
                    return Err(error);
                }
            }
            Kind::Stream(_) | Kind::Listener(_) => return Err(Errno::ISCONN),
            Kind::Datagram(_) => return Err(Errno::OPNOTSUPP),
            Kind::Idle => {}
        }
        if remote.port() == 0 {
            return Err(Errno::CONNREFUSED);
        }
        let source = self.source_for(self.record(id)?, remote.ip())?;
        let port = match self.record(id)?.bound {
            Some(bound) => bound.port(),
            None => self.stream_port(source)?,
        };
        let local = SocketAddr::new(source, port);
        let buffers = self.budget.connected();
        let bytes = buffers.bytes();
        let now = self.now();
        if !self.reserve(bytes, now) {
            return Err(Errno::NOBUFS);
        }
        let Some(mut socket) = buffers.socket() else {
            self.budget.give_back(bytes);
            return Err(Errno::NOMEM);
        };
        let options = self.record(id)?.options;
        socket.set_timeout(Some(DEAD_PEER));
        socket.set_keep_alive(Some(KEEP_ALIVE));
        socket.set_nagle_enabled(!options.no_delay);
        socket.set_hop_limit(Some(options.time_to_live));
        let (to, from) = (endpoint(remote), endpoint(local));
        if socket.connect(self.interface.context(), to, from).is_err() {
            self.budget.give_back(bytes);
            return Err(Errno::ADDRNOTAVAIL);
        }
        let live = Some(self.sockets.add(socket));
        let record = self.record_mut(id)?;
        record.bound.get_or_insert(local);
        record.error = None;
        record.kind =
            Kind::Stream(Stream { live, bytes, established: false, local, remote, tail: Vec::new(), tail_read: 0 });
        Err(Errno::INPROGRESS)
    }

    /// Returns how the attempt to connect ended; `EAGAIN` while it has not.
    pub(crate) fn connected(&mut self, id: SocketId) -> Result<(), Errno> {
        let record = self.record_mut(id)?;
        match &record.kind {
            Kind::Stream(Stream { established: true, .. }) => Ok(()),
            Kind::Stream(Stream { live: Some(_), .. }) => Err(Errno::AGAIN),
            _ => {
                record.kind = Kind::Idle;
                Err(record.error.take().unwrap_or(Errno::CONNREFUSED))
            }
        }
    }

    pub(super) fn send_stream(&mut self, id: SocketId, bytes: &[u8]) -> Result<usize, Errno> {
        let record = self.record_mut(id)?;
        let Kind::Stream(stream) = &record.kind else { return Err(Errno::PIPE) };
        if let Some(error) = record.error.take() {
            return Err(error);
        }
        let Some(handle) = stream.live.filter(|_| !record.write_closed) else { return Err(Errno::PIPE) };
        if !stream.established {
            return Err(Errno::AGAIN);
        }
        let socket = self.tcp_mut(handle);
        let mut bytes = bytes;
        if socket.congestion_control() == tcp::CongestionControl::None {
            match FIRST_FLIGHT.saturating_sub(socket.send_queue()) {
                0 => socket.set_congestion_control(tcp::CongestionControl::Reno),
                room => bytes = &bytes[..bytes.len().min(room)],
            }
        }
        match socket.send_slice(bytes) {
            Ok(0) if !bytes.is_empty() => Err(Errno::AGAIN),
            Ok(taken) => Ok(taken),
            Err(_) => Err(Errno::PIPE),
        }
    }

    pub(super) fn receive_stream(&mut self, id: SocketId, out: &mut [u8], peek: bool) -> Result<usize, Errno> {
        let Self { records, sockets, .. } = self;
        let record = records.get_mut(id.0).and_then(Option::as_mut).ok_or(Errno::BADF)?;
        let Kind::Stream(stream) = &mut record.kind else { return Err(Errno::NOTCONN) };
        if out.is_empty() {
            return Ok(0);
        }
        // What arrived in order is delivered before the end, or the error, that followed it.
        let mut finished = false;
        let read = match stream.live {
            Some(handle) => {
                let socket = sockets.get_mut::<tcp::Socket>(handle);
                if socket.can_recv() {
                    if peek { socket.peek_slice(out).unwrap_or(0) } else { socket.recv_slice(out).unwrap_or(0) }
                } else {
                    finished = matches!(socket.peek(1), Err(RecvError::Finished));
                    0
                }
            }
            None => stream.read_tail(out, peek),
        };
        if read > 0 {
            return Ok(read);
        }
        if let Some(error) = record.error.take() {
            return Err(error);
        }
        match stream.live {
            _ if record.read_closed || finished => Ok(0),
            Some(_) => Err(Errno::AGAIN),
            None if stream.established => Ok(0),
            None => Err(Errno::NOTCONN),
        }
    }

    /// Returns whether the peer may be waiting for the receive window to open.
    pub(crate) fn receive_waiting(&self, id: SocketId) -> bool {
        match self.record(id).map(|record| &record.kind) {
            Ok(Kind::Stream(Stream { live: Some(handle), .. })) => {
                let socket = self.tcp(*handle);
                socket.recv_queue() >= socket.recv_capacity() / 4
            }
            _ => false,
        }
    }

    pub(super) fn stream_readiness(&self, record: &Record, stream: &Stream) -> u32 {
        let Some(handle) = stream.live else {
            return readiness::READ | readiness::WRITE | readiness::HANG_UP | readiness::READ_HANG_UP;
        };
        let socket = self.tcp(handle);
        let mut ready = 0;
        let ended = record.read_closed || peer_has_closed(socket);
        if ended {
            ready |= readiness::READ_HANG_UP;
        }
        if socket.can_recv() || ended {
            ready |= readiness::READ;
        }
        if stream.established && (socket.can_send() || record.write_closed || !socket.may_send()) {
            ready |= readiness::WRITE;
        }
        if record.write_closed && ended {
            ready |= readiness::HANG_UP;
        }
        ready
    }

    /// Notes what became of a connection. `cause` is why it closed if the peer did not say goodbye.
    pub(super) fn sweep_stream(&mut self, index: usize, cause: Errno) {
        let Self { records, sockets, .. } = self;
        let Some(record) = &mut records[index] else { return };
        let Kind::Stream(stream) = &mut record.kind else { return };
        let Some(handle) = stream.live else { return };
        let socket = sockets.get_mut::<tcp::Socket>(handle);
        let bytes = stream.bytes;
        match socket.state() {
            State::Listen | State::SynSent | State::SynReceived => {}
            State::Established | State::CloseWait | State::LastAck => stream.established = true,
            State::FinWait1 | State::FinWait2 | State::Closing => stream.established = true,
            // The stack forgets what was not read when this state ends, so it is taken out now.
            State::TimeWait => {
                stream.keep_tail(socket);
                stream.live = None;
                let deadline = self.now() + LINGER;
                self.adopt(Orphan { handle, bytes, deadline });
            }
            State::Closed => {
                stream.keep_tail(socket);
                let orderly = matches!(socket.peek(1), Err(RecvError::Finished));
                if !stream.established {
                    record.error = Some(if cause == Errno::CONNRESET { Errno::CONNREFUSED } else { cause });
                } else if !orderly {
                    record.error = Some(cause);
                }
                stream.live = None;
                self.abandon(handle, bytes, false);
            }
        }
    }

    /// Ends an attempt to connect for a reason that was told.
    pub(super) fn fail_attempt(&mut self, own: SocketAddr, peer: SocketAddr, error: Errno) {
        for index in 0..self.records.len() {
            let Some(Record { kind: Kind::Stream(stream), error: told, .. }) = &mut self.records[index] else {
                continue;
            };
            if !stream.established
                && stream.local == own
                && stream.remote == peer
                && let Some(handle) = stream.live.take()
            {
                *told = Some(error);
                let bytes = stream.bytes;
                self.discard(handle, bytes);
                return;
            }
        }
    }

    pub(super) fn close_stream(&mut self, stream: Stream, options: &Options) {
        let Some(handle) = stream.live else { return };
        // RFC 2525 §2.17, and Linux: data nobody will read must not look delivered.
        let reset = self.tcp(handle).can_recv() || options.linger == Some(0);
        self.abandon(handle, stream.bytes, reset);
    }

    /// Closes a connection nobody holds any more, with a reset or in order, and looks after its end.
    pub(super) fn abandon(&mut self, handle: SocketHandle, bytes: usize, reset: bool) {
        let now = self.now();
        let socket = self.tcp_mut(handle);
        let patience = if reset || !socket.is_open() {
            socket.abort();
            FAREWELL
        } else {
            socket.close();
            LINGER
        };
        self.adopt(Orphan { handle, bytes, deadline: now + patience });
    }

    fn adopt(&mut self, orphan: Orphan) {
        while self.orphans.len() >= ORPHAN_LIMIT {
            self.drop_orphan();
        }
        self.orphans.push(orphan);
    }

    /// Takes `bytes` off the budget, at the expense of lingering connections if need be.
    pub(super) fn reserve(&mut self, bytes: usize, now: Nanos) -> bool {
        loop {
            if self.budget.take(bytes) {
                return true;
            }
            self.expire_orphans(now);
            if self.orphans.is_empty() {
                return self.budget.take(bytes);
            }
            self.drop_orphan();
        }
    }

    /// Drops the lingering connection that has least left to do: in TIME-WAIT if any, else the oldest.
    fn drop_orphan(&mut self) {
        let waiting = |orphan: &Orphan| matches!(self.tcp(orphan.handle).state(), State::TimeWait | State::Closed);
        let at = self.orphans.iter().position(waiting).unwrap_or(0);
        if at < self.orphans.len() {
            let orphan = self.orphans.remove(at);
            self.discard(orphan.handle, orphan.bytes);
        }
    }

    pub(super) fn sweep_orphans(&mut self) {
        let mut at = 0;
        while let Some(&Orphan { handle, bytes, .. }) = self.orphans.get(at) {
            let farewell = self.now() + FAREWELL;
            let socket = self.tcp_mut(handle);
            // Nobody reads what still arrives: tell the peer (RFC 1122 §4.2.2.13).
            if socket.can_recv() && socket.is_open() {
                socket.abort();
                self.orphans[at].deadline = farewell;
            } else if socket.state() == State::Closed && socket.remote_endpoint().is_none() {
                self.orphans.remove(at);
                self.discard(handle, bytes);
                continue;
            }
            at += 1;
        }
    }

    pub(super) fn expire_orphans(&mut self, now: Nanos) {
        while let Some(at) = self.orphans.iter().position(|orphan| orphan.deadline <= now) {
            let Orphan { handle, bytes, .. } = self.orphans[at];
            let socket = self.tcp_mut(handle);
            if socket.is_open() {
                // The peer had its time: it is reset, and the reset gets a moment to go out.
                socket.abort();
                self.orphans[at].deadline = now + FAREWELL;
            } else {
                self.orphans.remove(at);
                self.discard(handle, bytes);
            }
        }
    }
}

impl Stream {
    fn read_tail(&mut self, out: &mut [u8], peek: bool) -> usize {
        let rest = &self.tail[self.tail_read..];
        let length = rest.len().min(out.len());
        out[..length].copy_from_slice(&rest[..length]);
        if !peek {
            self.tail_read += length;
        }
        length
    }

    /// Takes what was not read out of the stack's socket.
    fn keep_tail(&mut self, socket: &mut tcp::Socket) {
        if let Some(mut tail) = buffers::allocate(socket.recv_queue()) {
            let length = socket.recv_slice(&mut tail).unwrap_or(0);
            tail.truncate(length);
            (self.tail, self.tail_read) = (tail, 0);
        }
    }
}

/// Returns whether the peer's FIN has arrived, by the state it leads to.
fn peer_has_closed(socket: &tcp::Socket) -> bool {
    matches!(socket.state(), State::CloseWait | State::LastAck | State::Closing | State::TimeWait)
}

pub(super) fn endpoint(address: SocketAddr) -> IpEndpoint {
    IpEndpoint::new(address.ip().into(), address.port())
}

pub(super) fn address(endpoint: IpEndpoint) -> SocketAddr {
    SocketAddr::new(endpoint.addr.into(), endpoint.port)
}
