//! Zone transfers out: AXFR (RFC 5936) and IXFR (RFC 1995) as values in, values out.
//!
//! ```text
//! octets ─ Request::parse ─► Request ─ Request::admit (key, address) ─► Arc<Zone> or Refusal
//! Request, Arc<Zone>, differences ─ Content::of ─► Content ─ Outgoing::next ─► message, message, …
//! versions ─ from_versions ─► History ─ chain ─► differences ─ condense ─┘
//! ```
//!
//! A reply holds the zone's snapshot it began with, so it stays consistent whatever is served meanwhile, and costs no
//! more memory than one message: each is made when there is room to send it. A difference is sent only where it is
//! known to lead from what the client has to what it is told it has then; in all other cases the client gets the zone.

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
