//! Transfer requests, and the decision who may transfer a zone.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::answer::{Framing, Transport};
use crate::dns::message::{Malformed, Rcode, Reader, Section, class, opcode};
use crate::dns::{Name, Serial, Type};
use crate::keys::{Grant, Operation};
use crate::tsig;
use crate::zone::{Entry, Zone};

/// The kind of a transfer request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The whole zone (RFC 5936).
    Axfr,
    /// The changes since the version with this serial number (RFC 1995).
    Ixfr(Serial),
}

/// A well-formed request for a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    id: u16,
    recursion_desired: bool,
    question: Box<[u8]>,
    zone: Name,
    class: u16,
    kind: Kind,
}

/// The reason why a message is not a valid transfer request: FORMERR, except for [`Self::NotForTransfer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The message is something else.
    NotForTransfer,
    /// The message is malformed.
    Malformed(Malformed),
    /// The answer section is not empty (RFC 5936 §2.1.1).
    Answer,
    /// The authority section of an AXFR request is not empty (RFC 5936 §2.1.1), or that of an IXFR request is not
    /// exactly one SOA record of the zone (RFC 1995 §3).
    Authority,
    /// The request is for an AXFR over UDP (RFC 5936 §4.2).
    Datagram,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotForTransfer => f.write_str("this is not a transfer request"),
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Answer => f.write_str("the answer section is not empty"),
            Self::Authority => f.write_str(
                "the authority section must be empty for AXFR, and exactly the client's SOA record for IXFR",
            ),
            Self::Datagram => f.write_str("AXFR is only available over TCP"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// The reason why a transfer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The zone is not served here: NOTAUTH (RFC 5936 §2.2.1).
    NotServed,
    /// The request is not signed, and the address is not allowed without a key: REFUSED.
    Unsigned,
    /// The key does not allow transfers of the zone: REFUSED.
    Key,
    /// The zone has no valid data: SERVFAIL.
    Broken,
}

impl Refusal {
    /// Returns the response code: NOTAUTH, REFUSED or SERVFAIL.
    pub fn rcode(self) -> Rcode {
        match self {
            Self::NotServed => Rcode::NOT_AUTHORITATIVE,
            Self::Unsigned | Self::Key => Rcode::REFUSED,
            Self::Broken => Rcode::SERVER_FAILURE,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotServed => "this zone is not served here",
            Self::Unsigned => "the request is not signed, and the address is not in --allow-transfer",
            Self::Key => "the key may not transfer this zone, and the address is not in --allow-transfer",
            Self::Broken => "the zone has no valid data",
        })
    }
}

impl std::error::Error for Refusal {}

/// The fixed parts of the messages of a reply.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The ID of all messages, which is that of the request.
    pub id: u16,
    /// The RD flag of the request (RFC 5936 §2.2.1).
    pub recursion_desired: bool,
    /// The question of the request (name, type, class), or empty.
    pub question: Box<[u8]>,
    /// The complete OPT record of the first message, or empty.
    pub opt: Box<[u8]>,
}

impl Request {
    /// Parses a message whose signature was checked and removed.
    ///
    /// All records in the additional section are ignored.
    ///
    /// # Errors
    ///
    /// The message is not a transfer request, or an invalid one.
    pub fn parse(message: &[u8], transport: Transport) -> Result<Self, Fault> {
        let mut reader = Reader::new(message)?;
        let header = *reader.header();
        if header.is_response() || header.opcode() != opcode::QUERY || header.counts[0] != 1 {
            return Err(Fault::NotForTransfer);
        }
        let Some(question) = reader.question()? else { return Err(Fault::NotForTransfer) };
        if !matches!(question.qtype, Type::AXFR | Type::IXFR) {
            return Err(Fault::NotForTransfer);
        }
        let mut serial = None;
        while let Some((section, record)) = reader.record()? {
            match section {
                Section::Answer => return Err(Fault::Answer),
                Section::Authority => {
                    let is_soa = record.rtype == Type::SOA && record.class == question.qclass;
                    let is_client_soa = question.qtype == Type::IXFR && is_soa && record.owner == question.name;
                    let data = record.data.last_chunk::<20>().filter(|_| is_client_soa && serial.is_none());
                    let &[a, b, c, d, ..] = data.ok_or(Fault::Authority)?;
                    serial = Some(Serial(u32::from_be_bytes([a, b, c, d])));
                }
                Section::Additional => {}
            }
        }
        let kind = match (question.qtype, serial) {
            (Type::IXFR, None) => return Err(Fault::Authority),
            (_, Some(serial)) => Kind::Ixfr(serial),
            (_, None) if transport.framing == Framing::Datagram => return Err(Fault::Datagram),
            (_, None) => Kind::Axfr,
        };
        let mut octets = question.name.as_wire().to_vec();
        octets.extend(question.qtype.0.to_be_bytes());
        octets.extend(question.qclass.to_be_bytes());
        Ok(Self {
            id: header.id,
            recursion_desired: header.flags & 0x0100 != 0,
            question: octets.into(),
            zone: question.name,
            class: question.qclass,
            kind,
        })
    }

    /// Returns the name of the requested zone.
    pub fn zone(&self) -> &Name {
        &self.zone
    }

    /// Returns the kind of the request.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the serial number of an outdated client that requests differences; `None` for AXFR requests and clients
    /// that are up to date.
    pub fn outdated_serial(&self, zone: &Zone) -> Option<Serial> {
        match self.kind {
            Kind::Ixfr(serial) if zone.serial().is_newer_than(serial) => Some(serial),
            _ => None,
        }
    }

    /// Returns the fixed parts of the reply; `opt` is the OPT record of the first message, or empty.
    pub fn reply(&self, opt: &[u8]) -> Reply {
        Reply {
            id: self.id,
            recursion_desired: self.recursion_desired,
            question: self.question.clone(),
            opt: opt.into(),
        }
    }

    /// Checks whether the client may transfer the zone, and returns the zone.
    ///
    /// `entry` is the served zone with exactly this name, `key` is the key that signed the request, and `allowed`
    /// returns whether an address needs no key. An allowed address may transfer whatever key it uses.
    ///
    /// # Errors
    ///
    /// The client may not transfer the zone, or the zone is not served.
    pub fn admit(
        &self,
        entry: Option<&Entry>,
        key: Option<&tsig::Key>,
        source: IpAddr,
        allowed: impl FnOnce(IpAddr) -> bool,
    ) -> Result<Arc<Zone>, Refusal> {
        let ours = entry.filter(|entry| self.class == class::IN && *entry.apex() == self.zone);
        let entry = ours.ok_or(Refusal::NotServed)?;
        let may =
            |key: &tsig::Key| Grant::of(key.name()).is_some_and(|grant| grant.allows(Operation::Transfer, &self.zone));
        if !key.is_some_and(may) && !allowed(source) {
            return Err(if key.is_some() { Refusal::Key } else { Refusal::Unsigned });
        }
        entry.zone().cloned().ok_or(Refusal::Broken)
    }
}
