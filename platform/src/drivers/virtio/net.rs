//! The virtio network device (virtio 1.2 §5.1): frames in and out, in batches.
//!
//! All buffers are allocated once: each descriptor has a fixed one of 2 KiB, which holds the virtio header and an
//! Ethernet frame. Receive buffers are lent to the caller in place and given back; transmit buffers are filled in
//! place. Transmit interrupts are off as long as there are buffers: finished ones are collected on the way. No offload is
//! asked for: checksums of answers this short cost less than the bookkeeping.

use alloc::vec::Vec;

use super::header::complete_checksum;
use super::queue::SplitQueue;
use super::transport::{Doorbell, Transport};
use crate::drivers::nic::{ETHERNET_MTU, Features, Link, Nic, Receive, Transmit, TransmitQueue};

/// Bytes of a buffer: a virtio header and a frame, a divisor of the page size so that none straddles pages.
pub const BUFFER_BYTES: usize = 2048;

/// The device has a hardware address of its own (VIRTIO_NET_F_MAC).
pub const FEATURE_MAC: u64 = 1 << 5;
/// The device reports the largest packet it carries (VIRTIO_NET_F_MTU).
pub const FEATURE_MTU: u64 = 1 << 3;
/// The device reports whether its link is up (VIRTIO_NET_F_STATUS).
pub const FEATURE_STATUS: u64 = 1 << 16;

/// The smallest MTU believed: what IPv4 demands of a link that serves DNS usefully (RFC 791 §3.2: 576).
const LEAST_MTU: usize = 576;

/// The fixed buffers of a queue: physically contiguous memory, one slice per descriptor.
pub struct Buffers {
    memory: core::ptr::NonNull<u8>,
    physical: u64,
    count: u16,
}

// SAFETY: the memory is owned by this value and reached through `&mut self` only.
unsafe impl Send for Buffers {}

impl Buffers {
    /// Makes buffers for `count` descriptors in `memory`, which devices see at `physical`.
    ///
    /// # Safety
    ///
    /// `memory` is zeroed, valid for reads and writes of `count * BUFFER_BYTES` bytes for as long as the value lives,
    /// and only devices access it besides.
    pub unsafe fn new(memory: core::ptr::NonNull<u8>, physical: u64, count: u16) -> Self {
        Self { memory, physical, count }
    }

    fn physical(&self, index: u16) -> u64 {
        self.physical + u64::from(index) * BUFFER_BYTES as u64
    }

    fn get(&mut self, index: u16) -> &mut [u8] {
        assert!(index < self.count);
        // SAFETY: the index was checked; the device does not hold this buffer while the driver uses it, because it
        // was either taken from the queue or not offered yet.
        unsafe {
            let start = self.memory.as_ptr().add(usize::from(index) * BUFFER_BYTES);
            core::slice::from_raw_parts_mut(start, BUFFER_BYTES)
        }
    }
}

/// The receiving half of the device.
pub struct Receiver {
    queue: SplitQueue,
    buffers: Buffers,
    doorbell: Doorbell,
    header: usize,
}

impl Receiver {
    /// Makes the half and offers all its buffers; `header` is the length of the virtio header.
    pub fn new(mut queue: SplitQueue, buffers: Buffers, doorbell: Doorbell, header: usize) -> Self {
        for index in 0..queue.size() {
            queue.describe(index, buffers.physical(index), BUFFER_BYTES as u32, true);
            queue.offer(index);
        }
        Self { queue, buffers, doorbell, header }
    }
}

impl Receive for Receiver {
    fn take(&mut self) -> Option<(u16, usize)> {
        let used = self.queue.take()?;
        // A length beyond the buffer is the device's mistake; what lies inside is all there can be.
        let length = (used.length as usize).min(BUFFER_BYTES).saturating_sub(self.header);
        let (header, frame) = self.buffers.get(used.index).split_at_mut(self.header);
        complete_checksum(header, &mut frame[..length]);
        Some((used.index, length))
    }

    fn frame(&mut self, index: u16, length: usize) -> &mut [u8] {
        let header = self.header;
        &mut self.buffers.get(index)[header..header + length]
    }

    fn release(&mut self, index: u16) {
        self.queue.offer(index);
    }

    fn flush(&mut self) {
        if self.queue.publish() {
            self.doorbell.ring();
        }
    }

    fn nudge(&mut self) {
        self.doorbell.ring();
    }

    fn enable_interrupts(&mut self) -> bool {
        self.queue.enable_interrupts()
    }

    fn suppress_interrupts(&mut self) {
        self.queue.suppress_interrupts();
    }
}

/// The sending half of the device.
pub struct Transmitter {
    queue: SplitQueue,
    buffers: Buffers,
    doorbell: Doorbell,
    header: usize,
    free: Vec<u16>,
}

impl Transmitter {
    /// Makes the half; `header` is the length of the virtio header.
    pub fn new(mut queue: SplitQueue, buffers: Buffers, doorbell: Doorbell, header: usize) -> Self {
        for index in 0..queue.size() {
            queue.describe(index, buffers.physical(index), BUFFER_BYTES as u32, false);
        }
        queue.suppress_interrupts();
        let free = (0..queue.size()).collect();
        Self { queue, buffers, doorbell, header, free }
    }
}

impl TransmitQueue for Transmitter {
    fn reclaim(&mut self) {
        while let Some(used) = self.queue.take() {
            self.free.push(used.index);
        }
        self.queue.suppress_interrupts();
    }

    fn enable_interrupts(&mut self) -> bool {
        self.queue.enable_interrupts()
    }

    fn nudge(&mut self) {
        self.doorbell.ring();
    }

    fn flush(&mut self) {
        if self.queue.publish() {
            self.doorbell.ring();
        }
    }
}

impl Transmit for Transmitter {
    fn buffer(&mut self) -> Option<&mut [u8]> {
        if self.free.is_empty() {
            // The device may be idle because it has not seen the last frames yet.
            self.flush();
            self.reclaim();
        }
        let index = *self.free.last()?;
        // The header stays as it was allocated: all zeroes, no offload.
        Some(&mut self.buffers.get(index)[self.header..])
    }

    fn send(&mut self, length: usize) {
        if let Some(index) = self.free.pop() {
            let length = (self.header + length).min(BUFFER_BYTES);
            self.queue.set_length(index, length as u32);
            self.queue.offer(index);
        }
    }
}

/// A network device that is ready to carry frames.
pub struct VirtioNic {
    receiver: Receiver,
    transmitter: Transmitter,
    features: Features,
    state: LinkState,
}

/// Whether the device's link is up: as if its cable were in.
pub struct LinkState {
    /// The device, if it reports the state.
    transport: Option<Transport>,
    up: bool,
}

impl LinkState {
    /// Bytes of the MAC address, behind which the status stands (virtio 1.2 §5.1.4).
    const OFFSET: usize = 6;
    const UP: u8 = 1;

    fn new(transport: Option<Transport>) -> Self {
        let mut state = Self { transport, up: true };
        state.has_changed();
        state
    }
}

impl Link for LinkState {
    fn is_up(&self) -> bool {
        self.up
    }

    fn has_changed(&mut self) -> bool {
        // One byte is read: the bits in use are in it, and so it cannot be seen half changed.
        let status = self.transport.as_ref().and_then(|transport| transport.config(Self::OFFSET, 1));
        let up = status.is_none_or(|status| status[0] & Self::UP != 0);
        core::mem::replace(&mut self.up, up) != up
    }
}

impl Nic for VirtioNic {
    type Receiver = Receiver;
    type Transmitter = Transmitter;
    type Link = LinkState;

    fn features(&self) -> Features {
        self.features
    }

    fn into_parts(self) -> (Receiver, Transmitter, LinkState) {
        (self.receiver, self.transmitter, self.state)
    }
}

impl VirtioNic {
    /// Brings the device behind `transport` up. Its interrupt must be routed already. If it has no address of its own, it
    /// gets one that `random` fills in.
    ///
    /// # Errors
    ///
    /// [`VirtioError`](super::VirtioError) says what is wrong with the device.
    pub fn new(mut transport: Transport, random: fn(&mut [u8])) -> Result<Self, super::VirtioError> {
        use super::{VirtioError, features};
        let wanted = features::ANY_LAYOUT | features::EVENT_INDEX | FEATURE_MAC | FEATURE_MTU | FEATURE_STATUS;
        let agreed = transport.begin(wanted)?;
        let header = if agreed & features::VERSION_1 != 0 { 12 } else { 10 };
        let event_index = agreed & features::EVENT_INDEX != 0;
        let hardware = match transport.config(0, 6) {
            Some(bytes) if agreed & FEATURE_MAC != 0 => [bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]],
            _ => random_hardware_address(random),
        };
        if hardware[0] & 1 != 0 || hardware == [0; 6] {
            return Err(transport.give_up(VirtioError::Address));
        }
        let mtu = match transport.config(10, 2) {
            Some(bytes) if agreed & FEATURE_MTU != 0 => {
                usize::from(u16::from_le_bytes([bytes[0], bytes[1]])).clamp(LEAST_MTU, ETHERNET_MTU)
            }
            _ => ETHERNET_MTU,
        };
        let (queue, buffers, doorbell) = bring_up(&mut transport, 0, event_index)?;
        let mut receiver = Receiver::new(queue, buffers, doorbell, header);
        let (queue, buffers, doorbell) = bring_up(&mut transport, 1, event_index)?;
        let transmitter = Transmitter::new(queue, buffers, doorbell, header);
        transport.finish();
        receiver.flush();
        let state = LinkState::new((agreed & FEATURE_STATUS != 0).then_some(transport));
        Ok(Self { receiver, transmitter, features: Features { hardware, mtu }, state })
    }
}

/// Allocates queue `number` with its buffers and hands it to the device.
fn bring_up(
    transport: &mut Transport,
    number: u16,
    event_index: bool,
) -> Result<(SplitQueue, Buffers, Doorbell), super::VirtioError> {
    use super::VirtioError;
    use super::queue::{Layout, size_for};
    use crate::memory::Dma;
    const PAGE: usize = 4096;
    let size = size_for(transport.queue_limit(number)).ok_or(VirtioError::NoQueue(number))?;
    let rings = Dma::allocate(Layout::new(size).bytes.div_ceil(PAGE)).ok_or(VirtioError::NoMemory)?;
    let pages = (usize::from(size) * BUFFER_BYTES).div_ceil(PAGE);
    let buffers = Dma::allocate(pages).ok_or(VirtioError::NoMemory)?;
    let doorbell = transport.set_queue(number, size, rings.phys())?;
    // SAFETY: the memory is zeroed, page aligned, of this length, and leaked below, so it is never freed.
    let queue = unsafe { SplitQueue::new(rings.virt(), size, event_index) };
    // SAFETY: as above.
    let pool = unsafe { Buffers::new(buffers.virt(), buffers.phys(), size) };
    core::mem::forget((rings, buffers));
    Ok((queue, pool, doorbell))
}

/// Makes a locally administered unicast address, for a device that has none of its own.
fn random_hardware_address(random: fn(&mut [u8])) -> [u8; 6] {
    let mut address = [0; 6];
    random(&mut address);
    address[0] = address[0] & 0xfc | 2;
    address
}

#[cfg(test)]
mod tests {
    use super::super::header::tests::make_partial;
    use super::super::queue::Layout;
    use super::*;
    use crate::drivers::bus::registers::Registers;
    use crate::drivers::checksum::Sum;
    use crate::net::Datagram;
    use crate::net::frame_tests::{link, query, query_v6};
    use core::ptr::NonNull;
    use std::vec::Vec;

    const SIZE: u16 = 4;
    const HEADER: usize = 12;

    /// A receiver together with the device's side of its memory.
    struct Device {
        receiver: Receiver,
        ring: NonNull<u8>,
        buffers: NonNull<u8>,
        used: u16,
    }

    fn memory(bytes: usize) -> NonNull<u8> {
        let layout = std::alloc::Layout::from_size_align(bytes, Layout::ALIGN).unwrap();
        // SAFETY: the layout is not empty. The memory is never freed: a test is short.
        NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }).unwrap()
    }

    impl Device {
        fn new() -> Self {
            let ring = memory(Layout::new(SIZE).bytes);
            let buffers = memory(usize::from(SIZE) * BUFFER_BYTES);
            // SAFETY: zeroed, aligned, of the lengths demanded, and never freed.
            let (queue, pool, register) = unsafe {
                (SplitQueue::new(ring, SIZE, false), Buffers::new(buffers, 0, SIZE), Registers::new(memory(8), 8))
            };
            let mut receiver = Receiver::new(queue, pool, Doorbell::new(register, 0), HEADER);
            receiver.flush();
            Self { receiver, ring, buffers, used: 0 }
        }

        /// Delivers a frame into the next buffer.
        fn deliver(&mut self, header: &[u8; HEADER], frame: &[u8]) {
            let (layout, index) = (Layout::new(SIZE), usize::from(self.used % SIZE));
            let bytes = [header, frame].concat();
            self.used += 1;
            // SAFETY: the buffer, the entry of the used ring and its index lie inside the memory of `new`.
            unsafe {
                let buffer = self.buffers.as_ptr().add(index * BUFFER_BYTES);
                buffer.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
                let used = self.ring.as_ptr().add(layout.device);
                used.add(4 + 8 * index).cast::<[u32; 2]>().write([index as u32, bytes.len() as u32]);
                used.add(2).cast::<u16>().write_volatile(self.used);
            }
        }

        fn take(&mut self) -> Vec<u8> {
            let (index, length) = self.receiver.take().unwrap();
            let frame = self.receiver.frame(index, length).to_vec();
            self.receiver.release(index);
            self.receiver.flush();
            frame
        }
    }

    #[test]
    fn frames_with_partial_checksums_arrive_complete() {
        let mut device = Device::new();
        for round in 0..10 {
            let whole = if round % 2 == 0 { query(b"a question") } else { query_v6(b"a question") };
            let mut frame = whole.clone();
            let header = make_partial(&mut frame);
            device.deliver(&header, &frame);
            let frame = device.take();
            assert_eq!(frame, whole);
            assert!(Datagram::parse(&frame, &link()).is_some());
            device.deliver(&[0; HEADER], &whole);
            assert_eq!(device.take(), whole);
        }
    }

    #[test]
    fn partial_checksum_of_tcp_is_one_the_stack_accepts() {
        use smoltcp::wire::*;
        let mut frame = query(&[0; 12 + 5]);
        frame[23] = 6;
        frame[46] = 0x50;
        Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
        let [high, low] = Sum::default().add(&frame[26..34]).add_word(6).add_word(25).finish();
        frame[50..52].copy_from_slice(&[!high, !low]);
        let mut device = Device::new();
        device.deliver(&[1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0], &frame);
        let frame = device.take();
        let packet = Ipv4Packet::new_checked(&frame[14..]).unwrap();
        let segment = TcpPacket::new_checked(packet.payload()).unwrap();
        assert!(segment.verify_checksum(&packet.src_addr().into(), &packet.dst_addr().into()));
    }
}
