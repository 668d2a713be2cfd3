//! How files of the repository become zones.

use crate::scene::{Scene, zone};

scenario!(included_file_that_changes_changes_the_zone, |target| {
    let main = zone(1, "$INCLUDE hosts.inc\n$GENERATE 1-200 dhcp-$ A 10.1.0.$\n");
    let Scene { mut server, remote, sandbox: _sandbox } =
        Scene::with_files(target, [("example.org", main), ("hosts.inc", "printer A 192.0.2.1\n".to_owned())]);
    server.until_serving("example.org").unwrap();
    for (name, address) in [("printer", "192.0.2.1"), ("dhcp-1", "10.1.0.1"), ("dhcp-200", "10.1.0.200")] {
        let reply = server.dig(&[&format!("{name}.example.org"), "A"]).unwrap();
        assert_eq!(reply.answer_data(), [address], "{name}");
    }
    assert_eq!(server.dig(&["hosts.inc", "SOA"]).unwrap().status, "REFUSED");

    remote.write("hosts.inc", "printer A 192.0.2.2\n").unwrap();
    remote.push("Move the printer").unwrap();
    server.until_dig(&["printer.example.org", "A"], |reply| reply.answer_data() == ["192.0.2.2"]).unwrap();
    // The zone's own file did not change, so neither did the serial, which the server then raises there.
    server.until_console("its serial went 1 -> 1").unwrap();
    server.until_dig(&["example.org", "SOA"], |reply| reply.answer_data()[0].contains(" 2 7200 ")).unwrap();
    remote.git(&["pull", "--quiet", "--rebase"]).unwrap();

    remote.remove("hosts.inc").unwrap();
    remote.push("Lose the file").unwrap();
    server.until_console("example.org:6:10: error").unwrap();
    assert_eq!(server.dig(&["printer.example.org", "A"]).unwrap().answer_data(), ["192.0.2.2"]);
});

scenario!(zone_in_two_files_keeps_what_was_good_and_one_renamed_goes_on, |target| {
    let Scene { mut server, remote, sandbox: _sandbox } = Scene::small(target);
    remote.write("example.org.zone", zone(2, "second A 192.0.2.2\n")).unwrap();
    remote.push("The same zone twice").unwrap();
    server.until_console("all name the zone example.org.").unwrap();
    assert_eq!(server.dig(&["www.example.org", "A"]).unwrap().answer_data(), ["192.0.2.80"]);
    assert_eq!(server.dig(&["second.example.org", "A"]).unwrap().status, "NXDOMAIN");

    remote.remove("example.org").unwrap();
    remote.push("Only the new name").unwrap();
    server.until_dig(&["second.example.org", "A"], |reply| reply.answer_data() == ["192.0.2.2"]).unwrap();
});

scenario!(parent_and_child_are_each_served_from_their_own_file, |target| {
    let parent = zone(1, "child NS ns1.child\nns1.child A 192.0.2.54\nbelow.child TXT hidden\n");
    let child = zone(7, "below TXT seen\n");
    let Scene { mut server, remote, sandbox: _sandbox } =
        Scene::with_files(target, [("example.org", parent), ("child.example.org", child)]);
    server.until_serving("example.org").unwrap();
    server.until_serving("child.example.org").unwrap();
    assert_eq!(server.dig(&["below.child.example.org", "TXT"]).unwrap().answer_data(), ["\"seen\""]);

    // Without the child's file the parent refers to the child's servers.
    remote.remove("child.example.org").unwrap();
    remote.push("The child moves out").unwrap();
    let referral = |reply: &zonule_harness::Reply| reply.status == "NOERROR" && !reply.has_flag("aa");
    let reply = server.until_dig(&["below.child.example.org", "TXT"], referral).unwrap();
    assert!(reply.answer.is_empty(), "{reply:?}");
});
