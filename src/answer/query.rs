//! A query read in place: header, question, EDNS, whether it is signed (RFC 1035 §4.1, RFC 6891, RFC 8945).

use super::ExtendedError;
use super::edns::Edns;
use crate::dns::Type;
use crate::dns::message::{HEADER, Rcode, opcode};
use crate::dns::name::wire_len;

/// A well-formed query with one question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'q> {
    /// The question as it came, letter case and all: name, type, class.
    pub(super) question: &'q [u8],
    /// The name asked for, in wire form.
    pub(super) name: &'q [u8],
    pub(super) qtype: Type,
    pub(super) qclass: u16,
    pub(super) extras: Extras<'q>,
}

/// What comes with any message beside its question.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extras<'q> {
    pub(super) edns: Option<Edns<'q>>,
    /// The last record is a TSIG record, whatever it says.
    pub(super) signed: bool,
}

/// A message that has no question to be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rejection<'q> {
    pub(super) reason: Reason,
    /// What stands in an update or notification in the place of the question: its zone; empty if there is not just one.
    pub(super) question: &'q [u8],
    /// What was read before the fault.
    pub(super) extras: Extras<'q>,
}

/// Why a message is answered without looking at its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It asks for an operation there is not.
    Opcode,
    /// It is an update (RFC 2136) or a notification (RFC 1996), which are no affair of who answers questions.
    Aside,
    /// It is not what the RFCs say a message is.
    Malformed,
    /// It has no question or several.
    QuestionCount,
    /// It has no question because it asks for a server cookie only (RFC 7873 §5.4).
    CookieOnly,
}

impl Reason {
    /// Returns the response code, and what more there is to say.
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
    /// Reads a message that has a header.
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

/// Reads a message that is no question for us, for what its reply must take note of.
#[cold]
fn without_question<'q>(message: &'q [u8], header: &[u8; HEADER]) -> Rejection<'q> {
    let count = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
    let mut extras = Extras::default();
    let questions = count(4);
    let whole = skip_questions(message, questions)
        .and_then(|records| extras.read(message, records, count(6) + count(8), count(10)));
    let opcode = header[2] >> 3 & 0xf;
    if opcode != opcode::QUERY {
        if !matches!(opcode, opcode::NOTIFY | opcode::UPDATE) {
            // Only of the others is it known that they may be signed.
            extras.signed = false;
            return Rejection { reason: Reason::Opcode, question: &[], extras };
        }
        let zone = if questions == 1 { first_question(message) } else { None };
        return Rejection { reason: Reason::Aside, question: zone.unwrap_or_default(), extras };
    }
    let reason = match (whole, extras.edns) {
        (None, _) => Reason::Malformed,
        (Some(()), Some(Edns { cookies: Some(_), .. })) if questions == 0 => Reason::CookieOnly,
        (Some(()), _) => Reason::QuestionCount,
    };
    Rejection { reason, question: &[], extras }
}

/// Returns the first question of a message, if its name is written out.
fn first_question(message: &[u8]) -> Option<&[u8]> {
    let body = message.get(HEADER..)?;
    body.get(..wire_len(body)? + 4)
}

/// Returns where in a message its questions end.
fn skip_questions(message: &[u8], count: usize) -> Option<usize> {
    let mut at = HEADER;
    // Each takes five octets at least, so the message's length bounds the walk.
    for _ in 0..count {
        let (name_len, _) = skip_name(message.get(at..)?)?;
        at += name_len + 4;
        message.get(..at)?;
    }
    Some(at)
}

impl<'q> Extras<'q> {
    /// Walks over a message's records from `start` on, `others` of them in front of the additional section, and takes
    /// note of OPT and TSIG; `None` if they do not fill the message or one of these is wrong.
    #[inline]
    fn read(&mut self, message: &'q [u8], start: usize, others: usize, additional: usize) -> Option<()> {
        let mut rest = message.get(start..)?;
        // Each record takes eleven octets at least, so the message's length bounds the walk.
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
                    // RFC 6891 §6.1.1, §6.1.2: one at most, owned by the root.
                    if !is_root || self.edns.is_some() {
                        return None;
                    }
                    let edns = Edns {
                        payload: u16::from_be_bytes([p0, p1]),
                        version,
                        dnssec_ok: f0 & 0x80 != 0,
                        nsid: false,
                        keepalive: false,
                        cookies: None,
                    };
                    self.edns.insert(edns).read_options(data)?;
                }
                Type::TSIG => {
                    // RFC 8945 §5.1: the last record.
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
/// the root written out.
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
