//! QEMU command lines.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::{env, fmt};

/// A machine type of QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// The classic PC: PCI, devices behind port I/O.
    Pc,
    /// The modern PC: PCI Express.
    Q35,
    /// A machine without PCI; virtio-mmio version 2.
    Microvm,
    /// The same with virtio-mmio version 1, which is QEMU's default.
    MicrovmLegacy,
    /// The same with PCI Express, which no firmware sets up.
    MicrovmPci,
}

impl Machine {
    /// All of them.
    pub const ALL: [Machine; 5] =
        [Machine::Pc, Machine::Q35, Machine::Microvm, Machine::MicrovmLegacy, Machine::MicrovmPci];

    /// The arguments that select the machine, without any device.
    fn arguments(self) -> Vec<String> {
        match self {
            Machine::Pc => words("-machine pc"),
            Machine::Q35 => words("-machine q35"),
            Machine::Microvm => words("-machine microvm -global virtio-mmio.force-legacy=false"),
            Machine::MicrovmLegacy => words("-machine microvm -global virtio-mmio.force-legacy=true"),
            Machine::MicrovmPci => words("-machine microvm,pcie=on"),
        }
    }

    /// The full name of a virtio device on this machine.
    fn device(self, name: &str) -> String {
        match self {
            Machine::Pc | Machine::Q35 | Machine::MicrovmPci => format!("{name}-pci"),
            Machine::Microvm | Machine::MicrovmLegacy => format!("{name}-device"),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Machine::Pc => "pc",
            Machine::Q35 => "q35",
            Machine::Microvm => "microvm",
            Machine::MicrovmLegacy => "microvm-legacy",
            Machine::MicrovmPci => "microvm-pci",
        })
    }
}

/// The network of the guest.
#[derive(Clone, Debug)]
pub enum Network {
    /// QEMU's own user-mode network, no privilege needed: the guest is 10.0.2.15, and 10.0.2.2 leads to the
    /// host's 127.0.0.1. UDP and TCP at `forward` are forwarded to the guest's port 53.
    User {
        /// Where on the host to listen.
        forward: SocketAddr,
        /// Further TCP addresses, and the guest's ports for them.
        streams: Vec<(SocketAddr, u16)>,
    },
    /// An existing tap device.
    Tap {
        /// Its name.
        interface: String,
    },
}

/// A virtual machine to start.
#[derive(Clone, Debug)]
pub struct Qemu {
    /// Which machine.
    pub machine: Machine,
    /// Its memory in MiB.
    pub memory_mib: u32,
    /// Its processors. The emulator orders memory as its I/O threads need it only where there are several.
    pub processors: u32,
    /// The ELF file (or Linux kernel) to boot.
    pub kernel: PathBuf,
    /// An initial ram disk.
    pub initrd: Option<PathBuf>,
    /// The kernel's command line.
    pub append: String,
    /// Its network.
    pub network: Network,
    /// The initial time of its clock, such as `2001-01-01T00:00:00`, if not the current time.
    pub clock: Option<String>,
    /// A Unix socket for QEMU's monitor, where the network is `net`.
    pub monitor: Option<PathBuf>,
    /// Further arguments of QEMU, which override those above.
    pub more: Vec<String>,
}

impl Qemu {
    /// The program's name.
    pub const PROGRAM: &'static str = "qemu-system-x86_64";

    /// The arguments: the serial console on standard output, and QEMU ends when the guest
    /// powers off or resets.
    pub fn arguments(&self) -> Vec<String> {
        let mut line = self.machine.arguments();
        line.extend(words("-nodefaults -no-user-config -display none -serial stdio -no-reboot"));
        line.extend(["-smp".to_owned(), self.processors.to_string()]);
        line.extend(accelerator().map(str::to_owned));
        line.extend(["-m".to_owned(), self.memory_mib.to_string()]);
        line.extend(["-kernel".to_owned(), self.kernel.display().to_string()]);
        if let Some(initrd) = &self.initrd {
            line.extend(["-initrd".to_owned(), initrd.display().to_string()]);
        }
        line.extend(["-append".to_owned(), self.append.clone()]);
        if let Some(clock) = &self.clock {
            line.extend(["-rtc".to_owned(), format!("base={clock}")]);
        }
        line.push("-netdev".to_owned());
        line.push(match &self.network {
            Network::User { forward, streams } => {
                let (ip, port) = (forward.ip(), forward.port());
                let mut network = format!("user,id=net,hostfwd=udp:{ip}:{port}-:53,hostfwd=tcp:{ip}:{port}-:53");
                for (from, to) in streams {
                    network += &format!(",hostfwd=tcp:{}:{}-:{to}", from.ip(), from.port());
                }
                network
            }
            Network::Tap { interface } => format!("tap,id=net,ifname={interface},script=no,downscript=no,vhost=off"),
        });
        // Without a boot ROM the firmware has nothing to boot from the network and loses no time on it.
        let rom = if matches!(self.machine, Machine::Pc | Machine::Q35) { ",romfile=" } else { "" };
        line.extend(["-device".to_owned(), format!("{},netdev=net{rom}", self.machine.device("virtio-net"))]);
        line.extend(["-device".to_owned(), self.machine.device("virtio-rng")]);
        if let Some(path) = &self.monitor {
            line.extend(["-monitor".to_owned(), format!("unix:{},server=on,wait=off", path.display())]);
        }
        line.extend(self.more.iter().cloned());
        line
    }
}

/// Returns QEMU's arguments for the accelerator and the processor: software emulation, or KVM if requested and
/// available.
pub fn accelerator() -> [&'static str; 4] {
    if kvm_wanted() { ["-accel", "kvm", "-cpu", "host"] } else { ["-accel", "tcg", "-cpu", "max"] }
}

/// Whether `ZONULE_ACCEL=kvm` asks for hardware virtualisation and `/dev/kvm` provides it.
fn kvm_wanted() -> bool {
    env::var_os("ZONULE_ACCEL").is_some_and(|accel| accel == "kvm")
        && OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}
