//! The keys clients sign with, and what each may do.
//!
//! Keys come from the boot arguments and from the repository's key files, which are those of the MirageOS DNS servers:
//! a file `<zone>._keys`, or `_keys` for the root, of lines `name DNSKEY 0 3 163 <base64>`. What a key may do is spelled
//! by its name, so that there is nothing else to configure: see [`Grant`].
//!
//! A line that cannot be read is left out and reported, and the others count: one slip must not lock everybody out. In
//! doubt a key is not there: two that have one name but are not the same are both left out, and so is a key whose name
//! might be another for a fault further up. No finding shows any part of a secret, nor of what may have been meant as one.

mod file;
mod grant;
mod keyring;

pub use grant::{Addresses, Grant, Operation};
pub use keyring::{ARGUMENT, Keyring};
