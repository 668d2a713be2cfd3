//! Finding neighbours, where the stack's own way of it falls short (RFC 826, RFC 4861, RFC 4862, RFC 3810).
//!
//! The stack asks for one hardware address a second, whoever it is that does not answer: one dead neighbour would keep
//! it from all others. So whom a socket begins to talk to is asked for here, and the stack learns from the answer as if
//! it had asked. Routers are asked for again before the stack forgets them: or a flood of connections from made-up
//! neighbours would keep it from everybody behind them.
//!
//! The stack takes an advertisement for one of its sender's address rather than of the address it is about, and is
//! silent when a newcomer asks whether an address of ours is free: both are put right on the way in. New addresses of
//! ours are announced; that somebody has one already is logged, and left to whoever gave it twice.
//!
//! Switches that listen in need to hear which groups we are in: those by which neighbours ask for us.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use super::frame::{
    ETHERNET, ETHERTYPE_IPV6, IPV6, PROTOCOL_ICMPV6, address_v6, pseudo_header, write_announcement, write_arp_request,
};
use super::link::Link;
use super::stack::{Nanos, SECOND};
use crate::kprintln;
use crate::virtio::net::Transmit;

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const LISTENER_QUERY: u8 = 130;
const LISTENER_REPORT: u8 = 143;
/// Whoever is on the link (RFC 4291 §2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Whoever listens to reports of groups (RFC 3810 §5.2.14).
const ALL_REPORTS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// Messages about neighbours come from neighbours: routers would have counted this down (RFC 4861 §6.1.1).
const FROM_THE_LINK: u8 = 255;

/// The most neighbours asked for, or known, at a time.
const NEIGHBORS: usize = 32;
/// How often a neighbour is asked for, and how long apart.
const TRIES: u8 = 3;
const INTERVAL: Nanos = SECOND;
/// How long an answer is taken to hold. The stack's tables hold it a little longer.
const KNOWN: Nanos = 45 * SECOND;

/// Neighbours and announcements.
#[derive(Default)]
pub(super) struct Neighbors {
    neighbors: Vec<Neighbor>,
    /// Addresses of ours to be announced.
    new: Vec<IpAddr>,
    /// Whether the groups we are in are to be reported.
    report: bool,
    /// When somebody else's use of an address of ours was told last: anybody can say so as often as he likes.
    complained: Option<Nanos>,
}

struct Neighbor {
    address: IpAddr,
    /// Requests sent; nothing once it answered.
    tries: Option<u8>,
    /// When it was asked for last, or answered.
    at: Nanos,
    /// Whether it is a router, which must not be forgotten.
    router: bool,
}

impl Neighbor {
    /// Returns when it is to be asked for next, if it is.
    fn deadline(&self) -> Option<Nanos> {
        match self.tries {
            Some(0) => Some(self.at),
            Some(tries) if tries < TRIES || self.router => Some(self.at + INTERVAL),
            None if self.router => Some(self.at + KNOWN),
            _ => None,
        }
    }
}

impl Neighbors {
    /// Wants to know the hardware address of `address`, which is on the link.
    pub(super) fn want(&mut self, address: IpAddr, now: Nanos) {
        if let Some(at) = self.neighbors.iter().position(|neighbor| neighbor.address == address) {
            let neighbor = &mut self.neighbors[at];
            let over = match neighbor.tries {
                Some(tries) => tries >= TRIES && now >= neighbor.at + INTERVAL,
                None => now >= neighbor.at + KNOWN,
            };
            if over {
                (neighbor.tries, neighbor.at) = (Some(0), now);
            }
            return;
        }
        if self.neighbors.len() >= NEIGHBORS
            && let Some(oldest) = self.neighbors.iter().position(|neighbor| !neighbor.router)
        {
            self.neighbors.remove(oldest);
        }
        self.neighbors.push(Neighbor { address, tries: Some(0), at: now, router: false });
    }

    /// Begins anew with other addresses and routers, and announces what is new compared with those before.
    pub(super) fn announce(&mut self, link: &Link, before: &Link, now: Nanos) {
        // The stack forgets its neighbours, too.
        self.neighbors.clear();
        let router = |address: &IpAddr| Neighbor { address: *address, tries: Some(0), at: now, router: true };
        self.neighbors.extend(link.gateways.iter().map(router));
        self.new = link.addresses.iter().map(|(own, _)| *own).filter(|own| !before.is_own(*own)).collect();
        self.report |= self.new.iter().any(IpAddr::is_ipv6);
    }

    /// Returns when something is to be sent, at the latest.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.neighbors.iter().filter_map(Neighbor::deadline).min()
    }

    /// Sends what is due.
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
                send(transmit, |out| write_advertisement(out, link, v6, ALL_NODES, [0x33, 0x33, 0, 0, 0, 1], false));
            }
        }
        if core::mem::take(&mut self.report) {
            self.report = !send(transmit, |out| write_report(out, link));
        }
        for neighbor in &mut self.neighbors {
            if neighbor.deadline().is_none_or(|deadline| now < deadline) {
                continue;
            }
            let Some(source) = link.source_for(neighbor.address) else {
                (neighbor.tries, neighbor.at) = (Some(TRIES), now);
                continue;
            };
            if !send(transmit, |out| match (source, neighbor.address) {
                (IpAddr::V4(source), IpAddr::V4(target)) => write_arp_request(out, link, source, target),
                (IpAddr::V6(source), IpAddr::V6(target)) => write_solicitation(out, link, Some(source), target),
                _ => None,
            }) {
                return;
            }
            (neighbor.tries, neighbor.at) = (Some(neighbor.tries.map_or(1, |tries| (tries + 1).min(TRIES))), now);
        }
    }

    /// Looks at a frame before the stack does; what it returns the stack is to see in the frame's place.
    pub(super) fn take_in(
        &mut self,
        frame: &[u8],
        link: &Link,
        now: Nanos,
        transmit: &mut impl Transmit,
    ) -> Option<Vec<u8>> {
        if let Some((sender, hardware)) = arp_sender(frame) {
            self.learn(sender, hardware, link, now);
            return None;
        }
        let message = Message::parse(frame)?;
        let body = message.body;
        match body[0] {
            LISTENER_QUERY if link.speaks(true) => self.report = true,
            SOLICITATION => {
                let target = body.get(8..24).and_then(address_v6)?;
                if message.source.is_unspecified() && link.is_own(target) && message.hops == FROM_THE_LINK {
                    // Somebody asks whether the address is free: it is not (RFC 4862 §5.4.3). Our own question comes
                    // back from some switches.
                    let IpAddr::V6(target) = target else { return None };
                    if message.hardware != link.hardware {
                        self.complain(target.into(), message.hardware, now);
                        send(transmit, |out| {
                            write_advertisement(out, link, target, ALL_NODES, [0x33, 0x33, 0, 0, 0, 1], true)
                        });
                    }
                }
            }
            ADVERTISEMENT if message.hops == FROM_THE_LINK => {
                let target = body.get(8..24).and_then(address_v6)?;
                self.learn(target, link_layer_option(body.get(24..)?).unwrap_or(message.hardware), link, now);
                if IpAddr::V6(message.source) != target && !link.is_own(target) {
                    return Some(from_target(frame, target));
                }
            }
            _ => {}
        }
        None
    }

    /// Notes that a neighbour answered.
    fn learn(&mut self, address: IpAddr, hardware: [u8; 6], link: &Link, now: Nanos) {
        if link.is_own(address) && hardware != link.hardware {
            self.complain(address, hardware, now);
        }
        if let Some(neighbor) = self.neighbors.iter_mut().find(|neighbor| neighbor.address == address) {
            (neighbor.tries, neighbor.at) = (None, now);
        }
    }

    fn complain(&mut self, address: IpAddr, [a, b, c, d, e, f]: [u8; 6], now: Nanos) {
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

/// An intact ICMPv6 message, for us or a group.
struct Message<'a> {
    hardware: [u8; 6],
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
    const KINDS: core::ops::RangeInclusive<u8> = 133..=137;
    let Some((ethernet, packet)) = frame.split_first_chunk::<ETHERNET>() else { return false };
    let message = packet.get(IPV6).is_some_and(|kind| KINDS.contains(kind));
    message && [ethernet[12], ethernet[13]] == ETHERTYPE_IPV6 && packet[6] == PROTOCOL_ICMPV6
}

/// Returns who sent an ARP message: the address it claims and its hardware address.
fn arp_sender(frame: &[u8]) -> Option<(IpAddr, [u8; 6])> {
    let packet = frame.get(12..).and_then(<[u8]>::first_chunk::<30>)?;
    let known = packet[..8] == [8, 6, 0, 1, 8, 0, 6, 4];
    let address = IpAddr::from([packet[16], packet[17], packet[18], packet[19]]);
    known.then_some((address, [packet[10], packet[11], packet[12], packet[13], packet[14], packet[15]]))
}

/// Returns the hardware address among the options of an advertisement.
fn link_layer_option(mut options: &[u8]) -> Option<[u8; 6]> {
    const TARGET: u8 = 2;
    while let Some(option) = options.first_chunk::<8>() {
        match usize::from(option[1]) * 8 {
            0 => return None,
            8 if option[0] == TARGET => return option[2..].first_chunk().copied(),
            length => options = options.get(length..)?,
        }
    }
    None
}

/// Returns an advertisement as if it came from the address it is about.
fn from_target(frame: &[u8], target: IpAddr) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let length = usize::from(u16::from_be_bytes([frame[18], frame[19]]));
    if let IpAddr::V6(target) = target
        && let Some(destination) = address_v6(&frame[38..54])
    {
        frame[22..38].copy_from_slice(&target.octets());
        frame[56..58].fill(0);
        let body = &frame[54..54 + length];
        let sum = pseudo_header(target.into(), destination, PROTOCOL_ICMPV6, length).add(body).finish();
        frame[56..58].copy_from_slice(&sum);
    }
    frame
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
fn group(address: Ipv6Addr) -> [u8; 6] {
    let [.., a, b, c, d] = address.octets();
    [0x33, 0x33, a, b, c, d]
}

/// Writes a solicitation for `target`, from `source` or from nobody.
fn write_solicitation(out: &mut [u8], link: &Link, source: Option<Ipv6Addr>, target: Ipv6Addr) -> Option<usize> {
    let [a, b, c, d, e, f] = link.hardware;
    let body = [&[SOLICITATION, 0, 0, 0, 0, 0, 0, 0][..], &target.octets(), &[1, 1, a, b, c, d, e, f]].concat();
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
    hardware: [u8; 6],
    overrides: bool,
) -> Option<usize> {
    let [a, b, c, d, e, f] = link.hardware;
    let flags = if overrides { 0x20 } else { 0 };
    let body = [&[ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0][..], &own.octets(), &[2, 1, a, b, c, d, e, f]].concat();
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
    hardware: [u8; 6],
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
    (hardware, destination, source): ([u8; 6], Ipv6Addr, Ipv6Addr),
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
