//! An authoritative DNS server whose zones live in git.
//!
//! This library is an ordinary, safe std program without operating system specifics. The Linux binary (`src/main.rs`)
//! and the bare-metal image (`image/`) are two thin programs around it.
#![forbid(unsafe_code)]

pub mod answer;
pub mod catalog_zone;
pub mod check;
pub mod config;
pub mod dns;
pub mod dnssec;
pub mod git;
pub mod http;
pub mod keys;
pub mod net;
pub mod notify;
pub mod primary;
pub mod publish;
pub mod secondary;
pub mod serve;
pub mod sntp;
pub mod telemetry;
pub mod text;
pub mod transfer;
pub mod tsig;
pub mod update;
pub mod zone;
pub mod zonefile;
