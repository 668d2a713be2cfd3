//! The image boots on every machine it supports, restarts and powers off when asked, and keeps the right time.

use std::thread;
use std::time::Duration;

use zonule_harness::wire::{self, Connection, kind};
use zonule_harness::{Boot, Machine, Monitor, Remote, Sandbox, Server, Target};

use crate::scene::zone;

/// Defines the machine tests for one machine.
macro_rules! machine {
    ($name:ident, $machine:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn boots_and_serves() {
                super::boots_and_serves($machine);
            }

            #[test]
            fn ends_on_a_wrong_argument() {
                super::ends_on_a_wrong_argument($machine);
            }

            #[test]
            fn powers_off_at_the_power_button() {
                super::ends_when_asked($machine, "system_powerdown", "power button pressed: powering off");
            }
        }
    };
}

machine!(pc, Machine::Pc);
machine!(q35, Machine::Q35);
machine!(microvm, Machine::Microvm);
machine!(microvm_legacy, Machine::MicrovmLegacy);
machine!(microvm_pci, Machine::MicrovmPci);

/// How Firecracker asks, and any PC's keyboard can.
#[test]
fn pc_restarts_at_control_alt_delete() {
    ends_when_asked(Machine::Pc, "sendkey ctrl-alt-delete", "Ctrl-Alt-Del pressed: restarting");
}

/// Nothing tells how fast the processor's counter runs: it is guessed, and the console says so.
#[test]
fn microvm_boots_without_any_clock() {
    let sandbox = Sandbox::new("clockless").unwrap();
    let remote = Remote::with_files(sandbox.path(), [("example.org", zone(1, ""))]).unwrap();
    let boot = boot(Machine::Microvm, &remote).qemu(&["-machine", "pit=off,pic=off,rtc=off"]);
    let server = serving(boot, &sandbox);
    let console = server.console();
    assert!(console.contains("the clock may run at a wrong rate"), "{console}");
    assert!(console.contains("the machine has no clock for the time of day"), "{console}");
}

/// The wall clock follows the machine's, which goes on while the machine is stopped.
#[test]
fn the_clock_is_right_after_a_stop() {
    /// More than what the image takes for the inexactness of a clock that ticks in seconds.
    const STOPPED: Duration = Duration::from_secs(5);
    let sandbox = Sandbox::new("stopped").unwrap();
    let remote = Remote::with_files(sandbox.path(), [("example.org", zone(1, ""))]).unwrap();
    let socket = sandbox.path().join("monitor");
    let mut server = serving(boot(Machine::Q35, &remote).monitor(&socket), &sandbox);
    let mut monitor = Monitor::connect(&socket).unwrap();
    monitor.command("stop").unwrap();
    thread::sleep(STOPPED);
    monitor.command("cont").unwrap();
    server.until_console("the clock was corrected by +").unwrap();
    server.until_serving("example.org").unwrap();
}

/// Boots among the words that boot loaders and hypervisors leave on the command line, and answers.
fn boots_and_serves(machine: Machine) {
    let sandbox = Sandbox::new(&machine.to_string()).unwrap();
    let remote = Remote::with_files(sandbox.path(), [("example.org", zone(1, ""))]).unwrap();
    let mut server = serving(boot(machine, &remote).argument("reboot=k panic=1 nomodule 8250.nr_uarts=0"), &sandbox);
    let mut connection = Connection::open(server.address()).unwrap();
    connection.send(&wire::query(1, "www.example.org", kind::A)).unwrap();
    assert_eq!(connection.receive().unwrap().and_then(|reply| wire::answers(&reply)), Some(1));
    assert!(server.is_running());
}

/// Says what is wrong and what would be right, and leaves the machine: the virtual machine ends.
fn ends_on_a_wrong_argument(machine: Machine) {
    let sandbox = Sandbox::new(&machine.to_string()).unwrap();
    let target = Target::image(machine).unwrap();
    let mut server = target.boot().argument("--git-pol=1").start(&sandbox).unwrap();
    let status = server.until_ended().unwrap();
    assert!(status.success(), "QEMU itself failed: {status}");
    let console = server.console();
    assert!(console.contains("--git-pol") && console.contains("--git-poll"), "no hint");
}

/// Does what the hypervisor asks for by a command of QEMU's monitor, says so, and ends the virtual machine.
fn ends_when_asked(machine: Machine, command: &str, says: &str) {
    let sandbox = Sandbox::new(&machine.to_string()).unwrap();
    let remote = Remote::with_files(sandbox.path(), [("example.org", zone(1, ""))]).unwrap();
    let socket = sandbox.path().join("monitor");
    let mut server = serving(boot(machine, &remote).monitor(&socket), &sandbox);
    Monitor::connect(&socket).unwrap().command(command).unwrap();
    let status = server.until_ended().unwrap();
    assert!(status.success(), "QEMU itself failed: {status}");
    let console = server.console();
    assert!(console.contains(says), "it says something else");
}

fn boot(machine: Machine, remote: &Remote) -> Boot {
    Target::image(machine).unwrap().boot().memory_mib(64).remote(remote)
}

fn serving(boot: Boot, sandbox: &Sandbox) -> Server {
    let mut server = boot.start(sandbox).unwrap();
    server.until_serving("example.org").unwrap();
    server
}
