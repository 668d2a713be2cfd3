//! The answer that a server would give for a state of the repository before it is pushed.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::Tree;
use crate::answer::{self, Context, Secret, Settings, Transport};
use crate::dns::message::{Malformed, Rcode, Reader, Section};
use crate::dns::{Name, Type, print};
use crate::primary::{Primary, SerialPolicy};

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Whether it answers for the name: with records, with none of the type, or that the name does not exist.
    pub is_good: bool,
    /// The answer, section by section, in the format of `dig`.
    pub text: String,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryError {
    /// The type cannot be queried here: it is that of a zone transfer or invalid.
    NotAsked(Type),
    /// The reply cannot be read.
    Malformed(Malformed),
}

impl std::fmt::Display for QueryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAsked(rtype) => write!(f, "{rtype} cannot be queried here; use the type of a record, or ANY"),
            Self::Malformed(malformed) => write!(f, "the reply cannot be read: {malformed}"),
        }
    }
}

impl std::error::Error for QueryError {}

/// The option code of extended DNS errors (RFC 8914 §2).
const EXTENDED_ERROR: u16 = 15;

/// Returns the answer a server with the zones of `tree` would give for the records of a name; loads all zones.
///
/// # Errors
///
/// See [`QueryError`].
pub fn query(tree: &dyn Tree, name: &Name, qtype: Type) -> Result<Answered, QueryError> {
    let mut primary = Primary::new(SerialPolicy::Bump, Vec::new());
    primary.load(tree.files(), |id| tree.read(id));
    let settings = Settings::new(&[Secret::new([0; 16])]);
    let context = Context {
        zones: Some(primary.zones()),
        settings: &settings,
        limiter: None,
        transport: Transport::TCP,
        source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        uptime: Duration::ZERO,
        unix: 0,
        reserve: None,
    };
    // A question and an OPT record (RFC 6891 §6.1.2).
    let mut message = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    message.extend_from_slice(name.as_wire());
    message.extend_from_slice(&qtype.0.to_be_bytes());
    message.extend_from_slice(&[0, 1, 0, 0, 41, 0xff, 0xff, 0, 0, 0, 0, 0, 0]);
    let mut reply = vec![0; usize::from(u16::MAX)];
    let octets = answer::respond(&context, &message, &mut reply).octets().ok_or(QueryError::NotAsked(qtype))?;
    print(&reply[..octets], name, qtype).map_err(QueryError::Malformed)
}

fn print(reply: &[u8], name: &Name, qtype: Type) -> Result<Answered, Malformed> {
    let mut reader = Reader::new(reply)?;
    let header = *reader.header();
    let rcode = header.rcode();
    let flags = [(0x8000, " qr"), (0x0400, " aa"), (0x0200, " tc")];
    let flags: String = flags.iter().filter(|(bit, _)| header.flags & bit != 0).map(|(_, flag)| *flag).collect();
    let mut text = format!(";; status: {rcode}, flags:{flags}\n");
    let mut sections =
        [(Section::Answer, "ANSWER"), (Section::Authority, "AUTHORITY"), (Section::Additional, "ADDITIONAL")]
            .map(|(section, title)| (section, title, String::new()));
    while let Some((section, record)) = reader.record()? {
        if record.rtype == Type::OPT {
            text += &extended_errors(&record.data);
            continue;
        }
        for (_, _, lines) in sections.iter_mut().filter(|(other, ..)| *other == section) {
            lines.push_str(&print::record(record.owner.as_wire(), record.ttl, record.rtype, &record.data));
            lines.push('\n');
        }
    }
    let _ = writeln!(text, "\n;; QUESTION SECTION:\n;{name} IN {qtype}");
    for (_, title, lines) in sections.iter().filter(|(_, _, lines)| !lines.is_empty()) {
        let _ = write!(text, "\n;; {title} SECTION:\n{lines}");
    }
    Ok(Answered { is_good: [Rcode::NO_ERROR, Rcode::NAME_ERROR].contains(&rcode), text })
}

/// Formats the extended errors among an OPT record's options.
fn extended_errors(mut options: &[u8]) -> String {
    let mut text = String::new();
    while let Some((&[c0, c1, l0, l1], rest)) = options.split_first_chunk() {
        let Some((option, after)) = rest.split_at_checked(usize::from(u16::from_be_bytes([l0, l1]))) else { break };
        if let (EXTENDED_ERROR, Some((code, words))) = (u16::from_be_bytes([c0, c1]), option.split_first_chunk()) {
            let words = String::from_utf8_lossy(words);
            let words = if words.is_empty() { String::new() } else { format!(" ({words})") };
            let _ = writeln!(text, ";; EDE: {}{words}", u16::from_be_bytes(*code));
        }
        options = after;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Memory, zone};

    const EXPECTED: &str = "\
;; status: NOERROR, flags: qr aa

;; QUESTION SECTION:
;example.org. IN MX

;; ANSWER SECTION:
example.org. 60 IN MX 1 ns.example.org.

;; ADDITIONAL SECTION:
ns.example.org. 60 IN A 192.0.2.1
;; status: NOERROR, flags: qr aa

;; QUESTION SECTION:
;www.example.org. IN A

;; ANSWER SECTION:
www.example.org. 60 IN CNAME ns.example.net.
ns.example.net. 60 IN A 192.0.2.1
;; status: NXDOMAIN, flags: qr aa

;; QUESTION SECTION:
;x.example.org. IN A

;; AUTHORITY SECTION:
example.org. 60 IN SOA ns.example.org. hostmaster.example.org. 1 3600 600 86400 60
;; status: SERVFAIL, flags: qr
;; EDE: 24 (the zone's file has errors)

;; QUESTION SECTION:
;x.bad.example. IN A
;; status: REFUSED, flags: qr
;; EDE: 20

;; QUESTION SECTION:
;example.com. IN A
";

    #[test]
    fn answers() {
        let tree = Memory::of([
            ("example.org", zone(1, "www CNAME ns.example.net.\n@ MX 1 ns\n").as_str()),
            ("example.net", &zone(1, "")),
            ("bad.example", "x"),
        ]);
        let mut text = String::new();
        for (name, qtype, is_good) in [
            ("example.org", Type::MX, true),
            ("www.example.org", Type::A, true),
            ("x.example.org", Type::A, true),
            ("x.bad.example", Type::A, false),
            ("example.com", Type::A, false),
        ] {
            let answered = query(&tree, &Name::from_text(name).unwrap(), qtype).unwrap();
            assert_eq!(answered.is_good, is_good, "{name}");
            text += &answered.text;
        }
        assert_eq!(text, EXPECTED);
        let root = Name::root();
        assert_eq!(query(&tree, &root, Type::AXFR), Err(QueryError::NotAsked(Type::AXFR)));
    }
}
