//! Allocation of interrupt vectors.

/// Vectors below this are the processor's own faults.
pub(super) const FAULTS: u8 = 32;
/// The first vector available to devices.
pub(super) const FIRST_DEVICE: u8 = 0x30;
/// The base of the legacy controllers' vectors: masked controllers can still raise spurious interrupts.
pub(super) const LEGACY: u8 = 0xe0;
/// The vector of the timer.
pub(super) const TIMER: u8 = 0xf0;
/// The vector of spurious interrupts.
pub(super) const SPURIOUS: u8 = 0xff;
