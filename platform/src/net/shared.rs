//! The state that socket calls share with the network thread: the stack, and the event that wakes the thread.

use core::sync::atomic::{AtomicBool, Ordering};

use super::stack::Stack;
use crate::base::lock::Lock;
use crate::kernel::thread::Event;

/// The stack, once the network was started.
pub(super) static NET: Lock<Option<Stack>> = Lock::new(None);
/// The event that wakes the network thread: an interrupt, or [`call`].
pub(super) static EVENT: Event = Event::new();
/// Whether the network thread was asked to process the stack since it last did.
pub(super) static CALLED: AtomicBool = AtomicBool::new(false);

/// Wakes the network thread because sockets have something to send.
pub(super) fn call() {
    CALLED.store(true, Ordering::Release);
    EVENT.signal();
}
