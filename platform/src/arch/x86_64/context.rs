//! Changing from one thread's stack to another's.

use core::arch::{asm, naked_asm};

/// What [`switch`] leaves on the stack of a thread that does not run, and expects there, lowest address first.
#[repr(C)]
pub(crate) struct Saved {
    /// MXCSR in the lower half, the x87 control word above it: both belong to the callee (System V ABI 3.2.3).
    control: u64,
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    rbx: u64,
    rbp: u64,
    resume: usize,
    /// Keeps the stack aligned as if [`Self::resume`] had been called.
    padding: u64,
}

impl Saved {
    /// Returns what makes a new thread start at `entry`, floating point as the ABI has it at process entry.
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

/// Saves the running thread on its stack and its stack pointer to `save`, and goes on as the thread whose stack
/// pointer is `to`. Returns when another thread switches back.
///
/// # Safety
///
/// Interrupts are off; `to` was saved by this function or points to a [`Saved`] prepared on a stack, and is
/// used once.
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

/// Empties the x87 stack, as every function expects it at a call: for a switch from within an interrupt, whose thread may
/// have been in the middle of anything. That thread's state is saved.
pub(crate) fn settle() {
    // SAFETY: changes nothing but the floating-point state.
    unsafe { asm!("fninit", options(nomem, nostack)) };
}
