//! The keyboard controller of a PC, as far as octets come from it.

use super::port::in8;

/// The controller's status register; its bits 0, something to read, and 5, it is the mouse's.
const STATUS: u16 = 0x64;
const FULL: u8 = 1;
const MOUSE: u8 = 1 << 5;
const DATA: u16 = 0x60;

/// An octet from the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Octet {
    /// The keyboard's.
    Key(u8),
    /// Another device's.
    Other,
}

/// Takes the next octet, if one waits. A machine without the controller never has one.
pub(crate) fn next() -> Option<Octet> {
    // SAFETY: reading the status changes nothing.
    let status = unsafe { in8(STATUS) };
    // All ones: there is no such controller.
    (status != 0xff && status & FULL != 0).then_some(())?;
    // SAFETY: takes the octet that the controller has; nothing else reads it.
    let octet = unsafe { in8(DATA) };
    Some(if status & MOUSE == 0 { Octet::Key(octet) } else { Octet::Other })
}
