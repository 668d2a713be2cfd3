//! Ethernet frames with IPv4 and UDP or TCP inside: read in place, written in place.
//!
//! Only what the fast path needs: a view of a UDP datagram that is certainly for us, the headers of its reply, and
//! the ports of a TCP SYN. A frame that is anything else is simply not recognised here and goes to the stack, which
//! decides. Every length a packet states is checked against the bytes there are.

use core::net::{Ipv4Addr, SocketAddrV4};

use super::checksum::Sum;

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;
/// Bytes in front of the payload of a reply: Ethernet, IPv4 without options, UDP.
pub(crate) const REPLY_HEADERS: usize = ETHERNET + IPV4 + UDP;

const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const TIME_TO_LIVE: u8 = 64;

/// Who we are on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Our hardware address.
    pub(crate) hardware: [u8; 6],
    /// Our IPv4 address.
    pub(crate) address: Ipv4Addr,
    /// The length of the prefix of our network.
    pub(crate) prefix: u8,
    /// The largest IP packet, in bytes.
    pub(crate) mtu: usize,
}

impl Link {
    /// Returns whether `address` can be one peer's own address: no broadcast, no multicast, not ours.
    pub(crate) fn is_peer(&self, address: Ipv4Addr) -> bool {
        let octets = address.octets();
        octets[0] != 0 && octets[0] != 127 && octets[0] < 224 && address != self.address && !self.is_broadcast(address)
    }

    /// Returns whether `address` is on our own network.
    pub(crate) fn is_local(&self, address: Ipv4Addr) -> bool {
        (address.to_bits() ^ self.address.to_bits()) & self.mask() == 0
    }

    /// Returns whether `address` is the broadcast address of our network, or of all.
    pub(crate) fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        // Networks of one or two addresses have no broadcast address (RFC 3021).
        address == Ipv4Addr::BROADCAST
            || (self.prefix < 31 && self.is_local(address) && address.to_bits() | self.mask() == u32::MAX)
    }

    fn mask(&self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0)
    }
}

/// An intact UDP datagram for our own address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram<'a> {
    /// The hardware address it came from: the sender's, or its router's.
    pub(crate) hardware: [u8; 6],
    /// The address and port it came from.
    pub(crate) source: SocketAddrV4,
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
        // RFC 768: a checksum of zero means the sender made none.
        if header[6..8] != [0, 0] {
            let sum = pseudo_header(packet.source, link.address, PROTOCOL_UDP, length as u16).add(datagram);
            if !sum.is_intact() {
                return None;
            }
        }
        let port = u16::from_be_bytes([header[0], header[1]]);
        if port == 0 {
            // Nobody to answer to.
            return None;
        }
        Some(Self {
            hardware: packet.hardware,
            source: SocketAddrV4::new(packet.source, port),
            port: u16::from_be_bytes([header[2], header[3]]),
            payload: &datagram[UDP..],
        })
    }
}

/// A request for a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Syn {
    /// Who asks.
    pub(crate) source: SocketAddrV4,
    /// The port asked for.
    pub(crate) port: u16,
    /// Its sequence number, which a repetition keeps.
    pub(crate) sequence: u32,
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
            source: SocketAddrV4::new(packet.source, u16::from_be_bytes([header[0], header[1]])),
            port: u16::from_be_bytes([header[2], header[3]]),
            sequence: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        })
    }
}

/// Returns whether the frame is an IPv4 fragment that would reach beyond the longest packet there can be.
///
/// No honest host sends one; assembled, it would exceed what 16-bit lengths can state.
pub(crate) fn is_overlong_fragment(frame: &[u8]) -> bool {
    let Some((header, _)) = frame.get(ETHERNET..).and_then(|ip| ip.split_first_chunk::<IPV4>()) else { return false };
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let offset = usize::from(u16::from_be_bytes([header[6] & 0x1f, header[7]])) * 8;
    frame[12..14] == [8, 0] && offset + length > usize::from(u16::MAX)
}

/// Returns whether the frame is an IPv4 packet sent to a group that only makes sense sent to one host.
///
/// A TCP segment to a group must be ignored, and an echo request may be (RFC 1122 §4.2.3.10, §3.2.2.6): answering
/// would make us somebody's amplifier.
pub(crate) fn is_misdirected(frame: &[u8]) -> bool {
    frame.get(23).is_some_and(|protocol| frame[0] & 1 != 0 && frame[12..14] == [8, 0] && *protocol != PROTOCOL_UDP)
}

/// An intact IPv4 packet for us, whole.
struct Packet<'a> {
    hardware: [u8; 6],
    source: Ipv4Addr,
    body: &'a [u8],
}

impl<'a> Packet<'a> {
    #[inline]
    fn parse(frame: &'a [u8], link: &Link, protocol: u8) -> Option<Self> {
        let (header, _) = frame.split_first_chunk::<{ ETHERNET + IPV4 }>()?;
        // Compared whole: a broadcast or multicast frame is not for us alone. So is a group as source.
        if header[..6] != link.hardware || header[6] & 1 != 0 || header[12..14] != [8, 0] {
            return None;
        }
        let version = header[14];
        let header_length = usize::from(version & 0xf) * 4;
        let total = usize::from(u16::from_be_bytes([header[16], header[17]]));
        let fragment = u16::from_be_bytes([header[20], header[21]]);
        const MORE_FRAGMENTS_OR_OFFSET: u16 = 0x3fff;
        if version >> 4 != 4
            || header_length < IPV4
            || total < header_length
            || fragment & MORE_FRAGMENTS_OR_OFFSET != 0
            || header[23] != protocol
            || header[30..34] != link.address.octets()
        {
            return None;
        }
        // The frame may be longer than the packet: Ethernet pads short ones.
        let packet = frame[ETHERNET..].get(..total)?;
        if !Sum::default().add(&packet[..header_length]).is_intact() {
            return None;
        }
        let source = Ipv4Addr::new(header[26], header[27], header[28], header[29]);
        if !link.is_peer(source) {
            return None;
        }
        let hardware = [header[6], header[7], header[8], header[9], header[10], header[11]];
        Some(Self { hardware, source, body: &packet[header_length..] })
    }
}

/// Returns the longest reply that goes into one packet on `link`.
pub(crate) fn reply_limit(link: &Link) -> usize {
    link.mtu - IPV4 - UDP
}

/// Writes the headers of the reply to `datagram`, whose `length` bytes of payload stand in `out` behind
/// [`REPLY_HEADERS`] bytes. Returns the length of the frame; nothing when `out` is too short or the reply too long.
pub(crate) fn write_reply(out: &mut [u8], datagram: &Datagram, link: &Link, length: usize) -> Option<usize> {
    let frame = out.get_mut(..REPLY_HEADERS + length)?;
    if length > reply_limit(link) {
        return None;
    }
    let (header, payload) = frame.split_first_chunk_mut::<REPLY_HEADERS>()?;
    let udp_length = (UDP + length) as u16;
    header[..6].copy_from_slice(&datagram.hardware);
    header[6..12].copy_from_slice(&link.hardware);
    header[12..14].copy_from_slice(&[8, 0]);
    // No options; DF set, so the packet is atomic and its identification means nothing (RFC 6864 §4.1).
    header[14..16].copy_from_slice(&[0x45, 0]);
    header[16..18].copy_from_slice(&(udp_length + IPV4 as u16).to_be_bytes());
    header[18..22].copy_from_slice(&[0, 0, 0x40, 0]);
    header[22..26].copy_from_slice(&[TIME_TO_LIVE, PROTOCOL_UDP, 0, 0]);
    header[26..30].copy_from_slice(&link.address.octets());
    header[30..34].copy_from_slice(&datagram.source.ip().octets());
    let sum = Sum::default().add(&header[14..34]).finish();
    header[24..26].copy_from_slice(&sum);

    header[34..36].copy_from_slice(&datagram.port.to_be_bytes());
    header[36..38].copy_from_slice(&datagram.source.port().to_be_bytes());
    header[38..40].copy_from_slice(&udp_length.to_be_bytes());
    header[40..42].copy_from_slice(&[0, 0]);
    let sum = pseudo_header(link.address, *datagram.source.ip(), PROTOCOL_UDP, udp_length)
        .add(&header[34..42])
        .add(payload)
        .finish();
    // RFC 768: a computed zero is sent as its other form, since zero means "none".
    header[40..42].copy_from_slice(if sum == [0, 0] { &[0xff, 0xff] } else { &sum });
    Some(REPLY_HEADERS + length)
}

/// Writes an ARP announcement of our own address (RFC 5227 §2.3), so that neighbours forget who had it before.
pub(crate) fn write_announcement(out: &mut [u8], link: &Link) -> Option<usize> {
    const LENGTH: usize = 42;
    let frame = out.get_mut(..LENGTH)?;
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&link.hardware);
    frame[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame[22..28].copy_from_slice(&link.hardware);
    frame[28..32].copy_from_slice(&link.address.octets());
    frame[32..38].fill(0);
    frame[38..42].copy_from_slice(&link.address.octets());
    Some(LENGTH)
}

/// Sums the pseudo header of UDP and TCP (RFC 768, RFC 9293 §3.1).
fn pseudo_header(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, length: u16) -> Sum {
    Sum::default().add(&source.octets()).add(&destination.octets()).add_word(protocol.into()).add_word(length)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::*;
    use std::vec::Vec;

    pub(crate) const LINK: Link = Link {
        hardware: [0x52, 0x54, 0, 0x12, 0x34, 0x56],
        address: Ipv4Addr::new(10, 0, 2, 15),
        prefix: 24,
        mtu: 1500,
    };
    const PEER: [u8; 6] = [2, 0, 0, 0, 0, 9];

    /// A UDP frame from 10.0.2.2:4321 to port 53 of ours, built by the stack's own emitters.
    pub(crate) fn query(payload: &[u8]) -> Vec<u8> {
        let (source, target) = (Ipv4Addr::new(10, 0, 2, 2), LINK.address);
        let udp = UdpRepr { src_port: 4321, dst_port: 53 };
        let ip = Ipv4Repr {
            src_addr: source,
            dst_addr: target,
            next_header: IpProtocol::Udp,
            payload_len: 8 + payload.len(),
            hop_limit: 64,
        };
        let mut frame = vec![0; 42 + payload.len()];
        let mut ethernet = EthernetFrame::new_unchecked(&mut frame);
        ethernet.set_dst_addr(EthernetAddress(LINK.hardware));
        ethernet.set_src_addr(EthernetAddress(PEER));
        ethernet.set_ethertype(EthernetProtocol::Ipv4);
        ip.emit(&mut Ipv4Packet::new_unchecked(&mut frame[14..]), &ChecksumCapabilities::default());
        let mut packet = UdpPacket::new_unchecked(&mut frame[34..]);
        let fill = |bytes: &mut [u8]| bytes.copy_from_slice(payload);
        udp.emit(&mut packet, &source.into(), &target.into(), payload.len(), fill, &ChecksumCapabilities::default());
        frame
    }

    fn fix_ip_checksum(frame: &mut [u8]) {
        Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
    }

    #[test]
    fn datagram_for_us() {
        let frame = query(b"hello");
        let datagram = Datagram::parse(&frame, &LINK).unwrap();
        assert_eq!(datagram.source, SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 2), 4321));
        assert_eq!((datagram.port, datagram.payload, datagram.hardware), (53, &b"hello"[..], PEER));
    }

    #[test]
    fn padding_and_options_are_no_payload() {
        let mut frame = query(b"hi");
        frame.extend([0; 16]);
        assert_eq!(Datagram::parse(&frame, &LINK).unwrap().payload, b"hi");
        let mut frame = query(b"hi");
        frame.splice(34..34, [1, 1, 1, 0]);
        frame[14] = 0x46;
        frame[17] += 4;
        fix_ip_checksum(&mut frame);
        assert_eq!(Datagram::parse(&frame, &LINK).unwrap().payload, b"hi");
    }

    #[test]
    fn what_is_not_for_us_alone_is_left() {
        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut frame = query(b"hello");
            change(&mut frame);
            Datagram::parse(&frame, &LINK).is_some()
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
    fn broadcast_addresses_of_networks() {
        assert!(LINK.is_broadcast(Ipv4Addr::new(10, 0, 2, 255)));
        assert!(!LINK.is_broadcast(Ipv4Addr::new(10, 0, 3, 255)));
        assert!(!Link { prefix: 31, ..LINK }.is_broadcast(Ipv4Addr::new(10, 0, 2, 255)));
        assert!(Link { prefix: 0, ..LINK }.is_local(Ipv4Addr::new(1, 2, 3, 4)));
        assert!(!Link { prefix: 32, ..LINK }.is_local(Ipv4Addr::new(10, 0, 2, 14)));
    }

    #[test]
    fn syn_and_nothing_else() {
        let mut frame = query(&[0; 12]);
        frame[23] = 6;
        frame[46] = 0x50;
        fix_ip_checksum(&mut frame);
        for flags in 0..=255u8 {
            frame[47] = flags;
            assert_eq!(Syn::parse(&frame, &LINK).is_some(), flags & 0x17 == 2, "{flags:#x}");
        }
        frame[47] = 2;
        let syn = Syn::parse(&frame, &LINK).unwrap();
        assert_eq!((syn.source.port(), syn.port), (4321, 53));
    }

    #[test]
    fn overlong_fragments() {
        let mut frame = query(b"hello");
        assert!(!is_overlong_fragment(&frame));
        frame[20..22].copy_from_slice(&[0x1f, 0xff]);
        assert!(is_overlong_fragment(&frame));
        assert!(!is_overlong_fragment(&frame[..20]));
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
    }

    #[test]
    fn announcement_is_arp() {
        let mut out = [0; 64];
        let length = write_announcement(&mut out, &LINK).unwrap();
        let packet = ArpPacket::new_checked(&out[14..length]).unwrap();
        let ArpRepr::EthernetIpv4 { operation, source_protocol_addr, target_protocol_addr, .. } =
            ArpRepr::parse(&packet).unwrap()
        else {
            panic!("not IPv4 over Ethernet")
        };
        assert_eq!(operation, ArpOperation::Request);
        assert_eq!((source_protocol_addr, target_protocol_addr), (LINK.address, LINK.address));
    }

    proptest! {
        #[test]
        fn replies_are_what_the_stack_would_parse(
            payload in proptest::collection::vec(any::<u8>(), 0..=1472), asked in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let frame = query(&asked);
            let datagram = Datagram::parse(&frame, &LINK).unwrap();
            let mut out = [0xaa; 2048];
            out[REPLY_HEADERS..REPLY_HEADERS + payload.len()].copy_from_slice(&payload);
            let length = write_reply(&mut out, &datagram, &LINK, payload.len()).unwrap();
            let ethernet = EthernetFrame::new_checked(&out[..length]).unwrap();
            prop_assert_eq!(ethernet.dst_addr(), EthernetAddress(PEER));
            let checks = ChecksumCapabilities::default();
            let packet = Ipv4Packet::new_checked(ethernet.payload()).unwrap();
            let ip = Ipv4Repr::parse(&packet, &checks).unwrap();
            let udp = UdpPacket::new_checked(packet.payload()).unwrap();
            let repr = UdpRepr::parse(&udp, &ip.src_addr.into(), &ip.dst_addr.into(), &checks).unwrap();
            prop_assert_eq!((repr.src_port, repr.dst_port), (53, 4321));
            prop_assert_eq!((ip.src_addr, ip.dst_addr), (LINK.address, Ipv4Addr::new(10, 0, 2, 2)));
            prop_assert_eq!(udp.payload(), &payload[..]);
            prop_assert_ne!(udp.checksum(), 0);
            prop_assert!(packet.dont_frag());
        }

        #[test]
        fn garbage_and_truncated_frames_are_survived(
            garbage in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..60, value in any::<u8>(), cut in 0usize..60,
        ) {
            let _ = Datagram::parse(&garbage, &LINK);
            let _ = Syn::parse(&garbage, &LINK);
            let _ = is_overlong_fragment(&garbage);
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
        let _ = Datagram::parse(frame, &LINK);
        let _ = Syn::parse(frame, &LINK);
    }
}
