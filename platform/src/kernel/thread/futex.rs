//! Sleeping on the value of a word, as futex(2): what std's locks build on.

use super::scheduler::{block, reschedule_if_due, wake};
use super::wait::WaitQueue;
use crate::arch::InterruptsOff;
use crate::kernel::time::Nanos;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// Sleepers are spread over this many queues by their address.
const QUEUES: usize = 64;

static SLEEPERS: [WaitQueue; QUEUES] = [const { WaitQueue::new() }; QUEUES];

/// How a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Somebody woke it.
    Woken,
    /// The word had another value, so it did not sleep.
    Changed,
    /// The deadline came.
    TimedOut,
}

/// Sleeps while `word` holds `expected`, until woken or until `deadline`.
pub(crate) fn wait(word: &AtomicU32, expected: u32, deadline: Option<Nanos>) -> Outcome {
    let address = word.as_ptr() as usize;
    // From the look at the word to the sleep no other thread runs: no wake-up is missed.
    let _interrupts = InterruptsOff::new();
    if word.load(SeqCst) != expected {
        return Outcome::Changed;
    }
    match block(queue(address).list(), address, deadline, || ()) {
        true => Outcome::Woken,
        false => Outcome::TimedOut,
    }
}

/// Wakes up to `most` threads that sleep on the word at `address`; returns how many.
pub(crate) fn wake_up(address: usize, most: usize) -> usize {
    let interrupts = InterruptsOff::new();
    let list = queue(address).list();
    let (mut next, mut woken) = (list.first(), 0);
    while let Some(thread) = next.filter(|_| woken < most) {
        // SAFETY: it is in the list, so asleep and alive; interrupts are off.
        unsafe {
            next = list.after(thread);
            if (*thread).scheduling.address.get() == address {
                wake(thread);
                woken += 1;
            }
        }
    }
    drop(interrupts);
    reschedule_if_due();
    woken
}

fn queue(address: usize) -> &'static WaitQueue {
    // Words are 4 octets apart and objects often 16 or more: mix what distinguishes them.
    &SLEEPERS[(address >> 2 ^ address >> 8) % QUEUES]
}
