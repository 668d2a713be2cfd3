//! virtio-mmio windows: where they stand and which interrupt they raise.
//!
//! Three announcements are understood, most exact first: the `virtio_mmio.device=` words a hypervisor appends to the
//! command line, the `LNRO0005` devices in ACPI's definition blocks, and, on a machine with neither ACPI nor PCI, the
//! fixed slots of QEMU's microvm. The definition block is byte code; instead of interpreting it, the resource template of each
//! such device is recognised, since both QEMU and Firecracker emit it as a constant buffer.

use alloc::vec::Vec;

/// The bytes every virtio-mmio window spans at least: the registers and some configuration space.
pub const WINDOW_BYTES: usize = 0x200;

/// A place where a virtio-mmio device may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Physical address.
    pub address: u64,
    /// Global system interrupt; nothing when it is not announced.
    pub gsi: Option<u32>,
}

/// Finds the windows announced as `virtio_mmio.device=SIZE@ADDRESS:GSI[:ID]` among the words of a command line.
pub fn in_command_line(command_line: &str) -> Vec<Window> {
    command_line
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix("virtio_mmio.device="))
        .filter_map(parse_word)
        .collect()
}

fn parse_word(word: &str) -> Option<Window> {
    let (_size, place) = word.split_once('@')?;
    let mut parts = place.split(':');
    let address = number(parts.next()?)?;
    let gsi = u32::try_from(number(parts.next()?)?).ok()?;
    Some(Window { address, gsi: Some(gsi) })
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Finds the windows of `LNRO0005` devices in a definition block.
pub fn in_definition_block(block: &[u8]) -> Vec<Window> {
    const HID: &[u8] = b"LNRO0005";
    /// A device's `_CRS` follows its `_HID` within this many bytes.
    const REACH: usize = 128;
    let mut found = Vec::new();
    let mut rest = block;
    while let Some(at) = rest.windows(HID.len()).position(|bytes| bytes == HID) {
        rest = &rest[at + HID.len()..];
        let mut device = &rest[..rest.len().min(REACH)];
        // A device without resources must not borrow those of the next one.
        if let Some(next) = device.windows(HID.len()).position(|bytes| bytes == HID) {
            device = &device[..next];
        }
        found.extend(resources(device));
    }
    found
}

/// Reads a fixed 32-bit memory descriptor (ACPI 6.5 §6.4.3.4) and the extended interrupt descriptor (§6.4.3.6) after it.
fn resources(device: &[u8]) -> Option<Window> {
    const MEMORY: &[u8] = &[0x86, 9, 0];
    const INTERRUPT: &[u8] = &[0x89, 6, 0];
    let word = |bytes: &[u8]| bytes.get(..4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let at = device.windows(MEMORY.len()).position(|bytes| bytes == MEMORY)?;
    let memory = &device[at..];
    let address = word(memory.get(4..)?)?;
    let after = memory.get(12..)?;
    let gsi =
        after.windows(INTERRUPT.len()).position(|bytes| bytes == INTERRUPT).and_then(|at| word(after.get(at + 5..)?));
    Some(Window { address: address.into(), gsi })
}

/// The fixed slots of QEMU's microvm, for a machine that announces nothing.
pub fn microvm_slots() -> impl Iterator<Item = Window> {
    (0..32).map(|slot| Window { address: 0xfeb0_0000 + slot * WINDOW_BYTES as u64, gsi: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_command_line() {
        let line =
            "reboot=k virtio_mmio.device=512@0xfeb00e00:12 --ip=10.0.2.15/24 virtio_mmio.device=4K@0xd0000000:5:1";
        assert_eq!(
            in_command_line(line),
            [Window { address: 0xfeb0_0e00, gsi: Some(12) }, Window { address: 0xd000_0000, gsi: Some(5) }]
        );
        assert_eq!(in_command_line("virtio_mmio.device=4K virtio_mmio.device=4K@x:5 virtio_mmio.device=@:"), []);
    }

    fn device(address: u32, gsi: u32) -> Vec<u8> {
        let mut bytes = b"VR00\x08_HID\x0dLNRO0005\0\x08_UID\x00\x08_CRS\x11\x1a\x0a\x17\x86\x09\x00\x01".to_vec();
        bytes.extend(address.to_le_bytes());
        bytes.extend(512u32.to_le_bytes());
        bytes.extend([0x89, 6, 0, 0x09, 1]);
        bytes.extend(gsi.to_le_bytes());
        bytes.extend([0x79, 0]);
        bytes
    }

    #[test]
    fn devices_of_a_definition_block() {
        let mut block = b"DSDT....".to_vec();
        block.extend(device(0xfeb0_2e00, 47));
        block.extend(b"\x08_HID\x0dLNRO0005\0"); // no resources
        block.extend(device(0xfeb0_2c00, 46));
        assert_eq!(
            in_definition_block(&block),
            [Window { address: 0xfeb0_2e00, gsi: Some(47) }, Window { address: 0xfeb0_2c00, gsi: Some(46) }]
        );
        for end in 0..block.len() {
            let _ = in_definition_block(&block[..end]);
        }
    }
}
