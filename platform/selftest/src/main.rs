//! Tries on the bare machine what std promises, one line per check.
//!
//! With `--net` it serves and tries the network instead (see `net`).
//! With `--fault=NAME` it commits that fault instead, which the platform must report before it resets.

mod absent;
mod allocation;
mod crypto;
mod faults;
mod net;
mod protection;
mod threads;
mod times;
mod vectors;

use std::process::ExitCode;

/// What a check says when it fails.
type Outcome = Result<(), String>;

/// A check: what it shows, and how.
type Check = (&'static str, fn() -> Outcome);

/// Every check by its name, in the order they are run.
const CHECKS: &[&[Check]] = &[
    protection::CHECKS,
    allocation::CHECKS,
    threads::CHECKS,
    times::CHECKS,
    vectors::CHECKS,
    crypto::CHECKS,
    absent::CHECKS,
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    println!("selftest: arguments {arguments:?}");
    for argument in &arguments {
        if let Some(fault) = argument.strip_prefix("--fault=") {
            faults::commit(fault);
            println!("selftest: there is no fault {fault}, or it was survived");
            return ExitCode::FAILURE;
        }
    }
    if arguments.iter().any(|argument| argument == "--net") {
        return net::run(&arguments);
    }
    let only = arguments.iter().find_map(|argument| argument.strip_prefix("--only="));
    let (mut passed, mut failed) = (0, 0);
    for &(name, check) in CHECKS.iter().copied().flatten() {
        if only.is_some_and(|only| !name.contains(only)) {
            continue;
        }
        match check() {
            Ok(()) => {
                passed += 1;
                println!("ok      {name}");
            }
            Err(why) => {
                failed += 1;
                println!("FAILED  {name}: {why}");
            }
        }
    }
    println!("selftest: {passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Fails with a message unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => {
        if !$condition {
            return Err(format!($($message)*));
        }
    };
}
