//! Web servers and proxies as they should not be, and some that are only unusual: scripts on raw sockets.

mod support_git;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use support_git::{
    drafts::{one_change, push},
    fake::{Pack, line},
};
use zonule::git::{
    Access, Deadline, Error, Fetched, Limits, ObjectId, PushError, Remote, Repository, Secret, Timeouts, Upstream,
};

const QUICK: Timeouts =
    Timeouts { connect: Duration::from_secs(10), stall: Duration::from_millis(700), total: Duration::from_secs(3) };

/// Ample: for servers that do answer.
const SLOW: Timeouts =
    Timeouts { connect: Duration::from_secs(60), stall: Duration::from_secs(60), total: Duration::from_secs(120) };

/// What a server does on a connection, one after the other; then it closes.
#[derive(Clone)]
enum Act {
    /// Reads a whole request.
    Hear,
    /// Writes.
    Say(Vec<u8>),
    /// Writes again and again until the client is gone.
    Repeat(Vec<u8>, Duration),
    /// Reads until the client is gone.
    Hold,
}
use Act::{Hear, Hold, Repeat, Say};

/// A server that does for each connection what the script says.
struct Script {
    port: u16,
    /// The requests heard, with the number of their connection.
    heard: Arc<Mutex<Vec<(usize, String)>>>,
}

impl Script {
    fn start(connections: Vec<Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heard);
        std::thread::spawn(move || {
            for (number, acts) in connections.into_iter().enumerate() {
                let Ok((stream, _)) = listener.accept() else { return };
                for act in acts {
                    if perform(&stream, act, number, &log).is_none() {
                        break;
                    }
                }
            }
        });
        Script { port, heard }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/zones.git", self.port)
    }

    fn repository(&self, timeouts: Timeouts) -> Repository {
        Repository::new(Remote::parse(&self.url()).unwrap(), Limits::for_memory(64 << 20)).with_timeouts(timeouts)
    }

    fn heard(&self) -> Vec<(usize, String)> {
        self.heard.lock().unwrap().clone()
    }
}

fn perform(mut stream: &TcpStream, act: Act, number: usize, log: &Mutex<Vec<(usize, String)>>) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    match act {
        Hear => {
            let mut reader = BufReader::with_capacity(1, stream);
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let from = head.len();
                if reader.read_line(&mut head).ok()? == 0 {
                    return None;
                }
                match head[from..].trim_end() {
                    "" => break,
                    field => {
                        if let Some(number) = field.strip_prefix("Content-Length: ") {
                            length = number.parse().ok()?;
                        }
                    }
                }
            }
            log.lock().unwrap().push((number, head));
            std::io::copy(&mut reader.take(length), &mut std::io::sink()).ok().map(drop)
        }
        Say(bytes) => stream.write_all(&bytes).ok(),
        Repeat(bytes, pause) => loop {
            stream.write_all(&bytes).ok()?;
            std::thread::sleep(pause);
        },
        Hold => {
            let mut sink = [0; 4096];
            while matches!(stream.read(&mut sink), Ok(count) if count > 0) {}
            Some(())
        }
    }
}

/// A commit with one file, and what a server says of it: the discovery, the references, the pack.
fn bodies() -> (ObjectId, [Vec<u8>; 3]) {
    let mut pack = Pack::default();
    let file = pack.object(support_git::fake::BLOB, b"content\n");
    let tip = pack.commit_of(&[("100644", "a", file)]);
    let mut discovery = line(b"# service=git-upload-pack\n");
    discovery.extend(b"0000");
    for text in ["version 2\n", "agent=fake\n", "ls-refs\n", "fetch=shallow\n"] {
        discovery.extend(line(text.as_bytes()));
    }
    discovery.extend(b"0000");
    let mut references = line(format!("{tip} HEAD symref-target:refs/heads/main\n").as_bytes());
    references.extend(b"0000");
    let mut answer = line(b"packfile\n");
    for chunk in pack.finish().chunks(50) {
        answer.extend(line(&[b"\x01", chunk].concat()));
    }
    answer.extend(b"0000");
    (tip, [discovery, references, answer])
}

fn media_type(number: usize) -> &'static str {
    if number == 0 { "application/x-git-upload-pack-advertisement" } else { "application/x-git-upload-pack-result" }
}

/// The replies with their bodies' lengths.
fn plain() -> [Vec<u8>; 3] {
    let mut number = 0;
    bodies().1.map(|body| {
        let kind = media_type(number);
        number += 1;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), &body].concat()
    })
}

/// The reply to the discovery of a push.
fn advertisement() -> Vec<u8> {
    let mut body = line(b"# service=git-receive-pack\n");
    body.extend(b"0000");
    body.extend(line(format!("{} refs/heads/main\0report-status side-band-64k\n", bodies().0).as_bytes()));
    body.extend(b"0000");
    let kind = "application/x-git-receive-pack-advertisement";
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), &body].concat()
}

fn text(status: &str, fields: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// The error of a fetch from a server that says these bytes to its first request.
fn error(says: Vec<u8>) -> (String, Error) {
    let error = Script::start(vec![vec![Hear, Say(says), Hold]]).repository(QUICK).fetch().unwrap_err();
    let text = error.to_string();
    assert!(text.len() < 600 && !text.contains(char::is_control), "{text}");
    (text, error)
}

#[test]
fn chunks_and_interim_replies_are_read_on_one_connection() {
    let mut number = 0;
    let acts = bodies().1.map(|body| {
        let kind = media_type(number);
        number += 1;
        let mut reply = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".to_vec();
        reply.extend(
            format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}; x=y\r\nTransfer-Encoding: chunked\r\n\r\n").bytes(),
        );
        for chunk in body.chunks(7) {
            reply.extend(format!("{:x};extension\r\n", chunk.len()).bytes());
            reply.extend(chunk);
            reply.extend(b"\r\n");
        }
        reply.extend(b"0\r\nTrailer: x\r\n\r\n");
        [Hear, Say(reply)]
    });
    let script = Script::start(vec![acts.concat()]);
    let fetched = script.repository(SLOW).fetch().unwrap();
    assert!(matches!(fetched, Fetched::Moved { commit, .. } if commit == bodies().0));
    let heard = script.heard();
    assert_eq!(heard.len(), 3);
    let first = &heard[0].1;
    assert!(first.starts_with("GET /zones.git/info/refs?service=git-upload-pack HTTP/1.1\r\n"), "{first}");
    assert!(heard[1].1.starts_with("POST /zones.git/git-upload-pack HTTP/1.1\r\n"), "{}", heard[1].1);
    for (connection, request) in heard {
        assert_eq!(connection, 0);
        assert!(request.contains("\r\nGit-Protocol: version=2\r\n"), "{request}");
        assert!(request.contains(&format!("\r\nHost: 127.0.0.1:{}\r\n", script.port)), "{request}");
        assert!(!request.contains("Authorization") && !request.contains("Expect"), "{request}");
    }
}

#[test]
fn connections_may_end_behind_every_reply() {
    let closing = |reply: &Vec<u8>| {
        let text = String::from_utf8_lossy(reply);
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        let body = &reply[head.len() + 4..];
        [format!("HTTP/1.0{}\r\n\r\n", &head[8..head.find("\r\nContent-Length").unwrap()]).as_bytes(), body].concat()
    };
    let said = |reply: &Vec<u8>| String::from_utf8_lossy(reply).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let [first, second, third] = plain();
    // By the end of the connection, announced, and without a word.
    for replies in [
        [closing(&first), closing(&second), closing(&third)],
        [said(&first).into_bytes(), said(&second).into_bytes(), closing(&third)],
        [first.clone(), second.clone(), third.clone()],
    ] {
        let script = Script::start(replies.into_iter().map(|reply| vec![Hear, Say(reply)]).collect());
        script.repository(SLOW).fetch().unwrap();
        let heard: Vec<usize> = script.heard().into_iter().map(|(connection, _)| connection).collect();
        assert_eq!(heard, [0, 1, 2]);
    }
    // Only when the next request is there.
    let script =
        Script::start(vec![vec![Hear, Say(first), Hear], vec![Hear, Say(second), Hear], vec![Hear, Say(third)]]);
    script.repository(SLOW).fetch().unwrap();
    assert_eq!(script.heard().len(), 5);
    // On a new connection there is no second try.
    let script = Script::start(vec![vec![Hear], vec![Hear], vec![Hear]]);
    let error = script.repository(SLOW).fetch().unwrap_err();
    assert!(error.to_string().contains("the remote closed the connection"), "{error}");
    assert_eq!(script.heard().len(), 1);
}

#[test]
fn a_push_that_may_have_been_taken_is_not_sent_again() {
    let [first, second, third] = plain();
    let fetch = vec![Hear, Say(first), Hear, Say(second), Hear, Say(third)];
    // Heard whole, and then: nothing, a gateway's excuse, a plain no.
    let no = text("403 Forbidden", "Content-Type: text/plain\r\n", "The branch\nis protected");
    for (reply, unknown, word) in [
        (vec![], true, "the remote closed the connection"),
        (vec![Say(text("502 Bad Gateway", "", ""))], true, "the server answers 502 (Bad Gateway)"),
        (vec![Say(no)], false, "pushing requires a user and token (The branch is protected)"),
    ] {
        let acts = [vec![Hear, Say(advertisement()), Hear], reply].concat();
        let script = Script::start(vec![fetch.clone(), acts, vec![Hear], vec![Hear]]);
        let mut repository = script.repository(SLOW);
        repository.fetch().unwrap();
        let draft = one_change(&repository, "new\n");
        let error = push(&mut repository, &draft).unwrap_err();
        assert_eq!(matches!(error, PushError::Unknown(_)), unknown, "{error}");
        assert_eq!(matches!(error, PushError::NotSent(_)), !unknown, "{error}");
        assert!(error.to_string().contains(word), "{error}");
        let posts =
            script.heard().iter().filter(|(_, request)| request.contains("POST /zones.git/git-receive-pack")).count();
        assert_eq!(posts, 1);
    }
}

#[test]
fn a_push_waits_as_long_as_it_is_told() {
    const PATIENCE: Duration = Duration::from_millis(700);
    let [first, second, third] = plain();
    let fetch = vec![Hear, Say(first), Hear, Say(second), Hear, Say(third)];
    for (acts, unknown) in
        [(vec![Hold], false), (vec![Hear, Hold], false), (vec![Hear, Say(advertisement()), Hear, Hold], true)]
    {
        let mut repository = Script::start(vec![fetch.clone(), acts]).repository(SLOW);
        repository.fetch().unwrap();
        let draft = one_change(&repository, "new\n");
        // Only the wait that is to end is short.
        let (sending, report) = if unknown { (SLOW.total, PATIENCE) } else { (PATIENCE, SLOW.total) };
        let error = repository.push(&draft, Deadline::from_now(sending), report).unwrap_err();
        assert_eq!(matches!(error, PushError::Unknown(_)), unknown, "{error}");
        assert!(error.to_string().contains("timed out after 1 s"), "{error}");
    }
}

#[test]
fn statuses_are_explained() {
    let page = "Content-Type: text/html\r\n";
    let json = "Content-Type: application/json; charset=utf-8\r\n";
    let long = "x".repeat(5000);
    for (reply, transient, words) in [
        (text("500 Oo\x07ps", "", ""), true, "the server answers 500 (Oo ps)"),
        (text("503 Busy", "Content-Type: text/plain\r\n", "later\r\n"), true, "answers 503 (Busy: later)"),
        (text("429 Slow down", page, "<html>"), true, "limits the rate of requests (HTTP 429 Slow down)"),
        (text("503 Busy", "Retry-After: 60\r\n", ""), true, "the remote asks to wait 60 s (HTTP 503 Busy)"),
        (text("502 Bad", "Retry-After: 7\r\n", ""), true, "the remote asks to wait 7 s (HTTP 502 Bad)"),
        (text("503 Busy", "Retry-After: -1\r\n", ""), true, "the server answers 503 (Busy)"),
        (text("403 No", "Retry-After: 60\r\n", ""), true, "the remote asks to wait 60 s (HTTP 403 No)"),
        (text("403 No", "X-RateLimit-Remaining: 0\r\n", ""), true, "limits the rate of requests (HTTP 403 No)"),
        (text("403 No", page, "<p>API rate limit exceeded"), true, "limits the rate of requests (HTTP 403 No)"),
        (
            text("403 No", json, "{\"message\":\"You have exceeded a secondary Rate Limit\"}"),
            true,
            "limits the rate of requests",
        ),
        (text("403 No", json, "{\"message\":\"You have triggered an abuse detection mechanism\"}"), true, "limits"),
        (
            text("403 \u{202e}No", "Content-Type: text/plain\r\n", "a\u{202e}b\u{200b}c"),
            false,
            "(a\\u{202e}b\\u{200b}c)",
        ),
        (text("418 Teapot", "Content-Type: text/plain\r\n", &long), false, "answers 418 (Teapot: xxx"),
        (text("401 No", "", ""), false, "the remote wants a user and token"),
        (text("403 No", "", ""), false, "the remote forbids it: does it require --git-user"),
        (text("404 No", "", ""), false, "no such repository"),
        (text("200 OK", page, "<html>"), false, "a web page answers"),
        (text("200 OK", "Content-Type: image/png\r\n", "x"), false, "image/png answers"),
        (text("200 OK", "", &format!("{}\tHEAD\n", "0".repeat(40))), false, "\"dumb\" HTTP"),
        (text("302 Found", "Location: /login?back=s3cret\r\n", ""), false, "redirected to http://127.0.0.1"),
        (text("302 Found", "", ""), false, "redirected to nowhere, which cannot be followed"),
        (text("304 Not Modified", "", ""), false, "redirected to nowhere"),
    ] {
        // Control characters are no part of HTTP, and some servers send them all the same.
        let reply: Vec<u8> = reply.into_iter().map(|byte| if byte == 7 { b'\t' } else { byte }).collect();
        let (message, error) = error(reply);
        assert!(message.contains(words), "{words}: {message}");
        assert!(!message.contains("s3cret"), "{message}");
        assert_eq!(error.is_transient(), transient, "{message}");
    }
}

#[test]
fn a_remote_that_asks_to_wait_is_left_alone() {
    let wait = |status: &str| text(status, "Retry-After: 3600\r\n", "");
    let [first, second, third] = plain();
    // At once, in the middle, and before or after what is asked of a push.
    let fetched = vec![Hear, Say(first.clone()), Hear, Say(second.clone()), Hear, Say(third)];
    for (connections, is_push, requests) in [
        (vec![vec![Hear, Say(wait("429 Too Many Requests")), Hold]], false, 1),
        (vec![vec![Hear, Say(first.clone()), Hear, Say(wait("429 Too Many Requests")), Hold]], false, 2),
        (vec![vec![Hear, Say(first), Hear, Say(second), Hear, Say(wait("503 Busy")), Hold]], false, 3),
        (vec![fetched.clone(), vec![Hear, Say(wait("403 Forbidden")), Hold]], true, 4),
        (vec![fetched, vec![Hear, Say(advertisement()), Hear, Say(wait("429 Too Many Requests")), Hold]], true, 5),
    ] {
        // There is another connection for each who does not wait.
        let script = Script::start([connections, vec![vec![Hear]; 9]].concat());
        let mut repository = script.repository(QUICK);
        let expected = "the remote asks to wait 1 h (HTTP ";
        if is_push {
            repository.fetch().unwrap();
            let draft = one_change(&repository, "new\n");
            for _ in 0..2 {
                let error = push(&mut repository, &draft).unwrap_err();
                assert!(matches!(error, PushError::NotSent(_)) && error.to_string().contains(expected), "{error}");
            }
        }
        for _ in 0..2 {
            let error = repository.fetch().unwrap_err();
            assert!(error.is_transient() && error.to_string().starts_with(expected), "{error}");
        }
        let left = repository.upstream().rest.left().unwrap();
        assert!(left <= Duration::from_secs(3600) && left > Duration::from_secs(3000), "{left:?}");
        assert_eq!(script.heard().len(), requests);
        // Whoever shares the way to the remote waits as well.
        let other = Repository::new(repository.upstream().clone(), Limits::default()).fetch().unwrap_err();
        assert!(other.to_string().starts_with(expected), "{other}");
        assert_eq!(script.heard().len(), requests);
    }
    // No longer than an hour, and not at all for what cannot be meant.
    for (asks, least, most) in [("7200", 3000, 3600), ("5", 1, 5), ("864000", 0, 0), ("soon", 0, 0), ("0", 0, 0)] {
        let reply = text("503 Busy", &format!("Retry-After: {asks}\r\n"), "");
        let script = Script::start(vec![vec![Hear, Say(reply), Hold]]);
        let mut repository = script.repository(QUICK);
        repository.fetch().unwrap_err();
        let left = repository.upstream().rest.left().unwrap_or_default().as_secs_f32().ceil() as u64;
        assert!((least..=most).contains(&left), "{asks}: {left}");
    }
    // When it is over, the remote is asked again.
    let [first, second, third] = plain();
    let script = Script::start(vec![
        vec![Hear, Say(text("429 Wait", "Retry-After: 1\r\nConnection: close\r\n", ""))],
        vec![Hear, Say(first), Hear, Say(second), Hear, Say(third)],
    ]);
    let mut repository = script.repository(SLOW);
    repository.fetch().unwrap_err();
    while let Some(left) = repository.upstream().rest.left() {
        std::thread::sleep(left);
    }
    repository.fetch().unwrap();
}

#[test]
fn what_is_no_http_is_refused() {
    let advertisement = "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n";
    let chunked = format!("{advertisement}Transfer-Encoding: chunked\r\n\r\n");
    let other = String::from_utf8(line(b"# service=git-receive-pack\n")).unwrap() + "0000";
    for (reply, word) in [
        ("SSH-2.0-OpenSSH_9.2\r\n".to_string(), "not an HTTP reply"),
        ("0020ERR no such repository\n".to_string(), "not an HTTP reply"),
        (format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(20_000)), "head has more than 16384 octets"),
        (format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(200)), "more than 100 header fields"),
        ("HTTP/1.1 100 Continue\r\n\r\n".repeat(20), "too many interim replies"),
        (format!("{advertisement}Content-Length: 1, 2\r\n\r\n"), "a Content-Length that is not a number"),
        (format!("{advertisement}Content-Encoding: gzip\r\n\r\n"), "a compressed reply"),
        (format!("{chunked}nonsense\r\n"), "a chunk without a valid size"),
        (format!("{chunked}2\r\n00zz"), "a chunk that is longer than its declared size"),
        (format!("{chunked}0\r\n\r\n"), "the remote closed the connection"),
        (format!("{advertisement}Content-Length: 4\r\n\r\nzzzz"), "protocol error"),
        (format!("{advertisement}Content-Length: {}\r\n\r\n{other}", other.len()), "another service"),
    ] {
        let (message, _) = error(reply.into_bytes());
        assert!(message.contains(word), "{word}: {message}");
    }
}

#[test]
fn a_reply_that_breaks_off_is_noticed() {
    let [first, ..] = plain();
    for length in [10, 60, first.len() - 10] {
        let script = Script::start(vec![vec![Hear, Say(first[..length].to_vec())]]);
        let error = script.repository(QUICK).fetch().unwrap_err();
        assert!(error.to_string().contains("the remote closed the connection"), "{error}");
        assert!(error.is_transient());
    }
}

#[test]
fn every_wait_has_an_end() {
    let [first, second, third] = plain();
    let trickle = |bytes: &[u8]| Repeat(bytes.to_vec(), Duration::from_millis(50));
    let half = third[..third.len() - 30].to_vec();
    let endless =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-result\r\nTransfer-Encoding: chunked\r\n\r\n";
    for acts in [
        vec![Hold],
        vec![Hear, Say(first[..60].to_vec()), Hold],
        vec![Hear, Say(first.clone()), Hear, Hold],
        vec![Hear, Say(first.clone()), Hear, Say(second.clone()), Hear, Say(half), Hold],
        // Never silent for long, and never at the end.
        vec![Hear, Say(b"HTTP/1.1 200 OK\r\nA: ".to_vec()), trickle(b"x")],
        vec![Hear, Say(first.clone()), Hear, Say(endless.to_vec()), trickle(b"1;x\r\n0\r\n")],
    ] {
        let error = Script::start(vec![acts]).repository(QUICK).fetch().unwrap_err();
        assert!(error.to_string().starts_with("timed out after"), "{error}");
        assert!(error.is_transient());
    }
    // One that says nothing where TLS is expected.
    let script = Script::start(vec![vec![Hold]]);
    let remote = Remote::parse(&script.url().replace("http:", "https:")).unwrap();
    let error = Repository::new(remote, Limits::default()).with_timeouts(QUICK).fetch().unwrap_err();
    assert_eq!(error.to_string(), "timed out after 1 s while setting up TLS");
    for (says, word) in
        [("HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS"), ("", "TLS handshake with 127.0.0.1")]
    {
        let script = Script::start(vec![vec![Say(says.into())]]);
        let remote = Remote::parse(&script.url().replace("http:", "https:")).unwrap();
        let error = Repository::new(remote, Limits::default()).with_timeouts(QUICK).fetch().unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn redirections_are_followed_so_far_and_without_secrets() {
    let insisting = |script: &Script| {
        let access =
            Access { token: Some(Secret::new("s3cret".into())), credentials_in_clear: true, ..Access::default() };
        let upstream = Upstream { access, ..Remote::parse(&script.url()).unwrap().into() };
        Repository::new(upstream, Limits::default()).with_timeouts(SLOW)
    };
    let moved = |to: &str| text("301 Moved", &format!("Location: {to}/info/refs?service=git-upload-pack\r\n"), "gone");
    let [first, second, third] = plain();

    // To another path of the same server, where everything else goes, too, with the token.
    let acts = vec![
        Hear,
        Say(moved("/new.git")),
        Hear,
        Say(first.clone()),
        Hear,
        Say(second.clone()),
        Hear,
        Say(third.clone()),
    ];
    let script = Script::start(vec![acts]);
    insisting(&script).fetch().unwrap();
    let heard = script.heard();
    let paths: Vec<&str> = heard.iter().map(|(_, request)| request.split(' ').nth(1).unwrap()).collect();
    assert_eq!(
        paths[1..],
        ["/new.git/info/refs?service=git-upload-pack", "/new.git/git-upload-pack", "/new.git/git-upload-pack"]
    );
    assert!(heard.iter().all(|(_, request)| request.contains("\r\nAuthorization: Basic ")), "{heard:?}");

    // To another server, which gets no token, and wants one.
    let other = Script::start(vec![
        vec![Hear, Say(first), Hear, Say(second), Hear, Say(third)],
        vec![Hear, Say(text("401 No", "", ""))],
    ]);
    for wanted in [false, true] {
        let script = Script::start(vec![vec![Hear, Say(moved(&other.url())), Hold]]);
        let result = insisting(&script).fetch();
        match (wanted, result) {
            (false, result) => drop(result.unwrap()),
            (true, result) => {
                let error = result.unwrap_err().to_string();
                assert!(
                    error.contains("not sent to the target of a redirection") && error.contains(&other.url()),
                    "{error}"
                );
            }
        }
        assert!(script.heard()[0].1.contains("Authorization"));
    }
    assert!(other.heard().iter().all(|(_, request)| !request.contains("Authorization")));

    // A server that repeats what it was told is not quoted.
    for reply in [
        text("403 No", "Content-Type: text/plain\r\n", "bad token s3cret"),
        text("500 s3cret", "Content-Type: text/plain\r\n", "eC1hY2Nlc3MtdG9rZW46czNjcmV0"),
        text("302 Found", "Location: /bad/s3cret\r\n", ""),
    ] {
        let error = insisting(&Script::start(vec![vec![Hear, Say(reply), Hold]])).fetch().unwrap_err().to_string();
        assert!(!error.contains("s3cret") && !error.contains("czNjcmV0"), "{error}");
    }

    // Round and round.
    let acts = (0..20).flat_map(|number| [Hear, Say(moved(&format!("/{number}")))]).collect();
    let script = Script::start(vec![acts]);
    let error = script.repository(SLOW).fetch().unwrap_err().to_string();
    assert!(error.contains("but there were too many redirections"), "{error}");
    assert_eq!(script.heard().len(), 6);
}
