//! Threads that sleep until a socket becomes ready.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::kernel::thread::WaitQueue;

/// What a socket can be ready for, as the bits of `poll(2)`.
pub(crate) mod readiness {
    /// Reading does not block.
    pub(crate) const READ: u32 = 0x1;
    /// Writing does not block.
    pub(crate) const WRITE: u32 = 0x4;
    /// An error is pending.
    pub(crate) const ERROR: u32 = 0x8;
    /// Both directions are closed.
    pub(crate) const HANG_UP: u32 = 0x10;
    /// The peer sends no more.
    pub(crate) const READ_HANG_UP: u32 = 0x2000;
}

/// The threads waiting for one socket. All its fields are used under the stack's lock.
pub(crate) struct Waiters {
    queue: WaitQueue,
    sleeping: AtomicU32,
    wanted: AtomicU32,
}

impl Waiters {
    pub(crate) const fn new() -> Self {
        Self { queue: WaitQueue::new(), sleeping: AtomicU32::new(0), wanted: AtomicU32::new(0) }
    }

    /// Returns what the sleeping threads wait for; zero when none sleeps.
    pub(crate) fn wanted(&self) -> u32 {
        self.wanted.load(Relaxed)
    }

    /// Wakes the sleeping threads; each looks again whether it can go on.
    pub(crate) fn wake(&self) {
        if self.sleeping.load(Relaxed) > 0 {
            self.queue.wake_all();
        }
    }

    /// Sleeps until woken or until `deadline`; returns whether the deadline passed.
    pub(crate) fn sleep<'a, T>(
        &self,
        guard: crate::base::lock::LockGuard<'a, T>,
        wanted: u32,
        deadline: Option<crate::kernel::time::Nanos>,
    ) -> (crate::base::lock::LockGuard<'a, T>, bool) {
        self.sleeping.store(self.sleeping.load(Relaxed) + 1, Relaxed);
        self.wanted.store(self.wanted.load(Relaxed) | wanted, Relaxed);
        let (guard, timed_out) = self.queue.wait(guard, deadline);
        let left = self.sleeping.load(Relaxed) - 1;
        self.sleeping.store(left, Relaxed);
        if left == 0 {
            self.wanted.store(0, Relaxed);
        }
        (guard, timed_out)
    }
}
