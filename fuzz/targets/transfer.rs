//! Any octets as a request for a transfer, answered in messages of any size.
#![no_main]

use std::sync::{Arc, LazyLock};
use zonule::zonefile;

use libfuzzer_sys::fuzz_target;
use zonule::answer::Transport;
use zonule::dns::{Name, Serial};
use zonule::transfer::{Content, History, Limits, Outgoing, Request};
use zonule::zone::{Entry, Zone};

static VERSIONS: LazyLock<Vec<Arc<Zone>>> = LazyLock::new(|| {
    let apex = Name::from_text("example.org").expect("a good name");
    let text = String::from_utf8_lossy(include_bytes!("../seeds/zone_file/example.org"));
    let first = zonefile::read(&apex, "", text.as_bytes()).zone.expect("a good zone");
    let versions = (1..4).map(|version| {
        let serial = first.serial().0 + version;
        let soa = format!("$TTL 60\n@ SOA ns host {serial} 1 1 1 1\n@ NS ns\n");
        let hosts: String = (version..version + 40).map(|host| format!("h{host} A 192.0.2.{host}\n")).collect();
        zonefile::read(&apex, "", format!("{soa}{hosts}").as_bytes()).zone.expect("a good zone")
    });
    std::iter::once(first.clone()).chain(versions).map(Arc::new).collect()
});

static HISTORY: LazyLock<History> = LazyLock::new(|| {
    let mut history = History::new(Limits { octets: 1 << 20, differences: 10 });
    VERSIONS.windows(2).for_each(|pair| history.add(&pair[0], &pair[1]));
    history
});

fuzz_target!(|data: &[u8]| {
    // The last four octets choose the buffer size, so that a seed stays a request.
    let (message, limit, reserve) = match data.split_last_chunk::<4>() {
        Some((message, &[a, b, c, d])) => (message, u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])),
        None => (data, u16::MAX, 0),
    };
    let (limit, reserve) = (usize::from(limit), usize::from(reserve));
    let mut buffer = vec![0; limit];
    for transport in [Transport::UDP, Transport::TCP] {
        let Ok(request) = Request::parse(message, transport) else { continue };
        for zone in VERSIONS.iter() {
            let entry = Entry::Zone(zone.clone());
            let Ok(zone) = request.admit(Some(&entry), None, [192, 0, 2, 1].into(), |_| true) else { continue };
            let chain = HISTORY.chain(request.outdated_serial(&zone).unwrap_or(Serial(0)), &zone);
            let begin = || {
                let content = Content::of(&request, zone.clone(), chain.as_deref());
                Outgoing::new(request.reply(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]), content)
            };
            if let Ok(len) = begin().datagram(&mut buffer, limit, reserve) {
                assert!(len + reserve <= limit && buffer[..2] == message[..2]);
            }
            let mut outgoing = begin();
            while let Ok(Some(len)) = outgoing.next(&mut buffer, limit, reserve) {
                assert!(len + reserve <= limit && buffer[..2] == message[..2]);
            }
        }
    }
});
