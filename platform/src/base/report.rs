//! The platform's own console messages, and fatal errors.

use crate::arch::{ThreadName, interrupts, power, serial};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use heapless::Vec;
use spin::Once;

/// The longest line, in octets; longer lines are cut.
const LINE: usize = 512;

/// Writes a line without interleaving it with other threads' lines, once there are threads.
static WRITER: Once<fn(&[u8])> = Once::new();
/// Set while a fatal error is printed: further errors are not reported.
static DYING: AtomicBool = AtomicBool::new(false);

/// Prints a line from the platform itself.
#[macro_export]
macro_rules! kprintln {
    ($($argument:tt)*) => { $crate::base::report::print(format_args!("{}\n", format_args!($($argument)*))) };
}

/// Prints a fatal error and resets the machine. For states that must not occur.
#[macro_export]
macro_rules! fatal {
    ($($argument:tt)*) => { $crate::base::report::die(format_args!($($argument)*)) };
}

/// Registers `writer` to write all further lines; called once.
pub(crate) fn register(writer: fn(&[u8])) {
    WRITER.call_once(|| writer);
}

/// Prints formatted text, not interleaved with other threads' output.
pub(crate) fn print(text: fmt::Arguments<'_>) {
    // Formatted first: no code of the caller's runs while others wait.
    let mut line = Line(Vec::new());
    let _ = line.write_fmt(text);
    match WRITER.get() {
        Some(writer) => writer(&line.0),
        None => serial::write_now(&line.0),
    }
}

/// Prints a fatal error and resets the machine.
pub(crate) fn die(why: fmt::Arguments<'_>) -> ! {
    interrupts::disable();
    if DYING.swap(true, Relaxed) {
        power::reset();
    }
    serial::print_now(format_args!("\nzonule: {why} (thread {ThreadName}); resetting\n"));
    power::reset()
}

/// A line being formatted.
struct Line(Vec<u8, LINE>);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let taken = text.len().min(LINE - self.0.len());
        // Always fits: no more was taken than there is room for.
        let _ = self.0.extend_from_slice(&text.as_bytes()[..taken]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_cut() {
        let mut line = Line(Vec::new());
        for _ in 0..100 {
            line.write_str("seven..").unwrap();
        }
        assert_eq!(line.0.len(), LINE);
        assert!(line.0.starts_with(b"seven..seven.."));
    }
}
