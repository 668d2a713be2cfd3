//! What this floor needs from the firmware's tables, which the drivers read.

use core::ptr::NonNull;
use heapless::Vec;

/// Maps a device's registers permanently: `length` octets at a physical address.
pub(crate) type MapDevice = fn(address: u64, length: usize) -> NonNull<u8>;

/// What this floor needs from the firmware's tables.
pub(crate) struct Firmware {
    /// Whether the machine may have the two legacy (8259) interrupt controllers.
    pub(crate) legacy_controllers: bool,
    /// The address and first line of each I/O interrupt controller.
    pub(crate) io_apics: Vec<(u64, u32), { Self::IO_APICS }>,
    /// The port of the ACPI power-management timer.
    pub(crate) pm_timer: Option<u16>,
    /// The CMOS register that holds the century.
    pub(crate) century_register: Option<u8>,
}

impl Firmware {
    /// The maximum number of I/O interrupt controllers supported.
    pub(crate) const IO_APICS: usize = 8;
}
