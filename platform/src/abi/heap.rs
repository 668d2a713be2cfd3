//! `malloc` and its kin, over the same heap as Rust's own allocations.
//!
//! Rust allocates with the layout at hand when it frees; C does not, so each piece of C's has the layout in front.

use alloc::alloc::{alloc, alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::ffi::{c_int, c_void};
use core::ptr;

export!(malloc calloc free realloc posix_memalign);

/// What `malloc` must be aligned to, and at least what stands in front of each piece.
const ALIGN: usize = 16;

/// Stands right in front of what the caller gets.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Header {
    /// What the caller asked for.
    size: usize,
    /// The piece's alignment, which is also how far its start lies in front of what the caller got.
    align: usize,
}

/// Returns the layout of a piece with its header in front.
fn layout(size: usize, align: usize) -> Option<Layout> {
    Layout::from_size_align(size.checked_add(align)?, align).ok()
}

fn allocate(size: usize, align: usize, allocate: unsafe fn(Layout) -> *mut u8) -> *mut c_void {
    let start = match layout(size, align) {
        // SAFETY: the layout holds the header at least.
        Some(layout) => unsafe { allocate(layout) },
        None => ptr::null_mut(),
    };
    if start.is_null() {
        super::errno::set(libc::ENOMEM);
        return ptr::null_mut();
    }
    // SAFETY: `align` octets stand in front, at least the header's size and aligned to it.
    unsafe {
        let given = start.add(align);
        given.cast::<Header>().sub(1).write(Header { size, align });
        given.cast()
    }
}

extern "C" fn malloc(size: usize) -> *mut c_void {
    allocate(size, ALIGN, alloc)
}

extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        Some(size) => allocate(size, ALIGN, alloc_zeroed),
        None => {
            super::errno::set(libc::ENOMEM);
            ptr::null_mut()
        }
    }
}

unsafe extern "C" fn free(given: *mut c_void) {
    if given.is_null() {
        return;
    }
    // SAFETY: the caller got it from here, so its header stands in front.
    unsafe {
        let Header { size, align } = given.cast::<Header>().sub(1).read();
        if let Some(layout) = layout(size, align) {
            dealloc(given.cast::<u8>().sub(align), layout);
        }
    }
}

unsafe extern "C" fn realloc(given: *mut c_void, size: usize) -> *mut c_void {
    if given.is_null() {
        return malloc(size);
    }
    let new = malloc(size);
    if !new.is_null() {
        // SAFETY: the caller got it from here; both hold what is copied.
        unsafe {
            let old = given.cast::<Header>().sub(1).read().size;
            new.cast::<u8>().copy_from_nonoverlapping(given.cast(), old.min(size));
            free(given);
        }
    }
    new
}

unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || !align.is_multiple_of(size_of::<usize>()) {
        return libc::EINVAL;
    }
    let given = allocate(size, align.max(ALIGN), alloc);
    if given.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller's place for the answer.
    unsafe { out.write(given) };
    0
}
