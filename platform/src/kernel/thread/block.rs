//! What is kept of each thread, and what lists of threads are.

use super::keys::Values;
use crate::arch::BOOT_STACK;
use crate::kernel::time::Nanos;
use crate::memory::stacks::Stack;
use alloc::boxed::Box;
use core::cell::Cell;
use core::ffi::c_void;
use core::fmt;
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Which threads go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Runs as soon as it has something to do, whatever else runs.
    Network,
    /// Shares the processor with its equals; threads that wait much go before those that compute much.
    Worker,
}

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Has the processor.
    Running,
    /// Could use the processor.
    Ready,
    /// Sleeps until woken or until its deadline.
    Blocked,
    /// Has ended; its stack is not in use any longer once another thread runs.
    Dead,
}

/// Where a ready thread queues; a lower number goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// [`Priority::Network`].
    Network = 0,
    /// A worker that slept before its last slice was over.
    Responsive = 1,
    /// A worker that has used a whole slice.
    Busy = 2,
    /// Runs when no other can.
    Idle = 3,
}

/// A thread. It lives in a box whose address is its identity (`pthread_t`) and is freed when it was joined, or
/// once it has ended if it was detached.
///
/// Everything in `scheduling` belongs to the scheduler and is used with interrupts off only; the rest belongs to
/// the thread itself.
pub(crate) struct Thread {
    pub(super) scheduling: Scheduling,
    number: u32,
    pub(super) errno: Cell<i32>,
    pub(super) values: Values,
    pub(super) name: Cell<Name>,
    /// `None` for the thread the machine booted as.
    pub(super) stack: Option<Stack>,
    /// What FS points to while it runs: the thread-local block.
    pub(super) thread_pointer: usize,
    /// What it is to do, taken when it starts.
    pub(super) body: Cell<Option<Body>>,
    /// What it returned.
    pub(super) result: Cell<*mut c_void>,
    /// The threads that wait for its end.
    pub(super) ended: List<WAITING>,
}

/// The scheduler's part of a thread.
pub(super) struct Scheduling {
    pub(super) links: [Cell<Link>; 2],
    pub(super) state: Cell<State>,
    pub(super) priority: Priority,
    pub(super) level: Cell<Level>,
    /// What is left of the slice.
    pub(super) slice: Cell<Nanos>,
    /// The saved stack pointer while it does not run.
    pub(super) stack_pointer: Cell<usize>,
    /// When to wake it.
    pub(super) deadline: Cell<Nanos>,
    /// Whether its deadline is what woke it.
    pub(super) timed_out: Cell<bool>,
    /// The queue it sleeps in, to be taken out of at its deadline.
    pub(super) queue: Cell<*const List<WAITING>>,
    /// The address it sleeps on, in a futex queue.
    pub(super) address: Cell<usize>,
    /// Whether it is freed without having been joined.
    pub(super) detached: Cell<bool>,
}

/// The link by which a thread is in a ready queue or in the queue it sleeps in: never in both.
pub(super) const WAITING: usize = 0;
/// The link by which a thread is in the list of deadlines.
pub(super) const TIMED: usize = 1;

/// A thread's place in a list.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub(super) previous: *mut Thread,
    pub(super) next: *mut Thread,
    pub(super) linked: bool,
}

impl Link {
    pub(super) const UNLINKED: Self = Self { previous: ptr::null_mut(), next: ptr::null_mut(), linked: false };
}

/// A list of threads through each one's link number `LINK`. It needs no memory, and any thread is taken out at once.
#[derive(Debug)]
pub(super) struct List<const LINK: usize> {
    pub(super) first: Cell<*mut Thread>,
    pub(super) last: Cell<*mut Thread>,
}

impl<const LINK: usize> List<LINK> {
    pub(super) const fn new() -> Self {
        Self { first: Cell::new(ptr::null_mut()), last: Cell::new(ptr::null_mut()) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.get().is_null()
    }

    pub(super) fn first(&self) -> Option<*mut Thread> {
        Some(self.first.get()).filter(|first| !first.is_null())
    }

    pub(super) fn last(&self) -> Option<*mut Thread> {
        Some(self.last.get()).filter(|last| !last.is_null())
    }
}

/// What a thread does.
pub(crate) enum Body {
    /// A thread of the platform's own.
    Closure(Box<dyn FnOnce() + Send>),
    /// A thread of std's or C's: the function and its argument.
    Function(extern "C" fn(*mut c_void) -> *mut c_void, *mut c_void),
}

/// The next thread's number; the first, which runs nothing, is 0.
static NUMBERS: AtomicU32 = AtomicU32::new(0);

impl Thread {
    pub(super) fn new(
        name: Name,
        priority: Priority,
        stack: Option<Stack>,
        thread_pointer: usize,
        body: Option<Body>,
    ) -> Self {
        Self {
            scheduling: Scheduling {
                links: [const { Cell::new(Link::UNLINKED) }; 2],
                state: Cell::new(State::Running),
                priority,
                level: Cell::new(Level::Idle),
                slice: Cell::new(0),
                stack_pointer: Cell::new(0),
                deadline: Cell::new(0),
                timed_out: Cell::new(false),
                queue: Cell::new(ptr::null()),
                address: Cell::new(0),
                detached: Cell::new(false),
            },
            number: NUMBERS.fetch_add(1, Relaxed),
            errno: Cell::new(0),
            values: Values::new(),
            name: Cell::new(name),
            stack,
            thread_pointer,
            body: Cell::new(body),
            result: Cell::new(ptr::null_mut()),
            ended: List::new(),
        }
    }

    /// Returns its number, which no other thread has had (`gettid`).
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Returns its name.
    pub(crate) fn name(&self) -> Name {
        self.name.get()
    }

    /// Gives it a name.
    pub(crate) fn set_name(&self, name: Name) {
        self.name.set(name);
    }

    /// Returns the place of its `errno`.
    pub(crate) fn errno(&self) -> *mut i32 {
        self.errno.as_ptr()
    }

    /// Returns its values under the keys of `pthread_key_create`.
    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    /// Returns the addresses of its stack.
    pub(crate) fn stack(&self) -> Range<usize> {
        self.stack.as_ref().map_or(BOOT_STACK.range(), Stack::room)
    }

    /// Returns the address of its guard page.
    pub(crate) fn guard(&self) -> usize {
        self.stack.as_ref().map_or(BOOT_STACK.guard(), Stack::guard)
    }
}

/// A thread's name: as on Linux at most 15 octets, the rest is cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name([u8; 15]);

impl Name {
    /// Returns the name `octets` up to the first zero.
    pub(crate) fn new(octets: &[u8]) -> Self {
        let mut name = [0; 15];
        for (to, &from) in name.iter_mut().zip(octets.iter().take_while(|&&octet| octet != 0)) {
            *to = from;
        }
        Self(name)
    }

    /// Returns the name's octets.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.split(|&octet| octet == 0).next().unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for chunk in self.as_bytes().utf8_chunks() {
            f.write_str(chunk.valid())?;
        }
        f.write_str("\"")
    }
}
