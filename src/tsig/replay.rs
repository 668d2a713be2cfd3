//! Replay protection: a record of accepted requests, so that none is accepted twice (RFC 8945 §5.2.3).
//!
//! A signature is valid for as long as the fudge allows, however often it is sent. RFC 8945 suggests storing the last
//! signing time of each key and rejecting older requests. That rejects requests that overtake each other in the
//! network, and cannot distinguish a retransmission from a second request in the same second. Therefore each request is
//! stored by its MAC until it expires, together with the value that answers its retransmissions.
//!
//! When there is no room, the oldest request of the key with the most requests is dropped. From then on, requests that
//! this key signed at or before that time are rejected. So memory is bounded, no request is accepted twice (even if the
//! clock is set back), and a busy key displaces its own requests before those of others.

use std::collections::{BTreeMap, HashMap};

use super::server::Request;
use crate::dns::Name;

/// Limits on the number of stored requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The limit for each key.
    pub per_key: usize,
    /// The limit for all keys together.
    pub total: usize,
}

impl Default for Limits {
    /// Allows twenty requests per second for each key within the usual fudge of five minutes, and ten times as many in
    /// total.
    fn default() -> Self {
        Self { per_key: 6_000, total: 60_000 }
    }
}

/// The result of a replay check.
#[derive(Debug, PartialEq, Eq)]
pub enum Replay<'r, V> {
    /// The request is new and now stored with this value.
    New(&'r mut V),
    /// The request was seen before and stored with this value.
    Seen(&'r mut V),
    /// The request is too old to be checked; [`Request::stale`] returns the failure for the reply.
    TooOld,
}

/// The store of accepted requests, each with a value.
#[derive(Debug)]
pub struct Replays<V> {
    limits: Limits,
    /// Requests signed at or before this time are rejected, unless their key has its own floor.
    floor: u64,
    keys: HashMap<Name, KeyRequests<V>>,
    /// Limits on the number of stored requests.
    len: usize,
    /// The time of the next sweep for expired requests over all keys.
    next_sweep: u64,
}

/// The requests of one key.
#[derive(Debug)]
struct KeyRequests<V> {
    /// Requests signed at or before this time are rejected, unless they are stored.
    floor: u64,
    /// The time after which all dropped requests have expired.
    expired_after: u64,
    /// The requests by signing time and MAC.
    requests: BTreeMap<(u64, Box<[u8]>), Entry<V>>,
}

#[derive(Debug)]
struct Entry<V> {
    /// The last second in which the request has not expired.
    until: u64,
    value: V,
}

/// The interval between sweeps for expired requests, in seconds.
const SWEEP_INTERVAL: u64 = 60;

/// How much longer than necessary a key without requests is kept, in seconds, in case the clock is set back.
const GRACE: u64 = 86_400;

impl<V> Replays<V> {
    /// Creates an empty store that rejects requests signed at or before the time `floor`.
    ///
    /// Requests that a previous run accepted are unknown to this one; with the start time as `floor` they cannot be
    /// replayed either.
    pub fn new(limits: Limits, floor: u64) -> Self {
        Self { limits, floor, keys: HashMap::new(), len: 0, next_sweep: 0 }
    }

    /// Returns the time at or before which signed requests are rejected by default.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// Replaces the floor, because the clock was wrong when the store was created. Stored requests stay, and keys that
    /// have any keep their own floors.
    pub fn set_floor(&mut self, floor: u64) {
        self.floor = floor;
    }

    /// Returns the number of stored requests.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether no request is stored.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Checks whether a request was seen before, and stores it with `value` if it is new.
    pub fn check(&mut self, request: &Request, now: u64, value: impl FnOnce() -> V) -> Replay<'_, V> {
        self.check_parts(request.key().name(), request.full_mac(), request.time_signed(), request.fudge(), now, value)
    }

    /// Returns the value stored with a request, if the request is still stored.
    pub fn get_mut(&mut self, request: &Request) -> Option<&mut V> {
        let stored = self.keys.get_mut(request.key().name())?;
        stored.requests.get_mut(&(request.time_signed(), request.full_mac().into())).map(|entry| &mut entry.value)
    }

    fn check_parts(
        &mut self,
        key: &Name,
        mac: &[u8],
        time: u64,
        fudge: u16,
        now: u64,
        value: impl FnOnce() -> V,
    ) -> Replay<'_, V> {
        let at = (time, mac.into());
        let stored = self.keys.get(key);
        if stored.is_some_and(|stored| stored.requests.contains_key(&at)) {
            return match self.keys.get_mut(key).and_then(|stored| stored.requests.get_mut(&at)) {
                Some(entry) => Replay::Seen(&mut entry.value),
                None => Replay::TooOld,
            };
        }
        if time <= stored.map_or(self.floor, |stored| stored.floor) || !self.make_room(key, time, now) {
            return Replay::TooOld;
        }
        let floor = self.floor;
        let stored = self.keys.entry(key.clone()).or_insert_with(|| KeyRequests::new(floor));
        self.len += 1;
        let entry = Entry { until: time.saturating_add(fudge.into()), value: value() };
        Replay::New(&mut stored.requests.entry(at).or_insert(entry).value)
    }

    /// Makes room for one more request of `key`, signed at `time`; returns `false` if it is older than the request that
    /// would be dropped for it.
    fn make_room(&mut self, key: &Name, time: u64, now: u64) -> bool {
        if now >= self.next_sweep
            || now.saturating_add(SWEEP_INTERVAL) < self.next_sweep
            || self.len >= self.limits.total
        {
            self.sweep(now);
        }
        if let Some(stored) = self.keys.get_mut(key) {
            self.len -= stored.expire(now);
            if time <= stored.floor {
                return false;
            }
            if stored.requests.len() >= self.limits.per_key {
                return self.drop_oldest(&key.clone(), Some(time));
            }
        }
        if self.len < self.limits.total {
            return true;
        }
        let busiest = self.keys.iter().max_by_key(|(_, stored)| stored.requests.len()).map(|(name, _)| name.clone());
        match busiest {
            Some(busiest) => {
                let time = (busiest == *key).then_some(time);
                self.drop_oldest(&busiest, time)
            }
            None => false,
        }
    }

    /// Drops the oldest request of a key, unless the new one (of the same key, signed at `time`) is no newer; returns
    /// whether it did.
    fn drop_oldest(&mut self, key: &Name, time: Option<u64>) -> bool {
        let Some(stored) = self.keys.get_mut(key) else { return false };
        let oldest = stored.requests.first_key_value().map(|(&(oldest, _), _)| oldest);
        if oldest.is_none_or(|oldest| time.is_some_and(|time| time <= oldest)) {
            return false;
        }
        stored.drop_first();
        self.len -= 1;
        true
    }

    /// Drops all expired requests, and keys that are no longer needed.
    fn sweep(&mut self, now: u64) {
        self.next_sweep = now.saturating_add(SWEEP_INTERVAL);
        for stored in self.keys.values_mut() {
            self.len -= stored.expire(now);
        }
        self.keys.retain(|_, stored| !stored.requests.is_empty() || now <= stored.expired_after.saturating_add(GRACE));
    }
}

impl<V> KeyRequests<V> {
    fn new(floor: u64) -> Self {
        Self { floor, expired_after: 0, requests: BTreeMap::new() }
    }

    /// Drops expired requests and returns their number.
    ///
    /// A request with a larger fudge than the others delays those after it, which costs only memory.
    fn expire(&mut self, now: u64) -> usize {
        let mut count = 0;
        while self.requests.first_key_value().is_some_and(|(_, entry)| entry.until < now) {
            self.drop_first();
            count += 1;
        }
        count
    }

    fn drop_first(&mut self) {
        if let Some(((time, _), entry)) = self.requests.pop_first() {
            self.floor = self.floor.max(time);
            self.expired_after = self.expired_after.max(entry.until);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::tsig::{Algorithm, Key, Policy, sign, verify};

    fn name(index: u8) -> Name {
        Name::from_text(&format!("k{index}")).unwrap()
    }

    /// The outcome of a check, with the stored value.
    #[derive(Debug, PartialEq)]
    enum Outcome {
        New,
        Seen(u32),
        TooOld,
    }

    impl Replays<u32> {
        fn outcome(&mut self, key: u8, mac: &[u8], time: u64, now: u64, value: u32) -> Outcome {
            match self.check_parts(&name(key), mac, time, 300, now, || value) {
                Replay::New(_) => Outcome::New,
                Replay::Seen(value) => Outcome::Seen(*value),
                Replay::TooOld => Outcome::TooOld,
            }
        }
    }

    #[test]
    fn retransmissions() {
        let mut replays = Replays::new(Limits::default(), 0);
        assert_eq!(replays.outcome(1, b"a", 1000, 1000, 7), Outcome::New);
        assert_eq!(replays.outcome(1, b"a", 1000, 1001, 8), Outcome::Seen(7));
        assert_eq!(replays.outcome(1, b"a", 1000, 1300, 8), Outcome::Seen(7));
        // Two requests in one second and reordered requests are accepted.
        assert_eq!(replays.outcome(1, b"b", 1000, 1001, 9), Outcome::New);
        assert_eq!(replays.outcome(1, b"c", 999, 1001, 9), Outcome::New);
        assert_eq!(replays.outcome(2, b"a", 1000, 1001, 9), Outcome::New);
        assert_eq!(replays.len(), 4);
        // Expired requests are dropped; if the clock is then set back, they are still rejected.
        assert_eq!(replays.outcome(1, b"d", 1400, 1400, 9), Outcome::New);
        assert_eq!(replays.len(), 1);
        assert_eq!(replays.outcome(1, b"a", 1000, 1100, 9), Outcome::TooOld);
        assert_eq!(replays.outcome(1, b"e", 1001, 1100, 9), Outcome::New);
    }

    #[test]
    fn requests_before_the_start_are_rejected() {
        let mut replays = Replays::new(Limits::default(), 1000);
        assert_eq!(replays.outcome(1, b"a", 1000, 1001, 1), Outcome::TooOld);
        assert_eq!(replays.outcome(1, b"a", 1001, 1001, 1), Outcome::New);
    }

    #[test]
    fn a_floor_in_the_future_can_be_lowered() {
        let mut replays = Replays::new(Limits::default(), 9_000);
        assert_eq!(replays.outcome(1, b"a", 1_000, 1_000, 1), Outcome::TooOld);
        replays.set_floor(900);
        assert_eq!((replays.floor(), replays.outcome(1, b"a", 1_000, 1_000, 1)), (900, Outcome::New));
        assert_eq!(replays.outcome(1, b"a", 1_000, 1_000, 2), Outcome::Seen(1));
        assert_eq!(replays.outcome(1, b"b", 900, 1_000, 3), Outcome::TooOld);
    }

    #[test]
    fn limits() {
        let mut replays = Replays::new(Limits { per_key: 3, total: 5 }, 0);
        for (mac, time) in [(b"a", 1010), (b"b", 1020), (b"c", 1030)] {
            assert_eq!(replays.outcome(1, mac, time, 1030, 1), Outcome::New);
        }
        // The oldest request is dropped; older ones can no longer be distinguished from it.
        assert_eq!(replays.outcome(1, b"o", 1009, 1030, 1), Outcome::TooOld);
        assert_eq!(replays.outcome(1, b"d", 1031, 1031, 1), Outcome::New);
        assert_eq!(replays.outcome(1, b"a", 1010, 1031, 1), Outcome::TooOld);
        assert_eq!(replays.outcome(1, b"n", 1010, 1031, 1), Outcome::TooOld);
        assert_eq!(replays.outcome(1, b"b", 1020, 1031, 2), Outcome::Seen(1));
        // Other keys are not affected, and take room from the key with the most requests.
        for mac in [b"e", b"f", b"g"] {
            assert_eq!(replays.outcome(2, mac, 1005, 1031, 1), Outcome::New);
        }
        assert_eq!(replays.len(), 5);
        assert_eq!(replays.outcome(1, b"b", 1020, 1031, 1), Outcome::TooOld);
        assert_eq!(replays.outcome(2, b"e", 1005, 1031, 2), Outcome::Seen(1));
    }

    /// An unused key is dropped, but only after all its requests have expired.
    #[test]
    fn unused_keys_are_dropped() {
        let mut replays = Replays::new(Limits::default(), 0);
        replays.outcome(1, b"a", 1000, 1000, 1);
        replays.outcome(2, b"b", 1300 + GRACE, 1300 + GRACE, 1);
        assert_eq!((replays.keys.len(), replays.len()), (2, 1));
        replays.outcome(2, b"c", 1301 + GRACE + SWEEP_INTERVAL, 1301 + GRACE + SWEEP_INTERVAL, 1);
        assert_eq!((replays.keys.len(), replays.len()), (1, 2));
    }

    /// Copies of a request count as one, whatever their ID and MAC truncation.
    #[test]
    fn copies_of_a_request_are_seen() {
        let key = Arc::new(Key::new(name(1), Algorithm::Sha256, vec![1; 32]).unwrap());
        let mut message = vec![0, 1, 0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        sign(&key, &mut message, 1000).unwrap();
        let mut other = message.clone();
        other[1] = 2;
        // Shorten the MAC and the record by 16 octets.
        let mac = message.len() - 6 - 32;
        let mut truncated = message.clone();
        truncated.drain(mac + 16..mac + 32);
        truncated[mac - 1] -= 16;
        truncated[12 + 4 + 9] -= 16;
        let mut replays = Replays::new(Limits::default(), 0);
        for (index, message) in [message, other, truncated].iter().enumerate() {
            let verified = verify(message, |_| Some(key.clone()), &Policy::default(), 1000).unwrap().unwrap();
            match replays.check(&verified.request, 1000, || index) {
                Replay::New(value) => assert_eq!((index, *value), (0, 0)),
                Replay::Seen(value) => assert_eq!((index > 0, *value), (true, index + 6)),
                Replay::TooOld => panic!("the request is not too old"),
            }
            *replays.get_mut(&verified.request).unwrap() = index + 7;
            assert_eq!(verified.request.stale(1000).error(), Some(18));
        }
        assert_eq!(replays.len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// No request is new twice and the limits hold, even with a clock that jumps back and forth.
        #[test]
        fn no_request_is_new_twice(
            per_key in 1_usize..6,
            total in 1_usize..10,
            events in proptest::collection::vec((0_u8..4, 0_u8..60, -30_i64..40), 1..150),
        ) {
            let mut replays = Replays::new(Limits { per_key, total }, 0);
            let mut new = HashSet::new();
            let mut now = 10_000_u64;
            for (key, mac, step) in events {
                now = now.saturating_add_signed(step);
                // Pairs of requests have the same time.
                let outcome = replays.outcome(key, &[mac], 9_900 + u64::from(mac / 2) * 40, now, mac.into());
                match outcome {
                    Outcome::New => prop_assert!(new.insert((key, mac))),
                    Outcome::Seen(value) => prop_assert!(value == u32::from(mac) && new.contains(&(key, mac))),
                    Outcome::TooOld => {}
                }
                let lens: Vec<usize> = replays.keys.values().map(|stored| stored.requests.len()).collect();
                prop_assert!(replays.len() <= total && lens.iter().all(|&len| len <= per_key));
                prop_assert_eq!(replays.len(), lens.iter().sum::<usize>());
            }
        }

        /// With enough room and a steady clock, no request that is in time is rejected.
        #[test]
        fn no_valid_request_is_rejected(events in proptest::collection::vec((0_u8..4, 0_u8..200, 0_u64..40), 1..150)) {
            let mut replays = Replays::new(Limits::default(), 0);
            let mut new = HashSet::new();
            let mut now = 10_000_u64;
            for (key, mac, step) in events {
                now += step;
                let time = 9_800 + u64::from(mac / 2) * 20;
                if time.abs_diff(now) <= 300 {
                    let outcome = replays.outcome(key, &[mac], time, now, 0);
                    prop_assert_eq!(outcome, if new.insert((key, mac)) { Outcome::New } else { Outcome::Seen(0) });
                }
            }
        }
    }
}
