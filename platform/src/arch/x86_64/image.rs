//! Where the image lies, by the linker script's symbols.

use core::ops::Range;

unsafe extern "C" {
    static __image_start: u8;
    static __text_start: u8;
    static __data_start: u8;
    static __image_end: u8;
}

/// Returns the whole image.
pub(crate) fn all() -> Range<usize> {
    &raw const __image_start as usize..&raw const __image_end as usize
}

/// Returns what is readable only.
pub(crate) fn rodata() -> Range<usize> {
    &raw const __image_start as usize..&raw const __text_start as usize
}

/// Returns what is executable.
pub(crate) fn text() -> Range<usize> {
    &raw const __text_start as usize..&raw const __data_start as usize
}

/// Returns what is writable.
pub(crate) fn data() -> Range<usize> {
    &raw const __data_start as usize..&raw const __image_end as usize
}
