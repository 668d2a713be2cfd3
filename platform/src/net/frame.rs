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
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::*;
    use std::vec::Vec;

    pub(crate) const HARDWARE: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
    pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
    pub(crate) const ADDRESS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 15);
    const PEER: [u8; 6] = [2, 0, 0, 0, 0, 9];
    const PEER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

    /// Us, at 10.0.2.15/24 and 2001:db8::f/64.
    pub(crate) fn link() -> Link {
        let mut link = Link::new(HARDWARE, 1500);
        let addresses = vec![(ADDRESS.into(), 24), (ADDRESS_V6.into(), 64)];
        link.set(&super::super::configure::Setting { addresses, ..Default::default() });
        link
    }

    /// A UDP frame from \[2001:db8::2\]:4321 to port 53 of ours.
    pub(crate) fn query_v6(payload: &[u8]) -> Vec<u8> {
        udp(PEER_V6.into(), ADDRESS_V6.into(), EthernetProtocol::Ipv6, payload)
    }

    /// A UDP frame from 10.0.2.2:4321 to port 53 of ours.
    pub(crate) fn query(payload: &[u8]) -> Vec<u8> {
        udp(Ipv4Addr::new(10, 0, 2, 2).into(), ADDRESS.into(), EthernetProtocol::Ipv4, payload)
    }

    /// A UDP frame from port 4321 to port 53, built by the stack's own emitters.
    fn udp(source: IpAddress, target: IpAddress, protocol: EthernetProtocol, payload: &[u8]) -> Vec<u8> {
        let sums = ChecksumCapabilities::default();
        let ip = IpRepr::new(source, target, IpProtocol::Udp, 8 + payload.len(), 64);
        let above = 14 + ip.header_len();
        let mut frame = vec![0; above + 8 + payload.len()];
        let mut ethernet = EthernetFrame::new_unchecked(&mut frame);
        ethernet.set_dst_addr(EthernetAddress(HARDWARE));
        ethernet.set_src_addr(EthernetAddress(PEER));
        ethernet.set_ethertype(protocol);
        ip.emit(&mut frame[14..], &sums);
        let mut packet = UdpPacket::new_unchecked(&mut frame[above..]);
        let fill = |bytes: &mut [u8]| bytes.copy_from_slice(payload);
        UdpRepr { src_port: 4321, dst_port: 53 }.emit(&mut packet, &source, &target, payload.len(), fill, &sums);
        frame
    }

    fn fix_ip_checksum(frame: &mut [u8]) {
        Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
    }

    #[test]
    fn datagram_for_us() {
        let frame = query(b"hello");
        let datagram = Datagram::parse(&frame, &link()).unwrap();
        assert_eq!(datagram.source, "10.0.2.2:4321".parse().unwrap());
        assert_eq!((datagram.port, datagram.payload, datagram.hardware), (53, &b"hello"[..], PEER));
    }

    #[test]
    fn padding_and_options_are_no_payload() {
        let mut frame = query(b"hi");
        frame.extend([0; 16]);
        assert_eq!(Datagram::parse(&frame, &link()).unwrap().payload, b"hi");
        let mut frame = query(b"hi");
        frame.splice(34..34, [1, 1, 1, 0]);
        frame[14] = 0x46;
        frame[17] += 4;
        fix_ip_checksum(&mut frame);
        assert_eq!(Datagram::parse(&frame, &link()).unwrap().payload, b"hi");
    }

    #[test]
    fn what_is_not_for_us_alone_is_left() {
        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut frame = query(b"hello");
            change(&mut frame);
            Datagram::parse(&frame, &link()).is_some()
        };
        assert!(changed(&|_| ()));
        assert!(!changed(&|f| f[..6].fill(0xff)), "broadcast");
        assert!(!changed(&|f| f[5] ^= 1), "another host's");
        assert!(!changed(&|f| f[6] |= 1), "from a group");
        assert!(!changed(&|f| f[24] ^= 1), "IP checksum");
        assert!(!changed(&|f| f[44] ^= 1), "UDP checksum");
        assert!(
            changed(&|f| {
                f[40] = 0;
                f[41] = 0;
                f[44] ^= 1
            }),
            "no UDP checksum"
        );
        for (name, at, value) in [
            ("more fragments", 20, 0x20),
            ("fragment offset", 21, 1),
            ("version", 14, 0x65),
            ("short header", 14, 0x44),
            ("TCP", 23, 6),
            ("other address", 33, 16),
            ("source is us", 29, 15),
            ("source is the broadcast address", 29, 255),
            ("source is a group", 26, 224),
            ("total length beyond the frame", 17, 200),
            ("total length within the header", 17, 19),
            ("UDP length beyond the packet", 39, 14),
            ("UDP length within its header", 39, 7),
        ] {
            let left = |f: &mut Vec<u8>| {
                f[at] = value;
                f[40..42].fill(0);
                fix_ip_checksum(f);
            };
            assert!(!changed(&left), "{name}");
        }
    }

    #[test]
    fn syn_and_nothing_else() {
        let mut frame = query(&[0; 12]);
        frame[23] = 6;
        frame[46] = 0x50;
        fix_ip_checksum(&mut frame);
        for flags in 0..=255u8 {
            frame[47] = flags;
            assert_eq!(Syn::parse(&frame, &link()).is_some(), flags & 0x17 == 2, "{flags:#x}");
        }
        frame[47] = 2;
        let syn = Syn::parse(&frame, &link()).unwrap();
        assert_eq!((syn.source.port(), syn.destination.port()), (4321, 53));
    }

    #[test]
    fn only_datagrams_go_to_groups() {
        let mut frame = query(b"hello");
        frame[..6].fill(0xff);
        assert!(!is_misdirected(&frame));
        frame[23] = PROTOCOL_TCP;
        assert!(is_misdirected(&frame));
        assert!(!is_misdirected(&frame[..23]));
        frame[13] = 6;
        assert!(!is_misdirected(&frame), "ARP");
        let mut frame = query_v6(b"hello");
        assert!(!is_misdirected(&frame));
        frame[38] = 0xff;
        assert!(is_misdirected(&frame), "a datagram");
        frame[20] = PROTOCOL_ICMPV6;
        frame[54] = 135;
        assert!(!is_misdirected(&frame), "a neighbour solicitation");
        frame[54] = 128;
        assert!(is_misdirected(&frame), "an echo request");
    }

    #[test]
    fn datagram_over_ipv6() {
        let mut frame = query_v6(b"hello");
        frame.extend([0; 7]);
        let datagram = Datagram::parse(&frame, &link()).unwrap();
        assert_eq!(datagram.source, "[2001:db8::2]:4321".parse().unwrap());
        assert_eq!((datagram.destination, datagram.port), (ADDRESS_V6.into(), 53));
        assert_eq!((datagram.payload, datagram.hardware), (&b"hello"[..], PEER));
    }

    #[test]
    fn what_is_not_for_us_alone_over_ipv6_is_left() {
        for (name, at, value) in [
            ("version", 14, 0x45),
            ("hop-by-hop options", 20, 0),
            ("a fragment", 20, 44),
            ("TCP", 20, 6),
            ("another EtherType", 13, 0),
            ("other address", 53, 16),
            ("all nodes", 38, 0xff),
            ("source is a group", 22, 0xff),
            ("payload length beyond the frame", 19, 14),
            ("UDP length beyond the packet", 59, 14),
            ("UDP length within its header", 59, 7),
            ("UDP checksum", 61, 0x42),
            ("payload", 62, 0),
        ] {
            let mut frame = query_v6(b"hello");
            frame[at] = value;
            assert!(Datagram::parse(&frame, &link()).is_none(), "{name}");
        }
        let mut frame = query_v6(b"hello");
        frame[60..62].fill(0);
        assert!(Datagram::parse(&frame, &link()).is_none(), "no UDP checksum");
        let mut frame = query_v6(b"hello");
        frame[22..38].copy_from_slice(&ADDRESS_V6.octets());
        assert!(Datagram::parse(&frame, &link()).is_none(), "from ourselves");
    }

    #[test]
    fn announcement_is_arp() {
        let mut out = [0; 64];
        let length = write_announcement(&mut out, &link(), ADDRESS).unwrap();
        let packet = ArpPacket::new_checked(&out[14..length]).unwrap();
        let ArpRepr::EthernetIpv4 { operation, source_protocol_addr, target_protocol_addr, .. } =
            ArpRepr::parse(&packet).unwrap()
        else {
            panic!("not IPv4 over Ethernet")
        };
        assert_eq!(operation, ArpOperation::Request);
        assert_eq!((source_protocol_addr, target_protocol_addr), (ADDRESS, ADDRESS));
    }

    proptest! {
        #[test]
        fn replies_are_what_the_stack_would_parse(
            payload in proptest::collection::vec(any::<u8>(), 0..=1472), asked in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let frame = query(&asked);
            let datagram = Datagram::parse(&frame, &link()).unwrap();
            let mut out = [0xaa; 2048];
            out[42..42 + payload.len()].copy_from_slice(&payload);
            let length = write_reply(&mut out, &datagram, &link(), payload.len()).unwrap();
            let ethernet = EthernetFrame::new_checked(&out[..length]).unwrap();
            prop_assert_eq!(ethernet.dst_addr(), EthernetAddress(PEER));
            let checks = ChecksumCapabilities::default();
            let packet = Ipv4Packet::new_checked(ethernet.payload()).unwrap();
            let ip = Ipv4Repr::parse(&packet, &checks).unwrap();
            let udp = UdpPacket::new_checked(packet.payload()).unwrap();
            let repr = UdpRepr::parse(&udp, &ip.src_addr.into(), &ip.dst_addr.into(), &checks).unwrap();
            prop_assert_eq!((repr.src_port, repr.dst_port), (53, 4321));
            prop_assert_eq!((ip.src_addr, ip.dst_addr), (ADDRESS, Ipv4Addr::new(10, 0, 2, 2)));
            prop_assert_eq!(udp.payload(), &payload[..]);
            prop_assert_ne!(udp.checksum(), 0);
            prop_assert!(packet.dont_frag());
        }

        #[test]
        fn replies_over_ipv6_are_what_the_stack_would_parse(
            payload in proptest::collection::vec(any::<u8>(), 0..=1232), asked in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let frame = query_v6(&asked);
            let datagram = Datagram::parse(&frame, &link()).unwrap();
            let mut out = [0xaa; 2048];
            out[62..62 + payload.len()].copy_from_slice(&payload);
            prop_assert_eq!(write_reply(&mut out, &datagram, &link(), 1233), None);
            let length = write_reply(&mut out, &datagram, &link(), payload.len()).unwrap();
            let ethernet = EthernetFrame::new_checked(&out[..length]).unwrap();
            prop_assert_eq!(ethernet.dst_addr(), EthernetAddress(PEER));
            prop_assert_eq!(ethernet.ethertype(), EthernetProtocol::Ipv6);
            let packet = Ipv6Packet::new_checked(ethernet.payload()).unwrap();
            let ip = Ipv6Repr::parse(&packet).unwrap();
            let udp = UdpPacket::new_checked(packet.payload()).unwrap();
            let checks = ChecksumCapabilities::default();
            let repr = UdpRepr::parse(&udp, &ip.src_addr.into(), &ip.dst_addr.into(), &checks).unwrap();
            prop_assert_eq!((repr.src_port, repr.dst_port, ip.hop_limit), (53, 4321, 64));
            prop_assert_eq!((ip.src_addr, ip.dst_addr), (ADDRESS_V6, PEER_V6));
            prop_assert_eq!(udp.payload(), &payload[..]);
            prop_assert_ne!(udp.checksum(), 0);
        }

        #[test]
        fn damaged_frames_over_ipv6_are_survived(
            at in 0usize..75, value in any::<u8>(), cut in 0usize..80, garbage in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut frame = query_v6(b"a question here..");
            frame[at] = value;
            frame.truncate(cut);
            let _ = (Datagram::parse(&frame, &link()), Syn::parse(&frame, &link()), is_misdirected(&frame));
            let mut frame = query_v6(b"a question here..");
            frame.truncate(54);
            frame.extend(garbage);
            let _ = (Datagram::parse(&frame, &link()), Syn::parse(&frame, &link()), is_misdirected(&frame));
        }

        #[test]
        fn garbage_and_truncated_frames_are_survived(
            garbage in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..60, value in any::<u8>(), cut in 0usize..60,
        ) {
            let _ = Datagram::parse(&garbage, &link());
            let _ = Syn::parse(&garbage, &link());
            let _ = is_misdirected(&garbage);
            let mut frame = query(b"a question here..");
            frame[at.min(58)] = value;
            frame.truncate(cut);
            fix_and_parse(&mut frame);
        }
    }

    /// Parses a damaged frame with its IP checksum made right, so that damage reaches the later checks.
    fn fix_and_parse(frame: &mut [u8]) {
        if frame.len() >= 34 && usize::from(frame[14] & 15) * 4 + 14 <= frame.len() && frame[14] & 15 >= 5 {
            fix_ip_checksum(frame);
        }
        let _ = Datagram::parse(frame, &link());
        let _ = Syn::parse(frame, &link());
    }
}
