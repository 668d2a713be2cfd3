//! Being a secondary: zones followed by SOA queries, IXFR and AXFR (RFC 1034 §4.3.5, RFC 1995, RFC 5936).
//!
//! ```text
//! time, NOTIFY, datagrams, ends of transfers ─► Secondary ─► datagrams, Orders of transfers, zones to serve
//!            Order ─ begin ─► request ─► primary ─ messages ─► Incoming ─► Outcome: a new zone, or none
//! ```
//!
//! [`Secondary`] decides when to ask whom for what; it never sees a zone's records. [`Incoming`] makes a zone of one
//! transfer's messages and knows nothing of the others, so transfers run beside each other. Both are values that events
//! change; neither knows a clock, a socket or a random source.
//!
//! A transfer yields a whole sound zone or nothing: what is served never gets worse by it.

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
