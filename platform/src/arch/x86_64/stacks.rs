//! Stacks in the image: an unmapped page, then room.
//!
//! Running out of room is a fault with a name, never corruption.

use crate::arch::units::PAGE;
use core::cell::UnsafeCell;
use core::ops::Range;

/// A stack in the image, for boot and for interrupts.
#[repr(C, align(4096))]
pub(crate) struct Guarded<const ROOM: usize> {
    guard: [u8; PAGE],
    room: UnsafeCell<[u8; ROOM]>,
}

// SAFETY: used as stacks only, each by the one context it is for.
unsafe impl<const ROOM: usize> Sync for Guarded<ROOM> {}

impl<const ROOM: usize> Guarded<ROOM> {
    /// Returns a stack whose guard page is still to be unmapped.
    pub(crate) const fn new() -> Self {
        Self { guard: [0; PAGE], room: UnsafeCell::new([0; ROOM]) }
    }

    /// Returns the address the stack grows down from.
    pub(crate) fn top(&self) -> usize {
        self.room().end
    }

    /// Returns the addresses of the stack proper.
    pub(crate) fn room(&self) -> Range<usize> {
        let start = self.room.get() as usize;
        start..start + ROOM
    }

    /// Returns the address of the page that must not be mapped.
    pub(crate) fn guard(&self) -> usize {
        &raw const self.guard as usize
    }
}
