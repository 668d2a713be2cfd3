//! The secondary: follows zones by SOA queries, IXFR and AXFR (RFC 1034 §4.3.5, RFC 1995, RFC 5936).
//!
//! ```text
//! time, NOTIFY, datagrams, ends of transfers ─► Secondary ─► datagrams, Orders of transfers, zones to serve
//!            Order ─ begin ─► request ─► primary ─ messages ─► Incoming ─► Outcome: a new zone, or none
//! ```
//!
//! [`Secondary`] decides when to query or transfer which zone from which primary; it never sees the records of a zone.
//! [`Incoming`] builds a zone from the messages of one transfer, independently of the others, so transfers run
//! concurrently. Both are state machines that events change; neither has a clock, a socket or a random source.
//!
//! A transfer yields a complete valid zone or nothing, so a bad transfer never affects the served zone.

mod answer;
mod differences;
mod error;
mod events;
mod follower;
mod incoming;
mod machine;
mod sources;

pub use error::TransferError;
pub use events::{Effect, Event, Failure, Limits, Order};
pub use incoming::{Bounds, Incoming, Outcome, Progress};
pub use machine::Secondary;
pub use sources::{Primary, named_by_keys};

#[cfg(test)]
mod tests;
