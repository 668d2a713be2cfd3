//! Threads and what they wait on.

use crate::{Check, Outcome, ensure};
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Barrier, Condvar, Mutex, Once, OnceLock, RwLock};
use std::thread;
use std::time::{Duration, Instant};
use zonule_platform::{memory, sync, thread as platform, time};

pub(crate) const CHECKS: &[Check] = &[
    ("a thread returns its result and has its name", results),
    ("scoped threads share what they borrow", scoped),
    ("Mutex under contention", mutex),
    ("RwLock, Once, OnceLock, Barrier", others),
    ("Condvar wakes and times out", condvar),
    ("20,000 turns through a Condvar lose no wake-up", turns),
    ("mpsc with timeouts", channels),
    ("park, unpark and park_timeout", park),
    ("thread-locals are per thread and destroyed at its end", locals),
    ("threads get on beside one that never sleeps", preemption),
    ("threads that never sleep share the processor", sharing),
    ("200 threads leave no memory behind", no_growth),
    ("detached threads leave no memory behind", detached),
    ("many threads at once", many),
    ("a thread with a small stack", small_stack),
    ("the network thread runs as soon as it is signalled", network_first),
    ("an event keeps its signal and honours its deadline", event),
    ("a wait queue honours its deadline", wait_queue),
];

fn results() -> Outcome {
    let named = thread::Builder::new().name("named".into()).spawn(|| thread::current().name().map(str::to_owned));
    let name = named.map_err(|e| e.to_string())?.join().map_err(|_| "panicked")?;
    ensure!(name.as_deref() == Some("named"), "the name is {name:?}");
    let sums: u64 = (0..10_u64).map(|i| thread::spawn(move || i * i)).filter_map(|t| t.join().ok()).sum();
    ensure!(sums == 285, "the sum is {sums}");
    Ok(())
}

fn scoped() -> Outcome {
    let mut parts = [0_u32; 8];
    thread::scope(|scope| {
        for (index, part) in parts.iter_mut().enumerate() {
            scope.spawn(move || *part = index as u32 + 1);
        }
    });
    ensure!(parts.iter().sum::<u32>() == 36, "{parts:?}");
    Ok(())
}

fn mutex() -> Outcome {
    let count = Mutex::new(0_u64);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for turn in 0..2000 {
                    let mut held = count.lock().unwrap_or_else(|e| e.into_inner());
                    let seen = *held;
                    if turn % 64 == 0 {
                        thread::yield_now();
                    }
                    *held = seen + 1;
                }
            });
        }
    });
    let count = count.into_inner().map_err(|e| e.to_string())?;
    ensure!(count == 16_000, "counted to {count}");
    Ok(())
}

fn others() -> Outcome {
    static ONCE: Once = Once::new();
    static LOCK: OnceLock<u32> = OnceLock::new();
    let (runs, shared, barrier) = (AtomicU32::new(0), RwLock::new(0), Barrier::new(4));
    thread::scope(|scope| {
        for number in 0..4 {
            let (runs, shared, barrier) = (&runs, &shared, &barrier);
            scope.spawn(move || {
                barrier.wait();
                ONCE.call_once(|| {
                    thread::sleep(Duration::from_millis(5));
                    runs.fetch_add(1, SeqCst);
                });
                LOCK.get_or_init(|| number);
                for _ in 0..100 {
                    *shared.write().unwrap_or_else(|e| e.into_inner()) += 1;
                    thread::yield_now();
                    drop(shared.read());
                }
                barrier.wait();
            });
        }
    });
    let (runs, shared) = (runs.into_inner(), shared.into_inner().map_err(|e| e.to_string())?);
    ensure!((runs, shared) == (1, 400) && LOCK.get().is_some(), "once {runs}, shared {shared}");
    Ok(())
}

fn condvar() -> Outcome {
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let setter = {
        let pair = pair.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            *pair.0.lock().unwrap_or_else(|e| e.into_inner()) = true;
            pair.1.notify_one();
        })
    };
    let held = pair.0.lock().map_err(|e| e.to_string())?;
    let (held, timeout) =
        pair.1.wait_timeout_while(held, Duration::from_secs(20), |set| !*set).map_err(|e| e.to_string())?;
    ensure!(*held && !timeout.timed_out(), "not woken");
    let began = Instant::now();
    let (held, timeout) = pair.1.wait_timeout(held, Duration::from_millis(15)).map_err(|e| e.to_string())?;
    ensure!(timeout.timed_out(), "woken by nobody");
    ensure!(began.elapsed() >= Duration::from_millis(15), "timed out early, after {:?}", began.elapsed());
    drop(held);
    setter.join().map_err(|_| "panicked".into())
}

fn turns() -> Outcome {
    let state = (Mutex::new(0_u32), Condvar::new());
    const TURNS: u32 = 20_000;
    thread::scope(|scope| {
        for parity in 0..2 {
            let state = &state;
            scope.spawn(move || {
                loop {
                    let mut turn = state.0.lock().unwrap_or_else(|e| e.into_inner());
                    while *turn % 2 != parity && *turn < TURNS {
                        turn = state.1.wait(turn).unwrap_or_else(|e| e.into_inner());
                    }
                    if *turn >= TURNS {
                        break;
                    }
                    *turn += 1;
                    state.1.notify_one();
                }
                state.1.notify_all();
            });
        }
    });
    let turn = *state.0.lock().map_err(|e| e.to_string())?;
    ensure!(turn == TURNS, "{turn} turns");
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "std promises these, too")]
fn channels() -> Outcome {
    let (sender, receiver) = mpsc::channel();
    ensure!(receiver.try_recv() == Err(TryRecvError::Empty), "not empty");
    let began = Instant::now();
    ensure!(receiver.recv_timeout(Duration::from_millis(10)) == Err(RecvTimeoutError::Timeout), "no timeout");
    ensure!(began.elapsed() >= Duration::from_millis(10), "timed out early");
    let senders: Vec<_> = (0..4)
        .map(|number| {
            let sender = sender.clone();
            thread::spawn(move || (0..1000).for_each(|i| _ = sender.send(number * 1000 + i)))
        })
        .collect();
    drop(sender);
    let mut all: Vec<u32> = Vec::new();
    while let Ok(number) = receiver.recv_timeout(Duration::from_secs(20)) {
        all.push(number);
    }
    senders.into_iter().for_each(|sender| _ = sender.join());
    all.sort_unstable();
    ensure!(all == (0..4000).collect::<Vec<_>>(), "{} of 4000 arrived", all.len());
    let (sender, receiver) = mpsc::sync_channel(1);
    let producer = thread::spawn(move || (0..500_u32).for_each(|i| _ = sender.send(i)));
    ensure!(receiver.iter().eq(0..500), "a bounded channel loses order");
    producer.join().map_err(|_| "panicked".into())
}

fn park() -> Outcome {
    // In a thread nobody knows: ours may have been unparked by a channel it no longer waits on.
    let alone = thread::spawn(|| {
        let began = Instant::now();
        thread::park_timeout(Duration::from_millis(10));
        began.elapsed()
    });
    let parked = alone.join().map_err(|_| "panicked")?;
    ensure!(parked >= Duration::from_millis(10), "woken early, after {parked:?}");
    let main = thread::current();
    let count = Arc::new(AtomicU32::new(0));
    let other = {
        let count = count.clone();
        thread::spawn(move || {
            for _ in 0..2000 {
                count.fetch_add(1, SeqCst);
                main.unpark();
                thread::park_timeout(Duration::from_millis(1));
            }
        })
    };
    while count.load(SeqCst) < 2000 {
        thread::park();
        other.thread().unpark();
    }
    other.join().map_err(|_| "panicked".into())
}

fn locals() -> Outcome {
    struct Counted(&'static AtomicU32);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    static DROPS: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static VALUE: Cell<u64> = const { Cell::new(7) };
        static LIST: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
        static COUNTED: Counted = const { Counted(&DROPS) };
    }
    VALUE.set(8);
    let threads: Vec<_> = (0..10)
        .map(|number| {
            thread::spawn(move || {
                COUNTED.with(|_| ());
                let initial = VALUE.replace(number);
                LIST.with_borrow_mut(|list| list.push(number as u32));
                thread::yield_now();
                initial == 7 && VALUE.get() == number && LIST.with_borrow(|list| list == &[number as u32])
            })
        })
        .collect();
    ensure!(threads.into_iter().all(|thread| thread.join().is_ok_and(|own| own)), "a thread saw another's value");
    ensure!(VALUE.get() == 8, "ours has changed");
    ensure!(DROPS.load(SeqCst) == 10, "{} of 10 destructors ran", DROPS.load(SeqCst));
    Ok(())
}

fn preemption() -> Outcome {
    let stop = Arc::new(AtomicBool::new(false));
    let spinner = {
        let stop = stop.clone();
        thread::spawn(move || {
            let mut turns = 0_u64;
            while !stop.load(SeqCst) {
                turns += 1;
            }
            turns
        })
    };
    let other = thread::spawn(|| {
        (0..20).for_each(|_| thread::sleep(Duration::from_millis(1)));
        (0..1000_u64).map(|i| format!("{i}").len() as u64).sum::<u64>()
    });
    let sum = other.join().map_err(|_| "panicked")?;
    stop.store(true, SeqCst);
    let turns = spinner.join().map_err(|_| "panicked")?;
    ensure!(sum == 2890 && turns > 0, "sum {sum}, turns {turns}");
    Ok(())
}

fn sharing() -> Outcome {
    let stop = AtomicBool::new(false);
    let counts = [const { AtomicU64::new(0) }; 3];
    thread::scope(|scope| {
        for count in &counts {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(SeqCst) {
                    count.fetch_add(1, SeqCst);
                }
            });
        }
        // Each must have had several turns before this ends; if one never has, the check hangs.
        let mut last = [0; 3];
        for _ in 0..5 {
            for (count, last) in counts.iter().zip(&mut last) {
                while count.load(SeqCst) == *last {
                    thread::sleep(Duration::from_millis(1));
                }
                *last = count.load(SeqCst);
            }
        }
        stop.store(true, SeqCst);
    });
    Ok(())
}

fn no_growth() -> Outcome {
    settles(|| {
        for batch in 0..10_u64 {
            let start = |i: u64| thread::spawn(move || vec![i; 100].iter().sum::<u64>() + batch);
            let threads: Vec<_> = (0..20).map(start).collect();
            for (number, thread) in threads.into_iter().enumerate() {
                let sum = thread.join().map_err(|_| "panicked")?;
                ensure!(sum == number as u64 * 100 + batch, "the sum is {sum}");
            }
        }
        Ok(())
    })
}

#[expect(clippy::disallowed_methods, reason = "each thread sends once")]
fn detached() -> Outcome {
    settles(|| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..50 {
            let sender = sender.clone();
            let thread = thread::Builder::new().stack_size(16 * 1024).spawn(move || sender.send(1_u32));
            drop(thread.map_err(|e| e.to_string())?);
        }
        drop(sender);
        ensure!(receiver.iter().sum::<u32>() == 50, "some did not run");
        Ok(())
    })
}

/// Repeats `round` until it leaves as much memory free as it found, which a leak would never allow. The first
/// rounds may use more: a guard page in a new place needs a page table, which stays.
fn settles(round: impl Fn() -> Outcome) -> Outcome {
    let mut history = Vec::with_capacity(16);
    for _ in 0..16 {
        // While nobody runs, threads that have ended are freed.
        thread::sleep(Duration::from_millis(2));
        let before = memory::free();
        round()?;
        thread::sleep(Duration::from_millis(2));
        let after = memory::free();
        if after >= before {
            return Ok(());
        }
        history.push(before - after);
    }
    Err(format!("every round took memory for good: {history:?}"))
}

fn many() -> Outcome {
    let (barrier, sum) = (Barrier::new(120), AtomicU32::new(0));
    thread::scope(|scope| {
        let mut started = Vec::new();
        for number in 0..120_u32 {
            let (barrier, sum) = (&barrier, &sum);
            let builder = thread::Builder::new().stack_size(32 * 1024);
            started.push(builder.spawn_scoped(scope, move || {
                barrier.wait();
                thread::sleep(Duration::from_micros(u64::from(number) * 50));
                sum.fetch_add(number, SeqCst);
            }));
        }
        started.iter().filter(|s| s.is_err()).count()
    });
    ensure!(sum.load(SeqCst) == 7140, "the sum is {}", sum.load(SeqCst));
    Ok(())
}

fn small_stack() -> Outcome {
    let thread = thread::Builder::new().stack_size(1).spawn(|| format!("{:?} {:.3}", Instant::now(), 1.5_f64).len());
    let length = thread.map_err(|e| e.to_string())?.join().map_err(|_| "panicked")?;
    ensure!(length > 0, "nothing was written");
    Ok(())
}

fn network_first() -> Outcome {
    static PING: platform::Event = platform::Event::new();
    static PONGS: AtomicU32 = AtomicU32::new(0);
    platform::spawn("network", platform::Priority::Network, 32 * 1024, || {
        while PING.wait(None) {
            if PONGS.fetch_add(1, SeqCst) == 100 {
                break;
            }
        }
    });
    for turn in 1..=101 {
        PING.signal();
        let pongs = PONGS.load(SeqCst);
        ensure!(pongs == turn, "after {turn} signals it has run {pongs} times");
    }
    // Not while a lock is held, but at once when it is released.
    static LOCK: sync::Lock<u32> = sync::Lock::new(0);
    platform::spawn("network", platform::Priority::Network, 32 * 1024, || {
        PING.wait(None);
        PONGS.store(1000, SeqCst);
    });
    let held = LOCK.lock();
    PING.signal();
    let early = PONGS.load(SeqCst);
    drop(held);
    let late = PONGS.load(SeqCst);
    ensure!(early != 1000 && late == 1000, "while the lock was held {early}, after {late}");
    Ok(())
}

fn event() -> Outcome {
    let event = platform::Event::new();
    event.signal();
    event.signal();
    ensure!(event.wait(Some(time::monotonic())), "the signal is lost");
    let deadline = time::monotonic() + 10_000_000;
    ensure!(!event.wait(Some(deadline)), "one signal was seen twice");
    ensure!(time::monotonic() >= deadline, "the wait ended early");
    Ok(())
}

fn wait_queue() -> Outcome {
    let (lock, queue) = (sync::Lock::new(0), platform::WaitQueue::new());
    let deadline = time::monotonic() + 5_000_000;
    let (guard, timed_out) = queue.wait(lock.lock(), Some(deadline));
    ensure!(timed_out && time::monotonic() >= deadline, "the wait ended early");
    drop(guard);
    thread::scope(|scope| {
        scope.spawn(|| {
            *lock.lock() = 1;
            queue.wake_one();
        });
        let mut guard = lock.lock();
        while *guard == 0 {
            guard = queue.wait(guard, None).0;
        }
    });
    Ok(())
}
