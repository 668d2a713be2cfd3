//! One connection to an HTTP server: requests and their replies, one after the other.

use super::reply::{Body, Head, Step};
use super::url::Url;
use crate::git::{Deadline, Error, Timeouts, TlsError, Upstream, wire};
use crate::net::tls::{self, Stream};
use std::io::{self, Read, Write};

/// Octets read at a time where the end of something must be found.
const PIECE: usize = 16 << 10;

/// The most octets of a reply's rest that are read over to keep the connection.
const REST_MOST: usize = 64 << 10;

/// The most interim replies before a final one.
const INTERIM_MOST: usize = 10;

/// A connection to an HTTP server.
pub(super) struct Connection {
    stream: Stream,
    /// What was read, and how much of it was used.
    buffer: Vec<u8>,
    at: usize,
    body: Body,
    /// Whether it ends behind the reply that is being read.
    close: bool,
    /// Whether a reply came on it: then the server may have grown tired of it since.
    pub(super) used: bool,
}

impl Connection {
    /// Connects to where `url` is.
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

    /// Returns what is left to read, if only to find its end: TLS or not, it is not looked at.
    pub(super) fn linger(self) -> Option<Box<dyn Read + Send>> {
        wire::Wire::linger(Box::new(self.stream.into_tcp()))
    }

    /// Returns whether another request may be sent, having read over what is left of the last reply.
    pub(super) fn is_ready(&mut self) -> bool {
        let mut sink = [0; 4 << 10];
        let mut rest = 0;
        while self.body != Body::Ended && self.body != Body::UntilClose && rest <= REST_MOST {
            match self.read(&mut sink) {
                Ok(count) => rest += count,
                Err(_) => return false,
            }
        }
        self.body == Body::Ended && !self.close && self.at == self.buffer.len() && self.stream.tcp().is_quiet()
    }

    /// Sends a piece of a request, all of it.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Reads the head of the reply; its body comes next in [`Read::read`].
    pub(super) fn head(&mut self) -> io::Result<Head> {
        for _ in 0..INTERIM_MOST {
            let (head, length) = loop {
                match Head::read(&self.buffer[self.at..]).map_err(io::Error::other)? {
                    Some(found) => break found,
                    None => self.fill()?,
                }
            };
            self.at += length;
            // "100 Continue" and the like are no answer yet (RFC 9110 §15.2); 101 would be the last of HTTP.
            if !matches!(head.status, 100 | 102..=199) {
                self.body = head.body;
                self.close = head.close;
                self.used = true;
                return Ok(head);
            }
        }
        Err(io::Error::other("interim replies without an end"))
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
