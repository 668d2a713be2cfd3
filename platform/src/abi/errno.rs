//! `errno`: one per thread.

use crate::kernel::fd::Errno;
use crate::kernel::thread;
use core::ffi::{c_char, c_int};

export!(__errno_location __xpg_strerror_r);

/// Sets the running thread's `errno`.
pub fn set(code: i32) {
    // SAFETY: the place of the running thread, which no other thread uses.
    unsafe { *thread::current().errno() = code }
}

/// Returns what a call of C's returns: the value, or -1 with `errno` set.
pub(crate) fn result<T: From<i8>>(outcome: Result<T, Errno>) -> T {
    outcome.unwrap_or_else(|Errno(code)| {
        set(code);
        T::from(-1)
    })
}

/// Sets `errno` and returns -1.
pub(crate) fn fail<T: From<i8>>(code: i32) -> T {
    result(Err(Errno(code)))
}

extern "C" fn __errno_location() -> *mut c_int {
    thread::current().errno()
}

/// Writes an error's description; the sentences are ours, the numbers Linux's.
unsafe extern "C" fn __xpg_strerror_r(code: c_int, buffer: *mut c_char, length: usize) -> c_int {
    let text = match code {
        libc::EPERM => "not permitted",
        libc::ENOENT => "no such file",
        libc::EINTR => "interrupted",
        libc::EIO => "input/output error",
        libc::EBADF => "no such descriptor",
        libc::EAGAIN => "not ready yet",
        libc::ENOMEM => "out of memory",
        libc::EACCES => "not allowed",
        libc::EBUSY => "in use",
        libc::EINVAL => "invalid argument",
        libc::EMFILE => "too many descriptors",
        libc::ENOTTY => "wrong kind of descriptor",
        libc::EPIPE => "the far side has closed",
        libc::ENOSYS => "not supported on this platform",
        libc::ENOTSOCK => "not a socket",
        libc::EDESTADDRREQ => "no destination address",
        libc::EMSGSIZE => "message too long",
        libc::EPROTOTYPE => "wrong protocol for the socket",
        libc::ENOPROTOOPT => "no such socket option",
        libc::EPROTONOSUPPORT => "protocol not supported",
        libc::EOPNOTSUPP => "operation not supported",
        libc::EAFNOSUPPORT => "address family not supported",
        libc::EADDRINUSE => "address in use",
        libc::EADDRNOTAVAIL => "address not available",
        libc::ENETDOWN => "the network is down",
        libc::ENETUNREACH => "network unreachable",
        libc::ECONNABORTED => "connection aborted",
        libc::ECONNRESET => "connection reset by the far side",
        libc::ENOBUFS => "no buffer space",
        libc::EISCONN => "already connected",
        libc::ENOTCONN => "not connected",
        libc::ETIMEDOUT => "timed out",
        libc::ECONNREFUSED => "connection refused",
        libc::EHOSTUNREACH => "host unreachable",
        libc::EALREADY => "already under way",
        libc::EINPROGRESS => "under way",
        _ => "unknown error",
    };
    if length == 0 {
        return libc::ERANGE;
    }
    let taken = text.len().min(length - 1);
    // SAFETY: the caller vouches for `length` octets at `buffer`.
    unsafe {
        buffer.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), taken);
        buffer.add(taken).write(0);
    }
    0
}
