//! From the first instruction to std's `main`.

mod entry;
mod start_info;

pub(crate) use entry::tsc_at_entry;

use crate::cpu::features::Features;
use crate::cpu::{gdt, idt, interrupts};
use crate::memory::stacks::Guarded;
use crate::thread::{self, Priority};
use crate::{acpi, button, console, cpu, entropy, memory, power, time};
use core::ffi::{c_char, c_int};
use spin::Mutex;

/// The stack the machine boots on; later the idle thread's.
pub(crate) static BOOT_STACK: Guarded<{ 8 * 4096 }> = Guarded::new();

/// The longest command line kept; QEMU passes 4 KiB, Firecracker 2 KiB.
const COMMAND_LINE: usize = 16 * 1024;
/// The stack of std's `main`.
const MAIN_STACK: usize = 512 * 1024;

static COMMAND: Mutex<([u8; COMMAND_LINE], usize)> = Mutex::new(([0; COMMAND_LINE], 0));

/// Returns the command line the machine was started with, without what is not UTF-8 and what comes after it.
pub fn command_line() -> &'static str {
    let line = COMMAND.lock();
    // SAFETY: written once, at boot, before anybody could ask.
    let octets: &'static [u8] = unsafe { core::slice::from_raw_parts(line.0.as_ptr(), line.1) };
    core::str::from_utf8(octets)
        .unwrap_or_else(|error| core::str::from_utf8(&octets[..error.valid_up_to()]).unwrap_or_default())
}

/// Called by the entry code on the boot stack, interrupts off, with the loader's start info.
extern "C" fn start(info: u32) -> ! {
    console::start();
    gdt::load();
    idt::load();
    let features = Features::detect();
    cpu::fpu::start(&features);
    if !features.no_execute {
        crate::fatal!("the processor has no no-execute pages: start QEMU with -cpu max, qemu64 or host");
    }
    // SAFETY: what the loader passed, with the boot tables in force.
    let handover = match unsafe { start_info::read(info) } {
        Ok(handover) => handover,
        Err(why) => crate::fatal!("{why}"),
    };
    keep_command_line(handover.command_line);
    // SAFETY: the boot tables are in force; all that is kept of the loader's memory has been copied.
    if let Err(why) = unsafe { memory::start(handover.map, &features) } {
        crate::fatal!("{why}");
    }
    acpi::start(handover.rsdp);
    power::start();
    button::start();
    interrupts::start(&features);
    if let Err(why) = time::start(&features) {
        crate::fatal!("{why}");
    }
    entropy::start();
    thread::adopt();
    thread::spawn("main", Priority::Worker, MAIN_STACK, main_thread);
    x86_64::instructions::interrupts::enable();
    thread::idle()
}

fn keep_command_line(line: &[u8]) {
    let mut kept = COMMAND.lock();
    let length = line.len().min(COMMAND_LINE);
    kept.0[..length].copy_from_slice(&line[..length]);
    kept.1 = length;
    if length < line.len() {
        crate::kprintln!("zonule: the command line is cut after {COMMAND_LINE} octets");
    }
}

/// The main thread: devices, then the program.
fn main_thread() {
    crate::fd::start();
    crate::net::discover();
    if !entropy::ready() {
        crate::kprintln!(
            "zonule: no source of randomness: the processor has no RDRAND and there is no virtio-rng device. Start the \
             machine with a processor that has it (QEMU: -cpu max or host) or with the device (QEMU: -device \
             virtio-rng-pci or virtio-rng-device). Not starting without."
        );
        power::off();
    }
    #[cfg(not(test))]
    run_program();
}

/// Runs the constructors and `main` as a C start-up file would, and ends the machine with what it returns.
#[cfg(not(test))]
fn run_program() -> ! {
    use alloc::vec::Vec;

    type Constructor = extern "C" fn(c_int, *const *const c_char, *const *const c_char);
    unsafe extern "C" {
        fn main(argc: c_int, argv: *const *const c_char) -> c_int;
        static __init_array_start: Constructor;
        static __init_array_end: Constructor;
    }
    // The strings last for ever: std keeps pointers to them.
    let mut arguments: Vec<*const c_char> = Vec::new();
    for word in [b"zonule".to_vec()].into_iter().chain(words(command_line())) {
        // A zero cannot occur: the line ended at the first.
        let mut word = word;
        word.push(0);
        arguments.push(word.leak().as_ptr().cast());
    }
    let count = arguments.len() as c_int;
    arguments.push(core::ptr::null());
    let arguments = arguments.leak().as_ptr();
    let mut constructor = &raw const __init_array_start;
    // SAFETY: the linker script puts constructors, and nothing else, between the two symbols; `main` is the
    // function rustc makes of the program's.
    let status = unsafe {
        while constructor < &raw const __init_array_end {
            (*constructor)(count, arguments, crate::abi::environment());
            constructor = constructor.add(1);
        }
        main(count, arguments)
    };
    exit(status)
}

/// Ends the program: the machine goes off.
pub(crate) fn exit(status: i32) -> ! {
    if status != 0 {
        crate::kprintln!("zonule: the program ended with status {status}");
    }
    power::off()
}

/// Splits a command line at white space; double quotes keep words together and go away.
fn words(line: &str) -> impl Iterator<Item = alloc::vec::Vec<u8>> {
    let mut octets = line.bytes().peekable();
    core::iter::from_fn(move || {
        while octets.next_if(u8::is_ascii_whitespace).is_some() {}
        octets.peek()?;
        let (mut word, mut quoted) = (alloc::vec::Vec::new(), false);
        while let Some(octet) = octets.next_if(|octet| quoted || !octet.is_ascii_whitespace()) {
            match octet {
                b'"' => quoted = !quoted,
                _ => word.push(octet),
            }
        }
        Some(word)
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    fn split(line: &str) -> Vec<String> {
        words(line).map(|word| String::from_utf8(word).unwrap()).collect()
    }

    #[test]
    fn splits_at_white_space_and_respects_quotes() {
        assert_eq!(split(" --ip=1.2.3.4/24\t\"a b\"  c=\"d  e\"f "), ["--ip=1.2.3.4/24", "a b", "c=d  ef"]);
        assert_eq!(split("\"\" \"open end"), ["", "open end"]);
        assert!(split(" \n ").is_empty());
    }
}
