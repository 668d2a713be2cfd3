//! Off and reset, on every machine.

use super::masking::disable;
use super::port::{in8, out8, out16};
use spin::Once;
use x86_64::VirtAddr;
use x86_64::structures::DescriptorTablePointer;

/// A register by address space and address (ACPI 6.5 §5.2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Register {
    /// An I/O port.
    Port(u16),
    /// A physical address.
    Memory(u64),
}

/// How the machine is put into the state S5, off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PowerOff {
    /// The sleep control register takes the type and the enable bit (ACPI 6.5 §4.8.3.7).
    SleepControl(Register, u8),
    /// The power-management control registers A and B take a type each and the enable bit (§4.8.3.2.1).
    PmControl([(u16, u16); 2]),
}

/// What the firmware says about switching the machine off and resetting it. Registers in memory are mapped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ways {
    /// How it is switched off, if the firmware says.
    pub(crate) off: Option<PowerOff>,
    /// The register that resets it and the value to write, if the firmware says.
    pub(crate) reset: Option<(Register, u8)>,
}

/// Found at boot: a fault must not search or map.
static WAYS: Once<Ways> = Once::new();

/// Takes what the firmware says; called once.
pub(crate) fn start(ways: Ways) {
    WAYS.call_once(|| ways);
}

/// Switches the machine off; where that is not possible, resets it, which ends most hypervisors.
pub fn off() -> ! {
    disable();
    match WAYS.get().and_then(|ways| ways.off) {
        Some(PowerOff::SleepControl(register, value)) => write(register, value),
        Some(PowerOff::PmControl(registers)) => {
            for (port, value) in registers.into_iter().filter(|&(port, _)| port != 0) {
                // SAFETY: the port and the value by which the firmware says the machine goes off.
                unsafe { out16(port, value) };
            }
        }
        None => {}
    }
    pause();
    reset()
}

/// Resets the machine: as ACPI says, by the keyboard controller, or by a fault that nothing handles.
pub fn reset() -> ! {
    disable();
    if let Some((register, value)) = WAYS.get().and_then(|ways| ways.reset) {
        write(register, value);
        pause();
    }
    // SAFETY: the keyboard controller's command to pulse the reset line.
    unsafe { out8(0x64, 0xfe) };
    pause();
    leave_no_vectors();
    // With no interrupt table, the fault faults twice more and the processor shuts down.
    // SAFETY: nothing runs after it.
    unsafe { core::arch::asm!("ud2", options(noreturn)) }
}

/// Leaves no usable interrupt table: the next interrupt or fault resets the machine.
fn leave_no_vectors() {
    let pointer = DescriptorTablePointer { limit: 0, base: VirtAddr::zero() };
    // SAFETY: there is no table to be misused; the processor shuts down at the next vector.
    unsafe { x86_64::instructions::tables::lidt(&pointer) };
}

fn write(register: Register, value: u8) {
    match register {
        // SAFETY: the register and the value by which the firmware says the machine goes off or resets.
        Register::Port(port) => unsafe { out8(port, value) },
        // SAFETY: as above; mapped by the caller of `start`.
        Register::Memory(at) => unsafe { (at as *mut u8).write_volatile(value) },
    }
}

/// Waits a moment for the machine to go.
fn pause() {
    for _ in 0..1000 {
        // SAFETY: reading the keyboard controller's status changes nothing.
        unsafe { in8(0x64) };
    }
}
