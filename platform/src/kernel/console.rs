//! The console: lines of several threads, one after the other.

use super::fd::{self, Errno, File, Readiness};
use super::thread::{self, WaitQueue};
use crate::arch::serial;
use crate::base::lock::Lock;
use crate::base::report;
use alloc::sync::Arc;
use core::any::Any;

/// Whether a thread is writing. Not held as a [`Lock`] while writing: the port is slow and the network waits.
static BUSY: Lock<bool> = Lock::new(false);
static FREE: WaitQueue = WaitQueue::new();

/// Has threads take turns from now on, and opens the console as descriptors 0, 1 and 2; called once, by a thread, before
/// std runs.
pub(crate) fn start() {
    report::register(write);
    let console: Arc<dyn File> = Arc::new(Console);
    for _ in 0..3 {
        // The table is empty: there is room.
        let _ = fd::insert(console.clone());
    }
}

/// Writes octets as they come, in one piece if they are at most one line.
fn write(octets: &[u8]) {
    // Where nothing may block, another thread's line is cut into rather than a word lost.
    if !thread::may_block() {
        return serial::write_now(octets);
    }
    let mut busy = BUSY.lock();
    while *busy {
        busy = FREE.wait(busy, None).0;
    }
    *busy = true;
    drop(busy);
    serial::write_now(octets);
    *BUSY.lock() = false;
    FREE.wake_one();
}

/// The console as a file: writes go out, reads find the end.
struct Console;

impl File for Console {
    fn read(&self, _: &mut [u8]) -> Result<usize, Errno> {
        Ok(0)
    }

    fn write(&self, octets: &[u8]) -> Result<usize, Errno> {
        write(octets);
        Ok(octets.len())
    }

    fn readiness(&self) -> Readiness {
        libc::POLLIN | libc::POLLOUT
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
