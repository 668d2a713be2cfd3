//! What one answer costs: nanoseconds, and under valgrind instructions.
//!
//! `cargo bench --bench answer` prints nanoseconds for each kind of answer. For instructions, run the program
//! it names under `valgrind --tool=callgrind --toggle-collect='*answer_many*'` with the kind and a
//! number of rounds as arguments, and divide. Of the kinds that begin with `hit`, `plain` is without EDNS, `limited` with
//! rate limiting on top of that, and `cookie` with a DNS cookie that is new.
#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zonule::zonefile;

use zonule::answer::{Context, Limiter, RateLimit, Secret, Settings, Transport, respond};
use zonule::dns::{Name, Type};
use zonule::zone::Zones;

const KINDS: &[(&str, &str, Type)] = &[
    ("hit", "h54321.big.example", Type::A),
    ("hit-plain", "h54321.big.example", Type::A),
    ("hit-limited", "h54321.big.example", Type::A),
    ("hit-cookie", "h54321.big.example", Type::A),
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
    let settings = Settings::new(&[Secret::new([7; 16])]);
    let limiter = Limiter::new(RateLimit { per_second: 1_000_000, ..RateLimit::default() }, [7; 16]);
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let rounds = arguments.get(1).and_then(|rounds| rounds.parse().ok());
    for &(kind, name, rtype) in KINDS {
        let (query, limited) = match kind {
            "hit-plain" => (query(name, rtype, None), false),
            "hit-limited" => (query(name, rtype, None), true),
            "hit-cookie" => (query(name, rtype, Some(&[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8])), false),
            _ => (query(name, rtype, Some(&[])), false),
        };
        if arguments.first().is_some_and(|wanted| wanted != kind) {
            continue;
        }
        let context = Context {
            zones: Some(&catalog),
            settings: &settings,
            limiter: limited.then_some(&limiter),
            transport: Transport::UDP,
            source: [192, 0, 2, 1].into(),
            uptime: Duration::ZERO,
            unix: 1_800_000_000,
            reserve: None,
        };
        let rounds = rounds.unwrap_or(2_000_000);
        let start = Instant::now();
        let len = answer_many(context, &query, rounds);
        let each = start.elapsed().as_nanos() as f64 / f64::from(rounds);
        println!("{kind:<11} {each:>8.1} ns  {len:>4} octets");
    }
}

#[inline(never)]
fn answer_many(mut context: Context<'_>, query: &[u8], rounds: u32) -> usize {
    let mut reply = [0; 1232];
    let mut len = 0;
    for _ in 0..rounds {
        // Slowly enough that nothing is limited.
        context.uptime += Duration::from_micros(2);
        len = respond(black_box(&context), black_box(query), &mut reply).octets().unwrap_or(0);
        black_box(&reply);
    }
    len
}

fn catalog() -> Zones {
    let mut catalog = Zones::default();
    let head = "$TTL 3600\n@ SOA ns1 hostmaster 1 2 3 4 5\n@ NS ns1\n@ NS ns2\n@ MX 10 mail\nns1 A 192.0.2.1\nns2 A 192.0.2.2\n";
    let body = "mail A 192.0.2.3\nwww A 192.0.2.4\nalias CNAME www\n*.wild A 192.0.2.5\nsub NS ns.sub\nsub NS ns2\nns.sub A 192.0.2.6\n";
    let hosts: String = (0..100_000).map(|n| format!("h{n} A 192.0.2.{}\n", n % 256)).collect();
    let small = (0..1_000).map(|n| (format!("zone{n}.example.net"), body.to_string()));
    let zones = [("example.org".to_string(), body.to_string()), ("big.example".to_string(), body.to_string() + &hosts)];
    for (apex, body) in zones.into_iter().chain(small) {
        let name = Name::from_text(&apex).expect("a good name");
        let reading = zonefile::read(&name, &apex, format!("{head}{body}").as_bytes());
        catalog.insert(Arc::new(reading.zone.expect("a good zone")));
    }
    catalog
}

/// A query, with an OPT record of some options as resolvers send it, or without.
fn query(name: &str, rtype: Type, options: Option<&[u8]>) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(options.is_some())];
    query.extend(Name::from_text(name).expect("a good name").as_wire());
    query.extend(rtype.0.to_be_bytes());
    query.extend([0, 1]);
    if let Some(options) = options {
        query.extend([0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, options.len() as u8]);
        query.extend(options);
    }
    query
}
