//! The functions of higher floors that interrupts and faults call.

use core::fmt;
use core::ops::Range;
use spin::Once;

/// The functions of higher floors that the processor's floor calls, each with interrupts off.
pub(crate) struct Upcalls {
    /// The timer has fired.
    pub(crate) timer_fired: fn(),
    /// An interrupt has been handled; the interrupted thread may lose the processor in this call.
    pub(crate) interrupt_handled: fn(),
    /// Writes the running thread's name, quoted.
    pub(crate) thread_name: fn(&mut fmt::Formatter<'_>) -> fmt::Result,
    /// Returns the addresses of the running thread's stack.
    pub(crate) stack: fn() -> Range<usize>,
    /// Returns the address of the running thread's guard page.
    pub(crate) guard: fn() -> usize,
}

static UPCALLS: Once<Upcalls> = Once::new();

/// Registers the functions; called once, before interrupts are turned on.
pub(crate) fn register(upcalls: Upcalls) {
    UPCALLS.call_once(|| upcalls);
}

/// Returns the functions, or `None` early in boot.
pub(super) fn upcalls() -> Option<&'static Upcalls> {
    UPCALLS.get()
}

/// The running thread's name, printed in quotes; `"boot"` before there are threads.
pub(crate) struct ThreadName;

impl fmt::Display for ThreadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match upcalls() {
            Some(upcalls) => (upcalls.thread_name)(f),
            None => f.write_str("\"boot\""),
        }
    }
}
