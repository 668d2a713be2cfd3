//! Dynamic updates (RFC 2136): what is acknowledged is a commit in the remote, and nothing else becomes one.

mod commits;
mod early;
mod faults;
mod files;
pub(crate) mod scene;
mod storm;
mod tsig;
