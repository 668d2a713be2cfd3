//! What Rust's std calls, supplied on bare metal.
#![cfg_attr(not(test), no_std)]

extern crate alloc;
#[cfg(test)]
#[macro_use]
extern crate std;

pub mod bus;
pub mod net;
pub mod virtio;
