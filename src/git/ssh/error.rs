//! Errors of ssh, and how to fix them.

use std::fmt;

/// Why a command could not be run over ssh, or ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SshError {
    /// No key for logging in is configured.
    NoKey,
    /// No host key is configured to authenticate the server.
    Unpinned {
        /// The fingerprint of the key that it proved to possess.
        seen: String,
    },
    /// The server's host key is not among those configured.
    OtherHostKey {
        /// The fingerprint of the key that it proved to possess.
        seen: String,
        /// The fingerprints of those configured.
        wanted: String,
    },
    /// The server rejected our key.
    KeyRefused {
        /// The user we log in as.
        user: String,
        /// Our key as a line of `authorized_keys`; empty if the server accepts no keys at all.
        public_line: String,
    },
    /// The server supports none of our algorithms of some kind.
    NoCommonAlgorithm {
        /// The kind of algorithm.
        what: &'static str,
    },
    /// The server accepted the login, but opens no session.
    NoSession,
    /// The command ended early.
    Ended {
        /// Its standard error, printable and truncated.
        said: String,
        /// How it ended, if the server reported that.
        exit: Option<Exit>,
    },
    /// A program other than git wrote to the command's standard output.
    Noise {
        /// Its beginning, printable.
        text: String,
    },
    /// The server violates the protocol, or the connection was tampered with.
    Protocol {
        /// The violation.
        what: String,
    },
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status.
    Status(u32),
    /// It was killed by a signal.
    Signal,
}

impl SshError {
    /// Returns whether the same may succeed later without a change of the repository or the configuration.
    pub(in crate::git) fn is_transient(&self) -> bool {
        match self {
            // Data altered in transit may have been altered by accident.
            SshError::Protocol { .. } | SshError::NoSession => true,
            SshError::Ended { said, exit } => said.is_empty() && *exit != Some(Exit::Status(127)),
            _ => false,
        }
    }
}

impl fmt::Display for SshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SshError::NoKey => f.write_str(
                "no key to log in with over ssh: make one with `zonule keygen`, let the git server know its public half, and \
                 give --git-ssh-key",
            ),
            SshError::Unpinned { seen } => write!(
                f,
                "the ssh server cannot be authenticated: its host key is {seen}; if that is right, give \
                 --git-ssh-host-key={seen}"
            ),
            SshError::OtherHostKey { seen, wanted } => write!(
                f,
                "the ssh server may be an impostor: its host key is {seen}, --git-ssh-host-key expects {wanted}; if the \
                 server has a new key, give that"
            ),
            SshError::KeyRefused { user, public_line } if public_line.is_empty() => {
                write!(f, "the ssh server accepts no keys for user {user}")
            }
            SshError::KeyRefused { user, public_line } => write!(
                f,
                "the ssh server rejected our key for user {user}: add this line to its authorized_keys, or to the forge's \
                 deploy keys: {public_line}"
            ),
            SshError::NoCommonAlgorithm { what } => {
                let needed = match *what {
                    "hostkey" => "a host key of type ssh-ed25519",
                    "kex" => "the key exchange curve25519-sha256",
                    "mac" => "the authentication code hmac-sha2-256",
                    "compression" => "no compression",
                    _ => "the cipher chacha20-poly1305@openssh.com or aes256-ctr",
                };
                write!(f, "the ssh server does not offer {needed}, which is what Zonule speaks")
            }
            SshError::NoSession => f.write_str("the ssh server accepted the login but refuses to run a command"),
            SshError::Ended { said, exit } => {
                match exit {
                    Some(Exit::Status(127)) => f.write_str("git is not installed on the remote")?,
                    _ if said.is_empty() => f.write_str("git at the remote ended without an error message")?,
                    _ => {}
                }
                match (exit, said.is_empty()) {
                    (Some(Exit::Status(127)), false) => write!(f, ": the remote says: {said}"),
                    (_, false) => write!(f, "the remote says: {said}"),
                    (Some(Exit::Status(status)), _) => write!(f, " (exit status {status})"),
                    (Some(Exit::Signal), _) => f.write_str(" (killed by a signal)"),
                    (None, _) => Ok(()),
                }
            }
            SshError::Noise { text } => write!(
                f,
                "the remote's shell writes \"{text}\" where git should: its start-up files must be silent when no terminal \
                 is there"
            ),
            SshError::Protocol { what } => write!(f, "the ssh connection failed: {what}"),
        }
    }
}

impl std::error::Error for SshError {}
