//! A push changes the answers without a restart, and a broken zone keeps its last good version.

use crate::scene::{Scene, zone};

scenario!(push_changes_the_answer_without_a_restart, |target| {
    let Scene { mut server, remote, sandbox: _sandbox } = Scene::small(target);
    assert_eq!(server.dig(&["new.example.org", "A"]).unwrap().status, "NXDOMAIN");
    let process = server.process_id();

    // Many rounds, so that the fetches build on each other.
    for serial in 2..6 {
        remote.write("example.org", zone(serial, &format!("new A 192.0.2.{serial}\n"))).unwrap();
        remote.push(&format!("Move new to .{serial}")).unwrap();
        let expected = format!("192.0.2.{serial}");
        server.until_dig(&["new.example.org", "A"], |reply| reply.answer_data() == [&expected]).unwrap();
    }
    assert_eq!(server.process_id(), process);
    // Each change is on the console with the old and the new serial.
    let console = server.console();
    let told = console.lines().any(|line| line.contains("example.org") && line.contains('4') && line.contains('5'));
    assert!(told, "no line tells of the change from serial 4 to 5");
});

scenario!(rewritten_history_is_followed, |target| {
    let Scene { mut server, remote, sandbox: _sandbox } = Scene::small(target);
    remote.write("example.org", zone(3, "rewritten A 192.0.2.9\n")).unwrap();
    remote.git(&["commit", "--quiet", "--all", "--amend", "--message", "Begin differently"]).unwrap();
    remote.git(&["push", "--quiet", "--force", "origin", "HEAD"]).unwrap();
    server.until_dig(&["rewritten.example.org", "A"], |reply| reply.answer_data() == ["192.0.2.9"]).unwrap();
});

scenario!(broken_zone_keeps_its_last_good_version_until_repaired, |target| {
    let Scene { mut server, remote, sandbox: _sandbox } = Scene::small(target);

    // One commit breaks example.org and changes example.net.
    remote.write("example.org", zone(2, "new A 192.0.2.2\nbroken A 192.0.2.300\n")).unwrap();
    remote.write("example.net", zone(2, "new A 192.0.2.2\n")).unwrap();
    remote.push("Break one, change the other").unwrap();
    server.until_dig(&["new.example.net", "A"], |reply| reply.answer_data() == ["192.0.2.2"]).unwrap();
    server.until_console("example.org:7").unwrap();
    let reply = server.dig(&["www.example.org", "A"]).unwrap();
    assert_eq!((reply.status.as_str(), reply.answer_data()), ("NOERROR", vec!["192.0.2.80"]));
    assert_eq!(server.dig(&["new.example.org", "A"]).unwrap().status, "NXDOMAIN");

    remote.write("example.org", zone(3, "new A 192.0.2.3\n")).unwrap();
    remote.push("Repair it").unwrap();
    server.until_dig(&["new.example.org", "A"], |reply| reply.answer_data() == ["192.0.2.3"]).unwrap();
});

scenario!(zones_come_and_go, |target| {
    let Scene { mut server, remote, sandbox: _sandbox } = Scene::small(target);
    assert_eq!(server.dig(&["www.example.com", "A"]).unwrap().status, "REFUSED");

    remote.write("example.com", zone(1, "")).unwrap();
    remote.push("Add example.com").unwrap();
    server.until_serving("example.com").unwrap();

    remote.remove("example.com").unwrap();
    remote.push("Remove example.com").unwrap();
    server.until_dig(&["www.example.com", "A"], |reply| reply.status == "REFUSED").unwrap();
    server.until_serving("example.org").unwrap();
});
