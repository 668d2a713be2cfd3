//! Interrupt vectors: what each is for.

/// Vectors below are the processor's own faults.
pub(super) const FAULTS: u8 = 32;
/// The first vector given to devices.
pub(super) const FIRST_DEVICE: u8 = 0x30;
/// Where the legacy controllers' vectors are moved: they are masked, yet may still send spurious ones.
pub(super) const LEGACY: u8 = 0xe0;
/// The vector of the timer.
pub(super) const TIMER: u8 = 0xf0;
/// The vector of interrupts that were none.
pub(super) const SPURIOUS: u8 = 0xff;
