//! DNS messages as octets: for what `dig` would never send.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::PATIENCE;

/// Record types by number (RFC 1035 §3.2.2).
pub mod kind {
    /// A host's address.
    pub const A: u16 = 1;
    /// The start of a zone's authority.
    pub const SOA: u16 = 6;
}

/// The response code 1: the server cannot make sense of the query.
pub const FORMERR: u8 = 1;

/// A query for `name` and a record type, without EDNS.
///
/// # Panics
///
/// When a label of `name` is longer than 63 octets.
pub fn query(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut message = Vec::new();
    message.extend(id.to_be_bytes());
    message.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        assert!(label.len() < 64, "a label of {} octets", label.len());
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    message
}

/// The id of a message, if it has a header.
pub fn id(message: &[u8]) -> Option<u16> {
    message.get(..2).map(|octets| u16::from_be_bytes([octets[0], octets[1]]))
}

/// The response code of a message, if it has a header.
pub fn rcode(message: &[u8]) -> Option<u8> {
    message.get(3).map(|octet| octet & 0x0f)
}

/// The number of records in the answer section, if it has a header.
pub fn answers(message: &[u8]) -> Option<u16> {
    message.get(6..8).map(|octets| u16::from_be_bytes([octets[0], octets[1]]))
}

/// Sends a datagram and waits at most `patience` for one in return.
pub fn exchange(server: SocketAddr, message: &[u8], patience: Duration) -> io::Result<Option<Vec<u8>>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(server)?;
    socket.send(message)?;
    socket.set_read_timeout(Some(patience))?;
    let mut reply = vec![0; 65_535];
    match socket.recv(&mut reply) {
        Ok(length) => {
            reply.truncate(length);
            Ok(Some(reply))
        }
        // ConnectionRefused: nobody listens there (yet).
        Err(error)
            if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A connection that carries messages, each behind two octets of length (RFC 1035 §4.2.2).
#[derive(Debug)]
pub struct Connection(TcpStream);

impl Connection {
    /// Connects to `server`.
    pub fn open(server: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Connection(stream))
    }

    /// Waits at most `patience` for a message from now on, instead of [`PATIENCE`].
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(patience))
    }

    /// Sends one message.
    pub fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.0.write_all(&frame(message))
    }

    /// Sends octets as they are.
    pub fn send_raw(&mut self, octets: &[u8]) -> io::Result<()> {
        self.0.write_all(octets)
    }

    /// The next message, or `None` when the server has closed the connection.
    pub fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut length = [0; 2];
        match self.0.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        self.0.read_exact(&mut message)?;
        Ok(Some(message))
    }
}

/// A message behind its length.
///
/// # Panics
///
/// When the message is longer than 65,535 octets.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("a message has at most 65,535 octets");
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend(message);
    framed
}
