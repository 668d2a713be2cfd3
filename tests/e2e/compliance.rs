//! Every query with which RFC 8906 §8 tests servers, and its relatives, gets the reply that the RFC demands.

use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::EdnsCode;
use zonule_harness::eventually;
use zonule_harness::wire::{self, Connection, kind};

use crate::scene::Scene;

const FORMERR: u16 = 1;
const NOTIMP: u16 = 4;
const REFUSED: u16 = 5;
const BADVERS: u16 = 16;

/// Header bits, as they lie in the third and fourth octet.
const RD: u16 = 0x0100;
const Z: u16 = 0x0040;
const AD: u16 = 0x0020;
const CD: u16 = 0x0010;

/// A query and what must come back.
struct Test {
    /// The section of the RFC, and what it is about.
    name: &'static str,
    query: Vec<u8>,
    rcode: u16,
    /// The zone's SOA is the answer, with authority.
    soa: bool,
    /// The reply has an OPT record of version 0.
    opt: bool,
}

/// A query for the zone's SOA with these header bits.
fn soa(flags: u16) -> Vec<u8> {
    let mut query = wire::query(1, "example.org", kind::SOA);
    query[2..4].copy_from_slice(&flags.to_be_bytes());
    query
}

/// The query with an OPT record: payload size, version, flags, options.
fn with_opt(mut query: Vec<u8>, payload: u16, version: u8, flags: u16, options: &[u8]) -> Vec<u8> {
    query[11] += 1;
    query.extend([0, 0, 41]);
    query.extend(payload.to_be_bytes());
    query.extend([0, version]);
    query.extend(flags.to_be_bytes());
    query.extend((options.len() as u16).to_be_bytes());
    query.extend(options);
    query
}

/// The query with the type and class of its question replaced.
fn asking(mut query: Vec<u8>, qtype: u16, class: u16) -> Vec<u8> {
    let end = query.len();
    query[end - 4..end - 2].copy_from_slice(&qtype.to_be_bytes());
    query[end - 2..].copy_from_slice(&class.to_be_bytes());
    query
}

/// The query with another opcode.
fn opcode(mut query: Vec<u8>, opcode: u8) -> Vec<u8> {
    query[2] = query[2] & 0x87 | opcode << 3;
    query
}

/// The query with another number of questions announced, `more` octets behind the first.
fn questions(mut query: Vec<u8>, count: u8, more: &[u8]) -> Vec<u8> {
    query[5] = count;
    if count == 0 {
        query.truncate(12);
    }
    query.extend(more);
    query
}

/// All tests.
fn tests() -> Vec<Test> {
    const DO: u16 = 0x8000;
    const UNKNOWN: &[u8] = &[0, 100, 0, 2, 1, 2];
    const COOKIE: &[u8] = &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    // Cookie, NSID, EXPIRE and client subnet.
    let several = [COOKIE, &[0, 3, 0, 0, 0, 9, 0, 0, 0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2]].concat();
    let edns = |payload, version, flags, options: &[u8]| with_opt(soa(0), payload, version, flags, options);
    let question = soa(0)[12..].to_vec();
    let answered = |name, query: Vec<u8>| Test { name, opt: has_opt(&query), query, rcode: 0, soa: true };
    let failed = |name, query: Vec<u8>, rcode| Test { name, opt: has_opt(&query), query, rcode, soa: false };
    vec![
        answered("§8.1.1 SOA", soa(0)),
        failed("§8.1.2 unknown type", asking(soa(0), 1000, 1), 0),
        answered("§8.1.3.1 CD", soa(CD)),
        answered("§8.1.3.2 AD", soa(AD)),
        answered("§8.1.3.3 reserved bit", soa(Z)),
        answered("§8.1.3.4 RD", soa(RD)),
        answered("all flags", soa(RD | Z | AD | CD)),
        failed("§8.1.4 unknown opcode", opcode(soa(0), 15)[..12].to_vec(), NOTIMP),
        failed("unknown opcode with a question", opcode(soa(0), 15), NOTIMP),
        failed("unknown opcode with EDNS", opcode(edns(1232, 0, 0, &[]), 15), NOTIMP),
        failed("opcode IQUERY (RFC 3425)", opcode(soa(0), 1), NOTIMP),
        failed("opcode STATUS", opcode(soa(0), 2), NOTIMP),
        failed("opcode 3", opcode(soa(0), 3), NOTIMP),
        failed("opcode DSO over UDP (RFC 8490 §5.4)", opcode(soa(0), 6), NOTIMP),
        answered("§8.2.1 EDNS", edns(4096, 0, 0, &[])),
        failed("§8.2.2 EDNS version 1", edns(4096, 1, 0, &[]), BADVERS),
        failed("EDNS version 255", edns(4096, 255, 0, &[]), BADVERS),
        answered("§8.2.3 unknown option", edns(4096, 0, 0, UNKNOWN)),
        answered("§8.2.4 unknown flag", edns(4096, 0, 0x40, &[])),
        failed("§8.2.5 EDNS version 1 with an unknown flag", edns(4096, 1, 0x40, &[]), BADVERS),
        failed("§8.2.6 EDNS version 1 with an unknown option", edns(4096, 1, 0, UNKNOWN), BADVERS),
        failed("§8.2.7 truncation", with_opt(asking(soa(0), 48, 1), 512, 0, DO, &[]), 0),
        answered("§8.2.8 DO", edns(4096, 0, DO, &[])),
        failed("§8.2.9 EDNS version 1 with DO", edns(4096, 1, DO, &[]), BADVERS),
        answered("§8.2.10 several options", edns(4096, 0, 0, &several)),
        answered("a cookie (RFC 7873 §5.2.3)", edns(4096, 0, 0, COOKIE)),
        failed(
            "a cookie of seven octets (RFC 7873 §5.2.2)",
            edns(4096, 0, 0, &[0, 10, 0, 7, 1, 2, 3, 4, 5, 6, 7]),
            FORMERR,
        ),
        answered("payload size 0 (RFC 6891 §6.2.3)", edns(0, 0, 0, &[])),
        answered("payload size 65,535", edns(u16::MAX, 0, 0, &[])),
        answered("an empty option", edns(4096, 0, 0, &[0xff, 0xf0, 0, 0])),
        failed("two OPT records (RFC 6891 §6.1.1)", with_opt(edns(4096, 0, 0, &[]), 4096, 0, 0, &[]), FORMERR),
        failed("no question (RFC 9619 §4)", questions(soa(0), 0, &[]), FORMERR),
        failed("two questions (RFC 9619 §4)", questions(soa(0), 2, &question), FORMERR),
        failed("octets behind the message", questions(soa(0), 1, &[0]), FORMERR),
        failed("class CH", asking(soa(0), 6, 3), REFUSED),
        failed("class HS", asking(soa(0), 6, 4), REFUSED),
        failed("class NONE", asking(soa(0), 6, 254), REFUSED),
        failed("class ANY", asking(soa(0), 6, 255), REFUSED),
        failed("a zone that is not ours", wire::query(1, "example.invalid", kind::SOA), REFUSED),
    ]
}

/// Whether a query of ours has an OPT record.
fn has_opt(query: &[u8]) -> bool {
    query[11] > 0 && query.len() > 12
}

impl Test {
    /// What is wrong with a reply.
    fn faults(&self, reply: &[u8]) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expect = |holds: bool, what: &str| {
            if !holds {
                faults.push(format!("{}: {what}", self.name));
            }
        };
        let Ok(message) = Message::from_vec(reply) else { return vec![format!("{}: unreadable", self.name)] };
        let rcode = u16::from(message.metadata.response_code);
        expect(rcode == self.rcode, &format!("the response code is {rcode}, not {}", self.rcode));
        expect(reply[..2] == self.query[..2] && reply[2] & 0x80 != 0, "it is no reply to this query");
        expect(reply[2] & 0x79 == self.query[2] & 0x79, "opcode or RD are not the query's");
        expect(reply[3] & 0xf0 == 0, "RA, Z, AD or CD are set");
        expect(reply[2] & 2 == 0, "it is truncated");
        let owns = message.answers.iter().filter(|record| record.record_type() == RecordType::SOA).count();
        expect(owns == usize::from(self.soa), &format!("{owns} SOA records in the answer"));
        let authority = reply[2] & 4 != 0;
        expect(authority == (self.rcode == 0), "AA is wrong");
        let flags = reply_flags(reply);
        match (&message.edns, self.opt) {
            (Some(edns), true) => {
                expect(edns.version() == 0, "the EDNS version is not 0");
                expect(flags.is_some_and(|flags| flags & 0x7fff == 0), "unknown EDNS flags come back");
                expect(edns.option(EdnsCode::Unknown(100)).is_none(), "an unknown option comes back");
                let cookie = edns.option(EdnsCode::Cookie).map(<Vec<u8>>::try_from).and_then(Result::ok);
                if self.name.starts_with("a cookie (") {
                    let good = cookie
                        .is_some_and(|c| (16..=40).contains(&c.len()) && c.starts_with(&[1, 2, 3, 4, 5, 6, 7, 8]));
                    expect(good, "no server cookie behind the client's");
                }
            }
            (None, false) => {}
            (Some(_), false) => expect(false, "an OPT record nobody asked for (RFC 6891 §7)"),
            (None, true) => expect(false, "no OPT record (RFC 6891 §6.1.1)"),
        }
        faults
    }
}

/// The flags of an OPT record without options at the end of a reply; those of longer ones hickory-proto read.
fn reply_flags(reply: &[u8]) -> Option<u16> {
    let message = Message::from_vec(reply).ok()?;
    let flags = message.edns.as_ref()?.flags();
    Some(u16::from(flags.dnssec_ok) << 15 | flags.z)
}

scenario!(queries_of_rfc_8906_get_the_replies_they_should, |target| {
    let scene = Scene::small(target);
    let address = scene.server.address();
    let mut faults = Vec::new();
    let mut connection = Connection::open(address).unwrap();
    for test in tests() {
        let reply = eventually(test.name, || wire::exchange(address, &test.query, Duration::from_secs(2)).unwrap());
        faults.extend(test.faults(&reply.unwrap()));
        // §8.1.5: all the same over TCP. After some errors a server may close.
        if connection.send(&test.query).is_err() {
            connection = Connection::open(address).unwrap();
            connection.send(&test.query).unwrap();
        }
        match connection.receive().unwrap() {
            Some(reply) => faults.extend(test.faults(&reply).into_iter().map(|fault| format!("TCP: {fault}"))),
            None => {
                connection = Connection::open(address).unwrap();
                if test.rcode != FORMERR {
                    faults.push(format!("TCP: {}: no reply", test.name));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
});
