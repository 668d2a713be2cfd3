//! The power button and Ctrl-Alt-Del: how a hypervisor asks the machine to end.
//!
//! All are polled, about once a second: nothing here is urgent, and a register read now and then needs no interrupt to be
//! led anywhere. The power button is ACPI's fixed one on PCs (ACPI 6.5 §4.8.2.2.1), or an event of the generic event
//! device on machines without ACPI's fixed hardware (§5.6.9). Ctrl-Alt-Del comes by the keyboard controller; that is how
//! Firecracker asks.

use super::acpi::{self, EventRegister, FixedButton};
use crate::arch::keyboard::{self, Octet};
use crate::arch::port::{in16, out16};
use crate::base::lock::Lock;
use crate::memory;
use core::fmt;
use spin::Once;

/// The power button's bit in the power-management status and enable registers.
const FIXED: u16 = 1 << 8;
/// The most octets taken from the keyboard at a time.
const BURST: usize = 64;

/// Where the power button is found.
static BUTTON: Once<Option<Button>> = Once::new();
static KEYS: Lock<Keys> = Lock::new(Keys::new());

/// What the machine was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// To switch itself off: the power button was pressed.
    PowerOff,
    /// To restart: Ctrl-Alt-Del.
    Restart,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PowerOff => "power button pressed",
            Self::Restart => "Ctrl-Alt-Del pressed",
        })
    }
}

#[derive(Clone, Copy)]
enum Button {
    Fixed(FixedButton),
    Event(EventRegister),
}

/// Finds and enables the power button; called once, after the ACPI tables were found.
pub(crate) fn start() {
    let button = acpi::fixed_button().map(Button::Fixed).or_else(|| acpi::button_event().map(Button::Event));
    match button {
        Some(Button::Fixed(FixedButton { status, enable })) => {
            // SAFETY: the registers by which the firmware says the power button is enabled; a one clears the status.
            unsafe {
                out16(status, FIXED);
                out16(enable, in16(enable) | FIXED);
            }
        }
        Some(Button::Event(register)) => {
            memory::map_device(register.address, register.width.into());
        }
        None => {}
    }
    BUTTON.call_once(|| button);
}

/// Returns what the machine was asked to do since the last call, if anything.
pub fn requested() -> Option<Request> {
    let button = BUTTON.get().copied().flatten();
    if button.is_some_and(pressed) {
        return Some(Request::PowerOff);
    }
    keyboard().then_some(Request::Restart)
}

fn pressed(button: Button) -> bool {
    match button {
        // SAFETY: the status register; a one clears the bit.
        Button::Fixed(FixedButton { status, .. }) => unsafe {
            let set = in16(status) & FIXED != 0;
            if set {
                out16(status, FIXED);
            }
            set
        },
        Button::Event(EventRegister { address, width, bit }) => {
            // SAFETY: the event device's register, mapped at the start; reading it takes the events.
            let events = unsafe {
                match width {
                    4 => (address as *const u32).read_volatile(),
                    _ => (address as *const u8).read_volatile().into(),
                }
            };
            events & u32::from(bit) != 0
        }
    }
}

/// Takes what was typed, and returns whether it was Ctrl-Alt-Del.
fn keyboard() -> bool {
    let mut keys = KEYS.lock();
    let mut octets = (0..BURST).map_while(|_| keyboard::next());
    octets.any(|octet| matches!(octet, Octet::Key(code) if keys.take(code)))
}

/// Which keys are held, by a keyboard's codes of set 1, which PCs' controllers translate to, or of set 2, which keyboards
/// speak. In neither set does the one of Delete occur in the other.
struct Keys {
    control: bool,
    alternate: bool,
    /// After the prefix 0xe0.
    extended: bool,
    /// After set 2's prefix of a release.
    released: bool,
}

impl Keys {
    const fn new() -> Self {
        Self { control: false, alternate: false, extended: false, released: false }
    }

    /// Takes a code, and returns whether it completes Ctrl-Alt-Del.
    fn take(&mut self, code: u8) -> bool {
        let Self { extended, released, .. } = *self;
        // In set 2 the prefix of a release comes after the other.
        self.extended = code == 0xe0 || code == 0xf0 && extended;
        self.released = code == 0xf0;
        match code {
            0x1d | 0x14 => self.control = !released,
            0x9d => self.control = false,
            0x38 | 0x11 => self.alternate = !released,
            0xb8 => self.alternate = false,
            0x53 | 0x71 => return extended && !released && self.control && self.alternate,
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_request(codes: &[u8]) -> bool {
        let mut keys = Keys::new();
        codes.iter().any(|&code| keys.take(code))
    }

    #[test]
    fn control_alt_delete_is_known_in_both_sets_of_codes() {
        assert!(is_request(&[0x1d, 0x38, 0xe0, 0x53]));
        assert!(is_request(&[0x14, 0x11, 0xe0, 0x71]), "as Firecracker sends it");
        assert!(is_request(&[0xe0, 0x1d, 0xe0, 0x38, 0xe0, 0x53]), "the keys on the right");
    }

    #[test]
    fn nothing_else_is() {
        assert!(!is_request(&[0x1d, 0xe0, 0x53]), "without Alt");
        assert!(!is_request(&[0x1d, 0x9d, 0x38, 0xe0, 0x53]), "Ctrl was released");
        assert!(!is_request(&[0x14, 0xf0, 0x14, 0x11, 0xe0, 0x71]), "the same in set 2");
        assert!(!is_request(&[0x14, 0x11, 0xe0, 0xf0, 0x71]), "a release of Delete");
        assert!(!is_request(&[0x1d, 0x38, 0x53]), "the keypad's point");
    }
}
