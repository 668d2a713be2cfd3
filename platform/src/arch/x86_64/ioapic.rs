//! The I/O interrupt controllers, which route interrupt lines to vectors.

use super::apic;
use super::firmware::{Firmware, MapDevice};
use super::masking::InterruptsOff;
use core::ptr::NonNull;
use heapless::Vec;
use spin::Mutex;

/// The addresses and first lines of the controllers assumed if the firmware lists none: the first one of every PC, and
/// the second one of QEMU's microvm.
const USUAL: [(u64, u32); 2] = [(0xfec0_0000, 0), (0xfec1_0000, 24)];

const VERSION: u32 = 1;
const ENTRIES: u32 = 0x10;
const MASKED: u32 = 1 << 16;

/// A controller, accessed through two registers: one selects a register, the other holds its value.
#[derive(Clone, Copy)]
struct IoApic {
    window: NonNull<u8>,
    first: u32,
    count: u32,
}

// SAFETY: the registers are accessed by any thread, one at a time, under the lock below.
unsafe impl Send for IoApic {}

/// The controllers. Held for a few accesses with interrupts off; another processor spins meanwhile.
static CONTROLLERS: Mutex<Vec<IoApic, { Firmware::IO_APICS }>> = Mutex::new(Vec::new());

/// Finds the controllers and masks every line; called once.
pub(super) fn start(firmware: &Firmware, map: MapDevice) {
    let announced = if firmware.io_apics.is_empty() { &USUAL[..] } else { &firmware.io_apics };
    *CONTROLLERS.lock() = announced.iter().map(|&(address, first)| IoApic::start(map(address, 4096), first)).collect();
}

/// Routes a line to a vector of this processor; returns `None` if no controller has the line.
pub(super) fn route(gsi: u32, vector: u8, level: bool, active_low: bool) -> Option<()> {
    let _interrupts = InterruptsOff::new();
    let controllers = CONTROLLERS.lock();
    let controller = controllers.iter().find(|c| gsi.checked_sub(c.first).is_some_and(|pin| pin < c.count))?;
    let entry = ENTRIES + 2 * (gsi - controller.first);
    controller.write(entry, MASKED); // so that a half-written entry is never active
    controller.write(entry + 1, u32::from(apic::id()) << 24);
    controller.write(entry, u32::from(vector) | u32::from(active_low) << 13 | u32::from(level) << 15);
    Some(())
}

impl IoApic {
    fn start(window: NonNull<u8>, first: u32) -> Self {
        let mut controller = Self { window, first, count: 0 };
        let version = controller.read(VERSION);
        // All ones or zeroes: no controller here.
        controller.count = if version == u32::MAX || version == 0 { 0 } else { (version >> 16 & 0xff) + 1 };
        (0..controller.count).for_each(|pin| controller.write(ENTRIES + 2 * pin, MASKED));
        controller
    }

    fn read(&self, register: u32) -> u32 {
        // SAFETY: the controller's two registers, mapped at start; the lock or sole ownership keeps the two accesses
        // paired.
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
