//! The legacy interface of virtio PCI devices: ports (virtio 1.2 §4.1.4.10).
//!
//! Only devices that QEMU was configured so (`disable-modern=on`), or that a very old one makes, have no other. Without
//! MSI-X, which is not used here, the device's own configuration begins at 0x14.

use crate::arch::port::{in8, in16, in32, out8, out16, out32};

const DEVICE_FEATURES: u16 = 0x00;
const DRIVER_FEATURES: u16 = 0x04;
const QUEUE_PAGE: u16 = 0x08;
const QUEUE_SIZE: u16 = 0x0c;
const QUEUE_SELECT: u16 = 0x0e;
const QUEUE_NOTIFY: u16 = 0x10;
const STATUS: u16 = 0x12;
const INTERRUPT_STATUS: u16 = 0x13;
const CONFIG: u16 = 0x14;
/// The ports of a device, up to its own configuration.
const BYTES: u16 = CONFIG;

/// The ports of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports(u16);

impl Ports {
    /// Returns the ports from `base` on.
    ///
    /// # Safety
    ///
    /// They are those of a virtio device that decodes I/O and that nothing else drives.
    pub(super) unsafe fn new(base: u16) -> Option<Self> {
        base.checked_add(BYTES)?;
        Some(Self(base))
    }

    pub(super) fn status(self) -> u8 {
        // SAFETY: a register of the device; reading it changes nothing.
        unsafe { in8(self.0 + STATUS) }
    }

    pub(super) fn set_status(self, value: u8) {
        // SAFETY: a register of the device.
        unsafe { out8(self.0 + STATUS, value) };
    }

    pub(super) fn device_features(self) -> u32 {
        // SAFETY: as for the status.
        unsafe { in32(self.0 + DEVICE_FEATURES) }
    }

    pub(super) fn set_driver_features(self, features: u32) {
        // SAFETY: a register of the device.
        unsafe { out32(self.0 + DRIVER_FEATURES, features) };
    }

    /// Returns the size of a queue, which the driver cannot change; zero if there is no such queue.
    pub(super) fn queue_size(self, queue: u16) -> u16 {
        // SAFETY: registers of the device.
        unsafe {
            out16(self.0 + QUEUE_SELECT, queue);
            in16(self.0 + QUEUE_SIZE)
        }
    }

    /// Sets the page in which a queue begins.
    pub(super) fn set_queue(self, queue: u16, page: u32) {
        // SAFETY: registers of the device; the caller's memory is a queue as its size demands.
        unsafe {
            out16(self.0 + QUEUE_SELECT, queue);
            out32(self.0 + QUEUE_PAGE, page);
        }
    }

    /// Notifies the device of new buffers in a queue.
    pub(super) fn notify(self, queue: u16) {
        // SAFETY: a register of the device.
        unsafe { out16(self.0 + QUEUE_NOTIFY, queue) };
    }

    /// Clears the device's interrupt cause.
    pub(super) fn acknowledge(self) {
        // SAFETY: reading the register clears the cause, which is what it is for.
        unsafe { in8(self.0 + INTERRUPT_STATUS) };
    }

    /// Returns the octet of the device's own configuration at `offset`, if there can be one.
    pub(super) fn config(self, offset: usize) -> Option<u8> {
        let port = u16::try_from(offset).ok()?.checked_add(self.0 + CONFIG)?;
        // SAFETY: as for the status.
        Some(unsafe { in8(port) })
    }
}
