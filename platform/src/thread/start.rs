//! The life of a thread: made, started, ended, joined.
//!
//! A thread's stack comes from the heap with a guard page below. At its top lie the thread-local variables, and
//! above these what the thread pointer points to (ELF thread-local storage, variant II).

use super::Priority;
use super::block::{Name, State, Thread};
use super::scheduler::{self, adopt_boot, block, current, enter, part};
use super::switch::Saved;
use crate::memory::PAGE;
use crate::memory::stacks::Stack;
use crate::sync::{InterruptsOff, IrqLock};
use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr;

/// Room for what the platform itself needs on a thread's stack: an interrupt's frame with the floating-point
/// state, the handler, the switch.
const HEADROOM: usize = 2 * PAGE;
/// The smallest stack, whatever is asked for.
const SMALLEST: usize = 4 * PAGE;

/// What a thread does.
pub(crate) enum Body {
    /// A thread of the platform's own.
    Closure(Box<dyn FnOnce() + Send>),
    /// A thread of std's or C's: the function and its argument.
    Function(extern "C" fn(*mut c_void) -> *mut c_void, *mut c_void),
}

/// What the thread pointer points to: itself first (x86-64 ABI), then room where compilers expect the C
/// library's own fields, such as a stack protector's canary.
#[repr(C, align(64))]
struct ThreadControlBlock {
    this: usize,
    reserved: [usize; 7],
}

unsafe extern "C" {
    /// What thread-local variables start from: the initialised ones, the others are zero.
    static __tdata_start: u8;
    static __tdata_end: u8;
    /// An absolute symbol: its address is the size of all thread-local variables.
    static __tls_size: u8;
}

/// Alignment of the thread-local block; the linker script refuses an image that needs more.
const TLS_ALIGN: usize = 64;

/// Threads that have ended and wait to be freed: detached ones.
static ENDED: IrqLock<Option<Ended>> = IrqLock::new(None);

/// The last detached thread that ended, and through [`Thread::result`] the ones before.
struct Ended(*mut Thread);

// SAFETY: a thread that has ended and is detached belongs to who takes it from the list.
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
    let tls = tls_size();
    let bytes = stack_bytes.max(SMALLEST).checked_add(HEADROOM + tls + size_of::<ThreadControlBlock>() + TLS_ALIGN)?;
    let stack = Stack::allocate(bytes)?;
    let pointer = (stack.room().end - size_of::<ThreadControlBlock>()) & !(TLS_ALIGN - 1);
    // SAFETY: the top of a fresh stack, with room for both by the sum above.
    unsafe { write_tls(pointer) };
    let top = (pointer - tls) & !15;
    let saved = top - size_of::<Saved>();
    // SAFETY: on the fresh stack, aligned to 16.
    unsafe { (saved as *mut Saved).write(Saved::starting_at(first_steps)) };
    let thread = Thread::new(name, priority, Some(stack), pointer, Some(body));
    thread.scheduling.stack_pointer.set(saved);
    let thread = into_raw(thread)?;
    // Before it runs: it may have ended and be gone when `enter` returns.
    made(thread);
    enter(thread);
    Some(())
}

/// Turns the context the machine booted in into a thread, the one that runs when no other can.
pub(crate) fn adopt() {
    /// The idle thread's thread-local block is never used: it runs nothing of std's.
    struct Block(UnsafeCell<ThreadControlBlock>);
    // SAFETY: only the boot context uses it.
    unsafe impl Sync for Block {}
    static BLOCK: Block = Block(UnsafeCell::new(ThreadControlBlock { this: 0, reserved: [0; 7] }));
    let pointer = BLOCK.0.get();
    // SAFETY: called once, at boot.
    unsafe { (*pointer).this = pointer as usize };
    let thread = Thread::new(Name::new(b"idle"), Priority::Worker, None, pointer as usize, None);
    match into_raw(thread) {
        Some(thread) => adopt_boot(thread),
        None => crate::fatal!("no memory for the first thread"),
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
                block((*thread).ended.list(), 0, None, || ());
            }
        }
    }
    // SAFETY: it has ended and does not run any more, for this thread does; nobody else frees it.
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
        // SAFETY: it has ended, another thread runs, and nobody else frees it.
        drop(unsafe { Box::from_raw(thread) });
    }
}

/// Ends the running thread with `result`.
fn exit(result: *mut c_void) -> ! {
    let thread = current();
    thread.values().destroy();
    thread.result.set(result);
    let this = ptr::from_ref(thread).cast_mut();
    x86_64::instructions::interrupts::disable();
    if thread.scheduling.detached.get() {
        let mut ended = ENDED.lock();
        thread.result.set(ended.take().map_or(ptr::null_mut(), |Ended(previous)| previous.cast()));
        *ended = Some(Ended(this));
    }
    thread.ended.wake_all();
    scheduler::end()
}

/// Frees the detached threads that have ended.
pub(crate) fn reap() {
    // Taken as a whole: none of them runs, for this thread does.
    let mut next = ENDED.lock().take().map_or(ptr::null_mut(), |Ended(thread)| thread);
    while !next.is_null() {
        // SAFETY: detached and ended, so it belongs to who took it from the list.
        let thread = unsafe { Box::from_raw(next) };
        next = thread.result.get().cast();
    }
}

/// Where every thread starts, with interrupts off.
extern "C" fn first_steps() -> ! {
    let body = current().body.take();
    x86_64::instructions::interrupts::enable();
    let result = match body {
        Some(Body::Closure(closure)) => {
            closure();
            ptr::null_mut()
        }
        Some(Body::Function(function, argument)) => function(argument),
        None => crate::fatal!("thread {:?} was started twice", super::current_name()),
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

/// Returns how far below the thread pointer the thread-local variables reach.
fn tls_size() -> usize {
    (&raw const __tls_size as usize).next_multiple_of(TLS_ALIGN)
}

/// Writes a thread's initial thread-local variables and what the thread pointer points to.
///
/// # Safety
///
/// `pointer` is aligned to [`TLS_ALIGN`], with room for the control block above and [`tls_size`] below.
unsafe fn write_tls(pointer: usize) {
    let size = tls_size();
    let start = (pointer - size) as *mut u8;
    let initial = &raw const __tdata_start;
    let initialised = &raw const __tdata_end as usize - initial as usize;
    // SAFETY: the caller's promise; the initial values lie in the image.
    unsafe {
        start.copy_from_nonoverlapping(initial, initialised);
        start.add(initialised).write_bytes(0, size - initialised);
        (pointer as *mut ThreadControlBlock).write(ThreadControlBlock { this: pointer, reserved: [0; 7] });
    }
}
