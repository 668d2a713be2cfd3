//! The credentials for a remote, and what authenticates the remote.
//!
//! No formatted output of these types contains a secret.

use super::{Remote, Rest, Secret, ssh};
use crate::net::{Dialer, tls::Trust};

/// A remote and how to reach it.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The address of the repository.
    pub remote: Remote,
    /// The credentials.
    pub access: Access,
    /// The dialer that resolves the host.
    pub dialer: Dialer,
    /// The pause that the remote asked for, shared by all clones of this value.
    pub rest: Rest,
}

impl From<Remote> for Upstream {
    /// Uses the system's resolver, and no credentials other than those in the address.
    fn from(remote: Remote) -> Self {
        Upstream { remote, access: Access::default(), dialer: Dialer::system(), rest: Rest::default() }
    }
}

/// The operator's settings for logging in to the remote and for authenticating it.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The user for HTTP; `None` for the one in the remote's address, or, with a token, one that forges accept.
    pub user: Option<Secret>,
    /// The token or password for HTTP; `None` for the one in the remote's address.
    pub token: Option<Secret>,
    /// Which TLS servers are trusted.
    pub tls: Trust,
    /// Whether user and token may go over HTTP without TLS, where anyone on the path can read them.
    pub credentials_in_clear: bool,
    /// The keys for SSH.
    pub ssh: ssh::Access,
}
