//! Device interrupts: vectors, message addresses, lines.

use super::firmware::{Firmware, MapDevice};
use super::{apic, ioapic, vectors};
use crate::arch::upcalls::upcalls;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use spin::Once;

pub(crate) use super::masking::{are_enabled, disable, enable, enable_and_halt};

/// The number of device vectors.
const COUNT: usize = 64;

/// A vector with a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vector(u8);

/// Each device vector's handler. Vectors are never freed, so interrupts read this without a lock.
static HANDLERS: [Once<fn()>; COUNT] = [const { Once::new() }; COUNT];
/// How many vectors have been requested.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

/// Allocates a vector for `handler`; returns `None` when all are taken.
///
/// The handler runs with interrupts off on whatever thread was running. It may acknowledge its device and signal an
/// [`Event`](crate::kernel::thread::Event), nothing more. The end of the interrupt is signalled after it returns.
pub(crate) fn allocate(handler: fn()) -> Option<Vector> {
    let index = ALLOCATED.fetch_add(1, Relaxed);
    HANDLERS.get(index)?.call_once(|| handler);
    Some(Vector(vectors::FIRST_DEVICE + index as u8))
}

/// Returns the address and data of the message with which a device raises `vector` on this processor.
pub(crate) fn msi_message(vector: Vector) -> (u64, u32) {
    (0xfee0_0000 | u64::from(apic::id()) << 12, vector.0.into())
}

/// Routes interrupt line `gsi` to `vector` and unmasks it; returns false if no controller has the line.
pub(crate) fn route_gsi(gsi: u32, vector: Vector, level: bool, active_low: bool) -> bool {
    ioapic::route(gsi, vector.0, level, active_low).is_some()
}

/// Prepares the controllers; called once, with interrupts off.
pub(crate) fn start(firmware: &Firmware, map: MapDevice) {
    apic::start(firmware, map);
    ioapic::start(firmware, map);
}

/// Handles an interrupt on `vector`; interrupts are off.
pub(super) fn handle(vector: u8) {
    match vector {
        // These two are not in service: signalling the end of interrupt would end another one.
        vectors::SPURIOUS | vectors::LEGACY..vectors::TIMER => return,
        vectors::TIMER => {
            if let Some(upcalls) = upcalls() {
                (upcalls.timer_fired)();
            }
        }
        _ => {
            let handler = HANDLERS.get(usize::from(vector.wrapping_sub(vectors::FIRST_DEVICE))).and_then(Once::get);
            // An interrupt on a vector without a handler is ignored.
            if let Some(handler) = handler {
                handler();
            }
        }
    }
    apic::end_of_interrupt();
}
