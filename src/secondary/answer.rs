//! What a primary says to an SOA query.

use crate::dns::message::{Rcode, Reader, Section, class, opcode};
use crate::dns::{Name, Serial, Type};
use crate::notify::serial_of;

/// What a primary says to an SOA query.
pub(super) enum Answer {
    /// It has this serial number.
    Serial(Serial),
    /// Over TCP there is room.
    Truncated,
    /// Nothing to go by, for this reason.
    No(String),
}

/// Reads the reply to an SOA query; `None` if it is none.
pub(super) fn read(message: &[u8], apex: &Name) -> Option<Answer> {
    let mut reader = Reader::new(message).ok()?;
    let header = *reader.header();
    let question = reader.question().ok()??;
    let is_ours = question.name == *apex && question.qtype == Type::SOA && question.qclass == class::IN;
    if !header.is_response() || header.opcode() != opcode::QUERY || header.counts[0] != 1 || !is_ours {
        return None;
    }
    if header.rcode() != Rcode::NO_ERROR {
        return Some(Answer::No(format!("answers {}", header.rcode())));
    }
    if header.is_truncated() {
        return Some(Answer::Truncated);
    }
    if !header.is_authoritative() {
        return Some(Answer::No("does not answer with authority".into()));
    }
    while let Ok(Some((section, record))) = reader.record() {
        let is_answer = section == Section::Answer && record.owner == *apex && record.class == class::IN;
        if is_answer && record.rtype == Type::SOA {
            return serial_of(&record.data).map(Answer::Serial);
        }
    }
    Some(Answer::No("answers without an SOA record".into()))
}
