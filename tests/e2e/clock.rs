//! A wrong clock is reported, and corrected once a time server answers.

use std::path::Path;

use zonule_harness::{Client, Console, Key, Port, Process, Remote, Sandbox, Server, Transport};

use crate::scene::{image, zone};
use crate::updates::scene::{KEYS, ZONE};

/// Starts a time server that believes this machine's clock, for anybody.
fn chronyd(sandbox: &Sandbox, port: &Port) -> Process {
    let path = sandbox.path().join("chrony.conf");
    let text = format!(
        "local stratum 8\nallow all\nport {}\nbindaddress 127.0.0.1\ncmdport 0\nbindcmdaddress /\npidfile {}\n",
        port.number(),
        sandbox.path().join("chronyd.pid").display()
    );
    std::fs::write(&path, text).unwrap();
    // Nothing that it might set is set, and root is not asked for.
    let arguments = ["-x", "-U", "-d", "-u", &user(), "-f", &path.display().to_string()].map(String::from);
    Process::start(Path::new("chronyd"), &arguments, Console::File(sandbox.path().join("chronyd.log"))).unwrap()
}

/// The name of who runs this.
fn user() -> String {
    zonule_harness::run(std::process::Command::new("id").arg("-un")).unwrap().trim().to_owned()
}

/// What an update's client is told: the status and the error of its signature.
fn update(server: &Server, key: &Key, number: u32) -> (String, Option<String>) {
    let operation = format!("update add u{number}.{ZONE}. 300 TXT \"{number}\"");
    let outcome = Client::Nsupdate.update(server.address(), Transport::Udp, Some(key), ZONE, &[&operation]).unwrap();
    (outcome.status, outcome.tsig_error)
}

#[test]
fn a_wrong_clock_and_a_missing_resolver_are_told() {
    let sandbox = Sandbox::new("clock").unwrap();
    let boot = image().boot().clock("2001-01-01T00:00:00").argument("--git-remote=git://git.example.test/zones");
    let mut server = boot.start(&sandbox).unwrap();
    server.until_console("cannot look up git.example.test: no resolver is known; give --resolver=ADDR").unwrap();
    let console = server.console();
    let told = "the clock is wrong: it shows a past time; with that, TLS certificates are \"not yet valid\" and signed \
                updates and transfers fail with BADTIME; give the machine a clock, or --ntp=ADDR";
    assert!(console.contains(told), "{console}");
}

#[test]
fn a_time_server_makes_the_clock_right() {
    let sandbox = Sandbox::new("clock").unwrap();
    let key = Key::new("laptop._update.example.org").unwrap();
    let remote = Remote::with_files(sandbox.path(), [(ZONE, zone(1, "")), (KEYS, key.line())]).unwrap();
    let port = Port::new();
    let target = image();
    let boot = target.boot().remote(&remote).clock("2001-01-01T00:00:00");
    let mut server = boot.argument(format!("--ntp={}:{}", target.host(), port.number())).start(&sandbox).unwrap();
    // Nobody tells the time yet: the server serves, but believes no signature.
    server.until_console("no --ntp server has told the time within 10s; going on with a wrong clock").unwrap();
    server.until_serving(ZONE).unwrap();
    assert_eq!(update(&server, &key, 1), ("NOTAUTH".to_owned(), Some("BADTIME".to_owned())));
    assert!(server.console().contains("asking the --ntp servers"), "{}", server.console());

    let time = chronyd(&sandbox, &port);
    server
        .until_console(&format!("from {} port {}, stratum 8", target.host(), port.number()))
        .unwrap_or_else(|error| panic!("{error}; the time server says: {}", time.printed()));
    assert!(server.console().contains("the clock was corrected by +"), "{}", server.console());
    let what = "a signed update is accepted";
    zonule_harness::eventually(what, || (update(&server, &key, 2).0 == "NOERROR").then_some(())).unwrap();
}
