//! Environment, signals, exit, and what else a C library would have.

use super::errno::fail;
use super::syscall::getrandom;
use crate::arch::{ThreadName, interrupts, power, serial};
use crate::kernel::thread;
use core::ffi::{CStr, c_char, c_int, c_long, c_ulong, c_void};
use core::ptr;

export!(getenv gethostname strnlen getauxval sysconf getpid sigaction signal sigaltstack pause exit _exit abort dl_iterate_phdr dlsym __libc_start_main);

/// The environment: the one variable by which std takes the stack size of threads that ask for none. Memory
/// behind a stack is there from the start, so Linux's 2 MiB would be dear.
const ENVIRONMENT: [&CStr; 1] = [c"RUST_MIN_STACK=262144"];

/// [`ENVIRONMENT`] as C has it.
struct Environment([*const c_char; ENVIRONMENT.len() + 1]);
// SAFETY: pointers to constants.
unsafe impl Sync for Environment {}
static POINTERS: Environment = Environment([ENVIRONMENT[0].as_ptr(), ptr::null()]);

/// Where C programs find the environment. Nothing changes it.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the ABI's name")]
static mut environ: *const *const c_char = &raw const POINTERS.0 as *const *const c_char;

/// Returns what the constructors are given as environment.
pub(crate) fn environment() -> *const *const c_char {
    POINTERS.0.as_ptr()
}

unsafe extern "C" fn getenv(name: *const c_char) -> *const c_char {
    // SAFETY: the caller's string.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes();
    let value = |variable: &&CStr| {
        let rest = variable.to_bytes().strip_prefix(name)?;
        // SAFETY: behind the name and the sign follows the value, within the string.
        rest.starts_with(b"=").then(|| unsafe { variable.as_ptr().add(name.len() + 1) })
    };
    ENVIRONMENT.iter().find_map(value).unwrap_or(ptr::null())
}

/// The name of the machine, for which there is none to ask.
unsafe extern "C" fn gethostname(out: *mut c_char, length: usize) -> c_int {
    const NAME: &CStr = c"zonule";
    if length < NAME.to_bytes_with_nul().len() {
        return fail(libc::ENAMETOOLONG);
    }
    // SAFETY: the caller vouches for `length` octets.
    unsafe { out.copy_from_nonoverlapping(NAME.as_ptr(), NAME.to_bytes_with_nul().len()) };
    0
}

unsafe extern "C" fn strnlen(string: *const c_char, most: usize) -> usize {
    // SAFETY: the caller vouches for what comes before the end of the string.
    (0..most).find(|&at| unsafe { string.add(at).read_volatile() } == 0).unwrap_or(most)
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

/// Would wait for a signal, so never returns.
extern "C" fn pause() -> c_int {
    loop {
        thread::sleep_until(u64::MAX);
    }
}

extern "C" fn exit(status: c_int) -> ! {
    end(status)
}

extern "C" fn _exit(status: c_int) -> ! {
    end(status)
}

/// Ends the program: the machine goes off.
pub(crate) fn end(status: c_int) -> ! {
    if status != 0 {
        crate::kprintln!("zonule: the program ended with status {status}");
    }
    power::off()
}

/// Ends everything after a panic, whose message std has printed, or for an unknown reason.
extern "C" fn abort() -> ! {
    interrupts::disable();
    serial::print_now(format_args!("zonule: aborted in thread {ThreadName}; resetting\n"));
    power::reset()
}

/// A statically linked image has no objects to list; std asks for backtraces only.
extern "C" fn dl_iterate_phdr(_each: *const c_void, _data: *mut c_void) -> c_int {
    0
}

/// Returns the one function libraries look up because not every Linux has it, and would replace by a device file:
/// `getrandom`. Whatever else a static image has is linked, and std asks for what it can do without.
unsafe extern "C" fn dlsym(_object: *const c_void, name: *const c_char) -> *const c_void {
    // SAFETY: the caller's string.
    match unsafe { CStr::from_ptr(name) }.to_bytes() {
        b"getrandom" => getrandom as *const c_void,
        _ => ptr::null(),
    }
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
