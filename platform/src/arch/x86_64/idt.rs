//! The interrupt descriptor table and the entry code its gates point to.
//!
//! A fault stays on its own stack from the interrupt stack table, reports and resets. A device interrupt uses its stack
//! for a few instructions only: it copies what the processor pushed to the interrupted thread's stack, below the red
//! zone, continues there, saves the floating-point state there too, and calls Rust. So the interrupt stack is free
//! again before anything else can happen, and a thread switch from within an interrupt is an ordinary switch: the
//! interrupted state is on the thread's own stack. If that stack has no room left, the copy itself faults in the guard
//! page and is reported as a stack overflow.

use super::faults::{self, FaultFrame};
use super::processor::{self, InterruptStack};
use super::{fpu, interrupts};
use crate::arch::upcalls::upcalls;
use core::arch::global_asm;
use spin::Once;
use x86_64::VirtAddr;
use x86_64::structures::DescriptorTablePointer;

/// The number of vectors the processor has.
const VECTORS: usize = 256;
/// The distance between the gates' entry points, in octets.
const STUB: usize = 16;

/// A 64-bit interrupt gate (Intel SDM volume 3, figure 7-8).
#[derive(Clone, Copy)]
#[repr(C)]
struct Gate {
    offset_low: u16,
    selector: u16,
    stack: u8,
    kind: u8,
    offset_middle: u16,
    offset_high: u32,
    reserved: u32,
}

impl Gate {
    /// Returns a present, kernel-only gate that turns interrupts off.
    const fn new(entry: usize, stack: InterruptStack) -> Self {
        Self {
            offset_low: entry as u16,
            selector: processor::CODE.0,
            stack: stack as u8 + 1, // zero means: do not switch stacks
            kind: 0x8e,
            offset_middle: (entry >> 16) as u16,
            offset_high: (entry >> 32) as u32,
            reserved: 0,
        }
    }
}

#[repr(C, align(16))]
struct Table([Gate; VECTORS]);

/// One table shared by all processors.
static TABLE: Once<Table> = Once::new();

unsafe extern "C" {
    /// The first of [`VECTORS`] entry points, [`STUB`] octets apart.
    static interrupt_stubs: u8;
}

/// Fills the table and loads it on this processor; called after the segment descriptor tables are loaded.
pub(super) fn load() {
    let stubs = &raw const interrupt_stubs as usize;
    let gate = |vector| {
        let stack = match vector {
            2 => InterruptStack::NonMaskable,
            8 => InterruptStack::DoubleFault,
            14 => InterruptStack::PageFault,
            18 => InterruptStack::MachineCheck,
            0..32 => InterruptStack::Fault,
            _ => InterruptStack::Device,
        };
        Gate::new(stubs + vector * STUB, stack)
    };
    let table = TABLE.call_once(|| Table(core::array::from_fn(gate)));
    let pointer =
        DescriptorTablePointer { limit: (size_of::<Table>() - 1) as u16, base: VirtAddr::from_ptr(&raw const table.0) };
    // SAFETY: a static table of valid gates that nothing changes after this function.
    unsafe { x86_64::instructions::tables::lidt(&pointer) };
}

/// What is on the interrupted thread's stack while a device interrupt is handled, lowest address first.
#[repr(C)]
struct InterruptFrame {
    registers: [u64; 15],
    vector: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

/// Handles a device interrupt; called by the stubs with interrupts off, on the interrupted thread's stack.
extern "C" fn dispatch(frame: &InterruptFrame) {
    interrupts::handle(frame.vector as u8);
    // The thread may be preempted here, at whatever instruction it was interrupted.
    if let Some(upcalls) = upcalls() {
        (upcalls.interrupt_handled)();
    }
}

extern "C" fn fault(frame: &FaultFrame) -> ! {
    faults::report(frame)
}

#[cfg(not(test))]
global_asm!(
    ".pushsection .text.interrupts, \"ax\", @progbits",
    // One entry point per vector. Faults 8, 10-14, 17, 21, 29 and 30 push an error code; the other faults push a zero
    // in its place, so that all fault frames have the same layout.
    ".balign 16",
    ".globl interrupt_stubs",
    "interrupt_stubs:",
    ".set vector, 0",
    ".rept 256",
    ".balign 16",
    ".if vector < 32",
    ".if vector != 8 && vector != 17 && vector != 21 && vector != 29 && vector != 30 && (vector < 10 || vector > 14)",
    ".byte 0x6a, 0", // push 0
    ".endif",
    ".byte 0x68", // push vector: spelled out, because the assembler would take the name for an address
    ".long vector",
    "jmp fault_entry",
    ".else",
    ".byte 0x68",
    ".long vector",
    "jmp interrupt_entry",
    ".endif",
    ".set vector, vector + 1",
    ".endr",
    "",
    "fault_entry:",
    // Completes a FaultFrame: the general registers in the order of its fields.
    "push rax",
    "push rbx",
    "push rcx",
    "push rdx",
    "push rsi",
    "push rdi",
    "push rbp",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "cld",
    "mov rdi, rsp",
    "and rsp, -16", // stack alignment required at a call
    "call {fault}",
    "ud2",
    "",
    "interrupt_entry:",
    // On the interrupt stack: vector, rip, cs, rflags, rsp, ss.
    "push rax",
    "push rcx",
    // Now: rcx +0, rax +8, vector +16, rip +24, cs +32, rflags +40, rsp +48, ss +56.
    "mov rax, [rsp + 48]", // the thread's stack,
    "sub rax, 128",        // below its red zone,
    "and rax, -16",        // aligned
    "mov rcx, [rsp + 56]", // ss
    "mov [rax - 8], rcx",
    "mov rcx, [rsp + 48]", // rsp
    "mov [rax - 16], rcx",
    "mov rcx, [rsp + 40]", // rflags
    "mov [rax - 24], rcx",
    "mov rcx, [rsp + 32]", // cs
    "mov [rax - 32], rcx",
    "mov rcx, [rsp + 24]", // rip
    "mov [rax - 40], rcx",
    "mov rcx, [rsp + 16]", // vector
    "mov [rax - 48], rcx",
    "mov rcx, [rsp + 8]", // rax
    "mov [rax - 56], rcx",
    "mov rcx, [rsp]",
    "lea rsp, [rax - 56]", // leave the interrupt stack for good
    "push rcx",
    "push rdx",
    "push rbx",
    "push rbp",
    "push rsi",
    "push rdi",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "cld",
    "mov rbp, rsp",    // the frame: rbp is callee-saved
    "sub rsp, {area}", // space for the floating-point state, 64-aligned
    "and rsp, -64",
    "cmp byte ptr [rip + {use_xsave}], 0",
    "je 2f",
    // XSAVE leaves the reserved words of its header as they are, and XRSTOR faults if any is not zero.
    "xor eax, eax",
    "mov [rsp + 512], rax",
    "mov [rsp + 520], rax",
    "mov [rsp + 528], rax",
    "mov [rsp + 536], rax",
    "mov [rsp + 544], rax",
    "mov [rsp + 552], rax",
    "mov [rsp + 560], rax",
    "mov [rsp + 568], rax",
    "mov eax, {mask}",
    "xor edx, edx",
    "xsave64 [rsp]",
    "mov rdi, rbp",
    "call {dispatch}",
    "mov eax, {mask}",
    "xor edx, edx",
    "xrstor64 [rsp]",
    "jmp 3f",
    "2: fxsave64 [rsp]",
    "mov rdi, rbp",
    "call {dispatch}",
    "fxrstor64 [rsp]",
    "3: mov rsp, rbp",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rdi",
    "pop rsi",
    "pop rbp",
    "pop rbx",
    "pop rdx",
    "pop rcx",
    "pop rax",
    "add rsp, 8", // the vector
    "iretq",      // return to the interrupted code and its stack
    ".popsection",
    fault = sym fault,
    dispatch = sym dispatch,
    use_xsave = sym fpu::USE_XSAVE,
    mask = const fpu::MASK,
    area = const fpu::AREA,
);
