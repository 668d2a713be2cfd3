//! Replacements of RRsets.

use super::key::Key;
use super::node::Node;
use crate::dns::{Name, Type};
use crate::zone::{Lookup, Zone};

/// The replacement of all records of a type at an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amendment {
    /// The owner.
    pub owner: Name,
    /// The type.
    pub rtype: Type,
    /// The type that the records cover, which is `Some` for signatures and `None` for all others.
    pub covers: Option<Type>,
    /// The time to live of all records, in seconds; irrelevant if there are none.
    pub ttl: u32,
    /// The data of the records in wire form without duplicates; empty to delete the RRset.
    pub data: Vec<Box<[u8]>>,
}

impl Amendment {
    /// Returns the key of the RRset at its owner: the type, and for signatures the type covered.
    pub(crate) fn key(&self) -> (Type, Option<Type>) {
        (self.rtype, self.covers)
    }

    /// Returns a node of the amended zone that must not exist because it is below a DNAME record (RFC 6672 §2.4), and
    /// that record's node.
    ///
    /// Checks only nodes that this amendment may have put there: its owner, nodes below a new DNAME record, and nodes
    /// that a delegation no longer hides.
    pub(crate) fn below_dname<'z>(&self, amended: &'z Zone) -> Option<(&'z Node, &'z Node)> {
        let reveals = match self.rtype {
            Type::DNAME => !self.data.is_empty(),
            Type::NS => self.data.is_empty() && self.owner != *amended.apex(),
            _ => false,
        };
        let below = amended.below(self.owner.as_wire()).take(if reveals { usize::MAX } else { 0 });
        let mut touched = amended.node(&self.owner).into_iter().chain(below);
        touched.find_map(|node| Some((node, redirected(amended, node)?)))
    }
}

/// Returns the node of the DNAME record above a node.
fn redirected<'z>(zone: &'z Zone, node: &Node) -> Option<&'z Node> {
    // Records that prove nonexistence are placed below the apex even if it owns a DNAME record (RFC 5155 §7.1).
    if node.rrsets().all(|rrset| matches!(rrset.rtype(), Type::NSEC3 | Type::RRSIG)) {
        return None;
    }
    match zone.lookup(node.owner(), &Key::new(node.owner())) {
        Lookup::Redirected(dname) => Some(dname),
        _ => None,
    }
}
