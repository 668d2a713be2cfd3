//! Transfers: only keys and networks that are allowed get a zone, and they get all of it.

use std::net::SocketAddr;

use zonule_harness::{
    Algorithm, Answer, Ask, Form, Key, Make, Server, Setup, Target, Transport, Way, eventually, is_refused, serial,
    whole_zone,
};

use crate::scene::Scene;
use crate::secondaries::scene::{Leading, ZONE, zone};

/// The network the clients of the tests come from, as `target` sees it, and one they do not come from.
fn networks(target: &Target) -> (&'static str, &'static str) {
    match target {
        Target::Hosted { .. } => ("127.0.0.0/8", "10.0.2.0/24"),
        Target::Image { .. } => ("10.0.2.0/24", "127.0.0.0/8"),
    }
}

/// Starts `target` on [`ZONE`] with these keys, waits until it serves.
fn start(target: &Target, text: &str, keys: &[&Key], arguments: &[&str]) -> Scene {
    let lines: String = keys.iter().map(|key| key.line()).collect();
    let files =
        [(ZONE.to_owned(), text.to_owned()), ("example.net".to_owned(), zone(1, "")), (format!("{ZONE}._keys"), lines)];
    let arguments = [&["--rate-limit=off"], arguments].concat();
    let mut scene = Scene::with_arguments(target, files, &arguments);
    scene.server.until_serving(ZONE).unwrap();
    scene.server.until_serving("example.net").unwrap();
    scene
}

fn transfer_key() -> Key {
    Key::new("peer._transfer.example.org").unwrap()
}

/// What was said to a request for all of [`ZONE`].
fn told(answer: &Answer) -> (&str, Option<&str>) {
    assert!(answer.records.is_empty() || answer.status == "NOERROR", "{}", answer.text);
    (&answer.status, answer.tsig_error.as_deref())
}

scenario!(keys_decide_who_gets_zones, |target| {
    let (_, elsewhere) = networks(target);
    let transfer = transfer_key();
    let update = Key::new("laptop._update.example.org").unwrap();
    let narrow = Key::new("host._transfer.host.example.org").unwrap();
    let notify = Key::new("forge._notify.example.org").unwrap();
    let challenge = Key::new("certbot._update._acme-challenge.example.org").unwrap();
    let keys = [&transfer, &update, &narrow, &notify, &challenge];
    let scene = start(target, &zone(1, ""), &keys, &[&format!("--allow-transfer=192.0.2.0/24,{elsewhere}")]);
    let address = scene.server.address();
    for key in [&transfer, &update] {
        let answer = Ask::axfr(ZONE).key(key).send(address).unwrap();
        assert!(answer.is_complete && answer.records.len() == 6, "{}: {}", key.name, answer.text);
        assert!(answer.has_flag("AA"), "{}", answer.text);
    }
    for key in [&narrow, &notify, &challenge] {
        let answer = Ask::axfr(ZONE).key(key).send(address).unwrap();
        assert_eq!(told(&answer), ("REFUSED", None), "{}: {}", key.name, answer.text);
    }
    assert_eq!(told(&Ask::axfr("example.net").key(&transfer).send(address).unwrap()), ("REFUSED", None));
    for ask in [Ask::axfr(ZONE), Ask::ixfr(ZONE, 1), Ask::ixfr(ZONE, 1).by(Transport::Tcp)] {
        let answer = ask.send(address).unwrap();
        assert_eq!(told(&answer), ("REFUSED", None), "{ask:?}: {}", answer.text);
        let answer = ask.clone().key(&transfer.forged().unwrap()).send(address).unwrap();
        assert_eq!(told(&answer), ("NOTAUTH", Some("BadSignature")), "{ask:?}: {}", answer.text);
        let stranger = Key::new("stranger._transfer.example.org").unwrap();
        let answer = ask.clone().key(&stranger).send(address).unwrap();
        assert_eq!(told(&answer), ("NOTAUTH", Some("BadKey")), "{ask:?}: {}", answer.text);
        for skew in [-3600, 3600] {
            let answer = ask.clone().key(&transfer).skew(skew).send(address).unwrap();
            assert_eq!(told(&answer), ("NOTAUTH", Some("BadTime")), "{ask:?}: {}", answer.text);
        }
    }
    // Not a zone, though in one (RFC 5936 §2.2.1); and not known at all.
    let answer = Ask::axfr("www.example.org").key(&update).send(address).unwrap();
    assert!(["NOTAUTH", "REFUSED"].contains(&told(&answer).0), "{}", answer.text);
    let answer = Ask::axfr("example.com").key(&update).send(address).unwrap();
    assert!(["NOTAUTH", "REFUSED"].contains(&told(&answer).0), "{}", answer.text);
    // dig sees it the same way, and none of it is on the console.
    assert!(is_refused(address, ZONE, None) && whole_zone(address, ZONE, Some(&transfer)).unwrap().len() == 5);
    let console = scene.server.console();
    assert!(keys.iter().all(|key| !console.contains(&key.secret)));
});

scenario!(networks_decide_who_gets_zones_unsigned, |target| {
    let (here, _) = networks(target);
    let scene = start(target, &zone(1, ""), &[], &[&format!("--allow-transfer=192.0.2.0/24,{here}")]);
    let address = scene.server.address();
    let answer = Ask::axfr(ZONE).send(address).unwrap();
    assert!(answer.is_complete && answer.records.len() == 6, "{}", answer.text);
    assert_eq!(answer.records.first(), answer.records.last());
    // Not by UDP (RFC 5936 §4.2).
    let reply = scene.server.dig(&[ZONE, "AXFR", "+notcp"]);
    assert!(reply.map_or(true, |reply| reply.answer.len() <= 1));
});

scenario!(every_algorithm_signs_every_message, |target| {
    let keys = Algorithm::ALL
        .map(|algorithm| Key::with_algorithm(&format!("{algorithm}._transfer.{ZONE}"), algorithm).unwrap());
    // Several messages, whose signatures are chained.
    let hosts: String = (0..4000).map(|number| format!("h{number} TXT \"some text of host {number}\"\n")).collect();
    let scene = start(target, &zone(1, &hosts), &keys.each_ref(), &[]);
    for key in &keys {
        let answer = Ask::axfr(ZONE).key(key).send(scene.server.address()).unwrap();
        assert!(answer.is_complete && answer.messages.len() > 1, "{}: {:?}", key.algorithm, answer.messages);
        assert_eq!(answer.records.len(), 4006);
        assert_eq!(whole_zone(scene.server.address(), ZONE, Some(key)).unwrap().len(), 4005, "{}", key.algorithm);
    }
});

scenario!(everything_in_a_zone_is_in_its_transfer, |target| {
    // Delegations with glue, what stands hidden below them, what an alias of a subtree hides, wildcards, and odd types.
    let more = "child NS ns.child\nchild NS ns1\nns.child A 192.0.2.100\nns.child AAAA 2001:db8::100\n\
        hidden.child TXT \"below the cut\"\ndeeper.hidden.child MX 10 www\nchild TXT \"at the cut\"\n\
        tree DNAME example.net.\n*.wild A 192.0.2.102\n*.child A 192.0.2.103\n\
        empty.non.terminal A 192.0.2.104\nodd TYPE65400 \\# 3 010203\n_srv._tcp SRV 0 0 53 ns1\n\
        www CAA 0 issue \"ca.example.net\"\nalias CNAME www\nns.child 300 TXT \"\\000\\255\"\n";
    let key = transfer_key();
    let scene = start(target, &zone(1, more), &[&key], &[]);
    let mut head = scene.remote.records(ZONE, scene.sandbox.path()).unwrap();
    head.iter_mut().for_each(|record| record.make_ascii_lowercase());
    head.sort_unstable();
    assert_eq!(whole_zone(scene.server.address(), ZONE, Some(&key)).unwrap(), head);
    assert_eq!(head.len(), 5 + 16);
    // Every other server takes it as it is.
    for make in Make::ALL {
        let setup = Setup::new(make, scene.sandbox.path()).unwrap().takes(ZONE);
        let follower = setup.from(scene.server.address(), Some(&key)).start().unwrap();
        follower.until_serial(ZONE, 1).unwrap();
        let theirs = whole_zone(follower.address(), ZONE, None).unwrap();
        // PowerDNS escapes what it need not.
        assert_eq!(theirs, head, "{make}");
    }
});

scenario!(every_version_leads_to_the_newest, |target| {
    let mut scene = Leading::start(target, &[]);
    let key = scene.key.clone();
    let address = scene.server().address();
    let mut versions = vec![(1, Ask::axfr(ZONE).key(&key).send(address).unwrap().applied_to(&[]).unwrap())];
    let changes = [
        "a A 192.0.2.1\nb A 192.0.2.2\n",
        "a A 192.0.2.1\nb A 192.0.2.3\nb A 192.0.2.4\n",
        "b A 192.0.2.2\nchild NS ns.child\nns.child A 192.0.2.5\n",
        // As it was two versions ago, and a TTL of its own.
        "a A 192.0.2.1\nb A 192.0.2.3\nb A 192.0.2.4\nc 60 TXT x\n",
        "c 90 TXT x\n",
    ];
    for (change, wanted) in changes.into_iter().zip(2..) {
        let serial = scene.push(|text| *text = zone(wanted, change));
        assert_eq!(serial, wanted);
        scene.until_serial(serial);
        let answer = Ask::axfr(ZONE).key(&key).send(address).unwrap();
        versions.push((serial, answer.applied_to(&[]).unwrap()));
    }
    let (newest, records) = versions.pop().unwrap();
    for (serial, version) in &versions {
        for transport in Transport::ALL {
            let answer = Ask::ixfr(ZONE, *serial).by(transport).key(&key).send(address).unwrap();
            // What was in all of them is in no difference.
            assert!(answer.records.len() > 1 && !answer.text.contains("ns1.example.org. 300 IN A"), "{}", answer.text);
            assert_eq!(answer.applied_to(version).unwrap(), records, "{serial} {transport:?}: {}", answer.text);
        }
    }
    // Up to date, or ahead: one record (RFC 1995 §2, §4).
    for (serial, transport) in [newest, newest + 1].into_iter().flat_map(|serial| Transport::ALL.map(|by| (serial, by)))
    {
        let answer = Ask::ixfr(ZONE, serial).by(transport).key(&key).send(address).unwrap();
        assert!(answer.is_complete && answer.records.len() == 1, "{serial}: {}", answer.text);
        assert!(answer.records[0].contains(&format!(" {newest} 3600 ")), "{}", answer.text);
    }
    // One that never was: everything by TCP, and by UDP the hint to come by TCP.
    let answer = Ask::ixfr(ZONE, u32::MAX - 7).by(Transport::Tcp).key(&key).send(address).unwrap();
    assert_eq!(answer.records.len(), records.len() + 1, "{}", answer.text);
    assert_eq!(answer.applied_to(&[]).unwrap(), records);
});

scenario!(large_differences_come_by_tcp, |target| {
    let ballast: String = (0..600).map(|number| format!("stays{number} TXT \"something that stays\"\n")).collect();
    let mut scene = Leading::with_zone(target, &[], &zone(1, &ballast), &[], 256);
    let key = scene.key.clone();
    let address = scene.server().address();
    let first = Ask::axfr(ZONE).key(&key).send(address).unwrap().applied_to(&[]).unwrap();
    let hosts: String = (0..100).map(|number| format!("new{number} TXT \"something that is new\"\n")).collect();
    let serial = scene.push(|text| text.push_str(&hosts));
    scene.until_serial(serial);
    let second = Ask::axfr(ZONE).key(&key).send(address).unwrap().applied_to(&[]).unwrap();
    for (ask, whole) in [
        (Ask::ixfr(ZONE, 1), false),
        (Ask::ixfr(ZONE, 1).size(1232), false),
        (Ask::ixfr(ZONE, 1).by(Transport::Tcp), true),
    ] {
        let answer = ask.key(&key).send(address).unwrap();
        assert_eq!(answer.status, "NOERROR", "{}", answer.text);
        match whole {
            true => assert_eq!(answer.applied_to(&first).unwrap(), second),
            // The newest SOA record alone (RFC 1995 §2), or a truncated reply.
            false => assert!(answer.records.len() <= 1 && answer.messages[0] <= 1232, "{}", answer.text),
        }
    }
});

/// Asserts that the server at `address` gets nothing from `server` by `way`, though it tries.
fn gets_nothing(server: &mut Server, way: &Way, follower: SocketAddr) {
    server
        .until("a refused transfer", |_| {
            assert_eq!(serial(follower, ZONE), None);
            let failed = |form: Form| matches!(form, Form::Failed(5 | 9));
            way.passed().iter().any(|passed| failed(passed.form)).then_some(())
        })
        .unwrap();
    assert!(way.transfers(ZONE).iter().all(|form| matches!(form, Form::Failed(_))), "{:#?}", way.passed());
}

scenario!(secondaries_with_wrong_keys_or_clocks_get_nothing, |target| {
    let key = transfer_key();
    let mut scene = start(target, &zone(1, ""), &[&key], &[]);
    let other = Key { name: "stranger._transfer.example.org".to_owned(), ..key.clone() };
    let sandbox = scene.sandbox.path().to_owned();
    for make in Make::ALL {
        for wrong in [Some(&key.forged().unwrap()), Some(&other), None] {
            let way = Way::to(scene.server.address()).unwrap();
            let follower = Setup::new(make, &sandbox).unwrap().takes(ZONE).from(way.address(), wrong).start().unwrap();
            gets_nothing(&mut scene.server, &way, follower.address());
        }
    }
    // Those that can be lied to about the time of day.
    for (make, offset) in [(Make::Knot, "-2h"), (Make::Nsd, "+2h")] {
        let way = Way::to(scene.server.address()).unwrap();
        let setup = Setup::new(make, &sandbox).unwrap().takes(ZONE).from(way.address(), Some(&key)).clock(offset);
        let follower = setup.start().unwrap();
        gets_nothing(&mut scene.server, &way, follower.address());
    }
    // And all is well with the right one.
    let setup = Setup::new(Make::Knot, &sandbox).unwrap().takes(ZONE).from(scene.server.address(), Some(&key));
    let follower = setup.start().unwrap();
    eventually("the right key is right", || follower.serial(ZONE)).unwrap();
});
