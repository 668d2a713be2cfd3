//! The firmware's tables: found, checked, read.
//!
//! Firmware is not trusted to be right: an address or a length is looked up in the loader's memory map before
//! anything is read there, because reading where no memory is ends the machine under some hypervisors. Tables may
//! stand at any address, odd ones included. Only data is read; of ACPI's machine language only a few patterns are
//! recognised.

use crate::memory::{Range, is_memory, map_firmware};
use spin::Once;

/// Where the root pointer may be when the loader does not pass its address: the BIOS's last 128 KiB.
const SEARCH: Range = Range { start: 0xe_0000, end: 0x10_0000 };
/// Octets of the root pointer that revision 1 has, and later revisions (ACPI 6.5 §5.2.5.3).
const POINTER: usize = 20;
const POINTER_2: usize = 36;
/// Octets of every table's header.
const HEADER: usize = 36;
/// No table is longer; a length beyond it is damage.
const LONGEST: usize = 4 << 20;

/// The table of tables; `None` on a machine without usable ACPI.
static ROOT: Once<Option<Root>> = Once::new();

/// Where the table of tables is, and how wide its entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    /// The RSDT: entries of 4 octets.
    Narrow(u64),
    /// The XSDT: entries of 8 octets.
    Wide(u64),
}

/// The memory-mapped configuration space of PCI's first segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ecam {
    /// Physical address of the first bus's space.
    pub base: u64,
    /// The first bus.
    pub bus_start: u8,
    /// The last bus.
    pub bus_end: u8,
}

/// A register by address space and address (ACPI 6.5 §5.2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Register {
    /// An I/O port.
    Port(u16),
    /// A physical address.
    Memory(u64),
}

/// Finds the tables by the root pointer at `passed`, or by searching for it; called once.
///
/// A machine whose tables cannot be read boots without them, and the console says so.
pub(crate) fn start(passed: Option<u64>) {
    let at_passed = passed.and_then(|at| {
        let candidates = firmware(at, POINTER_2).or_else(|| firmware(at, POINTER)).and_then(root_pointer);
        if candidates.is_none() {
            crate::kprintln!("zonule: ACPI: there is no valid root pointer at {at:#x}, where the loader says it is");
        }
        candidates
    });
    let candidates = at_passed.or_else(|| {
        let area = firmware(SEARCH.start, SEARCH.len() as usize)?;
        (0..area.len()).step_by(16).find_map(|at| root_pointer(&area[at..]))
    });
    let root = candidates.and_then(|candidates| {
        let usable = candidates.into_iter().flatten().find(|root| root.entries().is_some());
        if usable.is_none() {
            crate::kprintln!("zonule: ACPI: the root table cannot be read ({candidates:x?}); booting without ACPI");
        }
        usable
    });
    ROOT.call_once(|| root);
}

/// Returns the first valid table with this signature, header included.
pub fn table(signature: &[u8; 4]) -> Option<&'static [u8]> {
    tables(*signature).next()
}

/// Returns all valid tables with this signature, headers included: of SSDTs there may be several.
pub(crate) fn tables(signature: [u8; 4]) -> impl Iterator<Item = &'static [u8]> {
    let root = ROOT.get().copied().flatten();
    let addresses = root.into_iter().flat_map(|root| root.addresses(root.entries().unwrap_or_default()));
    addresses.filter(move |&at| firmware(at, 4) == Some(&signature)).filter_map(checked)
}

impl Root {
    /// Returns the entries, or `None` if the table is not what it must be.
    fn entries(self) -> Option<&'static [u8]> {
        let (address, signature) = match self {
            Root::Narrow(address) => (address, b"RSDT"),
            Root::Wide(address) => (address, b"XSDT"),
        };
        // The signature first: the length of something else means nothing.
        (firmware(address, 4)? == signature).then_some(())?;
        checked(address)?.get(HEADER..)
    }

    /// Reads the entries.
    fn addresses(self, entries: &[u8]) -> impl Iterator<Item = u64> {
        let width = match self {
            Root::Narrow(_) => 4,
            Root::Wide(_) => 8,
        };
        entries.chunks_exact(width).map(move |entry| {
            let mut address = [0; 8];
            address[..width].copy_from_slice(entry);
            u64::from_le_bytes(address)
        })
    }
}

/// Returns where PCI's configuration space is mapped, if it is.
pub fn mcfg() -> Option<Ecam> {
    let entries = table(b"MCFG")?.get(HEADER + 8..)?;
    entries
        .chunks_exact(16)
        .find(|e| u16_at(e, 8) == Some(0))
        .and_then(|entry| Some(Ecam { base: u64_at(entry, 0)?, bus_start: entry[10], bus_end: entry[11] }))
}

/// Calls `each` with the address and the first line of every I/O interrupt controller.
pub(crate) fn io_apics(mut each: impl FnMut(u32, u32)) {
    let Some(mut entries) = table(b"APIC").and_then(|madt| madt.get(HEADER + 8..)) else { return };
    while let [kind, length, ..] = *entries {
        let Some((entry, rest)) = entries.split_at_checked(usize::from(length)).filter(|_| length >= 2) else { return };
        entries = rest;
        if let (1, Some(address), Some(first)) = (kind, u32_at(entry, 4), u32_at(entry, 8)) {
            each(address, first);
        }
    }
}

/// Returns the port of the power-management timer.
pub(crate) fn pm_timer() -> Option<u16> {
    let fadt = table(b"FACP")?;
    u32_at(fadt, 76).filter(|&port| port != 0 && fadt.get(91) == Some(&4)).map(|port| port as u16)
}

/// Returns the CMOS register of the century.
pub(crate) fn century_register() -> Option<u8> {
    table(b"FACP")?.get(108).copied().filter(|&register| register != 0)
}

/// How the machine is put into the state S5, off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PowerOff {
    /// The sleep control register takes the type and the enable bit (ACPI 6.5 §4.8.3.7).
    SleepControl(Register, u8),
    /// The power-management control registers A and B take a type each and the enable bit (§4.8.3.2.1).
    PmControl([(u16, u16); 2]),
}

/// Returns how the machine is switched off.
pub(crate) fn power_off() -> Option<PowerOff> {
    let fadt = table(b"FACP")?;
    let [type_a, type_b] = sleep_types();
    const HARDWARE_REDUCED: u32 = 1 << 20;
    if u32_at(fadt, 112)? & HARDWARE_REDUCED != 0 {
        let register = register_at(fadt, 244)?;
        return Some(PowerOff::SleepControl(register, type_a << 2 | 1 << 5));
    }
    let (a, b) = (u32_at(fadt, 64)? as u16, u32_at(fadt, 68)? as u16);
    let value = |kind: u8| u16::from(kind) << 10 | 1 << 13;
    (a != 0).then_some(PowerOff::PmControl([(a, value(type_a)), (b, value(type_b))]))
}

/// Returns the register whose write resets the machine, and what to write.
pub(crate) fn reset() -> Option<(Register, u8)> {
    let fadt = table(b"FACP")?;
    const SUPPORTED: u32 = 1 << 10;
    (u32_at(fadt, 112)? & SUPPORTED != 0).then_some(())?;
    Some((register_at(fadt, 116)?, *fadt.get(128)?))
}

/// Returns the differentiated system description, which names the machine's devices in machine language.
pub(crate) fn description() -> Option<&'static [u8]> {
    let fadt = table(b"FACP")?;
    let wide = u64_at(fadt, 140).filter(|&address| address != 0);
    wide.or_else(|| u32_at(fadt, 40).map(u64::from)).and_then(checked)
}

/// Returns the sleep types of S5 from the DSDT, or those of QEMU's usual machines if it does not say.
fn sleep_types() -> [u8; 2] {
    description().and_then(s5).unwrap_or([0, 0])
}

/// Finds `Name (\_S5, Package () { a, b, … })` in machine language and returns a and b.
fn s5(aml: &[u8]) -> Option<[u8; 2]> {
    const NAME_OP: u8 = 0x08;
    const PACKAGE_OP: u8 = 0x12;
    let found = aml.windows(5).position(|w| &w[..4] == b"_S5_" && w[4] == PACKAGE_OP)?;
    let before = &aml[..found];
    (before.ends_with(&[NAME_OP]) || before.ends_with(&[NAME_OP, b'\\'])).then_some(())?;
    let package = aml.get(found + 5..)?;
    // The top two bits of the first octet of the length tell how many octets follow it; then the element count.
    let mut elements = package.get(usize::from(package.first()? >> 6) + 2..)?;
    let mut integer = || {
        let (value, length) = match *elements {
            [0x00, ..] => (0, 1),            // ZeroOp
            [0x01, ..] => (1, 1),            // OneOp
            [0x0a, value, ..] => (value, 2), // BytePrefix
            _ => return None,
        };
        elements = &elements[length..];
        Some(value & 7)
    };
    Some([integer()?, integer()?])
}

/// Returns the tables of tables that a root pointer at the start of `at` names, the wide one first; `None` if there
/// is no root pointer.
fn root_pointer(at: &[u8]) -> Option<[Option<Root>; 2]> {
    let first = at.get(..POINTER)?;
    if !first.starts_with(b"RSD PTR ") || !sums_to_zero(first) {
        return None;
    }
    let extended = at.get(..POINTER_2).filter(|all| all[15] >= 2 && sums_to_zero(all));
    let wide = extended.and_then(|all| u64_at(all, 24)).filter(|&address| address != 0);
    let narrow = u32_at(first, 16).filter(|&address| address != 0);
    Some([wide.map(Root::Wide), narrow.map(|address| Root::Narrow(address.into()))])
}

/// Returns the table at `address` if it lies in memory, and its length and sum are right.
fn checked(address: u64) -> Option<&'static [u8]> {
    let length = u32_at(firmware(address, HEADER)?, 4)? as usize;
    (HEADER..=LONGEST).contains(&length).then_some(())?;
    firmware(address, length).filter(|table| sums_to_zero(table))
}

/// Returns what the firmware left at `address`, or `None` where the memory map has no memory.
fn firmware(address: u64, length: usize) -> Option<&'static [u8]> {
    let range = Range { start: address, end: address.checked_add(length as u64)? };
    (is_memory(range) && range.start != 0).then_some(())?;
    map_firmware(address, length)
}

fn sums_to_zero(octets: &[u8]) -> bool {
    octets.iter().fold(0, |sum: u8, &octet| sum.wrapping_add(octet)) == 0
}

fn register_at(table: &[u8], at: usize) -> Option<Register> {
    let address = u64_at(table, at + 4).filter(|&address| address != 0)?;
    match table.get(at)? {
        0 => Some(Register::Memory(address)),
        1 => Some(Register::Port(address as u16)),
        _ => None,
    }
}

fn u16_at(from: &[u8], at: usize) -> Option<u16> {
    from.get(at..)?.first_chunk().map(|b| u16::from_le_bytes(*b))
}

fn u32_at(from: &[u8], at: usize) -> Option<u32> {
    from.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

fn u64_at(from: &[u8], at: usize) -> Option<u64> {
    from.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn finds_the_sleep_types() {
        let aml = b"\x10\x05\x08_S5_\x12\x08\x04\x0a\x05\x01\x00\x00";
        assert_eq!(s5(aml), Some([5, 1]));
        assert_eq!(s5(b"\x08\\_S5_\x12\x06\x04\x00\x00\x00\x00"), Some([0, 0]));
        assert_eq!(s5(b"\x08_S5_\x12\x08\x04\x0b\x05\x01\x00"), None);
        assert_eq!(s5(b"\x08_S5_\x12"), None);
    }

    /// Returns a root pointer of revision 0 or 2 with right sums.
    fn pointer(narrow: u32, wide: Option<u64>) -> Vec<u8> {
        let mut pointer = b"RSD PTR \0BOCHS ".to_vec();
        pointer.push(if wide.is_some() { 2 } else { 0 });
        pointer.extend(narrow.to_le_bytes());
        pointer[8] = sum_of(&pointer).wrapping_neg();
        if let Some(wide) = wide {
            pointer.extend(36u32.to_le_bytes());
            pointer.extend(wide.to_le_bytes());
            pointer.extend([0; 4]);
            pointer[32] = sum_of(&pointer).wrapping_neg();
        }
        pointer
    }

    fn sum_of(octets: &[u8]) -> u8 {
        octets.iter().fold(0, |sum, octet| sum.wrapping_add(*octet))
    }

    #[test]
    fn root_pointers_of_both_kinds_are_read() {
        assert_eq!(root_pointer(&pointer(0x1000, None)), Some([None, Some(Root::Narrow(0x1000))]));
        let both = Some([Some(Root::Wide(0x2000)), Some(Root::Narrow(0x1000))]);
        assert_eq!(root_pointer(&pointer(0x1000, Some(0x2000))), both);
        assert_eq!(root_pointer(&pointer(0, Some(0x2000))), Some([Some(Root::Wide(0x2000)), None]));
    }

    #[test]
    fn an_odd_address_does_not_change_the_kind_of_table() {
        assert_eq!(root_pointer(&pointer(0x1001, None)), Some([None, Some(Root::Narrow(0x1001))]));
        // As QEMU's microvm has it under KVM.
        assert_eq!(root_pointer(&pointer(0, Some(0x3ff_ffcb))), Some([Some(Root::Wide(0x3ff_ffcb)), None]));
    }

    #[test]
    fn damaged_root_pointers_are_not_believed() {
        let good = pointer(0x1000, Some(0x2000));
        for at in 0..POINTER {
            let mut damaged = good.clone();
            damaged[at] ^= 0x10;
            assert_eq!(root_pointer(&damaged), None, "octet {at}");
        }
        // What only revision 2 has is damaged or cut off: what revision 0 has is still right.
        for at in POINTER..POINTER_2 {
            let mut damaged = good.clone();
            damaged[at] ^= 0x10;
            let narrow = Some([None, Some(Root::Narrow(0x1000))]);
            assert_eq!(root_pointer(&damaged), narrow, "octet {at}");
            assert_eq!(root_pointer(&good[..at]), narrow, "{at} octets");
        }
        assert_eq!(root_pointer(&good[..POINTER - 1]), None);
    }

    #[test]
    fn entries_are_as_wide_as_the_table_says() {
        let entries = [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0];
        assert_eq!(Root::Narrow(0).addresses(&entries).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(Root::Wide(0).addresses(&entries).collect::<Vec<_>>(), [2 << 32 | 1], "the rest is cut off");
    }
}
