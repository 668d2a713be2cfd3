//! Ethernet frames with IP and UDP or TCP inside: read in place, written in place.
//!
//! Only what the fast path needs: a view of a UDP datagram that is certainly for us, the headers of its reply, and
//! the ports of a TCP SYN. A frame that is anything else is simply not recognised here and goes to the stack, which
//! decides: so do fragments and IPv6 packets with extension headers. Every length a packet states is checked against
//! the bytes there are.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::link::Link;
use crate::drivers::checksum::Sum;

pub(super) const ETHERNET: usize = 14;
pub(super) const IPV4: usize = 20;
pub(super) const IPV6: usize = 40;
pub(super) const UDP: usize = 8;
/// Bytes of a TCP header without options.
pub(super) const TCP: usize = 20;

pub(super) const ETHERTYPE_IPV4: [u8; 2] = [8, 0];
pub(super) const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
pub(super) const ETHERTYPE_ARP: [u8; 2] = [8, 6];
pub(super) const PROTOCOL_TCP: u8 = 6;
pub(super) const PROTOCOL_UDP: u8 = 17;
pub(super) const PROTOCOL_ICMPV6: u8 = 58;
const HOPS: u8 = 64;
/// The largest IPv6 packet every path carries (RFC 8200 §5).
pub(super) const LEAST_MTU_V6: usize = 1280;

/// An intact UDP datagram for an address of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram<'a> {
    /// The hardware address it came from: the sender's, or its router's.
    pub(crate) hardware: [u8; 6],
    /// The address and port it came from.
    pub(crate) source: SocketAddr,
    /// The address of ours it is for.
    pub(crate) destination: IpAddr,
    /// The port it is for.
    pub(crate) port: u16,
    /// What it says.
    pub(crate) payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Reads a frame; nothing when it is not an intact, unfragmented UDP datagram from one peer to us alone.
    pub(crate) fn parse(frame: &'a [u8], link: &Link) -> Option<Self> {
        let packet = Packet::parse(frame, link, PROTOCOL_UDP)?;
        let (header, _) = packet.body.split_first_chunk::<UDP>()?;
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        if length < UDP || length > packet.body.len() {
            return None;
        }
        let datagram = &packet.body[..length];
        // RFC 768: a checksum of zero means the sender made none. Over IPv6 it must (RFC 8200 §8.1).
        if header[6..8] != [0, 0] {
            let sum = pseudo_header(packet.source, packet.destination, PROTOCOL_UDP, length).add(datagram);
            if !sum.is_intact() {
                return None;
            }
        } else if packet.source.is_ipv6() {
            return None;
        }
        let port = u16::from_be_bytes([header[0], header[1]]);
        if port == 0 {
            // Nobody to answer to.
            return None;
        }
        Some(Self {
            hardware: packet.hardware,
            source: SocketAddr::new(packet.source, port),
            destination: packet.destination,
            port: u16::from_be_bytes([header[2], header[3]]),
            payload: &datagram[UDP..],
        })
    }

    /// Returns the bytes in front of the payload of a reply: Ethernet, IP without options, UDP.
    #[inline]
    pub(crate) fn reply_headers(&self) -> usize {
        ETHERNET + UDP + if self.source.is_ipv4() { IPV4 } else { IPV6 }
    }

    /// Returns the longest reply that goes into one packet.
    ///
    /// Over IPv6 none is longer than what every path carries: routers do not fragment there, and a message that a
    /// packet was too big would come to a server that keeps no copy.
    #[inline]
    pub(crate) fn reply_limit(&self, link: &Link) -> usize {
        match self.source {
            SocketAddr::V4(_) => link.mtu - IPV4 - UDP,
            SocketAddr::V6(_) => link.mtu.min(LEAST_MTU_V6) - IPV6 - UDP,
        }
    }
}

/// A request for a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Syn {
    /// Who asks.
    pub(crate) source: SocketAddr,
    /// The address and port asked for.
    pub(crate) destination: SocketAddr,
}

impl Syn {
    /// Reads a frame; nothing when it is not a first TCP segment from one peer to us alone.
    ///
    /// The TCP checksum is left to the stack, which sees the frame next.
    pub(crate) fn parse(frame: &[u8], link: &Link) -> Option<Self> {
        const FIN: u8 = 1;
        const SYN: u8 = 2;
        const RST: u8 = 4;
        const ACK: u8 = 16;
        let packet = Packet::parse(frame, link, PROTOCOL_TCP)?;
        let (header, _) = packet.body.split_first_chunk::<20>()?;
        if header[13] & (FIN | SYN | RST | ACK) != SYN {
            return None;
        }
        Some(Self {
            source: SocketAddr::new(packet.source, u16::from_be_bytes([header[0], header[1]])),
            destination: SocketAddr::new(packet.destination, u16::from_be_bytes([header[2], header[3]])),
        })
    }
}

/// Returns whether the frame is an IP packet sent to a group that only makes sense sent to one host.
///
/// A TCP segment to a group must be ignored, and an echo request may be (RFC 1122 §4.2.3.10, §3.2.2.6): answering
/// would make us somebody's amplifier. Over IPv6 groups are for ICMPv6 alone, which finds neighbours by them, and what
/// is unknown to us gets no complaint (RFC 4443 §2.4 (e)); echo requests to groups are dropped like the rest.
pub(crate) fn is_misdirected(frame: &[u8]) -> bool {
    const ECHO_REQUEST: u8 = 128;
    let Some((ethernet, packet)) = frame.split_first_chunk::<ETHERNET>() else { return false };
    let to_group = ethernet[0] & 1 != 0;
    match [ethernet[12], ethernet[13]] {
        ETHERTYPE_IPV4 => to_group && packet.get(9).is_some_and(|protocol| *protocol != PROTOCOL_UDP),
        ETHERTYPE_IPV6 => packet.split_first_chunk::<IPV6>().is_some_and(|(header, body)| {
            let discovery = header[6] == PROTOCOL_ICMPV6 && body.first() != Some(&ECHO_REQUEST);
            (to_group || header[24] == 0xff) && !discovery
        }),
        _ => false,
    }
}

/// Returns whether the frame is addressed to us or a group, and holds ARP or the IP version its EtherType says.
pub(super) fn is_for_us(frame: &[u8], link: &Link) -> bool {
    let Some((ethernet, packet)) = frame.split_first_chunk::<ETHERNET>() else { return false };
    let version = packet.first().map(|first| first >> 4);
    (ethernet[..6] == link.hardware || ethernet[0] & 1 != 0)
        && match [ethernet[12], ethernet[13]] {
            ETHERTYPE_IPV4 => version == Some(4),
            ETHERTYPE_IPV6 => version == Some(6),
            ETHERTYPE_ARP => true,
            _ => false,
        }
}

/// Writes the Ethernet header of an IP packet.
#[inline]
pub(super) fn write_ethernet(header: &mut [u8; ETHERNET], hardware: [u8; 6], link: &Link, v6: bool) {
    header[..6].copy_from_slice(&hardware);
    header[6..12].copy_from_slice(&link.hardware);
    header[12..].copy_from_slice(&if v6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 });
}

/// An intact IP packet for us, whole.
pub(super) struct Packet<'a> {
    pub(super) hardware: [u8; 6],
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) body: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a frame with a packet of `protocol` from one peer to us alone.
    #[inline]
    pub(super) fn parse(frame: &'a [u8], link: &Link, protocol: u8) -> Option<Self> {
        let (header, packet) = frame.split_first_chunk::<ETHERNET>()?;
        // Compared whole: a broadcast or multicast frame is not for us alone. So is a group as source.
        if header[..6] != link.hardware || header[6] & 1 != 0 {
            return None;
        }
        let (source, destination, body) = match [header[12], header[13]] {
            ETHERTYPE_IPV4 => parse_v4(packet, protocol)?,
            ETHERTYPE_IPV6 => parse_v6(packet, protocol)?,
            _ => return None,
        };
        if !link.is_own(destination) || !link.is_peer(source) {
            return None;
        }
        let hardware = [header[6], header[7], header[8], header[9], header[10], header[11]];
        Some(Self { hardware, source, destination, body })
    }
}

fn parse_v4(packet: &[u8], protocol: u8) -> Option<(IpAddr, IpAddr, &[u8])> {
    const MORE_FRAGMENTS_OR_OFFSET: u16 = 0x3fff;
    let (header, _) = packet.split_first_chunk::<IPV4>()?;
    let header_length = usize::from(header[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    if header[0] >> 4 != 4
        || header_length < IPV4
        || total < header_length
        || fragment & MORE_FRAGMENTS_OR_OFFSET != 0
        || header[9] != protocol
    {
        return None;
    }
    // The frame may be longer than the packet: Ethernet pads short ones.
    let packet = packet.get(..total)?;
    if !Sum::default().add(&packet[..header_length]).is_intact() {
        return None;
    }
    let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    Some((address(12).into(), address(16).into(), &packet[header_length..]))
}

fn parse_v6(packet: &[u8], protocol: u8) -> Option<(IpAddr, IpAddr, &[u8])> {
    let (header, rest) = packet.split_first_chunk::<IPV6>()?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if header[0] >> 4 != 6 || header[6] != protocol {
        return None;
    }
    let body = rest.get(..length)?;
    Some((address_v6(&header[8..24])?, address_v6(&header[24..40])?, body))
}

/// Reads an IPv6 address that is 16 bytes long.
pub(super) fn address_v6(bytes: &[u8]) -> Option<IpAddr> {
    bytes.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).into())
}

/// Writes the headers of the reply to `datagram`, whose `length` bytes of payload stand in `out` behind
/// [`Datagram::reply_headers`] bytes. Returns the length of the frame; nothing when `out` is too short or the reply
/// too long.
pub(crate) fn write_reply(out: &mut [u8], datagram: &Datagram, link: &Link, length: usize) -> Option<usize> {
    let headers = datagram.reply_headers();
    let frame = out.get_mut(..headers + length)?;
    if length > datagram.reply_limit(link) {
        return None;
    }
    let udp_length = UDP + length;
    frame[..6].copy_from_slice(&datagram.hardware);
    frame[6..12].copy_from_slice(&link.hardware);
    let (source, destination) = (datagram.destination, datagram.source.ip());
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = frame.get_mut(12..).and_then(<[u8]>::first_chunk_mut::<{ 2 + IPV4 }>)?;
            header[..2].copy_from_slice(&ETHERTYPE_IPV4);
            // No options; DF set, so the packet is atomic and its identification means nothing (RFC 6864 §4.1).
            header[2..4].copy_from_slice(&[0x45, 0]);
            header[4..6].copy_from_slice(&((IPV4 + udp_length) as u16).to_be_bytes());
            header[6..10].copy_from_slice(&[0, 0, 0x40, 0]);
            header[10..14].copy_from_slice(&[HOPS, PROTOCOL_UDP, 0, 0]);
            header[14..18].copy_from_slice(&source.octets());
            header[18..22].copy_from_slice(&destination.octets());
            let sum = Sum::default().add(&header[2..]).finish();
            header[12..14].copy_from_slice(&sum);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = frame.get_mut(12..).and_then(<[u8]>::first_chunk_mut::<{ 2 + IPV6 }>)?;
            header[..2].copy_from_slice(&ETHERTYPE_IPV6);
            // No traffic class; flow label zero: each answer is a flow of its own (RFC 6437 §3).
            header[2..6].copy_from_slice(&[0x60, 0, 0, 0]);
            header[6..8].copy_from_slice(&(udp_length as u16).to_be_bytes());
            header[8..10].copy_from_slice(&[PROTOCOL_UDP, HOPS]);
            header[10..26].copy_from_slice(&source.octets());
            header[26..42].copy_from_slice(&destination.octets());
        }
        _ => return None,
    }
    let body = &mut frame[headers - UDP..];
    body[..2].copy_from_slice(&datagram.port.to_be_bytes());
    body[2..4].copy_from_slice(&datagram.source.port().to_be_bytes());
    body[4..6].copy_from_slice(&(udp_length as u16).to_be_bytes());
    body[6..8].copy_from_slice(&[0, 0]);
    let sum = pseudo_header(source, destination, PROTOCOL_UDP, udp_length).add(body).finish();
    // RFC 768: a computed zero is sent as its other form, since zero means "none".
    body[6..8].copy_from_slice(if sum == [0, 0] { &[0xff, 0xff] } else { &sum });
    Some(headers + length)
}

/// Writes an ARP announcement of our own `address` (RFC 5227 §2.3), so that neighbours forget who had it before.
pub(crate) fn write_announcement(out: &mut [u8], link: &Link, address: Ipv4Addr) -> Option<usize> {
    write_arp_request(out, link, address, address)
}

/// Writes an ARP request by `source` for the hardware address of `target`.
pub(crate) fn write_arp_request(out: &mut [u8], link: &Link, source: Ipv4Addr, target: Ipv4Addr) -> Option<usize> {
    write_arp(out, link, 1, source, ([0xff; 6], [0; 6], target))
}

/// Writes an ARP reply for our address `source` to `target`, whose hardware address is `hardware`.
pub(super) fn write_arp_reply(
    out: &mut [u8],
    link: &Link,
    source: Ipv4Addr,
    target: Ipv4Addr,
    hardware: [u8; 6],
) -> Option<usize> {
    write_arp(out, link, 2, source, (hardware, hardware, target))
}

/// Writes an ARP message; the tuple is the frame's destination and the target's hardware and IP addresses.
fn write_arp(
    out: &mut [u8],
    link: &Link,
    operation: u8,
    source: Ipv4Addr,
    (to, hardware, target): ([u8; 6], [u8; 6], Ipv4Addr),
) -> Option<usize> {
    const LENGTH: usize = 42;
    let frame = out.get_mut(..LENGTH)?;
    frame[..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&link.hardware);
    frame[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    frame[22..28].copy_from_slice(&link.hardware);
    frame[28..32].copy_from_slice(&source.octets());
    frame[32..38].copy_from_slice(&hardware);
    frame[38..42].copy_from_slice(&target.octets());
    Some(LENGTH)
}

/// Returns where the TCP header of a whole packet stands.
pub(super) fn tcp_offset(packet: &[u8]) -> Option<usize> {
    let at = match packet.first()? >> 4 {
        4 if packet.len() >= IPV4 && packet[9] == PROTOCOL_TCP => usize::from(packet[0] & 15) * 4,
        6 if packet.len() >= IPV6 && packet[6] == PROTOCOL_TCP => IPV6,
        _ => return None,
    };
    (at >= IPV4 && packet.len() >= at + TCP).then_some(at)
}

/// Sums the pseudo header of UDP, TCP and ICMPv6 (RFC 768, RFC 9293 §3.1, RFC 8200 §8.1).
#[inline]
pub(super) fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Sum {
    let add = |sum: Sum, address: IpAddr| match address {
        IpAddr::V4(v4) => sum.add(&v4.octets()),
        IpAddr::V6(v6) => sum.add(&v6.octets()),
    };
    // Longer than 16 bits can say there is no packet.
    add(add(Sum::default(), source), destination).add_word(protocol.into()).add_word(length as u16)
}

#[cfg(test)]
pub(crate) mod tests;
