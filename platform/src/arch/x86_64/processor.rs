//! Per-processor hardware structures: segments, interrupt stacks, and the GS pointer to find them.
//!
//! GS points to the structure for as long as the processor runs; it never changes, since there is no user mode.
//!
//! The prebuilt std uses the red zone below the stack pointer, so nothing may be pushed onto a running thread's stack:
//! every vector has a stack from the interrupt stack table.

use super::stacks::Guarded;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32};
use x86_64::VirtAddr;
use x86_64::instructions::{segmentation, tables};
use x86_64::registers::segmentation::{CS, Segment};
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

/// An entry of the interrupt stack table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum InterruptStack {
    /// Device interrupts, only until their handler has moved to the interrupted thread's stack.
    Device = 0,
    /// All faults except those below.
    Fault = 1,
    /// Page faults: a stack overflow is recognised by the faulting address.
    PageFault = 2,
    /// Double faults.
    DoubleFault = 3,
    /// Non-maskable interrupts.
    NonMaskable = 4,
    /// Machine checks.
    MachineCheck = 5,
}

/// The number of table entries used.
const STACKS: usize = 6;

/// Large enough to format the fault report.
type Stack = Guarded<{ 4 * 4096 }>;

/// The boot processor's interrupt stacks.
static BOOT_STACKS: [Stack; STACKS] = [const { Stack::new() }; STACKS];

/// The code segment selector used by every interrupt gate.
pub(super) const CODE: SegmentSelector = SegmentSelector(8);

/// The hardware part of the per-processor structure.
///
/// It is the first field of [`PerCpu`](crate::base::percpu::PerCpu), so a pointer to one is a pointer to the other.
#[repr(C)]
pub(crate) struct Processor {
    /// The structure's own address, read through GS. Null until the processor has entered.
    this: AtomicPtr<Processor>,
    gdt: UnsafeCell<GlobalDescriptorTable>,
    tss: UnsafeCell<TaskStateSegment>,
    stacks: &'static [Stack; STACKS],
    /// This processor's local interrupt controller ID, to which interrupts are addressed.
    pub(super) apic_id: AtomicU8,
    /// The version of the clock parameters its timer was last set with.
    pub(super) timer_version: AtomicU32,
}

// SAFETY: the tables are written once, by `enter`, before the processor uses them; the rest is atomic.
unsafe impl Sync for Processor {}

impl Processor {
    /// Returns the structure of the boot processor.
    pub(crate) const fn boot() -> Self {
        Self {
            this: AtomicPtr::new(core::ptr::null_mut()),
            gdt: UnsafeCell::new(GlobalDescriptorTable::new()),
            tss: UnsafeCell::new(TaskStateSegment::new()),
            stacks: &BOOT_STACKS,
            apic_id: AtomicU8::new(0),
            timer_version: AtomicU32::new(0),
        }
    }

    /// Returns the address of this processor's structure, which is also the address of the structure it begins.
    #[inline]
    pub(crate) fn current_address() -> *const Self {
        let this;
        // SAFETY: GS points to the structure, which begins with its own address.
        unsafe { core::arch::asm!("mov {}, gs:[0]", out(reg) this, options(pure, readonly, nostack, preserves_flags)) };
        this
    }

    /// Returns the structure of the processor that runs this code.
    #[inline]
    pub(super) fn current() -> &'static Self {
        // SAFETY: it is never freed.
        unsafe { &*Self::current_address() }
    }

    /// Returns the guard pages of the interrupt stacks, which must not be mapped.
    pub(crate) fn guards(&self) -> impl Iterator<Item = usize> {
        self.stacks.iter().map(Guarded::guard)
    }

    /// Points GS at this structure and loads the descriptor tables.
    ///
    /// # Safety
    ///
    /// Called once, on the processor this structure belongs to, before anything asks for the current processor.
    pub(super) unsafe fn enter(&'static self) {
        self.this.store(core::ptr::from_ref(self).cast_mut(), core::sync::atomic::Ordering::Relaxed);
        x86_64::registers::model_specific::GsBase::write(VirtAddr::from_ptr(self));
        // SAFETY: the caller's guarantee: nothing else refers to the tables, and nothing changes them after this
        // function.
        unsafe {
            let tss = &mut *self.tss.get();
            let mut table = tss.interrupt_stack_table; // the segment is packed: its fields are copied, not borrowed
            for (entry, stack) in table.iter_mut().zip(self.stacks) {
                *entry = VirtAddr::new(stack.top() as u64);
            }
            tss.interrupt_stack_table = table;
            let gdt = &mut *self.gdt.get();
            let code = gdt.append(Descriptor::kernel_code_segment());
            assert!(code == CODE, "the code segment must be the first");
            let task = gdt.append(Descriptor::tss_segment_unchecked(self.tss.get()));
            gdt.load_unsafe();
            CS::set_reg(code);
            segmentation::SS::set_reg(SegmentSelector::NULL);
            tables::load_tss(task);
        }
    }
}
