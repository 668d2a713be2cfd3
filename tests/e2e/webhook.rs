//! Webhooks: a forge's notification leads to a fetch if its signature is right, and the status is readable by HTTP.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;

use zonule_harness::{Port, Remote, Reply, Sandbox, Server, eventually, run};

use crate::scene::{hosted, zone};

const SECRET: &str = "correct-horse,battery";

const BODY: &str = r#"{"ref": "refs/heads/main", "commits": []}"#;

/// Runs curl with `arguments` on the server's port and returns the status code and the body.
fn curl(port: &Port, path: &str, arguments: &[&str]) -> Option<(u16, String)> {
    let url = format!("http://{}{path}", port.address());
    let fixed = ["--silent", "--show-error", "--max-time", "60", "--noproxy", "*", "--write-out", "\n%{http_code}"];
    let output = run(Command::new("curl").args(fixed).args(arguments).arg(url)).ok()?;
    let (body, code) = output.rsplit_once('\n')?;
    Some((code.parse().ok()?, body.to_owned()))
}

/// Posts [`BODY`] with these header fields.
fn post(port: &Port, path: &str, fields: &[&str]) -> u16 {
    let mut arguments = vec!["--data-binary", BODY];
    fields.iter().for_each(|field| arguments.extend(["--header", field]));
    curl(port, path, &arguments).expect("the hook is answered").0
}

/// The HMAC-SHA256 of [`BODY`], as hexadecimal digits.
fn signature(sandbox: &Sandbox, secret: &str) -> String {
    let path = sandbox.path().join("body");
    std::fs::write(&path, BODY).unwrap();
    let printed = run(Command::new("openssl").args(["dgst", "-sha256", "-hmac", secret, "-r"]).arg(path)).unwrap();
    printed.split_whitespace().next().unwrap().to_owned()
}

fn push(remote: &Remote, serial: u32) -> String {
    remote.write("example.org", zone(serial, "")).unwrap();
    remote.push("A new version").unwrap();
    remote.git(&["rev-parse", "HEAD"]).unwrap().trim().to_owned()
}

fn until_serial(server: &mut Server, serial: u32) {
    let wanted = |reply: &Reply| reply.answer.iter().any(|line| line.contains(&format!(" {serial} 7200 ")));
    server.until_dig(&["example.org", "SOA"], wanted).unwrap();
}

scenario!(forges_tell_of_pushes, |target| {
    let sandbox = Sandbox::new("webhook").unwrap();
    let remote = Remote::with_files(sandbox.path(), [("example.org", zone(1, ""))]).unwrap();
    let first = remote.git(&["rev-parse", "HEAD"]).unwrap().trim().to_owned();
    let port = Port::new();
    let mut server = target
        .boot()
        .reachable(&port)
        .argument(format!("--git-remote={}", remote.url(target.host())))
        .argument("--git-poll=86400")
        .argument(format!("--webhook={},{SECRET}", port.number()))
        .argument("--log=trace")
        .start(&sandbox)
        .unwrap();
    server.until_serving("example.org").unwrap();

    // What is served.
    let (code, page) = curl(&port, "/", &[]).unwrap();
    assert_eq!(code, 200);
    for part in [
        "\"status\": \"serving\"",
        &format!("\"commit\": \"{first}\""),
        &format!("\"remote\": \"{}\"", remote.url(target.host())),
        "\"fetched\": \"20",
        "{\"name\": \"example.org\", \"serial\": 1}",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!(curl(&port, "/healthz", &[]).unwrap().0, 200);
    assert_eq!(curl(&port, "/", &["--head"]).unwrap().0, 200);
    assert_eq!(curl(&port, "/nothing", &[]).unwrap().0, 404);
    assert_eq!(curl(&port, "/", &["--request", "DELETE"]).unwrap().0, 405);

    // What is not believed.
    let second = push(&remote, 2);
    let (right, wrong) = (signature(&sandbox, SECRET), signature(&sandbox, "another secret"));
    let github = |digest: &str| format!("X-Hub-Signature-256: sha256={digest}");
    for fields in [
        vec!["X-GitHub-Event: push".to_owned()],
        vec!["X-GitHub-Event: push".to_owned(), github(&wrong)],
        vec!["X-Gitea-Event: push".to_owned(), format!("X-Gitea-Signature: {wrong}")],
        vec!["X-Gitlab-Event: Push Hook".to_owned(), "X-Gitlab-Token: correct-horse".to_owned()],
    ] {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        assert_eq!(post(&port, "/", &fields), 403, "{fields:?}");
    }
    assert!(server.console().contains("webhook: a hook from "), "{}", server.console());
    assert!(server.console().contains("not signed with the secret of --webhook"), "{}", server.console());
    assert_eq!(post(&port, "/", &["X-GitHub-Event: ping", &github(&right)]), 200);
    assert!(curl(&port, "/", &[]).unwrap().1.contains(&first), "nobody has looked at the remote");

    // What is: each forge in its way.
    assert_eq!(post(&port, "/", &["X-GitHub-Event: push", &github(&right)]), 202);
    until_serial(&mut server, 2);
    let page = curl(&port, "/", &[]).unwrap().1;
    assert!(page.contains(&second) && page.contains("\"serial\": 2}"), "{page}");
    push(&remote, 3);
    let token = format!("X-Gitlab-Token: {SECRET}");
    assert_eq!(post(&port, "/hooks/dns", &["X-Gitlab-Event: Push Hook", &token]), 202);
    until_serial(&mut server, 3);
    push(&remote, 4);
    let gitea = format!("X-Gitea-Signature: {right}");
    assert_eq!(post(&port, "/", &["X-Gitea-Event: push", "X-GitHub-Event: push", &gitea, "Expect: 100-continue"]), 202);
    until_serial(&mut server, 4);

    // What is no request, or too much of one.
    assert_eq!(post(&port, "/", &["Transfer-Encoding: chunked", &token]), 411);
    let large = sandbox.path().join("large");
    std::fs::write(&large, vec![b'x'; 3 << 20]).unwrap();
    let data = format!("@{}", large.display());
    assert_eq!(curl(&port, "/", &["--data-binary", &data, "--header", &token]).unwrap().0, 413);
    let long = format!("X-Long: {}", "x".repeat(9000));
    assert_eq!(curl(&port, "/", &["--header", &long]).unwrap().0, 431);
    // Connections that say little for long do not keep others out.
    let slow: Vec<TcpStream> = (0..40)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(port.address()).ok()?;
            stream.write_all(b"POST / HTTP/1.1\r\nX-Slow: ").ok()?;
            Some(stream)
        })
        .collect();
    eventually("others are replied to", || curl(&port, "/", &[]).filter(|(code, _)| *code == 200)).unwrap();
    drop(slow);
    server.until_serving("example.org").unwrap();
    assert!(!server.console().contains("battery"), "the secret is on the console");
});

#[test]
fn without_a_secret_anybody_may_have_the_remote_looked_at() {
    let sandbox = Sandbox::new("webhook").unwrap();
    let mut remote = Remote::with_files(sandbox.path(), [("example.org", zone(1, ""))]).unwrap();
    remote.go_away();
    let (target, port) = (hosted(), Port::new());
    let mut server = target
        .boot()
        .argument(format!("--git-remote={}", remote.url(target.host())))
        .argument("--git-poll=86400")
        .argument(format!("--webhook={}", port.number()))
        .start(&sandbox)
        .unwrap();
    server.until_console("webhook: without a secret, whoever reaches port").unwrap();
    let (code, page) = eventually("the page is there", || curl(&port, "/healthz", &[])).unwrap();
    assert!(code == 503 && page.contains("\"status\": \"loading\""), "{code}: {page}");
    remote.serve().unwrap();
    server.until_serving("example.org").unwrap();
    for serial in 2..4 {
        push(&remote, serial);
        assert_eq!(post(&port, "/", &[]), 202);
        until_serial(&mut server, serial);
    }
}
