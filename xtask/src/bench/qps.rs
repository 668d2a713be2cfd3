//! Queries per second, beside NSD on Linux in the same QEMU.
//!
//! Both guests use one processor of two (with a single one QEMU's emulator leaves memory barriers out, and a guest may
//! go deaf), have a virtio-net card on a tap device, and stay up for the whole run; they are measured in turn, so that whatever else the host does falls on both. All of it happens in a network namespace
//! that vanishes with the bench.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use zonule_harness::{
    Console, Error as HarnessError, Machine, Network, Process, Qemu, Remote, Sandbox, dig, eventually, namespace, run,
};

use super::{guest, load, median};
use crate::cargo::{self, Error, Result};
use crate::image::Program;
use crate::linux::Kernel;
use crate::tools::{self, BUSYBOX, CPIO, DIG, DNSPERF, GIT, IP, KMOD, NSD, QEMU, SETPRIV};

/// How often each server is measured, and for how long.
const ROUNDS: usize = 3;
const SECONDS: u64 = 10;

/// A guest's side of its own little network.
struct Link {
    interface: &'static str,
    host: Ipv4Addr,
    guest: Ipv4Addr,
}

const ZONULE: Link =
    Link { interface: "tap-zonule", host: Ipv4Addr::new(10, 77, 0, 1), guest: Ipv4Addr::new(10, 77, 0, 2) };
const PEER: Link = Link { interface: "tap-nsd", host: Ipv4Addr::new(10, 78, 0, 1), guest: Ipv4Addr::new(10, 78, 0, 2) };

/// Measures both and prints the rates and their ratio.
pub(super) fn qps() -> Result<()> {
    if namespace::inside() {
        return inside();
    }
    tools::ensure(&[QEMU, GIT, DIG, SETPRIV, DNSPERF, NSD, BUSYBOX, CPIO, IP, KMOD])?;
    cargo::image(Program::Zonule)?;
    // Out here: inside of the namespace there is no network to fetch it from.
    Kernel::get()?;
    super::in_namespace("qps")
}

fn inside() -> Result<()> {
    let sandbox = Sandbox::new("qps")?;
    let zones = sandbox.path().join("peer-zones");
    fs::create_dir_all(&zones).map_err(HarnessError::io("cannot make the zones' directory"))?;
    fs::write(zones.join(load::ZONE), load::zone(1)).map_err(HarnessError::io("cannot write the zone"))?;
    let questions = sandbox.path().join("questions");
    load::write_questions(&questions)?;

    ZONULE.make()?;
    PEER.make()?;
    let (mut zonule, _remote) = zonule(&sandbox, &zones)?;
    let mut peer = peer(&sandbox, &zones)?;
    wait_for(&mut zonule, ZONULE.address())?;
    wait_for(&mut peer, PEER.address())?;

    let mut rates = [Vec::new(), Vec::new()];
    for round in 1..=ROUNDS {
        for (rates, (name, link)) in rates.iter_mut().zip([("zonule", &ZONULE), ("nsd", &PEER)]) {
            let outcome = load::dnsperf(link.address(), &questions, SECONDS, "udp")?;
            println!("round {round}: {name:7} {:9.0} queries/s, {:.2} % lost", outcome.rate, outcome.lost);
            rates.push(outcome.rate);
        }
    }
    let [ours, theirs] = rates.map(median);
    println!("median: zonule {ours:.0} queries/s, nsd {theirs:.0} queries/s, ratio {:.2}", ours / theirs);
    Ok(())
}

/// Boots the image with a remote on its link.
fn zonule(sandbox: &Sandbox, zones: &Path) -> Result<(Process, Remote)> {
    let mut remote = Remote::with_directory(sandbox.path(), zones)?;
    remote.serve_on(ZONULE.host)?;
    let url = remote.url(&ZONULE.host.to_string());
    let append = format!(
        "--ip={}/24 --gateway={} --git-remote={url} --git-poll=3600 --rate-limit=off",
        ZONULE.guest, ZONULE.host
    );
    let kernel = cargo::image_path();
    let qemu = virtual_machine(&ZONULE, kernel, None, append);
    let console = Console::File(sandbox.path().join("zonule.log"));
    Ok((Process::start(Path::new(Qemu::PROGRAM), &qemu.arguments(), console)?, remote))
}

/// Boots NSD.
fn peer(sandbox: &Sandbox, zones: &Path) -> Result<Process> {
    let guest = guest::build(sandbox.path(), zones, &format!("{}/24", PEER.guest))?;
    let append = "console=ttyS0 quiet mitigations=off panic=-1 maxcpus=1".to_owned();
    let qemu = virtual_machine(&PEER, guest.kernel, Some(guest.initrd), append);
    let console = Console::File(sandbox.path().join("peer.log"));
    Ok(Process::start(Path::new(Qemu::PROGRAM), &qemu.arguments(), console)?)
}

fn virtual_machine(link: &Link, kernel: PathBuf, initrd: Option<PathBuf>, append: String) -> Qemu {
    let network = Network::Tap { interface: link.interface.to_owned() };
    let (clock, monitor, more) = (None, None, Vec::new());
    Qemu {
        machine: Machine::Q35,
        memory_mib: 512,
        processors: 2,
        kernel,
        initrd,
        append,
        network,
        clock,
        monitor,
        more,
    }
}

/// Waits until the guest serves the zone.
fn wait_for(guest: &mut Process, server: SocketAddr) -> Result<()> {
    let serving = eventually("an answer", || {
        let answers = dig(server, &[load::ZONE, "SOA"]).is_ok_and(|reply| reply.has_flag("aa"));
        if answers { Some(true) } else { guest.ended().map(|_| false) }
    });
    if serving.is_ok_and(|serving| serving) {
        return Ok(());
    }
    Err(Error::Unexpected(format!("{server} does not answer; its console:\n{}", guest.printed())))
}

impl Link {
    /// Makes the tap device and gives the host its address.
    fn make(&self) -> Result<()> {
        run(Command::new("ip").args(["tuntap", "add", "dev", self.interface, "mode", "tap"]))?;
        let address = format!("{}/24", self.host);
        run(Command::new("ip").args(["addr", "add", &address, "dev", self.interface]))?;
        run(Command::new("ip").args(["link", "set", self.interface, "up"]))?;
        Ok(())
    }

    fn address(&self) -> SocketAddr {
        (self.guest, 53).into()
    }
}
