//! What one answer costs: nanoseconds, and under valgrind instructions.
//!
//! `cargo bench --bench answer` prints nanoseconds for each kind of answer. For instructions, run the program
//! it names under `valgrind --tool=callgrind --toggle-collect='*answer_many*'` with the kind and a
//! number of rounds as arguments, and divide.
#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use zonule::answer::{Transport, respond};
use zonule::zone::{self, Catalog, Name, Type};

const KINDS: &[(&str, &str, Type)] = &[
    ("hit", "h54321.big.example", Type::A),
    ("hit-small", "www.example.org", Type::A),
    ("cname", "alias.example.org", Type::A),
    ("mx", "example.org", Type::MX),
    ("nodata", "www.example.org", Type::TXT),
    ("nxdomain", "nothing.example.org", Type::A),
    ("wildcard", "x.wild.example.org", Type::A),
    ("referral", "www.sub.example.org", Type::A),
    ("refused", "www.example.com", Type::A),
];

fn main() {
    let catalog = catalog();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let rounds = arguments.get(1).and_then(|rounds| rounds.parse().ok());
    for &(kind, name, rtype) in KINDS {
        if arguments.first().is_some_and(|wanted| wanted != kind) {
            continue;
        }
        let query = query(name, rtype);
        let rounds = rounds.unwrap_or(2_000_000);
        let start = Instant::now();
        let len = answer_many(&catalog, &query, rounds);
        let each = start.elapsed().as_nanos() as f64 / f64::from(rounds);
        println!("{kind:<10} {each:>8.1} ns  {len:>4} octets");
    }
}

#[inline(never)]
fn answer_many(catalog: &Catalog, query: &[u8], rounds: u32) -> usize {
    let mut reply = [0; 1232];
    let mut len = 0;
    for _ in 0..rounds {
        len = respond(Some(black_box(catalog)), Transport::Udp, black_box(query), &mut reply).unwrap_or(0);
        black_box(&reply);
    }
    len
}

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    let head = "$TTL 3600\n@ SOA ns1 hostmaster 1 2 3 4 5\n@ NS ns1\n@ NS ns2\n@ MX 10 mail\nns1 A 192.0.2.1\nns2 A 192.0.2.2\n";
    let body = "mail A 192.0.2.3\nwww A 192.0.2.4\nalias CNAME www\n*.wild A 192.0.2.5\nsub NS ns.sub\nsub NS ns2\nns.sub A 192.0.2.6\n";
    let hosts: String = (0..100_000).map(|n| format!("h{n} A 192.0.2.{}\n", n % 256)).collect();
    let small = (0..1_000).map(|n| (format!("zone{n}.example.net"), body.to_string()));
    let zones = [("example.org".to_string(), body.to_string()), ("big.example".to_string(), body.to_string() + &hosts)];
    for (apex, body) in zones.into_iter().chain(small) {
        let name = Name::from_text(&apex).expect("a good name");
        let reading = zone::read(&name, &apex, format!("{head}{body}").as_bytes());
        catalog.insert(Arc::new(reading.zone.expect("a good zone")));
    }
    catalog
}

/// A query with EDNS, as resolvers send it.
fn query(name: &str, rtype: Type) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    query.extend(Name::from_text(name).expect("a good name").as_wire());
    query.extend(rtype.0.to_be_bytes());
    query.extend([0, 1, 0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]);
    query
}
