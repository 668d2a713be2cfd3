//! The virtio entropy device (virtio 1.2 §5.4).
//!
//! It is asked at boot, and again whenever the generator wants more: octets that wait in memory would be part of a
//! snapshot, and the same in every copy of the machine.

use super::queue::{Layout, SplitQueue, size_for};
use super::transport::{Doorbell, Transport};
use super::{VirtioError, features};
use crate::base::lock::Lock;
use crate::drivers::generator;
use crate::kernel::time;
use crate::memory::Dma;
use core::ptr::NonNull;

/// How long one draw at boot may take, in nanoseconds: a host short of entropy must not hold up the boot.
const PATIENCE: time::Nanos = 200_000_000;
const DRAW_BYTES: usize = 64;
const DRAWS: usize = 4;

/// The device, once it has given something.
static DEVICE: Lock<Option<Device>> = Lock::new(None);

/// A device, its queue and the one buffer.
struct Device {
    queue: SplitQueue,
    doorbell: Doorbell,
    buffer: NonNull<u8>,
    /// Whether the device holds the buffer.
    asked: bool,
    /// What the queue and the buffer are in.
    memory: Dma,
}

// SAFETY: the buffer is in the memory that the device owns, and is accessed with `&mut self` only.
unsafe impl Send for Device {}

/// Draws from the device and mixes what it gives into the generator; keeps the device for `draw`.
pub fn start(mut transport: Transport) -> Result<(), VirtioError> {
    let mut device = Device::open(&mut transport)?;
    let mut result = Ok(());
    for _ in 0..DRAWS {
        result = device.draw(PATIENCE);
        if result.is_err() {
            break;
        }
    }
    if result.is_ok() {
        *DEVICE.lock() = Some(device);
    } else if transport.begin(0).is_err() {
        // A device that does not reset keeps the memory.
        core::mem::forget(device.memory);
    }
    result
}

/// Draws from the device, if there is one, and mixes what it gives within `patience` into the generator.
pub(crate) fn draw(patience: time::Nanos) {
    if let Some(device) = &mut *DEVICE.lock() {
        // What comes too late is taken in by the next draw.
        let _ = device.draw(patience);
    }
}

impl Device {
    fn open(transport: &mut Transport) -> Result<Self, VirtioError> {
        let agreed = transport.begin(features::ANY_LAYOUT)?;
        let size = size_for(transport.queue_limit(0)).ok_or(VirtioError::NoQueue(0))?;
        let pages = Layout::new(size).bytes.div_ceil(4096);
        let memory = Dma::allocate(pages + 1).ok_or(VirtioError::NoMemory)?;
        let doorbell = transport.set_queue(0, size, memory.phys())?;
        // SAFETY: zeroed, page aligned, long enough; kept together with the queue, and given back only after a reset.
        let mut queue = unsafe { SplitQueue::new(memory.virt(), size, agreed & features::EVENT_INDEX != 0) };
        // SAFETY: the last page of the allocation lies behind the queue.
        let buffer = unsafe { memory.virt().add(pages * 4096) };
        queue.describe(0, memory.phys() + (pages * 4096) as u64, DRAW_BYTES as u32, true);
        transport.finish();
        Ok(Self { queue, doorbell, buffer, asked: false, memory })
    }

    /// Asks once and waits; what an earlier draw did not wait for is taken in first.
    fn draw(&mut self, patience: time::Nanos) -> Result<(), VirtioError> {
        let deadline = time::monotonic() + patience;
        self.queue.suppress_interrupts();
        if self.asked {
            self.take(deadline)?;
        }
        self.queue.offer(0);
        self.asked = true;
        if self.queue.publish() {
            self.doorbell.ring();
        }
        self.take(deadline)
    }

    fn take(&mut self, deadline: time::Nanos) -> Result<(), VirtioError> {
        let used = loop {
            match self.queue.take() {
                Some(used) => break used,
                None if time::monotonic() > deadline => return Err(VirtioError::Timeout),
                None => core::hint::spin_loop(),
            }
        };
        self.asked = false;
        let mut seed = [0; DRAW_BYTES];
        // SAFETY: the buffer holds `DRAW_BYTES` bytes and the device gave it back.
        unsafe { core::ptr::copy_nonoverlapping(self.buffer.as_ptr(), seed.as_mut_ptr(), DRAW_BYTES) };
        generator::mix(&seed[..(used.length as usize).min(DRAW_BYTES)]);
        Ok(())
    }
}
