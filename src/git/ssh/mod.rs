//! A git service over ssh: a login by key, and one command.
//!
//! The protocol itself is the `sunset` crate's, which does no I/O: `Channel` moves its bytes over a connection on which
//! every wait is bounded, and presents the command's input and output as a stream, like that of git's own daemon.
//!
//! The server is authenticated by its host key, which the operator has pinned ([`HostKeys`]). Nothing is sent to
//! another server; the first contact is no exception, because an appliance that forgets everything at each boot has a
//! first contact each time. We authenticate with a key, too ([`Identity`]); passwords are not tried.
//!
//! The start of the command's standard error is kept, and reported if it ends early: this is where
//! forges report that there is no such repository or that the key may not push to it.
//!
//! git's environment variable that asks for protocol version 2 cannot be sent, as `sunset` has no request for it, and
//! most servers drop it unless configured otherwise. So version 0 is used here.

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
