//! How fast the messages of a transfer are made.
//!
//! `cargo bench --bench transfer` prints, for a zone of a million records, records and octets per second of an AXFR into
//! messages of the largest size, plain and signed; and how long it takes to compare two versions of the zone read one
//! after the other, which share nothing.
#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;
use zonule::zonefile;

use zonule::answer::Transport;
use zonule::dns::{Name, Type};
use zonule::transfer::{Content, Outgoing, Request};
use zonule::tsig::{self, Chain, Key, Policy};
use zonule::zone::{self, Zone};

const RECORDS: u64 = 1_000_000;

fn main() {
    let hosts = |n: u64| format!("host{n:07} IN A 10.{}.{}.{}\n", n >> 16 & 255, n >> 8 & 255, n & 255);
    let delegations = |n: u64| match n % 4 {
        0 | 1 => format!("child{:07} IN NS ns{}.provider{}.example.\n", n / 4, n % 4, n / 4 % 997),
        2 => format!("child{:07} IN DS 12345 13 2 {:064x}\n", n / 4, n),
        _ => format!("ns.child{:07} IN AAAA 2001:db8::{:x}\n", n / 4, n & 0xffff),
    };
    measure("hosts", hosts);
    measure("delegations", delegations);
}

fn measure(kind: &str, line: impl Fn(u64) -> String) {
    let zone = Arc::new(read(1, &line));
    let newer = read(2, &line);
    let start = Instant::now();
    let difference = zone::difference(&zone, &newer);
    let took = start.elapsed();
    println!("{kind:<12} compared in {} ms, {} RRset differs", took.as_millis(), difference.changes.len());
    for is_signed in [false, true] {
        let best = (0..5).map(|_| transfer(&zone, is_signed)).min_by(|a, b| a.0.total_cmp(&b.0));
        let (seconds, records, octets, messages) = best.expect("five rounds");
        println!(
            "{kind:<12}{} {:.2} M records/s, {:.0} MB/s, {messages} messages, {:.1} octets per record",
            if is_signed { " signed" } else { "  plain" },
            records as f64 / seconds / 1e6,
            octets as f64 / seconds / 1e6,
            octets as f64 / records as f64,
        );
    }
}

fn read(serial: u32, line: impl Fn(u64) -> String) -> Zone {
    let apex = Name::from_text("big.example").expect("a good name");
    let mut text = format!("$TTL 3600\n@ IN SOA ns1 hostmaster {serial} 2 3 4 5\n@ IN NS ns1\nns1 IN A 192.0.2.1\n");
    text.extend((0..RECORDS).map(line));
    zonefile::read(&apex, "big.example", text.as_bytes()).zone.expect("a good zone")
}

/// Makes all messages; returns the seconds it took, and how many records, octets and messages there are.
fn transfer(zone: &Arc<Zone>, is_signed: bool) -> (f64, u64, usize, u32) {
    let mut query = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(zone.apex().as_wire());
    query.extend(Type::AXFR.0.to_be_bytes());
    query.extend([0, 1]);
    let key = Key::parse_argument("k._transfer:hmac-sha256:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
        .expect("a good key");
    let key = Arc::new(key);
    tsig::sign(&key, &mut query, 1).expect("there is room");
    let verified =
        tsig::verify(&query, |_| Some(key), &Policy::default(), 1).expect("it is right").expect("it is signed");
    let mut chain = is_signed.then(|| verified.request.chain());
    let reserve = chain.as_ref().map_or(0, Chain::room);
    let request = Request::parse(&verified.message, Transport::TCP).expect("a good request");
    let content = Content::of(&request, zone.clone(), None);
    let mut message = vec![0; usize::from(u16::MAX)];
    let start = Instant::now();
    let mut outgoing = Outgoing::new(request.reply(&[]), content);
    let (mut octets, mut messages) = (0, 0);
    while let Some(len) = outgoing.next(&mut message, usize::from(u16::MAX), reserve).expect("all records fit") {
        let signed = chain.as_mut().map_or(Some(len), |chain| chain.sign(&mut message, len, 1));
        let len = signed.expect("room was left");
        black_box(&message[..len]);
        octets += len;
        messages += 1;
    }
    (start.elapsed().as_secs_f64(), outgoing.records(), octets, messages)
}
