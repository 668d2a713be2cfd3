//! The monotonic clock: the time-stamp counter scaled by parameters that the hypervisor may change.
//!
//! The parameters have KVM's layout (`struct pvclock_vcpu_time_info`, Linux: Documentation/virt/kvm/x86/msr.rst). Under
//! KVM the hypervisor may write them whenever the machine is not running: after a pause, a snapshot or a migration to a
//! host with a different counter they change, and the clock continues where it was. Elsewhere they are written once, at
//! boot, from a measured rate. So every machine reads the clock the same way.
//!
//! The clock never goes back. If the hypervisor's does, as after restoring a snapshot without its clock, ours continues
//! from the last value it returned.

use super::counter::cycles;
use crate::arch::units::Nanos;
use crate::arch::x86_64::masking::InterruptsOff;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst, compiler_fence};

/// Nanoseconds in a second.
const SECOND: u128 = 1_000_000_000;
/// A flag: the machine was stopped. Set by the hypervisor, cleared by the guest (PVCLOCK_GUEST_STOPPED).
const STOPPED: u8 = 2;

/// The conversion of counter ticks to nanoseconds.
#[repr(C, align(32))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    /// Odd while the hypervisor writes the other fields; changes whenever they do.
    version: u32,
    pad: u32,
    /// The counter value at `system_time`.
    tsc: u64,
    /// Nanoseconds since an origin chosen by the hypervisor.
    system_time: u64,
    /// Nanoseconds per tick, in units of 2^(`shift` - 32).
    multiplier: u32,
    shift: i8,
    flags: u8,
    pad2: [u8; 2],
}

impl Parameters {
    const NONE: Self =
        Self { version: 0, pad: 0, tsc: 0, system_time: 0, multiplier: 0, shift: 0, flags: 0, pad2: [0; 2] };

    /// Returns the parameters of a counter with this rate whose time is zero at `tsc`.
    fn of_rate(hertz: u64, tsc: u64) -> Self {
        // The largest multiplier that fits: its top bit is set.
        let mut shift = 31;
        let multiplier = loop {
            let multiplier = (SECOND << (32 - shift)) / u128::from(hertz.max(1));
            match u32::try_from(multiplier) {
                Ok(multiplier) if multiplier >> 31 != 0 || shift == -31 => break multiplier,
                _ => shift -= 1,
            }
        };
        Self { tsc, multiplier, shift: shift as i8, ..Self::NONE }
    }

    /// Returns the counter's rate.
    fn hertz(&self) -> u64 {
        let hertz = (SECOND << self.bits()) / u128::from(self.multiplier.max(1));
        u64::try_from(hertz).unwrap_or(u64::MAX)
    }

    /// Returns the time in nanoseconds at counter value `tsc`, which may be before the parameters' own reference point.
    #[inline]
    fn nanos(&self, tsc: u64) -> u64 {
        let ticks = tsc.wrapping_sub(self.tsc);
        if (ticks as i64) < 0 {
            let before = (u128::from(ticks.wrapping_neg()) * u128::from(self.multiplier)) >> self.bits();
            return self.system_time.wrapping_sub(before as u64);
        }
        self.system_time.wrapping_add(((u128::from(ticks) * u128::from(self.multiplier)) >> self.bits()) as u64)
    }

    /// Returns the least counter value at which the time is `nanos` or later, never zero; for a time before the
    /// parameters' own reference point, a value that has already passed.
    fn tsc_at(&self, nanos: u64) -> u64 {
        let ahead = nanos.wrapping_sub(self.system_time);
        if (ahead as i64) <= 0 || self.multiplier == 0 {
            return self.tsc.max(1);
        }
        let ticks = (u128::from(ahead) << self.bits()).div_ceil(u128::from(self.multiplier));
        self.tsc.saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX)).max(1)
    }

    /// Returns the number of fraction bits of the multiplier.
    #[inline]
    fn bits(&self) -> u32 {
        // The shift is between -31 and 31, so this is 1 to 63 bits.
        32u32.wrapping_sub(self.shift as u32) & 63
    }
}

/// The current parameters, in memory written by the hypervisor: those of the boot processor. Where the hypervisor's
/// clock is sound the counters of all processors agree, so one page is enough.
struct Page(UnsafeCell<Parameters>);
// SAFETY: read only by volatile copies of whole fields, validated by their version.
unsafe impl Sync for Page {}

static PAGE: Page = Page(UnsafeCell::new(Parameters::NONE));
/// The parameters' time at the machine's entry, modulo 2^64.
static ORIGIN: AtomicU64 = AtomicU64::new(0);
/// The latest value returned.
static LAST: AtomicU64 = AtomicU64::new(0);

/// Returns the nanoseconds since the machine's entry; zero until the clock is started.
#[inline]
pub fn monotonic() -> Nanos {
    let now = hypervisor_time().wrapping_sub(ORIGIN.load(Relaxed));
    if (now.wrapping_sub(LAST.load(Relaxed)) as i64) < 0 {
        return went_back();
    }
    LAST.store(now, Relaxed);
    now
}

/// Returns the value to continue from if the clock has gone back, and moves the origin accordingly.
#[cold]
fn went_back() -> Nanos {
    // An interrupt handler may have read the clock between our reading and our comparison: check again with interrupts
    // off.
    let _interrupts = InterruptsOff::new();
    let last = LAST.load(Relaxed);
    let time = hypervisor_time();
    let now = time.wrapping_sub(ORIGIN.load(Relaxed));
    if (now.wrapping_sub(last) as i64) < 0 {
        ORIGIN.store(time.wrapping_sub(last), Relaxed);
        return last;
    }
    LAST.store(now, Relaxed);
    now
}

/// Returns the time by the parameters, in nanoseconds since the hypervisor's origin.
#[inline]
pub(super) fn hypervisor_time() -> u64 {
    loop {
        let parameters = current();
        let time = parameters.nanos(cycles());
        // Version unchanged: the counter was read while these parameters were valid.
        if version() == parameters.version && parameters.version & 1 == 0 {
            return time;
        }
    }
}

/// Returns the version of the current parameters: a new version means that the clock may have jumped relative to the
/// counter.
#[inline]
pub(super) fn version() -> u32 {
    compiler_fence(SeqCst);
    // SAFETY: a field of the static; see [`Page`].
    let version = unsafe { (&raw const (*PAGE.0.get()).version).read_volatile() };
    compiler_fence(SeqCst);
    version
}

/// Returns the counter value at which the monotonic clock reaches `deadline`, and the version for which this holds.
pub(super) fn tsc_at(deadline: Nanos) -> (u64, u32) {
    let parameters = stable();
    // At most an hour ahead: a timer that fires early finds nothing to do and is set again.
    const FARTHEST: Nanos = 1 << 42;
    let deadline = deadline.min(LAST.load(Relaxed).saturating_add(FARTHEST));
    (parameters.tsc_at(deadline.wrapping_add(ORIGIN.load(Relaxed))), parameters.version)
}

/// Starts the clock from a counter with this rate whose value at the machine's entry was `entry`.
pub(super) fn start_by_rate(hertz: u64, entry: u64) {
    // SAFETY: at boot, before anything can read it; no hypervisor writes there.
    unsafe { PAGE.0.get().write_volatile(Parameters::of_rate(hertz, entry)) };
    ORIGIN.store(0, Relaxed);
}

/// Lets a hypervisor write the parameters: `offer` is given their physical address, which stays valid until `withdraw`
/// is called. Returns the counter's rate if the parameters are sound; `entry` is the counter value at the machine's
/// entry.
pub(super) fn start_by_hypervisor(entry: u64, offer: impl FnOnce(u64), withdraw: impl FnOnce()) -> Option<u64> {
    /// The range of plausible counter rates, in Hz.
    const SOUND: core::ops::RangeInclusive<u64> = 50_000_000..=100_000_000_000;
    offer(PAGE.0.get() as u64);
    let parameters = (0..1000).map(|_| current()).find(|p| p.version & 1 == 0 && version() == p.version);
    let sound = parameters.filter(|p| p.multiplier != 0 && p.shift.abs() < 32 && SOUND.contains(&p.hertz()));
    let Some(parameters) = sound else {
        withdraw();
        // SAFETY: withdrawn, so no hypervisor writes there.
        unsafe { PAGE.0.get().write_volatile(Parameters::NONE) };
        return None;
    };
    ORIGIN.store(parameters.nanos(entry), Relaxed);
    Some(parameters.hertz())
}

/// Returns whether the hypervisor has set the flag that the machine was stopped, and clears the flag.
pub(crate) fn was_stopped() -> bool {
    let _interrupts = InterruptsOff::new();
    // SAFETY: a field of the static; see [`Page`]. Once this bit is set, the hypervisor leaves it to the guest.
    let flags = unsafe { &raw mut (*PAGE.0.get()).flags };
    // SAFETY: as above.
    unsafe {
        let set = flags.read_volatile() & STOPPED != 0;
        if set {
            // One instruction, so that a concurrent write by the hypervisor is not lost.
            core::arch::asm!("and byte ptr [{}], {}", in(reg) flags, const !STOPPED as i8, options(nostack));
        }
        set
    }
}

/// Returns the parameters as they are now, possibly in the middle of a change.
#[inline]
fn current() -> Parameters {
    let page = PAGE.0.get();
    compiler_fence(SeqCst);
    // SAFETY: fields of the static; see [`Page`].
    let parameters = unsafe {
        let version = (&raw const (*page).version).read_volatile();
        compiler_fence(SeqCst);
        Parameters {
            version,
            tsc: (&raw const (*page).tsc).read_volatile(),
            system_time: (&raw const (*page).system_time).read_volatile(),
            multiplier: (&raw const (*page).multiplier).read_volatile(),
            shift: (&raw const (*page).shift).read_volatile(),
            flags: (&raw const (*page).flags).read_volatile(),
            ..Parameters::NONE
        }
    };
    compiler_fence(SeqCst);
    parameters
}

/// Returns a consistent copy of the parameters.
fn stable() -> Parameters {
    loop {
        let parameters = current();
        if parameters.version & 1 == 0 && version() == parameters.version {
            return parameters;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_becomes_parameters_of_that_rate() {
        for hertz in [1, 50_000_000, 999_999_999, 1_000_000_000, 1_000_000_001, 2_899_999_000, 100_000_000_000] {
            let parameters = Parameters::of_rate(hertz, 7);
            let off = parameters.hertz().abs_diff(hertz);
            assert!(off <= 1 + hertz / 1_000_000_000, "{hertz}: {parameters:?} is {}", parameters.hertz());
        }
    }

    #[test]
    fn a_year_of_ticks_is_a_year() {
        const YEAR: u64 = 365 * 86_400;
        for hertz in [62_500_000, 1_000_000_000, 2_899_999_000, 5_000_000_000] {
            let off = Parameters::of_rate(hertz, 0).nanos(hertz * YEAR).abs_diff(YEAR * 1_000_000_000);
            assert!(off < 50_000_000, "{off} ns off in a year at {hertz}");
        }
    }

    #[test]
    fn kvm_parameters_follow_its_definition() {
        // Ticks are shifted, then multiplied by a fraction of 2^32.
        let kvm = |multiplier, shift| Parameters { tsc: 1000, system_time: 500, multiplier, shift, ..Parameters::NONE };
        assert_eq!(kvm(1 << 31, 0).hertz(), 2_000_000_000);
        assert_eq!(kvm(1 << 31, -1).hertz(), 4_000_000_000);
        assert_eq!(kvm(1 << 31, 1).hertz(), 1_000_000_000);
        assert_eq!(kvm(1 << 31, -1).nanos(1400), 600);
        assert_eq!(kvm(1 << 31, 1).nanos(1400), 900);
        assert_eq!(kvm(1 << 31, 0).nanos(600), 300, "before their own reference point");
    }

    #[test]
    fn a_deadline_becomes_the_first_tick_that_reaches_it() {
        let tables = [
            Parameters::of_rate(2_899_999_000, 5),
            Parameters::of_rate(1_000_000_000, 5),
            Parameters::of_rate(62_500_000, 5),
            Parameters { tsc: 77, system_time: 1 << 50, multiplier: 0xc000_0001, shift: -1, ..Parameters::NONE },
        ];
        for parameters in tables {
            for nanos in [1, 2, 999, 10_000_000, 3_600_000_000_000, 86_400_000_000_000_000] {
                let deadline = parameters.system_time + nanos;
                let tsc = parameters.tsc_at(deadline);
                assert!(parameters.nanos(tsc) >= deadline, "{parameters:?} {nanos}: too early");
                assert!(parameters.nanos(tsc - 1) < deadline, "{parameters:?} {nanos}: too late");
            }
            assert_eq!(parameters.tsc_at(parameters.system_time), parameters.tsc);
            assert_eq!(parameters.tsc_at(parameters.system_time.wrapping_sub(1)), parameters.tsc, "has passed");
        }
        assert_eq!(Parameters::of_rate(1_000_000_000, 0).tsc_at(0), 1, "zero would stop the timer");
    }
}
