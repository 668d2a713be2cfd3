//! From the first Rust code to std's `main`: every floor is started here, from the lowest to the highest.
//!
//! The first instructions are those of [`arch`]; they call [`platform_start`].

#[cfg(not(test))]
use crate::abi;
use crate::arch::{self, BOOT_STACK, Handover, interrupts, serial};
use crate::drivers::{acpi, button, discover, entropy, power};
use crate::kernel::{console, thread, thread::Priority, time};
use crate::memory::{self, Kind, MemoryMap};
use core::ffi::{c_char, c_int};
use heapless::Vec;
use spin::{Mutex, MutexGuard};

/// The longest command line kept; QEMU passes 4 KiB, Firecracker 2 KiB.
const COMMAND_LINE: usize = 16 * 1024;
/// The stack of std's `main`.
const MAIN_STACK: usize = 512 * 1024;

/// Called by the entry code on the boot stack, interrupts off, with what the loader passed.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn platform_start(info: u32) -> ! {
    serial::start();
    let processor = thread::boot_processor();
    // SAFETY: called once, here.
    if let Err(why) = unsafe { arch::start(processor) } {
        crate::fatal!("{why}");
    }
    // SAFETY: what the loader passed, with the boot tables in force; not used after they are replaced.
    let handover = match unsafe { Handover::read(info) } {
        Ok(handover) => handover,
        Err(why) => crate::fatal!("{why}"),
    };
    let rsdp = handover.rsdp;
    let command_line = keep(handover.command_line);
    let mut map = MemoryMap::new();
    for region in handover.regions() {
        map.insert(region.address, region.size, if region.usable { Kind::Ram } else { Kind::Reserved });
    }
    // SAFETY: the boot tables are in force; all that is kept of the loader's memory has been copied.
    if let Err(why) = unsafe { memory::start(map, processor.guards().chain([BOOT_STACK.guard()])) } {
        crate::fatal!("{why}");
    }
    acpi::start(rsdp);
    power::start();
    button::start();
    let firmware = acpi::facts();
    interrupts::start(&firmware, memory::map_device);
    if let Err(why) = time::start(&firmware) {
        crate::fatal!("{why}");
    }
    entropy::start();
    thread::start();
    thread::spawn("main", Priority::Worker, MAIN_STACK, move || main_thread(command_line));
    interrupts::enable();
    thread::idle()
}

/// Copies the command line out of the loader's memory, up to the first octet that is not UTF-8.
fn keep(line: &[u8]) -> &'static str {
    static KEPT: Mutex<Vec<u8, COMMAND_LINE>> = Mutex::new(Vec::new());
    let mut kept = KEPT.lock();
    // It fits: no more is taken than there is room for.
    let _ = kept.extend_from_slice(&line[..line.len().min(COMMAND_LINE)]);
    if kept.len() < line.len() {
        crate::kprintln!("zonule: the command line is cut after {COMMAND_LINE} octets");
    }
    // Locked for good: nothing changes it any more.
    MutexGuard::leak(kept).utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

/// The main thread: devices, then the program.
fn main_thread(command_line: &'static str) {
    console::start();
    discover::discover(command_line);
    if !entropy::ready() {
        crate::kprintln!(
            "zonule: no source of randomness: the processor has no RDRAND and there is no virtio-rng device. Start the \
             machine with a processor that has it (QEMU: -cpu max or host) or with the device (QEMU: -device \
             virtio-rng-pci or virtio-rng-device). Not starting without."
        );
        power::off();
    }
    #[cfg(not(test))]
    run_program(command_line);
}

/// Runs the constructors and `main` as a C start-up file would, and ends the machine with what it returns.
#[cfg(not(test))]
fn run_program(command_line: &'static str) -> ! {
    use alloc::vec::Vec;

    type Constructor = extern "C" fn(c_int, *const *const c_char, *const *const c_char);
    unsafe extern "C" {
        fn main(argc: c_int, argv: *const *const c_char) -> c_int;
        static __init_array_start: Constructor;
        static __init_array_end: Constructor;
    }
    // The strings are never freed: std keeps pointers to them.
    let mut arguments: Vec<*const c_char> = Vec::new();
    for word in [b"zonule".to_vec()].into_iter().chain(words(command_line)) {
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
            (*constructor)(count, arguments, abi::environment());
            constructor = constructor.add(1);
        }
        main(count, arguments)
    };
    abi::end(status)
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
