//! The addresses of the image's sections, from the linker script's symbols.

use core::ops::Range;

unsafe extern "C" {
    static __image_start: u8;
    static __text_start: u8;
    static __data_start: u8;
    static __image_end: u8;
}

/// Returns the range of the whole image.
pub(crate) fn all() -> Range<usize> {
    &raw const __image_start as usize..&raw const __image_end as usize
}

/// Returns the range of the read-only data.
pub(crate) fn rodata() -> Range<usize> {
    &raw const __image_start as usize..&raw const __text_start as usize
}

/// Returns the range of the executable code.
pub(crate) fn text() -> Range<usize> {
    &raw const __text_start as usize..&raw const __data_start as usize
}

/// Returns the range of the writable data.
pub(crate) fn data() -> Range<usize> {
    &raw const __data_start as usize..&raw const __image_end as usize
}
