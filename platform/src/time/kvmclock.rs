//! The clock KVM offers its guests: the counter's exact rate and the time of day.

use super::read_tsc;
use crate::cpu::features::cpuid;
use core::cell::UnsafeCell;
use core::sync::atomic::{Ordering::SeqCst, compiler_fence, fence};
use core::time::Duration;
use raw_cpuid::Hypervisor;
use x86_64::registers::model_specific::Msr;

const WALL_CLOCK: u32 = 0x4b56_4d00;
const SYSTEM_TIME: u32 = 0x4b56_4d01;

/// `struct pvclock_vcpu_time_info`, and after it `struct pvclock_wall_clock`; the hypervisor writes both.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Shared {
    version: u32,
    pad: u32,
    tsc: u64,
    system_time: u64,
    multiplier: u32,
    shift: i8,
    flags: u8,
    pad2: [u8; 2],
    wall_version: u32,
    wall_seconds: u32,
    wall_nanos: u32,
}

struct Page(UnsafeCell<Shared>);
// SAFETY: read through volatile copies only.
unsafe impl Sync for Page {}

static PAGE: Page = Page(UnsafeCell::new(Shared {
    version: 0,
    pad: 0,
    tsc: 0,
    system_time: 0,
    multiplier: 0,
    shift: 0,
    flags: 0,
    pad2: [0; 2],
    wall_version: 0,
    wall_seconds: 0,
    wall_nanos: 0,
}));

/// What KVM told at boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KvmClock {
    tsc: u64,
    system_time: u64,
    multiplier: u32,
    shift: i8,
    wall: Duration,
}

/// Asks KVM, if it is KVM and its clock is sound (leaf 0x4000_0001: bit 3, the clock; bit 24, stable).
pub(super) fn detect() -> Option<KvmClock> {
    let id = cpuid();
    let hypervisor = id.get_hypervisor_info()?;
    if hypervisor.identify() != Hypervisor::KVM {
        return None;
    }
    let features = core::arch::x86_64::__cpuid(0x4000_0001).eax;
    if features & 1 << 3 == 0 || features & 1 << 24 == 0 {
        return None;
    }
    let page = PAGE.0.get();
    // SAFETY: KVM has these registers; it writes to the static, whose address is its physical one. The first is
    // switched off again below, so nothing is written later.
    unsafe {
        Msr::new(SYSTEM_TIME).write(page as u64 | 1);
        Msr::new(WALL_CLOCK).write(&raw const (*page).wall_version as u64);
    }
    // An odd version, or one that changes, means an update under way.
    let shared = (0..1000).find_map(|_| {
        fence(SeqCst);
        // SAFETY: the static above, read as a whole.
        let (shared, after) = unsafe {
            let shared = page.read_volatile();
            compiler_fence(SeqCst);
            (shared, (&raw const (*page).version).read_volatile())
        };
        (shared.version & 1 == 0 && shared.version == after && shared.multiplier != 0).then_some(shared)
    });
    // SAFETY: as above.
    unsafe { Msr::new(SYSTEM_TIME).write(0) };
    shared.map(|shared| KvmClock {
        tsc: shared.tsc,
        system_time: shared.system_time,
        multiplier: shared.multiplier,
        shift: shared.shift,
        wall: Duration::new(shared.wall_seconds.into(), shared.wall_nanos.min(999_999_999)),
    })
}

impl KvmClock {
    /// Returns the time-stamp counter's rate. Ticks are shifted, then multiplied by a fraction of 2^32.
    pub(super) fn tsc_hertz(&self) -> u64 {
        let hertz = (1_000_000_000u128 << 32) / u128::from(self.multiplier);
        (if self.shift < 0 { hertz << -i32::from(self.shift) } else { hertz >> self.shift }) as u64
    }

    /// Returns the time since 1970, now.
    pub(super) fn wall(&self) -> Option<Duration> {
        if self.wall.is_zero() {
            return None;
        }
        let ticks = u128::from(read_tsc().saturating_sub(self.tsc));
        let ticks = if self.shift < 0 { ticks >> -i32::from(self.shift) } else { ticks << self.shift };
        let since = (ticks * u128::from(self.multiplier)) >> 32;
        Some(self.wall + Duration::from_nanos(self.system_time) + Duration::from_nanos(since as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_from_multiplier_and_shift() {
        let clock = |multiplier, shift| KvmClock { tsc: 0, system_time: 0, multiplier, shift, wall: Duration::ZERO };
        assert_eq!(clock(1 << 31, 0).tsc_hertz(), 2_000_000_000);
        assert_eq!(clock(1 << 31, -1).tsc_hertz(), 4_000_000_000);
        assert_eq!(clock(1 << 31, 1).tsc_hertz(), 1_000_000_000);
        assert_eq!(clock(1 << 31, 0).wall(), None);
    }
}
