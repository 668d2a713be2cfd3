//! Turning this processor's interrupts off and on again.

use x86_64::instructions::interrupts;

pub(crate) use x86_64::instructions::interrupts::{are_enabled, disable, enable, enable_and_hlt as enable_and_halt};

/// A guard that keeps this processor's interrupts off; dropping it restores their previous state.
#[derive(Debug)]
pub(crate) struct InterruptsOff {
    were_on: bool,
}

impl InterruptsOff {
    /// Turns interrupts off until the guard is dropped; calls nest.
    pub(crate) fn new() -> Self {
        if cfg!(test) {
            return Self { were_on: false }; // the unit tests run as ordinary processes
        }
        let were_on = interrupts::are_enabled();
        interrupts::disable();
        Self { were_on }
    }
}

impl Drop for InterruptsOff {
    fn drop(&mut self) {
        if self.were_on {
            interrupts::enable();
        }
    }
}
