//! The vocabulary of DNS: names, record types and their data, serial numbers, messages, and the tokens of master files.
//!
//! This is the lowest room of the crate: it has no notion of zones, servers or transports, and all other rooms use its
//! types.

pub(crate) mod diagnostic;
pub(crate) mod lexer;
pub mod message;
pub(crate) mod name;
pub mod nsec3;
pub(crate) mod rdata;
mod rtype;
mod serial;
pub(crate) mod source;
pub(crate) mod words;

pub use diagnostic::{Diagnostic, Severity};
pub use name::{Name, NameError};
pub use rdata::compare::{canonical_cmp, canonical_form};
pub use rdata::print;
pub use rtype::Type;
pub use serial::Serial;

pub(crate) use rdata::compare::data_cmp;
pub(crate) use rdata::rules::owner as check_owner;
pub(crate) use rdata::wire::{check as check_data, check_form as check_data_form};
pub(crate) use rdata::{algorithm_name, bitmap_types, push_type_bitmap};
pub(crate) use rtype::{Additional, Field};
