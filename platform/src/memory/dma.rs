//! Memory a device may read and write.

use super::{PAGE, heap};
use core::ptr::NonNull;

/// Physically contiguous pages, zeroed when allocated, given back when dropped.
///
/// The owner sees to it that no device uses them any longer when they are dropped.
#[derive(Debug)]
pub struct Dma {
    start: NonNull<u8>,
    pages: usize,
}

// SAFETY: it owns its pages; access goes through raw pointers, which is the user's to order.
unsafe impl Send for Dma {}
// SAFETY: as above.
unsafe impl Sync for Dma {}

impl Dma {
    /// Allocates `pages` pages of 4 KiB, or returns `None` if no such piece is free.
    pub fn allocate(pages: usize) -> Option<Self> {
        let start = heap::allocate_pages(pages)?;
        // SAFETY: the piece is that long and not in use.
        unsafe { start.write_bytes(0, pages * PAGE) };
        Some(Self { start, pages })
    }

    /// Gives back pages whose owner was forgotten.
    ///
    /// # Safety
    ///
    /// They came from [`Self::allocate`], starting there and that many, and they are not in use.
    pub(crate) unsafe fn give_back(start: usize, pages: usize) {
        // SAFETY: the caller's promise.
        unsafe { heap::free_pages(start, pages) };
    }

    /// Returns where the processor sees the pages.
    pub fn virt(&self) -> NonNull<u8> {
        self.start
    }

    /// Returns where a device sees the pages.
    pub fn phys(&self) -> u64 {
        super::virt_to_phys(self.start.as_ptr())
    }

    /// Returns the length in octets.
    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.pages * PAGE
    }
}

impl Drop for Dma {
    fn drop(&mut self) {
        // SAFETY: allocated by `allocate` with this many pages.
        unsafe { heap::free_pages(self.start.as_ptr() as usize, self.pages) };
    }
}
