//! How a virtio device is spoken to: PCI (modern and legacy) and MMIO (version 1 and 2).
//!
//! Transitional PCI devices are taken as modern ones; the legacy ports are for those that have nothing else. On MMIO the
//! legacy version is what QEMU's microvm gives by default. A doorbell is resolved once per queue, so that ringing it is a
//! single write.

use alloc::vec::Vec;

use super::ports::Ports;
use super::queue::Layout;
use super::{VirtioError, features};
use crate::drivers::bus::pci::{self, ConfigSpace, Function};
use crate::drivers::bus::registers::Registers;

/// Device status bits (virtio 1.2 §2.1).
mod status {
    pub(super) const ACKNOWLEDGE: u8 = 1;
    pub(super) const DRIVER: u8 = 2;
    pub(super) const DRIVER_OK: u8 = 4;
    pub(super) const FEATURES_OK: u8 = 8;
    pub(super) const FAILED: u8 = 128;
}

/// Registers of the common configuration (virtio 1.2 §4.1.4.3).
mod common {
    pub(super) const DEVICE_FEATURE_SELECT: usize = 0x00;
    pub(super) const DEVICE_FEATURE: usize = 0x04;
    pub(super) const DRIVER_FEATURE_SELECT: usize = 0x08;
    pub(super) const DRIVER_FEATURE: usize = 0x0c;
    pub(super) const CONFIG_VECTOR: usize = 0x10;
    pub(super) const DEVICE_STATUS: usize = 0x14;
    pub(super) const QUEUE_SELECT: usize = 0x16;
    pub(super) const QUEUE_SIZE: usize = 0x18;
    pub(super) const QUEUE_VECTOR: usize = 0x1a;
    pub(super) const QUEUE_ENABLE: usize = 0x1c;
    pub(super) const QUEUE_NOTIFY_OFFSET: usize = 0x1e;
    pub(super) const QUEUE_DESCRIPTORS: usize = 0x20;
    pub(super) const QUEUE_DRIVER: usize = 0x28;
    pub(super) const QUEUE_DEVICE: usize = 0x30;
    pub(super) const BYTES: usize = 0x38;
    pub(super) const NO_VECTOR: u16 = 0xffff;
}

/// Registers of a virtio-mmio window (virtio 1.2 §4.2.2, legacy §4.2.4).
mod mmio {
    pub(super) const MAGIC: usize = 0x00;
    pub(super) const VERSION: usize = 0x04;
    pub(super) const DEVICE_ID: usize = 0x08;
    pub(super) const DEVICE_FEATURES: usize = 0x10;
    pub(super) const DEVICE_FEATURES_SELECT: usize = 0x14;
    pub(super) const DRIVER_FEATURES: usize = 0x20;
    pub(super) const DRIVER_FEATURES_SELECT: usize = 0x24;
    pub(super) const LEGACY_PAGE_SIZE: usize = 0x28;
    pub(super) const QUEUE_SELECT: usize = 0x30;
    pub(super) const QUEUE_SIZE_MAX: usize = 0x34;
    pub(super) const QUEUE_SIZE: usize = 0x38;
    pub(super) const LEGACY_QUEUE_ALIGN: usize = 0x3c;
    pub(super) const LEGACY_QUEUE_PAGE: usize = 0x40;
    pub(super) const QUEUE_READY: usize = 0x44;
    pub(super) const QUEUE_NOTIFY: usize = 0x50;
    pub(super) const INTERRUPT_STATUS: usize = 0x60;
    pub(super) const INTERRUPT_ACK: usize = 0x64;
    pub(super) const STATUS: usize = 0x70;
    pub(super) const QUEUE_DESCRIPTORS: usize = 0x80;
    pub(super) const QUEUE_DRIVER: usize = 0x90;
    pub(super) const QUEUE_DEVICE: usize = 0xa0;
    pub(super) const CONFIG: usize = 0x100;
    pub(super) const MAGIC_VALUE: u32 = 0x7472_6976;
}

/// Where the interrupt of a device is acknowledged.
#[derive(Clone, Copy, Debug)]
pub enum Acknowledge {
    /// Nothing to do: message-signalled interrupts.
    Nothing,
    /// Reading this byte clears the cause (PCI's ISR status).
    Read(Registers),
    /// The same among the ports of a legacy device.
    Ports(Ports),
    /// The causes read at 0x60 are written to 0x64 (MMIO).
    Write(Registers),
}

impl Acknowledge {
    /// Clears the device's interrupt cause. Callable from an interrupt handler.
    pub fn clear(&self) {
        match self {
            Self::Nothing => {}
            Self::Read(isr) => {
                isr.read8(0);
            }
            Self::Ports(ports) => ports.acknowledge(),
            Self::Write(window) => {
                let causes = window.read32(mmio::INTERRUPT_STATUS);
                if causes != 0 {
                    window.write32(mmio::INTERRUPT_ACK, causes);
                }
            }
        }
    }
}

/// The register that tells the device about new buffers in a queue.
#[derive(Clone, Copy, Debug)]
pub struct Doorbell {
    register: Bell,
    queue: u16,
}

/// Where a doorbell is: a register of 16 or 32 bits, or a port.
#[derive(Clone, Copy, Debug)]
enum Bell {
    Narrow(Registers),
    Wide(Registers),
    Ports(Ports),
}

impl Doorbell {
    /// Makes the doorbell of an MMIO device.
    #[cfg(test)]
    pub(super) fn new(register: Registers, queue: u16) -> Self {
        Self { register: Bell::Wide(register), queue }
    }

    /// Tells the device to look at the queue.
    pub fn ring(&self) {
        match self.register {
            Bell::Narrow(register) => register.write16(0, self.queue),
            Bell::Wide(register) => register.write32(0, self.queue.into()),
            Bell::Ports(ports) => ports.notify(self.queue),
        }
    }
}

/// The register windows of a modern PCI device.
#[derive(Clone, Copy, Debug)]
pub struct PciWindows {
    common: Registers,
    notify: Registers,
    notify_multiplier: u32,
    isr: Registers,
    device: Registers,
    msix: bool,
}

/// A virtio device of either kind.
#[derive(Clone, Copy, Debug)]
pub enum Transport {
    /// On PCI.
    Pci(PciWindows),
    /// On PCI, with the legacy interface only.
    Ports(Ports),
    /// In an MMIO window; `legacy` for version 1.
    Mmio {
        /// The window.
        window: Registers,
        /// Whether the device speaks the interface from before version 1 of the specification.
        legacy: bool,
    },
}

impl Transport {
    /// Finds the register windows of a virtio function (virtio 1.2 §4.1.4), mapping them with `map`, or its legacy ports
    /// if it has no windows.
    pub fn pci(
        space: &dyn ConfigSpace,
        function: Function,
        map: fn(u64, usize) -> Registers,
    ) -> Result<Self, VirtioError> {
        let Some(base) = pci::port_bar(space, function, 0) else { return Self::modern(space, function, map) };
        Self::modern(space, function, map).or_else(|error| {
            pci::enable_ports(space, function);
            // SAFETY: by its identity the function is a virtio device, and the first region of a legacy one is its ports.
            unsafe { Ports::new(base) }.map(Self::Ports).ok_or(error)
        })
    }

    fn modern(
        space: &dyn ConfigSpace,
        function: Function,
        map: fn(u64, usize) -> Registers,
    ) -> Result<Self, VirtioError> {
        const VENDOR: u8 = 0x09;
        let mut windows: [Option<Registers>; 5] = [None; 5];
        let mut notify_multiplier = 0;
        for capability in pci::capabilities(space, function).iter().filter(|c| c.id == VENDOR) {
            let word = |at: u16| match capability.offset + at {
                offset @ 0..=252 => space.read(function, offset),
                _ => 0,
            };
            let kind = (word(0) >> 24) as usize;
            // The first of a kind is the one the device prefers.
            if !(1..=4).contains(&kind) || windows[kind].is_some() {
                continue;
            }
            let (bar, offset, length) = (word(4) as u8, word(8), word(12));
            let Some(base) = pci::memory_bar(space, function, bar) else { continue };
            // Nothing we use lies beyond the first pages of a structure, whatever length it claims.
            let length = (length as usize).min(1 << 16);
            if offset % 4 != 0 || length == 0 {
                continue;
            }
            windows[kind] = Some(map(base + u64::from(offset), length));
            if kind == 2 {
                notify_multiplier = word(16);
            }
        }
        let [_, Some(common), Some(notify), Some(isr), device] = windows else { return Err(VirtioError::Registers) };
        if common.length() < common::BYTES {
            return Err(VirtioError::Registers);
        }
        // A device without configuration may omit the structure.
        let device = device.unwrap_or(isr);
        Ok(Self::Pci(PciWindows { common, notify, notify_multiplier, isr, device, msix: false }))
    }

    /// Looks whether a virtio device stands in an MMIO window; returns its type and transport.
    pub fn mmio(window: Registers) -> Option<(u32, Self)> {
        if window.read32(mmio::MAGIC) != mmio::MAGIC_VALUE {
            return None;
        }
        let legacy = match window.read32(mmio::VERSION) {
            1 => true,
            2 => false,
            _ => return None,
        };
        match window.read32(mmio::DEVICE_ID) {
            0 => None,
            device_type => Some((device_type, Self::Mmio { window, legacy })),
        }
    }

    /// Returns whether the device speaks only the legacy interface.
    pub fn is_legacy(&self) -> bool {
        matches!(self, Self::Mmio { legacy: true, .. } | Self::Ports(_))
    }

    /// Sends all interrupts of queues through MSI-X table entry 0, which must have been set up before.
    pub fn use_msix(&mut self) {
        if let Self::Pci(windows) = self {
            windows.msix = true;
        }
    }

    /// Returns whether the device's queues can interrupt by messages.
    pub fn takes_msix(&self) -> bool {
        matches!(self, Self::Pci(_))
    }

    /// Returns how the device's interrupt is acknowledged.
    pub fn acknowledge(&self) -> Acknowledge {
        match self {
            Self::Pci(PciWindows { msix: true, .. }) => Acknowledge::Nothing,
            Self::Pci(windows) => Acknowledge::Read(windows.isr),
            Self::Ports(ports) => Acknowledge::Ports(*ports),
            Self::Mmio { window, .. } => Acknowledge::Write(*window),
        }
    }

    /// Resets the device and agrees on the features both sides know (virtio 1.2 §3.1.1, up to step 6).
    ///
    /// `wanted` is what the driver can use besides version 1. Returns what was agreed on.
    pub fn begin(&mut self, wanted: u64) -> Result<u64, VirtioError> {
        self.set_status(0);
        // §2.4.2: the reset is done when the status reads zero. A device that never gets there is not waited for.
        if !(0..1_000_000).any(|_| self.status() == 0) {
            return Err(VirtioError::Timeout);
        }
        self.set_status(status::ACKNOWLEDGE);
        self.set_status(status::ACKNOWLEDGE | status::DRIVER);
        let offered = self.device_features();
        let mut agreed = offered & wanted;
        if self.is_legacy() {
            self.set_driver_features(agreed);
            if let Self::Mmio { window, .. } = self {
                window.write32(mmio::LEGACY_PAGE_SIZE, Layout::ALIGN as u32);
            }
            return Ok(agreed);
        }
        if offered & features::VERSION_1 == 0 {
            return Err(self.give_up(VirtioError::Features));
        }
        agreed |= features::VERSION_1;
        self.set_driver_features(agreed);
        self.set_status(status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK);
        if self.status() & status::FEATURES_OK == 0 {
            return Err(self.give_up(VirtioError::Features));
        }
        if let Self::Pci(windows) = self {
            windows.common.write16(common::CONFIG_VECTOR, common::NO_VECTOR);
        }
        Ok(agreed)
    }

    /// Tells the device that the driver is ready: it may use its queues from now on.
    pub fn finish(&mut self) {
        let features_ok = if self.is_legacy() { 0 } else { status::FEATURES_OK };
        self.set_status(status::ACKNOWLEDGE | status::DRIVER | features_ok | status::DRIVER_OK);
    }

    /// Marks the device as given up and passes the reason through.
    pub fn give_up(&mut self, reason: VirtioError) -> VirtioError {
        self.set_status(status::FAILED);
        reason
    }

    /// Returns the most entries the device allows in `queue`; zero when it has no such queue.
    pub fn queue_limit(&mut self, queue: u16) -> u32 {
        match self {
            Self::Pci(windows) => {
                windows.common.write16(common::QUEUE_SELECT, queue);
                windows.common.read16(common::QUEUE_SIZE).into()
            }
            Self::Ports(ports) => ports.queue_size(queue).into(),
            Self::Mmio { window, .. } => {
                window.write32(mmio::QUEUE_SELECT, queue.into());
                window.read32(mmio::QUEUE_SIZE_MAX)
            }
        }
    }

    /// Gives the device a queue of `size` entries laid out at the physical address `physical`.
    pub fn set_queue(&mut self, queue: u16, size: u16, physical: u64) -> Result<Doorbell, VirtioError> {
        let layout = Layout::new(size);
        let (driver, device) = (physical + layout.driver as u64, physical + layout.device as u64);
        match self {
            Self::Pci(windows) => {
                let registers = windows.common;
                registers.write16(common::QUEUE_SELECT, queue);
                registers.write16(common::QUEUE_SIZE, size);
                let vector = if windows.msix { 0 } else { common::NO_VECTOR };
                registers.write16(common::QUEUE_VECTOR, vector);
                // §4.1.5.1.2: the device answers with NO_VECTOR when it could not take the vector.
                if registers.read16(common::QUEUE_VECTOR) != vector {
                    return Err(VirtioError::NoQueue(queue));
                }
                write_address(&registers, common::QUEUE_DESCRIPTORS, physical);
                write_address(&registers, common::QUEUE_DRIVER, driver);
                write_address(&registers, common::QUEUE_DEVICE, device);
                let offset =
                    u64::from(registers.read16(common::QUEUE_NOTIFY_OFFSET)) * u64::from(windows.notify_multiplier);
                let offset = usize::try_from(offset).map_err(|_| VirtioError::Registers)?;
                let register = windows.notify.part(offset, 2).ok_or(VirtioError::Registers)?;
                registers.write16(common::QUEUE_ENABLE, 1);
                Ok(Doorbell { register: Bell::Narrow(register), queue })
            }
            Self::Ports(ports) => {
                if ports.queue_size(queue) != size {
                    return Err(VirtioError::QueueSize(ports.queue_size(queue)));
                }
                ports.set_queue(queue, legacy_page(physical)?);
                Ok(Doorbell { register: Bell::Ports(*ports), queue })
            }
            Self::Mmio { window, legacy } => {
                window.write32(mmio::QUEUE_SELECT, queue.into());
                window.write32(mmio::QUEUE_SIZE, size.into());
                if *legacy {
                    window.write32(mmio::LEGACY_QUEUE_ALIGN, Layout::ALIGN as u32);
                    window.write32(mmio::LEGACY_QUEUE_PAGE, legacy_page(physical)?);
                } else {
                    write_address(window, mmio::QUEUE_DESCRIPTORS, physical);
                    write_address(window, mmio::QUEUE_DRIVER, driver);
                    write_address(window, mmio::QUEUE_DEVICE, device);
                    window.write32(mmio::QUEUE_READY, 1);
                }
                let register = window.part(mmio::QUEUE_NOTIFY, 4).ok_or(VirtioError::Registers)?;
                Ok(Doorbell { register: Bell::Wide(register), queue })
            }
        }
    }

    /// Reads `length` bytes of the device's own configuration from `offset` on; nothing when they are not there.
    pub fn config(&self, offset: usize, length: usize) -> Option<Vec<u8>> {
        let window = match self {
            Self::Pci(windows) => windows.device,
            Self::Ports(ports) => return (offset..offset + length).map(|at| ports.config(at)).collect(),
            Self::Mmio { window, .. } => window.part(mmio::CONFIG, window.length().checked_sub(mmio::CONFIG)?)?,
        };
        let part = window.part(offset, length)?;
        Some((0..length).map(|at| part.read8(at)).collect())
    }

    fn status(&self) -> u8 {
        match self {
            Self::Pci(windows) => windows.common.read8(common::DEVICE_STATUS),
            Self::Ports(ports) => ports.status(),
            Self::Mmio { window, .. } => window.read32(mmio::STATUS) as u8,
        }
    }

    fn set_status(&mut self, value: u8) {
        match self {
            Self::Pci(windows) => windows.common.write8(common::DEVICE_STATUS, value),
            Self::Ports(ports) => ports.set_status(value),
            Self::Mmio { window, .. } => window.write32(mmio::STATUS, value.into()),
        }
    }

    fn device_features(&mut self) -> u64 {
        let (window, select, value) = match self {
            Self::Ports(ports) => return ports.device_features().into(),
            Self::Pci(windows) => (windows.common, common::DEVICE_FEATURE_SELECT, common::DEVICE_FEATURE),
            Self::Mmio { window, .. } => (*window, mmio::DEVICE_FEATURES_SELECT, mmio::DEVICE_FEATURES),
        };
        let half = |number: u32| {
            window.write32(select, number);
            u64::from(window.read32(value))
        };
        let low = half(0);
        // Legacy devices know 32 features only.
        if self.is_legacy() { low } else { low | half(1) << 32 }
    }

    fn set_driver_features(&mut self, features: u64) {
        let (window, select, value) = match self {
            Self::Ports(ports) => return ports.set_driver_features(features as u32),
            Self::Pci(windows) => (windows.common, common::DRIVER_FEATURE_SELECT, common::DRIVER_FEATURE),
            Self::Mmio { window, .. } => (*window, mmio::DRIVER_FEATURES_SELECT, mmio::DRIVER_FEATURES),
        };
        window.write32(select, 0);
        window.write32(value, features as u32);
        if !self.is_legacy() {
            window.write32(select, 1);
            window.write32(value, (features >> 32) as u32);
        }
    }
}

/// Returns the number of the page at which a legacy queue begins.
fn legacy_page(physical: u64) -> Result<u32, VirtioError> {
    u32::try_from(physical / Layout::ALIGN as u64).map_err(|_| VirtioError::NoMemory)
}

/// Writes a 64-bit address as two 32-bit registers, as both transports allow.
fn write_address(window: &Registers, at: usize, address: u64) {
    window.write32(at, address as u32);
    window.write32(at + 4, (address >> 32) as u32);
}

/// Sends the function's interrupts as messages: writes entry 0 of its MSI-X table and switches MSI-X on.
///
/// Returns whether the function has MSI-X at all.
pub fn enable_msix(
    space: &dyn ConfigSpace,
    function: Function,
    (address, data): (u64, u32),
    map: fn(u64, usize) -> Registers,
) -> bool {
    const MSIX: u8 = 0x11;
    const CONTROL_ENABLE: u32 = 1 << 31;
    const CONTROL_MASK_ALL: u32 = 1 << 30;
    const ENTRY_BYTES: usize = 16;
    let Some(capability) = pci::capabilities(space, function).into_iter().find(|c| c.id == MSIX) else { return false };
    if capability.offset > 244 {
        return false;
    }
    let table = space.read(function, capability.offset + 4);
    let Some(base) = pci::memory_bar(space, function, (table & 7) as u8) else { return false };
    let control = space.read(function, capability.offset);
    // Switched on with everything masked first, so that no half-written entry is ever used.
    space.write(function, capability.offset, control | CONTROL_ENABLE | CONTROL_MASK_ALL);
    let entry = map(base + u64::from(table & !7), ENTRY_BYTES);
    write_address(&entry, 0, address);
    entry.write32(8, data);
    entry.write32(12, 0);
    space.write(function, capability.offset, (control | CONTROL_ENABLE) & !CONTROL_MASK_ALL);
    true
}
