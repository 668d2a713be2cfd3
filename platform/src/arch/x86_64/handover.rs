//! The loader's handover: the PVH start info and the memory map it points to.

use core::ffi::CStr;

/// The magic number of a start info: "xEn3" with the top bit of the E set.
const MAGIC: u32 = 0x336e_c578;

/// `struct hvm_start_info`; the memory map fields exist from version 1 on.
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

/// A region of the physical address space as listed in the loader's memory map: possibly empty, overlapping another, or
/// reaching past the last address.
pub(crate) struct Region {
    /// The first physical address.
    pub(crate) address: u64,
    /// The size in octets.
    pub(crate) size: u64,
    /// Whether it is usable memory; otherwise it belongs to the firmware or a device.
    pub(crate) usable: bool,
}

/// What the loader passed, still in the loader's memory.
pub(crate) struct Handover {
    map: *const MapEntry,
    entries: usize,
    /// The address of the ACPI root pointer if the loader passed one.
    pub(crate) rsdp: Option<u64>,
    /// The command line.
    pub(crate) command_line: &'static [u8],
}

impl Handover {
    /// Reads the start info at `address`.
    ///
    /// # Errors
    ///
    /// Returns why it is not a usable start info.
    ///
    /// # Safety
    ///
    /// `address` is what the loader passed, and everything below 4 GiB stays mapped one to one for as long as the value
    /// and the command line are used.
    pub(crate) unsafe fn read(address: u32) -> Result<Self, &'static str> {
        let info = address as usize as *const StartInfo;
        if info.is_null() || !info.is_aligned() {
            return Err("the loader passed no start info: boot the image by PVH");
        }
        // SAFETY: non-null and aligned; the caller guarantees the mapping.
        let info = unsafe { &*info };
        if info.magic != MAGIC {
            return Err("the loader's start info has the wrong magic number: boot the image by PVH");
        }
        if info.version < 1 || info.memory_map_entries == 0 {
            return Err("the loader passed no memory map: PVH start info version 1 or later is needed");
        }
        let command_line = match info.command_line_address as usize {
            0 => &[],
            // SAFETY: the loader guarantees a terminated string at this address.
            at => unsafe { CStr::from_ptr(at as *const core::ffi::c_char) }.to_bytes(),
        };
        Ok(Self {
            map: info.memory_map_address as usize as *const MapEntry,
            entries: info.memory_map_entries as usize,
            rsdp: (info.rsdp_address != 0).then_some(info.rsdp_address),
            command_line,
        })
    }

    /// Returns the entries of the memory map.
    pub(crate) fn regions(&self) -> impl Iterator<Item = Region> {
        (0..self.entries).map(|index| {
            // SAFETY: the loader guarantees that many entries at this address, and `read`'s caller guarantees the
            // mapping.
            let entry = unsafe { self.map.add(index).read_unaligned() };
            Region { address: entry.address, size: entry.size, usable: entry.kind == 1 }
        })
    }
}
