//! Other makes of name servers follow each other, by ways that lose and break: what scenarios take for granted.
#![forbid(unsafe_code)]

use zonule_harness::{
    Algorithm, Ask, Form, Key, Make, Neighbour, Sandbox, Setup, Transport, Way, eventually, is_refused, transfer,
    whole_zone,
};

const ZONE: &str = "example.org";

fn zone(serial: u32, more: &str) -> String {
    format!(
        "$ORIGIN example.org.\n$TTL 300\n@ SOA ns1 hostmaster {serial} 3600 2 3600000 300\n@ NS ns1\nns1 A 192.0.2.53\n\
         text TXT \"two words\"\n{more}"
    )
}

/// Starts a secondary of `primary` for [`ZONE`].
fn secondary(make: Make, sandbox: &Sandbox, primary: std::net::SocketAddr, key: Option<&Key>) -> Neighbour {
    Setup::new(make, sandbox.path()).unwrap().takes(ZONE).from(primary, key).start().unwrap()
}

/// A primary of one make, the others as its secondaries, by ways that watch.
fn follow(make: Make, algorithm: Algorithm) {
    let sandbox = Sandbox::new("neighbours").unwrap();
    let key = Key::with_algorithm("127.0.0.1.127.0.0.1._transfer.example.org", algorithm).unwrap();
    let setup = Setup::new(make, sandbox.path()).unwrap();
    let way = Way::to(setup.address()).unwrap();
    let secondaries = Make::ALL.map(|make| secondary(make, &sandbox, way.address(), Some(&key)));
    let setup = setup.gives(ZONE, &zone(1, "")).unwrap().guarded(&key);
    let setup = secondaries.iter().fold(setup, |setup, secondary| setup.notifies(secondary.address(), Some(&key)));
    let primary = setup.start().unwrap();
    primary.until_serial(ZONE, 1).unwrap();
    for secondary in &secondaries {
        secondary.until_serial(ZONE, 1).unwrap();
    }
    assert!(
        is_refused(primary.address(), ZONE, None) && is_refused(primary.address(), ZONE, Some(&key.forged().unwrap()))
    );
    way.forget();
    primary.change(ZONE, &zone(2, "new A 192.0.2.2\n")).unwrap();
    let wanted = eventually("the primary has changed", || {
        whole_zone(primary.address(), ZONE, Some(&key)).ok().filter(|zone| zone.len() == 5)
    });
    let wanted = wanted.unwrap();
    for secondary in &secondaries {
        secondary.until_serial(ZONE, 2).unwrap();
        assert_eq!(whole_zone(secondary.address(), ZONE, None).unwrap(), wanted, "{}", secondary.make());
    }
    let mut forms = way.transfers(ZONE);
    forms.sort_by_key(|form| *form == Form::Whole);
    // PowerDNS gives whole zones only.
    let expected = if make == Make::PowerDns { [Form::Whole; 4] } else { [Form::Incremental; 4] };
    assert_eq!(forms, expected, "{:#?}", way.passed());

    // One that sleeps catches up.
    for secondary in &secondaries {
        secondary.sleep().unwrap();
    }
    primary.change(ZONE, &zone(3, "new A 192.0.2.3\n")).unwrap();
    primary.until_serial(ZONE, 3).unwrap();
    for secondary in &secondaries {
        secondary.wake().unwrap();
        secondary.until_serial(ZONE, 3).unwrap();
    }
}

#[test]
fn bind_leads() {
    follow(Make::Bind, Algorithm::Sha1);
}

#[test]
fn knot_leads() {
    follow(Make::Knot, Algorithm::Sha224);
}

#[test]
fn nsd_leads() {
    follow(Make::Nsd, Algorithm::Sha512);
}

#[test]
fn powerdns_leads() {
    follow(Make::PowerDns, Algorithm::Sha384);
}

#[test]
fn ways_lose_and_break() {
    let sandbox = Sandbox::new("ways").unwrap();
    let setup = Setup::new(Make::Bind, sandbox.path()).unwrap();
    let (to_primary, knot) = (Way::to(setup.address()).unwrap(), Setup::new(Make::Knot, sandbox.path()).unwrap());
    let to_secondary = Way::to(knot.address()).unwrap();
    let primary = setup.gives(ZONE, &zone(1, "")).unwrap().notifies(to_secondary.address(), None).start().unwrap();
    primary.until_serial(ZONE, 1).unwrap();
    let secondary = knot.takes(ZONE).from(to_primary.address(), None).start().unwrap();
    secondary.until_serial(ZONE, 1).unwrap();

    to_secondary.lose_notifications(1);
    primary.change(ZONE, &zone(2, "")).unwrap();
    secondary.until_serial(ZONE, 2).unwrap();
    let notifications = to_secondary.notifications(ZONE);
    assert!(notifications.iter().any(|passed| passed.lost) && notifications.iter().any(|passed| !passed.lost));

    let hosts: String =
        (0..1000).map(|number| format!("h{number} A 10.0.{}.{}\n", number / 250, number % 250)).collect();
    to_primary.cut_after(2000, 2);
    primary.change(ZONE, &zone(3, &hosts)).unwrap();
    secondary.until_serial(ZONE, 3).unwrap();
    assert_eq!(to_primary.cuts_left(), 0);

    let mut seen = transfer::Transfer::begin(secondary.address(), ZONE).unwrap();
    while !seen.step().unwrap() {}
    assert_eq!((seen.seen.records, seen.seen.first, seen.seen.last), (1005, Some(3), Some(3)));
    to_primary.set_closed(true);
    transfer::Transfer::begin(to_primary.address(), ZONE).and_then(transfer::Transfer::finish).unwrap_err();
}

#[test]
fn transfers_are_verified() {
    let sandbox = Sandbox::new("ask").unwrap();
    let key = Key::new("key").unwrap();
    let knot = Setup::new(Make::Knot, sandbox.path()).unwrap().gives(ZONE, &zone(1, "a A 192.0.2.1\n")).unwrap();
    let knot = knot.guarded(&key).start().unwrap();
    knot.until_serial(ZONE, 1).unwrap();
    let address = knot.address();
    let first = Ask::axfr(ZONE).key(&key).send(address).unwrap();
    assert!(first.is_complete && first.records.len() == 6, "{}", first.text);
    let first = first.applied_to(&[]).unwrap();
    knot.change(ZONE, &zone(2, "b A 192.0.2.2\n")).unwrap();
    knot.until_serial(ZONE, 2).unwrap();
    let second = Ask::axfr(ZONE).key(&key).send(address).unwrap().applied_to(&[]).unwrap();
    let change = Ask::ixfr(ZONE, 1).by(Transport::Tcp).key(&key).send(address).unwrap();
    assert!(change.is_complete && change.records.len() == 6, "{}", change.text);
    assert_eq!(change.applied_to(&first).unwrap(), second);
    // By UDP, Knot only says which version there is.
    for (transport, serial) in [(Transport::Tcp, 2), (Transport::Udp, 2), (Transport::Udp, 1)] {
        let same = Ask::ixfr(ZONE, serial).by(transport).key(&key).send(address).unwrap();
        assert!(same.is_complete && same.records.len() == 1, "{}", same.text);
    }
    let late = Ask::axfr(ZONE).key(&key).skew(-4000).send(address).unwrap();
    assert_eq!((late.status.as_str(), late.tsig_error.as_deref()), ("NOTAUTH", Some("BadTime")), "{}", late.text);
    let forged = Ask::axfr(ZONE).key(&key.forged().unwrap()).send(address).unwrap();
    assert_eq!(
        (forged.status.as_str(), forged.tsig_error.as_deref()),
        ("NOTAUTH", Some("BadSignature")),
        "{}",
        forged.text
    );
    let unsigned = Ask::axfr(ZONE).send(address).unwrap();
    assert!(unsigned.status != "NOERROR" && unsigned.records.is_empty(), "{}", unsigned.text);
}

#[test]
fn clocks_go_wrong() {
    let sandbox = Sandbox::new("clock").unwrap();
    let key = Key::new("key").unwrap();
    // BIND and the library that lies to it do not get on.
    for make in [Make::Knot, Make::Nsd, Make::PowerDns] {
        let late = Setup::new(make, sandbox.path()).unwrap().gives(ZONE, &zone(1, "")).unwrap();
        let late = late.guarded(&key).clock("-2h").start().unwrap();
        late.until_serial(ZONE, 1).unwrap();
        let answer = Ask::axfr(ZONE).key(&key).send(late.address()).unwrap();
        assert_ne!(answer.status, "NOERROR", "{make}: {}", answer.text);
        let answer = Ask::axfr(ZONE).key(&key).skew(-7200).patience(5).send(late.address()).unwrap();
        assert_eq!(answer.status, "NOERROR", "{make}: {}", answer.text);
    }
}

/// What produces a catalog zone and what consumes it, without us.
#[test]
fn catalogs_are_followed() {
    let sandbox = Sandbox::new("catalogs").unwrap();
    let catalog = "catalog.example";
    let setup = Setup::new(Make::Knot, sandbox.path()).unwrap().produces(catalog);
    let address = setup.address();
    // PowerDNS looks for a catalog's serial in a way that Knot refuses, and this NSD knows no catalogs.
    let consumers = [Make::Bind, Make::Knot]
        .map(|make| Setup::new(make, sandbox.path()).unwrap().consumes(catalog).from(address, None).start().unwrap());
    let text = zone(1, "").replace("$ORIGIN example.org.\n", "");
    let setup = setup.gives("a.example", &text).unwrap().gives("b.example", &text).unwrap();
    let setup = consumers.iter().fold(setup, |setup, consumer| setup.notifies(consumer.address(), None));
    let mut knot = setup.start().unwrap();
    for consumer in &consumers {
        consumer.until_serial("a.example", 1).unwrap();
        consumer.until_serial("b.example", 1).unwrap();
    }
    knot.give_only(&[("b.example", &text), ("c.example", &text)]).unwrap();
    for consumer in &consumers {
        consumer.until_serial("c.example", 1).unwrap();
        consumer.until_gone("a.example").unwrap();
        consumer.until_serial("b.example", 1).unwrap();
    }
}
