//! `fuzz`: builds the fuzz targets on stable Rust and runs each for a while.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use zonule_harness::workspace;

use crate::cargo::cargo;

const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// The compiler flags that count edges and comparisons for libFuzzer.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// The targets, each with the maximum useful input length in octets.
const TARGETS: &[(&str, u32)] = &[
    ("incoming", 2048),
    ("query", 1024),
    ("tsig", 1024),
    ("update", 1024),
    ("edit", 4096),
    ("transfer", 1024),
    ("zone_file", 4096),
];

/// Builds the targets and runs each for `seconds`.
///
/// # Errors
///
/// A build fails, or a target finds a fault; the input is saved in `fuzz/artifacts/`.
pub(crate) fn run(seconds: u64) -> Result<(), String> {
    let fuzz = workspace().join("fuzz");
    // The target is named so that the flags spare build scripts and macros.
    let mut build = cargo(&["build", "--release", "--target", TRIPLE]);
    build.current_dir(&fuzz).env("RUSTFLAGS", COVERAGE);
    succeed(&mut build)?;
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((name, longest)) = TARGETS.get(next.fetch_add(1, Ordering::Relaxed)) {
            try_out(&fuzz, name, *longest, seconds)?;
        }
        Ok(())
    };
    // As many run at once as there are processors; a fault in one does not stop the others.
    let workers = thread::available_parallelism().map_or(1, usize::from).min(TARGETS.len());
    let outcomes: Vec<Result<(), String>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Err("a thread panicked".into()))).collect()
    });
    let found: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
}

/// Runs one target; prints all its output if it found a fault, otherwise the last line.
fn try_out(fuzz: &Path, name: &str, longest: u32, seconds: u64) -> Result<(), String> {
    for directory in ["corpus", "artifacts"] {
        let path = fuzz.join(directory).join(name);
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let mut target = Command::new(fuzz.join("target").join(TRIPLE).join("release").join(name));
    target.current_dir(fuzz);
    target.args([format!("-max_total_time={seconds}"), format!("-max_len={longest}"), "-timeout=5".into()]);
    target.args([format!("-artifact_prefix=artifacts/{name}/"), format!("corpus/{name}"), format!("seeds/{name}")]);
    let output = target.output().map_err(|error| format!("{target:?}: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        println!("fuzz: {name}: {}", printed.trim_end().lines().next_back().unwrap_or_default());
        return Ok(());
    }
    println!("{printed}");
    Err(format!("{target:?}: {}", output.status))
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}
