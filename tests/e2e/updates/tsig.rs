//! Only messages signed by a key whose grants cover them change anything (RFC 8945).

use std::time::{SystemTime, UNIX_EPOCH};

use zonule_harness::{Algorithm, Client, Key, Outcome, Request, Target, Transport};

use crate::scene::zone;
use crate::updates::scene::{KEYS, Updating, ZONE};

/// A request that adds a record, sent after `change` had its way.
fn send(scene: &Updating, key: Option<&Key>, change: impl Fn(&mut Request)) -> Outcome {
    let mut request = Request::new(ZONE, &["update add new.example.org. 300 A 192.0.2.1"]);
    request.key(key);
    change(&mut request);
    request.send(scene.server.address()).unwrap().remove(0)
}

/// What a signature's error looks like from outside.
fn error(outcome: &Outcome) -> (&str, Option<&str>) {
    (&outcome.status, outcome.tsig_error.as_deref())
}

/// The seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Asserts that nothing was changed and that no secret of `keys` is on the console.
fn untouched(scene: &mut Updating, keys: &[&Key]) {
    assert_eq!(scene.check().len(), 1);
    let console = scene.server.console();
    for key in keys {
        assert!(!console.contains(&key.secret), "the secret of {} is on the console", key.name);
    }
}

scenario!(every_algorithm_is_understood, |target| {
    let name = |algorithm| format!("{algorithm}._update.{ZONE}");
    let keys = Algorithm::ALL.map(|algorithm| Key::with_algorithm(&name(algorithm), algorithm).unwrap());
    let lines = keys.each_ref().map(Key::line).concat();
    let files = vec![(ZONE.to_owned(), zone(1, "")), (KEYS.to_owned(), lines)];
    let mut scene = Updating::with_files(target, files, keys[0].clone(), &[]);
    for (number, key) in keys.iter().enumerate() {
        for client in Client::ALL {
            let operation = format!("update add {client}{number}.{ZONE}. 300 A 192.0.2.1");
            let by = Transport::ALL[number % 2];
            let outcome = client.update(scene.server.address(), by, Some(key), ZONE, &[&operation]).unwrap();
            assert_eq!(outcome.status, "NOERROR", "{client}, {}: {}", key.algorithm, outcome.text);
        }
    }
    let log = scene.check();
    assert_eq!(log.len(), 1 + 3 * keys.len());
    for (number, key) in keys.iter().enumerate() {
        assert!(log[1 + 3 * number].author.starts_with(&format!("{} <", key.name)), "{}", log[1 + 3 * number].author);
        assert!(!scene.server.console().contains(&key.secret));
    }
});

scenario!(wrong_signatures_change_nothing, |target| {
    let mut scene = Updating::with_arguments(target, &["--log=trace"]);
    let key = scene.key.clone();
    let forged = key.forged().unwrap();
    let stranger = Key::new("stranger._update.example.org").unwrap();
    assert_eq!(send(&scene, None, |_| ()).status, "REFUSED");
    assert_eq!(error(&send(&scene, Some(&forged), |_| ())), ("NOTAUTH", Some("BADSIG")));
    assert_eq!(error(&send(&scene, Some(&stranger), |_| ())), ("NOTAUTH", Some("BADKEY")));
    // The right secret under another algorithm's name, and an algorithm that nobody should use.
    for algorithm in ["hmac-sha512", "hmac-md5.sig-alg.reg.int"] {
        let outcome = send(&scene, Some(&key), |request| {
            request.algorithm(algorithm);
        });
        assert_eq!(error(&outcome), ("NOTAUTH", Some("BADKEY")), "{algorithm}");
    }
    // A clock that is wrong is told what time it is, and that is signed (RFC 8945 §5.2.3).
    for skew in [-3600, 3600] {
        let outcome = send(&scene, Some(&key), |request| {
            request.skew(skew);
        });
        assert_eq!(error(&outcome), ("NOTAUTH", Some("BADTIME")));
        assert!(outcome.signed, "{outcome:?}");
        assert!(outcome.server_time.unwrap().abs_diff(now()) < 300, "{outcome:?}");
    }
    // Less than half of the digest is malformed (§5.2.2.1).
    for octets in [0, 1, 8, 15] {
        let outcome = send(&scene, Some(&key), |request| {
            request.mac(octets);
        });
        assert_ne!(outcome.status, "NOERROR", "{octets} octets of MAC");
    }
    for client in Client::ALL {
        let operations = ["update add new.example.org. 300 A 192.0.2.1"];
        for (key, code) in [(&forged, "BADSIG"), (&stranger, "BADKEY")] {
            let outcome = client.update(scene.server.address(), Transport::Tcp, Some(key), ZONE, &operations).unwrap();
            assert_eq!(error(&outcome), ("NOTAUTH", Some(code)), "{client}: {}", outcome.text);
        }
    }
    untouched(&mut scene, &[&key]);
});

scenario!(grants_end_where_their_names_end, |target| {
    let own = "_acme-challenge.www.example.org";
    let certbot = Key::new(&format!("certbot._update.{own}")).unwrap();
    let transfer = Key::new("192.0.2.53.198.51.100.53._transfer.example.org").unwrap();
    let notify = Key::new("forge._notify.example.org").unwrap();
    let other = Key::new("laptop._update.example.net").unwrap();
    let nothing = Key::new("nothing.example.org").unwrap();
    let keys = [&certbot, &transfer, &notify, &nothing];
    let lines = keys.map(Key::line).concat();
    let files = vec![
        (ZONE.to_owned(), zone(1, "")),
        (KEYS.to_owned(), lines),
        ("example.net".to_owned(), zone(1, "")),
        ("example.net._keys".to_owned(), other.line()),
    ];
    let mut scene = Updating::with_files(target, files, certbot.clone(), &[]);
    let refused = [
        (&certbot, "update add www.example.org. 300 A 192.0.2.1"),
        (&certbot, "update delete example.org. MX"),
        (&certbot, "update add x_acme-challenge.www.example.org. 300 TXT no"),
        (&transfer, "update add new.example.org. 300 A 192.0.2.1"),
        (&notify, "update add new.example.org. 300 A 192.0.2.1"),
        (&other, "update add new.example.org. 300 A 192.0.2.1"),
        (&nothing, "update add nothing.example.org. 300 A 192.0.2.1"),
    ];
    for (key, operation) in refused {
        let outcome = scene.update_with(key, &[operation]);
        assert_eq!(outcome.status, "REFUSED", "{} {operation}: {}", key.name, outcome.text);
        // Not in the company of something allowed, either.
        let allowed = format!("update add {own}. 300 TXT yes");
        assert_eq!(scene.update_with(key, &[&allowed, operation]).status, "REFUSED", "{} {operation}", key.name);
    }
    untouched(&mut scene, &keys);
    for owner in [own.to_owned(), format!("below.{own}"), own.to_uppercase()] {
        let outcome = scene.update_with(&certbot, &[&format!("update add {owner}. 300 TXT \"{owner}\"")]);
        assert_eq!(outcome.status, "NOERROR", "{owner}: {}", outcome.text);
    }
    assert_eq!(scene.check().len(), 4);
});

scenario!(keys_may_come_from_the_arguments, |target| {
    let key = Key::with_algorithm("operator._update.example.org", Algorithm::Sha512).unwrap();
    let files = vec![(ZONE.to_owned(), zone(1, ""))];
    let argument = key.argument();
    let mut scene = Updating::with_files(target, files, key, &[&argument, "--log=trace"]);
    assert_eq!(scene.add(1).status, "NOERROR");
    assert_eq!(scene.check().len(), 2);
    assert!(!scene.server.console().contains(&scene.key.secret));
});

/// The network the clients of the tests come from, as `target` sees it, and one they do not come from.
fn networks(target: &Target) -> (&'static str, &'static str) {
    match target {
        Target::Hosted { .. } => ("127.0.0.0/8", "10.0.2.0/24"),
        Target::Image { .. } => ("10.0.2.0/24", "127.0.0.0/8"),
    }
}

scenario!(clients_from_elsewhere_are_refused, |target| {
    let (_, elsewhere) = networks(target);
    let mut scene = Updating::with_arguments(target, &[&format!("--allow-update=192.0.2.0/24,{elsewhere}")]);
    for by in Transport::ALL {
        let operations = ["update add new.example.org. 300 A 192.0.2.1"];
        let address = scene.server.address();
        let outcome = Client::Nsupdate.update(address, by, Some(&scene.key), ZONE, &operations).unwrap();
        assert_eq!(outcome.status, "REFUSED", "{by:?}: {}", outcome.text);
    }
    let key = scene.key.clone();
    untouched(&mut scene, &[&key]);
});

scenario!(clients_from_there_are_served, |target| {
    let (here, _) = networks(target);
    let mut scene = Updating::with_arguments(target, &[&format!("--allow-update=192.0.2.0/24,{here}")]);
    assert_eq!((scene.add(1).status, scene.add(2).status), ("NOERROR".to_owned(), "NOERROR".to_owned()));
    assert_eq!(scene.check().len(), 3);
});

scenario!(keys_come_and_go_with_commits, |target| {
    let mut scene = Updating::start(target);
    assert_eq!(scene.add(1).status, "NOERROR");
    let (old, new) = (scene.key.clone(), Key::new("desk._update.example.org").unwrap());
    scene.remote.pull().unwrap();
    scene.remote.write(KEYS, new.line()).unwrap();
    scene.remote.push("A new key for an old one").unwrap();
    scene.key = new;
    scene.add_until_accepted(2);
    let outcome = scene.update_with(&old, &["update add old.example.org. 300 A 192.0.2.1"]);
    assert_eq!(error(&outcome), ("NOTAUTH", Some("BADKEY")), "{}", outcome.text);

    // Without the file there is no key.
    scene.remote.pull().unwrap();
    scene.remote.remove(KEYS).unwrap();
    scene.remote.push("No keys").unwrap();
    let address = scene.server.address();
    let key = scene.key.clone();
    let outcome = scene.server.until("the key is gone", |_| {
        let operations = ["prereq nxdomain www.example.org.", "update add www.example.org. 300 A 192.0.2.1"];
        let outcome = Client::Nsupdate.update(address, Transport::Udp, Some(&key), ZONE, &operations).unwrap();
        // REFUSED if the key goes between the signature's examination and the update.
        (!["YXDOMAIN", "REFUSED"].contains(&outcome.status.as_str())).then_some(outcome)
    });
    assert_eq!(error(&outcome.unwrap()), ("NOTAUTH", Some("BADKEY")));
    scene.check();
});

scenario!(key_files_are_not_served, |target| {
    let mut scene = Updating::with_arguments(target, &["--log=trace"]);
    let (key, server) = (scene.key.clone(), &scene.server);
    for name in ["example.org._keys", "_keys", "laptop._update.example.org", "_update.example.org", "_keys.example.org"]
    {
        for kind in ["SOA", "DNSKEY", "ANY", "TXT", "AXFR"] {
            for more in [&["+tcp"][..], &["+notcp"], &["-y", &key.option(), "+tcp"]] {
                // What dig cannot make sense of has no key in it, either.
                let Ok(reply) = server.dig(&[&[name, kind][..], more].concat()) else { continue };
                assert!(reply.answer.is_empty(), "{name} {kind} {more:?}: {reply:#?}");
                assert!(!format!("{reply:?}").contains("DNSKEY 0 3"), "{reply:#?}");
            }
        }
    }
    // No update may make them a zone's, either.
    let address = server.address();
    for zone in ["example.org._keys", "_keys"] {
        let operations =
            [format!("update add {zone}. 300 SOA a. b. 1 2 3 4 5"), format!("update add x.{zone}. 300 A 192.0.2.1")];
        let operations = operations.each_ref().map(String::as_str);
        let outcome = Client::Nsupdate.update(address, Transport::Udp, Some(&key), zone, &operations).unwrap();
        assert_ne!(outcome.status, "NOERROR", "{zone}");
    }
    untouched(&mut scene, &[&key]);
});

scenario!(signed_questions_get_signed_answers, |target| {
    let scene = Updating::start(target);
    for transport in ["+notcp", "+tcp"] {
        // dig fails, or says so, where it cannot verify the answer.
        let key = scene.key.option();
        let text = zonule_harness::run(
            std::process::Command::new("dig")
                .args(["-r", &format!("@{}", scene.server.address().ip()), "-p"])
                .args([&scene.server.address().port().to_string(), "-y", &key, "+norecurse", transport])
                .args(["www.example.org", "A"]),
        )
        .unwrap();
        assert!(text.contains("192.0.2.80"), "{text}");
        assert!(
            text.contains("TSIG PSEUDOSECTION") && !text.contains("WARNING") && !text.contains("Couldn't"),
            "{text}"
        );
    }
});
