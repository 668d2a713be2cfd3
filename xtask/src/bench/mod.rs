//! `cargo xtask bench`: measurements.

mod boot;
mod boots;
mod clone;
mod guest;
mod load;
mod memory;
mod qps;
mod transfers;
mod updates;

use std::{env, fs};

use zonule_harness::{Error as HarnessError, namespace};

use crate::cargo::{self, Error, Result, cargo, shown};
use crate::image::Program;

/// The benches that run by default: those that take minutes at most.
const USUAL: [&str; 9] = ["size", "answer", "boot", "clone", "memory", "records", "qps", "updates", "transfers"];

/// How long `soak` runs by default, in seconds.
const SOAK_SECONDS: u64 = 600;

/// How often `boots` boots each machine by default.
const BOOTS: u32 = 1000;

/// Runs the benches that `words` name.
pub(crate) fn bench(words: &[&str]) -> Result<()> {
    for word in if words.is_empty() { &USUAL } else { words } {
        println!("==> {word}");
        match *word {
            "answer" => shown("cargo bench", &mut cargo(&["bench", "--package", "zonule"]))?,
            "boot" => boot::boot()?,
            "boots" => boots::boots(BOOTS)?,
            "clone" => clone::clone()?,
            "memory" => memory::memory()?,
            "qps" => qps::qps()?,
            "records" => memory::per_record()?,
            "size" => size()?,
            "transfers" => transfers::transfers()?,
            "updates" => updates::updates()?,
            "soak" => memory::soak(SOAK_SECONDS)?,
            other => {
                let unknown = || Error::Usage(format!("`bench` knows no `{other}`"));
                let (name, number) = other.split_once('=').ok_or_else(unknown)?;
                let number: u32 = number.parse().map_err(|_| unknown())?;
                match name {
                    "boots" => boots::boots(number)?,
                    "soak" => memory::soak(number.into())?,
                    _ => return Err(unknown()),
                }
            }
        }
    }
    Ok(())
}

/// Runs the bench `word` again in a network namespace of its own.
fn in_namespace(word: &str) -> Result<()> {
    let program = env::current_exe().map_err(HarnessError::io("cannot find this program"))?;
    shown("the bench in its namespace", namespace::enter(&program).args(["bench", word]))
}

/// Prints the image's size.
fn size() -> Result<()> {
    let elf = cargo::image(Program::Zonule)?;
    let octets = fs::metadata(&elf).map_err(HarnessError::io(elf.display().to_string()))?.len();
    println!("{}: {octets} octets, {:.2} MiB", elf.display(), octets as f64 / f64::from(1 << 20));
    Ok(())
}

/// Returns the median of `values`.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
