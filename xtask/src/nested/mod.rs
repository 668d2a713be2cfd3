//! `cargo xtask nested`: the image on KVM inside a Linux guest, which needs no hardware support.
//!
//! Every job has a guest (L1) of its own, and two of them run at once. A fault of L1 does not count against the image:
//! the job is repeated once in a fresh guest, and if that fails too, the report blames L1.

mod guest;
mod inside;
mod life;
mod report;
mod scenarios;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;
use std::{env, fs};

use zonule_harness::Error as HarnessError;
use zonule_harness::workspace;

pub(crate) use inside::inside;
pub(crate) use report::Check;

use crate::cargo::{self, Error, Result};
use crate::image::Program;
use crate::tools::{self, BUSYBOX, CPIO, DIG, GIT, IP, KMOD, NSUPDATE, QEMU, SETPRIV};
use crate::variants::VARIANTS;

/// How often each machine boots: a few boots would not show a race.
const BOOTS: u32 = 5;

/// How many guests run at once. Each has one processor.
const AT_ONCE: usize = 2;

/// How often a job may fail for reasons other than the image.
const ATTEMPTS: u32 = 2;

/// The jobs other than the boots; the longest come first.
const JOBS: [&str; 9] = [
    "nettest",
    "selftest",
    "scenarios/q35-modern",
    "life/q35-modern",
    "life/pc-modern",
    "life/microvm-modern",
    "life/microvm-noacpi-modern",
    "processors/q35-modern",
    "processors/microvm-legacy",
];

/// The numbers of checks by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Number of checks that the image passed.
    pub(crate) passed: u64,
    /// Number of checks that it failed.
    pub(crate) failed: u64,
}

/// Runs the jobs whose name contains one of `words`, or all of them.
pub(crate) fn nested(words: &[&str]) -> Result<()> {
    let (tally, outcome) = run(words);
    println!("nested KVM: {} checks passed, {} failed", tally.passed, tally.failed);
    outcome
}

/// Does what [`nested`] does, and returns the number of checks as well.
pub(crate) fn run(words: &[&str]) -> (Tally, Result<()>) {
    let mut tally = Tally::default();
    let outcome = all(words, &mut tally);
    (tally, outcome)
}

fn all(words: &[&str], tally: &mut Tally) -> Result<()> {
    let boots = VARIANTS.iter().map(|variant| format!("boots/{}", variant.name));
    let mut jobs: Vec<String> = JOBS.iter().map(|job| (*job).to_owned()).chain(boots).collect();
    jobs.retain(|job| words.is_empty() || words.iter().any(|word| job.contains(word)));
    if jobs.is_empty() {
        return Err(Error::Usage(format!("no job of `nested` is called {}", words.join(" or "))));
    }
    let jobs: Vec<(String, u32)> = jobs.into_iter().map(|job| (job, BOOTS)).collect();
    let mut failed = Vec::new();
    let mut faults = Vec::new();
    for (job, outcome) in run_jobs(&jobs, "nested")? {
        match outcome {
            Ok(checks) => {
                for check in checks {
                    if check.passed {
                        tally.passed += 1;
                    } else {
                        tally.failed += 1;
                        failed.push(format!("{job}: {}:\n{}", check.name, check.details));
                    }
                }
            }
            Err(error) => faults.push(error.to_string()),
        }
    }
    if failed.is_empty() && faults.is_empty() {
        return Ok(());
    }
    let failed = failed.iter().map(|text| format!("the image failed {text}"));
    Err(Error::Unexpected(failed.chain(faults).collect::<Vec<_>>().join("\n")))
}

/// A job and its result.
pub(crate) type Done = (String, Result<Vec<Check>>);

/// Runs `jobs`, with the number of boots for each, in guests of their own, and returns the result of each.
pub(crate) fn run_jobs(jobs: &[(String, u32)], name: &str) -> Result<Vec<Done>> {
    tools::ensure(&[QEMU, GIT, DIG, SETPRIV, NSUPDATE, IP, BUSYBOX, CPIO, KMOD])?;
    let selftest = cargo::image(Program::Selftest)?;
    let elf = match env::var_os("ZONULE_IMAGE") {
        Some(path) => PathBuf::from(path),
        None => cargo::image(Program::Zonule)?,
    };
    // One directory, so that the files of a failure remain until the next run.
    let directory = workspace().join("target/nested").join(name);
    if directory.exists() {
        fs::remove_dir_all(&directory).map_err(HarnessError::io(directory.display().to_string()))?;
    }
    let files = guest::build(&directory, &elf, &selftest)?;
    let (next, done) = (Mutex::new(jobs.iter().enumerate()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    // In a separate statement, so that the lock is not held while the job runs.
                    let job = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((number, (job, rounds))) = job else { return };
                    let outcome = one(&files, &directory.join(format!("{number}")), job, *rounds);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((job.clone(), outcome));
                }
            });
        }
    });
    Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Runs a job, again if L1 is at fault, and returns its checks.
fn one(files: &guest::Files, directory: &Path, job: &str, rounds: u32) -> Result<Vec<Check>> {
    let mut last = String::new();
    let start = Instant::now();
    for attempt in 1..=ATTEMPTS {
        let outcome = guest::run_job(files, &directory.join(format!("attempt-{attempt}")), job, rounds)?;
        let Some(fault) = outcome.fault else {
            let checks = outcome.report.checks;
            let passed = checks.iter().filter(|check| check.passed).count();
            println!("{job}: {passed} of {} checks passed in {:.1} s", checks.len(), start.elapsed().as_secs_f32());
            return Ok(checks);
        };
        println!("{}", guest::blame_guest(job, &fault));
        last = fault;
    }
    Err(guest::blame_guest(job, &last))
}
