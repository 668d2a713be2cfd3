//! Two machines resumed from one snapshot share no secrets: ids, ports, sequence numbers and cookies differ.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zonule_harness::wire::{self, kind};
use zonule_harness::{Boot, Console, Machine, Monitor, Port, Remote, Sandbox, Server, Target, eventually, serial};

use crate::scene::zone;

/// The client's half of the cookies.
const CLIENT: &[u8; 8] = b"snapshot";

/// How many numbers of a kind are compared: by chance two such lists are the same once in a billion times.
const NUMBERS: usize = 2;

/// The hypervisor says that each is a copy: they share nothing.
#[test]
fn copies_share_no_secrets() {
    let sandbox = Sandbox::new("copies").unwrap();
    let remote = remote(&sandbox);
    // Each process draws an id of its own.
    let mut copies = Copies::of(&sandbox, &remote, Machine::Q35, &["-device", "vmgenid,guid=auto"]);
    copies.compare_numbers();
    for server in &mut copies.servers {
        server.until_console("the VM generation id has changed").unwrap();
        server.until_console("DNS cookies are made with a new secret from now on").unwrap();
    }
    let [first, second] = &copies.servers;
    // Who knows a cookie's secret repeats the cookie.
    let before = &copies.cookie;
    assert_eq!([first, second].map(|server| cookie(server.address(), before) == *before), [false, false]);
    // Its own is good, unless a clock shows the stop just now and the secret is replaced once more.
    let good = || Some(cookie(first.address(), CLIENT)).filter(|made| cookie(first.address(), made) == *made);
    let made = eventually("a cookie that is good", good).unwrap();
    assert_ne!(cookie(second.address(), &made), made, "the other copy knows the secret");
}

/// Nothing says that they are copies, but what is drawn anew each time differs.
#[test]
fn copies_that_do_not_know_draw_other_numbers() {
    let sandbox = Sandbox::new("unknowing").unwrap();
    let remote = remote(&sandbox);
    Copies::of(&sandbox, &remote, Machine::Microvm, &[]).compare_numbers();
}

/// The same on a processor that has no random numbers, with the device that has.
#[test]
fn copies_on_a_processor_without_random_numbers() {
    let sandbox = Sandbox::new("device").unwrap();
    let remote = remote(&sandbox);
    Copies::of(&sandbox, &remote, Machine::Microvm, &["-cpu", "max,rdrand=off,rdseed=off"]).compare_numbers();
}

fn remote(sandbox: &Sandbox) -> Remote {
    let files = [("example.org", zone(1, "")), ("example.net", zone(1, ""))];
    Remote::with_files(sandbox.path(), files).unwrap()
}

/// Two copies of one machine.
struct Copies {
    servers: [Server; 2],
    /// What each has sent.
    captures: [PathBuf; 2],
    /// A cookie the machine made before.
    cookie: Vec<u8>,
    /// The port at which somebody is notified of changes.
    notified: Port,
}

impl Copies {
    /// Boots a `machine` with more `hardware`, takes a snapshot of it, changes the zones and resumes two copies.
    fn of(sandbox: &Sandbox, remote: &Remote, machine: Machine, hardware: &[&str]) -> Self {
        let notified = Port::new();
        let target = Target::image(machine).unwrap();
        let monitor = sandbox.path().join("monitor");
        let boot = target.boot().remote(remote).argument(format!("--notify=10.0.2.2:{}", notified.number()));
        let boot = boot.argument("--rate-limit=off").qemu(hardware);
        let snapshot = sandbox.path().join("snapshot");

        let mut server = boot.clone().monitor(&monitor).start(sandbox).unwrap();
        for zone in ["example.org", "example.net"] {
            server.until_serving(zone).unwrap();
        }
        let cookie = cookie(server.address(), CLIENT);
        save(&monitor, &snapshot);
        drop(server);

        for zone_name in ["example.org", "example.net"] {
            remote.write(zone_name, zone(2, "")).unwrap();
        }
        remote.push("Change while nobody looks").unwrap();
        let captures = ["first", "second"].map(|name| sandbox.path().join(name).with_extension("pcap"));
        let servers = captures.each_ref().map(|capture| resume(boot.clone(), &snapshot, capture));
        Self { servers, captures, cookie, notified }
    }

    /// Waits until both copies have followed the remote, and compares what nobody should foretell.
    fn compare_numbers(&mut self) {
        for server in &mut self.servers {
            for zone in ["example.org", "example.net"] {
                server.until("serial 2", |server| (serial(server.address(), zone)? == 2).then_some(())).unwrap();
            }
        }
        let sent = self.captures.each_ref().map(|capture| {
            let sent = || Some(Sent::read(capture, self.notified.number())).filter(Sent::is_enough);
            eventually("notifications and connections of a copy", sent).unwrap()
        });
        let [first, second] = sent;
        assert_ne!(first.ids, second.ids, "identifiers of notifications");
        assert_ne!(first.ports, second.ports, "source ports of connections");
        assert_ne!(first.sequences, second.sequences, "initial sequence numbers");
    }
}

/// Writes the machine's state to a file, which ends it. It must not be stopped before, or its copies would be.
fn save(monitor: &Path, snapshot: &Path) {
    let mut monitor = Monitor::connect(monitor).unwrap();
    monitor.command(&format!("migrate \"exec:cat > {}\"", snapshot.display())).unwrap();
    let saved = || monitor.command("info migrate").ok().filter(|status| status.contains("completed"));
    eventually("the snapshot", saved).unwrap();
}

/// Resumes a copy, and writes down what it sends.
fn resume(boot: Boot, snapshot: &Path, capture: &Path) -> Server {
    let dump = format!("filter-dump,id=dump,netdev=net,file={}", capture.display());
    let incoming = format!("exec:cat {}", snapshot.display());
    let console = Console::File(capture.with_extension("log"));
    boot.qemu(&["-object", &dump, "-incoming", &incoming]).start_on(Port::new(), console).unwrap()
}

/// The first numbers that a machine has drawn.
#[derive(Debug, Default)]
struct Sent {
    ids: Vec<u16>,
    ports: Vec<u16>,
    sequences: Vec<u32>,
}

impl Sent {
    /// Reads them from the frames that QEMU has captured of it; notifications go to the port `notified`.
    fn read(capture: &Path, notified: u16) -> Self {
        const HEADER: usize = 24;
        const FROM_GUEST: [u8; 4] = [10, 0, 2, 15];
        let mut sent = Self::default();
        let octets = fs::read(capture).unwrap_or_default();
        let mut rest = octets.get(HEADER..).unwrap_or_default();
        while let Some((record, after)) = rest.split_first_chunk::<16>() {
            let [.., a, b, c, d, _, _, _, _] = *record;
            let length = u32::from_ne_bytes([a, b, c, d]) as usize;
            let Some((frame, after)) = after.split_at_checked(length) else { break };
            rest = after;
            // Ethernet, then IPv4 without options.
            let Some(packet) = frame.get(14..).filter(|packet| frame[12..14] == [8, 0] && packet.len() >= 40) else {
                continue;
            };
            let half = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
            if packet[0] != 0x45 || packet[12..16] != FROM_GUEST {
                continue;
            }
            match packet[9] {
                6 if packet[33] == 2 => {
                    sent.ports.push(half(20));
                    sent.sequences.push(u32::from(half(24)) << 16 | u32::from(half(26)));
                }
                // Those of the first serial number are repeated with the identifiers they had.
                17 if half(22) == notified && wire::records(&packet[28..]).any(|soa| soa.serial() == Some(2)) => {
                    sent.ids.push(half(28));
                }
                _ => {}
            }
        }
        sent.ids.truncate(NUMBERS);
        sent.ports.truncate(NUMBERS);
        sent.sequences.truncate(NUMBERS);
        sent
    }

    fn is_enough(&self) -> bool {
        self.ids.len() == NUMBERS && self.ports.len() == NUMBERS
    }
}

/// Asks with a cookie, whole or the client's half, and returns the one of the reply.
fn cookie(server: SocketAddr, cookie: &[u8]) -> Vec<u8> {
    let mut query = wire::query(7, "example.org", kind::SOA);
    query[11] = 1;
    let length = cookie.len() as u8;
    query.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4 + length, 0, 10, 0, length]);
    query.extend(cookie);
    let reply =
        eventually("a reply", || wire::exchange(server, &query, Duration::from_secs(5)).ok().flatten()).unwrap();
    let option = [&[0, 10, 0, 24][..], CLIENT].concat();
    let at = reply.windows(option.len()).position(|window| window == option).expect("a cookie");
    reply[at + 4..][..24].to_vec()
}
