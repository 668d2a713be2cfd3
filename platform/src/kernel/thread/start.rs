//! The life of a thread: made, started, ended, joined.
//!
//! A thread's stack comes from the heap with a guard page below. At its top lie the thread-local variables, and
//! above these what the thread pointer points to (ELF thread-local storage, variant II).

use super::block::{Body, Name, Priority, State, Thread};
use super::scheduler::{self, adopt_boot, block, current, enter, part, wake};
use crate::arch::context::Saved;
use crate::arch::{InterruptsOff, ThreadName, interrupts, tls};
use crate::base::lock::IrqLock;
use crate::memory::PAGE;
use crate::memory::stacks::Stack;
use alloc::boxed::Box;
use core::ffi::c_void;
use core::ptr;

/// Room for what the platform itself needs on a thread's stack: an interrupt's frame with the floating-point
/// state, the handler, the switch.
const HEADROOM: usize = 2 * PAGE;
/// The smallest stack, whatever is asked for.
const SMALLEST: usize = 4 * PAGE;

/// Threads that have ended and wait to be freed: detached ones.
static ENDED: IrqLock<Option<Ended>> = IrqLock::new(None);

/// The last detached thread that ended, and through [`Thread::result`] the ones before.
struct Ended(*mut Thread);

// SAFETY: a thread that has ended and is detached belongs to the thread that takes it from the list.
unsafe impl Send for Ended {}

/// Makes a thread, calls `made` with it and lets it run; `None` if there is no memory for it.
pub(crate) fn create(
    name: Name,
    priority: Priority,
    stack_bytes: usize,
    body: Body,
    made: impl FnOnce(*mut Thread),
) -> Option<()> {
    reap();
    let bytes = stack_bytes.max(SMALLEST).checked_add(HEADROOM + tls::octets())?;
    let stack = Stack::allocate(bytes)?;
    let tls = tls::place(stack.room().end);
    // SAFETY: the top of a fresh stack, with room for it by the sum above.
    unsafe { tls::write(tls) };
    let top = tls.start & !15;
    let saved = top - size_of::<Saved>();
    // SAFETY: on the fresh stack, aligned to 16.
    unsafe { (saved as *mut Saved).write(Saved::starting_at(first_steps)) };
    let thread = Thread::new(name, priority, Some(stack), tls.pointer, Some(body));
    thread.scheduling.stack_pointer.set(saved);
    let thread = into_raw(thread)?;
    // Before it runs: it may have ended and be gone when `enter` returns.
    made(thread);
    enter(thread);
    Some(())
}

/// Turns the context the machine booted in into a thread, the one that runs when no other can.
pub(super) fn adopt() {
    let thread = Thread::new(Name::new(b"idle"), Priority::Worker, None, tls::idle(), None);
    match into_raw(thread) {
        Some(thread) => adopt_boot(thread),
        None => crate::fatal!("no memory for the first thread"),
    }
}

/// Halts whenever no thread can run, and frees those that have ended; the boot context ends here.
pub(crate) fn idle() -> ! {
    loop {
        reap();
        scheduler::rest();
    }
}

/// Waits until `thread` has ended, frees it and returns its result.
///
/// # Safety
///
/// `thread` came from [`create`], was not detached and is not joined twice.
pub(crate) unsafe fn join(thread: *mut Thread) -> *mut c_void {
    {
        let _interrupts = InterruptsOff::new();
        // SAFETY: not detached, so it stays until it is freed below.
        unsafe {
            while part(thread).state.get() != State::Dead {
                block(&raw const (*thread).ended, 0, None, || ());
            }
        }
    }
    // SAFETY: it has ended and does not run any more, for this thread does; no other thread frees it.
    unsafe {
        let result = (*thread).result.get();
        drop(Box::from_raw(thread));
        result
    }
}

/// Lets `thread` be freed when it ends, or now if it has.
///
/// A thread is to be joined or detached, once.
pub(crate) fn detach(thread: *mut Thread) {
    let interrupts = InterruptsOff::new();
    // SAFETY: neither joined nor detached before, so it is there still.
    let part = unsafe { part(thread) };
    let ended = part.state.get() == State::Dead;
    part.detached.set(true);
    drop(interrupts);
    if ended {
        // SAFETY: it has ended, another thread runs, and no other thread frees it.
        drop(unsafe { Box::from_raw(thread) });
    }
}

/// Ends the running thread with `result`.
fn exit(result: *mut c_void) -> ! {
    let thread = current();
    thread.values().destroy();
    thread.result.set(result);
    let this = ptr::from_ref(thread).cast_mut();
    interrupts::disable();
    if thread.scheduling.detached.get() {
        let mut ended = ENDED.lock();
        thread.result.set(ended.take().map_or(ptr::null_mut(), |Ended(previous)| previous.cast()));
        *ended = Some(Ended(this));
    }
    while let Some(waiting) = thread.ended.first() {
        // SAFETY: a thread in the list is asleep; interrupts are off.
        unsafe { wake(waiting) };
    }
    scheduler::end()
}

/// Frees the detached threads that have ended.
fn reap() {
    // Taken as a whole: none of them runs, for this thread does.
    let mut next = ENDED.lock().take().map_or(ptr::null_mut(), |Ended(thread)| thread);
    while !next.is_null() {
        // SAFETY: detached and ended, so it belongs to the thread that took it from the list.
        let thread = unsafe { Box::from_raw(next) };
        next = thread.result.get().cast();
    }
}

/// Where every thread starts, with interrupts off.
extern "C" fn first_steps() -> ! {
    let body = current().body.take();
    interrupts::enable();
    let result = match body {
        Some(Body::Closure(closure)) => {
            closure();
            ptr::null_mut()
        }
        Some(Body::Function(function, argument)) => function(argument),
        None => crate::fatal!("thread {ThreadName} was started twice"),
    };
    exit(result)
}

/// Boxes a thread, or drops it if there is no memory.
fn into_raw(thread: Thread) -> Option<*mut Thread> {
    let layout = core::alloc::Layout::new::<Thread>();
    // SAFETY: not of size zero; written before it is used, and later freed as the box it is.
    unsafe {
        let place = alloc::alloc::alloc(layout).cast::<Thread>();
        if place.is_null() {
            return None;
        }
        place.write(thread);
        Some(place)
    }
}
