//! The consumer: reads the member zones from a catalog zone (RFC 9432 §4).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use crate::dns::{Name, Type, name};
use crate::zone::{Node, Zone};

/// The properties of a member zone in a catalog (§4.1, §4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The label of the member in the catalog, in lower case; a change of it resets the zone (§5.4).
    pub label: Box<[u8]>,
    /// The catalog that may take the zone over (§4.3.1).
    pub owner_to_be: Option<Name>,
    /// The number of groups of the member (§4.3.2), which are ignored.
    pub groups: usize,
}

/// The member zones of a catalog, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members(BTreeMap<Name, Member>);

/// The reason why a catalog is broken (RFC 9432 §5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// There is no TXT record at this name, or more than one (§4.2.1).
    NoVersion(Name),
    /// The version is not 2 (§4.2.1).
    OtherVersion,
    /// A member, or its change of ownership, has more than one PTR record (§4.1, §4.3.1).
    ManyNames(Name),
    /// A zone is listed as a member more than once (§4.1).
    Twice(Name),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVersion(name) => write!(f, "there is not exactly one TXT record at {name}"),
            Self::OtherVersion => f.write_str("its version is not 2"),
            Self::ManyNames(name) => write!(f, "{name} has more than one PTR record"),
            Self::Twice(zone) => write!(f, "{zone} is listed as a member more than once"),
        }
    }
}

impl std::error::Error for Broken {}

impl Members {
    /// Returns the properties of a zone, if it is a member.
    pub fn get(&self, zone: &Name) -> Option<&Member> {
        self.0.get(zone)
    }

    /// Iterates over the member zones in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Member)> {
        self.0.iter()
    }

    /// Returns the number of members.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads a catalog, ignoring unknown names and types (§4.2).
///
/// # Errors
///
/// The catalog is broken; nothing may change (§5.1).
pub fn consume(catalog: &Zone) -> Result<Members, Broken> {
    let apex = catalog.apex();
    version(catalog)?;
    let mut labels: BTreeMap<Box<[u8]>, (Option<Name>, Member)> = BTreeMap::new();
    for node in catalog.iter() {
        let depth = apex.label_count();
        let relative: Vec<_> = name::labels(node.owner()).collect();
        let relative = &relative[..relative.len() - depth];
        let (property, label) = match *relative {
            [label, zones] if is(zones, b"zones") => (None, label),
            [property, label, zones] if is(zones, b"zones") => (Some(property), label),
            _ => continue,
        };
        let label: Box<[u8]> = label.to_ascii_lowercase().into();
        let (zone, member) =
            labels.entry(label.clone()).or_insert_with(|| (None, Member { label, owner_to_be: None, groups: 0 }));
        match property {
            None => *zone = pointer(node)?,
            Some(property) if is(property, b"coo") => member.owner_to_be = pointer(node)?,
            Some(property) if is(property, b"group") => {
                member.groups = node.rrset(Type::TXT).map_or(0, |groups| usize::from(groups.len()));
            }
            Some(_) => {}
        }
    }
    let mut members = BTreeMap::new();
    for (zone, member) in labels.into_values() {
        let Some(zone) = zone else { continue };
        match members.entry(zone) {
            Entry::Vacant(entry) => drop(entry.insert(member)),
            Entry::Occupied(entry) => return Err(Broken::Twice(entry.key().clone())),
        }
    }
    Ok(Members(members))
}

fn version(catalog: &Zone) -> Result<(), Broken> {
    let wire = [b"\x07version", catalog.apex().as_wire()].concat();
    let missing = || Broken::NoVersion(catalog.apex().clone());
    let name = Name::from_wire(&wire).map_err(|_| missing())?;
    let texts = catalog.node(&name).and_then(|node| node.rrset(Type::TXT));
    let texts = texts.filter(|texts| texts.len() == 1).ok_or(Broken::NoVersion(name))?;
    if texts.rdata().all(|text| text == b"\x012") { Ok(()) } else { Err(Broken::OtherVersion) }
}

/// Returns the target of a node's single PTR record, if it has one.
fn pointer(node: &Node) -> Result<Option<Name>, Broken> {
    let Some(names) = node.rrset(Type::PTR) else { return Ok(None) };
    if names.len() > 1 {
        return Err(Broken::ManyNames(Name::from_wire(node.owner()).unwrap_or_else(|_| Name::root())));
    }
    Ok(names.rdata().next().and_then(|name| Name::from_wire(name).ok()))
}

fn is(label: &[u8], word: &[u8]) -> bool {
    label.eq_ignore_ascii_case(word)
}
