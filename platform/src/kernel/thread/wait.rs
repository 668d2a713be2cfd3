//! What threads sleep on: events, which interrupts signal, and queues.

use super::block::{List, WAITING};
use super::scheduler::{block, reschedule_if_due, wake};
use crate::arch::InterruptsOff;
use crate::base::lock::LockGuard;
use crate::kernel::time::{self, Nanos};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A queue of sleeping threads.
///
/// Guarded by a [`Lock`](crate::base::lock::Lock) of the user's, whose release and the falling asleep are one step: a
/// wake-up by a thread that holds the lock is never lost.
#[derive(Debug)]
pub struct WaitQueue(List<WAITING>);

// SAFETY: the list is used with interrupts off only, by the processor of the threads in it.
unsafe impl Send for WaitQueue {}
// SAFETY: as above.
unsafe impl Sync for WaitQueue {}

impl WaitQueue {
    /// Returns a queue without sleepers.
    #[allow(clippy::new_without_default, reason = "one way to make one")]
    pub const fn new() -> Self {
        Self(List::new())
    }

    /// Releases the lock, sleeps until woken or until `deadline`, and takes the lock again.
    ///
    /// The second value says whether the deadline ended the sleep. A wake-up may be for something that is gone
    /// by then: look again.
    pub fn wait<'a, T>(&self, guard: LockGuard<'a, T>, deadline: Option<Nanos>) -> (LockGuard<'a, T>, bool) {
        let lock = guard.lock();
        let woken = {
            let _interrupts = InterruptsOff::new();
            block(&self.0, 0, deadline, || drop(guard))
        };
        (lock.lock(), !woken)
    }

    /// Wakes the thread that has slept longest, if there is one.
    pub fn wake_one(&self) {
        let interrupts = InterruptsOff::new();
        self.wake_first();
        drop(interrupts);
        reschedule_if_due();
    }

    /// Wakes all sleeping threads.
    pub fn wake_all(&self) {
        let interrupts = InterruptsOff::new();
        while self.wake_first() {}
        drop(interrupts);
        reschedule_if_due();
    }

    fn wake_first(&self) -> bool {
        match self.0.first() {
            // SAFETY: a thread in a queue is asleep; interrupts are off.
            Some(thread) => unsafe { wake(thread) },
            None => return false,
        }
        true
    }

    /// The queue itself, for the other rooms of the scheduler.
    pub(super) fn list(&self) -> &List<WAITING> {
        &self.0
    }
}

/// Something that happens, signalled by interrupt handlers or threads, waited for by threads.
///
/// A signal that no thread waits for is kept until one does; several count as one.
#[derive(Debug)]
pub struct Event {
    signalled: AtomicBool,
    sleepers: WaitQueue,
}

impl Event {
    /// Returns an event that has not happened.
    #[allow(clippy::new_without_default, reason = "one way to make one")]
    pub const fn new() -> Self {
        Self { signalled: AtomicBool::new(false), sleepers: WaitQueue::new() }
    }

    /// Says that it has happened.
    pub fn signal(&self) {
        self.signalled.store(true, Relaxed);
        self.sleepers.wake_one();
    }

    /// Sleeps until it has happened, which is used up by that, or until `deadline`: then the answer is false.
    pub fn wait(&self, deadline: Option<Nanos>) -> bool {
        let _interrupts = InterruptsOff::new();
        loop {
            if self.signalled.swap(false, Relaxed) {
                return true;
            }
            if deadline.is_some_and(|deadline| deadline <= time::monotonic()) {
                return false;
            }
            if !block(self.sleepers.list(), 0, deadline, || ()) {
                // Signalled after the deadline but before this thread ran: it has happened all the same.
                return self.signalled.swap(false, Relaxed);
            }
        }
    }
}
