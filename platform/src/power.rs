//! Off and reset, on every machine.

use crate::acpi::{self, PowerOff, Register};
use crate::console::print_now;
use crate::cpu::idt;
use crate::cpu::port::{in8, out8, out16};
use crate::memory;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use spin::Once;

/// How ACPI switches the machine off and resets it: found at boot, for a fault must not search or map.
static OFF: Once<Option<PowerOff>> = Once::new();
static RESET: Once<Option<(Register, u8)>> = Once::new();

/// Set while the last message is printed: what goes wrong then is not told.
static DYING: AtomicBool = AtomicBool::new(false);

/// Finds out how the machine is switched off and reset; called once, after the ACPI tables were found.
pub(crate) fn start() {
    let off = *OFF.call_once(acpi::power_off);
    let reset = *RESET.call_once(acpi::reset);
    let sleep = off.and_then(|off| if let PowerOff::SleepControl(register, _) = off { Some(register) } else { None });
    for register in [sleep, reset.map(|(register, _)| register)] {
        if let Some(Register::Memory(at)) = register {
            memory::map_device(at, 1);
        }
    }
}

/// Switches the machine off; where that is not possible, resets it, which ends most hypervisors.
pub fn off() -> ! {
    x86_64::instructions::interrupts::disable();
    match OFF.get().copied().flatten() {
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

/// Resets the machine: as ACPI says, by the keyboard controller, or by a fault nobody can handle.
pub fn reset() -> ! {
    x86_64::instructions::interrupts::disable();
    if let Some((register, value)) = RESET.get().copied().flatten() {
        write(register, value);
        pause();
    }
    // SAFETY: the keyboard controller's command to pulse the reset line.
    unsafe { out8(0x64, 0xfe) };
    pause();
    idt::unload();
    // With no interrupt table, the fault faults twice more and the processor shuts down.
    // SAFETY: nothing runs after it.
    unsafe { core::arch::asm!("ud2", options(noreturn)) }
}

/// Prints why the platform cannot go on, and resets.
pub(crate) fn die(why: fmt::Arguments<'_>) -> ! {
    x86_64::instructions::interrupts::disable();
    if DYING.swap(true, Relaxed) {
        reset();
    }
    print_now(format_args!("\nzonule: {why} (thread {:?}); resetting\n", crate::thread::current_name()));
    reset()
}

fn write(register: Register, value: u8) {
    match register {
        // SAFETY: the register and the value by which the firmware says the machine goes off or resets.
        Register::Port(port) => unsafe { out8(port, value) },
        // SAFETY: as above; mapped at the start.
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
