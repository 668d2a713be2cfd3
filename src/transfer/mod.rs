//! Outgoing zone transfers, AXFR (RFC 5936) and IXFR (RFC 1995), without I/O.
//!
//! ```text
//! octets ─ Request::parse ─► Request ─ Request::admit (key, address) ─► Arc<Zone> or Refusal
//! Request, Arc<Zone>, differences ─ Content::of ─► Content ─ Outgoing::next ─► message, message, …
//! versions ─ from_versions ─► History ─ chain ─► differences ─ condense ─┘
//! ```
//!
//! A reply keeps the snapshot of the zone with which it began, so it stays consistent when the served zone changes. It
//! needs memory for only one message: each is built when it can be sent. A difference is sent only if it certainly
//! leads from the client's version to the current one; otherwise the client gets the whole zone.

mod condense;
mod history;
mod message;
mod names;
mod outgoing;
mod request;
#[cfg(test)]
mod tests;

pub use condense::condense;
pub use history::{Compared, History, Limits, Past, from_versions};
pub use outgoing::{Content, NoRoom, Outgoing};
pub use request::{Fault, Kind, Refusal, Reply, Request};
