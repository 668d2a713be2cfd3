//! The firmware's tables: found, checked, read.
//!
//! Only data is read; of ACPI's machine language only the name of S5 is looked for.

use crate::memory::map_firmware;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Where the root pointer may be when the loader does not tell: the BIOS's last 128 KiB.
const SEARCH: u64 = 0xe_0000;
const SEARCH_LENGTH: usize = 0x2_0000;
/// Octets of every table's header.
const HEADER: usize = 36;
/// No table is longer; a length beyond it is damage.
const LONGEST: usize = 4 << 20;

/// Where the table of tables is; zero if there is none. Bit 0 set: entries of 4 octets rather than 8.
static ROOT: AtomicU64 = AtomicU64::new(0);

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

/// Finds the tables, at `told` or by searching; called once.
pub(crate) fn start(told: Option<u64>) {
    let root = told.and_then(|at| root_pointer(map_firmware(at, 36)?)).or_else(|| {
        let area = map_firmware(SEARCH, SEARCH_LENGTH)?;
        area.chunks_exact(16).enumerate().find_map(|(index, _)| root_pointer(&area[index * 16..]))
    });
    ROOT.store(root.unwrap_or(0), Relaxed);
}

/// Returns the table with this signature, checked, header included.
pub fn table(signature: &[u8; 4]) -> Option<&'static [u8]> {
    let root = ROOT.load(Relaxed);
    if root == 0 {
        return None;
    }
    let narrow = root & 1 != 0;
    let entries = checked(root & !1)?.get(HEADER..)?;
    entries
        .chunks_exact(if narrow { 4 } else { 8 })
        .map(|entry| if narrow { u32_at(entry, 0).map(u64::from) } else { u64_at(entry, 0) })
        .filter_map(|address| address.filter(|&a| map_firmware(a, 4) == Some(signature)))
        .find_map(checked)
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

/// Returns the address of the table of tables (bit 0 as in [`ROOT`]) if `at` is a root pointer.
fn root_pointer(at: &[u8]) -> Option<u64> {
    let first = at.get(..20)?;
    if !first.starts_with(b"RSD PTR ") || !sums_to_zero(first) {
        return None;
    }
    let extended = at.get(..36).filter(|all| all[15] >= 2 && sums_to_zero(all));
    let wide = extended.and_then(|all| u64_at(all, 24)).filter(|&address| address != 0);
    wide.or_else(|| u32_at(first, 16).filter(|&address| address != 0).map(|narrow| u64::from(narrow) | 1))
}

/// Returns the table at `address` if its length and sum are right.
fn checked(address: u64) -> Option<&'static [u8]> {
    let length = u32_at(map_firmware(address, HEADER)?, 4)? as usize;
    (HEADER..=LONGEST).contains(&length).then_some(())?;
    map_firmware(address, length).filter(|table| sums_to_zero(table))
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

    #[test]
    fn finds_the_sleep_types() {
        let aml = b"\x10\x05\x08_S5_\x12\x08\x04\x0a\x05\x01\x00\x00";
        assert_eq!(s5(aml), Some([5, 1]));
        assert_eq!(s5(b"\x08\\_S5_\x12\x06\x04\x00\x00\x00\x00"), Some([0, 0]));
        assert_eq!(s5(b"\x08_S5_\x12\x08\x04\x0b\x05\x01\x00"), None);
        assert_eq!(s5(b"\x08_S5_\x12"), None);
    }

    #[test]
    fn checks_the_root_pointer() {
        let mut pointer = *b"RSD PTR \0BOCHS \0\x00\x10\x00\x00";
        assert_eq!(root_pointer(&pointer), None);
        pointer[8] = 0u8.wrapping_sub(pointer.iter().fold(0, |sum: u8, &o| sum.wrapping_add(o)));
        assert_eq!(root_pointer(&pointer), Some(0x1001));
        assert_eq!(root_pointer(&pointer[..19]), None);
    }
}
