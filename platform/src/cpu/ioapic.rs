//! The I/O interrupt controllers: which line raises which vector.

use super::apic;
use crate::sync::IrqLock;
use crate::{acpi, memory};
use core::ptr::NonNull;

/// The most controllers kept.
const MOST: usize = 8;
/// Where controllers are, with their first lines, when the firmware says nothing: the first of every PC, and the second
/// QEMU gives its microvm.
const USUAL: [(u64, u32); 2] = [(0xfec0_0000, 0), (0xfec1_0000, 24)];

const VERSION: u32 = 1;
const ENTRIES: u32 = 0x10;
const MASKED: u32 = 1 << 16;

/// A controller with its window of two registers: which one, and its value.
#[derive(Clone, Copy)]
struct IoApic {
    window: NonNull<u8>,
    first: u32,
    count: u32,
}

// SAFETY: the registers are reached from any thread, one at a time, under the lock below.
unsafe impl Send for IoApic {}

static CONTROLLERS: IrqLock<[Option<IoApic>; MOST]> = IrqLock::new([None; MOST]);

/// Finds the controllers and masks every line; called once.
pub(super) fn start() {
    let mut controllers = CONTROLLERS.lock();
    let mut found = 0;
    acpi::io_apics(|address, first| {
        if let Some(slot) = controllers.get_mut(found) {
            *slot = Some(IoApic::start(address.into(), first));
            found += 1;
        }
    });
    if found == 0 {
        for (slot, (address, first)) in controllers.iter_mut().zip(USUAL) {
            *slot = Some(IoApic::start(address, first));
        }
    }
}

/// Leads a line to a vector of this processor, or returns `None` if no controller has it.
pub(super) fn route(gsi: u32, vector: u8, level: bool, active_low: bool) -> Option<()> {
    let controllers = CONTROLLERS.lock();
    let controller =
        controllers.iter().flatten().find(|c| gsi.checked_sub(c.first).is_some_and(|pin| pin < c.count))?;
    let entry = ENTRIES + 2 * (gsi - controller.first);
    controller.write(entry, MASKED); // never a half-written entry in force
    controller.write(entry + 1, u32::from(apic::id()) << 24);
    controller.write(entry, u32::from(vector) | u32::from(active_low) << 13 | u32::from(level) << 15);
    Some(())
}

/// Returns every line of every controller.
pub(super) fn pins() -> impl Iterator<Item = u32> {
    let controllers = *CONTROLLERS.lock();
    controllers.into_iter().flatten().flat_map(|c| c.first..c.first + c.count)
}

impl IoApic {
    fn start(address: u64, first: u32) -> Self {
        let mut controller = Self { window: memory::map_device(address, 4096), first, count: 0 };
        let version = controller.read(VERSION);
        // All ones or zeroes: nothing is there.
        controller.count = if version == u32::MAX || version == 0 { 0 } else { (version >> 16 & 0xff) + 1 };
        (0..controller.count).for_each(|pin| controller.write(ENTRIES + 2 * pin, MASKED));
        controller
    }

    fn read(&self, register: u32) -> u32 {
        // SAFETY: the controller's two registers, mapped at start; the lock or sole ownership keeps them paired.
        unsafe {
            self.window.cast::<u32>().write_volatile(register);
            self.window.add(0x10).cast::<u32>().read_volatile()
        }
    }

    fn write(&self, register: u32, value: u32) {
        // SAFETY: as for reading.
        unsafe {
            self.window.cast::<u32>().write_volatile(register);
            self.window.add(0x10).cast::<u32>().write_volatile(value);
        }
    }
}
