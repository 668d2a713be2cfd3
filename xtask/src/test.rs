//! `cargo xtask test`: all checks that a change must pass, the fast ones first.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use zonule_harness::workspace;

use crate::cargo::{self, Error, Result, cargo, shown};
use crate::image::{self, Program};
use crate::tools::{self, CXX};
use crate::{fuzz, nested, nettest, selftest};

/// How long each fuzz target runs: enough to try every seed and similar inputs.
const FUZZ_SECONDS: u64 = 15;

/// How many tests with servers run at once for each processor: waiting for a server takes no processor time.
const TESTS_PER_PROCESSOR: usize = 2;

/// The steps done so far.
#[derive(Default)]
struct Report {
    steps: Vec<Step>,
    counts: Counts,
}

/// A step, how long it took and whether it passed.
struct Step {
    name: &'static str,
    took: Duration,
    passed: bool,
}

/// The totals of cargo's summary lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Runs all steps. A failure does not prevent the other steps.
pub(crate) fn test(words: &[&str]) -> Result<()> {
    let hosted_only = match words {
        [] => false,
        ["--hosted"] => true,
        _ => return Err(Error::Usage(format!("`test` knows no `{}`", words.join(" ")))),
    };
    tools::ensure(tools::TESTS)?;
    let start = Instant::now();
    let mut report = Report::default();
    let deny = CargoDeny::begin();
    steps(&mut report, hosted_only);
    report.step("dependencies", |_| dependencies(&deny?.finish()?));
    report.print(start.elapsed());
    let failed = report.failed();
    if failed.is_empty() { Ok(()) } else { Err(Error::Unexpected(format!("failed: {}", failed.join(", ")))) }
}

/// Runs the fuzz targets, for the seconds given in `words`.
pub(crate) fn fuzz(words: &[&str]) -> Result<()> {
    let seconds = match words {
        [] => Some(60),
        [seconds] => seconds.parse().ok(),
        _ => None,
    };
    let seconds = seconds.ok_or_else(|| Error::Usage(format!("`fuzz` knows no `{}`", words.join(" "))))?;
    tools::ensure(&[CXX])?;
    fuzz::run(seconds).map_err(Error::Unexpected)
}

fn steps(report: &mut Report, hosted_only: bool) {
    report.step("format", |_| {
        shown("cargo fmt", &mut cargo(&["fmt", "--all", "--check"]))?;
        // A separate workspace.
        shown("cargo fmt of fuzz/", &mut cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))
    });
    report.step("lints", |_| shown("clippy", &mut cargo(&["clippy", "--all-targets", "--", "--deny", "warnings"])));
    report.step("documents", |_| {
        let mut doc = cargo(&["doc", "--no-deps", "--document-private-items"]);
        shown("cargo doc", doc.env("RUSTDOCFLAGS", "--deny warnings"))
    });
    report.step("unit and property tests", |counts| counted(counts, &mut cargo(&["test", "--lib", "--bins"])));
    report.step("platform tests on the host", |counts| {
        counted(counts, &mut cargo(&["test", "--package", "zonule-platform", "--lib"]))
    });
    report.step("fuzz", |_| fuzz::run(FUZZ_SECONDS).map_err(Error::Unexpected));
    if hosted_only {
        report.step("end to end", |counts| {
            counted(counts, end_to_end().args(["--", "--skip", "image", "--skip", "machines"]))
        });
        return;
    }
    report.step("lints of the image", |_| image::clippy().map_err(Error::Unexpected));
    report.step("std on the machine", |_| {
        let elf = cargo::image(Program::Selftest)?;
        selftest::run(&elf).map_err(Error::Unexpected)
    });
    report.step("network on the machine", |_| {
        let elf = cargo::image(Program::Selftest)?;
        nettest::run(&elf).map_err(Error::Unexpected)
    });
    if report.step("image", |_| cargo::image(Program::Zonule).map(drop)) {
        report.step("nested KVM", |counts| {
            let (tally, outcome) = nested::run(&[]);
            counts.passed += tally.passed;
            counts.failed += tally.failed;
            outcome
        });
        report.step("end to end", |counts| counted(counts, &mut end_to_end()));
    }
}

/// The tests that start servers.
fn end_to_end() -> Command {
    let mut command = cargo(&["test", "--no-fail-fast", "--test", "*"]);
    // An explicit setting takes precedence.
    if env::var_os("RUST_TEST_THREADS").is_none() {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        command.env("RUST_TEST_THREADS", (processors * TESTS_PER_PROCESSOR).to_string());
    }
    command
}

impl Report {
    /// Runs a step and returns whether it passed.
    fn step(&mut self, name: &'static str, action: impl FnOnce(&mut Counts) -> Result<()>) -> bool {
        println!("\n==> {name}");
        let start = Instant::now();
        let outcome = action(&mut self.counts);
        if let Err(error) = &outcome {
            println!("{name}: {error}");
        }
        self.steps.push(Step { name, took: start.elapsed(), passed: outcome.is_ok() });
        outcome.is_ok()
    }

    /// The names of the steps that failed.
    fn failed(&self) -> Vec<&'static str> {
        self.steps.iter().filter(|step| !step.passed).map(|step| step.name).collect()
    }

    /// Prints how long each step took and, in the form of cargo's summary, the number of tests.
    fn print(&self, total: Duration) {
        println!();
        for Step { name, took, passed } in &self.steps {
            println!("{:7.1} s  {name}{}", took.as_secs_f32(), if *passed { "" } else { ": FAILED" });
        }
        let Counts { passed, failed, ignored } = self.counts;
        println!(
            "\ntest result: {}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out; \
             finished in {:.2}s",
            if self.failed().is_empty() { "ok" } else { "FAILED" },
            total.as_secs_f32()
        );
    }
}

impl Counts {
    /// Adds the numbers of one of cargo's lines `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let (_, numbers) = result.split_once(". ").unwrap_or_default();
        for part in numbers.split("; ") {
            match part.split_once(' ').map(|(number, what)| (number.parse::<u64>(), what)) {
                Some((Ok(number), "passed")) => self.passed += number,
                Some((Ok(number), "failed")) => self.failed += number,
                Some((Ok(number), "ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// Runs a test program with its output shown and its tests counted.
fn counted(counts: &mut Counts, command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source| zonule_harness::Error::Spawn { program, source };
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
            println!("{line}");
            counts.add(&line);
        }
    }
    let status = child.wait().map_err(zonule_harness::Error::io("waiting for cargo test"))?;
    if status.success() { Ok(()) } else { Err(Error::Failed { what: "cargo test".to_owned(), status }) }
}

/// Checks licences, sources and bans of all dependencies, and known vulnerabilities if the list is available.
fn dependencies(deny: &Path) -> Result<()> {
    let check = |arguments: &[&str]| {
        // With a limit: a network that drops packets must not block the tests.
        let mut command = Command::new("timeout");
        command.current_dir(workspace()).arg("120").arg(deny).arg("--workspace").args(arguments);
        command
    };
    shown("cargo deny", &mut check(&["--offline", "check", "bans", "licenses", "sources"]))?;
    // The list of vulnerabilities is a git repository on the network, which a build machine may not reach.
    let fetched = check(&["fetch", "db"]).output().is_ok_and(|output| output.status.success());
    if fetched {
        shown("cargo deny", &mut check(&["--offline", "check", "advisories"]))
    } else {
        println!("the advisory database cannot be reached: known vulnerabilities are not checked");
        Ok(())
    }
}

/// cargo-deny: the installed one, else one built once below `target/`.
enum CargoDeny {
    /// It is installed.
    Found(PathBuf),
    /// It is being built.
    Building { child: Child, log: PathBuf, program: PathBuf },
}

impl CargoDeny {
    /// Finds it, or starts to build it.
    ///
    /// It is several times as large as this project, so it is built in parallel with the other steps, in the time they
    /// leave idle, which is considerable: servers and machines mostly wait.
    fn begin() -> Result<CargoDeny> {
        if tools::is_installed("cargo-deny") {
            return Ok(CargoDeny::Found(PathBuf::from("cargo-deny")));
        }
        let root = workspace().join("target/tools");
        let program = root.join("bin/cargo-deny");
        if program.is_file() {
            return Ok(CargoDeny::Found(program));
        }
        let log = root.join("cargo-deny.log");
        let written = zonule_harness::Error::io(format!("cannot write {}", log.display()));
        let output = fs::create_dir_all(&root).and_then(|()| File::create(&log));
        let (output, second) = output.and_then(|output| Ok((output.try_clone()?, output))).map_err(written)?;
        // Unoptimised: building it takes longer than running it.
        let install = cargo(&["install", "--locked", "--debug", "cargo-deny", "--root"]);
        let mut command = Command::new("nice");
        command
            .current_dir(workspace())
            .args(["-n", "19"])
            .arg(install.get_program())
            .args(install.get_args())
            .arg(&root);
        command.env("CARGO_PROFILE_DEV_DEBUG", "0");
        let child = command.stdin(Stdio::null()).stdout(output).stderr(second).spawn();
        let failed = |source| zonule_harness::Error::Spawn { program: "nice".to_owned(), source };
        Ok(CargoDeny::Building { child: child.map_err(failed)?, log, program })
    }

    /// Waits until it is installed, and returns its path.
    fn finish(mut self) -> Result<PathBuf> {
        match &mut self {
            CargoDeny::Found(program) => Ok(std::mem::take(program)),
            CargoDeny::Building { child, log, program } => {
                let status = child.wait().map_err(zonule_harness::Error::io("waiting for cargo install"))?;
                if status.success() {
                    return Ok(std::mem::take(program));
                }
                println!("{}", fs::read_to_string(log).unwrap_or_default());
                Err(Error::Failed { what: "installing cargo-deny".to_owned(), status })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_cargo_prints() {
        let mut counts = Counts::default();
        counts.add("running 3 tests");
        counts.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s");
        counts.add("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.0s");
        assert_eq!(counts, Counts { passed: 4, failed: 2, ignored: 1 });
    }
}
