//! Any octets as the messages of a transfer, of a whole zone and of differences.
#![no_main]

use std::sync::{Arc, LazyLock};
use zonule::{dns, zonefile};

use libfuzzer_sys::fuzz_target;
use zonule::dns::{Name, Severity, Type};
use zonule::secondary::{Bounds, Incoming, Outcome, Progress};
use zonule::zone::{self, Zone};

static HELD: LazyLock<Arc<Zone>> = LazyLock::new(|| {
    let name = Name::from_text("example.org").expect("a good name");
    let text = b"$TTL 60\n@ SOA a b 5 1 1 1 1\n@ NS a\na A 192.0.2.1\nb CNAME a\nc DNAME x.\nsub NS a.sub\na.sub A 192.0.2.1\n";
    Arc::new(zonefile::read(&name, "example.org", text).zone.expect("a good zone"))
});

const BOUNDS: Bounds = Bounds { records: 50, octets: 1 << 16 };

/// The flags of a reply with authority.
const FLAGS: [u8; 2] = [0x84, 0];

fuzz_target!(|octets: &[u8]| {
    let starts = [Incoming::whole(HELD.apex(), None, BOUNDS, 7, 0), Incoming::differences(&HELD, None, BOUNDS, 7, 0)];
    for (mut incoming, _) in starts.into_iter().flatten() {
        // Two octets of length in front of each message, as on the wire.
        let mut rest = octets;
        while let Some((len, after)) = rest.split_first_chunk::<2>() {
            let len = usize::from(u16::from_be_bytes(*len)).min(after.len());
            let mut message = after[..len].to_vec();
            rest = &after[len..];
            // Messages that are not replies exercise nothing.
            if let Some(front) = message.first_chunk_mut::<4>() {
                *front = [0, 7, FLAGS[0], FLAGS[1]];
            }
            match incoming.message(&message, 0) {
                Ok(Progress::More) => continue,
                Ok(Progress::Finished(Outcome::UpToDate(serial))) => assert!(!serial.is_newer_than(HELD.serial())),
                Ok(Progress::Finished(Outcome::Zone { zone, .. })) => check(&zone),
                Err(error) => assert!(error.to_string().len() < 4096),
            }
            assert!(incoming.message(&message, 0).is_err(), "a finished transfer accepts no more messages");
            break;
        }
    }
});

/// Checks that a transferred zone is valid: its printed text reads as the same zone, unless a record has data that a
/// primary may send and a file may not contain.
fn check(zone: &Zone) {
    let mut text = String::new();
    for node in zone.iter() {
        for rrset in node.rrsets() {
            for data in rrset.rdata() {
                text.push_str(&dns::print::record(node.owner(), rrset.ttl(), rrset.rtype(), data));
                text.push('\n');
            }
        }
    }
    let again = zonefile::read(zone.apex(), "printed", text.as_bytes());
    let Some(again) = again.zone else {
        let errors = || again.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
        assert!(errors().all(|error| error.line > 0 && error.column > 0), "{:?}\n{text}", again.diagnostics);
        return;
    };
    let differs = zone::difference(zone, &again);
    assert!(differs.is_empty(), "{differs:?}\n{text}");
    assert!(zone.node(zone.apex()).and_then(|apex| apex.rrset(Type::SOA)).is_some_and(|soa| soa.len() == 1));
}
