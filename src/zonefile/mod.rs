//! Master files (RFC 1035 §5): reading, checking and editing them.
//!
//! ```text
//! text ─ reader ─► records ─ assembled, checked ─► Zone
//! ```
//!
//! [`read()`] turns a file's text into a zone or into a list of what is wrong with it, never both silently: a zone with an
//! error is refused as a whole. [`edit`] changes a file's text so that it reads as another version of the zone.

pub mod edit;
pub mod entries;
mod files;
mod read;
mod reader;
mod role;
mod stray;

pub use files::IncludeError;
pub use read::{Reading, read, read_including};
pub use role::{FileRole, may_be_part, zone_of_file};
pub use stray::stray_name;

pub(crate) use role::{TSIG_KEY, file_of_zone, is_tsig_key};
