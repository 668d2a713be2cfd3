//! Git's push conversation: one branch moved by compare-and-swap, and an outcome that is true.

use super::{Deadline, Draft, Error, ObjectId, Repository};
use std::{fmt, time::Duration};

/// Why a push did not succeed, or is not known to have.
///
/// The text is one line: what happened, where, and what to do if that is not plain.
#[derive(Debug)]
pub enum PushError {
    /// The remote is as it was: the push failed before all of it was sent.
    NotSent(Error),
    /// The branch at the remote is not where the draft begins, or somebody else was moving it at the same time. The remote
    /// did not take the push. Fetch, and begin again on what is there.
    Stale,
    /// The remote declined, by a hook or by policy.
    Refused {
        /// Git's reason, such as `pre-receive hook declined`: one line, printable, cut at 300 bytes.
        reason: String,
        /// What the remote wrote beside it, such as the hook's text: lines, printable, cut at 4 kB; may be empty.
        said: String,
    },
    /// The push was sent and no report came: whether the remote took it is unknown, or not decided yet.
    /// [`Repository::fate`] tells. Pushing the same draft again is safe: its commits cannot be taken twice.
    Unknown(Error),
}

/// What has become of a commit that was pushed without a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is on the branch.
    Taken,
    /// It is not on the branch and cannot come there any more: the branch has moved on without it.
    Lost,
    /// It is not on the branch, which is still where the commit's draft began. The remote may be at it yet: a hook that
    /// takes its time ends after the connection has.
    Open,
}

impl Repository {
    /// Pushes the commits of `draft` to the branch it began on, if the branch is still there; never by force.
    ///
    /// On success the draft's tip is the commit held, and what it does not reach is dropped. On an error nothing changes
    /// here. A draft without commits succeeds without a word to the remote; so does one that the remote has already.
    ///
    /// Until `sending` the push may be abandoned without a trace. It bounds everything up to the last bytes of the pack,
    /// without which no remote takes a push. From there `report` bounds the wait for the remote's word.
    pub fn push(&mut self, draft: &Draft, sending: Deadline, report: Duration) -> Result<(), PushError> {
        let _ = (draft, sending, report);
        Err(PushError::Stale)
    }

    /// Asks the remote what has become of `commit`, the tip of a draft that began at `since`.
    ///
    /// Transfers at most the commits the branch has beyond these two, and what they changed. Takes no account of, and
    /// does not change, the commit held.
    pub fn fate(&self, commit: ObjectId, since: ObjectId) -> Result<Fate, Error> {
        let _ = (commit, since);
        Err(Error::NotFetched)
    }
}

impl PushError {
    /// Returns whether the same changes may go through later without anybody changing the remote or the configuration.
    pub fn is_transient(&self) -> bool {
        match self {
            PushError::NotSent(error) | PushError::Unknown(error) => error.is_transient(),
            PushError::Stale => true,
            PushError::Refused { .. } => false,
        }
    }
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PushError::NotSent(error) => write!(f, "not pushed: {error}"),
            PushError::Stale => f.write_str("not pushed: the branch has moved at the remote; fetch and try again"),
            PushError::Refused { reason, said } if said.is_empty() => {
                write!(f, "the remote refused the push: {reason}")
            }
            PushError::Refused { reason, said } => {
                write!(f, "the remote refused the push: {reason}: {}", said.replace('\n', " | "))
            }
            PushError::Unknown(error) => write!(f, "pushed without a report, the outcome is unknown: {error}"),
        }
    }
}

impl std::error::Error for PushError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PushError::NotSent(error) | PushError::Unknown(error) => Some(error),
            PushError::Stale | PushError::Refused { .. } => None,
        }
    }
}
