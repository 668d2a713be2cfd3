//! What router advertisements tell (RFC 4861 §6.3, RFC 4862 §5.5): routers, prefixes to make addresses of, name servers.
//!
//! Advertisements and time come in as values; solicitations go out and what holds is there to be read. The library of
//! the stack reads advertisements, too, but takes one prefix of each, no name servers, and asks three times only.
//!
//! Addresses end in the modified EUI-64 of the hardware address (RFC 4291, appendix A): a server is to keep its address,
//! so it is not made up. Whether somebody else has one is asked by `neighbors`, while it is in use. The tables are small:
//! beyond them, what is told is not taken, for anybody on the link can tell something.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use super::advertisement::{Advertisement, Prefix, write_solicitation};
use super::events::NetEvent;
use super::patience::Patience;
use crate::drivers::nic::Transmit;
use crate::net::link::with_interface_identifier;
use crate::net::machine::{Nanos, SECOND};

/// The most routers, prefixes and name servers remembered.
const ROUTERS: usize = 4;
const PREFIXES: usize = 2;
const NAMESERVERS: usize = 3;
/// Time between the first solicitations (RFC 4861 §10), and how many these are; then it doubles up to the longest
/// (RFC 7559 §2).
const PAUSE: Nanos = 4 * SECOND;
const AT_FIRST: u32 = 3;
const LONGEST_PAUSE: Nanos = 3600 * SECOND;
/// The lifetime that a stranger cannot shorten a prefix below (RFC 4862 §5.5.3 e).
const TWO_HOURS: Nanos = 2 * 3600 * SECOND;
/// The smallest MTU of IPv6 (RFC 8200 §5).
const LEAST_MTU: usize = 1280;
/// The length of the prefix that leaves room for an interface identifier (RFC 2464 §4).
const PREFIX_LENGTH: u8 = 64;

/// A router that leads everywhere.
struct Router {
    address: Ipv6Addr,
    preference: i8,
    until: Nanos,
}

/// An address made of a prefix.
struct Address {
    address: Ipv6Addr,
    on_link: bool,
    /// Until when it is preferred, if it still is.
    preferred: Option<Nanos>,
    valid: Nanos,
}

/// What the routers told.
pub(super) struct Routers {
    hardware: [u8; 6],
    link_local: Ipv6Addr,
    routers: Vec<Router>,
    addresses: Vec<Address>,
    nameservers: Vec<(Ipv6Addr, Nanos)>,
    mtu: Option<usize>,
    /// Whether routers are being asked, how often they were, and when they are to be again.
    asking: bool,
    attempts: u32,
    next: Nanos,
    patience: Patience,
    /// Whether an advertisement without a prefix of use was complained of.
    complained: bool,
}

impl Routers {
    /// Makes a host that asks for routers at once.
    pub(super) fn new(hardware: [u8; 6], link_local: Ipv6Addr, now: Nanos) -> Self {
        Self {
            hardware,
            link_local,
            routers: Vec::new(),
            addresses: Vec::new(),
            nameservers: Vec::new(),
            mtu: None,
            asking: true,
            attempts: 0,
            next: now,
            patience: Patience::new(now),
            complained: false,
        }
    }

    /// Iterates over the addresses with the lengths of their prefixes, those to prefer first.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (Ipv6Addr, u8)> {
        let length = |address: &Address| if address.on_link { PREFIX_LENGTH } else { 128 };
        let of = move |preferred| self.addresses.iter().filter(move |address| address.preferred.is_some() == preferred);
        of(true).chain(of(false)).map(move |address| (address.address, length(address)))
    }

    /// Returns the router to take.
    pub(super) fn router(&self) -> Option<Ipv6Addr> {
        // Of equals the first known stays.
        self.routers.iter().rev().max_by_key(|router| router.preference).map(|router| router.address)
    }

    /// Iterates over the name servers.
    pub(super) fn nameservers(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.nameservers.iter().map(|(server, _)| *server)
    }

    /// Returns the largest packet a router says the link carries, in bytes.
    pub(super) fn mtu(&self) -> Option<usize> {
        self.mtu
    }

    /// Takes in an advertisement.
    pub(super) fn receive(&mut self, told: &Advertisement, now: Nanos, events: &mut Vec<NetEvent>) {
        self.take_router(told, now, events);
        for prefix in &told.prefixes {
            self.take_prefix(prefix, told.router, now, events);
        }
        if let Some(mtu) = told.mtu.and_then(|mtu| usize::try_from(mtu).ok()).filter(|mtu| *mtu >= LEAST_MTU) {
            self.mtu = Some(mtu);
        }
        let before: Vec<Ipv6Addr> = self.nameservers().collect();
        for (server, lifetime) in &told.nameservers {
            self.take_nameserver(*server, *lifetime, now);
        }
        self.tell_nameservers(&before, events);
        // RFC 4861 §6.3.7: an answer of use ends the asking.
        self.asking &= self.routers.is_empty() && self.addresses.is_empty();
        if self.addresses.is_empty() && !self.complained {
            self.complained = true;
            events.push(NetEvent::Unadvertised { router: told.router, managed: told.managed });
        }
    }

    /// Asks anew on a link that was down.
    pub(super) fn link_up(&mut self, now: Nanos) {
        (self.asking, self.attempts, self.next) = (true, 0, now);
        self.patience = Patience::new(now);
        self.complained = false;
    }

    /// Ends what has lived its time, and asks for routers if `link` is up and there is none.
    pub(super) fn transmit(&mut self, now: Nanos, link: bool, out: &mut impl Transmit, events: &mut Vec<NetEvent>) {
        self.expire(now, events);
        if !link || !self.asking {
            return;
        }
        if let Some(waited) = self.patience.ends(now) {
            events.push(NetEvent::NoRouter { waited });
        }
        if self.next <= now
            && let Some(buffer) = out.buffer()
            && let Some(length) = write_solicitation(buffer, self.hardware, self.link_local)
        {
            out.send(length);
            self.attempts = self.attempts.saturating_add(1);
            self.next = now + (PAUSE << self.attempts.saturating_sub(AT_FIRST).min(10)).min(LONGEST_PAUSE);
        }
    }

    /// Returns when `transmit` is to be called next.
    pub(super) fn deadline(&self, link: bool) -> Nanos {
        let ends = self.routers.iter().map(|router| router.until);
        let ends = ends.chain(self.addresses.iter().map(|address| address.valid));
        let ends = ends.chain(self.addresses.iter().filter_map(|address| address.preferred));
        let ends = ends.chain(self.nameservers.iter().map(|(_, until)| *until));
        let end = ends.min().unwrap_or(Nanos::MAX);
        if link && self.asking { end.min(self.next).min(self.patience.next()) } else { end }
    }

    fn take_router(&mut self, told: &Advertisement, now: Nanos, events: &mut Vec<NetEvent>) {
        let until = now + Nanos::from(told.lifetime) * SECOND;
        let known = self.routers.iter().position(|router| router.address == told.router);
        match known {
            Some(at) if told.lifetime == 0 => {
                self.routers.remove(at);
                events.push(NetEvent::RouterGone { address: told.router });
            }
            Some(at) => self.routers[at] = Router { until, preference: told.preference, ..self.routers[at] },
            None if told.lifetime > 0 && self.routers.len() < ROUTERS => {
                self.routers.push(Router { address: told.router, preference: told.preference, until });
                events.push(NetEvent::Router { address: told.router, lifetime: told.lifetime.into() });
            }
            None => {}
        }
    }

    /// RFC 4862 §5.5.3.
    fn take_prefix(&mut self, told: &Prefix, router: Ipv6Addr, now: Nanos, events: &mut Vec<NetEvent>) {
        if !told.autonomous
            || told.length != PREFIX_LENGTH
            || told.preferred > told.valid
            || told.prefix.is_unicast_link_local()
            || told.prefix.is_multicast()
            || told.prefix.to_bits() >> 64 == 0
        {
            return;
        }
        let address = with_interface_identifier(told.prefix, self.hardware);
        let valid = until(now, told.valid);
        let preferred = Some(until(now, told.preferred)).filter(|until| *until > now);
        match self.addresses.iter().position(|known| known.address == address) {
            Some(at) => {
                let known = &mut self.addresses[at];
                let left = known.valid.saturating_sub(now);
                // Nobody can end an address at once by one forged packet.
                if valid >= known.valid || valid - now > TWO_HOURS {
                    known.valid = valid;
                } else if left > TWO_HOURS {
                    known.valid = now + TWO_HOURS;
                }
                known.preferred = preferred;
                known.on_link = told.on_link;
            }
            None if told.valid > 0 && self.addresses.len() < PREFIXES => {
                self.addresses.push(Address { address, on_link: told.on_link, preferred, valid });
                let lifetime = (told.valid != u32::MAX).then_some(told.valid.into());
                events.push(NetEvent::Advertised { address, router, lifetime });
            }
            None => {}
        }
    }

    fn take_nameserver(&mut self, server: Ipv6Addr, lifetime: u32, now: Nanos) {
        let known = self.nameservers.iter().position(|(known, _)| *known == server);
        match known {
            Some(at) if lifetime == 0 => drop(self.nameservers.remove(at)),
            Some(at) => self.nameservers[at].1 = until(now, lifetime),
            None if lifetime > 0
                && self.nameservers.len() < NAMESERVERS
                && !server.is_unspecified()
                && !server.is_multicast() =>
            {
                self.nameservers.push((server, until(now, lifetime)));
            }
            None => {}
        }
    }

    fn tell_nameservers(&self, before: &[Ipv6Addr], events: &mut Vec<NetEvent>) {
        if !self.nameservers().eq(before.iter().copied()) {
            events.push(NetEvent::Nameservers(self.nameservers().map(IpAddr::V6).collect()));
        }
    }

    fn expire(&mut self, now: Nanos, events: &mut Vec<NetEvent>) {
        let routers = self.routers.len();
        self.routers.retain(|router| {
            let lives = router.until > now;
            if !lives {
                events.push(NetEvent::RouterGone { address: router.address });
            }
            lives
        });
        self.addresses.retain_mut(|address| {
            address.preferred = address.preferred.filter(|until| *until > now);
            let lives = address.valid > now;
            if !lives {
                events.push(NetEvent::Withdrawn { address: address.address });
            }
            lives
        });
        let before: Vec<Ipv6Addr> = self.nameservers().collect();
        self.nameservers.retain(|(_, until)| *until > now);
        self.tell_nameservers(&before, events);
        // With the last of them gone routers are asked again.
        if routers > 0 && self.routers.is_empty() {
            self.link_up(now);
        }
    }
}

/// Returns when so many seconds have passed; all ones are for ever (RFC 4861 §4.6.2).
fn until(now: Nanos, seconds: u32) -> Nanos {
    if seconds == u32::MAX { Nanos::MAX } else { now + Nanos::from(seconds) * SECOND }
}

#[cfg(test)]
mod tests {
    use super::super::advertisement::tests::{ROUTER, advertise, nameservers, prefix};
    use super::*;
    use crate::net::responder::tests::Wire;
    use std::string::ToString;

    const OURS: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
    const OTHER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
    const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0);
    const SECOND_PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 0);
    const DNS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 3);

    /// A host and what it did.
    struct Bench {
        routers: Routers,
        now: Nanos,
        events: Vec<NetEvent>,
    }

    impl Bench {
        fn new() -> Self {
            let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5054, 0xff, 0xfe12, 0x3456);
            Self { routers: Routers::new(OURS, link_local, 0), now: 0, events: Vec::new() }
        }

        fn told(&mut self, frame: &[u8]) {
            let advertisement = Advertisement::parse(frame).unwrap();
            self.routers.receive(&advertisement, self.now, &mut self.events);
        }

        /// Lets time pass; returns how many solicitations were sent.
        fn pass(&mut self, seconds: u64, link: bool) -> usize {
            let end = self.now + seconds * SECOND;
            let mut sent = 0;
            loop {
                let mut wire = Wire::new(4);
                self.routers.transmit(self.now, link, &mut wire, &mut self.events);
                sent += wire.sent.len();
                let next = self.routers.deadline(link);
                assert!(next > self.now, "asks to be called without doing anything");
                if next > end {
                    self.now = end;
                    return sent;
                }
                self.now = next;
            }
        }

        fn addresses(&self) -> Vec<std::string::String> {
            self.routers.addresses().map(|(address, length)| std::format!("{address}/{length}")).collect()
        }

        fn events(&mut self) -> Vec<std::string::String> {
            self.events.drain(..).map(|event| event.to_string()).collect()
        }
    }

    #[test]
    fn an_address_a_router_and_name_servers_for_a_while() {
        let mut bench = Bench::new();
        assert_eq!(bench.pass(0, true), 1);
        bench.told(&advertise(ROUTER, 1800, 0, &[&prefix(PREFIX, 600, 300), &nameservers(&[DNS], 900)]));
        assert_eq!(bench.addresses(), ["2001:db8:0:1:5054:ff:fe12:3456/64"]);
        assert_eq!(bench.routers.router(), Some(ROUTER));
        assert_eq!(
            bench.events(),
            [
                "IPv6 router fe80::1 for 1800 s",
                "address 2001:db8:0:1:5054:ff:fe12:3456 of a prefix that the router fe80::1 advertises, valid for 600 s",
                "DNS 2001:db8:0:1::3 by router advertisement"
            ]
        );
        assert_eq!(bench.pass(599, true), 0, "nothing is asked any more");
        assert!(bench.events().is_empty() && bench.addresses().len() == 1);
        bench.pass(2, true);
        assert!(bench.addresses().is_empty());
        assert!(bench.events()[0].starts_with("the address 2001:db8:0:1:5054:ff:fe12:3456 has ended"));
        bench.pass(300, true);
        assert_eq!(bench.events(), ["no IPv6 router tells of DNS any more"]);
        assert!(bench.pass(1000, true) > 3, "asked again");
        assert_eq!(bench.routers.router(), None);
        assert_eq!(bench.events()[0], "fe80::1 is no IPv6 router any more");
    }

    #[test]
    fn routers_are_asked_for_ever_and_ever_more_rarely() {
        let mut bench = Bench::new();
        assert_eq!(bench.pass(11, true), 3);
        assert!((10..20).contains(&bench.pass(7200, true)));
        let told = bench.events();
        assert!(told[0].starts_with("no router advertisement after 8 s"), "{told:?}");
        assert!(told.len() < 9, "{told:?}");
        assert_eq!(bench.pass(7200, false), 0, "the link is down");
        bench.routers.link_up(bench.now);
        assert_eq!(bench.pass(0, true), 1);
    }

    #[test]
    fn the_better_router_is_taken_and_the_first_of_equals() {
        let mut bench = Bench::new();
        bench.told(&advertise(ROUTER, 1800, 0, &[]));
        bench.told(&advertise(OTHER, 1800, 0, &[]));
        assert_eq!(bench.routers.router(), Some(ROUTER));
        bench.told(&advertise(OTHER, 1800, 0x08, &[]));
        assert_eq!(bench.routers.router(), Some(OTHER));
        bench.told(&advertise(OTHER, 0, 0x08, &[]));
        assert_eq!(bench.routers.router(), Some(ROUTER));
        for last in 3..99 {
            bench.told(&advertise(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last), 9, 0, &[&prefix(DNS, 9, 9)]));
        }
        assert_eq!((bench.routers.routers.len(), bench.routers.addresses.len()), (ROUTERS, 1));
    }

    /// RFC 4862 §5.5.3.
    #[test]
    fn a_stranger_cannot_end_an_address_at_once() {
        let mut bench = Bench::new();
        bench.told(&advertise(ROUTER, 1800, 0, &[&prefix(PREFIX, 86_400, 3600)]));
        bench.told(&advertise(ROUTER, 1800, 0, &[&prefix(PREFIX, 0, 0), &prefix(SECOND_PREFIX, 60, 60)]));
        let deprecated = "2001:db8:0:1:5054:ff:fe12:3456/64";
        assert_eq!(bench.addresses(), ["2001:db8:0:2:5054:ff:fe12:3456/64", deprecated], "the deprecated one last");
        bench.told(&advertise(ROUTER, 1800, 0, &[&prefix(PREFIX, 86_400, 5), &prefix(SECOND_PREFIX, 60, 4)]));
        assert_eq!(bench.addresses()[0], deprecated);
        bench.told(&advertise(ROUTER, 1800, 0, &[&prefix(PREFIX, 86_400, 1)]));
        bench.pass(2, true);
        assert_eq!(bench.addresses()[1], deprecated, "by itself");
        bench.told(&advertise(ROUTER, 1800, 0, &[&prefix(PREFIX, 0, 0)]));
        bench.pass(7190, true);
        assert_eq!(bench.addresses(), [deprecated]);
        bench.told(&advertise(ROUTER, 1800, 0, &[&prefix(PREFIX, 0, 0)]));
        bench.pass(20, true);
        assert!(bench.addresses().is_empty(), "after two hours");
    }

    #[test]
    fn prefixes_that_make_no_address_are_left_and_told_once() {
        let mut bench = Bench::new();
        let mut odd = prefix(PREFIX, 600, 300);
        odd[2] = 56;
        let mut not_autonomous = prefix(PREFIX, 600, 300);
        not_autonomous[3] = 0x80;
        let wrong = [odd, not_autonomous, prefix(ROUTER, 600, 300), prefix(PREFIX, 300, 600), prefix(PREFIX, 0, 0)];
        for option in &wrong {
            bench.told(&advertise(ROUTER, 1800, 0x80, &[option]));
        }
        assert!(bench.addresses().is_empty());
        let told = bench.events();
        assert!(told.len() == 2 && told[1].contains("DHCPv6, which this machine does not speak"), "{told:?}");
        let mut off_link = prefix(PREFIX, u32::MAX, u32::MAX);
        off_link[3] = 0x40;
        bench.told(&advertise(ROUTER, 1800, 0, &[&off_link]));
        assert_eq!(bench.addresses(), ["2001:db8:0:1:5054:ff:fe12:3456/128"]);
        assert!(bench.events()[0].ends_with("valid for ever"));
    }
}
