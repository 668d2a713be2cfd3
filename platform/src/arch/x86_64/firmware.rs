//! What this floor needs to know of the firmware's tables, which the drivers read.

use core::ptr::NonNull;
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
