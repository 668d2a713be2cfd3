//! What can go wrong on the way over ssh, and what an operator can do about it.

use std::fmt;

/// Why a command could not be run over ssh, or ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SshError {
    /// No key was given to log in with.
    NoKey,
    /// No host key was given to know the server by.
    Unpinned {
        /// The fingerprint of the key it proved to have.
        seen: String,
    },
    /// The server has another host key than those given.
    OtherHostKey {
        /// The fingerprint of the key it proved to have.
        seen: String,
        /// The fingerprints of those given.
        wanted: String,
    },
    /// The server does not let our key in.
    KeyRefused {
        /// The user we log in as.
        user: String,
        /// Our key as a line of `authorized_keys`; empty if the server takes no keys at all.
        public_line: String,
    },
    /// The server has no algorithm of a kind that we have.
    NoCommonAlgorithm {
        /// What it would be for.
        what: &'static str,
    },
    /// The server let us in and gives out no session.
    NoSession,
    /// The command ended before its time.
    Ended {
        /// What it said on standard error, printable and cut short.
        said: String,
        /// How it ended, if the server told.
        exit: Option<Exit>,
    },
    /// Something else than git wrote to the command's standard output.
    Noise {
        /// How it begins, printable.
        text: String,
    },
    /// The far side breaks the protocol, or the connection is tampered with.
    Protocol {
        /// What is wrong.
        what: String,
    },
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Status(u32),
    /// By a signal.
    Signal,
}

impl SshError {
    /// Returns whether the same may succeed later without anybody changing the repository or the configuration.
    pub(in crate::git) fn is_transient(&self) -> bool {
        match self {
            // What was altered on the way may have been so by accident.
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
                "the ssh server cannot be told from an impostor: its host key is {seen}; if that is right, give \
                 --git-ssh-host-key={seen}"
            ),
            SshError::OtherHostKey { seen, wanted } => write!(
                f,
                "the ssh server may be an impostor: its host key is {seen}, --git-ssh-host-key wants {wanted}; if the \
                 server has a new key, give that"
            ),
            SshError::KeyRefused { user, public_line } if public_line.is_empty() => {
                write!(f, "the ssh server lets nobody log in as {user} by key")
            }
            SshError::KeyRefused { user, public_line } => write!(
                f,
                "the ssh server does not let our key in as {user}: add this line to its authorized_keys, or to the forge's \
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
            SshError::NoSession => f.write_str("the ssh server let us in, but refuses to run a command"),
            SshError::Ended { said, exit } => {
                match exit {
                    Some(Exit::Status(127)) => f.write_str("git is not installed at the remote")?,
                    _ if said.is_empty() => f.write_str("git at the remote ended without a word")?,
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
