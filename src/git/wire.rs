//! A connection to a git service, whatever it is made over, and the services there are.
//!
//! Every wait on the remote happens in [`Tcp`] and has an end. The conversation is requests and answers in packet lines,
//! which is what git speaks to its daemon, over SSH and in the bodies of HTTP alike: each of these is a [`Wire`].

use super::{Deadline, Error, Timeouts, Upstream};
use crate::net::{DialError, Tcp, endpoint, is_timeout};
use crate::text::printable;
use std::io::{self, Read, Write};

/// What git calls the program at the other end.
#[derive(Clone, Copy)]
pub(super) enum Service {
    /// Sends us objects.
    UploadPack,
    /// Takes objects and moves branches.
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
    /// The original one, announced.
    V1,
    /// The one with commands.
    #[default]
    V2,
}

impl Protocol {
    /// Returns the version to push with: there is no version 2 of that.
    pub(super) fn for_push(self) -> Self {
        match self {
            Protocol::V1 => Protocol::V1,
            Protocol::V0 | Protocol::V2 => Protocol::V0,
        }
    }
}

/// A connection to a git service on which nothing waits for ever.
pub(super) trait Wire: Read + Write + Send {
    /// Replaces the deadline of everything from now on.
    fn set_deadline(&mut self, deadline: Deadline);

    /// Sends what was written of a request that ends after `rest` more octets.
    ///
    /// Only a way that has to tell a request's length beforehand keeps what is written.
    fn send_up_to(&mut self, rest: usize) -> io::Result<()> {
        let _ = rest;
        Ok(())
    }

    /// Ends the conversation without closing the connection, if there is one: from now on reading does not wait.
    fn linger(self: Box<Self>) -> Option<Box<dyn Read + Send>>;
}

/// Returns what an I/O error of a [`Wire`], or of the packet lines read from it, means.
pub(super) fn broken(doing: &'static str, timeouts: Timeouts, deadline: Deadline, error: io::Error) -> Error {
    // What is not plain I/O says itself what it is.
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

/// Connects to a host within the patience for connections.
pub(super) fn dial(
    upstream: &Upstream,
    host: &str,
    port: u16,
    timeouts: Timeouts,
    deadline: Deadline,
) -> Result<Tcp, Error> {
    Error::unless_over(deadline, "connecting")?;
    Tcp::dial(&upstream.dialer, host, port, timeouts, deadline).map_err(|error| match error {
        // One address, so its error is the whole story.
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
