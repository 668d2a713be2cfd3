//! A web server that limits requests is left alone for as long as it asks, and updates outlast a short wait.

use std::thread;

use zonule_harness::{Client, Key, Outcome, Refusal, Remote, Request, Sandbox, Server, Site, Target, Transport, Web};

use crate::scene::zone;
use crate::updates::scene::{KEYS, ZONE};

/// Every request.
const ALL: &str = ".";

/// A repository behind a web server, and a server that follows it; dropped in this order.
struct Place {
    server: Server,
    web: Web,
    remote: Remote,
    key: Key,
    _sandbox: Sandbox,
}

impl Place {
    /// Starts `target` on a web server that is like `site`.
    fn start(target: &Target, site: &Site, arguments: &[&str]) -> Place {
        let sandbox = Sandbox::new("limits").unwrap();
        let key = Key::new("laptop._update.example.org").unwrap();
        let mut remote = Remote::with_files(sandbox.path(), [(ZONE, zone(1, "")), (KEYS, key.line())]).unwrap();
        remote.go_away();
        remote.git_bare(&["config", "http.receivepack", "true"]).unwrap();
        let web = Web::start(sandbox.path(), site).unwrap();
        let url = web.url(target.host(), "", "zones.git");
        let boot = target.boot().argument(format!("--git-remote={url}")).argument("--git-poll=1");
        let boot = arguments.iter().fold(boot, |boot, argument| boot.argument(*argument));
        let server = boot.start(&sandbox).unwrap();
        Place { server, web, remote, key, _sandbox: sandbox }
    }

    /// Sends an update that adds a name.
    fn add(&self, name: &str) -> Outcome {
        let operation = format!("update add {name}.{ZONE}. 300 A 192.0.2.7");
        let mut request = Request::new(ZONE, &[&operation]);
        request.key(Some(&self.key)).transport(Transport::Tcp).send(self.server.address()).unwrap().remove(0)
    }
}

/// A site that refuses `requests` with a status and fields of a head.
fn refusing(requests: &'static str, status: u16, fields: &'static [(&'static str, &'static str)]) -> Site {
    let body = ("text/html", "<html>come again later</html>");
    Site { refusal: Some(Refusal { requests, status, fields, body }), ..Site::default() }
}

scenario!(remote_that_asks_to_wait_is_left_alone, |target| {
    let mut place = Place::start(target, &Site::default(), &["--allow-notify=0.0.0.0/0", "--rate-limit=off"]);
    place.server.until_serving(ZONE).unwrap();
    assert_eq!(place.add("before").status, "NOERROR");

    // A short while, after which it goes on by itself.
    place.web.serve(&refusing(ALL, 503, &[("Retry-After", "3")])).unwrap();
    place
        .server
        .until_console("the remote asks to wait 3 s (HTTP 503 Service Temporarily Unavailable); next try in 3 s")
        .unwrap();
    place.web.serve(&Site::default()).unwrap();
    place.server.until_console("answers again after ").unwrap();
    assert_eq!(place.add("between").status, "NOERROR");

    // A long one: neither polls, nor updates, nor notifications make it ask.
    place.web.serve(&refusing(ALL, 429, &[("Retry-After", "1800")])).unwrap();
    place
        .server
        .until_console("the remote asks to wait 30 min (HTTP 429 Too Many Requests); next try in 30 min")
        .unwrap();
    assert_eq!(place.web.answered(429, ""), 1, "{}", place.server.console());
    for number in 0..3 {
        let outcome = place.add(&format!("refused{number}"));
        assert_eq!((outcome.status.as_str(), outcome.signed), ("SERVFAIL", true), "{outcome:?}");
        let text = outcome.extended_error.unwrap_or_default();
        let cause = "the remote asks to wait 30 min (HTTP 429 Too Many Requests); next try in ";
        assert!(text.contains(cause), "the extended error is {text}");
        let reply = place.server.dig(&[ZONE, "SOA", "+opcode=notify"]).unwrap();
        assert_eq!(reply.status, "NOERROR");
    }
    // By then several polls would have been due.
    thread::sleep(std::time::Duration::from_secs(5));
    assert_eq!(place.web.answered(429, ""), 1, "{}", place.server.console());
    assert_eq!(place.server.dig(&[&format!("between.{ZONE}"), "A"]).unwrap().answer_data(), ["192.0.2.7"]);
    assert!(!place.server.console().contains("refused0.example.org: committed"));
});

scenario!(update_outlasts_a_short_wait, |target| {
    let mut place = Place::start(target, &Site::default(), &["--update-patience=60"]);
    place.server.until_serving(ZONE).unwrap();
    // Where a push begins, and where it ends.
    for (number, requests) in ["^GET .*service=git-receive-pack", "^POST .*/git-receive-pack"].into_iter().enumerate() {
        place.web.serve(&refusing(requests, 429, &[("Retry-After", "4")])).unwrap();
        let name = format!("held{number}");
        let outcome = thread::scope(|scope| {
            let (address, key) = (place.server.address(), place.key.clone());
            let operation = format!("update add {name}.{ZONE}. 300 A 192.0.2.7");
            let waiting = scope.spawn(move || {
                Client::Nsupdate.update(address, Transport::Tcp, Some(&key), ZONE, &[&operation]).unwrap()
            });
            let refused = || (place.web.answered(429, "") > number).then_some(());
            zonule_harness::eventually("the push is refused", refused).unwrap();
            place.web.serve(&Site::default()).unwrap();
            waiting.join().unwrap()
        });
        assert_eq!(outcome.status, "NOERROR", "{}\n{}", outcome.text, place.server.console());
        assert_eq!(place.server.dig(&[&format!("{name}.{ZONE}"), "A"]).unwrap().answer_data(), ["192.0.2.7"]);
    }
    assert_eq!(place.web.answered(429, ""), 2, "{}", place.server.console());
    assert_eq!(place.remote.fsck().unwrap(), "");
});

scenario!(limit_of_a_forge_is_no_missing_token, |target| {
    // As GitHub has it.
    let body =
        ("application/json", "{\"message\":\"You have exceeded a secondary rate limit. Please wait a few minutes\"}");
    let refusal = Refusal { requests: ALL, status: 403, fields: &[], body };
    let mut place = Place::start(target, &Site { refusal: Some(refusal), ..Site::default() }, &["--update-patience=2"]);
    place.server.until_console("the remote limits the rate of requests (HTTP 403 Forbidden)").unwrap();
    assert!(!place.server.console().contains("--git-token"), "{}", place.server.console());
    // A wait that cannot be meant is none.
    for (field, status) in [("-60", 503), ("99999999999999999999", 502), ("soon", 500)] {
        let fields: &[_] = match field {
            "-60" => &[("Retry-After", "-60")],
            "soon" => &[("Retry-After", "soon")],
            _ => &[("Retry-After", "99999999999999999999")],
        };
        place.web.serve(&refusing(ALL, status, fields)).unwrap();
        place.server.until_console(&format!("the server answers {status} ")).unwrap();
    }
    // What keeps an update from the remote is named: before it is pushed, and when it was pushed until time was up.
    for (number, (requests, status, begins)) in [
        ("service=git-receive-pack", 503, "the git remote cannot be pushed to: "),
        ("^POST .*/git-receive-pack", 502, "the git remote "),
    ]
    .into_iter()
    .enumerate()
    {
        place.web.serve(&refusing(requests, status, &[])).unwrap();
        place.server.until_serving(ZONE).unwrap();
        let outcome = place.add(&format!("refused{number}"));
        assert_eq!(outcome.status, "SERVFAIL", "{outcome:?}");
        let text = outcome.extended_error.unwrap_or_default();
        let cause = format!("the server answers {status} ");
        assert!(text.contains(begins) && text.contains(&cause), "the extended error is {text}");
    }
});
