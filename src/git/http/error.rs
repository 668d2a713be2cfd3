//! Why an HTTP server does not give us the repository, in words for an operator.

use super::pace::LONGEST;
use crate::text;
use std::{fmt, time::Duration};

/// Why an HTTP server does not give us the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpError {
    /// Where a redirection had led, if one had; else it was the remote's own address.
    pub at: Option<String>,
    /// What came of it.
    pub problem: HttpProblem,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpProblem {
    /// There is a login, and no TLS to keep it secret.
    Unprotected,
    /// The server wants a login, and there is none.
    LoginWanted {
        /// Whether there is one that must not go to this host, to which we were redirected.
        withheld: bool,
    },
    /// The server does not accept the login.
    LoginRefused {
        /// What the server wrote; may be empty.
        said: String,
    },
    /// The login, or nobody in particular, has no right to it.
    Forbidden {
        /// Whether it was a push.
        push: bool,
        /// Whether there is a login.
        login: bool,
        /// What the server wrote; may be empty.
        said: String,
    },
    /// There is no such repository.
    NotFound {
        /// Whether there is a login.
        login: bool,
    },
    /// The server has enough of requests, or cannot take any for a while (RFC 6585 §4, RFC 9110 §15.6.4).
    Limited {
        /// The status.
        status: u16,
        /// What the server calls it.
        reason: String,
        /// What the server wrote; may be empty.
        said: String,
        /// How long it asks to wait, if it says so.
        asks: Option<Duration>,
    },
    /// A status that says that the request will not do.
    Status {
        /// The status.
        status: u16,
        /// What the server calls it, and what it wrote; may be empty.
        said: String,
    },
    /// What answers knows the path, but is no git service.
    NotGit {
        /// The media type of what it sent; may be empty.
        media_type: String,
    },
    /// The files of a repository are there, but no git service.
    Dumb,
    /// A redirection that is not followed.
    Redirect {
        /// Where to, without a query.
        to: String,
        /// Why not.
        why: &'static str,
    },
}

impl HttpError {
    /// Returns whether the same request may succeed later without anybody doing anything.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.problem, HttpProblem::Limited { .. } | HttpProblem::Status { status: 500.., .. })
    }

    /// Returns how long to leave the server alone: as long as it asks for, within bounds.
    pub(crate) fn wait(&self) -> Option<Duration> {
        match self.problem {
            HttpProblem::Limited { asks, .. } => asks.map(|asks| asks.min(LONGEST)),
            _ => None,
        }
    }

    /// Returns whether the server says for sure that it has not done what was asked for.
    pub(crate) fn is_declined(&self) -> bool {
        use HttpProblem::{Forbidden, Limited, LoginRefused, LoginWanted, NotFound, Status};
        match self.problem {
            LoginWanted { .. } | LoginRefused { .. } | Forbidden { .. } | NotFound { .. } => true,
            Status { status, .. } | Limited { status, .. } => (400..=499).contains(&status) && status != 408,
            _ => false,
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{at}: ")?;
        }
        let words = |said: &str| if said.is_empty() { String::new() } else { format!(" ({said})") };
        match &self.problem {
            HttpProblem::Unprotected => write!(
                f,
                "user and token are not sent without TLS, where all on the way can read them: use https://, or \
                 insist with --git-credentials-in-clear=yes"
            ),
            HttpProblem::LoginWanted { withheld: false } => {
                f.write_str("the remote wants a user and token: give --git-user and --git-token")
            }
            HttpProblem::LoginWanted { withheld: true } => write!(
                f,
                "the remote wants a user and token, which are not sent to where a redirection leads: give this \
                 address as --git-remote"
            ),
            HttpProblem::LoginRefused { said } => write!(
                f,
                "the user or token is not accepted{}: is it right, not expired, and for this repository?",
                words(said)
            ),
            HttpProblem::Forbidden { push: true, login: true, said } => write!(
                f,
                "the user or token may not push{}: give it the right to write, or lift what protects the branch",
                words(said)
            ),
            HttpProblem::Forbidden { push: true, login: false, said } => write!(
                f,
                "nobody may push without a user and token{}: give --git-user and --git-token, or set \
                 http.receivepack in the repository if everybody shall",
                words(said)
            ),
            HttpProblem::Forbidden { push: false, login: true, said } => {
                write!(f, "the user or token may not read it{}: give it that right", words(said))
            }
            HttpProblem::Forbidden { push: false, login: false, said } => {
                write!(f, "the remote forbids it{}: does it want --git-user and --git-token?", words(said))
            }
            HttpProblem::NotFound { login: true } => {
                f.write_str("no such repository (404): is the path right, and may the user or token see it?")
            }
            HttpProblem::NotFound { login: false } => f.write_str(
                "no such repository (404): is the path right? If it is private, give --git-user and --git-token",
            ),
            HttpProblem::Limited { status, reason, said, asks } => {
                match asks {
                    Some(asks) => write!(f, "the remote asks to wait {} (HTTP {status}", text::time(*asks))?,
                    None => write!(f, "the remote limits how often it is asked (HTTP {status}")?,
                }
                if !reason.is_empty() {
                    write!(f, " {reason}")?;
                }
                if !said.is_empty() {
                    write!(f, ": {said}")?;
                }
                f.write_str(")")
            }
            HttpProblem::Status { status: 413, .. } => f.write_str(
                "the push is too large for the server (413): raise its bound, client_max_body_size with nginx",
            ),
            HttpProblem::Status { status, said } => write!(f, "the server answers {status}{}", words(said)),
            HttpProblem::NotGit { media_type } if media_type.starts_with("text/html") => {
                f.write_str("a web page answers, no git service: is the path that of the repository itself?")
            }
            HttpProblem::NotGit { media_type } => {
                let media_type = if media_type.is_empty() { "nothing of a known kind" } else { media_type };
                write!(f, "{media_type} answers, no git service: is the path that of the repository itself?")
            }
            HttpProblem::Dumb => write!(
                f,
                "the server gives out the repository's files (\"dumb\" HTTP), which is not supported: set up git \
                 http-backend there"
            ),
            HttpProblem::Redirect { to, why } => write!(f, "redirected to {to}, {why}"),
        }
    }
}

impl std::error::Error for HttpError {}
