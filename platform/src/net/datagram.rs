//! UDP sockets as an application sees them.
//!
//! What arrives is put into the queue of the socket it is for right where the frame is read: the stack's own sockets
//! cannot tell the families apart. Sending is left to the stack, which finds the hardware address.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;
use smoltcp::wire::{IpAddress, IpListenEndpoint};

use super::buffers::{self, DATAGRAM_COUNT, DATAGRAM_RECEIVE, DATAGRAM_SEND};
use super::errno::Errno;
use super::frame;
use super::socket::{Kind, Record, SocketId, overlap};
use super::stack::{Nanos, SECOND, Stack};
use super::stream::endpoint;
use super::waiters::readiness;

const BYTES: usize = DATAGRAM_RECEIVE + DATAGRAM_SEND;
/// The longest datagram sent: what the stack can fragment, less its headers.
const LONGEST: usize = DATAGRAM_SEND - frame::IPV6 - frame::UDP;
/// How long a datagram waits for its destination's hardware address. Those behind it wait too.
const PATIENCE: Nanos = 3 * SECOND;
/// How many peers a socket for any address remembers by the address they spoke to.
const HEARD: usize = 32;

/// A datagram socket; it has a socket of the stack from the moment it has a port.
#[derive(Default)]
pub(crate) struct Datagram {
    handle: Option<SocketHandle>,
    pub(super) peer: Option<SocketAddr>,
    received: VecDeque<Received>,
    /// Bytes of payload in `received`.
    held: usize,
    /// Which address of ours the last peers spoke to, the latest last: it is the one their answers come from.
    heard: VecDeque<(SocketAddr, IpAddr)>,
    /// Since when the send queue has not become shorter, and how long it was.
    stuck: Option<(Nanos, usize)>,
}

/// A datagram that waits to be read.
struct Received {
    source: SocketAddr,
    payload: Vec<u8>,
}

impl Datagram {
    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.stuck.map(|(since, _)| since + PATIENCE)
    }

    /// Queues a datagram; a full queue drops it.
    fn take_in(&mut self, datagram: &frame::Datagram) {
        if self.peer.is_some_and(|peer| peer != datagram.source)
            || self.received.len() >= DATAGRAM_COUNT
            || self.held + datagram.payload.len() > DATAGRAM_RECEIVE
        {
            return;
        }
        let Some(mut payload) = buffers::allocate(datagram.payload.len()) else { return };
        payload.copy_from_slice(datagram.payload);
        self.held += payload.len();
        self.received.push_back(Received { source: datagram.source, payload });
        self.heard.retain(|(source, _)| *source != datagram.source);
        self.heard.push_back((datagram.source, datagram.destination));
        if self.heard.len() > HEARD {
            self.heard.pop_front();
        }
    }
}

impl Stack {
    /// Gives a datagram to the socket it is for; returns whether there is one.
    pub(super) fn deliver(&mut self, datagram: &frame::Datagram) -> bool {
        let address = SocketAddr::new(datagram.destination, datagram.port);
        let mut sockets = self.records.iter_mut().flatten().filter_map(|record| match &mut record.kind {
            Kind::Datagram(socket) if record.bound.is_some_and(|bound| overlap(bound, address)) => {
                Some((socket, record.read_closed))
            }
            _ => None,
        });
        let Some((socket, closed)) = sockets.next() else { return false };
        if !closed {
            socket.take_in(datagram);
        }
        true
    }

    pub(super) fn open_datagram(&mut self, id: SocketId, bound: SocketAddr) -> Result<(), Errno> {
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
        self.bind_anywhere(id)?;
        match &mut self.record_mut(id)?.kind {
            Kind::Datagram(datagram) => {
                let handle = datagram.handle.ok_or(Errno::INVAL)?;
                Ok((datagram, handle))
            }
            _ => Err(Errno::OPNOTSUPP),
        }
    }

    pub(super) fn connect_datagram(&mut self, id: SocketId, peer: SocketAddr) -> Result<(), Errno> {
        self.check_destination(id, peer)?;
        let (datagram, _) = self.datagram(id)?;
        datagram.peer = Some(peer);
        // What came from others before is not for a connected socket.
        datagram.received.retain(|received| received.source == peer);
        datagram.held = datagram.received.iter().map(|received| received.payload.len()).sum();
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
        destination: Option<SocketAddr>,
    ) -> Result<usize, Errno> {
        let record = self.record_mut(id)?;
        if let Some(error) = record.error.take() {
            return Err(error);
        }
        if record.write_closed {
            return Err(Errno::PIPE);
        }
        let (peer, heard) = match &record.kind {
            Kind::Datagram(datagram) => (datagram.peer, &datagram.heard),
            _ => return Err(Errno::OPNOTSUPP),
        };
        let destination = destination.or(peer).ok_or(Errno::DESTADDRREQ)?;
        let heard = heard.iter().find(|(source, _)| *source == destination).map(|(_, own)| *own);
        let source = self.check_destination(id, destination)?;
        if bytes.len() > LONGEST {
            return Err(Errno::MSGSIZE);
        }
        let now = self.now();
        let time_to_live = self.record(id)?.options.time_to_live;
        let (_, handle) = self.datagram(id)?;
        let bound = self.bind_anywhere(id)?.ip();
        // An answer comes from the address that was asked.
        let heard = heard.filter(|own| bound.is_unspecified() && self.link.is_own(*own));
        let metadata =
            udp::UdpMetadata { local_address: Some(heard.unwrap_or(source).into()), ..endpoint(destination).into() };
        let socket = self.sockets.get_mut::<udp::Socket>(handle);
        socket.set_hop_limit(Some(time_to_live));
        let result = socket.send_slice(bytes, metadata);
        let queued = socket.send_queue();
        result.map_err(|error| match error {
            udp::SendError::BufferFull => Errno::AGAIN,
            udp::SendError::Unaddressable => Errno::INVAL,
        })?;
        self.datagram(id)?.0.stuck.get_or_insert((now, queued));
        self.want_neighbor(destination.ip(), now);
        Ok(bytes.len())
    }

    pub(super) fn receive_datagram(
        &mut self,
        id: SocketId,
        out: &mut [u8],
        peek: bool,
    ) -> Result<(usize, SocketAddr), Errno> {
        let record = self.record_mut(id)?;
        if let Some(error) = record.error.take() {
            return Err(error);
        }
        let nobody = record.unspecified();
        let Kind::Datagram(datagram) = &mut record.kind else { return Err(Errno::OPNOTSUPP) };
        let Some(Received { source, payload }) = datagram.received.front() else {
            return if record.read_closed { Ok((0, nobody)) } else { Err(Errno::AGAIN) };
        };
        let length = payload.len().min(out.len());
        out[..length].copy_from_slice(&payload[..length]);
        let source = *source;
        if !peek {
            datagram.held -= payload.len();
            datagram.received.pop_front();
        }
        Ok((length, source))
    }

    pub(super) fn datagram_readiness(&self, record: &Record, datagram: &Datagram) -> u32 {
        let mut ready = 0;
        if !datagram.received.is_empty() || record.read_closed {
            ready |= readiness::READ;
        }
        let can_send = datagram.handle.is_none_or(|handle| self.sockets.get::<udp::Socket>(handle).can_send());
        if can_send || record.write_closed {
            ready |= readiness::WRITE;
        }
        ready
    }

    /// Drops queued datagrams whose destination's hardware address nobody tells: they block those to others.
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
                // Losing datagrams is what UDP may do, and only sockets that send to the dead lose them.
                let hop_limit = socket.hop_limit();
                socket.close();
                socket.set_hop_limit(hop_limit);
                let _ = socket.bind(sending_endpoint(*bound));
                None
            }
        };
    }

    pub(super) fn close_datagram(&mut self, datagram: Datagram) {
        if let Some(handle) = datagram.handle {
            self.discard(handle, BYTES);
        }
    }

    /// Returns the address of ours to speak from, if datagrams may go to `destination`.
    fn check_destination(&self, id: SocketId, destination: SocketAddr) -> Result<IpAddr, Errno> {
        let record = self.record(id)?;
        record.check_family(destination)?;
        if destination.port() == 0 {
            return Err(Errno::INVAL);
        }
        if self.link.is_broadcast(destination.ip()) {
            let source = self.link.addresses.iter().find(|(own, _)| own.is_ipv4()).map(|(own, _)| *own);
            return if record.options.broadcast { source.ok_or(Errno::NETUNREACH) } else { Err(Errno::ACCES) };
        }
        self.source_for(record, destination.ip())
    }
}

fn new_socket(bound: SocketAddr) -> Option<udp::Socket<'static>> {
    let queue = |count, bytes| {
        let metadata = alloc::vec![udp::PacketMetadata::EMPTY; count];
        Some(udp::PacketBuffer::new(metadata, buffers::allocate(bytes)?))
    };
    let mut socket = udp::Socket::new(queue(1, 1)?, queue(DATAGRAM_COUNT, DATAGRAM_SEND)?);
    socket.bind(sending_endpoint(bound)).ok()?;
    Some(socket)
}

/// Returns what a socket of the stack is bound to that sends from a port: no packet is ever for this address.
fn sending_endpoint(bound: SocketAddr) -> IpListenEndpoint {
    IpListenEndpoint { addr: Some(IpAddress::Ipv4(Ipv4Addr::UNSPECIFIED)), port: bound.port() }
}
