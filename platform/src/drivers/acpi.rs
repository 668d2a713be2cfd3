//! The firmware's tables: found, checked, read.
//!
//! Firmware is not trusted to be right: an address or a length is looked up in the loader's memory map before
//! anything is read there, because reading where no memory is ends the machine under some hypervisors. Tables may
//! stand at any address, odd ones included. Only data is read; of ACPI's machine language only a few patterns are
//! recognised.

use crate::arch::Firmware;
use crate::arch::power::{PowerOff, Register};
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

/// The flag of the fixed description table for machines without ACPI's fixed hardware.
const HARDWARE_REDUCED: u32 = 1 << 20;

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

/// Returns what the processor's floor needs to know.
pub(crate) fn facts() -> Firmware {
    Firmware {
        legacy_controllers: has_legacy_controllers(),
        io_apics: io_apics().collect(),
        pm_timer: pm_timer(),
        century_register: century_register(),
    }
}

/// Returns the address and the first line of every I/O interrupt controller, as many as are driven.
fn io_apics() -> impl Iterator<Item = (u64, u32)> {
    let mut entries = table(b"APIC").and_then(|madt| madt.get(HEADER + 8..)).unwrap_or_default();
    let entry = move || {
        let length = usize::from(*entries.get(1)?);
        let (entry, rest) = entries.split_at_checked(length).filter(|_| length >= 2)?;
        entries = rest;
        Some(entry)
    };
    core::iter::from_fn(entry)
        .filter(|entry| entry[0] == 1)
        .filter_map(|entry| Some((u32_at(entry, 4)?.into(), u32_at(entry, 8)?)))
        .take(Firmware::IO_APICS)
}

/// Returns whether the machine may have the two interrupt controllers of old PCs (ACPI 6.5 §5.2.12, PCAT_COMPAT).
fn has_legacy_controllers() -> bool {
    const PCAT_COMPAT: u32 = 1;
    let flags = table(b"APIC").and_then(|madt| u32_at(madt, HEADER + 4));
    flags.is_none_or(|flags| flags & PCAT_COMPAT != 0)
}

/// Returns the port of the power-management timer.
fn pm_timer() -> Option<u16> {
    let fadt = table(b"FACP")?;
    u32_at(fadt, 76).filter(|&port| port != 0 && fadt.get(91) == Some(&4)).map(|port| port as u16)
}

/// Returns the CMOS register of the century.
fn century_register() -> Option<u8> {
    table(b"FACP")?.get(108).copied().filter(|&register| register != 0)
}

/// Returns how the machine is switched off.
pub(crate) fn power_off() -> Option<PowerOff> {
    let fadt = table(b"FACP")?;
    let [type_a, type_b] = sleep_types();
    if u32_at(fadt, 112)? & HARDWARE_REDUCED != 0 {
        let register = register_at(fadt, 244)?;
        return Some(PowerOff::SleepControl(register, type_a << 2 | 1 << 5));
    }
    let (a, b) = (u32_at(fadt, 64)? as u16, u32_at(fadt, 68)? as u16);
    let value = |kind: u8| u16::from(kind) << 10 | 1 << 13;
    (a != 0).then_some(PowerOff::PmControl([(a, value(type_a)), (b, value(type_b))]))
}

/// The registers of ACPI's fixed power button, as I/O ports of 16 bits (ACPI 6.5 §4.8.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FixedButton {
    /// What has happened; a one clears a bit.
    pub(crate) status: u16,
    /// What is taken note of.
    pub(crate) enable: u16,
}

/// Returns where the fixed power button is, if the machine has one.
pub(crate) fn fixed_button() -> Option<FixedButton> {
    fixed_button_in(table(b"FACP")?)
}

fn fixed_button_in(fadt: &[u8]) -> Option<FixedButton> {
    const CONTROL_METHOD_BUTTON: u32 = 1 << 4;
    (u32_at(fadt, 112)? & (HARDWARE_REDUCED | CONTROL_METHOD_BUTTON) == 0).then_some(())?;
    let status = u16::try_from(u32_at(fadt, 56)?).ok().filter(|&port| port != 0)?;
    // Half of the block is the status register, the other half the enable register.
    let half = u16::from(*fadt.get(88)?) / 2;
    (half >= 2).then_some(FixedButton { status, enable: status.checked_add(half)? })
}

/// A register of the generic event device: reading it returns the events since the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventRegister {
    /// Physical address.
    pub(crate) address: u64,
    /// Its octets: 1 or 4.
    pub(crate) width: u8,
    /// The bits that say the power button was pressed.
    pub(crate) bit: u8,
}

/// Returns the register that reports the power button as an event, if the machine has one.
pub(crate) fn button_event() -> Option<EventRegister> {
    description().and_then(button_event_in)
}

/// Finds, in machine language, `OperationRegion (…, SystemMemory, ADDRESS, WIDTH)` and after it an event compared with
/// BIT that leads to `Notify (PWRB, …)`: so QEMU, where the comparison and the notification are one statement, and Cloud
/// Hypervisor write it.
fn button_event_in(aml: &[u8]) -> Option<EventRegister> {
    const NOTIFY_OP: u8 = 0x86;
    const REGION_OP: [u8; 2] = [0x5b, 0x80];
    const SYSTEM_MEMORY: u8 = 0;
    /// A path in front of a name is this long at most: root, dual name, one segment.
    const PATH: usize = 6;
    let (before, bit) = aml.windows(4).enumerate().filter(|(_, name)| name == b"PWRB").find_map(|(at, _)| {
        let notify = (at.saturating_sub(PATH + 1)..at).rev().find(|&at| aml[at] == NOTIFY_OP)?;
        // The operand that ends just before it.
        match aml[..notify] {
            [.., 0x0a, bit] if bit.is_power_of_two() => Some((notify, bit)),
            [.., 0x01] => Some((notify, 1)),
            _ => None,
        }
    })?;
    let region = aml[..before].windows(2).rposition(|op| op == REGION_OP)?;
    // Name, space, then offset and length as integers.
    let (&space, rest) = aml[region + 6..before].split_first()?;
    let (address, rest) = integer(rest)?;
    let (width, _) = integer(rest)?;
    let width = u8::try_from(width).ok().filter(|width| matches!(width, 1 | 4))?;
    (space == SYSTEM_MEMORY && address != 0).then_some(EventRegister { address, width, bit })
}

/// Reads what comes after the opcode of a package in machine language (ACPI 6.5 §20.2.5.4): the number of its elements, and
/// these with all that follows them.
pub(crate) fn package(aml: &[u8]) -> Option<(u8, &[u8])> {
    // The top two bits of the first octet of the length say how many octets follow it; then the element count.
    let (count, elements) = aml.get(usize::from(aml.first()? >> 6) + 1..)?.split_first()?;
    Some((*count, elements))
}

/// Reads an integer constant of machine language (§20.2.3); returns what comes after it, too.
pub(crate) fn integer(aml: &[u8]) -> Option<(u64, &[u8])> {
    let (&op, rest) = aml.split_first()?;
    let octets = match op {
        0x00 => return Some((0, rest)),
        0x01 => return Some((1, rest)),
        0x0a => 1,
        0x0b => 2,
        0x0c => 4,
        0x0e => 8,
        _ => return None,
    };
    let (constant, rest) = rest.split_at_checked(octets)?;
    let mut value = [0; 8];
    value[..octets].copy_from_slice(constant);
    Some((u64::from_le_bytes(value), rest))
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
    let (_, mut elements) = package(&aml[found + 5..])?;
    let mut sleep_type = || {
        let value;
        (value, elements) = integer(elements)?;
        Some(value as u8 & 7)
    };
    Some([sleep_type()?, sleep_type()?])
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
        assert_eq!(s5(b"\x08_S5_\x12\x08\x04\x0b\x05\x00\x01\x00"), Some([5, 1]));
        assert_eq!(s5(b"\x08_S5_\x12\x08\x04\x0d\x05\x01\x00"), None);
        assert_eq!(s5(b"\x08_S5_\x12"), None);
    }

    #[test]
    fn finds_the_power_button_among_events() {
        let region = |name: &[u8], address: &[u8], width| [b"\x5b\x80", name, b"\0", address, &[0x0a, width]].concat();
        // As QEMU 7.2 writes its microvm's: If (((Local0 & 2) == 2)) { Notify (PWRB, 0x80) }
        let mut qemu = b"\x08_HID\x0dACPI0013\0".to_vec();
        qemu.extend(region(b"EREG", b"\x0c\0\0\xa0\xfe", 4));
        qemu.extend(b"\x5b\x81\x0b" /* Field */);
        qemu.extend(b"EREG\x43ESEL\x20\x14\x18_EVT\x09\x70ESEL\x60");
        qemu.extend(b"\xa0\x0f\x93\x7b\x60\x0a\x02\0\x0a\x02\x86PWRB\x0a\x80");
        assert_eq!(button_event_in(&qemu), Some(EventRegister { address: 0xfea0_0000, width: 4, bit: 2 }));
        // As Cloud Hypervisor v53 does: If ((Local1 == 8)) { Notify (\_SB.PWRB, 0x80) }
        let mut cloud = region(b"EREG", b"\x0c\0\0\0\x10", 2);
        cloud.extend(region(b"GDST", b"\x0e\0\xf0\xff\xef\0\0\0\0", 1));
        cloud.extend(b"\x7b\x60\x0a\x08\x61\xa0\x12\x93\x61\x0a\x08\x86\\\x2e_SB_PWRB\x0a\x80");
        assert_eq!(button_event_in(&cloud), Some(EventRegister { address: 0xefff_f000, width: 1, bit: 8 }));
        // Cut off anywhere, it is not found and nothing is read beyond the end.
        for aml in [&qemu, &cloud] {
            (0..aml.len()).for_each(|end| assert!(button_event_in(&aml[..end]).is_none() || end + 2 >= aml.len()));
        }
        assert_eq!(button_event_in(b"\x5b\x82\x0fPWRB\x08_HID\x0c\x41\xd0\x0c\x0c"), None, "a button without event");
    }

    #[test]
    fn finds_the_fixed_power_button() {
        let mut fadt = [0; 244];
        fadt[56..60].copy_from_slice(&0x600u32.to_le_bytes());
        fadt[88] = 4;
        assert_eq!(fixed_button_in(&fadt), Some(FixedButton { status: 0x600, enable: 0x602 }));
        assert_eq!(fixed_button_in(&fadt[..100]), None);
        fadt[112] = 1 << 4;
        assert_eq!(fixed_button_in(&fadt), None, "the button is a device of its own");
        fadt[112..116].copy_from_slice(&HARDWARE_REDUCED.to_le_bytes());
        assert_eq!(fixed_button_in(&fadt), None);
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
