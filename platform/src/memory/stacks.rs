//! Threads' stacks: an unmapped page, then room.
//!
//! Running out of room is a fault with a name, never corruption.

use super::{PAGE, heap, paging};
use core::ops::Range;

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
            // SAFETY: allocated above, not in use yet.
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
