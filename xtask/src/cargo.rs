//! Runs cargo, and defines the errors of tasks.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use zonule_harness::workspace;

use crate::image;

/// Shorthand for results of tasks.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a task failed.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line is invalid.
    Usage(String),
    /// Programs are missing and could not be installed.
    Tools {
        /// Their names.
        programs: Vec<&'static str>,
        /// The command that installs them, if the system has a known package manager.
        command: Option<String>,
    },
    /// A program failed and has printed why.
    Failed {
        /// Its task.
        what: String,
        /// Its exit status.
        status: ExitStatus,
    },
    /// An error of the harness.
    Harness(zonule_harness::Error),
    /// A measurement or a check failed.
    Unexpected(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(reason) | Error::Unexpected(reason) => f.write_str(reason),
            Error::Tools { programs, command } => {
                write!(f, "needed and not installed: {}", programs.join(", "))?;
                match command {
                    Some(command) => write!(f, "\n\nInstall with:\n\n    {command}\n"),
                    None => f.write_str("; install them with this system's package manager"),
                }
            }
            Error::Failed { what, status } => write!(f, "{what} failed ({status})"),
            Error::Harness(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl From<zonule_harness::Error> for Error {
    fn from(error: zonule_harness::Error) -> Error {
        Error::Harness(error)
    }
}

/// A cargo command in the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    // Set by the cargo that started this program.
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(workspace()).args(arguments);
    command
}

/// Runs `command` with its output shown; `what` names it in the error.
pub(crate) fn shown(what: &str, command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|source| zonule_harness::Error::Spawn { program, source })?;
    if status.success() { Ok(()) } else { Err(Error::Failed { what: what.to_owned(), status }) }
}

/// The profile of the Linux binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Unoptimised, as for the tests.
    Development,
    /// Optimised, as for a release.
    Release,
}

/// Builds the Linux binary and returns its path.
pub(crate) fn hosted(profile: Profile) -> Result<PathBuf> {
    let name = match profile {
        Profile::Development => "dev",
        Profile::Release => "release",
    };
    let mut build = cargo(&["build", "--profile", name, "--package", "zonule", "--bin", "zonule"]);
    shown("building the Linux binary", &mut build)?;
    Ok(hosted_path(profile))
}

/// Returns the path that [`hosted`] builds to.
pub(crate) fn hosted_path(profile: Profile) -> PathBuf {
    let place = match profile {
        Profile::Development => "debug",
        Profile::Release => "release",
    };
    workspace().join("target").join(place).join("zonule")
}

/// Builds a bootable image and returns its path.
pub(crate) fn image(program: image::Program) -> Result<PathBuf> {
    image::build(program).map_err(Error::Unexpected)
}

/// Returns the path that [`image()`] builds to.
pub(crate) fn image_path() -> PathBuf {
    workspace().join("target/zonule.elf")
}
