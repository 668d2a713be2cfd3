//! Server identity and version as TXT records of class CHAOS (RFC 4892).

use super::query::Query;
use super::writer::{Full, Writer};
use super::{ExtendedError, Settings, Verdict};
use crate::dns::message::Rcode;
use crate::dns::{Type, name};

/// Answers a query of class CHAOS; REFUSED unless the operator configured the text.
#[cold]
pub(super) fn answer(settings: &Settings, query: &Query<'_>, writer: &mut Writer<'_>) -> Verdict<'static> {
    let is = |owner: &[u8]| name::eq(query.name, owner);
    let text = if is(b"\x07version\x04bind\0") || is(b"\x07version\x06server\0") {
        settings.version.as_deref()
    } else if is(b"\x02id\x06server\0") || is(b"\x08hostname\x04bind\0") {
        settings.nsid.as_deref()
    } else {
        return Verdict::of(Rcode::REFUSED).because(ExtendedError::NOT_AUTHORITATIVE);
    };
    let Some(text) = text.filter(|_| matches!(query.qtype, Type::TXT | Type::ANY)) else {
        return Verdict::of(Rcode::REFUSED).because(ExtendedError::PROHIBITED);
    };
    let verdict = Verdict { authoritative: true, ..Verdict::of(Rcode::NO_ERROR) };
    match writer.chaos_text(text.as_bytes()) {
        Ok(()) => verdict,
        Err(Full) => Verdict { truncated: true, ..verdict },
    }
}
