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

pub mod abi;
pub mod acpi;
mod boot;
pub mod bus;
pub mod button;
pub mod console;
pub mod cpu;
pub mod entropy;
pub mod fd;
mod generation;
pub mod memory;
pub mod net;
pub mod power;
pub mod sync;
pub mod thread;
pub mod time;
pub mod virtio;

pub use boot::command_line;
