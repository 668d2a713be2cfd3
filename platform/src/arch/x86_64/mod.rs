//! The x86-64 processor and the rest of the PC.

mod apic;
pub(crate) mod context;
mod entry;
mod faults;
mod features;
mod firmware;
mod fpu;
mod handover;
mod idt;
pub(crate) mod image;
pub(crate) mod interrupts;
mod ioapic;
pub(crate) mod keyboard;
mod masking;
pub(crate) mod paging;
pub(crate) mod pci;
pub(crate) mod port;
pub(crate) mod power;
mod processor;
pub(crate) mod random;
pub(crate) mod serial;
mod stacks;
mod strings;
#[macro_use]
mod symbols;
pub(crate) mod time;
pub(crate) mod tls;
mod vectors;

pub(crate) use entry::BOOT_STACK;
pub(crate) use firmware::Firmware;
pub(crate) use handover::Handover;
pub(crate) use masking::InterruptsOff;
pub(crate) use processor::Processor;

use features::Features;

/// Prepares the boot processor for Rust code that may fault: descriptor tables, vector registers, features.
///
/// # Errors
///
/// Returns why the processor cannot run the image.
///
/// # Safety
///
/// Called once, before anything else, by the code that the entry code calls.
pub(crate) unsafe fn start(processor: &'static Processor) -> Result<(), &'static str> {
    // SAFETY: the caller's guarantee.
    unsafe { processor.enter() };
    idt::load();
    let features = Features::detect();
    fpu::start(features);
    if features.no_execute {
        Ok(())
    } else {
        Err("the processor does not support no-execute pages: start QEMU with -cpu max, qemu64 or host")
    }
}
