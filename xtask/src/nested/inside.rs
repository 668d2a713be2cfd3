//! The part that runs in L1: one job, whose checks are reported line by line.

use std::env;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::path::Path;

use zonule_harness::{Error as HarnessError, Remote, Sandbox, namespace};

use super::report::Report;
use super::{life, scenarios};
use crate::cargo::{Error, Result};
use crate::variants::{Variant, console, qemu_failed, zone};
use crate::{nettest, selftest};

/// How many lines of a console a failed check shows.
const CONSOLE_LINES: usize = 100;

/// Runs the job that the environment names. Any failure outside of a check is a fault of L1.
pub(crate) fn inside() {
    Report::begin();
    match job() {
        Ok(()) => Report::end(),
        Err(error) => Report::fault(&error),
    }
}

fn job() -> Result<()> {
    let device = "/dev/kvm";
    OpenOptions::new().read(true).write(true).open(device).map_err(HarnessError::io(device))?;
    namespace::prepare()?;
    let variable = |name: &str| env::var(name).map_err(|_| Error::Unexpected(format!("{name} is not set")));
    let job = variable("ZONULE_JOB")?;
    let (kind, machine) = job.split_once('/').unwrap_or((&job, ""));
    let variant = || Variant::named(machine);
    match kind {
        "boots" => {
            let rounds = variable("ZONULE_ROUNDS")?;
            let rounds =
                rounds.parse().map_err(|_| Error::Unexpected(format!("{rounds} is not a number of rounds")))?;
            boots(variant()?, rounds)
        }
        "life" => life::life(variant()?),
        "processors" => life::processors(variant()?),
        "scenarios" => scenarios::scenarios(variant()?),
        "selftest" => text(&job, || selftest::run(Path::new("target/selftest.elf"))),
        "nettest" => text(&job, || nettest::run_in_guest(Path::new("target/selftest.elf"))),
        _ => Err(Error::Unexpected(format!("there is no job {job}"))),
    }
}

/// Boots the image again and again, each time from nothing.
fn boots(variant: &Variant, rounds: u32) -> Result<()> {
    let sandbox = Sandbox::new("boots")?;
    let remote = Remote::with_files(sandbox.path(), [("example.org", zone(""))])?;
    for round in 1..=rounds {
        let log = sandbox.path().join("console.log");
        check(&format!("boot {round} of {rounds}"), &log, || variant.boots(&remote, &sandbox))?;
    }
    Ok(())
}

/// Runs one check on a server whose console is in the file `log`, reports the result, and returns whether it passed.
///
/// # Errors
///
/// QEMU could not start the machine, which says nothing about the image.
pub(super) fn check(name: &str, log: &Path, body: impl FnOnce() -> Result<()>) -> Result<bool> {
    let Err(error) = body() else {
        Report::passed(name);
        return Ok(true);
    };
    let console = console(log);
    if qemu_failed(&console) {
        return Err(Error::Unexpected(format!("QEMU did not start the machine: {}", console.trim())));
    }
    let lines: Vec<&str> = console.lines().collect();
    let mut details = format!("{error}\nthe console:");
    for line in &lines[lines.len().saturating_sub(CONSOLE_LINES)..] {
        write!(details, "\n| {line}").expect("a String accepts all");
    }
    Report::failed(name, &details);
    Ok(false)
}

/// Runs a test of the platform that brings its own messages.
fn text(name: &str, body: impl FnOnce() -> std::result::Result<(), String>) -> Result<()> {
    match body() {
        Ok(()) => Report::passed(name),
        Err(error) if error.starts_with(selftest::QEMU_FAILED) => return Err(Error::Unexpected(error)),
        Err(error) => Report::failed(name, &error),
    }
    Ok(())
}
