//! Memory: the physical map, page tables, and the heap over all RAM.
//!
//! Virtual equals physical. The heap owns every usable page; thread stacks, page tables and device buffers are
//! page-aligned pieces of it, so there is one pool and nothing to balance. A page is never mapped twice.

mod dma;
mod heap;
mod map;
mod paging;
pub(crate) mod stacks;

pub use dma::Dma;

use crate::arch::{image, paging as tables};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
pub(crate) use map::{Kind, MemoryMap, Range};
use spin::Once;

/// The size of a page.
pub const PAGE: usize = crate::arch::PAGE;

/// Memory below is left alone: the firmware's, and too small to be worth the care.
const FLOOR: u64 = 0x10_0000;

static TOTAL: AtomicUsize = AtomicUsize::new(0);
/// The loader's map, by which addresses that firmware gives are checked.
static MAP: Once<MemoryMap> = Once::new();

/// Maps all memory by its rights, leaves the pages at `guards` unmapped, and gives what is usable to the heap; called once,
/// at boot.
///
/// # Safety
///
/// The boot tables are in force, and nothing in `map` called usable is in use. Nothing refers to the pages at `guards`.
pub(crate) unsafe fn start(map: MemoryMap, guards: impl Iterator<Item = usize>) -> Result<(), &'static str> {
    let map = MAP.call_once(|| map);
    let mut frames = None;
    let image = image::all();
    let image = Range { start: image.start as u64, end: image.end as u64 };
    // Page tables come from the first usable range: it lies below 4 GiB, within reach of the boot tables.
    map.usable(FLOOR, image, |range| frames = frames.or(Some(range)));
    let first = frames.ok_or("the memory map has no usable memory")?;
    let mut frames = paging::Frames::new(first);
    // SAFETY: the caller's promise.
    unsafe { paging::start(&mut frames, |each| map.usable(FLOOR, image, each), guards)? };
    let mut total = (image.end - image.start) as usize;
    map.usable(FLOOR, image, |range| {
        total += range.len() as usize;
        let start = if range.start == first.start { frames.next() } else { range.start };
        // SAFETY: mapped just now, usable by the map, and not among the frames taken for the tables.
        unsafe { heap::claim(start, range.end) };
    });
    TOTAL.store(total, Relaxed);
    if map.dropped() > 0 {
        crate::kprintln!("zonule: the memory map has {} entries more than are kept", map.dropped());
    }
    Ok(())
}

/// Returns whether all of `range` is memory: in the loader's map, or below 1 MiB, whose upper part is the firmware's on
/// every PC and stands in few maps.
pub(crate) fn is_memory(range: Range) -> bool {
    range.start < range.end && range.end <= FLOOR || MAP.get().is_some_and(|map| map.covers(range))
}

/// Returns the octets of memory the machine gives, the image included.
pub fn total() -> usize {
    TOTAL.load(Relaxed)
}

/// Returns the octets of memory not in use.
pub fn free() -> usize {
    heap::free()
}

/// Maps a device's registers for good, uncached and not executable. Mapping them again gives the same address.
///
/// # Panics
///
/// Ends the program if there is no memory for the page tables: no device can be driven then.
pub fn map_device(phys: u64, len: usize) -> NonNull<u8> {
    let mapped = paging::map_device(phys, len);
    match NonNull::new(phys as *mut u8) {
        Some(at) if mapped => at,
        _ => crate::fatal!("cannot map the device at {phys:#x}: out of memory or no address"),
    }
}

/// Returns firmware memory, mapped read-only for good; `None` if the range is no address or no memory is left.
pub(crate) fn map_firmware(phys: u64, len: usize) -> Option<&'static [u8]> {
    if phys < map::PAGE || phys.checked_add(len as u64)? >= tables::END || !paging::map_firmware(phys, len) {
        return None;
    }
    // SAFETY: mapped above, and nothing of ours writes to the firmware's ranges.
    Some(unsafe { core::slice::from_raw_parts(phys as *const u8, len) })
}

/// Returns the physical address of what `ptr` points to.
pub fn virt_to_phys(ptr: *const u8) -> u64 {
    ptr as u64 // one to one, everywhere
}
