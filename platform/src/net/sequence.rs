//! Initial sequence numbers that nobody can foretell (RFC 6528).
//!
//! The stack draws them from a generator whose state a few of its numbers give away. So each connection's own numbers
//! are shifted, on the wire, by a secret function of its addresses and ports: what one peer sees says nothing of
//! another's. Only our numbers are, in what we send, and their acknowledgements, in what we receive.

use alloc::collections::BTreeMap;
use core::hash::Hasher as _;
use core::net::SocketAddr;

use siphasher::sip::SipHasher24;

use super::frame::tcp_offset;
use crate::drivers::checksum::Sum;

/// Where the fields stand in a TCP header.
const SEQUENCE: usize = 4;
const ACKNOWLEDGEMENT: usize = 8;
const FLAGS: usize = 13;
const CHECKSUM: usize = 16;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// The secret, and what is left of earlier ones.
pub(super) struct Sequences {
    secret: SipHasher24,
    /// The shifts of connections that were there when the secret was last replaced, or that began with a cookie.
    kept: BTreeMap<Connection, u32>,
}

/// Our address, the peer's, and both ports in the same order; IPv4 addresses are followed by zeroes.
type Connection = [u8; 36];

impl Sequences {
    pub(super) fn new(random: fn(&mut [u8])) -> Self {
        Self { secret: secret(random), kept: BTreeMap::new() }
    }

    /// Replaces the secret, except for `connections`, each by our end and the peer's.
    pub(super) fn renew(&mut self, random: fn(&mut [u8]), connections: impl Iterator<Item = (SocketAddr, SocketAddr)>) {
        let connections =
            connections.map(|(own, peer)| with_parts(own, peer, |parts| (connection(parts), self.shift_of(parts))));
        self.kept = connections.collect();
        self.secret = secret(random);
    }

    /// Sets the shift of the connection between our end and a peer's.
    pub(super) fn set(&mut self, (own, peer): (SocketAddr, SocketAddr), shift: u32) {
        self.kept.insert(with_parts(own, peer, connection), shift);
    }

    /// Returns how many shifts are kept, including those of connections that have ended.
    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Removes the kept shifts of all but `connections`, each given by our end and the peer's.
    pub(super) fn retain(&mut self, connections: impl Iterator<Item = (SocketAddr, SocketAddr)>) {
        let Self { kept, .. } = self;
        let connections = connections.map(|(own, peer)| with_parts(own, peer, connection));
        *kept = connections.filter_map(|connection| kept.get(&connection).map(|shift| (connection, *shift))).collect();
    }

    /// Shifts our numbers in an IP packet of the stack's.
    pub(super) fn hide(&mut self, packet: &mut [u8]) {
        let Some(at) = tcp_offset(packet) else { return };
        // Of a connection that does not exist the number is zero. Shifted it would tell by how much.
        let none = packet[at + FLAGS] & RST != 0 && packet[at + SEQUENCE..at + SEQUENCE + 4] == [0; 4];
        if !none {
            if packet[at + FLAGS] & SYN != 0 && !self.kept.is_empty() {
                // A new connection between the same ends.
                self.kept.remove(&connection(parts(packet, at, false)));
            }
            let shift = self.shift(packet, at, false);
            add(&mut packet[at..], SEQUENCE, shift);
        }
    }

    /// Shifts what acknowledges our numbers back in an IP packet the stack is to see.
    pub(super) fn reveal(&self, packet: &mut [u8]) {
        let Some(at) = tcp_offset(packet) else { return };
        if packet[at + FLAGS] & ACK != 0 {
            let shift = self.shift(packet, at, true);
            add(&mut packet[at..], ACKNOWLEDGEMENT, shift.wrapping_neg());
        }
    }

    /// Returns by how much the numbers of the packet's connection are shifted: our end comes first in it.
    fn shift(&self, packet: &[u8], at: usize, received: bool) -> u32 {
        self.shift_of(parts(packet, at, received))
    }

    fn shift_of(&self, parts: [&[u8]; 4]) -> u32 {
        if !self.kept.is_empty()
            && let Some(shift) = self.kept.get(&connection(parts))
        {
            return *shift;
        }
        let mut hasher = self.secret;
        for part in parts {
            hasher.write(part);
        }
        hasher.finish() as u32
    }
}

pub(super) fn secret(random: fn(&mut [u8])) -> SipHasher24 {
    let mut key = [0; 16];
    random(&mut key);
    SipHasher24::new_with_key(&key)
}

/// Returns our address, the peer's, our port and the peer's from an IP packet whose TCP header is at `at`.
fn parts(packet: &[u8], at: usize, received: bool) -> [&[u8]; 4] {
    let addresses = if packet[0] >> 4 == 4 { &packet[12..20] } else { &packet[8..40] };
    let (source, destination) = addresses.split_at(addresses.len() / 2);
    let (source_port, destination_port) = packet[at..at + 4].split_at(2);
    if received {
        [destination, source, destination_port, source_port]
    } else {
        [source, destination, source_port, destination_port]
    }
}

/// Calls `f` with our address, the peer's address, our port and the peer's port, each in network byte order.
fn with_parts<R>(own: SocketAddr, peer: SocketAddr, f: impl FnOnce([&[u8]; 4]) -> R) -> R {
    let ports = [own.port().to_be_bytes(), peer.port().to_be_bytes()];
    let octets = |address| match address {
        SocketAddr::V4(end) => end.ip().to_ipv6_mapped().octets(),
        SocketAddr::V6(end) => end.ip().octets(),
    };
    let ends = [octets(own), octets(peer)];
    // The IPv4 address is the end of the mapped one.
    let from = if own.is_ipv4() && peer.is_ipv4() { 12 } else { 0 };
    f([&ends[0][from..], &ends[1][from..], &ports[0], &ports[1]])
}

fn connection(parts: [&[u8]; 4]) -> Connection {
    let mut connection = [0; 36];
    let [own, peer, own_port, peer_port] = parts;
    connection[..own.len()].copy_from_slice(own);
    connection[16..16 + peer.len()].copy_from_slice(peer);
    connection[32..34].copy_from_slice(own_port);
    connection[34..].copy_from_slice(peer_port);
    connection
}

/// Adds to the number at `place` of a TCP header. The checksum follows (RFC 1624), so one that was wrong stays wrong.
fn add(header: &mut [u8], place: usize, shift: u32) {
    let halves = |number: u32| [(number >> 16) as u16, number as u16];
    let before = u32::from_be_bytes([header[place], header[place + 1], header[place + 2], header[place + 3]]);
    let after = before.wrapping_add(shift);
    header[place..place + 4].copy_from_slice(&after.to_be_bytes());
    let sum = u16::from_be_bytes([header[CHECKSUM], header[CHECKSUM + 1]]);
    let mut changed = Sum::default().add_word(!sum);
    for (before, after) in halves(before).into_iter().zip(halves(after)) {
        changed = changed.add_word(!before).add_word(after);
    }
    header[CHECKSUM..CHECKSUM + 2].copy_from_slice(&changed.finish());
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::{ADDRESS, ADDRESS_V6};
    use super::*;
    use proptest::prelude::*;
    use smoltcp::wire::{IpAddress, TcpPacket};
    use std::vec::Vec;

    const PEER: [u8; 4] = [10, 0, 2, 9];

    fn sequences(secret: u8) -> Sequences {
        const FILL: [fn(&mut [u8]); 2] = [|out| out.fill(1), |out| out.fill(2)];
        Sequences::new(FILL[usize::from(secret)])
    }

    /// A segment from us, port 53, to a peer's port, or back.
    fn segment(v6: bool, received: bool, port: u16, flags: u8, numbers: [u32; 2]) -> (Vec<u8>, IpAddress, IpAddress) {
        let (own, peer): (IpAddress, IpAddress) = if v6 {
            (ADDRESS_V6.into(), core::net::Ipv6Addr::LOCALHOST.into())
        } else {
            (ADDRESS.into(), core::net::Ipv4Addr::from(PEER).into())
        };
        let (from, to) = if received { (peer, own) } else { (own, peer) };
        let (mut packet, at) = match (from, to) {
            (IpAddress::Ipv4(from), IpAddress::Ipv4(to)) => {
                let head = [&[0x45, 0, 0, 43, 0, 0, 0, 0, 64, 6, 0, 0][..], &from.octets(), &to.octets()];
                (head.concat(), 20)
            }
            (IpAddress::Ipv6(from), IpAddress::Ipv6(to)) => {
                ([&[0x60, 0, 0, 0, 0, 23, 6, 64][..], &from.octets(), &to.octets()].concat(), 40)
            }
            _ => unreachable!("both are of a family"),
        };
        let ports = if received { [port, 53] } else { [53, port] };
        packet.extend(ports.into_iter().flat_map(u16::to_be_bytes));
        packet.extend(numbers.into_iter().flat_map(u32::to_be_bytes));
        packet.extend([0x50, flags, 1, 0, 0, 0, 0, 0, 7, 8, 9]);
        TcpPacket::new_unchecked(&mut packet[at..]).fill_checksum(&from, &to);
        (packet, from, to)
    }

    proptest! {
        #[test]
        fn what_is_hidden_is_revealed(v6 in any::<bool>(), port in any::<u16>(), sequence in 1u32.., other in any::<u32>()) {
            let mut sequences = sequences(0);
            let at = if v6 { 40 } else { 20 };
            let (mut sent, from, to) = segment(v6, false, port, ACK, [sequence, other]);
            sequences.hide(&mut sent);
            let packet = TcpPacket::new_checked(&sent[at..]).unwrap();
            prop_assert!(packet.verify_checksum(&from, &to));
            prop_assert_eq!(packet.ack_number().0 as u32, other);
            let seen = packet.seq_number().0 as u32;
            let (mut received, from, to) = segment(v6, true, port, ACK, [other, seen]);
            sequences.reveal(&mut received);
            let packet = TcpPacket::new_checked(&received[at..]).unwrap();
            prop_assert!(packet.verify_checksum(&from, &to));
            prop_assert_eq!((packet.ack_number().0 as u32, packet.seq_number().0 as u32), (sequence, other));
        }

        #[test]
        fn any_octets_never_panic(mut garbage in proptest::collection::vec(any::<u8>(), 0..80), kind in 0usize..3) {
            if let (Some(first), Some(version)) = (garbage.first_mut(), [0x45, 0x60, 0x4f].get(kind)) {
                *first = *version;
            }
            sequences(0).hide(&mut garbage);
            sequences(0).reveal(&mut garbage);
        }
    }

    #[test]
    fn every_connection_and_secret_has_its_shift() {
        let shift = |secret, v6, port| {
            let (packet, ..) = segment(v6, false, port, ACK, [1, 1]);
            sequences(secret).shift(&packet, if v6 { 40 } else { 20 }, false)
        };
        let mut shifts: Vec<u32> = (1..100).map(|port| shift(0, port % 2 == 0, port)).collect();
        shifts.push(shift(1, true, 2));
        shifts.sort_unstable();
        shifts.dedup();
        assert_eq!(shifts.len(), 100);
    }

    #[test]
    fn a_new_secret_is_for_new_connections() {
        for v6 in [false, true] {
            let at = if v6 { 40 } else { 20 };
            let mut sequences = sequences(0);
            let shift = |sequences: &Sequences, port| {
                let (sent, ..) = segment(v6, false, port, ACK, [1, 1]);
                let (received, ..) = segment(v6, true, port, ACK, [1, 1]);
                assert_eq!(sequences.shift(&sent, at, false), sequences.shift(&received, at, true));
                sequences.shift(&sent, at, false)
            };
            let before = [7, 8].map(|port| shift(&sequences, port));
            let (_, own, peer) = segment(v6, false, 7, ACK, [1, 1]);
            let connection = (SocketAddr::new(own.into(), 53), SocketAddr::new(peer.into(), 7));
            sequences.renew(|out| out.fill(2), [connection].into_iter());
            assert_eq!(shift(&sequences, 7), before[0]);
            assert_ne!(shift(&sequences, 8), before[1]);
            sequences.renew(|out| out.fill(3), [connection].into_iter());
            assert_eq!(shift(&sequences, 7), before[0], "after another secret");
            let (mut repeated, ..) = segment(v6, false, 7, SYN, [1, 0]);
            sequences.hide(&mut repeated);
            assert_ne!(shift(&sequences, 7), before[0], "another connection between the same ends");
        }
    }

    #[test]
    fn refusals_give_nothing_away() {
        let (mut packet, ..) = segment(false, false, 9, RST | ACK, [0, 5]);
        let before = packet.clone();
        sequences(0).hide(&mut packet);
        assert_eq!(packet, before);
    }
}
