//! A conversation in packet lines, over any [`Wire`].

use super::{
    Deadline, Error, Timeouts,
    wire::{Service, Wire, broken},
};
use crate::text::printable;
use gix_packetline::{PacketLineRef, blocking_io::StreamingPeekableIter};
use std::io::{self, BufReader, Read, Write};

/// Packet lines from the remote.
pub(super) type Lines = StreamingPeekableIter<BufReader<Box<dyn Wire>>>;

/// An open conversation with a git service.
pub(super) struct Transport {
    lines: Lines,
    timeouts: Timeouts,
    deadline: Deadline,
    /// The current activity, for error messages.
    pub(super) doing: &'static str,
}

impl Transport {
    /// Starts a conversation over `wire`, from which nothing has been read yet.
    pub(super) fn over(wire: Box<dyn Wire>, doing: &'static str, timeouts: Timeouts, deadline: Deadline) -> Self {
        let lines = StreamingPeekableIter::new(BufReader::with_capacity(32 << 10, wire), &[], false);
        Transport { lines, timeouts, deadline, doing }
    }

    /// Sends a request made of packet lines.
    pub(super) fn send(&mut self, request: &[u8]) -> Result<(), Error> {
        let doing = self.doing;
        let sent = self.lines.inner_mut().get_mut().write_all(request);
        sent.map_err(|error| self.lost_while(doing, error))
    }

    /// Returns the next line; an error line of the remote is an error.
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

    /// Replaces the deadline of all later operations.
    pub(super) fn set_deadline(&mut self, deadline: Deadline) {
        self.deadline = deadline;
        self.lines.inner_mut().get_mut().set_deadline(deadline);
    }

    /// Sends the buffered part of a request of which `rest` more octets follow.
    pub(super) fn send_up_to(&mut self, rest: usize) -> Result<(), Error> {
        let doing = self.doing;
        let sent = self.lines.inner_mut().get_mut().send_up_to(rest);
        sent.map_err(|error| self.lost_while(doing, error))
    }

    /// Ends the conversation without closing the connection, if there is one; see [`Wire::linger`].
    pub(super) fn linger(self) -> Option<Box<dyn Read + Send>> {
        self.lines.into_inner().into_inner().linger()
    }

    /// Returns the underlying packet lines, for the reader of a pack.
    pub(super) fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    /// Returns what an I/O error means at this point of the conversation.
    pub(super) fn lost(&self, error: io::Error) -> Error {
        self.lost_while(self.doing, error)
    }

    /// Skips what HTTP puts before the greeting (gitprotocol-http(5), "Smart Server Response").
    pub(super) fn skip_announcement(&mut self, service: Service) -> Result<(), Error> {
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
