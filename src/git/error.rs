//! Errors of the conversation with the remote.

use super::{Deadline, ObjectId, TlsError, http::HttpError, ssh::SshError, tls};
use crate::net::{DialError, is_timeout};
use crate::text::printable;
use std::{fmt, io, time::Duration};

const REMEDY: &str = "make the repository smaller or the machine's memory larger";

/// Why a fetch, a read or a commit failed.
///
/// The text is one line: what failed, where, and how to fix it unless that is obvious. It never holds a secret; text
/// from the remote is truncated and stripped of control characters.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The remote's host could not be resolved, or none of its addresses could be reached.
    Dial(DialError),
    /// A TLS connection could not be set up.
    Tls(TlsError),
    /// An HTTP server does not provide the repository.
    Http(HttpError),
    /// An SSH server, or git behind it, does not provide the repository.
    Ssh(SshError),
    /// The address of the remote did not accept the connection.
    Connect {
        /// `host:port`.
        to: String,
        /// The error.
        source: io::Error,
    },
    /// The remote did not answer in time.
    TimedOut {
        /// The activity that failed.
        doing: &'static str,
        /// The timeout.
        after: Duration,
    },
    /// The connection broke.
    Lost {
        /// The activity that failed.
        doing: &'static str,
        /// The I/O error.
        source: io::Error,
    },
    /// The remote refused.
    Refused {
        /// The activity that was refused.
        doing: &'static str,
        /// The remote's message.
        message: String,
    },
    /// The remote violates the git protocol.
    Protocol {
        /// The activity that failed.
        doing: &'static str,
        /// The violation or defect.
        what: String,
    },
    /// The remote needs something that is not supported.
    Unsupported {
        /// The unsupported feature.
        what: String,
    },
    /// The repository has no references at all.
    Empty,
    /// The requested branch does not exist.
    NoBranch {
        /// The full name of the reference.
        name: String,
        /// Whether it is known to have existed before.
        existed: bool,
        /// Some of the branches that exist.
        has: Vec<String>,
        /// The number of further branches.
        more: usize,
        /// What to write instead, if it can be guessed.
        hint: Option<String>,
    },
    /// The reference names an object other than a commit.
    NotACommit {
        /// The object named.
        id: ObjectId,
    },
    /// Something exceeds its bound in [`Limits`](super::Limits).
    Limit {
        /// What exceeds its bound.
        what: &'static str,
        /// The amount; unknown if reading stopped at the bound.
        found: Option<u64>,
        /// The bound.
        bound: u64,
        /// The unit of both.
        unit: &'static str,
    },
    /// The pack is damaged.
    Pack {
        /// The byte of the pack at which the damage was found.
        offset: u64,
        /// The violation or defect.
        what: String,
    },
    /// An object is invalid.
    Object {
        /// The object.
        id: ObjectId,
        /// The violation or defect.
        what: String,
    },
    /// An object that the commit needs was not sent.
    Missing {
        /// The object.
        id: ObjectId,
    },
    /// The object is not part of the current commit.
    NotHeld {
        /// The object.
        id: ObjectId,
    },
    /// Nothing was fetched yet.
    NotFetched,
    /// A path that cannot be written.
    Path {
        /// The path, printable.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// The reference that is followed can be fetched, but not pushed to.
    NotABranch {
        /// The full name of the reference.
        name: String,
    },
    /// The remote serves the repository, but does not accept pushes.
    ReadOnly {
        /// The remote's message.
        message: String,
    },
    /// The machine has too little memory.
    Memory {
        /// Bytes requested.
        bytes: u64,
    },
}

impl Error {
    /// Returns whether the same fetch may succeed later without a change of the repository or the configuration.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Dial(_) | Error::Connect { .. } | Error::TimedOut { .. } | Error::Lost { .. } => true,
            Error::Pack { .. } | Error::Missing { .. } | Error::Memory { .. } => true,
            Error::Refused { message, .. } => message.contains("not our ref"),
            Error::Http(error) => error.is_transient(),
            Error::Ssh(error) => error.is_transient(),
            _ => false,
        }
    }

    pub(super) fn limit(what: &'static str, found: u64, bound: u64, unit: &'static str) -> Self {
        Error::Limit { what, found: Some(found), bound, unit }
    }

    pub(super) fn path(path: &str, what: &str) -> Self {
        Error::Path { path: printable(path.as_bytes()), what: what.into() }
    }

    pub(super) fn protocol(doing: &'static str, what: impl Into<String>) -> Self {
        Error::Protocol { doing, what: what.into() }
    }

    /// Returns the error for a missed deadline.
    pub(super) fn missed(deadline: Deadline, doing: &'static str) -> Self {
        Error::TimedOut { doing, after: deadline.after() }
    }

    /// Fails if a deadline has passed.
    pub(super) fn unless_over(deadline: Deadline, doing: &'static str) -> Result<(), Self> {
        if deadline.is_over() { Err(Error::missed(deadline, doing)) } else { Ok(()) }
    }
}

impl From<SshError> for Error {
    fn from(error: SshError) -> Self {
        Error::Ssh(error)
    }
}

/// Wraps the error for interfaces of `std::io`.
impl From<SshError> for io::Error {
    fn from(error: SshError) -> Self {
        io::Error::other(Error::Ssh(error))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Dial(error) => error.fmt(f),
            Error::Tls(error) => tls::write_with_hint(error, f),
            Error::Http(error) => error.fmt(f),
            Error::Ssh(error) => error.fmt(f),
            Error::Connect { to, source } if source.kind() == io::ErrorKind::ConnectionRefused => {
                write!(f, "connection refused by {to}: is the git server running there?")
            }
            Error::Connect { to, source } if is_timeout(source) => {
                write!(f, "no answer from {to}: is the address right and the network up?")
            }
            Error::Connect { to, source } => write!(f, "cannot connect to {to}: {source}"),
            Error::TimedOut { doing, after } => {
                write!(f, "timed out after {} s while {doing}", after.as_secs_f32().round().max(1.0))
            }
            Error::Lost { doing, source } if source.kind() == io::ErrorKind::UnexpectedEof => {
                write!(f, "the remote closed the connection while {doing}")
            }
            Error::Lost { doing, source } => write!(f, "connection lost while {doing}: {source}"),
            Error::Refused { doing, message } => write!(f, "the remote refused while {doing}: {message}"),
            Error::Protocol { doing, what } => {
                write!(f, "protocol error while {doing}: {what}; is this the port of a git server?")
            }
            Error::Unsupported { what } => write!(f, "not supported yet: {what}"),
            Error::Empty => f.write_str("the repository is empty: push a first commit"),
            Error::NoBranch { name, existed, has, more, hint } => {
                let (is_head, name) = (name == "HEAD", printable(name.as_bytes()));
                let gone = if *existed { "was deleted" } else { "does not exist" };
                match name.strip_prefix("refs/heads/") {
                    _ if is_head && *existed => f.write_str("HEAD at the remote no longer points to a branch")?,
                    _ if is_head => f.write_str("HEAD at the remote points to no branch that exists")?,
                    Some(branch) => write!(f, "branch {branch} {gone} at the remote")?,
                    None => write!(f, "{name} {gone} at the remote")?,
                }
                match has.as_slice() {
                    [] if is_head => f.write_str("; there are no branches: push one")?,
                    [] => f.write_str(", which has no branches")?,
                    has if is_head => write!(f, "; choose one with #branch: {}", has.join(", "))?,
                    has => write!(f, ", which has: {}", has.join(", "))?,
                }
                if *more > 0 {
                    write!(f, " and {more} more")?;
                }
                match hint {
                    Some(hint) => write!(f, "; {hint}"),
                    None if *existed && !is_head => f.write_str("; push it again, or choose another with #branch"),
                    None => Ok(()),
                }
            }
            Error::NotACommit { id } => write!(f, "the reference names {id}, which is not a commit: choose a branch"),
            Error::Limit { what, found: Some(found), bound, unit } => {
                write!(f, "{what} of {found} {unit} exceeds the bound of {bound} {unit}: {REMEDY}")
            }
            Error::Limit { what, found: None, bound, unit } => {
                write!(f, "{what} exceeds the bound of {bound} {unit}: {REMEDY}")
            }
            Error::Pack { offset, what } => write!(f, "damaged pack at byte {offset}: {what}"),
            Error::Object { id, what } => write!(f, "object {id}: {what}; run `git fsck` at the remote"),
            Error::Missing { id } => write!(f, "object {id} was not sent by the remote; run `git fsck` there"),
            Error::NotHeld { id } => write!(f, "object {id} is not part of the current commit"),
            Error::NotFetched => f.write_str("nothing has been fetched yet"),
            Error::Path { path, what } => write!(f, "cannot write `{path}`: it {what}"),
            Error::NotABranch { name } => {
                write!(f, "cannot push: {name} at the remote is not a branch; choose one with #branch")
            }
            Error::ReadOnly { message } => write!(
                f,
                "the remote does not accept pushes ({message}): run `git config daemon.receivepack true` in the repository there, \
                 or start git daemon with --enable=receive-pack"
            ),
            Error::Memory { bytes } => write!(f, "not enough memory: {bytes} bytes could not be allocated"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Connect { source, .. } | Error::Lost { source, .. } => Some(source),
            _ => None,
        }
    }
}
