//! What the hardware keeps for each processor: segments, interrupt stacks, and a pointer to find them by.
//!
//! GS points to the structure as long as the processor runs; nothing changes it, for there is no user mode.
//!
//! The prebuilt std uses the red zone below the stack pointer, so nothing may push onto a running thread's stack: every
//! vector has a stack of the interrupt stack table.

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
    /// Device interrupts, only until they have moved to the stack of the thread they interrupt.
    Device = 0,
    /// All faults but those below.
    Fault = 1,
    /// Page faults: a stack overflow is recognised by the page it hit.
    PageFault = 2,
    /// Double faults.
    DoubleFault = 3,
    /// Non-maskable interrupts.
    NonMaskable = 4,
    /// Machine checks.
    MachineCheck = 5,
}

/// How many of the table's entries are used.
const STACKS: usize = 6;

/// Room for the fault report's formatting.
type Stack = Guarded<{ 4 * 4096 }>;

/// The boot processor's interrupt stacks.
static BOOT_STACKS: [Stack; STACKS] = [const { Stack::new() }; STACKS];

/// The selector of the code segment every interrupt gate names.
pub(super) const CODE: SegmentSelector = SegmentSelector(8);

/// The hardware's part of what is kept for each processor.
///
/// It is the first field of [`PerCpu`](crate::base::percpu::PerCpu), so a pointer to the one is a pointer to the other.
#[repr(C)]
pub(crate) struct Processor {
    /// The structure's own address: what is read through GS. Null until the processor has entered.
    this: AtomicPtr<Processor>,
    gdt: UnsafeCell<GlobalDescriptorTable>,
    tss: UnsafeCell<TaskStateSegment>,
    stacks: &'static [Stack; STACKS],
    /// The number of its local interrupt controller, to which interrupts are addressed.
    pub(super) apic_id: AtomicU8,
    /// The version of the clock's parameters by which its timer was set.
    pub(super) timer_version: AtomicU32,
}

// SAFETY: the tables are written once, by `enter`, before the processor uses them; the rest is atomic.
unsafe impl Sync for Processor {}

impl Processor {
    /// Returns the structure of the processor the machine boots on.
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

    /// Returns the address of the structure of the processor that runs this code, and of what it is the first field of.
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
        // SAFETY: it lasts for good.
        unsafe { &*Self::current_address() }
    }

    /// Returns the addresses of the pages below its interrupt stacks, which must not be mapped.
    pub(crate) fn guards(&self) -> impl Iterator<Item = usize> {
        self.stacks.iter().map(Guarded::guard)
    }

    /// Has GS point here and loads the descriptor tables.
    ///
    /// # Safety
    ///
    /// Called once, by the processor this is for, before anything asks for the current one.
    pub(super) unsafe fn enter(&'static self) {
        self.this.store(core::ptr::from_ref(self).cast_mut(), core::sync::atomic::Ordering::Relaxed);
        x86_64::registers::model_specific::GsBase::write(VirtAddr::from_ptr(self));
        // SAFETY: the caller's promise: nothing else refers to the tables, and nothing changes them after this function.
        unsafe {
            let tss = &mut *self.tss.get();
            let mut table = tss.interrupt_stack_table; // the segment is packed: its fields are copied, not referred to
            for (entry, stack) in table.iter_mut().zip(self.stacks) {
                *entry = VirtAddr::new(stack.top() as u64);
            }
            tss.interrupt_stack_table = table;
            let gdt = &mut *self.gdt.get();
            let code = gdt.append(Descriptor::kernel_code_segment());
            assert!(code == CODE, "the code segment comes first");
            let task = gdt.append(Descriptor::tss_segment_unchecked(self.tss.get()));
            gdt.load_unsafe();
            CS::set_reg(code);
            segmentation::SS::set_reg(SegmentSelector::NULL);
            tables::load_tss(task);
        }
    }
}
