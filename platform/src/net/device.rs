//! The stack's view of the network device: one frame in, buffers of the transmit ring out.
//!
//! smoltcp handles IP packets; `outbound` puts them into frames and resolves neighbours.

use alloc::vec::Vec;

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use super::outbound::{Outbound, STACK_MTU};
use crate::drivers::nic::Transmit;

/// A device that receives at most the one packet it was created with.
pub(crate) struct StackDevice<'a, T: Transmit> {
    packet: Option<&'a [u8]>,
    transmit: &'a mut T,
    outbound: &'a mut Outbound,
    /// Whether a frame could not be sent because all transmit buffers were on their way.
    pub(crate) exhausted: bool,
}

impl<'a, T: Transmit> StackDevice<'a, T> {
    pub(crate) fn new(packet: Option<&'a [u8]>, transmit: &'a mut T, outbound: &'a mut Outbound) -> Self {
        Self { packet, transmit, outbound, exhausted: false }
    }
}

impl<T: Transmit> Device for StackDevice<'_, T> {
    type RxToken<'b>
        = Packet<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Buffer<'b, T>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Packet<'_>, Buffer<'_, T>)> {
        let packet = self.packet.take()?;
        Some((Packet(packet), Buffer(self.transmit, self.outbound)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Buffer<'_, T>> {
        if self.transmit.buffer().is_none() {
            self.exhausted = true;
            return None;
        }
        Some(Buffer(self.transmit, self.outbound))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities()
    }
}

fn capabilities() -> DeviceCapabilities {
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ip;
    capabilities.max_transmission_unit = STACK_MTU;
    capabilities
}

/// The received packet.
pub(crate) struct Packet<'a>(&'a [u8]);

impl RxToken for Packet<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// The right to send one packet.
pub(crate) struct Buffer<'a, T: Transmit>(&'a mut T, &'a mut Outbound);

impl<T: Transmit> TxToken for Buffer<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        self.1.send(self.0, length, f)
    }
}

/// A device that receives one packet and keeps the packet that was sent last.
pub(super) struct Aside<'a> {
    pub(super) packet: Option<&'a [u8]>,
    pub(super) sent: Vec<u8>,
}

impl Device for Aside<'_> {
    type RxToken<'b>
        = Packet<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Keep<'b>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Packet<'_>, Keep<'_>)> {
        let packet = self.packet.take()?;
        Some((Packet(packet), Keep(&mut self.sent)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Keep<'_>> {
        Some(Keep(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities()
    }
}

/// The right to have one packet kept by [`Aside`].
pub(super) struct Keep<'a>(&'a mut Vec<u8>);

impl TxToken for Keep<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        self.0.clear();
        self.0.resize(length, 0);
        f(self.0)
    }
}
