//! The DHCP client (RFC 2131 §4.4): an address for a while, kept as long as a server agrees.
//!
//! Time, frames and randomness come in as values; requests go out and the lease is there to be read. The library of the
//! stack has a client, too, but that knows one router only, takes a lease over from one server only, tells of no refusal
//! and asks for the old address after no link change.
//!
//! As RFC 2131 has it but for these: the first request is sent at once, for a server that boots is waited for, and of
//! several offers the first that can be used is taken. No ARP probe is made of an address: it would hold up every boot
//! by seconds, and the server has made one.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::events::{self, NetEvent};
use super::message::{Reply, Request, Verdict};
use super::patience::Patience;
use crate::drivers::nic::Transmit;
use crate::net::machine::{Nanos, Random, SECOND};

/// The longest time between two requests while there is no lease (RFC 2131 §4.1).
const LONGEST_PAUSE: Nanos = 64 * SECOND;
/// How often an offer is asked for before others are.
const REQUESTS: u32 = 4;
/// How often the server is asked whether the lease holds after the link was down, before it is taken to.
const REBOOTS: u32 = 2;
/// The shortest time between two requests to have a lease of any length renewed (RFC 2131 §4.4.5), unless it is short.
const RENEWAL_PAUSE: Nanos = 60 * SECOND;
/// The shortest lease that is worth having, in seconds.
const SHORTEST: u32 = 4;
/// What a lifetime says that is meant to be for ever (RFC 2131 §3.3).
const INFINITE: u32 = u32::MAX;

/// A lease in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) address: Ipv4Addr,
    pub(super) prefix: u8,
    pub(super) router: Option<Ipv4Addr>,
    pub(super) nameservers: Vec<Ipv4Addr>,
    pub(super) mtu: Option<u16>,
    server: Ipv4Addr,
    /// By whom the server is reached.
    hardware: [u8; 6],
    lifetime: u32,
    renew: Nanos,
    rebind: Nanos,
    expire: Nanos,
}

/// What the client is after.
#[derive(Clone, Debug)]
enum State {
    /// Any server's offer.
    Selecting,
    /// The address of this offer.
    Requesting(Reply),
    /// Nothing, until the lease is to be renewed.
    Bound,
    /// Longer use of the address, of the server it is from.
    Renewing,
    /// Longer use of the address, of any server.
    Rebinding,
    /// To know whether the address may be used on this link.
    Rebooting,
}

/// The client.
pub(super) struct Client {
    hardware: [u8; 6],
    mtu: usize,
    random: Random,
    state: State,
    lease: Option<Lease>,
    /// The request under way: its number, how often it was sent, and when it is to be sent next.
    transaction: u32,
    attempts: u32,
    next: Nanos,
    /// How often an exchange came to nothing since the last lease.
    failures: u32,
    /// Since when there is no lease.
    since: Nanos,
    patience: Patience,
    /// Whether an offer of this exchange was complained of.
    complained: bool,
}

impl Client {
    /// Makes a client that asks at once.
    pub(super) fn new(hardware: [u8; 6], mtu: usize, random: Random, now: Nanos) -> Self {
        Self {
            hardware,
            mtu,
            random,
            state: State::Selecting,
            lease: None,
            transaction: random_number(random),
            attempts: 0,
            next: now,
            failures: 0,
            since: now,
            patience: Patience::new(now),
            complained: false,
        }
    }

    /// Returns the lease.
    pub(super) fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Takes in a server's message.
    pub(super) fn receive(&mut self, reply: Reply, now: Nanos, events: &mut Vec<NetEvent>) {
        if reply.transaction != self.transaction || self.attempts == 0 {
            return;
        }
        match (&self.state, reply.verdict) {
            (State::Selecting, Verdict::Offer) => {
                if self.is_usable(&reply, events) {
                    self.state = State::Requesting(reply);
                    (self.attempts, self.next) = (0, now);
                }
            }
            (State::Selecting | State::Bound, _) | (_, Verdict::Offer) => {}
            (State::Requesting(offer), Verdict::Nak) => {
                events.push(NetEvent::Refused { address: offer.address, server: reply.server, text: reply.text });
                self.select(now);
            }
            (_, Verdict::Nak) => {
                if let Some(lease) = self.lease.take() {
                    let Lease { address, .. } = lease;
                    events.push(NetEvent::Refused { address, server: reply.server, text: reply.text });
                }
                self.start_over(now);
            }
            (_, Verdict::Ack) => {
                if let Some(lifetime) = reply.lifetime
                    && self.is_usable(&reply, events)
                {
                    self.bind(&reply, lifetime, now, events);
                }
            }
        }
    }

    /// Starts anew on a link that was down: asks whether the lease holds there, or for one.
    pub(super) fn link_up(&mut self, now: Nanos) {
        match self.lease {
            Some(_) => self.exchange(State::Rebooting, now),
            None => self.start_over(now),
        }
    }

    /// Ends and begins what is due, and sends if `link` is up.
    pub(super) fn transmit(&mut self, now: Nanos, link: bool, out: &mut impl Transmit, events: &mut Vec<NetEvent>) {
        if let Some(lease) = self.lease.take_if(|lease| lease.expire <= now) {
            events.push(NetEvent::Expired { address: lease.address, server: lease.server });
            self.start_over(now);
        }
        match (&self.state, &self.lease) {
            (State::Bound, Some(lease)) if lease.renew <= now => self.exchange(State::Renewing, now),
            (State::Rebooting, Some(_)) if self.attempts >= REBOOTS && self.next <= now => self.state = State::Bound,
            (State::Requesting(_), _) if self.attempts >= REQUESTS && self.next <= now => self.select(now),
            _ => {}
        }
        if let (State::Bound | State::Renewing, Some(lease)) = (&self.state, &self.lease)
            && lease.rebind <= now
        {
            let (address, server) = (lease.address, lease.server);
            events.push(NetEvent::NotRenewed { address, server, left: (lease.expire - now).div_ceil(SECOND) });
            self.exchange(State::Rebinding, now);
        }
        if !link {
            return;
        }
        if self.lease.is_none()
            && let Some(waited) = self.patience.ends(now)
        {
            events.push(NetEvent::NoLease { waited });
        }
        if self.next <= now && !matches!(self.state, State::Bound) {
            self.send(now, out);
        }
    }

    /// Returns when `transmit` is to be called next.
    pub(super) fn deadline(&self, link: bool) -> Nanos {
        let lease = self.lease.as_ref();
        let step = match (&self.state, lease) {
            (State::Bound, Some(lease)) => lease.renew,
            (State::Renewing, Some(lease)) => lease.rebind.min(if link { self.next } else { Nanos::MAX }),
            _ if link => self.next,
            _ => Nanos::MAX,
        };
        let patience = if lease.is_none() && link { self.patience.next() } else { Nanos::MAX };
        step.min(patience).min(lease.map_or(Nanos::MAX, |lease| lease.expire))
    }

    fn send(&mut self, now: Nanos, out: &mut impl Transmit) {
        let Some(buffer) = out.buffer() else { return };
        let seconds = now.saturating_sub(self.since) / SECOND;
        let mut request = Request {
            discover: false,
            transaction: self.transaction,
            seconds: u16::try_from(seconds).unwrap_or(u16::MAX),
            client: Ipv4Addr::UNSPECIFIED,
            requested: None,
            server: None,
            to: None,
        };
        // RFC 2131 §4.3.2: which of the addresses is told says which state the client is in.
        match (&self.state, &self.lease) {
            (State::Requesting(offer), _) => {
                request.requested = Some(offer.address);
                request.server = Some(offer.server);
            }
            (State::Renewing, Some(lease)) => {
                request.client = lease.address;
                request.to = Some((lease.server, lease.hardware));
            }
            (State::Rebinding, Some(lease)) => request.client = lease.address,
            (State::Rebooting, Some(lease)) => request.requested = Some(lease.address),
            _ => request.discover = true,
        }
        let Some(length) = request.write(buffer, self.hardware, self.mtu) else { return };
        out.send(length);
        self.attempts = self.attempts.saturating_add(1);
        self.next = now + self.pause(now);
    }

    /// Returns how long a reply to the request just sent is waited for.
    fn pause(&self, now: Nanos) -> Nanos {
        // Short leases are renewed as often as long ones: twice, at least.
        let renewal = |end: Nanos, lease: &Lease| {
            let least = RENEWAL_PAUSE.min(Nanos::from(lease.lifetime) * SECOND / 16).max(SECOND);
            (end.saturating_sub(now) / 2).max(least)
        };
        match (&self.state, &self.lease) {
            (State::Renewing, Some(lease)) => renewal(lease.rebind, lease),
            (State::Rebinding, Some(lease)) => renewal(lease.expire, lease),
            _ => {
                // RFC 2131 §4.1: doubling, and not in step with other machines that boot now.
                let doubled = (SECOND << (self.attempts + self.failures).min(6)).min(LONGEST_PAUSE);
                let jitter = Nanos::from(random_number(self.random)) % SECOND;
                doubled + SECOND / 2 + jitter
            }
        }
    }

    fn bind(&mut self, reply: &Reply, lifetime: u32, now: Nanos, events: &mut Vec<NetEvent>) {
        let (renewal, rebinding) = match (reply.renewal, reply.rebinding) {
            (Some(renewal), Some(rebinding)) if renewal > 0 && renewal < rebinding && rebinding < lifetime => {
                (renewal, rebinding)
            }
            (Some(renewal), None) if renewal > 0 && renewal < lifetime => {
                (renewal, renewal + (lifetime - renewal) / 4 * 3)
            }
            // RFC 2131 §4.4.5.
            _ => (lifetime / 2, lifetime - lifetime / 8),
        };
        let end = |seconds: u32| if lifetime == INFINITE { Nanos::MAX } else { now + Nanos::from(seconds) * SECOND };
        let lease = Lease {
            address: reply.address,
            prefix: reply.prefix.unwrap_or(32),
            router: reply.router,
            nameservers: reply.nameservers.clone(),
            mtu: reply.mtu,
            server: reply.server,
            hardware: reply.hardware,
            lifetime,
            renew: end(renewal),
            rebind: end(rebinding),
            expire: end(lifetime),
        };
        let before = self.lease.replace(lease.clone());
        let told = events::Lease {
            address: lease.address,
            prefix: lease.prefix,
            server: lease.server,
            lifetime: Some(lifetime).filter(|seconds| *seconds != INFINITE),
            router: lease.router,
            nameservers: lease.nameservers.clone(),
            instead_of: before.as_ref().map(|before| before.address).filter(|before| *before != lease.address),
        };
        let same = |before: &Lease| {
            (before.address, before.prefix, before.router, before.server)
                == (lease.address, lease.prefix, lease.router, lease.server)
                && before.nameservers == lease.nameservers
        };
        events.push(match before {
            Some(before) if same(&before) => NetEvent::Renewed(told),
            _ => NetEvent::Leased(told),
        });
        self.state = State::Bound;
        self.failures = 0;
    }

    /// Returns whether one can live with the offer.
    fn is_usable(&mut self, reply: &Reply, events: &mut Vec<NetEvent>) -> bool {
        let reason = match reply.prefix {
            None => "has no netmask; is its subnet configured?",
            Some(prefix) if !is_host(reply.address, prefix) => "is no address a machine can have",
            Some(_) if reply.lifetime.is_some_and(|seconds| seconds < SHORTEST) => "is for less than four seconds",
            Some(_) => return true,
        };
        if !self.complained {
            self.complained = true;
            events.push(NetEvent::Unusable { server: reply.server, reason });
        }
        false
    }

    /// Asks for any address, having none.
    fn start_over(&mut self, now: Nanos) {
        self.since = now;
        self.failures = 0;
        self.patience = Patience::new(now);
        self.exchange(State::Selecting, now);
    }

    /// Asks for any address after an attempt that failed, the later the more did.
    fn select(&mut self, now: Nanos) {
        self.exchange(State::Selecting, now);
        self.failures = self.failures.saturating_add(1);
        self.next = now + self.pause(now);
    }

    /// Begins an exchange with servers.
    fn exchange(&mut self, state: State, now: Nanos) {
        self.state = state;
        self.transaction = random_number(self.random);
        (self.attempts, self.next, self.complained) = (0, now, false);
    }
}

fn is_host(address: Ipv4Addr, prefix: u8) -> bool {
    let hosts = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    let host = address.to_bits() & hosts;
    !matches!(address.octets(), [0 | 127 | 224.., ..]) && (prefix >= 31 || (host != 0 && host != hosts))
}

fn random_number(random: Random) -> u32 {
    let mut octets = [0; 4];
    random(&mut octets);
    u32::from_ne_bytes(octets)
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::{OURS, SERVER, SERVER_HARDWARE, reply};
    use super::*;
    use crate::net::responder::tests::Wire;
    use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr};
    use std::string::ToString;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
    const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 8);
    const MASK: &[u8] = &[1, 4, 255, 255, 255, 0];
    const ROUTER: &[u8] = &[3, 4, 192, 0, 2, 254, 6, 4, 192, 0, 2, 3];
    const HOUR: &[u8] = &[51, 4, 0, 0, 14, 16];

    /// A client and what it did.
    struct Bench {
        client: Client,
        now: Nanos,
        events: Vec<NetEvent>,
    }

    /// What was sent: its kind, by which address, which address is asked for, and whether to the server alone.
    type Sent = (DhcpMessageType, Ipv4Addr, Option<Ipv4Addr>, bool);

    impl Bench {
        fn new() -> Self {
            let client = Client::new(OURS, 1500, |bytes| bytes.fill(7), 0);
            Self { client, now: 0, events: Vec::new() }
        }

        /// Lets time pass until something is sent, at most `seconds`.
        fn sent(&mut self, seconds: u64) -> Option<Sent> {
            let end = self.now + seconds * SECOND;
            loop {
                let mut wire = Wire::new(4);
                self.client.transmit(self.now, true, &mut wire, &mut self.events);
                if let Some(frame) = wire.sent.first() {
                    assert_eq!(wire.sent.len(), 1);
                    let message = DhcpPacket::new_checked(&frame[42..]).unwrap();
                    let message = DhcpRepr::parse(&message).unwrap();
                    let single = frame[..6] == SERVER_HARDWARE;
                    assert_eq!(single, frame[30..34] == SERVER.octets());
                    return Some((message.message_type, message.client_ip, message.requested_ip, single));
                }
                let next = self.client.deadline(true);
                assert!(next > self.now, "asks to be called without doing anything");
                if next > end {
                    self.now = end;
                    return None;
                }
                self.now = next;
            }
        }

        fn answer(&mut self, kind: u8, address: Ipv4Addr, options: &[&[u8]]) {
            let frame = reply(kind, self.client.transaction, address, options);
            self.client.receive(Reply::parse(&frame, OURS).unwrap(), self.now, &mut self.events);
        }

        fn told(&mut self) -> Vec<std::string::String> {
            self.events.drain(..).map(|event| event.to_string()).collect()
        }

        /// A client with a lease of an hour.
        fn leased() -> Self {
            let mut bench = Self::new();
            bench.sent(0).unwrap();
            bench.answer(2, ADDRESS, &[MASK, ROUTER, HOUR]);
            bench.sent(0).unwrap();
            bench.answer(5, ADDRESS, &[MASK, ROUTER, HOUR]);
            bench
        }
    }

    #[test]
    fn a_lease_is_got_renewed_and_rebound() {
        let mut bench = Bench::new();
        let none = Ipv4Addr::UNSPECIFIED;
        assert_eq!(bench.sent(0), Some((DhcpMessageType::Discover, none, None, false)));
        bench.answer(2, ADDRESS, &[MASK, ROUTER, HOUR]);
        assert_eq!(bench.sent(0), Some((DhcpMessageType::Request, none, Some(ADDRESS), false)));
        assert!(bench.client.lease().is_none());
        bench.answer(5, ADDRESS, &[MASK, ROUTER, HOUR]);
        let lease = bench.client.lease().unwrap();
        assert_eq!((lease.address, lease.prefix), (ADDRESS, 24));
        assert_eq!(
            bench.told(),
            ["lease of 192.0.2.7/24 from 192.0.2.1 for 3600 s, router 192.0.2.254, DNS 192.0.2.3"]
        );
        assert_eq!(bench.sent(1799), None);
        assert_eq!(bench.sent(2), Some((DhcpMessageType::Request, ADDRESS, None, true)));
        bench.answer(5, ADDRESS, &[MASK, ROUTER, HOUR]);
        assert_eq!(bench.told(), ["renewed lease of 192.0.2.7/24 from 192.0.2.1 for 3600 s"]);
        // Nobody answers: the server is asked again, then all are, then the lease ends.
        let mut kinds = std::vec![];
        while bench.client.lease().is_some() {
            kinds.extend(bench.sent(3600).map(|(_, client, _, single)| (client, single)));
        }
        assert_eq!(kinds.pop(), Some((none, false)), "it is asked for any");
        let single = kinds.iter().filter(|(_, single)| *single).count();
        assert!((3..8).contains(&single) && kinds.len() > single + 2, "{kinds:?}");
        let told = bench.told();
        assert_eq!(
            told[0],
            "192.0.2.1 does not renew the lease of 192.0.2.7, which ends in 450 s: all DHCP servers are asked"
        );
        assert!(told[1].starts_with("the lease of 192.0.2.7 from 192.0.2.1 has ended"), "{told:?}");
    }

    #[test]
    fn a_refusal_ends_the_lease_at_once_and_another_address_replaces_it() {
        let mut bench = Bench::leased();
        bench.told();
        bench.sent(1801).unwrap();
        bench.answer(6, Ipv4Addr::UNSPECIFIED, &[&[56, 5, b'w', b'r', b'o', b'n', b'g']]);
        assert!(bench.client.lease().is_none());
        assert_eq!(bench.told(), ["192.0.2.1 refuses 192.0.2.7 (wrong): another address is asked for"]);
        assert_eq!(bench.sent(0).unwrap().0, DhcpMessageType::Discover);
        bench.answer(2, OTHER, &[MASK, HOUR]);
        bench.sent(0).unwrap();
        bench.answer(5, OTHER, &[MASK, HOUR]);
        assert_eq!(bench.client.lease().unwrap().address, OTHER);
        let told = bench.told();
        assert_eq!(
            told,
            ["lease of 192.0.2.8/24 from 192.0.2.1 for 3600 s, no router: only its own network is reached"]
        );
        // A server may give another address at renewal.
        bench.sent(1801).unwrap();
        bench.answer(5, ADDRESS, &[MASK, ROUTER, HOUR]);
        assert!(bench.told()[0].ends_with("192.0.2.8 is given up, and the connections to it with it"));
    }

    #[test]
    fn refused_offers_are_asked_for_more_and_more_rarely() {
        let mut bench = Bench::new();
        let mut before = 0;
        for round in 0..5 {
            assert_eq!(bench.sent(70).unwrap().0, DhcpMessageType::Discover);
            assert!(bench.now >= before + (SECOND << round) - SECOND, "round {round} at {}", bench.now);
            before = bench.now;
            bench.answer(2, ADDRESS, &[MASK, HOUR]);
            bench.sent(0).unwrap();
            bench.answer(6, ADDRESS, &[]);
        }
    }

    #[test]
    fn silence_is_asked_into_and_told_of_ever_more_rarely() {
        let mut bench = Bench::new();
        let mut sent = 0;
        while bench.now < 3600 * SECOND {
            sent += u32::from(bench.sent(3600).is_some());
        }
        assert!((50..80).contains(&sent), "{sent}");
        let told = bench.told();
        assert!(told[0].starts_with("no lease after 8 s: is there a DHCP server on this network"), "{told:?}");
        assert!((4..8).contains(&told.len()), "{told:?}");
    }

    #[test]
    fn a_link_that_comes_back_has_the_lease_confirmed() {
        let mut bench = Bench::leased();
        bench.told();
        bench.client.link_up(bench.now);
        let asked = bench.sent(0).unwrap();
        assert_eq!(asked, (DhcpMessageType::Request, Ipv4Addr::UNSPECIFIED, Some(ADDRESS), false));
        bench.answer(5, ADDRESS, &[MASK, ROUTER, HOUR]);
        assert!(bench.told()[0].starts_with("renewed"), "confirmed");
        // Without an answer the lease holds until it ends.
        bench.client.link_up(bench.now);
        bench.sent(0).unwrap();
        bench.sent(10).unwrap();
        assert_eq!(bench.sent(100), None);
        assert!(bench.client.lease().is_some());
        // Elsewhere it is refused.
        bench.client.link_up(bench.now);
        bench.sent(0).unwrap();
        bench.answer(6, Ipv4Addr::UNSPECIFIED, &[]);
        assert!(bench.client.lease().is_none());
        // While the link is down nothing is sent, but leases end.
        let mut bench = Bench::leased();
        let mut wire = Wire::new(4);
        bench.client.transmit(4000 * SECOND, false, &mut wire, &mut bench.events);
        assert!(wire.sent.is_empty() && bench.client.lease().is_none());
    }

    #[test]
    fn what_cannot_be_used_is_not_taken() {
        for (address, options, reason) in [
            (ADDRESS, [HOUR, ROUTER], "has no netmask"),
            (Ipv4Addr::new(192, 0, 2, 255), [MASK, HOUR], "no address a machine can have"),
            (Ipv4Addr::new(127, 0, 0, 1), [MASK, HOUR], "no address a machine can have"),
            (ADDRESS, [MASK, &[51, 4, 0, 0, 0, 3]], "less than four seconds"),
        ] {
            let mut bench = Bench::new();
            bench.sent(0).unwrap();
            bench.answer(2, address, &options);
            bench.answer(2, address, &options);
            let told = bench.told();
            assert!(told.len() == 1 && told[0].contains(reason), "{told:?}");
            assert!(matches!(bench.client.state, State::Selecting));
        }
        // A stranger's number, and an acknowledgement nobody asked for.
        let mut bench = Bench::new();
        bench.answer(5, ADDRESS, &[MASK, HOUR]);
        bench.sent(0).unwrap();
        bench.answer(5, ADDRESS, &[MASK, HOUR]);
        let frame = reply(2, 1, ADDRESS, &[MASK, HOUR]);
        bench.client.receive(Reply::parse(&frame, OURS).unwrap(), 0, &mut bench.events);
        assert!(matches!(bench.client.state, State::Selecting) && bench.events.is_empty());
    }

    #[test]
    fn servers_say_when_to_renew() {
        let mut bench = Bench::new();
        bench.sent(0).unwrap();
        bench.answer(2, ADDRESS, &[MASK, HOUR]);
        bench.sent(0).unwrap();
        bench.answer(5, ADDRESS, &[MASK, HOUR, &[58, 4, 0, 0, 0, 10, 59, 4, 0, 0, 0, 20]]);
        assert_eq!(bench.sent(9), None);
        assert!(bench.sent(1).unwrap().3);
        bench.answer(5, ADDRESS, &[MASK, &[51, 4, 255, 255, 255, 255]]);
        assert_eq!(bench.client.deadline(true), Nanos::MAX, "for ever");
    }
}
