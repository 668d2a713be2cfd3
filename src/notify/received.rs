//! Received notifications: content, authorization and reply.

use std::fmt;

use crate::dns::message::{Rcode, Reader, Section, class, opcode};
use crate::dns::{Name, Serial, Type};
use crate::keys::{Grant, Operation};

/// The content of a notification (RFC 1996 §3.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The zone that has changed.
    pub zone: Name,
    /// The announced serial number, a hint that must be checked with the primary (§3.11).
    pub serial: Option<Serial>,
}

/// The sender of a notification.
#[derive(Clone, Copy, Debug)]
pub enum Sender<'s> {
    /// The notification is not signed; `allowed` if its address may send unsigned notifications, as primaries may.
    Unsigned {
        /// Whether the address may send unsigned notifications.
        allowed: bool,
    },
    /// The notification is signed with a key that has this grant.
    Signed(Option<&'s Grant>),
}

/// The decision about a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The response code for the reply.
    pub rcode: Rcode,
    /// Whether to check for changes.
    pub check: bool,
}

impl Notification {
    /// Parses a notification whose signature was removed.
    ///
    /// # Errors
    ///
    /// The response code: FORMERR if the message is malformed or has not exactly one question of type SOA, NOTAUTH for
    /// a class other than IN, NOTIMP for another opcode.
    pub fn parse(message: &[u8]) -> Result<Self, Rcode> {
        let mut reader = Reader::new(message).map_err(|_| Rcode::FORMAT_ERROR)?;
        if reader.header().is_response() || reader.header().opcode() != opcode::NOTIFY {
            return Err(Rcode::NOT_IMPLEMENTED);
        }
        if reader.header().counts[0] != 1 {
            return Err(Rcode::FORMAT_ERROR);
        }
        let question = reader.question().ok().flatten().ok_or(Rcode::FORMAT_ERROR)?;
        if question.qtype != Type::SOA {
            return Err(Rcode::FORMAT_ERROR);
        }
        if question.qclass != class::IN {
            return Err(Rcode::NOT_AUTHORITATIVE);
        }
        let mut serial = None;
        while let Some((section, record)) = reader.record().map_err(|_| Rcode::FORMAT_ERROR)? {
            if section == Section::Answer && record.rtype == Type::SOA && record.owner == question.name {
                serial = serial.or(serial_of(&record.data));
            }
        }
        Ok(Self { zone: question.name, serial })
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.serial {
            Some(serial) => write!(f, "{} announces serial {serial}", self.zone),
            None => write!(f, "{} announces a change", self.zone),
        }
    }
}

/// Decides about a notification; `served` is whether its zone is served here or should be.
///
/// A notification with an authorized key triggers a check even if the zone is not served, because it may have just been
/// created; the code is still NOTAUTH. Unauthorized senders always get REFUSED, so that they do not learn which zones
/// are served.
#[must_use]
pub fn decide(notification: &Notification, sender: Sender<'_>, served: bool) -> Decision {
    let (is_authorized, signed) = match sender {
        Sender::Unsigned { allowed } => (allowed, false),
        Sender::Signed(grant) => (grant.is_some_and(|grant| grant.allows(Operation::Notify, &notification.zone)), true),
    };
    match (is_authorized, served) {
        (false, _) => Decision { rcode: Rcode::REFUSED, check: false },
        (true, true) => Decision { rcode: Rcode::NO_ERROR, check: true },
        (true, false) => Decision { rcode: Rcode::NOT_AUTHORITATIVE, check: signed },
    }
}

/// Builds the reply of a secondary for tests (RFC 1996 §3.8); returns `None` if the request has no header.
#[cfg(test)]
pub(crate) fn reply(message: &[u8], rcode: Rcode) -> Option<Vec<u8>> {
    const RESPONSE: u16 = 0x8000;
    const AUTHORITATIVE: u16 = 0x0400;
    const KEPT: u16 = 0x7900;
    let mut reader = Reader::new(message).ok()?;
    let header = *reader.header();
    let question = if header.counts[0] == 1 { reader.question().ok().flatten() } else { None };
    let mut flags = header.flags & KEPT | RESPONSE | rcode.flags();
    if rcode == Rcode::NO_ERROR {
        flags |= AUTHORITATIVE;
    }
    let mut reply = Vec::with_capacity(512);
    for field in [header.id, flags, u16::from(question.is_some()), 0, 0, 0] {
        reply.extend(field.to_be_bytes());
    }
    if let Some(question) = question {
        reply.extend_from_slice(question.name.as_wire());
        reply.extend(question.qtype.0.to_be_bytes());
        reply.extend(question.qclass.to_be_bytes());
    }
    Some(reply)
}

/// Returns the serial number in an SOA record's data.
pub(crate) fn serial_of(soa: &[u8]) -> Option<Serial> {
    let [a, b, c, d] = *soa.last_chunk::<20>()?.first_chunk()?;
    Some(Serial(u32::from_be_bytes([a, b, c, d])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::message::request;

    const FLAGS: u16 = 0x2400;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    /// RFC 1996 §3.7: with and without the hint.
    #[test]
    fn read() {
        let mut message = request(7, FLAGS, &name("example.org"), Type::SOA);
        assert_eq!(Notification::parse(&message), Ok(Notification { zone: name("example.org"), serial: None }));
        message[7] = 1;
        message.extend(b"\xc0\x0c\x00\x06\x00\x01\0\0\0\0\x00\x16\0\0\0\0\0\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        let notification = Notification::parse(&message).unwrap();
        assert_eq!(notification.serial, Some(Serial(9)));
        for len in 0..message.len() {
            assert!(Notification::parse(&message[..len]).is_err());
            assert_eq!(reply(&message[..len], Rcode::FORMAT_ERROR).is_some(), len >= 12);
        }
        let acknowledged = reply(&message, Rcode::NO_ERROR).unwrap();
        assert_eq!(acknowledged[..8], [0, 7, 0xa4, 0, 0, 1, 0, 0]);
        assert_eq!(reply(&message, Rcode::REFUSED).unwrap()[2..4], [0xa0, 5]);
        assert_eq!(Notification::parse(&acknowledged), Err(Rcode::NOT_IMPLEMENTED), "a reply is not a notification");
    }

    #[test]
    fn other_messages() {
        for (message, code) in [
            (request(7, FLAGS, &name("a"), Type::A), Rcode::FORMAT_ERROR),
            (request(7, 0, &name("a"), Type::SOA), Rcode::NOT_IMPLEMENTED),
        ] {
            assert_eq!(Notification::parse(&message), Err(code));
        }
        let mut chaos = request(7, FLAGS, &name("a"), Type::SOA);
        *chaos.last_mut().unwrap() = 3;
        assert_eq!(Notification::parse(&chaos), Err(Rcode::NOT_AUTHORITATIVE));
    }

    /// RFC 1996 §3.10, §3.11: authorization.
    #[test]
    fn authorization() {
        let notification = Notification { zone: name("example.org"), serial: None };
        let grant = Grant::of(&name("k._notify.example.org")).unwrap();
        let elsewhere = Grant::of(&name("k._update.example.net")).unwrap();
        let rule = |sender, served| {
            let Decision { rcode, check } = decide(&notification, sender, served);
            (rcode, check)
        };
        assert_eq!(rule(Sender::Signed(Some(&grant)), true), (Rcode::NO_ERROR, true));
        assert_eq!(rule(Sender::Signed(Some(&grant)), false), (Rcode::NOT_AUTHORITATIVE, true));
        assert_eq!(rule(Sender::Signed(Some(&elsewhere)), true), (Rcode::REFUSED, false));
        assert_eq!(rule(Sender::Signed(None), true), (Rcode::REFUSED, false));
        assert_eq!(rule(Sender::Unsigned { allowed: true }, true), (Rcode::NO_ERROR, true));
        assert_eq!(rule(Sender::Unsigned { allowed: true }, false), (Rcode::NOT_AUTHORITATIVE, false));
        assert_eq!(rule(Sender::Unsigned { allowed: false }, false), (Rcode::REFUSED, false));
    }
}
