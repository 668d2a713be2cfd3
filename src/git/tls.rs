//! TLS: which servers are believed, and why one is not.

use std::fmt;

/// Which TLS servers are believed.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// Those that the web's certificate authorities vouch for.
    #[default]
    WebRoots,
}

/// Why a TLS connection did not come about.
#[derive(Debug)]
pub struct TlsError;

impl fmt::Display for TlsError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
