//! The differences between past versions of the zones, within bounds.
//!
//! A serial number must mean one version, or a client is told a difference from what it does not have. So a number that
//! is seen with two contents, or from which the zone steps back, makes all there was up to it worthless: nothing that
//! begins at it or before is kept or taken any more.
//!
//! Letters count as content here, since a whole transfer gives them and a difference does not: no difference is kept
//! between versions that write a record otherwise.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::mem::size_of;
use std::sync::Arc;

use crate::dns::{Name, Serial};
use crate::zone::{Change, Difference, Fingerprint, Zone, differ_in_case, difference_within, is_identical};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of memory, of all zones together.
    pub octets: usize,
    /// Differences of each zone.
    pub differences: usize,
}

/// The differences between past versions of the zones, which lead to those that are served.
///
/// What exceeds the limits is forgotten, of the zone first whose oldest difference came first.
#[derive(Debug)]
pub struct History {
    limits: Limits,
    octets: usize,
    zones: HashMap<Name, Kept>,
    /// The zones with differences by when the oldest of these came.
    oldest: BTreeMap<u64, Name>,
    /// How many differences came so far.
    came: u64,
}

/// What comparing two versions of a zone found, for [`History::add_compared`].
#[derive(Debug)]
pub enum Compared {
    /// They are the same, or of different zones.
    Same,
    /// They differ; the difference is missing if it is of no use to secondaries.
    Different(Option<Difference>),
}

impl Compared {
    /// Compares two versions of a zone, which takes its time if they share nothing.
    #[must_use]
    pub fn of(old: &Zone, new: &Zone) -> Self {
        let is_same = old.apex() != new.apex() || is_identical(old, new);
        if is_same { Self::Same } else { Self::Different(useful(old, new)) }
    }
}

/// A zone's past.
#[derive(Debug, Default)]
struct Kept {
    /// Each begins where the one before ends; oldest first, along with when it came and its octets.
    chain: VecDeque<(Arc<Difference>, u64, usize)>,
    /// Differences must begin after this.
    unsure: Option<Serial>,
}

impl Kept {
    /// Forgets all there was up to a serial number, and whatever number is not later.
    fn distrust(&mut self, serial: Serial) {
        self.chain.clear();
        self.unsure = Some(self.unsure.filter(|unsure| unsure.is_newer_than(serial)).unwrap_or(serial));
    }

    fn is_sure(&self, serial: Serial) -> bool {
        self.unsure.is_none_or(|unsure| serial.is_newer_than(unsure))
    }
}

impl History {
    /// Begins without any differences.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, octets: 0, zones: HashMap::new(), oldest: BTreeMap::new(), came: 0 }
    }

    /// Returns how many octets of memory the differences take.
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// Takes note that a zone's new version is served in place of the old one, and compares them for that.
    pub fn add(&mut self, old: &Zone, new: &Zone) {
        self.add_compared(old, new, Compared::of(old, new));
    }

    /// As [`Self::add`], of versions that were `compared` before.
    pub fn add_compared(&mut self, old: &Zone, new: &Zone, compared: Compared) {
        let name = new.apex();
        let Compared::Different(difference) = compared else { return };
        self.change(name, |past, limits| {
            if !new.serial().is_newer_than(old.serial()) {
                return past.distrust(old.serial());
            }
            let follows = past.chain.back().is_none_or(|(last, ..)| last.new == old.serial());
            let (is_sure, octets) = (past.is_sure(old.serial()), difference.as_ref().map_or(0, octets));
            if !follows || !is_sure || difference.is_none() || octets > limits.octets {
                past.chain.clear();
            }
            if let Some(difference) = difference.filter(|_| is_sure && octets <= limits.octets) {
                past.chain.push_back((Arc::new(difference), 0, octets));
            }
        });
    }

    /// Takes the differences between older versions, oldest first, as [`from_versions`] finds them.
    ///
    /// They are taken as far as they lead to what is known; into a zone's empty past, all of them.
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
                if !past.is_sure(older.old) || octets > room || past.chain.len() >= limits.differences {
                    break;
                }
                room -= octets;
                past.chain.push_front((Arc::new(older), 0, octets));
            }
        });
    }

    /// Forgets a zone's past, as is right when it is no longer served.
    ///
    /// Some octets remain: should the zone come back, its serial number may begin anew, and clients may have kept the old.
    pub fn remove(&mut self, zone: &Zone) {
        self.change(zone.apex(), |past, _| past.distrust(zone.serial()));
    }

    /// Returns the differences that lead from a serial number to this version of a zone, oldest first; `None` if they
    /// are not known.
    pub fn chain(&self, from: Serial, zone: &Zone) -> Option<Vec<Arc<Difference>>> {
        let chain = &self.zones.get(zone.apex())?.chain;
        let mut starts = (0..chain.len()).filter(|&at| chain[at].0.old == from);
        let start = starts.next()?;
        let end = start + chain.range(start..).position(|(difference, ..)| difference.new == zone.serial())?;
        // All around the circle of serial numbers the same may come again.
        let is_unique = starts.next().is_none() && chain.back().is_none_or(|(last, ..)| last.new != from);
        is_unique.then(|| chain.range(start..=end).map(|(difference, ..)| difference.clone()).collect())
    }

    #[cfg(test)]
    pub(super) fn chain_len(&self, zone: &Name) -> usize {
        self.zones.get(zone).map_or(0, |past| past.chain.len())
    }

    /// Checks that what is kept beside the differences agrees with them.
    #[cfg(test)]
    pub(super) fn check_books(&self) {
        let pasts = || self.zones.iter().flat_map(|(zone, past)| past.chain.iter().map(move |kept| (zone, kept)));
        assert_eq!(self.octets, pasts().map(|(_, (difference, ..))| octets(difference)).sum());
        let fronts = self.zones.iter().filter_map(|(zone, past)| past.chain.front().map(|kept| (kept.1, zone.clone())));
        assert_eq!(self.oldest, fronts.collect());
        assert!(pasts().all(|(_, &(_, came, _))| came > 0));
    }

    /// Changes a zone's past, then forgets what is too much.
    fn change(&mut self, zone: &Name, change: impl FnOnce(&mut Kept, &Limits)) {
        let past = self.zones.entry(zone.clone()).or_default();
        if let Some((_, came, _)) = past.chain.front() {
            self.oldest.remove(came);
        }
        self.octets -= past.chain.iter().map(|(.., octets)| octets).sum::<usize>();
        change(past, &self.limits);
        while past.chain.len() > self.limits.differences {
            past.chain.pop_front();
        }
        for (_, came, octets) in &mut past.chain {
            self.octets += *octets;
            if *came == 0 {
                self.came += 1;
                *came = self.came;
            }
        }
        match past.chain.front() {
            Some(&(_, came, _)) => {
                self.oldest.insert(came, zone.clone());
            }
            None if past.unsure.is_none() => {
                self.zones.remove(zone);
            }
            None => {}
        }
        while self.octets > self.limits.octets && self.forget_oldest().is_some() {}
    }

    /// Forgets the oldest difference of the zone whose oldest came first.
    fn forget_oldest(&mut self) -> Option<()> {
        let (_, zone) = self.oldest.pop_first()?;
        let past = self.zones.get_mut(&zone)?;
        let (_, _, octets) = past.chain.pop_front()?;
        self.octets -= octets;
        if let Some(&(_, came, _)) = past.chain.front() {
            self.oldest.insert(came, zone);
        } else if past.unsure.is_none() {
            self.zones.remove(&zone);
        }
        Some(())
    }
}

/// A version of a zone, or what is known of it.
pub enum Past {
    /// It was served under its serial number.
    Served(Zone),
    /// It may have been served under its serial number.
    Doubtful(Zone),
    /// Something may have been served.
    Unknown,
}

/// Finds the differences that lead from the version `wanted` to the current one, oldest first, in the past versions of the
/// zone, newest first.
///
/// All of them are looked at, one at a time. Versions that do not differ count as one.
///
/// Returns `None` if `wanted` is not among those served; if a serial number on the way stands for two versions, wherever
/// they are, or is not older than the one that follows; if a difference is larger than the zone, or does not tell all, or if
/// they all take more than `most` octets of memory: the client is to get the whole zone then.
pub fn from_versions(
    current: &Zone,
    older: impl IntoIterator<Item = Past>,
    wanted: Serial,
    most: usize,
) -> Option<Vec<Difference>> {
    let (mut newer, mut chain, mut total) = (current.clone(), Vec::<Difference>::new(), 0);
    let mut stands_for = HashMap::from([(current.serial(), Fingerprint::of(current))]);
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
        if *stands_for.entry(serial).or_insert(fingerprint) != fingerprint {
            ambiguous.insert(serial);
        }
        let is_found = newer.serial() == wanted && !chain.is_empty();
        // At the beginning, another server may be ahead.
        let is_ahead = chain.is_empty() && serial.is_newer_than(current.serial());
        if !is_served || is_found || is_ahead || serial == newer.serial() {
            continue;
        }
        if !newer.serial().is_newer_than(serial) {
            return None;
        }
        let difference = useful(&version, &newer)?;
        total += octets(&difference);
        if total > most {
            return None;
        }
        chain.push(difference);
        newer = version;
    }
    chain.reverse();
    let is_certain = chain.iter().all(|difference| !ambiguous.contains(&difference.old));
    (newer.serial() == wanted && !chain.is_empty() && is_certain && !ambiguous.contains(&current.serial()))
        .then_some(chain)
}

/// Returns the difference between two versions, if it tells all and is worth telling.
fn useful(old: &Zone, new: &Zone) -> Option<Difference> {
    difference_within(old, new, worthwhile(new)).filter(|_| !differ_in_case(old, new))
}

/// Returns how many records a difference that leads to a zone may remove and add to be of use: as many as the zone has,
/// beside the SOA records.
fn worthwhile(zone: &Zone) -> usize {
    zone.record_count() + 2
}

/// Returns about how many octets of memory a difference takes.
fn octets(difference: &Difference) -> usize {
    /// What the allocator adds to each block.
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
