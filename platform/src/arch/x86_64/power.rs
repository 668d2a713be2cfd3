//! Power off and reset on every supported machine.

use super::masking::disable;
use super::port::{in8, out8, out16};
use spin::Once;
use x86_64::VirtAddr;
use x86_64::structures::DescriptorTablePointer;

/// A register given by address space and address (ACPI 6.5 §5.2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Register {
    /// An I/O port.
    Port(u16),
    /// A physical address.
    Memory(u64),
}

/// How the machine enters the sleep state S5 (off).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PowerOff {
    /// Write the sleep type and the enable bit to the sleep control register (ACPI 6.5 §4.8.3.7).
    SleepControl(Register, u8),
    /// Write a sleep type each and the enable bit to the power-management control registers A and B (§4.8.3.2.1).
    PmControl([(u16, u16); 2]),
}

/// The firmware's registers for powering off and resetting. Those in memory are mapped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PowerControls {
    /// How to power off, if the firmware says.
    pub(crate) off: Option<PowerOff>,
    /// The reset register and the value to write, if the firmware says.
    pub(crate) reset: Option<(Register, u8)>,
}

/// Filled at boot: a fault handler must not search tables or map memory.
static CONTROLS: Once<PowerControls> = Once::new();

/// Stores the firmware's registers; called once.
pub(crate) fn start(controls: PowerControls) {
    CONTROLS.call_once(|| controls);
}

/// Powers the machine off. Where that is not possible, resets it, which ends most hypervisors.
pub fn off() -> ! {
    disable();
    match CONTROLS.get().and_then(|controls| controls.off) {
        Some(PowerOff::SleepControl(register, value)) => write(register, value),
        Some(PowerOff::PmControl(registers)) => {
            for (port, value) in registers.into_iter().filter(|&(port, _)| port != 0) {
                // SAFETY: the port and the value that the firmware specifies for powering off.
                unsafe { out16(port, value) };
            }
        }
        None => {}
    }
    pause();
    reset()
}

/// Resets the machine: by the ACPI reset register, the keyboard controller, or a fault that nothing handles.
pub fn reset() -> ! {
    disable();
    if let Some((register, value)) = CONTROLS.get().and_then(|controls| controls.reset) {
        write(register, value);
        pause();
    }
    // SAFETY: the keyboard controller's command to pulse the reset line.
    unsafe { out8(0x64, 0xfe) };
    pause();
    unload_vectors();
    // Without an interrupt table the fault becomes a double and then a triple fault, which shuts the processor down.
    // SAFETY: nothing runs after it.
    unsafe { core::arch::asm!("ud2", options(noreturn)) }
}

/// Installs an empty interrupt table: the next interrupt or fault resets the machine.
fn unload_vectors() {
    let pointer = DescriptorTablePointer { limit: 0, base: VirtAddr::zero() };
    // SAFETY: an empty table cannot be misused; the processor shuts down at the next vector.
    unsafe { x86_64::instructions::tables::lidt(&pointer) };
}

fn write(register: Register, value: u8) {
    match register {
        // SAFETY: the register and the value that the firmware specifies for powering off or resetting.
        Register::Port(port) => unsafe { out8(port, value) },
        // SAFETY: as above; mapped by the caller of `start`.
        Register::Memory(at) => unsafe { (at as *mut u8).write_volatile(value) },
    }
}

/// Gives the machine a moment to power off or reset.
fn pause() {
    for _ in 0..1000 {
        // SAFETY: reading the keyboard controller's status changes nothing.
        unsafe { in8(0x64) };
    }
}
