//! The local interrupt controller: end of interrupt, and a one-shot timer.

use super::features::Features;
use super::firmware::{Firmware, MapDevice};
use super::port::out8;
use super::processor::Processor;
use super::vectors::{FAULTS, LEGACY, SPURIOUS, TIMER};
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use x86_64::registers::model_specific::Msr;

/// Registers by their x2APIC number; the memory-mapped offset is sixteen times that (Intel SDM 3, table 12-6).
#[derive(Clone, Copy)]
#[repr(u32)]
enum Register {
    Id = 0x02,
    TaskPriority = 0x08,
    EndOfInterrupt = 0x0b,
    SpuriousVector = 0x0f,
    TimerEntry = 0x32,
    Lint0Entry = 0x35,
    Lint1Entry = 0x36,
    ErrorEntry = 0x37,
    InitialCount = 0x38,
    CurrentCount = 0x39,
    DivideConfiguration = 0x3e,
}

const MASKED: u32 = 1 << 16;
const TSC_DEADLINE_MODE: u32 = 2 << 17;
const X2APIC_BASE: u32 = 0x800;
const APIC_BASE: u32 = 0x1b;
const TSC_DEADLINE: u32 = 0x6e0;

/// The memory-mapped registers, or null if the registers are model-specific ones.
static REGISTERS: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());

/// Silences the legacy controllers and enables the local one; called once, with interrupts off.
pub(super) fn start(firmware: &Firmware, map: MapDevice) {
    let features = Features::detect();
    // On machines without them some hypervisors log the access. Their input to this controller is masked below in any
    // case.
    if firmware.legacy_controllers {
        silence_legacy();
    }
    let mut base = Msr::new(APIC_BASE);
    // SAFETY: enables the controller (bit 11), and then x2APIC mode (bit 10) only where the processor has it; setting
    // both at once would fault.
    let address = unsafe {
        let value = base.read() | 1 << 11;
        base.write(value);
        if features.x2apic {
            base.write(value | 1 << 10);
        }
        value & 0x000f_ffff_ffff_f000
    };
    if !features.x2apic {
        REGISTERS.store(map(address, 4096).as_ptr(), Relaxed);
    }
    let id = read(Register::Id);
    Processor::current().apic_id.store(if features.x2apic { id } else { id >> 24 } as u8, Relaxed);
    write(Register::TaskPriority, 0);
    for entry in [Register::TimerEntry, Register::Lint0Entry, Register::Lint1Entry] {
        write(entry, MASKED);
    }
    write(Register::ErrorEntry, MASKED);
    write(Register::SpuriousVector, 1 << 8 | u32::from(SPURIOUS));
    write(Register::DivideConfiguration, 0b0011); // divide by 16: a 32-bit count lasts for minutes
}

/// Returns this processor's local controller ID, to which interrupts are addressed.
pub(super) fn id() -> u8 {
    Processor::current().apic_id.load(Relaxed)
}

/// Signals the controller that the current interrupt has been handled.
pub(super) fn end_of_interrupt() {
    write(Register::EndOfInterrupt, 0);
}

/// Starts the countdown from its maximum, without an interrupt, for calibration.
pub(super) fn start_measurement() {
    write(Register::TimerEntry, MASKED);
    write(Register::InitialCount, u32::MAX);
}

/// Returns how far the countdown of [`start_measurement`] has come.
pub(super) fn measured() -> u32 {
    u32::MAX - read(Register::CurrentCount)
}

/// Selects how the timer is set: by a deadline on the time-stamp counter, or by a count.
pub(super) fn start_timer(by_deadline: bool) {
    write(Register::InitialCount, 0);
    write(Register::TimerEntry, u32::from(TIMER) | if by_deadline { TSC_DEADLINE_MODE } else { 0 });
    // Intel SDM 3, 12.5.4.1: the timer entry is memory-mapped and the deadline is not, so order the two writes.
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
}

/// Sets the timer to fire once after `count` of its ticks; zero stops it.
pub(super) fn set_count(count: u32) {
    write(Register::InitialCount, count);
}

/// Sets the timer to fire once when the time-stamp counter reaches `tsc`; zero stops it.
pub(super) fn set_deadline(tsc: u64) {
    // SAFETY: only called where the processor has the register.
    unsafe { Msr::new(TSC_DEADLINE).write(tsc) };
}

fn read(register: Register) -> u32 {
    let registers = REGISTERS.load(Relaxed);
    if registers.is_null() {
        // SAFETY: an x2APIC register; none of those read here has side effects.
        return unsafe { Msr::new(X2APIC_BASE + register as u32).read() } as u32;
    }
    // SAFETY: within the page mapped for the registers.
    unsafe { registers.add(register as usize * 16).cast::<u32>().read_volatile() }
}

fn write(register: Register, value: u32) {
    let registers = REGISTERS.load(Relaxed);
    if registers.is_null() {
        // SAFETY: an x2APIC register, with a value the manual allows.
        return unsafe { Msr::new(X2APIC_BASE + register as u32).write(value.into()) };
    }
    // SAFETY: within the page mapped for the registers.
    unsafe { registers.add(register as usize * 16).cast::<u32>().write_volatile(value) }
}

/// Moves the vectors of both 8259s clear of the faults and masks all their inputs.
fn silence_legacy() {
    assert!(LEGACY >= FAULTS && LEGACY.is_multiple_of(8));
    let sequence: [(u16, u8); 10] = [
        (0x20, 0x11), // both: initialise; three more words follow
        (0xa0, 0x11),
        (0x21, LEGACY), // vectors
        (0xa1, LEGACY + 8),
        (0x21, 4), // the second is wired to input 2 of the first
        (0xa1, 2),
        (0x21, 1), // 8086 mode
        (0xa1, 1),
        (0x21, 0xff), // all masked
        (0xa1, 0xff),
    ];
    for (port, value) in sequence {
        // SAFETY: the 8259s' own registers; where there are none, the writes have no effect.
        unsafe { out8(port, value) };
    }
}
