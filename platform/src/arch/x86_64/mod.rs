//! The x86-64 processor and the PC around it.

mod apic;
pub(crate) mod context;
mod entry;
mod faults;
mod features;
mod fpu;
mod handover;
mod idt;
pub(crate) mod image;
pub(crate) mod interrupts;
mod ioapic;
pub(crate) mod keyboard;
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

pub(crate) use entry::BOOT_STACK;
pub(crate) use handover::Handover;
pub(crate) use interrupts::InterruptsOff;
pub(crate) use processor::Processor;

use core::ptr::NonNull;
use features::Features;
use heapless::Vec;

/// Maps a device's registers, `length` octets at a physical address, for good.
pub(crate) type MapDevice = fn(address: u64, length: usize) -> NonNull<u8>;

/// What this floor needs to know of the firmware's tables.
pub(crate) struct Firmware {
    /// Whether the machine may have the two interrupt controllers of old PCs.
    pub(crate) legacy_controllers: bool,
    /// The I/O interrupt controllers: address and first line of each.
    pub(crate) io_apics: Vec<(u64, u32), { Self::IO_APICS }>,
    /// The port of the ACPI power-management timer.
    pub(crate) pm_timer: Option<u16>,
    /// The CMOS register of the century.
    pub(crate) century_register: Option<u8>,
}

impl Firmware {
    /// The most I/O interrupt controllers driven.
    pub(crate) const IO_APICS: usize = 8;
}

/// Prepares the boot processor for Rust code that may fault: descriptor tables, vector registers, features.
///
/// # Errors
///
/// Returns why the processor cannot run the image.
///
/// # Safety
///
/// Called once, first of all, by the code that the entry calls.
pub(crate) unsafe fn start(processor: &'static Processor) -> Result<(), &'static str> {
    // SAFETY: the caller's promise.
    unsafe { processor.enter() };
    idt::load();
    let features = Features::detect();
    fpu::start(features);
    if features.no_execute {
        Ok(())
    } else {
        Err("the processor has no no-execute pages: start QEMU with -cpu max, qemu64 or host")
    }
}
