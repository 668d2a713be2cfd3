//! What can go wrong between us and the remote, in words for an operator.

use super::{Deadline, ObjectId, TlsError, http::HttpError, ssh::SshError, tls};
use crate::net::{DialError, is_timeout};
use crate::text::printable;
use std::{fmt, io, time::Duration};

const REMEDY: &str = "make the repository smaller or the machine's memory larger";

/// Why a fetch, a read or a commit failed.
///
/// The text is one line: what happened, where, and what to do if that is not plain. It never holds a secret, and what the
/// remote said is cut short and stripped of control characters.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The remote's host was not found, or at several addresses not reached.
    Dial(DialError),
    /// A TLS connection did not come about.
    Tls(TlsError),
    /// An HTTP server does not give us the repository.
    Http(HttpError),
    /// An SSH server does not, or git at its far side does not.
    Ssh(SshError),
    /// The address of the remote did not take the connection.
    Connect {
        /// `host:port`.
        to: String,
        /// What came of it.
        source: io::Error,
    },
    /// The remote was silent for too long.
    TimedOut {
        /// What we waited for.
        doing: &'static str,
        /// For how long.
        after: Duration,
    },
    /// The connection broke.
    Lost {
        /// What we waited for.
        doing: &'static str,
        /// How it broke.
        source: io::Error,
    },
    /// The remote declined, in its own words.
    Refused {
        /// What we asked for.
        doing: &'static str,
        /// The remote's message.
        message: String,
    },
    /// The remote does not speak git as we know it.
    Protocol {
        /// What we waited for.
        doing: &'static str,
        /// What is wrong.
        what: String,
    },
    /// The remote is of a kind that we cannot work with.
    Unsupported {
        /// The kind.
        what: String,
    },
    /// The repository has no references at all.
    Empty,
    /// The branch asked for is not there.
    NoBranch {
        /// The full name of the reference.
        name: String,
        /// Whether it is known to have been there before.
        existed: bool,
        /// Some of the branches that are there.
        has: Vec<String>,
        /// How many more are there.
        more: usize,
        /// What to write instead, if that can be guessed.
        hint: Option<String>,
    },
    /// The reference names something else than a commit.
    NotACommit {
        /// The object named.
        id: ObjectId,
    },
    /// Something is larger, deeper or more than its bound in [`Limits`](super::Limits).
    Limit {
        /// What exceeds.
        what: &'static str,
        /// How much there is; unknown if reading stopped at the bound.
        found: Option<u64>,
        /// The bound.
        bound: u64,
        /// The unit of both.
        unit: &'static str,
    },
    /// The pack is damaged.
    Pack {
        /// The byte of the pack where the damage shows.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// An object is not what it must be.
    Object {
        /// The object.
        id: ObjectId,
        /// What is wrong.
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
    /// What is followed at the remote can be fetched and not pushed to.
    NotABranch {
        /// The full name of the reference.
        name: String,
    },
    /// The remote serves the repository, but takes no pushes.
    ReadOnly {
        /// The remote's message.
        message: String,
    },
    /// The machine has no memory left for it.
    Memory {
        /// Bytes asked for.
        bytes: u64,
    },
}

impl Error {
    /// Returns whether the same fetch may succeed later without anybody changing the repository or the configuration.
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

    /// Returns the error of having missed a deadline.
    pub(super) fn missed(deadline: Deadline, doing: &'static str) -> Self {
        Error::TimedOut { doing, after: deadline.after() }
    }

    /// Fails when a deadline is over.
    pub(super) fn unless_over(deadline: Deadline, doing: &'static str) -> Result<(), Self> {
        if deadline.is_over() { Err(Error::missed(deadline, doing)) } else { Ok(()) }
    }
}

impl From<SshError> for Error {
    fn from(error: SshError) -> Self {
        Error::Ssh(error)
    }
}

/// Returns the error for who knows only those of I/O.
impl From<SshError> for io::Error {
    fn from(error: SshError) -> Self {
        io::Error::other(Error::Ssh(error))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Dial(error) => error.fmt(f),
            Error::Tls(error) => tls::tell(error, f),
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
            Error::NotFetched => f.write_str("nothing was fetched yet"),
            Error::Path { path, what } => write!(f, "cannot write `{path}`: it {what}"),
            Error::NotABranch { name } => {
                write!(f, "cannot push: {name} at the remote is no branch; name one with #branch")
            }
            Error::ReadOnly { message } => write!(
                f,
                "the remote takes no pushes ({message}): run `git config daemon.receivepack true` in the repository there, \
                 or start git daemon with --enable=receive-pack"
            ),
            Error::Memory { bytes } => write!(f, "not enough memory: {bytes} bytes are not to be had"),
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
