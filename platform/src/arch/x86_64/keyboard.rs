//! Octets received from a PC's keyboard controller.

use super::port::in8;

/// The controller's status register; bit 0: output buffer full; bit 5: the octet is the mouse's.
const STATUS: u16 = 0x64;
const FULL: u8 = 1;
const MOUSE: u8 = 1 << 5;
const DATA: u16 = 0x60;

/// An octet from the controller, by its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Octet {
    /// From the keyboard.
    Key(u8),
    /// From another device.
    Other,
}

/// Returns the next octet, if one is waiting. A machine without the controller never has one.
pub(crate) fn next() -> Option<Octet> {
    // SAFETY: reading the status changes nothing.
    let status = unsafe { in8(STATUS) };
    // All ones: there is no controller.
    (status != 0xff && status & FULL != 0).then_some(())?;
    // SAFETY: takes the octet from the controller; nothing else reads it.
    let octet = unsafe { in8(DATA) };
    Some(if status & MOUSE == 0 { Octet::Key(octet) } else { Octet::Other })
}
