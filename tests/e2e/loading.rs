//! Zones of the configured branch are cloned, checked and served; wrong files and arguments are named.

use zonule_harness::{Remote, Sandbox, Server, Target, workspace};

use crate::scene::{Scene, zone};

/// What the example zones must answer: the question, the status, and the data of the answer in any order.
const EXAMPLES: &[(&[&str], &str, &[&str])] = &[
    (&["example.org", "A"], "NOERROR", &["192.0.2.80"]),
    (&["www.example.org", "AAAA"], "NOERROR", &["2001:db8::80"]),
    (&["WWW.Example.ORG", "A"], "NOERROR", &["192.0.2.80"]),
    (&["example.org", "MX"], "NOERROR", &["10 mail.example.org.", "20 backup.example.net."]),
    (&["example.org", "NS"], "NOERROR", &["ns1.example.org.", "ns2.example.org."]),
    (&["example.org", "TXT"], "NOERROR", &["\"v=spf1 mx ip4:192.0.2.25 -all\""]),
    (
        &["example.org", "CAA"],
        "NOERROR",
        &["0 issue \"ca.example.net\"", "0 issuewild \";\"", "0 iodef \"mailto:security@example.org\""],
    ),
    // A CNAME, followed within the zone; and a chain of two through another zone of ours.
    (&["docs.example.org", "A"], "NOERROR", &["www.example.org.", "192.0.2.80"]),
    (
        &["status.example.org", "A"],
        "NOERROR",
        &["status.example.net.", "www.example.net.", "example.net.", "198.51.100.80"],
    ),
    // A CNAME that leaves our zones: the client goes on from there.
    (&["shop.example.net", "A"], "NOERROR", &["shops.example.com."]),
    (&["any.thing.apps.example.org", "A"], "NOERROR", &["192.0.2.81"]),
    (&["_imap._tcp.example.org", "SRV"], "NOERROR", &["0 0 0 ."]),
    (
        &["_xmpp-client._tcp.example.org", "SRV"],
        "NOERROR",
        &["5 0 5222 chat.example.org.", "10 0 5222 chat2.example.org."],
    ),
    (
        &["bastion.example.org", "SSHFP"],
        "NOERROR",
        &["4 2 123456789ABCDEF67890123456789ABCDEF67890123456789ABCDEF1 23456789"],
    ),
    // The child is served from here, too.
    (&["printer.sub.example.org", "TXT"], "NOERROR", &["\"second floor\" \"beside the coffee\""]),
    (&["80.2.0.192.in-addr.arpa", "PTR"], "NOERROR", &["www.example.org."]),
    (&["-x", "2001:db8::25"], "NOERROR", &["mail.example.org."]),
    // NODATA: the name is there, the type is not; below it lies another name; the wildcard lacks the type.
    (&["www.example.org", "MX"], "NOERROR", &[]),
    (&["_tcp.example.org", "A"], "NOERROR", &[]),
    (&["thing.apps.example.org", "MX"], "NOERROR", &[]),
    (&["nothing.example.org", "A"], "NXDOMAIN", &[]),
    (&["www.example.com", "A"], "REFUSED", &[]),
    (&["laptop._update.example.org", "DNSKEY"], "NXDOMAIN", &[]),
];

scenario!(example_zones_are_cloned_and_answered, |target| {
    let sandbox = Sandbox::new("examples").unwrap();
    let remote = Remote::with_directory(sandbox.path(), &workspace().join("zones-example")).unwrap();
    let mut server = target.boot().remote(&remote).start(&sandbox).unwrap();
    server.until_serving("example.org").unwrap();

    for (question, status, data) in EXAMPLES {
        for transport in ["+notcp", "+tcp"] {
            let reply = server.dig(&[question, [transport].as_slice()].concat()).unwrap();
            let mut expected = data.to_vec();
            let mut actual = reply.answer_data();
            expected.sort_unstable();
            actual.sort_unstable();
            assert_eq!((reply.status.as_str(), actual), (*status, expected), "{question:?} {transport}");
            // A denial carries the SOA, for as long as it may be remembered (RFC 2308 §3).
            if *status == "NXDOMAIN" || (*status == "NOERROR" && data.is_empty()) {
                assert!(reply.has_flag("aa"), "{question:?}");
                assert!(reply.authority.iter().any(|record| record.contains(" SOA ")), "{question:?}: {reply:?}");
            }
        }
    }

    // A delegation: no authority, the child's servers and their addresses (RFC 1034 §4.3.2 step 3b).
    let reply = server.dig(&["www.lab.example.org", "A"]).unwrap();
    assert_eq!((reply.status.as_str(), reply.has_flag("aa")), ("NOERROR", false));
    assert!(reply.answer.is_empty());
    assert_eq!(reply.authority.len(), 2, "{reply:?}");
    assert!(reply.additional.contains(&"ns1.lab.example.org. 3600 IN A 203.0.113.53".to_owned()), "{reply:?}");
});

scenario!(branch_is_selected_by_the_fragment, |target| {
    let sandbox = Sandbox::new("branch").unwrap();
    let remote = Remote::with_files(sandbox.path(), [("example.org", zone(1, ""))]).unwrap();
    remote.git(&["checkout", "--quiet", "-b", "staging"]).unwrap();
    remote.write("example.org", zone(2, "new A 192.0.2.7\n")).unwrap();
    remote.push("For staging only").unwrap();

    let mut server = target.boot().branch(&remote, "staging").start(&sandbox).unwrap();
    server.until_serving("example.org").unwrap();
    assert_eq!(addresses(&server, "new.example.org"), ["192.0.2.7"]);
    drop(server);

    let mut server = target.boot().remote(&remote).start(&sandbox).unwrap();
    server.until_serving("example.org").unwrap();
    assert_eq!(server.dig(&["new.example.org", "A"]).unwrap().status, "NXDOMAIN");
});

scenario!(zone_broken_from_the_beginning_is_servfail_and_others_are_served, |target| {
    let files = [("example.org", zone(1, "")), ("example.net", zone(1, "oops A not-an-address\n"))];
    let mut scene = Scene::with_files(target, files);
    scene.server.until_serving("example.org").unwrap();
    let reply = scene.server.dig(&["www.example.net", "A"]).unwrap();
    assert_eq!(reply.status, "SERVFAIL", "{reply:?}");
    scene.server.until_console("example.net:6").unwrap();
});

scenario!(files_that_are_no_zones_are_left_alone, |target| {
    let files = [
        ("example.org", zone(1, "")),
        ("README.md", "# Our zones\n\nNot a zone: 1 2 3.\n".to_owned()),
        (".gitignore", "*.swp\n".to_owned()),
        ("LICENSE", "Do as you like.\n".to_owned()),
        (
            "example.org._keys",
            "k._update.example.org. DNSKEY 0 3 163 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n".to_owned(),
        ),
    ];
    let mut scene = Scene::with_files(target, files);
    scene.server.until_serving("example.org").unwrap();
    assert_eq!(addresses(&scene.server, "www.example.org"), ["192.0.2.80"]);
    // Keys are secrets: neither served nor printed.
    assert_eq!(scene.server.dig(&["k._update.example.org", "DNSKEY"]).unwrap().status, "NXDOMAIN");
    assert!(!scene.server.console().contains("AAECAwQF"), "a secret on the console");
});

/// The addresses of `name`.
fn addresses(server: &Server, name: &str) -> Vec<String> {
    server.dig(&[name, "A"]).unwrap().answer_data().into_iter().map(str::to_owned).collect()
}

#[test]
fn help_lists_the_arguments() {
    let Target::Hosted { binary } = crate::scene::hosted() else { unreachable!("hosted") };
    let text = zonule_harness::run(std::process::Command::new(binary).arg("--help")).unwrap();
    for argument in ["--git-remote", "--git-poll", "--log", "--listen", "--help"] {
        assert!(text.contains(argument), "{argument} in\n{text}");
    }
}

#[test]
fn wrong_argument_is_named_and_ends_the_linux_binary() {
    let sandbox = Sandbox::new("wrong-argument").unwrap();
    let mut server = crate::scene::hosted().boot().argument("--git-pol=1").start(&sandbox).unwrap();
    let status = server.until_ended().unwrap();
    assert_eq!(status.code(), Some(2));
    let console = server.console();
    assert!(console.contains("--git-pol") && console.contains("--git-poll"), "no hint in: {console}");
}
