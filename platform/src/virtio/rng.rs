//! The virtio entropy device (virtio 1.2 §5.4), drawn from once at boot.

use super::queue::{Layout, SplitQueue, size_for};
use super::transport::Transport;
use super::{VirtioError, features};
use crate::memory::Dma;
use crate::time;

/// How long one draw may take, in nanoseconds: a host short of entropy must not hold up the boot.
const PATIENCE: time::Nanos = 200_000_000;
const DRAW_BYTES: usize = 64;
const DRAWS: usize = 4;

/// Draws from the device and mixes what it gives into the generator. Returns the number of bytes mixed in.
pub fn draw(mut transport: Transport) -> Result<usize, VirtioError> {
    let agreed = transport.begin(features::ANY_LAYOUT)?;
    let size = size_for(transport.queue_limit(0)).ok_or(VirtioError::NoQueue(0))?;
    let pages = Layout::new(size).bytes.div_ceil(4096);
    let memory = Dma::allocate(pages + 1).ok_or(VirtioError::NoMemory)?;
    let doorbell = transport.set_queue(0, size, memory.phys())?;
    // SAFETY: zeroed, page aligned, long enough; the device is reset before the memory could go, and it is leaked if not.
    let mut queue = unsafe { SplitQueue::new(memory.virt(), size, agreed & features::EVENT_INDEX != 0) };
    queue.suppress_interrupts();
    // SAFETY: the last page of the allocation lies behind the queue.
    let buffer = unsafe { memory.virt().add(pages * 4096) };
    queue.describe(0, memory.phys() + (pages * 4096) as u64, DRAW_BYTES as u32, true);
    transport.finish();

    let mut mixed = 0;
    let mut result = Ok(());
    for _ in 0..DRAWS {
        queue.offer(0);
        if queue.publish() {
            doorbell.ring();
        }
        let deadline = time::monotonic() + PATIENCE;
        let used = loop {
            match queue.take() {
                Some(used) => break Some(used),
                None if time::monotonic() > deadline => break None,
                None => core::hint::spin_loop(),
            }
        };
        let Some(used) = used else {
            result = Err(VirtioError::Timeout);
            break;
        };
        let length = (used.length as usize).min(DRAW_BYTES);
        let mut seed = [0; DRAW_BYTES];
        // SAFETY: the buffer holds `DRAW_BYTES` bytes and the device gave it back.
        unsafe { core::ptr::copy_nonoverlapping(buffer.as_ptr(), seed.as_mut_ptr(), DRAW_BYTES) };
        crate::entropy::mix(&seed[..length]);
        mixed += length;
    }
    // After the reset the device no longer touches the memory; one that does not reset keeps it.
    if transport.begin(0).is_err() || result.is_err() {
        core::mem::forget(memory);
    }
    if mixed > 0 { Ok(mixed) } else { result.map(|()| 0) }
}
