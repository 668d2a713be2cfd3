//! Git over ssh, with OpenSSH's server: what is fetched and pushed, and what is said when it cannot be.

mod support_git;

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    time::Duration,
};

use support_git::{
    Server, Work,
    drafts::{assert_sound, begin, commit, noise, one_change, paths, push},
    proxy::{Cut, Proxy},
};
use zonule::git::{
    Access, Error, Fate, Fetched, History, Limits, Protocol, Remote, Repository, Timeouts, Upstream,
    ssh::{self, HostKeys, Identity},
};
use zonule_harness::{Sandbox, Sshd};

const QUICK: Timeouts =
    Timeouts { connect: Duration::from_secs(60), stall: Duration::from_secs(1), total: Duration::from_secs(60) };

/// A key of ours.
fn identity() -> Identity {
    Identity::parse("ed25519:nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=").unwrap()
}

/// A repository at a server that knows our key, which is restricted by `options` as in `authorized_keys`.
struct World {
    server: Server,
    work: Work,
    sandbox: Sandbox,
    sshd: Sshd,
}

impl World {
    fn start(options: &str) -> World {
        World::with_config(options, "")
    }

    fn with_config(options: &str, more: &str) -> World {
        let (server, work) = begin();
        let sandbox = Sandbox::new("git-ssh").unwrap();
        let sshd = Sshd::start(sandbox.path(), more).unwrap();
        sshd.let_in(&[&format!("{options} {}", identity().public_line())]).unwrap();
        World { server, work, sandbox, sshd }
    }

    /// Has `script` of the shell run in place of what we ask for, which is in `$SSH_ORIGINAL_COMMAND`.
    fn script(&self, script: &str) {
        let path = self.sandbox.path().join("script");
        std::fs::write(&path, script).unwrap();
        let line = format!("command=\"sh {}\" {}", path.display(), identity().public_line());
        self.sshd.let_in(&[&line]).unwrap();
    }

    fn access(&self) -> ssh::Access {
        let host_keys = HostKeys::parse(&self.sshd.fingerprint().unwrap()).unwrap();
        ssh::Access { key: Some(identity()), host_keys }
    }

    fn url(&self) -> String {
        self.sshd.url("127.0.0.1", &self.server.path("zones.git"))
    }

    fn upstream(&self) -> Upstream {
        upstream(&self.url(), self.access())
    }

    fn repository(&self) -> Repository {
        Repository::new(self.upstream(), Limits::default())
    }

    /// Returns what a fetch fails with.
    fn failure(&self) -> Error {
        self.repository().fetch().unwrap_err()
    }

    /// Returns what a fetch fails with that has these keys.
    fn failure_with(&self, access: ssh::Access) -> String {
        Repository::new(upstream(&self.url(), access), Limits::default()).fetch().unwrap_err().to_string()
    }
}

fn upstream(url: &str, ssh: ssh::Access) -> Upstream {
    let access = Access { ssh, ..Access::default() };
    Upstream { access, ..Remote::parse(url).unwrap().into() }
}

#[test]
fn fetches_and_pushes() {
    let world = World::start("");
    for protocol in [Protocol::V0, Protocol::V2] {
        let mut repository = world.repository().with_protocol(protocol);
        assert!(matches!(repository.fetch().unwrap(), Fetched::Moved { from: None, .. }));
        assert!(paths(&repository).ends_with(&["run.sh".into(), "sub/dir/zone".into()]), "{:?}", paths(&repository));
        assert_eq!(repository.fetch().unwrap(), Fetched::Unchanged);

        // What is new, and no more.
        world.work.write("large", noise(protocol as u64, 100_000));
        world.work.push("large");
        repository.fetch().unwrap();
        world.work.write("a", format!("{protocol:?}\n"));
        world.work.push("small");
        let Fetched::Moved { pack_bytes, from: Some(_), .. } = repository.fetch().unwrap() else { panic!("unmoved") };
        assert!(pack_bytes < 1000, "{pack_bytes}");

        let before = repository.commit().unwrap().id;
        let draft = one_change(&repository, "ours\n");
        push(&mut repository, &draft).unwrap();
        assert_sound(&world.server, &repository);
        assert_eq!(repository.fate(draft.tip(), before).unwrap(), Fate::Taken);
        world.work.git(&["pull", "-q", "origin", "main"]);

        let history =
            History::fetch(&world.upstream(), draft.tip(), 3, &Limits::default(), Timeouts::default()).unwrap();
        assert_eq!(history.commits().len(), 3);
        let id = history.file(1, "a").unwrap().unwrap();
        assert_eq!(history.read(id).unwrap(), format!("{protocol:?}\n").into_bytes());
    }
    assert!(!world.sshd.log().contains("error:"), "{}", world.sshd.log());
}

#[test]
fn much_goes_both_ways_and_keys_are_exchanged_anew() {
    let world = World::with_config("", "RekeyLimit 512K\nLogLevel DEBUG");
    world.work.write("large", noise(1, 3_000_000));
    world.work.push("large");
    let mut repository = world.repository();
    repository.fetch().unwrap();
    let mut draft = repository.draft().unwrap();
    let text = data_encoding::HEXLOWER.encode(&noise(2, 3_000_000));
    commit(&mut draft, &repository, "large, too", &[("larger", Some(&text))]);
    push(&mut repository, &draft).unwrap();
    assert_sound(&world.server, &repository);
    // Each direction of each of two connections has come to the limit more than once.
    let rekeyed = world.sshd.log().matches("SSH2_MSG_NEWKEYS received").count();
    assert!(rekeyed > 8, "{rekeyed}: {}", world.sshd.log());
}

#[test]
fn a_hook_may_go_on_after_the_report() {
    let world = World::start("");
    let (go, done) = (world.sandbox.path().join("go"), world.sandbox.path().join("done"));
    // More than a window holds, so that it must be taken from it.
    let script = format!(
        "while [ ! -e {} ]; do sleep 0.05; done; head -c 300000 /dev/zero | tr '\\0' 'x' >&2 && echo >{}",
        go.display(),
        done.display()
    );
    world.server.hook("zones.git", "post-receive", &script);
    let mut repository = world.repository();
    repository.fetch().unwrap();
    let draft = one_change(&repository, "second\n");
    push(&mut repository, &draft).unwrap();
    assert!(!done.exists());
    std::fs::write(&go, "").unwrap();
    zonule_harness::eventually("the hook ends", || {
        repository.fetch().unwrap();
        done.exists().then_some(())
    })
    .unwrap();
}

#[test]
fn a_refusal_of_a_hook_is_told() {
    let world = World::start("");
    world.server.hook("zones.git", "pre-receive", "echo not on Fridays >&2; exit 1");
    let mut repository = world.repository();
    repository.fetch().unwrap();
    let draft = one_change(&repository, "second\n");
    let error = push(&mut repository, &draft).unwrap_err().to_string();
    assert!(error.contains("not on Fridays") && error.contains("pre-receive hook declined"), "{error}");
}

#[test]
fn a_server_is_known_by_its_host_key() {
    let world = World::start("");
    let seen = world.sshd.fingerprint().unwrap();
    let with = |host_keys| ssh::Access { key: Some(identity()), host_keys };
    let error = world.failure_with(with(HostKeys::default()));
    assert_eq!(
        error,
        format!(
            "the ssh server cannot be authenticated: its host key is {seen}; if that is right, give \
             --git-ssh-host-key={seen}"
        )
    );
    let wanted = "SHA256:O1va5lM7NcnY41WlIJBjDAoN3k9qNKGZLj5BlPvD9+A";
    let error = world.failure_with(with(HostKeys::parse(wanted).unwrap()));
    assert_eq!(
        error,
        format!(
            "the ssh server may be an impostor: its host key is {seen}, --git-ssh-host-key expects {wanted}; if the server \
             has a new key, give that"
        )
    );
    // Nothing is told to a server that is not known: not even who wants to log in.
    assert!(!world.sshd.log().contains("Accepted publickey"), "{}", world.sshd.log());
    assert!(!world.sshd.log().contains("user root"), "{}", world.sshd.log());
    let line = world.sshd.host_key().unwrap();
    for pinned in
        ["any".to_string(), seen.clone(), line.clone(), line.replacen(' ', ":", 1), format!("{wanted},{seen}")]
    {
        let access = with(HostKeys::parse(pinned.trim()).unwrap());
        Repository::new(upstream(&world.url(), access), Limits::default()).fetch().unwrap();
    }
}

#[test]
fn a_key_that_is_not_let_in_is_told_how_to_be() {
    let world = World::start("");
    let stranger = Identity::generate().unwrap();
    let access = ssh::Access { key: Some(stranger.clone()), ..world.access() };
    let error = world.failure_with(access.clone());
    let (user, line) = (world.sshd.user(), stranger.public_line());
    assert_eq!(
        error,
        format!(
            "the ssh server rejected our key for user {user}: add this line to its authorized_keys, or to the forge's \
             deploy keys: {line}"
        )
    );
    world.sshd.let_in(&[&identity().public_line(), &line]).unwrap();
    Repository::new(upstream(&world.url(), access), Limits::default()).fetch().unwrap();

    let error = world.failure_with(ssh::Access { key: None, ..world.access() });
    assert!(error.starts_with("no key to log in with over ssh: make one with `zonule keygen`"), "{error}");

    let closed =
        Sshd::start(&world.sandbox.path().join("closed"), "PubkeyAuthentication no\nPasswordAuthentication yes");
    let closed = closed.unwrap();
    let access = ssh::Access { key: Some(identity()), host_keys: HostKeys::parse("any").unwrap() };
    let url = closed.url("127.0.0.1", Path::new("/zones.git"));
    let error = Repository::new(upstream(&url, access), Limits::default()).fetch().unwrap_err().to_string();
    assert_eq!(error, format!("the ssh server accepts no keys for user {user}"));
}

#[test]
fn what_the_far_side_says_is_told() {
    let world = World::start("");
    let path = world.server.path("other.git");
    let url = world.sshd.url("127.0.0.1", &path);
    let mut repository = Repository::new(upstream(&url, world.access()), Limits::default());
    let error = repository.fetch().unwrap_err();
    let text = format!("the remote says: fatal: '{}' does not appear to be a git repository", path.display());
    assert_eq!(error.to_string(), text);
    assert!(!error.is_transient());

    for (script, text) in [
        (
            "echo 'ERROR: Permission to dns/zones denied to deploy key' >&2; exit 1",
            "the remote says: ERROR: Permission to dns/zones denied to deploy key",
        ),
        // Behind the end of its output.
        ("exec >&-; sleep 0.2; echo too late >&2; exit 1", "the remote says: too late"),
        ("no-such-git", "git is not installed on the remote: the remote says: "),
        ("exit 3", "git at the remote ended without an error message (exit status 3)"),
        ("kill -9 $$", "git at the remote ended without an error message (killed by a signal)"),
        ("exit 0", "the remote closed the connection while opening the repository"),
        (
            "printf 'Welcome to the machine!\\r\\n'; eval \"$SSH_ORIGINAL_COMMAND\"",
            "the remote's shell writes \"Welcome to the machine!",
        ),
        (
            "printf '\\033[2Jhello'",
            "the remote's shell writes \"\\u{1b}[2Jhello\" where git should: its start-up files",
        ),
        ("head -c 1000000 /dev/zero | tr '\\0' 'y' >&2; exit 1", "the remote says: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"),
    ] {
        world.script(script);
        let error = world.failure().to_string();
        assert!(error.starts_with(text) && error.len() < 500, "{script}: {error}");
    }
    // Noise on standard error is nobody's business as long as git works.
    world.script("echo hello >&2; eval \"$SSH_ORIGINAL_COMMAND\"");
    world.repository().fetch().unwrap();
}

#[test]
fn odd_paths_are_quoted() {
    let world = World::start("");
    let odd = world.server.path("it's $(odd) \"really\"!.git");
    std::fs::rename(world.server.path("zones.git"), &odd).unwrap();
    let path = odd.display().to_string().replace(' ', "%20").replace('"', "%22");
    let url = world.sshd.url("127.0.0.1", Path::new(&path));
    let mut repository = Repository::new(upstream(&url, world.access()), Limits::default());
    repository.fetch().unwrap();
    assert_eq!(paths(&repository), ["a", "link", "run.sh", "sub/dir/zone"]);
}

#[test]
fn every_wait_has_an_end() {
    let world = World::start("");
    world.script("sleep 30");
    let mut repository = world.repository().with_timeouts(QUICK);
    let error = repository.fetch().unwrap_err();
    assert_eq!(error.to_string(), "timed out after 1 s while opening the repository");
    assert!(error.is_transient());

    // One that takes the connection, and one that says what it is before it falls silent.
    for says in [&b""[..], b"SSH-2.0-OpenSSH_9.2\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ssh://git@127.0.0.1:{}/zones.git", listener.local_addr().unwrap().port());
        let silent = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(says).unwrap();
            // Until the other has had enough.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let mut repository = Repository::new(upstream(&url, world.access()), Limits::default()).with_timeouts(QUICK);
        let error = repository.fetch().unwrap_err();
        assert_eq!(error.to_string(), "timed out after 1 s while logging in over ssh");
        silent.join().unwrap();
    }
    // One that would go on for ever.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ssh://git@127.0.0.1:{}/zones.git", listener.local_addr().unwrap().port());
    let endless = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        while stream.write_all(b"HTTP/1.1 400 Bad Request\r\n").is_ok() {}
    });
    let error = Repository::new(upstream(&url, world.access()), Limits::default()).fetch().unwrap_err();
    assert_eq!(error.to_string(), "the ssh connection failed: the peer is not an ssh server");
    endless.join().unwrap();
}

#[test]
fn a_connection_may_end_anywhere() {
    let world = World::start("");
    let proxy = Proxy::start(world.sshd.address().port());
    let url =
        format!("ssh://{}@127.0.0.1:{}{}", world.sshd.user(), proxy.port, world.server.path("zones.git").display());
    let mut repository = Repository::new(upstream(&url, world.access()), Limits::default())
        .with_timeouts(Timeouts { stall: Duration::from_secs(30), ..QUICK });
    for octets in [0, 10, 41, 300, 1200, 1500, 2000, 2500, 3000] {
        proxy.cut(Cut::Received(octets));
        match repository.fetch() {
            Err(error) => {
                // Closed, or reset while we were writing.
                assert!(matches!(error, Error::Lost { .. }), "{octets}: {error}");
                assert!(error.is_transient(), "{octets}: {error}");
            }
            Ok(_) => assert!(octets > 2000, "{octets}"),
        }
    }
    proxy.cut(Cut::Never);
    repository.fetch().unwrap();
}

#[test]
fn what_is_altered_on_the_way_is_noticed() {
    let world = World::start("");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, target) = (listener.local_addr().unwrap().port(), world.sshd.address());
    let meddler = std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = std::net::TcpStream::connect(target).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let up = std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
        let (mut passed, mut buffer) = (0, [0; 1]);
        while matches!((&server).read(&mut buffer), Ok(1)) {
            passed += 1;
            // Well behind the exchange of keys.
            if passed >= 1800 {
                buffer[0] ^= 0x41;
            }
            if (&client).write_all(&buffer).is_err() {
                break;
            }
        }
        let _ = client.shutdown(std::net::Shutdown::Both);
        let _ = server.shutdown(std::net::Shutdown::Both);
        let _ = up.join();
    });
    let url = format!("ssh://{}@127.0.0.1:{port}{}", world.sshd.user(), world.server.path("zones.git").display());
    let error = Repository::new(upstream(&url, world.access()), Limits::default()).fetch().unwrap_err();
    assert_eq!(error.to_string(), "the ssh connection failed: a packet was altered in transit");
    meddler.join().unwrap();
}

#[test]
fn a_server_without_a_common_algorithm_is_told_which() {
    let sandbox = Sandbox::new("git-ssh").unwrap();
    let access = ssh::Access { key: Some(identity()), host_keys: HostKeys::parse("any").unwrap() };
    for (directory, kind, more, text) in [
        ("kind", "ecdsa", "", "a host key of type ssh-ed25519"),
        ("kex", "ed25519", "KexAlgorithms diffie-hellman-group14-sha256", "the key exchange curve25519-sha256"),
        (
            "cipher",
            "ed25519",
            "Ciphers aes128-gcm@openssh.com",
            "the cipher chacha20-poly1305@openssh.com or aes256-ctr",
        ),
        ("mac", "ed25519", "Ciphers aes256-ctr\nMACs hmac-sha1", "the authentication code hmac-sha2-256"),
    ] {
        let sshd = Sshd::with_host_key(&sandbox.path().join(directory), kind, more).unwrap();
        let url = sshd.url("127.0.0.1", Path::new("/zones.git"));
        let error = Repository::new(upstream(&url, access.clone()), Limits::default()).fetch().unwrap_err();
        assert_eq!(error.to_string(), format!("the ssh server does not offer {text}, which is what Zonule speaks"));
    }
}

#[test]
fn a_server_that_gives_no_session_is_told() {
    let world = World::with_config("", "MaxSessions 0");
    assert_eq!(world.failure().to_string(), "the ssh server accepted the login but refuses to run a command");
}

#[test]
fn other_ciphers_and_settings_work() {
    for more in
        ["Ciphers aes256-ctr\nMACs hmac-sha2-256", "AcceptEnv GIT_PROTOCOL\nBanner /etc/passwd", "Compression yes"]
    {
        World::with_config("restrict", more).repository().fetch().unwrap();
    }
}

/// As docs/remotes.md has it for an account of one's own.
#[test]
fn a_key_may_be_restricted_to_git() {
    let world = World::start(r#"restrict,command="git-shell -c \"$SSH_ORIGINAL_COMMAND\"""#);
    let mut repository = world.repository();
    repository.fetch().unwrap();
    let draft = one_change(&repository, "restricted\n");
    push(&mut repository, &draft).unwrap();
    assert_sound(&world.server, &repository);
}

#[test]
fn a_repository_of_sha256_is_refused_with_a_word() {
    let world = World::start("");
    let bare = world.server.path("sha256.git");
    let path = bare.to_str().unwrap();
    support_git::git(world.sandbox.path(), &["init", "-q", "--bare", "-b", "main", "--object-format=sha256", path]);
    support_git::git(world.sandbox.path(), &["init", "-q", "-b", "main", "--object-format=sha256", "work"]);
    let work = world.sandbox.path().join("work");
    let author =
        ["-c", "user.name=E", "-c", "user.email=e@example.org", "commit", "-q", "--allow-empty", "-m", "begin"];
    support_git::git(&work, &author);
    support_git::git(&work, &["push", "-q", path, "main"]);
    let url = world.sshd.url("127.0.0.1", &bare);
    let error = Repository::new(upstream(&url, world.access()), Limits::default()).fetch().unwrap_err().to_string();
    assert_eq!(error, "not supported yet: a repository with sha256 object names");
}
