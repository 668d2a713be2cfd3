//! Files of the repository become zones by documented rules, and what is not served is named.

use std::os::unix::fs::symlink;
use std::process::Command;

use zonule_harness::{Key, Request};

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

scenario!(links_are_served_as_what_they_lead_to_or_are_named, |target| {
    let Scene { mut server, remote, sandbox: _sandbox } = Scene::small(target);
    let clone = remote.clone_path().to_owned();
    let link = |name: &str, to: &str| symlink(to, clone.join(name)).unwrap();
    remote.write("parked/plain", zone(1, "$INCLUDE ways/mail\n")).unwrap();
    remote.write("common/mail", "mail A 192.0.2.25\n").unwrap();
    for (name, to) in [
        ("linked.example", "example.org"),
        ("parked.example", "over.example"),
        ("over.example", "parked/plain"),
        ("ways", "common"),
        ("dangling.example", "nothing"),
        ("circle.example", "circle.example"),
        ("absolute.example", "/etc/passwd"),
        ("outside.example", "../example.org"),
        ("directory.example", "parked"),
        ("secret.example", "example.org._keys"),
    ] {
        link(name, to);
    }
    remote.write("example.org._keys", "").unwrap();
    remote.push("Links").unwrap();
    for zone in ["linked.example", "parked.example", "over.example"] {
        server.until_serving(zone).unwrap();
    }
    assert_eq!(server.dig(&["mail.parked.example", "A"]).unwrap().answer_data(), ["192.0.2.25"]);
    for (zone, reason) in [
        ("dangling", "leads to nothing, which is not there"),
        ("circle", "leads in a circle"),
        ("absolute", "leads out of the repository: /etc/passwd"),
        ("outside", "leads out of the repository"),
        ("directory", "leads to the directory parked"),
        ("secret", "leads to example.org._keys, which is a key file"),
    ] {
        server.until_console(&format!("{zone}.example: the symbolic link {zone}.example {reason}")).unwrap();
        assert_eq!(server.dig(&[&format!("{zone}.example"), "SOA"]).unwrap().status, "SERVFAIL", "{zone}");
    }
    // The linter says the same.
    let mut check = Command::new(env!("CARGO_BIN_EXE_zonule"));
    let said = check.arg("check").arg(&clone).output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    for zone in ["dangling", "circle", "absolute", "outside", "directory", "secret"] {
        assert!(said.contains(&format!("the symbolic link {zone}.example leads ")), "{zone}: {said}");
    }

    // What a link leads to changes, and what it leads to is another.
    remote.write("example.org", zone(2, "new A 192.0.2.2\n")).unwrap();
    std::fs::remove_file(clone.join("over.example")).unwrap();
    link("over.example", "example.net");
    remote.write("example.net", zone(7, "other A 192.0.2.7\n")).unwrap();
    remote.push("Change what links lead to").unwrap();
    for (name, address) in [("new.linked.example", "192.0.2.2"), ("other.parked.example", "192.0.2.7")] {
        server.until_dig(&[name, "A"], |reply| reply.answer_data() == [address]).unwrap();
    }
    remote.remove("example.net").unwrap();
    remote.push("Remove it").unwrap();
    server.until_dig(&["example.net", "SOA"], |reply| reply.status == "REFUSED").unwrap();
    server.until_console("the symbolic link over.example leads to example.net, which is not there").unwrap();
    let reply = server.dig(&["other.parked.example", "A"]).unwrap();
    assert_eq!(reply.answer_data(), ["192.0.2.7"], "the last good version stays");
});

scenario!(what_is_left_behind_in_the_repository_is_named_and_not_served, |target| {
    let Scene { mut server, remote, sandbox: _sandbox } = Scene::small(target);
    let good = zone(1, "");
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let conf = "key \"x\" {\n\talgorithm hmac-sha256;\n\tsecret \"c2VjcmV0LXRleHQ=\";\n};\n".repeat(30);
    let files: [(&str, &[u8], &str); 14] = [
        ("example.org.bak", good.as_bytes(), "looks like a backup copy of example.org"),
        ("example.org.orig", good.as_bytes(), "looks like a copy that a merge or patch left of example.org"),
        ("example.org.rej", b"--- a\n+++ b\n", "looks like what a patch could not change of example.org"),
        ("example.org~", good.as_bytes(), "looks like an editor's backup copy of example.org"),
        ("example.org.jnl", b";BIND LOG V9\n\0\0\x01", "looks like a journal of BIND of example.org"),
        ("example.org.signed", good.as_bytes(), "looks like a signed copy of example.org"),
        (
            "db.example.com",
            b"$ORIGIN example.com.\n@ A 192.0.2.1\nx A 192.0.2.300\n",
            "rename db.example.com to example.com",
        ),
        ("named.conf", conf.as_bytes(), "is a configuration file of another name server"),
        ("tsig", conf.as_bytes(), "this is a configuration file of a name server"),
        ("_KEYS", b"x c2VjcmV0LXRleHQ=\n", "is named like a key file"),
        ("example.org._keys.bak", b"x c2VjcmV0LXRleHQ=\n", "is named like a key file"),
        ("lfs.example", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "this is a pointer of Git LFS"),
        ("wide.example", &utf16, "this is UTF-16 text"),
        ("example.info.gz", b"\x1f\x8b\x08\0\0\0\0\0", "this is a compressed file"),
    ];
    for (path, text, _) in files {
        remote.write(path, text).unwrap();
    }
    remote.write("bom.example", format!("\u{feff}{good}")).unwrap();
    remote.write("alone.bak", &good).unwrap();
    remote.push("Forget to clean up").unwrap();
    for zone in ["bom.example", "alone.bak"] {
        server.until_serving(zone).unwrap();
    }
    let mut check = Command::new(env!("CARGO_BIN_EXE_zonule"));
    let said = check.arg("check").arg(remote.clone_path()).output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    // Another commit, which changes nothing about them.
    remote.write("example.net", zone(2, "")).unwrap();
    remote.push("Something else").unwrap();
    server.until_dig(&["example.net", "SOA"], |reply| reply.answer_data()[0].contains(" 2 7200 ")).unwrap();
    let console = server.console();
    for (path, _, words) in files {
        let lines: Vec<&str> = console.lines().filter(|line| line.contains(&format!(" {path}: "))).collect();
        assert!(lines.len() == 1 && lines[0].contains(words), "{path}: {lines:#?}");
        let line = said.lines().position(|line| line.contains(&format!("/{path}: ")));
        assert!(line.is_some(), "{path}: {said}");
        let about = said.lines().skip(line.unwrap()).take(4).collect::<String>();
        assert!(about.contains(words), "{path}: {about}");
        assert_ne!(server.dig(&[path, "SOA"]).unwrap().status, "NOERROR", "{path}");
    }
    assert_eq!(server.dig(&["example.org.bak", "SOA"]).unwrap().status, "REFUSED");
    assert!(!console.contains("c2VjcmV0") && !said.contains("c2VjcmV0"), "a secret is shown");
});

scenario!(zone_named_by_an_asterisk_is_a_zone_of_its_own, |target| {
    let parent = zone(1, "* A 192.0.2.1\n");
    let apex = zone(7, "x TXT below\n* TXT other\n");
    let operator = Key::new("operator._update").unwrap();
    let files = [
        ("example.org", parent),
        ("*.example.org", apex),
        ("%2A.example.net", zone(3, "")),
        ("a.*.example.com", zone(4, "")),
        ("_keys", operator.line()),
    ];
    let Scene { mut server, remote, sandbox: _sandbox } = Scene::with_files(target, files);
    server.until_serving("*.example.org").unwrap();
    let data = |name: &str, kind: &str| -> Vec<String> {
        server.dig(&[name, kind]).unwrap().answer_data().into_iter().map(str::to_owned).collect()
    };
    assert!(data("*.example.org", "SOA")[0].contains(" 7 7200 "));
    assert_eq!(data("x.*.example.org", "TXT"), ["\"below\""]);
    assert_eq!(data("y.*.example.org", "TXT"), ["\"other\""]);
    // Names that match the asterisk are in the parent, whose own wildcard answers for them.
    assert_eq!(data("y.example.org", "A"), ["192.0.2.1"]);
    assert!(data("y.example.org", "SOA").is_empty());
    assert!(data("*.example.net", "SOA")[0].contains(" 3 7200 "));
    assert_eq!(data("www.a.*.example.com", "A"), ["192.0.2.80"]);
    assert_eq!(server.dig(&["www.a.b.example.com", "A"]).unwrap().status, "REFUSED");
    assert!(!server.console().contains("is delegated"), "an apex is no delegation");

    // An update creates one under a name that every system can have, and removes it.
    let soa = "update add *.example.info. 300 SOA ns1.example.org. hostmaster.example.org. 1 7200 900 1209600 300";
    let lines = [soa, "update add *.example.info. 300 NS ns1.example.org."];
    let mut request = Request::new("*.example.info", &lines);
    let outcome = request.key(Some(&operator)).send(server.address()).unwrap().remove(0);
    assert_eq!(outcome.status, "NOERROR", "{outcome:?}");
    let listed = remote.git_bare(&["ls-tree", "--name-only", "main"]).unwrap();
    assert!(listed.lines().any(|name| name == "%2A.example.info"), "{listed}");
    assert_eq!(server.dig(&["*.example.info", "SOA"]).unwrap().status, "NOERROR");
});
