//! Interrupts: turning them on and off, and those of devices: vectors, message addresses, lines.

use super::{Firmware, MapDevice, apic, ioapic};
use crate::arch::upcalls::upcalls;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use spin::Once;
use x86_64::instructions::interrupts;

pub(crate) use x86_64::instructions::interrupts::{are_enabled, disable, enable, enable_and_hlt as enable_and_halt};

/// While it lives, this processor's interrupts are off; dropped, they are as they were before.
#[derive(Debug)]
pub(crate) struct InterruptsOff {
    were_on: bool,
}

impl InterruptsOff {
    /// Turns interrupts off until the value is dropped; calls nest.
    pub(crate) fn new() -> Self {
        if cfg!(test) {
            return Self { were_on: false }; // the unit tests run as ordinary processes
        }
        let were_on = interrupts::are_enabled();
        interrupts::disable();
        Self { were_on }
    }
}

impl Drop for InterruptsOff {
    fn drop(&mut self) {
        if self.were_on {
            interrupts::enable();
        }
    }
}

/// The first vector given to devices; those below are the processor's.
const FIRST: u8 = 0x30;
/// How many vectors devices can have.
const COUNT: usize = 64;

/// A vector that has a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vector(u8);

/// Each device vector's handler. A vector is never taken back, so interrupts read them without a lock.
static HANDLERS: [Once<fn()>; COUNT] = [const { Once::new() }; COUNT];
/// How many vectors were asked for.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
/// Gives `handler` a vector of its own, or `None` when all are taken.
///
/// The handler runs with interrupts off, on whatever thread was running: it may acknowledge its device and
/// signal an [`Event`](crate::kernel::thread::Event), nothing more. The end of the interrupt is signalled after it.
pub(crate) fn allocate(handler: fn()) -> Option<Vector> {
    let index = ALLOCATED.fetch_add(1, Relaxed);
    HANDLERS.get(index)?.call_once(|| handler);
    Some(Vector(FIRST + index as u8))
}

/// Returns the address and the data by which a device's message raises `vector` on this processor.
pub(crate) fn msi_message(vector: Vector) -> (u64, u32) {
    (0xfee0_0000 | u64::from(apic::id()) << 12, vector.0.into())
}

/// Leads interrupt line `gsi` to `vector` and unmasks it; false if no controller has the line.
pub(crate) fn route_gsi(gsi: u32, vector: Vector, level: bool, active_low: bool) -> bool {
    ioapic::route(gsi, vector.0, level, active_low).is_some()
}

/// Prepares the controllers; called once, interrupts off.
pub(crate) fn start(firmware: &Firmware, map: MapDevice) {
    apic::start(firmware, map);
    ioapic::start(firmware, map);
}

/// Handles the interrupt that came on `vector`; interrupts are off.
pub(super) fn handle(vector: u8) {
    match vector {
        // These two are not in service: an end of interrupt would end another's.
        apic::SPURIOUS | apic::LEGACY..0xf0 => return,
        apic::TIMER => {
            if let Some(upcalls) = upcalls() {
                (upcalls.timer_fired)();
            }
        }
        _ => {
            let handler = HANDLERS.get(usize::from(vector.wrapping_sub(FIRST))).and_then(Once::get);
            // A vector nobody asked for does no harm.
            if let Some(handler) = handler {
                handler();
            }
        }
    }
    apic::end_of_interrupt();
}
