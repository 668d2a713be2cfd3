//! Any octets as a query, over both transports and with any buffer size for the reply.
#![no_main]

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use zonule::zonefile;

use libfuzzer_sys::fuzz_target;
use zonule::answer::{Answer, Context, Framing, Limiter, RateLimit, Secret, Settings, Transport, respond};
use zonule::dns::Name;
use zonule::zone::{Fault, Zones};

static CATALOG: LazyLock<Zones> = LazyLock::new(|| {
    let mut catalog = Zones::default();
    let zones = [
        ("example.org", include_bytes!("../seeds/zone_file/example.org").as_slice()),
        (".", b". 1 SOA a. b. 1 2 3 4 5\n. NS a.\na. A 192.0.2.1\norg. NS a.\n"),
    ];
    for (apex, text) in zones {
        let name = Name::from_text(apex).expect("a good name");
        let reading = zonefile::read(&name, apex, text);
        catalog.insert(Arc::new(reading.zone.expect("a good zone")));
    }
    catalog.insert_broken(Name::from_text("broken.example").expect("a good name"), Fault::Errors);
    catalog
});

static SETTINGS: LazyLock<[Settings; 2]> = LazyLock::new(|| {
    let bare = || Settings::new(&[Secret::new([1; 16])]);
    let told = bare().payload(4096).nsid(Some("n".repeat(128))).version(Some("v".repeat(128)));
    [bare(), told.idle(Duration::from_secs(10))]
});

fuzz_target!(|data: &[u8]| {
    // The last two octets choose the buffer size, so that a seed stays a query.
    let (query, room) = match data.split_last_chunk::<2>() {
        Some((query, room)) => (query, usize::from(u16::from_le_bytes(*room))),
        None => (data, 1232),
    };
    let mut reply = vec![0; room];
    // The first reply empties the rate limiter's bucket.
    let limiter = Limiter::new(RateLimit { per_second: 1, slip: 1, ..RateLimit::default() }, [2; 16]);
    for (settings, payload) in SETTINGS.iter().zip([1232, 4096]) {
        for transport in [Transport::UDP, Transport::TCP] {
            for zones in [Some(&*CATALOG), None] {
                for limiter in [None, Some(&limiter)] {
                    let context = Context {
                        zones,
                        settings,
                        limiter,
                        transport,
                        source: IpAddr::from([192, 0, 2, 1]),
                        uptime: Duration::ZERO,
                        unix: 1_800_000_000,
                        reserve: Some(0),
                    };
                    let Some(len) = respond(&context, query, &mut reply).octets() else { continue };
                    assert!(len >= 12 && len <= room);
                    assert_eq!(reply[..2], query[..2]);
                    assert!(reply[2] & 0x80 != 0);
                    assert!(transport.framing == Framing::Stream || len <= payload);
                    let again = respond(&context, &reply[..len].to_vec(), &mut reply);
                    assert_eq!(again, Answer::Silence, "no reply to a reply");
                }
            }
        }
    }
});
