//! DNS messages as octets, including ones that `dig` cannot send.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::PATIENCE;

/// Record types by number (RFC 1035 §3.2.2).
pub mod kind {
    /// A host's address.
    pub const A: u16 = 1;
    /// The start of a zone's authority.
    pub const SOA: u16 = 6;
    /// The differences between versions of a zone (RFC 1995).
    pub const IXFR: u16 = 251;
    /// All of a zone (RFC 5936).
    pub const AXFR: u16 = 252;
}

/// Operation codes by number.
pub mod opcode {
    /// A query.
    pub const QUERY: u8 = 0;
    /// A zone has changed (RFC 1996).
    pub const NOTIFY: u8 = 4;
}

/// The response code 1: the server cannot parse the query.
pub const FORMERR: u8 = 1;

/// The response code 2: the server failed.
pub const SERVFAIL: u8 = 2;

/// The response code 6: a name exists that should not.
pub const YXDOMAIN: u8 = 6;

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

/// A record of an update of a zone (RFC 2136 §2.4, §2.5).
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The labels of its owner below the zone's name.
    pub owner: &'a [&'a str],
    /// Its type, by number.
    pub kind: u16,
    /// Its class, which determines the meaning of the record: see [`class`].
    pub class: u16,
    /// Its TTL in seconds.
    pub ttl: u32,
    /// Its data.
    pub data: &'a [u8],
}

/// Classes by number.
pub mod class {
    /// The Internet.
    pub const IN: u16 = 1;
    /// In an update: absence or deletion of the record.
    pub const NONE: u16 = 254;
    /// In an update: the record with any data.
    pub const ANY: u16 = 255;
}

/// Returns an unsigned update of `zone` with prerequisites and changes.
///
/// # Panics
///
/// When a label is longer than 63 octets, or data longer than 65,535.
pub fn update(id: u16, zone: &str, prerequisites: &[Record<'_>], changes: &[Record<'_>]) -> Vec<u8> {
    // The zone section has the form of a question for the SOA (RFC 2136 §2.3).
    let mut message = query(id, zone, kind::SOA);
    message[2] = 5 << 3;
    for (place, records) in [(6, prerequisites), (8, changes)] {
        let count = u16::try_from(records.len()).expect("few records");
        message[place..place + 2].copy_from_slice(&count.to_be_bytes());
        for Record { owner, kind, class, ttl, data } in records {
            for label in *owner {
                assert!(label.len() < 64, "a label of {} octets", label.len());
                message.push(label.len() as u8);
                message.extend(label.as_bytes());
            }
            // The zone's name, which begins behind the header.
            message.extend([0xc0, 12]);
            message.extend(kind.to_be_bytes());
            message.extend(class.to_be_bytes());
            message.extend(ttl.to_be_bytes());
            message.extend(u16::try_from(data.len()).expect("little data").to_be_bytes());
            message.extend(*data);
        }
    }
    message
}

/// The id of a message, if it has a header.
pub fn id(message: &[u8]) -> Option<u16> {
    message.get(..2).map(|octets| u16::from_be_bytes([octets[0], octets[1]]))
}

/// The operation code of a message, if it has a header.
pub fn opcode_of(message: &[u8]) -> Option<u8> {
    message.get(2).map(|octet| octet >> 3 & 0x0f)
}

/// The response code of a message, if it has a header.
pub fn rcode(message: &[u8]) -> Option<u8> {
    message.get(3).map(|octet| octet & 0x0f)
}

/// The number of records in the answer section, if it has a header.
pub fn answers(message: &[u8]) -> Option<u16> {
    message.get(6..8).map(|octets| u16::from_be_bytes([octets[0], octets[1]]))
}

/// The name, without its final dot, and the type in the first question of a message.
pub fn question(message: &[u8]) -> Option<(String, u16)> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).into_owned());
        at += length;
    }
    Some((labels.join("."), number(message, at)?))
}

/// A record in the answer section of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'m> {
    /// Its type, by number.
    pub kind: u16,
    /// Its data; names in it may be compressed.
    pub data: &'m [u8],
}

impl Answer<'_> {
    /// The serial of an SOA record.
    pub fn serial(&self) -> Option<u32> {
        // Five numbers are the end of it (RFC 1035 §3.3.13).
        let start = self.data.len().checked_sub(20).filter(|_| self.kind == kind::SOA)?;
        self.data[start..].first_chunk().map(|octets| u32::from_be_bytes(*octets))
    }
}

/// The records in the answer section of a message, as far as they can be read.
pub fn records(message: &[u8]) -> impl Iterator<Item = Answer<'_>> {
    let questions = number(message, 4).unwrap_or_default();
    let mut at = (0..questions).try_fold(12, |at, _| Some(skip_name(message, at)? + 4));
    (0..answers(message).unwrap_or_default()).map_while(move |_| {
        let fields = skip_name(message, at?)?;
        let start = fields + 10;
        let end = start + usize::from(number(message, fields + 8)?);
        at = Some(end);
        Some(Answer { kind: number(message, fields)?, data: message.get(start..end)? })
    })
}

/// The number of two octets at a place.
fn number(message: &[u8], at: usize) -> Option<u16> {
    message.get(at..at + 2).map(|octets| u16::from_be_bytes([octets[0], octets[1]]))
}

/// The place behind the name at a place.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

/// Sends a datagram and waits at most `patience` for one in return.
pub fn exchange(server: SocketAddr, message: &[u8], patience: Duration) -> io::Result<Option<Vec<u8>>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.send(message)?;
    socket.set_read_timeout(Some(patience))?;
    let mut reply = vec![0; 65_535];
    match socket.recv(&mut reply) {
        Ok(length) => {
            reply.truncate(length);
            Ok(Some(reply))
        }
        // ConnectionRefused: no server listens there (yet).
        Err(error)
            if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A connection that carries messages, each preceded by two octets of length (RFC 1035 §4.2.2).
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

/// Returns a message preceded by its length.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_records() {
        let mut message = query(7, "a.x", kind::AXFR);
        message[6..8].copy_from_slice(&[0, 2]);
        message.extend(b"\xc0\x0e\0\x06\0\x01\0\0\0\0\0\x16\0\0\0\0\0\x09");
        message.extend([0; 16]);
        message.extend(b"\x01b\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\xc0\0\x02\x01");
        assert_eq!(question(&message), Some(("a.x".to_owned(), kind::AXFR)));
        let records: Vec<_> = records(&message).collect();
        assert_eq!(records.iter().map(|record| record.kind).collect::<Vec<_>>(), [kind::SOA, kind::A]);
        assert_eq!((records[0].serial(), records[1].serial()), (Some(9), None));
        assert_eq!(records[1].data, [192, 0, 2, 1]);
        assert_eq!(super::records(&message[..40]).count(), 0);
    }

    #[test]
    fn writes_updates() {
        let no = Record { owner: &["a", "b"], kind: 255, class: class::NONE, ttl: 0, data: &[] };
        let delete = Record { owner: &["c"], kind: kind::A, class: class::ANY, ttl: 0, data: &[] };
        let add = Record { owner: &[], kind: kind::A, class: class::IN, ttl: 300, data: &[192, 0, 2, 1] };
        let message = update(0x102, "x", &[no], &[delete, add]);
        assert_eq!(message[..12], [1, 2, 0x28, 0, 0, 1, 0, 1, 0, 2, 0, 0]);
        let records: [&[u8]; 4] = [
            b"\x01x\0\0\x06\0\x01",
            b"\x01a\x01b\xc0\x0c\0\xff\0\xfe\0\0\0\0\0\0",
            b"\x01c\xc0\x0c\0\x01\0\xff\0\0\0\0\0\0",
            b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\xc0\0\x02\x01",
        ];
        assert_eq!(message[12..], records.concat());
    }
}
