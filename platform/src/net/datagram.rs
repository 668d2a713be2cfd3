//! UDP sockets as an application sees them.

use core::net::{Ipv4Addr, SocketAddrV4};

use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;
use smoltcp::wire::{IpAddress, IpListenEndpoint};

use super::buffers::{self, DATAGRAM_COUNT, DATAGRAM_RECEIVE, DATAGRAM_SEND};
use super::errno::Errno;
use super::socket::{Kind, Record, SocketId};
use super::stack::{Nanos, SECOND, Stack};
use super::stream::{address, endpoint};
use super::waiters::readiness;

const BYTES: usize = DATAGRAM_RECEIVE + DATAGRAM_SEND;
/// The longest datagram sent: what the stack can fragment, less its headers.
const LONGEST: usize = DATAGRAM_SEND - 28;
/// How long a datagram waits for its destination's hardware address. Those behind it wait too.
const PATIENCE: Nanos = 3 * SECOND;

/// A datagram socket; it has a socket of the stack from the moment it has a port.
#[derive(Default)]
pub(crate) struct Datagram {
    handle: Option<SocketHandle>,
    pub(super) peer: Option<SocketAddrV4>,
    /// Since when the send queue has not become shorter, and how long it was.
    stuck: Option<(Nanos, usize)>,
}

impl Datagram {
    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.stuck.map(|(since, _)| since + PATIENCE)
    }
}

impl Stack {
    pub(super) fn open_datagram(&mut self, id: SocketId, bound: SocketAddrV4) -> Result<(), Errno> {
        let now = self.now();
        if !self.reserve(BYTES, now) {
            return Err(Errno::NOBUFS);
        }
        let Some(socket) = new_socket(bound) else {
            self.budget.give_back(BYTES);
            return Err(Errno::NOMEM);
        };
        let handle = self.sockets.add(socket);
        if let Kind::Datagram(datagram) = &mut self.record_mut(id)?.kind {
            datagram.handle = Some(handle);
        }
        Ok(())
    }

    fn datagram(&mut self, id: SocketId) -> Result<(&mut Datagram, SocketHandle), Errno> {
        if self.record(id)?.bound.is_none() {
            self.bind(id, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))?;
        }
        match &mut self.record_mut(id)?.kind {
            Kind::Datagram(datagram) => {
                let handle = datagram.handle.ok_or(Errno::INVAL)?;
                Ok((datagram, handle))
            }
            _ => Err(Errno::OPNOTSUPP),
        }
    }

    pub(super) fn connect_datagram(&mut self, id: SocketId, peer: SocketAddrV4) -> Result<(), Errno> {
        self.check_destination(id, peer)?;
        self.datagram(id)?.0.peer = Some(peer);
        Ok(())
    }

    /// Undoes `connect`: the socket talks to everybody again.
    pub(crate) fn disconnect(&mut self, id: SocketId) -> Result<(), Errno> {
        match &mut self.record_mut(id)?.kind {
            Kind::Datagram(datagram) => datagram.peer = None,
            _ => return Err(Errno::AFNOSUPPORT),
        }
        Ok(())
    }

    pub(super) fn send_datagram(
        &mut self,
        id: SocketId,
        bytes: &[u8],
        destination: Option<SocketAddrV4>,
    ) -> Result<usize, Errno> {
        let record = self.record_mut(id)?;
        if let Some(error) = record.error.take() {
            return Err(error);
        }
        if record.write_closed {
            return Err(Errno::PIPE);
        }
        let peer = match &record.kind {
            Kind::Datagram(datagram) => datagram.peer,
            _ => None,
        };
        let destination = destination.or(peer).ok_or(Errno::DESTADDRREQ)?;
        self.check_destination(id, destination)?;
        if bytes.len() > LONGEST {
            return Err(Errno::MSGSIZE);
        }
        let now = self.now();
        let time_to_live = self.record(id)?.options.time_to_live;
        let (_, handle) = self.datagram(id)?;
        let socket = self.sockets.get_mut::<udp::Socket>(handle);
        socket.set_hop_limit(Some(time_to_live));
        let result = socket.send_slice(bytes, endpoint(destination));
        let queued = socket.send_queue();
        result.map_err(|error| match error {
            udp::SendError::BufferFull => Errno::AGAIN,
            udp::SendError::Unaddressable => Errno::INVAL,
        })?;
        self.datagram(id)?.0.stuck.get_or_insert((now, queued));
        Ok(bytes.len())
    }

    pub(super) fn receive_datagram(
        &mut self,
        id: SocketId,
        out: &mut [u8],
        peek: bool,
    ) -> Result<(usize, SocketAddrV4), Errno> {
        let record = self.record_mut(id)?;
        if let Some(error) = record.error.take() {
            return Err(error);
        }
        let read_closed = record.read_closed;
        let Kind::Datagram(Datagram { handle, peer, .. }) = &record.kind else { return Err(Errno::OPNOTSUPP) };
        let peer = *peer;
        if let Some(handle) = *handle {
            let socket = self.sockets.get_mut::<udp::Socket>(handle);
            discard_strangers(socket, peer);
            let received = if peek { socket.peek().map(|(b, m)| (b, *m)) } else { socket.recv() };
            if let Ok((bytes, metadata)) = received {
                let length = bytes.len().min(out.len());
                out[..length].copy_from_slice(&bytes[..length]);
                return Ok((length, address(metadata.endpoint)));
            }
        }
        if read_closed { Ok((0, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))) } else { Err(Errno::AGAIN) }
    }

    pub(super) fn datagram_readiness(&self, record: &Record, datagram: &Datagram) -> u32 {
        let Some(handle) = datagram.handle else { return readiness::WRITE };
        let socket = self.sockets.get::<udp::Socket>(handle);
        let mut ready = 0;
        if socket.can_recv() || record.read_closed {
            ready |= readiness::READ;
        }
        if socket.can_send() || record.write_closed {
            ready |= readiness::WRITE;
        }
        ready
    }

    /// Drops queued datagrams whose destination does not answer ARP: they block those to others.
    pub(super) fn expire_datagrams(&mut self, index: usize, now: Nanos) {
        let Self { records, sockets, .. } = self;
        let Some(Record { kind: Kind::Datagram(datagram), bound: Some(bound), .. }) = &mut records[index] else {
            return;
        };
        let (Some(handle), Some((since, length))) = (datagram.handle, datagram.stuck) else { return };
        let socket = sockets.get_mut::<udp::Socket>(handle);
        let queued = socket.send_queue();
        datagram.stuck = match queued {
            0 => None,
            _ if queued < length => Some((now, queued)),
            _ if now.saturating_sub(since) < PATIENCE => Some((since, queued)),
            _ => {
                // The stack cannot drop from its send queue, only forget both queues: received datagrams go as well.
                // Losing datagrams is what UDP may do, and only sockets that send to the dead lose them.
                let hop_limit = socket.hop_limit();
                socket.close();
                socket.set_hop_limit(hop_limit);
                let _ = socket.bind(listen_endpoint(*bound));
                None
            }
        };
    }

    pub(super) fn close_datagram(&mut self, datagram: Datagram) {
        if let Some(handle) = datagram.handle {
            self.discard(handle, BYTES);
        }
    }

    fn check_destination(&self, id: SocketId, destination: SocketAddrV4) -> Result<(), Errno> {
        if destination.port() == 0 {
            return Err(Errno::INVAL);
        }
        if self.link.is_broadcast(*destination.ip()) {
            return if self.record(id)?.options.broadcast { Ok(()) } else { Err(Errno::ACCES) };
        }
        self.check_route(*destination.ip())
    }
}

/// Drops datagrams at the head of the queue that are not from the peer the socket is connected to.
fn discard_strangers(socket: &mut udp::Socket, peer: Option<SocketAddrV4>) {
    let Some(peer) = peer.map(endpoint) else { return };
    while socket.peek().is_ok_and(|(_, metadata)| metadata.endpoint != peer) {
        let _ = socket.recv();
    }
}

fn new_socket(bound: SocketAddrV4) -> Option<udp::Socket<'static>> {
    let queue = |bytes| {
        let metadata = alloc::vec![udp::PacketMetadata::EMPTY; DATAGRAM_COUNT];
        Some(udp::PacketBuffer::new(metadata, buffers::allocate(bytes)?))
    };
    let mut socket = udp::Socket::new(queue(DATAGRAM_RECEIVE)?, queue(DATAGRAM_SEND)?);
    socket.bind(listen_endpoint(bound)).ok()?;
    Some(socket)
}

fn listen_endpoint(bound: SocketAddrV4) -> IpListenEndpoint {
    let addr = (!bound.ip().is_unspecified()).then_some(IpAddress::Ipv4(*bound.ip()));
    IpListenEndpoint { addr, port: bound.port() }
}
