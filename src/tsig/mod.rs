//! TSIG, transaction signatures for client and server, without I/O (RFC 8945).
//!
//! ```text
//! server: octets ─ verify ─► Verified { message, request } ─ Request::sign, Request::chain ─► octets
//!                     └────► Failure ─ Failure::sign ─► octets
//! client: octets ─ sign ─► Sent ─ Sent::verify, Sent::chain ◄─ octets
//! ```
//!
//! The time is an argument in seconds since 1970, and the caller looks up keys. Verification takes a whole message and
//! returns it without the TSIG record, so later stages do not handle TSIG. Signing appends the record to a complete
//! message; the number of octets to reserve for it is known beforehand.
//!
//! The signature authenticates the sender but does not prevent replays; [`Replays`] detects those.

mod algorithm;
mod client;
mod key;
mod record;
mod replay;
mod server;
#[cfg(test)]
mod tests;

pub use algorithm::{Algorithm, AlgorithmError};
pub use client::{ChainVerifier, ReplyError, Sent, sign};
pub use key::{Key, KeyError};
pub use replay::{Limits, Replay, Replays};
pub use server::{Cause, Chain, Failure, Policy, Request, Verified, verify};

/// The fudge in messages that Zonule signs, in seconds: how far the two clocks may differ (RFC 8945 §10).
pub const FUDGE: u16 = 300;
