//! Requests for a transfer, and who may have one.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::answer::Transport;
use crate::dns::message::{Malformed, Rcode, Reader, Section, class, opcode};
use crate::dns::{Name, Serial, Type};
use crate::keys::{Grant, Operation};
use crate::tsig;
use crate::zone::{Entry, Zone};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The zone (RFC 5936).
    Axfr,
    /// What is new since the version with this serial number (RFC 1995).
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

/// Why a message is no request for a transfer: FORMERR, but for [`Self::NotForTransfer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It asks for something else.
    NotForTransfer,
    /// It cannot be read.
    Malformed(Malformed),
    /// The answer section is not empty (RFC 5936 §2.1.1).
    Answer,
    /// The authority section of a request for an AXFR is not empty (RFC 5936 §2.1.1), or that of one for an IXFR has
    /// other records than one SOA record of the zone (RFC 1995 §3).
    Authority,
    /// It asks for an AXFR in a datagram (RFC 5936 §4.2).
    Datagram,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotForTransfer => f.write_str("it does not ask for a transfer"),
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Answer => f.write_str("its answer section is not empty"),
            Self::Authority => f.write_str("its authority section is not just the client's SOA record, for IXFR only"),
            Self::Datagram => f.write_str("it asks for an AXFR, which there is over TCP only"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// Why there is no transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is none of our zones: NOTAUTH (RFC 5936 §2.2.1).
    NotOurs,
    /// It is not signed, and not from an address that is allowed without: REFUSED.
    Unsigned,
    /// It is signed by a key that may not: REFUSED.
    Key,
    /// The zone has no good data: SERVFAIL.
    Broken,
}

impl Refusal {
    /// Returns the response code: NOTAUTH, REFUSED or SERVFAIL.
    pub fn rcode(self) -> Rcode {
        match self {
            Self::NotOurs => Rcode::NOT_AUTHORITATIVE,
            Self::Unsigned | Self::Key => Rcode::REFUSED,
            Self::Broken => Rcode::SERVER_FAILURE,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOurs => "not one of our zones",
            Self::Unsigned => "not signed, and the address is not in --allow-transfer",
            Self::Key => "the key may not transfer this zone, and the address is not in --allow-transfer",
            Self::Broken => "the zone has no good data",
        })
    }
}

impl std::error::Error for Refusal {}

/// How the messages of a reply begin and end.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The identifier of all messages: the request's.
    pub id: u16,
    /// RD as asked (RFC 5936 §2.2.1).
    pub recursion_desired: bool,
    /// The question as it came: name, type, class; or nothing.
    pub question: Box<[u8]>,
    /// The OPT record of the first message, whole; or nothing.
    pub opt: Box<[u8]>,
}

impl Request {
    /// Reads a message whose signature is checked and taken off.
    ///
    /// Other records of the additional section are passed over, whatever they are.
    ///
    /// # Errors
    ///
    /// It is no request for a transfer, or not a good one.
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
            (_, None) if transport == Transport::Udp => return Err(Fault::Datagram),
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

    /// Returns the name of the zone asked for.
    pub fn zone(&self) -> &Name {
        &self.zone
    }

    /// Returns what is asked for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the serial number from which differences to the zone are of use; none if all of it is asked for or the
    /// client is up to date.
    pub fn behind(&self, zone: &Zone) -> Option<Serial> {
        match self.kind {
            Kind::Ixfr(serial) if zone.serial().is_newer_than(serial) => Some(serial),
            _ => None,
        }
    }

    /// Returns how the messages of the reply begin; `opt` is the OPT record of the first, or nothing.
    pub fn reply(&self, opt: &[u8]) -> Reply {
        Reply {
            id: self.id,
            recursion_desired: self.recursion_desired,
            question: self.question.clone(),
            opt: opt.into(),
        }
    }

    /// Decides whether the client may have the zone, and returns it.
    ///
    /// `entry` is what is served under just this name, `key` what the request is signed with, and `allowed` tells which
    /// addresses need no key. An address that is allowed is so whatever it signs with.
    ///
    /// # Errors
    ///
    /// It may not, or there is no such zone.
    pub fn admit(
        &self,
        entry: Option<&Entry>,
        key: Option<&tsig::Key>,
        source: IpAddr,
        allowed: impl FnOnce(IpAddr) -> bool,
    ) -> Result<Arc<Zone>, Refusal> {
        let ours = entry.filter(|entry| self.class == class::IN && *entry.apex() == self.zone);
        let entry = ours.ok_or(Refusal::NotOurs)?;
        let may =
            |key: &tsig::Key| Grant::of(key.name()).is_some_and(|grant| grant.allows(Operation::Transfer, &self.zone));
        if !key.is_some_and(may) && !allowed(source) {
            return Err(if key.is_some() { Refusal::Key } else { Refusal::Unsigned });
        }
        entry.zone().cloned().ok_or(Refusal::Broken)
    }
}
