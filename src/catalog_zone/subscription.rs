//! Subscriptions: the zones that catalogs list and that must be followed (RFC 9432 §5).
//!
//! A zone belongs to the catalog that listed it first. Another catalog that lists it takes it over only if the first
//! one announced the change of ownership beforehand (§4.3.1) or no longer lists it; until then this is a name clash,
//! which is logged once (§5.2).

use std::collections::{BTreeMap, BTreeSet};

use log::Level;

use super::consume::{Members, consume};
use crate::dns::Name;
use crate::zone::Zone;

/// A consequence of a new version of a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Transfer a zone from the primaries of this catalog, also if it was transferred from others so far.
    Follow {
        /// The zone.
        apex: Name,
        /// The catalog that owns the zone.
        catalog: Name,
    },
    /// Stop following a zone and drop its data.
    Forget {
        /// The zone.
        apex: Name,
    },
    /// Write a log line.
    Log(Level, String),
}

/// The catalogs subscribed to, and the zones that belong to them.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The zones that are configured otherwise, including the catalogs themselves.
    configured: BTreeSet<Name>,
    /// The last good version of each catalog.
    catalogs: BTreeMap<Name, Members>,
    /// The catalog that owns each zone, and the zone's label there.
    owners: BTreeMap<Name, (Name, Box<[u8]>)>,
}

impl Subscription {
    /// Creates an empty subscription; zones in `configured`, which includes the catalogs, never belong to a catalog.
    #[must_use]
    pub fn new(configured: BTreeSet<Name>) -> Self {
        Self { configured, catalogs: BTreeMap::new(), owners: BTreeMap::new() }
    }

    /// Returns the catalog that owns a zone.
    #[must_use]
    pub fn owner(&self, zone: &Name) -> Option<&Name> {
        self.owners.get(zone).map(|(catalog, _)| catalog)
    }

    /// Processes a new version of a catalog and returns the consequences. A broken catalog changes nothing; the caller
    /// must not pass an expired one (§5.1).
    pub fn update(&mut self, catalog: &Zone) -> Vec<Step> {
        let apex = catalog.apex().clone();
        let members = match consume(catalog) {
            Ok(members) => members,
            Err(broken) => {
                let text = format!("catalog {apex} is broken: {broken}; keeping its last good version");
                return vec![Step::Log(Level::Warn, text)];
            }
        };
        let mut steps = Vec::new();
        let grouped = members.iter().filter(|(_, member)| member.groups > 0).count();
        if grouped > 0 {
            steps.push(Step::Log(Level::Info, format!("catalog {apex}: ignoring the groups of {grouped} members")));
        }
        let before = self.catalogs.insert(apex.clone(), members.clone()).unwrap_or_default();
        self.remove_missing(&apex, &members, &mut steps);
        for (zone, member) in members.iter() {
            let is_new = before.get(zone).is_none();
            self.add_member(&apex, zone, &member.label, is_new, &mut steps);
        }
        steps
    }

    /// Removes the zones that the catalog no longer lists, unless another catalog does (§5.3).
    fn remove_missing(&mut self, catalog: &Name, members: &Members, steps: &mut Vec<Step>) {
        let is_gone =
            |(zone, (owner, _)): &(&Name, &(Name, Box<[u8]>))| owner == catalog && members.get(zone).is_none();
        let gone: Vec<Name> = self.owners.iter().filter(is_gone).map(|(zone, _)| zone.clone()).collect();
        for zone in gone {
            self.owners.remove(&zone);
            steps.push(Step::Forget { apex: zone.clone() });
            let candidates =
                self.catalogs.iter().filter_map(|(candidate, members)| Some((candidate, members.get(&zone)?)));
            if let Some((candidate, label)) =
                candidates.map(|(candidate, member)| (candidate.clone(), member.label.clone())).next()
            {
                self.adopt(&candidate, &zone, &label, steps);
            }
        }
    }

    fn add_member(&mut self, catalog: &Name, zone: &Name, label: &[u8], is_new: bool, steps: &mut Vec<Step>) {
        let clash =
            |reason: String| Step::Log(Level::Error, format!("catalog {catalog}: ignoring member {zone}: {reason}"));
        if self.configured.contains(zone) {
            steps.extend(is_new.then(|| clash("a zone of that name is configured".into())));
            return;
        }
        match self.owners.get(zone) {
            None => {}
            Some((owner, old)) if owner == catalog => {
                if **old == *label {
                    return;
                }
                // §5.4.
                steps.push(Step::Forget { apex: zone.clone() });
            }
            Some((owner, old)) => {
                let listed = self.catalogs.get(owner).and_then(|members| members.get(zone));
                // §4.3.1: the transfer happens when the new catalog lists the zone, if the old one still announces it.
                if listed.and_then(|member| member.owner_to_be.as_ref()) != Some(catalog) {
                    steps.extend(is_new.then(|| clash(format!("it belongs to catalog {owner}"))));
                    return;
                }
                let text = format!("zone {zone} moves from catalog {owner} to {catalog}");
                steps.push(Step::Log(Level::Info, text));
                if **old != *label {
                    steps.push(Step::Forget { apex: zone.clone() });
                }
            }
        }
        self.adopt(catalog, zone, label, steps);
    }

    fn adopt(&mut self, catalog: &Name, zone: &Name, label: &[u8], steps: &mut Vec<Step>) {
        self.owners.insert(zone.clone(), (catalog.clone(), label.into()));
        steps.push(Step::Follow { apex: zone.clone(), catalog: catalog.clone() });
    }
}
