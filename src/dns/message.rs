//! A reader for DNS messages that decompresses names and data (RFC 1035 §4).
//!
//! [`Reader`] returns one question or record at a time, so the caller decides how much of a message stays in memory. A
//! name costs at most 254 steps and 255 octets, wherever its pointers lead. Each octet of a message expands to at most
//! 51 octets of [`Record`]s (the worst case is a record of sixteen octets whose owner and two names are all pointers to
//! names of maximum length), so all records of the largest message take less than 4 MB.
//!
//! The fast path for queries does not use this module: it reads in place and decompresses nothing.

use std::borrow::Cow;
use std::fmt;

use crate::dns::name::{MAX_LABEL, MAX_LABELS, MAX_NAME};
use crate::dns::rdata::naptr;
use crate::dns::{Name, Type, check_data_form};

/// The length of a message's header in octets (RFC 1035 §4.1.1).
pub(crate) const HEADER: usize = 12;

/// The DNS port for UDP and TCP (RFC 1035 §4.2).
pub const PORT: u16 = 53;

/// A message's header (RFC 1035 §4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The identifier by which the client matches responses to requests.
    pub id: u16,
    /// The third and fourth octets: QR, opcode, flags and response code.
    pub flags: u16,
    /// The number of questions, and of records in each section, as the header states them.
    pub counts: [u16; 4],
}

/// A response code, including the upper bits from EDNS (RFC 1035 §4.1.1, RFC 6895 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rcode(u16);

impl Rcode {
    /// No error.
    pub const NO_ERROR: Self = Self(0);
    /// The server could not interpret the message.
    pub const FORMAT_ERROR: Self = Self(1);
    /// The server failed to process the request.
    pub const SERVER_FAILURE: Self = Self(2);
    /// The name does not exist.
    pub const NAME_ERROR: Self = Self(3);
    /// The server does not support this operation.
    pub const NOT_IMPLEMENTED: Self = Self(4);
    /// The server refuses the operation to this client.
    pub const REFUSED: Self = Self(5);
    /// A name exists when it should not.
    pub const YX_DOMAIN: Self = Self(6);
    /// An RRset exists when it should not.
    pub const YX_RRSET: Self = Self(7);
    /// An RRset that should exist does not.
    pub const NX_RRSET: Self = Self(8);
    /// The server is not authoritative for the zone, or the client is not authorized.
    pub const NOT_AUTHORITATIVE: Self = Self(9);
    /// The name is outside the zone.
    pub const NOT_ZONE: Self = Self(10);
    /// The EDNS version is not supported.
    pub const BAD_VERSION: Self = Self(16);
    /// The cookie is missing or wrong.
    pub const BAD_COOKIE: Self = Self(23);

    /// Returns the part for the header's flags: the lower four bits.
    pub(crate) fn flags(self) -> u16 {
        self.0 & 0xf
    }

    /// Returns the part for an OPT record: the upper eight bits (RFC 6891 §6.1.3).
    pub(crate) fn upper(self) -> u8 {
        (self.0 >> 4) as u8
    }
}

/// Writes the mnemonic (RFC 6895 §2.3).
impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::NO_ERROR => "NOERROR",
            Self::FORMAT_ERROR => "FORMERR",
            Self::SERVER_FAILURE => "SERVFAIL",
            Self::NAME_ERROR => "NXDOMAIN",
            Self::NOT_IMPLEMENTED => "NOTIMP",
            Self::REFUSED => "REFUSED",
            Self::YX_DOMAIN => "YXDOMAIN",
            Self::YX_RRSET => "YXRRSET",
            Self::NX_RRSET => "NXRRSET",
            Self::NOT_AUTHORITATIVE => "NOTAUTH",
            Self::NOT_ZONE => "NOTZONE",
            Self::BAD_VERSION => "BADVERS",
            Self::BAD_COOKIE => "BADCOOKIE",
            Self(other) => return write!(f, "RCODE{other}"),
        })
    }
}

/// Classes, and the special values that updates use (RFC 1035 §3.2.4, RFC 2136 §2.4, §2.5).
pub(crate) mod class {
    /// The class of all zones served.
    pub(crate) const IN: u16 = 1;
    pub(crate) const NONE: u16 = 254;
    pub(crate) const ANY: u16 = 255;
}

/// Opcodes (RFC 6895 §2.2).
pub(crate) mod opcode {
    pub(crate) const QUERY: u8 = 0;
    /// RFC 1996 §3.3.
    pub(crate) const NOTIFY: u8 = 4;
    /// RFC 2136 §1.3.
    pub(crate) const UPDATE: u8 = 5;
}

/// A question (RFC 1035 §4.1.2); an update's zone section has the same form (RFC 2136 §2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The queried name.
    pub name: Name,
    /// The queried type.
    pub qtype: Type,
    /// The queried class.
    pub qclass: u16,
}

/// A record (RFC 1035 §4.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The owner.
    pub owner: Name,
    /// The type.
    pub rtype: Type,
    /// The class, or what replaces it in updates and OPT records (RFC 2136 §2.4, RFC 6891 §6.1.2).
    pub class: u16,
    /// The time to live in seconds, or what replaces it in an OPT record.
    pub ttl: u32,
    /// The data in uncompressed wire form: either empty or valid for the type.
    pub data: Box<[u8]>,
}

/// A section of records; in an update they are the prerequisite, update and additional sections (RFC 2136 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The first section.
    Answer,
    /// The second section.
    Authority,
    /// The third section.
    Additional,
}

/// The reason why octets are not a DNS message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The message ends within the item that begins at this octet.
    Truncated {
        /// The offset of the item.
        at: usize,
    },
    /// A label has more than 63 octets, or a name more than 255.
    Name {
        /// The offset of the name.
        at: usize,
    },
    /// A compression pointer does not point backwards, or there are too many in one name.
    Pointer {
        /// The offset of the name.
        at: usize,
    },
    /// The data of a record is not valid for its type.
    Data {
        /// The offset of the record.
        at: usize,
        /// The record's type.
        rtype: Type,
        /// The reason.
        reason: Cow<'static, str>,
    },
    /// There are octets after the last record.
    Trailing {
        /// The offset of the first such octet.
        at: usize,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { at } => write!(f, "octet {at}: the message ends within a header, name or record"),
            Self::Name { at } => write!(f, "octet {at}: the name or one of its labels is too long"),
            Self::Pointer { at } => write!(f, "octet {at}: the name has an invalid compression pointer"),
            Self::Data { at, rtype, reason } => write!(f, "octet {at}: bad {rtype} record: {reason}"),
            Self::Trailing { at } => {
                write!(f, "octet {at}: there are octets after the last record that the header counts")
            }
        }
    }
}

impl std::error::Error for Malformed {}

impl Header {
    /// Returns whether the message is a response.
    pub fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// Returns the opcode (RFC 6895 §2.2).
    pub fn opcode(&self) -> u8 {
        (self.flags >> 11 & 0xf) as u8
    }

    /// Returns whether the responder is authoritative (flag AA).
    pub fn is_authoritative(&self) -> bool {
        self.flags & 0x0400 != 0
    }

    /// Returns whether the message is truncated (flag TC).
    pub fn is_truncated(&self) -> bool {
        self.flags & 0x0200 != 0
    }

    /// Returns the response code without the upper bits from EDNS.
    pub fn rcode(&self) -> Rcode {
        Rcode(self.flags & 0xf)
    }
}

/// Builds a message that consists of a header and one question of class IN.
pub(crate) fn request(id: u16, flags: u16, name: &Name, qtype: Type) -> Vec<u8> {
    let mut message = Vec::with_capacity(512);
    for field in [id, flags, 1, 0, 0, 0] {
        message.extend(field.to_be_bytes());
    }
    message.extend_from_slice(name.as_wire());
    message.extend(qtype.0.to_be_bytes());
    message.extend(class::IN.to_be_bytes());
    message
}

/// A reader that goes through a message from start to end.
#[derive(Clone, Debug)]
pub struct Reader<'m> {
    message: &'m [u8],
    at: usize,
    header: Header,
    /// The number of questions, and of records in each section, not yet read.
    left: [u16; 4],
}

impl<'m> Reader<'m> {
    /// Reads the header.
    ///
    /// # Errors
    ///
    /// [`Malformed::Truncated`].
    pub fn new(message: &'m [u8]) -> Result<Self, Malformed> {
        let header = message.first_chunk::<HEADER>().ok_or(Malformed::Truncated { at: 0 })?;
        let at = |index: usize| u16::from_be_bytes([header[index], header[index + 1]]);
        let header = Header { id: at(0), flags: at(2), counts: [at(4), at(6), at(8), at(10)] };
        Ok(Self { message, at: HEADER, header, left: header.counts })
    }

    /// Returns the header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Reads the next question; returns `None` after the last.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the question. The message cannot be read further after an error.
    pub fn question(&mut self) -> Result<Option<Question>, Malformed> {
        if self.left[0] == 0 {
            return Ok(None);
        }
        self.left[0] -= 1;
        let at = self.at;
        let name = self.name()?;
        let [t0, t1, c0, c1] = *self.take::<4>(at)?;
        Ok(Some(Question { name, qtype: Type(u16::from_be_bytes([t0, t1])), qclass: u16::from_be_bytes([c0, c1]) }))
    }

    /// Reads the next record, skipping unread questions; returns `None` after the last, where the message must end.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the record, or that octets follow the last one. The message cannot be read further
    /// after an error.
    pub fn record(&mut self) -> Result<Option<(Section, Record)>, Malformed> {
        while self.question()?.is_some() {}
        let sections = [Section::Answer, Section::Authority, Section::Additional];
        let Some((section, left)) = sections.into_iter().zip(&mut self.left[1..]).find(|(_, left)| **left > 0) else {
            return if self.at == self.message.len() { Ok(None) } else { Err(Malformed::Trailing { at: self.at }) };
        };
        *left -= 1;
        let at = self.at;
        let owner = self.name()?;
        let [t0, t1, c0, c1, l0, l1, l2, l3, d0, d1] = *self.take::<10>(at)?;
        let rtype = Type(u16::from_be_bytes([t0, t1]));
        let end = self.at + usize::from(u16::from_be_bytes([d0, d1]));
        if end > self.message.len() {
            return Err(Malformed::Truncated { at });
        }
        let data = self.data(rtype, end).map_err(|fault| match fault {
            Malformed::Truncated { .. } => {
                Malformed::Data { at, rtype, reason: "its fields end before or after the data does".into() }
            }
            other => other,
        })?;
        if !data.is_empty() {
            check_data_form(rtype, &data).map_err(|wrong| Malformed::Data { at, rtype, reason: wrong.reason })?;
        }
        self.at = end;
        let class = u16::from_be_bytes([c0, c1]);
        let ttl = u32::from_be_bytes([l0, l1, l2, l3]);
        Ok(Some((section, Record { owner, rtype, class, ttl, data })))
    }

    /// Reads the name at the current offset and moves past it.
    fn name(&mut self) -> Result<Name, Malformed> {
        let (name, end) = expand(self.message, self.at)?;
        self.at = end;
        Ok(name)
    }

    /// Takes the next `N` octets, part of the item that begins at `start`.
    fn take<const N: usize>(&mut self, start: usize) -> Result<&'m [u8; N], Malformed> {
        let octets = self.message.get(self.at..).and_then(|rest| rest.first_chunk());
        self.at += N;
        octets.ok_or(Malformed::Truncated { at: start })
    }

    /// Returns the data from the current offset to `end` with its names decompressed.
    fn data(&self, rtype: Type, end: usize) -> Result<Box<[u8]>, Malformed> {
        let message = &self.message[..end];
        let data = &message[self.at..];
        let truncated = Malformed::Truncated { at: self.at };
        let Some((front, count)) = names_to_expand(rtype, data).filter(|_| !data.is_empty()) else {
            return Ok(data.into());
        };
        let mut expanded = data.get(..front).ok_or(truncated)?.to_vec();
        let mut at = self.at + front;
        for _ in 0..count {
            let (name, after) = expand(message, at)?;
            expanded.extend_from_slice(name.as_wire());
            at = after;
        }
        expanded.extend_from_slice(&message[at..]);
        Ok(expanded.into())
    }
}

/// Returns where in a type's data the names are that a receiver must decompress (RFC 3597 §4): the number of octets
/// before them and the number of names.
fn names_to_expand(rtype: Type, data: &[u8]) -> Option<(usize, usize)> {
    match rtype {
        // If the data ends before the name, the later check reports it.
        Type::NAPTR => Some((naptr::replacement_at(data)?, 1)),
        _ => rtype.expandable(),
    }
}

/// Returns the decompressed name at an offset of a message, and the offset after it.
fn expand(message: &[u8], start: usize) -> Result<(Name, usize), Malformed> {
    let mut wire = [0; MAX_NAME];
    let (mut len, mut at) = (0, start);
    // The start of the labels being read; a pointer must point before it (RFC 1035 §4.1.4).
    let mut labels = start;
    let mut end = None;
    let mut pointers = 0;
    loop {
        let octet = *message.get(at).ok_or(Malformed::Truncated { at: start })?;
        match usize::from(octet) {
            0xc0.. => {
                let low = *message.get(at + 1).ok_or(Malformed::Truncated { at: start })?;
                let to = usize::from(octet & 0x3f) << 8 | usize::from(low);
                end = end.or(Some(at + 2));
                pointers += 1;
                // More than one pointer per label serves no purpose.
                if to >= labels || to < HEADER || pointers > MAX_LABELS + 1 {
                    return Err(Malformed::Pointer { at: start });
                }
                (at, labels) = (to, to);
            }
            label if label <= MAX_LABEL => {
                let octets = message.get(at..=at + label).ok_or(Malformed::Truncated { at: start })?;
                let place = wire.get_mut(len..len + octets.len()).ok_or(Malformed::Name { at: start })?;
                place.copy_from_slice(octets);
                len += octets.len();
                at += octets.len();
                if label == 0 {
                    let name = Name::from_wire(&wire[..len]).map_err(|_| Malformed::Name { at: start })?;
                    return Ok((name, end.unwrap_or(at)));
                }
            }
            _ => return Err(Malformed::Name { at: start }),
        }
    }
}

#[cfg(test)]
mod tests;
