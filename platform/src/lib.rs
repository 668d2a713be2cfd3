//! What Rust's std calls, supplied on bare metal.
//!
//! The prebuilt std of `x86_64-unknown-linux-gnu` is linked into the image without a C library: the symbols it
//! wants are defined in [`abi`], over the machinery of the other modules. Nothing here uses std; std calls in.
//! A program reaches this crate through std alone and only names it to have it linked.
//!
//! The floors, from the lowest; none uses a higher one, as a test of the source sees to:
//!
//! | module | what it is |
//! |---|---|
//! | `arch` | the processor and its board: everything that names a register, a port or an instruction |
//! | [`base`] | messages, locks, and what is kept for each processor |
//! | [`memory`] | the map, page tables, the heap, stacks |
//! | [`kernel`] | threads, time, descriptors |
//! | [`drivers`] | firmware tables, buses, devices |
//! | [`net`] | the network stack |
//! | [`abi`] | the C symbols |
//! | `start` | what starts them all, and then `main` |
//!
//! What a floor needs of a higher one is registered with it, as a function, when the machine starts.
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
#[cfg(test)]
mod floors;
pub mod kernel;
pub mod memory;
pub mod net;
mod start;

pub use base::lock as sync;
pub use drivers::{acpi, button, entropy, power};
pub use kernel::{thread, time};
