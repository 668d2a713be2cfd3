//! The machines for boot tests, each with modern and with legacy virtio, and the requirements on a boot.

use std::fs;
use std::path::Path;
use std::time::Duration;

use zonule_harness::wire::{self, Connection, kind};
use zonule_harness::{Boot, Machine, Remote, Sandbox, Server, Target, within};

use crate::cargo::{Error, Result};

/// The zone of [`zone`].
pub(crate) const ZONE: &str = "example.org";

/// How long a boot may take until the first answer. It takes seconds, so only a hang comes near it.
const BOOT: Duration = Duration::from_secs(60);

/// What QEMU prints when KVM gives up on a guest, which then stops.
const KVM_ERRORS: [&str; 2] = ["KVM internal error", "KVM: entry failed"];

/// A machine with one kind of virtio devices.
#[derive(Debug)]
pub(crate) struct Variant {
    /// Its name.
    pub(crate) name: &'static str,
    machine: Machine,
    qemu: &'static [&'static str],
}

/// All of them.
pub(crate) const VARIANTS: [Variant; 8] = [
    variant("pc-modern", Machine::Pc, &["-global", "virtio-pci.disable-legacy=on"]),
    variant("pc-legacy", Machine::Pc, &["-global", "virtio-pci.disable-modern=on"]),
    variant("q35-modern", Machine::Q35, &["-global", "virtio-pci.disable-legacy=on"]),
    variant("q35-legacy", Machine::Q35, &["-global", "virtio-pci.disable-modern=on"]),
    variant("microvm-modern", Machine::Microvm, &[]),
    variant("microvm-legacy", Machine::MicrovmLegacy, &[]),
    variant("microvm-noacpi-modern", Machine::Microvm, &["-machine", "acpi=off"]),
    variant("microvm-noacpi-legacy", Machine::MicrovmLegacy, &["-machine", "acpi=off"]),
];

const fn variant(name: &'static str, machine: Machine, qemu: &'static [&'static str]) -> Variant {
    Variant { name, machine, qemu }
}

impl Variant {
    /// Returns the variant called `name`.
    pub(crate) fn named(name: &str) -> Result<&'static Variant> {
        let variant = VARIANTS.iter().find(|variant| variant.name == name);
        variant.ok_or_else(|| Error::Usage(format!("there is no machine `{name}`; there are {}", names())))
    }

    /// Prepares a boot with 64 MiB of memory and the zones from `remote`.
    pub(crate) fn boot(&self, remote: &Remote) -> Result<Boot> {
        Ok(self.prepare(&Target::image(self.machine)?, remote))
    }

    /// Prepares the same boot with a given image.
    pub(crate) fn boot_image(&self, elf: &Path, remote: &Remote) -> Boot {
        self.prepare(&Target::Image { elf: elf.to_owned(), machine: self.machine }, remote)
    }

    fn prepare(&self, target: &Target, remote: &Remote) -> Boot {
        target.boot().memory_mib(64).qemu(self.qemu).remote(remote)
    }

    /// Whether the machine has a power button.
    pub(crate) fn has_power_button(&self) -> bool {
        !self.qemu.contains(&"acpi=off")
    }

    /// Boots once and waits until the image has answered over UDP and over TCP. Its console is left in `sandbox`.
    pub(crate) fn boots(&self, remote: &Remote, sandbox: &Sandbox) -> Result<()> {
        answers(&mut self.boot(remote)?.start(sandbox)?)
    }
}

/// Returns the names of all variants.
fn names() -> String {
    VARIANTS.map(|variant| variant.name).join(", ")
}

/// The text of a small zone, with `more` lines at its end.
pub(crate) fn zone(more: &str) -> String {
    format!("$TTL 300\n@ SOA ns1 hostmaster 1 2h 15m 2w 5m\n@ NS ns1\nns1 A 192.0.2.53\nwww A 192.0.2.80\n{more}")
}

/// Waits until `server` answers for [`ZONE`], over UDP and over TCP.
pub(crate) fn answers(server: &mut Server) -> Result<()> {
    let query = wire::query(1, &format!("www.{ZONE}"), kind::A);
    let right = |reply: &[u8]| wire::rcode(reply) == Some(0) && wire::answers(reply) == Some(1);
    until(server, "an answer over UDP", |server| {
        let reply = wire::exchange(server.address(), &query, Duration::from_millis(100)).ok()??;
        right(&reply).then_some(())
    })?;
    until(server, "an answer over TCP", |server| {
        let mut connection = Connection::open(server.address()).ok()?;
        connection.set_patience(BOOT).ok()?;
        connection.send(&query).ok()?;
        right(&connection.receive().ok()??).then_some(())
    })
}

/// Tries `attempt` until it returns a value, as long as a boot may take; gives up at once when the machine has.
pub(crate) fn until<T>(server: &mut Server, what: &str, mut attempt: impl FnMut(&Server) -> Option<T>) -> Result<T> {
    let mut early = None;
    let value = within(BOOT, what, || {
        let running = server.is_running();
        let value = attempt(server).map(Some);
        let console = server.console();
        let error = KVM_ERRORS.iter().find(|error| console.contains(**error));
        early = match error {
            Some(error) => Some(format!("{error}, while waiting for: {what}")),
            None => (!running).then(|| format!("the virtual machine ended while waiting for: {what}")),
        };
        value.or_else(|| early.is_some().then_some(None))
    })?;
    value.ok_or_else(|| Error::Unexpected(early.unwrap_or_default()))
}

/// Returns whether a console holds nothing but QEMU's own complaint that it could not start the machine.
pub(crate) fn qemu_failed(console: &str) -> bool {
    let mut lines = console.lines().filter(|line| !line.contains(": warning: ") && !line.trim().is_empty()).peekable();
    lines.peek().is_some() && lines.all(|line| line.starts_with("qemu-system-x86_64: "))
}

/// Returns the console that a server left in `sandbox`.
pub(crate) fn console(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).replace('\r', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_consoles_of_machines_that_did_not_start() {
        assert!(qemu_failed(
            "qemu-system-x86_64: could not configure /dev/net/tun (zonule0): Device or resource busy\n"
        ));
        assert!(!qemu_failed("qemu-system-x86_64: warning: host doesn't support requested feature\n"));
        assert!(!qemu_failed("KVM internal error. Suberror: 1\nextra data[0]: 0x1\n"));
        assert!(!qemu_failed(""));
        assert!(!qemu_failed("  0.001 INFO zonule 0.1.0\nqemu-system-x86_64: terminating on signal 15\n"));
    }
}
