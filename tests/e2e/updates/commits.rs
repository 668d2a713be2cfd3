//! An accepted update is a commit that reads as a person would write it, and what is served follows it.

use std::sync::Arc;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use zonule_harness::wire::{self, Record, class, kind};
use zonule_harness::{Acme, Client, Key, Outcome, PATIENCE, Request, Transport, certbot};

use crate::scene::zone;
use crate::updates::scene::{KEYS, Updating, ZONE};

scenario!(every_client_adds_changes_and_deletes, |target| {
    let mut scene = Updating::start(target);
    let address = scene.server.address();
    for (client, by) in Client::ALL.into_iter().flat_map(|client| Transport::ALL.map(|by| (client, by))) {
        let send = |operations: &[&str]| {
            let outcome = client.update(address, by, Some(&scene.key), ZONE, operations).unwrap();
            assert_eq!(outcome.status, "NOERROR", "{client} {by:?} {operations:?}: {}", outcome.text);
        };
        let ask = || scene.server.dig(&["host.example.org", "A"]).unwrap();
        // What NOERROR says is served already: nobody waits for it here.
        send(&["prereq nxdomain host.example.org.", "update add host.example.org. 60 A 192.0.2.1"]);
        assert_eq!(ask().answer, ["host.example.org. 60 IN A 192.0.2.1"]);
        send(&[
            "prereq yxrrset host.example.org. A",
            "update delete host.example.org. A",
            "update add host.example.org. 60 A 192.0.2.2",
            "update add host.example.org. 60 A 192.0.2.3",
        ]);
        let mut addresses = ask().answer;
        addresses.sort();
        assert_eq!(addresses, ["host.example.org. 60 IN A 192.0.2.2", "host.example.org. 60 IN A 192.0.2.3"]);
        send(&["update delete host.example.org. A 192.0.2.2"]);
        assert_eq!(ask().answer, ["host.example.org. 60 IN A 192.0.2.3"]);
        send(&["update delete host.example.org."]);
        assert_eq!(ask().status, "NXDOMAIN");
    }
    let log = scene.check();
    // One of the person, and each update one of its own.
    assert_eq!(log.len(), 1 + 6 * 4);
    assert_eq!(scene.remote.show(ZONE).unwrap(), zone(25, ""));
});

scenario!(nsupdate_finds_the_zone_by_itself, |target| {
    let mut scene = Updating::start(target);
    for by in Transport::ALL {
        let operation = format!("update add {by:?}.deep.below.example.org. 60 A 192.0.2.1");
        let outcome = Client::Nsupdate.update(scene.server.address(), by, Some(&scene.key), "", &[&operation]).unwrap();
        assert_eq!(outcome.status, "NOERROR", "{by:?}: {}", outcome.text);
    }
    assert_eq!(scene.check().len(), 3);
});

scenario!(certbot_proves_itself, |target| {
    let files = vec![(ZONE.to_owned(), zone(1, ""))];
    let name = "_acme-challenge.www.example.org";
    let key = Key::new(&format!("certbot._update.{name}")).unwrap();
    let files = [files, vec![(KEYS.to_owned(), key.line())]].concat();
    let mut scene = Updating::with_files(target, files, key, &[]);
    let address = scene.server.address();
    // Two at a time, as for a name and its wildcard.
    certbot(address, &scene.key, "add", name, "first").unwrap();
    certbot(address, &scene.key, "add", name, "second").unwrap();
    let mut texts = scene.server.dig(&[name, "TXT"]).unwrap().answer;
    texts.sort();
    assert_eq!(texts, [format!("{name}. 120 IN TXT \"first\""), format!("{name}. 120 IN TXT \"second\"")]);
    certbot(address, &scene.key, "delete", name, "first").unwrap();
    certbot(address, &scene.key, "delete", name, "second").unwrap();
    assert_eq!(scene.server.dig(&[name, "TXT"]).unwrap().status, "NXDOMAIN");
    // No other name.
    certbot(address, &scene.key, "add", "_acme-challenge.example.org", "third").unwrap_err();
    assert_eq!(scene.check().len(), 5);

    // And all of it, with an authority that looks whether the proof is there.
    let acme = Acme::start(scene.sandbox.path(), address).unwrap();
    acme.certificate(&scene.key, &["www.example.org"]).unwrap();
    acme.certificate(&scene.key, &["*.example.org"]).unwrap_err();
    assert_eq!(scene.check().len(), 7);
    assert_eq!(scene.remote.show(ZONE).unwrap(), zone(7, ""));
});

scenario!(history_reads_as_a_person_would_write_it, |target| {
    let mut scene = Updating::with_arguments(target, &["--git-author=DNS<dns@example.org>"]);
    let outcome = scene.update(&["update add host7.example.org. 300 A 192.0.2.7"]);
    assert_eq!(outcome.status, "NOERROR", "{}", outcome.text);
    let outcome = scene.update(&[
        "update delete host7.example.org. A 192.0.2.7",
        "update add host7.example.org. 300 A 192.0.2.8",
        "update add host8.example.org. 300 TXT \"two words\"",
    ]);
    assert_eq!(outcome.status, "NOERROR", "{}", outcome.text);
    let log = scene.check();
    assert_eq!(log.len(), 3);
    let client = match target {
        zonule_harness::Target::Hosted { .. } => "127.0.0.1",
        zonule_harness::Target::Image { .. } => "10.0.2.2",
    };

    let [_, first, second] = log.as_slice() else { panic!("{log:#?}") };
    assert_eq!(first.author, "laptop._update.example.org <dns@example.org>");
    assert_eq!(first.committer, "DNS <dns@example.org>");
    assert_eq!(
        first.message.trim_end(),
        format!(
            "example.org: add A for host7 (nsupdate by laptop._update.example.org)\n\n\
             + host7.example.org. 300 IN A 192.0.2.7\n\n\
             Client: {client}\nKey: laptop._update.example.org\nSerial: 1 -> 2"
        )
    );
    assert_eq!(
        first.changes,
        ["-@ SOA ns1 hostmaster 1 2h 15m 2w 5m", "+@ SOA ns1 hostmaster 2 2h 15m 2w 5m", "+host7 A 192.0.2.7"]
    );

    // Several changes in one message are one commit, whose first line is short whatever they are.
    assert!(second.subject.starts_with("example.org: ") && second.subject.len() <= 120, "{}", second.subject);
    assert_eq!(second.trailer("Serial"), Some("2 -> 3"));
    assert_eq!(second.trailer("Key"), Some("laptop._update.example.org"));
    for line in [
        "- host7.example.org. 300 IN A 192.0.2.7",
        "+ host7.example.org. 300 IN A 192.0.2.8",
        "+ host8.example.org. 300 IN TXT \"two words\"",
    ] {
        assert!(second.message.lines().any(|have| have == line), "no `{line}` in:\n{}", second.message);
    }
    // As a person reads it: no line is out of bounds, and the texts hold nothing a terminal would act on.
    let text = scene.remote.git_bare(&["log", "-p", "main"]).unwrap();
    assert!(text.chars().all(|character| character == '\n' || character == '\t' || !character.is_control()), "{text}");
    assert_eq!(text.matches("\ndiff --git a/example.org b/example.org").count(), 3, "{text}");
});

scenario!(one_record_more_is_one_line_more, |target| {
    let mut scene = Updating::on_examples(target);
    let before = scene.remote.show(ZONE).unwrap();
    let outcome = scene.update(&["update add host7.example.org. 3600 A 192.0.2.7"]);
    assert_eq!(outcome.status, "NOERROR", "{}", outcome.text);
    let stat = scene.remote.git_bare(&["show", "--format=", "--numstat", "main"]).unwrap();
    assert_eq!(stat.trim(), "2\t1\texample.org");
    let after = scene.remote.show(ZONE).unwrap();
    let added: Vec<&str> = after.lines().filter(|line| !before.contains(line)).collect();
    let [serial, record] = added.as_slice() else { panic!("{added:#?}") };
    assert_eq!(*serial, "\t\t\t2026112002\t; serial");
    // In the columns of its neighbours.
    assert_eq!(*record, "host7\t\t\tA\t192.0.2.7");

    // Beside its owner's others.
    let outcome = scene.update(&["update add mail.example.org. 3600 TXT \"beside\""]);
    assert_eq!(outcome.status, "NOERROR", "{}", outcome.text);
    let after = scene.remote.show(ZONE).unwrap();
    let line = after.lines().position(|line| line.contains("beside")).unwrap();
    let neighbour = after.lines().nth(line - 1).unwrap();
    assert!(neighbour.contains("2001:db8::25") || neighbour.contains("192.0.2.25"), "{after}");

    // Gone again, and all is as it was but for the serial.
    let outcome = scene.update(&["update delete host7.example.org. A", "update delete mail.example.org. TXT"]);
    assert_eq!(outcome.status, "NOERROR", "{}", outcome.text);
    assert_eq!(scene.remote.show(ZONE).unwrap(), before.replace("2026112001", "2026112004"));
    // No other file of the repository was touched, by any of it.
    let files = scene.remote.git_bare(&["log", "--format=", "--name-only", "main", "--max-count=3"]).unwrap();
    assert!(files.lines().all(|file| file == ZONE), "{files}");
    scene.server.until_dig(&["host7.example.org", "A"], |reply| reply.status == "NXDOMAIN").unwrap();
});

scenario!(foreign_files_are_left_as_they_are, |target| {
    let key = Key::new("laptop._update.example.org").unwrap();
    let files = vec![
        (ZONE.to_owned(), zone(1, "")),
        (KEYS.to_owned(), key.line()),
        ("example.net".to_owned(), zone(1, "broken A 192.0.2.300\n")),
        ("README.md".to_owned(), "Not a zone.\r\n\0".to_owned()),
    ];
    let mut scene = Updating::with_files(target, files, key, &[]);
    // Directories, programs, links and whatever else people keep beside their zones.
    let clone = scene.remote.clone_path().to_owned();
    std::fs::create_dir_all(clone.join("tools/deep")).unwrap();
    std::fs::write(clone.join("tools/deep/check"), "#!/bin/sh\n").unwrap();
    std::fs::write(clone.join("\u{f6} \\ \n"), "an odd name\n").unwrap();
    std::os::unix::fs::symlink("tools/deep/check", clone.join("a-link")).unwrap();
    scene.remote.git(&["add", "--all"]).unwrap();
    scene.remote.git(&["update-index", "--chmod=+x", "tools/deep/check"]).unwrap();
    let module = format!("160000,{},module", scene.remote.head().unwrap());
    scene.remote.git(&["update-index", "--add", "--cacheinfo", &module]).unwrap();
    scene.remote.git(&["commit", "--quiet", "--message", "More than zones"]).unwrap();
    scene.remote.git(&["push", "--quiet", "origin", "HEAD:main"]).unwrap();
    let others = |scene: &Updating| {
        let text = scene.remote.git_bare(&["ls-tree", "-r", "-z", "main"]).unwrap();
        text.split('\0').filter(|line| !line.ends_with("\texample.org")).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = others(&scene);
    assert_eq!(before.len(), 8, "{before:#?}");
    scene.add_until_accepted(1);
    // The remote packs what it has, and forgets what nobody needs.
    scene.remote.git_bare(&["gc", "--quiet", "--prune=now"]).unwrap();
    scene.add_until_accepted(100);
    assert_eq!(others(&scene), before);
    assert_eq!(scene.check().len(), 4);
});

scenario!(records_that_stand_elsewhere_are_edited_there_or_refused, |target| {
    let scene = Updating::on_examples(target);
    // One of five that one line makes.
    let mut request = Request::new(ZONE, &["update delete visitor-202.example.org. A"]);
    let outcome = request.key(Some(&scene.key)).send(scene.server.address()).unwrap().remove(0);
    let visitors =
        |number: u32| scene.server.dig(&[&format!("visitor-{number}.example.org"), "A"]).unwrap().answer.len();
    match outcome.status.as_str() {
        "NOERROR" => assert_eq!([visitors(201), visitors(202), visitors(203)], [1, 0, 1]),
        _ => {
            let text = outcome.extended_error.clone().unwrap_or_default();
            assert!(text.contains("example.org:64"), "{outcome:?}");
            assert_eq!([visitors(201), visitors(202), visitors(203)], [1, 1, 1]);
        }
    }
    assert_eq!(scene.remote.fsck().unwrap(), "");
});

scenario!(prerequisites_decide, |target| {
    let mut scene = Updating::start(target);
    let address = scene.server.address();
    // What must hold, and the answer (RFC 2136 §3.2): www is 192.0.2.80 and has nothing else.
    let cases = [
        ("prereq yxdomain www.example.org.", "NOERROR"),
        ("prereq yxdomain no.example.org.", "NXDOMAIN"),
        ("prereq nxdomain no.example.org.", "NOERROR"),
        ("prereq nxdomain www.example.org.", "YXDOMAIN"),
        ("prereq yxrrset www.example.org. A", "NOERROR"),
        ("prereq yxrrset www.example.org. AAAA", "NXRRSET"),
        ("prereq yxrrset www.example.org. A 192.0.2.80", "NOERROR"),
        ("prereq yxrrset www.example.org. A 192.0.2.81", "NXRRSET"),
        ("prereq nxrrset www.example.org. AAAA", "NOERROR"),
        ("prereq nxrrset www.example.org. A", "YXRRSET"),
        ("prereq nxdomain www.example.net.", "NOTZONE"),
    ];
    let mut accepted = 0;
    for (number, (prerequisite, status)) in cases.into_iter().enumerate() {
        for client in Client::ALL {
            let update = format!("update add {client}{number}.example.org. 300 A 192.0.2.1");
            let operations = [prerequisite, &update];
            let outcome = client.update(address, Transport::Udp, Some(&scene.key), ZONE, &operations).unwrap();
            // Names outside of the zone dnspython makes none of.
            if client == Client::Dnspython && status == "NOTZONE" && outcome.status != status {
                continue;
            }
            assert_eq!(outcome.status, status, "{client}: {prerequisite}");
            let reply = scene.server.dig(&[&format!("{client}{number}.example.org"), "A"]).unwrap();
            assert_eq!(reply.answer.len(), usize::from(status == "NOERROR"), "{client}: {prerequisite}");
            accepted += usize::from(status == "NOERROR");
        }
    }
    assert_eq!(scene.check().len(), 1 + accepted);
});

scenario!(mistakes_in_the_zone_section_are_explained, |target| {
    let mut scene = Updating::start(target);
    let update = "update add a.example.net. 300 A 192.0.2.1";
    // Not served; served, but not a zone; not in the zone.
    for (zone, operation, codes) in [
        ("example.net", update, &["NOTAUTH", "REFUSED"][..]),
        ("www.example.org", "update add a.www.example.org. 300 A 192.0.2.1", &["NOTAUTH"]),
        (ZONE, update, &["NOTZONE"]),
    ] {
        let mut request = Request::new(zone, &[operation]);
        // dnspython makes no such thing of names outside of the zone, and neither does anybody by mistake.
        let outcome = match zone {
            ZONE => {
                Client::Nsupdate.update(scene.server.address(), Transport::Udp, Some(&scene.key), zone, &[operation])
            }
            _ => request.key(Some(&scene.key)).send(scene.server.address()).map(|mut all| all.remove(0)),
        };
        let outcome = outcome.unwrap();
        assert!(codes.contains(&outcome.status.as_str()), "{zone}: {outcome:?}");
        if zone != ZONE {
            let text = outcome.extended_error.unwrap_or_default();
            assert!(text.contains(zone), "{zone}: the extended error is {text}");
        }
    }
    assert_eq!(scene.check().len(), 1);
});

scenario!(nothing_to_do_is_no_commit, |target| {
    let mut scene = Updating::start(target);
    for operations in [
        ["update add www.example.org. 300 A 192.0.2.80"].as_slice(),
        &["update delete no.example.org."],
        &["prereq yxdomain www.example.org."],
        // The apex keeps its SOA and its last NS (RFC 2136 §3.4.2.4).
        &["update delete example.org. NS ns1.example.org."],
        // A lower serial is none (§3.4.2.2).
        &["update add example.org. 300 SOA ns1.example.org. hostmaster.example.org. 0 7200 900 1209600 300"],
    ] {
        let outcome = scene.update(operations);
        assert_eq!(outcome.status, "NOERROR", "{operations:?}: {}", outcome.text);
    }
    assert_eq!(scene.check().len(), 1);
});

scenario!(serial_of_the_update_counts, |target| {
    let mut scene = Updating::start(target);
    let soa =
        "update add example.org. 300 SOA ns1.example.org. hostmaster.example.org. 2026010100 7200 900 1209600 300";
    assert_eq!(scene.update(&[soa, "update add a.example.org. 300 A 192.0.2.1"]).status, "NOERROR");
    assert_eq!(scene.update(&["update add b.example.org. 300 A 192.0.2.2"]).status, "NOERROR");
    let log = scene.check();
    let serials: Vec<_> = log.iter().filter_map(|commit| commit.trailer("Serial")).collect();
    assert_eq!(serials, ["1 -> 2026010100", "2026010100 -> 2026010101"]);
});

scenario!(zones_come_and_go_by_their_soa, |target| {
    // A key for all zones, because one that does not exist yet has no key of its own.
    let key = Key::new("operator._update").unwrap();
    let laptop = Key::new("laptop._update.example.org").unwrap();
    let narrow = Key::new("host._update.host.example.org").unwrap();
    let files = vec![
        (ZONE.to_owned(), zone(1, "")),
        ("_keys".to_owned(), key.line()),
        (KEYS.to_owned(), laptop.line() + &narrow.line()),
    ];
    let mut scene = Updating::with_files(target, files, key, &[]);
    let address = scene.server.address();
    let send = |operations: &[&str]| {
        Client::Nsupdate.update(address, Transport::Tcp, Some(&scene.key), "new.example", operations).unwrap()
    };
    // Without an SOA there is no zone to change.
    assert_ne!(send(&["update add www.new.example. 300 A 192.0.2.1"]).status, "NOERROR");
    let created = send(&[
        "update add new.example. 300 SOA ns1.example.org. hostmaster.example.org. 1 7200 900 1209600 300",
        "update add new.example. 300 NS ns1.example.org.",
        "update add www.new.example. 300 A 192.0.2.1",
    ]);
    assert_eq!(created.status, "NOERROR", "{}", created.text);
    assert_eq!(scene.server.dig(&["www.new.example", "A"]).unwrap().answer_data(), ["192.0.2.1"]);
    assert!(scene.remote.show("new.example").unwrap().contains("192.0.2.1"));

    let deleted = send(&["update delete new.example. SOA"]);
    assert_eq!(deleted.status, "NOERROR", "{}", deleted.text);
    assert_eq!(scene.server.dig(&["www.new.example", "A"]).unwrap().status, "REFUSED");
    scene.remote.show("new.example").unwrap_err();
    // Only where the grant says so.
    let created = scene.update_with(&laptop, &["update add deep.example.org. 300 A 192.0.2.1"]);
    assert_eq!(created.status, "NOERROR", "{}", created.text);
    let soa = "update add other.example. 300 SOA ns1.example.org. hostmaster.example.org. 1 7200 900 1209600 300";
    let ns = "update add other.example. 300 NS ns1.example.org.";
    let refused = Client::Nsupdate.update(address, Transport::Tcp, Some(&laptop), "other.example", &[soa, ns]).unwrap();
    assert_eq!(refused.status, "REFUSED", "{}", refused.text);
    let refused =
        Client::Nsupdate.update(address, Transport::Tcp, Some(&narrow), ZONE, &["update delete example.org. SOA"]);
    assert_eq!(refused.unwrap().status, "REFUSED");
    let log = scene.check();
    assert_eq!(log.len(), 4);
    assert!(log[1..3].iter().all(|commit| commit.subject.starts_with("new.example: ")), "{log:#?}");
});

scenario!(same_message_again_is_answered_and_not_applied_again, |target| {
    let mut scene = Updating::start(target);
    let address = scene.server.address();
    // While the first is under way, as a client does that has waited too long, and when it has been answered.
    let mut request = Request::new(ZONE, &["update add again.example.org. 300 A 192.0.2.1"]);
    let outcomes = request.key(Some(&scene.key)).burst(3).times(3).send(address).unwrap();
    let told: Vec<_> = outcomes.iter().map(|outcome| (outcome.status.as_str(), outcome.signed)).collect();
    assert_eq!(told, [("NOERROR", true); 3]);
    assert_eq!(scene.check().len(), 2);

    // A copy that arrives late, or that somebody has kept, does not bring back what was deleted since.
    let argument = format!("{}:{}:{}", scene.key.name, scene.key.algorithm, scene.key.secret);
    let key = Arc::new(zonule::tsig::Key::parse_argument(&argument).unwrap());
    let record = Record { owner: &["late"], kind: kind::A, class: class::IN, ttl: 300, data: &[192, 0, 2, 2] };
    let mut message = wire::update(1, ZONE, &[], &[record]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let sent = zonule::tsig::sign(&key, &mut message, now).unwrap();
    let send = || {
        let reply = wire::exchange(address, &message, PATIENCE).unwrap().expect("a reply");
        wire::rcode(&sent.verify(&reply, now).unwrap())
    };
    assert_eq!(send(), Some(0));
    assert_eq!(scene.update(&["update delete late.example.org."]).status, "NOERROR");
    assert_eq!(send(), Some(0));
    assert_eq!(scene.server.dig(&["late.example.org", "A"]).unwrap().status, "NXDOMAIN");
    assert_eq!(scene.check().len(), 4);
});

scenario!(serial_left_as_it_was_is_raised, |target| {
    let mut scene = Updating::start(target);
    scene.remote.write(ZONE, zone(1, "; a comment\nnew A 192.0.2.9 ; and another\n")).unwrap();
    scene.remote.push("Add new and forget the serial").unwrap();
    scene.server.until_dig(&["new.example.org", "A"], |reply| reply.answer_data() == ["192.0.2.9"]).unwrap();
    let log = scene.check();
    assert_eq!(log.len(), 3, "{log:#?}");
    assert_eq!(scene.remote.show(ZONE).unwrap(), zone(2, "; a comment\nnew A 192.0.2.9 ; and another\n"));
    let bump = &log[2];
    assert!(bump.subject.starts_with("example.org: "), "{}", bump.subject);
    assert_eq!(bump.changes.len(), 2);
    // What needs no new serial gets none: only the text changes.
    let head = scene.remote.pull().and_then(|()| scene.remote.write(ZONE, zone(2, "new A 192.0.2.9\n")));
    head.unwrap();
    scene.remote.push("Without comments").unwrap();
    scene.add_until_accepted(1);
    assert_eq!(scene.check().len(), 5);
});

scenario!(serial_left_as_it_was_is_an_error_where_that_is_wanted, |target| {
    let mut scene = Updating::with_arguments(target, &["--serial=strict"]);
    scene.remote.write(ZONE, zone(1, "new A 192.0.2.9\n")).unwrap();
    scene.remote.push("Add new and forget the serial").unwrap();
    scene.server.until_console("serial").unwrap();
    let reply = scene.server.dig(&["new.example.org", "A"]).unwrap();
    assert_eq!(reply.status, "NXDOMAIN");
    assert_eq!(scene.remote.log().unwrap().len(), 2);
    scene.remote.write(ZONE, zone(2, "new A 192.0.2.9\n")).unwrap();
    scene.remote.push("Raise it").unwrap();
    scene.server.until_dig(&["new.example.org", "A"], |reply| reply.answer_data() == ["192.0.2.9"]).unwrap();
    assert_eq!(scene.check().len(), 3);
});

scenario!(updates_during_a_push_go_together_in_the_next, |target| {
    const CLIENTS: u32 = 12;
    let mut scene = Updating::with_arguments(target, &["--update-patience=60"]);
    // One line for each push, and the first one waits.
    scene.remote.hook("post-receive", "cat >>pushes").unwrap();
    let gate = scene.remote.gate("pre-receive", "[ -n \"$REMOTE_ADDR\" ]").unwrap();
    thread::scope(|scope| {
        let updating = &scene;
        let first = scope.spawn(move || updating.add(1000));
        gate.until_entered().unwrap();
        let others: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || updating.add(number))).collect();
        // All of them are sent when an answer to a question that was asked later has come: by then they wait.
        zonule_harness::eventually("all clients have sent", || {
            let waiting = || updating.server.dig(&["www.example.org", "A", "+tcp"]).is_ok();
            (0..20).all(|_| waiting()).then_some(())
        })
        .unwrap();
        gate.open().unwrap();
        assert_eq!(first.join().unwrap().status, "NOERROR");
        for other in others {
            let outcome: Outcome = other.join().unwrap();
            assert_eq!(outcome.status, "NOERROR", "{}", outcome.text);
        }
    });
    let log = scene.check();
    assert_eq!(log.len() as u32, 1 + 1 + CLIENTS);
    let pushes = std::fs::read_to_string(scene.sandbox.path().join("zones.git/pushes")).unwrap();
    let pushes = pushes.lines().count();
    assert!(pushes < CLIENTS as usize, "{pushes} pushes for {CLIENTS} updates");
});
