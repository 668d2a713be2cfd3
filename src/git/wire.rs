//! A connection to a git service over any transport, and the services.
//!
//! Every wait for the remote happens in [`Tcp`] and is bounded. The conversation is requests and answers in packet
//! lines, which is what git speaks to its daemon, over SSH and in the bodies of HTTP alike: each of these is a
//! [`Wire`].

use super::{Deadline, Error, Timeouts, Upstream};
use crate::net::{DialError, Tcp, endpoint, is_timeout};
use crate::text::printable;
use std::io::{self, Read, Write};

/// The program at the remote.
#[derive(Clone, Copy)]
pub(super) enum Service {
    /// Sends us objects.
    UploadPack,
    /// Receives objects and updates branches.
    ReceivePack,
}

impl Service {
    /// Returns the program's name.
    pub(super) fn program(self) -> &'static str {
        match self {
            Service::UploadPack => "git-upload-pack",
            Service::ReceivePack => "git-receive-pack",
        }
    }
}

/// The protocol version to ask the remote for. It may answer in an older one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// The original one, in which the remote begins by listing every reference.
    V0,
    /// The original one, announced by the remote.
    V1,
    /// The one with commands.
    #[default]
    V2,
}

impl Protocol {
    /// Returns the version to push with: pushes have no version 2.
    pub(super) fn for_push(self) -> Self {
        match self {
            Protocol::V1 => Protocol::V1,
            Protocol::V0 | Protocol::V2 => Protocol::V0,
        }
    }
}

/// A connection to a git service on which every wait is bounded.
pub(super) trait Wire: Read + Write + Send {
    /// Replaces the deadline of all later operations.
    fn set_deadline(&mut self, deadline: Deadline);

    /// Sends the buffered part of a request of which `rest` more octets follow.
    ///
    /// Only a transport that declares a request's length in advance buffers what is written.
    fn send_up_to(&mut self, rest: usize) -> io::Result<()> {
        let _ = rest;
        Ok(())
    }

    /// Ends the conversation without closing the connection, if there is one: reading no longer blocks.
    fn linger(self: Box<Self>) -> Option<Box<dyn Read + Send>>;
}

/// Returns what an I/O error of a [`Wire`], or of the packet lines read from it, means.
pub(super) fn broken(doing: &'static str, timeouts: Timeouts, deadline: Deadline, error: io::Error) -> Error {
    // An error other than plain I/O carries its own description.
    let error = match error.downcast::<Error>() {
        Ok(error) => return error,
        Err(error) => error,
    };
    match error.kind() {
        _ if is_timeout(&error) && deadline.is_over() => Error::missed(deadline, doing),
        _ if is_timeout(&error) => Error::TimedOut { doing, after: timeouts.stall },
        io::ErrorKind::Other | io::ErrorKind::InvalidData => {
            Error::protocol(doing, printable(error.to_string().as_bytes()))
        }
        _ => Error::Lost { doing, source: error },
    }
}

/// Connects to a host within the timeout for connections.
pub(super) fn dial(
    upstream: &Upstream,
    host: &str,
    port: u16,
    timeouts: Timeouts,
    deadline: Deadline,
) -> Result<Tcp, Error> {
    Error::unless_over(deadline, "connecting")?;
    Tcp::dial(&upstream.dialer, host, port, timeouts, deadline).map_err(|error| match error {
        // There was one address, so its error suffices.
        DialError::Unreachable { mut tried } if tried.len() == 1 => {
            let source = tried.remove(0).1;
            Error::Connect { to: endpoint(host, port), source }
        }
        error => Error::Dial(error),
    })
}

impl Wire for Tcp {
    fn set_deadline(&mut self, deadline: Deadline) {
        self.set_deadline(Some(deadline));
    }

    fn linger(self: Box<Self>) -> Option<Box<dyn Read + Send>> {
        self.set_nonblocking().ok()?;
        Some(Box::new(self.into_socket()))
    }
}
