//! PCI configuration space through the ports 0xCF8 and 0xCFC (PCI Local Bus 3.0 §3.2.2.3.2).

use super::masking::InterruptsOff;
use super::port::{in32, out32};
use spin::Mutex;

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;

/// Keeps the address register and the data access paired. Another processor spins meanwhile.
static SELECTED: Mutex<()> = Mutex::new(());

/// Returns whether a host bridge seems to respond at the ports.
pub(crate) fn is_present() -> bool {
    selected(0, 0, |_| {
        // SAFETY: 0xCF8 is either PCI's address register, which reads back what was written, or unused.
        unsafe {
            out32(ADDRESS, ENABLE);
            in32(ADDRESS) == ENABLE
        }
    })
}

/// Reads the word at `offset` (below 256) of a function, given as device number times eight plus function number.
///
/// # Safety
///
/// A host bridge responds at the ports.
pub(crate) unsafe fn read(bus: u8, function: u8, offset: u16) -> u32 {
    selected(bus, function, |address| {
        // SAFETY: the caller's guarantee; reading configuration space changes nothing.
        unsafe {
            out32(ADDRESS, address | u32::from(offset & 0xfc));
            in32(DATA)
        }
    })
}

/// Writes the word at `offset` (below 256) of a function.
///
/// # Safety
///
/// A host bridge responds at the ports, and the caller drives the function.
pub(crate) unsafe fn write(bus: u8, function: u8, offset: u16, value: u32) {
    selected(bus, function, |address| {
        // SAFETY: the caller's guarantee.
        unsafe {
            out32(ADDRESS, address | u32::from(offset & 0xfc));
            out32(DATA, value);
        }
    });
}

fn selected<T>(bus: u8, function: u8, access: impl FnOnce(u32) -> T) -> T {
    let _interrupts = InterruptsOff::new();
    let _selected = SELECTED.lock();
    access(ENABLE | u32::from(bus) << 16 | u32::from(function) << 8)
}
