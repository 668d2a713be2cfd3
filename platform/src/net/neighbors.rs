//! Neighbour discovery and ARP (RFC 826, RFC 4861, RFC 4862, RFC 3810).
//!
//! smoltcp emits IP packets and knows nothing of neighbours; `outbound` looks up here the hardware address each packet goes
//! to. A packet whose next hop is unresolved waits in a queue of that neighbour. Each neighbour has its own queue and its
//! own requests, so one that never answers delays and loses only packets to itself. Resolved and unresolved neighbours
//! are bounded separately: forged requests that make us resolve many addresses evict each other, never a neighbour that
//! has answered.
//!
//! Hardware addresses are learned only from ARP and neighbour discovery: from messages that ask for an address of ours, and
//! about neighbours that are already in the table. They are never learned from the source of other packets: a forged packet
//! that arrives through a router would redirect that neighbour's traffic to the router. Entries in use are refreshed before
//! they expire.
//!
//! New addresses of ours are announced and defended. An address that another machine uses too is logged; resolving
//! the conflict is left to the operator. Groups are reported, so that switches with MLD snooping forward solicitations.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::frame::{
    ETHERNET, ETHERTYPE_ARP, ETHERTYPE_IPV6, IPV6, PROTOCOL_ICMPV6, address_v6, pseudo_header, write_announcement,
    write_arp_reply, write_arp_request,
};
use super::link::Link;
use super::machine::{Nanos, SECOND};
use crate::drivers::nic::Transmit;
use crate::kprintln;

/// The kinds of ICMPv6 messages about neighbours, routers or better ways.
const DISCOVERY: core::ops::RangeInclusive<u8> = 133..=137;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const LISTENER_QUERY: u8 = 130;
const LISTENER_REPORT: u8 = 143;
/// Flags of an advertisement: it answers a solicitation; it replaces a known address (RFC 4861 §4.4).
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
/// Options with hardware addresses, of the sender and of the target (RFC 4861 §4.6.1).
const SOURCE_ADDRESS: u8 = 1;
const TARGET_ADDRESS: u8 = 2;
/// Whoever is on the link (RFC 4291 §2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Whoever listens to reports of groups (RFC 3810 §5.2.14).
const ALL_REPORTS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// Messages about neighbours come from neighbours: routers would have counted this down (RFC 4861 §6.1.1).
const FROM_THE_LINK: u8 = 255;

/// The most resolved neighbours, not counting routers. The one confirmed longest ago is evicted.
const RESOLVED: usize = 256;
/// The most unresolved neighbours, not counting routers. The oldest is evicted, with the packets that wait for it.
const UNRESOLVED: usize = 128;
/// The most packets and octets that wait for one neighbour. The oldest packet is dropped.
const WAITING: usize = 64;
const WAITING_OCTETS: usize = 32 << 10;
/// The most octets that wait for all neighbours together, not counting routers. The oldest unresolved neighbour is evicted.
const WAITING_TOTAL: usize = 256 << 10;
/// How long a packet waits for its next hop to be resolved.
const PATIENCE: Nanos = 3 * SECOND;
/// How many requests are sent for a neighbour, and the time between them.
const TRIES: u8 = 3;
const INTERVAL: Nanos = SECOND;
/// The age at which an entry in use is refreshed, and the age at which it expires.
const KNOWN: Nanos = 45 * SECOND;
const FORGOTTEN: Nanos = 60 * SECOND;

/// A hardware address.
pub(super) type Hardware = [u8; 6];

/// Neighbours and announcements.
#[derive(Default)]
pub(super) struct Neighbors {
    neighbors: BTreeMap<IpAddr, Neighbor>,
    /// Addresses of ours to be announced.
    new: Vec<IpAddr>,
    /// Whether the groups we are in are to be reported.
    report: bool,
    /// When somebody else's use of an address of ours was told last: anybody can say so as often as he likes.
    complained: Option<Nanos>,
}

struct Neighbor {
    /// Its hardware address once it is resolved.
    hardware: Option<Hardware>,
    /// When it was confirmed last, or while it is unresolved, when resolution began.
    since: Nanos,
    /// While requests are being sent: how many are unanswered, and when the last one was sent or is due.
    asked: Option<(u8, Nanos)>,
    /// Whether it is a router, which is refreshed even if unused and never evicted.
    router: bool,
    queue: Queue,
}

/// The packets that wait for a neighbour, oldest first.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    octets: usize,
}

/// A packet that waits for a hardware address.
struct Waiting {
    until: Nanos,
    packet: Vec<u8>,
    /// The largest packet the path to its destination carries, in octets.
    limit: usize,
}

impl Neighbor {
    fn new(router: bool, now: Nanos) -> Self {
        Self { hardware: None, since: now, asked: Some((0, now)), router, queue: Queue::default() }
    }

    /// Returns when the next request is due, or the neighbour is given up.
    fn deadline(&self) -> Option<Nanos> {
        match self.asked {
            Some((0, at)) => Some(at),
            Some((_, at)) => Some(at + INTERVAL),
            None if self.router => Some(self.since + KNOWN),
            None => None,
        }
    }
}

impl Queue {
    /// Adds a packet, and drops the oldest ones beyond the bounds.
    fn push(&mut self, waiting: Waiting) {
        self.octets += waiting.packet.len();
        self.waiting.push_back(waiting);
        while self.waiting.len() > WAITING || self.octets > WAITING_OCTETS && self.waiting.len() > 1 {
            self.pop();
        }
    }

    fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.octets -= waiting.packet.len();
        Some(waiting)
    }

    /// Drops packets that have waited too long.
    fn expire(&mut self, now: Nanos) {
        while self.waiting.front().is_some_and(|waiting| waiting.until <= now) {
            self.pop();
        }
    }
}

impl Neighbors {
    /// Returns the hardware address of `address`, which is on the link, or `None` while it is unresolved.
    pub(super) fn find(&mut self, address: IpAddr, now: Nanos) -> Option<Hardware> {
        let neighbor = self.neighbors.get_mut(&address)?;
        let age = now.saturating_sub(neighbor.since);
        if neighbor.hardware.is_some() && neighbor.asked.is_none() && age >= KNOWN {
            neighbor.asked = Some((0, now));
        }
        if neighbor.hardware.is_some() && age >= FORGOTTEN {
            (neighbor.hardware, neighbor.since) = (None, now);
        }
        neighbor.hardware
    }

    /// Queues a packet until `address`, which is on the link, is resolved, and starts resolution.
    pub(super) fn wait(&mut self, address: IpAddr, packet: Vec<u8>, limit: usize, now: Nanos) {
        if !self.neighbors.contains_key(&address) {
            self.make_room(false, UNRESOLVED);
        }
        let neighbor = self.neighbors.entry(address).or_insert_with(|| Neighbor::new(false, now));
        neighbor.asked.get_or_insert((0, now));
        neighbor.queue.push(Waiting { until: now + PATIENCE, packet, limit });
        while self.strangers().map(|(_, neighbor)| neighbor.queue.octets).sum::<usize>() > WAITING_TOTAL {
            let others = self.strangers().filter(|(other, n)| **other != address && n.queue.octets > 0);
            let Some(oldest) = others.min_by_key(|(_, neighbor)| neighbor.since).map(|(address, _)| *address) else {
                return;
            };
            self.neighbors.remove(&oldest);
        }
    }

    /// Takes a queued packet whose neighbour is resolved: its hardware address, the packet and the largest size allowed.
    pub(super) fn next_ready(&mut self) -> Option<(Hardware, Vec<u8>, usize)> {
        self.neighbors.values_mut().find_map(|neighbor| {
            let hardware = neighbor.hardware?;
            neighbor.queue.pop().map(|waiting| (hardware, waiting.packet, waiting.limit))
        })
    }

    /// Returns whether [`next_ready`](Self::next_ready) has a packet.
    pub(super) fn is_ready(&self) -> bool {
        self.neighbors.values().any(|neighbor| neighbor.hardware.is_some() && neighbor.queue.octets > 0)
    }

    /// Returns the neighbours that are not routers.
    fn strangers(&self) -> impl Iterator<Item = (&IpAddr, &Neighbor)> {
        self.neighbors.iter().filter(|(_, neighbor)| !neighbor.router)
    }

    /// Evicts the oldest neighbour if there are already `most` resolved (or unresolved) ones.
    fn make_room(&mut self, known: bool, most: usize) {
        let alike = || self.strangers().filter(|(_, neighbor)| neighbor.hardware.is_some() == known);
        if alike().count() >= most
            && let Some(oldest) = alike().min_by_key(|(_, neighbor)| neighbor.since).map(|(address, _)| *address)
        {
            self.neighbors.remove(&oldest);
        }
    }

    /// Begins anew with other addresses and routers, and announces what is new compared with those before.
    pub(super) fn announce(&mut self, link: &Link, before: &Link, now: Nanos) {
        self.neighbors = link.gateways.iter().map(|address| (*address, Neighbor::new(true, now))).collect();
        self.new = link.addresses.iter().map(|(own, _)| *own).filter(|own| !before.is_own(*own)).collect();
        self.report |= self.new.iter().any(IpAddr::is_ipv6);
    }

    /// Returns when something is to be sent, at the latest.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.neighbors.values().filter_map(Neighbor::deadline).min()
    }

    /// Sends due announcements and requests, and drops neighbours that did not answer and packets that waited too long.
    pub(super) fn transmit(&mut self, link: &Link, now: Nanos, transmit: &mut impl Transmit) {
        while let Some(address) = self.new.pop() {
            let sent = send(transmit, |out| match address {
                IpAddr::V4(v4) => write_announcement(out, link, v4),
                // RFC 4862 §5.4.2: the question whether the address is free comes from no address.
                IpAddr::V6(v6) => write_solicitation(out, link, None, v6),
            });
            if !sent {
                self.new.push(address);
                return;
            }
            if let IpAddr::V6(v6) = address {
                send(transmit, |out| write_advertisement(out, link, v6, ALL_NODES, [0x33, 0x33, 0, 0, 0, 1], 0));
            }
        }
        if core::mem::take(&mut self.report) {
            self.report = !send(transmit, |out| write_report(out, link));
        }
        let mut congested = false;
        self.neighbors.retain(|address, neighbor| {
            neighbor.queue.expire(now);
            if congested || neighbor.deadline().is_none_or(|deadline| now < deadline) {
                return true;
            }
            let tries = neighbor.asked.map_or(0, |(tries, _)| tries);
            if now.saturating_sub(neighbor.since) >= FORGOTTEN {
                neighbor.hardware = None;
            }
            if tries >= TRIES && neighbor.hardware.is_none() && !neighbor.router {
                return false;
            }
            let sent = send(transmit, |out| match (link.source_for(*address)?, *address) {
                (IpAddr::V4(source), IpAddr::V4(target)) => write_arp_request(out, link, source, target),
                (IpAddr::V6(source), IpAddr::V6(target)) => write_solicitation(out, link, Some(source), target),
                _ => None,
            });
            if sent {
                neighbor.asked = Some(((tries + 1).min(TRIES), now));
            }
            congested = !sent;
            true
        });
    }

    /// Handles ARP, neighbour discovery and MLD; returns whether the frame was one of these. Requests for our addresses are
    /// answered at once.
    pub(super) fn take_in(&mut self, frame: &[u8], link: &Link, now: Nanos, transmit: &mut impl Transmit) -> bool {
        if frame.get(12..14) == Some(&ETHERTYPE_ARP) {
            if let Some(message) = Arp::parse(frame) {
                self.take_in_arp(&message, link, now, transmit);
            }
            return true;
        }
        let Some(message) = Message::parse(frame) else { return false };
        let body = message.body;
        let target = body.get(8..24).and_then(address_v6);
        match (body[0], target) {
            (LISTENER_QUERY, _) if link.speaks(true) => self.report = true,
            (SOLICITATION, Some(IpAddr::V6(target))) if message.hops == FROM_THE_LINK && link.is_own(target.into()) => {
                self.take_in_solicitation(&message, target, link, now, transmit);
            }
            (ADVERTISEMENT, Some(target)) if message.hops == FROM_THE_LINK => {
                let told = body.get(24..).and_then(|options| link_layer_option(options, TARGET_ADDRESS));
                if link.is_own(target) {
                    self.defend(target, told.unwrap_or(message.hardware), link, now);
                } else if let (Some(told), Some(neighbor)) = (told, self.neighbors.get(&target))
                    && (body[4] & OVERRIDE != 0 || neighbor.hardware.is_none_or(|known| known == told))
                {
                    self.learn(target, told, now);
                }
            }
            _ => {}
        }
        body[0] == LISTENER_QUERY || DISCOVERY.contains(&body[0])
    }

    fn take_in_arp(&mut self, message: &Arp, link: &Link, now: Nanos, transmit: &mut impl Transmit) {
        let Arp { asks, sender, hardware, target } = *message;
        self.defend(sender.into(), hardware, link, now);
        let ours = link.is_own(target.into());
        let neighbor = link.is_local(sender.into()) && link.is_peer(sender.into());
        // RFC 826: a host that asks for us is likely to be sent to next. Other messages only update existing entries.
        if neighbor && (ours || self.neighbors.contains_key(&sender.into())) {
            self.learn(sender.into(), hardware, now);
        }
        // A probe for a free address has no sender address (RFC 5227 §2.1.1).
        if ours && asks && (neighbor || sender.is_unspecified()) {
            send(transmit, |out| write_arp_reply(out, link, target, sender, hardware));
        }
    }

    fn take_in_solicitation(
        &mut self,
        message: &Message,
        target: Ipv6Addr,
        link: &Link,
        now: Nanos,
        transmit: &mut impl Transmit,
    ) {
        if message.source.is_unspecified() {
            // Duplicate address detection: the address is taken (RFC 4862 §5.4.3). Some switches reflect our own probe.
            if message.hardware != link.hardware {
                self.complain(target.into(), message.hardware, now);
                let everybody = [0x33, 0x33, 0, 0, 0, 1];
                send(transmit, |out| write_advertisement(out, link, target, ALL_NODES, everybody, OVERRIDE));
            }
            return;
        }
        let source = message.source.into();
        let told = message.body.get(24..).and_then(|options| link_layer_option(options, SOURCE_ADDRESS));
        if !link.is_peer(source) {
            return;
        }
        if let Some(told) = told
            && link.is_local(source)
        {
            self.learn(source, told, now);
        }
        let hardware = told.unwrap_or(message.hardware);
        let flags = SOLICITED | OVERRIDE;
        send(transmit, |out| write_advertisement(out, link, target, message.source, hardware, flags));
    }

    /// Records a neighbour's hardware address.
    pub(super) fn learn(&mut self, address: IpAddr, hardware: Hardware, now: Nanos) {
        // A group address cannot be one host's.
        if hardware[0] & 1 != 0 {
            return;
        }
        if self.neighbors.get(&address).is_none_or(|neighbor| neighbor.hardware.is_none() && !neighbor.router) {
            self.make_room(true, RESOLVED);
        }
        let neighbor = self.neighbors.entry(address).or_insert_with(|| Neighbor::new(false, now));
        (neighbor.hardware, neighbor.since, neighbor.asked) = (Some(hardware), now, None);
    }

    /// Logs that another machine uses an address of ours.
    fn defend(&mut self, address: IpAddr, hardware: Hardware, link: &Link, now: Nanos) {
        if link.is_own(address) && hardware != link.hardware {
            self.complain(address, hardware, now);
        }
    }

    fn complain(&mut self, address: IpAddr, [a, b, c, d, e, f]: Hardware, now: Nanos) {
        const PAUSE: Nanos = 60 * SECOND;
        if self.complained.is_none_or(|last| now.saturating_sub(last) >= PAUSE) {
            self.complained = Some(now);
            kprintln!(
                "zonule: address conflict: {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x} uses {address}, too; \
                 give one of the machines another"
            );
        }
    }
}

/// An ARP message.
struct Arp {
    /// Whether it is a request.
    asks: bool,
    sender: Ipv4Addr,
    hardware: Hardware,
    target: Ipv4Addr,
}

impl Arp {
    /// Reads a frame with an ARP message, for IPv4 on Ethernet.
    fn parse(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(ETHERNET..).and_then(<[u8]>::first_chunk::<28>)?;
        let known = packet[..6] == [0, 1, 8, 0, 6, 4] && packet[6] == 0 && matches!(packet[7], 1 | 2);
        let address = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
        known.then_some(Self {
            asks: packet[7] == 1,
            sender: address(14),
            hardware: [packet[8], packet[9], packet[10], packet[11], packet[12], packet[13]],
            target: address(24),
        })
    }
}

/// An intact ICMPv6 message, for us or a group.
struct Message<'a> {
    hardware: Hardware,
    source: Ipv6Addr,
    hops: u8,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a frame with an ICMPv6 message.
    fn parse(frame: &'a [u8]) -> Option<Self> {
        let (ethernet, packet) = frame.split_first_chunk::<ETHERNET>()?;
        let (header, rest) = packet.split_first_chunk::<IPV6>()?;
        if [ethernet[12], ethernet[13]] != ETHERTYPE_IPV6 || header[0] >> 4 != 6 {
            return None;
        }
        if header[6] != PROTOCOL_ICMPV6 {
            return None;
        }
        let body = rest.get(..usize::from(u16::from_be_bytes([header[4], header[5]])))?;
        let (source, destination) = (address_v6(&header[8..24])?, address_v6(&header[24..40])?);
        let intact = pseudo_header(source, destination, PROTOCOL_ICMPV6, body.len()).add(body).is_intact();
        let IpAddr::V6(source) = source else { return None };
        let hardware = [ethernet[6], ethernet[7], ethernet[8], ethernet[9], ethernet[10], ethernet[11]];
        (intact && body.len() >= 4 && body[1] == 0).then_some(Self { hardware, source, hops: header[7], body })
    }
}

/// Returns whether the frame is a message about neighbours, routers or better ways.
pub(super) fn is_discovery(frame: &[u8]) -> bool {
    let Some((ethernet, packet)) = frame.split_first_chunk::<ETHERNET>() else { return false };
    let message = packet.get(IPV6).is_some_and(|kind| DISCOVERY.contains(kind));
    message && [ethernet[12], ethernet[13]] == ETHERTYPE_IPV6 && packet[6] == PROTOCOL_ICMPV6
}

/// Returns the hardware address of this kind among the options of a message.
fn link_layer_option(mut options: &[u8], kind: u8) -> Option<Hardware> {
    while let Some(option) = options.first_chunk::<8>() {
        match usize::from(option[1]) * 8 {
            0 => return None,
            8 if option[0] == kind => return option[2..].first_chunk().copied(),
            length => options = options.get(length..)?,
        }
    }
    None
}

/// Writes a frame into the next buffer and sends it; returns whether there was one.
fn send(transmit: &mut impl Transmit, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
    let Some(out) = transmit.buffer() else { return false };
    if let Some(length) = write(out) {
        transmit.send(length);
    }
    true
}

/// Returns the group by which neighbours ask for `address` (RFC 4291 §2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    const PREFIX: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
    Ipv6Addr::from_bits(PREFIX | address.to_bits() & 0xff_ffff)
}

/// Returns the hardware address of a group (RFC 2464 §7).
fn group(address: Ipv6Addr) -> Hardware {
    let [.., a, b, c, d] = address.octets();
    [0x33, 0x33, a, b, c, d]
}

/// Writes a solicitation for `target`, from `source` or from nobody.
fn write_solicitation(out: &mut [u8], link: &Link, source: Option<Ipv6Addr>, target: Ipv6Addr) -> Option<usize> {
    let [a, b, c, d, e, f] = link.hardware;
    let body =
        [&[SOLICITATION, 0, 0, 0, 0, 0, 0, 0][..], &target.octets(), &[SOURCE_ADDRESS, 1, a, b, c, d, e, f]].concat();
    // Who has no address yet must not be answered at one.
    let body = if source.is_some() { &body[..] } else { &body[..24] };
    let to = solicited_node(target);
    write_message(out, link, group(to), source.unwrap_or(Ipv6Addr::UNSPECIFIED), to, body)
}

/// Writes an advertisement of an address of ours.
fn write_advertisement(
    out: &mut [u8],
    link: &Link,
    own: Ipv6Addr,
    to: Ipv6Addr,
    hardware: Hardware,
    flags: u8,
) -> Option<usize> {
    let [a, b, c, d, e, f] = link.hardware;
    let option = [TARGET_ADDRESS, 1, a, b, c, d, e, f];
    let body = [&[ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0][..], &own.octets(), &option].concat();
    write_message(out, link, hardware, own, to, &body)
}

/// Writes a report of the groups we are in (RFC 3810 §5.2): that we listen to whoever sends to them.
fn write_report(out: &mut [u8], link: &Link) -> Option<usize> {
    const ANY_SOURCE: u8 = 4;
    let addresses = link.addresses.iter().filter_map(|(own, _)| match own {
        IpAddr::V6(v6) => Some(solicited_node(*v6)),
        IpAddr::V4(_) => None,
    });
    let mut groups: Vec<Ipv6Addr> = addresses.collect();
    groups.sort_unstable();
    groups.dedup();
    let mut body = [LISTENER_REPORT, 0, 0, 0, 0, 0, 0, groups.len() as u8].to_vec();
    for group in groups {
        body.extend([ANY_SOURCE, 0, 0, 0]);
        body.extend(group.octets());
    }
    // An alert for routers, and padding (RFC 2711, RFC 8200 §4.3).
    let options = [PROTOCOL_ICMPV6, 0, 5, 2, 0, 0, 1, 0];
    write_packet(out, link, (group(ALL_REPORTS), ALL_REPORTS, link.link_local()), (1, 0), &options, &body)
}

fn write_message(
    out: &mut [u8],
    link: &Link,
    hardware: Hardware,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    body: &[u8],
) -> Option<usize> {
    write_packet(out, link, (hardware, destination, source), (FROM_THE_LINK, PROTOCOL_ICMPV6), &[], body)
}

/// Writes an ICMPv6 message behind `options`, and its checksum.
fn write_packet(
    out: &mut [u8],
    link: &Link,
    (hardware, destination, source): (Hardware, Ipv6Addr, Ipv6Addr),
    (hops, protocol): (u8, u8),
    options: &[u8],
    body: &[u8],
) -> Option<usize> {
    let start = ETHERNET + IPV6 + options.len();
    let frame = out.get_mut(..start + body.len())?;
    frame[..6].copy_from_slice(&hardware);
    frame[6..12].copy_from_slice(&link.hardware);
    frame[12..14].copy_from_slice(&ETHERTYPE_IPV6);
    frame[14..18].copy_from_slice(&[0x60, 0, 0, 0]);
    frame[18..20].copy_from_slice(&((options.len() + body.len()) as u16).to_be_bytes());
    frame[20..22].copy_from_slice(&[protocol, hops]);
    frame[22..38].copy_from_slice(&source.octets());
    frame[38..54].copy_from_slice(&destination.octets());
    frame[54..start].copy_from_slice(options);
    frame[start..].copy_from_slice(body);
    frame[start + 2..start + 4].fill(0);
    let sum =
        pseudo_header(source.into(), destination.into(), PROTOCOL_ICMPV6, body.len()).add(&frame[start..]).finish();
    frame[start + 2..start + 4].copy_from_slice(&sum);
    Some(start + body.len())
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::link;
    use super::super::responder::tests::Wire;
    use super::*;

    const NOW: Nanos = 100 * SECOND;

    fn address(number: usize) -> IpAddr {
        Ipv6Addr::from_bits((0x2001_0db8 << 96) + 0x10_0000 + number as u128).into()
    }

    fn asked(neighbors: &mut Neighbors, now: Nanos) -> usize {
        let mut wire = Wire::new(1000);
        neighbors.transmit(&link(), now, &mut wire);
        wire.sent.len()
    }

    #[test]
    fn made_up_neighbors_push_out_each_other_only() {
        let mut neighbors = Neighbors::default();
        for number in 0..RESOLVED {
            neighbors.learn(address(number), [2, 0, 0, 0, 0, 1], NOW);
        }
        for number in 0..10_000 {
            neighbors.wait(address(1000 + number), vec![0; 1000], 1500, NOW + 1);
        }
        assert!((0..RESOLVED).all(|number| neighbors.find(address(number), NOW).is_some()));
        let octets: usize = neighbors.neighbors.values().map(|neighbor| neighbor.queue.octets).sum();
        assert!(octets <= WAITING_TOTAL);
        assert!(neighbors.neighbors.len() <= RESOLVED + UNRESOLVED);
        // The latest one is still there: it answers and gets its packet.
        neighbors.learn(address(10_999), [2, 0, 0, 0, 0, 2], NOW + 1);
        assert_eq!(neighbors.next_ready().map(|(hardware, ..)| hardware), Some([2, 0, 0, 0, 0, 2]));
        assert!(neighbors.next_ready().is_none());
        assert_eq!(neighbors.neighbors.values().filter(|n| n.hardware.is_some()).count(), RESOLVED);
    }

    #[test]
    fn a_neighbor_has_its_share_and_no_more() {
        let mut neighbors = Neighbors::default();
        for size in [100, 16_000] {
            for _ in 0..1000 {
                neighbors.wait(address(size), vec![0; size], 1500, NOW);
            }
        }
        let queue = |size| &neighbors.neighbors[&address(size)].queue;
        assert_eq!(queue(100).waiting.len(), WAITING);
        assert!(queue(16_000).octets <= WAITING_OCTETS);
        neighbors.learn(address(100), [2; 6], NOW);
        assert_eq!(core::iter::from_fn(|| neighbors.next_ready()).count(), WAITING);
    }

    #[test]
    fn neighbors_are_asked_for_and_given_up_one_by_one() {
        let mut neighbors = Neighbors::default();
        neighbors.wait(address(1), vec![0; 100], 1500, NOW);
        assert_eq!(asked(&mut neighbors, NOW), 1);
        neighbors.wait(address(2), vec![0; 100], 1500, NOW);
        assert_eq!(asked(&mut neighbors, NOW), 1, "at once, whoever was asked for just now");
        for second in 1..u64::from(TRIES) {
            assert_eq!(asked(&mut neighbors, NOW + second * SECOND), 2);
        }
        assert_eq!(asked(&mut neighbors, NOW + u64::from(TRIES) * SECOND), 0);
        assert!(neighbors.neighbors.is_empty() && neighbors.deadline().is_none());
    }

    #[test]
    fn a_neighbor_in_use_is_asked_for_again_before_it_is_forgotten() {
        let mut neighbors = Neighbors::default();
        neighbors.learn(address(1), [2; 6], NOW);
        neighbors.learn(address(2), [2; 6], NOW);
        assert!(neighbors.find(address(1), NOW + KNOWN).is_some());
        assert_eq!(asked(&mut neighbors, NOW + KNOWN), 1);
        assert!(neighbors.find(address(1), NOW + FORGOTTEN - 1).is_some());
        assert!(neighbors.find(address(1), NOW + FORGOTTEN).is_none());
        assert!(neighbors.find(address(2), NOW + FORGOTTEN).is_none());
        neighbors.learn(address(1), [2; 6], NOW + KNOWN + SECOND);
        assert!(neighbors.find(address(1), NOW + FORGOTTEN).is_some());
    }

    #[test]
    fn routers_stay() {
        let mut link = link();
        let addresses = link.addresses.clone();
        link.set(&super::super::link::Setting { addresses, gateways: vec![address(0)], mtu: None });
        let mut neighbors = Neighbors::default();
        neighbors.announce(&link, &link, NOW);
        for number in 1..10_000 {
            neighbors.wait(address(number), vec![0; 1000], 1500, NOW);
            neighbors.learn(address(20_000 + number), [2; 6], NOW);
        }
        neighbors.wait(address(0), vec![0; 1000], 1500, NOW);
        for second in 0..100 {
            let mut wire = Wire::new(1000);
            neighbors.transmit(&link, NOW + second * SECOND, &mut wire);
            assert!(wire.sent.iter().any(|frame| frame.ends_with(&[1, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56])));
        }
        neighbors.learn(address(0), [2; 6], NOW + 100 * SECOND);
        assert!(neighbors.next_ready().is_none(), "it waited too long");
        assert!(neighbors.find(address(0), NOW + 100 * SECOND).is_some());
    }
}
