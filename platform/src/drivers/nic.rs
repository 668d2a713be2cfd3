//! What every driver of a network card supplies, and all that the stack knows of one.

use spin::Once;

/// Bytes of an Ethernet header.
pub const ETHERNET_HEADER: usize = 14;
/// The largest IP packet Ethernet carries.
pub const ETHERNET_MTU: usize = 1500;

/// A network card that is ready to carry frames: what its driver is.
pub trait Nic: Send {
    /// The receiving half.
    type Receiver: Receive + Send;
    /// The sending half.
    type Transmitter: TransmitQueue + Send;
    /// What knows whether the cable is in.
    type Link: Link + Send;

    /// Returns what the card is and can do.
    fn features(&self) -> Features;

    /// Takes the card apart: a received frame is looked at while others are sent.
    fn into_parts(self) -> (Self::Receiver, Self::Transmitter, Self::Link);
}

/// What a card is and can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// The hardware address.
    pub hardware: [u8; 6],
    /// The largest IP packet it carries, in bytes.
    pub mtu: usize,
}

/// Where frames are written to be sent.
pub trait Transmit {
    /// Returns an empty buffer for one frame, or nothing when all are on their way.
    fn buffer(&mut self) -> Option<&mut [u8]>;
    /// Sends the first `length` bytes of the buffer that [`buffer`](Self::buffer) returned last.
    fn send(&mut self, length: usize);
}

/// The sending half of a card.
pub trait TransmitQueue: Transmit {
    /// Collects the buffers the card is done with.
    fn reclaim(&mut self);
    /// Shows the card the frames sent since the last call, ringing its doorbell at most once.
    fn flush(&mut self);
    /// Asks for an interrupt when the card is done with a buffer; returns whether it is with some already.
    fn enable_interrupts(&mut self) -> bool;
    /// Rings the doorbell whether or not the card asked for it, in case it waits for a ring that got lost.
    fn nudge(&mut self);
}

/// The receiving half of a card.
pub trait Receive {
    /// Takes the next frame that arrived: its buffer and its length. It must be given back by [`release`](Self::release).
    ///
    /// The frame is as if a wire had carried it: its checksums are complete.
    fn take(&mut self) -> Option<(u16, usize)>;
    /// Returns the frame of `length` bytes in the buffer `index`.
    fn frame(&mut self, index: u16, length: usize) -> &mut [u8];
    /// Gives the buffer `index` back to the card, with the next [`flush`](Self::flush).
    fn release(&mut self, index: u16);
    /// Shows the card the buffers that were given back.
    fn flush(&mut self);
    /// Rings the doorbell whether or not the card asked for it, in case it waits for a ring that got lost.
    fn nudge(&mut self);
    /// Asks for an interrupt at the next frame; returns whether frames are waiting already.
    fn enable_interrupts(&mut self) -> bool;
    /// Asks for no interrupts while frames are being taken.
    fn suppress_interrupts(&mut self);
}

/// Whether a card's link is up: as if its cable were in.
pub trait Link {
    /// Returns whether the link was up when it was last looked at.
    fn is_up(&self) -> bool;
    /// Looks at the link; returns whether it went up or down since the last look.
    fn has_changed(&mut self) -> bool;
}

/// What is done when the card interrupts.
static INTERRUPTED: Once<fn()> = Once::new();

/// Has `interrupted` called by the card's interrupt handler, from now on; called once, before the card is taken.
pub(crate) fn on_interrupt(interrupted: fn()) {
    INTERRUPTED.call_once(|| interrupted);
}

/// Handles an interrupt of the card; its cause is cleared.
pub(super) fn interrupted() {
    if let Some(interrupted) = INTERRUPTED.get() {
        interrupted();
    }
}
