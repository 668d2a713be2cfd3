//! Clocks and sleeping.

use super::errno::fail;
use crate::kernel::thread;
use crate::kernel::time::{self, Nanos};
use core::ffi::c_int;

export!(clock_gettime nanosleep clock_nanosleep);

const SECOND: u64 = 1_000_000_000;

unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, out: *mut libc::timespec) -> c_int {
    let now = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_TAI => time::wall().as_nanos() as u64,
        libc::CLOCK_MONOTONIC | libc::CLOCK_MONOTONIC_COARSE | libc::CLOCK_MONOTONIC_RAW | libc::CLOCK_BOOTTIME => {
            time::monotonic()
        }
        _ => return fail(libc::EINVAL),
    };
    // SAFETY: the caller's place for the answer.
    unsafe { out.write(libc::timespec { tv_sec: (now / SECOND) as i64, tv_nsec: (now % SECOND) as i64 }) };
    0
}

/// Sleeps for a while; nothing interrupts it, so there is never a remainder.
unsafe extern "C" fn nanosleep(request: *const libc::timespec, _remainder: *mut libc::timespec) -> c_int {
    // SAFETY: the caller's request.
    match nanos(unsafe { &*request }) {
        Some(nanos) => {
            thread::sleep_until(time::monotonic().saturating_add(nanos));
            0
        }
        None => fail(libc::EINVAL),
    }
}

/// The same by a clock, for a while or until a moment; errors are returned, not set.
unsafe extern "C" fn clock_nanosleep(
    clock: libc::clockid_t,
    flags: c_int,
    request: *const libc::timespec,
    _remainder: *mut libc::timespec,
) -> c_int {
    // SAFETY: the caller's request.
    let Some(nanos) = nanos(unsafe { &*request }) else { return libc::EINVAL };
    let absolute = flags & libc::TIMER_ABSTIME != 0;
    let deadline = match clock {
        libc::CLOCK_REALTIME if absolute => from_wall(nanos),
        libc::CLOCK_MONOTONIC | libc::CLOCK_BOOTTIME if absolute => nanos,
        libc::CLOCK_REALTIME | libc::CLOCK_MONOTONIC | libc::CLOCK_BOOTTIME => time::monotonic().saturating_add(nanos),
        _ => return libc::EINVAL,
    };
    thread::sleep_until(deadline);
    0
}

/// Returns a time or duration in nanoseconds, the longest there is if it is longer; `None` if it is malformed.
pub(super) fn nanos(time: &libc::timespec) -> Option<Nanos> {
    let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u64::try_from(time.tv_nsec).ok()?);
    (nanos < SECOND).then(|| seconds.saturating_mul(SECOND).saturating_add(nanos))
}

/// Returns when the monotonic clock will be what it is when the wall clock shows `wall`.
pub(super) fn from_wall(wall: Nanos) -> Nanos {
    let offset = time::wall().as_nanos() as u64;
    time::monotonic().saturating_add(wall.saturating_sub(offset))
}
