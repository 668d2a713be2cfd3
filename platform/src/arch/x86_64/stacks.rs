//! Statically allocated stacks: an unmapped guard page, then the stack.
//!
//! Overflowing one is reported as a fault and never corrupts memory.

use crate::arch::units::PAGE;
use core::cell::UnsafeCell;
use core::ops::Range;

/// A statically allocated stack, for boot and for interrupts.
#[repr(C, align(4096))]
pub(crate) struct Guarded<const SIZE: usize> {
    guard: [u8; PAGE],
    stack: UnsafeCell<[u8; SIZE]>,
}

// SAFETY: used as stacks only, each by the one context it belongs to.
unsafe impl<const SIZE: usize> Sync for Guarded<SIZE> {}

impl<const SIZE: usize> Guarded<SIZE> {
    /// Returns a stack whose guard page is not yet unmapped.
    pub(crate) const fn new() -> Self {
        Self { guard: [0; PAGE], stack: UnsafeCell::new([0; SIZE]) }
    }

    /// Returns the address the stack grows down from.
    pub(crate) fn top(&self) -> usize {
        self.range().end
    }

    /// Returns the address range of the stack without its guard page.
    pub(crate) fn range(&self) -> Range<usize> {
        let start = self.stack.get() as usize;
        start..start + SIZE
    }

    /// Returns the address of the guard page, which must not be mapped.
    pub(crate) fn guard(&self) -> usize {
        &raw const self.guard as usize
    }
}
