//! Environment, signals, exit, and what a program without a C library lacks otherwise.

use super::errno::fail;
use crate::{boot, power, thread};
use core::ffi::{CStr, c_char, c_int, c_long, c_ulong, c_void};
use core::ptr;

export!(getenv getauxval sysconf getpid sigaction signal sigaltstack pause exit _exit abort dl_iterate_phdr dlsym __libc_start_main);

/// The stack std gives threads that ask for no size. Memory behind a stack is there from the start, so Linux's
/// 2 MiB would be dear.
const STACK: &CStr = c"262144";

/// The environment has the one variable by which std takes its default stack size.
unsafe extern "C" fn getenv(name: *const c_char) -> *const c_char {
    // SAFETY: the caller's string.
    if unsafe { CStr::from_ptr(name) } == c"RUST_MIN_STACK" { STACK.as_ptr() } else { ptr::null() }
}

extern "C" fn getauxval(_kind: c_ulong) -> c_ulong {
    super::errno::set(libc::ENOENT);
    0
}

extern "C" fn sysconf(name: c_int) -> c_long {
    match name {
        libc::_SC_PAGESIZE => crate::memory::PAGE as c_long,
        libc::_SC_NPROCESSORS_ONLN | libc::_SC_NPROCESSORS_CONF => 1,
        libc::_SC_PHYS_PAGES => (crate::memory::total() / crate::memory::PAGE) as c_long,
        _ => fail(libc::EINVAL),
    }
}

extern "C" fn getpid() -> c_int {
    1
}

/// No signal is ever sent. So every one counts as ignored, and std installs no handlers.
unsafe extern "C" fn sigaction(_signal: c_int, new: *const c_void, old: *mut libc::sigaction) -> c_int {
    if !new.is_null() {
        return fail(libc::ENOSYS);
    }
    if !old.is_null() {
        // SAFETY: the caller's place for the answer; all zeroes are a valid value.
        unsafe {
            old.write_bytes(0, 1);
            (*old).sa_sigaction = libc::SIG_IGN;
        }
    }
    0
}

extern "C" fn signal(_signal: c_int, handler: libc::sighandler_t) -> libc::sighandler_t {
    match handler {
        libc::SIG_IGN => libc::SIG_IGN,
        _ => {
            super::errno::set(libc::ENOSYS);
            libc::SIG_ERR
        }
    }
}

extern "C" fn sigaltstack(_new: *const c_void, _old: *mut c_void) -> c_int {
    fail(libc::ENOSYS)
}

/// Would wait for a signal, so waits for ever.
extern "C" fn pause() -> c_int {
    loop {
        thread::sleep_until(u64::MAX);
    }
}

extern "C" fn exit(status: c_int) -> ! {
    boot::exit(status)
}

extern "C" fn _exit(status: c_int) -> ! {
    boot::exit(status)
}

/// Ends everything after a panic, whose message std has printed, or for a reason nobody told.
extern "C" fn abort() -> ! {
    x86_64::instructions::interrupts::disable();
    crate::console::print_now(format_args!("zonule: aborted in thread {:?}; resetting\n", thread::current_name()));
    power::reset()
}

/// A statically linked image has no objects to tell of; std asks for backtraces only.
extern "C" fn dl_iterate_phdr(_each: *const c_void, _data: *mut c_void) -> c_int {
    0
}

/// No symbol can be looked up in a static image; std asks for those it can do without.
extern "C" fn dlsym(_object: *const c_void, _name: *const c_char) -> *const c_void {
    ptr::null()
}

extern "C" fn __libc_start_main() -> c_int {
    crate::fatal!("the C library's start-up code was called")
}

/// Nothing unwinds: a panic aborts. A backtrace finds no frames.
///
/// This one is to be seen through, with the very types of std's declaration: then all that would print frames,
/// some 400 kB, is left out.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_each: *const c_void, _data: *mut c_void) -> c_int {
    const END_OF_STACK: c_int = 5;
    END_OF_STACK
}

macro_rules! never_unwound {
    ($($name:ident)*) => {$(
        #[allow(non_snake_case, reason = "the ABI's name")]
        extern "C" fn $name() -> ! {
            crate::fatal!(concat!(stringify!($name), " was called, yet panics abort"))
        }
        export!($name);
    )*};
}

never_unwound! {
    _Unwind_DeleteException _Unwind_GetCFA _Unwind_GetDataRelBase _Unwind_GetIP _Unwind_GetIPInfo
    _Unwind_GetLanguageSpecificData _Unwind_GetRegionStart _Unwind_GetTextRelBase _Unwind_RaiseException
    _Unwind_Resume _Unwind_SetGR _Unwind_SetIP
}
