//! Answers: a query's octets in, a reply's octets out.
//!
//! [`respond`] is a pure function of the query and the zones: no clock, no lock, no allocation, no panic.
//!
//! ```text
//! query octets ─ query ─► Query ─ resolve (RFC 1034 §4.3.2) ─► writer ─► reply octets
//! ```
//!
//! The usual answer is a header, the question as it came and an RRset's octets as the zone holds them, so
//! three copies; all else is built record by record with name compression.

mod query;
mod resolve;
mod writer;

use self::query::{Query, Rejection};
use self::writer::Writer;
use crate::zone::{Catalog, Type};

/// How a query arrived, which decides how large its reply may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram: the reply fits the payload size the client advertises.
    Udp,
    /// A stream: the reply may have 65,535 octets.
    Tcp,
}

/// The payload size of UDP messages we advertise and never exceed, in octets: it passes any path unfragmented.
pub const UDP_PAYLOAD: u16 = 1232;

/// The payload size of UDP messages every client takes (RFC 1035 §4.2.1).
const UDP_PAYLOAD_WITHOUT_EDNS: u16 = 512;

/// A response code with EDNS's upper bits (RFC 1035 §4.1.1, RFC 6895 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rcode(u16);

impl Rcode {
    pub(crate) const NO_ERROR: Self = Self(0);
    pub(crate) const FORMAT_ERROR: Self = Self(1);
    pub(crate) const SERVER_FAILURE: Self = Self(2);
    pub(crate) const NAME_ERROR: Self = Self(3);
    pub(crate) const NOT_IMPLEMENTED: Self = Self(4);
    pub(crate) const REFUSED: Self = Self(5);
    pub(crate) const YX_DOMAIN: Self = Self(6);
    pub(crate) const BAD_VERSION: Self = Self(16);
}

/// Why the answer is what it is, told to clients that speak EDNS (RFC 8914).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExtendedError {
    code: u16,
    text: &'static str,
}

impl ExtendedError {
    const NOT_READY: Self = Self { code: 14, text: "zones are not loaded yet" };
    const NOT_AUTHORITATIVE: Self = Self { code: 20, text: "" };
    const NOT_SUPPORTED: Self = Self { code: 21, text: "" };
    const INVALID_DATA: Self = Self { code: 24, text: "the zone's file has errors" };
}

/// What a reply's header and OPT record say, apart from what is copied from the query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    pub(crate) rcode: Rcode,
    pub(crate) authoritative: bool,
    pub(crate) truncated: bool,
    pub(crate) extended: Option<ExtendedError>,
}

impl Verdict {
    /// A verdict without authority.
    pub(crate) fn of(rcode: Rcode) -> Self {
        Self { rcode, authoritative: false, truncated: false, extended: None }
    }

    fn because(self, extended: ExtendedError) -> Self {
        Self { extended: Some(extended), ..self }
    }
}

/// Writes the reply to `query` into `reply` and returns its length, or `None` where silence is right: for what is
/// no query, and when `reply` has no room for a header.
///
/// `zones` is `None` until the first zones are loaded. The reply never has more octets than `reply` holds;
/// give it 65,535 for a stream and at least [`UDP_PAYLOAD`] for a datagram.
pub fn respond(zones: Option<&Catalog>, transport: Transport, query: &[u8], reply: &mut [u8]) -> Option<usize> {
    let header = query.first_chunk::<{ query::HEADER }>()?;
    // Two servers that answer each other's replies would never stop.
    if header[2] & 0x80 != 0 || reply.len() < query::HEADER {
        return None;
    }
    let mut names = writer::name_table();
    match Query::parse(query) {
        Ok(parsed) => {
            let limit = match (transport, parsed.edns) {
                (Transport::Tcp, _) => u16::MAX,
                (Transport::Udp, None) => UDP_PAYLOAD_WITHOUT_EDNS,
                (Transport::Udp, Some(edns)) => edns.payload.clamp(UDP_PAYLOAD_WITHOUT_EDNS, UDP_PAYLOAD),
            };
            let mut writer = Writer::new(reply, &mut names, usize::from(limit), &parsed)?;
            let verdict = judge(zones, &parsed, &mut writer);
            Some(writer.finish(header, verdict, parsed.edns))
        }
        Err(Rejection { rcode, edns }) => {
            let writer = Writer::without_question(reply, &mut names);
            Some(writer.finish(header, Verdict::of(rcode), edns))
        }
    }
}

/// Decides what a well-formed query is due and writes the records of its answer.
fn judge(zones: Option<&Catalog>, query: &Query<'_>, writer: &mut Writer<'_>) -> Verdict {
    const CLASS_IN: u16 = 1;
    if query.edns.is_some_and(|edns| edns.version > 0) {
        return Verdict::of(Rcode::BAD_VERSION);
    }
    match query.qtype {
        // RFC 6895 §3.1, RFC 9824 §3.2: nobody asks for these.
        Type::OPT | Type::NXNAME | Type::TKEY | Type::TSIG => return Verdict::of(Rcode::FORMAT_ERROR),
        Type::MAILA | Type::MAILB => return Verdict::of(Rcode::NOT_IMPLEMENTED),
        Type::AXFR | Type::IXFR => return Verdict::of(Rcode::REFUSED).because(ExtendedError::NOT_SUPPORTED),
        _ if query.qclass != CLASS_IN => return Verdict::of(Rcode::REFUSED),
        _ => {}
    }
    match zones {
        None => Verdict::of(Rcode::SERVER_FAILURE).because(ExtendedError::NOT_READY),
        Some(zones) => resolve::resolve(zones, query, writer),
    }
}

#[cfg(test)]
mod tests;
