//! What a machine without files lacks: an error each, never a success.

use crate::{Check, Outcome, ensure};
use std::io::{ErrorKind, Read};
use std::{env, fs, io, thread};

pub(crate) const CHECKS: &[Check] = &[
    ("files and folders are not found", files),
    ("the environment and the machine's facts", facts),
    ("standard input is at its end", input),
];

fn files() -> Outcome {
    let outcomes: [(&str, io::Result<()>); 8] = [
        ("read", fs::read("/etc/passwd").map(drop)),
        ("write", fs::write("/file", "text")),
        ("metadata", fs::metadata("/").map(drop)),
        ("read_dir", fs::read_dir("/").map(drop)),
        ("create_dir", fs::create_dir("/folder")),
        ("remove_file", fs::remove_file("/file")),
        ("rename", fs::rename("/file", "/other")),
        ("canonicalize", fs::canonicalize("/file").map(drop)),
    ];
    for (call, outcome) in outcomes {
        let kind = outcome.as_ref().err().map(io::Error::kind);
        ensure!(kind == Some(ErrorKind::NotFound), "{call} gave {outcome:?}");
    }
    ensure!(env::current_dir().is_err(), "there is a current folder");
    Ok(())
}

fn facts() -> Outcome {
    ensure!(env::var("HOME").is_err(), "there is a home");
    let count = env::vars().count();
    ensure!(count == 1, "there are {count} variables");
    let processors = thread::available_parallelism().map_err(|e| e.to_string())?.get();
    ensure!(processors == 1, "there are {processors} processors");
    Ok(())
}

fn input() -> Outcome {
    let mut text = String::new();
    let length = io::stdin().read_to_string(&mut text).map_err(|e| e.to_string())?;
    ensure!(length == 0, "{text:?} was read");
    Ok(())
}
