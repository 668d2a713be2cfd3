//! Whether this is still the machine that booted, or a copy of it that was made from a snapshot.
//!
//! Machines resumed from one snapshot have the same memory, secrets included, and their programs do not notice. Two
//! signs show that it happened. The hypervisor changes the VM generation id, 16 octets of memory whose address is in
//! ACPI, before a copy or an earlier state of the machine runs: QEMU's device `vmgenid` and Firecracker have it. The
//! clock shows that the machine was stopped for a while: it may have been copied meanwhile, or only paused or moved.
//!
//! The id is compared whenever it matters, which costs two loads. Its interrupt would come later than that.

use super::{acpi, generator};
use crate::base::lock::Lock;
use crate::memory::{Range, is_memory, map_firmware};

/// Octets of the id.
const ID: usize = 16;

/// How often the machine was resumed, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Generation {
    /// The signs of any kind.
    pub(crate) resumed: u64,
    /// Those that mean that there may be another copy: the id has changed.
    pub(crate) copied: u64,
}

struct State {
    generation: Generation,
    /// Where the id is, if the machine has one, and what it was.
    id: Option<(usize, [u64; 2])>,
}

static STATE: Lock<State> = Lock::new(State { generation: Generation { resumed: 0, copied: 0 }, id: None });

/// Finds the id; called once, at boot, before secrets are drawn.
pub(crate) fn start() {
    let blocks = acpi::description().into_iter().chain(acpi::tables(*b"SSDT"));
    let Some(address) = { blocks }.find_map(find) else { return };
    let end = address.saturating_add(ID as u64);
    if !address.is_multiple_of(8) || !is_memory(Range { start: address, end }) {
        crate::kprintln!("zonule: ACPI: the VM generation id cannot be at {address:#x}; copies are not noticed by it");
        return;
    }
    let Some(memory) = map_firmware(address, ID) else { return };
    let at = memory.as_ptr() as usize;
    let id = read(at);
    absorb(id);
    STATE.lock().id = Some((at, id));
}

/// Returns the generation, after a look at the id.
pub(crate) fn current() -> Generation {
    let mut state = STATE.lock();
    if let Some((at, known)) = &mut state.id {
        let id = read(*at);
        if id != *known {
            *known = id;
            absorb(id);
            state.generation.resumed += 1;
            state.generation.copied += 1;
            crate::kprintln!(
                "zonule: the VM generation id has changed: this is a copy from a snapshot; secrets are redrawn"
            );
        }
    }
    state.generation
}

/// Counts a sign other than the id.
pub(crate) fn resumed() {
    STATE.lock().generation.resumed += 1;
}

/// The id differs between copies even where nothing else does. It is no secret, so it makes nothing ready.
fn absorb(id: [u64; 2]) {
    generator::absorb(id.map(u64::to_ne_bytes).as_flattened());
}

fn read(at: usize) -> [u64; 2] {
    let at = at as *const u64;
    // SAFETY: `start` mapped the 16 octets for good, at a multiple of eight. Only the hypervisor writes there, hence
    // volatile, and not while a processor runs.
    unsafe { [at.read_volatile(), at.add(1).read_volatile()] }
}

/// Returns the address of the id from a block of ACPI's machine language that describes its device.
///
/// The specification (Microsoft, "Virtual Machine Generation ID") has an object ADDR evaluate to the address, in two
/// halves. Firecracker has the two numbers there. QEMU has a method that adds 40 to a number that the firmware fills in
/// (docs/specs/vmgenid.txt), so that number is read.
fn find(block: &[u8]) -> Option<u64> {
    const DEVICE: &[u8] = b"\x08_CID\x0dVM_Gen_Counter\0";
    const ADDRESS: &[u8] = b"\x08ADDR\x12";
    const QEMU_BASE: &[u8] = b"\x08VGIA\x0c";
    const QEMU_OFFSET: u64 = 40;
    let device = after(block, DEVICE)?;
    let address = match after(device, ADDRESS) {
        Some(package) => halves(package)?,
        None => {
            let base = u64::from(u32::from_le_bytes(*after(block, QEMU_BASE)?.first_chunk()?));
            if base == 0 { 0 } else { base + QEMU_OFFSET }
        }
    };
    (address != 0).then_some(address)
}

/// Returns the number whose halves a package has, the lower first.
fn halves(package: &[u8]) -> Option<u64> {
    let (count, elements) = acpi::package(package)?;
    let (low, elements) = acpi::integer(elements)?;
    let (high, _) = acpi::integer(elements)?;
    let [low, high] = [low, high].map(|half| u32::try_from(half).ok().map(u64::from));
    (count == 2).then_some(high? << 32 | low?)
}

/// Returns what stands behind the first occurrence of `pattern`.
fn after<'a>(octets: &'a [u8], pattern: &[u8]) -> Option<&'a [u8]> {
    let at = octets.windows(pattern.len()).position(|window| window == pattern)?;
    octets.get(at + pattern.len()..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// What QEMU 7.2 has on pc and q35, after SeaBIOS has filled the address in.
    const QEMU: &[u8] =
        b"SSDT\xca\x00\x00\x00\x01CBOCHS VMGENID\x00\x01\x00\x00\x00BXPC\x01\x00\x00\x00\x08VGIA\x0c\x00\
        \xf0\xff\x0f\x10A\x08\\_SB_[\x82H\x07VGEN\x08_HID\rQEMUVGID\x00\x08_CID\rVM_Gen_Counter\x00\x08_DDN\
        \rVM_Gen_Counter\x00\x14\x17_STA\x00p\n\x0f`\xa0\n\x93VGIA\x00p\x00`\xa4`\x14 ADDR\x00p\x12\x02\x02`prVGIA\n(\
        \x00\x88`\x00\x00p\x00\x88`\x01\x00\xa4`\x14\x19\\._GPE_E05\x00\x86\\._SB_VGEN\n\x80";

    /// What Firecracker's source (1.17) makes of its device, between others.
    const FIRECRACKER: &[u8] =
        b"[\x82\x08_SB_COM1[\x82F\x05._SB_VGEN\x08_HID\rVMGENCTR\x00\x08_CID\rVM_Gen_Counter\x00\
        \x08_DDN\rVM_Gen_Counter\x00\x08ADDR\x12\x0c\x02\x0c\xf0\xff\x0d\x00\x0c\x00\x00\x00\x00[\x82\x06_SB_V000";

    #[test]
    fn the_id_is_found_where_hypervisors_have_it() {
        assert_eq!(find(QEMU), Some(0x0fff_f028));
        assert_eq!(find(FIRECRACKER), Some(0xd_fff0));
        let mut high = FIRECRACKER.to_vec();
        let at = high.len() - 15;
        high[at..at + 4].copy_from_slice(&[1, 0, 0, 0]);
        assert_eq!(find(&high), Some(0x1_000d_fff0));
    }

    #[test]
    fn other_blocks_have_none() {
        assert_eq!(find(b""), None);
        assert_eq!(find(&QEMU[..QEMU.len() / 2 - 20]), None, "no device");
        let mut empty = QEMU.to_vec();
        empty[42..46].fill(0);
        assert_eq!(find(&empty), None, "the firmware has filled nothing in");
        let other = FIRECRACKER.to_vec().into_iter().map(|octet| if octet == b'G' { b'g' } else { octet });
        assert_eq!(find(&other.collect::<Vec<u8>>()), None);
    }

    #[test]
    fn packages_are_read_by_their_rules() {
        assert_eq!(halves(b"\x04\x02\x00\x01"), Some(1 << 32));
        assert_eq!(halves(b"\x07\x02\x0b\x34\x12\x0a\x02"), Some(2 << 32 | 0x1234));
        assert_eq!(halves(b"\x4c\x00\x02\x0c\x00\x00\x01\x00\x00"), Some(0x1_0000), "a length of two octets");
        assert_eq!(halves(b"\x05\x03\x00\x01\x01"), None, "three elements");
        assert_eq!(halves(b"\x04\x02\x0d\x00"), None, "a string");
    }

    #[test]
    fn damage_is_survived() {
        for block in [QEMU, FIRECRACKER] {
            for at in 0..block.len() {
                find(&block[..at]);
                for octet in [0, 1, 0x0c, 0x40, 0xc0, 0xff] {
                    let mut damaged = block.to_vec();
                    damaged[at] = octet;
                    find(&damaged);
                }
            }
        }
    }
}
