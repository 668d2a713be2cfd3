//! The stack's view of the network device: one frame in, buffers of the transmit ring out.

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use crate::virtio::net::{ETHERNET_HEADER, Transmit};

/// A device that receives at most the one frame it was made with.
pub(crate) struct StackDevice<'a, T: Transmit> {
    frame: Option<&'a [u8]>,
    transmit: &'a mut T,
    mtu: usize,
    /// Whether a frame could not be sent because all transmit buffers were on their way.
    pub(crate) exhausted: bool,
}

impl<'a, T: Transmit> StackDevice<'a, T> {
    pub(crate) fn new(frame: Option<&'a [u8]>, transmit: &'a mut T, mtu: usize) -> Self {
        Self { frame, transmit, mtu, exhausted: false }
    }
}

impl<T: Transmit> Device for StackDevice<'_, T> {
    type RxToken<'b>
        = Frame<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Buffer<'b, T>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Frame<'_>, Buffer<'_, T>)> {
        let frame = self.frame.take()?;
        Some((Frame(frame), Buffer(self.transmit)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Buffer<'_, T>> {
        if self.transmit.buffer().is_none() {
            self.exhausted = true;
            return None;
        }
        Some(Buffer(self.transmit))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu + ETHERNET_HEADER;
        capabilities
    }
}

/// The received frame.
pub(crate) struct Frame<'a>(&'a [u8]);

impl RxToken for Frame<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// The right to send one frame.
pub(crate) struct Buffer<'a, T: Transmit>(&'a mut T);

impl<T: Transmit> TxToken for Buffer<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        if let Some(out) = self.0.buffer()
            && let Some(frame) = out.get_mut(..length)
        {
            let result = f(frame);
            self.0.send(length);
            return result;
        }
        // A reply made while receiving has no place to wait in: it is written, and lost as on a congested link.
        f(&mut alloc::vec![0; length])
    }
}
