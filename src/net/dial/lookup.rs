//! Address queries and their answers: octets in, addresses out.
//!
//! Only records that belong to the question are used: those of the queried name and of the targets of aliases (RFC 1034
//! §3.6.2). Everything else in an answer is ignored.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use crate::dns::message::{Header, Malformed, PORT, Rcode, Reader, Record, Section, class, opcode, request};
use crate::dns::{Name, Type};

/// The maximum number of aliases between a name and its addresses.
const MAX_ALIASES: usize = 16;

/// The maximum number of addresses of one family.
pub(super) const MAX_ADDRESSES: usize = 8;

/// The maximum number of servers from a file.
pub(super) const MAX_SERVERS: usize = 8;

/// The maximum time for which an answer is cached, whatever its TTL.
const MAX_TTL: Duration = Duration::from_secs(86_400);

/// The maximum time for which a negative answer is cached.
const MAX_NEGATIVE: Duration = Duration::from_secs(30);

/// The time for which a negative answer without SOA record is cached.
const DEFAULT_NEGATIVE: Duration = Duration::from_secs(5);

/// The flag RD (RFC 1035 §4.1.1).
const RECURSION_DESIRED: u16 = 0x0100;

/// An address family, which is queried separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V6,
    V4,
}

/// The reply of a resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The host's addresses of a family, at least one, with their TTL.
    Addresses(Vec<IpAddr>, Duration),
    /// The host has no addresses of this family.
    Empty(Duration),
    /// The name does not exist.
    NoSuchName(Duration),
    /// The answer is too long for a datagram.
    Truncated,
    /// A failure; the text follows the resolver's address in messages.
    Failed(String),
}

impl Family {
    pub(super) const BOTH: [Family; 2] = [Family::V6, Family::V4];

    fn rtype(self) -> Type {
        match self {
            Family::V4 => Type::A,
            Family::V6 => Type::AAAA,
        }
    }

    fn address(self, data: &[u8]) -> Option<IpAddr> {
        match self {
            Family::V4 => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
            Family::V6 => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
        }
    }
}

/// Builds the query for the addresses of `name`, with recursion desired.
pub(super) fn query(id: u16, name: &Name, family: Family) -> Vec<u8> {
    request(id, RECURSION_DESIRED, name, family.rtype())
}

/// Parses the answer to [`query`]; returns `None` if the message answers something else (RFC 5452 §9.1).
pub(super) fn read(message: &[u8], id: u16, name: &Name, family: Family) -> Option<Reply> {
    let mut reader = Reader::new(message).ok()?;
    let header = *reader.header();
    if header.id != id || !header.is_response() || header.opcode() != opcode::QUERY {
        return None;
    }
    match reader.question() {
        Ok(Some(question)) if question.name == *name => {
            if question.qtype != family.rtype() || question.qclass != class::IN {
                return None;
            }
        }
        // Some resolvers do not repeat a question that they cannot parse.
        Ok(None) if header.rcode() == Rcode::FORMAT_ERROR => {}
        _ => return None,
    }
    if header.is_truncated() {
        return Some(Reply::Truncated);
    }
    match header.rcode() {
        Rcode::NO_ERROR | Rcode::NAME_ERROR => Some(
            answer(reader, &header, name, family)
                .unwrap_or_else(|fault| Reply::Failed(format!("sent an answer that is malformed at {fault}"))),
        ),
        code => Some(Reply::Failed(format!("answered {}", code))),
    }
}

/// Parses an answer that belongs to the question and is not an error.
fn answer(mut reader: Reader<'_>, header: &Header, name: &Name, family: Family) -> Result<Reply, Malformed> {
    let mut records = Vec::new();
    let mut negative = None;
    while let Some((section, record)) = reader.record()? {
        match section {
            Section::Answer if record.class == class::IN => records.push(record),
            Section::Authority if record.rtype == Type::SOA => negative = Some(negative_ttl(&record)),
            _ => {}
        }
    }
    let Some((addresses, ttl)) = follow(&records, name, family) else {
        return Ok(Reply::Failed(format!("sent a chain of more than {MAX_ALIASES} aliases")));
    };
    if !addresses.is_empty() {
        return Ok(Reply::Addresses(addresses, ttl.min(MAX_TTL)));
    }
    if header.rcode() == Rcode::NAME_ERROR {
        return Ok(Reply::NoSuchName(negative.unwrap_or(DEFAULT_NEGATIVE)));
    }
    const RECURSION_AVAILABLE: u16 = 0x0080;
    if !header.is_authoritative() && header.flags & RECURSION_AVAILABLE == 0 && negative.is_none() {
        return Ok(Reply::Failed("only refers to other servers: it is not a recursive resolver".to_string()));
    }
    Ok(Reply::Empty(negative.unwrap_or(DEFAULT_NEGATIVE)))
}

/// Follows aliases from `name` to addresses. Returns these, possibly none, and the smallest TTL on the way; returns
/// `None` if there are too many aliases.
fn follow(records: &[Record], name: &Name, family: Family) -> Option<(Vec<IpAddr>, Duration)> {
    let mut at = name.clone();
    let mut ttl = u32::MAX;
    for _ in 0..=MAX_ALIASES {
        let mut addresses = Vec::new();
        for record in records.iter().filter(|record| record.rtype == family.rtype() && record.owner == at) {
            if let Some(address) = family.address(&record.data).filter(|_| addresses.len() < MAX_ADDRESSES) {
                addresses.push(address);
                ttl = ttl.min(seconds(record.ttl));
            }
        }
        let alias = records.iter().find(|record| record.rtype == Type::CNAME && record.owner == at);
        match alias.and_then(|alias| Some((Name::from_wire(&alias.data).ok()?, alias.ttl))) {
            Some((target, alias_ttl)) if addresses.is_empty() => {
                at = target;
                ttl = ttl.min(seconds(alias_ttl));
            }
            _ => return Some((addresses, Duration::from_secs(ttl.into()))),
        }
    }
    None
}

/// Returns a TTL, or zero if its highest bit is set (RFC 2181 §8).
fn seconds(ttl: u32) -> u32 {
    if ttl > i32::MAX as u32 { 0 } else { ttl }
}

/// Returns how long a negative answer with this SOA may be cached (RFC 2308 §5), within our own limit.
fn negative_ttl(soa: &Record) -> Duration {
    let minimum = soa.data.last_chunk().map_or(0, |minimum| u32::from_be_bytes(*minimum));
    Duration::from_secs(seconds(soa.ttl).min(seconds(minimum)).into()).min(MAX_NEGATIVE)
}

/// Returns the servers in a file like resolv.conf(5), in its order.
pub(super) fn servers(text: &str) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        let server = words.next().and_then(server);
        servers.extend(server.filter(|server| servers.len() < MAX_SERVERS && !servers.contains(server)));
    }
    servers
}

/// Parses an address, which may have a numeric zone (RFC 4007 §11).
fn server(word: &str) -> Option<SocketAddr> {
    if let Ok(address) = word.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, PORT));
    }
    let (address, zone) = word.split_once('%')?;
    Some(SocketAddrV6::new(address.parse().ok()?, PORT, 0, zone.parse().ok()?).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::{Message, MessageType, Metadata, OpCode, Query, ResponseCode};
    use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA};
    use hickory_proto::rr::{self, RData, RecordType};
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    fn foreign(text: &str) -> rr::Name {
        rr::Name::from_ascii(text).unwrap()
    }

    /// An answer of another implementation to the question for `git.example.org`.
    fn reply(
        kind: RecordType,
        rcode: ResponseCode,
        records: &[(&str, u32, RData)],
        soa: Option<(u32, u32)>,
    ) -> Vec<u8> {
        let mut metadata = Metadata::new(77, MessageType::Response, OpCode::Query);
        metadata.recursion_available = true;
        metadata.response_code = rcode;
        let mut message = Message::new(77, MessageType::Response, OpCode::Query);
        message.metadata = metadata;
        message.add_query(Query::query(foreign("git.example.org."), kind));
        for (owner, ttl, data) in records {
            message.add_answer(rr::Record::from_rdata(foreign(owner), *ttl, data.clone()));
        }
        if let Some((ttl, minimum)) = soa {
            let soa = SOA::new(foreign("ns.example.org."), foreign("h.example.org."), 1, 2, 3, 4, minimum);
            message.add_authority(rr::Record::from_rdata(foreign("example.org."), ttl, RData::SOA(soa)));
        }
        message.to_vec().unwrap()
    }

    fn a(last: u8) -> RData {
        RData::A(A::new(192, 0, 2, last))
    }

    fn cname(target: &str) -> RData {
        RData::CNAME(CNAME(foreign(target)))
    }

    fn read_v4(message: &[u8]) -> Option<Reply> {
        read(message, 77, &name("git.example.org"), Family::V4)
    }

    #[test]
    fn another_implementation_parses_the_query() {
        let message = Message::from_vec(&query(7, &name("git.Example.org"), Family::V6)).unwrap();
        assert_eq!((message.metadata.id, message.metadata.recursion_desired), (7, true));
        let question = &message.queries[0];
        assert_eq!(
            (question.name().to_string().as_str(), question.query_type()),
            ("git.Example.org.", RecordType::AAAA)
        );
    }

    #[test]
    fn addresses_have_the_smallest_ttl_of_the_chain() {
        let records = [
            ("GIT.example.org.", 600, cname("forge.example.net.")),
            ("forge.example.net.", 300, a(1)),
            ("forge.example.net.", 200, a(2)),
            ("elsewhere.example.", 1, a(66)),
        ];
        let addresses = [1, 2].map(|last| IpAddr::from([192, 0, 2, last])).to_vec();
        let expected = Reply::Addresses(addresses, Duration::from_secs(200));
        assert_eq!(read_v4(&reply(RecordType::A, ResponseCode::NoError, &records, None)), Some(expected));
        let data = RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
        let message = reply(RecordType::AAAA, ResponseCode::NoError, &[("git.example.org.", 90_000, data)], None);
        let expected = Reply::Addresses(vec!["2001:db8::1".parse().unwrap()], MAX_TTL);
        assert_eq!(read(&message, 77, &name("git.example.org"), Family::V6), Some(expected));
        // TTLs with the highest bit set are zero.
        let message = reply(RecordType::A, ResponseCode::NoError, &[("git.example.org.", 1 << 31, a(1))], None);
        assert_eq!(read_v4(&message), Some(Reply::Addresses(vec![[192, 0, 2, 1].into()], Duration::ZERO)));
    }

    #[test]
    fn answers_to_other_questions_are_ignored() {
        let good = reply(RecordType::A, ResponseCode::NoError, &[("git.example.org.", 60, a(1))], None);
        assert!(read_v4(&good).is_some());
        assert_eq!(read(&good, 78, &name("git.example.org"), Family::V4), None);
        assert_eq!(read(&good, 77, &name("git.example.com"), Family::V4), None);
        assert_eq!(read(&good, 77, &name("git.example.org"), Family::V6), None);
        let mut question = good.clone();
        question[2] &= 0x7f;
        assert_eq!(read_v4(&question), None);
        for length in 0..good.len() {
            // No panic; and a truncated answer is not accepted.
            assert!(!matches!(read_v4(&good[..length]), Some(Reply::Addresses(..))), "cut at {length}");
        }
    }

    #[test]
    fn negative_answers_have_short_ttls() {
        let seconds = Duration::from_secs;
        let message = |rcode, soa| reply(RecordType::A, rcode, &[], soa);
        let empty = |soa| read_v4(&message(ResponseCode::NoError, soa));
        assert_eq!(empty(Some((900, 10))), Some(Reply::Empty(seconds(10))));
        assert_eq!(empty(Some((3, 10))), Some(Reply::Empty(seconds(3))));
        assert_eq!(empty(Some((900, 900))), Some(Reply::Empty(MAX_NEGATIVE)));
        assert_eq!(empty(None), Some(Reply::Empty(DEFAULT_NEGATIVE)));
        let nothing = message(ResponseCode::NXDomain, Some((9, 9)));
        assert_eq!(read_v4(&nothing), Some(Reply::NoSuchName(seconds(9))));
        // An alias to a name that does not exist.
        let dangling = [("git.example.org.", 600, cname("gone.example.net."))];
        let message = reply(RecordType::A, ResponseCode::NXDomain, &dangling, None);
        assert_eq!(read_v4(&message), Some(Reply::NoSuchName(DEFAULT_NEGATIVE)));
    }

    #[test]
    fn other_answers_are_failures_or_truncated() {
        let message = |rcode| reply(RecordType::A, rcode, &[], None);
        let failed = |text: &str| Some(Reply::Failed(text.to_string()));
        assert_eq!(read_v4(&message(ResponseCode::ServFail)), failed("answered SERVFAIL"));
        assert_eq!(read_v4(&message(ResponseCode::Refused)), failed("answered REFUSED"));
        let mut referral = message(ResponseCode::NoError);
        referral[3] &= 0x7f;
        assert_eq!(read_v4(&referral), failed("only refers to other servers: it is not a recursive resolver"));
        let mut truncated = message(ResponseCode::NoError);
        truncated[2] |= 2;
        assert_eq!(read_v4(&truncated), Some(Reply::Truncated));
        let mut malformed = message(ResponseCode::NoError);
        malformed.push(0);
        let octet = malformed.len() - 1;
        let text = format!(
            "sent an answer that is malformed at octet {octet}: there are octets after the last record that the header counts"
        );
        assert_eq!(read_v4(&malformed), failed(&text));
        let ring = [("git.example.org.", 60, cname("a.example.")), ("a.example.", 60, cname("git.example.org."))];
        let message = reply(RecordType::A, ResponseCode::NoError, &ring, None);
        assert_eq!(read_v4(&message), failed("sent a chain of more than 16 aliases"));
    }

    #[test]
    fn servers_are_read_from_a_file() {
        let text = "# a comment\nsearch example.org\nnameserver 192.0.2.1\n  nameserver\t2001:db8::1 \n\
                    nameserver fe80::1%2\nnameserver fe80::1%eth0\nnameserver 192.0.2.1\nnameserver nonsense\nnameserver";
        let expected = ["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%2]:53"].map(|text| text.parse().unwrap());
        assert_eq!(servers(text), expected);
        let many: String = (0..100).map(|last| format!("nameserver 192.0.2.{last}\n")).collect();
        assert_eq!(servers(&many).len(), MAX_SERVERS);
    }

    proptest! {
        /// Any input: no panic, and only answers to this question are accepted.
        #[test]
        fn any_octets_never_panic(noise in proptest::collection::vec(any::<u8>(), 0..200), cut in any::<prop::sample::Index>()) {
            let records = [("git.example.org.", 600, cname("forge.example.net.")), ("forge.example.net.", 300, a(1))];
            let good = reply(RecordType::A, ResponseCode::NoError, &records, Some((1, 2)));
            let mut mixed = good[..cut.index(good.len())].to_vec();
            mixed.extend(&noise);
            for message in [&noise, &mixed] {
                if read_v4(message).is_some() {
                    prop_assert_eq!(&message[..2], &77_u16.to_be_bytes());
                }
            }
            servers(&String::from_utf8_lossy(&noise));
        }
    }
}
