//! Locks that exclude other threads, and locks that exclude interrupts too.
//!
//! Behaviour under contention, that is, when the lock is already taken:
//!
//! | lock | with one processor, today | with several |
//! |---|---|---|
//! | [`Lock`] | its holder is not preempted, so another thread never finds it taken. Taking it twice in one thread is a bug and resets the machine | spins with preemption off and interrupts on; the holder keeps its own processor, so the wait is as long as the section |
//! | [`IrqLock`] | the same; its holder is not even interrupted | spins with interrupts off |
//! | [`Lock::try_lock`] | returns `None` | returns `None` |
//! | the heap's | as [`Lock`] | as [`Lock`] |
//! | `spin::Mutex`, in the `arch` floor and at boot | held with interrupts off: never found taken | spins with interrupts off |
//! | `spin::Once` | written at boot or during discovery, by one thread | spins until the value is written |
//! | [`WaitQueue`](crate::kernel::thread::WaitQueue), [`Event`](crate::kernel::thread::Event), futexes | the thread sleeps; the one that has slept longest is woken first | the lists of sleeping threads, today protected by disabling interrupts, need the scheduler's lock |
//!
//! Locks are not granted in order or by priority: critical sections are short, and nothing in one sleeps or prints.
//! `contended` is the one place that resets the machine; it becomes a spin loop when a second processor is supported.

use super::percpu::PerCpu;
use crate::arch::InterruptsOff;
use core::ops::{Deref, DerefMut};
use core::panic::Location;
use core::sync::atomic::{Ordering::SeqCst, compiler_fence};
use spin::Once;

/// Yields the processor when the running thread releases its last lock and another thread is due.
static RESCHEDULE: Once<fn()> = Once::new();

/// Registers `reschedule`, to be called when a thread that should yield releases its last lock; called once.
pub(crate) fn register(reschedule: fn()) {
    RESCHEDULE.call_once(|| reschedule);
}

/// Resets the machine because a lock was already taken, which on one processor is a bug.
#[cold]
fn contended(what: &str, at: &Location<'_>) -> ! {
    crate::fatal!("{what} was taken twice, the second time at {at}")
}

/// A value used by one thread at a time, which is not preempted meanwhile.
///
/// For short critical sections: the network thread waits too. Interrupt handlers must not take it. Under contention:
/// see the [module](self).
#[derive(Debug)]
pub struct Lock<T>(spin::Mutex<T>);

impl<T> Lock<T> {
    /// Returns an unlocked lock over `value`.
    pub const fn new(value: T) -> Self {
        Self(spin::Mutex::new(value))
    }

    /// Takes the lock; preemption is off until the guard is dropped. Resets the machine if this thread already holds
    /// it.
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

/// Exclusive access to the value of a [`Lock`].
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

/// A value shared with interrupt handlers: interrupts are off while it is locked. Under contention: see the
/// [module](self).
#[derive(Debug)]
pub struct IrqLock<T>(spin::Mutex<T>);

impl<T> IrqLock<T> {
    /// Returns an unlocked lock over `value`.
    pub const fn new(value: T) -> Self {
        Self(spin::Mutex::new(value))
    }

    /// Takes the lock; interrupts are off until the guard is dropped. Resets the machine if this processor already
    /// holds it.
    #[track_caller]
    pub fn lock(&self) -> IrqLockGuard<'_, T> {
        let interrupts = InterruptsOff::new();
        match self.0.try_lock() {
            Some(guard) => IrqLockGuard { guard, _interrupts: interrupts },
            None => contended("an interrupt lock", Location::caller()),
        }
    }
}

/// Exclusive access to the value of an [`IrqLock`].
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

/// A guard that keeps the running thread from being preempted; interrupts are still handled.
#[derive(Debug)]
pub struct PreemptionOff(());

impl PreemptionOff {
    /// Turns preemption off until the guard is dropped; calls nest.
    #[allow(clippy::new_without_default, reason = "creating one has an effect")]
    pub fn new() -> Self {
        PerCpu::current().forbid_preemption();
        compiler_fence(SeqCst);
        Self(())
    }

    /// Undoes the effect of a guard that was forgotten (`mem::forget`).
    pub(crate) fn end_forgotten() {
        drop(Self(()));
    }
}

impl Drop for PreemptionOff {
    fn drop(&mut self) {
        compiler_fence(SeqCst);
        if PerCpu::current().allow_preemption()
            && let Some(reschedule) = RESCHEDULE.get()
        {
            reschedule();
        }
    }
}
