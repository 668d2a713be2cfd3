//! Stacks: an unmapped page, then room.
//!
//! Running out of room is a fault with a name, never corruption.

use super::{PAGE, heap, paging};
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

/// A thread's stack: pieces of the heap, the lowest page unmapped.
#[derive(Debug)]
pub(crate) struct Stack {
    start: usize,
    pages: usize,
}

impl Stack {
    /// Allocates a stack of at least `bytes`, or returns `None` if there is no memory.
    pub(crate) fn allocate(bytes: usize) -> Option<Self> {
        let pages = bytes.div_ceil(PAGE).checked_add(1)?;
        let start = heap::allocate_pages(pages)?.as_ptr() as usize;
        if !paging::set_present(start, false) {
            // SAFETY: allocated above, given to nobody.
            unsafe { heap::free_pages(start, pages) };
            return None;
        }
        Some(Self { start, pages })
    }

    /// Returns the addresses of the stack proper.
    pub(crate) fn room(&self) -> Range<usize> {
        self.start + PAGE..self.start + self.pages * PAGE
    }

    /// Returns the address of the unmapped page below.
    pub(crate) fn guard(&self) -> usize {
        self.start
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // The page's table exists since it was unmapped, so mapping it again needs no memory.
        assert!(paging::set_present(self.start, true), "a guard page has its own table entry");
        // SAFETY: allocated by `allocate`, mapped again, and the owner of the stack is gone.
        unsafe { heap::free_pages(self.start, self.pages) };
    }
}
