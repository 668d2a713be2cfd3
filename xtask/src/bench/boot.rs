//! Measures the time from the image's entry to serving, by its own clock.

use zonule_harness::{Machine, Remote, Sandbox, Target, workspace};

use super::median;
use crate::cargo::{self, Error, Result};
use crate::image::Program;
use crate::tools::{self, DIG, GIT, QEMU, SETPRIV};

/// How often each machine boots.
const ROUNDS: usize = 5;

/// The milestones on the console, each followed by `after N ms`.
const MILESTONES: [&str; 3] = ["network up", "zones loaded", "first answer"];

/// Boots every machine several times with the example zones and prints the medians.
pub(super) fn boot() -> Result<()> {
    tools::ensure(&[QEMU, GIT, DIG, SETPRIV])?;
    cargo::image(Program::Zonule)?;
    for machine in Machine::ALL {
        let mut times = MILESTONES.map(|_| Vec::new());
        for _ in 0..ROUNDS {
            let console = one(machine)?;
            for (times, milestone) in times.iter_mut().zip(MILESTONES) {
                let time = milliseconds(&console, milestone);
                times.push(time.ok_or_else(|| Error::Unexpected(format!("no `{milestone}` in:\n{console}")))?);
            }
        }
        let medians = times.map(median);
        let parts: Vec<String> =
            MILESTONES.iter().zip(medians).map(|(milestone, time)| format!("{milestone} {time} ms")).collect();
        println!("{:15} {}", machine.to_string(), parts.join(", "));
    }
    Ok(())
}

/// Boots once and returns the console.
fn one(machine: Machine) -> Result<String> {
    let sandbox = Sandbox::new("boot")?;
    let remote = Remote::with_directory(sandbox.path(), &workspace().join("zones-example"))?;
    let mut server = Target::image(machine)?.boot().memory_mib(128).remote(&remote).start(&sandbox)?;
    server.until_serving("example.org")?;
    // The answer may arrive before the console line of its milestone.
    for milestone in MILESTONES {
        server.until_console(milestone)?;
    }
    Ok(server.console())
}

/// Returns the number in the first `… after N ms` of a line that contains `milestone`.
fn milliseconds(console: &str, milestone: &str) -> Option<f64> {
    let line = console.lines().find(|line| line.contains(milestone) && line.contains(" after "))?;
    line.split_once(" after ")?.1.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_milestones() {
        let console =
            "  0.046 INFO serve: listening on 0.0.0.0:53 after 46 ms\n0.2 zones loaded after 212 ms: 5 zones\n";
        assert_eq!(milliseconds(console, "zones loaded"), Some(212.0));
        assert_eq!(milliseconds(console, "first answer"), None);
    }
}
