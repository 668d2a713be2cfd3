//! Any octets as the file of a zone; what is read is served, and so asked for.
#![no_main]

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use zonule::answer::{Context, Secret, Settings, Transport, respond};
use zonule::zone::{self, Catalog, Name, Severity};

static APEX: LazyLock<Name> = LazyLock::new(|| Name::from_text("example.org").expect("a good name"));

fuzz_target!(|text: &[u8]| {
    let reading = zone::read(&APEX, "example.org", text);
    let errors = reading.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    assert_eq!(errors, reading.zone.is_none());
    assert!(reading.diagnostics.len() <= 42);
    for diagnostic in &reading.diagnostics {
        assert!(diagnostic.to_string().len() < 4096);
    }
    let Some(zone) = reading.zone else { return };
    let mut catalog = Catalog::default();
    let zone = Arc::new(zone);
    catalog.insert(zone.clone());
    let mut reply = vec![0; 65_535];
    let settings = Settings::new(&[Secret::new([1; 16])]);
    let context = Context {
        zones: Some(&catalog),
        settings: &settings,
        limiter: None,
        transport: Transport::Tcp,
        source: IpAddr::from([192, 0, 2, 1]),
        uptime: Duration::ZERO,
        unix: 0,
    };
    for node in zone.iter().take(50) {
        for below in [&b""[..], b"\x01q"] {
            for qtype in [1_u8, 2, 5, 15, 16, 43, 255] {
                let mut query = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
                query.extend(below);
                query.extend(node.owner());
                query.extend([0, qtype, 0, 1]);
                for transport in [Transport::Tcp, Transport::Udp] {
                    respond(&Context { transport, ..context }, &query, &mut reply);
                }
            }
        }
    }
});
