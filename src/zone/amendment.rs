//! What an RRset is to become.

use super::key::Key;
use super::node::Node;
use crate::dns::{Name, Type};
use crate::zone::{Lookup, Zone};

/// The records an owner is to have of a type, in place of those it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amendment {
    /// The owner.
    pub owner: Name,
    /// The type.
    pub rtype: Type,
    /// The type that the records cover, which is `Some` for signatures and `None` for all others.
    pub covers: Option<Type>,
    /// The time to live of all records, in seconds; without meaning if there are none.
    pub ttl: u32,
    /// Each record's data in wire form, no two the same; none to have no such RRset.
    pub data: Vec<Box<[u8]>>,
}

impl Amendment {
    /// Returns what tells the owner's RRsets apart: the type, and for signatures the type covered.
    pub(crate) fn key(&self) -> (Type, Option<Type>) {
        (self.rtype, self.covers)
    }

    /// Returns a node of the amended zone that may not be, since it lies below a DNAME record (RFC 6672 §2.4), and that
    /// record's node.
    ///
    /// Looked at is what this amendment may have put there: its owner, what lies below a new DNAME record, and what a
    /// delegation hid until now.
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

/// Returns the node of the DNAME record that a node lies below.
fn redirected<'z>(zone: &'z Zone, node: &Node) -> Option<&'z Node> {
    // The records that prove what does not exist stand below the apex, whatever it owns (RFC 5155 §7.1).
    if node.rrsets().all(|rrset| matches!(rrset.rtype(), Type::NSEC3 | Type::RRSIG)) {
        return None;
    }
    match zone.lookup(node.owner(), &Key::new(node.owner())) {
        Lookup::Redirected(dname) => Some(dname),
        _ => None,
    }
}
