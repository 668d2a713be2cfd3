//! Turns source zones into what is served.
//!
//! ```text
//! source zones ─► with the catalog zone ─► what is served
//! ```
//!
//! Source zones are what the files of the repository contain and what updates edit. Only this module turns them into
//! what clients and secondaries get, as a function of the source zones, of what was served before, and of the time.

use std::fmt;
use std::sync::Arc;

use crate::catalog_zone::{self, CatalogNameTooLong};
use crate::dns::Name;
use crate::zone::{Entry, Zone, Zones};

/// Turns source zones into what is served.
#[derive(Clone, Debug, Default)]
pub struct Publisher {
    catalog: Option<Name>,
}

/// The reason why a generated zone is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The catalog zone has the name of a source zone, which is served instead.
    Taken(Name),
    /// The catalog zone cannot have this name.
    CatalogNameTooLong(CatalogNameTooLong),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(name) => {
                write!(f, "--catalog={name}: the repository has a zone of this name; no catalog zone is generated")
            }
            Self::CatalogNameTooLong(error) => write!(f, "--catalog={}: {error}", error.0),
        }
    }
}

impl std::error::Error for Fault {}

impl Publisher {
    /// Returns a publisher that generates the catalog zone `catalog` of all zones (RFC 9432), if a name is given.
    #[must_use]
    pub fn new(catalog: Option<Name>) -> Self {
        Self { catalog }
    }

    /// Returns whether the zone with this name is generated.
    #[must_use]
    pub fn generates(&self, apex: &Name) -> bool {
        self.catalog.as_ref() == Some(apex)
    }

    /// Returns what is served for `sources`, and the reason why a generated zone is missing, if one is.
    ///
    /// `before` is what was served last: a catalog zone with unchanged members stays the same. `unix` is the time in
    /// seconds since 1970, from which the serial number of a new catalog zone is derived.
    #[must_use]
    pub fn publish(&self, sources: &Zones, before: Option<&Zones>, unix: u64) -> (Zones, Option<Fault>) {
        let mut zones = sources.clone();
        let Some(name) = &self.catalog else { return (zones, None) };
        if sources.get(name).is_some() {
            return (zones, Some(Fault::Taken(name.clone())));
        }
        let previous = before.and_then(|before| before.get(name)).and_then(Entry::zone);
        if let (Some(before), Some(previous)) = (before, previous)
            && self.has_same_members(before, sources)
        {
            zones.insert(Arc::clone(previous));
            return (zones, None);
        }
        let previous: Option<&Zone> = previous.map(|zone| &**zone);
        // Broken zones are members too: without them in the catalog, secondaries would drop them.
        match catalog_zone::produce(name, sources.iter().map(Entry::apex), previous, unix) {
            Ok(zone) => {
                zones.insert(Arc::new(zone));
                (zones, None)
            }
            Err(error) => (zones, Some(Fault::CatalogNameTooLong(error))),
        }
    }

    /// Returns whether both have the same zones, not counting generated ones.
    fn has_same_members(&self, before: &Zones, sources: &Zones) -> bool {
        let mut is_same = true;
        before.compare(sources, |old, new| {
            is_same &= old.is_some() == new.is_some() || old.is_some_and(|entry| self.generates(entry.apex()));
        });
        is_same
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Serial;
    use crate::zonefile::read;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    fn zones(names: &[&str]) -> Zones {
        let mut zones = Zones::default();
        for text in names {
            let zone = read(&name(text), text, b"@ SOA ns.example. host.example. 1 1 1 1 1\n@ NS ns.example.\n").zone;
            zones.insert(Arc::new(zone.unwrap()));
        }
        zones
    }

    fn serial(zones: &Zones, apex: &str) -> Option<Serial> {
        zones.get(&name(apex)).and_then(Entry::zone).map(|zone| zone.serial())
    }

    #[test]
    fn without_generated_zones_the_sources_are_served() {
        let (served, fault) = Publisher::default().publish(&zones(&["a.example", "b.example"]), None, 100);
        assert_eq!((served.len(), fault), (2, None));
    }

    #[test]
    fn a_catalog_changes_with_its_members_only() {
        let publisher = Publisher::new(Some(name("catalog.example")));
        let (first, fault) = publisher.publish(&zones(&["a.example"]), None, 100);
        assert_eq!((first.len(), serial(&first, "catalog.example"), fault), (2, Some(Serial(100)), None));
        let (same, _) = publisher.publish(&zones(&["a.example"]), Some(&first), 200);
        assert_eq!(serial(&same, "catalog.example"), Some(Serial(100)));
        let mut broken = zones(&["a.example"]);
        broken.insert_broken(name("a.example"), crate::zone::Fault::Errors);
        let (same, _) = publisher.publish(&broken, Some(&same), 300);
        assert_eq!(serial(&same, "catalog.example"), Some(Serial(100)), "a broken zone stays a member");
        let (more, _) = publisher.publish(&zones(&["a.example", "b.example"]), Some(&same), 400);
        assert_eq!(serial(&more, "catalog.example"), Some(Serial(400)));
        let (fewer, _) = publisher.publish(&zones(&["b.example"]), Some(&more), 300);
        assert_eq!(serial(&fewer, "catalog.example"), Some(Serial(401)), "a clock that went back");
    }

    #[test]
    fn a_source_zone_of_the_catalogs_name_is_served_and_reported() {
        let publisher = Publisher::new(Some(name("a.example")));
        let (served, fault) = publisher.publish(&zones(&["a.example"]), None, 100);
        assert_eq!((served.len(), fault), (1, Some(Fault::Taken(name("a.example")))));
        let long = format!("{}.{}", ["a".repeat(63).as_str(); 3].join("."), "a".repeat(40));
        let (served, fault) = Publisher::new(Some(name(&long))).publish(&zones(&["a.example"]), None, 100);
        assert!(served.len() == 1 && matches!(fault, Some(Fault::CatalogNameTooLong(_))));
    }
}
