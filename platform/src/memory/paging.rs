//! Which memory is mapped with which rights. How, the processor's floor knows.

use super::map::Range;
use super::{PAGE, heap};
use crate::arch::image;
use crate::arch::paging::{OutOfMemory, Rights, Tables};
use crate::base::lock::Lock;

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

static TABLES: Lock<Tables> = Lock::new(Tables::unbuilt());

/// Builds the final tables and puts them in force; `guards` are pages of the image that must not be mapped.
///
/// # Safety
///
/// As for [`super::start`]; `frames` is reachable through the boot tables.
pub(super) unsafe fn start(
    frames: &mut Frames,
    usable: impl Fn(&mut dyn FnMut(Range)),
    guards: impl Iterator<Item = usize>,
) -> Result<(), &'static str> {
    let tables = build(usable, guards, &mut || frames.take());
    let tables = tables.map_err(|OutOfMemory| "too little memory for the page tables")?;
    // SAFETY: the tables map all that is in use: the image, this stack within it, and the heap to be.
    unsafe { tables.activate() };
    *TABLES.lock() = tables;
    Ok(())
}

fn build(
    usable: impl Fn(&mut dyn FnMut(Range)),
    guards: impl Iterator<Item = usize>,
    take: &mut impl FnMut() -> Option<u64>,
) -> Result<Tables, OutOfMemory> {
    let mut tables = Tables::build(take)?;
    let parts = [(image::rodata(), Rights::Read), (image::text(), Rights::Execute), (image::data(), Rights::Write)];
    for (part, rights) in parts {
        tables.map(part.start as u64, part.end as u64, rights, take)?;
    }
    let mut result = Ok(());
    usable(&mut |range| {
        if result.is_ok() {
            result = tables.map(range.start, range.end, Rights::Write, take);
        }
    });
    result?;
    for guard in guards {
        tables.unmap(guard as u64, take)?;
    }
    Ok(tables)
}

/// Maps a device's registers; false if there is no memory for the tables.
pub(super) fn map_device(phys: u64, len: usize) -> bool {
    map(phys, len, Rights::Device)
}

/// Maps firmware memory to be read; false if there is no memory for the tables.
pub(super) fn map_firmware(phys: u64, len: usize) -> bool {
    map(phys, len, Rights::Read)
}

fn map(phys: u64, len: usize, rights: Rights) -> bool {
    let start = phys & !(PAGE as u64 - 1);
    let end = (phys + len as u64).next_multiple_of(PAGE as u64);
    TABLES.lock().map(start, end, rights, &mut from_heap).is_ok()
}

/// Unmaps a page of RAM or maps it again; false if there is no memory for the tables.
pub(super) fn set_present(page: usize, present: bool) -> bool {
    TABLES.lock().set_present(page as u64, present, &mut from_heap).is_ok()
}

fn from_heap() -> Option<u64> {
    heap::allocate_pages(1).map(|page| page.as_ptr() as u64)
}
