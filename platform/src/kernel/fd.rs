//! The descriptor table: small numbers for what std reads from and writes to.
//!
//! As on Linux a number names an open file that other numbers may name too; the file is closed when the last of
//! them is, or when the last call under way on it returns.

use super::thread::WaitQueue;
use super::time::Nanos;
use crate::base::lock::Lock;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

/// The most descriptors open at a time, the console's included.
const MOST: usize = 1024;

/// A Linux error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

/// What a file is ready for, in the bits of `poll` (`POLLIN`, `POLLOUT`, `POLLERR`, `POLLHUP`).
pub type Readiness = i16;

/// What a descriptor names. Dropping it closes it.
pub trait File: Any + Send + Sync {
    /// Reads into `out`, blocking unless set not to; 0 is the end.
    ///
    /// # Errors
    ///
    /// As read(2).
    fn read(&self, out: &mut [u8]) -> Result<usize, Errno>;

    /// Writes from `octets`, blocking unless set not to.
    ///
    /// # Errors
    ///
    /// As write(2).
    fn write(&self, octets: &[u8]) -> Result<usize, Errno>;

    /// Returns what the file is ready for now. When that changes, the file calls [`changed`].
    fn readiness(&self) -> Readiness;

    /// Returns whether calls return `EAGAIN` rather than block.
    fn nonblocking(&self) -> bool {
        false
    }

    /// Sets whether calls return `EAGAIN` rather than block.
    fn set_nonblocking(&self, on: bool) {
        let _ = on;
    }

    /// Returns the file as what it is, for calls that are for one kind only.
    fn as_any(&self) -> &dyn Any;
}

/// The table; a number's place may be empty.
static TABLE: Lock<Vec<Option<Arc<dyn File>>>> = Lock::new(Vec::new());

/// A count of changes, so that none is missed, and the threads that wait in [`poll`].
static CHANGES: Lock<u64> = Lock::new(0);
static POLLING: WaitQueue = WaitQueue::new();

/// Gives `file` the lowest free descriptor.
///
/// # Errors
///
/// `EMFILE` if too many are open, `ENOMEM` if there is no memory for the table.
pub fn insert(file: Arc<dyn File>) -> Result<i32, Errno> {
    insert_from(file, 0)
}

/// Gives `file` the lowest free descriptor that is at least `from`.
///
/// # Errors
///
/// As [`insert`]; `EINVAL` if `from` is beyond what can be open.
pub(crate) fn insert_from(file: Arc<dyn File>, from: usize) -> Result<i32, Errno> {
    if from >= MOST {
        return Err(Errno(libc::EINVAL));
    }
    let mut table = TABLE.lock();
    let free = (from..table.len()).find(|&at| table[at].is_none()).unwrap_or(table.len().max(from));
    if free >= MOST {
        return Err(Errno(libc::EMFILE));
    }
    if free >= table.len() {
        let more = free + 1 - table.len();
        table.try_reserve(more).map_err(|_| Errno(libc::ENOMEM))?;
        table.resize(free + 1, None);
    }
    table[free] = Some(file);
    Ok(free as i32)
}

/// Returns what `descriptor` names.
///
/// # Errors
///
/// `EBADF` if it names nothing.
pub fn get(descriptor: i32) -> Result<Arc<dyn File>, Errno> {
    let table = TABLE.lock();
    let place = usize::try_from(descriptor).ok().and_then(|at| table.get(at));
    place.and_then(Option::clone).ok_or(Errno(libc::EBADF))
}

/// Frees `descriptor`.
///
/// # Errors
///
/// `EBADF` if it names nothing.
pub fn close(descriptor: i32) -> Result<(), Errno> {
    let file = {
        let mut table = TABLE.lock();
        let place = usize::try_from(descriptor).ok().and_then(|at| table.get_mut(at));
        place.and_then(Option::take).ok_or(Errno(libc::EBADF))?
    };
    drop(file); // not under the lock: closing may take others
    changed();
    Ok(())
}

/// Says that some file's readiness has changed.
pub fn changed() {
    *CHANGES.lock() += 1;
    POLLING.wake_all();
}

/// Asks every entry's file for its readiness until one has something to say or until `deadline`; returns how
/// many have.
pub(crate) fn poll(entries: &mut [libc::pollfd], deadline: Option<Nanos>) -> usize {
    loop {
        let seen = *CHANGES.lock();
        let mut ready = 0;
        for entry in entries.iter_mut() {
            // Negative descriptors are skipped; errors are reported whether asked for or not (poll(2)).
            let always = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;
            entry.revents = match (entry.fd, get(entry.fd)) {
                (..0, _) => 0,
                (_, Ok(file)) => file.readiness() & (entry.events | always),
                (_, Err(_)) => libc::POLLNVAL,
            };
            ready += usize::from(entry.revents != 0);
        }
        if ready > 0 {
            return ready;
        }
        let mut changes = CHANGES.lock();
        while *changes == seen {
            let timed_out;
            (changes, timed_out) = POLLING.wait(changes, deadline);
            if timed_out {
                return 0;
            }
        }
    }
}
