//! A push is checked by the hooks before it is accepted, and the servers that are notified serve it without polling.
//!
//! The servers here look at their remote once a day, so that what they learn they learn from a notification.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Instant;

use zonule_harness::{Key, Port, Remote, Sandbox, Server, Target, git, run, workspace};

use crate::scene::zone;

/// Builds the hooks' program, once, and returns where it is.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        run(Command::new(cargo).current_dir(workspace()).args(["build", "--quiet", "--package", "zonule-hook"]))
            .unwrap();
        workspace().join("target/debug/zonule-hook")
    });
    &PROGRAM
}

/// A server that looks at its remote once a day, the remote with its hooks, and their directory.
struct Scene {
    server: Server,
    remote: Remote,
    sandbox: Sandbox,
}

impl Scene {
    /// Starts `target`, with `arguments`, on a remote that holds `example.org` and `example.net` and the keys' file.
    fn start(target: &Target, keys: &[&Key], arguments: &[&str]) -> Scene {
        let sandbox = Sandbox::new("hooks").unwrap();
        let lines: String = keys.iter().map(|key| key.line()).collect();
        let files = [("example.org", zone(1, "")), ("example.net", zone(1, "")), ("_keys", lines)];
        let remote = Remote::with_files(sandbox.path(), files).unwrap();
        remote.git(&["remote", "set-url", "origin", &remote.url("127.0.0.1")]).unwrap();
        let bare = sandbox.path().join("zones.git");
        run(Command::new(program()).arg("install").arg(bare)).unwrap();
        let url = remote.url(target.host());
        let mut server = start(target, &url, arguments, &sandbox);
        server.until_serving("example.org").unwrap();
        remote.git_bare(&["config", "--add", "zonule.notify", &server.address().to_string()]).unwrap();
        // The image is emulated, and others run beside it.
        remote.git_bare(&["config", "zonule.patience", "60"]).unwrap();
        Scene { server, remote, sandbox }
    }

    /// Has the hooks sign with `key`.
    fn sign(&self, key: &Key) {
        let Key { name, algorithm, secret } = key;
        self.remote.git_bare(&["config", "zonule.key", &format!("{name}:{algorithm}:{secret}")]).unwrap();
    }

    /// Commits all and pushes; returns what git and the hooks said.
    fn push(&self, options: &[&str]) -> (bool, String) {
        self.remote.git(&["add", "--all"]).unwrap();
        self.remote.git(&["commit", "--quiet", "--allow-empty", "--message", "Change"]).unwrap();
        let output = git(self.remote.clone_path()).arg("push").args(options).args(["origin", "HEAD"]).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Pushes, which must go well, and returns what the hooks said.
    fn pushed(&self) -> String {
        let (well, said) = self.push(&[]);
        assert!(well, "{said}");
        said
    }
}

fn start(target: &Target, url: &str, arguments: &[&str], sandbox: &Sandbox) -> Server {
    let boot = target.boot().argument(format!("--git-remote={url}")).argument("--git-poll=86400");
    let boot = boot.argument("--rate-limit=off");
    arguments.iter().fold(boot, |boot, argument| boot.argument(*argument)).start(sandbox).unwrap()
}

/// The networks that this machine's datagrams seem to come from.
const HERE: &str = "--allow-notify=127.0.0.1/32,10.0.2.2/32";

#[track_caller]
fn holds(said: &str, words: &str) {
    assert!(said.contains(words), "no `{words}` in:\n{said}");
}

scenario!(a_push_is_checked_announced_and_served, |target| {
    let key = Key::new("forge._notify.example.org").unwrap();
    let mut scene = Scene::start(target, &[&key], &[]);
    scene.sign(&key);
    let address = scene.server.address();

    scene.remote.write("example.org", zone(2, "new A 192.0.2.300\n")).unwrap();
    let (well, said) = scene.push(&[]);
    assert!(!well, "{said}");
    holds(&said, "example.org:6:7: error");

    for round in 2..5 {
        scene.remote.write("example.org", zone(round, &format!("new A 192.0.2.{round}\n"))).unwrap();
        let begin = Instant::now();
        let said = scene.pushed();
        let returned = begin.elapsed();
        let expected = format!("192.0.2.{round}");
        scene.server.until_dig(&["new.example.org", "A"], |reply| reply.answer_data() == [&expected]).unwrap();
        let served = begin.elapsed();
        holds(&said, &format!("{address}: example.org serial {round} acknowledged"));
        let kind = if matches!(target, Target::Image { .. }) { "image" } else { "Linux" };
        println!(
            "{kind}: push, hooks, NOTIFY, fetch, new answer: push returned after {:.0} ms, served after {:.0} ms",
            returned.as_secs_f64() * 1e3,
            served.as_secs_f64() * 1e3
        );
    }
});

scenario!(zones_added_and_deleted_are_announced, |target| {
    let key = Key::new("forge._notify").unwrap();
    let mut scene = Scene::start(target, &[&key], &[]);
    scene.sign(&key);
    scene.remote.write("example.com", zone(1, "")).unwrap();
    holds(&scene.pushed(), "example.com serial 1 not served there yet, looked for now");
    scene.server.until_serving("example.com").unwrap();

    scene.remote.remove("example.com").unwrap();
    let (well, said) = scene.push(&["--push-option=zonule.delete=example.com"]);
    assert!(well, "{said}");
    holds(&said, "example.com deleted acknowledged");
    scene.server.until_dig(&["example.com", "SOA"], |reply| reply.status == "REFUSED").unwrap();
});

scenario!(parts_and_keys_are_announced_by_zones, |target| {
    let key = Key::new("forge._notify").unwrap();
    let mut scene = Scene::start(target, &[&key], &[]);
    scene.sign(&key);
    let part = |serial| format!("@ SOA ns1 hostmaster.example.org. {serial} 2h 15m 2w 5m\n");
    let whole = "$TTL 300\n$INCLUDE soa.inc\n@ NS ns1.example.org.\n";
    scene.remote.write("soa.inc", part(1)).unwrap();
    scene.remote.write("example.com", whole).unwrap();
    scene.remote.write("example.edu", whole).unwrap();
    scene.pushed();
    scene.server.until_serving("example.com").unwrap();
    scene.server.until_serving("example.edu").unwrap();
    // One file changes, which is no zone, and two zones with it.
    scene.remote.write("soa.inc", part(2)).unwrap();
    let said = scene.pushed();
    holds(&said, "example.com serial 2 acknowledged");
    holds(&said, "example.edu serial 2 acknowledged");
    assert!(!said.contains("example.org serial"), "{said}");

    let laptop = Key::new("laptop._update.example.net").unwrap();
    scene.remote.write("example.net._keys", laptop.line()).unwrap();
    holds(&scene.pushed(), "example.net keys acknowledged");
    scene
        .server
        .until("an update with the new key", |server| {
            let client = zonule_harness::Client::Nsupdate;
            let operation = ["update add new.example.net. 300 A 192.0.2.7"];
            let transport = zonule_harness::Transport::Udp;
            let outcome = client.update(server.address(), transport, Some(&laptop), "example.net", &operation);
            (outcome.ok()?.status == "NOERROR").then_some(())
        })
        .unwrap();
});

scenario!(an_update_meets_the_hooks_as_well, |target| {
    // From above the zone, so that it may delete it.
    let key = Key::new("laptop._update.org").unwrap();
    let mut scene = Scene::start(target, &[&key], &[]);
    // Whoever may update may notify.
    scene.sign(&key);
    let update = |operation: &str| {
        let client = zonule_harness::Client::Nsupdate;
        let transport = zonule_harness::Transport::Tcp;
        client.update(scene.server.address(), transport, Some(&key), "example.org", &[operation]).unwrap()
    };
    assert_eq!(update("update add host.example.org. 300 A 192.0.2.7").status, "NOERROR");
    // To delete a zone takes a confirmation that an update cannot give.
    let refused = update("update delete example.org. SOA");
    assert_eq!(refused.status, "REFUSED", "{}", refused.text);
    scene.server.until_dig(&["host.example.org", "A"], |reply| reply.answer_data() == ["192.0.2.7"]).unwrap();
    scene.server.until_console("the zone example.org. is deleted").unwrap();
});

scenario!(what_servers_do_not_hear_is_told, |target| {
    let key = Key::new("forge._notify.example.org").unwrap();
    let scene = Scene::start(target, &[&key], &[HERE]);
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap();
    let nobody = Port::new();
    let set = |name: &str, value: &str| scene.remote.git_bare(&["config", "--add", name, value]).unwrap();
    set("zonule.notify", &nobody.address().to_string());
    set("zonule.notify", &silent.to_string());
    set("zonule.notify", &format!("{silent},unknown"));
    scene.remote.git_bare(&["config", "zonule.patience", "15"]).unwrap();

    // The network is allowed, so no signature is needed; two of three do not answer. The push is stored all the same.
    scene.remote.write("example.org", zone(2, "")).unwrap();
    let said = scene.pushed();
    holds(&said, &format!("{}: example.org serial 2 acknowledged", scene.server.address()));
    holds(&said, &format!("{silent}: example.org serial 2 not acknowledged: no answer"));
    holds(&said, &format!("{}: example.org serial 2 not acknowledged: no answer", nobody.address()));
    holds(&said, "no zonule.key holds");

    // A key that the server does not know, and one that may not.
    scene.remote.git_bare(&["config", "--unset-all", "zonule.notify"]).unwrap();
    set("zonule.notify", &scene.server.address().to_string());
    scene.sign(&key);
    scene.remote.write("example.net", zone(2, "")).unwrap();
    holds(&scene.pushed(), "answered REFUSED");
    scene.sign(&Key::new("forge._notify.example.org").unwrap());
    scene.remote.write("example.org", zone(3, "")).unwrap();
    holds(&scene.pushed(), "(BADSIG)");

    // Nothing that could go wrong fails a push that is stored, nor one that has no news.
    scene.remote.git_bare(&["config", "zonule.key", "/nowhere"]).unwrap();
    scene.remote.write("example.org", zone(4, "")).unwrap();
    holds(&scene.pushed(), "nobody was notified");
    assert!(!scene.pushed().contains("acknowledged"));
    assert!(scene.sandbox.path().exists());
});

scenario!(a_commit_in_a_served_work_tree_is_announced, |target| {
    let sandbox = Sandbox::new("hooks").unwrap();
    let remote = Remote::with_files(sandbox.path(), [("example.org", zone(1, ""))]).unwrap();
    run(Command::new(program()).arg("install").arg(remote.clone_path())).unwrap();
    // git daemon serves what is below its directory: the work tree, too.
    let url = remote.url(target.host()).replace("zones.git", "zones");
    let mut server = start(target, &url, &[HERE], &sandbox);
    server.until_serving("example.org").unwrap();
    remote.git(&["config", "zonule.notify", &server.address().to_string()]).unwrap();
    remote.git(&["config", "zonule.patience", "60"]).unwrap();
    remote.git(&["config", "zonule.fix", "true"]).unwrap();
    remote.write("example.org", zone(1, "new A 192.0.2.9\n")).unwrap();
    let output = git(remote.clone_path()).args(["commit", "--all", "--message", "New"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    holds(&said, "serial 1 -> 2");
    holds(&said, "example.org serial 2 acknowledged");
    server.until_dig(&["new.example.org", "A"], |reply| reply.answer_data() == ["192.0.2.9"]).unwrap();
});
