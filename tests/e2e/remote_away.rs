//! A remote that cannot be reached is retried: nothing is ready before the first clone, and later zones stay served.

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

scenario!(name_that_is_no_branch_is_answered_with_the_right_one, |target| {
    let sandbox = Sandbox::new("hint").unwrap();
    let remote = Remote::with_files(sandbox.path(), [("example.org", zone(1, ""))]).unwrap();
    remote.git(&["tag", "v1"]).unwrap();
    remote.git(&["push", "--quiet", "origin", "v1"]).unwrap();
    for (branch, hint) in [
        ("v1", "branch v1 does not exist at the remote, which has: main; v1 is a tag: write #refs/tags/v1"),
        ("origin/main", "which has: main; write #main"),
        ("HEAD", "HEAD points to main: write #main"),
    ] {
        let mut server = target.boot().branch(&remote, branch).start(&sandbox).unwrap();
        server.until_console(hint).unwrap();
    }
});

scenario!(branch_that_is_deleted_is_not_called_an_empty_repository, |target| {
    let sandbox = Sandbox::new("deleted").unwrap();
    let remote = Remote::with_files(sandbox.path(), [("example.org", zone(1, ""))]).unwrap();
    let mut server = target.boot().branch(&remote, "main").start(&sandbox).unwrap();
    server.until_serving("example.org").unwrap();
    let head = remote.git_bare(&["rev-parse", "main"]).unwrap();
    remote.git_bare(&["update-ref", "-d", "refs/heads/main"]).unwrap();
    let deleted = "branch main was deleted at the remote, which has no branches";
    server.until_console(deleted).unwrap();
    assert_eq!(server.dig(&["www.example.org", "A"]).unwrap().answer_data(), ["192.0.2.80"]);
    assert!(!server.console().contains("is empty"), "{}", server.console());
    // After a boot the record of what was served tells.
    drop(server);
    let mut server = target.boot().branch(&remote, "main").start(&sandbox).unwrap();
    server.until_console(deleted).unwrap();
    remote.git_bare(&["update-ref", "refs/heads/main", head.trim()]).unwrap();
    server.until_serving("example.org").unwrap();
    server.until_console("answers again after ").unwrap();
});
