//! Off and reset: what the firmware says about them.

use super::acpi;
use crate::arch::power::{self, PowerControls, PowerOff, Register};
use crate::memory;

pub use crate::arch::power::{off, reset};

/// Finds out how the machine is switched off and reset; called once, after the ACPI tables were found.
pub(crate) fn start() {
    let controls = PowerControls { off: acpi::power_off(), reset: acpi::reset() };
    let sleep = match controls.off {
        Some(PowerOff::SleepControl(register, _)) => Some(register),
        _ => None,
    };
    for register in [sleep, controls.reset.map(|(register, _)| register)] {
        if let Some(Register::Memory(at)) = register {
            memory::map_device(at, 1);
        }
    }
    power::start(controls);
}
