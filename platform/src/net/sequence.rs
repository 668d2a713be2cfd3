//! Initial sequence numbers that nobody can foretell (RFC 6528).
//!
//! The stack draws them from a generator whose state a few of its numbers give away. So each connection's own numbers
//! are shifted, on the wire, by a secret function of its addresses and ports: what one peer sees says nothing of
//! another's. Only our numbers are, in what we send, and their acknowledgements, in what we receive.

use core::hash::Hasher as _;

use siphasher::sip::SipHasher24;

use super::checksum::Sum;
use super::outbound::tcp_offset;

/// Where the fields stand in a TCP header.
const SEQUENCE: usize = 4;
const ACKNOWLEDGEMENT: usize = 8;
const FLAGS: usize = 13;
const CHECKSUM: usize = 16;
const RST: u8 = 4;
const ACK: u8 = 16;

/// The secret.
pub(super) struct Sequences(SipHasher24);

impl Sequences {
    pub(super) fn new(random: fn(&mut [u8])) -> Self {
        let mut key = [0; 16];
        random(&mut key);
        Self(SipHasher24::new_with_key(&key))
    }

    /// Shifts our numbers in an IP packet of the stack's.
    pub(super) fn hide(&self, packet: &mut [u8]) {
        let Some(at) = tcp_offset(packet) else { return };
        // Of a connection that does not exist the number is zero. Shifted it would tell by how much.
        let none = packet[at + FLAGS] & RST != 0 && packet[at + SEQUENCE..at + SEQUENCE + 4] == [0; 4];
        if !none {
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
        let addresses = if packet[0] >> 4 == 4 { &packet[12..20] } else { &packet[8..40] };
        let (mut own, mut peer) = addresses.split_at(addresses.len() / 2);
        let (mut own_port, mut peer_port) = packet[at..at + 4].split_at(2);
        if received {
            core::mem::swap(&mut own, &mut peer);
            core::mem::swap(&mut own_port, &mut peer_port);
        }
        let mut hasher = self.0;
        for part in [own, peer, own_port, peer_port] {
            hasher.write(part);
        }
        hasher.finish() as u32
    }
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
            let sequences = sequences(0);
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
        fn garbage_is_survived(mut garbage in proptest::collection::vec(any::<u8>(), 0..80), kind in 0usize..3) {
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
    fn refusals_give_nothing_away() {
        let (mut packet, ..) = segment(false, false, 9, RST | ACK, [0, 5]);
        let before = packet.clone();
        sequences(0).hide(&mut packet);
        assert_eq!(packet, before);
    }
}
