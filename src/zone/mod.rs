//! Zone data: names, RRsets, the trie that holds them, and the zone-file reader.
//!
//! ```text
//! text ─ reader ─► records ─ assemble, check ─► Zone ─► Catalog ─► answer
//! ```
//!
//! A [`Zone`] and a [`Catalog`] are immutable values over one kind of persistent trie; a new version
//! shares with the old one all that did not change. [`read`] turns a file's text into a zone or into a
//! list of what is wrong with it, never both silently: a zone with an error is refused as a whole. [`Zone::amend`]
//! replaces RRsets, [`difference()`] tells what two versions do not share; both cost what changed, not what is there.

mod amendment;
mod assemble;
mod assembly;
mod catalog;
mod check;
mod diagnostic;
mod difference;
pub mod edit;
pub mod entries;
mod files;
mod fingerprint;
pub(crate) mod key;
pub(crate) mod name;
pub(crate) mod node;
mod rdata;
mod reader;
mod role;
mod rtype;
mod serial;
mod stray;
mod trie;
#[allow(clippy::module_inception, reason = "the zone of the zone room")]
mod zone;

pub use amendment::Amendment;
pub use assemble::{Reading, read, read_including};
pub use assembly::Assembly;
pub use catalog::{Catalog, Entry, Fault};
pub use diagnostic::{Diagnostic, Severity};
pub use difference::{Change, Difference, differ_in_case, difference, difference_within, is_identical};
pub use files::IncludeError;
pub use fingerprint::Fingerprint;
pub use name::{Name, NameError};
pub use node::{Node, RRset};
pub use rdata::print;
pub use role::{FileRole, may_be_part, zone_of_file};
pub use rtype::Type;
pub use serial::Serial;
pub use stray::stray_name;
pub use zone::Zone;

pub(crate) use assemble::canonical_data_cmp;
pub(crate) use key::Key;
pub(crate) use rdata::rules::owner as check_owner;
pub(crate) use rdata::wire::{check as check_data, check_form as check_data_form};
pub(crate) use role::{TSIG_KEY, file_of_zone, is_tsig_key};
pub(crate) use trie::{Named, Trie};
pub(crate) use zone::Lookup;
