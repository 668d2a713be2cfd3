//! Zones: RRsets, the trie that holds them, all zones together, and what changed between two versions.
//!
//! A [`Zone`] and the [`Zones`] are immutable values over one kind of persistent trie; a new version shares
//! everything unchanged with the old one. [`Zone::amend`] replaces RRsets, [`difference()`] returns the difference of two
//! versions; the cost of both depends on what changed, not on the size of the zone.

mod amendment;
mod assembly;
mod check;
mod denial;
mod difference;
mod fingerprint;
pub(crate) mod key;
pub(crate) mod node;
pub(crate) mod records;
mod trie;
#[allow(clippy::module_inception, reason = "the zone of the zone room")]
mod zone;
mod zones;

pub use amendment::Amendment;
pub use assembly::Assembly;
pub use difference::{Change, Difference, differ_in_case, difference, difference_within, is_identical};
pub use fingerprint::Fingerprint;
pub use node::{Node, RRset};
pub use zone::Zone;
pub use zones::{Entry, Fault, Zones};

pub(crate) use denial::Denied;
pub(crate) use key::Key;
pub(crate) use trie::{Named, Trie};
pub(crate) use zone::Lookup;
