//! The processor: tables, faults, vector registers, interrupt controllers.

pub(crate) mod apic;
pub(crate) mod faults;
pub(crate) mod features;
pub(crate) mod fpu;
pub(crate) mod gdt;
pub(crate) mod idt;
pub mod interrupts;
mod ioapic;
pub mod port;
