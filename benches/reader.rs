//! How fast zone files are read and how much memory a zone takes.
//!
//! `cargo bench --bench reader` prints records per second for a zone of one million A records, in order and shuffled,
//! and octets of memory per record.
#![allow(missing_docs)]

use std::time::Instant;
use zonule::zonefile;

use zonule::dns::Name;

const RECORDS: u64 = 1_000_000;

fn main() {
    let apex = Name::from_text("big.example").expect("a good name");
    for (kind, step) in [("in order", 1), ("shuffled", 387_420_489_u64)] {
        let mut text = String::from("$TTL 3600\n@ IN SOA ns1 hostmaster 1 2 3 4 5\n@ IN NS ns1\nns1 IN A 192.0.2.1\n");
        for n in 0..RECORDS {
            let n = n * step % RECORDS;
            text += &format!("host{n:07} IN A 10.{}.{}.{}\n", n >> 16 & 255, n >> 8 & 255, n & 255);
        }
        let before = resident();
        let start = Instant::now();
        let reading = zonefile::read(&apex, "big.example", text.as_bytes());
        let took = start.elapsed();
        let zone = reading.zone.expect("a good zone");
        let records = zone.record_count() as f64;
        println!("{kind}: {:.2} M records/s", records / took.as_secs_f64() / 1e6);
        // The second zone is put where the first one was, so only the first one's growth tells its size.
        if step == 1 {
            let each = |octets: u64| (octets - before) as f64 / records;
            println!("memory: {:.0} octets per record kept, {:.0} at the peak", each(resident()), each(peak()));
        }
    }
}

/// Returns the process's resident memory in octets.
fn resident() -> u64 {
    status("VmRSS:")
}

fn peak() -> u64 {
    status("VmHWM:")
}

fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the field is there");
    line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).expect("it is a number") * 1024
}
