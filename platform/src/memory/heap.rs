//! The heap: one allocator over all memory, for std, C and the platform.

use super::PAGE;
use crate::base::lock::PreemptionOff;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use talc::TalcLock;
use talc::lock_api::{GuardNoSend, RawMutex};
use talc::source::Manual;

/// Excludes other threads by keeping the processor, as [`crate::base::lock::Lock`] does; found taken, it ends the machine.
struct RawLock(AtomicBool);

// SAFETY: between `lock` and `unlock` no other thread runs, and interrupt handlers do not allocate; a second
// `lock` ends the program.
unsafe impl RawMutex for RawLock {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait asks for it")]
    const INIT: Self = Self(AtomicBool::new(false));
    type GuardMarker = GuardNoSend;

    fn lock(&self) {
        if !self.try_lock() {
            crate::fatal!("the heap is entered twice");
        }
    }

    fn try_lock(&self) -> bool {
        core::mem::forget(PreemptionOff::new());
        let free = !self.0.swap(true, Relaxed);
        if !free {
            PreemptionOff::end_forgotten();
        }
        free
    }

    unsafe fn unlock(&self) {
        self.0.store(false, Relaxed);
        PreemptionOff::end_forgotten();
    }
}

#[cfg_attr(not(test), global_allocator)]
static HEAP: Heap = Heap(TalcLock::new(Manual));

struct Heap(TalcLock<RawLock, Manual>);

// SAFETY: forwards to an allocator that keeps the contract; on failure the null pointer is passed on.
//
// Never inlined: the thousands of places that free memory would grow the image by a twelfth.
unsafe impl GlobalAlloc for Heap {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        noted(unsafe { self.0.alloc(layout) }, layout.size())
    }

    #[inline(never)]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.0.dealloc(ptr, layout) }
    }

    #[inline(never)]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        noted(unsafe { self.0.realloc(ptr, layout, new_size) }, new_size)
    }
}

/// Adds a range of memory; called at boot for each.
///
/// # Safety
///
/// The range is mapped, writable, and not in use.
pub(super) unsafe fn claim(start: u64, end: u64) {
    if start < end {
        // SAFETY: the caller's promise. A range too small for the heap's own records is left unused.
        unsafe { HEAP.0.lock().claim(start as *mut u8, (end - start) as usize) };
    }
}

/// Returns the octets not in use.
pub(super) fn free() -> usize {
    HEAP.0.lock().counters().available_bytes
}

/// Allocates contiguous pages with whatever content.
pub(super) fn allocate_pages(pages: usize) -> Option<NonNull<u8>> {
    let layout = pages_layout(pages)?;
    // SAFETY: the layout is not empty.
    NonNull::new(unsafe { HEAP.alloc(layout) })
}

/// Gives pages back.
///
/// # Safety
///
/// [`allocate_pages`] returned `start` for this many pages, and they are not in use.
pub(super) unsafe fn free_pages(start: usize, pages: usize) {
    if let Some(layout) = pages_layout(pages) {
        // SAFETY: the caller's promise.
        unsafe { HEAP.dealloc(start as *mut u8, layout) };
    }
}

fn pages_layout(pages: usize) -> Option<Layout> {
    if pages == 0 {
        return None;
    }
    Layout::from_size_align(pages.checked_mul(PAGE)?, PAGE).ok()
}

/// Passes an allocation's result on and says so when it failed, at most once a second.
fn noted(result: *mut u8, asked: usize) -> *mut u8 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    if result.is_null() {
        let now = crate::arch::time::monotonic();
        let last = LAST.load(Relaxed);
        if last == 0 || now - last > 1_000_000_000 {
            LAST.store(now.max(1), Relaxed);
            let (total, free) = (super::total(), free());
            let mib = |octets: usize| octets >> 20;
            crate::kprintln!(
                "zonule: out of memory: {asked} octets asked for; the machine has {} MiB, {} MiB in use, {} MiB free \
                 in pieces; give the machine more memory (QEMU: -m)",
                mib(total),
                mib(total - free),
                mib(free)
            );
        }
    }
    result
}
