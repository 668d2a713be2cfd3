//! Page tables: virtual equals physical, and no page is both writable and executable.
//!
//! RAM is mapped with the largest pages that fit. A large page is split when a single page in it must become a guard
//! page, and never merged again, which costs at most one table per 2 MiB. There are no user pages, so SMEP and SMAP
//! apply to everything.

use super::features::Features;
use crate::arch::units::PAGE;
use x86_64::instructions::tlb;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::page_table::{PageTableEntry, PageTableFlags as Flags};
use x86_64::structures::paging::{PageTable, PhysFrame};
use x86_64::{PhysAddr, VirtAddr};

/// The first address that cannot be mapped one to one.
pub(crate) const END: u64 = 1 << 47;

const READ_ONLY: Flags = Flags::PRESENT.union(Flags::NO_EXECUTE);
const READ_WRITE: Flags = READ_ONLY.union(Flags::WRITABLE);
const DEVICE: Flags = READ_WRITE.union(Flags::NO_CACHE).union(Flags::WRITE_THROUGH);
/// The rights of an entry that points to a table: all of them, since the lowest level decides.
const TABLE: Flags = Flags::PRESENT.union(Flags::WRITABLE);

/// The access rights of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Read.
    Read,
    /// Read and write.
    Write,
    /// Read and execute.
    Execute,
    /// Read and write device registers, uncached.
    Device,
}

impl Rights {
    fn flags(self) -> Flags {
        match self {
            Self::Read => READ_ONLY,
            Self::Write => READ_WRITE,
            Self::Execute => Flags::PRESENT,
            Self::Device => DEVICE,
        }
    }
}

/// Returns how many octets an entry of `level` covers: 4 KiB at level 0, 2 MiB at 1, 1 GiB at 2.
const fn span(level: usize) -> u64 {
    (PAGE as u64) << (9 * level)
}

/// The page tables, by the physical address of the root table.
pub(crate) struct Tables {
    root: u64,
    /// The largest page level available: 2 if the processor has 1 GiB pages.
    largest: usize,
}

/// No memory is left for a page table.
#[derive(Debug)]
pub(crate) struct OutOfMemory;

impl Tables {
    /// Returns a placeholder without a root, to be replaced by [`Self::build`].
    pub(crate) const fn unbuilt() -> Self {
        Self { root: 0, largest: 1 }
    }

    /// Returns an empty tree. Its tables are allocated with `take`, here and in the other functions.
    ///
    /// # Errors
    ///
    /// Fails if `take` returns `None`.
    pub(crate) fn build(take: &mut impl FnMut() -> Option<u64>) -> Result<Self, OutOfMemory> {
        let largest = if Features::detect().gigabyte_pages { 2 } else { 1 };
        Ok(Self { root: new_table(take)?, largest })
    }

    /// Activates the tree on this processor, with every protection the processor has.
    ///
    /// # Safety
    ///
    /// The tree maps everything in use, one to one.
    pub(crate) unsafe fn activate(&self) {
        let root = PhysFrame::containing_address(PhysAddr::new(self.root));
        // SAFETY: the caller's guarantee.
        unsafe { Cr3::write(root, Cr3Flags::empty()) };
        Features::detect().protect();
    }

    /// Maps whole pages one to one where nothing is mapped yet; existing mappings stay as they are.
    ///
    /// # Errors
    ///
    /// Fails if there is no memory for a table; some of the pages may already be mapped then.
    pub(crate) fn map(
        &mut self,
        start: u64,
        end: u64,
        rights: Rights,
        take: &mut impl FnMut() -> Option<u64>,
    ) -> Result<(), OutOfMemory> {
        let mut at = start;
        while at < end {
            at += self.map_one(at, end, rights.flags(), take)?;
        }
        Ok(())
    }

    /// Unmaps the page at `page`, before the tree is activated.
    ///
    /// # Errors
    ///
    /// Fails if there is no memory for a table.
    pub(crate) fn unmap(&mut self, page: u64, take: &mut impl FnMut() -> Option<u64>) -> Result<(), OutOfMemory> {
        self.entry(page, take).map(PageTableEntry::set_unused)
    }

    /// Unmaps the memory page at `page`, or maps it again for reading and writing. With several processors, each would
    /// have to flush the old translation.
    ///
    /// # Errors
    ///
    /// Fails if there is no memory for a table.
    pub(crate) fn set_present(
        &mut self,
        page: u64,
        present: bool,
        take: &mut impl FnMut() -> Option<u64>,
    ) -> Result<(), OutOfMemory> {
        let entry = self.entry(page, take)?;
        let mut flags = READ_WRITE;
        flags.set(Flags::PRESENT, present);
        entry.set_addr(PhysAddr::new(page), flags);
        tlb::flush(VirtAddr::new(page));
        Ok(())
    }

    /// Maps the largest page that starts at `at`, ends by `end` and fits an empty entry; returns how far to advance.
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
                return Ok(size - at % size); // already mapped
            }
            if entry.is_unused() {
                entry.set_addr(PhysAddr::new(new_table(take)?), TABLE);
            }
            table = entry.addr().as_u64();
        }
        Ok(PAGE as u64)
    }

    /// Returns the entry of the single page at `at`, splitting a larger page if necessary.
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

/// Replaces a large page with a table that maps the same range with the same rights.
fn split(entry: &mut PageTableEntry, level: usize, take: &mut impl FnMut() -> Option<u64>) -> Result<(), OutOfMemory> {
    let (start, mut flags) = (entry.addr().as_u64(), entry.flags());
    if level == 1 {
        flags.remove(Flags::HUGE_PAGE);
    }
    let table = new_table(take)?;
    // SAFETY: a new page that nothing else uses.
    let parts = unsafe { &mut *(table as *mut PageTable) };
    for (number, part) in parts.iter_mut().enumerate() {
        part.set_addr(PhysAddr::new(start + number as u64 * span(level - 1)), flags);
    }
    entry.set_addr(PhysAddr::new(table), TABLE);
    Ok(())
}

/// Allocates a page table with no entries.
fn new_table(take: &mut impl FnMut() -> Option<u64>) -> Result<u64, OutOfMemory> {
    let page = take().ok_or(OutOfMemory)?;
    // SAFETY: a mapped page that nothing else uses.
    unsafe { (page as *mut PageTable).write(PageTable::new()) };
    Ok(page)
}

/// Returns the entry for `address` in the table at physical address `table`, which is of `level`.
///
/// # Safety
///
/// It is a table of the tree, and nothing else holds a reference into it.
unsafe fn slot<'a>(table: u64, address: u64, level: usize) -> &'a mut PageTableEntry {
    // SAFETY: the caller's guarantee; tables are mapped one to one.
    let table = unsafe { &mut *(table as *mut PageTable) };
    &mut table[index(address, level)]
}

/// Returns the index of the entry that covers `address` in a table at `level`.
fn index(address: u64, level: usize) -> usize {
    (address / span(level)) as usize % 512
}
