//! Reads transfers of large zones without storing them.

use std::io::{self, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::PATIENCE;
use crate::wire::{self, Connection, kind};

/// A transfer of a whole zone that is under way, unsigned.
#[derive(Debug)]
pub struct Transfer {
    connection: Connection,
    id: u16,
    /// The totals so far.
    pub seen: Seen,
}

/// The totals of a transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The number of messages.
    pub messages: u64,
    /// The number of octets.
    pub octets: u64,
    /// The number of records, including both SOA records.
    pub records: u64,
    /// The serial at the beginning.
    pub first: Option<u32>,
    /// The serial at the end.
    pub last: Option<u32>,
    /// The sum of all addresses (type A) as numbers: two versions of a zone have different ones.
    pub addresses: u64,
}

impl Transfer {
    /// Requests `zone` from the server at `address`, without reading yet.
    pub fn begin(address: SocketAddr, zone: &str) -> io::Result<Transfer> {
        let mut connection = Connection::open(address)?;
        let id = 4711;
        connection.send(&wire::query(id, zone, kind::AXFR))?;
        Ok(Transfer { connection, id, seen: Seen::default() })
    }

    /// Reads one more message; returns whether the transfer is complete.
    pub fn step(&mut self) -> io::Result<bool> {
        let message = self.connection.receive()?.ok_or(ErrorKind::UnexpectedEof)?;
        if wire::rcode(&message) != Some(0) || wire::id(&message) != Some(self.id) {
            return Err(io::Error::new(ErrorKind::InvalidData, format!("response code {:?}", wire::rcode(&message))));
        }
        let seen = &mut self.seen;
        seen.messages += 1;
        seen.octets += message.len() as u64;
        let mut read = 0;
        for record in wire::records(&message) {
            read += 1;
            seen.records += 1;
            match record.kind {
                kind::SOA if seen.first.is_none() => seen.first = record.serial(),
                kind::SOA => seen.last = record.serial(),
                kind::A => {
                    let octets = record.data.first_chunk().copied().unwrap_or_default();
                    seen.addresses += u64::from(u32::from_be_bytes(octets));
                }
                _ => {}
            }
        }
        if Some(read) != wire::answers(&message) {
            return Err(io::Error::new(ErrorKind::InvalidData, "a record that cannot be read"));
        }
        Ok(seen.last.is_some())
    }

    /// Reads the rest.
    pub fn finish(mut self) -> io::Result<Seen> {
        while !self.step()? {}
        Ok(self.seen)
    }
}

/// Transfers `zone`, which has so many `records` with its SOA record counted twice, as fast as possible, and parses no
/// more than the messages' headers; returns the numbers of messages and octets.
pub fn drain(address: SocketAddr, zone: &str, records: u64) -> io::Result<(u64, u64)> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    (&stream).write_all(&wire::frame(&wire::query(1, zone, kind::AXFR)))?;
    let mut reader = BufReader::with_capacity(1 << 20, stream);
    let (mut messages, mut octets, mut seen) = (0, 0, 0);
    let mut message = vec![0; 65_535];
    while seen < records {
        let mut length = [0; 2];
        reader.read_exact(&mut length)?;
        let message = &mut message[..usize::from(u16::from_be_bytes(length))];
        reader.read_exact(message)?;
        let (Some(0), Some(answers)) = (wire::rcode(message), wire::answers(message)) else {
            return Err(io::Error::new(ErrorKind::InvalidData, format!("response code {:?}", wire::rcode(message))));
        };
        messages += 1;
        octets += message.len() as u64;
        seen += u64::from(answers);
    }
    Ok((messages, octets))
}
