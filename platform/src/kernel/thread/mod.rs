//! Threads: preemptive, by priority, on one processor.
//!
//! `scheduler` decides which one runs, `wait` and `futex` are what
//! threads sleep on, `block` is what is kept of each.

pub(crate) mod block;
pub(crate) mod futex;
pub(crate) mod keys;
mod list;
mod scheduler;
mod start;
mod storm;
mod wait;

pub use block::Priority;
pub(crate) use block::{Body, Name, Thread};
pub(crate) use scheduler::{boot_processor, current, may_block, sleep_until, yield_now};
pub(crate) use start::{create, detach, idle, join};
pub use wait::{Event, WaitQueue};

use crate::arch::{self, BOOT_STACK, Upcalls};
use crate::base::lock;
use alloc::boxed::Box;
use core::fmt;

/// Starts a thread of the platform's own that nobody joins.
///
/// # Panics
///
/// Ends the program if there is no memory for the thread.
pub fn spawn(name: &'static str, priority: Priority, stack_bytes: usize, f: impl FnOnce() + Send + 'static) {
    let body = Body::Closure(Box::new(f));
    if create(Name::new(name.as_bytes()), priority, stack_bytes, body, detach).is_none() {
        crate::fatal!("no memory to start the thread {name}");
    }
}

/// Registers with the floors below what interrupts, faults and locks lead to, and turns the context the machine booted in
/// into the idle thread; called once, at boot, interrupts off.
pub(crate) fn start() {
    arch::register(Upcalls {
        timer_fired: scheduler::timer_fired,
        interrupt_handled: scheduler::reschedule_from_interrupt,
        thread_name: |f| fmt::Debug::fmt(&current_name(), f),
        stack: || scheduler::try_current().map_or(BOOT_STACK.range(), Thread::stack),
        guard: || scheduler::try_current().map_or(BOOT_STACK.guard(), Thread::guard),
    });
    lock::register(scheduler::reschedule_if_due);
    start::adopt();
}

/// Returns the running thread's name, also in a fault.
fn current_name() -> Name {
    scheduler::try_current().map_or(Name::new(b"boot"), Thread::name)
}
