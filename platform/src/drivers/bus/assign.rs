//! Base addresses of PCI functions on machines whose firmware assigns none.
//!
//! Firmware and most hypervisors assign every base address register before the image starts, and what they did is never
//! changed. QEMU's microvm with PCI Express has no such firmware: there all registers are zero, and the functions
//! the image drives get addresses from the window that the host bridge announces in ACPI.

use super::pci::{BAR0, ConfigSpace, Function, HEADER_TYPE, memory_bar};

/// The number of base address registers of a function.
const BARS: u8 = 6;

/// A range of physical addresses that a host bridge passes on to its functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first address.
    pub start: u64,
    /// The address after the last.
    pub end: u64,
}

/// Returns the first window for memory below 4 GiB that a host bridge announces in a definition block.
///
/// It stands in a DWord address space descriptor (ACPI 6.5 §6.4.3.5.2).
pub fn window(block: &[u8]) -> Option<Window> {
    const DESCRIPTOR: &[u8] = &[0x87, 0x17, 0x00];
    const BYTES: usize = 26;
    const MEMORY: u8 = 0;
    /// Below are the windows of VGA.
    const LEAST: u64 = 0x10_0000;
    block.windows(BYTES).filter(|bytes| bytes.starts_with(DESCRIPTOR) && bytes[3] == MEMORY).find_map(|bytes| {
        let word = |at: usize| bytes[at..].first_chunk().map(|b| u64::from(u32::from_le_bytes(*b)));
        let (start, last, length) = (word(10)?, word(14)?, word(22)?);
        (start >= LEAST && last > start && last - start + 1 == length).then_some(Window { start, end: last + 1 })
    })
}

/// Assigns base addresses in `window` to those of `functions` for which `wanted` holds; `functions` are all there are.
///
/// Does nothing if any function has an address: then there is firmware. Registers that find no room stay zero.
pub fn assign(space: &dyn ConfigSpace, functions: &[Function], wanted: impl Fn(Function) -> bool, window: Window) {
    let ordinary = || functions.iter().copied().filter(|&f| space.read(f, HEADER_TYPE) >> 16 & 0x7f == 0);
    if ordinary().any(|f| (0..BARS).any(|index| memory_bar(space, f, index).is_some())) {
        return;
    }
    let mut free = window.start;
    for function in ordinary().filter(|&function| wanted(function)) {
        let mut index = 0;
        while index < BARS {
            let Some((size, wide)) = size(space, function, index) else {
                index += 1;
                continue;
            };
            let address = free.next_multiple_of(size);
            if let Some(end) = address.checked_add(size).filter(|&end| end <= window.end) {
                write(space, function, index, address, wide);
                free = end;
            }
            index += if wide { 2 } else { 1 };
        }
    }
}

/// Returns the size of the memory behind a register, which must be zero, and whether the address has 64 bits; nothing if
/// it is no memory.
fn size(space: &dyn ConfigSpace, function: Function, index: u8) -> Option<(u64, bool)> {
    let at = BAR0 + 4 * u16::from(index);
    let kind = space.read(function, at);
    let wide = kind >> 1 & 3 == 2;
    if kind & 1 != 0 || wide && index + 1 >= BARS {
        return None;
    }
    // The bits that stay zero are those below the size (PCI 3.0 §6.2.5.1). Decoding is off as long as nobody enabled it.
    write(space, function, index, !0, wide);
    let low = u64::from(space.read(function, at) & !0xf);
    let high = if wide { u64::from(space.read(function, at + 4)) } else { u64::from(u32::MAX) };
    write(space, function, index, 0, wide);
    let mask = high << 32 | low;
    (low != 0 || wide && high != 0).then(|| (!mask + 1, wide))
}

fn write(space: &dyn ConfigSpace, function: Function, index: u8, address: u64, wide: bool) {
    let at = BAR0 + 4 * u16::from(index);
    space.write(function, at, address as u32);
    if wide {
        space.write(function, at + 4, (address >> 32) as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::RefCell;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Functions with six registers each: the bits that can be written, the bits that are fixed, the value.
    struct Machine(Vec<RefCell<[(u32, u32, u32); 6]>>);

    impl ConfigSpace for Machine {
        fn read(&self, function: Function, offset: u16) -> u32 {
            let Some(bars) = self.0.get(usize::from(function.device)) else { return !0 };
            match offset {
                BAR0..=0x24 => {
                    let (mask, fixed, value) = bars.borrow()[usize::from((offset - BAR0) / 4)];
                    value & mask | fixed
                }
                _ => 0,
            }
        }
        fn write(&self, function: Function, offset: u16, value: u32) {
            self.0[usize::from(function.device)].borrow_mut()[usize::from((offset - BAR0) / 4)].2 = value;
        }
    }

    const NONE: (u32, u32, u32) = (0, 0, 0);
    const WINDOW: Window = Window { start: 0xc000_0000, end: 0xc010_0000 };

    /// virtio-net as QEMU has it: ports, a page, nothing, nothing, four pages with a 64-bit address.
    fn network() -> RefCell<[(u32, u32, u32); 6]> {
        RefCell::new([(!0x1f, 1, 0), (!0xfff, 0, 0), NONE, NONE, (!0x3fff, 0xc, 0), (!0, 0, 0)])
    }

    fn functions(machine: &Machine) -> Vec<Function> {
        (0..machine.0.len() as u8).map(|device| Function { bus: 0, device, function: 0 }).collect()
    }

    #[test]
    fn unassigned_registers_get_addresses_that_do_not_overlap() {
        let machine = Machine(vec![RefCell::new([NONE; 6]), network(), network()]);
        let functions = functions(&machine);
        assign(&machine, &functions, |f| f.device != 0, WINDOW);
        let bars = |device: usize, index| memory_bar(&machine, functions[device], index);
        assert_eq!([bars(1, 1), bars(1, 4)], [Some(0xc000_0000), Some(0xc000_4000)]);
        assert_eq!([bars(2, 1), bars(2, 4)], [Some(0xc000_8000), Some(0xc000_c000)]);
        assert_eq!(machine.read(functions[1], BAR0), 1, "ports are left alone");
    }

    #[test]
    fn what_firmware_assigned_is_never_changed() {
        let machine = Machine(vec![network(), network()]);
        machine.0[0].borrow_mut()[1].2 = 0xfebd_1000;
        let functions = functions(&machine);
        assign(&machine, &functions, |_| true, WINDOW);
        assert_eq!(memory_bar(&machine, functions[0], 1), Some(0xfebd_1000));
        assert_eq!(memory_bar(&machine, functions[0], 4), None);
        assert_eq!(memory_bar(&machine, functions[1], 1), None);
    }

    #[test]
    fn what_finds_no_room_stays_without_an_address() {
        let machine = Machine(vec![network(), network()]);
        let functions = functions(&machine);
        assign(&machine, &functions, |_| true, Window { end: 0xc000_8000, ..WINDOW });
        assert_eq!(memory_bar(&machine, functions[0], 4), Some(0xc000_4000));
        assert_eq!(memory_bar(&machine, functions[1], 1), None);
    }

    fn descriptor(kind: u8, start: u32, last: u32, length: u32) -> Vec<u8> {
        let mut bytes = vec![0x87, 0x17, 0, kind, 0x0c, 1];
        [0, start, last, 0, length].into_iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        bytes
    }

    #[test]
    fn window_of_a_definition_block() {
        let block = [
            b"PCI0\x08_CRS\x11\x4e".to_vec(),
            descriptor(0, 0xa_0000, 0xb_ffff, 0x2_0000),
            descriptor(1, 0xb000_0000, 0xbfff_ffff, 0x1000_0000),
            descriptor(0, 0xb000_0000, 0xbfff_ffff, 0x1000),
            descriptor(0, 0xc000_0000, 0xdfff_ffff, 0x2000_0000),
            descriptor(0, 0xf000_0000, 0xf000_ffff, 0x1_0000),
        ]
        .concat();
        assert_eq!(window(&block), Some(Window { start: 0xc000_0000, end: 0xe000_0000 }));
        assert_eq!(window(b"PCI0"), None);
    }

    proptest! {
        #[test]
        fn any_block_and_any_registers_are_survived(
            mut block in proptest::collection::vec(any::<u8>(), 0..80), at in 0usize..60,
            bars in proptest::collection::vec(any::<[(u32, u32, u32); 6]>(), 0..4),
        ) {
            window(&block);
            if let Some(bytes) = block.get_mut(at..at + 4) {
                bytes.copy_from_slice(&[0x87, 0x17, 0, 0]);
            }
            window(&block);
            let machine = Machine(bars.into_iter().map(RefCell::new).collect());
            assign(&machine, &functions(&machine), |_| true, WINDOW);
        }
    }
}
