//! The way to a git service: dial, say what is wanted, then lines both ways.
//!
//! Every wait on the remote happens here and has an end. The conversation above is requests and answers in packet lines,
//! which is what git speaks to its daemon, over ssh and in the bodies of HTTP alike; another way to get there takes the
//! place of [`Link`] and of the daemon's request in [`Transport::open`].

use super::{
    Deadline, Error, Protocol, Remote, Timeouts,
    error::{is_timeout, printable},
};
use gix_packetline::{PacketLineRef, blocking_io::StreamingPeekableIter};
use std::{
    io::{self, BufReader, Read, Write},
    net::{TcpStream, ToSocketAddrs},
};

/// What git calls the program at the other end.
#[derive(Clone, Copy)]
pub(super) enum Service {
    /// Sends us objects.
    UploadPack,
    /// Takes objects and moves branches.
    ReceivePack,
}

/// Packet lines from the remote.
pub(super) type Lines = StreamingPeekableIter<BufReader<Link>>;

/// An open conversation with a git service.
pub(super) struct Transport {
    lines: Lines,
    timeouts: Timeouts,
    deadline: Deadline,
    /// What we are waiting for, for messages.
    pub(super) doing: &'static str,
}

impl Transport {
    /// Connects to `remote` and asks for `service`; the service's greeting comes next in [`Transport::line`].
    pub(super) fn open(
        remote: &Remote,
        service: Service,
        protocol: Protocol,
        timeouts: Timeouts,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        let link = Link { stream: dial(remote, timeouts, deadline)?, timeouts, deadline };
        let lines = StreamingPeekableIter::new(BufReader::with_capacity(32 << 10, link), &[], false);
        let (service, doing) = match service {
            Service::UploadPack => ("git-upload-pack", "opening the repository"),
            Service::ReceivePack => ("git-receive-pack", "opening the repository for a push"),
        };
        let mut transport = Transport { lines, timeouts, deadline, doing };
        // A home directory is named without the slash that a URL needs.
        let path = remote.path();
        let path = if path.starts_with("/~") { &path[1..] } else { path };
        let version = match protocol {
            Protocol::V0 => "",
            Protocol::V1 => "\0version=1\0",
            Protocol::V2 => "\0version=2\0",
        };
        let mut request = Vec::new();
        let line = format!("{service} {path}\0host={}\0{version}", remote.endpoint());
        gix_packetline::blocking_io::encode::data_to_write(line.as_bytes(), &mut request)
            .map_err(|error| transport.lost(error))?;
        transport.send(&request)?;
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
        self.lines.inner_mut().get_mut().deadline = deadline;
    }

    /// Ends the conversation without closing the connection.
    pub(super) fn into_stream(self) -> TcpStream {
        self.lines.into_inner().into_inner().stream
    }

    /// Returns the lines as such, for the reader of a pack.
    pub(super) fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    /// Returns what an I/O error means at this point of the conversation.
    pub(super) fn lost(&self, error: io::Error) -> Error {
        self.lost_while(self.doing, error)
    }

    fn lost_while(&self, doing: &'static str, error: io::Error) -> Error {
        broken(doing, self.timeouts, self.deadline, error)
    }
}

/// Returns what an I/O error of a [`Link`], or of the packet lines read from it, means.
pub(super) fn broken(doing: &'static str, timeouts: Timeouts, deadline: Deadline, error: io::Error) -> Error {
    match error.kind() {
        _ if is_timeout(&error) && deadline.left().is_zero() => deadline.missed(doing),
        _ if is_timeout(&error) => Error::TimedOut { doing, after: timeouts.stall },
        io::ErrorKind::Other | io::ErrorKind::InvalidData => {
            Error::protocol(doing, printable(error.to_string().as_bytes()))
        }
        _ => Error::Lost { doing, source: error },
    }
}

/// A TCP connection on which nothing waits for ever.
pub(super) struct Link {
    stream: TcpStream,
    timeouts: Timeouts,
    deadline: Deadline,
}

impl Link {
    /// Returns how long the next wait may be.
    fn patience(&self) -> io::Result<std::time::Duration> {
        match self.timeouts.stall.min(self.deadline.left()) {
            left if left.is_zero() => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

impl Read for Link {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.patience()?))?;
        self.stream.read(out)
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.patience()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Connects to the first address of the remote's host that answers.
///
/// Looking up a name is the one wait whose length is not ours to set.
fn dial(remote: &Remote, timeouts: Timeouts, deadline: Deadline) -> Result<TcpStream, Error> {
    const DOING: &str = "connecting";
    let unresolved = |source| Error::Resolve { host: remote.host().into(), source };
    let addresses = (remote.host(), remote.port()).to_socket_addrs().map_err(unresolved)?;
    let mut last = None;
    for address in addresses {
        deadline.check(DOING)?;
        // A wait of zero is an error of its own.
        let patience = timeouts.connect.min(deadline.left()).max(std::time::Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => {
                // Requests are written whole, so there is nothing to gather; if it cannot be set, they leave later.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(source) => Err(Error::Connect { to: remote.endpoint(), source }),
        None => Err(unresolved(io::Error::new(io::ErrorKind::NotFound, "the name has no addresses"))),
    }
}
