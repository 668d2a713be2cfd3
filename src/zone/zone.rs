//! A zone: the immutable set of nodes that lookups use.
//!
//! [`Zone::lookup`] answers what RFC 1034 §4.3.2 step 3 asks in one descent: is there a cut or a DNAME on
//! the way down, is the name there, does it exist without records, does a wildcard stand in for it?

use std::collections::BTreeMap;

use super::amendment::Amendment;
use super::denial::Proof;
use super::key::Key;
use super::node::{Marks, Node, NodeBuilder, RRset};
use crate::dns::{Name, Serial, Type, data_cmp, name};
use crate::zone::{Named, Trie};

/// A zone, immutable and complete: it has one SOA record and NS records at its apex.
#[derive(Clone)]
pub struct Zone {
    pub(super) name: Name,
    apex: Node,
    pub(super) nodes: Trie<Node>,
    serial: Serial,
    records: usize,
    /// Whether a name has, or had before an amendment, a label `*`; if not, missing names need no wildcard lookup.
    has_wildcards: bool,
    /// How the zone proves nonexistence.
    pub(super) proof: Proof,
}

/// The result of looking a name up in a zone (RFC 1034 §4.3.2 step 3).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lookup<'z> {
    /// The name exists and owns records.
    Node(&'z Node),
    /// The name exists, but only through names below it (RFC 4592 §2.2.2).
    EmptyNonTerminal,
    /// The topmost zone cut at or above the name; at the cut itself, `at_cut`, the DS record still belongs to this zone.
    Delegation {
        /// The delegation's NS records.
        cut: &'z Node,
        /// Whether the name is that of the cut.
        at_cut: bool,
    },
    /// A node above the name whose DNAME record redirects it (RFC 6672).
    Redirected(&'z Node),
    /// The wildcard that stands in for the name (RFC 4592 §3.3.1).
    Wildcard(&'z Node),
    /// A wildcard stands in for the name, but it owns no records itself.
    EmptyWildcard {
        /// The length of the closest encloser in octets.
        encloser: usize,
    },
    /// The name does not exist.
    NoName {
        /// The length of the closest encloser in octets.
        encloser: usize,
    },
}

impl Zone {
    /// Creates a zone from its nodes.
    ///
    /// Returns `None` if the apex has no SOA record.
    pub(crate) fn new(name: Name, nodes: Trie<Node>) -> Option<Self> {
        let apex = nodes.get(name.as_wire())?.clone();
        let soa = apex.rrset(Type::SOA)?.rdata().next()?;
        let serial = serial_of(soa)?;
        let records = nodes.iter().map(Node::record_count).sum();
        let has_wildcards = nodes.iter().any(|node| is_wildcard_or_below(node.name()));
        let proof = Proof::of(&apex, &nodes);
        Some(Self { name, apex, nodes, serial, records, has_wildcards, proof })
    }

    /// Returns the zone with RRsets replaced; it shares everything else with this one, and the cost depends only on what changes.
    ///
    /// If an RRset is given twice, the last one applies. The result equals, apart from letter case, the zone read from a
    /// text of its records. Only the conditions below are checked: the caller must ensure that the zone is valid.
    ///
    /// Returns `None` if the result is not a zone: its apex has no SOA record, an owner is not in it, there are more records
    /// of a type at an owner, or a record has longer data, than 65,535.
    #[must_use]
    pub fn amend(&self, amendments: &[Amendment]) -> Option<Self> {
        self.clone().with(amendments)
    }

    /// Returns the zone that has these RRsets and no others; `None` in the cases of [`Self::amend`].
    #[must_use]
    pub fn of(name: Name, amendments: &[Amendment]) -> Option<Self> {
        let mut builder = NodeBuilder::default();
        builder.begin(name.as_wire());
        let (apex, nodes) = (builder.finish(true), Trie::default());
        let proof = Proof::default();
        Self { name, apex, nodes, serial: Serial(0), records: 0, has_wildcards: false, proof }.with(amendments)
    }

    fn with(mut self, amendments: &[Amendment]) -> Option<Self> {
        let mut builder = NodeBuilder::default();
        let mut changed = Vec::new();
        for amendments in amendments.chunk_by(|a, b| a.owner == b.owner) {
            let owner = &amendments[0].owner;
            if !owner.is_at_or_below(&self.name) {
                return None;
            }
            let old = self.nodes.get(owner.as_wire()).cloned();
            let is_apex = *owner == self.name;
            let new = amended(old.as_ref(), owner, is_apex, amendments, &mut builder)?;
            self.records -= old.as_ref().map_or(0, Node::record_count);
            self.records += new.as_ref().map_or(0, Node::record_count);
            if self.proof.is_by_nsec3() {
                changed.push((old, new.clone()));
            }
            match new {
                None => {
                    self.nodes.remove(owner.as_wire());
                }
                Some(node) => {
                    self.has_wildcards |= is_wildcard_or_below(node.name());
                    self.nodes.insert(node);
                }
            }
        }
        self.apex = self.nodes.get(self.name.as_wire())?.clone();
        let serial = serial_of(self.soa()?.rdata().next()?)?;
        self.serial = serial;
        self.proof = self.proof.amended(&self.apex, &self.nodes, &changed);
        Some(self)
    }

    /// Iterates, in canonical order, over the node of a name, if it has one, and all nodes below it.
    pub(crate) fn below(&self, name: &[u8]) -> impl Iterator<Item = &Node> {
        self.nodes.below(name)
    }

    /// Iterates over the nodes in canonical order from that of a name on, or the first after it.
    pub(crate) fn starting_at(&self, name: &[u8]) -> impl Iterator<Item = &Node> {
        self.nodes.starting_at(name)
    }

    /// Visits, in canonical order, the nodes that differ between this zone and a newer one, and perhaps equal ones.
    pub(super) fn compare<'z>(&'z self, newer: &'z Self, mut visit: impl FnMut(Option<&'z Node>, Option<&'z Node>)) {
        self.nodes.compare(&newer.nodes, &mut visit);
    }

    /// Returns the name of the zone.
    pub fn apex(&self) -> &Name {
        &self.name
    }

    /// Returns the serial number of the SOA record.
    pub fn serial(&self) -> Serial {
        self.serial
    }

    /// Returns the number of records in the zone.
    pub fn record_count(&self) -> usize {
        self.records
    }

    /// Iterates over the nodes in canonical order (RFC 4034 §6.1), the apex first.
    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// Returns the node of a name that owns records, whether or not it is hidden below a cut.
    pub fn node(&self, name: &Name) -> Option<&Node> {
        self.nodes.get(name.as_wire())
    }

    /// Returns the node of the last name in canonical order that is not after `name` (for the proofs of RFC 4035).
    pub fn floor(&self, name: &Name) -> Option<&Node> {
        self.nodes.floor(&Key::new(name.as_wire()))
    }

    /// Returns the SOA RRset.
    #[inline]
    pub(crate) fn soa(&self) -> Option<RRset<'_>> {
        self.apex.rrset(Type::SOA)
    }

    /// Returns the signatures of the SOA RRset.
    #[inline]
    pub(crate) fn soa_signatures(&self) -> Option<RRset<'_>> {
        self.apex.signatures(Type::SOA)
    }

    /// Returns the node of a name in wire form, as [`Self::node`].
    #[inline]
    pub(crate) fn node_at(&self, name: &[u8], key: &Key) -> Option<&Node> {
        self.nodes.descend(key, |_| ()).filter(|node| name::eq(node.name(), name))
    }

    /// Looks a name up, which must be the apex or below; `key` spells it.
    #[inline]
    pub(crate) fn lookup(&self, name: &[u8], key: &Key) -> Lookup<'_> {
        let mut above: Option<&Node> = None;
        let consider = |node: &Node| node.marks().has(Marks::CUT | Marks::DNAME);
        let reached = self.nodes.descend(key, |node| {
            if above.is_none() && consider(node) {
                above = Some(node);
            }
        });
        let Some(reached) = reached else { return Lookup::NoName { encloser: self.name.as_wire().len() } };
        if name::eq(reached.name(), name) {
            return match above {
                Some(node) => Self::turn(node),
                None if reached.marks().has(Marks::CUT) => Lookup::Delegation { cut: reached, at_cut: true },
                None if reached.marks().has(Marks::HASHED) => self.hashed(reached, name),
                None => Lookup::Node(reached),
            };
        }
        for node in above.into_iter().chain(consider(reached).then_some(reached)) {
            if name::is_at_or_below(name, node.name()) {
                return Self::turn(node);
            }
        }
        if reached.marks().has(Marks::HASHED) {
            return self.hashed(reached, name);
        }
        let below = name::suffix(name, name::common_labels(reached.name(), name));
        if below.len() == name.len() { Lookup::EmptyNonTerminal } else { self.no_name(below) }
    }

    /// Returns the outcome for a name without a node whose closest encloser is given.
    #[inline]
    fn no_name(&self, encloser: &[u8]) -> Lookup<'_> {
        if self.has_wildcards { self.wildcard(encloser) } else { Lookup::NoName { encloser: encloser.len() } }
    }

    /// Returns the outcome for a name that shares the most labels with a node of NSEC3 records: such a node does not
    /// make its name exist (RFC 5155 §7.2.8).
    #[cold]
    fn hashed(&self, node: &Node, name: &[u8]) -> Lookup<'_> {
        let shared = name::common_labels(node.name(), name);
        let below = name::suffix(name, shared);
        if shared < name::labels(node.name()).count() {
            // Nothing else shares more labels, and the name is not one of those above the node, for they exist.
            return if below.len() == name.len() { Lookup::EmptyNonTerminal } else { self.no_name(below) };
        }
        match (self.nodes.has_below(node.name()), below.len() == name.len()) {
            (true, true) => Lookup::EmptyNonTerminal,
            (true, false) => self.no_name(below),
            (false, _) => self.no_name(self.name.as_wire()),
        }
    }

    /// Returns the outcome for a name below a cut or a DNAME; where there are both, the cut hides the DNAME.
    fn turn(node: &Node) -> Lookup<'_> {
        if node.marks().has(Marks::CUT) {
            Lookup::Delegation { cut: node, at_cut: false }
        } else {
            Lookup::Redirected(node)
        }
    }

    /// Looks for the wildcard below the closest encloser of a name that does not exist (RFC 4592 §3.3.1).
    fn wildcard(&self, encloser: &[u8]) -> Lookup<'_> {
        let mut wire = [0; name::MAX_NAME];
        let no_name = Lookup::NoName { encloser: encloser.len() };
        let Some(target) = name::wildcard(encloser, &mut wire) else { return no_name };
        let mut key = Key::empty();
        key.set(target);
        match self.nodes.descend(&key, |_| ()) {
            Some(node) if name::eq(node.name(), target) => Lookup::Wildcard(node),
            Some(node) if name::is_at_or_below(node.name(), target) => {
                Lookup::EmptyWildcard { encloser: encloser.len() }
            }
            _ => no_name,
        }
    }
}

/// Returns the serial number in an SOA record's data.
fn serial_of(soa: &[u8]) -> Option<Serial> {
    Some(Serial(u32::from_be_bytes(*soa.last_chunk::<20>()?.first_chunk()?)))
}

fn is_wildcard_or_below(name: &[u8]) -> bool {
    name::labels(name).any(|label| label == b"*")
}

/// Returns what becomes of an owner's node: `Some(None)` if nothing is left, `None` if the amendments cannot be.
fn amended(
    old: Option<&Node>,
    owner: &Name,
    is_apex: bool,
    amendments: &[Amendment],
    builder: &mut NodeBuilder,
) -> Option<Option<Node>> {
    type Records<'r> = (u32, Vec<&'r [u8]>);
    let mut rrsets: BTreeMap<(Type, Option<Type>), Records<'_>> = BTreeMap::new();
    for rrset in old.into_iter().flat_map(Node::rrsets) {
        let key = (rrset.rtype(), rrset.covers());
        if amendments.iter().all(|amendment| amendment.key() != key) {
            rrsets.insert(key, (rrset.ttl(), rrset.rdata().collect()));
        }
    }
    for amendment in amendments {
        let Amendment { rtype, ttl, data, .. } = amendment;
        let mut data: Vec<&[u8]> = data.iter().map(|data| &**data).collect();
        data.sort_by(|a, b| data_cmp(*rtype, a, b));
        data.dedup_by(|a, b| data_cmp(*rtype, a, b).is_eq());
        if data.iter().any(|data| data.len() > usize::from(u16::MAX)) {
            return None;
        }
        rrsets.insert(amendment.key(), (*ttl, data));
    }
    rrsets.retain(|_, (_, data)| !data.is_empty());
    let mut counts: BTreeMap<Type, usize> = BTreeMap::new();
    rrsets.iter().for_each(|((rtype, _), (_, data))| *counts.entry(*rtype).or_default() += data.len());
    if counts.into_values().any(|count| count > usize::from(u16::MAX)) {
        return None;
    }
    if rrsets.is_empty() {
        return Some(None);
    }
    builder.begin(old.map_or(owner.as_wire(), Node::owner));
    let mut before = None;
    for ((rtype, _), (ttl, data)) in rrsets {
        if before.replace(rtype) != Some(rtype) {
            builder.begin_rrset(rtype);
        }
        for data in data {
            builder.push(rtype, ttl, data);
        }
    }
    Some(Some(builder.finish(is_apex)))
}

impl std::fmt::Debug for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Zone({} {}, {} records)", self.name, self.serial, self.records)
    }
}
