//! Tests for incoming transfers: RFC 5936 §2.2, RFC 1995 §4, and hostile primaries.

use proptest::prelude::*;

use super::*;
use crate::dns::Serial;
use crate::dns::message::{Malformed, Rcode};
use crate::secondary::{Bounds, Incoming, Outcome, Progress, TransferError};
use crate::tsig::{Policy, ReplyError, verify};
use crate::zone::difference;

const LINES: &[&str] = &[
    "a 60 A 192.0.2.1\n",
    "A 60 A 192.0.2.1\n",
    "a 60 A 192.0.2.2\n",
    "a 5 A 192.0.2.1\n",
    "a 60 MX 1 B.example.org.\n",
    "a 60 MX 1 b.example.org.\n",
    "b.a 60 TXT x\n",
    "*.w 60 TXT x\n",
    "sub NS ns.sub\n",
    "ns.sub AAAA ::1\n",
    "@ 60 NS NS2\n",
    "d DNAME x.test.\n",
    "c CNAME a\n",
    "a 60 RRSIG A 13 3 60 20300101000000 20200101000000 1 example.org. AQID\n",
    "a 5 RRSIG A 13 3 60 20300101000000 20200101000000 2 example.org. AQID\n",
    "a 5 RRSIG TXT 13 3 5 20300101000000 20200101000000 1 example.org. AQID\n",
    "a 0 RRSIG MX 13 3 0 20300101000000 20200101000000 1 example.org. AQID\n",
    "@ 7 RRSIG SOA 13 2 7 20300101000000 20200101000000 1 example.org. AQID\n",
    "@ 0 RRSIG NSEC3PARAM 13 2 0 20300101000000 20200101000000 1 example.org. AQID\n",
];

/// Feeds these records to a transfer, in messages of `each` records.
fn run(mut incoming: Incoming, request: &[u8], records: &[Raw], each: usize) -> Result<Outcome, TransferError> {
    for records in records.chunks(each) {
        if let Progress::Finished(outcome) = incoming.message(&reply(request, 0, records), UNIX)? {
            return Ok(outcome);
        }
    }
    panic!("the transfer has not ended");
}

fn axfr(records: &[Raw], each: usize) -> Result<Outcome, TransferError> {
    let (incoming, request) = Incoming::whole(&name("example.org"), None, Bounds::default(), 7, UNIX).unwrap();
    run(incoming, &request, records, each)
}

fn ixfr(held: &Arc<Zone>, records: &[Raw], each: usize) -> Result<Outcome, TransferError> {
    let (incoming, request) = Incoming::differences(held, None, Bounds::default(), 7, UNIX).unwrap();
    run(incoming, &request, records, each)
}

fn zone_in(outcome: Result<Outcome, TransferError>) -> (Zone, bool) {
    match outcome.unwrap() {
        Outcome::Zone { zone, incremental, .. } => (zone, incremental),
        Outcome::UpToDate(serial) => panic!("up to date at {serial}"),
    }
}

/// RFC 5936 §2.1, RFC 1995 §3.
#[test]
fn requests() {
    let (_, message) = Incoming::whole(&name("example.org"), None, Bounds::default(), 0x102, UNIX).unwrap();
    assert_eq!(message[..12], [1, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(message[12..], *b"\x07example\x03org\x00\x00\xfc\x00\x01");
    let held = zone(5, "");
    let (_, message) = Incoming::differences(&held, None, Bounds::default(), 0x102, UNIX).unwrap();
    let message = hickory_proto::op::Message::from_vec(&message).unwrap();
    assert_eq!(message.queries[0].query_type(), hickory_proto::rr::RecordType::IXFR);
    assert_eq!(message.authorities.len(), 1);
    assert!(message.authorities[0].to_string().contains(" 5 900 300 3600 60"), "{}", message.authorities[0]);
}

/// RFC 1995 §2, §4: nothing newer, or a whole zone instead of differences.
#[test]
fn up_to_date_or_whole() {
    let held = zone(5, "a A 192.0.2.1\n");
    let same = ixfr(&held, &[soa(&held)], 1).unwrap();
    assert!(matches!(same, Outcome::UpToDate(Serial(5))));
    let older = ixfr(&held, &[soa(&zone(4, ""))], 1).unwrap();
    assert!(matches!(older, Outcome::UpToDate(Serial(4))));
    let newer = zone(6, "b A 192.0.2.1\n");
    for each in 1..9 {
        let (got, incremental) = zone_in(ixfr(&held, &whole(&newer), each));
        assert!(!incremental && difference(&newer, &got).is_empty());
    }
}

/// RFC 1995 §4, without condensation: a name is added and removed, an alias becomes a host.
#[test]
fn differences_one_after_the_other() {
    let versions = [
        zone(u32::MAX, "a A 192.0.2.1\na A 192.0.2.2\nc CNAME a\n"),
        zone(1, "a A 192.0.2.2\nA A 192.0.2.3\nb TXT x\nc A 192.0.2.1\n"),
        zone(7, "a 5 A 192.0.2.2\nb TXT y\nd DNAME x.test.\n"),
    ];
    let records = differences(&versions.each_ref().map(|zone| &**zone));
    for each in 1..records.len() + 1 {
        let (got, incremental) = zone_in(ixfr(&versions[0], &records, each));
        assert!(incremental && got.serial() == Serial(7), "{got:?}");
        assert!(difference(&versions[2], &got).is_empty(), "{:?}", difference(&versions[2], &got));
    }
}

/// RFC 1995 §4: deleted records must exist, added ones must not, and the differences must be consecutive.
#[test]
fn differences_that_do_not_fit() {
    let (old, new) = (zone(5, "a A 192.0.2.1\n"), zone(6, "b A 192.0.2.1\n"));
    let good = differences(&[&old, &new]);
    assert_eq!(good.len(), 6);
    let fails = |records: &[Raw]| {
        let error = ixfr(&old, records, 100).unwrap_err();
        assert!(error.allows_full_transfer(), "{error}");
        error.to_string()
    };
    let mut twice = good.clone();
    twice.insert(3, twice[2].clone());
    assert!(fails(&twice).contains("a record to be deleted does not exist"));
    let mut twice = good.clone();
    twice.insert(5, twice[4].clone());
    assert!(fails(&twice).contains("a record to be added already exists"));
    let mut elsewhere = good.clone();
    elsewhere[1] = soa(&zone(4, ""));
    assert!(fails(&elsewhere).contains("another serial number than ours"));
    let mut gap = good.clone();
    gap[3] = soa(&zone(7, ""));
    assert!(fails(&gap).contains("the next one starts at serial 6, not 7"));
    let mut back = good.clone();
    back[3] = soa(&zone(5, ""));
    assert!(fails(&back).contains("serial 5 follows 5"));
    let mut behind = good.clone();
    behind.push(good[2].clone());
    assert!(fails(&behind).contains("after the last SOA"));
    let mut last = good.clone();
    last[5].3[0] ^= 3;
    ixfr(&old, &last, 6).unwrap_err();
}

/// Differences must not lead to a zone that would be rejected as a zone file.
#[test]
fn differences_to_an_invalid_zone() {
    let txt = |owner: &str| (name(owner), Type::TXT, 1, b"\x01x".to_vec());
    let old = zone(5, "c CNAME a\nd DNAME x.test.\n");
    let raw = |owner: &str, rtype, data: &[u8]| (name(owner), rtype, 1, data.to_vec());
    let ns = (name("example.org"), Type::NS, 60, b"\x02ns\x07example\x03org\0".to_vec());
    let cname = b"\x01b\0".as_slice();
    for (removed, added, reason) in [
        (vec![], vec![txt("c.example.org")], "has a CNAME record and other data"),
        (vec![], vec![raw("c.example.org", Type::CNAME, cname)], "more than one CNAME"),
        (vec![], vec![raw("ns.example.org", Type::CNAME, cname)], "has a CNAME record and other data"),
        (vec![], vec![raw("d.example.org", Type::DNAME, cname)], "more than one DNAME"),
        (vec![], vec![txt("x.d.example.org")], "below a DNAME"),
        (vec![], vec![raw("example.org", Type::DNAME, cname)], "below a DNAME"),
        (vec![], vec![(name("ns.example.org"), Type::SOA, 1, soa(&old).3)], "is not at the apex"),
        (vec![ns], vec![], "no NS record"),
    ] {
        let new = zone(6, "");
        let mut records = vec![soa(&new), soa(&old)];
        records.extend(removed);
        records.push(soa(&new));
        records.extend(added);
        records.push(soa(&new));
        let error = ixfr(&old, &records, 100).unwrap_err();
        assert!(matches!(&error, TransferError::Invalid(found) if found.contains(reason)), "{reason}: {error}");
    }
}

/// RFC 5936 §2.2: the first and last SOA are equal, with no records before or after them and no empty message.
#[test]
fn invalid_full_transfers() {
    let zone = zone(5, "a A 192.0.2.1\n");
    let good = whole(&zone);
    assert!(axfr(&good, 1).is_ok());
    let error = |records: &[Raw]| axfr(records, 2).unwrap_err().to_string();
    assert!(error(&good[1..]).contains("does not begin with"));
    let mut changed = good.clone();
    *changed.last_mut().unwrap() = soa(&super::zone(6, ""));
    assert!(error(&changed).contains("the last SOA record differs from the first"));
    let mut behind = good.clone();
    behind.push(good[1].clone());
    assert!(axfr(&behind, 100).unwrap_err().to_string().contains("after the last SOA"));
    assert!(error(&[soa(&zone), soa(&zone)]).contains("no NS record"));
    let mut meta = good.clone();
    meta.insert(1, (name("example.org"), Type::ANY, 1, vec![]));
    assert!(error(&meta).contains("query type or meta-type"));
    let mut empty = good.clone();
    empty.insert(1, (name("example.org"), Type::A, 1, vec![]));
    assert!(error(&empty).contains("has no data"));
    let mut bad = good.clone();
    bad.insert(1, (name("x.example.org"), Type::A, 1, vec![1, 2, 3]));
    assert!(matches!(axfr(&bad, 100), Err(TransferError::Malformed(Malformed::Data { .. }))));
    let mut outside = good.clone();
    outside.insert(1, (name("example.net"), Type::A, 1, vec![1, 2, 3, 4]));
    let Outcome::Zone { zone: got, remarks, .. } = axfr(&outside, 2).unwrap() else { panic!() };
    assert!(difference(&zone, &got).is_empty());
    assert!(remarks.iter().any(|remark| remark.reason.contains("not in the zone")), "{remarks:?}");
}

/// RFC 5936 §2.2.1, §2.2.2: ID, question, response code. Records that BIND would reject are served; data without the
/// form of its type is not.
#[test]
fn data_that_other_servers_reject() {
    let with = |rtype: u16, data: &[u8]| {
        let mut records = whole(&zone(1, ""));
        let at = records.len() - 1;
        records.insert(at, (name("x.example.org"), Type(rtype), 60, data.to_vec()));
        axfr(&records, 9)
    };
    // SSHFP, DHCID, DS, X25, NSEC3.
    for (rtype, data) in
        [(44, &[4, 2, 1][..]), (49, &[]), (43, &[0, 1, 8, 2, 1]), (19, b"\x04abcd"), (50, &[2, 0, 0, 0, 0, 1, 1])]
    {
        let Ok(Outcome::Zone { zone, remarks, .. }) = with(rtype, data) else { panic!("type {rtype}") };
        let served = zone.node(&name("x.example.org")).unwrap().rrset(Type(rtype)).unwrap().rdata().next();
        assert_eq!(served, Some(data));
        let warned = format!(
            "invalid records in the transfer, because of which other servers may reject the zone: 1; first: x.example.org. {}",
            Type(rtype)
        );
        assert!(remarks.iter().any(|remark| remark.reason.starts_with(&warned)), "{remarks:?}");
    }
    let Ok(Outcome::Zone { remarks, .. }) = with(16, b"\0") else { panic!("TXT") };
    assert_eq!(remarks, []);
    // A, MX, TXT, NSEC.
    for (rtype, data) in [(1, &[192, 0, 2][..]), (15, &[0, 1]), (16, &[]), (47, &[0, 0, 0])] {
        assert!(with(rtype, data).is_err(), "type {rtype}");
    }
}

#[test]
fn headers_and_questions() {
    let begin = || Incoming::whole(&name("example.org"), None, Bounds::default(), 7, UNIX).unwrap();
    let records = whole(&zone(5, ""));
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let (mut incoming, request) = begin();
        let mut message = reply(&request, 0, &records);
        change(&mut message);
        let result = incoming.message(&message, UNIX).map(|_| ());
        if result.is_err() {
            let good = reply(&request, 0, &records);
            assert!(incoming.message(&good, UNIX).is_err(), "messages after an error are rejected");
        }
        result
    };
    assert_eq!(with(&|_| {}), Ok(()));
    assert_eq!(
        with(&|message| message[1] ^= 1),
        Err(TransferError::Unexpected("a message is not a reply to the request"))
    );
    assert_eq!(
        with(&|message| message[2] &= 0x7f),
        Err(TransferError::Unexpected("a message is not a reply to the request"))
    );
    assert_eq!(with(&|message| message[2] |= 2), Err(TransferError::Unexpected("a message is truncated")));
    assert_eq!(with(&|message| message[3] |= 5), Err(TransferError::Refused(Rcode::REFUSED)));
    let other = Err(TransferError::Unexpected("a message is a reply to another question"));
    assert_eq!(with(&|message| message[13] ^= 1), other);
    assert_eq!(with(&|message| message[12 + 14] = 251), other);
    let (mut incoming, request) = begin();
    assert_eq!(
        incoming.message(&reply(&request, 0, &[]), UNIX).map(|_| ()),
        Err(TransferError::Unexpected("a message has no records"))
    );
    // Messages after the first need no question.
    let (mut incoming, request) = begin();
    assert!(matches!(incoming.message(&reply(&request, 0, &records[..1]), UNIX), Ok(Progress::More)));
    let mut rest = reply(&request, 0, &records[1..]);
    rest[5] = 0;
    rest.drain(12..12 + 17);
    assert!(matches!(incoming.message(&rest, UNIX), Ok(Progress::Finished(_))));
}

#[test]
fn limits() {
    let records = whole(&zone(5, "a A 192.0.2.1\nb A 192.0.2.1\n"));
    for (limits, good) in [
        (Bounds { records: records.len(), ..Bounds::default() }, true),
        (Bounds { records: records.len() - 1, ..Bounds::default() }, false),
        (Bounds { octets: 100, ..Bounds::default() }, false),
    ] {
        let (incoming, request) = Incoming::whole(&name("example.org"), None, limits, 7, UNIX).unwrap();
        let result = run(incoming, &request, &records, 2);
        assert_eq!(result.is_ok(), good);
        assert!(good || matches!(result, Err(TransferError::TooLarge(_))));
        assert!(good || !result.unwrap_err().allows_full_transfer(), "the whole zone is not smaller");
    }
    let (old, new) = (zone(5, ""), zone(6, "a A 192.0.2.1\nb A 192.0.2.1\n"));
    let limits = Bounds { octets: 300, ..Bounds::default() };
    let (incoming, request) = Incoming::differences(&old, None, limits, 7, UNIX).unwrap();
    let result = run(incoming, &request, &differences(&[&old, &new]), 2);
    assert!(matches!(result, Err(TransferError::TooLarge(_))));
}

/// RFC 8945 §5.3.1: messages are signed in a chain, and nothing is trusted before the last one is verified.
#[test]
fn signed_transfers() {
    let records = whole(&zone(5, "a A 192.0.2.1\n"));
    let messages = |request: &[u8], unsigned: &[usize]| -> Vec<Vec<u8>> {
        let verified = verify(request, |_| Some(key()), &Policy::default(), UNIX).unwrap().unwrap();
        let mut chain = verified.request.chain();
        let parts: Vec<_> = records.chunks(1).collect();
        let signed = parts.iter().enumerate().map(|(at, records)| {
            let mut message = reply(&verified.message, 0, records);
            if !unsigned.contains(&at) {
                let len = message.len();
                message.resize(len + chain.room(), 0);
                let end = chain.sign(&mut message, len, UNIX).unwrap();
                message.truncate(end);
            }
            message
        });
        signed.collect()
    };
    let begin = || Incoming::whole(&name("example.org"), Some(&key()), Bounds::default(), 7, UNIX).unwrap();
    let run = |messages: &[Vec<u8>], mut incoming: Incoming| {
        for message in messages {
            if let Progress::Finished(_) = incoming.message(message, UNIX)? {
                return Ok(());
            }
        }
        panic!("the transfer has not ended")
    };
    let (incoming, request) = begin();
    assert_eq!(run(&messages(&request, &[]), incoming), Ok(()));
    let last = records.len() - 1;
    let (incoming, request) = begin();
    assert_eq!(run(&messages(&request, &[0]), incoming), Err(TransferError::Signature(ReplyError::Gap)));
    let (incoming, request) = begin();
    assert_eq!(run(&messages(&request, &[last]), incoming), Err(TransferError::Signature(ReplyError::Gap)));
    for at in 0..=last {
        let (incoming, request) = begin();
        let mut forged = messages(&request, &[]);
        forged[at][15] ^= 0x20;
        assert_eq!(run(&forged, incoming), Err(TransferError::Signature(ReplyError::Signature)));
        let (incoming, request) = begin();
        let mut missing = messages(&request, &[]);
        missing.remove(at);
        if at < last {
            assert_eq!(run(&missing, incoming), Err(TransferError::Signature(ReplyError::Signature)));
        }
    }
}

/// Messages of another implementation, with compressed names.
#[test]
fn messages_of_another_implementation() {
    use hickory_proto::op::{Message, MessageType, OpCode, Query};
    use hickory_proto::rr::RecordType;
    let zone = zone(5, "a MX 1 mail.a\nmail.a A 192.0.2.7\n*.a TXT x\ns SRV 1 2 3 mail.a\n");
    let (mut incoming, request) = Incoming::whole(zone.apex(), None, Bounds::default(), 7, UNIX).unwrap();
    let asked = Message::from_vec(&request).unwrap();
    let records = whole(&zone);
    let plain = reply(&request, 0, &records);
    let plain = Message::from_vec(&plain).unwrap();
    let mut message = Message::new(asked.id, MessageType::Response, OpCode::Query);
    message.add_query(Query::query(asked.queries[0].name().clone(), RecordType::AXFR));
    message.add_answers(plain.answers.clone());
    let octets = message.to_vec().unwrap();
    assert!(octets.len() < reply(&request, 0, &records).len(), "names are compressed");
    let Progress::Finished(Outcome::Zone { zone: got, .. }) = incoming.message(&octets, UNIX).unwrap() else {
        panic!()
    };
    assert!(difference(&zone, &got).is_empty());
}

fn any_lines() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop::sample::select(LINES), 0..8).prop_map(|lines| lines.concat())
}

proptest! {
    /// Whatever the versions of the zone are and wherever messages end, the result is the newest version.
    #[test]
    fn any_versions(lines in proptest::collection::vec(any_lines(), 2..5), each in 1..20_usize, first in 0..u32::MAX) {
        let versions: Vec<_> = lines.iter().zip(0..).map(|(lines, at)| zone(first.wrapping_add(at), lines)).collect();
        let newest = versions.last().unwrap();
        let refs: Vec<&Zone> = versions.iter().map(|zone| &**zone).collect();
        let (got, incremental) = zone_in(ixfr(&versions[0], &differences(&refs), each));
        prop_assert!(incremental && difference(newest, &got).is_empty());
        prop_assert_eq!(got.record_count(), newest.record_count());
        let (got, _) = zone_in(axfr(&whole(newest), each));
        prop_assert!(difference(newest, &got).is_empty());
    }

    /// Records in any order and changed octets yield an error or a zone, without a panic.
    #[test]
    fn hostile(
        order in proptest::collection::vec(0..40_usize, 1..40),
        flips in proptest::collection::vec((0..2000_usize, 1..=255_u8), 0..4),
        each in 1..10_usize,
    ) {
        let versions = [zone(5, &LINES[0..8].concat()), zone(6, &LINES[4..].concat())];
        let pool = [differences(&[&versions[0], &versions[1]]), whole(&versions[1])].concat();
        let mut records = vec![soa(&versions[1])];
        records.extend(order.iter().map(|at| pool[at % pool.len()].clone()));
        let starts = [
            Incoming::differences(&versions[0], None, Bounds::default(), 7, UNIX).unwrap(),
            Incoming::whole(&name("example.org"), None, Bounds::default(), 7, UNIX).unwrap(),
        ];
        for (mut incoming, request) in starts {
            for records in records.chunks(each) {
                let mut message = reply(&request, 0, records);
                for (at, flip) in &flips {
                    let at = at % message.len();
                    message[at] ^= flip;
                }
                match incoming.message(&message, UNIX) {
                    Ok(Progress::More) => {}
                    Ok(Progress::Finished(Outcome::Zone { zone, .. })) => {
                        prop_assert_eq!(zone.apex(), versions[0].apex());
                        break;
                    }
                    Ok(Progress::Finished(Outcome::UpToDate(_))) | Err(_) => break,
                }
            }
        }
    }
}
