//! The remote is not there: at boot, or later.

use std::net::{Ipv4Addr, TcpListener};

use zonule_harness::{Remote, Sandbox};

use crate::scene::{Scene, zone};

scenario!(remote_away_at_boot_is_not_ready_until_it_comes, |target| {
    let sandbox = Sandbox::new("away").unwrap();
    let mut remote = Remote::with_files(sandbox.path(), [("example.org", zone(1, ""))]).unwrap();
    remote.go_away();
    let mut server = target.boot().remote(&remote).start(&sandbox).unwrap();

    // RFC 8914 §4.15: not up to date yet, but trying.
    let reply = server.until_dig(&["www.example.org", "A"], |reply| reply.status == "SERVFAIL").unwrap();
    let code = reply.extended_error.as_deref().unwrap_or("none");
    assert!(code.starts_with("14 (Not Ready)"), "the extended error is {code}");
    let reply = server.dig(&["www.example.org", "A", "+tcp"]).unwrap();
    assert_eq!(reply.status, "SERVFAIL");

    remote.serve().unwrap();
    server.until_serving("example.org").unwrap();
});

scenario!(remote_away_later_keeps_serving_and_catches_up, |target| {
    let Scene { mut server, mut remote, sandbox: _sandbox } = Scene::small(target);
    remote.go_away();
    remote.write("example.org", zone(2, "new A 192.0.2.2\n")).unwrap();
    remote.push("Change while nobody looks").unwrap();

    // It notices on its own, says so, and goes on serving what it has.
    server.until_console("the zones loaded before are served").unwrap();
    let reply = server.dig(&["www.example.org", "A"]).unwrap();
    assert_eq!((reply.status.as_str(), reply.answer_data()), ("NOERROR", vec!["192.0.2.80"]));
    assert_eq!(server.dig(&["new.example.org", "A"]).unwrap().status, "NXDOMAIN");

    remote.serve().unwrap();
    server.until_dig(&["new.example.org", "A"], |reply| reply.answer_data() == ["192.0.2.2"]).unwrap();
});

scenario!(remote_that_says_nothing_is_not_ready_either, |target| {
    let sandbox = Sandbox::new("silent").unwrap();
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let argument = format!("--git-remote=git://{}:{port}/zones.git", target.host());
    let mut server = target.boot().argument(argument).start(&sandbox).unwrap();
    silent.set_nonblocking(true).unwrap();
    let _connection = server.until("a connection to the remote", |_| silent.accept().ok()).unwrap();
    server.until_dig(&["www.example.org", "A"], |reply| reply.status == "SERVFAIL").unwrap();
    server.until_dig(&["www.example.org", "A", "+tcp"], |reply| reply.status == "SERVFAIL").unwrap();
});

scenario!(missing_branch_is_waited_for, |target| {
    let sandbox = Sandbox::new("no-branch").unwrap();
    let remote = Remote::with_files(sandbox.path(), [("example.org", zone(1, ""))]).unwrap();
    let mut server = target.boot().branch(&remote, "later").start(&sandbox).unwrap();
    server.until_dig(&["www.example.org", "A"], |reply| reply.status == "SERVFAIL").unwrap();
    server.until_console("later").unwrap();

    remote.git(&["checkout", "--quiet", "-b", "later"]).unwrap();
    remote.push("Here it is").unwrap();
    server.until_serving("example.org").unwrap();
});
