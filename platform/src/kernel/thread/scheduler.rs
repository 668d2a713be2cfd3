//! Which thread runs: ready queues by level, deadlines, slices, and the switch.
//!
//! All of it is used with interrupts off, which on its own processor makes a set of steps indivisible: to look, to
//! queue up and to give the processor away is one step, so no wake-up falls between.
//!
//! Ready threads queue by level. The network thread goes first. Workers start *responsive*; one that uses up a
//! whole slice becomes *busy* and yields to responsive ones, until it sleeps again. So that busy threads get on
//! however much the others do, the first of them is made responsive once they have waited for [`PATIENCE`].
//!
//! There is no periodic tick. The timer is set to the next deadline or, while another thread of the level waits,
//! to the end of the slice; with nothing to do the processor halts.
//!
//! What a firing of the timer is for is used up by it: a deadline that has come is taken off the list, the end of a
//! slice is noted in [`due`] and not waited for again until that has been weighed. So the timer is never set twice to a
//! moment that has passed for one and the same thing. It matters: a timer that is set to the past fires, under KVM, before
//! the interrupted thread has executed one instruction, and one that is set so each time would keep it from ever
//! releasing the lock for which it may not be switched away from. [`Storm`] is for the mistake in that reasoning.

use super::block::{Level, List, Priority, Scheduling, State, TIMED, Thread, WAITING};
use super::storm::Storm;
use crate::arch::context::{reset_x87, switch};
use crate::arch::{InterruptsOff, Processor, ThreadName, interrupts, tls};
use crate::base::lock::IrqLock;
use crate::base::percpu::PerCpu;
use crate::kernel::time::{self, Nanos};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering::Relaxed};

/// How long a worker computes before its equals get their turn.
const SLICE: Nanos = 10_000_000;
/// How long busy workers wait for responsive ones before one of them is taken for responsive.
const PATIENCE: Nanos = 50_000_000;

/// All that is kept for the processor the machine boots on.
static BOOT_PROCESSOR: PerCpu<Local> = PerCpu::boot(Local {
    current: AtomicPtr::new(ptr::null_mut()),
    scheduler: IrqLock::new(Scheduler {
        ready: [const { List::new() }; 3],
        deadlines: List::new(),
        idle: ptr::null_mut(),
        since: 0,
        busy_since: 0,
        armed: Nanos::MAX,
        storm: Storm::new(),
    }),
});

/// What the scheduler keeps for each processor, in [`PerCpu`].
struct Local {
    /// The thread that has the processor; null until threads exist.
    current: AtomicPtr<Thread>,
    /// Which thread runs next. Other processors will lock it to wake a thread here.
    scheduler: IrqLock<Scheduler>,
}

/// Returns the hardware's part of what is kept for the processor the machine boots on.
pub(crate) fn boot_processor() -> &'static Processor {
    &BOOT_PROCESSOR.processor
}

/// Returns what is kept for the processor that runs this code.
#[inline]
fn local() -> &'static Local {
    // SAFETY: every processor's structure is made here, with this type.
    unsafe { &PerCpu::current_with().kernel }
}

/// Returns the flag that the running thread should give way but could not at that moment.
#[inline]
fn due() -> &'static AtomicBool {
    &PerCpu::current().due
}

fn preemptible() -> bool {
    PerCpu::current().is_preemptible()
}

struct Scheduler {
    /// Ready threads by [`Level`].
    ready: [List<WAITING>; 3],
    /// Threads with a deadline, earliest first.
    deadlines: List<TIMED>,
    idle: *mut Thread,
    /// Since when the running thread has had the processor.
    since: Nanos,
    /// Since when the busy level has had nothing of the processor.
    busy_since: Nanos,
    /// When the timer will fire.
    armed: Nanos,
    storm: Storm,
}

// SAFETY: the threads it points to are reached with interrupts off only, by the processor whose scheduler it is.
unsafe impl Send for Scheduler {}

/// Returns the running thread.
pub(crate) fn current() -> &'static Thread {
    match try_current() {
        Some(thread) => thread,
        None => crate::fatal!("threads are used before they exist"),
    }
}

/// Returns the running thread, or `None` before threads exist.
pub(super) fn try_current() -> Option<&'static Thread> {
    // SAFETY: the running thread is alive, and what uses the reference runs on it.
    unsafe { local().current.load(Relaxed).as_ref() }
}

/// Returns the scheduler's part of a thread.
///
/// # Safety
///
/// The thread is alive and interrupts are off.
pub(super) unsafe fn part<'a>(thread: *mut Thread) -> &'a Scheduling {
    // SAFETY: the caller's promise.
    unsafe { &(*thread).scheduling }
}

/// Returns whether the running context may sleep.
pub(crate) fn may_block() -> bool {
    let idle = |thread: &Thread| thread.scheduling.level.get() == Level::Idle;
    try_current().is_some_and(|thread| !idle(thread)) && preemptible() && interrupts::are_enabled()
}

/// Makes `thread`, which is the context the machine booted in, the running and the idle thread.
pub(crate) fn adopt_boot(thread: *mut Thread) {
    let mut scheduler = local().scheduler.lock();
    scheduler.idle = thread;
    scheduler.since = time::monotonic();
    // SAFETY: never freed; its thread pointer is a valid thread-local block.
    unsafe { tls::set_pointer((*thread).thread_pointer) };
    local().current.store(thread, Relaxed);
}

/// Gives the processor to whatever thread is ready and, when none is any more, halts it until an interrupt. For the idle
/// thread.
pub(super) fn rest() {
    interrupts::disable();
    reschedule(false);
    // A wake-up since then came by an interrupt, which switched by itself; one from here on ends the halt,
    // for enabling interrupts takes effect only after it has begun.
    interrupts::enable_and_halt();
}

/// Puts a thread that has never run among the ready.
pub(super) fn enter(thread: *mut Thread) {
    let mut scheduler = local().scheduler.lock();
    // SAFETY: alive until it ends, and not known to other threads yet; interrupts are off.
    let part = unsafe { part(thread) };
    part.slice.set(SLICE);
    part.level.set(match part.priority {
        Priority::Network => Level::Network,
        Priority::Worker => Level::Responsive,
    });
    scheduler.make_ready(thread);
    drop(scheduler);
    reschedule_if_due();
}

/// Lets the others of the level go first.
pub(crate) fn yield_now() {
    let _interrupts = InterruptsOff::new();
    if preemptible() {
        reschedule(true);
    }
}

/// Sleeps until `deadline`.
pub(crate) fn sleep_until(deadline: Nanos) {
    let _interrupts = InterruptsOff::new();
    block(ptr::null(), 0, Some(deadline), || ());
}

/// Puts the running thread into `queue` under `address`, calls `release`, and sleeps until woken or until
/// `deadline`. Returns whether it was woken.
///
/// Interrupts must be off; they still are on return.
pub(super) fn block(
    queue: *const List<WAITING>,
    address: usize,
    deadline: Option<Nanos>,
    release: impl FnOnce(),
) -> bool {
    debug_assert!(!interrupts::are_enabled(), "a wake-up could be lost");
    let thread = local().current.load(Relaxed);
    {
        let mut scheduler = local().scheduler.lock();
        if thread.is_null() || thread == scheduler.idle {
            drop(scheduler);
            crate::fatal!("the idle thread cannot sleep");
        }
        // SAFETY: the running thread, interrupts off.
        let part = unsafe { part(thread) };
        part.state.set(State::Blocked);
        part.timed_out.set(false);
        part.queue.set(queue);
        part.address.set(address);
        if !queue.is_null() {
            // SAFETY: the queue belongs to an owner that waits here, so it outlives the wait; a running thread is in
            // no queue.
            unsafe { (*queue).push_back(thread) };
        }
        if let Some(deadline) = deadline {
            scheduler.add_deadline(thread, deadline);
        }
    }
    release();
    if !preemptible() {
        crate::fatal!("thread {} would sleep while it holds a lock", ThreadName);
    }
    reschedule(false);
    // SAFETY: the running thread again, interrupts off.
    !unsafe { part(thread) }.timed_out.get()
}

/// Makes a sleeping thread ready. Taking it out of its queue is part of it.
///
/// # Safety
///
/// The thread is alive and blocked, and interrupts are off.
pub(super) unsafe fn wake(thread: *mut Thread) {
    // SAFETY: the caller's promise.
    unsafe { local().scheduler.lock().wake(thread, false) };
}

/// Switches threads if the running one should give way and may.
#[inline]
pub(crate) fn reschedule_if_due() {
    if due().load(Relaxed) && preemptible() && interrupts::are_enabled() {
        let _interrupts = InterruptsOff::new();
        reschedule(false);
    }
}

/// The same at the end of an interrupt; interrupts are off.
pub(crate) fn reschedule_from_interrupt() {
    if due().load(Relaxed) && preemptible() {
        // The next thread may have been switched from in a call, and expects as after any call an empty x87 stack.
        reset_x87();
        reschedule(false);
    }
}

/// Wakes whose deadline has come, and ends a slice that is over; called by the timer's interrupt.
pub(crate) fn timer_fired() {
    let now = time::monotonic();
    let mut scheduler = local().scheduler.lock();
    scheduler.armed = Nanos::MAX;
    let woken = scheduler.expire(now);
    let thread = local().current.load(Relaxed);
    // SAFETY: the running thread, interrupts off.
    let part = unsafe { part(thread) };
    let over = scheduler.contested(part.level.get()) && now.saturating_sub(scheduler.since) >= part.slice.get();
    // Noted in any case, or the end of the slice would be waited for once more although it has passed.
    let noted = over && !due().swap(true, Relaxed);
    let storm = scheduler.storm.fired(now, woken || noted);
    scheduler.arm();
    drop(scheduler);
    if storm {
        crate::kprintln!(
            "zonule: timer storm: the timer fires again and again with nothing due (thread {}); kept a millisecond \
             apart from now on. Please report this",
            ThreadName
        );
    }
}

/// Ends the running thread: no other switches back to it. Interrupts are off.
pub(super) fn end() -> ! {
    // SAFETY: the running thread, interrupts off.
    unsafe { part(local().current.load(Relaxed)) }.state.set(State::Dead);
    reschedule(false);
    crate::fatal!("a thread that had ended was given the processor");
}

/// Gives the processor to the thread whose turn it is, possibly the running one; `yielding` puts that behind its equals.
/// Interrupts are off.
fn reschedule(yielding: bool) {
    let old = local().current.load(Relaxed);
    let new = local().scheduler.lock().choose(old, yielding);
    if new == old {
        return;
    }
    local().current.store(new, Relaxed);
    // SAFETY: both are alive: a thread that has ended is freed by another, later. Interrupts are off, `new` was
    // saved by a switch or prepared by its creator, and the lock is free for the thread that runs next.
    unsafe {
        tls::set_pointer((*new).thread_pointer);
        switch(part(old).stack_pointer.as_ptr(), part(new).stack_pointer.get());
    }
}

impl Scheduler {
    /// Settles the running thread's account and chooses the thread that runs next.
    fn choose(&mut self, old: *mut Thread, yielding: bool) -> *mut Thread {
        let now = time::monotonic();
        self.expire(now);
        // SAFETY: the running thread, interrupts off.
        let part = unsafe { part(old) };
        let used = now.saturating_sub(core::mem::replace(&mut self.since, now));
        part.slice.set(part.slice.get().saturating_sub(used));
        if part.level.get() == Level::Busy {
            self.busy_since = now;
        }
        if part.state.get() == State::Running && part.level.get() != Level::Idle {
            part.state.set(State::Ready);
            let over = part.slice.get() == 0;
            if over {
                part.slice.set(SLICE);
                if part.level.get() == Level::Responsive {
                    self.enter_busy(now);
                    part.level.set(Level::Busy);
                }
            }
            let queue = &self.ready[part.level.get() as usize];
            // SAFETY: a running thread is in no queue. A thread that was merely interrupted goes on before its equals.
            unsafe { if over || yielding { queue.push_back(old) } else { queue.insert_after(ptr::null_mut(), old) } };
        }
        self.promote(now);
        let new = self.ready.iter().find_map(List::pop_front).unwrap_or(self.idle);
        // SAFETY: alive, interrupts off.
        let part = unsafe { self::part(new) };
        part.state.set(State::Running);
        // Whatever was due has been weighed.
        due().store(false, Relaxed);
        self.arm_for(part);
        new
    }

    /// Makes a sleeping thread ready.
    ///
    /// # Safety
    ///
    /// The thread is alive and blocked.
    unsafe fn wake(&mut self, thread: *mut Thread, timed_out: bool) {
        // SAFETY: the caller's promise; interrupts are off while the scheduler is locked.
        let part = unsafe { part(thread) };
        debug_assert!(part.state.get() == State::Blocked, "a thread that does not sleep is woken");
        part.timed_out.set(timed_out);
        let queue = part.queue.replace(ptr::null());
        // SAFETY: it is in that queue, which lives as long as anyone sleeps in it, and in the other list or none.
        unsafe {
            if let Some(queue) = queue.as_ref() {
                queue.remove(thread);
            }
            self.deadlines.remove(thread);
        }
        // A thread that has slept is not busy.
        part.slice.set(SLICE);
        if part.level.get() == Level::Busy {
            part.level.set(Level::Responsive);
        }
        self.make_ready(thread);
    }

    /// Queues a thread up behind its equals.
    fn make_ready(&mut self, thread: *mut Thread) {
        // SAFETY: the caller's thread, alive and in no queue; interrupts are off.
        let part = unsafe { part(thread) };
        part.state.set(State::Ready);
        // SAFETY: as above.
        unsafe { self.ready[part.level.get() as usize].push_back(thread) };
        // SAFETY: the running thread, interrupts off.
        let running = unsafe { self::part(local().current.load(Relaxed)) };
        if part.level.get() < running.level.get() {
            due().store(true, Relaxed);
        } else {
            self.arm();
        }
    }

    /// Wakes every thread whose deadline has come; returns whether there was one.
    fn expire(&mut self, now: Nanos) -> bool {
        let mut any = false;
        while let Some(thread) = self.deadlines.first() {
            // SAFETY: listed, so alive; interrupts are off.
            if unsafe { part(thread) }.deadline.get() > now {
                break;
            }
            // SAFETY: it is listed, so it sleeps.
            unsafe { self.wake(thread, true) };
            any = true;
        }
        any
    }

    /// Lists a thread among those to be woken, by its deadline.
    fn add_deadline(&mut self, thread: *mut Thread, deadline: Nanos) {
        // SAFETY: the running thread, interrupts off.
        unsafe { part(thread) }.deadline.set(deadline);
        // From the end: most deadlines are as far off as the one before.
        let mut previous = self.deadlines.last();
        while let Some(candidate) = previous {
            // SAFETY: listed, so alive; interrupts are off.
            if unsafe { part(candidate) }.deadline.get() <= deadline {
                break;
            }
            // SAFETY: it is in the list.
            previous = unsafe { self.deadlines.before(candidate) };
        }
        // SAFETY: the running thread has no other deadline.
        unsafe { self.deadlines.insert_after(previous.unwrap_or(ptr::null_mut()), thread) };
    }

    /// Notes that somebody is about to join the busy level: if it was empty, its wait begins.
    fn enter_busy(&mut self, now: Nanos) {
        if self.ready[Level::Busy as usize].is_empty() {
            self.busy_since = now;
        }
    }

    /// Makes the first busy thread responsive if the level has waited for too long.
    fn promote(&mut self, now: Nanos) {
        if now.saturating_sub(self.busy_since) < PATIENCE {
            return;
        }
        self.busy_since = now;
        if let Some(thread) = self.ready[Level::Busy as usize].pop_front() {
            // SAFETY: listed, so alive; interrupts are off; it is in no queue now.
            unsafe {
                part(thread).level.set(Level::Responsive);
                part(thread).slice.set(SLICE);
                self.ready[Level::Responsive as usize].push_back(thread);
            }
        }
    }

    /// Returns whether the slice of a running thread of `level` matters: whether another waits for its end.
    fn contested(&self, level: Level) -> bool {
        let waiting = |level: Level| !self.ready[level as usize].is_empty();
        match level {
            Level::Network => waiting(Level::Network),
            Level::Responsive => waiting(Level::Responsive) || waiting(Level::Busy),
            Level::Busy => waiting(Level::Busy),
            Level::Idle => false,
        }
    }

    /// Sets the timer for the running thread.
    fn arm(&mut self) {
        // SAFETY: the running thread, interrupts off.
        self.arm_for(unsafe { part(local().current.load(Relaxed)) });
    }

    /// Sets the timer to what comes first: a deadline or the end of `running`'s slice. A timer set to an earlier
    /// moment is left alone, for setting it is dear; it will fire for nothing once.
    fn arm_for(&mut self, running: &Scheduling) {
        let mut next = Nanos::MAX;
        if let Some(thread) = self.deadlines.first() {
            // SAFETY: listed, so alive; interrupts are off.
            next = unsafe { part(thread) }.deadline.get();
        }
        if !due().load(Relaxed) && self.contested(running.level.get()) {
            next = next.min(self.since + running.slice.get());
        }
        if next < self.armed || self.armed != Nanos::MAX && time::timer::is_stale() {
            next = self.storm.earliest(next.min(self.armed), time::monotonic);
            self.armed = next;
            time::timer::set(next);
        }
    }
}
