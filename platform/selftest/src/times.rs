//! Clocks and sleeping.

use crate::{Check, Outcome, ensure};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) const CHECKS: &[Check] = &[
    ("Instant never goes back", monotonic),
    ("SystemTime is in this century and goes on with Instant", wall),
    ("sleep lasts as long as asked", sleep),
    ("of many sleepers none wakes early and none is forgotten", sleepers),
];

fn monotonic() -> Outcome {
    let mut last = Instant::now();
    for _ in 0..100_000 {
        let now = Instant::now();
        ensure!(now >= last, "{last:?} was followed by {now:?}");
        last = now;
    }
    Ok(())
}

fn wall() -> Outcome {
    let (instant, system) = (Instant::now(), SystemTime::now());
    let since = system.duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?.as_secs();
    println!("        {since} seconds since 1970");
    ensure!((1_700_000_000..4_102_444_800).contains(&since), "{since} seconds since 1970");
    thread::sleep(Duration::from_millis(20));
    let (instant, system) = (instant.elapsed(), system.elapsed().map_err(|e| e.to_string())?);
    ensure!(system.abs_diff(instant) < Duration::from_secs(5), "Instant {instant:?}, SystemTime {system:?}");
    Ok(())
}

fn sleep() -> Outcome {
    for micros in [0, 1, 50, 999, 1000, 7000, 30_000] {
        let (began, asked) = (Instant::now(), Duration::from_micros(micros));
        thread::sleep(asked);
        ensure!(began.elapsed() >= asked, "{:?} instead of {asked:?}", began.elapsed());
    }
    Ok(())
}

fn sleepers() -> Outcome {
    let early = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for number in 0..40_u64 {
            let early = &early;
            scope.spawn(move || {
                // Deadlines come in any order, some of them twice.
                let (began, asked) = (Instant::now(), Duration::from_millis(number * 7 % 20 * 3));
                thread::sleep(asked);
                if began.elapsed() < asked {
                    early.lock().unwrap_or_else(|e| e.into_inner()).push((asked, began.elapsed()));
                }
            });
        }
    });
    let early = early.into_inner().map_err(|e| e.to_string())?;
    ensure!(early.is_empty(), "{early:?}");
    Ok(())
}
