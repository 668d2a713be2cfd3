//! The last step before the device: packets are made to fit the link and the path, and put into frames.
//!
//! The hardware address of a packet's next hop comes from `neighbors`, where the packet waits if it is unresolved.
//!
//! The stack believes in a link that carries its longest datagram. What is longer than the real one carries is cut
//! into fragments here, for both families alike, and the segment size that connections agree on is kept to what fits:
//! in the SYN we send, and in the one we receive before the stack reads it.
//!
//! What a path carries: IPv4 packets of the stack go without DF, so that routers fragment where they must, and nothing
//! depends on messages that firewalls drop. Over IPv6 only senders fragment. "Packet too big" is remembered for a
//! while; new connections then agree on smaller segments, and what is still too long, of connections from before, is
//! cut into fragments. Datagrams never exceed what every path carries (RFC 8200 §5) but in fragments.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::frame::{
    ETHERNET, IPV4, IPV6, LEAST_MTU_V6, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP, TCP, address_v6, tcp_offset,
    write_ethernet,
};
use super::link::Link;
use super::machine::{Machine, Nanos, SECOND};
use super::neighbors::{Hardware, Neighbors};
use super::sequence::Sequences;
use crate::drivers::checksum::Sum;
use crate::drivers::nic::Transmit;

/// The largest IP packet the stack may make.
pub(super) const STACK_MTU: usize = 16 << 10;

/// Bytes of the fragment header (RFC 8200 §4.5).
pub(super) const FRAGMENT: usize = 8;
/// Its protocol number.
pub(super) const PROTOCOL_FRAGMENT: u8 = 44;
const MORE_FRAGMENTS: u16 = 0x2000;

/// The most paths remembered.
const PATHS: usize = 64;
/// How long a path stays narrow (RFC 8201 §5.3 recommends ten minutes).
const AGE: Nanos = 600 * SECOND;

/// The most complaints a second: that nobody listens at a port, or that something is not understood. Who wants to know
/// asks again; who floods us with forged packets has us flood nobody.
const COMPLAINTS: u32 = 100;

const BROADCAST: Hardware = [0xff; 6];

/// Adapts packets and sends them to their next hops.
pub(super) struct Outbound {
    link: Link,
    pub(super) neighbors: Neighbors,
    machine: Machine,
    /// The identification of the next TCP packet over IPv4.
    identification: u16,
    paths: Vec<Path>,
    /// Since when complaints are counted, and how many there were.
    complaints: (Nanos, u32),
    pub(super) sequences: Sequences,
}

/// A path narrower than the link.
struct Path {
    destination: Ipv6Addr,
    mtu: usize,
    until: Nanos,
}

impl Outbound {
    pub(super) fn new(link: Link, machine: Machine) -> Self {
        Self {
            link,
            neighbors: Neighbors::default(),
            machine,
            complaints: (0, 0),
            identification: identification(machine),
            paths: Vec::new(),
            sequences: Sequences::new(machine.random),
        }
    }

    /// Takes over the link's addresses and routers.
    pub(super) fn follow(&mut self, link: &Link, before: &Link) {
        self.link = link.clone();
        self.neighbors.announce(link, before, (self.machine.clock)());
    }

    /// Draws anew what must be another in a copy of the machine; `connections` keep theirs.
    pub(super) fn renew(&mut self, connections: impl Iterator<Item = (SocketAddr, SocketAddr)>) {
        self.identification = identification(self.machine);
        self.sequences.renew(self.machine.random, connections);
    }

    /// Sends an IP packet of `length` bytes that `write` writes, fragmented if necessary, once its next hop is resolved.
    ///
    /// Without a transmit buffer it is lost, as on a congested link.
    pub(super) fn send<R>(
        &mut self,
        transmit: &mut impl Transmit,
        length: usize,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        if length <= self.link.mtu
            && let Some(out) = transmit.buffer()
            && let Some((header, rest)) = out.split_first_chunk_mut::<ETHERNET>()
            && let Some(packet) = rest.get_mut(..length)
        {
            let result = write(packet);
            if is_complaint(packet) && !self.may_complain() {
                return result;
            }
            let limit = self.adapt(packet);
            match self.way(packet) {
                Way::To(hardware) if length <= limit => {
                    write_ethernet(header, hardware, &self.link, is_v6(packet));
                    transmit.send(ETHERNET + length);
                }
                way => {
                    let packet = packet.to_vec();
                    self.send_on(transmit, way, packet, limit);
                }
            }
            return result;
        }
        let mut packet = alloc::vec![0; length];
        let result = write(&mut packet);
        let limit = self.adapt(&mut packet);
        let way = self.way(&packet);
        self.send_on(transmit, way, packet, limit);
        result
    }

    /// Sends a whole IP packet, to `hardware` if given, else to its next hop.
    pub(super) fn send_packet(
        &mut self,
        transmit: &mut impl Transmit,
        mut packet: Vec<u8>,
        hardware: Option<Hardware>,
    ) {
        let limit = self.adapt(&mut packet);
        let way = hardware.map_or_else(|| self.way(&packet), Way::To);
        self.send_on(transmit, way, packet, limit);
    }

    fn send_on(&mut self, transmit: &mut impl Transmit, way: Way, packet: Vec<u8>, limit: usize) {
        match way {
            Way::To(hardware) => self.put(transmit, hardware, &packet, limit),
            Way::By(hop) => self.neighbors.wait(hop, packet, limit, (self.machine.clock)()),
            Way::None => {}
        }
    }

    /// Sends requests to neighbours, and packets that waited for neighbours now resolved; returns whether transmit buffers
    /// ran out.
    pub(super) fn transmit(&mut self, transmit: &mut impl Transmit) -> bool {
        self.neighbors.transmit(&self.link, (self.machine.clock)(), transmit);
        while transmit.buffer().is_some() {
            let Some((hardware, packet, limit)) = self.neighbors.next_ready() else { return false };
            self.put(transmit, hardware, &packet, limit);
        }
        self.neighbors.is_ready()
    }

    /// Returns the next hop of an IP packet.
    fn way(&mut self, packet: &[u8]) -> Way {
        let Some(destination) = destination(packet) else { return Way::None };
        if self.link.is_broadcast(destination) {
            return Way::To(BROADCAST);
        }
        // A forged source may be our own address.
        if self.link.is_own(destination) {
            return Way::None;
        }
        let Some(hop) = self.link.next_hop(destination) else { return Way::None };
        let known = self.neighbors.find(hop, (self.machine.clock)());
        known.map_or(Way::By(hop), Way::To)
    }

    /// Sends an IP packet to a hardware address, fragmented if it is longer than `limit`.
    pub(super) fn put(&self, transmit: &mut impl Transmit, hardware: Hardware, packet: &[u8], limit: usize) {
        let mut ethernet = [0; ETHERNET];
        write_ethernet(&mut ethernet, hardware, &self.link, is_v6(packet));
        if packet.len() > limit {
            if is_v6(packet) {
                fragment_v6(transmit, &ethernet, packet, limit, self.random());
            } else {
                fragment_v4(transmit, &ethernet, packet, limit);
            }
        } else if let Some(frame) = transmit.buffer().and_then(|out| out.get_mut(..ETHERNET + packet.len())) {
            frame[..ETHERNET].copy_from_slice(&ethernet);
            frame[ETHERNET..].copy_from_slice(packet);
            transmit.send(ETHERNET + packet.len());
        }
    }

    /// Counts a complaint; returns whether it may be made (RFC 4443 §2.4 (f)).
    fn may_complain(&mut self) -> bool {
        let now = (self.machine.clock)();
        if now.saturating_sub(self.complaints.0) >= SECOND {
            self.complaints = (now, 0);
        }
        self.complaints.1 += 1;
        self.complaints.1 <= COMPLAINTS
    }

    /// Notes that the path to `destination` carries packets of `mtu` bytes at most. What no IPv6 path can be is not
    /// believed (RFC 8201 §4).
    pub(super) fn narrow(&mut self, destination: Ipv6Addr, mtu: usize, now: Nanos) {
        if mtu >= self.link.mtu {
            return;
        }
        let mtu = mtu.max(LEAST_MTU_V6);
        self.paths.retain(|path| path.until > now && path.destination != destination);
        if self.paths.len() >= PATHS {
            self.paths.remove(0);
        }
        self.paths.push(Path { destination, mtu, until: now + AGE });
    }

    /// Forgets the paths whose time is over.
    pub(super) fn expire(&mut self, now: Nanos) {
        self.paths.retain(|path| path.until > now);
    }

    /// Returns the largest packet the path to `destination` carries, as far as is known.
    pub(super) fn path(&self, destination: IpAddr) -> usize {
        let known = self.paths.iter().find(|path| IpAddr::V6(path.destination) == destination);
        known.map_or(self.link.mtu, |path| path.mtu.min(self.link.mtu))
    }

    /// Adapts a frame that was received: if it is a SYN, the segments its sender lets us send are kept to what the
    /// path to it carries.
    pub(super) fn adapt_received(&self, frame: &mut [u8]) {
        let Some((_, packet)) = frame.split_first_chunk_mut::<ETHERNET>() else { return };
        self.sequences.reveal(packet);
        match packet.first().map(|version| version >> 4) {
            Some(4) => limit_segments(packet, self.link.mtu),
            Some(6) => {
                let Some(peer) = packet.get(8..).and_then(address_v6) else { return };
                let limit = self.path(peer);
                limit_segments(packet, limit);
            }
            _ => {}
        }
    }

    /// Adapts an IP packet of ours; returns the longest packet its destination may be sent.
    fn adapt(&mut self, packet: &mut [u8]) -> usize {
        let mtu = self.link.mtu;
        self.sequences.hide(packet);
        if !is_v6(packet) {
            limit_segments(packet, mtu);
            let Some(header) = packet.first_chunk_mut::<IPV4>() else { return mtu };
            let identification = if header[9] == PROTOCOL_TCP {
                // Unique for as long as the number lasts (RFC 6864 §4.3).
                self.identification = self.identification.wrapping_add(1);
                self.identification.to_be_bytes()
            } else {
                // Who could guess it could slip a fragment of his own in.
                self.random()
            };
            header[4..6].copy_from_slice(&identification);
            header[6] &= !0x40;
            header[10..12].fill(0);
            let sum = Sum::default().add(header).finish();
            header[10..12].copy_from_slice(&sum);
            return mtu;
        }
        let Some(peer) = destination(packet) else { return mtu };
        let limit = self.path(peer);
        limit_segments(packet, limit);
        if packet[6] == PROTOCOL_UDP { limit.min(LEAST_MTU_V6) } else { limit }
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.machine.random)(&mut bytes);
        bytes
    }
}

/// The next hop of a packet.
enum Way {
    /// Resolved.
    To(Hardware),
    /// Unresolved.
    By(IpAddr),
    /// There is no route.
    None,
}

fn is_v6(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first >> 4 == 6)
}

/// Returns the destination address of an IP packet.
fn destination(packet: &[u8]) -> Option<IpAddr> {
    if is_v6(packet) {
        return packet.get(24..).and_then(address_v6);
    }
    packet.get(16..).and_then(<[u8]>::first_chunk::<4>).map(|octets| Ipv4Addr::from(*octets).into())
}

fn identification(machine: Machine) -> u16 {
    let mut start = [0; 2];
    (machine.random)(&mut start);
    u16::from_ne_bytes(start)
}

fn fragment_v4(transmit: &mut impl Transmit, ethernet: &[u8], packet: &[u8], limit: usize) -> Option<()> {
    let (header, payload) = packet.split_first_chunk::<IPV4>()?;
    for (offset, part, more) in parts(payload, limit.checked_sub(IPV4)?) {
        let frame = transmit.buffer()?.get_mut(..ETHERNET + IPV4 + part.len())?;
        let (head, body) = frame.split_at_mut(ETHERNET + IPV4);
        body.copy_from_slice(part);
        head[..ETHERNET].copy_from_slice(ethernet);
        let head = &mut head[ETHERNET..];
        head.copy_from_slice(header);
        head[2..4].copy_from_slice(&((IPV4 + part.len()) as u16).to_be_bytes());
        let flags = (offset / 8) as u16 | if more { MORE_FRAGMENTS } else { 0 };
        head[6..8].copy_from_slice(&flags.to_be_bytes());
        head[10..12].fill(0);
        let sum = Sum::default().add(head).finish();
        head[10..12].copy_from_slice(&sum);
        transmit.send(ETHERNET + IPV4 + part.len());
    }
    Some(())
}

fn fragment_v6(
    transmit: &mut impl Transmit,
    ethernet: &[u8],
    packet: &[u8],
    limit: usize,
    identification: [u8; 4],
) -> Option<()> {
    const HEADERS: usize = ETHERNET + IPV6 + FRAGMENT;
    let (header, payload) = packet.split_first_chunk::<IPV6>()?;
    for (offset, part, more) in parts(payload, limit.checked_sub(IPV6 + FRAGMENT)?) {
        let frame = transmit.buffer()?.get_mut(..HEADERS + part.len())?;
        let (head, body) = frame.split_at_mut(HEADERS);
        body.copy_from_slice(part);
        head[..ETHERNET].copy_from_slice(ethernet);
        let (head, extension) = head[ETHERNET..].split_at_mut(IPV6);
        head.copy_from_slice(header);
        head[4..6].copy_from_slice(&((FRAGMENT + part.len()) as u16).to_be_bytes());
        head[6] = PROTOCOL_FRAGMENT;
        extension[..2].copy_from_slice(&[header[6], 0]);
        // The offset counts eight bytes; so does its place in the field, above three bits.
        extension[2..4].copy_from_slice(&(offset as u16 | u16::from(more)).to_be_bytes());
        extension[4..8].copy_from_slice(&identification);
        transmit.send(HEADERS + part.len());
    }
    Some(())
}

/// Cuts what is to be sent into parts of at most `most` bytes: their offset, which eight divides, and whether more follow.
fn parts(payload: &[u8], most: usize) -> impl Iterator<Item = (usize, &[u8], bool)> {
    let step = (most & !7).max(8);
    let last = payload.len().saturating_sub(1) / step;
    payload.chunks(step).enumerate().map(move |(number, part)| (number * step, part, number < last))
}

/// Returns whether an IP packet says by ICMP that a packet was of no use.
fn is_complaint(packet: &[u8]) -> bool {
    const PROTOCOL_ICMP: u8 = 1;
    if is_v6(packet) {
        packet.get(6) == Some(&PROTOCOL_ICMPV6) && matches!(packet.get(IPV6), Some(0..128))
    } else {
        packet.get(9) == Some(&PROTOCOL_ICMP) && matches!(packet.get(IPV4), Some(3 | 11 | 12))
    }
}

/// Keeps the maximum segment size that a SYN states to packets of `mtu` bytes.
fn limit_segments(packet: &mut [u8], mtu: usize) {
    const SYN: u8 = 2;
    const END: u8 = 0;
    const PADDING: u8 = 1;
    const SEGMENT_SIZE: u8 = 2;
    let Some(at) = tcp_offset(packet) else { return };
    let headers = if packet[0] >> 4 == 4 { IPV4 } else { IPV6 } + TCP;
    let most = mtu.saturating_sub(headers) as u16;
    let header = &mut packet[at..];
    if header[13] & SYN == 0 {
        return;
    }
    let end = (usize::from(header[12] >> 4) * 4).min(header.len());
    let mut option = TCP;
    while option + 4 <= end {
        match header[option] {
            END => return,
            PADDING => option += 1,
            SEGMENT_SIZE => {
                let size = u16::from_be_bytes([header[option + 2], header[option + 3]]);
                if size > most {
                    header[option + 2..option + 4].copy_from_slice(&most.to_be_bytes());
                    // RFC 1624: the checksum follows the change, so one that was wrong stays wrong. A field at an odd
                    // place counts with its bytes exchanged.
                    let place = |size: u16| if option.is_multiple_of(2) { size } else { size.swap_bytes() };
                    let sum = u16::from_be_bytes([header[16], header[17]]);
                    let sum = Sum::default().add_word(!sum).add_word(!place(size)).add_word(place(most)).finish();
                    header[16..18].copy_from_slice(&sum);
                }
                return;
            }
            _ => option += usize::from(header[option + 1]).max(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::ETHERTYPE_IPV4;
    use super::super::frame::tests::{ADDRESS, ADDRESS_V6, link, query, query_v6};
    use super::super::reassembly::{Input, Reassembly};
    use super::super::responder::tests::Wire;
    use super::*;
    use proptest::prelude::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::*;

    const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 1);

    const MACHINE: Machine = Machine { clock: || SECOND, random: |out| out.fill(7) };

    fn outbound() -> Outbound {
        let mut link = link();
        // Not those the frames of the tests are for.
        let addresses = vec![("10.0.2.99".parse().unwrap(), 24), ("2001:db8::99".parse().unwrap(), 64)];
        let gateways = vec!["10.0.2.1".parse().unwrap(), "fe80::1".parse().unwrap()];
        link.set(&super::super::link::Setting { addresses, gateways, mtu: None });
        Outbound::new(link, MACHINE)
    }

    /// Sends the packet in a frame, as if the next hop were us, and returns what goes out.
    fn sent(outbound: &mut Outbound, frame: &[u8]) -> Vec<Vec<u8>> {
        let mut wire = Wire::new(100);
        send(outbound, frame, &mut wire);
        wire.sent
    }

    fn send(outbound: &mut Outbound, frame: &[u8], wire: &mut Wire) {
        let packet = &frame[ETHERNET..];
        if let Some(hop) = destination(packet).and_then(|destination| outbound.link.next_hop(destination)) {
            outbound.neighbors.learn(hop, link().hardware, SECOND);
        }
        outbound.send(wire, packet.len(), |out| out.copy_from_slice(packet));
    }

    /// A SYN from us to `to` with padding before its maximum segment size, so that it stands at an odd place.
    fn syn(to: IpAddr, odd: bool) -> Vec<u8> {
        let (mut frame, at, from) = match to {
            IpAddr::V4(_) => (query(&[0; 20]), 34, IpAddr::from(ADDRESS)),
            IpAddr::V6(_) => (query_v6(&[0; 20]), 54, IpAddr::from(ADDRESS_V6)),
        };
        match to {
            IpAddr::V4(v4) => {
                frame[23] = 6;
                frame[26..30].copy_from_slice(&ADDRESS.octets());
                frame[30..34].copy_from_slice(&v4.octets());
                Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
            }
            IpAddr::V6(v6) => {
                frame[20] = 6;
                frame[22..38].copy_from_slice(&ADDRESS_V6.octets());
                frame[38..54].copy_from_slice(&v6.octets());
            }
        }
        let options: &[u8] = if odd { &[1, 2, 4, 0x23, 0x28, 0, 0, 0] } else { &[2, 4, 0x23, 0x28, 0, 0, 0, 0] };
        frame[at + 12] = 0x70;
        frame[at + 13] = 2;
        frame[at + 20..at + 28].copy_from_slice(options);
        TcpPacket::new_unchecked(&mut frame[at..]).fill_checksum(&from.into(), &to.into());
        frame
    }

    fn segment_size(frame: &[u8], to: IpAddr) -> u16 {
        let (at, from) = if to.is_ipv4() { (34, ADDRESS.into()) } else { (54, ADDRESS_V6.into()) };
        let packet = TcpPacket::new_checked(&frame[at..]).unwrap();
        let repr = TcpRepr::parse(&packet, &from, &to.into(), &ChecksumCapabilities::default());
        repr.expect("the checksum holds").max_seg_size.unwrap()
    }

    #[test]
    fn segments_fit_the_path() {
        let mut outbound = outbound();
        let near: IpAddr = "10.0.2.2".parse().unwrap();
        for odd in [false, true] {
            assert_eq!(segment_size(&sent(&mut outbound, &syn(near, odd))[0], near), 1460);
            assert_eq!(segment_size(&sent(&mut outbound, &syn(FAR.into(), odd))[0], FAR.into()), 1440);
        }
        outbound.narrow(FAR, 1300, 0);
        assert_eq!(segment_size(&sent(&mut outbound, &syn(FAR.into(), true))[0], FAR.into()), 1240);
        outbound.narrow(FAR, 600, 0);
        assert_eq!(
            segment_size(&sent(&mut outbound, &syn(FAR.into(), true))[0], FAR.into()),
            1220,
            "none is so narrow"
        );
        outbound.expire(AGE);
        assert_eq!(segment_size(&sent(&mut outbound, &syn(FAR.into(), true))[0], FAR.into()), 1440);
        // What a peer states is limited the same way, and a damaged segment stays damaged.
        let mut received = syn(near, true);
        outbound.adapt_received(&mut received);
        assert_eq!(segment_size(&received, near), 1460);
        let mut damaged = syn(near, true);
        damaged[34] ^= 1;
        outbound.adapt_received(&mut damaged);
        let packet = TcpPacket::new_unchecked(&damaged[34..]);
        assert!(!packet.verify_checksum(&ADDRESS.into(), &near.into()));
    }

    #[test]
    fn paths_are_bounded() {
        let mut outbound = outbound();
        for number in 0..1000 {
            outbound.narrow(Ipv6Addr::from_bits(number), 1400, 0);
        }
        assert_eq!(outbound.paths.len(), PATHS);
        outbound.narrow(FAR, 1500, 0);
        assert_eq!(outbound.path(FAR.into()), 1500, "no narrower than the link");
    }

    #[test]
    fn routers_may_fragment_ipv4() {
        let frame = query(b"hello");
        let sent = sent(&mut outbound(), &frame);
        let packet = Ipv4Packet::new_checked(&sent[0][14..]).unwrap();
        assert!(!packet.dont_frag() && packet.verify_checksum());
    }

    #[test]
    fn complaints_are_rare() {
        let mut unreachable = query_v6(&[0; 40]);
        unreachable[20] = PROTOCOL_ICMPV6;
        unreachable[54] = 1;
        let mut outbound = outbound();
        let count = (0..1000).filter(|_| !sent(&mut outbound, &unreachable).is_empty()).count();
        assert_eq!(count, COMPLAINTS as usize);
        unreachable[54] = 129;
        assert_eq!(sent(&mut outbound, &unreachable).len(), 1, "an echo reply is none");
    }

    #[test]
    fn without_buffers_frames_are_lost() {
        let frame = query(&[1; 4000]);
        let mut wire = Wire::new(2);
        send(&mut outbound(), &frame, &mut wire);
        assert_eq!(wire.sent.len(), 2);
    }

    proptest! {
        #[test]
        fn fragments_make_the_packet_again(length in 0usize..16000, swap in any::<proptest::sample::Index>(), mtu in 576usize..1500) {
            let payload: Vec<u8> = (0..length).map(|n| (n * 7) as u8).collect();
            let link = super::super::frame::tests::link();
            for frame in [query(&payload), query_v6(&payload)] {
                let mut outbound = outbound();
                outbound.link.mtu = if frame[12..14] == ETHERTYPE_IPV4 { mtu } else { mtu.max(1280) };
                let mut pieces = sent(&mut outbound, &frame);
                prop_assert!(pieces.iter().all(|piece| piece.len() <= outbound.link.mtu + ETHERNET));
                let last = pieces.len() - 1;
                pieces.swap(last, swap.index(last + 1));
                let mut reassembly = Reassembly::default();
                let mut whole = None;
                for piece in &pieces {
                    match reassembly.take_in(piece, &link, 0) {
                        Input::Whole => whole = Some(piece.clone()),
                        Input::Complete(frame) => whole = Some(frame),
                        Input::Nothing => prop_assert!(whole.is_none()),
                    }
                }
                let whole = whole.unwrap();
                let datagram = super::super::frame::Datagram::parse(&whole, &link).unwrap();
                prop_assert_eq!(datagram.payload, &payload[..]);
            }
        }

        #[test]
        fn any_octets_never_panic(garbage in proptest::collection::vec(any::<u8>(), 0..200), kind in 0usize..3, at in 20usize..60) {
            let mut frame = match kind {
                0 => query(&[2; 60]),
                1 => query_v6(&[2; 60]),
                _ => Vec::new(),
            };
            frame.truncate(at);
            frame.extend(&garbage);
            if frame.len() > 23 && kind < 2 {
                frame[if kind == 0 { 23 } else { 20 }] = PROTOCOL_TCP;
            }
            outbound().adapt_received(&mut frame.clone());
            if frame.len() >= ETHERNET {
                prop_assert!(sent(&mut outbound(), &frame).len() <= 1);
            }
        }
    }
}
