//! Transfers: how fast a million records go, how soon a secondary has a change, and what memory that takes.
//!
//! The rates of all servers are taken in turns within one run. The reader looks at nothing but the messages' headers, so
//! that it is the server that is measured; `kdig` reads once from each, too, as a client would.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use zonule_harness::transfer::{Transfer, drain};
use zonule_harness::{
    Ask, Client, Error as HarnessError, Key, Machine, Make, Neighbour, Remote, Sandbox, Server, Setup, Target,
    Transport, eventually, serial,
};

use super::median;
use super::memory::resident_kib;
use crate::cargo::{self, Error, Profile, Result};
use crate::image::Program;
use crate::tools::{self, DIG, DNSPYTHON, GIT, KDIG, KNOT, NSD, NSUPDATE, QEMU, SETPRIV};

/// The zone that is transferred.
const ZONE: &str = "bench.example";

/// How many addresses the large one has; three records more, one of them twice in a transfer.
const HOSTS: u32 = 1_000_000;

/// How often each server is read from.
const ROUNDS: usize = 5;

/// How many changes are followed.
const CHANGES: u32 = 10;

/// The pause before each: who has just been told of a change is not told of the next at once.
const PAUSE: Duration = Duration::from_secs(2);

/// How many transfers are under way at once when memory is looked at.
const AT_ONCE: usize = 16;

/// Measures and prints all of it.
pub(super) fn transfers() -> Result<()> {
    tools::ensure(&[QEMU, GIT, DIG, SETPRIV, NSD, KNOT, KDIG, NSUPDATE, DNSPYTHON])?;
    let hosted = Target::hosted(cargo::hosted(Profile::Release)?);
    cargo::image(Program::Zonule)?;
    rates(&hosted)?;
    for (name, target) in [("Linux binary", hosted), ("image", Target::image(Machine::Q35)?)] {
        follow(name, &target)?;
    }
    Ok(())
}

/// Reads a large zone from our server, Knot and NSD, and looks at our memory meanwhile.
fn rates(target: &Target) -> Result<()> {
    let sandbox = Sandbox::new("bench-transfers")?;
    let text = zone(1, HOSTS);
    let remote = Remote::with_files(sandbox.path(), [(ZONE, &text)])?;
    let mut server = target.boot().remote(&remote).argument("--allow-transfer=127.0.0.0/8").start(&sandbox)?;
    server.until_serving(ZONE)?;
    let mut peers = Vec::new();
    for make in [Make::Knot, Make::Nsd] {
        let peer: Neighbour = Setup::new(make, sandbox.path())?.gives(ZONE, &text)?.start()?;
        peer.until_serial(ZONE, 1)?;
        peers.push(peer);
    }
    let mut servers = vec![("Zonule".to_owned(), server.address(), Vec::new())];
    servers.extend(peers.iter().map(|peer| (peer.make().to_string(), peer.address(), Vec::new())));
    for round in 0..=ROUNDS {
        for (name, address, times) in &mut servers {
            let start = Instant::now();
            let (messages, octets) = drain(*address, ZONE, u64::from(HOSTS) + 4).map_err(reading(name))?;
            match round {
                // The first one only warms up.
                0 => println!("{name}: {octets} octets in {messages} messages"),
                _ => times.push(start.elapsed().as_secs_f64()),
            }
        }
    }
    let mut seconds = Vec::new();
    for (name, address, times) in servers {
        let time = median(times);
        let kdig = kdig(address)?;
        println!(
            "{name}: {:.0} ms for a million records, {:.1} million records/s; with kdig {:.1} s",
            time * 1e3,
            f64::from(HOSTS) / time / 1e6,
            kdig.as_secs_f64()
        );
        seconds.push(time);
    }
    println!("of Knot's time {:.2}, of NSD's {:.2}", seconds[0] / seconds[1], seconds[0] / seconds[2]);
    memory(&server)
}

/// How long `kdig` takes for the zone.
fn kdig(address: SocketAddr) -> Result<Duration> {
    let start = Instant::now();
    let mut command = Command::new("kdig");
    command.args([&format!("@{}", address.ip()), "-p", &address.port().to_string(), ZONE, "AXFR"]);
    let spawn = |source| HarnessError::Spawn { program: "kdig".to_owned(), source };
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().map_err(spawn)?;
    if !status.success() {
        return Err(Error::Failed { what: "kdig".to_owned(), status });
    }
    Ok(start.elapsed())
}

/// Prints what our server's memory is while transfers are under way whose clients read nothing.
fn memory(server: &Server) -> Result<()> {
    let before = resident_kib(server)?;
    let mut transfers = Vec::new();
    for _ in 0..AT_ONCE {
        let mut transfer = Transfer::begin(server.address(), ZONE).map_err(reading("Zonule"))?;
        transfer.step().map_err(reading("Zonule"))?;
        transfers.push(transfer);
    }
    let during = resident_kib(server)?;
    println!(
        "resident: {before} KiB, with {AT_ONCE} transfers under way {during} KiB, {} KiB each",
        during.saturating_sub(before) / AT_ONCE as u64
    );
    Ok(())
}

/// Measures the time from a push, and from an update, to the answer of a secondary, which is Knot.
fn follow(name: &str, target: &Target) -> Result<()> {
    let sandbox = Sandbox::new("bench-follow")?;
    let (update, notify) = (Key::new(&format!("bench._update.{ZONE}"))?, Key::new(&format!("bench._notify.{ZONE}"))?);
    let transfer = Key::new(&format!("bench._transfer.{ZONE}"))?;
    let keys = [&update, &notify].map(Key::line).concat();
    let files = [(ZONE.to_owned(), zone(1, 1_000)), (format!("{ZONE}._keys"), keys)];
    let remote = Remote::with_files(sandbox.path(), files)?;
    let setup = Setup::new(Make::Knot, sandbox.path())?.takes(ZONE);
    let argument = format!("--notify={}:{},{}", target.host(), setup.address().port(), transfer.name);
    // Only what it is told makes it look at git.
    let boot =
        target.boot().argument(format!("--git-remote={}", remote.url(target.host()))).argument("--git-poll=3600");
    let boot = boot.argument(transfer.argument()).argument(argument).argument("--rate-limit=off");
    let mut server = boot.start(&sandbox)?;
    server.until_serving(ZONE)?;
    let knot = setup.from(server.address(), Some(&transfer)).start()?;
    knot.until_serial(ZONE, 1)?;

    let told = Ask::notify(ZONE).key(&notify);
    let mut current = 1;
    let mut pushes = Vec::new();
    for _ in 0..CHANGES {
        thread::sleep(PAUSE);
        current += 1;
        remote.write(ZONE, zone(current, 1_000))?;
        let start = Instant::now();
        // As a hook at the git server does after a push.
        remote.push("A change")?;
        told.send(server.address())?;
        until(&knot, current)?;
        pushes.push(start.elapsed().as_secs_f64());
    }
    let mut updates = Vec::new();
    for number in 0..CHANGES {
        thread::sleep(PAUSE);
        let operation = format!("update add u{number}.{ZONE}. 300 A 192.0.2.1");
        let start = Instant::now();
        let outcome = Client::Nsupdate.update(server.address(), Transport::Udp, Some(&update), ZONE, &[&operation])?;
        if outcome.status != "NOERROR" {
            return Err(Error::Unexpected(format!("an update is answered {}:\n{}", outcome.status, server.console())));
        }
        current += 1;
        until(&knot, current)?;
        updates.push(start.elapsed().as_secs_f64());
    }
    for (what, times) in [("git push", pushes), ("nsupdate", updates)] {
        let most = times.iter().copied().fold(0.0, f64::max);
        println!(
            "{name}: from {what} to the secondary's answer {:.0} ms, at most {:.0} ms",
            median(times) * 1e3,
            most * 1e3
        );
    }
    Ok(())
}

/// Waits until the secondary answers with this serial.
fn until(knot: &Neighbour, wanted: u32) -> Result<()> {
    let what = format!("the secondary has serial {wanted}");
    Ok(eventually(&what, || (serial(knot.address(), ZONE) == Some(wanted)).then_some(()))?)
}

fn reading(name: &str) -> impl FnOnce(std::io::Error) -> HarnessError {
    HarnessError::io(format!("a transfer from {name}"))
}

/// The text of a zone with so many addresses.
pub(super) fn zone(serial: u32, hosts: u32) -> String {
    let mut text = format!("$TTL 300\n@ SOA ns1 hostmaster {serial} 3600 60 3600000 300\n@ NS ns1\nns1 A 192.0.2.53\n");
    for number in 0..hosts {
        let [_, high, middle, low] = number.to_be_bytes();
        writeln!(text, "h{number} A 10.{high}.{middle}.{low}").expect("a String accepts all");
    }
    text
}
