//! Measures clones and a transfer over slow links: the cost of delay and lost frames.
//!
//! Each target in turn is connected to its git server by a link of a given delay, in a network namespace. The
//! fetched data is in a subdirectory without zones and cannot be compressed, so the link alone is measured.

use std::fs;
use std::io::Read as _;
use std::time::{Duration, Instant};

use zonule_harness::link::{Conditions, Link};
use zonule_harness::transfer::drain;
use zonule_harness::{Error as HarnessError, Machine, Remote, Sandbox, Server, Target, namespace};

use crate::cargo::{self, Error, Profile, Result};
use crate::image::Program;
use crate::tools::{self, DIG, GIT, IP, QEMU, SETPRIV, SOCAT};

/// Number of octets fetched.
const OCTETS: u64 = 20_000_000;

/// Octets per file.
const FILE: u64 = 1_000_000;

/// The zone that is transferred, and the number of its addresses.
const ZONE: &str = "bench.example";
const HOSTS: u32 = 200_000;

/// The links: milliseconds of round trip, and frames lost of a thousand.
const WAYS: [(u64, u32); 4] = [(0, 0), (10, 0), (50, 0), (50, 20)];

/// Measures both targets over all links and prints the times.
pub(super) fn clone() -> Result<()> {
    if !namespace::inside() {
        tools::ensure(&[QEMU, GIT, DIG, SETPRIV, IP, SOCAT])?;
        cargo::hosted(Profile::Release)?;
        cargo::image(Program::Zonule)?;
        return super::in_namespace("clone");
    }
    let sandbox = Sandbox::new("bench-clone")?;
    let remote = Remote::with_files(sandbox.path(), [(ZONE, super::transfers::zone(1, HOSTS))])?;
    fill(&remote)?;
    let targets = [
        ("Linux binary", Target::hosted(cargo::hosted_path(Profile::Release))),
        ("image", Target::Image { elf: cargo::image_path(), machine: Machine::Q35 }),
    ];
    for (round_trip, lost_per_mille) in WAYS {
        let mut times = Vec::new();
        for (name, target) in &targets {
            let conditions = Conditions { round_trip: Duration::from_millis(round_trip), lost_per_mille };
            let (fetched, transferred) = one(target, conditions, &sandbox, &remote)?;
            println!(
                "{name}, {round_trip} ms away, {:.1} % lost: clone {fetched:.2} s, {:.2} MB/s; transfer {transferred:.2} s",
                f64::from(lost_per_mille) / 10.0,
                OCTETS as f64 / 1e6 / fetched,
            );
            times.push((fetched, transferred));
        }
        if let [(fetched, transferred), image] = times[..] {
            println!("image against Linux: clone {:.2}, transfer {:.2}", image.0 / fetched, image.1 / transferred);
        }
    }
    Ok(())
}

/// Commits the data to fetch.
fn fill(remote: &Remote) -> Result<()> {
    let directory = remote.clone_path().join("data");
    let failed = || HarnessError::io(format!("cannot fill {}", directory.display()));
    fs::create_dir_all(&directory).map_err(failed())?;
    let mut random = fs::File::open("/dev/urandom").map_err(failed())?;
    for number in 0..OCTETS / FILE {
        let mut octets = vec![0; FILE as usize];
        random.read_exact(&mut octets).map_err(failed())?;
        fs::write(directory.join(number.to_string()), octets).map_err(failed())?;
    }
    remote.push("Fill")?;
    // One pack, so that git reuses it instead of searching for deltas each time.
    remote.git_bare(&["repack", "-a", "-d", "-q"])?;
    Ok(())
}

/// Measures `target` under `conditions`: the seconds of a clone and of a transfer.
fn one(target: &Target, conditions: Conditions, sandbox: &Sandbox, remote: &Remote) -> Result<(f64, f64)> {
    let link = Link::lay(sandbox.path(), target, conditions)?;
    let boot = target.boot().over(&link).remote(remote).argument("--rate-limit=off");
    let mut server = boot.argument(format!("--allow-transfer={}", link.host())).start(sandbox)?;
    server.until_serving(ZONE)?;
    let fetched = (after(&server, "zones loaded after ")? - after(&server, "listening on ")?) as f64 / 1e3;
    let start = Instant::now();
    drain(server.address(), ZONE, u64::from(HOSTS) + 4).map_err(HarnessError::io("a transfer"))?;
    Ok((fetched, start.elapsed().as_secs_f64()))
}

/// The milliseconds since the start that a console line reports.
fn after(server: &Server, line: &str) -> Result<u64> {
    let console = server.console();
    let told = console.lines().find_map(|text| text.split_once(line)).and_then(|(_, rest)| {
        let words: Vec<&str> = rest.split_whitespace().collect();
        words.windows(2).find(|pair| pair[1].starts_with("ms")).and_then(|pair| pair[0].parse().ok())
    });
    told.ok_or_else(|| Error::Unexpected(format!("the console does not say `{line}… ms`:\n{console}")))
}
