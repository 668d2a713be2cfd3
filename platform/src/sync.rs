//! Locks that exclude other threads, and ones that exclude interrupts too.
//!
//! On one vCPU a lock is never waited for: whoever holds one cannot be switched away from ([`Lock`]) or even be
//! interrupted ([`IrqLock`]). A lock found taken is therefore a bug of the platform and ends it at once.

use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use x86_64::instructions::interrupts;

/// How many [`Lock`]s are held; above zero the running thread keeps the processor.
static PREEMPTION_OFF: AtomicU32 = AtomicU32::new(0);

/// A value only one thread uses at a time, kept from being switched away from meanwhile.
///
/// For short sections: the network thread waits too. Interrupt handlers must not take it.
#[derive(Debug)]
pub struct Lock<T>(spin::Mutex<T>);

impl<T> Lock<T> {
    /// Returns an unlocked lock over `value`.
    pub const fn new(value: T) -> Self {
        Self(spin::Mutex::new(value))
    }

    /// Takes the lock; preemption is off until the guard is dropped.
    #[track_caller]
    pub fn lock(&self) -> LockGuard<'_, T> {
        let preemption = PreemptionOff::new();
        match self.0.try_lock() {
            Some(guard) => LockGuard { guard, lock: self, _preemption: preemption },
            None => crate::fatal!("a lock is taken twice at {}", core::panic::Location::caller()),
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

/// A value shared with interrupt handlers: interrupts are off while it is locked.
#[derive(Debug)]
pub struct IrqLock<T>(spin::Mutex<T>);

impl<T> IrqLock<T> {
    /// Returns an unlocked lock over `value`.
    pub const fn new(value: T) -> Self {
        Self(spin::Mutex::new(value))
    }

    /// Takes the lock; interrupts are off until the guard is dropped.
    #[track_caller]
    pub fn lock(&self) -> IrqLockGuard<'_, T> {
        let interrupts = InterruptsOff::new();
        match self.0.try_lock() {
            Some(guard) => IrqLockGuard { guard, _interrupts: interrupts },
            None => crate::fatal!("an interrupt lock is taken twice at {}", core::panic::Location::caller()),
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
        // One vCPU, and an interrupt handler leaves the count as it found it: no atomic addition needed.
        PREEMPTION_OFF.store(PREEMPTION_OFF.load(Relaxed) + 1, Relaxed);
        core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
        Self(())
    }

    /// Ends the effect of a value that was forgotten.
    pub(crate) fn end_forgotten() {
        drop(Self(()));
    }
}

impl Drop for PreemptionOff {
    fn drop(&mut self) {
        core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
        let left = PREEMPTION_OFF.load(Relaxed) - 1;
        PREEMPTION_OFF.store(left, Relaxed);
        // An interrupt between these lines switches by itself, for the count is down already.
        if left == 0 {
            crate::thread::reschedule_if_due();
        }
    }
}

/// Returns whether the running thread may be switched away from, interrupts aside.
pub(crate) fn preemptible() -> bool {
    PREEMPTION_OFF.load(Relaxed) == 0
}

/// While it lives, interrupts are off; dropped, they are as they were before.
#[derive(Debug)]
pub(crate) struct InterruptsOff {
    were_on: bool,
}

impl InterruptsOff {
    /// Turns interrupts off until the value is dropped; calls nest.
    pub(crate) fn new() -> Self {
        if cfg!(test) {
            return Self { were_on: false }; // the unit tests run as ordinary processes
        }
        let were_on = interrupts::are_enabled();
        interrupts::disable();
        Self { were_on }
    }
}

impl Drop for InterruptsOff {
    fn drop(&mut self) {
        if self.were_on {
            interrupts::enable();
        }
    }
}
