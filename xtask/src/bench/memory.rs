//! Measures memory: the minimum, and growth under load.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use zonule_harness::{Error as HarnessError, Machine, Peer, Remote, Sandbox, Server, Target, namespace};

use super::load;
use crate::cargo::{self, Error, Profile, Result};
use crate::image::Program;
use crate::tools::{self, BIND, DIG, DNSPERF, GIT, IP, KNOT, NSD, QEMU, SETPRIV};

/// Machine sizes to try, in MiB, largest first.
const SIZES_MIB: [u32; 9] = [64, 32, 16, 12, 8, 7, 6, 5, 4];

/// The zone that is queried and changed.
const FIRST: &str = "z0.example";

/// Finds the smallest machine that serves a thousand zones, and the memory that the Linux binary needs for them.
pub(super) fn memory() -> Result<()> {
    tools::ensure(&[QEMU, GIT, DIG, SETPRIV])?;
    let (binary, _) = (cargo::hosted(Profile::Release)?, cargo::image(Program::Zonule)?);
    let sandbox = Sandbox::new("memory")?;
    let zones = (0..1000).map(|number| (format!("z{number}.example"), small_zone(1)));
    let remote = Remote::with_files(sandbox.path(), zones)?;

    let mut server = Target::hosted(binary).boot().remote(&remote).start(&sandbox)?;
    server.until_serving(FIRST)?;
    println!("Linux binary, 1,000 zones: {} KiB resident", resident_kib(&server)?);
    drop(server);

    let mut enough = None;
    for (size, serial) in SIZES_MIB.into_iter().zip(2..) {
        let server = Target::image(Machine::Microvm)?.boot().memory_mib(size).remote(&remote).start(&sandbox)?;
        if serves_and_follows(server, &remote, serial).is_err() {
            println!("image, {size} MiB: too little");
            break;
        }
        println!("image, {size} MiB: serves 1,000 zones and follows a change");
        enough = Some(size);
    }
    let enough = enough.ok_or_else(|| Error::Unexpected(format!("{} MiB are not enough", SIZES_MIB[0])))?;
    println!("smallest machine for 1,000 zones: {enough} MiB");
    Ok(())
}

/// Number of records of the zone of [`per_record`].
const RECORDS: u32 = 1_000_000;

/// Measures the memory per record of a large zone in our server, NSD, Knot and BIND, in octets of resident memory: the
/// difference between a zone of a million A records, each of its own name, and an empty one.
///
/// # Errors
///
/// Our server needs more than NSD or Knot.
pub(super) fn per_record() -> Result<()> {
    tools::ensure(&[GIT, DIG, SETPRIV, NSD, KNOT, BIND])?;
    let binary = cargo::hosted(Profile::Release)?;
    let ours = per_record_of("Zonule", |sandbox, text| {
        let remote = Remote::with_files(sandbox.path(), [(FIRST, text)])?;
        let mut server = Target::hosted(binary.clone()).boot().remote(&remote).start(sandbox)?;
        server.until_serving(FIRST)?;
        resident_octets(server.process_id())
    })?;
    let mut theirs = Vec::new();
    for peer in Peer::ALL {
        let octets = per_record_of(&peer.to_string(), |sandbox, text| {
            let file = sandbox.path().join(FIRST);
            fs::write(&file, text).map_err(HarnessError::io(format!("cannot write {}", file.display())))?;
            let running = peer.start(sandbox.path(), &[(FIRST, file)])?;
            resident_octets(running.process_id())
        })?;
        theirs.push((peer, octets));
    }
    match theirs.into_iter().find(|(peer, octets)| *peer != Peer::Bind && *octets < ours) {
        None => Ok(()),
        Some((peer, octets)) => {
            Err(Error::Unexpected(format!("a record takes {ours:.0} octets, {octets:.0} with {peer}")))
        }
    }
}

/// Returns the memory per record; `resident` serves a zone and returns the resident octets.
fn per_record_of(name: &str, resident: impl Fn(&Sandbox, &str) -> Result<u64>) -> Result<f64> {
    let sandbox = Sandbox::new("empty")?;
    let empty = resident(&sandbox, &small_zone(1))?;
    let mut text = small_zone(1);
    for number in 0..RECORDS {
        let [_, high, middle, low] = number.to_be_bytes();
        writeln!(text, "h{number} A 10.{high}.{middle}.{low}").expect("a String accepts all");
    }
    let sandbox = Sandbox::new("million")?;
    let full = resident(&sandbox, &text)?;
    let octets = full.saturating_sub(empty) as f64 / f64::from(RECORDS);
    println!(
        "{name}: {octets:.0} octets a record ({} MiB resident, {} MiB without them)",
        full / (1 << 20),
        empty / (1 << 20)
    );
    Ok(octets)
}

/// Returns the resident memory of a process and its children; shared pages count once.
fn resident_octets(process_id: u32) -> Result<u64> {
    let read = |path: String| fs::read_to_string(&path).map_err(HarnessError::io(path));
    let rollup = read(format!("/proc/{process_id}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let own: u64 =
        line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0);
    let children = read(format!("/proc/{process_id}/task/{process_id}/children"))?;
    let children = children.split_whitespace().filter_map(|id| id.parse().ok());
    children.into_iter().try_fold(own << 10, |sum, child| Ok(sum + resident_octets(child)?))
}

/// Waits until the server serves, and serves a change.
fn serves_and_follows(mut server: Server, remote: &Remote, serial: u32) -> Result<()> {
    server.until_serving(FIRST)?;
    remote.write(FIRST, small_zone(serial))?;
    remote.push("A new serial")?;
    let wanted = format!(" {serial} ");
    server.until_dig(&[FIRST, "SOA"], |reply| reply.answer.iter().any(|record| record.contains(&wanted)))?;
    Ok(())
}

/// Puts both targets under load for `seconds`, with a push every few seconds, and prints memory before and after.
///
/// For the image it is the resident memory of QEMU: a page the guest has once touched stays resident, so growth
/// in the guest shows, and so does the emulator's own.
///
/// All of it happens in a network namespace: QEMU's user network would be measured otherwise.
pub(super) fn soak(seconds: u64) -> Result<()> {
    if !namespace::inside() {
        tools::ensure(&[QEMU, GIT, DIG, SETPRIV, DNSPERF, IP])?;
        cargo::hosted(Profile::Release)?;
        cargo::image(Program::Zonule)?;
        return super::in_namespace(&format!("soak={seconds}"));
    }
    let targets = [
        ("Linux binary", Target::hosted(cargo::hosted_path(Profile::Release))),
        ("image", Target::Image { elf: cargo::image_path(), machine: Machine::Q35 }),
    ];
    for (name, target) in targets {
        let sandbox = Sandbox::new("soak")?;
        let remote = Remote::with_files(sandbox.path(), [(load::ZONE, load::zone(1))])?;
        let questions = sandbox.path().join("questions");
        load::write_questions(&questions)?;
        let mut server = target.boot().memory_mib(128).remote(&remote).argument("--rate-limit=off").start(&sandbox)?;
        server.until_serving(load::ZONE)?;
        // Warmed up: all retained buffers are allocated.
        under_load(&server, &remote, &questions, (seconds / 10).max(10), 2)?;
        let before = resident_kib(&server)?;
        let rates = under_load(&server, &remote, &questions, seconds, 1_000)?;
        let after = resident_kib(&server)?;
        println!("{name}: {rates}; resident {before} KiB before, {after} KiB after {seconds} s");
        if !server.is_running() {
            return Err(Error::Unexpected(format!("it has ended:\n{}", server.console())));
        }
    }
    Ok(())
}

/// Half of the time by UDP and half by TCP, with a push every three seconds; the zone's serial begins at `serial`.
fn under_load(server: &Server, remote: &Remote, questions: &Path, seconds: u64, serial: u32) -> Result<String> {
    let address = server.address();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let pusher = scope.spawn(|| push_until(&done, remote, serial));
        let mut text = String::new();
        let load = ["udp", "tcp"].into_iter().try_for_each(|mode| {
            let outcome = load::dnsperf(address, questions, (seconds / 2).max(1), mode)?;
            write!(text, "{mode} {:.0} queries/s ({:.2} % lost) ", outcome.rate, outcome.lost)
                .expect("a String accepts all");
            Ok(())
        });
        done.store(true, Ordering::Relaxed);
        let pushes = pusher.join().expect("the pusher does not panic")?;
        load.map(|()| format!("{text}with {pushes} pushes"))
    })
}

/// Pushes a changed zone every three seconds; returns the number of pushes.
fn push_until(done: &AtomicBool, remote: &Remote, serial: u32) -> Result<u32> {
    let mut pushes = 0;
    while !done.load(Ordering::Relaxed) {
        remote.write(load::ZONE, load::zone(serial + pushes))?;
        remote.push("A new serial")?;
        pushes += 1;
        let next = Instant::now() + Duration::from_secs(3);
        while Instant::now() < next && !done.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(pushes)
}

/// A zone of a few records.
fn small_zone(serial: u32) -> String {
    format!(
        "$TTL 300\n@ SOA ns1 hostmaster {serial} 2h 15m 2w 5m\n@ NS ns1\n@ MX 10 mail\nns1 A 192.0.2.53\nmail A 192.0.2.25\n\
     www A 192.0.2.80\n"
    )
}

/// The resident memory of the server's process in KiB.
pub(super) fn resident_kib(server: &Server) -> Result<u64> {
    let path = format!("/proc/{}/status", server.process_id());
    let status = fs::read_to_string(&path).map_err(HarnessError::io(path.clone()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok());
    number.ok_or_else(|| Error::Unexpected(format!("no VmRSS in {path}")))
}
