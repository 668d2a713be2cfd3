//! `syscall`: the few std makes by number, and `getrandom`.

use super::errno::fail;
use super::time::{from_wall, nanos};
use crate::drivers::entropy;
use crate::kernel::thread::futex::{self, Outcome};
use crate::kernel::{thread, time};
use core::ffi::{c_int, c_long, c_uint, c_void};
use core::slice;
use core::sync::atomic::AtomicU32;

export!(syscall);
export!(weak getrandom);

/// Takes six arguments whatever the caller passes: those it did not are whatever the registers held, unused.
unsafe extern "C" fn syscall(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long {
    match number {
        // SAFETY: the arguments of the caller, which vouches for them.
        libc::SYS_futex => unsafe { futex(a, b as c_int, c as u32, d, e, f as u32) },
        // SAFETY: as above.
        libc::SYS_getrandom => unsafe { getrandom(a as *mut c_void, b, c as c_uint) as c_long },
        libc::SYS_gettid => c_long::from(thread::current().number()),
        _ => fail(libc::ENOSYS),
    }
}

/// Fills a buffer; all flags are fine, for it never blocks.
///
/// # Safety
///
/// `buffer` is valid for writing `length` octets.
pub(super) unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, _flags: c_uint) -> isize {
    if length > 0 {
        // SAFETY: the caller vouches for the buffer.
        entropy::fill(unsafe { slice::from_raw_parts_mut(buffer.cast(), length) });
    }
    length as isize
}

/// `FUTEX_WAIT`, `FUTEX_WAIT_BITSET` and `FUTEX_WAKE(_BITSET)` with all bits set, which is all std uses.
///
/// # Safety
///
/// `word` is the address of a word, `timeout` is null or a `timespec`'s, where the operation takes them.
unsafe fn futex(word: usize, operation: c_int, value: u32, timeout: usize, _word2: usize, bits: u32) -> c_long {
    let command = operation & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
    if word == 0 || !word.is_multiple_of(4) {
        return fail(libc::EINVAL);
    }
    if matches!(command, libc::FUTEX_WAIT_BITSET | libc::FUTEX_WAKE_BITSET) && bits != u32::MAX {
        return fail(libc::ENOSYS);
    }
    match command {
        libc::FUTEX_WAKE | libc::FUTEX_WAKE_BITSET => futex::wake_up(word, value as usize) as c_long,
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => {
            let deadline = if timeout == 0 {
                None
            } else {
                // SAFETY: the caller's promise.
                let Some(time) = nanos(unsafe { &*(timeout as *const libc::timespec) }) else {
                    return fail(libc::EINVAL);
                };
                // WAIT takes a duration, WAIT_BITSET a moment (futex(2)).
                Some(match (command, operation & libc::FUTEX_CLOCK_REALTIME != 0) {
                    (libc::FUTEX_WAIT, _) => time::monotonic().saturating_add(time),
                    (_, true) => from_wall(time),
                    (_, false) => time,
                })
            };
            // SAFETY: the caller's promise.
            match futex::wait(unsafe { AtomicU32::from_ptr(word as *mut u32) }, value, deadline) {
                Outcome::Woken => 0,
                Outcome::Changed => fail(libc::EAGAIN),
                Outcome::TimedOut => fail(libc::ETIMEDOUT),
            }
        }
        _ => fail(libc::ENOSYS),
    }
}
