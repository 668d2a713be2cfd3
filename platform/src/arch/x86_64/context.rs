//! Switching from one thread's stack to another's.

use core::arch::{asm, naked_asm};

/// What [`switch`] saves on the stack of a suspended thread and restores from it, lowest address first.
#[repr(C)]
pub(crate) struct Saved {
    /// MXCSR in the lower half, the x87 control word above it: both are callee-saved (System V ABI 3.2.3).
    control: u64,
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    rbx: u64,
    rbp: u64,
    resume: usize,
    /// Padding that aligns the stack as if [`Self::resume`] had been called.
    padding: u64,
}

impl Saved {
    /// Returns the state of a new thread that starts at `entry`, with floating point as the ABI specifies for process
    /// entry.
    pub(crate) fn starting_at(entry: extern "C" fn() -> !) -> Self {
        const MXCSR: u64 = 0x1f80; // all exceptions masked, round to nearest
        const X87: u64 = 0x037f; // the same, extended precision
        Self {
            control: X87 << 32 | MXCSR,
            r15: 0,
            r14: 0,
            r13: 0,
            r12: 0,
            rbx: 0,
            rbp: 0, // ends every backtrace
            resume: entry as usize,
            padding: 0,
        }
    }
}

/// Saves the running thread's registers on its stack and its stack pointer in `save`, and resumes the thread whose
/// stack pointer is `to`. Returns when another thread switches back.
///
/// # Safety
///
/// Interrupts are off; `to` was saved by this function or points to a [`Saved`] prepared on a stack, and is used once.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn switch(save: *mut usize, to: usize) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "mov [rdi], rsp", // the old stack is complete,
        "mov rsp, rsi",   // from here on the new one
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Empties the x87 stack, as the ABI requires at a call. Used for a switch from within an interrupt, where the thread
/// may have been interrupted at any instruction; that thread's state has been saved.
pub(crate) fn reset_x87() {
    // SAFETY: changes nothing but the floating-point state.
    unsafe { asm!("fninit", options(nomem, nostack)) };
}
