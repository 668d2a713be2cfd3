//! Record data in its two forms: text in zone files and octets on the wire.
//!
//! The table in `rtype.rs` lists each type's fields. Each kind of field is handled in three modules: [`read`] converts
//! text to octets, [`wire`] finds the end of the field and checks its octets, and [`mod@print`] converts octets to
//! text. [`rules`] contains the checks that a type needs beyond that. A new type is one line in the table, unless it
//! introduces a new kind of field.
//!
//! [`wire::check`] is the single check of data from any source: text, `\\#` and updates must pass all of it, transfers
//! and other messages only its first half, [`wire::check_form`]. `docs/decisions.md` explains why.

pub(crate) mod compare;
mod encoding;
mod location;
pub(crate) mod naptr;
mod prefixes;
pub mod print;
pub(crate) mod read;
pub(crate) mod rules;
mod svcb;
pub(crate) mod wire;

pub(crate) use encoding::{algorithm_name, bitmap_types, push_type_bitmap, push_unescaped};

#[cfg(test)]
mod tests;
