//! What can go wrong in a hook that is not a mistake in a zone.

use std::path::PathBuf;
use std::{fmt, io};

/// Shorthand for results of this crate.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why something could not be done.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line makes no sense.
    Usage(String),
    /// git could not be started, or ended otherwise than it should.
    Git {
        /// The command line.
        command: String,
        /// What it said, or why it could not be started.
        what: String,
    },
    /// A file could not be used.
    File {
        /// What was attempted.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why the system refused.
        source: io::Error,
    },
    /// A setting in git's configuration cannot be used.
    Setting {
        /// Its name, such as `zonule.notify`.
        name: String,
        /// What is wrong, and what it should be. It never holds a secret.
        what: String,
    },
    /// Something else, said with what to do about it.
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
