//! Tests that check transfers of fixed and random zones with independent readers.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::op::Message;
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};
use proptest::prelude::*;

use super::*;
use crate::answer::Transport;
use crate::dns::message::{Reader, Record, Section};
use crate::dns::{Name, Serial, Type};
use crate::tsig::{self, Algorithm, Key, Policy};
use crate::zone::{Difference, Entry, Zone, difference};
use crate::zonefile::read;

mod past;
mod requests;

/// Records that often share names, types and data; all in the same letter case.
const LINES: &[&str] = &[
    "a 60 A 192.0.2.1\n",
    "a 60 A 192.0.2.2\n",
    "a 5 A 192.0.2.1\n",
    "a 60 A 192.0.2.3\n",
    "a 60 MX 1 b.example.org.\n",
    "a 60 MX 2 mx.other.example.\n",
    "b.a 60 TXT x\n",
    "b.a 60 TXT y\n",
    "*.w 60 TXT x\n",
    "sub NS ns.sub\n",
    "sub NS ns.other.example.\n",
    "ns.sub AAAA 2001:db8::1\n",
    "ns.sub A 192.0.2.53\n",
    "hidden.sub TXT \"below the cut\"\n",
    "@ 60 NS ns2\n",
    "@ 5 NS ns\n",
    "d DNAME x.test.\n",
    "c CNAME a\n",
    "_sip._tcp SRV 1 1 5060 sip.example.org.\n",
    "$GENERATE 1-40 many TXT record-$-of-an-RRset-that-is-split\n",
    "$GENERATE 1-40 many A 192.0.2.$\n",
    "$GENERATE 1-90 h$ A 192.0.2.$\n",
    "$GENERATE 1-60 h$ MX \"1 mail$.h$\"\n",
    "a 60 RRSIG A 13 3 60 20300101000000 20200101000000 1 example.org. AQID\n",
    "a 5 RRSIG A 13 3 60 20300101000000 20200101000000 2 example.org. AQID\n",
    "a 5 RRSIG TXT 13 3 5 20300101000000 20200101000000 1 example.org. AQID\n",
    "a 0 RRSIG MX 13 3 0 20300101000000 20200101000000 1 example.org. AQID\n",
    "@ 7 RRSIG SOA 13 2 7 20300101000000 20200101000000 1 example.org. AQID\n",
    "@ 0 RRSIG NSEC3PARAM 13 2 0 20300101000000 20200101000000 1 example.org. AQID\n",
];

fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

fn apex() -> Name {
    name("example.org")
}

fn zone(serial: u32, lines: &str) -> Arc<Zone> {
    let text = format!("$TTL 60\n@ SOA ns host {serial} 1 1 1 1\n@ NS ns\n{lines}");
    let reading = read(&apex(), "example.org", text.as_bytes());
    Arc::new(reading.zone.unwrap_or_else(|| panic!("{:?}", reading.diagnostics)))
}

fn any_lines() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop::sample::select(LINES), 0..10).prop_map(|lines| lines.concat())
}

/// A record (owner, TTL, type, data) in the letter case of the zone.
type Row = (Vec<u8>, u32, u16, Vec<u8>);

fn rows(zone: &Zone) -> Vec<Row> {
    let records = zone.iter().flat_map(|node| {
        node.rrsets().flat_map(move |rrset| {
            rrset.rdata().map(move |data| (node.owner().to_vec(), rrset.ttl(), rrset.rtype().0, data.to_vec()))
        })
    });
    records.collect()
}

fn soa(zone: &Zone) -> Row {
    rows(zone).into_iter().find(|row| row.2 == Type::SOA.0).unwrap()
}

fn lower(rows: &[Row]) -> Vec<Row> {
    let lower = |octets: &[u8]| octets.to_ascii_lowercase();
    rows.iter().map(|(owner, ttl, rtype, data)| (lower(owner), *ttl, *rtype, lower(data))).collect()
}

fn query(kind: Kind) -> Vec<u8> {
    let mut query = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(apex().as_wire());
    match kind {
        Kind::Axfr => query.extend([0, 252, 0, 1]),
        Kind::Ixfr(serial) => {
            query[9] = 1;
            query.extend([0, 251, 0, 1, 0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0]);
            query.extend(serial.0.to_be_bytes());
            query.extend([0; 16]);
        }
    }
    query
}

fn request(kind: Kind) -> Request {
    Request::parse(&query(kind), Transport::TCP).unwrap()
}

/// An OPT record without options.
const OPT: [u8; 11] = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];

fn outgoing(kind: Kind, zone: &Arc<Zone>, differences: Option<&[Arc<Difference>]>) -> Outgoing {
    let request = request(kind);
    Outgoing::new(request.reply(&OPT), Content::of(&request, zone.clone(), differences))
}

/// Writes all messages, each into a buffer that reveals writes beyond the limit.
fn messages(mut outgoing: Outgoing, limit: usize, reserve: usize) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut buffer = vec![0x55; usize::from(u16::MAX)];
    while let Some(len) = outgoing.next(&mut buffer, limit, reserve).unwrap() {
        assert!(len + reserve <= limit);
        assert!(buffer[limit - reserve..].iter().all(|octet| *octet == 0x55));
        messages.push(buffer[..len].to_vec());
        buffer.fill(0x55);
    }
    assert!(outgoing.is_done());
    let records: usize = messages.iter().map(|message| answers(message).len()).sum();
    assert_eq!(outgoing.records(), records as u64);
    messages
}

fn row(record: Record) -> Row {
    assert_eq!(record.class, 1);
    (record.owner.as_wire().to_vec(), record.ttl, record.rtype.0, record.data.into())
}

/// The answer section of a message, as read by both our reader and hickory-proto.
fn answers(message: &[u8]) -> Vec<Row> {
    let mut reader = Reader::new(message).unwrap();
    let mut rows = Vec::new();
    while let Some((section, record)) = reader.record().unwrap() {
        match section {
            Section::Answer => rows.push(row(record)),
            _ => assert_eq!((section, record.rtype), (Section::Additional, Type::OPT)),
        }
    }
    let independent = Message::from_vec(message).unwrap();
    let independent = independent.answers.iter().map(|record| {
        let mut data = Vec::new();
        let mut encoder = BinEncoder::new(&mut data);
        encoder.set_canonical_form(true);
        record.data.emit(&mut encoder).unwrap();
        let mut owner = Vec::new();
        let mut encoder = BinEncoder::new(&mut owner);
        encoder.set_canonical_form(true);
        record.name.emit(&mut encoder).unwrap();
        (owner, record.ttl, u16::from(record.record_type()), data)
    });
    assert_eq!(lower(&independent.collect::<Vec<_>>()), lower(&rows));
    rows
}

/// Checks the properties that all messages of a reply share and returns their answers.
fn reply_rows(messages: &[Vec<u8>], kind: Kind) -> Vec<Row> {
    let asked = query(kind);
    let question = &asked[12..12 + apex().as_wire().len() + 4];
    for (number, message) in messages.iter().enumerate() {
        let header = *Reader::new(message).unwrap().header();
        // RFC 5936 §2.2.1: ID and RD as in the request, QR and AA set, everything else clear.
        assert_eq!((header.id, header.flags), (0xabcd, 0x8500));
        let first = u16::from(number == 0);
        assert_eq!([header.counts[0], header.counts[2], header.counts[3]], [first, 0, first]);
        if number == 0 {
            assert_eq!(&message[12..12 + question.len()], question);
            assert!(message.ends_with(&OPT));
        }
        assert!(header.counts[1] > 0, "RFC 5936 §2.2: no message without a record");
    }
    messages.iter().flat_map(|message| answers(message)).collect()
}

fn check_axfr(zone: &Arc<Zone>, limit: usize, reserve: usize) {
    let messages = messages(outgoing(Kind::Axfr, zone, None), limit, reserve);
    let mut expected = rows(zone);
    let at = expected.iter().position(|row| row.2 == Type::SOA.0).unwrap();
    let soa = expected.remove(at);
    expected.insert(0, soa.clone());
    expected.push(soa);
    assert_eq!(reply_rows(&messages, Kind::Axfr), expected);
    // Each message is as full as possible.
    for pair in messages.windows(2) {
        let (owner, _, _, data) = &answers(&pair[1])[0];
        assert!(pair[0].len() + owner.len() + 10 + data.len() > limit - reserve);
    }
}

/// Parses a reply as a client does (RFC 1995 §4) and applies it to the client's version.
fn apply(old: &Zone, reply_rows: &[Row]) -> Vec<Row> {
    let mut records = lower(&rows(old));
    let reply_rows = lower(reply_rows);
    let is_soa = |row: &Row| row.2 == Type::SOA.0;
    let (first, last) = (reply_rows.first().unwrap(), reply_rows.last().unwrap());
    assert!(is_soa(first) && first == last);
    if reply_rows.len() == 1 {
        return records;
    }
    if reply_rows.len() == 2 || !is_soa(&reply_rows[1]) {
        return reply_rows[..reply_rows.len() - 1].to_vec();
    }
    let mut rest = &reply_rows[1..reply_rows.len() - 1];
    while !rest.is_empty() {
        let end = |rows: &[Row]| rows.iter().skip(1).position(is_soa).map_or(rows.len(), |at| at + 1);
        let (removed, after) = rest.split_at(end(rest));
        let (added, after) = after.split_at(end(after));
        for row in removed {
            let at = records.iter().position(|record| record == row);
            records.remove(at.unwrap_or_else(|| panic!("not there: {row:?}")));
        }
        for row in added {
            assert!(!records.contains(row), "there already: {row:?}");
            records.push(row.clone());
        }
        assert!(is_soa(&removed[0]) && is_soa(&added[0]));
        rest = after;
    }
    assert!(records.contains(last));
    records
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}

proptest! {
    /// RFC 5936 §2.2, §3.5: exactly the zone between two SOA records.
    #[test]
    fn axfr_is_the_zone(lines in any_lines(), limit in prop_oneof![512_usize..900, 512_usize..65_536], reserve in 0_usize..150) {
        check_axfr(&zone(7, &lines), limit, reserve);
    }

    /// RFC 1995 §4: applying the reply to the client's version yields the zone.
    #[test]
    fn ixfr_leads_to_the_zone(
        versions in proptest::collection::vec(any_lines(), 2..5),
        limit in prop_oneof![512_usize..900, 512_usize..65_536],
        reserve in 0_usize..150,
    ) {
        let versions: Vec<_> = versions.iter().zip(1..).map(|(lines, serial)| zone(serial, lines)).collect();
        let chain: Vec<_> = versions.windows(2).map(|pair| Arc::new(difference(&pair[0], &pair[1]))).collect();
        let (old, new) = (&versions[0], &versions[versions.len() - 1]);
        let kind = Kind::Ixfr(Serial(1));
        let reply = outgoing(kind, new, Some(&chain));
        let net = difference(old, new);
        let changes: usize = net.changes.iter().filter(|change| change.rtype != Type::SOA)
            .map(|change| change.removed.len() + change.added.len()).sum();
        match reply.content() {
            Content::Zone(_) => prop_assert!(changes > new.record_count()),
            Content::Difference(_, condensed) => {
                prop_assert!(changes <= new.record_count());
                prop_assert_eq!(&**condensed, &net);
            }
            Content::Soa(_) => prop_assert!(false),
        }
        let reply_rows = reply_rows(&messages(reply, limit, reserve), kind);
        prop_assert_eq!(sorted(apply(old, &reply_rows)), sorted(lower(&rows(new))));
    }

    /// RFC 8945 §5.3.1: each signature also covers the one before.
    #[test]
    fn signed_in_a_chain(lines in any_lines(), limit in 700_usize..3000, number in 161_u8..=165) {
        let algorithm = Algorithm::from_dnskey_number(number).unwrap();
        let key = Arc::new(Key::new(name("k._transfer.example.org"), algorithm, vec![7; 32]).unwrap());
        let mut signed = query(Kind::Axfr);
        let sent = tsig::sign(&key, &mut signed, 1_000).unwrap();
        let verified = tsig::verify(&signed, |_| Some(key.clone()), &Policy::default(), 1_000).unwrap().unwrap();
        let (mut server, mut client) = (verified.request.chain(), sent.chain());
        let zone = zone(7, &lines);
        let plain = messages(outgoing(Kind::Axfr, &zone, None), limit, server.room());
        for (number, message) in plain.iter().enumerate() {
            let mut octets = message.clone();
            octets.resize(limit, 0);
            let now = 1_000 + number as u64;
            let len = server.sign(&mut octets, message.len(), now).unwrap();
            prop_assert!(len <= limit);
            prop_assert_eq!(&client.verify(&octets[..len], now).unwrap(), message);
        }
        prop_assert!(client.finish().is_ok());
    }

    /// RFC 1995 §2: everything in one datagram, or the SOA record alone.
    #[test]
    fn datagrams(a in any_lines(), b in any_lines(), limit in 512_usize..4096, reserve in 0_usize..150) {
        let (old, new) = (zone(1, &a), zone(2, &b));
        let kind = Kind::Ixfr(Serial(1));
        let chain = [Arc::new(difference(&old, &new))];
        let reply = || outgoing(kind, &new, Some(&chain));
        let over_tcp = messages(reply(), usize::from(u16::MAX), 0);
        let mut buffer = vec![0x55; 4096];
        let len = reply().datagram(&mut buffer, limit, reserve).unwrap();
        prop_assert!(len + reserve <= limit && buffer[limit..].iter().all(|octet| *octet == 0x55));
        let reply_rows = reply_rows(&[buffer[..len].to_vec()], kind);
        if over_tcp.len() == 1 && over_tcp[0].len() <= limit - reserve {
            prop_assert_eq!(&buffer[..len], &over_tcp[0]);
        } else {
            prop_assert_eq!(reply_rows, vec![soa(&new)]);
        }
    }
}

/// Replacing a zone during its transfer does not affect the transfer.
#[test]
fn transfer_is_consistent_during_a_zone_change() {
    let old = zone(1, &LINES.concat());
    let expected = reply_rows(&messages(outgoing(Kind::Axfr, &old, None), 600, 0), Kind::Axfr);
    let mut served = old.clone();
    let mut reply = outgoing(Kind::Axfr, &served, None);
    let (mut buffer, mut sent, mut serial) = (vec![0; 600], Vec::new(), 2);
    while let Some(len) = reply.next(&mut buffer, 600, 0).unwrap() {
        sent.push(buffer[..len].to_vec());
        let amendments = difference(&served, &zone(serial, "a 60 A 192.0.2.9\n"));
        served = Arc::new(served.amend(&amendments.amendments(&zone(serial, "a 60 A 192.0.2.9\n"))).unwrap());
        serial += 1;
    }
    assert!(served.serial() > Serial(2) && sent.len() > 10);
    assert_eq!(reply_rows(&sent, Kind::Axfr), expected);
}

/// RFC 5936 §3.5: glue and other records below a zone cut.
#[test]
fn records_below_cuts_are_included() {
    let zone = zone(1, "sub NS ns.sub\nns.sub A 192.0.2.53\nhidden.sub TXT x\nd DNAME e\n");
    let reply_rows = reply_rows(&messages(outgoing(Kind::Axfr, &zone, None), 65_535, 0), Kind::Axfr);
    for owner in ["sub", "ns.sub", "hidden.sub", "d"] {
        let owner = name(&format!("{owner}.example.org"));
        assert!(reply_rows.iter().any(|row| row.0 == owner.as_wire()), "{owner}");
    }
}

/// Messages are nearly 64 KiB, names beyond the reach of pointers are compressed, and letter case is preserved (RFC
/// 5936 §3.4).
#[test]
fn large_messages() {
    let mut lines = String::new();
    for n in 0..20_000 {
        let case = if n % 3 == 0 { "EXAMPLE.org" } else { "Example.Org" };
        lines += &format!("host{n}.{case}. A 192.0.2.1\nhost{n}.{case}. MX 1 mail.Host{n}.{case}.\n");
    }
    let zone = zone(1, &lines);
    check_axfr(&zone, 65_535, 0);
    check_axfr(&zone, 65_535, 300);
    let messages = messages(outgoing(Kind::Axfr, &zone, None), 65_535, 0);
    let octets: usize = messages.iter().map(Vec::len).sum();
    assert!(messages[..messages.len() - 1].iter().all(|message| message.len() > 65_400));
    let plain: usize = rows(&zone).iter().map(|row| row.0.len() + 10 + row.3.len()).sum();
    assert!(octets * 100 < plain * 80, "{octets} of {plain}");
}

/// Names and data of maximum length.
#[test]
fn extremes() {
    let label = "x".repeat(63);
    let long = format!("{label}.{label}.{label}.{}", "y".repeat(49));
    let data = "ab".repeat(64_000);
    let lines = format!(
        "{long} 1 NS {long}\nbig TYPE65280 \\# 64000 {data}\n$GENERATE 1-6000 many 1 TYPE65280 \"\\# 2 ${{0,4,x}}\"\n"
    );
    let long_zone = zone(1, &lines);
    for limit in [64_800, 65_535] {
        check_axfr(&long_zone, limit, 300);
    }
    let mut reply = outgoing(Kind::Axfr, &long_zone, None);
    let mut buffer = vec![0; 65_535];
    let result =
        std::iter::repeat_with(|| reply.next(&mut buffer, 60_000, 0)).find(|result| !matches!(result, Ok(Some(_))));
    assert_eq!(result, Some(Err(NoRoom)));
    for limit in 0..60 {
        let zone = zone(1, "");
        assert_eq!(outgoing(Kind::Axfr, &zone, None).next(&mut buffer, limit, 0), Err(NoRoom));
        assert_eq!(outgoing(Kind::Axfr, &zone, None).next(&mut buffer, 512, 512 - limit), Err(NoRoom));
    }
}

/// A reply without room for the SOA record has TC set.
#[test]
fn truncated_datagram() {
    let zone = zone(1, "");
    let mut buffer = [0; 512];
    let len = outgoing(Kind::Ixfr(Serial(1)), &zone, None).datagram(&mut buffer, 60, 0).unwrap();
    let header = *Reader::new(&buffer[..len]).unwrap().header();
    assert_eq!((header.flags, header.counts), (0x8700, [1, 0, 0, 1]));
    assert_eq!(outgoing(Kind::Ixfr(Serial(1)), &zone, None).datagram(&mut buffer, 20, 0), Err(NoRoom));
}

/// RFC 1995 §2, §4.
#[test]
fn content_of_ixfr_replies() {
    const ZONE: &str = "the whole zone, serial 6";
    const SOA: &str = "the SOA record only, serial 6";
    let lines = "$GENERATE 1-9 h$ A 192.0.2.$\n";
    let (old, new) = (zone(5, lines), zone(6, "$GENERATE 2-9 h$ A 192.0.2.$\n"));
    let chain = [Arc::new(difference(&old, &new))];
    let content = |serial, differences: Option<&[Arc<Difference>]>| {
        Content::of(&request(Kind::Ixfr(Serial(serial))), new.clone(), differences).to_string()
    };
    assert_eq!(content(6, Some(&chain)), SOA, "up to date");
    assert_eq!(content(7, Some(&chain)), SOA, "newer than ours");
    assert_eq!(content(6 + 0x7fff_ffff, None), SOA);
    assert_eq!(content(6 + 0x8000_0000, None), ZONE, "neither newer nor older (RFC 1982 §3.2)");
    assert_eq!(content(5, Some(&chain)), "the differences from serial 5 to 6");
    assert_eq!(content(5, None), ZONE, "unknown");
    assert_eq!(content(5, Some(&[])), ZONE);
    assert_eq!(content(4, Some(&chain)), ZONE, "it does not begin there");
    let elsewhere = [Arc::new(difference(&old, &zone(7, lines)))];
    assert_eq!(content(5, Some(&elsewhere)), ZONE, "it leads elsewhere");
    let other_soa = read(&apex(), "", format!("$TTL 60\n@ SOA ns other 6 1 1 1 1\n@ NS ns\n{lines}").as_bytes()).zone;
    let other_soa = [Arc::new(difference(&old, &other_soa.unwrap()))];
    assert_eq!(content(5, Some(&other_soa)), ZONE, "it leads to another version with this number");
    let emptied = zone(6, "");
    let large = [Arc::new(difference(&old, &emptied))];
    let content = Content::of(&request(Kind::Ixfr(Serial(5))), emptied, Some(&large));
    assert!(matches!(content, Content::Zone(_)), "the difference is larger than the zone");
}
