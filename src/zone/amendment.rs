//! What an RRset is to become.

use super::name::Name;
use super::rtype::Type;

/// The records an owner is to have of a type, in place of those it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amendment {
    /// The owner.
    pub owner: Name,
    /// The type.
    pub rtype: Type,
    /// The time to live of all records, in seconds; without meaning if there are none.
    pub ttl: u32,
    /// Each record's data in wire form, no two the same; none to have no such RRset.
    pub data: Vec<Box<[u8]>>,
}
