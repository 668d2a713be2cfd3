//! BIND, Knot, NSD and PowerDNS as our secondaries get each push and update without waiting for a refresh.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use zonule_harness::{Algorithm, Form, Make, Target, eventually, transfer::Transfer};

use crate::scene::host_address;
use crate::secondaries::scene::{Leading, Random, ZONE, zone};

/// All makes, and all algorithms.
const ALL: [(Make, Algorithm); 5] = [
    (Make::Bind, Algorithm::Sha1),
    (Make::Knot, Algorithm::Sha224),
    (Make::Nsd, Algorithm::Sha384),
    (Make::PowerDns, Algorithm::Sha512),
    (Make::Bind, Algorithm::Sha256),
];

scenario!(every_make_follows_with_every_algorithm, |target| {
    let mut scene = Leading::start(target, &ALL);
    assert_eq!(scene.way.transfers(ZONE), [Form::Whole; ALL.len()]);
    scene.compare();
    // Nobody refreshes within the hour: they follow because they are told.
    scene.way.forget();
    let serial = scene.push(|text| text.push_str("new A 192.0.2.2\n"));
    scene.until_followed(serial);
    scene.update(&["update delete new.example.org. A", "update add newer.example.org. 60 TXT \"by update\""]);
    scene.until_followed(serial + 1);
    let records = scene.compare();
    assert!(records.iter().any(|record| record.contains("by update")) && records.len() == 6, "{records:#?}");
    scene.assert_incremental();
    for follower in &scene.followers {
        assert!(!follower.way.notifications(ZONE).is_empty());
    }
});

scenario!(hundred_random_changes_arrive, |target| {
    let mut scene = Leading::start(target, &ALL[..4]);
    scene.way.forget();
    let mut random = Random::new(5);
    for number in 0..100_u32 {
        let host = random.below(20);
        if random.below(2) == 0 {
            let operation = match random.below(3) {
                0 => format!("update delete h{host}.{ZONE}."),
                1 => format!("update add h{host}.{ZONE}. 60 TXT \"number {number}\""),
                _ => format!("update add h{host}.{ZONE}. 300 A 192.0.2.{}", random.below(256)),
            };
            scene.update(&[&operation]);
        } else {
            let (kind, other) = (random.below(3), random.below(20));
            let serial = scene.push(|text| change(text, kind, host, other, number));
            // Sometimes the next change comes before this one is noticed.
            if kind == 0 {
                scene.until_serial(serial);
            }
        }
    }
    scene.compare();
    // It takes that many only if each is followed at once; that none was a whole zone is what matters.
    scene.assert_incremental();
});

/// Changes the text of the zone by hand.
fn change(text: &mut String, kind: u32, host: u32, other: u32, number: u32) {
    match kind {
        0 => {
            let keep =
                |line: &&str| !line.starts_with(&format!("h{host} ")) && !line.starts_with(&format!("h{other} "));
            *text = text.lines().filter(keep).fold(String::new(), |text, line| text + line + "\n");
        }
        1 => writeln!(text, "h{host} AAAA 2001:db8::{number:x}\nh{other}.deep MX 10 h{host}").unwrap(),
        _ => writeln!(text, "h{host} 90 TXT \"by hand {number}\"\nh{other} 90 TXT \"twice {number}\"").unwrap(),
    }
    // TTLs of one RRset are one (RFC 2181 §5.2); whoever has mixed them may not complain here.
    let mut seen = BTreeSet::new();
    let lines: Vec<&str> = text.lines().filter(|line| seen.insert(*line)).collect();
    *text = lines.join("\n") + "\n";
}

/// How many hosts a large zone has, and the memory for it in MiB: software emulation takes its time.
fn large(target: &Target) -> (u32, u32) {
    match target {
        Target::Hosted { .. } => (1_000_000, 0),
        Target::Image { .. } => (200_000, 1024),
    }
}

scenario!(million_records_are_transferred, |target| {
    let (hosts, memory) = large(target);
    let mut text = zone(1, "");
    for number in 0..hosts {
        writeln!(text, "h{number} A {}", host_address(number)).unwrap();
    }
    let makes = [(Make::Knot, Algorithm::Sha256), (Make::Nsd, Algorithm::Sha256), (Make::Bind, Algorithm::Sha256)];
    let allow = "--allow-transfer=127.0.0.0/8,10.0.2.0/24";
    let mut scene = Leading::with_zone(target, &makes, &text, &[allow], memory);
    let addresses: u64 = (0..hosts).map(|number| (10 << 24) + u64::from(number)).sum();
    let other = [53, 80].map(|last| u64::from(u32::from_be_bytes([192, 0, 2, last]))).iter().sum::<u64>();
    // What each of them has got is what there was.
    for follower in &scene.followers {
        let seen = Transfer::begin(follower.neighbour.address(), ZONE).and_then(Transfer::finish).unwrap();
        let make = follower.neighbour.make();
        assert_eq!((seen.records, seen.addresses), (u64::from(hosts) + 6, addresses + other), "{make}");
    }

    scene.way.forget();
    let serial = scene.push(|text| *text = text.replace("www A 192.0.2.80\n", "www A 192.0.2.81\n"));
    scene.until_followed(serial);
    scene.assert_incremental();
    // Several at once, and answers in between.
    let address = scene.server().address();
    let seen: Vec<_> = thread::scope(|scope| {
        let read = || Transfer::begin(address, ZONE).and_then(Transfer::finish);
        let readers: Vec<_> = (0..3).map(|_| scope.spawn(read)).collect();
        scene.server().dig(&["www.example.org", "A"]).unwrap();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    for seen in seen {
        let seen = seen.unwrap();
        // Full messages, not one for each record.
        assert!(seen.octets / seen.messages > 16_000, "{seen:?}");
        assert_eq!((seen.last, seen.addresses), (Some(serial), addresses + other + 1));
    }
});

scenario!(transfer_under_way_keeps_its_version, |target| {
    // More than waits in buffers between the two: on one Linux that is some megabytes.
    let records = match target {
        Target::Hosted { .. } => 150_000,
        Target::Image { .. } => 50_000,
    };
    let filler = "x".repeat(100);
    let mut text = zone(1, "");
    (0..records).for_each(|number| writeln!(text, "t{number} TXT {filler}").unwrap());
    let allow = "--allow-transfer=127.0.0.0/8,10.0.2.0/24";
    let makes = [(Make::Knot, Algorithm::Sha256)];
    let mut scene = Leading::with_zone(target, &makes, &text, &[allow], 512);
    let mut slow = Transfer::begin(scene.server().address(), ZONE).unwrap();
    let followed = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let followed = &followed;
        let reader = scope.spawn(move || {
            while !followed.load(Ordering::SeqCst) {
                assert!(!slow.step().unwrap(), "the transfer has ended before the zone was changed");
                // Whoever takes nothing for long is sent nothing more.
                thread::sleep(Duration::from_millis(150));
            }
            slow.finish()
        });
        let serial = scene.push(|text| *text = text.replace("www A 192.0.2.80\n", "www A 192.0.2.81\n"));
        scene.until_followed(serial);
        followed.store(true, Ordering::SeqCst);
        reader.join().unwrap().unwrap()
    });
    assert_eq!((seen.first, seen.last, seen.records), (Some(1), Some(1), records + 6));
    let old = [53, 80].map(|last| u64::from(u32::from_be_bytes([192, 0, 2, last])));
    assert_eq!(seen.addresses, old.iter().sum::<u64>());
});

scenario!(secondary_that_comes_later_is_told_at_the_next_start, |target| {
    let mut scene = Leading::start(target, &[(Make::Knot, Algorithm::Sha256)]);
    let serial = scene.push(|text| text.push_str("new A 192.0.2.2\n"));
    scene.until_followed(serial);
    // At its start the server does not know who knows what.
    let before = scene.followers[0].way.notifications(ZONE).len();
    scene.reboot();
    eventually("a notification after the start", || {
        (scene.followers[0].way.notifications(ZONE).len() > before).then_some(())
    })
    .unwrap();
    scene.compare();
});
