//! What Rust's std calls, supplied on bare metal.
//!
//! The prebuilt std of `x86_64-unknown-linux-gnu` is linked into the image without a C library: the symbols it
//! wants are defined in [`abi`], over the machinery of the other rooms. Nothing here uses std; std calls in.
//! A program reaches this crate through std alone and only names it to have it linked.
//!
//! The machine is one vCPU in 64-bit mode with one address space: virtual equals physical everywhere, so a
//! buffer's address is what a device is given, and no page has two mappings that could differ in rights.
#![no_std]
#![cfg_attr(test, allow(dead_code, unused_imports, reason = "unit tests try the pure parts only"))]

extern crate alloc;
#[cfg(test)]
#[macro_use]
extern crate std;

#[macro_use]
mod arch;

pub mod abi;
pub mod base;
pub mod drivers;
pub mod kernel;
pub mod memory;
pub mod net;
mod start;

pub use base::lock as sync;
pub use drivers::{acpi, button, entropy, power};
pub use kernel::{thread, time};
