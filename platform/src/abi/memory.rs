//! `mmap` of anonymous memory.
//!
//! There are no files to map, and nothing is ever mapped executable.

use super::errno::fail;
use crate::memory::{Dma, PAGE};
use core::ffi::{c_int, c_void};
use core::mem::ManuallyDrop;

export!(mmap64 munmap mprotect);

/// Maps zeroed memory for reading and writing.
extern "C" fn mmap64(
    _hint: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    _descriptor: c_int,
    _offset: i64,
) -> *mut c_void {
    let code = if flags & libc::MAP_ANONYMOUS == 0 {
        libc::ENODEV
    } else if flags & libc::MAP_FIXED != 0 || length == 0 {
        libc::EINVAL
    } else if protection != libc::PROT_READ | libc::PROT_WRITE {
        libc::EACCES
    } else {
        match Dma::allocate(length.div_ceil(PAGE)) {
            Some(pages) => return ManuallyDrop::new(pages).virt().as_ptr().cast(),
            None => libc::ENOMEM,
        }
    };
    super::errno::set(code);
    libc::MAP_FAILED
}

/// Unmaps what one call of [`mmap64`] has mapped, as a whole.
unsafe extern "C" fn munmap(address: *mut c_void, length: usize) -> c_int {
    if length == 0 || !(address as usize).is_multiple_of(PAGE) {
        return fail(libc::EINVAL);
    }
    // SAFETY: the caller gives back what it got from `mmap64`.
    unsafe { Dma::give_back(address as usize, length.div_ceil(PAGE)) };
    0
}

/// All memory is readable and writable and stays so.
extern "C" fn mprotect(_address: *mut c_void, _length: usize, protection: c_int) -> c_int {
    if protection == libc::PROT_READ | libc::PROT_WRITE { 0 } else { fail(libc::EACCES) }
}
