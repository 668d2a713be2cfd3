//! Floating-point and vector registers across preemption.

use crate::{Check, Outcome, ensure};
use core::arch::asm;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const CHECKS: &[Check] = &[
    ("floating point across preemption", floats),
    ("SSE registers across preemption", sse),
    ("AVX registers across preemption", avx),
    ("x87 registers and control words across preemption", x87),
    ("an empty x87 stack after every wait", x87_stack),
];

/// How long the threads compete: several slices each.
const LONG: Duration = Duration::from_millis(60);

/// Runs `body` in three threads at once, each with its number.
pub(crate) fn compete(body: fn(u64) -> Outcome) -> Outcome {
    let threads: Vec<_> = (1..=3).map(|number| thread::spawn(move || body(number))).collect();
    threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "panicked")?)
}

fn floats() -> Outcome {
    compete(|number| {
        let compute = || (1..2000).fold(number as f64, |sum, i| (sum + f64::from(i)).sqrt() * 1.5 + 1.0 / f64::from(i));
        let (expected, began) = (compute(), Instant::now());
        while began.elapsed() < LONG {
            ensure!(compute().to_bits() == expected.to_bits(), "the result has changed");
        }
        Ok(())
    })
}

/// Fills all sixteen registers, waits in a loop that touches none, and reads them back.
macro_rules! hold {
    ($load:literal, $register:literal, $width:literal, $number:expr) => {{
        let pattern: Vec<u64> = (0..16 * $width / 8).map(|i| $number << 32 | i).collect();
        let mut found = vec![0_u64; pattern.len()];
        // SAFETY: reads and writes 16 registers' worth of both vectors; every register it changes is named.
        unsafe {
            asm!(
                ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
                concat!($load, " ", $register, "\\n, [{from} + \\n * ", $width, "]"),
                ".endr",
                "2: dec {turns}",
                "jnz 2b",
                ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
                concat!($load, " [{to} + \\n * ", $width, "], ", $register, "\\n"),
                ".endr",
                from = in(reg) pattern.as_ptr(),
                to = in(reg) found.as_mut_ptr(),
                turns = inout(reg) 2_000_000_u64 => _,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            );
        }
        ensure!(found == pattern, "{found:x?} instead of {pattern:x?}");
    }};
}

fn sse() -> Outcome {
    compete(|number| {
        let began = Instant::now();
        while began.elapsed() < LONG {
            hold!("movups", "xmm", 16, number);
        }
        Ok(())
    })
}

fn avx() -> Outcome {
    if !std::arch::is_x86_feature_detected!("avx") {
        println!("        this processor has none");
        return Ok(());
    }
    compete(|number| {
        let began = Instant::now();
        while began.elapsed() < LONG {
            hold!("vmovups", "ymm", 32, number);
        }
        Ok(())
    })
}

fn x87() -> Outcome {
    compete(|number| {
        let began = Instant::now();
        while began.elapsed() < LONG {
            let (mut result, control, mut after) = (0_u64, 0x007f_u16 | (number as u16 & 3) << 10, 0_u16);
            // SAFETY: uses the x87 stack and gives it back empty; the control word is restored.
            unsafe {
                asm!(
                    "fninit",
                    "fldcw [{control}]",
                    "fild qword ptr [{value}]",
                    "2: dec {turns}",
                    "jnz 2b",
                    "fistp qword ptr [{result}]",
                    "fnstcw [{after}]",
                    "fninit",
                    control = in(reg) &control,
                    value = in(reg) &number,
                    result = in(reg) &mut result,
                    after = in(reg) &mut after,
                    turns = inout(reg) 2_000_000_u64 => _,
                    out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                    out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                );
            }
            ensure!(
                result == number && after | 0x40 == control | 0x40,
                "{result} {after:#x} instead of {number} {control:#x}"
            );
        }
        Ok(())
    })
}

/// Two threads keep the x87 stack full while they are preempted; one waits often and fills it after each wait.
fn x87_stack() -> Outcome {
    compete(|number| {
        let began = Instant::now();
        while began.elapsed() < LONG {
            if number == 1 {
                thread::sleep(Duration::from_micros(200));
            }
            let (turns, mut sum) = (if number == 1 { 1 } else { 2_000_000_u64 }, 0_u64);
            // SAFETY: uses the x87 stack, empty at the start as the ABI has it, and gives it back empty.
            unsafe {
                asm!(
                    ".rept 8",
                    "fild qword ptr [{value}]",
                    ".endr",
                    "2: dec {turns}",
                    "jnz 2b",
                    ".rept 7",
                    "faddp",
                    ".endr",
                    "fistp qword ptr [{sum}]",
                    value = in(reg) &number,
                    sum = in(reg) &mut sum,
                    turns = inout(reg) turns => _,
                    out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                    out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                );
            }
            ensure!(sum == 8 * number, "the sum is {sum} instead of {}", 8 * number);
        }
        Ok(())
    })
}
