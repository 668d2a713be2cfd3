//! Locks that exclude other threads, and ones that exclude interrupts too.
//!
//! What each does under contention, that is, when it is found taken:
//!
//! | lock | with one processor, today | with several |
//! |---|---|---|
//! | [`Lock`] | its holder keeps the processor, so another thread never finds it taken. The same thread taking it again is a bug and ends the machine | spins with preemption off and interrupts on; the holder keeps its own processor, so the wait is as long as the section |
//! | [`IrqLock`] | the same: its holder is not even interrupted | spins with interrupts off |
//! | [`Lock::try_lock`] | returns `None` | returns `None` |
//! | the heap's | as [`Lock`] | as [`Lock`] |
//! | `spin::Mutex`, in the processor's floor and at boot | held with interrupts off: never found taken | spins with interrupts off |
//! | `spin::Once` | written at boot or during discovery, by one thread | spins until the value is written |
//! | [`WaitQueue`](crate::kernel::thread::WaitQueue), [`Event`](crate::kernel::thread::Event), futexes | the thread sleeps; the one that has slept longest is woken first | the lists of sleepers, which today are guarded by interrupts being off, need the scheduler's lock |
//!
//! No lock is handed on in order or by priority: sections are short, and nothing in one sleeps or prints. `contended` is the
//! one place that ends the machine; it becomes a loop when a second processor starts.

use super::percpu::PerCpu;
use crate::arch::InterruptsOff;
use core::ops::{Deref, DerefMut};
use core::panic::Location;
use core::sync::atomic::{Ordering::SeqCst, compiler_fence};
use spin::Once;

/// How the running thread gives way when it has released its last lock and should.
static GIVE_WAY: Once<fn()> = Once::new();

/// Has `reschedule` called when a thread that should give way has released its last lock; called once.
pub(crate) fn register(reschedule: fn()) {
    GIVE_WAY.call_once(|| reschedule);
}

/// Ends the machine because of a lock that was found taken, which on one processor is a bug.
#[cold]
fn contended(what: &str, at: &Location<'_>) -> ! {
    crate::fatal!("{what} is taken twice at {at}")
}

/// A value only one thread uses at a time, kept from being switched away from meanwhile.
///
/// For short sections: the network thread waits too. Interrupt handlers must not take it. Under contention: see the
/// [module](self).
#[derive(Debug)]
pub struct Lock<T>(spin::Mutex<T>);

impl<T> Lock<T> {
    /// Returns an unlocked lock over `value`.
    pub const fn new(value: T) -> Self {
        Self(spin::Mutex::new(value))
    }

    /// Takes the lock; preemption is off until the guard is dropped. Ends the machine if this thread has it already.
    #[track_caller]
    pub fn lock(&self) -> LockGuard<'_, T> {
        let preemption = PreemptionOff::new();
        match self.0.try_lock() {
            Some(guard) => LockGuard { guard, lock: self, _preemption: preemption },
            None => contended("a lock", Location::caller()),
        }
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<LockGuard<'_, T>> {
        let preemption = PreemptionOff::new();
        Some(LockGuard { guard: self.0.try_lock()?, lock: self, _preemption: preemption })
    }
}

/// The right to the value of a [`Lock`].
#[derive(Debug)]
pub struct LockGuard<'a, T> {
    // Dropped in this order: the lock is free before a waiting thread may run.
    guard: spin::MutexGuard<'a, T>,
    lock: &'a Lock<T>,
    _preemption: PreemptionOff,
}

impl<'a, T> LockGuard<'a, T> {
    /// Returns the lock the guard belongs to.
    pub(crate) fn lock(&self) -> &'a Lock<T> {
        self.lock
    }
}

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// A value shared with interrupt handlers: interrupts are off while it is locked. Under contention: see the [module](self).
#[derive(Debug)]
pub struct IrqLock<T>(spin::Mutex<T>);

impl<T> IrqLock<T> {
    /// Returns an unlocked lock over `value`.
    pub const fn new(value: T) -> Self {
        Self(spin::Mutex::new(value))
    }

    /// Takes the lock; interrupts are off until the guard is dropped. Ends the machine if this processor has it already.
    #[track_caller]
    pub fn lock(&self) -> IrqLockGuard<'_, T> {
        let interrupts = InterruptsOff::new();
        match self.0.try_lock() {
            Some(guard) => IrqLockGuard { guard, _interrupts: interrupts },
            None => contended("an interrupt lock", Location::caller()),
        }
    }
}

/// The right to the value of an [`IrqLock`].
#[derive(Debug)]
pub struct IrqLockGuard<'a, T> {
    // Dropped in this order: the lock is free before a handler may run.
    guard: spin::MutexGuard<'a, T>,
    _interrupts: InterruptsOff,
}

impl<T> Deref for IrqLockGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for IrqLockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// While it lives, the running thread keeps the processor; interrupts are still handled.
#[derive(Debug)]
pub struct PreemptionOff(());

impl PreemptionOff {
    /// Turns preemption off until the value is dropped; calls nest.
    #[allow(clippy::new_without_default, reason = "creating one has an effect")]
    pub fn new() -> Self {
        PerCpu::current().forbid_preemption();
        compiler_fence(SeqCst);
        Self(())
    }

    /// Ends the effect of a value that was forgotten.
    pub(crate) fn end_forgotten() {
        drop(Self(()));
    }
}

impl Drop for PreemptionOff {
    fn drop(&mut self) {
        compiler_fence(SeqCst);
        if PerCpu::current().allow_preemption()
            && let Some(reschedule) = GIVE_WAY.get()
        {
            reschedule();
        }
    }
}
