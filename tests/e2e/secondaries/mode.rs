//! Our server as a secondary of other servers follows them, serves what it has while they are away, and passes it on.

use std::fmt::Write as _;
use std::net::SocketAddr;

use zonule_harness::{
    Algorithm, Client, Console, Form, Key, Make, Neighbour, Port, Sandbox, Server, Setup, Target, Transport, Way,
    eventually, serial, transfer::Transfer, whole_zone,
};

use crate::scene::host_address;
use crate::secondaries::scene::{Random, ZONE, ballast, timed_zone, zone};

/// A primary, and our server as its secondary; dropped in this order.
struct Following {
    server: Server,
    /// By which our server comes.
    way: Way,
    /// By which it is notified.
    back: Way,
    primary: Neighbour,
    key: Key,
    _sandbox: Sandbox,
}

/// What is different from the usual.
struct Plan<'a> {
    make: Make,
    algorithm: Algorithm,
    text: &'a str,
    /// Whether the primary notifies us.
    notifies: bool,
    memory_mib: u32,
    arguments: &'a [String],
}

impl Plan<'_> {
    fn new(make: Make, text: &str) -> Plan<'_> {
        Plan { make, algorithm: Algorithm::Sha256, text, notifies: true, memory_mib: 256, arguments: &[] }
    }

    /// Starts the primary and `target`, and does not wait for the zone.
    fn launch(self, target: &Target) -> Following {
        let sandbox = Sandbox::new("following").unwrap();
        let key = Key::with_algorithm(&format!("peer._transfer.{ZONE}"), self.algorithm).unwrap();
        let port = Port::new();
        let back = Way::to(port.address()).unwrap();
        let mut setup = Setup::new(self.make, sandbox.path()).unwrap().gives(ZONE, self.text).unwrap().guarded(&key);
        if self.notifies {
            setup = setup.notifies(back.address(), Some(&key));
        }
        let primary = setup.start().unwrap();
        primary.until_serial(ZONE, 1).unwrap();
        let way = Way::to(primary.address()).unwrap();
        let mut boot = target.boot().memory_mib(self.memory_mib).argument("--rate-limit=off").argument(key.argument());
        boot = boot.argument(primary_argument(target, way.address(), Some(&key))).argument(format!("--zones={ZONE}"));
        boot = self.arguments.iter().fold(boot, |boot, argument| boot.argument(argument));
        let server = boot.start_on(port, Console::File(sandbox.path().join("console.log"))).unwrap();
        Following { server, way, back, primary, key, _sandbox: sandbox }
    }

    /// The same, and waits until the zone is served.
    fn start(self, target: &Target) -> Following {
        let mut scene = self.launch(target);
        scene.until_serial(1);
        scene
    }
}

/// The boot argument for a primary at `address` of this machine.
fn primary_argument(target: &Target, address: SocketAddr, key: Option<&Key>) -> String {
    let key = key.map_or_else(String::new, |key| format!(",{}", key.name));
    format!("--primary={}:{}{key}", target.host(), address.port())
}

impl Following {
    /// Waits until our server serves the version of this serial.
    fn until_serial(&mut self, wanted: u32) {
        let what = format!("serial {wanted}");
        self.server.until(&what, |server| (serial(server.address(), ZONE)? == wanted).then_some(())).unwrap();
    }

    /// Waits until our server has what the primary has, and compares the whole zones; returns the records.
    fn compare(&mut self, serial: u32) -> Vec<String> {
        self.primary.until_serial(ZONE, serial).unwrap();
        self.until_serial(serial);
        let theirs = whole_zone(self.primary.address(), ZONE, Some(&self.key)).unwrap();
        let ours = whole_zone(self.server.address(), ZONE, Some(&self.key)).unwrap();
        assert_eq!(ours, theirs);
        ours
    }

    /// Waits until the zone is answered for with SERVFAIL.
    fn until_failing(&mut self) {
        for transport in ["+notcp", "+tcp"] {
            self.server.until_dig(&["www.example.org", "A", transport], |reply| reply.status == "SERVFAIL").unwrap();
        }
    }
}

/// Everything that is the same with each make.
fn follows(target: &Target, make: Make, algorithm: Algorithm) {
    let first = zone(1, &ballast());
    let mut scene = Plan { algorithm, ..Plan::new(make, &first) }.start(target);
    assert_eq!(scene.way.transfers(ZONE), [Form::Whole]);
    assert_eq!(scene.compare(1).len(), 205);
    // Nobody refreshes within the hour.
    scene.way.forget();
    scene.primary.change(ZONE, &zone(2, &(ballast() + "new A 192.0.2.2\n"))).unwrap();
    assert_eq!(scene.compare(2).len(), 206);
    assert_eq!(scene.server.dig(&["new.example.org", "A"]).unwrap().answer_data(), ["192.0.2.2"]);
    // PowerDNS gives whole zones only.
    let wanted = if make == Make::PowerDns { Form::Whole } else { Form::Incremental };
    assert!(scene.way.transfers(ZONE).iter().all(|form| *form == wanted), "{:#?}", scene.way.passed());
    assert!(!scene.way.transfers(ZONE).is_empty() && !scene.back.notifications(ZONE).is_empty());

    // Fifty changes at random, each on top of the others.
    let mut random = Random::new(7);
    let mut hosts = [None; 20];
    for number in 3..53 {
        for _ in 0..=random.below(3) {
            let host = &mut hosts[random.below(20) as usize];
            *host = (random.below(3) > 0).then_some(number % 256);
        }
        let mut more = ballast();
        for (host, address) in hosts.iter().enumerate() {
            if let Some(address) = address {
                writeln!(more, "h{host} A 192.0.2.{address}\nh{host} 60 TXT \"since {address}\"").unwrap();
            }
        }
        scene.primary.change(ZONE, &zone(number, &more)).unwrap();
        // Some it may miss, and gets together with the next.
        if random.below(4) == 0 {
            scene.compare(number);
        }
    }
    scene.compare(52);
    // NSD gives a whole zone now and then, where many versions came at once.
    let forms = scene.way.transfers(ZONE);
    let others = forms.iter().filter(|form| **form != wanted).count();
    assert!(forms.len() > 4 * others, "{forms:?}");
    assert!(!scene.server.console().contains(&scene.key.secret));
}

scenario!(bind_is_followed, |target| {
    follows(target, Make::Bind, Algorithm::Sha1);
});

scenario!(knot_is_followed, |target| {
    follows(target, Make::Knot, Algorithm::Sha512);
});

scenario!(nsd_is_followed, |target| {
    follows(target, Make::Nsd, Algorithm::Sha384);
});

scenario!(powerdns_is_followed, |target| {
    follows(target, Make::PowerDns, Algorithm::Sha224);
});

scenario!(refresh_finds_what_nobody_told, |target| {
    // No more often than a server asks another politely, but it is seconds.
    let text = |serial, more| timed_zone(serial, "2 1 3600000", more);
    let first = text(1, "");
    let mut scene = Plan { notifies: false, ..Plan::new(Make::Knot, &first) }.start(target);
    scene.primary.change(ZONE, &text(2, "new A 192.0.2.2\n")).unwrap();
    assert_eq!(scene.compare(2).len(), 6);
    assert!(scene.back.notifications(ZONE).is_empty());
});

scenario!(primary_away_at_boot_is_not_ready_until_it_comes, |target| {
    let sandbox = Sandbox::new("away").unwrap();
    let setup = Setup::new(Make::Nsd, sandbox.path()).unwrap();
    let boot = target.boot().argument(primary_argument(target, setup.address(), None));
    let mut server = boot.argument(format!("--zones={ZONE},example.net")).start(&sandbox).unwrap();
    for zone in [ZONE, "example.net"] {
        let reply = server.until_dig(&[zone, "A"], |reply| reply.status == "SERVFAIL").unwrap();
        let code = reply.extended_error.as_deref().unwrap_or("none");
        assert!(code.starts_with("14 (Not Ready)"), "the extended error is {code}");
    }
    server.until_dig(&["example.com", "A"], |reply| reply.status == "REFUSED").unwrap();
    // Nobody tells it: it looks again by itself. The other zone is none of this primary's.
    let primary = setup.gives(ZONE, &zone(1, "")).unwrap().start().unwrap();
    server.until_serving(ZONE).unwrap();
    assert_eq!(server.dig(&["www.example.org", "A"]).unwrap().answer_data(), ["192.0.2.80"]);
    assert_eq!(server.dig(&["example.net", "A"]).unwrap().status, "SERVFAIL");
    drop(primary);
});

scenario!(primary_away_later_is_asked_again, |target| {
    let text = |serial, more| timed_zone(serial, "3 1 3600000", more);
    let first = text(1, "");
    let mut scene = Plan { notifies: false, ..Plan::new(Make::Bind, &first) }.start(target);
    scene.primary.stop();
    // It says so, and serves what it has.
    let lines = scene.server.console().lines().count();
    scene.server.until("a word about it", |server| (server.console().lines().count() > lines).then_some(())).unwrap();
    assert_eq!(scene.server.dig(&["www.example.org", "A"]).unwrap().answer_data(), ["192.0.2.80"]);
    scene.primary.start().unwrap();
    scene.primary.change(ZONE, &text(2, "new A 192.0.2.2\n")).unwrap();
    scene.compare(2);
});

scenario!(expired_zones_are_not_served_until_they_are_back, |target| {
    let text = |serial| timed_zone(serial, "2 1 15", "");
    let first = text(1);
    let mut scene = Plan { notifies: false, ..Plan::new(Make::Knot, &first) }.start(target);
    scene.way.set_closed(true);
    scene.until_failing();
    let reply = scene.server.dig(&[ZONE, "SOA"]).unwrap();
    assert!(reply.answer.is_empty(), "{reply:#?}");
    // Nobody gets it from us, either.
    whole_zone(scene.server.address(), ZONE, Some(&scene.key)).unwrap_err();
    scene.way.set_closed(false);
    scene.until_serial(1);
    assert_eq!(scene.server.dig(&["www.example.org", "A"]).unwrap().answer_data(), ["192.0.2.80"]);
    scene.primary.change(ZONE, &text(2)).unwrap();
    scene.compare(2);
});

scenario!(broken_transfers_leave_the_old_zone_and_heal, |target| {
    let first = zone(1, "");
    let mut scene = Plan::new(Make::Knot, &first).start(target);
    let hosts: String = (0..3000).map(|number| format!("h{number} TXT \"some text of host {number}\"\n")).collect();
    scene.way.cut_after(30_000, 2);
    scene.primary.change(ZONE, &zone(2, &hosts)).unwrap();
    let way = &scene.way;
    scene
        .server
        .until("all cuts are made", |server| {
            let made = way.cuts_left() == 0;
            // Looked at in this order: as long as there was one to come, nothing can have arrived.
            assert!(serial(server.address(), ZONE) == Some(1) || way.cuts_left() == 0);
            made.then_some(())
        })
        .unwrap();
    assert_eq!(scene.compare(2).len(), 5 + 3000);
});

scenario!(wrong_keys_and_clocks_get_nothing, |target| {
    let sandbox = Sandbox::new("wrong").unwrap();
    let key = Key::new(&format!("peer._transfer.{ZONE}")).unwrap();
    let other = Key { name: format!("stranger._transfer.{ZONE}"), ..key.clone() };
    let forged = key.forged().unwrap();
    for (number, (make, wrong, clock)) in [
        (Make::Bind, Some(&forged), None),
        (Make::Knot, Some(&other), None),
        (Make::Nsd, None, None),
        (Make::Knot, Some(&key), Some("-2h")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut setup = Setup::new(make, sandbox.path()).unwrap().gives(ZONE, &zone(1, "")).unwrap().guarded(&key);
        if let Some(clock) = clock {
            setup = setup.clock(clock);
        }
        let primary = setup.start().unwrap();
        primary.until_serial(ZONE, 1).unwrap();
        let way = Way::to(primary.address()).unwrap();
        let mut boot = target.boot().argument(format!("--zones={ZONE}"));
        if let Some(wrong) = wrong {
            boot = boot.argument(wrong.argument());
        }
        let boot = boot.argument(primary_argument(target, way.address(), wrong));
        let console = Console::File(sandbox.path().join(format!("console-{number}.log")));
        let mut server = boot.start_on(Port::new(), console).unwrap();
        let refused = |way: &Way| way.passed().iter().any(|passed| matches!(passed.form, Form::Failed(_)));
        server.until(&format!("{make} refuses"), |_| refused(&way).then_some(())).unwrap();
        server.until_dig(&["www.example.org", "A"], |reply| reply.status == "SERVFAIL").unwrap();
        // It says so where its operator looks.
        server.until("a word about it", |server| server.console().contains(" warn ").then_some(())).unwrap();
        assert!(!server.console().contains(&key.secret));
    }
});

scenario!(forged_answers_are_not_believed, |target| {
    // A primary with the right name and address but not the secret gives what nobody asked to be signed by it.
    let sandbox = Sandbox::new("forged").unwrap();
    let key = Key::new(&format!("peer._transfer.{ZONE}")).unwrap();
    let primary = Setup::new(Make::PowerDns, sandbox.path()).unwrap().gives(ZONE, &zone(1, "")).unwrap();
    let primary = primary.start().unwrap();
    primary.until_serial(ZONE, 1).unwrap();
    let way = Way::to(primary.address()).unwrap();
    let boot = target.boot().argument(key.argument()).argument(format!("--zones={ZONE}"));
    let mut server = boot.argument(primary_argument(target, way.address(), Some(&key))).start(&sandbox).unwrap();
    eventually("it asks", || (way.passed().len() > 2).then_some(())).unwrap();
    server.until_dig(&["www.example.org", "A"], |reply| reply.status == "SERVFAIL").unwrap();
    server.until("a word about it", |server| server.console().contains(" warn ").then_some(())).unwrap();
});

scenario!(zones_go_on_to_the_next, |target| {
    let sandbox = Sandbox::new("chain").unwrap();
    let above = Key::with_algorithm(&format!("above._transfer.{ZONE}"), Algorithm::Sha512).unwrap();
    let below = Key::with_algorithm(&format!("below._transfer.{ZONE}"), Algorithm::Sha256).unwrap();
    let port = Port::new();
    let setup = Setup::new(Make::Bind, sandbox.path()).unwrap().gives(ZONE, &zone(1, "")).unwrap().guarded(&above);
    let bind = setup.notifies(port.address(), Some(&above)).start().unwrap();
    let knot = Setup::new(Make::Knot, sandbox.path()).unwrap().takes(ZONE);
    let notify = format!("--notify={}:{},{}", target.host(), knot.address().port(), below.name);
    let boot = target.boot().argument(primary_argument(target, bind.address(), Some(&above)));
    let boot = boot.argument(above.argument()).argument(below.argument()).argument(notify);
    let boot = boot.argument(format!("--zones={ZONE}")).argument("--rate-limit=off");
    let mut server = boot.start_on(port, Console::File(sandbox.path().join("console.log"))).unwrap();
    server.until_serving(ZONE).unwrap();
    let way = Way::to(server.address()).unwrap();
    let knot = knot.from(way.address(), Some(&below)).start().unwrap();
    knot.until_serial(ZONE, 1).unwrap();
    way.forget();
    for number in 2..12 {
        bind.change(ZONE, &zone(number, &format!("new A 192.0.2.{number}\nold{number} TXT x\n"))).unwrap();
        if number % 3 == 0 {
            knot.until_serial(ZONE, number).unwrap();
        }
    }
    knot.until_serial(ZONE, 11).unwrap();
    let first = whole_zone(bind.address(), ZONE, Some(&above)).unwrap();
    assert_eq!(whole_zone(knot.address(), ZONE, None).unwrap(), first);
    assert_eq!(whole_zone(server.address(), ZONE, Some(&below)).unwrap(), first);
    assert!(way.transfers(ZONE).iter().all(|form| *form == Form::Incremental), "{:#?}", way.passed());
    // What is not ours cannot be changed here.
    let update = ["update add x.example.org. 300 A 192.0.2.1"];
    for key in [None, Some(&Key::new("laptop._update.example.org").unwrap())] {
        let outcome = Client::Nsupdate.update(server.address(), Transport::Udp, key, ZONE, &update).unwrap();
        assert_ne!(outcome.status, "NOERROR", "{}", outcome.text);
    }
});

scenario!(million_records_are_taken, |target| {
    // What software emulation can do in reasonable time.
    let (hosts, memory_mib) = match target {
        Target::Hosted { .. } => (1_000_000, 0),
        Target::Image { .. } => (200_000, 1024),
    };
    let mut text = zone(1, "");
    for number in 0..hosts {
        writeln!(text, "h{number} A {}", host_address(number)).unwrap();
    }
    let allow = ["--allow-transfer=127.0.0.0/8,10.0.2.0/24".to_owned()];
    let mut scene = Plan { memory_mib, arguments: &allow, ..Plan::new(Make::Nsd, &text) }.start(target);
    let seen = Transfer::begin(scene.server.address(), ZONE).and_then(Transfer::finish).unwrap();
    let sum: u64 = (0..hosts).map(|number| (10 << 24) + u64::from(number)).sum();
    let others = [53, 80].map(|last| u64::from(u32::from_be_bytes([192, 0, 2, last]))).iter().sum::<u64>();
    assert_eq!((seen.records, seen.addresses), (u64::from(hosts) + 6, sum + others));
    let text = text.replacen("hostmaster 1 ", "hostmaster 2 ", 1).replacen("192.0.2.80", "192.0.2.81", 1);
    scene.primary.change(ZONE, &text).unwrap();
    scene.until_serial(2);
    assert_eq!(scene.server.dig(&["www.example.org", "A"]).unwrap().answer_data(), ["192.0.2.81"]);
});
