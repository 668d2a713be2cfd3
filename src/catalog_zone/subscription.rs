//! The zones to follow because catalogs say so (RFC 9432 §5).
//!
//! A zone belongs to the catalog it came from. Another catalog that names it too gets it only if the first has said so
//! beforehand (§4.3.1), or no longer names it; until then that is a clash, which is told once (§5.2).

use std::collections::{BTreeMap, BTreeSet};

use log::Level;

use super::consume::{Members, consume};
use crate::dns::Name;
use crate::zone::Zone;

/// What a new version of a catalog means for who follows zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Follow a zone from the primaries of this catalog; if it is followed already, from them from now on.
    Follow {
        /// The zone.
        apex: Name,
        /// The catalog it belongs to.
        catalog: Name,
    },
    /// Follow a zone no more, and forget its data.
    Forget {
        /// The zone.
        apex: Name,
    },
    /// Write a line to the log.
    Log(Level, String),
}

/// The catalogs subscribed to, and the zones that belong to them.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Zones that are served for other reasons, the catalogs themselves among them.
    configured: BTreeSet<Name>,
    /// The last good version of each catalog.
    catalogs: BTreeMap<Name, Members>,
    /// The catalog each zone belongs to, and its label there.
    owners: BTreeMap<Name, (Name, Box<[u8]>)>,
}

impl Subscription {
    /// Begins with no zones; those `configured` otherwise, catalogs among them, never belong to a catalog.
    #[must_use]
    pub fn new(configured: BTreeSet<Name>) -> Self {
        Self { configured, catalogs: BTreeMap::new(), owners: BTreeMap::new() }
    }

    /// Returns the catalog a zone belongs to.
    #[must_use]
    pub fn owner(&self, zone: &Name) -> Option<&Name> {
        self.owners.get(zone).map(|(catalog, _)| catalog)
    }

    /// Takes over a new version of a catalog, and returns what that means. A broken one changes nothing (§5.1); one that
    /// has expired is not to be given (§5.1).
    pub fn update(&mut self, catalog: &Zone) -> Vec<Step> {
        let apex = catalog.apex().clone();
        let members = match consume(catalog) {
            Ok(members) => members,
            Err(broken) => {
                let text = format!("catalog {apex} is broken, all stays as it is: {broken}");
                return vec![Step::Log(Level::Warn, text)];
            }
        };
        let mut steps = Vec::new();
        let grouped = members.iter().filter(|(_, member)| member.groups > 0).count();
        if grouped > 0 {
            steps.push(Step::Log(Level::Info, format!("catalog {apex}: the groups of {grouped} members are ignored")));
        }
        let before = self.catalogs.insert(apex.clone(), members.clone()).unwrap_or_default();
        self.take_out(&apex, &members, &mut steps);
        for (zone, member) in members.iter() {
            let is_new = before.get(zone).is_none();
            self.put_in(&apex, zone, &member.label, is_new, &mut steps);
        }
        steps
    }

    /// Forgets the zones the catalog does not name any more, unless another one does (§5.3).
    fn take_out(&mut self, catalog: &Name, members: &Members, steps: &mut Vec<Step>) {
        let is_gone =
            |(zone, (owner, _)): &(&Name, &(Name, Box<[u8]>))| owner == catalog && members.get(zone).is_none();
        let gone: Vec<Name> = self.owners.iter().filter(is_gone).map(|(zone, _)| zone.clone()).collect();
        for zone in gone {
            self.owners.remove(&zone);
            steps.push(Step::Forget { apex: zone.clone() });
            let heirs = self.catalogs.iter().filter_map(|(heir, members)| Some((heir, members.get(&zone)?)));
            if let Some((heir, label)) = heirs.map(|(heir, member)| (heir.clone(), member.label.clone())).next() {
                self.adopt(&heir, &zone, &label, steps);
            }
        }
    }

    fn put_in(&mut self, catalog: &Name, zone: &Name, label: &[u8], is_new: bool, steps: &mut Vec<Step>) {
        let clash = |with: String| Step::Log(Level::Error, format!("catalog {catalog}: {zone} is ignored: {with}"));
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
                let told = self.catalogs.get(owner).and_then(|members| members.get(zone));
                // §4.3.1: only now that the new catalog names it, and if the old one still says so.
                if told.and_then(|member| member.owner_to_be.as_ref()) != Some(catalog) {
                    steps.extend(is_new.then(|| clash(format!("it belongs to the catalog {owner}"))));
                    return;
                }
                let text = format!("{zone} goes from catalog {owner} to {catalog}");
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
