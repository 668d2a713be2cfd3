//! Per-processor state, in one structure.

use crate::arch::Processor;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// The state of one processor: the hardware's part, lock counts, and what the kernel's scheduler needs.
///
/// There is one structure per processor, found by a pointer that the processor holds; today there is only the boot
/// processor. Only its own processor uses it, except for the scheduler part, which is behind a lock. A part also used
/// by interrupts is changed with interrupts off. A thread stays on the processor it was started on, so what it reads
/// here stays its own from one instruction to the next.
#[repr(C)]
pub(crate) struct PerCpu<Kernel = ()> {
    /// The hardware's part: first, so that the processor's pointer to it also points to the whole.
    pub(crate) processor: Processor,
    /// How many guards keep the running thread from being preempted.
    preemption_off: AtomicU32,
    /// Set when the running thread should have yielded but could not at that moment.
    pub(crate) due: AtomicBool,
    /// The kernel's part, last: lower floors see the structure as one that ends here.
    pub(crate) kernel: Kernel,
}

impl<Kernel> PerCpu<Kernel> {
    /// Returns the structure of the boot processor.
    pub(crate) const fn boot(kernel: Kernel) -> Self {
        Self { processor: Processor::boot(), preemption_off: AtomicU32::new(0), due: AtomicBool::new(false), kernel }
    }
}

impl<Kernel: 'static> PerCpu<Kernel> {
    /// Returns the whole structure of the processor that runs this code.
    ///
    /// # Safety
    ///
    /// The structure was created with a kernel part of this type.
    #[inline]
    pub(crate) unsafe fn current_with() -> &'static Self {
        // SAFETY: the hardware's part is always the first field of a structure that is never freed; the caller vouches
        // for the last field.
        unsafe { &*Processor::current_address().cast() }
    }
}

impl PerCpu {
    /// Returns the structure of the processor that runs this code, without the kernel's part.
    #[cfg(not(test))]
    #[inline]
    pub(crate) fn current() -> &'static Self {
        // SAFETY: the layout is the same up to the last field, and the empty type fits whatever that is.
        unsafe { Self::current_with() }
    }

    /// Returns a structure per thread: unit tests run as ordinary processes.
    #[cfg(test)]
    pub(crate) fn current() -> &'static Self {
        std::thread_local! {
            static CURRENT: &'static PerCpu = std::boxed::Box::leak(std::boxed::Box::new(PerCpu::boot(())));
        }
        CURRENT.with(|current| *current)
    }

    /// Returns whether the running thread may be preempted (interrupts permitting).
    #[inline]
    pub(crate) fn is_preemptible(&self) -> bool {
        self.preemption_off.load(Relaxed) == 0
    }

    /// Keeps the running thread from being preempted until [`Self::allow_preemption`]; calls nest.
    #[inline]
    pub(super) fn forbid_preemption(&self) {
        // Only this processor counts here, and an interrupt handler restores the count it found, so no atomic addition
        // is needed.
        self.preemption_off.store(self.preemption_off.load(Relaxed) + 1, Relaxed);
    }

    /// Ends one call of [`Self::forbid_preemption`]; returns whether it was the last one and the thread should yield.
    #[inline]
    pub(super) fn allow_preemption(&self) -> bool {
        let left = self.preemption_off.load(Relaxed) - 1;
        self.preemption_off.store(left, Relaxed);
        // An interrupt between these lines reschedules by itself, since the count is already down.
        left == 0 && self.due.load(Relaxed)
    }
}
