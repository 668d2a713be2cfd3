//! The segments long mode still wants, and the stacks interrupts switch to.
//!
//! The prebuilt std uses the red zone below the stack pointer, so nothing may push onto a running thread's
//! stack: every vector has a stack of the interrupt stack table.

use crate::memory::stacks::Guarded;
use crate::sync::IrqLock;
use x86_64::VirtAddr;
use x86_64::instructions::{segmentation, tables};
use x86_64::registers::segmentation::{CS, Segment};
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

/// An entry of the interrupt stack table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum InterruptStack {
    /// Device interrupts, only until they have moved to the stack of the thread they interrupt.
    Device = 0,
    /// All faults but those below.
    Fault = 1,
    /// Page faults: a stack overflow is told from what page it hit.
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
pub(crate) type Stack = Guarded<{ 4 * 4096 }>;

/// The stacks themselves; [`crate::memory::paging`] unmaps the page below each.
pub(crate) static INTERRUPT_STACKS: [Stack; STACKS] = [const { Stack::new() }; STACKS];

static TSS: IrqLock<TaskStateSegment> = IrqLock::new(TaskStateSegment::new());
static GDT: IrqLock<GlobalDescriptorTable> = IrqLock::new(GlobalDescriptorTable::new());

/// The selector of the code segment every interrupt gate names.
pub(crate) const CODE: SegmentSelector = SegmentSelector(8);

/// Loads the descriptor tables; called once.
pub(crate) fn load() {
    let mut tss = TSS.lock();
    let mut table = tss.interrupt_stack_table; // the segment is packed: its fields are copied, not referred to
    for (entry, stack) in table.iter_mut().zip(&INTERRUPT_STACKS) {
        *entry = VirtAddr::new(stack.top() as u64);
    }
    tss.interrupt_stack_table = table;
    let mut gdt = GDT.lock();
    let code = gdt.append(Descriptor::kernel_code_segment());
    assert!(code == CODE, "the code segment comes first");
    // SAFETY: the state segment and the table are statics that nothing changes after this function.
    unsafe {
        let task = gdt.append(Descriptor::tss_segment_unchecked(&raw const *tss));
        gdt.load_unsafe();
        CS::set_reg(code);
        segmentation::SS::set_reg(SegmentSelector::NULL);
        tables::load_tss(task);
    }
}
