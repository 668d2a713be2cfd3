//! Catalog zones (RFC 9432): other servers consume ours, and we consume theirs.

use std::net::SocketAddr;

use zonule_harness::{Console, Key, Make, Neighbour, Port, Remote, Sandbox, Server, Setup, Target, serial};

use crate::secondaries::scene::zone;

const CATALOG: &str = "catalog.example";

/// Waits until our server serves these zones, and not those.
fn until_serving(server: &mut Server, zones: &[&str], gone: &[&str]) {
    for zone in zones {
        server.until(&format!("{zone} is served"), |server| serial(server.address(), zone)).unwrap();
    }
    for zone in gone {
        server
            .until(&format!("{zone} is gone"), |server| {
                server.dig(&[zone, "SOA"]).is_ok_and(|reply| reply.status == "REFUSED").then_some(())
            })
            .unwrap();
    }
}

scenario!(ours_is_followed, |target| {
    let sandbox = Sandbox::new("catalog").unwrap();
    let files = ["a.example", "b.example"].map(|name| (name, zone(1, "")));
    let remote = Remote::with_files(sandbox.path(), files).unwrap();
    // For all zones, the catalog among them.
    let key = Key::new("peer._transfer").unwrap();
    // NSD knows catalogs from version 4.9 on, Debian 12 has 4.6.
    // PowerDNS takes it, but asks for its members without the key.
    let setups = [Make::Bind, Make::Knot].map(|make| Setup::new(make, sandbox.path()).unwrap());
    let mut boot = target.boot().remote(&remote).argument(format!("--catalog={CATALOG}")).argument("--rate-limit=off");
    boot = boot.argument(key.argument());
    for setup in &setups {
        boot = boot.argument(format!("--notify={}:{},{}", target.host(), setup.address().port(), key.name));
    }
    let mut server = boot.start(&sandbox).unwrap();
    server.until_serving("a.example").unwrap();
    let consume = |setup: Setup| setup.consumes(CATALOG).from(server.address(), Some(&key)).start().unwrap();
    let followers: Vec<Neighbour> = setups.into_iter().map(consume).collect();
    for follower in &followers {
        follower.until_serial("a.example", 1).unwrap();
        follower.until_serial("b.example", 1).unwrap();
    }
    remote.remove("a.example").unwrap();
    remote.write("c.example", zone(7, "")).unwrap();
    remote.write("b.example", zone(2, "new A 192.0.2.1\n")).unwrap();
    remote.push("One goes, one comes, one changes").unwrap();
    for follower in &followers {
        follower.until_serial("c.example", 7).unwrap();
        follower.until_serial("b.example", 2).unwrap();
        follower.until_gone("a.example").unwrap();
    }
    // Back again, as if it had never been gone.
    remote.write("a.example", zone(3, "")).unwrap();
    remote.push("And back").unwrap();
    for follower in &followers {
        follower.until_serial("a.example", 3).unwrap();
    }
    assert!(server.is_running());
});

scenario!(catalog_has_its_schema, |target| {
    let sandbox = Sandbox::new("catalog").unwrap();
    let files = ["a.example", "b.example", "c.b.example"].map(|name| (name, zone(1, "")));
    let remote = Remote::with_files(sandbox.path(), files).unwrap();
    let key = Key::new("peer._transfer").unwrap();
    let boot = target.boot().remote(&remote).argument(format!("--catalog={CATALOG}")).argument(key.argument());
    let mut server = boot.start(&sandbox).unwrap();
    server.until_serving("a.example").unwrap();
    let first = zonule_harness::whole_zone(server.address(), CATALOG, Some(&key)).unwrap();
    let data = |kind: &str, records: &[String]| -> Vec<String> {
        let records = records.iter().map(|record| record.split(' ').collect::<Vec<_>>());
        records.filter(|fields| fields[3] == kind).map(|fields| fields[4..].join(" ")).collect()
    };
    // RFC 9432 §4: version 2, one NS that leads nowhere, a pointer for each member; the catalog is none of its own.
    assert_eq!(data("txt", &first), ["\"2\""]);
    assert_eq!(data("ns", &first), ["invalid."]);
    let mut members = data("ptr", &first);
    members.sort();
    assert_eq!(members, ["a.example.", "b.example.", "c.b.example."]);
    assert_eq!(first.len(), 6, "{first:#?}");
    // A member keeps its name in the catalog, even if the server forgets all but what git knows.
    drop(server);
    let boot = target.boot().remote(&remote).argument(format!("--catalog={CATALOG}")).argument(key.argument());
    let mut server = boot.start(&sandbox).unwrap();
    server.until_serving("a.example").unwrap();
    let again = zonule_harness::whole_zone(server.address(), CATALOG, Some(&key)).unwrap();
    let pointers =
        |records: &[String]| records.iter().filter(|record| record.contains(" ptr ")).cloned().collect::<Vec<_>>();
    assert_eq!(pointers(&again), pointers(&first));
    // It is nobody's business (RFC 9432 §7) to list it without permission.
    assert!(zonule_harness::is_refused(server.address(), CATALOG, None));
});

/// Starts `target` as a consumer of the catalog of the server at `address`.
fn consumer(target: &Target, sandbox: &Sandbox, port: Port, address: SocketAddr, key: &Key) -> Server {
    let primary = format!("--primary={}:{},{}", target.host(), address.port(), key.name);
    let boot = target.boot().argument(primary).argument(key.argument()).argument(format!("--catalog={CATALOG}"));
    boot.argument("--rate-limit=off").start_on(port, Console::File(sandbox.path().join("console.log"))).unwrap()
}

scenario!(knots_is_followed, |target| {
    let sandbox = Sandbox::new("catalog").unwrap();
    let key = Key::new("peer._transfer").unwrap();
    let port = Port::new();
    let setup = Setup::new(Make::Knot, sandbox.path()).unwrap().produces(CATALOG).guarded(&key);
    let setup = setup.notifies(port.address(), Some(&key));
    let text = zone(1, "");
    let setup = setup.gives("a.example", &text).unwrap().gives("b.example", &text).unwrap();
    let mut knot = setup.start().unwrap();
    knot.until_serial("b.example", 1).unwrap();
    let mut server = consumer(target, &sandbox, port, knot.address(), &key);
    until_serving(&mut server, &["a.example", "b.example"], &["c.example"]);
    knot.give_only(&[("b.example", &text), ("c.example", &text)]).unwrap();
    until_serving(&mut server, &["b.example", "c.example"], &["a.example"]);
    // A member is a zone like others: its changes are followed.
    knot.change("c.example", &zone(2, "new A 192.0.2.1\n")).unwrap();
    server.until_dig(&["new.c.example", "A"], |reply| reply.answer_data() == ["192.0.2.1"]).unwrap();
});

/// The text of a catalog zone of these members.
fn catalog(serial: u32, members: &[&str]) -> String {
    let lines = members.iter().map(|member| format!("id-{}.zones PTR {member}.\n", member.replace('.', "-")));
    format!(
        "$TTL 0\n@ SOA invalid. invalid. {serial} 3600 2 3600000 0\n@ NS invalid.\nversion TXT 2\n{}",
        lines.collect::<String>()
    )
}

scenario!(binds_is_followed, |target| {
    let sandbox = Sandbox::new("catalog").unwrap();
    let key = Key::new("peer._transfer").unwrap();
    let port = Port::new();
    let mut setup = Setup::new(Make::Bind, sandbox.path()).unwrap().guarded(&key).notifies(port.address(), Some(&key));
    for name in ["a.example", "b.example", "c.example"] {
        setup = setup.gives(name, &zone(1, "")).unwrap();
    }
    let bind = setup.gives(CATALOG, &catalog(1, &["a.example", "b.example"])).unwrap().start().unwrap();
    bind.until_serial(CATALOG, 1).unwrap();
    let mut server = consumer(target, &sandbox, port, bind.address(), &key);
    until_serving(&mut server, &["a.example", "b.example"], &["c.example"]);
    bind.change(CATALOG, &catalog(2, &["b.example", "c.example"])).unwrap();
    until_serving(&mut server, &["b.example", "c.example"], &["a.example"]);
    // One that is no catalog any more changes nothing (RFC 9432 §5.1).
    let broken = catalog(3, &["a.example"]).replace("version TXT 2", "version TXT 1");
    bind.change(CATALOG, &broken).unwrap();
    server.until("a word about it", |server| server.console().contains("version").then_some(())).unwrap();
    until_serving(&mut server, &["b.example", "c.example"], &["a.example"]);
    bind.change(CATALOG, &catalog(4, &[])).unwrap();
    until_serving(&mut server, &[], &["a.example", "b.example", "c.example"]);
});
