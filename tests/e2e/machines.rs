//! The machines the image boots on, and how it leaves them.

use zonule_harness::wire::{self, Connection, kind};
use zonule_harness::{Machine, Remote, Sandbox, Target};

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
        }
    };
}

machine!(pc, Machine::Pc);
machine!(q35, Machine::Q35);
machine!(microvm, Machine::Microvm);
machine!(microvm_legacy, Machine::MicrovmLegacy);
machine!(microvm_pci, Machine::MicrovmPci);

/// Boots among the words that boot loaders and hypervisors leave on the command line, and answers.
fn boots_and_serves(machine: Machine) {
    let sandbox = Sandbox::new(&machine.to_string()).unwrap();
    let remote = Remote::with_files(sandbox.path(), [("example.org", zone(1, ""))]).unwrap();
    let mut server = Target::image(machine)
        .unwrap()
        .boot()
        .memory_mib(64)
        .argument("reboot=k panic=1 nomodule 8250.nr_uarts=0")
        .remote(&remote)
        .start(&sandbox)
        .unwrap();
    server.until_serving("example.org").unwrap();
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
