//! After sleep, reboots, lost notifications and broken connections every secondary catches up, and by differences.

use std::fmt::Write as _;

use zonule_harness::{Algorithm, Form, Make, eventually};

use crate::secondaries::scene::{Leading, ZONE, ballast, zone};

const ALL: [(Make, Algorithm); 4] = [
    (Make::Bind, Algorithm::Sha256),
    (Make::Knot, Algorithm::Sha256),
    (Make::Nsd, Algorithm::Sha256),
    (Make::PowerDns, Algorithm::Sha256),
];

/// Replaces what hosts have been named by hand, so that each commit deletes and adds.
fn rename(text: &mut String, number: u32) {
    let keep = |line: &&str| !line.starts_with(&format!("hand{} ", number.saturating_sub(3)));
    *text = text.lines().filter(keep).fold(String::new(), |text, line| text + line + "\n");
    writeln!(text, "hand{number} A 192.0.2.{}", number % 256).unwrap();
}

scenario!(sleepers_catch_up_by_differences_after_a_reboot_too, |target| {
    let mut scene = Leading::with_zone(target, &ALL, &zone(1, &ballast()), &[], 256);
    let sleep = |scene: &Leading| scene.followers.iter().for_each(|follower| follower.neighbour.sleep().unwrap());
    let wake = |scene: &Leading| scene.followers.iter().for_each(|follower| follower.neighbour.wake().unwrap());

    // Fifty commits, by hand and by updates, each served before the next.
    sleep(&scene);
    scene.way.forget();
    for number in 0..25 {
        let serial = scene.push(|text| rename(text, number));
        scene.until_serial(serial);
        scene.update(&[&format!("update add update{}.{ZONE}. 300 A 192.0.2.1", number % 10)]);
        scene.update(&[&format!("update delete update{}.{ZONE}. A", number % 10)]);
    }
    wake(&scene);
    scene.compare();
    scene.assert_incremental();

    // Fifty commits more, all at once, and then the server knows nothing any more but what git knows.
    sleep(&scene);
    scene.way.forget();
    scene.remote.pull().unwrap();
    let serial = (100..150).fold(0, |_, number| scene.commit(|text| rename(text, number)));
    scene.remote.git(&["push", "--quiet", "origin", "HEAD"]).unwrap();
    scene.until_serial(serial);
    scene.reboot();
    wake(&scene);
    scene.compare();
    scene.assert_incremental();
    scene.server().until_console("found in git's history").unwrap();
});

scenario!(history_is_read_through_links, |target| {
    let text = zone(1, &(ballast() + "$INCLUDE ways/part\n"));
    let mut scene = Leading::with_zone(target, &[], &zone(1, ""), &[], 256);
    let clone = scene.remote.clone_path().to_owned();
    let begin = |text: &str, serial: u32| text.replace("hostmaster 1 ", &format!("hostmaster {serial} "));
    std::fs::remove_file(clone.join(ZONE)).unwrap();
    scene.remote.write("files/whole", begin(&text, 2)).unwrap();
    scene.remote.write("parts/part", "part A 192.0.2.1\n").unwrap();
    std::os::unix::fs::symlink("files/whole", clone.join(ZONE)).unwrap();
    std::os::unix::fs::symlink("parts", clone.join("ways")).unwrap();
    scene.remote.push("Lay links").unwrap();
    scene.until_serial(2);
    for serial in 3..6 {
        scene.remote.write("files/whole", begin(&text, serial)).unwrap();
        scene.remote.write("parts/part", format!("part A 192.0.2.{serial}\n")).unwrap();
        scene.remote.push("Change what they lead to").unwrap();
        scene.until_serial(serial);
    }
    scene.reboot();
    let (address, key) = (scene.server().address(), scene.key.clone());
    let mut command = std::process::Command::new("dig");
    let (ip, port) = (format!("@{}", address.ip()), address.port().to_string());
    command.args(["-r", &ip, "-p", &port, "+noall", "+answer", "+tcp", "-y", &key.option(), ZONE, "IXFR=2"]);
    let differences = zonule_harness::run(&mut command).unwrap();
    scene.server().until_console("found in git's history").unwrap();
    let lines: Vec<&str> = differences.lines().filter(|line| line.contains("part.example.org.")).collect();
    assert!(lines.len() == 2 && lines[0].ends_with("192.0.2.1") && lines[1].ends_with("192.0.2.5"), "{differences}");
});

scenario!(history_has_an_end, |target| {
    let makes = [(Make::Knot, Algorithm::Sha256)];
    let mut scene = Leading::with_zone(target, &makes, &zone(1, &ballast()), &["--git-history=5"], 256);
    scene.followers[0].neighbour.sleep().unwrap();
    scene.way.forget();
    // Each is served: what was not counts for nothing.
    for number in 0..10 {
        let serial = scene.push(|text| rename(text, number));
        scene.until_serial(serial);
    }
    scene.reboot();
    scene.followers[0].neighbour.wake().unwrap();
    scene.compare();
    assert_eq!(scene.way.transfers(ZONE), [Form::Whole]);
});

scenario!(lost_notifications_are_sent_again, |target| {
    let mut scene = Leading::start(target, &ALL);
    for follower in &scene.followers {
        follower.way.forget();
        follower.way.lose_notifications(2);
    }
    let serial = scene.push(|text| text.push_str("new A 192.0.2.2\n"));
    scene.until_followed(serial);
    for follower in &scene.followers {
        let make = follower.neighbour.make();
        let passed = follower.way.notifications(ZONE);
        assert_eq!(passed.iter().filter(|passed| passed.lost).count(), 2, "{make}");
        let arrived: Vec<_> = passed.iter().filter(|passed| !passed.lost).collect();
        assert!(!arrived.is_empty(), "{make}");
        // It is acknowledged, and that is the end of it: the next one tells of the next change.
        let acknowledged = || follower.way.notifications(ZONE).iter().any(|passed| passed.form == Form::Single);
        eventually("an acknowledgement", || acknowledged().then_some(())).unwrap();
        follower.way.forget();
    }
    let serial = scene.push(|text| text.push_str("newer A 192.0.2.3\n"));
    scene.until_followed(serial);
    scene.compare();
    for follower in &scene.followers {
        assert_eq!(follower.way.notifications(ZONE).len(), 1, "{}", follower.neighbour.make());
    }
});

scenario!(storms_make_few_notifications, |target| {
    const UPDATES: usize = 60;
    let mut scene = Leading::start(target, &[(Make::Knot, Algorithm::Sha256)]);
    let address = scene.server().address();
    scene.followers[0].way.forget();
    // Many clients at once: many of their changes go together in one push, and each has a serial of its own.
    std::thread::scope(|scope| {
        for client in 0..6 {
            let key = &scene.key;
            scope.spawn(move || {
                for number in 0..UPDATES / 6 {
                    let operation = format!("update add s{client}-{number}.{ZONE}. 300 A 192.0.2.1");
                    let by = zonule_harness::Transport::Udp;
                    let outcome = zonule_harness::Client::Nsupdate.update(address, by, Some(key), ZONE, &[&operation]);
                    assert_eq!(outcome.unwrap().status, "NOERROR");
                }
            });
        }
    });
    let records = scene.compare();
    assert_eq!(records.len(), 5 + UPDATES);
    let notifications = scene.followers[0].way.notifications(ZONE).len();
    assert!(notifications < UPDATES / 2, "{notifications} notifications for {UPDATES} updates");
});

scenario!(broken_connections_leave_the_old_zone_and_heal, |target| {
    let mut scene = Leading::start(target, &ALL);
    scene.way.forget();
    // Enough for several messages' worth of octets, and cut off in the middle.
    let hosts: String = (0..3000).map(|number| format!("h{number} TXT \"some text of host {number}\"\n")).collect();
    scene.way.cut_after(30_000, 6);
    let serial = scene.push(|text| text.push_str(&hosts));
    scene.until_serial(serial);
    let way = &scene.way;
    let followers = &scene.followers;
    eventually("all cuts are made", || {
        // Until then nobody has got it whole, but for those who came late.
        let cuts = way.cuts_left();
        let new = followers.iter().filter(|follower| follower.neighbour.serial(ZONE) == Some(serial)).count();
        let whole = way.passed().iter().filter(|passed| passed.octets > 100_000).count();
        assert!(new <= whole, "{new} servers have it, {whole} whole transfers were made, {cuts} are still to be cut");
        (cuts == 0).then_some(())
    })
    .unwrap();
    // The next change is followed as ever; PowerDNS, which does not try again before the next refresh, gets all of it then.
    let serial = scene.push(|text| text.push_str("new A 192.0.2.2\n"));
    scene.until_followed(serial);
    assert_eq!(scene.compare().len(), 5 + 3000 + 1);
});

scenario!(server_away_is_found_again, |target| {
    let mut scene = Leading::start(target, &ALL);
    scene.followers.iter().for_each(|follower| follower.way.forget());
    scene.way.set_closed(true);
    let serial = scene.push(|text| text.push_str("new A 192.0.2.2\n"));
    scene.until_serial(serial);
    for follower in &scene.followers {
        // It is told, cannot come, and serves on what it has.
        eventually("a notification", || (!follower.way.notifications(ZONE).is_empty()).then_some(())).unwrap();
        assert_eq!(follower.neighbour.serial(ZONE), Some(1));
    }
    scene.way.set_closed(false);
    scene.compare();
});
