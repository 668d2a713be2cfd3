//! A zone: the immutable set of nodes a lookup walks.
//!
//! [`Zone::lookup`] answers what RFC 1034 §4.3.2 step 3 asks in one descent: is there a cut or a DNAME on
//! the way down, is the name there, does it exist without records, does a wildcard stand in for it?

use super::key::Key;
use super::name::{self, Name};
use super::node::{Marks, Node, RRset};
use super::rtype::Type;
use super::serial::Serial;
use super::trie::{Named, Trie};

/// A zone, immutable and complete: it has one SOA record and NS records at its apex.
#[derive(Clone)]
pub struct Zone {
    name: Name,
    apex: Node,
    nodes: Trie<Node>,
    serial: Serial,
    records: usize,
    /// Some name has a label `*`; without one, names that do not exist need no second look.
    has_wildcards: bool,
}

/// What a zone has for a name (RFC 1034 §4.3.2 step 3).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lookup<'z> {
    /// The name is there and owns records.
    Node(&'z Node),
    /// The name exists, but only through names below it (RFC 4592 §2.2.2).
    EmptyNonTerminal,
    /// The topmost zone cut at or above the name; at the cut itself, `at_cut`, the DS record is still ours.
    Delegation {
        /// The delegation's NS records.
        cut: &'z Node,
        /// The name is the cut's own.
        at_cut: bool,
    },
    /// A node above the name whose DNAME record redirects it (RFC 6672).
    Redirected(&'z Node),
    /// The wildcard that stands in for the name (RFC 4592 §3.3.1).
    Wildcard(&'z Node),
    /// A wildcard stands in for the name, but it owns no records itself.
    EmptyWildcard,
    /// There is no such name.
    NoName,
}

impl Zone {
    /// Makes a zone of its nodes.
    ///
    /// Returns `None` if the apex has no SOA record.
    pub(crate) fn new(name: Name, nodes: Trie<Node>) -> Option<Self> {
        let apex = nodes.get(name.as_wire())?.clone();
        let soa = apex.rrset(Type::SOA)?.rdata().next()?;
        let serial = Serial(u32::from_be_bytes(*soa.last_chunk::<20>()?.first_chunk()?));
        let records = nodes.iter().flat_map(Node::rrsets).map(|rrset| usize::from(rrset.len())).sum();
        let has_wildcards = nodes.iter().any(|node| name::labels(node.name()).any(|label| label == b"*"));
        Some(Self { name, apex, nodes, serial, records, has_wildcards })
    }

    /// Returns the name of the zone.
    pub fn apex(&self) -> &Name {
        &self.name
    }

    /// Returns the serial number of the SOA record.
    pub fn serial(&self) -> Serial {
        self.serial
    }

    /// Returns how many records the zone has.
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
        self.nodes.floor(name.as_wire())
    }

    /// Returns the SOA RRset.
    #[inline]
    pub(crate) fn soa(&self) -> Option<RRset<'_>> {
        self.apex.rrset(Type::SOA)
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
        let Some(reached) = reached else { return Lookup::NoName };
        if name::eq(reached.name(), name) {
            return match above {
                Some(node) => Self::turn(node),
                None if reached.marks().has(Marks::CUT) => Lookup::Delegation { cut: reached, at_cut: true },
                None => Lookup::Node(reached),
            };
        }
        for node in above.into_iter().chain(consider(reached).then_some(reached)) {
            if name::is_at_or_below(name, node.name()) {
                return Self::turn(node);
            }
        }
        let encloser = name::common_labels(reached.name(), name);
        let below = name::suffix(name, encloser);
        if below.len() == name.len() {
            Lookup::EmptyNonTerminal
        } else if self.has_wildcards {
            self.wildcard(below)
        } else {
            Lookup::NoName
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
        let Some(target) = wire.get_mut(..encloser.len() + 2) else { return Lookup::NoName };
        target[..2].copy_from_slice(b"\x01*");
        target[2..].copy_from_slice(encloser);
        let mut key = Key::empty();
        key.set(target);
        match self.nodes.descend(&key, |_| ()) {
            Some(node) if name::eq(node.name(), target) => Lookup::Wildcard(node),
            Some(node) if name::is_at_or_below(node.name(), target) => Lookup::EmptyWildcard,
            _ => Lookup::NoName,
        }
    }
}

impl std::fmt::Debug for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Zone({} {}, {} records)", self.name, self.serial, self.records)
    }
}
