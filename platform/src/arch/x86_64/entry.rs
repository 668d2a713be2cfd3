//! Entry point: from the loader's 32-bit handover to Rust in 64-bit mode.
//!
//! The loader finds [`pvh_start`](https://xenbits.xen.org/docs/unstable/misc/pvh.html) by the ELF note and enters it in
//! protected mode with paging off and `ebx` holding the address of the start info, which is passed to `platform_start`.
//! The page tables built here map the first 4 GiB one to one with every right; the memory floor replaces them before
//! anything else runs.

use super::stacks::Guarded;
#[cfg(not(test))]
use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The stack the machine boots on; later the idle thread's stack.
pub(crate) static BOOT_STACK: Guarded<{ 8 * 4096 }> = Guarded::new();

/// The time-stamp counter at the first instruction: time zero of the monotonic clock. Written by the entry code.
static ENTRY_TSC: AtomicU64 = AtomicU64::new(0);

/// Returns the time-stamp counter's value at the first instruction.
#[inline]
pub(super) fn tsc_at_entry() -> u64 {
    ENTRY_TSC.load(Relaxed)
}

#[cfg(not(test))]
global_asm!(
    // The note: owner "Xen", type 18 (XEN_ELFNOTE_PHYS32_ENTRY), the 32-bit entry's address.
    ".pushsection .note.Xen, \"a\", @note",
    ".balign 4",
    ".long 4, 4, 18",
    ".asciz \"Xen\"",
    ".long pvh_start",
    ".popsection",
    "",
    ".pushsection .text.boot, \"ax\", @progbits",
    ".code32",
    ".globl pvh_start",
    "pvh_start:",
    "cli",
    "cld",
    "rdtsc", // the clock starts here
    "mov [{tsc}], eax",
    "mov [{tsc} + 4], edx",
    "mov esp, offset {stack} + {stack_size}", // needed only by the far return
    // Four page directories: entry i maps 2 MiB at i * 2 MiB, present, writable, large.
    "xor ecx, ecx",
    "2: mov eax, ecx",
    "shl eax, 21",
    "or eax, 0x83",
    "mov [boot_directories + ecx * 8], eax",
    "inc ecx",
    "cmp ecx, 2048",
    "jne 2b",
    // One pointer table pointing to the four directories, one root pointing to it.
    "mov eax, offset boot_directories + 3",
    "xor ecx, ecx",
    "3: mov [boot_pointers + ecx * 8], eax",
    "add eax, 4096",
    "inc ecx",
    "cmp ecx, 4",
    "jne 3b",
    "mov eax, offset boot_pointers + 3",
    "mov [boot_root], eax",
    "mov eax, offset boot_root",
    "mov cr3, eax",
    // CR4: PAE for long mode; OSFXSR and OSXMMEXCPT because SSE is part of Rust's ABI.
    "mov eax, cr4",
    "or eax, 0x620",
    "mov cr4, eax",
    // EFER: long mode and no-execute.
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, 0x900",
    "wrmsr",
    // CR0: emulation and task-switched off; monitor-coprocessor, write-protect and paging on.
    "mov eax, cr0",
    "and eax, 0xfffffff3",
    "or eax, 0x80010003",
    "mov cr0, eax",
    "lgdt [boot_gdt_pointer]",
    "push 8", // far return to the 64-bit code segment
    "mov eax, offset boot_64",
    "push eax",
    "retf",
    ".code64",
    "boot_64: xor eax, eax", // data segments are ignored in 64-bit mode
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "mov fs, eax",
    "mov gs, eax",
    "lea rsp, [rip + {stack} + {stack_size}]",
    "mov edi, ebx", // the start info: first argument
    "xor ebp, ebp", // ends every backtrace
    "call platform_start",
    "ud2",
    ".popsection",
    "",
    ".pushsection .rodata.boot, \"a\", @progbits",
    ".balign 8",
    "boot_gdt: .quad 0",
    ".quad 0x00af9b000000ffff", // 64-bit code
    "boot_gdt_pointer: .word 15",
    ".long boot_gdt",
    ".popsection",
    "",
    ".pushsection .bss.boot, \"aw\", @nobits",
    ".balign 4096",
    "boot_root: .skip 4096",
    "boot_pointers: .skip 4096",
    "boot_directories: .skip 4 * 4096",
    ".popsection",
    tsc = sym ENTRY_TSC,
    stack = sym BOOT_STACK,
    stack_size = const size_of_val(&BOOT_STACK),
);
