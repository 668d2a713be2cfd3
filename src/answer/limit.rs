//! Response rate limiting: a victim of forged queries gets no more replies from this server than a resolver needs.
//!
//! Replies over UDP are counted for each pair of client network and kind. The state of a pair is one word, so the
//! threads share the table without a lock. The word contains the time when the pair's bucket will be full again (the
//! generic cell rate algorithm, a token bucket that needs no refilling), a tag that identifies the pair, and a count of
//! the replies held back. The table has a fixed size:
//!
//! ```text
//! network, kind ─ keyed hash ─► set of eight words (a cache line) ─► the word with the pair's tag,
//!                                                                    else the one whose bucket is fullest
//! ```
//!
//! A full bucket carries no information, so its word can be replaced. The bucket of a pair that sends one query is full
//! again within milliseconds. So the table has room for a flood from as many networks as a link can carry, and the
//! limited pairs, whose buckets are the emptiest, are the last to be replaced. The hash is keyed so that an attacker
//! cannot choose networks that share a set with a victim.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use siphasher::sip::SipHasher13;

use super::Verdict;
use crate::dns::message::Rcode;

/// The limit on replies over UDP to a client's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The number of replies of one kind to one network, per second and as a burst.
    pub per_second: u32,
    /// One in this many limited replies is sent truncated, so that legitimate clients retry over TCP; 0 for none.
    pub slip: u8,
    /// The prefix length of IPv4 networks, in bits.
    pub prefix4: u8,
    /// The prefix length of IPv6 networks, in bits.
    pub prefix6: u8,
}

impl Default for RateLimit {
    /// Returns the rate of NSD with the network sizes of BIND and Knot DNS. A truncated reply to every second query
    /// lets legitimate clients through almost always.
    fn default() -> Self {
        Self { per_second: 200, slip: 2, prefix4: 24, prefix6: 56 }
    }
}

/// The kind of a reply. Kinds are counted separately, so a flood of one hardly affects the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The requested data, or no data of that type.
    Answer,
    /// A nonexistent name, or a referral: the answer to random names.
    Denial,
    /// Everything else.
    Error,
}

/// The limiter's decision about a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitAction {
    /// Send the reply.
    Send,
    /// Do not send the reply.
    Drop,
    /// Send the reply without records, so that the client retries over TCP.
    Slip,
}

/// Words that share a cache line, the unit of the table.
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

const WAYS: usize = 8;

/// The number of sets in the table (128 KiB); a power of two.
const SETS: usize = 2048;

/// The bits of a word: 20 of tag, 4 of the count of replies held back, 40 of the time in microseconds when the bucket
/// is full.
const TIME: u64 = (1 << COUNT_AT) - 1;
const COUNT_AT: u32 = 40;
const COUNT: u64 = 0xf << COUNT_AT;
const TAG: u64 = !(COUNT | TIME);

/// The time from an empty bucket to a full one, in microseconds.
const BURST: u64 = 1_000_000;

/// The number of attempts to update a word that other threads keep changing.
const TRIES: usize = 4;

/// The maximum number of limited networks that are tracked for the log.
const MAX_TRACKED: usize = 16;

/// How long a network must not be limited before it is reported as no longer limited.
const CALM_PERIOD: Duration = Duration::from_secs(60);

/// The rate limiter: counts replies and decides which are sent. Threads share it.
pub struct Limiter {
    limit: RateLimit,
    /// The time one reply takes out of a bucket, in microseconds.
    interval: u64,
    hasher: SipHasher13,
    sets: Box<[Set]>,
    dropped: AtomicU64,
    truncated: AtomicU64,
    limited: Mutex<Vec<Limited>>,
}

/// A network that is being limited.
struct Limited {
    network: Network,
    kind: Kind,
    last: Duration,
    reported: bool,
}

/// A network by its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The lowest address.
    pub address: IpAddr,
    /// The prefix's length, in bits.
    pub prefix: u8,
}

/// A change of limiting, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Replies of a kind to a network are limited from now on.
    Began(Network, Kind),
    /// Replies of a kind to a network are no longer limited.
    Ended(Network, Kind),
}

impl Limiter {
    /// Returns a limiter with full buckets; `key` should be random.
    #[must_use]
    pub fn new(limit: RateLimit, key: [u8; 16]) -> Self {
        Self {
            limit,
            interval: (BURST / u64::from(limit.per_second.max(1))).max(1),
            hasher: SipHasher13::new_with_key(&key),
            sets: (0..SETS).map(|_| Set(Default::default())).collect(),
            dropped: AtomicU64::new(0),
            truncated: AtomicU64::new(0),
            limited: Mutex::new(Vec::with_capacity(MAX_TRACKED)),
        }
    }

    /// Decides about a reply to `source`; `now` is the monotonic time since a fixed moment.
    #[inline]
    pub(super) fn decide(&self, source: IpAddr, kind: Kind, now: Duration) -> LimitAction {
        let hash = self.hash(source, kind);
        let set = &self.sets[hash as usize % SETS].0;
        let now_short = (now.as_secs() * 1_000_000 + u64::from(now.subsec_micros())) & TIME;
        for _ in 0..TRIES {
            let (word, old) = find(set, hash & TAG, now_short);
            let ahead = ahead(old, now_short);
            let known = old & TAG == hash & TAG;
            // A pair that replaces another inherits its bucket level, so crowding a set does not refill buckets.
            let (new, action) = if ahead + self.interval <= BURST {
                (hash & TAG | (now_short + ahead + self.interval) & TIME, LimitAction::Send)
            } else if !known {
                // Every bucket of the set is nearly empty, which requires simultaneous floods from thousands of
                // networks. This pair is probably not one of them.
                return LimitAction::Send;
            } else {
                self.hold_back(old)
            };
            // Relaxed ordering is enough, because the word is the whole state.
            if word.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                if action != LimitAction::Send {
                    self.track(source, kind, now, action);
                }
                return action;
            }
        }
        LimitAction::Send
    }

    /// Returns the new word of a pair with an empty bucket after one more reply, and the decision about that reply.
    fn hold_back(&self, old: u64) -> (u64, LimitAction) {
        let slip = u64::from(self.limit.slip);
        let count = ((old & COUNT) >> COUNT_AT) + 1;
        if count < slip {
            return (old & !COUNT | count << COUNT_AT, LimitAction::Drop);
        }
        (old & !COUNT, if slip == 0 { LimitAction::Drop } else { LimitAction::Slip })
    }

    #[inline]
    fn hash(&self, source: IpAddr, kind: Kind) -> u64 {
        match source {
            IpAddr::V4(address) => {
                let network = masked4(address, self.limit.prefix4).to_be_bytes();
                self.hasher.hash(&[network[0], network[1], network[2], network[3], kind as u8])
            }
            IpAddr::V6(address) => {
                let mut input = [kind as u8; 17];
                input[..16].copy_from_slice(&masked6(address, self.limit.prefix6).to_be_bytes());
                self.hasher.hash(&input)
            }
        }
    }

    /// Counts a limited reply, and tracks its network unless another thread is doing so.
    #[cold]
    fn track(&self, source: IpAddr, kind: Kind, now: Duration, action: LimitAction) {
        let count = if action == LimitAction::Slip { &self.truncated } else { &self.dropped };
        count.fetch_add(1, Ordering::Relaxed);
        let Ok(mut limited) = self.limited.try_lock() else { return };
        let network = self.network(source);
        if let Some(entry) = limited.iter_mut().find(|entry| entry.network == network && entry.kind == kind) {
            entry.last = now;
        } else if limited.len() < MAX_TRACKED {
            // Never exceed the capacity, because this must not allocate.
            limited.push(Limited { network, kind, last: now, reported: false });
        }
    }

    fn network(&self, source: IpAddr) -> Network {
        match source {
            IpAddr::V4(address) => {
                let prefix = self.limit.prefix4;
                Network { address: Ipv4Addr::from_bits(masked4(address, prefix)).into(), prefix }
            }
            IpAddr::V6(address) => {
                let prefix = self.limit.prefix6;
                Network { address: Ipv6Addr::from_bits(masked6(address, prefix)).into(), prefix }
            }
        }
    }

    /// Returns the changes since the last call: never more than a few events per minute, whatever the flood.
    pub fn events(&self, now: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        let mut limited = self.limited.lock().unwrap_or_else(PoisonError::into_inner);
        limited.retain_mut(|entry| {
            if !entry.reported {
                entry.reported = true;
                events.push(Event::Began(entry.network, entry.kind));
            }
            let calm = now.saturating_sub(entry.last) > CALM_PERIOD;
            if calm {
                events.push(Event::Ended(entry.network, entry.kind));
            }
            !calm
        });
        events
    }

    /// Returns the numbers of limited replies so far: dropped, and sent truncated.
    pub fn held_back(&self) -> (u64, u64) {
        (self.dropped.load(Ordering::Relaxed), self.truncated.load(Ordering::Relaxed))
    }
}

impl Kind {
    /// Returns the kind of a reply with a verdict.
    #[inline]
    pub(super) fn of(verdict: &Verdict<'_>) -> Self {
        match verdict.rcode {
            Rcode::NO_ERROR if verdict.authoritative => Self::Answer,
            Rcode::NO_ERROR | Rcode::NAME_ERROR | Rcode::YX_DOMAIN => Self::Denial,
            _ => Self::Error,
        }
    }
}

/// Returns the word with a tag, or otherwise the one with the fullest bucket, and its value.
#[inline]
fn find(set: &[AtomicU64; WAYS], tag: u64, now: u64) -> (&AtomicU64, u64) {
    let mut fullest = (&set[0], 0, u64::MAX);
    for word in set {
        let value = word.load(Ordering::Relaxed);
        if value & TAG == tag {
            return (word, value);
        }
        let ahead = ahead(value, now);
        if ahead < fullest.2 {
            fullest = (word, value, ahead);
        }
    }
    (fullest.0, fullest.1)
}

/// Returns the time until a word's bucket is full, in microseconds; a value above the maximum is in the past.
#[inline]
fn ahead(word: u64, now: u64) -> u64 {
    match word.wrapping_sub(now) & TIME {
        ahead @ ..=BURST => ahead,
        _ => 0,
    }
}

fn masked4(address: Ipv4Addr, prefix: u8) -> u32 {
    address.to_bits() & u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)
}

fn masked6(address: Ipv6Addr, prefix: u8) -> u128 {
    address.to_bits() & u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answer => "answers",
            Self::Denial => "denials and referrals",
            Self::Error => "errors",
        })
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limiter({:?})", self.limit)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limiter(per_second: u32, slip: u8) -> Limiter {
        Limiter::new(RateLimit { per_second, slip, ..RateLimit::default() }, [7; 16])
    }

    fn count_actions(limiter: &Limiter, source: &str, now: Duration, count: usize) -> [usize; 3] {
        let source = source.parse().unwrap();
        let mut counts = [0; 3];
        for _ in 0..count {
            counts[limiter.decide(source, Kind::Answer, now) as usize] += 1;
        }
        counts
    }

    #[test]
    fn a_network_is_limited_to_its_rate() {
        for per_second in [1, 3, 200, 1000] {
            let limiter = limiter(per_second, 2);
            let rate = per_second as usize;
            assert_eq!(count_actions(&limiter, "192.0.2.1", SECOND, rate), [rate, 0, 0]);
            assert_eq!(
                count_actions(&limiter, "192.0.2.99", SECOND, 100),
                [0, 50, 50],
                "a neighbour shares the bucket"
            );
            assert_eq!(count_actions(&limiter, "192.0.3.1", SECOND, 1), [1, 0, 0], "the next network has its own");
            // After a tenth of a second a tenth of the rate is available again, and after a long time no more than the
            // burst.
            let tenth = per_second as usize / 10;
            assert_eq!(count_actions(&limiter, "192.0.2.1", SECOND * 11 / 10, 1000)[0], tenth);
            assert_eq!(count_actions(&limiter, "192.0.2.1", SECOND * 1000, 2000)[0], rate);
        }
    }

    #[test]
    fn slip_selects_truncated_replies() {
        for (slip, expected) in [(0, [1, 60, 0]), (1, [1, 0, 60]), (2, [1, 30, 30]), (3, [1, 40, 20]), (10, [1, 54, 6])]
        {
            assert_eq!(count_actions(&limiter(1, slip), "2001:db8::1", SECOND, 61), expected, "slip {slip}");
        }
    }

    #[test]
    fn kinds_and_networks_are_separate() {
        let limiter = limiter(1, 2);
        let decide = |source: &str, kind| limiter.decide(source.parse().unwrap(), kind, SECOND);
        for kind in [Kind::Answer, Kind::Denial, Kind::Error] {
            for source in ["192.0.2.0", "2001:db8::", "2001:db8:0:100::"] {
                assert_eq!(decide(source, kind), LimitAction::Send);
            }
            for source in ["192.0.2.255", "2001:db8:0:ff::", "2001:db8:0:1ff::"] {
                assert_eq!(decide(source, kind), LimitAction::Drop, "{source}");
            }
        }
    }

    /// The time has few bits; wrapping around must not limit anyone without cause.
    #[test]
    fn time_wraps_around() {
        let limiter = limiter(1, 2);
        let wrap = Duration::from_micros(1 << COUNT_AT);
        for now in [Duration::ZERO, wrap - SECOND * 2, wrap, wrap + SECOND * 2, wrap * 3 / 2, wrap * 3, SECOND] {
            assert_eq!(count_actions(&limiter, "192.0.2.1", now, 2), [1, 1, 0], "{now:?}");
        }
    }

    #[test]
    fn floods_do_not_affect_other_networks() {
        let limiter = limiter(10, 2);
        let mut now = SECOND;
        let mut got = [0; 3];
        for step in 0..200_000_u32 {
            // One query every five microseconds: every second one from the victim's network, the others from anywhere.
            now += Duration::from_micros(5);
            let anywhere = Ipv4Addr::from_bits(step.wrapping_mul(0x9e37_79b9) | 0x8000_0000);
            assert_eq!(limiter.decide(anywhere.into(), Kind::Answer, now), LimitAction::Send);
            let victim = count_actions(&limiter, "10.1.2.3", now, 1);
            got = [got[0] + victim[0], got[1] + victim[1], got[2] + victim[2]];
            if step % 20_000 == 0 {
                assert_eq!(count_actions(&limiter, "172.16.0.1", now, 1), [1, 0, 0]);
            }
        }
        assert!((19..=21).contains(&got[0]), "a burst and one second of the rate: {got:?}");
    }

    #[test]
    fn threads_share_a_bucket() {
        let limiter = limiter(1000, 2);
        let got = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| count_actions(&limiter, "192.0.2.1", SECOND, 1000))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()[0]).sum::<usize>()
        });
        // If other threads keep changing the word, the reply is sent rather than delayed.
        assert!((1000..1100).contains(&got), "{got}");
    }

    #[test]
    fn beginning_and_end_are_reported_once() {
        let limiter = limiter(1, 2);
        assert_eq!(limiter.events(SECOND), []);
        count_actions(&limiter, "192.0.2.1", SECOND, 10);
        count_actions(&limiter, "2001:db8::1", SECOND, 10);
        let networks = ["192.0.2.0/24", "2001:db8::/56"];
        let reported = |events: Vec<Event>| {
            let reported = events.into_iter().map(|event| match event {
                Event::Began(network, kind) => format!("+{network} {kind}"),
                Event::Ended(network, kind) => format!("-{network} {kind}"),
            });
            reported.collect::<Vec<_>>()
        };
        assert_eq!(reported(limiter.events(SECOND)), networks.map(|network| format!("+{network} answers")));
        assert_eq!(limiter.events(SECOND * 2), []);
        assert_eq!(reported(limiter.events(SECOND * 100)), networks.map(|network| format!("-{network} answers")));
        assert_eq!(limiter.events(SECOND * 100), []);
        assert_eq!(limiter.held_back(), (10, 8));
        // If many networks are limited at once, only some are reported.
        for number in 0..=255 {
            count_actions(&limiter, &format!("10.0.{number}.1"), SECOND * 200, 2);
        }
        assert_eq!(limiter.events(SECOND * 200).len(), MAX_TRACKED);
    }
}
