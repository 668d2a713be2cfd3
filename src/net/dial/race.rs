//! The order and timing of connection attempts (RFC 8305 §4 and §5).

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::lookup::Family;

/// The delay between the start of two attempts (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// How long IPv4 addresses wait for the lookup of IPv6 addresses (RFC 8305 §3).
const IPV4_DELAY: Duration = Duration::from_millis(50);

/// The addresses that are not yet tried.
#[derive(Debug)]
pub(super) struct Race {
    v6: VecDeque<SocketAddr>,
    v4: VecDeque<SocketAddr>,
    /// The address to try first, if it is found.
    favourite: Option<IpAddr>,
    /// The family of the last attempt.
    last: Option<Family>,
    /// The earliest time of the next attempt.
    due: Instant,
}

impl Race {
    /// Creates a race without addresses; `favourite` is tried first if it is found.
    pub(super) fn new(favourite: Option<IpAddr>, now: Instant) -> Self {
        Race { v6: VecDeque::new(), v4: VecDeque::new(), favourite, last: None, due: now }
    }

    /// Adds an address, unless it is already present.
    pub(super) fn add(&mut self, address: SocketAddr) {
        let queue = if address.is_ipv6() { &mut self.v6 } else { &mut self.v4 };
        if !queue.contains(&address) {
            queue.push_back(address);
        }
    }

    /// Adds addresses from a lookup; `is_alone` if the lookup of the other family is not finished.
    pub(super) fn found(&mut self, addresses: &[IpAddr], port: u16, is_alone: bool, now: Instant) {
        let is_awaited = self.favourite.is_some_and(|favourite| addresses.contains(&favourite));
        let is_older = addresses.iter().any(IpAddr::is_ipv4);
        if is_alone && self.last.is_none() && self.is_empty() && is_older && !is_awaited {
            self.due = now + IPV4_DELAY;
        } else if self.last.is_none() {
            self.due = now;
        }
        addresses.iter().for_each(|address| self.add(SocketAddr::new(*address, port)));
    }

    /// Returns the address to try now, concurrently with others.
    pub(super) fn next(&mut self, now: Instant) -> Option<SocketAddr> {
        if now < self.due {
            return None;
        }
        if let Some(favourite) = self.take_favourite() {
            self.last = Some(if favourite.is_ipv6() { Family::V6 } else { Family::V4 });
            self.due = now + STAGGER;
            return Some(favourite);
        }
        let family = match self.last {
            Some(Family::V6) if !self.v4.is_empty() => Family::V4,
            Some(Family::V4) | None if self.v6.is_empty() => Family::V4,
            _ => Family::V6,
        };
        let address = match family {
            Family::V6 => self.v6.pop_front(),
            Family::V4 => self.v4.pop_front(),
        }?;
        self.last = Some(family);
        self.due = now + STAGGER;
        Some(address)
    }

    /// Removes the favourite from the waiting addresses and returns it.
    fn take_favourite(&mut self) -> Option<SocketAddr> {
        let favourite = self.favourite?;
        let queue = if favourite.is_ipv6() { &mut self.v6 } else { &mut self.v4 };
        let at = queue.iter().position(|address| address.ip() == favourite)?;
        self.favourite = None;
        queue.remove(at)
    }

    /// Records that an attempt failed, so that the next one need not wait.
    pub(super) fn failed(&mut self, now: Instant) {
        self.due = now;
    }

    /// Returns the time of the next attempt, if there is one.
    pub(super) fn wake(&self) -> Option<Instant> {
        (!self.is_empty()).then_some(self.due)
    }

    /// Returns whether no addresses are left.
    pub(super) fn is_empty(&self) -> bool {
        self.v6.is_empty() && self.v4.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_the_newer_begins() {
        let now = Instant::now();
        let mut race = Race::new(None, now);
        race.found(&addresses(&["192.0.2.1", "192.0.2.2", "192.0.2.3"]), 443, false, now);
        race.found(&addresses(&["2001:db8::1", "2001:db8::2"]), 443, false, now);
        let mut order = Vec::new();
        let mut at = now;
        while let Some(address) = race.next(at) {
            assert_eq!(race.next(at), None, "each waits for its turn");
            order.push(address.ip().to_string());
            at = race.wake().unwrap_or(at);
        }
        assert_eq!(order, ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "192.0.2.3"]);
        assert_eq!(at, now + 4 * STAGGER);
    }

    #[test]
    fn a_failure_starts_the_next_attempt_at_once() {
        let now = Instant::now();
        let mut race = Race::new(None, now);
        race.found(&addresses(&["192.0.2.1", "192.0.2.2"]), 443, false, now);
        assert!(race.next(now).is_some() && race.next(now).is_none());
        race.failed(now);
        assert!(race.next(now).is_some() && race.is_empty());
    }

    #[test]
    fn the_last_winner_is_tried_first() {
        let now = Instant::now();
        let mut race = Race::new(Some("192.0.2.2".parse().unwrap()), now);
        race.found(&addresses(&["192.0.2.1", "192.0.2.2"]), 443, true, now);
        race.found(&addresses(&["2001:db8::1"]), 443, false, now);
        let order = [0, 1, 2].map(|turn| race.next(now + turn * STAGGER).unwrap().ip().to_string());
        assert_eq!(order, ["192.0.2.2", "2001:db8::1", "192.0.2.1"]);
        let mut race = Race::new(Some("192.0.2.9".parse().unwrap()), now);
        race.found(&addresses(&["192.0.2.1"]), 443, true, now);
        assert_eq!(race.next(now), None, "the former winner is no longer among the addresses");
    }

    #[test]
    fn the_older_family_waits_a_moment_for_the_newer() {
        let now = Instant::now();
        let mut race = Race::new(None, now);
        race.found(&addresses(&["192.0.2.1"]), 443, true, now);
        assert_eq!((race.next(now), race.wake()), (None, Some(now + IPV4_DELAY)));
        race.found(&addresses(&["2001:db8::1"]), 443, false, now);
        assert_eq!(race.next(now).unwrap().to_string(), "[2001:db8::1]:443");
        let mut race = Race::new(None, now);
        race.found(&addresses(&["192.0.2.1"]), 443, true, now);
        race.found(&[], 443, false, now);
        assert!(race.next(now).is_some(), "there is no newer one");
        // The newer family does not wait.
        let mut race = Race::new(None, now);
        race.found(&addresses(&["2001:db8::1"]), 443, true, now);
        assert!(race.next(now).is_some());
    }
}
