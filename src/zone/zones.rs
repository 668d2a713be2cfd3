//! The zones that are served: one immutable snapshot, cheap to copy and to change.

use std::sync::Arc;

use super::key::Key;
use crate::dns::Name;
use crate::zone::{Named, Trie, Zone};

/// What is served under a zone's name.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A good zone.
    Zone(Arc<Zone>),
    /// A zone that should be served and has no good data: its names get SERVFAIL.
    Broken(Name, Fault),
}

/// Why a zone has no good data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its file never was good.
    Errors,
    /// No primary has given it to us yet.
    Awaited,
    /// No primary was heard for too long (RFC 1034 §4.3.5).
    Expired,
}

impl Entry {
    /// Returns the name of the zone.
    pub fn apex(&self) -> &Name {
        match self {
            Self::Zone(zone) => zone.apex(),
            Self::Broken(name, _) => name,
        }
    }

    /// Returns the zone, if it is a good one.
    pub fn zone(&self) -> Option<&Arc<Zone>> {
        match self {
            Self::Zone(zone) => Some(zone),
            Self::Broken(..) => None,
        }
    }
}

impl Named for Entry {
    #[inline]
    fn name(&self) -> &[u8] {
        self.apex().as_wire()
    }
}

/// All zones served at one time.
///
/// A clone shares everything with the original; changing one leaves the other as it was.
#[derive(Clone, Default)]
pub struct Zones {
    zones: Trie<Entry>,
}

impl Zones {
    /// Puts a zone in, in place of what had its name; returns that.
    pub fn insert(&mut self, zone: Arc<Zone>) -> Option<Entry> {
        self.zones.insert(Entry::Zone(zone))
    }

    /// Notes that a zone should be served here but has no good data; returns what had its name.
    pub fn insert_broken(&mut self, apex: Name, fault: Fault) -> Option<Entry> {
        self.zones.insert(Entry::Broken(apex, fault))
    }

    /// Takes a zone out and returns it.
    pub fn remove(&mut self, apex: &Name) -> Option<Entry> {
        self.zones.remove(apex.as_wire())
    }

    /// Returns the zone with just this name.
    pub fn get(&self, apex: &Name) -> Option<&Entry> {
        self.zones.get(apex.as_wire())
    }

    /// Iterates over the zones in canonical order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.zones.iter()
    }

    /// Visits the zones that differ between this catalog and a newer one: as they are here, and there.
    pub fn compare<'c>(&'c self, newer: &'c Self, mut visit: impl FnMut(Option<&'c Entry>, Option<&'c Entry>)) {
        self.zones.compare(&newer.zones, &mut visit);
    }

    /// Returns how many zones there are, good and broken.
    pub fn len(&self) -> usize {
        self.zones.len()
    }

    /// Returns whether there is no zone at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the zone that a name in wire form belongs to: the one with the longest name above it.
    #[inline]
    pub(crate) fn find(&self, name: &[u8], key: &Key) -> Option<&Entry> {
        self.zones.longest_match(name, key)
    }
}

impl std::fmt::Debug for Zones {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
