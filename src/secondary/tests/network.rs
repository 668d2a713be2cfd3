//! Tests of a notifying primary and several secondaries over a network that loses, delays and duplicates messages.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::dns::Serial;
use crate::dns::message::Reader;
use crate::notify::{self, Notification, Notifier, Now, Sender, Target, decide};
use crate::secondary::{Bounds, Effect, Event, Failure, Limits, Order, Outcome, Primary, Progress, Secondary};

/// The addresses where the primary answers, and from which it sends notifications.
const PRIMARY: ([u8; 4], u16) = ([192, 0, 2, 1], 53);
const NOTIFIER: ([u8; 4], u16) = ([192, 0, 2, 1], 4000);

/// The source port of the secondaries' queries.
const QUERIES: u16 = 5000;

const ZONES: [&str; 3] = ["a.example", "b.example", "c.example"];

enum Packet {
    Datagram { from: SocketAddr, to: SocketAddr, octets: Vec<u8> },
    Ended { site: usize, order: u64, result: Result<Outcome, Failure> },
}

struct Site {
    secondary: Secondary,
    address: SocketAddr,
    served: BTreeMap<Name, Serial>,
}

struct World {
    uptime: Duration,
    random: u64,
    /// The probability in percent that a datagram or a connection is lost.
    loss: u32,
    packets: BTreeMap<(Duration, u64), Packet>,
    sent: u64,
    notifier: Notifier,
    versions: BTreeMap<Name, Vec<Arc<Zone>>>,
    sites: Vec<Site>,
    /// The time of the last message, by kind (query or notification), zone and secondary.
    last: BTreeMap<(bool, Name, SocketAddr), Duration>,
    notifications: usize,
}

fn next(random: &mut u64) -> u32 {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*random >> 32) as u32
}

impl World {
    fn new(seed: u64, loss: u32, alive: usize) -> Self {
        let versions = ZONES.map(|apex| (name(apex), vec![zone_of(apex, 1, "")]));
        let site = |at: usize| Site {
            secondary: Secondary::new(Limits::default()),
            address: SocketAddr::from(([198, 51, 100, at as u8 + 1], 53)),
            served: BTreeMap::new(),
        };
        let mut world = Self {
            uptime: Duration::ZERO,
            random: seed,
            loss,
            packets: BTreeMap::new(),
            sent: 0,
            notifier: Notifier::new(notify::Limits::default()),
            versions: versions.into_iter().collect(),
            sites: (0..alive).map(site).collect(),
            last: BTreeMap::new(),
            notifications: 0,
        };
        for site in 0..alive {
            for apex in ZONES {
                let primaries = vec![Primary { address: PRIMARY.into(), key: None }];
                world.secondary(site, Event::Follow { apex: name(apex), primaries });
            }
        }
        for apex in ZONES {
            world.announce(&name(apex));
        }
        world
    }

    fn now(&self) -> Now {
        Now { uptime: self.uptime, unix: UNIX + self.uptime.as_secs() }
    }

    fn chance(&mut self) -> bool {
        next(&mut self.random) % 100 < self.loss
    }

    fn put(&mut self, delay: Duration, packet: Packet) {
        self.sent += 1;
        self.packets.insert((self.uptime + delay, self.sent), packet);
    }

    /// Sends a datagram, which may be lost, duplicated or reordered.
    fn send(&mut self, from: SocketAddr, to: SocketAddr, octets: Vec<u8>) {
        for _ in 0..1 + u8::from(self.chance()) {
            if !self.chance() {
                let delay = Duration::from_millis(u64::from(next(&mut self.random) % 300));
                self.put(delay, Packet::Datagram { from, to, octets: octets.clone() });
            }
        }
    }

    /// Checks that messages of one kind for one zone to one peer are at least half a second apart.
    fn check_interval(&mut self, is_query: bool, octets: &[u8], peer: SocketAddr) {
        let question = Reader::new(octets).unwrap().question().unwrap().unwrap();
        let before = self.last.insert((is_query, question.name, peer), self.uptime);
        let apart = before.map(|before| self.uptime - before);
        assert!(apart.is_none_or(|apart| apart >= Duration::from_millis(500)), "{apart:?} {is_query}");
    }

    /// Changes a zone.
    fn change(&mut self, apex: &Name) {
        let versions = self.versions.get_mut(apex).unwrap();
        let serial = versions.len() as u32 + 1;
        versions.push(zone_of(&apex.to_string(), serial, &format!("x TXT {serial}\n")));
        self.announce(apex);
    }

    fn announce(&mut self, apex: &Name) {
        let zone = self.versions[apex].last().unwrap().clone();
        // The last target is a dead server.
        let addresses = self.sites.iter().map(|site| site.address).chain([SocketAddr::from(([203, 0, 113, 1], 53))]);
        let targets = addresses.map(|address| Target { address, key: None }).collect();
        self.notifier(notify::Event::Changed { zone: &zone, targets });
    }

    fn notifier(&mut self, event: notify::Event<'_>) {
        let now = self.now();
        let random = &mut self.random;
        for effect in self.notifier.handle(now, event, &mut || next(random)) {
            if let notify::Effect::Send { to, message } = effect {
                self.notifications += 1;
                self.check_interval(false, &message, to);
                self.send(NOTIFIER.into(), to, message);
            }
        }
    }

    fn secondary(&mut self, site: usize, event: Event<'_>) {
        let now = self.now();
        let random = &mut self.random;
        for effect in self.sites[site].secondary.handle(now, event, &mut || next(random)) {
            match effect {
                Effect::Send { to, message } => {
                    let from = SocketAddr::new(self.sites[site].address.ip(), QUERIES);
                    self.check_interval(true, &message, from);
                    self.send(from, to, message);
                }
                Effect::Transfer(order) => self.transfer(site, &order),
                Effect::Serve(zone) => {
                    let before = self.sites[site].served.insert(zone.apex().clone(), zone.serial());
                    assert!(before.is_none_or(|before| zone.serial() >= before), "it never goes back");
                }
                Effect::Expire(_) | Effect::Withdraw(_) | Effect::Abort { .. } | Effect::Log(..) => {}
            }
        }
    }

    /// Performs a transfer of the current version.
    fn transfer(&mut self, site: usize, order: &Order) {
        let delay = Duration::from_millis(u64::from(next(&mut self.random) % 3000));
        let lost = self.chance();
        let versions = &self.versions[&order.apex];
        let newest = versions.last().unwrap();
        let records = match &order.held {
            None => whole(newest),
            Some(held) if held.serial() == newest.serial() => vec![soa(newest)],
            Some(held) => {
                let missed = versions.iter().filter(|version| version.serial() >= held.serial());
                differences(&missed.map(|version| &**version).collect::<Vec<_>>())
            }
        };
        let (mut incoming, request) = order.begin(Bounds::default(), 7, UNIX).unwrap();
        let mut result = Err(Failure::Lost("the end".into()));
        for records in records.chunks(2) {
            match incoming.message(&reply(&request, 0, records), UNIX).unwrap() {
                Progress::More => {}
                Progress::Finished(_) if lost => {}
                Progress::Finished(outcome) => result = Ok(outcome),
            }
        }
        let result =
            if lost && delay.as_millis().is_multiple_of(2) { Err(Failure::Unreachable("no".into())) } else { result };
        self.put(delay, Packet::Ended { site, order: order.id, result });
    }

    fn datagram(&mut self, from: SocketAddr, to: SocketAddr, octets: &[u8]) {
        if to == SocketAddr::from(NOTIFIER) {
            return self.notifier(notify::Event::Reply { source: from, message: octets });
        }
        if to == SocketAddr::from(PRIMARY) {
            let question = Reader::new(octets).unwrap().question().unwrap().unwrap();
            let newest = self.versions[&question.name].last().unwrap();
            let answer = reply(octets, 0, &[soa(newest)]);
            return self.send(to, from, answer);
        }
        let Some(site) = self.sites.iter().position(|site| site.address.ip() == to.ip()) else { return };
        if to.port() == QUERIES {
            return self.secondary(site, Event::Reply { source: from, message: octets });
        }
        let notification = Notification::parse(octets).unwrap();
        let secondary = &self.sites[site].secondary;
        let allowed = secondary.is_primary(&notification.zone, from.ip());
        let decision = decide(&notification, Sender::Unsigned { allowed }, secondary.follows(&notification.zone));
        assert!(decision.check);
        self.send(to, from, notify::reply(octets, decision.rcode).unwrap());
        let Notification { zone: apex, serial } = notification;
        self.secondary(site, Event::Notified { apex: &apex, source: from.ip(), serial });
    }

    /// Processes everything up to a time.
    fn run(&mut self, until: Duration) {
        loop {
            let packet = self.packets.first_key_value().map(|((due, _), _)| *due);
            let sites = self.sites.iter().filter_map(|site| site.secondary.wake());
            let due = sites.chain(self.notifier.wake()).chain(packet).min();
            let Some(due) = due.filter(|due| *due <= until) else { break };
            self.uptime = self.uptime.max(due);
            if packet == Some(due) {
                match self.packets.pop_first().unwrap().1 {
                    Packet::Datagram { from, to, octets } => self.datagram(from, to, &octets),
                    Packet::Ended { site, order, result } => self.secondary(site, Event::Ended { order, result }),
                }
                continue;
            }
            self.notifier(notify::Event::Tick);
            for site in 0..self.sites.len() {
                self.secondary(site, Event::Tick);
            }
        }
        self.uptime = until;
    }

    fn is_current(&self) -> bool {
        let newest = |apex: &Name| self.versions[apex].last().unwrap().serial();
        self.sites.iter().all(|site| self.versions.keys().all(|apex| site.served.get(apex) == Some(&newest(apex))))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every live secondary ends up with the newest version, and many changes do not cause as many messages.
    #[test]
    fn all_follow(
        seed in any::<u64>(),
        loss in 0..50_u32,
        alive in 1..4_usize,
        changes in proptest::collection::vec((0..3_usize, 0..3000_u64), 0..40),
    ) {
        let mut world = World::new(seed, loss, alive);
        for (zone, delay) in &changes {
            world.run(world.uptime + Duration::from_millis(*delay));
            world.change(&name(ZONES[*zone]));
        }
        let stormy = world.uptime.as_secs() as usize;
        world.run(world.uptime + Duration::from_secs(4 * 900));
        prop_assert!(world.is_current());
        prop_assert!(world.notifier.is_idle());
        // Two per second during the changes, plus the tries for the last version.
        let max = ZONES.len() * (alive + 1) * (2 * stormy + 2 + 6);
        prop_assert!(world.notifications <= max, "{} of {max}", world.notifications);
    }

    /// Without loss, every secondary gets the newest version within two delays, a query and a transfer.
    #[test]
    fn all_follow_soon(seed in any::<u64>(), changes in proptest::collection::vec(0..3_usize, 1..10)) {
        let mut world = World::new(seed, 0, 2);
        world.run(Duration::from_secs(20));
        prop_assert!(world.is_current());
        for zone in changes {
            world.change(&name(ZONES[zone]));
            world.run(world.uptime + Duration::from_secs(10));
            prop_assert!(world.is_current());
        }
    }
}
