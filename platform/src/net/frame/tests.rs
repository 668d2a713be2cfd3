//! Frames taken apart and put together, compared with smoltcp.

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
    link.set(&super::super::link::Setting { addresses, ..Default::default() });
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
    fn any_octets_never_panic(
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
