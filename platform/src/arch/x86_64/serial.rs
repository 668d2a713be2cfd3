//! The console device: a 16550 serial port.

use super::port::{in8, out8};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The first serial port of a PC, which every hypervisor provides at this address.
const PORT: u16 = 0x3f8;
/// The line status register; bit 5 is set when the transmit queue is empty.
const STATUS: u16 = PORT + 5;
/// The length of the transmit queue.
const QUEUE: usize = 16;
/// How many times the status is polled before the port is taken to be dead.
const MAX_POLLS: u32 = 100_000;

/// Whether a device answered.
static PRESENT: AtomicBool = AtomicBool::new(false);
/// Whether the device accepted no octets last time: it is then polled only once per octet until it recovers.
static STALLED: AtomicBool = AtomicBool::new(false);

/// Sets the port to 115,200 baud, 8N1, FIFOs on, no interrupts.
pub(crate) fn start() {
    // SAFETY: the serial port's own registers, by the 16550's data sheet.
    unsafe {
        out8(PORT + 1, 0); // no interrupts
        out8(PORT + 3, 0x80); // divisor latch
        out8(PORT, 1); // 115,200 baud
        out8(PORT + 1, 0);
        out8(PORT + 3, 3); // 8 data bits, no parity, 1 stop bit
        out8(PORT + 2, 7); // FIFOs on and cleared
        out8(PORT + 4, 3); // DTR and RTS
        out8(PORT + 7, 0x5a); // the scratch register: does a device respond?
        PRESENT.store(in8(PORT + 7) == 0x5a || in8(STATUS) != 0xff, Relaxed);
    }
}

/// Prints formatted text immediately, even in the middle of another thread's line. For final messages.
pub(crate) fn print_now(text: fmt::Arguments<'_>) {
    struct Raw;
    impl Write for Raw {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            write_now(text.as_bytes());
            Ok(())
        }
    }
    let _ = Raw.write_fmt(text);
}

/// Writes octets immediately, adding a carriage return to each newline.
pub(crate) fn write_now(octets: &[u8]) {
    let mut room = 0;
    let mut put = |octet| {
        if room == 0 {
            if !ready() {
                return;
            }
            room = QUEUE;
        }
        room -= 1;
        // SAFETY: the transmit register of the serial port.
        unsafe { out8(PORT, octet) };
    };
    for &octet in octets {
        if octet == b'\n' {
            put(b'\r');
        }
        put(octet);
    }
}

/// Waits, for a bounded time, until the transmit queue is empty.
fn ready() -> bool {
    if !PRESENT.load(Relaxed) {
        return false;
    }
    let polls = if STALLED.load(Relaxed) { 1 } else { MAX_POLLS };
    for _ in 0..polls {
        // SAFETY: reading the line status changes nothing.
        if unsafe { in8(STATUS) } & 0x20 != 0 {
            STALLED.store(false, Relaxed);
            return true;
        }
        core::hint::spin_loop();
    }
    STALLED.store(true, Relaxed);
    false
}
