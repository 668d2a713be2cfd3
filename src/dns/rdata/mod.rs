//! Record data in its two forms: as text in a zone file and as octets on the wire.
//!
//! The table in `rtype.rs` lists each type's fields. For each kind of field there are three functions side by
//! side: [`read`] turns text into octets, [`wire`] finds where it ends and checks its octets, and [`mod@print`] turns
//! octets into text again. What a type's data must keep to beyond that is in [`rules`]. A new type is a line in the table,
//! unless it brings a field of a new kind.
//!
//! [`wire::check`] is the one check of data, wherever it comes from: text, `\\#` and updates must pass all of it,
//! transfers and other messages only its first half, [`wire::check_form`]. `docs/decisions.md` says why.

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

pub(crate) use encoding::push_unescaped;

#[cfg(test)]
mod tests;
