//! The machine: everything that names a register, a port or an instruction.
//!
//! What this module re-exports is all that higher floors know of the processor and its board. A second architecture is
//! another folder next to `x86_64` that supplies the same names:
//!
//! | names | what they stand for |
//! |---|---|
//! | `platform_start` | the function of [`crate::start`] called by the entry code on [`BOOT_STACK`], interrupts off |
//! | [`Handover`] | what the loader passed: memory map, command line, address of the ACPI root pointer |
//! | [`Processor`], [`start`] | the hardware's per-processor structures, how to find the current one, and their setup |
//! | [`Upcalls`], [`register`] | the functions of higher floors that interrupts and faults call |
//! | [`Firmware`] | what this floor needs from the firmware's tables, which the drivers read |
//! | [`interrupts`] | enabling, disabling, halting; vectors and their handlers; routing of device interrupts |
//! | [`paging`] | the page tables: map, split and unmap pages, activate |
//! | [`context`] | the saved registers of a thread, and the switch from one to another |
//! | [`tls`] | thread-local storage layout and the thread pointer |
//! | [`time`] | the monotonic clock, the one-shot timer, the board's time of day, the cycle counter |
//! | [`random`] | the processor's random number instructions |
//! | [`power`] | power off and reset |
//! | [`serial`] | the serial console |
//! | [`port`], [`pci`], [`keyboard`] | devices behind I/O ports; an architecture without ports reports none |
//! | [`image`] | the addresses of the image's sections |
//! | `export!` | definition of C symbols; C's memory functions |
//!
//! Device registers in memory need nothing from this floor: they are volatile loads and stores on every architecture.
//!
//! This floor calls nothing above it. It never blocks on another thread, so it uses none of the locks of
//! [`crate::base::lock`].

mod units;
mod upcalls;
#[macro_use]
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub(crate) use self::x86_64::{
    BOOT_STACK, Firmware, Handover, InterruptsOff, Processor, context, image, interrupts, keyboard, paging, pci, port,
    power, random, serial, start, time, tls,
};
pub use units::Nanos;
pub(crate) use units::PAGE;
pub(crate) use upcalls::{ThreadName, Upcalls, register};
