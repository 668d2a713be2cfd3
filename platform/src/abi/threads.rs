//! `pthread_*`: std's threads and thread-local keys, and the mutexes of libraries that do without std.

use crate::kernel::thread::{self, Body, Name, Priority, Thread, futex, keys};
use core::ffi::{c_char, c_int, c_uint, c_void};
use core::ptr;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

export!(pthread_self pthread_create pthread_join pthread_detach pthread_attr_init pthread_attr_destroy pthread_attr_setstacksize pthread_attr_setguardsize pthread_getattr_np pthread_attr_getstack pthread_attr_getguardsize pthread_setname_np prctl sched_yield sched_getaffinity pthread_key_create pthread_key_delete pthread_setspecific pthread_getspecific pthread_mutex_lock pthread_mutex_unlock);

/// The stack of a thread whose creator names no size; std always does.
const DEFAULT_STACK: usize = 256 * 1024;
/// The smallest stack one may ask for (PTHREAD_STACK_MIN).
const SMALLEST_STACK: usize = 16 * 1024;

export!(weak gettid);

/// What we keep in a `pthread_attr_t`, which has room for 56 octets.
#[repr(C)]
struct Attributes {
    stack_size: usize,
    stack_start: usize,
    guard_size: usize,
}

extern "C" fn pthread_self() -> *mut Thread {
    ptr::from_ref(thread::current()).cast_mut()
}

unsafe extern "C" fn pthread_create(
    out: *mut *mut Thread,
    attributes: *const Attributes,
    function: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: null or attributes the caller has set up.
    let size = unsafe { attributes.as_ref() }.map_or(DEFAULT_STACK, |a| a.stack_size);
    // The name is given by the thread itself; until then it has its creator's, as on Linux.
    let body = Body::Function(function, argument);
    match thread::create(thread::current().name(), Priority::Worker, size, body, |thread| {
        // SAFETY: the caller's place for the answer. Written before the thread runs.
        unsafe { out.write(thread) }
    }) {
        Some(()) => 0,
        None => libc::EAGAIN,
    }
}

unsafe extern "C" fn pthread_join(thread: *mut Thread, out: *mut *mut c_void) -> c_int {
    // SAFETY: the caller vouches for a thread neither joined nor detached.
    let result = unsafe { thread::join(thread) };
    if !out.is_null() {
        // SAFETY: the caller's place for the answer.
        unsafe { out.write(result) };
    }
    0
}

extern "C" fn pthread_detach(thread: *mut Thread) -> c_int {
    thread::detach(thread);
    0
}

unsafe extern "C" fn pthread_attr_init(attributes: *mut Attributes) -> c_int {
    // SAFETY: the caller's attributes, larger than ours.
    unsafe { attributes.write(Attributes { stack_size: DEFAULT_STACK, stack_start: 0, guard_size: 4096 }) };
    0
}

extern "C" fn pthread_attr_destroy(_attributes: *mut Attributes) -> c_int {
    0
}

unsafe extern "C" fn pthread_attr_setstacksize(attributes: *mut Attributes, size: usize) -> c_int {
    if size < SMALLEST_STACK {
        return libc::EINVAL;
    }
    // SAFETY: the caller's attributes, initialised.
    unsafe { (*attributes).stack_size = size };
    0
}

unsafe extern "C" fn pthread_attr_setguardsize(attributes: *mut Attributes, size: usize) -> c_int {
    // One page is what there is; std asks for other sizes only for the main thread's.
    if size > 4096 {
        return libc::EINVAL;
    }
    // SAFETY: the caller's attributes, initialised.
    unsafe { (*attributes).guard_size = 4096 };
    0
}

unsafe extern "C" fn pthread_getattr_np(thread: *const Thread, attributes: *mut Attributes) -> c_int {
    // SAFETY: a thread of the caller's and its place for the answer.
    unsafe {
        let stack = (*thread).stack();
        attributes.write(Attributes { stack_size: stack.len(), stack_start: stack.start, guard_size: 4096 });
    }
    0
}

unsafe extern "C" fn pthread_attr_getstack(
    attributes: *const Attributes,
    start: *mut *mut c_void,
    size: *mut usize,
) -> c_int {
    // SAFETY: the caller's attributes and places for the answers.
    unsafe {
        start.write((*attributes).stack_start as *mut c_void);
        size.write((*attributes).stack_size);
    }
    0
}

unsafe extern "C" fn pthread_attr_getguardsize(attributes: *const Attributes, size: *mut usize) -> c_int {
    // SAFETY: the caller's attributes and place for the answer.
    unsafe { size.write((*attributes).guard_size) };
    0
}

unsafe extern "C" fn pthread_setname_np(thread: *const Thread, name: *const c_char) -> c_int {
    // SAFETY: a thread of the caller's and a string.
    unsafe { (*thread).set_name(Name::new(core::ffi::CStr::from_ptr(name).to_bytes())) };
    0
}

/// `PR_SET_NAME` for the running thread; nothing else.
unsafe extern "C" fn prctl(option: c_int, argument: usize) -> c_int {
    match option {
        // SAFETY: this option comes with a string.
        libc::PR_SET_NAME => unsafe { pthread_setname_np(pthread_self(), argument as *const c_char) },
        _ => super::errno::fail(libc::EINVAL),
    }
}

extern "C" fn gettid() -> c_int {
    thread::current().number() as c_int
}

extern "C" fn sched_yield() -> c_int {
    thread::yield_now();
    0
}

/// One processor.
unsafe extern "C" fn sched_getaffinity(_pid: c_int, size: usize, mask: *mut u8) -> c_int {
    if size == 0 {
        return super::errno::fail(libc::EINVAL);
    }
    // SAFETY: the caller's set of `size` octets.
    unsafe {
        mask.write_bytes(0, size);
        mask.write(1);
    }
    0
}

unsafe extern "C" fn pthread_key_create(out: *mut c_uint, destructor: keys::Destructor) -> c_int {
    match keys::create(destructor) {
        Some(key) => {
            // SAFETY: the caller's place for the answer.
            unsafe { out.write(key) };
            0
        }
        None => libc::EAGAIN,
    }
}

extern "C" fn pthread_key_delete(key: c_uint) -> c_int {
    if keys::delete(key) { 0 } else { libc::EINVAL }
}

extern "C" fn pthread_setspecific(key: c_uint, value: *mut c_void) -> c_int {
    if thread::current().values().set(key, value) { 0 } else { libc::EINVAL }
}

extern "C" fn pthread_getspecific(key: c_uint) -> *mut c_void {
    thread::current().values().get(key)
}

/// A mutex's first word, as `PTHREAD_MUTEX_INITIALIZER` leaves it.
const UNLOCKED: u32 = 0;
/// Held, and nobody waits.
const LOCKED: u32 = 1;
/// Held, and somebody may wait.
const CONTENDED: u32 = 2;

/// Locks a mutex of the plain kind, which is what the static initialiser makes; no other can be made here.
unsafe extern "C" fn pthread_mutex_lock(mutex: *mut u32) -> c_int {
    // SAFETY: the caller's mutex, of which we use the first word only.
    let word = unsafe { AtomicU32::from_ptr(mutex) };
    if word.compare_exchange(UNLOCKED, LOCKED, Acquire, Relaxed).is_err() {
        while word.swap(CONTENDED, Acquire) != UNLOCKED {
            futex::wait(word, CONTENDED, None);
        }
    }
    0
}

unsafe extern "C" fn pthread_mutex_unlock(mutex: *mut u32) -> c_int {
    // SAFETY: as for the lock.
    let word = unsafe { AtomicU32::from_ptr(mutex) };
    if word.swap(UNLOCKED, Release) == CONTENDED {
        futex::wake_up(mutex as usize, 1);
    }
    0
}
