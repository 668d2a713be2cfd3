//! Smart HTTP: a git service as requests and replies (gitprotocol-http(5)).

use super::{
    Deadline, Error, Protocol, Timeouts, Upstream,
    transport::{Service, Tcp},
};
use std::fmt;

/// Why an HTTP server does not give us the repository.
#[derive(Debug)]
pub struct HttpError;

impl HttpError {
    /// Returns whether the same request may succeed later.
    pub(super) fn is_transient(&self) -> bool {
        false
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

pub(super) fn open(_: &Upstream, _: Service, _: Protocol, _: Timeouts, _: Deadline) -> Result<Tcp, Error> {
    Err(Error::Unsupported { what: "http remotes".into() })
}
