//! Errors of HTTP servers, and how to fix them.

use super::pace::LONGEST;
use crate::text;
use std::{fmt, time::Duration};

/// Why an HTTP server does not provide the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpError {
    /// The target of the last redirection, if any; otherwise the remote's own address was used.
    pub at: Option<String>,
    /// The problem.
    pub problem: HttpProblem,
}

/// The problem with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpProblem {
    /// Credentials are configured, but no TLS protects them.
    Unprotected,
    /// The server requires a login, but no credentials are configured.
    LoginWanted {
        /// Whether there are credentials that must not be sent to this host, the target of a redirection.
        withheld: bool,
    },
    /// The server does not accept the login.
    LoginRefused {
        /// The server's explanation; may be empty.
        said: String,
    },
    /// The login, or an anonymous client, lacks the permission.
    Forbidden {
        /// Whether it was a push.
        push: bool,
        /// Whether credentials were sent.
        login: bool,
        /// The server's explanation; may be empty.
        said: String,
    },
    /// There is no such repository.
    NotFound {
        /// Whether credentials were sent.
        login: bool,
    },
    /// The server limits the rate of requests, or cannot accept any for a while (RFC 6585 §4, RFC 9110 §15.6.4).
    Limited {
        /// The status.
        status: u16,
        /// The reason phrase.
        reason: String,
        /// The server's explanation; may be empty.
        said: String,
        /// How long it asks to wait, if it specifies that.
        asks: Option<Duration>,
    },
    /// Another status that reports a failure.
    Status {
        /// The status.
        status: u16,
        /// The reason phrase and the server's explanation; may be empty.
        said: String,
    },
    /// The server answers at the path, but is not a git service.
    NotGit {
        /// The media type of its reply; may be empty.
        media_type: String,
    },
    /// The server provides the files of a repository, but no git service.
    Dumb,
    /// A redirection that is not followed.
    Redirect {
        /// The target, without a query.
        to: String,
        /// The reason.
        why: &'static str,
    },
}

impl HttpError {
    /// Returns whether the same request may succeed later without any intervention.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.problem, HttpProblem::Limited { .. } | HttpProblem::Status { status: 500.., .. })
    }

    /// Returns how long to send no requests: as long as the server asks for, within bounds.
    pub(crate) fn wait(&self) -> Option<Duration> {
        match self.problem {
            HttpProblem::Limited { asks, .. } => asks.map(|asks| asks.min(LONGEST)),
            _ => None,
        }
    }

    /// Returns whether the server definitely did not carry out the request.
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
                "user and token are not sent without TLS, where anyone on the path can read them: use https://, or \
                 insist with --git-credentials-in-clear=yes"
            ),
            HttpProblem::LoginWanted { withheld: false } => {
                f.write_str("the remote wants a user and token: give --git-user and --git-token")
            }
            HttpProblem::LoginWanted { withheld: true } => write!(
                f,
                "the remote wants a user and token, which are not sent to the target of a redirection: give this \
                 address as --git-remote"
            ),
            HttpProblem::LoginRefused { said } => write!(
                f,
                "the user or token is not accepted{}: is it right, not expired, and for this repository?",
                words(said)
            ),
            HttpProblem::Forbidden { push: true, login: true, said } => write!(
                f,
                "the user or token may not push{}: give it the right to write, or lift the protection of the branch",
                words(said)
            ),
            HttpProblem::Forbidden { push: true, login: false, said } => write!(
                f,
                "pushing requires a user and token{}: give --git-user and --git-token, or set \
                 http.receivepack in the repository to allow everyone",
                words(said)
            ),
            HttpProblem::Forbidden { push: false, login: true, said } => {
                write!(f, "the user or token may not read it{}: give it that right", words(said))
            }
            HttpProblem::Forbidden { push: false, login: false, said } => {
                write!(f, "the remote forbids it{}: does it require --git-user and --git-token?", words(said))
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
                    None => write!(f, "the remote limits the rate of requests (HTTP {status}")?,
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
                "the push is too large for the server (413): raise its limit, client_max_body_size in nginx",
            ),
            HttpProblem::Status { status, said } => write!(f, "the server answers {status}{}", words(said)),
            HttpProblem::NotGit { media_type } if media_type.starts_with("text/html") => {
                f.write_str("a web page answers, not a git service: is the path that of the repository itself?")
            }
            HttpProblem::NotGit { media_type } => {
                let media_type = if media_type.is_empty() { "nothing of a known kind" } else { media_type };
                write!(f, "{media_type} answers, not a git service: is the path that of the repository itself?")
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
