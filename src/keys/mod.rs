//! The keys clients sign with, and the operations each allows.
//!
//! Keys come from the boot arguments and from the repository's key files, which are those of the MirageOS DNS servers:
//! a file `<zone>._keys`, or `_keys` for the root, of lines `name DNSKEY 0 3 163 <base64>`. A key's name says what
//! it may do, so there is nothing else to configure: see [`Grant`].
//!
//! An unreadable line is left out and reported, and the others take effect: one mistake must not lock everybody out. In
//! doubt a key is left out: two different keys with the same name are both left out, and so is a key if an error further
//! up makes its name uncertain. No finding shows any part of a secret, nor of text that may be one.

mod file;
mod grant;
mod keyring;

pub use grant::{Addresses, Grant, Operation};
pub use keyring::{ARGUMENT, Keyring};
