//! Time: a monotonic clock, a one-shot timer and the hardware's time of day.

mod calibrate;
mod clock;
mod cmos;
mod counter;
mod kvmclock;
mod scale;
pub(crate) mod timer;

use super::entry::tsc_at_entry;
use super::features::Features;
use super::firmware::Firmware;
use crate::arch::units::Nanos;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;

pub use clock::monotonic;
pub(crate) use clock::was_stopped;
pub(crate) use counter::cycles;

/// How often the CMOS clock is read: each reading takes dozens of accesses, all of which the hypervisor emulates.
const CMOS_INTERVAL: Nanos = 10_000_000_000;

/// When the CMOS clock was last read.
static CMOS_READ: AtomicU64 = AtomicU64::new(0);

/// Why the clock may run at a wrong rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateDoubt {
    /// The assumed rate in MHz.
    pub(crate) megahertz: u64,
    /// What is missing to confirm it.
    pub(crate) why: &'static str,
}

/// Calibrates the clock and the timer; called once, with interrupts off. The clock counts from the machine's entry.
///
/// # Errors
///
/// Returns why the machine cannot keep time.
pub(crate) fn start(firmware: &Firmware) -> Result<Option<RateDoubt>, &'static str> {
    cmos::start(firmware.century_register);
    let entry = tsc_at_entry();
    let by_hypervisor = kvmclock::start(entry);
    let rates = calibrate::measure(Features::detect(), by_hypervisor, firmware.pm_timer)?;
    if by_hypervisor.is_none() {
        clock::start_by_rate(rates.tsc_hertz, entry);
    }
    timer::start(rates.timer_hertz);
    Ok(rates.doubt.map(|why| RateDoubt { megahertz: rates.tsc_hertz / 1_000_000, why }))
}

/// Returns the hardware's time of day since 1970 and its tolerance in nanoseconds; `None` if there is no clock, or if
/// the clock is slow to read and was read recently, unless `now` forces a reading.
pub(crate) fn time_of_day(now: bool) -> Option<(Duration, Nanos)> {
    /// KVM's reading is exact, but the host's clock is slewed relative to it.
    const KVM_TOLERANCE: Nanos = 50_000_000;
    /// A clock with a resolution of one second is up to one second behind, and takes a while to read.
    const CMOS_TOLERANCE: Nanos = 2_000_000_000;
    if let Some(wall) = kvmclock::wall() {
        return Some((wall, KVM_TOLERANCE));
    }
    let time = monotonic();
    if !now && time.saturating_sub(CMOS_READ.load(Relaxed)) < CMOS_INTERVAL {
        return None;
    }
    CMOS_READ.store(time, Relaxed);
    cmos::read().map(|wall| (wall, CMOS_TOLERANCE))
}
