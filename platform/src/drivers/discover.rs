//! Finding the devices and leading the network card's interrupts to its handler.
//!
//! Only what the command line or ACPI announces is looked at: reading where nothing is makes some hypervisors log an
//! error, and on a PC other devices may stand there. Where nothing is announced at all, PCI's ports are tried, and on a
//! machine without ACPI the fixed slots of QEMU's microvm after them.
//!
//! Interrupts: messages (MSI-X) where the function has them. An announced line is routed as announced. Where the line
//! is unknown, every line such a device can have on known machines leads to the one handler: it clears the cause in
//! the device and calls the stack, which looks at the rings itself, so a call too many does no harm.

use alloc::vec::Vec;

use super::acpi;
use super::bus::assign;
use super::bus::mmio::{self, WINDOW_BYTES, Window};
use super::bus::pci::{self, ConfigSpace, Function};
use super::bus::registers::Registers;
use super::entropy;
use super::nic::{Nic, interrupted};
use super::virtio::net::VirtioNic;
use super::virtio::transport::{Acknowledge, Transport, enable_msix};
use super::virtio::{TYPE_ENTROPY, TYPE_NETWORK, VirtioError, rng};
use crate::arch::interrupts;
use crate::base::lock::{IrqLock, Lock};
use crate::kprintln;
use core::fmt;

/// The network device, until it is started.
static NETWORK: Lock<Option<Transport>> = Lock::new(None);
/// Where the network device's interrupt is cleared, when it is not a message.
static ACKNOWLEDGE: IrqLock<Acknowledge> = IrqLock::new(Acknowledge::Nothing);

/// Finds the devices that the firmware or `command_line` announces. Draws from the entropy device at once and keeps the
/// network device for [`take_nic`].
pub(crate) fn discover(command_line: &str) {
    let blocks: Vec<_> = acpi::description().into_iter().chain(acpi::tables(*b"SSDT")).collect();
    let windows = announced_windows(command_line, &blocks);
    let space = if expects_pci(&windows, &blocks) { pci::open(&blocks) } else { None };
    let mut devices: Vec<_> = windows.iter().copied().filter_map(open_window).collect();
    match space.as_deref() {
        Some(space) => {
            let functions = pci::enumerate(space);
            if let Some(window) = blocks.iter().find_map(|block| assign::window(block)) {
                assign::assign(space, &functions, |function| driven(space, function).is_some(), window);
            }
            devices.extend(functions.into_iter().filter_map(|function| open_function(space, function)));
        }
        None if windows.is_empty() && blocks.is_empty() => {
            devices.extend(mmio::microvm_slots().filter_map(open_window))
        }
        None => {}
    }
    for Device { kind, mut transport, line } in devices {
        match kind {
            TYPE_ENTROPY => {
                if let Err(error) = rng::start(transport) {
                    kprintln!("zonule: entropy device: {error}");
                }
            }
            TYPE_NETWORK if NETWORK.lock().is_none() => {
                route(&mut transport, line, space.as_deref());
                *NETWORK.lock() = Some(transport);
            }
            TYPE_NETWORK => kprintln!("zonule: a second network device is not used"),
            _ => {}
        }
    }
}

/// Brings up the network card that was found, whichever driver is for it; `None` if there is none, or no more.
///
/// # Errors
///
/// [`NicError`] says what is wrong with the card.
pub(crate) fn take_nic() -> Option<Result<impl Nic + use<>, NicError>> {
    let transport = NETWORK.lock().take()?;
    Some(VirtioNic::new(transport, entropy::fill).map_err(NicError::Virtio))
}

/// Why a network card does not work, by its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NicError {
    /// A virtio device.
    Virtio(VirtioError),
}

impl fmt::Display for NicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Virtio(error) => error.fmt(f),
        }
    }
}

/// A virtio device and what is known of its interrupt.
struct Device {
    kind: u32,
    transport: Transport,
    line: Line,
}

/// How a device interrupts.
enum Line {
    /// A function, which may have MSI-X, and the line of its pin if known.
    Pci(Function, Option<u8>),
    /// An MMIO window, with its line if announced.
    Mmio(Option<u32>),
}

/// Returns the virtio-mmio windows that the command line or ACPI's definition blocks announce, each once.
fn announced_windows(command_line: &str, blocks: &[&[u8]]) -> Vec<Window> {
    let mut windows = mmio::in_command_line(command_line);
    for window in blocks.iter().flat_map(|block| mmio::in_definition_block(block)) {
        if !windows.iter().any(|known| known.address == window.address) {
            windows.push(window);
        }
    }
    windows
}

/// Returns whether to look for PCI: where ACPI names a host bridge, or nothing else is announced either.
fn expects_pci(windows: &[Window], blocks: &[&[u8]]) -> bool {
    windows.is_empty() || blocks.iter().any(|block| pci::in_definition_block(block))
}

fn open_window(window: Window) -> Option<Device> {
    let (kind, transport) = Transport::mmio(Registers::map(window.address, WINDOW_BYTES))?;
    Some(Device { kind, transport, line: Line::Mmio(window.gsi) })
}

/// Returns the type of a virtio function that there is a driver for.
fn driven(space: &dyn ConfigSpace, function: Function) -> Option<u32> {
    pci::identity(space, function).virtio_type().filter(|&kind| kind == TYPE_NETWORK || kind == TYPE_ENTROPY)
}

fn open_function(space: &dyn ConfigSpace, function: Function) -> Option<Device> {
    let kind = driven(space, function)?;
    pci::enable(space, function, false);
    match Transport::pci(space, function, Registers::map) {
        Ok(transport) => {
            let line = Line::Pci(function, pci::interrupt_line(space, function));
            Some(Device { kind, transport, line })
        }
        Err(error) => {
            kprintln!("zonule: virtio device at {function:?}: {error}");
            None
        }
    }
}

/// Leads the interrupt of the network device to its handler.
fn route(transport: &mut Transport, line: Line, space: Option<&dyn ConfigSpace>) {
    match line {
        Line::Pci(function, pin) => {
            let Some(space) = space else { return };
            let message = || interrupts::allocate(interrupted).map(interrupts::msi_message);
            let enable = |message| enable_msix(space, function, message, Registers::map);
            if transport.takes_msix() && message().is_some_and(enable) {
                transport.use_msix();
                return;
            }
            pci::enable(space, function, true);
            *ACKNOWLEDGE.lock() = transport.acknowledge();
            // The line the firmware noted is right without ACPI routing; on q35 the pins lead to lines 16 to 23.
            lead(pin.map(u32::from).into_iter().chain(16..24), true);
        }
        Line::Mmio(gsi) => {
            *ACKNOWLEDGE.lock() = transport.acknowledge();
            match gsi {
                Some(gsi) => lead(core::iter::once(gsi), false),
                // microvm: lines 5 to 12, 16 to 23, or all of a second controller.
                None => lead((5..=12).chain(16..48), false),
            }
        }
    }
}

/// Leads those of the lines that exist to the handler of line interrupts.
///
/// All are active high, as the hypervisors' ACPI says. Lines of MMIO devices are taken as edges, which both level-holding
/// and pulsing hypervisors deliver: the handler clears the cause before anything looks at the rings, so the next cause is a
/// new edge.
fn lead(lines: impl Iterator<Item = u32>, level: bool) {
    let Some(vector) = interrupts::allocate(line_interrupt) else { return };
    let mut led = false;
    for line in lines {
        led |= interrupts::route_gsi(line, vector, level, false);
    }
    if !led {
        kprintln!("zonule: the network device's interrupt leads nowhere");
    }
}

fn line_interrupt() {
    ACKNOWLEDGE.lock().clear();
    interrupted();
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRIDGE: &[u8] = b"PCI0\x08_HID\x0c\x41\xd0\x0a\x08";
    const LINE: &str = "--ip=10.0.2.15/24 virtio_mmio.device=4K@0xc0001000:5";

    #[test]
    fn pci_is_looked_for_where_it_is_announced_or_nothing_is() {
        let expected = |line, blocks: &[&[u8]]| expects_pci(&announced_windows(line, blocks), blocks);
        assert!(expected("", &[]), "nothing is announced");
        assert!(expected("", &[b"DSDT"]), "a definition block that says nothing");
        assert!(expected("", &[b"DSDT", BRIDGE]), "a host bridge");
        assert!(expected(LINE, &[BRIDGE]), "both");
        assert!(!expected(LINE, &[]), "the command line, as of microvm without ACPI");
        assert!(!expected(LINE, &[b"DSDT"]), "the command line and ACPI, as of Firecracker");
    }

    #[test]
    fn a_window_announced_twice_is_one() {
        let mut block = b"\x08_HID\x0dLNRO0005\0\x08_CRS\x86\x09\x00\x01\x00\x10\x00\xc0\x00\x10\x00\x00".to_vec();
        let window = Window { address: 0xc000_1000, gsi: Some(5) };
        assert_eq!(announced_windows(LINE, &[&block]), [window]);
        assert_eq!(announced_windows("", &[&block, &block]).len(), 1);
        let at = block.len() - 7;
        block[at] = 0x20;
        assert_eq!(announced_windows(LINE, &[b"DSDT", &block]).len(), 2);
    }
}
