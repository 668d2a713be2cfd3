//! KVM's clock for guests, the source of the monotonic clock and the time of day.

use super::clock;
use crate::arch::x86_64::features::hypervisor;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst, fence};
use core::time::Duration;
use x86_64::registers::model_specific::Msr;

const WALL_CLOCK: u32 = 0x4b56_4d00;
const SYSTEM_TIME: u32 = 0x4b56_4d01;

/// `struct pvclock_wall_clock`: the time of day at the hypervisor's time zero.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
struct Wall {
    version: u32,
    seconds: u32,
    nanos: u32,
}

struct Page(UnsafeCell<Wall>);
// SAFETY: read through volatile copies only.
unsafe impl Sync for Page {}

static WALL: Page = Page(UnsafeCell::new(Wall { version: 0, seconds: 0, nanos: 0 }));
/// Whether the monotonic clock uses KVM's.
static IN_FORCE: AtomicBool = AtomicBool::new(false);

/// Starts the monotonic clock from KVM's if the machine runs on KVM and its clock is sound, and returns the counter's
/// rate; `entry` is the counter value at the machine's entry.
pub(super) fn start(entry: u64) -> Option<u64> {
    let base = hypervisor(b"KVMKVMKVM\0\0\0")?;
    // Bit 3: these two registers exist.
    (core::arch::x86_64::__cpuid(base + 1).eax & 1 << 3 != 0).then_some(())?;
    // SAFETY: KVM has the register. From now on it writes to the parameters' static, whose address is its physical one.
    let offer = |address| unsafe { Msr::new(SYSTEM_TIME).write(address | 1) };
    // SAFETY: as above; KVM stops writing.
    let withdraw = || unsafe { Msr::new(SYSTEM_TIME).write(0) };
    let hertz = clock::start_by_hypervisor(entry, offer, withdraw)?;
    IN_FORCE.store(true, Relaxed);
    Some(hertz)
}

/// Returns the time since 1970 by the host's clock, now.
///
/// KVM computes it anew on every request: a stored value would be wrong after the machine was stopped or the host's
/// clock was set.
pub(super) fn wall() -> Option<Duration> {
    IN_FORCE.load(Relaxed).then_some(())?;
    let page = WALL.0.get();
    // SAFETY: KVM has the register; it writes to the static, whose address is its physical one, once, now.
    unsafe { Msr::new(WALL_CLOCK).write(page as u64) };
    // An odd or changing version means that an update is in progress.
    let wall = (0..1000).find_map(|_| {
        fence(SeqCst);
        // SAFETY: the static above, read as a whole.
        let (wall, after) = unsafe {
            let wall = page.read_volatile();
            fence(SeqCst);
            (wall, (&raw const (*page).version).read_volatile())
        };
        (wall.version & 1 == 0 && wall.version == after).then_some(wall)
    })?;
    let at_zero = Duration::new(wall.seconds.into(), wall.nanos.min(999_999_999));
    (!at_zero.is_zero()).then(|| at_zero + Duration::from_nanos(clock::hypervisor_time()))
}
