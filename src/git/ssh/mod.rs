//! The way to a git service over ssh: a login by key, and one command.
//!
//! The protocol itself is the `sunset` crate's, which does no I/O: `Channel` moves its bytes over a connection on which
//! every wait has an end, and shows what the command reads and writes as a stream, like that of git's own daemon.
//!
//! The server is known by its host key, which the operator has pinned ([`HostKeys`]): nothing is told to another, and the
//! first contact is no exception, because an appliance that forgets everything at each boot has a first contact each time.
//! We are known by a key as well ([`Identity`]); passwords are not tried.
//!
//! What the command says on its standard error is kept, cut short, and told if it ends before its time: this is where
//! forges say that there is no such repository or that the key may not push to it.
//!
//! git's environment variable that asks for protocol version 2 cannot be sent, as `sunset` has no request for it, and most
//! servers drop it unless they were told not to. So version 0 is spoken here.

mod access;
mod channel;
mod error;
mod keys;
mod open;

pub use access::Access;
pub use error::{Exit, SshError};
pub use keys::{HostKeys, Identity};
pub(super) use open::open;

#[cfg(test)]
mod tests;
