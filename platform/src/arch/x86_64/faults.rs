//! Fault reports: what happened, where, and what it probably means; then a reset.

use super::entry::BOOT_STACK;
use super::processor::Processor;
use super::serial::print_now;
use super::{image, power};
use crate::arch::units::PAGE;
use crate::arch::upcalls::{ThreadName, upcalls};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use x86_64::registers::control::Cr2;

/// What the fault entry code saves on the fault's stack, lowest address first.
#[repr(C)]
pub(super) struct FaultFrame {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rbp: u64,
    rdi: u64,
    rsi: u64,
    rdx: u64,
    rcx: u64,
    rbx: u64,
    rax: u64,
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

/// Set by the first fault: a fault while reporting it only resets the machine.
static FAULTED: AtomicBool = AtomicBool::new(false);

/// Prints a report of the fault and resets the machine.
pub(super) fn report(frame: &FaultFrame) -> ! {
    if FAULTED.swap(true, Relaxed) {
        print_now(format_args!("\nzonule: fault {} while reporting a fault\n", frame.vector));
        power::reset();
    }
    let address = Cr2::read_raw();
    print_now(format_args!(
        "\nzonule: {} in thread {} at {:#x}, error code {:#x}",
        name(frame.vector),
        ThreadName,
        frame.rip,
        frame.error
    ));
    match frame.vector {
        14 => print_now(format_args!(", address {address:#x}: {}\n", PageFault { address, error: frame.error })),
        _ => print_now(format_args!("{}\n", meaning(frame.vector))),
    }
    print_now(format_args!(
        "  rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}\n  rsi {:016x} rdi {:016x} rbp {:016x} rsp {:016x}\n",
        frame.rax, frame.rbx, frame.rcx, frame.rdx, frame.rsi, frame.rdi, frame.rbp, frame.rsp
    ));
    print_now(format_args!(
        "  r8  {:016x} r9  {:016x} r10 {:016x} r11 {:016x}\n  r12 {:016x} r13 {:016x} r14 {:016x} r15 {:016x}\n",
        frame.r8, frame.r9, frame.r10, frame.r11, frame.r12, frame.r13, frame.r14, frame.r15
    ));
    print_now(format_args!("  rflags {:x} cs {:x} ss {:x}\n", frame.rflags, frame.cs, frame.ss));
    callers(frame);
    power::reset()
}

/// Prints the return addresses found by following the frame pointers, as far as the code keeps them.
fn callers(frame: &FaultFrame) {
    let stack = current_stack();
    let mut base = frame.rbp as usize;
    print_now(format_args!("  called from"));
    for _ in 0..24 {
        if !base.is_multiple_of(8) || !stack.contains(&base) || !stack.contains(&(base + 15)) {
            break;
        }
        // SAFETY: both words are on the running thread's mapped stack.
        let (next, caller) = unsafe { ((base as *const usize).read(), (base as *const usize).add(1).read()) };
        if !image::text().contains(&caller) {
            break;
        }
        print_now(format_args!(" {caller:#x}"));
        if next <= base {
            break;
        }
        base = next;
    }
    print_now(format_args!("\n"));
}

/// Returns the address range of the running thread's stack.
fn current_stack() -> core::ops::Range<usize> {
    upcalls().map_or(BOOT_STACK.range(), |upcalls| (upcalls.stack)())
}

/// Returns a description of the memory `address` belongs to.
fn place(address: usize) -> &'static str {
    if image::text().contains(&address) {
        "program code"
    } else if image::rodata().contains(&address) {
        "constant data"
    } else if image::data().contains(&address) {
        "global data"
    } else if current_stack().contains(&address) {
        "the thread's stack"
    } else {
        "heap or device memory"
    }
}

/// The details of a page fault.
struct PageFault {
    address: u64,
    error: u64,
}

impl core::fmt::Display for PageFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (present, write, execute) = (self.error & 1 != 0, self.error & 2 != 0, self.error & 16 != 0);
        let address = self.address as usize;
        let in_page = |start: usize| (start..start + PAGE).contains(&address);
        if Processor::current().guards().any(in_page) {
            return f.write_str("stack overflow of the interrupt stack");
        }
        if in_page(upcalls().map_or(BOOT_STACK.guard(), |upcalls| (upcalls.guard)())) {
            return write!(f, "stack overflow of thread {ThreadName}");
        }
        let action = match (write, execute) {
            (_, true) => "execution",
            (true, _) => "write",
            _ => "read",
        };
        if address < PAGE {
            return write!(f, "{action} through a null pointer");
        }
        let place = place(address);
        match (present, write, execute) {
            (true, _, true) => write!(f, "execution of {place}, which is not executable"),
            (true, true, _) => write!(f, "write to {place}, which is read-only"),
            (true, ..) => write!(f, "{action} of {place} is not permitted"),
            (false, ..) => write!(f, "{action} where no memory is mapped"),
        }
    }
}

/// Returns what a fault other than a page fault usually means.
fn meaning(vector: u64) -> &'static str {
    match vector {
        0 => ": division by zero or quotient too large",
        2 => ": raised by the hypervisor or the hardware",
        6 => ": an instruction the processor does not support, or a compiler's trap",
        8 => ": a fault could not be delivered",
        13 => ": a non-canonical address or a forbidden privileged operation",
        17 => ": a misaligned access",
        18 => ": the hardware reports an error",
        _ => "",
    }
}

/// Returns the name of a vector (Intel SDM volume 3, table 7-1).
fn name(vector: u64) -> &'static str {
    const NAMES: [&str; 22] = [
        "divide error",
        "debug exception",
        "non-maskable interrupt",
        "breakpoint",
        "overflow",
        "bound range exceeded",
        "invalid opcode",
        "device not available",
        "double fault",
        "coprocessor segment overrun",
        "invalid TSS",
        "segment not present",
        "stack-segment fault",
        "general protection fault",
        "page fault",
        "reserved fault 15",
        "x87 floating-point error",
        "alignment check",
        "machine check",
        "SIMD floating-point exception",
        "virtualization exception",
        "control protection exception",
    ];
    NAMES.get(vector as usize).copied().unwrap_or("reserved fault")
}
