//! Threads: preemptive, by priority, on one processor.
//!
//! [`scheduler`] decides who runs, [`switch`] changes from one stack to another, [`wait`] and [`futex`] are what
//! threads sleep on, [`block`] is what is kept of each.

pub(crate) mod block;
pub(crate) mod futex;
pub(crate) mod keys;
mod list;
mod scheduler;
mod start;
mod storm;
mod switch;
mod wait;

pub(crate) use block::{Name, Thread};
pub(crate) use scheduler::{current, may_block, reschedule_from_interrupt, reschedule_if_due, sleep_until, yield_now};
pub(crate) use scheduler::{idle, timer_fired};
pub(crate) use start::{Body, adopt, create, detach, join};
pub use wait::{Event, WaitQueue};

use crate::boot::BOOT_STACK;
use crate::cpu::gdt::INTERRUPT_STACKS;
use alloc::boxed::Box;
use core::fmt;
use core::ops::Range;

/// Who goes before whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Runs as soon as it has something to do, whatever else runs.
    Network,
    /// Shares the processor with its equals; who waits much goes before who computes much.
    Worker,
}

/// Starts a thread of the platform's own, which nobody waits for.
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

/// Returns the running thread's name, also in a fault.
pub(crate) fn current_name() -> Name {
    scheduler::try_current().map_or(Name::new(b"boot"), Thread::name)
}

/// Returns the running thread's stack, also in a fault.
pub(crate) fn current_stack() -> Range<usize> {
    scheduler::try_current().map_or(BOOT_STACK.room(), Thread::stack)
}

/// Says whose stack's guard page holds `address`, if it is a guard page.
pub(crate) fn guard_owner(address: usize) -> Option<GuardOwner> {
    let in_page = |start: usize| (start..start + crate::memory::PAGE).contains(&address);
    if INTERRUPT_STACKS.iter().any(|stack| in_page(stack.guard())) {
        return Some(GuardOwner::Interrupts);
    }
    let guard = scheduler::try_current().map_or(BOOT_STACK.guard(), Thread::guard);
    in_page(guard).then(|| GuardOwner::Thread(current_name()))
}

/// Whose guard page it is.
pub(crate) enum GuardOwner {
    /// An interrupt stack's.
    Interrupts,
    /// The running thread's.
    Thread(Name),
}

impl fmt::Display for GuardOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupts => f.write_str("the interrupt stack"),
            Self::Thread(name) => write!(f, "thread {name:?}"),
        }
    }
}
