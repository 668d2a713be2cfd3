//! Notifications of changed zones (RFC 1996), sent and received.
//!
//! ```text
//! zone changed ─ targets ─► Notifier ─► datagrams ─► secondaries ─ acknowledgements ─► Notifier
//! datagram ─ Notification::parse ─ decide ─► reply at once, and perhaps Trigger ─► a fetch, later
//! ```
//!
//! [`Notifier`] and [`Trigger`] are values that events and the time change; what they want done comes back as values.
//! Neither knows a clock, a socket or a random source. Whoever drives them calls again when the time they tell has come.

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
pub use received::{Notification, Ruling, Sender, decide};
pub use targets::{Configured, Target, targets};
pub use trigger::Trigger;

pub(crate) use received::serial_of;
pub(crate) use warnings::Warnings;

/// What the clocks show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The time since some moment that is the same for all events; it never goes back.
    pub uptime: Duration,
    /// The time in seconds since 1970, for signatures.
    pub unix: u64,
}

/// Returns an address by which a peer is told from others: IPv4 is IPv4 however it is written, and scopes do not count.
pub(crate) fn peer(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
