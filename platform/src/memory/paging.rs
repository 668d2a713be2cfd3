//! Page tables: virtual equals physical, no page writable and executable.
//!
//! RAM is mapped with the largest pages that fit between its edges. A large page is split when a single page
//! within it must become a guard; it is never joined again, which costs one table for 2 MiB at most.
//! There are no user pages, so SMEP and SMAP hold for everything.

use super::map::Range;
use super::{PAGE, heap, image};
use crate::boot::BOOT_STACK;
use crate::cpu::features::Features;
use crate::cpu::gdt::INTERRUPT_STACKS;
use crate::sync::Lock;
use x86_64::instructions::tlb;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::page_table::{PageTableEntry, PageTableFlags as Flags};
use x86_64::structures::paging::{PageTable, PhysFrame};
use x86_64::{PhysAddr, VirtAddr};

const READ_ONLY: Flags = Flags::PRESENT.union(Flags::NO_EXECUTE);
const READ_WRITE: Flags = READ_ONLY.union(Flags::WRITABLE);
const EXECUTE: Flags = Flags::PRESENT;
const DEVICE: Flags = READ_WRITE.union(Flags::NO_CACHE).union(Flags::WRITE_THROUGH);
/// What an entry that points to a table grants: everything, the lowest level decides.
const TABLE: Flags = Flags::PRESENT.union(Flags::WRITABLE);

/// Levels by what one entry covers: 0 for 4 KiB, 1 for 2 MiB, 2 for 1 GiB.
const fn span(level: usize) -> u64 {
    (PAGE as u64) << (9 * level)
}

/// The source of page tables at boot: pages from the start of a range.
pub(super) struct Frames(Range);

impl Frames {
    /// Returns a source that takes from the start of `range`.
    pub(super) fn new(range: Range) -> Self {
        Self(range)
    }

    /// Returns the first address not taken.
    pub(super) fn next(&self) -> u64 {
        self.0.start
    }

    fn take(&mut self) -> Option<u64> {
        let frame = self.0.start;
        (self.0.len() >= PAGE as u64).then(|| self.0.start += PAGE as u64)?;
        Some(frame)
    }
}

/// The tree of tables, by the physical address of its root.
struct Tables {
    root: u64,
    /// The largest level a page may have: 2 where the processor has pages of 1 GiB.
    largest: usize,
}

/// There is no memory for a page table.
struct OutOfMemory;

static TABLES: Lock<Tables> = Lock::new(Tables { root: 0, largest: 1 });

/// Builds the final tables and puts them in force.
///
/// # Safety
///
/// As for [`super::start`]; `frames` is reachable through the boot tables.
pub(super) unsafe fn start(
    frames: &mut Frames,
    usable: impl Fn(&mut dyn FnMut(Range)),
    features: &Features,
) -> Result<(), &'static str> {
    let mut tables = TABLES.lock();
    let mut take = || frames.take();
    tables.largest = if features.gigabyte_pages { 2 } else { 1 };
    tables.build(usable, &mut take).map_err(|OutOfMemory| "too little memory for the page tables")?;
    let root = PhysFrame::containing_address(PhysAddr::new(tables.root));
    // SAFETY: the tables map all that is in use: the image, this stack within it, and the heap to be.
    unsafe { Cr3::write(root, Cr3Flags::empty()) };
    features.protect();
    Ok(())
}

/// Maps a device's registers; false if there is no memory for the tables.
pub(super) fn map_device(phys: u64, len: usize) -> bool {
    map(phys, len, DEVICE)
}

/// Maps firmware memory to be read; false if there is no memory for the tables.
pub(super) fn map_firmware(phys: u64, len: usize) -> bool {
    map(phys, len, READ_ONLY)
}

fn map(phys: u64, len: usize, flags: Flags) -> bool {
    let start = phys & !(PAGE as u64 - 1);
    let end = (phys + len as u64).next_multiple_of(PAGE as u64);
    TABLES.lock().map(Range { start, end }, flags, &mut from_heap).is_ok()
}

/// Unmaps a page of RAM or maps it again; false if there is no memory for the tables.
pub(super) fn set_present(page: usize, present: bool) -> bool {
    let mut tables = TABLES.lock();
    match tables.entry(page as u64, &mut from_heap) {
        Ok(entry) => {
            let mut flags = READ_WRITE;
            flags.set(Flags::PRESENT, present);
            entry.set_addr(PhysAddr::new(page as u64), flags);
            tlb::flush(VirtAddr::new(page as u64));
            true
        }
        Err(OutOfMemory) => false,
    }
}

fn from_heap() -> Option<u64> {
    heap::allocate_pages(1).map(|page| page.as_ptr() as u64)
}

impl Tables {
    fn build(
        &mut self,
        usable: impl Fn(&mut dyn FnMut(Range)),
        take: &mut impl FnMut() -> Option<u64>,
    ) -> Result<(), OutOfMemory> {
        self.root = new_table(take)?;
        for (part, flags) in [(image::rodata(), READ_ONLY), (image::text(), EXECUTE), (image::data(), READ_WRITE)] {
            self.map(Range { start: part.start as u64, end: part.end as u64 }, flags, take)?;
        }
        let mut result = Ok(());
        usable(&mut |range| {
            if result.is_ok() {
                result = self.map(range, READ_WRITE, take);
            }
        });
        result?;
        for guard in INTERRUPT_STACKS.iter().map(|s| s.guard()).chain([BOOT_STACK.guard()]) {
            self.entry(guard as u64, take)?.set_unused();
        }
        Ok(())
    }

    /// Maps whole pages one to one where nothing is mapped yet; what is mapped stays as it is.
    fn map(&mut self, range: Range, flags: Flags, take: &mut impl FnMut() -> Option<u64>) -> Result<(), OutOfMemory> {
        let mut at = range.start;
        while at < range.end {
            at += self.map_one(at, range.end, flags, take)?;
        }
        Ok(())
    }

    /// Maps the largest page that starts at `at`, ends by `end` and lies in an empty entry; returns how far to go on.
    fn map_one(
        &mut self,
        at: u64,
        end: u64,
        flags: Flags,
        take: &mut impl FnMut() -> Option<u64>,
    ) -> Result<u64, OutOfMemory> {
        let mut table = self.root;
        for level in (0..4).rev() {
            let size = span(level);
            // SAFETY: the address of a table of this tree; the lock on the tree is held.
            let entry = unsafe { slot(table, at, level) };
            if entry.is_unused() && level <= self.largest && at.is_multiple_of(size) && end - at >= size {
                let large = if level > 0 { Flags::HUGE_PAGE } else { Flags::empty() };
                entry.set_addr(PhysAddr::new(at), flags | large);
                return Ok(size);
            }
            if level == 0 || entry.flags().contains(Flags::HUGE_PAGE) {
                return Ok(size - at % size); // mapped already
            }
            if entry.is_unused() {
                entry.set_addr(PhysAddr::new(new_table(take)?), TABLE);
            }
            table = entry.addr().as_u64();
        }
        Ok(PAGE as u64)
    }

    /// Returns the entry of the single page at `at`, splitting what is larger.
    fn entry(&mut self, at: u64, take: &mut impl FnMut() -> Option<u64>) -> Result<&mut PageTableEntry, OutOfMemory> {
        let mut table = self.root;
        for level in (1..4).rev() {
            // SAFETY: the address of a table of this tree; the lock on the tree is held.
            let entry = unsafe { slot(table, at, level) };
            if entry.is_unused() {
                entry.set_addr(PhysAddr::new(new_table(take)?), TABLE);
            } else if entry.flags().contains(Flags::HUGE_PAGE) {
                split(entry, level, take)?;
                // The old large translation may be cached for any address in it.
                tlb::flush_all();
            }
            table = entry.addr().as_u64();
        }
        // SAFETY: as above.
        Ok(unsafe { slot(table, at, 0) })
    }
}

/// Replaces a large page by a table that maps the same with the same rights.
fn split(entry: &mut PageTableEntry, level: usize, take: &mut impl FnMut() -> Option<u64>) -> Result<(), OutOfMemory> {
    let (start, mut flags) = (entry.addr().as_u64(), entry.flags());
    if level == 1 {
        flags.remove(Flags::HUGE_PAGE);
    }
    let table = new_table(take)?;
    // SAFETY: a fresh page nobody else has.
    let parts = unsafe { &mut *(table as *mut PageTable) };
    for (number, part) in parts.iter_mut().enumerate() {
        part.set_addr(PhysAddr::new(start + number as u64 * span(level - 1)), flags);
    }
    entry.set_addr(PhysAddr::new(table), TABLE);
    Ok(())
}

/// Takes a page and empties it.
fn new_table(take: &mut impl FnMut() -> Option<u64>) -> Result<u64, OutOfMemory> {
    let page = take().ok_or(OutOfMemory)?;
    // SAFETY: a mapped page given to nobody else.
    unsafe { (page as *mut PageTable).write(PageTable::new()) };
    Ok(page)
}

/// Returns the entry for `address` of the table at physical address `table`, which is of `level`.
///
/// # Safety
///
/// It is a table of the tree, and nobody else refers into it.
unsafe fn slot<'a>(table: u64, address: u64, level: usize) -> &'a mut PageTableEntry {
    // SAFETY: the caller's promise; tables are mapped one to one.
    let table = unsafe { &mut *(table as *mut PageTable) };
    &mut table[index(address, level)]
}

/// Returns which entry of a table at `level` covers `address`.
fn index(address: u64, level: usize) -> usize {
    (address / span(level)) as usize % 512
}
