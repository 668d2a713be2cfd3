//! The stack's view of the network device: one frame in, buffers of the transmit ring out.

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use super::outbound::{Outbound, STACK_MTU};
use crate::virtio::net::{ETHERNET_HEADER, Transmit};

/// A device that receives at most the one frame it was made with.
pub(crate) struct StackDevice<'a, T: Transmit> {
    frame: Option<&'a [u8]>,
    transmit: &'a mut T,
    outbound: &'a mut Outbound,
    /// Whether a frame could not be sent because all transmit buffers were on their way.
    pub(crate) exhausted: bool,
}

impl<'a, T: Transmit> StackDevice<'a, T> {
    pub(crate) fn new(frame: Option<&'a [u8]>, transmit: &'a mut T, outbound: &'a mut Outbound) -> Self {
        Self { frame, transmit, outbound, exhausted: false }
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
        Some((Frame(frame), Buffer(self.transmit, self.outbound)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Buffer<'_, T>> {
        if self.transmit.buffer().is_none() {
            self.exhausted = true;
            return None;
        }
        Some(Buffer(self.transmit, self.outbound))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = STACK_MTU + ETHERNET_HEADER;
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
pub(crate) struct Buffer<'a, T: Transmit>(&'a mut T, &'a mut Outbound);

impl<T: Transmit> TxToken for Buffer<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        self.1.send(self.0, length, f)
    }
}
