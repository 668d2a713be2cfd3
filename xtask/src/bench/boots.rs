//! Counts how many of very many boots end in an answer, in software emulation and on KVM.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use zonule_harness::{Error as HarnessError, Remote, Sandbox, workspace};

use crate::cargo::{self, Error, Result};
use crate::image::Program;
use crate::linux::{make_directory, write};
use crate::nested;
use crate::tools::{self, DIG, GIT, QEMU, SETPRIV};
use crate::variants::{VARIANTS, Variant, console, zone};

/// Number of machines that boot at once.
const AT_ONCE: usize = 2;

/// Number of boots that share a guest on KVM.
const SHARE: u32 = 100;

/// Boots each machine `rounds` times in each way and prints how many boots answered. The console of every boot that did
/// not is left in `target/boots/`.
pub(super) fn boots(rounds: u32) -> Result<()> {
    tools::ensure(&[QEMU, GIT, DIG, SETPRIV])?;
    cargo::image(Program::Zonule)?;
    let place = workspace().join("target/boots");
    if place.exists() {
        fs::remove_dir_all(&place).map_err(HarnessError::io(place.display().to_string()))?;
    }
    make_directory(&place)?;
    let mut failed = 0;
    for variant in &VARIANTS {
        let answered = emulated(variant, rounds, &place)?;
        println!("{}, software emulation: answered {answered} of {rounds}", variant.name);
        failed += rounds - answered;
    }
    failed += on_kvm(rounds, &place)?;
    if failed == 0 {
        return Ok(());
    }
    Err(Error::Unexpected(format!("{failed} boots did not answer; their consoles are in {}", place.display())))
}

/// Boots `variant` in software emulation and returns how many boots answered.
fn emulated(variant: &Variant, rounds: u32, place: &Path) -> Result<u32> {
    let (next, answered) = (AtomicU32::new(1), AtomicU32::new(0));
    let work = || -> Result<()> {
        let sandbox = Sandbox::new("boots")?;
        let remote = Remote::with_files(sandbox.path(), [("example.org", zone(""))])?;
        loop {
            let round = next.fetch_add(1, Ordering::Relaxed);
            if round > rounds {
                return Ok(());
            }
            match variant.boots(&remote, &sandbox) {
                Ok(()) => {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    let console = console(&sandbox.path().join("console.log"));
                    let path = place.join(format!("emulation-{}-{round}.log", variant.name));
                    write(&path, &format!("{error}\n{console}"))?;
                }
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err(Error::Unexpected("a thread panicked".to_owned())))
        })
    })?;
    Ok(answered.into_inner())
}

/// Boots all machines on KVM, prints how many boots answered, and returns how many did not.
fn on_kvm(rounds: u32, place: &Path) -> Result<u32> {
    let shares = |_| (0..rounds).step_by(SHARE as usize).map(|begun| SHARE.min(rounds - begun));
    let jobs: Vec<(String, u32)> = VARIANTS
        .iter()
        .flat_map(|variant| shares(variant).map(|share| (format!("boots/{}", variant.name), share)))
        .collect();
    let mut done = nested::run_jobs(&jobs, "boots")?;
    let mut failed = 0;
    let mut faults = String::new();
    for variant in &VARIANTS {
        let own = format!("boots/{}", variant.name);
        let (mut answered, mut booted) = (0, 0);
        for (_, outcome) in done.extract_if(.., |(job, _)| *job == own) {
            match outcome {
                Ok(checks) => {
                    for check in checks {
                        booted += 1;
                        if check.passed {
                            answered += 1;
                            continue;
                        }
                        let path = place.join(format!("kvm-{}-{booted}.log", variant.name));
                        write(&path, &check.details)?;
                    }
                }
                Err(error) => writeln!(faults, "{error}").expect("a String accepts all"),
            }
        }
        println!("{}, nested KVM: answered {answered} of {booted}", variant.name);
        failed += booted - answered;
    }
    if faults.is_empty() { Ok(failed) } else { Err(Error::Unexpected(faults)) }
}
