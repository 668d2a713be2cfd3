//! The machine: everything that names a register, a port or an instruction.
//!
//! What this module re-exports is all that the floors above know of the processor and its board. A second architecture
//! is a folder beside `x86_64` that supplies the same names:
//!
//! | names | what they stand for |
//! |---|---|
//! | `platform_start` | the function of [`crate::start`] that the first instructions call, on [`BOOT_STACK`], interrupts off |
//! | [`Handover`] | what the loader left: memory map, command line, root of the firmware's tables |
//! | [`Processor`], [`start`] | what the hardware keeps for each processor, and how to get from any instruction to it |
//! | [`Upcalls`], [`register`] | the functions above that interrupts and faults lead to |
//! | [`Firmware`] | the facts of the firmware's tables that this floor needs, read by the drivers |
//! | [`interrupts`] | on, off, halt; vectors and their handlers; how devices reach them |
//! | [`paging`] | the tree of page tables: map, split, unmap a page, put in force |
//! | [`context`] | the saved registers of a thread, and the switch from one to another |
//! | [`tls`] | the layout of thread-local storage and the thread pointer |
//! | [`time`] | the monotonic clock, the one-shot timer, the board's time of day, the cycle counter |
//! | [`random`] | the instructions that give random numbers |
//! | [`power`] | off and reset |
//! | [`serial`] | the console's octets |
//! | [`port`], [`pci`], [`keyboard`] | devices reached by ports; a machine without ports answers that there are none |
//! | [`image`] | where the linker has put the program |
//! | `export!` | C symbols, and the memory functions of C themselves |
//!
//! Device registers in memory need no help from here: they are volatile loads and stores everywhere.
//!
//! This floor calls nothing above it. It waits for no thread, so it takes none of the locks of [`crate::base::lock`].

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
