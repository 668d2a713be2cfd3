//! What ICMP says of packets we sent (RFC 792, RFC 4443), told to the sockets they came from.
//!
//! Anybody can send such a message, so it counts only when the packet it quotes can be one of ours: from an address of
//! ours, and of a socket that talks to that peer. As on Linux it ends an attempt to connect and is an error of a
//! connected datagram socket; established connections ignore it (RFC 5927 §5).

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::errno::Errno;
use super::frame::{IPV4, IPV6, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP, Packet, address_v6, pseudo_header};
use super::link::Link;
use super::outbound::{FRAGMENT, PROTOCOL_FRAGMENT};
use super::socket::{Kind, overlap};
use super::stack::Stack;
use crate::drivers::checksum::Sum;

const PROTOCOL_ICMP: u8 = 1;
/// Bytes of an ICMP header.
const ICMP: usize = 8;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Whether the packet was a TCP segment; else it was a UDP datagram.
    tcp: bool,
    own: SocketAddr,
    peer: SocketAddr,
    says: Says,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// It did not get there, for this reason.
    Failed(Errno),
    /// It is longer than this, which the way to the peer carries. (Over IPv4 we let routers fragment.)
    TooBig(usize),
}

impl Message {
    /// Reads a frame; nothing when it is no intact message about a packet of ours.
    pub(super) fn parse(frame: &[u8], link: &Link) -> Option<Self> {
        if let Some(packet) = Packet::parse(frame, link, PROTOCOL_ICMP) {
            let says = says_v4(packet.body)?;
            return Sum::default().add(packet.body).is_intact().then(|| quoted_v4(&packet.body[ICMP..], says, link))?;
        }
        let packet = Packet::parse(frame, link, PROTOCOL_ICMPV6)?;
        let says = says_v6(packet.body)?;
        let sum = pseudo_header(packet.source, packet.destination, PROTOCOL_ICMPV6, packet.body.len()).add(packet.body);
        sum.is_intact().then(|| quoted_v6(&packet.body[ICMP..], says, link))?
    }
}

fn says_v4(body: &[u8]) -> Option<Says> {
    let (header, _) = body.split_first_chunk::<ICMP>()?;
    Some(Says::Failed(match (header[0], header[1]) {
        (3, 0 | 6 | 9 | 11) => Errno::NETUNREACH,
        (3, 2 | 3) => Errno::CONNREFUSED,
        (3, 4) => return None,
        (3, _) | (11, 0) => Errno::HOSTUNREACH,
        _ => return None,
    }))
}

fn says_v6(body: &[u8]) -> Option<Says> {
    let (header, _) = body.split_first_chunk::<ICMP>()?;
    Some(match (header[0], header[1]) {
        (1, 0) => Says::Failed(Errno::NETUNREACH),
        (1, 1 | 5 | 6) => Says::Failed(Errno::ACCES),
        (1, 4) => Says::Failed(Errno::CONNREFUSED),
        (1, _) | (3, 0) => Says::Failed(Errno::HOSTUNREACH),
        (2, _) => Says::TooBig(u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize),
        _ => return None,
    })
}

fn quoted_v4(packet: &[u8], says: Says, link: &Link) -> Option<Message> {
    let (header, _) = packet.split_first_chunk::<IPV4>()?;
    let first = header[6] & 0x1f == 0 && header[7] == 0;
    let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]).into();
    let body = packet.get(usize::from(header[0] & 15) * 4..)?;
    (header[0] >> 4 == 4 && first).then(|| quoted(header[9], address(12), address(16), body, says, link))?
}

fn quoted_v6(packet: &[u8], says: Says, link: &Link) -> Option<Message> {
    let (header, body) = packet.split_first_chunk::<IPV6>()?;
    let (source, destination) = (address_v6(&header[8..24])?, address_v6(&header[24..40])?);
    let (protocol, body) = match (header[6], body.split_first_chunk::<FRAGMENT>()) {
        (PROTOCOL_FRAGMENT, Some((extension, body))) => {
            let first = u16::from_be_bytes([extension[2], extension[3]]) & !7 == 0;
            (extension[0], first.then_some(body)?)
        }
        (protocol, _) => (protocol, body),
    };
    (header[0] >> 4 == 6).then(|| quoted(protocol, source, destination, body, says, link))?
}

fn quoted(protocol: u8, source: IpAddr, destination: IpAddr, body: &[u8], says: Says, link: &Link) -> Option<Message> {
    let ports = body.first_chunk::<4>()?;
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    let known = matches!(protocol, PROTOCOL_TCP | PROTOCOL_UDP) && link.is_own(source) && link.is_peer(destination);
    known.then_some(Message {
        tcp: protocol == PROTOCOL_TCP,
        own: SocketAddr::new(source, port(0)),
        peer: SocketAddr::new(destination, port(2)),
        says,
    })
}

impl Stack {
    /// Tells the socket a message is about.
    pub(super) fn hear(&mut self, message: &Message) {
        let Message { tcp, own, peer, says } = *message;
        match says {
            // Datagrams are never too big for a path: `outbound` sees to that.
            Says::TooBig(mtu) => {
                if let IpAddr::V6(destination) = peer.ip()
                    && tcp
                    && self.has_connection(own, peer)
                {
                    let now = self.now();
                    self.outbound.narrow(destination, mtu, now);
                }
            }
            Says::Failed(error) if tcp => self.fail_attempt(own, peer, error),
            Says::Failed(error) => {
                for record in self.records.iter_mut().flatten() {
                    if let Kind::Datagram(datagram) = &record.kind
                        && datagram.peer == Some(peer)
                        && record.bound.is_some_and(|bound| overlap(bound, own))
                    {
                        record.error = Some(error);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::{ADDRESS, ADDRESS_V6, link, query, query_v6};
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const OWN: &str = "10.0.2.15:4000";
    const OWN_V6: &str = "[2001:db8::f]:4000";

    /// A message over IPv4 about a datagram or segment from our port 4000 to 10.0.2.9:53.
    pub(crate) fn message(kind: u8, code: u8, protocol: u8) -> Vec<u8> {
        let mut quoted = query(b"what was sent")[14..].to_vec();
        quoted[9] = protocol;
        quoted[12..16].copy_from_slice(&ADDRESS.octets());
        quoted[16..20].copy_from_slice(&[10, 0, 2, 9]);
        quoted[20..22].copy_from_slice(&4000u16.to_be_bytes());
        let mut frame = query(&quoted);
        frame[23] = PROTOCOL_ICMP;
        smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
        frame[34..42].copy_from_slice(&[kind, code, 0, 0, 0, 0, 0, 0]);
        let sum = Sum::default().add(&frame[34..]).finish();
        frame[36..38].copy_from_slice(&sum);
        frame
    }

    /// The same over IPv6, to \[2001:db8::9\]:53, with the MTU it tells.
    pub(crate) fn message_v6(kind: u8, code: u8, mtu: u32, protocol: u8) -> Vec<u8> {
        let mut quoted = query_v6(b"what was sent")[14..].to_vec();
        quoted[6] = protocol;
        quoted[8..24].copy_from_slice(&ADDRESS_V6.octets());
        quoted[24..40].copy_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        quoted[40..42].copy_from_slice(&4000u16.to_be_bytes());
        let mut frame = query_v6(&quoted);
        frame[20] = PROTOCOL_ICMPV6;
        frame[54..58].copy_from_slice(&[kind, code, 0, 0]);
        frame[58..62].copy_from_slice(&mtu.to_be_bytes());
        let peer = address_v6(&frame[22..38]).unwrap();
        let length = frame.len() - 54;
        let sum = pseudo_header(peer, ADDRESS_V6.into(), PROTOCOL_ICMPV6, length).add(&frame[54..]).finish();
        frame[56..58].copy_from_slice(&sum);
        frame
    }

    #[test]
    fn what_messages_say() {
        let expect = |frame: &[u8], tcp, own: &str, peer: &str, says| {
            let expected = Message { tcp, own: own.parse().unwrap(), peer: peer.parse().unwrap(), says };
            assert_eq!(Message::parse(frame, &link()), Some(expected));
        };
        let failed = |error| Says::Failed(error);
        expect(&message(3, 3, 17), false, OWN, "10.0.2.9:53", failed(Errno::CONNREFUSED));
        expect(&message(3, 1, 6), true, OWN, "10.0.2.9:53", failed(Errno::HOSTUNREACH));
        expect(&message(3, 0, 6), true, OWN, "10.0.2.9:53", failed(Errno::NETUNREACH));
        expect(&message_v6(1, 4, 0, 17), false, OWN_V6, "[2001:db8::9]:53", failed(Errno::CONNREFUSED));
        expect(&message_v6(1, 3, 0, 6), true, OWN_V6, "[2001:db8::9]:53", failed(Errno::HOSTUNREACH));
        expect(&message_v6(2, 0, 1400, 6), true, OWN_V6, "[2001:db8::9]:53", Says::TooBig(1400));
    }

    #[test]
    fn what_says_nothing() {
        for frame in [message(8, 0, 17), message(3, 4, 6), message(3, 3, 1), message_v6(128, 0, 0, 17)] {
            assert_eq!(Message::parse(&frame, &link()), None);
        }
        let mut damaged = message(3, 3, 17);
        damaged[60] ^= 1;
        assert_eq!(Message::parse(&damaged, &link()), None, "the checksum");
        let mut damaged = message_v6(1, 4, 0, 17);
        damaged[100] ^= 1;
        assert_eq!(Message::parse(&damaged, &link()), None, "the checksum");
    }

    proptest! {
        #[test]
        fn any_message_is_survived(at in 34usize..110, bytes in proptest::collection::vec(any::<u8>(), 0..40), v6 in any::<bool>()) {
            let mut frame = if v6 { message_v6(1, 4, 0, 17) } else { message(3, 3, 17) };
            let start = at.min(frame.len());
            frame.truncate(start);
            frame.extend(&bytes);
            let total = frame.len();
            if v6 && total >= 54 {
                frame[18..20].copy_from_slice(&((total - 54) as u16).to_be_bytes());
            } else if !v6 {
                frame[16..18].copy_from_slice(&((total - 14) as u16).to_be_bytes());
                smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
            }
            let _ = Message::parse(&frame, &link());
            let body = &frame[34..];
            let _ = says_v4(body).and_then(|says| quoted_v4(body.get(8..)?, says, &link()));
            let _ = says_v6(body).and_then(|says| quoted_v6(body.get(8..)?, says, &link()));
        }
    }
}
