//! Errors of a hook other than mistakes in zones.

use std::path::PathBuf;
use std::{fmt, io};

/// Shorthand for results of this crate.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// An error of a hook.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line is invalid.
    Usage(String),
    /// git could not be started, or failed.
    Git {
        /// The command line.
        command: String,
        /// Its error output, or why it could not be started.
        what: String,
    },
    /// A file could not be used.
    File {
        /// What was attempted.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why the system refused.
        source: io::Error,
    },
    /// A setting in git's configuration cannot be used.
    Setting {
        /// Its name, such as `zonule.notify`.
        name: String,
        /// What is wrong, and which values are valid. It never contains a secret.
        what: String,
    },
    /// Another error, with how to fix it.
    Other(String),
}

impl Error {
    /// Wraps an error of the file system with what was attempted.
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::File { what, path, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(what) | Error::Other(what) => f.write_str(what),
            Error::Git { command, what } => write!(f, "`{command}` failed: {}", what.trim_end()),
            Error::File { what, path, source } => write!(f, "cannot {what} {}: {source}", path.display()),
            Error::Setting { name, what } => write!(f, "git's setting {name}: {what}"),
        }
    }
}

impl std::error::Error for Error {}
