//! Descriptors: reading, writing, duplicating, polling.

use super::errno::{fail, result};
use crate::kernel::fd::{self, Errno};
use crate::kernel::time;
use core::ffi::{c_int, c_ulong, c_void};
use core::slice;

export!(read write writev readv close dup fcntl ioctl poll);

/// What one call writes at most, as on Linux.
const MOST: usize = 0x7fff_f000;

unsafe extern "C" fn read(descriptor: c_int, buffer: *mut c_void, length: usize) -> isize {
    // SAFETY: the caller vouches for the buffer.
    let out = unsafe { writable(buffer, length) };
    result(fd::get(descriptor).and_then(|file| file.read(out)).map(|n| n as isize))
}

unsafe extern "C" fn write(descriptor: c_int, buffer: *const c_void, length: usize) -> isize {
    // SAFETY: the caller vouches for the buffer.
    let octets = unsafe { readable(buffer, length) };
    result(fd::get(descriptor).and_then(|file| file.write(octets)).map(|n| n as isize))
}

/// Writes the pieces one after the other until one is not taken whole.
unsafe extern "C" fn writev(descriptor: c_int, pieces: *const libc::iovec, count: c_int) -> isize {
    // SAFETY: the caller vouches for `count` pieces, and for what each points to.
    unsafe { in_pieces(descriptor, pieces, count, |file, piece| file.write(readable(piece.iov_base, piece.iov_len))) }
}

/// Reads into the pieces one after the other until one is not filled.
unsafe extern "C" fn readv(descriptor: c_int, pieces: *const libc::iovec, count: c_int) -> isize {
    // SAFETY: the caller vouches for `count` pieces, and for what each points to.
    unsafe { in_pieces(descriptor, pieces, count, |file, piece| file.read(writable(piece.iov_base, piece.iov_len))) }
}

/// # Safety
///
/// There are `count` pieces.
unsafe fn in_pieces(
    descriptor: c_int,
    pieces: *const libc::iovec,
    count: c_int,
    mut each: impl FnMut(&dyn fd::File, &libc::iovec) -> Result<usize, Errno>,
) -> isize {
    let Ok(count) = usize::try_from(count) else { return fail(libc::EINVAL) };
    let file = match fd::get(descriptor) {
        Ok(file) => file,
        Err(Errno(code)) => return fail(code),
    };
    // SAFETY: the caller's promise; no pieces may come as a null pointer.
    let pieces = if count == 0 { &[] } else { unsafe { slice::from_raw_parts(pieces, count) } };
    let mut total = 0;
    for piece in pieces.iter().filter(|piece| piece.iov_len > 0) {
        match each(&*file, piece) {
            Ok(done) => {
                total += done;
                if done < piece.iov_len {
                    break;
                }
            }
            Err(Errno(code)) if total == 0 => return fail(code),
            Err(_) => break,
        }
        if file.nonblocking() && file.readiness() == 0 {
            break;
        }
    }
    total as isize
}

extern "C" fn close(descriptor: c_int) -> c_int {
    result(fd::close(descriptor).map(|()| 0))
}

extern "C" fn dup(descriptor: c_int) -> c_int {
    result(fd::get(descriptor).and_then(fd::insert))
}

/// `F_DUPFD(_CLOEXEC)`, `F_GETFL`, `F_SETFL` and the descriptor flags; nothing is ever executed, so the latter
/// are always as close-on-exec has them.
extern "C" fn fcntl(descriptor: c_int, command: c_int, argument: c_ulong) -> c_int {
    let file = match fd::get(descriptor) {
        Ok(file) => file,
        Err(Errno(code)) => return fail(code),
    };
    match command {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => result(fd::insert_from(file, argument as usize)),
        libc::F_GETFD => libc::FD_CLOEXEC,
        libc::F_SETFD => 0,
        libc::F_GETFL => libc::O_RDWR | if file.nonblocking() { libc::O_NONBLOCK } else { 0 },
        libc::F_SETFL => {
            file.set_nonblocking(argument as c_int & libc::O_NONBLOCK != 0);
            0
        }
        _ => fail(libc::EINVAL),
    }
}

/// `FIONBIO` for every file.
unsafe extern "C" fn ioctl(descriptor: c_int, request: c_ulong, argument: *mut c_int) -> c_int {
    let file = match fd::get(descriptor) {
        Ok(file) => file,
        Err(Errno(code)) => return fail(code),
    };
    match request {
        libc::FIONBIO => {
            // SAFETY: this request comes with a pointer to an int.
            file.set_nonblocking(unsafe { *argument } != 0);
            0
        }
        _ => fail(libc::ENOTTY),
    }
}

unsafe extern "C" fn poll(entries: *mut libc::pollfd, count: libc::nfds_t, milliseconds: c_int) -> c_int {
    // SAFETY: the caller vouches for `count` entries.
    let entries = if count == 0 { &mut [] } else { unsafe { slice::from_raw_parts_mut(entries, count as usize) } };
    let deadline = u64::try_from(milliseconds).ok().map(|ms| time::monotonic() + ms * 1_000_000);
    fd::poll(entries, deadline) as c_int
}

/// # Safety
///
/// `length` octets at `buffer` may be read.
unsafe fn readable<'a>(buffer: *const c_void, length: usize) -> &'a [u8] {
    // SAFETY: the caller's promise; nothing may come as a null pointer.
    if length == 0 { &[] } else { unsafe { slice::from_raw_parts(buffer.cast(), length.min(MOST)) } }
}

/// # Safety
///
/// `length` octets at `buffer` may be written.
unsafe fn writable<'a>(buffer: *mut c_void, length: usize) -> &'a mut [u8] {
    // SAFETY: the caller's promise; nothing may come as a null pointer.
    if length == 0 { &mut [] } else { unsafe { slice::from_raw_parts_mut(buffer.cast(), length.min(MOST)) } }
}
