//! Calibration of the time-stamp counter and the timer.
//!
//! The hypervisor or the processor may state the rates. Otherwise both are measured at the same time against a clock of
//! known rate: the PIT or the ACPI power-management timer. A machine on which none of these gives a reliable rate still
//! boots: with an unconfirmed measurement, one by the CMOS clock's seconds, or in the worst case a guess; the console
//! reports it.

use super::cmos;
use super::counter::cycles;
use crate::arch::x86_64::apic;
use crate::arch::x86_64::features::{Features, cpuid, hypervisor};
use crate::arch::x86_64::port::{in8, in32, out8};

/// The rates found.
pub(super) struct Rates {
    pub(super) tsc_hertz: u64,
    /// `None` if the timer uses the time-stamp counter.
    pub(super) timer_hertz: Option<u64>,
    /// Why the rates may be wrong, if they may.
    pub(super) doubt: Option<&'static str>,
}

/// The frequency of the PIT.
const PIT_HERTZ: u64 = 1_193_182;
/// The frequency of the ACPI power-management timer.
const PM_HERTZ: u64 = 3_579_545;
/// The length of a measurement, as a fraction of a second.
const WINDOW: u64 = 250;
/// How many measurements may disagree; a busy host disturbs most of them.
const ATTEMPTS: usize = 100;
/// How many readings are taken at the start and at the end of a measurement.
const SAMPLES: usize = 5;
/// The lowest plausible rate of a time-stamp counter; a measurement below it had no working clock.
const SLOWEST: u64 = 50_000_000;
/// How many times in a row a clock may read the same before it is taken to be dead. The slowest ticks every 838 ns.
const MAX_POLLS: u32 = 50_000;
/// The same for the CMOS clock, which ticks every second.
const CMOS_MAX_POLLS: u32 = 5_000_000;
/// The rate assumed for a counter that can be neither measured nor looked up.
const GUESS: u64 = 2_000_000_000;

/// Ticks of the time-stamp counter and of the timer in a window, and the window's length as a fraction of a second.
struct Measurement {
    tsc: u64,
    timer: u64,
    ticks: u64,
    hertz: u64,
}

/// Finds both rates. `known` is the counter's rate if the hypervisor's clock has stated it, `pm_timer` the port of the
/// ACPI timer.
pub(super) fn measure(features: &Features, known: Option<u64>, pm_timer: Option<u16>) -> Result<Rates, &'static str> {
    let known = known.or_else(tsc_by_cpuid).filter(|&hertz| hertz >= SLOWEST);
    if let (Some(tsc_hertz), true) = (known, features.tsc_deadline) {
        return Ok(Rates { tsc_hertz, timer_hertz: None, doubt: None });
    }
    let (measured, doubt) = match known {
        Some(hertz) => (by_tsc(hertz), None),
        None => by_clocks(pm_timer),
    };
    let rate = |count: u64| (u128::from(count) * u128::from(measured.hertz) / u128::from(measured.ticks.max(1))) as u64;
    let (tsc_hertz, timer_hertz) = (known.unwrap_or_else(|| rate(measured.tsc)), rate(measured.timer));
    if features.tsc_deadline {
        return Ok(Rates { tsc_hertz, timer_hertz: None, doubt });
    }
    if timer_hertz == 0 {
        return Err("the timer of the local interrupt controller does not count, and the machine has no other");
    }
    Ok(Rates { tsc_hertz, timer_hertz: Some(timer_hertz), doubt })
}

/// Returns the rate stated by the hypervisor (leaf 0x10 of VMware's and KVM's, leaf 3 of Xen's) or the processor (leaf
/// 0x15).
fn tsc_by_cpuid() -> Option<u64> {
    let id = cpuid();
    let hertz = |kilohertz: u32| (kilohertz != 0).then(|| u64::from(kilohertz) * 1000);
    let xen = || hertz(core::arch::x86_64::__cpuid_count(hypervisor(b"XenVMMXenVMM")? + 3, 0).ecx);
    let others = || id.get_hypervisor_info().and_then(|h| h.tsc_frequency()).and_then(hertz);
    xen().or_else(others).or_else(|| id.get_tsc_info().and_then(|t| t.tsc_frequency()))
}

/// Measures both rates against the first reliable clock, or the next best one; in that case also returns why the result
/// may be wrong.
fn by_clocks(pm_timer: Option<u16>) -> (Measurement, Option<&'static str>) {
    let mut best = None;
    for outcome in [by_pit(), by_pm_timer(pm_timer)] {
        match outcome {
            Outcome::Agreed(measurement) => return (measurement, None),
            Outcome::Doubtful(measurement) => best = best.or(Some(measurement)),
            Outcome::Dead => {}
        }
    }
    if let Some(measurement) = best {
        return (measurement, Some("no two measurements by the PIT or the ACPI timer agree"));
    }
    if let Some(measurement) = by_cmos() {
        return (measurement, Some("only the CMOS clock's seconds were available to measure it"));
    }
    let base = cpuid().get_processor_frequency_info().map(|f| u64::from(f.processor_base_frequency()) * 1_000_000);
    let guess = base.filter(|&hertz| hertz >= SLOWEST).unwrap_or(GUESS);
    (by_tsc(guess), Some("the machine has no kvmclock, PIT, ACPI timer or CMOS clock to measure it with"))
}

/// Measures only the timer, against the time-stamp counter.
fn by_tsc(hertz: u64) -> Measurement {
    let ticks = hertz / WINDOW / 2;
    apic::start_measurement();
    let (start, first) = (cycles(), apic::measured());
    while cycles() - start < ticks {
        core::hint::spin_loop();
    }
    let timer = apic::measured() - first;
    let tsc = cycles() - start;
    Measurement { tsc, timer: timer.into(), ticks: tsc, hertz }
}

/// Measures both against channel 0 of the PIT, which unlike channel 2 needs no speaker gate to count. Its interrupt is
/// masked.
fn by_pit() -> Outcome {
    // SAFETY: the PIT's own registers; nothing else in the image uses them.
    unsafe {
        out8(0x43, 0x34); // channel 0, both octets, mode 2: counts down repeatedly
        out8(0x40, 0);
        out8(0x40, 0); // from 65,536
    }
    let read = || {
        // SAFETY: as above.
        let octets = unsafe {
            out8(0x43, 0); // latch channel 0
            [in8(0x40), in8(0x40)]
        };
        u32::from(u16::from_le_bytes(octets)).wrapping_neg()
    };
    // The first count is loaded only at the next tick.
    let initial = read();
    if !(0..MAX_POLLS).any(|_| read() != initial) {
        return Outcome::Dead;
    }
    agreed(PIT_HERTZ, 0xffff, read)
}

/// Measures both against the ACPI power-management timer, of which 24 bits are always available.
fn by_pm_timer(port: Option<u16>) -> Outcome {
    let Some(port) = port else { return Outcome::Dead };
    // SAFETY: reading the timer changes nothing.
    agreed(PM_HERTZ, 0x00ff_ffff, || unsafe { in32(port) })
}

/// Measures both from one tick of the CMOS clock to the next, which takes up to two seconds.
fn by_cmos() -> Option<Measurement> {
    let next_tick = || {
        let before = cmos::second()?;
        (0..CMOS_MAX_POLLS).find(|_| cmos::second().is_some_and(|second| second != before))
    };
    next_tick()?;
    apic::start_measurement();
    let (start, first) = (cycles(), apic::measured());
    next_tick()?;
    let (tsc, timer) = (cycles() - start, apic::measured() - first);
    Some(Measurement { tsc, timer: timer.into(), ticks: 1, hertz: 1 }).filter(|m| m.rate() >= SLOWEST)
}

/// The outcome of measuring against a clock.
enum Outcome {
    /// Two measurements agree; this is their sum.
    Agreed(Measurement),
    /// The clock ticks, but no two measurements agree; this is the most likely one.
    Doubtful(Measurement),
    /// The clock does not tick.
    Dead,
}

/// Repeats the measurement until two agree.
fn agreed(hertz: u64, mask: u32, read: impl Fn() -> u32) -> Outcome {
    let mut lowest = Lowest::default();
    for _ in 0..ATTEMPTS {
        // A clock that stops is not reliable, whatever it showed before.
        let Some(measurement) = window(hertz, mask, &read) else { return Outcome::Dead };
        if let Some(sum) = lowest.add(measurement) {
            return Outcome::Agreed(sum);
        }
    }
    lowest.likeliest().map_or(Outcome::Dead, Outcome::Doubtful)
}

/// The measurements with the lowest counter rates, in ascending order.
///
/// Many may be far too high: if the machine did not get a processor for so long that the clock wrapped around, less
/// time seems to have passed than really has. One that is too low is rare, since it takes a disturbance of all readings
/// at the end of a window. So the lowest are good, but not always the very lowest.
#[derive(Default)]
struct Lowest([Option<Measurement>; 4]);

impl Lowest {
    /// Adds a measurement; returns the sum of the lowest two that agree, once there are two.
    fn add(&mut self, measurement: Measurement) -> Option<Measurement> {
        if measurement.rate() < SLOWEST {
            return None;
        }
        let mut next = Some(measurement);
        for kept in &mut self.0 {
            let goes_before = |new: &Measurement| kept.as_ref().is_none_or(|kept| new.rate() < kept.rate());
            if next.as_ref().is_some_and(goes_before) {
                core::mem::swap(kept, &mut next);
            }
        }
        let mut pairs = self.0.iter().flatten().zip(self.0.iter().flatten().skip(1));
        let (one, other) = pairs.find(|(one, other)| other.rate() - one.rate() < other.rate() / 500)?;
        Some(Measurement {
            tsc: one.tsc + other.tsc,
            timer: one.timer + other.timer,
            ticks: one.ticks + other.ticks,
            hertz: one.hertz,
        })
    }
}

impl Lowest {
    /// Returns the second lowest, or the only one: the very lowest may be disturbed.
    fn likeliest(self) -> Option<Measurement> {
        let [lowest, second, ..] = self.0;
        second.or(lowest)
    }
}

impl Measurement {
    /// Returns the rate of the time-stamp counter.
    fn rate(&self) -> u64 {
        (u128::from(self.tsc) * u128::from(self.hertz) / u128::from(self.ticks.max(1))) as u64
    }
}

/// Measures once against a clock that counts up at `hertz` and of which the bits in `mask` are valid.
fn window(hertz: u64, mask: u32, read: &impl Fn() -> u32) -> Option<Measurement> {
    apic::start_measurement();
    // Of a few readings, the one that took the least time is the least disturbed.
    let sample = || {
        let readings = (0..SAMPLES).map(|_| {
            let (before, count, timer, after) = (cycles(), read(), apic::measured(), cycles());
            (after - before, before, count, timer)
        });
        readings.min_by_key(|reading| reading.0)
    };
    let (_, start, first, timer) = sample()?;
    let passed = |count: u32| u64::from(count.wrapping_sub(first) & mask);
    let (mut before, mut unchanged) = (first, 0);
    loop {
        let count = read();
        if passed(count) >= hertz / WINDOW {
            break;
        }
        // The number of readings that fit into the window depends on their cost, so only readings without change are
        // counted.
        unchanged = if count == before { unchanged + 1 } else { 0 };
        if unchanged == MAX_POLLS {
            return None;
        }
        before = count;
    }
    let (_, end, last, timer_end) = sample()?;
    Some(Measurement { tsc: end - start, timer: (timer_end - timer).into(), ticks: passed(last), hertz })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns which of the measured rates, in MHz, agree first, and after how many measurements.
    fn first_agreement(rates: &[u64]) -> Option<(u64, usize)> {
        let mut lowest = Lowest::default();
        let measurement = |rate: u64| Measurement { tsc: rate * 1000, timer: 1, ticks: 1000, hertz: 1_000_000 };
        let sum = |(at, rate): (usize, &u64)| Some((lowest.add(measurement(*rate))?.rate() / 1_000_000, at + 1));
        rates.iter().enumerate().find_map(sum)
    }

    #[test]
    fn two_low_ones_that_agree_are_believed() {
        assert_eq!(first_agreement(&[2000, 2001]), Some((2000, 2)));
        assert_eq!(
            first_agreement(&[2000, 2100, 2200, 2001]),
            Some((2000, 4)),
            "wrapped-around measurements are too high"
        );
        assert_eq!(
            first_agreement(&[1700, 2000, 2500, 2001]),
            Some((2000, 4)),
            "one was disturbed at its end and is too low"
        );
        assert_eq!(first_agreement(&[2500, 1700, 2300, 1800, 2000, 2001]), Some((2000, 6)));
        assert_eq!(first_agreement(&[9000, 8000, 7000, 6000, 5000, 4000, 3000, 2000, 2001]), Some((2000, 9)));
        assert_eq!(first_agreement(&[40, 40, 2000, 3000]), None, "no counter is that slow");
    }
}
