//! Putting threads into lists and taking them out.
//!
//! All functions want interrupts off, which is what makes a list ours alone.

use super::block::{Link, List, Thread};
use core::cell::Cell;

impl<const LINK: usize> List<LINK> {
    /// Returns the thread before `thread`.
    ///
    /// # Safety
    ///
    /// `thread` is in this list.
    pub(super) unsafe fn before(&self, thread: *mut Thread) -> Option<*mut Thread> {
        // SAFETY: the caller's promise.
        Some(unsafe { link::<LINK>(thread) }.get().previous).filter(|previous| !previous.is_null())
    }

    /// Returns the thread after `thread`.
    ///
    /// # Safety
    ///
    /// `thread` is in this list.
    pub(super) unsafe fn after(&self, thread: *mut Thread) -> Option<*mut Thread> {
        // SAFETY: the caller's promise.
        Some(unsafe { link::<LINK>(thread) }.get().next).filter(|next| !next.is_null())
    }

    /// Puts `thread` last.
    ///
    /// # Safety
    ///
    /// `thread` is alive as long as it is listed, and in no list by this link.
    pub(super) unsafe fn push_back(&self, thread: *mut Thread) {
        // SAFETY: the caller's promise.
        unsafe { self.insert_after(self.last.get(), thread) }
    }

    /// Puts `thread` after `previous`, or first if that is null.
    ///
    /// # Safety
    ///
    /// As for [`Self::push_back`]; `previous` is in this list.
    pub(super) unsafe fn insert_after(&self, previous: *mut Thread, thread: *mut Thread) {
        // SAFETY: the caller's promise; neighbours are in the list and so alive.
        unsafe {
            let next = if previous.is_null() { self.first.get() } else { link::<LINK>(previous).get().next };
            debug_assert!(!link::<LINK>(thread).get().linked, "a thread is put into two lists by one link");
            link::<LINK>(thread).set(Link { previous, next, linked: true });
            self.join(previous, thread);
            self.join(thread, next);
        }
    }

    /// Takes the first thread out.
    pub(super) fn pop_front(&self) -> Option<*mut Thread> {
        let thread = self.first()?;
        // SAFETY: it is in this list.
        unsafe { self.remove(thread) };
        Some(thread)
    }

    /// Takes `thread` out.
    ///
    /// # Safety
    ///
    /// `thread` is in this list, or in none by this link: then nothing happens.
    pub(super) unsafe fn remove(&self, thread: *mut Thread) {
        // SAFETY: the caller's promise.
        unsafe {
            let own = link::<LINK>(thread).replace(Link::UNLINKED);
            if own.linked {
                self.join(own.previous, own.next);
            }
        }
    }

    /// Makes `next` follow `previous`; null stands for the ends of the list.
    ///
    /// # Safety
    ///
    /// What is not null is in this list.
    unsafe fn join(&self, previous: *mut Thread, next: *mut Thread) {
        // SAFETY: the caller's promise.
        unsafe {
            match previous.is_null() {
                true => self.first.set(next),
                false => link::<LINK>(previous).set(Link { next, ..link::<LINK>(previous).get() }),
            }
            match next.is_null() {
                true => self.last.set(previous),
                false => link::<LINK>(next).set(Link { previous, ..link::<LINK>(next).get() }),
            }
        }
    }
}

/// Returns a thread's link.
///
/// # Safety
///
/// The thread is alive.
unsafe fn link<'a, const LINK: usize>(thread: *mut Thread) -> &'a Cell<Link> {
    // SAFETY: the caller's promise.
    unsafe { &(*thread).scheduling.links[LINK] }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::super::block::{Name, Priority, WAITING};
    use super::*;
    use core::ptr;
    use std::boxed::Box;
    use std::vec::Vec;

    fn thread() -> *mut Thread {
        Box::into_raw(Box::new(Thread::new(Name::new(b"test"), Priority::Worker, None, 0, None)))
    }

    #[test]
    fn keeps_order_through_insertion_and_removal() {
        let threads: Vec<_> = (0..4).map(|_| thread()).collect();
        let list = List::<WAITING>::new();
        // SAFETY: the threads are leaked and in no other list; the test is the only user.
        unsafe {
            list.push_back(threads[1]);
            list.insert_after(ptr::null_mut(), threads[0]);
            list.push_back(threads[3]);
            list.insert_after(threads[1], threads[2]);
            assert_eq!(list.before(threads[3]), Some(threads[2]));
            assert_eq!(list.after(threads[0]), Some(threads[1]));
            list.remove(threads[1]);
            list.remove(threads[1]);
            assert_eq!(list.last(), Some(threads[3]));
        }
        assert_eq!([list.pop_front(), list.pop_front()], [Some(threads[0]), Some(threads[2])]);
        assert_eq!([list.pop_front(), list.pop_front()], [Some(threads[3]), None]);
        assert!(list.is_empty());
    }
}
