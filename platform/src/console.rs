//! The console: a 16550 serial port, written a whole line at a time.

use crate::cpu::port::{in8, out8};
use crate::sync::Lock;
use crate::thread::WaitQueue;
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

/// Whether a thread is writing. Not held as a [`Lock`] while writing: the port is slow and the network waits.
static BUSY: Lock<bool> = Lock::new(false);
static FREE: WaitQueue = WaitQueue::new();

/// Prints a line of the platform's own.
#[macro_export]
macro_rules! kprintln {
    ($($argument:tt)*) => { $crate::console::print(format_args!("{}\n", format_args!($($argument)*))) };
}

/// Prints why the platform cannot go on, and resets. For states that must not occur.
#[macro_export]
macro_rules! fatal {
    ($($argument:tt)*) => { $crate::power::die(format_args!($($argument)*)) };
}

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

/// Prints formatted text, not interleaved with any other thread's.
pub fn print(text: fmt::Arguments<'_>) {
    // Formatted first: nothing of the caller's runs while others wait.
    let mut line = Line { octets: [0; 512], used: 0 };
    let _ = line.write_fmt(text);
    write(&line.octets[..line.used]);
}

/// Writes octets as they come, in one piece if they are at most one line.
pub fn write(octets: &[u8]) {
    // Where nothing may block, another thread's line is cut into rather than a word lost.
    if !crate::thread::may_block() {
        return write_now(octets);
    }
    let mut busy = BUSY.lock();
    while *busy {
        busy = FREE.wait(busy, None).0;
    }
    *busy = true;
    drop(busy);
    write_now(octets);
    *BUSY.lock() = false;
    FREE.wake_one();
}

/// Prints formatted text at once, whoever else is printing: for what comes last.
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
fn write_now(octets: &[u8]) {
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

/// Waits, not for ever, until the transmit queue is empty.
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

/// A line under construction; what does not fit is cut.
struct Line {
    octets: [u8; 512],
    used: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.octets[self.used..];
        let taken = room.len().min(text.len());
        room[..taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.used += taken;
        Ok(())
    }
}
