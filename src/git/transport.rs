//! The way to a git service: dial, say what is wanted, then lines both ways.
//!
//! Every wait on the remote happens in [`Tcp`](crate::net::Tcp) and has an end. The conversation above is requests and answers in packet
//! lines, which is what git speaks to its daemon, over SSH and in the bodies of HTTP alike: each way is a [`Wire`].

use super::{Deadline, Error, Kind, Protocol, Timeouts, Upstream, http, ssh};
use crate::net::{DialError, Tcp, endpoint, is_timeout};
use crate::text::printable;
use gix_packetline::{PacketLineRef, blocking_io::StreamingPeekableIter};
use std::io::{self, BufReader, Read, Write};

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

/// Packet lines from the remote.
pub(super) type Lines = StreamingPeekableIter<BufReader<Box<dyn Wire>>>;

/// An open conversation with a git service.
pub(super) struct Transport {
    lines: Lines,
    timeouts: Timeouts,
    deadline: Deadline,
    /// What we are waiting for, for messages.
    pub(super) doing: &'static str,
}

impl Transport {
    /// Connects to the remote and asks for `service`; the service's greeting comes next in [`Transport::line`].
    pub(super) fn open(
        upstream: &Upstream,
        service: Service,
        protocol: Protocol,
        timeouts: Timeouts,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        let doing = match service {
            Service::UploadPack => "opening the repository",
            Service::ReceivePack => "opening the repository for a push",
        };
        let remote = &upstream.remote;
        let wire: Box<dyn Wire> = match remote.kind() {
            Kind::Git => Box::new(dial(upstream, remote.host(), remote.port(), timeouts, deadline)?),
            Kind::Http | Kind::Https => Box::new(http::open(upstream, service, protocol, timeouts, deadline)?),
            Kind::Ssh => Box::new(ssh::open(upstream, service, timeouts, deadline)?),
        };
        let lines = StreamingPeekableIter::new(BufReader::with_capacity(32 << 10, wire), &[], false);
        let mut transport = Transport { lines, timeouts, deadline, doing };
        match remote.kind() {
            Kind::Git => {
                let version = match protocol {
                    Protocol::V0 => "",
                    Protocol::V1 => "\0version=1\0",
                    Protocol::V2 => "\0version=2\0",
                };
                let (program, path, host) = (service.program(), remote.program_path(), remote.endpoint());
                let mut request = Vec::new();
                let line = format!("{program} {path}\0host={host}\0{version}");
                gix_packetline::blocking_io::encode::data_to_write(line.as_bytes(), &mut request)
                    .map_err(|error| transport.lost(error))?;
                transport.send(&request)?;
            }
            Kind::Http | Kind::Https => transport.skip_announcement(service)?,
            Kind::Ssh => {}
        }
        Ok(transport)
    }

    /// Sends a request made of packet lines.
    pub(super) fn send(&mut self, request: &[u8]) -> Result<(), Error> {
        let doing = self.doing;
        let sent = self.lines.inner_mut().get_mut().write_all(request);
        sent.map_err(|error| self.lost_while(doing, error))
    }

    /// Returns the next line; a complaint of the remote is an error.
    pub(super) fn line(&mut self) -> Result<PacketLineRef<'_>, Error> {
        let (doing, timeouts, deadline) = (self.doing, self.timeouts, self.deadline);
        match self.lines.read_line() {
            Some(Ok(Ok(line))) => match line.check_error() {
                Some(complaint) => Err(Error::Refused { doing, message: printable(complaint.0) }),
                None => Ok(line),
            },
            Some(Ok(Err(error))) => Err(Error::protocol(doing, printable(error.to_string().as_bytes()))),
            Some(Err(error)) => Err(broken(doing, timeouts, deadline, error)),
            None => Err(Error::protocol(doing, "the remote ended the conversation")),
        }
    }

    /// Replaces the deadline of everything from now on.
    pub(super) fn set_deadline(&mut self, deadline: Deadline) {
        self.deadline = deadline;
        self.lines.inner_mut().get_mut().set_deadline(deadline);
    }

    /// Sends what was sent of a request that ends after `rest` more octets, should it have been held back.
    pub(super) fn send_up_to(&mut self, rest: usize) -> Result<(), Error> {
        let doing = self.doing;
        let sent = self.lines.inner_mut().get_mut().send_up_to(rest);
        sent.map_err(|error| self.lost_while(doing, error))
    }

    /// Ends the conversation without closing the connection, if there is one; see [`Wire::linger`].
    pub(super) fn linger(self) -> Option<Box<dyn Read + Send>> {
        self.lines.into_inner().into_inner().linger()
    }

    /// Returns the lines as such, for the reader of a pack.
    pub(super) fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    /// Returns what an I/O error means at this point of the conversation.
    pub(super) fn lost(&self, error: io::Error) -> Error {
        self.lost_while(self.doing, error)
    }

    /// Reads over what only HTTP puts before the greeting (gitprotocol-http(5), "Smart Server Response").
    fn skip_announcement(&mut self, service: Service) -> Result<(), Error> {
        let (doing, timeouts, deadline) = (self.doing, self.timeouts, self.deadline);
        let expected = format!("# service={}", service.program());
        let announced = match self.lines.peek_line() {
            Some(Ok(Ok(PacketLineRef::Data(line)))) => line.starts_with(b"# service=").then(|| line.to_vec()),
            Some(Ok(Ok(_))) | None => None,
            Some(Ok(Err(error))) => return Err(Error::protocol(doing, printable(error.to_string().as_bytes()))),
            Some(Err(error)) => return Err(broken(doing, timeouts, deadline, error)),
        };
        let Some(announced) = announced else { return Ok(()) };
        if announced.trim_ascii_end() != expected.as_bytes() {
            return Err(Error::protocol(doing, "the remote opens another service than was asked for"));
        }
        self.line()?;
        match self.line()? {
            PacketLineRef::Flush => Ok(()),
            _ => Err(Error::protocol(doing, "no end to the announcement of the service")),
        }
    }

    fn lost_while(&self, doing: &'static str, error: io::Error) -> Error {
        broken(doing, self.timeouts, self.deadline, error)
    }
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
