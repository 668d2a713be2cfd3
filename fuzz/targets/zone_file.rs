//! Any octets as the files of a zone; a zone read is printed, read again, served and queried.
#![no_main]

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use zonule::zonefile;

use libfuzzer_sys::fuzz_target;
use zonule::answer::{Context, Secret, Settings, Transport, respond};
use zonule::dns::{Name, Severity, print};
use zonule::zone::{Zone, Zones};
use zonule::zonefile::IncludeError;
use zonule::zonefile::entries::entries;

static APEX: LazyLock<Name> = LazyLock::new(|| Name::from_text("example.org").expect("a good name"));

/// The separator of files: the first is the zone's own, the others can be included as `1`, `2` and so on.
const SEPARATOR: &[u8] = b"\n====\n";

fuzz_target!(|octets: &[u8]| {
    let mut files = Vec::new();
    let mut rest = octets;
    while let Some(at) = rest.windows(SEPARATOR.len()).position(|window| window == SEPARATOR) {
        files.push(&rest[..at]);
        rest = &rest[at + SEPARATOR.len()..];
    }
    files.push(rest);
    let open = |path: &str| {
        let file = path.parse::<usize>().ok().and_then(|index| files.get(index));
        file.map(|file| file.to_vec()).ok_or(IncludeError::Missing)
    };
    let reading = zonefile::read_including(&APEX, "example.org", files[0], open);
    entries(&APEX, "example.org", files[0], open, |entry| assert!(entry.before.origin().len() <= 255));
    let errors = reading.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    assert_eq!(errors, reading.zone.is_none());
    assert!(reading.diagnostics.len() <= 42);
    for diagnostic in &reading.diagnostics {
        assert!(diagnostic.to_string().len() < 8192);
    }
    let Some(zone) = reading.zone else { return };
    let printed = printed(&zone);
    let again = zonefile::read(&APEX, "printed", printed.as_bytes());
    let again = again.zone.unwrap_or_else(|| panic!("{:?}\n{printed}", again.diagnostics));
    assert_eq!(self::printed(&again), printed);
    let mut catalog = Zones::default();
    let zone = Arc::new(zone);
    catalog.insert(zone.clone());
    let mut reply = vec![0; 65_535];
    let settings = Settings::new(&[Secret::new([1; 16])]);
    let context = Context {
        zones: Some(&catalog),
        settings: &settings,
        limiter: None,
        transport: Transport::TCP,
        source: IpAddr::from([192, 0, 2, 1]),
        uptime: Duration::ZERO,
        unix: 0,
        reserve: None,
    };
    for node in zone.iter().take(50) {
        for below in [&b""[..], b"\x01q"] {
            for qtype in [1_u8, 2, 5, 15, 16, 43, 255] {
                let mut query = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
                query.extend(below);
                query.extend(node.owner());
                query.extend([0, qtype, 0, 1]);
                for transport in [Transport::TCP, Transport::UDP] {
                    respond(&Context { transport, ..context }, &query, &mut reply);
                }
            }
        }
    }
});

/// Returns the text of a zone's first records, enough to form a zone.
fn printed(zone: &Zone) -> String {
    let mut text = String::new();
    for node in zone.iter().take(300) {
        for rrset in node.rrsets() {
            for data in rrset.rdata() {
                text += &print::record(node.owner(), rrset.ttl(), rrset.rtype(), data);
                text.push('\n');
            }
        }
    }
    text
}
