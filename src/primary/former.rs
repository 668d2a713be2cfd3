//! Versions of zones that were served last, where that is not what the files say now.
//!
//! A zone whose file is gone was served with some serial number, and one whose file is broken or held back is served with
//! what it had before. Should the file come back, or be repaired, its number must not stand for other contents than
//! it did. What has to be known for that is the number and a fingerprint, in a line of text for the record
//! of what was served, so that it is known after a reboot as well.

use std::collections::BTreeMap;

use crate::dns::{Name, Serial};
use crate::zone::{Fingerprint, Zone};

/// How many are kept; then the one is forgotten that was added first.
const MOST: usize = 500;

/// What a line begins with.
const TRAILER: &str = "Former: ";

/// A version that was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Former {
    /// Its serial number.
    pub(super) serial: Serial,
    fingerprint: Fingerprint,
}

/// The versions that were served last, by zone.
#[derive(Clone, Debug, Default)]
pub(super) struct Formers {
    zones: BTreeMap<Name, (u64, Former)>,
    added: u64,
}

/// Returns whether a note says of a zone that another version of it was served last than its file has.
pub(crate) fn names(note: &str, apex: &Name) -> bool {
    Formers::parse(note).any(|(name, _)| name == *apex)
}

impl Former {
    pub(super) fn of(zone: &Zone) -> Self {
        Former { serial: zone.serial(), fingerprint: Fingerprint::of(zone) }
    }

    /// Returns whether secondaries that have this version would follow to `zone`, or have it.
    pub(super) fn leads_to(&self, zone: &Zone) -> bool {
        zone.serial().is_newer_than(self.serial) || *self == Former::of(zone)
    }
}

impl Formers {
    pub(super) fn get(&self, apex: &Name) -> Option<Former> {
        self.zones.get(apex).map(|(_, former)| *former)
    }

    pub(super) fn insert(&mut self, apex: Name, former: Former) {
        self.added += 1;
        self.zones.insert(apex, (self.added, former));
        while self.zones.len() > MOST {
            let first = self.zones.iter().min_by_key(|(_, (added, _))| *added).map(|(apex, _)| apex.clone());
            first.map(|first| self.zones.remove(&first));
        }
    }

    pub(super) fn remove(&mut self, apex: &Name) {
        self.zones.remove(apex);
    }

    /// Writes a line for each, in the order in which they were added.
    pub(super) fn to_lines(&self) -> String {
        let mut all: Vec<_> = self.zones.iter().collect();
        all.sort_by_key(|(_, (added, _))| *added);
        let line = |(apex, (_, former)): (&Name, &(u64, Former))| {
            format!("{TRAILER}{apex} {} {}\n", former.serial, former.fingerprint)
        };
        all.into_iter().map(line).collect()
    }

    /// Reads what [`to_lines`](Formers::to_lines) has written; other lines are passed over.
    pub(super) fn parse(text: &str) -> impl Iterator<Item = (Name, Former)> {
        text.lines().filter_map(|line| {
            let mut words = line.strip_prefix(TRAILER)?.rsplitn(3, ' ');
            let fingerprint = Fingerprint::parse(words.next()?)?;
            let serial = Serial(words.next()?.parse().ok()?);
            Some((Name::from_text(words.next()?).ok()?, Former { serial, fingerprint }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_are_written_and_the_first_are_forgotten_first() {
        let former =
            |serial| Former { serial: Serial(serial), fingerprint: Fingerprint::parse(&"0a".repeat(16)).unwrap() };
        let mut formers = Formers::default();
        let name = |number: usize| Name::from_text(&format!("zone\\032{number}.example")).unwrap();
        for number in (0..=MOST).rev() {
            formers.insert(name(number), former(number as u32));
        }
        assert_eq!((formers.get(&name(MOST)), formers.get(&name(0))), (None, Some(former(0))));
        let text = format!("Served\n\nFormer: x\n{}", formers.to_lines());
        let mut again = Formers::default();
        Formers::parse(&text).for_each(|(apex, former)| again.insert(apex, former));
        assert_eq!(again.to_lines(), formers.to_lines());
        assert_eq!(text.lines().last(), Some("Former: zone\\0320.example. 0 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"));
    }
}
