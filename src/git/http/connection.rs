//! One connection to an HTTP server: requests and their replies, one after the other.

use super::reply::{Body, Head, Step};
use super::url::Url;
use crate::git::{Deadline, Error, Timeouts, TlsError, Upstream, wire};
use crate::net::tls::{self, Stream};
use std::io::{self, Read, Write};

/// Number of octets read at a time while searching for the end of something.
const PIECE: usize = 16 << 10;

/// Maximum number of octets of a reply that are skipped to keep the connection.
const MAX_REST: usize = 64 << 10;

/// Maximum number of interim replies before a final one.
const MAX_INTERIM: usize = 10;

/// A connection to an HTTP server.
pub(super) struct Connection {
    stream: Stream,
    /// The octets read, and how many of them were used.
    buffer: Vec<u8>,
    at: usize,
    body: Body,
    /// Whether it ends after the current reply.
    close: bool,
    /// Whether a reply was received on it: then the server may have closed it since.
    pub(super) used: bool,
}

impl Connection {
    /// Connects to the server of `url`.
    pub(super) fn open(upstream: &Upstream, url: &Url, timeouts: Timeouts, deadline: Deadline) -> Result<Self, Error> {
        let tcp = wire::dial(upstream, &url.host, url.port, timeouts, deadline)?;
        let stream = match url.secure {
            true => {
                let tls =
                    tls::connect(tcp, &url.host, url.port, &upstream.access.tls).map_err(|error| match error {
                        TlsError::TimedOut { .. } => {
                            let error = io::ErrorKind::TimedOut.into();
                            wire::broken("setting up TLS", timeouts, deadline, error)
                        }
                        error => Error::Tls(error),
                    })?;
                Stream::Tls(Box::new(tls))
            }
            false => Stream::Clear(tcp),
        };
        Ok(Connection { stream, buffer: Vec::new(), at: 0, body: Body::Ended, close: false, used: false })
    }

    pub(super) fn set_deadline(&mut self, deadline: Deadline) {
        self.stream.tcp().set_deadline(Some(deadline));
    }

    /// Returns the raw stream, to wait for its end; its contents, encrypted or not, are ignored.
    pub(super) fn linger(self) -> Option<Box<dyn Read + Send>> {
        wire::Wire::linger(Box::new(self.stream.into_tcp()))
    }

    /// Returns whether another request may be sent, after skipping the rest of the last reply.
    pub(super) fn is_ready(&mut self) -> bool {
        let mut sink = [0; 4 << 10];
        let mut rest = 0;
        while self.body != Body::Ended && self.body != Body::UntilClose && rest <= MAX_REST {
            match self.read(&mut sink) {
                Ok(count) => rest += count,
                Err(_) => return false,
            }
        }
        self.body == Body::Ended && !self.close && self.at == self.buffer.len() && self.stream.tcp().is_quiet()
    }

    /// Sends a whole piece of a request.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Reads the head of the reply; its body comes next in [`Read::read`].
    pub(super) fn head(&mut self) -> io::Result<Head> {
        for _ in 0..MAX_INTERIM {
            let (head, length) = loop {
                match Head::read(&self.buffer[self.at..]).map_err(io::Error::other)? {
                    Some(found) => break found,
                    None => self.fill()?,
                }
            };
            self.at += length;
            // "100 Continue" and the like are interim (RFC 9110 §15.2); 101 would end HTTP.
            if !matches!(head.status, 100 | 102..=199) {
                self.body = head.body;
                self.close = head.close;
                self.used = true;
                return Ok(head);
            }
        }
        Err(io::Error::other("too many interim replies"))
    }

    /// Reads more into the buffer.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let have = self.buffer.len();
        self.buffer.resize(have + PIECE, 0);
        let result = self.stream.read(&mut self.buffer[have..]);
        self.buffer.truncate(have + *result.as_ref().unwrap_or(&0));
        match result {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Read for Connection {
    /// Reads from the body of the reply; nothing at its end.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.body.step(&self.buffer[self.at..]).map_err(io::Error::other)? {
                Step::End => return Ok(0),
                Step::Skip(count) => self.at += count,
                Step::More => self.fill()?,
                Step::Content(_) if out.is_empty() => return Ok(0),
                Step::Content(most) => {
                    let most = out.len().min(usize::try_from(most).unwrap_or(usize::MAX));
                    let ready = &self.buffer[self.at..];
                    let count = match ready.len().min(most) {
                        0 => self.stream.read(&mut out[..most])?,
                        count => {
                            out[..count].copy_from_slice(&ready[..count]);
                            self.at += count;
                            count
                        }
                    };
                    self.body.took(count as u64);
                    return match (count, self.body) {
                        (0, Body::UntilClose) => {
                            self.body = Body::Ended;
                            Ok(0)
                        }
                        (0, _) => Err(io::ErrorKind::UnexpectedEof.into()),
                        (count, _) => Ok(count),
                    };
                }
            }
        }
    }
}
