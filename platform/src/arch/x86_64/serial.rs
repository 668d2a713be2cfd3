//! The console's device: a 16550 serial port.

use super::port::{in8, out8};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The first serial port of a PC: all hypervisors put theirs here.
const PORT: u16 = 0x3f8;
/// Line status register: bit 5 says that the transmit queue is empty.
const STATUS: u16 = PORT + 5;
/// The transmit queue's length.
const QUEUE: usize = 16;
/// How often the status is read before the port is taken for dead.
const PATIENCE: u32 = 100_000;

/// Whether a device answered.
static PRESENT: AtomicBool = AtomicBool::new(false);
/// Whether the device took no octets the last time: it is not waited for again until it does.
static STALLED: AtomicBool = AtomicBool::new(false);

/// Sets the port to 115,200 baud, 8N1, queues on, no interrupts.
pub(crate) fn start() {
    // SAFETY: the serial port's own registers, by the 16550's data sheet.
    unsafe {
        out8(PORT + 1, 0); // no interrupts
        out8(PORT + 3, 0x80); // divisor latch
        out8(PORT, 1); // 115,200 baud
        out8(PORT + 1, 0);
        out8(PORT + 3, 3); // 8 data bits, no parity, 1 stop bit
        out8(PORT + 2, 7); // queues on and empty
        out8(PORT + 4, 3); // ready
        out8(PORT + 7, 0x5a); // a register without meaning: whether a device is there
        PRESENT.store(in8(PORT + 7) == 0x5a || in8(STATUS) != 0xff, Relaxed);
    }
}

/// Prints formatted text at once, even in the middle of another thread's line: for last messages.
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

/// Writes octets at once, each new-line with a carriage return.
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

/// Waits, not indefinitely, until the transmit queue is empty.
fn ready() -> bool {
    if !PRESENT.load(Relaxed) {
        return false;
    }
    let patience = if STALLED.load(Relaxed) { 1 } else { PATIENCE };
    for _ in 0..patience {
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
