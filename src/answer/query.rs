//! The query parser, which works in place: header, question, EDNS, presence of a signature (RFC 1035 §4.1, RFC 6891,
//! RFC 8945).

use super::ExtendedError;
use super::edns::Edns;
use crate::dns::Type;
use crate::dns::message::{HEADER, Rcode, opcode};
use crate::dns::name::wire_len;

/// A well-formed query with one question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'q> {
    /// The question in its original letter case: name, type, class.
    pub(super) question: &'q [u8],
    /// The queried name, in wire form.
    pub(super) name: &'q [u8],
    pub(super) qtype: Type,
    pub(super) qclass: u16,
    pub(super) extras: Extras<'q>,
}

/// The parts of a message other than its question.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extras<'q> {
    pub(super) edns: Option<Edns<'q>>,
    /// Whether the last record is a TSIG record, valid or not.
    pub(super) signed: bool,
}

/// A message without a question to answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rejection<'q> {
    pub(super) reason: Reason,
    /// The zone of an update or notification, which takes the place of the question; empty unless there is exactly one.
    pub(super) question: &'q [u8],
    /// The parts that were read before the error.
    pub(super) extras: Extras<'q>,
}

/// The reason why a message has no question to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The opcode is not supported.
    Opcode,
    /// The message is an update (RFC 2136) or a notification (RFC 1996), which another path handles.
    Aside,
    /// The message is malformed.
    Malformed,
    /// The message has no question or several.
    QuestionCount,
    /// The message has no question because it only requests a server cookie (RFC 7873 §5.4).
    CookieOnly,
}

impl Reason {
    /// Returns the response code and the extended error.
    pub(super) fn verdict(self) -> (Rcode, Option<ExtendedError<'static>>) {
        match self {
            Self::Opcode | Self::Aside => (Rcode::NOT_IMPLEMENTED, Some(ExtendedError::NOT_SUPPORTED)),
            Self::Malformed => (Rcode::FORMAT_ERROR, None),
            // RFC 9619: exactly one.
            Self::QuestionCount => (Rcode::FORMAT_ERROR, Some(ExtendedError::QUESTION_COUNT)),
            Self::CookieOnly => (Rcode::NO_ERROR, None),
        }
    }
}

impl<'q> Query<'q> {
    /// Parses a message that has a header.
    #[inline]
    pub(super) fn parse(message: &'q [u8]) -> Result<Self, Rejection<'q>> {
        let malformed = Rejection { reason: Reason::Malformed, question: &[], extras: Extras::default() };
        let header = message.first_chunk::<HEADER>().ok_or(malformed)?;
        let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        if header[2] & 0x78 != opcode::QUERY << 3 || count(4) != 1 {
            return Err(without_question(message, header));
        }
        let body = &message[HEADER..];
        let name_len = wire_len(body).ok_or(malformed)?;
        let question = body.get(..name_len + 4).ok_or(malformed)?;
        let (name, tail) = question.split_at(name_len);
        let [t0, t1, c0, c1] = *tail else { return Err(malformed) };
        let mut query = Self {
            question,
            name,
            qtype: Type(u16::from_be_bytes([t0, t1])),
            qclass: u16::from_be_bytes([c0, c1]),
            extras: Extras::default(),
        };
        let others = usize::from(count(6)) + usize::from(count(8));
        let records = HEADER + question.len();
        match query.extras.read(message, records, others, usize::from(count(10))) {
            Some(()) => Ok(query),
            None => Err(Rejection { extras: query.extras, ..malformed }),
        }
    }
}

/// Reads the parts of a message without a question that its reply depends on.
#[cold]
fn without_question<'q>(message: &'q [u8], header: &[u8; HEADER]) -> Rejection<'q> {
    let count = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
    let mut extras = Extras::default();
    let questions = count(4);
    let parsed = skip_questions(message, questions)
        .and_then(|records| extras.read(message, records, count(6) + count(8), count(10)));
    let opcode = header[2] >> 3 & 0xf;
    if opcode != opcode::QUERY {
        if !matches!(opcode, opcode::NOTIFY | opcode::UPDATE) {
            // Messages with unknown opcodes count as unsigned.
            extras.signed = false;
            return Rejection { reason: Reason::Opcode, question: &[], extras };
        }
        let zone = if questions == 1 { first_question(message) } else { None };
        return Rejection { reason: Reason::Aside, question: zone.unwrap_or_default(), extras };
    }
    let reason = match (parsed, extras.edns) {
        (None, _) => Reason::Malformed,
        (Some(()), Some(Edns { cookies: Some(_), .. })) if questions == 0 => Reason::CookieOnly,
        (Some(()), _) => Reason::QuestionCount,
    };
    Rejection { reason, question: &[], extras }
}

/// Returns the first question of a message, if its name is not compressed.
fn first_question(message: &[u8]) -> Option<&[u8]> {
    let body = message.get(HEADER..)?;
    body.get(..wire_len(body)? + 4)
}

/// Returns the offset after the questions of a message.
fn skip_questions(message: &[u8], count: usize) -> Option<usize> {
    let mut at = HEADER;
    // Each question takes at least five octets, so the message length bounds this loop.
    for _ in 0..count {
        let (name_len, _) = skip_name(message.get(at..)?)?;
        at += name_len + 4;
        message.get(..at)?;
    }
    Some(at)
}

impl<'q> Extras<'q> {
    /// Reads the OPT and TSIG records among a message's records, which begin at `start`; `others` of them precede the
    /// additional section. Returns `None` if the records do not fill the message, or OPT or TSIG is invalid.
    #[inline]
    fn read(&mut self, message: &'q [u8], start: usize, others: usize, additional: usize) -> Option<()> {
        let mut rest = message.get(start..)?;
        // Each record takes at least eleven octets, so the message length bounds this loop.
        for index in 0..others + additional {
            let (name_len, is_root) = skip_name(rest)?;
            let (fixed, tail) = rest.get(name_len..)?.split_first_chunk::<10>()?;
            let [t0, t1, p0, p1, _, version, f0, _, l0, l1] = *fixed;
            let (data, after) = tail.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
            rest = after;
            if index < others {
                continue;
            }
            match Type(u16::from_be_bytes([t0, t1])) {
                Type::OPT => {
                    // RFC 6891 §6.1.1, §6.1.2: at most one, owned by the root.
                    if !is_root || self.edns.is_some() {
                        return None;
                    }
                    let edns = Edns {
                        payload: u16::from_be_bytes([p0, p1]),
                        version,
                        dnssec_ok: f0 & 0x80 != 0,
                        nsid: false,
                        keepalive: false,
                        zone_version: false,
                        cookies: None,
                    };
                    self.edns.insert(edns).read_options(data)?;
                }
                Type::TSIG => {
                    // RFC 8945 §5.1: TSIG must be the last record.
                    if index + 1 < others + additional {
                        return None;
                    }
                    self.signed = true;
                }
                _ => {}
            }
        }
        rest.is_empty().then_some(())
    }
}

/// Returns the length of the name at the start of `octets`, which may end in a compression pointer, and whether it is
/// the uncompressed root.
fn skip_name(octets: &[u8]) -> Option<(usize, bool)> {
    let mut at = 0;
    loop {
        match usize::from(*octets.get(at)?) {
            0 => return Some((at + 1, at == 0)),
            0xc0.. => return Some((at + 2, false)),
            label if label < 64 => at += label + 1,
            _ => return None,
        }
    }
}
