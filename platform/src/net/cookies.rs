//! SYN cookies (RFC 4987 §3.6): no state for a connection until the peer has proved that it receives our packets.
//!
//! While half-open connections crowd a listener, a SYN is answered by a SYN-ACK whose sequence number is a cookie: a keyed
//! hash of both ends, the peer's sequence number and the time. Nothing is kept. A client that acknowledges the cookie has
//! received it, however many SYNs others forge and however often they repeat them. The stack is then given a SYN made up
//! here, its SYN-ACK is discarded, and its sequence numbers are shifted on the wire to match the cookie (`sequence`).
//!
//! Of the SYN's options only the segment size survives, rounded down to one of eight. These connections use neither window
//! scaling nor selective acknowledgements; our SYN-ACK offers none.
//!
//! 28 bits of a cookie are the hash, so a guessed acknowledgement is accepted with probability 2^-28 and costs us one hash
//! to reject. A cookie is valid for 64 to 128 seconds. The key is replaced when the machine is resumed from a snapshot.

use alloc::vec::Vec;
use core::hash::{Hash as _, Hasher as _};
use core::net::SocketAddr;

use siphasher::sip::SipHasher24;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

use super::buffers::ACCEPTED_RECEIVE;
use super::frame::{PROTOCOL_TCP, Packet};
use super::link::Link;
use super::machine::{Nanos, SECOND};
use super::neighbors::Hardware;
use super::sequence;

/// The length of a time slot. A cookie is valid in the slot it was made in and in the next.
const SLOT: Nanos = 64 * SECOND;
/// The segment sizes a cookie can encode, in octets, ascending.
const SIZES: [u16; 8] = [64, 256, 536, 1024, 1220, 1360, 1440, 1460];
/// The bits of a cookie that are not hashed: the index of the segment size, and above it the lowest bit of the slot.
const SIZE_BITS: u32 = 3;
const OPEN_BITS: u32 = SIZE_BITS + 1;
/// The segment size of a peer that does not state one, in octets (RFC 9293 §3.7.1).
const SIZE_UNSTATED: u16 = 536;
const SIZE_UNSTATED_V6: u16 = 1220;
const HOPS: u8 = 64;

/// Makes and checks cookies.
pub(super) struct Cookies {
    key: SipHasher24,
    /// When the last cookie was issued.
    issued: Option<Nanos>,
}

impl Cookies {
    pub(super) fn new(random: fn(&mut [u8])) -> Self {
        Self { key: sequence::secret(random), issued: None }
    }

    /// Replaces the key, which invalidates all cookies.
    pub(super) fn renew(&mut self, random: fn(&mut [u8])) {
        *self = Self::new(random);
    }

    /// Returns whether a cookie that is still valid may have been issued.
    pub(super) fn may_be_valid(&self, now: Nanos) -> bool {
        self.issued.is_some_and(|issued| now.saturating_sub(issued) < 2 * SLOT)
    }

    /// Makes the cookie that answers a SYN.
    pub(super) fn make(&mut self, syn: &Opening, now: Nanos) -> u32 {
        self.issued = Some(now);
        let size = SIZES.iter().rposition(|size| *size <= syn.size).unwrap_or(0);
        self.cookie(syn.ends, syn.sequence, size as u32, now / SLOT)
    }

    /// Returns the peer's segment size if `cookie` is valid for a SYN between `ends` with this sequence number.
    pub(super) fn check(&self, ends: (SocketAddr, SocketAddr), sequence: u32, cookie: u32, now: Nanos) -> Option<u16> {
        let current = now / SLOT;
        let same = u64::from(cookie >> SIZE_BITS & 1) == current & 1;
        let slot = if same { current } else { current.checked_sub(1)? };
        let size = cookie & ((1 << SIZE_BITS) - 1);
        (self.cookie(ends, sequence, size, slot) == cookie).then_some(SIZES[size as usize])
    }

    fn cookie(&self, ends: (SocketAddr, SocketAddr), sequence: u32, size: u32, slot: u64) -> u32 {
        let mut hasher = self.key;
        (ends, sequence, size, slot).hash(&mut hasher);
        (hasher.finish() as u32) << OPEN_BITS | ((slot & 1) as u32) << SIZE_BITS | size
    }
}

/// The contents of a SYN that matter.
pub(super) struct Opening {
    /// Our end and the peer's end.
    pub(super) ends: (SocketAddr, SocketAddr),
    pub(super) sequence: u32,
    /// The peer's segment size, in octets: stated or the default.
    pub(super) size: u16,
    pub(super) window: u16,
}

impl Opening {
    /// Returns the IP packet with the SYN.
    pub(super) fn syn(&self) -> Vec<u8> {
        let (own, peer) = self.ends;
        segment(peer, own, TcpControl::Syn, self.sequence, None, (self.window, self.size))
    }

    /// Returns the IP packet with the SYN-ACK that carries the cookie and our segment size.
    pub(super) fn answer(&self, cookie: u32, size: u16) -> Vec<u8> {
        let (own, peer) = self.ends;
        let next = self.sequence.wrapping_add(1);
        segment(own, peer, TcpControl::Syn, cookie, Some(next), (ACCEPTED_RECEIVE as u16, size))
    }
}

/// Returns an IP packet with a TCP segment that has no data and only the segment size option.
fn segment(
    from: SocketAddr,
    to: SocketAddr,
    control: TcpControl,
    sequence: u32,
    acknowledgement: Option<u32>,
    (window, size): (u16, u16),
) -> Vec<u8> {
    let number = |number: u32| TcpSeqNumber(number as i32);
    let tcp = TcpRepr {
        src_port: from.port(),
        dst_port: to.port(),
        control,
        seq_number: number(sequence),
        ack_number: acknowledgement.map(number),
        window_len: window,
        window_scale: None,
        max_seg_size: Some(size),
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let sums = ChecksumCapabilities::default();
    let (from, to) = (from.ip().into(), to.ip().into());
    let ip = IpRepr::new(from, to, IpProtocol::Tcp, tcp.buffer_len(), HOPS);
    let mut packet = alloc::vec![0; ip.buffer_len()];
    ip.emit(&mut packet, &sums);
    tcp.emit(&mut TcpPacket::new_unchecked(&mut packet[ip.header_len()..]), &from, &to, &sums);
    packet
}

/// A received TCP segment.
pub(super) struct Segment<'a> {
    packet: Packet<'a>,
    tcp: TcpPacket<&'a [u8]>,
}

impl<'a> Segment<'a> {
    /// Parses a unicast frame to us. [`opening`](Self::opening) and [`proof`](Self::proof) verify the TCP checksum.
    pub(super) fn parse(frame: &'a [u8], link: &Link) -> Option<Self> {
        let packet = Packet::parse(frame, link, PROTOCOL_TCP)?;
        let tcp = TcpPacket::new_checked(packet.body).ok()?;
        Some(Self { packet, tcp })
    }

    /// Returns the source hardware address.
    pub(super) fn hardware(&self) -> Hardware {
        self.packet.hardware
    }

    /// Returns our end and the peer's end.
    pub(super) fn ends(&self) -> (SocketAddr, SocketAddr) {
        let own = SocketAddr::new(self.packet.destination, self.tcp.dst_port());
        (own, SocketAddr::new(self.packet.source, self.tcp.src_port()))
    }

    /// Returns its contents if it is an intact SYN.
    pub(super) fn opening(&self) -> Option<Opening> {
        let repr = self.repr()?;
        (repr.control == TcpControl::Syn && repr.ack_number.is_none()).then_some(())?;
        let unstated = if self.packet.source.is_ipv4() { SIZE_UNSTATED } else { SIZE_UNSTATED_V6 };
        let size = repr.max_seg_size.filter(|size| *size != 0).unwrap_or(unstated);
        Some(Opening { ends: self.ends(), sequence: repr.seq_number.0 as u32, size, window: repr.window_len })
    }

    /// Returns whether it can acknowledge a SYN-ACK.
    pub(super) fn acknowledges(&self) -> bool {
        self.tcp.ack() && !self.tcp.syn() && !self.tcp.rst()
    }

    /// Returns the sequence numbers of the SYN and the SYN-ACK that preceded it, and its window, if it is intact.
    pub(super) fn proof(&self) -> Option<(u32, u32, u16)> {
        let repr = self.repr()?;
        let acknowledged = repr.ack_number?;
        let before = |number: TcpSeqNumber| (number.0 as u32).wrapping_sub(1);
        Some((before(repr.seq_number), before(acknowledged), repr.window_len))
    }

    fn repr(&self) -> Option<TcpRepr<'a>> {
        let (from, to) = (self.packet.source.into(), self.packet.destination.into());
        TcpRepr::parse(&self.tcp, &from, &to, &ChecksumCapabilities::default()).ok()
    }
}

/// Returns the sequence number of a SYN-ACK.
pub(super) fn initial_number(packet: &[u8]) -> Option<u32> {
    let tcp = TcpPacket::new_checked(packet.get(super::frame::tcp_offset(packet)?..)?).ok()?;
    (tcp.syn() && tcp.ack()).then_some(tcp.seq_number().0 as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cookies(fill: u8) -> Cookies {
        const FILL: [fn(&mut [u8]); 2] = [|out| out.fill(1), |out| out.fill(2)];
        Cookies::new(FILL[usize::from(fill)])
    }

    fn opening(v6: bool, port: u16, sequence: u32, size: u16) -> Opening {
        let (own, peer) = if v6 { ("[2001:db8::f]:53", "2001:db8::2") } else { ("10.0.2.15:53", "10.0.2.2") };
        let peer = SocketAddr::new(peer.parse().unwrap(), port);
        Opening { ends: (own.parse().unwrap(), peer), sequence, size, window: 1000 }
    }

    proptest! {
        #[test]
        fn a_cookie_holds_for_one_to_two_slots(
            v6 in any::<bool>(), port in any::<u16>(), sequence in any::<u32>(), size in any::<u16>(),
            made in 0..1000 * SLOT, later in 0..3 * SLOT, other in 1u32..,
        ) {
            let mut cookies = cookies(0);
            let syn = opening(v6, port, sequence, size);
            let cookie = cookies.make(&syn, made);
            let told = cookies.check(syn.ends, sequence, cookie, made + later);
            if (made + later) / SLOT - made / SLOT <= 1 {
                let told = told.unwrap();
                prop_assert!(SIZES.contains(&told) && (told <= size || told == SIZES[0]));
                prop_assert!(SIZES.iter().all(|better| *better <= told || *better > size));
            } else {
                prop_assert_eq!(told, None);
            }
            prop_assert_eq!(cookies.check(syn.ends, sequence.wrapping_add(other), cookie, made), None);
            let another = opening(v6, port ^ 1, sequence, size);
            prop_assert_eq!(cookies.check(another.ends, sequence, cookie, made), None);
            cookies.renew(|out| out.fill(2));
            prop_assert_eq!(cookies.check(syn.ends, sequence, cookie, made), None);
        }
    }

    #[test]
    fn guesses_do_not_hold() {
        let cookies = cookies(1);
        let ends = opening(false, 4000, 0, 0).ends;
        let mut guess = 1u32;
        let held = (0..1 << 20).filter(|_| {
            guess = guess.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            cookies.check(ends, 7, guess, SLOT).is_some()
        });
        assert_eq!(held.count(), 0, "of a million, where one of 2^28 does");
    }

    #[test]
    fn cookies_may_be_valid_for_two_slots() {
        let mut cookies = cookies(0);
        assert!(!cookies.may_be_valid(0));
        cookies.make(&opening(false, 1, 1, 1), 5);
        assert!(cookies.may_be_valid(5 + 2 * SLOT - 1) && !cookies.may_be_valid(5 + 2 * SLOT));
    }
}
