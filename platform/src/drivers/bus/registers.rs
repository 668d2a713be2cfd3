//! A bounds-checked window onto device registers.
//!
//! Every access is a single volatile load or store of its own width, as device registers demand. A window knows its
//! length, so an offset a device chose can be checked once when the window is made and never reaches other memory.

use core::ptr::NonNull;

/// A mapped range of device registers.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    base: NonNull<u8>,
    length: usize,
}

// SAFETY: the window is device memory whose mapping is never removed; registers have no thread affinity.
unsafe impl Send for Registers {}
// SAFETY: every access is one volatile load or store; ordering between threads is the driver's business.
unsafe impl Sync for Registers {}

impl Registers {
    /// Makes a window of `length` bytes at `base`.
    ///
    /// # Safety
    ///
    /// `base` must be valid for volatile reads and writes of `length` bytes for good, and aligned to eight bytes, or
    /// to four when no 64-bit access is made.
    pub const unsafe fn new(base: NonNull<u8>, length: usize) -> Self {
        Self { base, length }
    }

    /// Maps `length` bytes of device memory at the physical address `physical`.
    pub fn map(physical: u64, length: usize) -> Self {
        // SAFETY: `map_device` returns a mapping of `length` bytes that is never removed.
        unsafe { Self::new(crate::memory::map_device(physical, length), length) }
    }

    /// Returns the part of the window that starts at `offset`, or nothing when it does not hold `length` bytes.
    pub fn part(&self, offset: usize, length: usize) -> Option<Self> {
        let end = offset.checked_add(length)?;
        if end > self.length {
            return None;
        }
        // SAFETY: `offset + length` lies inside this window.
        Some(unsafe { Self::new(self.base.add(offset), length) })
    }

    /// Returns the length of the window in bytes.
    pub fn length(&self) -> usize {
        self.length
    }

    fn at<T>(&self, offset: usize) -> *mut T {
        assert!(
            offset + size_of::<T>() <= self.length && offset.is_multiple_of(size_of::<T>()),
            "register offset {offset:#x} lies outside its window or is misaligned"
        );
        // SAFETY: the offset was just checked to lie inside the window.
        unsafe { self.base.as_ptr().add(offset).cast() }
    }
}

macro_rules! accessors {
    ($read:ident, $write:ident, $width:ty) => {
        impl Registers {
            /// Reads the register at `offset`.
            pub fn $read(&self, offset: usize) -> $width {
                // SAFETY: `at` checked bounds and alignment; the window is valid for volatile reads.
                unsafe { self.at::<$width>(offset).read_volatile() }
            }

            /// Writes the register at `offset`.
            pub fn $write(&self, offset: usize, value: $width) {
                // SAFETY: `at` checked bounds and alignment; the window is valid for volatile writes.
                unsafe { self.at::<$width>(offset).write_volatile(value) }
            }
        }
    };
}

accessors!(read8, write8, u8);
accessors!(read16, write16, u16);
accessors!(read32, write32, u32);
