//! PCI functions: configuration access, enumeration and capabilities.
//!
//! Configuration space is reached through the ports 0xCF8/0xCFC where a host bridge answers there (QEMU pc and q35,
//! Cloud Hypervisor) and through the memory window that ACPI announces otherwise. Everything the drivers need
//! lies in the first 256 bytes, which both reach. An MCFG table alone does not mean that there is PCI: Firecracker has
//! one always. Base address registers are taken as the firmware or the hypervisor assigned them, or as
//! [`assign`](super::assign) did where neither has.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::registers::Registers;
use crate::arch;
use crate::drivers::acpi;

const VENDOR_DEVICE: u16 = 0x00;
const COMMAND_STATUS: u16 = 0x04;
const CLASS_REVISION: u16 = 0x08;
pub(super) const HEADER_TYPE: u16 = 0x0c;
pub(super) const BAR0: u16 = 0x10;
const BUS_NUMBERS: u16 = 0x18;
const SUBSYSTEM: u16 = 0x2c;
const CAPABILITIES: u16 = 0x34;
const INTERRUPT: u16 = 0x3c;

const COMMAND_PORTS: u32 = 1;
const COMMAND_MEMORY: u32 = 1 << 1;
const COMMAND_BUS_MASTER: u32 = 1 << 2;
const COMMAND_NO_INTX: u32 = 1 << 10;
const STATUS_CAPABILITIES: u32 = 1 << (16 + 4);

const CLASS_BRIDGE_PCI: u32 = 0x0604;
/// The most capabilities 192 bytes can hold; a longer list is a loop.
const CAPABILITY_LIMIT: usize = 48;

/// The address of a PCI function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Bus number.
    pub bus: u8,
    /// Device number, below 32.
    pub device: u8,
    /// Function number, below 8.
    pub function: u8,
}

/// A way to read and write configuration space in aligned 32-bit words.
pub trait ConfigSpace {
    /// Reads the word at `offset`, which is a multiple of four below 256; all ones when nothing answers.
    fn read(&self, function: Function, offset: u16) -> u32;
    /// Writes the word at `offset`, which is a multiple of four below 256.
    fn write(&self, function: Function, offset: u16, value: u32);
    /// Returns the bus behind the host bridge.
    fn first_bus(&self) -> u8 {
        0
    }
}

/// Returns whether a definition block names a PCI or PCI Express host bridge.
pub fn in_definition_block(block: &[u8]) -> bool {
    /// `PNP0A03` and `PNP0A08` as EISA identifiers behind a DWordPrefix (ACPI 6.5 §19.3.4, §20.2.3), and as strings.
    const HIDS: [&[u8]; 4] =
        [&[0x0c, 0x41, 0xd0, 0x0a, 0x03], &[0x0c, 0x41, 0xd0, 0x0a, 0x08], b"PNP0A03\0", b"PNP0A08\0"];
    HIDS.iter().any(|hid| block.windows(hid.len()).any(|bytes| bytes == *hid))
}

/// Returns whether a word of vendor and device number is a function's. Where none is, all ones are read, or, from
/// Firecracker, zeroes.
fn is_function(vendor_device: u32) -> bool {
    !matches!(vendor_device as u16, 0 | 0xffff)
}

/// Returns the machine's way to configuration space, if it has PCI; `blocks` are ACPI's definition blocks.
pub fn open(blocks: &[&[u8]]) -> Option<Box<dyn ConfigSpace>> {
    if let Some(ports) = Ports::detect() {
        return Some(Box::new(ports));
    }
    let window = acpi::mcfg().map(|ecam| Ecam::new(ecam.base, ecam.bus_start, ecam.bus_end, Registers::map));
    let window = window.or_else(|| {
        let base = blocks.iter().find_map(|block| base_address(block))?;
        Some(Ecam::new(base, 0, u8::MAX, Registers::map))
    });
    window.map(|ecam| -> Box<dyn ConfigSpace> { Box::new(ecam) })
}

/// Returns where configuration space is by a host bridge's `_CBA` (ACPI 6.5 §6.5.10; PCI Firmware 3.3 §4.1.3): QEMU's microvm
/// has it in place of an MCFG table. It is a name or a method that returns a constant.
fn base_address(block: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"_CBA";
    const METHOD_RETURNS: &[u8] = &[0, 0xa4];
    let at = block.windows(NAME.len()).position(|bytes| bytes == NAME)?;
    let value = &block[at + NAME.len()..];
    match *value.strip_prefix(METHOD_RETURNS).unwrap_or(value) {
        [0x0c, a, b, c, d, ..] => Some(u32::from_le_bytes([a, b, c, d]).into()),
        [0x0e, a, b, c, d, e, f, g, h, ..] => Some(u64::from_le_bytes([a, b, c, d, e, f, g, h])),
        _ => None,
    }
    .filter(|&base| base != 0 && base % Ecam::BUS_BYTES as u64 == 0)
}

/// A PCI capability in the list of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// The capability's number: 0x09 vendor specific, 0x11 MSI-X.
    pub id: u8,
    /// Where in configuration space it stands.
    pub offset: u16,
}

/// What a virtio function is, by its device number (virtio 1.2 §4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Vendor number.
    pub vendor: u16,
    /// Device number.
    pub device: u16,
    /// Subsystem device number: the virtio type on transitional devices.
    pub subsystem: u16,
}

impl Identity {
    /// Returns the virtio device type, or nothing when this is not a virtio device.
    pub fn virtio_type(&self) -> Option<u32> {
        const VENDOR: u16 = 0x1af4;
        match (self.vendor, self.device) {
            (VENDOR, 0x1000..=0x103f) => Some(self.subsystem.into()),
            (VENDOR, modern @ 0x1040..=0x107f) => Some(u32::from(modern) - 0x1040),
            _ => None,
        }
    }
}

/// Reads the function's vendor and kind.
pub fn identity(space: &dyn ConfigSpace, function: Function) -> Identity {
    let word = space.read(function, VENDOR_DEVICE);
    Identity {
        vendor: word as u16,
        device: (word >> 16) as u16,
        subsystem: (space.read(function, SUBSYSTEM) >> 16) as u16,
    }
}

/// Lists every function reachable from the first bus through PCI-to-PCI bridges.
pub fn enumerate(space: &dyn ConfigSpace) -> Vec<Function> {
    let mut found = Vec::new();
    // Each bus is visited once, whatever the bridges claim, so a loop of bridges ends.
    let mut visited = [false; 256];
    let mut buses = Vec::from([space.first_bus()]);
    while let Some(bus) = buses.pop() {
        if core::mem::replace(&mut visited[usize::from(bus)], true) {
            continue;
        }
        for device in 0..32 {
            for function in 0..8 {
                let function = Function { bus, device, function };
                if !is_function(space.read(function, VENDOR_DEVICE)) {
                    if function.function == 0 {
                        break;
                    }
                    continue;
                }
                found.push(function);
                let header = space.read(function, HEADER_TYPE) >> 16;
                if header & 0x7f == 1 && space.read(function, CLASS_REVISION) >> 16 == CLASS_BRIDGE_PCI {
                    buses.push((space.read(function, BUS_NUMBERS) >> 8) as u8);
                }
                if function.function == 0 && header & 0x80 == 0 {
                    break;
                }
            }
        }
    }
    found
}

/// Lists the capabilities of a function.
pub fn capabilities(space: &dyn ConfigSpace, function: Function) -> Vec<Capability> {
    let mut found = Vec::new();
    if space.read(function, COMMAND_STATUS) & STATUS_CAPABILITIES == 0 {
        return found;
    }
    let mut offset = (space.read(function, CAPABILITIES) & 0xfc) as u16;
    while offset >= 0x40 && found.len() < CAPABILITY_LIMIT {
        let word = space.read(function, offset);
        found.push(Capability { id: word as u8, offset });
        offset = (word >> 8 & 0xfc) as u16;
    }
    found
}

/// Returns the physical address in base address register `index`, or nothing when it is unassigned or not memory.
pub fn memory_bar(space: &dyn ConfigSpace, function: Function, index: u8) -> Option<u64> {
    if index > 5 {
        return None;
    }
    let at = BAR0 + 4 * u16::from(index);
    let low = space.read(function, at);
    let is_64_bit = low >> 1 & 3 == 2;
    if low & 1 != 0 || (is_64_bit && index == 5) {
        return None;
    }
    let high = if is_64_bit { space.read(function, at + 4) } else { 0 };
    let address = u64::from(high) << 32 | u64::from(low & !0xf);
    (address != 0).then_some(address)
}

/// Returns the first port of base address register `index`, or nothing when it is unassigned or not ports.
pub fn port_bar(space: &dyn ConfigSpace, function: Function, index: u8) -> Option<u16> {
    let low = space.read(function, BAR0 + 4 * u16::from(index));
    (index <= 5 && low & 1 != 0).then_some(())?;
    u16::try_from(low & !3).ok().filter(|&port| port != 0)
}

/// Lets the function decode ports.
pub fn enable_ports(space: &dyn ConfigSpace, function: Function) {
    let command = space.read(function, COMMAND_STATUS) & 0xffff | COMMAND_PORTS;
    space.write(function, COMMAND_STATUS, command);
}

/// Lets the function decode memory and be a bus master; `intx` says whether it may use its interrupt pin.
pub fn enable(space: &dyn ConfigSpace, function: Function, intx: bool) {
    // The upper half is the status register, whose bits are cleared by writing ones: write zeroes there.
    let command = space.read(function, COMMAND_STATUS) & 0xffff | COMMAND_MEMORY | COMMAND_BUS_MASTER;
    let command = if intx { command & !COMMAND_NO_INTX } else { command | COMMAND_NO_INTX };
    space.write(function, COMMAND_STATUS, command);
}

/// Returns the interrupt line the firmware assigned to the function's pin, or nothing when it has none.
pub fn interrupt_line(space: &dyn ConfigSpace, function: Function) -> Option<u8> {
    let word = space.read(function, INTERRUPT);
    let (line, pin) = (word as u8, (word >> 8) as u8);
    (pin != 0 && line != 0 && line != 0xff).then_some(line)
}

/// Configuration access through the processor's ports.
struct Ports(());

impl Ports {
    /// Returns the access when a host bridge answers at the ports.
    fn detect() -> Option<Self> {
        arch::pci::is_present().then_some(())?;
        let ports = Self(());
        let root = Function { bus: 0, device: 0, function: 0 };
        is_function(ports.read(root, VENDOR_DEVICE)).then_some(ports)
    }

    fn number(function: Function) -> u8 {
        function.device << 3 | function.function
    }
}

impl ConfigSpace for Ports {
    fn read(&self, function: Function, offset: u16) -> u32 {
        // SAFETY: the bridge answered at these ports.
        unsafe { arch::pci::read(function.bus, Self::number(function), offset) }
    }

    fn write(&self, function: Function, offset: u16, value: u32) {
        // SAFETY: the bridge answered at these ports; devices are only configured by one thread during discovery.
        unsafe { arch::pci::write(function.bus, Self::number(function), offset, value) };
    }
}

/// Configuration access through a memory window, one MiB per bus, mapped when a bus is first touched.
struct Ecam {
    base: u64,
    first: u8,
    last: u8,
    map: fn(u64, usize) -> Registers,
    mapped: core::cell::RefCell<Vec<(u8, Registers)>>,
}

impl Ecam {
    const BUS_BYTES: usize = 1 << 20;

    /// Makes the access for buses `first` to `last` at the physical address `base` of bus 0; `map` maps a range.
    fn new(base: u64, first: u8, last: u8, map: fn(u64, usize) -> Registers) -> Self {
        Self { base, first, last, map, mapped: Default::default() }
    }

    fn window(&self, function: Function) -> Option<Registers> {
        if function.bus < self.first || function.bus > self.last {
            return None;
        }
        let mut mapped = self.mapped.borrow_mut();
        let bus = match mapped.iter().find(|(bus, _)| *bus == function.bus) {
            Some((_, bus)) => *bus,
            None => {
                let bus = (self.map)(self.base + (u64::from(function.bus) << 20), Self::BUS_BYTES);
                mapped.push((function.bus, bus));
                bus
            }
        };
        bus.part(usize::from(function.device) << 15 | usize::from(function.function) << 12, 4096)
    }
}

impl ConfigSpace for Ecam {
    fn read(&self, function: Function, offset: u16) -> u32 {
        self.window(function).map_or(!0, |window| window.read32(offset.into()))
    }

    fn write(&self, function: Function, offset: u16, value: u32) {
        if let Some(window) = self.window(function) {
            window.write32(offset.into(), value);
        }
    }

    fn first_bus(&self) -> u8 {
        self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::RefCell;
    use std::collections::HashMap;

    /// Configuration space of a made-up machine.
    #[derive(Default)]
    struct Machine(RefCell<HashMap<(u8, u8, u8, u16), u32>>);

    impl Machine {
        fn set(&self, (bus, device, function): (u8, u8, u8), offset: u16, value: u32) {
            self.0.borrow_mut().insert((bus, device, function, offset), value);
        }
    }

    impl ConfigSpace for Machine {
        fn read(&self, f: Function, offset: u16) -> u32 {
            let space = self.0.borrow();
            let absent = if space.contains_key(&(f.bus, f.device, f.function, 0)) { 0 } else { !0 };
            space.get(&(f.bus, f.device, f.function, offset)).copied().unwrap_or(absent)
        }
        fn write(&self, f: Function, offset: u16, value: u32) {
            self.set((f.bus, f.device, f.function), offset, value);
        }
    }

    const NIC: Function = Function { bus: 0, device: 3, function: 0 };

    #[test]
    fn functions_behind_bridges_are_found_and_loops_end() {
        let machine = Machine::default();
        machine.set((0, 0, 0), 0, 0x1237_8086);
        machine.set((0, 1, 0), 0, 0x7000_8086);
        machine.set((0, 1, 0), HEADER_TYPE, 0x0080_0000);
        machine.set((0, 1, 3), 0, 0x7113_8086);
        machine.set((0, 2, 0), 0, 0x000c_1b36);
        machine.set((0, 2, 0), HEADER_TYPE, 0x0001_0000);
        machine.set((0, 2, 0), CLASS_REVISION, 0x0604_0000);
        machine.set((0, 2, 0), BUS_NUMBERS, 0x0001_0100);
        machine.set((1, 0, 0), 0, 0x1041_1af4);
        machine.set((1, 4, 0), 0, 0x000c_1b36);
        machine.set((1, 4, 0), HEADER_TYPE, 0x0001_0000);
        machine.set((1, 4, 0), CLASS_REVISION, 0x0604_0000);
        machine.set((1, 4, 0), BUS_NUMBERS, 0x0000_0001);
        let found = enumerate(&machine);
        let places: Vec<_> = found.iter().map(|f| (f.bus, f.device, f.function)).collect();
        assert_eq!(places, [(0, 0, 0), (0, 1, 0), (0, 1, 3), (0, 2, 0), (1, 0, 0), (1, 4, 0)]);
    }

    #[test]
    fn zeroes_are_no_function() {
        let machine = Machine::default();
        for device in 0..32 {
            machine.set((0, device, 0), 0, 0);
        }
        machine.set((0, 3, 0), 0, 0x1041_1af4);
        assert_eq!(enumerate(&machine), [NIC]);
    }

    #[test]
    fn host_bridges_of_a_definition_block() {
        let express = b"PCI0\x08_HID\x0c\x41\xd0\x0a\x08\x08_CID\x0c\x41\xd0\x0a\x03";
        assert!(in_definition_block(express));
        assert!(in_definition_block(b"PCI0\x08_HID\x0c\x41\xd0\x0a\x03"));
        assert!(in_definition_block(b"PCI0\x08_HID\x0dPNP0A08\0"));
        assert!(!in_definition_block(b"VR00\x08_HID\x0dLNRO0005\0COM1\x08_HID\x0c\x41\xd0\x05\x01"));
        assert!(!in_definition_block(&express[..12]));
    }

    #[test]
    fn configuration_space_by_a_definition_block() {
        assert_eq!(base_address(b"\x14\x0c_CBA\x00\xa4\x0c\x00\x00\x00\xe0\x08_CRS"), Some(0xe000_0000));
        assert_eq!(base_address(b"\x08_CBA\x0e\x00\x00\x00\x00\x01\x00\x00\x00"), Some(1 << 32));
        for damaged in
            [&b"PCI0"[..], b"_CBA", b"_CBA\x00\xa4\x0c\x00\x00", b"_CBA\x00\xa4\x68", b"_CBA\x0c\x00\x10\x00\xe0"]
        {
            assert_eq!(base_address(damaged), None);
        }
    }

    #[test]
    fn capability_list_that_loops_ends() {
        let machine = Machine::default();
        machine.set((0, 3, 0), 0, 0x1041_1af4);
        machine.set((0, 3, 0), COMMAND_STATUS, STATUS_CAPABILITIES);
        machine.set((0, 3, 0), CAPABILITIES, 0x40);
        machine.set((0, 3, 0), 0x40, 0x0000_5011);
        machine.set((0, 3, 0), 0x50, 0x0000_4009);
        let found = capabilities(&machine, NIC);
        assert_eq!(found.len(), CAPABILITY_LIMIT);
        assert_eq!(found[0], Capability { id: 0x11, offset: 0x40 });
        assert_eq!(found[1], Capability { id: 0x09, offset: 0x50 });
    }

    #[test]
    fn bars_of_both_widths() {
        let machine = Machine::default();
        machine.set((0, 3, 0), 0, 0x1041_1af4);
        machine.set((0, 3, 0), BAR0, 0xc001); // ports
        machine.set((0, 3, 0), BAR0 + 4, 0xfebd_1000);
        machine.set((0, 3, 0), BAR0 + 16, 0xfe00_000c);
        machine.set((0, 3, 0), BAR0 + 20, 0x80);
        assert_eq!(memory_bar(&machine, NIC, 0), None);
        assert_eq!(memory_bar(&machine, NIC, 1), Some(0xfebd_1000));
        assert_eq!(memory_bar(&machine, NIC, 2), None);
        assert_eq!(memory_bar(&machine, NIC, 4), Some(0x80_fe00_0000));
        assert_eq!(memory_bar(&machine, NIC, 6), None);
    }

    #[test]
    fn virtio_types() {
        let net = |device, subsystem| Identity { vendor: 0x1af4, device, subsystem }.virtio_type();
        assert_eq!(net(0x1000, 1), Some(1));
        assert_eq!(net(0x1041, 0x1100), Some(1));
        assert_eq!(net(0x1044, 0x1100), Some(4));
        assert_eq!(net(0x1110, 0), None);
        assert_eq!(Identity { vendor: 0x8086, device: 0x100e, subsystem: 1 }.virtio_type(), None);
    }
}
