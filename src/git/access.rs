//! What is needed to be let in by a remote, and to know it.
//!
//! No text that is made of these types shows a secret.

use super::{Remote, Rest, Secret, ssh};
use crate::net::{Dialer, tls::Trust};

/// A remote and the way to get there.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Where the repository is.
    pub remote: Remote,
    /// What is needed to be let in.
    pub access: Access,
    /// What finds the host.
    pub dialer: Dialer,
    /// Until when the remote asked to be left alone; the same for all clones.
    pub rest: Rest,
}

impl From<Remote> for Upstream {
    /// Takes the system's word for where the host is, and nothing to log in with but what the address holds.
    fn from(remote: Remote) -> Self {
        Upstream { remote, access: Access::default(), dialer: Dialer::system(), rest: Rest::default() }
    }
}

/// The operator's word on how to log in to the remote, and on which remote to believe.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The user for HTTP; `None` for the one in the remote's address, or, with a token, one that forges take.
    pub user: Option<Secret>,
    /// The token or password for HTTP; `None` for the one in the remote's address.
    pub token: Option<Secret>,
    /// Which TLS servers are believed.
    pub tls: Trust,
    /// Whether user and token may go over HTTP without TLS, where everybody on the way can read them.
    pub credentials_in_clear: bool,
    /// The keys for SSH.
    pub ssh: ssh::Access,
}
