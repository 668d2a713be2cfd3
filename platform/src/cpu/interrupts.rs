//! Interrupts of devices: vectors, message addresses, lines.

use super::{apic, ioapic};
use crate::sync::IrqLock;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The first vector given to devices; those below are the processor's.
const FIRST: u8 = 0x30;
/// How many vectors devices can have.
const COUNT: usize = 64;

/// A vector that has a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector(pub u8);

/// No I/O controller has the interrupt line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchGsi(pub u32);

impl fmt::Display for NoSuchGsi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no I/O interrupt controller has line {}", self.0)
    }
}

/// Each device vector's handler.
type Handlers = [Option<fn()>; COUNT];

static HANDLERS: IrqLock<Handlers> = IrqLock::new([None; COUNT]);
static UNEXPECTED: AtomicU64 = AtomicU64::new(0);

/// Gives `handler` a vector of its own, or `None` when all are taken.
///
/// The handler runs with interrupts off, on whatever thread was running: it may acknowledge its device and
/// signal an [`Event`](crate::thread::Event), nothing more. The end of the interrupt is signalled after it.
pub fn allocate(handler: fn()) -> Option<Vector> {
    let mut handlers = HANDLERS.lock();
    let index = handlers.iter().position(Option::is_none)?;
    handlers[index] = Some(handler);
    Some(Vector(FIRST + index as u8))
}

/// Returns the address and the data by which a device's message raises `vector` on this processor.
pub fn msi_message(vector: Vector) -> (u64, u32) {
    (0xfee0_0000 | u64::from(apic::id()) << 12, vector.0.into())
}

/// Leads interrupt line `gsi` to `vector` and unmasks it.
///
/// # Errors
///
/// Fails if no controller has the line.
pub fn route_gsi(gsi: u32, vector: Vector, level: bool, active_low: bool) -> Result<(), NoSuchGsi> {
    ioapic::route(gsi, vector.0, level, active_low).ok_or(NoSuchGsi(gsi))
}

/// Returns every interrupt line there is.
pub fn ioapic_pins() -> impl Iterator<Item = u32> {
    ioapic::pins()
}

/// Returns how many interrupts came on vectors nobody has asked for.
pub fn unexpected() -> u64 {
    UNEXPECTED.load(Relaxed)
}

/// Prepares the controllers; called once, interrupts off.
pub(crate) fn start(features: &super::features::Features) {
    apic::start(features);
    ioapic::start();
}

/// Handles the interrupt that came on `vector`; interrupts are off.
pub(super) fn handle(vector: u8) {
    match vector {
        // These two are not in service: an end of interrupt would end another's.
        apic::SPURIOUS | apic::LEGACY..0xf0 => return,
        apic::TIMER => crate::thread::timer_fired(),
        _ => {
            // Copied out: the handler may not run under the lock.
            let handler = HANDLERS.lock().get(usize::from(vector.wrapping_sub(FIRST))).copied().flatten();
            match handler {
                Some(handler) => handler(),
                None => _ = UNEXPECTED.fetch_add(1, Relaxed),
            }
        }
    }
    apic::end_of_interrupt();
}
