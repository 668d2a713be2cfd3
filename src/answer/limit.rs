//! Response rate limiting: no victim of forged queries gets more of our replies than a resolver needs.
//!
//! Replies over UDP are counted by the client's network and by kind. The state of a pair is one word, so the threads
//! that answer share the table without a lock: when the pair's bucket will be full again (the generic cell rate
//! algorithm, which is a token bucket that needs no refilling), what tells the pair from others, and a count of the
//! replies held back. The table is sized once:
//!
//! ```text
//! network, kind ─ keyed hash ─► set of eight words (a cache line) ─► the word with the pair's tag,
//!                                                                    else the one whose bucket is fullest
//! ```
//!
//! A full bucket is as good as none, so replacing its word loses nothing. A pair that sends one query fills its bucket
//! again within milliseconds: a flood from as many networks as a link can carry finds room, and the pairs that are held
//! back, whose buckets are the emptiest, are the last to be forgotten. The hash is keyed lest somebody choose networks
//! that share a set with a victim.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use siphasher::sip::SipHasher13;

use super::Verdict;
use crate::dns::message::Rcode;

/// How many replies a client's network gets over UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Replies of one kind to one network, per second and at once.
    pub per_second: u32,
    /// Every how many-th reply beyond that is sent truncated, for honest clients to come again over TCP; 0 for none.
    pub slip: u8,
    /// The length of the prefix that makes a network of IPv4 addresses, in bits.
    pub prefix4: u8,
    /// The length of the prefix that makes a network of IPv6 addresses, in bits.
    pub prefix6: u8,
}

impl Default for RateLimit {
    /// What NSD limits to, by the networks BIND and Knot tell apart; a truncated reply for every other query lets an honest
    /// client through nearly always.
    fn default() -> Self {
        Self { per_second: 200, slip: 2, prefix4: 24, prefix6: 56 }
    }
}

/// Kinds of replies, counted apart: a flood of one hardly touches the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The data asked for, or that there is none of that type.
    Answer,
    /// There is no such name, or others know: what random names get.
    Denial,
    /// Everything else.
    Error,
}

/// What becomes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// It is sent.
    Send,
    /// It is not sent.
    Drop,
    /// It is sent without its records, as one that asks for TCP.
    Slip,
}

/// Words that share a cache line, and a place in the table.
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

const WAYS: usize = 8;

/// Sets in the table, 128 KiB of them; a power of two.
const SETS: usize = 2048;

/// A word's bits: 20 of tag, 4 that count replies held back, 40 of the time, in microseconds, at which the bucket is full.
const TIME: u64 = (1 << COUNT_AT) - 1;
const COUNT_AT: u32 = 40;
const COUNT: u64 = 0xf << COUNT_AT;
const TAG: u64 = !(COUNT | TIME);

/// The time from an empty bucket to a full one, in microseconds.
const BURST: u64 = 1_000_000;

/// How often a word that other threads keep changing is tried.
const TRIES: usize = 4;

/// Networks whose limiting is told of at a time.
const TOLD: usize = 16;

/// For how long a network must not have been limited to be told of as free again.
const CALM: Duration = Duration::from_secs(60);

/// Counts replies and decides which are sent; many threads may ask.
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
    told: bool,
}

/// A network by its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The lowest address.
    pub address: IpAddr,
    /// The prefix's length, in bits.
    pub prefix: u8,
}

/// What there is to tell of limiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Replies of a kind to a network are held back from now on.
    Began(Network, Kind),
    /// They are not any more.
    Ended(Network, Kind),
}

impl Limiter {
    /// Returns a limiter under whose eyes nobody has got a reply yet; `key` should be random.
    #[must_use]
    pub fn new(limit: RateLimit, key: [u8; 16]) -> Self {
        Self {
            limit,
            interval: (BURST / u64::from(limit.per_second.max(1))).max(1),
            hasher: SipHasher13::new_with_key(&key),
            sets: (0..SETS).map(|_| Set(Default::default())).collect(),
            dropped: AtomicU64::new(0),
            truncated: AtomicU64::new(0),
            limited: Mutex::new(Vec::with_capacity(TOLD)),
        }
    }

    /// Decides what becomes of a reply to `source`; `now` is a time since any moment, the same for all calls.
    #[inline]
    pub(super) fn rule(&self, source: IpAddr, kind: Kind, now: Duration) -> Ruling {
        let hash = self.hash(source, kind);
        let set = &self.sets[hash as usize % SETS].0;
        let now_short = (now.as_secs() * 1_000_000 + u64::from(now.subsec_micros())) & TIME;
        for _ in 0..TRIES {
            let (word, old) = find(set, hash & TAG, now_short);
            let ahead = ahead(old, now_short);
            let known = old & TAG == hash & TAG;
            // A pair that takes another's word inherits what that has used up: crowding a set refills no bucket.
            let (new, ruling) = if ahead + self.interval <= BURST {
                (hash & TAG | (now_short + ahead + self.interval) & TIME, Ruling::Send)
            } else if !known {
                // Every bucket of the set is nearly empty, which takes floods from thousands of networks at once: this
                // pair may be one of them, but more likely it is not.
                return Ruling::Send;
            } else {
                self.hold_back(old)
            };
            // Relaxed: the word is all there is.
            if word.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                if ruling != Ruling::Send {
                    self.note(source, kind, now, ruling);
                }
                return ruling;
            }
        }
        Ruling::Send
    }

    /// Returns the word of a pair whose bucket is empty after one more reply is held back, and what becomes of that.
    fn hold_back(&self, old: u64) -> (u64, Ruling) {
        let slip = u64::from(self.limit.slip);
        let count = ((old & COUNT) >> COUNT_AT) + 1;
        if count < slip {
            return (old & !COUNT | count << COUNT_AT, Ruling::Drop);
        }
        (old & !COUNT, if slip == 0 { Ruling::Drop } else { Ruling::Slip })
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

    /// Counts a reply held back, and remembers whose it was if nobody else is about to.
    #[cold]
    fn note(&self, source: IpAddr, kind: Kind, now: Duration, ruling: Ruling) {
        let count = if ruling == Ruling::Slip { &self.truncated } else { &self.dropped };
        count.fetch_add(1, Ordering::Relaxed);
        let Ok(mut limited) = self.limited.try_lock() else { return };
        let network = self.network(source);
        if let Some(entry) = limited.iter_mut().find(|entry| entry.network == network && entry.kind == kind) {
            entry.last = now;
        } else if limited.len() < TOLD {
            // Never more than there is room for: this must not allocate.
            limited.push(Limited { network, kind, last: now, told: false });
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

    /// Returns what began or ended since the last call: never more than some events a minute, whatever the flood.
    pub fn events(&self, now: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        let mut limited = self.limited.lock().unwrap_or_else(PoisonError::into_inner);
        limited.retain_mut(|entry| {
            if !entry.told {
                entry.told = true;
                events.push(Event::Began(entry.network, entry.kind));
            }
            let calm = now.saturating_sub(entry.last) > CALM;
            if calm {
                events.push(Event::Ended(entry.network, entry.kind));
            }
            !calm
        });
        events
    }

    /// Returns how many replies were held back so far: dropped, and sent truncated.
    pub fn held_back(&self) -> (u64, u64) {
        (self.dropped.load(Ordering::Relaxed), self.truncated.load(Ordering::Relaxed))
    }
}

impl Kind {
    /// Returns the kind of the reply a verdict makes.
    #[inline]
    pub(super) fn of(verdict: &Verdict<'_>) -> Self {
        match verdict.rcode {
            Rcode::NO_ERROR if verdict.authoritative => Self::Answer,
            Rcode::NO_ERROR | Rcode::NAME_ERROR | Rcode::YX_DOMAIN => Self::Denial,
            _ => Self::Error,
        }
    }
}

/// Finds the word with a tag, or the one whose bucket is fullest, and what is in it.
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

/// Returns how long a word's bucket still takes to be full; what seems longer than ever is the past.
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

    fn rulings(limiter: &Limiter, source: &str, now: Duration, count: usize) -> [usize; 3] {
        let source = source.parse().unwrap();
        let mut counts = [0; 3];
        for _ in 0..count {
            counts[limiter.rule(source, Kind::Answer, now) as usize] += 1;
        }
        counts
    }

    #[test]
    fn a_network_gets_its_rate_and_no_more() {
        for per_second in [1, 3, 200, 1000] {
            let limiter = limiter(per_second, 2);
            let most = per_second as usize;
            assert_eq!(rulings(&limiter, "192.0.2.1", SECOND, most), [most, 0, 0]);
            assert_eq!(rulings(&limiter, "192.0.2.99", SECOND, 100), [0, 50, 50], "a neighbour shares the bucket");
            assert_eq!(rulings(&limiter, "192.0.3.1", SECOND, 1), [1, 0, 0], "the next network has its own");
            // A tenth of a second later a tenth of the rate is there again, and after a long time no more than all.
            let tenth = per_second as usize / 10;
            assert_eq!(rulings(&limiter, "192.0.2.1", SECOND * 11 / 10, 1000)[0], tenth);
            assert_eq!(rulings(&limiter, "192.0.2.1", SECOND * 1000, 2000)[0], most);
        }
    }

    #[test]
    fn slip_says_which_are_truncated() {
        for (slip, expected) in [(0, [1, 60, 0]), (1, [1, 0, 60]), (2, [1, 30, 30]), (3, [1, 40, 20]), (10, [1, 54, 6])]
        {
            assert_eq!(rulings(&limiter(1, slip), "2001:db8::1", SECOND, 61), expected, "slip {slip}");
        }
    }

    #[test]
    fn kinds_and_networks_are_apart() {
        let limiter = limiter(1, 2);
        let rule = |source: &str, kind| limiter.rule(source.parse().unwrap(), kind, SECOND);
        for kind in [Kind::Answer, Kind::Denial, Kind::Error] {
            for source in ["192.0.2.0", "2001:db8::", "2001:db8:0:100::"] {
                assert_eq!(rule(source, kind), Ruling::Send);
            }
            for source in ["192.0.2.255", "2001:db8:0:ff::", "2001:db8:0:1ff::"] {
                assert_eq!(rule(source, kind), Ruling::Drop, "{source}");
            }
        }
    }

    /// Time is kept in few bits; whatever it is, nobody is limited without cause.
    #[test]
    fn no_time_is_special() {
        let limiter = limiter(1, 2);
        let wrap = Duration::from_micros(1 << COUNT_AT);
        for now in [Duration::ZERO, wrap - SECOND * 2, wrap, wrap + SECOND * 2, wrap * 3 / 2, wrap * 3, SECOND] {
            assert_eq!(rulings(&limiter, "192.0.2.1", now, 2), [1, 1, 0], "{now:?}");
        }
    }

    #[test]
    fn a_flood_from_one_network_or_from_all_hinders_nobody_else() {
        let limiter = limiter(10, 2);
        let mut now = SECOND;
        let mut got = [0; 3];
        for step in 0..200_000_u32 {
            // Five microseconds a query: one in two from the victim's network, the others from anywhere.
            now += Duration::from_micros(5);
            let anywhere = Ipv4Addr::from_bits(step.wrapping_mul(0x9e37_79b9) | 0x8000_0000);
            assert_eq!(limiter.rule(anywhere.into(), Kind::Answer, now), Ruling::Send);
            let victim = rulings(&limiter, "10.1.2.3", now, 1);
            got = [got[0] + victim[0], got[1] + victim[1], got[2] + victim[2]];
            if step % 20_000 == 0 {
                assert_eq!(rulings(&limiter, "172.16.0.1", now, 1), [1, 0, 0]);
            }
        }
        assert!((19..=21).contains(&got[0]), "one second's worth at once and one second: {got:?}");
    }

    #[test]
    fn threads_share_a_bucket() {
        let limiter = limiter(1000, 2);
        let got = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| rulings(&limiter, "192.0.2.1", SECOND, 1000))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()[0]).sum::<usize>()
        });
        // A word that others keep changing lets a query pass rather than wait.
        assert!((1000..1100).contains(&got), "{got}");
    }

    #[test]
    fn beginning_and_end_are_told_once() {
        let limiter = limiter(1, 2);
        assert_eq!(limiter.events(SECOND), []);
        rulings(&limiter, "192.0.2.1", SECOND, 10);
        rulings(&limiter, "2001:db8::1", SECOND, 10);
        let networks = ["192.0.2.0/24", "2001:db8::/56"];
        let told = |events: Vec<Event>| {
            let told = events.into_iter().map(|event| match event {
                Event::Began(network, kind) => format!("+{network} {kind}"),
                Event::Ended(network, kind) => format!("-{network} {kind}"),
            });
            told.collect::<Vec<_>>()
        };
        assert_eq!(told(limiter.events(SECOND)), networks.map(|network| format!("+{network} answers")));
        assert_eq!(limiter.events(SECOND * 2), []);
        assert_eq!(told(limiter.events(SECOND * 100)), networks.map(|network| format!("-{network} answers")));
        assert_eq!(limiter.events(SECOND * 100), []);
        assert_eq!(limiter.held_back(), (10, 8));
        // Many networks at once are told of in part.
        for number in 0..=255 {
            rulings(&limiter, &format!("10.0.{number}.1"), SECOND * 200, 2);
        }
        assert_eq!(limiter.events(SECOND * 200).len(), TOLD);
    }
}
