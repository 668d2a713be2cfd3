//! Record data in its two forms: as text in a zone file and as octets on the wire.
//!
//! The table in `rtype.rs` lists each type's fields. For each kind of field there are three functions side by
//! side: [`read`] turns text into octets, [`wire`] tells where it ends and whether its octets are sound, and
//! [`mod@print`] turns octets into text again. A new type is a line in the table, unless it brings a field of a
//! new kind.

mod encoding;
mod location;
mod prefixes;
pub mod print;
pub(super) mod read;
mod svcb;
pub(crate) mod wire;

pub(super) use encoding::push_unescaped;

#[cfg(test)]
mod tests;
