//! A remote behind OpenSSH is followed and updated once it accepts our key; without a pinned host key it is not trusted.

use std::process::Command;

use zonule_harness::{Boot, Client, Key, Remote, Sandbox, Server, Sshd, Target, Transport, run};

use crate::scene::zone;
use crate::updates::scene::{KEYS, ZONE};

/// Whom the wrong fingerprint belongs to, nobody knows.
const WRONG: &str = "SHA256:O1va5lM7NcnY41WlIJBjDAoN3k9qNKGZLj5BlPvD9+A";

/// Makes a key as an operator would, and returns its line for `authorized_keys` and the boot argument.
fn keygen() -> (String, String) {
    let printed =
        run(Command::new(env!("CARGO_BIN_EXE_zonule")).args(["keygen", "--comment=ns1.example.org"])).unwrap();
    let [public, argument] = printed.lines().collect::<Vec<_>>().try_into().expect("two lines");
    (public.to_owned(), argument.to_owned())
}

/// A remote that an ssh server serves, and a key for the zone.
struct Far {
    remote: Remote,
    sshd: Sshd,
    sandbox: Sandbox,
    key: Key,
}

impl Far {
    fn start() -> Far {
        let sandbox = Sandbox::new("ssh").unwrap();
        let key = Key::new("laptop._update.example.org").unwrap();
        let files = [(ZONE.to_owned(), zone(1, "")), (KEYS.to_owned(), key.line())];
        let mut remote = Remote::with_files(sandbox.path(), files).unwrap();
        // There is no other way to it.
        remote.go_away();
        let sshd = Sshd::start(sandbox.path(), "").unwrap();
        Far { remote, sshd, sandbox, key }
    }

    fn boot(&self, target: &Target, arguments: &[&str]) -> Server {
        let url = self.sshd.url(target.host(), &self.sandbox.path().join("zones.git"));
        let boot = target.boot().argument(format!("--git-remote={url}")).argument("--git-poll=1");
        arguments.iter().fold(boot, |boot, argument| Boot::argument(boot, *argument)).start(&self.sandbox).unwrap()
    }
}

scenario!(fetches_follows_and_pushes_once_it_is_let_in, |target| {
    let mut far = Far::start();
    let (public, argument) = keygen();
    let pin = format!("--git-ssh-host-key={}", far.sshd.host_key().unwrap().trim().replacen(' ', ":", 1));
    let pin = pin.split(' ').next().unwrap();
    let mut server = far.boot(target, &[&argument, pin, "--rate-limit=off"]);

    // It tells what it needs, and gets on by itself when it has it.
    let line = public.strip_suffix(" ns1.example.org").unwrap();
    let user = far.sshd.user();
    server
        .until_console(&format!(
            "the ssh server rejected our key for user {user}: add this line to its authorized_keys, or to the forge's \
             deploy keys: {line}"
        ))
        .unwrap();
    far.sshd.let_in(&[&public]).unwrap();
    server.until_serving(ZONE).unwrap();

    // A push of a person's is followed, and an update becomes one.
    far.remote.write(ZONE, zone(2, "new A 192.0.2.2\n")).unwrap();
    far.remote.push("Add new").unwrap();
    server.until_dig(&["new.example.org", "A"], |reply| reply.answer_data() == ["192.0.2.2"]).unwrap();
    let address = server.address();
    let update = |name: &str| {
        let operation = format!("update add {name}.example.org. 60 A 192.0.2.3");
        Client::Nsupdate.update(address, Transport::Udp, Some(&far.key), ZONE, &[&operation]).unwrap()
    };
    let outcome = update("updated");
    assert_eq!(outcome.status, "NOERROR", "{}", outcome.text);
    assert_eq!(server.dig(&["updated.example.org", "A"]).unwrap().answer_data(), ["192.0.2.3"]);
    assert!(far.remote.show(ZONE).unwrap().ends_with("new A 192.0.2.2\nupdated 60 A 192.0.2.3\n"));
    assert_eq!(far.remote.fsck().unwrap(), "");

    // The server may be another one now: nothing is taken from it, nothing given to it, and answers go on.
    let before = far.sshd.fingerprint().unwrap();
    far.sshd.replace_host_key().unwrap();
    let after = far.sshd.fingerprint().unwrap();
    server
        .until_console(&format!(
            "the ssh server may be an impostor: its host key is {after}, --git-ssh-host-key expects {before}"
        ))
        .unwrap();
    let outcome = update("lost");
    assert_eq!(outcome.status, "SERVFAIL", "{}", outcome.text);
    assert_eq!(server.dig(&["updated.example.org", "A"]).unwrap().answer_data(), ["192.0.2.3"]);
    assert!(!far.sshd.log().contains("Accepted publickey"), "{}", far.sshd.log());

    // The secret is told nowhere.
    let secret = argument.split_once("ed25519:").unwrap().1;
    assert!(!server.console().contains(secret));
});

scenario!(a_server_without_a_pin_is_told_of_and_not_believed, |target| {
    let far = Far::start();
    let (public, argument) = keygen();
    far.sshd.let_in(&[&public]).unwrap();
    let mut server = far.boot(target, &[&argument]);
    let seen = far.sshd.fingerprint().unwrap();
    server
        .until_console(&format!(
            "the ssh server cannot be authenticated: its host key is {seen}; if that is right, give \
             --git-ssh-host-key={seen}"
        ))
        .unwrap();
    assert!(!far.sshd.log().contains("Accepted publickey"), "{}", far.sshd.log());
});

#[test]
fn any_of_several_host_keys_will_do() {
    let far = Far::start();
    let (public, argument) = keygen();
    far.sshd.let_in(&[&public]).unwrap();
    for pin in [format!("{WRONG},{}", far.sshd.fingerprint().unwrap()), "any".to_owned()] {
        let mut server = far.boot(&crate::scene::hosted(), &[&argument, &format!("--git-ssh-host-key={pin}")]);
        server.until_serving(ZONE).unwrap();
    }
}
