//! Any octets as a query, over both transports and with any room for the reply.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use zonule::answer::{Transport, respond};
use zonule::zone::{self, Catalog, Name};

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let mut catalog = Catalog::default();
    let zones = [
        ("example.org", include_bytes!("../seeds/zone_file/example.org").as_slice()),
        (".", b". 1 SOA a. b. 1 2 3 4 5\n. NS a.\na. A 192.0.2.1\norg. NS a.\n"),
    ];
    for (apex, text) in zones {
        let name = Name::from_text(apex).expect("a good name");
        let reading = zone::read(&name, apex, text);
        catalog.insert(Arc::new(reading.zone.expect("a good zone")));
    }
    catalog.insert_broken(Name::from_text("broken.example").expect("a good name"));
    catalog
});

fuzz_target!(|data: &[u8]| {
    // The last two octets choose the room, so that a seed stays a query.
    let (query, room) = match data.split_last_chunk::<2>() {
        Some((query, room)) => (query, usize::from(u16::from_le_bytes(*room))),
        None => (data, 1232),
    };
    let mut reply = vec![0; room];
    for transport in [Transport::Udp, Transport::Tcp] {
        for zones in [Some(&*CATALOG), None] {
            if let Some(len) = respond(zones, transport, query, &mut reply) {
                assert!(len >= 12 && len <= room);
                assert_eq!(reply[..2], query[..2]);
                assert!(reply[2] & 0x80 != 0);
                assert!(transport == Transport::Tcp || len <= 1232);
                assert_eq!(respond(zones, transport, &reply[..len].to_vec(), &mut reply), None, "no reply to a reply");
            }
        }
    }
});
