//! An update changes only files of its own zone, and never one that is no zone.

use zonule_harness::wire;
use zonule_harness::{Client, Key, Outcome, PATIENCE, Request, Transport};

use crate::scene::zone;
use crate::updates::scene::{KEYS, Updating, ZONE};

const SOA: &str = "SOA ns1.example.org. hostmaster.example.org. 1 7200 900 1209600 300";

/// Sends an update of some zone with some key.
fn send(scene: &Updating, key: &Key, zone: &str, operations: &[&str]) -> Outcome {
    let mut request = Request::new(zone, operations);
    request.key(Some(key)).send(scene.server.address()).unwrap().remove(0)
}

/// Creates a zone, or tries to.
fn create(scene: &Updating, key: &Key, zone: &str) -> Outcome {
    let soa = format!("update add {zone}. 300 {SOA}");
    let ns = format!("update add {zone}. 300 NS ns1.example.org.");
    send(scene, key, zone, &[&soa, &ns])
}

/// Checks that an update was refused for a reason with these words.
fn refused(outcome: &Outcome, words: &str) {
    let text = outcome.extended_error.clone().unwrap_or_default();
    assert!(outcome.status == "REFUSED" && text.contains(words), "{words}: {outcome:?}");
}

scenario!(files_of_other_zones_are_never_changed, |target| {
    let operator = Key::new("operator._update").unwrap();
    let net = Key::new("laptop._update.example.net").unwrap();
    let shared = Key::new("laptop._update.shared.example.com").unwrap();
    let files = [
        (ZONE, zone(1, "$INCLUDE parts/both\n")),
        ("example.net", "$INCLUDE example.org\n".to_owned()),
        ("example.com", zone(1, "$INCLUDE shared.example.com\n$INCLUDE parts/own\n")),
        ("shared.example.com", "shared A 192.0.2.7\n".to_owned()),
        ("parts/both", "both A 192.0.2.8\n".to_owned()),
        ("parts/own", "own A 192.0.2.9\n".to_owned()),
        ("parts/whole", zone(1, "")),
        ("parts/mine", zone(1, "")),
        ("dir.example/file", String::new()),
        ("_keys", operator.line() + &net.line() + &shared.line()),
    ];
    let files = files.into_iter().map(|(path, text)| (path.to_owned(), text)).collect();
    let mut scene = Updating::with_files(target, files, operator.clone(), &[]);
    let clone = scene.remote.clone_path().to_owned();
    std::os::unix::fs::symlink("nothing", clone.join("link.example")).unwrap();
    std::os::unix::fs::symlink("parts/whole", clone.join("own.example")).unwrap();
    std::os::unix::fs::symlink("parts/too", clone.join("too.example")).unwrap();
    std::os::unix::fs::symlink("whole", clone.join("parts/too")).unwrap();
    std::os::unix::fs::symlink("parts/mine", clone.join("mine.example")).unwrap();
    scene.remote.git(&["add", "--all"]).unwrap();
    scene.remote.git(&["commit", "--quiet", "--message", "A link"]).unwrap();
    scene.remote.git(&["push", "--quiet", "origin", "HEAD:main"]).unwrap();
    scene.server.until_serving("example.net").unwrap();
    scene.server.until_serving("example.com").unwrap();
    let head = scene.remote.git_bare(&["rev-parse", "main"]).unwrap();

    // Whose name it is and whose file, are two things.
    let change = "update add new.example.net. 300 A 192.0.2.1";
    refused(&send(&scene, &net, "example.net", &[change]), "example.org would change");
    let change = "update delete www.example.org. A";
    refused(&send(&scene, &operator, ZONE, &[change]), "the zone example.net. uses it too");
    refused(&send(&scene, &operator, ZONE, &["update delete example.org. SOA"]), "example.org would be deleted");
    // Nothing is made where something is.
    refused(&create(&scene, &operator, "shared.example.com"), "the repository already has shared.example.com");
    refused(&create(&scene, &operator, "dir.example"), "the repository already has dir.example");
    let outcome = create(&scene, &operator, "link.example");
    assert_eq!(outcome.status, "SERVFAIL", "a link to nowhere is a broken zone: {outcome:?}");
    // What a link leads to changes, and only if no other zone's link leads there.
    let change = "update delete www.own.example. A";
    refused(
        &send(&scene, &operator, "own.example", &[change]),
        "parts/whole would change, but the zone too.example. uses",
    );
    refused(&send(&scene, &operator, "mine.example", &["update delete mine.example. SOA"]), "is a symbolic link");
    let outcome = create(&scene, &shared, "shared.example.com");
    assert_eq!(outcome.status, "NOTAUTH", "{outcome:?}");
    // What would be left of the zone would be taken for another.
    refused(&send(&scene, &operator, "example.com", &["update delete example.com. SOA"]), "shared.example.com");
    assert_eq!(scene.remote.git_bare(&["rev-parse", "main"]).unwrap(), head, "and nothing is committed");

    let outcome = send(&scene, &operator, "mine.example", &["update delete www.mine.example. A"]);
    assert_eq!(outcome.status, "NOERROR", "{outcome:?}");
    let files = scene.remote.git_bare(&["show", "--format=", "--name-only", "main"]).unwrap();
    assert_eq!(files, "parts/mine\n");
    assert_eq!(scene.server.dig(&["www.mine.example", "A"]).unwrap().status, "NXDOMAIN");

    // Its own parts are a zone's own.
    let change = ["update delete own.example.com. A", "update delete shared.example.com. A"];
    let outcome = send(&scene, &operator, "example.com", &change);
    assert_eq!(outcome.status, "NOERROR", "{outcome:?}");
    let files = scene.remote.git_bare(&["show", "--format=", "--name-only", "main"]).unwrap();
    assert_eq!(files, "example.com\nparts/own\nshared.example.com\n");

    // What somebody has pushed meanwhile counts, though the server learns of it by its own push alone.
    scene.remote.pull().unwrap();
    scene.remote.write("example.info", zone(1, "$INCLUDE parts/own\n$INCLUDE to-come.example\n")).unwrap();
    scene.remote.write("parts/own", "own A 192.0.2.10\n").unwrap();
    scene.remote.write("example.com", zone(9, "$INCLUDE shared.example.com\n$INCLUDE parts/own\n")).unwrap();
    scene.remote.push("Include it elsewhere, too").unwrap();
    let head = scene.remote.git_bare(&["rev-parse", "main"]).unwrap();
    refused(&create(&scene, &operator, "to-come.example"), "the zone example.info. includes it");
    let outcome = send(&scene, &operator, "example.com", &["update delete own.example.com. A"]);
    refused(&outcome, "the zone example.info. uses it too");
    assert_eq!(scene.remote.git_bare(&["rev-parse", "main"]).unwrap(), head);
    // A part of several zones is changed in git, and the server raises what serial it may.
    for (name, address) in [("both.example.org", "192.0.2.8"), ("both.example.net", "192.0.2.8")] {
        assert_eq!(scene.server.dig(&[name, "A"]).unwrap().answer_data(), [address]);
    }
    assert_eq!(scene.remote.fsck().unwrap(), "");
});

scenario!(keys_are_never_served, |target| {
    let mut scene = Updating::start(target);
    let secret = scene.key.secret.clone();
    let paths = [KEYS, "parts/../example.org._keys", "./example.org._keys", "\"example.org.\\_keys\"", "copied"];
    scene.remote.write("copied", scene.key.line()).unwrap();
    for (number, path) in paths.into_iter().enumerate() {
        let text = zone(2 + number as u32, &format!("new A 192.0.2.9\n$INCLUDE {path}\n"));
        scene.remote.write(ZONE, text).unwrap();
        scene.remote.push(path).unwrap();
        let head = scene.remote.head().unwrap();
        // Another zone tells that the commit has been read.
        let good = zone(1, &format!("at TXT {head}\n"));
        scene.remote.write(&format!("z{number}.example"), good).unwrap();
        scene.remote.push("And another zone").unwrap();
        scene.server.until_serving(&format!("z{number}.example")).unwrap();
        assert_eq!(scene.server.dig(&["new.example.org", "A"]).unwrap().status, "NXDOMAIN", "{path}");
        assert_eq!(scene.server.dig(&[&scene.key.name, "DNSKEY"]).unwrap().status, "NXDOMAIN", "{path}");
        let outcome = scene.update(&[&format!("update delete {}. DNSKEY", scene.key.name)]);
        assert_ne!(outcome.status, "NOERROR", "{path}: {}", outcome.text);
    }
    scene.server.until_console("is a key file, whose secrets would be served to everybody").unwrap();
    scene.server.until_console("this record is a TSIG key, whose secret would be served to everybody").unwrap();
    assert!(!scene.server.console().contains(&secret));
    assert_eq!(scene.remote.show(KEYS).unwrap(), scene.key.line());
});

scenario!(soa_records_are_deleted_by_keys_above_the_zone_alone, |target| {
    let operator = Key::new("operator._update").unwrap();
    let parent = Key::new("parent._update.org").unwrap();
    let own = Key::new("laptop._update.example.org").unwrap();
    let files =
        vec![(ZONE.to_owned(), zone(1, "")), ("_keys".to_owned(), operator.line() + &parent.line() + &own.line())];
    let mut scene = Updating::with_files(target, files, own.clone(), &[]);
    let serial = |scene: &Updating| {
        scene.server.dig(&[ZONE, "SOA"]).unwrap().answer_data()[0].split(' ').nth(2).unwrap().to_owned()
    };
    // RFC 2136 §3.4.2.3, §3.4.2.4: it is ignored, by RRset and by record.
    let record = "update delete example.org. SOA ns1.example.org. hostmaster.example.org. 1 7200 900 1209600 300";
    for operations in [&["update delete example.org. SOA"][..], &[record], &["update delete example.org."]] {
        let outcome = send(&scene, &own, ZONE, operations);
        assert_eq!((outcome.status.as_str(), serial(&scene).as_str()), ("NOERROR", "1"), "{operations:?}");
    }
    let outcome =
        send(&scene, &own, ZONE, &["update delete example.org. SOA", "update add a.example.org. 60 A 192.0.2.1"]);
    assert_eq!((outcome.status.as_str(), serial(&scene).as_str()), ("NOERROR", "2"));
    // Deleted and added is replaced, whoever does it and in either order.
    let soa =
        |serial| format!("update add example.org. 300 SOA ns1.example.org. hostmaster.example.org. {serial} 1 1 1 1");
    for (number, key) in [&own, &parent, &operator].into_iter().enumerate() {
        let number = 10 * (number + 1);
        let (first, second) = (soa(number), soa(number + 1));
        for (operations, expected) in [
            (["update delete example.org. SOA", &first], number),
            ([&second, "update delete example.org. SOA"], number + 1),
        ] {
            let outcome = send(&scene, key, ZONE, &operations);
            assert_eq!((outcome.status.as_str(), serial(&scene)), ("NOERROR", expected.to_string()), "{operations:?}");
        }
    }
    assert_eq!(scene.check().len(), 8);
    // A zone is made and deleted from above it.
    let below = "sub.example.org";
    assert_eq!(create(&scene, &own, below).status, "NOERROR");
    assert_eq!(send(&scene, &own, below, &["update delete sub.example.org. SOA"]).status, "NOERROR");
    scene.remote.show(below).unwrap_err();
    assert_eq!(send(&scene, &parent, ZONE, &["update delete example.org. SOA"]).status, "NOERROR");
    assert_eq!(scene.server.dig(&[ZONE, "SOA"]).unwrap().status, "REFUSED");
    assert_eq!(create(&scene, &own, ZONE).status, "NOTAUTH");
    assert_eq!(create(&scene, &parent, ZONE).status, "NOERROR");
    // Not 1, as asked for: secondaries may know the zone by the number it had.
    assert_eq!(serial(&scene), "32");
});

scenario!(form_comes_before_signature, |target| {
    let scene = Updating::start(target);
    let mut bare = wire::update(1, ZONE, &[], &[])[..12].to_vec();
    bare[4..6].fill(0);
    let two = [&wire::update(1, ZONE, &[], &[])[..], &wire::query(1, ZONE, 6)[12..]].concat();
    let two = [&two[..4], &[0, 2], &two[6..]].concat();
    let mut other_type = wire::update(1, ZONE, &[], &[]);
    let at = other_type.len() - 3;
    other_type[at] = 1;
    for (message, rcode) in [(&bare, 1), (&two, 1), (&other_type, 1), (&wire::update(1, ZONE, &[], &[]), 5)] {
        let reply = wire::exchange(scene.server.address(), message, PATIENCE).unwrap().expect("a reply");
        assert_eq!(wire::rcode(&reply), Some(rcode), "{message:?}");
    }
    // With a zone section, it is the signature that is missing.
    let outcome = Client::Nsupdate.update(
        scene.server.address(),
        Transport::Udp,
        None,
        ZONE,
        &["update delete www.example.org. A"],
    );
    assert_eq!(outcome.unwrap().status, "REFUSED");
});

scenario!(nobody_makes_a_zone_in_the_place_of_the_catalog, |target| {
    let operator = Key::new("operator._update").unwrap();
    let files = vec![(ZONE.to_owned(), zone(1, "")), ("_keys".to_owned(), operator.line())];
    let scene = Updating::with_files(target, files, operator.clone(), &["--catalog=catalog.example"]);
    refused(&create(&scene, &operator, "catalog.example"), "--catalog");
    let outcome = create(&scene, &operator, "other.example");
    assert_eq!(outcome.status, "NOERROR", "{outcome:?}");
});
