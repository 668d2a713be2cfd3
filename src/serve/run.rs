//! Which run of its system this process is in: another after each boot, and in each copy of a machine.

use std::fs::File;
use std::io::Read as _;

/// Where systems tell it: Linux draws the number at boot, our own platform also when the machine was resumed.
const PATH: &str = "/proc/sys/kernel/random/boot_id";

/// The number of a run, a UUID as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run([u8; 36]);

impl Run {
    /// Asks the system for the number; `None` if it has none.
    pub(super) fn current() -> Option<Self> {
        let mut number = [0; 36];
        File::open(PATH).and_then(|mut file| file.read_exact(&mut number)).ok()?;
        Some(Self(number))
    }

    /// Returns one that no system has.
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
