//! The far sides do what scenarios take for granted: clients sign, hooks refuse, disks fill and connections break.
//!
//! Shown with other people's programs on both sides: `git push` through the proxy, and the clients against BIND.
#![forbid(unsafe_code)]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;

use zonule_harness::{
    Acme, Algorithm, Client, Console, Error, Fault, Key, Port, Process, Proxy, Remote, Request, Result, Sandbox,
    Transport, certbot, dig, eventually, git, run,
};

const ZONE: &str = "$TTL 300\n@ SOA ns1 hostmaster 1 2h 15m 2w 5m\n@ NS ns1\nns1 A 192.0.2.53\n";

/// BIND, taking updates of `example.org` by `keys`.
fn bind(sandbox: &Sandbox, keys: &[Key]) -> (Process, SocketAddr, Port) {
    let (home, port) = (sandbox.path().display(), Port::new());
    let mut config = format!(
        "options {{ directory \"{home}\"; pid-file none; session-keyfile none; lock-file none; recursion no;\n \
         listen-on port {} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; notify no; dnssec-validation no; }};\ncontrols {{ }};\n",
        port.number()
    );
    for Key { name, algorithm, secret } in keys {
        config += &format!("key \"{name}\" {{ algorithm {algorithm}; secret \"{secret}\"; }};\n");
    }
    let names: String = keys.iter().map(|key| format!(" key \"{}\";", key.name)).collect();
    config += &format!("zone \"example.org\" {{ type primary; file \"example.org\"; allow-update {{{names} }}; }};\n");
    fs::write(sandbox.path().join("example.org"), ZONE).unwrap();
    fs::write(sandbox.path().join("config"), config).unwrap();
    let console = Console::File(sandbox.path().join("console"));
    let arguments = ["-g", "-n", "1", "-c", &sandbox.path().join("config").display().to_string()].map(str::to_owned);
    let named = if Path::new("/usr/sbin/named").is_file() { "/usr/sbin/named" } else { "named" };
    let process = Process::start(Path::new(named), &arguments, console).unwrap();
    eventually("BIND serves", || {
        dig(port.address(), &["example.org", "SOA"]).is_ok_and(|reply| reply.has_flag("aa")).then_some(())
    })
    .unwrap();
    (process, port.address(), port)
}

#[test]
fn clients_sign_with_every_algorithm() {
    let sandbox = Sandbox::new("sign").unwrap();
    let keys = Algorithm::ALL.map(|algorithm| Key::with_algorithm(&format!("key-{algorithm}"), algorithm).unwrap());
    let (_process, address, _port) = bind(&sandbox, &keys);
    let mut number = 0;
    for (client, transport) in Client::ALL.into_iter().flat_map(|client| Transport::ALL.map(|by| (client, by))) {
        for key in &keys {
            number += 1;
            let operations = [format!("update add u{number}.example.org. 300 A 192.0.2.{number}")];
            let outcome =
                client.update(address, transport, Some(key), "example.org", &operations.each_ref().map(String::as_str));
            assert_eq!(outcome.unwrap().status, "NOERROR", "{client} {transport:?} {key:?}");
            let reply = dig(address, &[&format!("u{number}.example.org"), "A"]).unwrap();
            assert_eq!(reply.answer_data(), [format!("192.0.2.{number}")]);
        }
        let forged = keys[2].forged().unwrap();
        let operations = ["prereq yxdomain ns1.example.org.", "update delete ns1.example.org. A"];
        let outcome = client.update(address, transport, Some(&forged), "example.org", &operations).unwrap();
        assert_eq!((outcome.status.as_str(), outcome.tsig_error.as_deref()), ("NOTAUTH", Some("BADSIG")), "{client}");
        let outcome = client.update(address, transport, None, "example.org", &operations).unwrap();
        assert_eq!(outcome.status, "REFUSED", "{client}");
        let operations = ["prereq nxrrset ns1.example.org. A", "update delete ns1.example.org. A"];
        let outcome = client.update(address, transport, Some(&keys[2]), "example.org", &operations).unwrap();
        assert_eq!(outcome.status, "YXRRSET", "{client}: {}", outcome.text);
    }
}

#[test]
fn requests_are_signed_as_wrong_as_wanted() {
    let sandbox = Sandbox::new("wrong").unwrap();
    let key = Key::new("key").unwrap();
    let (_process, address, _port) = bind(&sandbox, std::slice::from_ref(&key));
    let send = |change: &dyn Fn(&mut Request) -> &mut Request| {
        let mut request = Request::new("example.org", &["update add a.example.org. 300 A 192.0.2.1"]);
        change(request.key(Some(&key)));
        request.send(address).unwrap().remove(0)
    };
    let late = send(&|request| request.skew(-1000));
    assert_eq!((late.status.as_str(), late.tsig_error.as_deref()), ("NOTAUTH", Some("BADTIME")));
    assert!(late.server_time.is_some());
    let patient = send(&|request| request.skew(-1000).fudge(2000));
    assert_eq!(patient.status, "NOERROR", "{patient:?}");
    // Less than half of the digest is no signature at all (RFC 8945 §5.2.2.1); less than all of it is a matter of policy.
    let short = send(&|request| request.mac(16));
    assert_eq!((short.status.as_str(), short.tsig_error.as_deref()), ("NOTAUTH", Some("BADTRUNC")));
    assert_eq!(send(&|request| request.mac(8)).status, "FORMERR");
    let other = send(&|request| request.algorithm("hmac-sha512"));
    assert_eq!((other.status.as_str(), other.tsig_error.as_deref()), ("NOTAUTH", Some("BADKEY")));
    let mut twice = Request::new("example.org", &["update add b.example.org. 300 A 192.0.2.1"]);
    let replies = twice.key(Some(&key)).times(2).send(address).unwrap();
    assert!(replies.len() == 2 && replies.iter().all(|reply| reply.status == "NOERROR" && reply.signed), "{replies:?}");
}

#[test]
fn certbot_adds_and_deletes() {
    let sandbox = Sandbox::new("certbot").unwrap();
    let key = Key::new("certbot").unwrap();
    let (_process, address, _port) = bind(&sandbox, std::slice::from_ref(&key));
    let name = "_acme-challenge.www.example.org";
    certbot(address, &key, "add", name, "proof").unwrap();
    assert_eq!(dig(address, &[name, "TXT"]).unwrap().answer_data(), ["\"proof\""]);
    certbot(address, &key, "delete", name, "proof").unwrap();
    assert_eq!(dig(address, &[name, "TXT"]).unwrap().status, "NXDOMAIN");
    certbot(address, &key.forged().unwrap(), "add", name, "proof").unwrap_err();

    let acme = Acme::start(sandbox.path(), address).unwrap();
    acme.certificate(&key, &["www.example.org", "*.example.org"]).unwrap();
    acme.certificate(&key.forged().unwrap(), &["mail.example.org"]).unwrap_err();
}

/// Commits a change in the clone and pushes it to `url` by git's own protocol.
fn push(remote: &Remote, url: &str) -> Result<String> {
    remote.git(&["commit", "--quiet", "--allow-empty", "--message", "Change"])?;
    push_again(remote.clone_path(), url)
}

fn push_again(clone: &Path, url: &str) -> Result<String> {
    run(git(clone).args(["push", "--quiet", url, "HEAD:main"]))
}

fn scene() -> (Sandbox, Remote, Proxy) {
    let sandbox = Sandbox::new("far").unwrap();
    let remote = Remote::with_files(sandbox.path(), [("example.org", ZONE)]).unwrap();
    let proxy = Proxy::to(&remote).unwrap();
    (sandbox, remote, proxy)
}

/// What git says about a push that fails.
fn refusal(outcome: Result<String>) -> String {
    match outcome {
        Err(Error::Failed { output, .. }) => output,
        other => panic!("{other:?}"),
    }
}

#[test]
fn connections_break_where_they_should() {
    let (_sandbox, remote, proxy) = scene();
    let url = proxy.url("127.0.0.1");
    push(&remote, &url).unwrap();
    assert_eq!((proxy.pushes(), proxy.struck()), (1, 0));
    for (fault, arrives) in [
        (Fault::Closed, false),
        (Fault::BeforePush, false),
        (Fault::InPack, false),
        (Fault::BeforeReport, true),
        (Fault::BeforeReportThenClosed, true),
    ] {
        let before = remote.head().unwrap();
        proxy.fail(fault, 1);
        push(&remote, &url).unwrap_err();
        assert_eq!(remote.head().unwrap() != before, arrives, "{fault:?}");
        if fault == Fault::BeforeReportThenClosed {
            push(&remote, &url).unwrap_err();
            proxy.repair();
        }
        push(&remote, &url).unwrap();
        assert_eq!(remote.head().unwrap(), remote.git(&["rev-parse", "HEAD"]).unwrap().trim());
    }
    assert_eq!(remote.fsck().unwrap(), "");

    proxy.fail_always(Fault::Silent);
    thread::scope(|scope| {
        let pushing = scope.spawn(|| push(&remote, &url));
        eventually("a connection that hangs", || (proxy.struck() > 6).then_some(())).unwrap();
        assert!(!pushing.is_finished());
        proxy.repair();
        pushing.join().unwrap().unwrap_err();
    });
}

#[test]
fn remotes_refuse_for_their_own_reasons() {
    let (_sandbox, mut remote, proxy) = scene();
    let url = proxy.url("127.0.0.1");
    remote.hook("pre-receive", "echo 'not on a Friday' >&2; exit 1").unwrap();
    assert!(refusal(push(&remote, &url)).contains("not on a Friday"));
    remote.unhook("pre-receive").unwrap();
    remote.set_read_only(true).unwrap();
    push(&remote, &url).unwrap_err();
    remote.set_read_only(false).unwrap();
    remote.set_disk_full(true).unwrap();
    refusal(push(&remote, &url));
    assert_eq!(remote.log().unwrap().len(), 1);
    remote.set_disk_full(false).unwrap();
    push(&remote, &url).unwrap();

    // Killed while it carries a push out: before and after the branch has moved.
    for (hook, condition, arrives) in
        [("pre-receive", "true", false), ("reference-transaction", "[ \"$1\" = committed ]", true)]
    {
        let before = remote.head().unwrap();
        let gate = remote.gate(hook, condition).unwrap();
        thread::scope(|scope| {
            remote.git(&["commit", "--quiet", "--allow-empty", "--message", "Change"]).unwrap();
            let clone = remote.clone_path().to_owned();
            let url = &url;
            let pushing = scope.spawn(move || push_again(&clone, url));
            gate.until_entered().unwrap();
            remote.go_away();
            pushing.join().unwrap().unwrap_err();
        });
        remote.unhook(hook).unwrap();
        assert_eq!(remote.head().unwrap() != before, arrives, "{hook}");
        remote.serve().unwrap();
        push(&remote, &url).unwrap();
    }
    assert_eq!(remote.fsck().unwrap(), "");
}
