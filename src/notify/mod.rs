//! Notifications of changed zones (RFC 1996), sent and received.
//!
//! ```text
//! zone changed ─ targets ─► Notifier ─► datagrams ─► secondaries ─ acknowledgements ─► Notifier
//! datagram ─ Notification::parse ─ decide ─► reply at once; if authorized, Trigger ─► a fetch, later
//! ```
//!
//! [`Notifier`] and [`Trigger`] are state machines: they take events and the time, and return the actions to perform.
//! Neither has a clock, a socket or a random source. The caller must call them again at the time that they return.

mod notifier;
mod received;
mod targets;
mod trigger;
mod warnings;

use std::net::SocketAddr;
use std::time::Duration;

pub use notifier::{Effect, Event, Limits, Notifier};
#[cfg(test)]
pub(crate) use received::reply;
pub use received::{Decision, Notification, Sender, decide};
pub use targets::{Configured, Target, targets};
pub use trigger::Trigger;

pub(crate) use received::serial_of;
pub(crate) use warnings::Warnings;

/// The current time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The monotonic time since a fixed moment.
    pub uptime: Duration,
    /// The time in seconds since 1970, for signatures.
    pub unix: u64,
}

/// Returns an address in the form that identifies a peer: IPv4-mapped addresses become IPv4, and scopes are removed.
pub(crate) fn peer(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
