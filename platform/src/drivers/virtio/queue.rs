//! The split virtqueue (virtio 1.2 §2.7), for batches and without trust.
//!
//! Each descriptor owns one fixed buffer of its driver, so nothing is allocated and no chain is followed: a queue of
//! `n` entries has `n` single-descriptor buffers, named by their index. The driver offers any number of buffers and
//! publishes them at once; `publish` tells whether the device wants its doorbell rung. What the device writes is
//! believed only after a check: an index out of range, one the device does not hold, or a jump of the used index
//! beyond the ring is not followed.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, Ordering, fence};

/// The most entries a queue gets: what QEMU offers by default.
pub const LIMIT: u16 = 256;

const DESCRIPTOR_BYTES: usize = 16;
const FLAG_WRITE: u16 = 2;
const AVAIL_NO_INTERRUPT: u16 = 1;
const USED_NO_NOTIFY: u16 = 1;

/// Where the parts of a queue stand in its memory, in bytes from its start.
///
/// It is the layout legacy devices demand (§2.7.2): the used ring on its own page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Offset of the driver area, the available ring.
    pub driver: usize,
    /// Offset of the device area, the used ring.
    pub device: usize,
    /// Bytes of the whole.
    pub bytes: usize,
}

impl Layout {
    /// The alignment of the used ring, and of the queue itself.
    pub const ALIGN: usize = 4096;

    /// Returns the layout of a queue of `size` entries.
    pub const fn new(size: u16) -> Self {
        let size = size as usize;
        let driver = DESCRIPTOR_BYTES * size;
        let device = (driver + 6 + 2 * size).next_multiple_of(Self::ALIGN);
        Self { driver, device, bytes: device + 6 + 8 * size }
    }
}

/// Returns the size a queue gets when the device allows `most` entries: a power of two, at most [`LIMIT`].
pub fn size_for(most: u32) -> Option<u16> {
    let most = most.min(LIMIT.into()) as u16;
    (most >= 2).then(|| 1 << most.ilog2())
}

/// A buffer the device is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Its index.
    pub index: u16,
    /// The bytes the device says it wrote. Not checked here: only the driver knows the length of its buffers.
    pub length: u32,
}

/// A split virtqueue.
pub struct SplitQueue {
    memory: NonNull<u8>,
    layout: Layout,
    size: u16,
    event_index: bool,
    /// Buffers offered so far, modulo 2^16; the device sees them when published.
    offered: u16,
    published: u16,
    consumed: u16,
    in_flight: [bool; LIMIT as usize],
}

// SAFETY: the queue owns its memory and is used by one thread at a time (`&mut self` throughout).
unsafe impl Send for SplitQueue {}

impl SplitQueue {
    /// Makes a queue of `size` entries in `memory`; `event_index` when that feature was negotiated.
    ///
    /// # Safety
    ///
    /// 1. `memory` is zeroed, aligned to [`Layout::ALIGN`] and valid for reads and writes of `Layout::new(size).bytes`
    ///    bytes for as long as the queue lives, and only the device accesses it besides.
    /// 2. `size` came from [`size_for`].
    pub unsafe fn new(memory: NonNull<u8>, size: u16, event_index: bool) -> Self {
        assert!(size.is_power_of_two() && size <= LIMIT);
        Self {
            memory,
            layout: Layout::new(size),
            size,
            event_index,
            offered: 0,
            published: 0,
            consumed: 0,
            in_flight: [false; LIMIT as usize],
        }
    }

    /// Returns the number of entries.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Tells where the buffer `index` stands and whether the device may write it; once, before it is first offered.
    pub fn describe(&mut self, index: u16, physical: u64, length: u32, device_writes: bool) {
        assert!(index < self.size);
        let flags = if device_writes { FLAG_WRITE } else { 0 };
        let at = DESCRIPTOR_BYTES * usize::from(index);
        // SAFETY: `index` is below `size`, so the descriptor lies inside the memory of `new`; it is aligned to 16.
        unsafe {
            let descriptor = self.memory.as_ptr().add(at);
            descriptor.cast::<u64>().write_volatile(physical);
            descriptor.add(8).cast::<u32>().write_volatile(length);
            descriptor.add(12).cast::<u16>().write_volatile(flags);
            descriptor.add(14).cast::<u16>().write_volatile(0);
        }
    }

    /// Sets the length of buffer `index`, for a buffer the device reads.
    pub fn set_length(&mut self, index: u16, length: u32) {
        assert!(index < self.size);
        // SAFETY: as for `describe`.
        unsafe {
            self.memory.as_ptr().add(DESCRIPTOR_BYTES * usize::from(index) + 8).cast::<u32>().write_volatile(length);
        }
    }

    /// Offers buffer `index` to the device with the next [`publish`](Self::publish).
    pub fn offer(&mut self, index: u16) {
        let slot = usize::from(index);
        assert!(index < self.size && !self.in_flight[slot], "buffer {index} is already the device's");
        self.in_flight[slot] = true;
        let entry = usize::from(self.offered & (self.size - 1));
        self.driver_word(2 + entry).store(index, Ordering::Relaxed);
        self.offered = self.offered.wrapping_add(1);
    }

    /// Makes the offered buffers visible to the device; returns whether its doorbell must be rung.
    pub fn publish(&mut self) -> bool {
        let (old, new) = (self.published, self.offered);
        if old == new {
            return false;
        }
        self.driver_word(1).store(new, Ordering::Release);
        self.published = new;
        // The device's wish is read after the index is visible, or a device going to sleep just now would be missed.
        fence(Ordering::SeqCst);
        if self.event_index {
            let event = self.device_word(self.layout.device + 4 + 8 * usize::from(self.size)).load(Ordering::Relaxed);
            // §2.7.10: whether `event` lies in [old, new).
            new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
        } else {
            self.device_word(self.layout.device).load(Ordering::Relaxed) & USED_NO_NOTIFY == 0
        }
    }

    /// Takes one buffer back that the device is done with.
    pub fn take(&mut self) -> Option<Used> {
        loop {
            let ahead = self.used_index().wrapping_sub(self.consumed);
            if ahead == 0 || ahead > self.size {
                return None;
            }
            let entry = self.layout.device + 4 + 8 * usize::from(self.consumed & (self.size - 1));
            self.consumed = self.consumed.wrapping_add(1);
            // SAFETY: the entry lies inside the used ring, since its number is below `size`, and is aligned to four.
            let (index, length) = unsafe {
                let entry = self.memory.as_ptr().add(entry).cast::<u32>();
                (entry.read_volatile(), entry.add(1).read_volatile())
            };
            // A buffer the device does not hold is not given to the driver twice.
            if index < u32::from(self.size) && core::mem::take(&mut self.in_flight[index as usize]) {
                return Some(Used { index: index as u16, length });
            }
        }
    }

    /// Returns whether the device has returned buffers that were not taken yet.
    pub fn has_used(&self) -> bool {
        let ahead = self.used_index().wrapping_sub(self.consumed);
        ahead != 0 && ahead <= self.size
    }

    /// Asks the device for an interrupt at the next returned buffer.
    ///
    /// Returns whether buffers were returned meanwhile, for which no interrupt comes: the caller takes them first.
    pub fn enable_interrupts(&mut self) -> bool {
        if self.event_index {
            self.driver_word(2 + usize::from(self.size)).store(self.consumed, Ordering::Release);
        } else {
            self.driver_word(0).store(0, Ordering::Release);
        }
        // The wish must be visible before the index is read again: otherwise both sides could wait for the other.
        fence(Ordering::SeqCst);
        self.has_used()
    }

    /// Asks the device not to interrupt. It may all the same (§2.7.7).
    pub fn suppress_interrupts(&mut self) {
        if self.event_index {
            // An event half the index space away is not reached before this is called again for the next burst.
            let far = self.consumed.wrapping_add(0x8000);
            self.driver_word(2 + usize::from(self.size)).store(far, Ordering::Release);
        } else {
            self.driver_word(0).store(AVAIL_NO_INTERRUPT, Ordering::Release);
        }
    }

    fn used_index(&self) -> u16 {
        self.device_word(self.layout.device + 2).load(Ordering::Acquire)
    }

    /// Word `number` of the available ring: 0 flags, 1 index, then the entries, then the used event.
    fn driver_word(&self, number: usize) -> &AtomicU16 {
        debug_assert!(number < 3 + usize::from(self.size));
        // SAFETY: the available ring has `size + 3` words inside the memory of `new`; they are shared with the device,
        // which only reads them, hence atomics.
        unsafe { &*self.memory.as_ptr().add(self.layout.driver + 2 * number).cast::<AtomicU16>() }
    }

    /// The word of the used ring at byte `offset` of the queue.
    fn device_word(&self, offset: usize) -> &AtomicU16 {
        debug_assert!(offset >= self.layout.device && offset + 2 <= self.layout.bytes);
        // SAFETY: the offset lies inside the memory of `new` and is even; the device writes the word, hence atomics.
        unsafe { &*self.memory.as_ptr().add(offset).cast::<AtomicU16>() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::{alloc_zeroed, dealloc};

    /// A queue together with the device's side of its memory.
    struct Pair {
        queue: SplitQueue,
        memory: NonNull<u8>,
        layout: std::alloc::Layout,
    }

    impl Pair {
        fn new(size: u16, event_index: bool) -> Self {
            let layout = std::alloc::Layout::from_size_align(Layout::new(size).bytes, Layout::ALIGN).unwrap();
            // SAFETY: the layout is not empty.
            let memory = NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap();
            // SAFETY: zeroed, aligned, and of the length the layout demands; freed after the queue.
            let queue = unsafe { SplitQueue::new(memory, size, event_index) };
            Self { queue, memory, layout }
        }

        fn word(&self, offset: usize) -> &AtomicU16 {
            // SAFETY: the tests stay inside the queue's memory.
            unsafe { &*self.memory.as_ptr().add(offset).cast() }
        }

        fn finish(&self, at: u16, index: u32, length: u32) {
            let layout = Layout::new(self.queue.size);
            let entry = layout.device + 4 + 8 * usize::from(at & (self.queue.size - 1));
            // SAFETY: the entry lies inside the queue's memory.
            unsafe {
                let entry = self.memory.as_ptr().add(entry).cast::<u32>();
                entry.write_volatile(index);
                entry.add(1).write_volatile(length);
            }
            self.word(layout.device + 2).store(at.wrapping_add(1), Ordering::Release);
        }
    }

    impl Drop for Pair {
        fn drop(&mut self) {
            // SAFETY: allocated in `new` with this layout.
            unsafe { dealloc(self.memory.as_ptr(), self.layout) }
        }
    }

    #[test]
    fn layout_is_the_legacy_one() {
        assert_eq!(Layout::new(256), Layout { driver: 4096, device: 8192, bytes: 8192 + 6 + 2048 });
        assert_eq!(Layout::new(128), Layout { driver: 2048, device: 4096, bytes: 4096 + 6 + 1024 });
    }

    #[test]
    fn sizes() {
        assert_eq!(size_for(1024), Some(256));
        assert_eq!(size_for(200), Some(128));
        assert_eq!(size_for(1), None);
        assert_eq!(size_for(0), None);
    }

    #[test]
    fn buffers_go_round_for_ever() {
        let mut pair = Pair::new(4, false);
        for round in 0..70_000u32 {
            let at = round as u16;
            pair.queue.offer(at & 3);
            assert!(pair.queue.publish());
            assert_eq!(pair.queue.take(), None);
            pair.finish(at, u32::from(at & 3), round);
            assert_eq!(pair.queue.take(), Some(Used { index: at & 3, length: round }));
        }
    }

    #[test]
    fn doorbell_only_where_the_device_wants_it() {
        let mut pair = Pair::new(8, true);
        let event = Layout::new(8).device + 4 + 64;
        assert!(!pair.queue.publish(), "nothing offered");
        pair.queue.offer(0);
        pair.queue.offer(1);
        assert!(pair.queue.publish(), "event 0 lies in 0..2");
        pair.queue.offer(2);
        assert!(!pair.queue.publish(), "the device did not ask again");
        pair.word(event).store(3, Ordering::Relaxed);
        pair.queue.offer(3);
        assert!(pair.queue.publish());
        let mut pair = Pair::new(8, false);
        pair.word(Layout::new(8).device).store(USED_NO_NOTIFY, Ordering::Relaxed);
        pair.queue.offer(0);
        assert!(!pair.queue.publish());
    }

    #[test]
    fn a_lying_device_is_not_followed() {
        let mut pair = Pair::new(4, true);
        for index in 0..3 {
            pair.queue.offer(index);
        }
        pair.queue.publish();
        pair.finish(0, 77, 1); // no such buffer
        pair.finish(1, 3, 1); // not the device's
        pair.finish(2, 2, 5);
        pair.finish(3, 2, 6); // twice
        assert_eq!(pair.queue.take(), Some(Used { index: 2, length: 5 }));
        assert_eq!(pair.queue.take(), None);
        pair.word(Layout::new(4).device + 2).store(4000, Ordering::Relaxed);
        assert_eq!(pair.queue.take(), None);
        assert!(!pair.queue.has_used());
    }

    #[test]
    fn enabling_interrupts_reports_what_came_meanwhile() {
        for event_index in [false, true] {
            let mut pair = Pair::new(4, event_index);
            pair.queue.suppress_interrupts();
            pair.queue.offer(0);
            pair.queue.publish();
            assert!(!pair.queue.enable_interrupts());
            pair.finish(0, 0, 9);
            assert!(pair.queue.enable_interrupts());
        }
    }
}
