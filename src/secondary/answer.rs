//! The answers of primaries to SOA queries.

use crate::dns::message::{Rcode, Reader, Section, class, opcode};
use crate::dns::{Name, Serial, Type};
use crate::notify::serial_of;

/// The answers of primaries to SOA queries.
pub(super) enum SoaAnswer {
    /// The primary has this serial number.
    Serial(Serial),
    /// The answer is truncated; retry over TCP.
    Truncated,
    /// The answer is unusable for this reason.
    No(String),
}

/// Parses the reply to an SOA query; returns `None` if the message is something else.
pub(super) fn read(message: &[u8], apex: &Name) -> Option<SoaAnswer> {
    let mut reader = Reader::new(message).ok()?;
    let header = *reader.header();
    let question = reader.question().ok()??;
    let is_ours = question.name == *apex && question.qtype == Type::SOA && question.qclass == class::IN;
    if !header.is_response() || header.opcode() != opcode::QUERY || header.counts[0] != 1 || !is_ours {
        return None;
    }
    if header.rcode() != Rcode::NO_ERROR {
        return Some(SoaAnswer::No(format!("answers {}", header.rcode())));
    }
    if header.is_truncated() {
        return Some(SoaAnswer::Truncated);
    }
    if !header.is_authoritative() {
        return Some(SoaAnswer::No("answers without authority (AA is not set)".into()));
    }
    while let Ok(Some((section, record))) = reader.record() {
        let is_answer = section == Section::Answer && record.owner == *apex && record.class == class::IN;
        if is_answer && record.rtype == Type::SOA {
            return serial_of(&record.data).map(SoaAnswer::Serial);
        }
    }
    Some(SoaAnswer::No("answers without an SOA record".into()))
}
