//! What is kept for each processor, in one structure.

use crate::arch::Processor;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// What is kept for one processor: the hardware's part, what locks count, and what the kernel's scheduler needs.
///
/// There is one for each processor, found by a pointer that the processor holds; today that is the one it boots on. Only
/// its own processor uses it, except for the scheduler, which is behind a lock. A part that interrupts use, too, is changed
/// with interrupts off. A thread stays on the processor it was started on: what it reads here does not change hands
/// between two instructions.
#[repr(C)]
pub(crate) struct PerCpu<Kernel = ()> {
    /// The hardware's: first, so that the processor's pointer to it is one to the whole.
    pub(crate) processor: Processor,
    /// How many guards keep the running thread from losing the processor.
    preemption_off: AtomicU32,
    /// Set when the running thread should give way but could not at that moment.
    pub(crate) due: AtomicBool,
    /// The kernel's, last: the floors below it see the structure as one that ends here.
    pub(crate) kernel: Kernel,
}

impl<Kernel> PerCpu<Kernel> {
    /// Returns the structure of the processor the machine boots on.
    pub(crate) const fn boot(kernel: Kernel) -> Self {
        Self { processor: Processor::boot(), preemption_off: AtomicU32::new(0), due: AtomicBool::new(false), kernel }
    }
}

impl<Kernel: 'static> PerCpu<Kernel> {
    /// Returns the whole structure of the processor that runs this code.
    ///
    /// # Safety
    ///
    /// The structure was made with a kernel's part of this type.
    #[inline]
    pub(crate) unsafe fn current_with() -> &'static Self {
        // SAFETY: the hardware's part is always the first field of a structure that lasts for good; the caller vouches for
        // the last field.
        unsafe { &*Processor::current_address().cast() }
    }
}

impl PerCpu {
    /// Returns the structure of the processor that runs this code, without the kernel's part.
    #[cfg(not(test))]
    #[inline]
    pub(crate) fn current() -> &'static Self {
        // SAFETY: the layout is the same up to the last field, and the empty one fits whatever that is.
        unsafe { Self::current_with() }
    }

    /// Returns a structure of the thread's own: the unit tests run as ordinary processes.
    #[cfg(test)]
    pub(crate) fn current() -> &'static Self {
        std::thread_local! {
            static CURRENT: &'static PerCpu = std::boxed::Box::leak(std::boxed::Box::new(PerCpu::boot(())));
        }
        CURRENT.with(|current| *current)
    }

    /// Returns whether the running thread may lose the processor, interrupts aside.
    #[inline]
    pub(crate) fn is_preemptible(&self) -> bool {
        self.preemption_off.load(Relaxed) == 0
    }

    /// Keeps the running thread on the processor until [`Self::allow_preemption`]; calls nest.
    #[inline]
    pub(super) fn forbid_preemption(&self) {
        // Only this processor counts here, and an interrupt handler leaves the count as it found it: no atomic addition
        // needed.
        self.preemption_off.store(self.preemption_off.load(Relaxed) + 1, Relaxed);
    }

    /// Ends one call of [`Self::forbid_preemption`]; returns whether it was the last and the thread should give way.
    #[inline]
    pub(super) fn allow_preemption(&self) -> bool {
        let left = self.preemption_off.load(Relaxed) - 1;
        self.preemption_off.store(left, Relaxed);
        // An interrupt between these lines switches by itself, for the count is down already.
        left == 0 && self.due.load(Relaxed)
    }
}
