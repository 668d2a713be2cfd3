//! A TCP connection on which every wait is bounded.

use std::borrow::Borrow;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::dial::{DialError, Dialer};

/// How long to wait for the peer before giving up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For one address of the peer to accept a connection.
    pub connect: Duration,
    /// For the next octet to arrive or leave.
    pub stall: Duration,
    /// For everything, from connecting to the last octet.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts { connect: Duration::from_secs(10), stall: Duration::from_secs(30), total: Duration::from_secs(900) }
    }
}

/// The time at which something must be finished.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    start: Instant,
    after: Duration,
}

impl Deadline {
    /// Returns a deadline that is `after` from now.
    pub fn from_now(after: Duration) -> Self {
        Deadline { start: Instant::now(), after }
    }

    /// Returns the time left, or zero if the deadline has passed.
    pub fn left(&self) -> Duration {
        self.after.saturating_sub(self.start.elapsed())
    }

    /// Returns whether the deadline has passed.
    pub fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// Returns the total time that was available.
    pub fn after(&self) -> Duration {
        self.after
    }
}

/// A TCP connection on which every wait is bounded.
///
/// One socket may be used by several of these, each with its own limits, such as one for reading and one for writing.
#[derive(Debug)]
pub struct Tcp<S = TcpStream> {
    socket: S,
    stall: Duration,
    deadline: Option<Deadline>,
    /// The timeouts that the socket was last set to, so that they are set no more often than needed.
    reading: Option<Duration>,
    writing: Option<Duration>,
}

impl Tcp {
    /// Connects to `port` of `host` within the connection timeout.
    ///
    /// # Errors
    ///
    /// The resolver or address that was tried, and the result.
    pub fn dial(
        dialer: &Dialer,
        host: &str,
        port: u16,
        timeouts: Timeouts,
        deadline: Deadline,
    ) -> Result<Self, DialError> {
        // A timeout of zero is an error.
        let patience = timeouts.connect.min(deadline.left()).max(Duration::from_millis(1));
        let stream = dialer.connect(host, port, patience)?;
        // Requests are written in one piece, so there is nothing to coalesce. If this fails, they are only sent later.
        let _ = stream.set_nodelay(true);
        let mut tcp = Tcp::over(stream, timeouts.stall);
        tcp.set_deadline(Some(deadline));
        Ok(tcp)
    }

    /// Returns the socket.
    pub fn into_socket(self) -> TcpStream {
        self.socket
    }
}

impl<S: Borrow<TcpStream>> Tcp<S> {
    /// Wraps `socket` and limits its waits: `stall` is the timeout for the next octet to arrive or leave.
    pub fn over(socket: S, stall: Duration) -> Self {
        Tcp { socket, stall, deadline: None, reading: None, writing: None }
    }

    /// Sets the timeout for the next octet to arrive or leave.
    pub fn set_stall(&mut self, stall: Duration) {
        self.stall = stall;
    }

    /// Sets or removes the deadline for everything from now on.
    pub fn set_deadline(&mut self, deadline: Option<Deadline>) {
        self.deadline = deadline;
    }

    /// Returns whether the connection is open and has no unread octets.
    pub fn is_quiet(&mut self) -> bool {
        let mut socket = self.socket.borrow();
        if socket.set_nonblocking(true).is_err() {
            return false;
        }
        let quiet = matches!(socket.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        socket.set_nonblocking(false).is_ok() && quiet
    }

    /// Makes reads and writes non-blocking.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_nonblocking(&self) -> io::Result<()> {
        self.socket.borrow().set_nonblocking(true)
    }

    /// Returns the maximum duration of the next wait.
    fn patience(&self) -> io::Result<Option<Duration>> {
        match self.deadline.map_or(self.stall, |deadline| self.stall.min(deadline.left())) {
            left if left.is_zero() => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

impl<S: Borrow<TcpStream>> Read for Tcp<S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let patience = self.patience()?;
            if patience != self.reading {
                self.socket.borrow().set_read_timeout(patience)?;
                self.reading = patience;
            }
            match self.socket.borrow().read(out) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl<S: Borrow<TcpStream>> Write for Tcp<S> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        loop {
            let patience = self.patience()?;
            if patience != self.writing {
                self.socket.borrow().set_write_timeout(patience)?;
                self.writing = patience;
            }
            match self.socket.borrow().write(octets) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns whether a socket operation timed out. Linux reports `WouldBlock`, other systems `TimedOut`.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

/// Returns `host:port`, with an IPv6 address in brackets.
pub fn endpoint(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn reading_ends_at_the_stall_timeout_and_at_the_deadline() {
        let (near, mut far) = pair();
        let mut tcp = Tcp::over(&near, Duration::from_millis(50));
        assert!(is_timeout(&tcp.read(&mut [0; 8]).unwrap_err()));
        let mut tcp = Tcp::over(&near, Duration::from_secs(600));
        tcp.set_deadline(Some(Deadline::from_now(Duration::from_millis(50))));
        far.write_all(b"x").unwrap();
        assert_eq!(tcp.read(&mut [0; 8]).unwrap(), 1);
        assert!(is_timeout(&tcp.read(&mut [0; 8]).unwrap_err()));
        far.write_all(b"y").unwrap();
        assert!(is_timeout(&tcp.read(&mut [0; 8]).unwrap_err()), "the deadline has passed, even if octets arrive");
        tcp.set_deadline(None);
        assert_eq!(tcp.read(&mut [0; 8]).unwrap(), 1);
    }

    #[test]
    fn writing_ends_with_the_deadline() {
        let (near, _far) = pair();
        let mut tcp = Tcp::over(&near, Duration::from_secs(600));
        tcp.set_deadline(Some(Deadline::from_now(Duration::from_millis(200))));
        // Until all buffers in between are full.
        let error = loop {
            if let Err(error) = tcp.write_all(&[0; 64 * 1024]) {
                break error;
            }
        };
        assert!(is_timeout(&error), "{error}");
    }

    #[test]
    fn a_quiet_connection_is_open_and_has_nothing_to_read() {
        let (near, mut far) = pair();
        let mut tcp = Tcp::over(&near, Duration::from_secs(600));
        assert!(tcp.is_quiet());
        far.write_all(b"x").unwrap();
        assert_eq!(near.peek(&mut [0]).unwrap(), 1);
        assert!(!tcp.is_quiet());
    }
}
