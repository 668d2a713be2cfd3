//! Signed messages: TSIG (RFC 8945), for both ends, as values in and values out.
//!
//! ```text
//! server: octets ─ verify ─► Verified { message, request } ─ Request::sign, Request::chain ─► octets
//!                     └────► Failure ─ Failure::sign ─► octets
//! client: octets ─ sign ─► Sent ─ Sent::verify, Sent::chain ◄─ octets
//! ```
//!
//! The time is an argument, in seconds since 1970; keys are looked up by whoever calls. What is verified is a whole
//! message, and what comes back is that message without its TSIG record, so that nobody needs to know of it further on.
//! A signature is appended to a message that is written already; how many octets to leave for it is known beforehand.
//!
//! The signature says who sent a message, not that it is sent for the first time: [`Replays`] does.

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

/// By how many seconds the clocks of the two ends may differ in what we sign (RFC 8945 §10).
pub const FUDGE: u16 = 300;
