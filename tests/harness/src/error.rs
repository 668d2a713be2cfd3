//! Errors of starting and controlling programs.

use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io};

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What failed, where, and how to fix it.
pub enum Error {
    /// A program could not be started at all.
    Spawn {
        /// The program's name.
        program: String,
        /// The system's error.
        source: io::Error,
    },
    /// A program ran and failed.
    Failed {
        /// The command line.
        command: String,
        /// Everything it printed.
        output: String,
    },
    /// A file or a socket could not be used.
    Io {
        /// What was attempted, with the path or address.
        what: String,
        /// The system's error.
        source: io::Error,
    },
    /// A file that should have been built is missing.
    Missing {
        /// The file.
        path: PathBuf,
        /// How to build it.
        hint: &'static str,
    },
    /// A server ended although it should be serving.
    Ended {
        /// The server, and how it ended.
        what: String,
    },
    /// Something did not happen in time.
    TooLate {
        /// What was waited for.
        what: String,
        /// The timeout.
        waited: Duration,
    },
}

impl Error {
    /// Wraps an I/O error with what was attempted.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let what = what.into();
        move |source| Error::Io { what, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Spawn { program, source } => write!(f, "cannot start `{program}`: {source}"),
            Error::Failed { command, output } => write!(f, "`{command}` failed:\n{output}"),
            Error::Io { what, source } => write!(f, "{what}: {source}"),
            Error::Missing { path, hint } => write!(f, "{} is missing: {hint}", path.display()),
            Error::Ended { what } => f.write_str(what),
            Error::TooLate { what, waited } => {
                write!(f, "after {:.1} s still waiting for: {what}", waited.as_secs_f32())
            }
        }
    }
}

/// As [`fmt::Display`]: `unwrap` in a test then prints the readable message.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}
