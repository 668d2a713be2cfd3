//! A query read in place: header, question, EDNS (RFC 1035 §4.1, RFC 6891).

use super::Rcode;
use crate::zone::Type;
use crate::zone::name::wire_len;

/// Octets of a message's header.
pub(super) const HEADER: usize = 12;

/// A well-formed query with one question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'q> {
    /// The question as it came, letter case and all: name, type, class.
    pub(super) question: &'q [u8],
    /// The name asked for, in wire form.
    pub(super) name: &'q [u8],
    pub(super) qtype: Type,
    pub(super) qclass: u16,
    pub(super) edns: Option<Edns>,
}

/// What the query's OPT record says (RFC 6891 §6.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Edns {
    /// The most octets of a UDP reply the client takes.
    pub(super) payload: u16,
    pub(super) version: u8,
    /// The client wants DNSSEC records (RFC 3225).
    pub(super) dnssec_ok: bool,
}

/// Why a message is answered without looking at its question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rejection {
    pub(super) rcode: Rcode,
    /// The OPT record, if one was read before the fault.
    pub(super) edns: Option<Edns>,
}

impl<'q> Query<'q> {
    /// Reads a message that has a header.
    #[inline]
    pub(super) fn parse(message: &'q [u8]) -> Result<Self, Rejection> {
        let reject = |rcode| Rejection { rcode, edns: None };
        let malformed = reject(Rcode::FORMAT_ERROR);
        let header = message.first_chunk::<HEADER>().ok_or(malformed)?;
        let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let opcode = header[2] >> 3 & 0xf;
        if opcode != 0 {
            return Err(reject(Rcode::NOT_IMPLEMENTED));
        }
        if count(4) != 1 {
            // RFC 9619: exactly one.
            return Err(malformed);
        }
        let body = &message[HEADER..];
        let name_len = wire_len(body).ok_or(malformed)?;
        let (question, rest) = body.split_at_checked(name_len + 4).ok_or(malformed)?;
        let (name, tail) = question.split_at(name_len);
        let [t0, t1, c0, c1] = *tail else { return Err(malformed) };
        let mut query = Self {
            question,
            name,
            qtype: Type(u16::from_be_bytes([t0, t1])),
            qclass: u16::from_be_bytes([c0, c1]),
            edns: None,
        };
        let others = usize::from(count(6)) + usize::from(count(8));
        match query.read_records(rest, others, usize::from(count(10))) {
            Some(()) => Ok(query),
            None => Err(Rejection { rcode: Rcode::FORMAT_ERROR, edns: query.edns }),
        }
    }

    /// Walks over the records behind the question, `others` of them in the answer and authority sections, and takes
    /// note of OPT; `None` if they do not fill the message or OPT is wrong.
    #[inline]
    fn read_records(&mut self, mut rest: &[u8], others: usize, additional: usize) -> Option<()> {
        // Each record takes eleven octets at least, so the message's length bounds the walk.
        for index in 0..others + additional {
            let (name_len, is_root) = skip_name(rest)?;
            let (fixed, tail) = rest.get(name_len..)?.split_first_chunk::<10>()?;
            let [t0, t1, p0, p1, _, version, f0, _, l0, l1] = *fixed;
            let (data, after) = tail.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
            rest = after;
            if index >= others && Type(u16::from_be_bytes([t0, t1])) == Type::OPT {
                // RFC 6891 §6.1.1, §6.1.2: one at most, owned by the root.
                if !is_root || self.edns.is_some() {
                    return None;
                }
                let payload = u16::from_be_bytes([p0, p1]);
                self.edns = Some(Edns { payload, version, dnssec_ok: f0 & 0x80 != 0 });
                if !options_are_whole(data) {
                    return None;
                }
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

/// Returns whether EDNS options fill their space (RFC 6891 §6.1.2); what they are does not matter.
fn options_are_whole(mut options: &[u8]) -> bool {
    while let Some((&[_, _, l0, l1], tail)) = options.split_first_chunk::<4>() {
        match tail.get(usize::from(u16::from_be_bytes([l0, l1]))..) {
            Some(after) => options = after,
            None => return false,
        }
    }
    options.is_empty()
}
