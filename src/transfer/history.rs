//! The history of differences between past versions of zones, within limits.
//!
//! A serial number must identify one version; otherwise a client may get a difference from a version that it does not
//! have. Therefore, if a serial number occurs with two contents, or a zone steps back from it, everything up to it is
//! discarded: no difference that starts at or before it is kept or accepted any more.
//!
//! Letter case counts as content here, because a full transfer preserves it and a difference does not: no difference is
//! kept between versions that write a record in different letter case.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::mem::size_of;
use std::sync::Arc;

use crate::dns::{Name, Serial};
use crate::zone::{Change, Difference, Fingerprint, Zone, differ_in_case, difference_within, is_identical};

/// Limits on the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The maximum memory for all zones together, in octets.
    pub octets: usize,
    /// The maximum number of differences per zone.
    pub differences: usize,
}

/// The differences between past versions of zones up to the served ones.
///
/// If a limit is exceeded, the oldest differences are dropped, first those of the zone whose oldest difference arrived
/// first.
#[derive(Debug)]
pub struct History {
    limits: Limits,
    octets: usize,
    zones: HashMap<Name, ZoneHistory>,
    /// The zones that have differences, by the arrival number of their oldest one.
    oldest: BTreeMap<u64, Name>,
    /// The number of differences that have arrived so far.
    arrived: u64,
}

/// The result of comparing two versions of a zone, for [`History::add_compared`].
#[derive(Debug)]
pub enum Compared {
    /// The versions are identical, or belong to different zones.
    Same,
    /// The versions differ; the difference is missing if it is of no use to secondaries.
    Different(Option<Difference>),
}

impl Compared {
    /// Compares two versions of a zone, which takes long for a large zone if they share no nodes.
    #[must_use]
    pub fn of(old: &Zone, new: &Zone) -> Self {
        let is_same = old.apex() != new.apex() || is_identical(old, new);
        if is_same { Self::Same } else { Self::Different(useful(old, new)) }
    }
}

/// The history of a zone.
#[derive(Debug, Default)]
struct ZoneHistory {
    /// Consecutive differences, oldest first, each with its arrival number and its size in octets.
    chain: VecDeque<(Arc<Difference>, u64, usize)>,
    /// The serial number after which differences must start.
    distrusted: Option<Serial>,
}

impl ZoneHistory {
    /// Drops all differences, and distrusts this serial number and older ones.
    fn distrust(&mut self, serial: Serial) {
        self.chain.clear();
        self.distrusted = Some(self.distrusted.filter(|distrusted| distrusted.is_newer_than(serial)).unwrap_or(serial));
    }

    fn is_trusted(&self, serial: Serial) -> bool {
        self.distrusted.is_none_or(|distrusted| serial.is_newer_than(distrusted))
    }
}

impl History {
    /// Creates an empty history.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, octets: 0, zones: HashMap::new(), oldest: BTreeMap::new(), arrived: 0 }
    }

    /// Returns the memory that the differences take, in octets.
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// Adds the difference between a zone's old version and the new one that replaces it; compares them with
    /// [`Compared::of`].
    pub fn add(&mut self, old: &Zone, new: &Zone) {
        self.add_compared(old, new, Compared::of(old, new));
    }

    /// Does the same as [`Self::add`] for versions that are already `compared`.
    pub fn add_compared(&mut self, old: &Zone, new: &Zone, compared: Compared) {
        let name = new.apex();
        let Compared::Different(difference) = compared else { return };
        self.change(name, |past, limits| {
            if !new.serial().is_newer_than(old.serial()) {
                return past.distrust(old.serial());
            }
            let follows = past.chain.back().is_none_or(|(last, ..)| last.new == old.serial());
            let (is_trusted, octets) = (past.is_trusted(old.serial()), difference.as_ref().map_or(0, octets));
            if !follows || !is_trusted || difference.is_none() || octets > limits.octets {
                past.chain.clear();
            }
            if let Some(difference) = difference.filter(|_| is_trusted && octets <= limits.octets) {
                past.chain.push_back((Arc::new(difference), 0, octets));
            }
        });
    }

    /// Adds the differences between older versions, oldest first, as [`from_versions`] returns them.
    ///
    /// Adds only those that lead to the differences already stored; adds all if none are stored.
    pub fn extend(&mut self, zone: &Name, older: Vec<Difference>) {
        let fits = older.windows(2).all(|pair| pair[0].new == pair[1].old);
        self.change(zone, |past, limits| {
            let known = match past.chain.front() {
                Some((first, ..)) => older.iter().position(|older| older.new == first.old).map(|last| last + 1),
                None => Some(older.len()),
            };
            let Some(known) = known.filter(|_| fits) else { return };
            let mut room = limits.octets;
            for older in older.into_iter().take(known).rev() {
                let octets = octets(&older);
                if !past.is_trusted(older.old) || octets > room || past.chain.len() >= limits.differences {
                    break;
                }
                room -= octets;
                past.chain.push_front((Arc::new(older), 0, octets));
            }
        });
    }

    /// Drops the history of a zone that is no longer served.
    ///
    /// The last serial number is kept: if the zone returns, its serial numbers may start over, and clients may still
    /// have the old versions.
    pub fn remove(&mut self, zone: &Zone) {
        self.change(zone.apex(), |past, _| past.distrust(zone.serial()));
    }

    /// Returns the differences from a serial number to this version of a zone, oldest first; `None` if they are not all
    /// known.
    pub fn chain(&self, from: Serial, zone: &Zone) -> Option<Vec<Arc<Difference>>> {
        let chain = &self.zones.get(zone.apex())?.chain;
        let mut starts = (0..chain.len()).filter(|&at| chain[at].0.old == from);
        let start = starts.next()?;
        let end = start + chain.range(start..).position(|(difference, ..)| difference.new == zone.serial())?;
        // After a full cycle of serial numbers, the same one may occur again.
        let is_unique = starts.next().is_none() && chain.back().is_none_or(|(last, ..)| last.new != from);
        is_unique.then(|| chain.range(start..=end).map(|(difference, ..)| difference.clone()).collect())
    }

    #[cfg(test)]
    pub(super) fn chain_len(&self, zone: &Name) -> usize {
        self.zones.get(zone).map_or(0, |past| past.chain.len())
    }

    /// Checks that sizes and order agree with the stored differences.
    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        let pasts = || self.zones.iter().flat_map(|(zone, past)| past.chain.iter().map(move |kept| (zone, kept)));
        assert_eq!(self.octets, pasts().map(|(_, (difference, ..))| octets(difference)).sum());
        let fronts = self.zones.iter().filter_map(|(zone, past)| past.chain.front().map(|kept| (kept.1, zone.clone())));
        assert_eq!(self.oldest, fronts.collect());
        assert!(pasts().all(|(_, &(_, arrived, _))| arrived > 0));
    }

    /// Changes the history of a zone, then drops what exceeds the limits.
    fn change(&mut self, zone: &Name, change: impl FnOnce(&mut ZoneHistory, &Limits)) {
        let past = self.zones.entry(zone.clone()).or_default();
        if let Some((_, arrived, _)) = past.chain.front() {
            self.oldest.remove(arrived);
        }
        self.octets -= past.chain.iter().map(|(.., octets)| octets).sum::<usize>();
        change(past, &self.limits);
        while past.chain.len() > self.limits.differences {
            past.chain.pop_front();
        }
        for (_, arrived, octets) in &mut past.chain {
            self.octets += *octets;
            if *arrived == 0 {
                self.arrived += 1;
                *arrived = self.arrived;
            }
        }
        match past.chain.front() {
            Some(&(_, arrived, _)) => {
                self.oldest.insert(arrived, zone.clone());
            }
            None if past.distrusted.is_none() => {
                self.zones.remove(zone);
            }
            None => {}
        }
        while self.octets > self.limits.octets && self.drop_oldest().is_some() {}
    }

    /// Drops the oldest difference of the zone whose oldest difference arrived first.
    fn drop_oldest(&mut self) -> Option<()> {
        let (_, zone) = self.oldest.pop_first()?;
        let past = self.zones.get_mut(&zone)?;
        let (_, _, octets) = past.chain.pop_front()?;
        self.octets -= octets;
        if let Some(&(_, arrived, _)) = past.chain.front() {
            self.oldest.insert(arrived, zone);
        } else if past.distrusted.is_none() {
            self.zones.remove(&zone);
        }
        Some(())
    }
}

/// A past version of a zone, as far as it is known.
pub enum Past {
    /// The version was served under its serial number.
    Served(Zone),
    /// The version may have been served under its serial number.
    Doubtful(Zone),
    /// An unknown version may have been served.
    Unknown,
}

/// Returns the differences from the version with serial `from` to the current one, oldest first. `older` iterates over
/// the past versions of the zone, newest first.
///
/// All past versions are read, one at a time. Consecutive versions with the same serial count as one.
///
/// Returns `None`, so that the client gets the whole zone, if `from` is not among the served versions; if a serial
/// number on the way occurs with two contents in any versions, or is not older than the next one; if a difference is
/// larger than the zone or omits a change of letter case; or if all differences together take more than `max_octets` of
/// memory.
pub fn from_versions(
    current: &Zone,
    older: impl IntoIterator<Item = Past>,
    from: Serial,
    max_octets: usize,
) -> Option<Vec<Difference>> {
    let (mut newer, mut chain, mut total) = (current.clone(), Vec::<Difference>::new(), 0);
    let mut contents = HashMap::from([(current.serial(), Fingerprint::of(current))]);
    let mut ambiguous = HashSet::new();
    for version in older {
        let (version, is_served) = match version {
            Past::Served(version) => (version, true),
            Past::Doubtful(version) => (version, false),
            Past::Unknown => return None,
        };
        if version.apex() != current.apex() {
            return None;
        }
        let (serial, fingerprint) = (version.serial(), Fingerprint::of(&version));
        if *contents.entry(serial).or_insert(fingerprint) != fingerprint {
            ambiguous.insert(serial);
        }
        let is_found = newer.serial() == from && !chain.is_empty();
        // The newest commits may come from another server that is ahead.
        let is_ahead = chain.is_empty() && serial.is_newer_than(current.serial());
        if !is_served || is_found || is_ahead || serial == newer.serial() {
            continue;
        }
        if !newer.serial().is_newer_than(serial) {
            return None;
        }
        let difference = useful(&version, &newer)?;
        total += octets(&difference);
        if total > max_octets {
            return None;
        }
        chain.push(difference);
        newer = version;
    }
    chain.reverse();
    let is_certain = chain.iter().all(|difference| !ambiguous.contains(&difference.old));
    (newer.serial() == from && !chain.is_empty() && is_certain && !ambiguous.contains(&current.serial()))
        .then_some(chain)
}

/// Returns the difference between two versions, if it is complete and not larger than the zone.
fn useful(old: &Zone, new: &Zone) -> Option<Difference> {
    difference_within(old, new, max_difference_len(new)).filter(|_| !differ_in_case(old, new))
}

/// Returns the maximum number of records in a useful difference to a zone: as many as the zone has, plus the SOA
/// records.
fn max_difference_len(zone: &Zone) -> usize {
    zone.record_count() + 2
}

/// Returns the approximate memory that a difference takes, in octets.
fn octets(difference: &Difference) -> usize {
    /// The overhead of the allocator for each block.
    const BLOCK: usize = 16;
    let records =
        |records: &[Box<[u8]>]| records.iter().map(|data| size_of::<Box<[u8]>>() + BLOCK + data.len()).sum::<usize>();
    let change = |change: &Change| {
        size_of::<Change>()
            + 3 * BLOCK
            + change.owner.as_wire().len()
            + records(&change.removed)
            + records(&change.added)
    };
    size_of::<Difference>() + BLOCK + difference.changes.iter().map(change).sum::<usize>()
}
