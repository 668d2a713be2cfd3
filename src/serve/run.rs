//! The run of the system that this process belongs to: each boot, and each copy of a machine, is a different run.

use std::fs::File;
use std::io::Read as _;

/// Where the system reports it: Linux draws the number at boot; our own platform also draws one when the machine is
/// resumed.
const PATH: &str = "/proc/sys/kernel/random/boot_id";

/// The number of a run, a UUID as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run([u8; 36]);

impl Run {
    /// Reads the number from the system; returns `None` if it has none.
    pub(super) fn current() -> Option<Self> {
        let mut number = [0; 36];
        File::open(PATH).and_then(|mut file| file.read_exact(&mut number)).ok()?;
        Some(Self(number))
    }

    /// Returns a number that no system has.
    #[cfg(test)]
    pub(super) fn other() -> Self {
        Self([b'-'; 36])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_the_same_while_it_lasts() {
        assert!(Run::current().is_some(), "Linux has the file");
        assert_eq!(Run::current(), Run::current());
    }
}
