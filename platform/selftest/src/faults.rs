//! Faults on purpose.

use std::hint::black_box;
use std::thread;

/// Commits the fault of that name; returns only if there is none or it had no effect.
pub(crate) fn commit(name: &str) {
    /// The machine code of `ret`.
    const RETURN: u8 = 0xc3;
    match name {
        "null" => {
            // SAFETY: none, on purpose: the page is not mapped.
            black_box(unsafe { black_box(core::ptr::null::<u8>().wrapping_add(8)).read_volatile() });
        }
        "overflow" => {
            let deep = thread::Builder::new().name("deep".into()).spawn(|| black_box(recurse(0)));
            drop(deep.map(thread::JoinHandle::join));
        }
        // SAFETY: none, on purpose: code is read-only.
        "write-text" => unsafe { (commit as *const () as *mut u8).write_volatile(RETURN) },
        // SAFETY: none, on purpose: constants are read-only.
        "write-rodata" => unsafe { black_box(name.as_ptr().min(CONSTANT.as_ptr())).cast_mut().write_volatile(0) },
        "exec-heap" => execute(black_box(Box::new([RETURN; 16])).as_ptr()),
        "exec-stack" => execute(black_box([RETURN; 16]).as_ptr()),
        "div" => {
            // SAFETY: none, on purpose: the divisor is zero.
            unsafe { core::arch::asm!("div {0:e}", in(reg) 0, inout("eax") 1 => _, inout("edx") 0 => _) };
        }
        "panic" => panic!("on purpose"),
        "abort" => std::process::abort(),
        "oom" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(black_box(vec![1_u8; 1 << 20]));
            }
        }
        _ => {}
    }
}

/// A constant to be written to.
static CONSTANT: &str = "constant";

/// Calls itself deeper than any stack reaches.
fn recurse(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    if depth == black_box(u64::MAX) {
        return 0;
    }
    recurse(depth + 1) + room[depth as usize % 64]
}

fn execute(code: *const u8) {
    // SAFETY: none, on purpose: data is not executable.
    let function: extern "C" fn() = unsafe { core::mem::transmute(black_box(code)) };
    function();
}
