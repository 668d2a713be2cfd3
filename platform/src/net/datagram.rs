//! UDP sockets as an application sees them.
//!
//! Received datagrams are queued on their socket as soon as the frame is read: smoltcp's sockets cannot tell the families
//! apart. Sent datagrams are built here and wait in the socket's queue only for the device. If the next hop has to be
//! resolved first they wait elsewhere (`neighbors`), so that datagrams to other destinations overtake them.
//!
//! A reply goes to the hardware address the request came from, like replies made below the sockets (`responder`). So
//! replies to known clients need no resolution while forged requests from many addresses fill the neighbour table. The
//! address is used for one reply to that peer within [`REPLY_WINDOW`] and never enters the neighbour table: a forged
//! source misdirects at most the reply to that source, which ARP spoofing could do as well.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, IpRepr, UdpPacket, UdpRepr};

use super::buffers::{self, DATAGRAM_COUNT, DATAGRAM_RECEIVE, DATAGRAM_SEND};
use super::errno::Errno;
use super::frame;
use super::machine::{Nanos, SECOND};
use super::neighbors::Hardware;
use super::outbound::STACK_MTU;
use super::socket::{Kind, Record, SocketId, overlap};
use super::stack::Stack;
use super::waiters::readiness;
use crate::drivers::nic::Transmit;

/// What a socket may hold, in octets. The last datagram queued for sending may exceed the bound.
const BYTES: usize = DATAGRAM_RECEIVE + DATAGRAM_SEND + STACK_MTU;
/// The longest payload sent, in octets: the largest packet that is fragmented, less its headers.
const LONGEST: usize = STACK_MTU - frame::IPV6 - frame::UDP;
/// How many recent peers a socket remembers.
const HEARD: usize = 256;
/// How long the hardware address a request came from may be used for the reply.
const REPLY_WINDOW: Nanos = 30 * SECOND;

/// A datagram socket.
#[derive(Default)]
pub(crate) struct Datagram {
    /// Whether its memory is reserved, which is the case once it is bound.
    reserved: bool,
    pub(super) peer: Option<SocketAddr>,
    received: VecDeque<Received>,
    /// Bytes of payload in `received`.
    held: usize,
    /// The most recent peers, latest last.
    heard: VecDeque<Heard>,
    outgoing: VecDeque<Outgoing>,
    /// Bytes in `outgoing`.
    queued: usize,
}

/// A peer that sent a datagram.
struct Heard {
    source: SocketAddr,
    /// The address of ours it sent to: replies come from there.
    own: IpAddr,
    /// The hardware address its last datagram came from, until a reply used it.
    hardware: Option<Hardware>,
    at: Nanos,
}

/// An IP packet to be sent, and the hardware address of its next hop if known.
struct Outgoing {
    packet: Vec<u8>,
    hardware: Option<Hardware>,
}

/// A datagram that waits to be read.
struct Received {
    source: SocketAddr,
    payload: Vec<u8>,
}

impl Datagram {
    /// Returns whether another datagram may be queued for sending.
    fn has_room(&self) -> bool {
        self.outgoing.len() < DATAGRAM_COUNT && self.queued < DATAGRAM_SEND
    }

    /// Queues a datagram; a full queue drops it.
    fn take_in(&mut self, datagram: &frame::Datagram, now: Nanos) {
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
        self.heard.retain(|heard| heard.source != datagram.source);
        let frame::Datagram { source, destination: own, hardware, .. } = *datagram;
        self.heard.push_back(Heard { source, own, hardware: Some(hardware), at: now });
        if self.heard.len() > HEARD {
            self.heard.pop_front();
        }
    }
}

impl Stack {
    /// Gives a datagram to the socket it is for; returns whether there is one.
    pub(super) fn deliver(&mut self, datagram: &frame::Datagram) -> bool {
        let now = self.now();
        let address = SocketAddr::new(datagram.destination, datagram.port);
        let mut sockets = self.records.iter_mut().flatten().filter_map(|record| match &mut record.kind {
            Kind::Datagram(socket) if record.bound.is_some_and(|bound| overlap(bound, address)) => {
                Some((socket, record.read_closed))
            }
            _ => None,
        });
        let Some((socket, closed)) = sockets.next() else { return false };
        if !closed {
            socket.take_in(datagram, now);
        }
        true
    }

    pub(super) fn open_datagram(&mut self, id: SocketId) -> Result<(), Errno> {
        let now = self.now();
        if !self.reserve(BYTES, now) {
            return Err(Errno::NOBUFS);
        }
        if let Kind::Datagram(datagram) = &mut self.record_mut(id)?.kind {
            datagram.reserved = true;
        }
        Ok(())
    }

    fn datagram(&mut self, id: SocketId) -> Result<&mut Datagram, Errno> {
        self.bind_anywhere(id)?;
        match &mut self.record_mut(id)?.kind {
            Kind::Datagram(datagram) => Ok(datagram),
            _ => Err(Errno::OPNOTSUPP),
        }
    }

    pub(super) fn connect_datagram(&mut self, id: SocketId, peer: SocketAddr) -> Result<(), Errno> {
        self.check_destination(id, peer)?;
        let datagram = self.datagram(id)?;
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
        let heard = heard.iter().position(|heard| heard.source == destination);
        let source = self.check_destination(id, destination)?;
        if bytes.len() > LONGEST {
            return Err(Errno::MSGSIZE);
        }
        let bound = self.bind_anywhere(id)?;
        let time_to_live = self.record(id)?.options.time_to_live;
        let now = self.now();
        let Self { records, link, .. } = self;
        let record = records.get_mut(id.0).and_then(Option::as_mut).ok_or(Errno::BADF)?;
        let Kind::Datagram(datagram) = &mut record.kind else { return Err(Errno::OPNOTSUPP) };
        if !datagram.has_room() {
            return Err(Errno::AGAIN);
        }
        let heard = heard.and_then(|at| datagram.heard.get_mut(at));
        let (mut source, mut hardware) = (source, None);
        if let Some(heard) = heard {
            // A reply comes from the address the request was sent to.
            if bound.ip().is_unspecified() && link.is_own(heard.own) {
                source = heard.own;
            }
            hardware = heard.hardware.take().filter(|_| now.saturating_sub(heard.at) < REPLY_WINDOW);
        }
        let source = SocketAddr::new(source, bound.port());
        let packet = udp_packet(source, destination, time_to_live, bytes).ok_or(Errno::NOBUFS)?;
        datagram.queued += packet.len();
        datagram.outgoing.push_back(Outgoing { packet, hardware });
        Ok(bytes.len())
    }

    /// Sends queued datagrams; returns whether transmit buffers ran out.
    pub(super) fn transmit_datagrams(&mut self, transmit: &mut impl Transmit) -> bool {
        let Self { records, outbound, turn, .. } = self;
        let count = records.len();
        // Sockets take turns at being first, so that a busy one does not take all transmit buffers.
        *turn = turn.wrapping_add(1);
        for index in (0..count).map(|step| turn.wrapping_add(step) % count) {
            let Some(Record { kind: Kind::Datagram(datagram), .. }) = &mut records[index] else { continue };
            while !datagram.outgoing.is_empty() {
                if transmit.buffer().is_none() {
                    return true;
                }
                if let Some(Outgoing { packet, hardware }) = datagram.outgoing.pop_front() {
                    datagram.queued -= packet.len();
                    outbound.send_packet(transmit, packet, hardware);
                }
            }
        }
        false
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

    pub(super) fn datagram_readiness(record: &Record, datagram: &Datagram) -> u32 {
        let mut ready = 0;
        if !datagram.received.is_empty() || record.read_closed {
            ready |= readiness::READ;
        }
        if datagram.has_room() || record.write_closed {
            ready |= readiness::WRITE;
        }
        ready
    }

    pub(super) fn close_datagram(&mut self, datagram: &Datagram) {
        if datagram.reserved {
            self.budget.give_back(BYTES);
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

/// Returns an IP packet with a UDP datagram, or `None` if memory cannot be allocated.
fn udp_packet(source: SocketAddr, destination: SocketAddr, hops: u8, payload: &[u8]) -> Option<Vec<u8>> {
    let sums = ChecksumCapabilities::default();
    let (from, to) = (source.ip().into(), destination.ip().into());
    let ip = IpRepr::new(from, to, IpProtocol::Udp, frame::UDP + payload.len(), hops);
    let mut packet = buffers::allocate(ip.buffer_len())?;
    ip.emit(&mut packet, &sums);
    let mut datagram = UdpPacket::new_unchecked(&mut packet[ip.header_len()..]);
    let fill = |out: &mut [u8]| out.copy_from_slice(payload);
    UdpRepr { src_port: source.port(), dst_port: destination.port() }.emit(
        &mut datagram,
        &from,
        &to,
        payload.len(),
        fill,
        &sums,
    );
    Some(packet)
}
