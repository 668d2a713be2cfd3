//! What the loader tells: the PVH start info and the memory map it points to.

use crate::memory::map::{Kind, MemoryMap};
use core::ffi::CStr;

/// Marks a start info: "xEn3" with the top bit of the E set.
const MAGIC: u32 = 0x336e_c578;

/// `struct hvm_start_info`; the memory map fields are there from version 1 on.
#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    modules: u32,
    modules_address: u64,
    command_line_address: u64,
    rsdp_address: u64,
    memory_map_address: u64,
    memory_map_entries: u32,
    reserved: u32,
}

/// `struct hvm_memmap_table_entry`.
#[repr(C)]
struct MapEntry {
    address: u64,
    size: u64,
    kind: u32,
    reserved: u32,
}

/// What is kept of the start info.
pub(super) struct Handover {
    /// The usable and reserved physical memory.
    pub(super) map: MemoryMap,
    /// Where the loader says the ACPI root pointer is.
    pub(super) rsdp: Option<u64>,
    /// The kernel command line, still in the loader's memory.
    pub(super) command_line: &'static [u8],
}

/// Copies out what the loader left at `address`, or says why it is no start info.
///
/// # Safety
///
/// `address` is what the loader passed, and everything below 4 GiB is mapped one to one.
pub(super) unsafe fn read(address: u32) -> Result<Handover, &'static str> {
    let info = address as usize as *const StartInfo;
    if info.is_null() || !info.is_aligned() {
        return Err("the loader passed no start info");
    }
    // SAFETY: non-null and aligned; the caller vouches for the mapping.
    let info = unsafe { &*info };
    if info.magic != MAGIC {
        return Err("the loader's start info has the wrong magic");
    }
    if info.version < 1 || info.memory_map_entries == 0 {
        return Err("the loader gave no memory map: start info version 1 is needed");
    }
    let mut map = MemoryMap::new();
    for index in 0..info.memory_map_entries as usize {
        let entry = info.memory_map_address as usize as *const MapEntry;
        // SAFETY: the loader vouches for `memory_map_entries` entries there.
        let entry = unsafe { entry.add(index).read_unaligned() };
        let kind = if entry.kind == 1 { Kind::Ram } else { Kind::Reserved };
        map.insert(entry.address, entry.size, kind);
    }
    let command_line = match info.command_line_address as usize {
        0 => &[],
        // SAFETY: the loader vouches for a terminated string there.
        at => unsafe { CStr::from_ptr(at as *const core::ffi::c_char) }.to_bytes(),
    };
    Ok(Handover { map, rsdp: (info.rsdp_address != 0).then_some(info.rsdp_address), command_line })
}
