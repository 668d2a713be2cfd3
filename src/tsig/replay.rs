//! A memory of requests that were accepted, so that none is accepted twice (RFC 8945 §5.2.3).
//!
//! Within the fudge around its time a signature stays right, however often it is sent. RFC 8945 suggests to remember
//! each key's last time signed and refuse what is older; that refuses two requests overtaking each other on their way,
//! and does not tell a retransmission from a second request of the same second. So here each request is remembered by
//! its MAC until it is out of time, along with whatever its retransmission shall be answered with.
//!
//! When there is no room, the oldest one of the key that has most is forgotten, and with it the right to tell: what that
//! key signed at or before its time is refused from then on. So the memory is bounded, no request is accepted twice
//! (also if the clock is set back), and a key pushes out what it has done itself before that of others.

use std::collections::{BTreeMap, HashMap};

use super::server::Request;
use crate::dns::Name;

/// How many requests are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of one key.
    pub per_key: usize,
    /// In all.
    pub total: usize,
}

impl Default for Limits {
    /// Twenty requests a second of one key within the usual fudge of five minutes, and ten times that in all.
    fn default() -> Self {
        Self { per_key: 6_000, total: 60_000 }
    }
}

/// What is known of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Replay<'r, V> {
    /// It is the first of its kind, and from now on remembered with this.
    New(&'r mut V),
    /// It was there before, and this was remembered with it.
    Seen(&'r mut V),
    /// It is too old to tell: [`Request::stale`] makes the reply.
    TooOld,
}

/// Remembers requests that were accepted, each with a value.
#[derive(Debug)]
pub struct Replays<V> {
    limits: Limits,
    /// What was signed at this time or before is refused from the start.
    floor: u64,
    keys: HashMap<Name, Memory<V>>,
    /// How many requests are remembered.
    len: usize,
    /// When all keys are looked through next for what is out of time.
    next_sweep: u64,
}

/// The requests of one key.
#[derive(Debug)]
struct Memory<V> {
    /// What was signed at this time or before is refused, unless it is remembered.
    floor: u64,
    /// From this time on, no request that was forgotten could be accepted anyway.
    settled: u64,
    /// By time signed and MAC.
    requests: BTreeMap<(u64, Box<[u8]>), Entry<V>>,
}

#[derive(Debug)]
struct Entry<V> {
    /// The last second in which it is not out of time.
    until: u64,
    value: V,
}

/// How often what is out of time is looked for, in seconds.
const SWEEP: u64 = 60;

/// For how many seconds longer than need be a key without requests is remembered, in case the clock is set back.
const GRACE: u64 = 86_400;

impl<V> Replays<V> {
    /// Makes a memory that refuses what was signed at the time `floor` or before.
    ///
    /// What a previous run accepted is not known to this one: with the time of the start as `floor`, that cannot be sent
    /// again either.
    pub fn new(limits: Limits, floor: u64) -> Self {
        Self { limits, floor, keys: HashMap::new(), len: 0, next_sweep: 0 }
    }

    /// Returns the time up to which what was signed is refused from the start.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// Refuses what was signed at the time `floor` or before, and not until another time: the clock was wrong when this was
    /// made. What is remembered stays, and keys from which requests are remembered keep their own bounds.
    pub fn set_floor(&mut self, floor: u64) {
        self.floor = floor;
    }

    /// Returns how many requests are remembered.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether none is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tells whether a request was there before, and remembers it with `value` if it was not.
    pub fn check(&mut self, request: &Request, now: u64, value: impl FnOnce() -> V) -> Replay<'_, V> {
        self.check_parts(request.key().name(), request.full_mac(), request.time_signed(), request.fudge(), now, value)
    }

    /// Returns what is remembered with a request, if it still is.
    pub fn get_mut(&mut self, request: &Request) -> Option<&mut V> {
        let memory = self.keys.get_mut(request.key().name())?;
        memory.requests.get_mut(&(request.time_signed(), request.full_mac().into())).map(|entry| &mut entry.value)
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
        let memory = self.keys.get(key);
        if memory.is_some_and(|memory| memory.requests.contains_key(&at)) {
            return match self.keys.get_mut(key).and_then(|memory| memory.requests.get_mut(&at)) {
                Some(entry) => Replay::Seen(&mut entry.value),
                None => Replay::TooOld,
            };
        }
        if time <= memory.map_or(self.floor, |memory| memory.floor) || !self.make_room(key, time, now) {
            return Replay::TooOld;
        }
        let floor = self.floor;
        let memory = self.keys.entry(key.clone()).or_insert_with(|| Memory::new(floor));
        self.len += 1;
        let entry = Entry { until: time.saturating_add(fudge.into()), value: value() };
        Replay::New(&mut memory.requests.entry(at).or_insert(entry).value)
    }

    /// Makes room for one more request of `key`, signed at `time`; `false` if that is older than what would have to go.
    fn make_room(&mut self, key: &Name, time: u64, now: u64) -> bool {
        if now >= self.next_sweep || now.saturating_add(SWEEP) < self.next_sweep || self.len >= self.limits.total {
            self.sweep(now);
        }
        if let Some(memory) = self.keys.get_mut(key) {
            self.len -= memory.expire(now);
            if time <= memory.floor {
                return false;
            }
            if memory.requests.len() >= self.limits.per_key {
                return self.forget_oldest(&key.clone(), Some(time));
            }
        }
        if self.len < self.limits.total {
            return true;
        }
        let most = self.keys.iter().max_by_key(|(_, memory)| memory.requests.len()).map(|(name, _)| name.clone());
        match most {
            Some(most) => {
                let time = (most == *key).then_some(time);
                self.forget_oldest(&most, time)
            }
            None => false,
        }
    }

    /// Forgets the oldest request of a key; not if a new one of that key was signed no later, for then that is to go.
    fn forget_oldest(&mut self, key: &Name, time: Option<u64>) -> bool {
        let Some(memory) = self.keys.get_mut(key) else { return false };
        let oldest = memory.requests.first_key_value().map(|(&(oldest, _), _)| oldest);
        if oldest.is_none_or(|oldest| time.is_some_and(|time| time <= oldest)) {
            return false;
        }
        memory.forget_first();
        self.len -= 1;
        true
    }

    /// Forgets all that is out of time.
    fn sweep(&mut self, now: u64) {
        self.next_sweep = now.saturating_add(SWEEP);
        for memory in self.keys.values_mut() {
            self.len -= memory.expire(now);
        }
        self.keys.retain(|_, memory| !memory.requests.is_empty() || now <= memory.settled.saturating_add(GRACE));
    }
}

impl<V> Memory<V> {
    fn new(floor: u64) -> Self {
        Self { floor, settled: 0, requests: BTreeMap::new() }
    }

    /// Forgets requests that are out of time, and returns how many.
    ///
    /// A request with a larger fudge than the others keeps those behind it, which costs room but no more.
    fn expire(&mut self, now: u64) -> usize {
        let mut count = 0;
        while self.requests.first_key_value().is_some_and(|(_, entry)| entry.until < now) {
            self.forget_first();
            count += 1;
        }
        count
    }

    fn forget_first(&mut self) {
        if let Some(((time, _), entry)) = self.requests.pop_first() {
            self.floor = self.floor.max(time);
            self.settled = self.settled.max(entry.until);
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

    /// What came of a request, and what was remembered with it.
    #[derive(Debug, PartialEq)]
    enum Told {
        New,
        Seen(u32),
        TooOld,
    }

    impl Replays<u32> {
        fn told(&mut self, key: u8, mac: &[u8], time: u64, now: u64, value: u32) -> Told {
            match self.check_parts(&name(key), mac, time, 300, now, || value) {
                Replay::New(_) => Told::New,
                Replay::Seen(value) => Told::Seen(*value),
                Replay::TooOld => Told::TooOld,
            }
        }
    }

    #[test]
    fn retransmissions() {
        let mut replays = Replays::new(Limits::default(), 0);
        assert_eq!(replays.told(1, b"a", 1000, 1000, 7), Told::New);
        assert_eq!(replays.told(1, b"a", 1000, 1001, 8), Told::Seen(7));
        assert_eq!(replays.told(1, b"a", 1000, 1300, 8), Told::Seen(7));
        // Two in one second, and one overtaken by another, are good.
        assert_eq!(replays.told(1, b"b", 1000, 1001, 9), Told::New);
        assert_eq!(replays.told(1, b"c", 999, 1001, 9), Told::New);
        assert_eq!(replays.told(2, b"a", 1000, 1001, 9), Told::New);
        assert_eq!(replays.len(), 4);
        // Behind the fudge nobody asks; if the clock is set back then, it is still known to be late.
        assert_eq!(replays.told(1, b"d", 1400, 1400, 9), Told::New);
        assert_eq!(replays.len(), 1);
        assert_eq!(replays.told(1, b"a", 1000, 1100, 9), Told::TooOld);
        assert_eq!(replays.told(1, b"e", 1001, 1100, 9), Told::New);
    }

    #[test]
    fn what_was_before_the_start_is_refused() {
        let mut replays = Replays::new(Limits::default(), 1000);
        assert_eq!(replays.told(1, b"a", 1000, 1001, 1), Told::TooOld);
        assert_eq!(replays.told(1, b"a", 1001, 1001, 1), Told::New);
    }

    #[test]
    fn a_floor_in_the_future_can_be_lowered() {
        let mut replays = Replays::new(Limits::default(), 9_000);
        assert_eq!(replays.told(1, b"a", 1_000, 1_000, 1), Told::TooOld);
        replays.set_floor(900);
        assert_eq!((replays.floor(), replays.told(1, b"a", 1_000, 1_000, 1)), (900, Told::New));
        assert_eq!(replays.told(1, b"a", 1_000, 1_000, 2), Told::Seen(1));
        assert_eq!(replays.told(1, b"b", 900, 1_000, 3), Told::TooOld);
    }

    #[test]
    fn bounds() {
        let mut replays = Replays::new(Limits { per_key: 3, total: 5 }, 0);
        for (mac, time) in [(b"a", 1010), (b"b", 1020), (b"c", 1030)] {
            assert_eq!(replays.told(1, mac, time, 1030, 1), Told::New);
        }
        // The oldest goes; what is older than that cannot be told from it.
        assert_eq!(replays.told(1, b"o", 1009, 1030, 1), Told::TooOld);
        assert_eq!(replays.told(1, b"d", 1031, 1031, 1), Told::New);
        assert_eq!(replays.told(1, b"a", 1010, 1031, 1), Told::TooOld);
        assert_eq!(replays.told(1, b"n", 1010, 1031, 1), Told::TooOld);
        assert_eq!(replays.told(1, b"b", 1020, 1031, 2), Told::Seen(1));
        // Another key is not touched by that, and takes room from the one that has most of it.
        for mac in [b"e", b"f", b"g"] {
            assert_eq!(replays.told(2, mac, 1005, 1031, 1), Told::New);
        }
        assert_eq!(replays.len(), 5);
        assert_eq!(replays.told(1, b"b", 1020, 1031, 1), Told::TooOld);
        assert_eq!(replays.told(2, b"e", 1005, 1031, 2), Told::Seen(1));
    }

    /// A key that is no longer used is forgotten, but not before its requests are surely out of time.
    #[test]
    fn keys_are_forgotten() {
        let mut replays = Replays::new(Limits::default(), 0);
        replays.told(1, b"a", 1000, 1000, 1);
        replays.told(2, b"b", 1300 + GRACE, 1300 + GRACE, 1);
        assert_eq!((replays.keys.len(), replays.len()), (2, 1));
        replays.told(2, b"c", 1301 + GRACE + SWEEP, 1301 + GRACE + SWEEP, 1);
        assert_eq!((replays.keys.len(), replays.len()), (1, 2));
    }

    /// One request is one, whatever its identifier and however it is truncated.
    #[test]
    fn requests() {
        let key = Arc::new(Key::new(name(1), Algorithm::Sha256, vec![1; 32]).unwrap());
        let mut message = vec![0, 1, 0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        sign(&key, &mut message, 1000).unwrap();
        let mut other = message.clone();
        other[1] = 2;
        // The MAC's length and the record's, 16 octets less.
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
                Replay::TooOld => panic!("it is not"),
            }
            *replays.get_mut(&verified.request).unwrap() = index + 7;
            assert_eq!(verified.request.stale(1000).error(), Some(18));
        }
        assert_eq!(replays.len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Nothing is new twice and the bounds hold, also with a clock that goes back and forth.
        #[test]
        fn nothing_is_new_twice(
            per_key in 1_usize..6,
            total in 1_usize..10,
            events in proptest::collection::vec((0_u8..4, 0_u8..60, -30_i64..40), 1..150),
        ) {
            let mut replays = Replays::new(Limits { per_key, total }, 0);
            let mut new = HashSet::new();
            let mut now = 10_000_u64;
            for (key, mac, step) in events {
                now = now.saturating_add_signed(step);
                // Two requests each have the same time.
                let told = replays.told(key, &[mac], 9_900 + u64::from(mac / 2) * 40, now, mac.into());
                match told {
                    Told::New => prop_assert!(new.insert((key, mac))),
                    Told::Seen(value) => prop_assert!(value == u32::from(mac) && new.contains(&(key, mac))),
                    Told::TooOld => {}
                }
                let lens: Vec<usize> = replays.keys.values().map(|memory| memory.requests.len()).collect();
                prop_assert!(replays.len() <= total && lens.iter().all(|&len| len <= per_key));
                prop_assert_eq!(replays.len(), lens.iter().sum::<usize>());
            }
        }

        /// With room and a steady clock, of what is in time nothing is refused.
        #[test]
        fn nothing_good_is_refused(events in proptest::collection::vec((0_u8..4, 0_u8..200, 0_u64..40), 1..150)) {
            let mut replays = Replays::new(Limits::default(), 0);
            let mut new = HashSet::new();
            let mut now = 10_000_u64;
            for (key, mac, step) in events {
                now += step;
                let time = 9_800 + u64::from(mac / 2) * 20;
                if time.abs_diff(now) <= 300 {
                    let told = replays.told(key, &[mac], time, now, 0);
                    prop_assert_eq!(told, if new.insert((key, mac)) { Told::New } else { Told::Seen(0) });
                }
            }
        }
    }
}
