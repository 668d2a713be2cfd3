//! Pushes that somebody or something comes in the way of: what is told must be what happened.

mod support_git;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use support_git::{
    Server,
    drafts::{
        AMPLE, assert_sound, author, begin, commit, committer, fetched, fetched_by, noise, one_change, proxied, push,
        zone_text,
    },
    fake::line,
    proxy::{Cut, Proxy},
};
use zonule::git::{
    Deadline, Error, Fate, Fetched, Limits, ObjectId, Protocol, PushError, Remote, Repository, Timeouts,
};

#[test]
fn somebody_elses_push_comes_first() {
    for protocol in [Protocol::V0, Protocol::V2] {
        let (server, work) = begin();
        let mut repository = fetched_by(&work.url(), protocol);
        let draft = one_change(&repository, "ours\n");
        work.write("a", "theirs\n");
        let theirs = work.push("theirs");
        assert!(matches!(push(&mut repository, &draft), Err(PushError::Stale)));
        assert_eq!(repository.fate(draft.tip(), draft.base()).unwrap(), Fate::Lost);
        repository.fetch().unwrap();
        assert_eq!(repository.commit().unwrap().id.to_string(), theirs);
        // A draft from before the fetch is as stale as it was.
        assert!(matches!(push(&mut repository, &draft), Err(PushError::Stale)));
        assert_eq!(server.git("zones.git", &["rev-parse", "main"]).trim(), theirs);
        let draft = one_change(&repository, "ours\n");
        push(&mut repository, &draft).unwrap();
        assert_sound(&server, &repository);
        // The branch is gone altogether.
        let draft = one_change(&repository, "again\n");
        server.git("zones.git", &["update-ref", "-d", "refs/heads/main"]);
        assert!(matches!(push(&mut repository, &draft), Err(PushError::Stale)));
    }
}

#[test]
fn somebody_elses_push_comes_between() {
    let (server, work) = begin();
    // The branch moves while our push is being checked, or is locked.
    let other = work.commit("between");
    work.git(&["push", "-q", "origin", "HEAD:other"]);
    for script in [
        format!("unset GIT_QUARANTINE_PATH; git update-ref refs/heads/main {other}"),
        "touch refs/heads/main.lock".into(),
    ] {
        server.hook("zones.git", "pre-receive", &script);
        let mut repository = fetched(&work.url());
        let draft = one_change(&repository, "ours\n");
        assert!(matches!(push(&mut repository, &draft), Err(PushError::Stale)), "{script}");
        assert_eq!(server.git("zones.git", &["rev-parse", "main"]).trim(), other);
    }
}

#[test]
fn many_writers_lose_nothing() {
    let (server, work) = begin();
    let mut repository = fetched(&work.url());
    let human = std::thread::spawn(move || {
        for n in 0..25 {
            work.write("human", format!("{n}\n"));
            work.commit("human");
            while zonule_harness::run(zonule_harness::git(&work.dir).args(["push", "-q", "origin", "HEAD"])).is_err() {
                work.git(&["pull", "-q", "--rebase", "origin", "main"]);
            }
        }
    });
    let mut ours = Vec::new();
    for n in 0..60 {
        loop {
            let draft = one_change(&repository, &format!("{n}\n"));
            match push(&mut repository, &draft) {
                Ok(()) => {
                    ours.push(draft.tip().to_string());
                    break;
                }
                Err(PushError::Stale) => drop(repository.fetch().unwrap()),
                Err(error) => panic!("{error}"),
            }
        }
    }
    human.join().unwrap();
    repository.fetch().unwrap();
    assert_sound(&server, &repository);
    let log = server.git("zones.git", &["log", "--reverse", "--format=%H %s", "main"]);
    let (human, rest): (Vec<&str>, Vec<&str>) = log.lines().partition(|line| line.ends_with(" human"));
    assert_eq!(human.len(), 25);
    assert_eq!(rest[1..].iter().map(|line| &line[..40]).collect::<Vec<_>>(), ours);
}

#[test]
fn a_hook_refuses_with_many_lines() {
    let (server, work) = begin();
    let mut repository = fetched(&work.url());
    let draft = one_change(&repository, "second\n");
    let script = "echo 'example.org: line 7:' >&2; printf '\\tno such\\033[31m type\\n\\n' >&2; echo goodbye; exit 1";
    for (hook, reason) in [("pre-receive", "pre-receive hook declined"), ("update", "hook declined")] {
        server.hook("zones.git", hook, script);
        let error = push(&mut repository, &draft).unwrap_err();
        let PushError::Refused { reason: found, said } = &error else { panic!("{error}") };
        assert_eq!(found, reason);
        let said = said.replace("error: hook declined to update refs/heads/main", "");
        assert_eq!(said.trim_end(), "example.org: line 7:\n no such\\u{1b}[31m type\n\ngoodbye");
        assert!(
            error.to_string().starts_with(&format!("the remote refused the push: {reason}: example.org: line 7: |"))
        );
        assert!(!error.to_string().contains('\n') && !error.is_transient());
        assert_eq!(repository.fetch().unwrap(), Fetched::Unchanged);
        std::fs::remove_file(server.path("zones.git").join("hooks").join(hook)).unwrap();
    }
    server.hook("zones.git", "pre-receive", "yes 'too much' | head -c 1000000 >&2; exit 1");
    let PushError::Refused { said, .. } = push(&mut repository, &draft).unwrap_err() else { panic!() };
    assert!(said.len() <= 4096 && said.starts_with("too much\ntoo much\n"));
    std::fs::remove_file(server.path("zones.git").join("hooks/pre-receive")).unwrap();

    server.git("zones.git", &["config", "core.bare", "false"]);
    server.git("zones.git", &["config", "receive.denyCurrentBranch", "refuse"]);
    let PushError::Refused { reason, said } = push(&mut repository, &draft).unwrap_err() else { panic!() };
    assert_eq!(reason, "branch is currently checked out");
    assert!(said.contains("refusing to update checked out branch"), "{said}");
    server.git("zones.git", &["config", "core.bare", "true"]);
    push(&mut repository, &draft).unwrap();
    assert_sound(&server, &repository);
}

#[test]
fn a_slow_hook_is_waited_for_as_long_as_asked() {
    let (server, work) = begin();
    server.git("zones.git", &["config", "receive.keepAlive", "1"]);
    let mut repository =
        fetched(&work.url()).with_timeouts(Timeouts { stall: Duration::from_secs(3), ..Timeouts::default() });
    // Longer than a stall may be: what keeps the connection alive keeps us waiting.
    server.hook("zones.git", "pre-receive", "sleep 5");
    let draft = one_change(&repository, "second\n");
    push(&mut repository, &draft).unwrap();
    assert_sound(&server, &repository);

    let draft = one_change(&repository, "third\n");
    let error = repository.push(&draft, Deadline::from_now(AMPLE), Duration::from_secs(2)).unwrap_err();
    assert!(matches!(error, PushError::Unknown(Error::TimedOut { .. })), "{error}");
    assert_eq!(repository.commit().unwrap().id, draft.base());
    // The hook is still at it. Once it is done the commit is there, though nobody waits for it.
    assert_eq!(repository.fate(draft.tip(), draft.base()).unwrap(), Fate::Open);
    zonule_harness::eventually("the hook ends", || {
        (repository.fate(draft.tip(), draft.base()).unwrap() == Fate::Taken).then_some(())
    })
    .unwrap();
    // Pushing the same again finds that out, too.
    server.hook("zones.git", "pre-receive", "exit 1");
    push(&mut repository, &draft).unwrap();
    assert_sound(&server, &repository);
}

#[test]
fn a_slow_hook_afterwards_is_not_waited_for_and_not_broken() {
    let (server, work) = begin();
    let done = server.path("zones.git").join("done");
    let script =
        format!("echo begin >&2; while ! test -e go; do sleep 0.1; done; echo end >&2 && touch {}", done.display());
    server.hook("zones.git", "post-receive", &script);
    let mut repository = fetched(&work.url());
    let draft = one_change(&repository, "second\n");
    push(&mut repository, &draft).unwrap();
    assert!(!done.exists());
    assert_sound(&server, &repository);
    std::fs::write(server.path("zones.git").join("go"), "").unwrap();
    zonule_harness::eventually("the hook ends", || done.exists().then_some(())).unwrap();
}

#[test]
fn a_push_again_of_what_is_there_succeeds() {
    let (server, work) = begin();
    let mut repository = fetched(&work.url());
    let mut second = fetched(&work.url());
    let draft = one_change(&repository, "second\n");
    push(&mut repository, &draft).unwrap();
    push(&mut repository, &draft).unwrap();
    // As after a push whose report got lost.
    push(&mut second, &draft).unwrap();
    assert_sound(&server, &second);
    assert_eq!(second.fetch().unwrap(), Fetched::Unchanged);
}

#[test]
fn a_remote_that_takes_no_pushes() {
    let (server, work) = begin();
    let mut repository = fetched(&work.url());
    let draft = one_change(&repository, "second\n");
    server.git("zones.git", &["config", "daemon.receivepack", "false"]);
    let error = push(&mut repository, &draft).unwrap_err();
    assert!(matches!(&error, PushError::NotSent(Error::ReadOnly { .. })), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("access denied") && text.contains("git config daemon.receivepack true"), "{text}");
    assert!(!error.is_transient());

    // It only closes.
    let mut repository = fetched(&work.url());
    let draft = one_change(&repository, "second\n");
    drop(server);
    let error = push(&mut repository, &draft).unwrap_err();
    assert!(matches!(&error, PushError::NotSent(Error::Connect { .. })), "{error:?}");
    assert!(error.to_string().starts_with("not pushed: connection refused by 127.0.0.1:"), "{error}");
    assert!(error.is_transient());
}

#[test]
fn a_broken_connection_is_told_as_what_it_is() {
    let (server, work) = begin();
    let proxy = Proxy::start(server.port.number());
    let mut repository = fetched(&proxied(&proxy));
    proxy.ended();
    let direct = fetched(&work.url());
    let draft = one_change(&repository, "unbroken\n");
    push(&mut repository, &draft).unwrap();
    let (sent, received) = proxy.ended();
    let around = |all: usize| (0..all + 30).filter(move |n| n % 9 == 0 || n + 30 > all);
    let cuts: Vec<Cut> = around(sent).map(Cut::Sent).chain(around(received).map(Cut::Received)).collect();
    let (mut taken, mut not_sent, mut unknown) = (0, 0, 0);
    for (n, cut) in cuts.into_iter().enumerate() {
        let draft = one_change(&repository, &format!("change {n:08}\n"));
        proxy.cut(cut.clone());
        let outcome = push(&mut repository, &draft);
        let (octets, _) = proxy.ended();
        proxy.cut(Cut::Never);
        // The server is done with it.
        let there = server.git("zones.git", &["rev-parse", "main"]).trim().parse::<ObjectId>().unwrap() == draft.tip();
        match &outcome {
            Ok(()) => assert!(there, "{cut:?}"),
            Err(PushError::NotSent(_)) => assert!(!there, "{cut:?}"),
            Err(PushError::Unknown(_)) => {}
            Err(error) => panic!("{cut:?}: {error}"),
        }
        match &outcome {
            Err(PushError::Unknown(_)) => unknown += 1,
            Err(_) => not_sent += 1,
            Ok(()) => {}
        }
        let fate = direct.fate(draft.tip(), draft.base()).unwrap();
        assert_eq!(fate, if there { Fate::Taken } else { Fate::Open }, "{cut:?}, {octets} octets");
        taken += u32::from(there);
        let moved = repository.fetch().unwrap() != Fetched::Unchanged;
        proxy.ended();
        assert_eq!(moved, there && outcome.is_err(), "{cut:?}");
    }
    assert!(taken > 10 && not_sent > 10 && unknown > 10, "{taken} taken, {not_sent} not sent, {unknown} unknown");
    assert_sound(&server, &repository);
}

#[test]
fn what_became_of_a_commit_is_found_out_later() {
    for (protocol, filter) in
        [(Protocol::V0, "false"), (Protocol::V0, "true"), (Protocol::V2, "false"), (Protocol::V2, "true")]
    {
        let (server, work) = begin();
        server.git("zones.git", &["config", "uploadpack.allowFilter", filter]);
        // A history whose transfer would be noticed.
        for n in 0..30 {
            work.write("noise", noise(n, 20_000));
            work.commit("noise");
        }
        work.push("noise");
        let mut limits = Limits::default();
        limits.pack_bytes = 100_000;
        let mut repository = Repository::new(Remote::parse(&work.url()).unwrap(), limits).with_protocol(protocol);
        repository.fetch().unwrap();
        let lost = one_change(&repository, "lost\n");
        let mut draft = one_change(&repository, "second\n");
        commit(&mut draft, &repository, "third", &[("a", Some("third\n"))]);
        let (tip, base) = (draft.tip(), draft.base());
        let fate = |id| repository.fate(id, base).unwrap();
        assert_eq!((fate(tip), fate(lost.tip())), (Fate::Open, Fate::Open));
        let mut other = fetched_by(&work.url(), protocol);
        push(&mut other, &draft).unwrap();
        assert_eq!((fate(tip), fate(lost.tip())), (Fate::Taken, Fate::Lost));
        // Others go on from there, on a line and with a merge.
        work.git(&["checkout", "-q", "-b", "side"]);
        work.write("b", "beside\n");
        work.commit("beside");
        work.git(&["checkout", "-q", "main"]);
        work.git(&["pull", "-q", "origin", "main"]);
        for n in 0..10 {
            work.write("c", format!("{n}\n"));
            work.commit("further");
        }
        work.push("further");
        assert_eq!((fate(tip), fate(lost.tip())), (Fate::Taken, Fate::Lost));
        work.git(&["checkout", "-q", "side"]);
        work.git(&["merge", "-q", "--no-ff", "-m", "merge", "main"]);
        work.git(&["push", "-q", "origin", "HEAD:main"]);
        assert_eq!((fate(tip), fate(lost.tip())), (Fate::Taken, Fate::Lost));
        // The object is there, the branch has been set to something else.
        work.git(&["checkout", "-q", "-b", "other", &base.to_string()]);
        work.write("c", "other\n");
        work.commit("other");
        work.git(&["push", "-q", "-f", "origin", "HEAD:main"]);
        assert_eq!((fate(tip), fate(lost.tip())), (Fate::Lost, Fate::Lost));
        // Neither has been heard of: no history is transferred to learn that.
        let unheard: ObjectId = "1111111111111111111111111111111111111111".parse().unwrap();
        assert_eq!(repository.fate(unheard, unheard).unwrap(), Fate::Lost);
    }
}

#[test]
fn a_full_disk_at_the_remote() {
    // No file of more than 20 kB can be written, except by the push of the working copy.
    let server = Server::start_after("trap '' XFSZ; ulimit -f 40");
    let work = server.repository("zones.git");
    work.write("a", "first\n");
    let content = noise(1, 100_000);
    work.write("noise", &content);
    work.push("begin");
    let mut repository = fetched(&work.url());
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut content = content.clone();
        change(&mut content);
        let mut draft = repository.draft().unwrap();
        let changes = BTreeMap::from([("noise".to_string(), Some(content))]);
        draft.commit(&repository, &changes, &author(), &committer(), "too large").unwrap();
        draft
    };
    let (one_byte, all) =
        (changed(&|content| content[50_000] ^= 1), changed(&|content| *content = noise(2, 4_000_000)));
    // All of the push is read before the disk is full.
    let error = push(&mut repository, &one_byte).unwrap_err();
    let PushError::Refused { reason, said } = &error else { panic!("{error:?}") };
    assert_eq!(reason, "the pack could not be stored: unpack-objects abnormal exit");
    assert!(said.contains("File too large"), "{said}");
    // The remote closes while there is more to read, so that its words may be lost on the way.
    for unpack_limit in ["1", "1000"] {
        server.git("zones.git", &["config", "receive.unpackLimit", unpack_limit]);
        let error = push(&mut repository, &all).unwrap_err();
        match &error {
            PushError::Refused { reason, .. } => {
                assert!(reason.starts_with("the pack could not be stored: "), "{error}")
            }
            PushError::NotSent(Error::Lost { .. }) | PushError::Unknown(Error::Lost { .. }) => {}
            _ => panic!("{error:?}"),
        }
        assert_eq!(repository.fate(all.tip(), all.base()).unwrap(), Fate::Open);
        assert_eq!(repository.fetch().unwrap(), Fetched::Unchanged);
    }
    let draft = one_change(&repository, "small\n");
    push(&mut repository, &draft).unwrap();
    assert_sound(&server, &repository);
}

#[test]
fn a_deadline_before_the_end_means_nothing_was_sent() {
    let (server, work) = begin();
    let mut repository = fetched(&work.url());
    let draft = one_change(&repository, "second\n");
    let error = repository.push(&draft, Deadline::from_now(Duration::ZERO), AMPLE).unwrap_err();
    assert!(matches!(error, PushError::NotSent(Error::TimedOut { .. })), "{error}");
    assert_eq!(repository.fate(draft.tip(), draft.base()).unwrap(), Fate::Open);

    // A server that greets and then reads nothing: a large pack does not fit on the way.
    let proxy = Proxy::start(server.port.number());
    let mut repository = fetched(&proxied(&proxy));
    let mut draft = repository.draft().unwrap();
    let changes = BTreeMap::from([("noise".to_string(), Some(noise(1, 30_000_000)))]);
    draft.commit(&repository, &changes, &author(), &committer(), "large").unwrap();
    proxy.cut(Cut::Deaf(greeting(draft.base(), CAPABILITIES)));
    let error = repository.push(&draft, Deadline::from_now(Duration::from_secs(1)), AMPLE).unwrap_err();
    assert!(matches!(error, PushError::NotSent(Error::TimedOut { .. })), "{error}");
    // One that reads it all and says nothing.
    let draft = one_change(&repository, "second\n");
    proxy.cut(Cut::Says(greeting(draft.base(), CAPABILITIES), line(b"\x01")));
    let error = repository.push(&draft, Deadline::from_now(AMPLE), Duration::from_secs(1)).unwrap_err();
    assert!(matches!(error, PushError::Unknown(Error::TimedOut { .. })), "{error}");
}

#[test]
fn strange_servers_are_borne() {
    let (server, _work) = begin();
    let proxy = Proxy::start(server.port.number());
    let mut repository = fetched(&proxied(&proxy));
    let draft = one_change(&repository, "second\n");
    let (base, tip) = (draft.base(), draft.tip());
    let band = |band: u8, text: &[u8]| line(&[&[band], text].concat());
    let report = |lines: &[&str]| {
        let lines: Vec<u8> = lines.iter().flat_map(|text| line(text.as_bytes())).collect();
        band(1, &[&lines[..], b"0000"].concat())
    };
    let open = |capabilities: &str| greeting(base, capabilities);
    let after = |answer: &[u8]| [open(CAPABILITIES), answer.to_vec()].concat();
    let none = Vec::new;
    let long = "x".repeat(60_000);
    let other = format!("option new-oid {base}\n");
    let same = format!("option new-oid {tip}\n");
    type Case<'a> = (&'a str, Vec<u8>, Vec<u8>, &'a str);
    let cases: Vec<Case<'_>> = vec![
        // Before anything is sent.
        ("closes", none(), none(), "NotSent(Lost"),
        ("endless references", none(), line(format!("{base} refs/heads/x\n").as_bytes()), "NotSent(TimedOut"),
        ("endless capabilities", none(), line(format!("{base} r\0{long}\n").as_bytes()), "NotSent(TimedOut"),
        ("speaks HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), none(), "NotSent(Protocol"),
        ("error", line(b"ERR no such thing\n"), none(), "NotSent(Refused"),
        ("not enabled", line(b"ERR service not enabled: '/zones.git'\n"), none(), "NotSent(ReadOnly"),
        ("no report", open("side-band-64k"), none(), "NotSent(Unsupported"),
        ("no side band", open("report-status"), none(), "NotSent(Unsupported"),
        ("sha256", open(&CAPABILITIES.replace("sha1", "sha256")), none(), "NotSent(Unsupported"),
        (
            "no branch",
            [line(format!("{base} refs/heads/other\0report-status side-band-64k\n").as_bytes()), b"0000".to_vec()]
                .concat(),
            none(),
            "Stale",
        ),
        (
            "empty",
            [
                line(format!("{} capabilities^{{}}\0report-status side-band-64k\n", "0".repeat(40)).as_bytes()),
                b"0000".to_vec(),
            ]
            .concat(),
            none(),
            "Stale",
        ),
        // After.
        ("silent", after(b""), none(), "Unknown(Lost"),
        ("flush", after(b"0000"), none(), "Unknown(Protocol"),
        ("no bands", after(&report(&["unpack ok\n", "ok refs/heads/main\n"])[5..]), none(), "Unknown(Protocol"),
        ("garbage", after(b"zzzz"), none(), "Unknown(Protocol"),
        ("garbage in the band", after(&band(1, b"zzzzzzzz")), none(), "Unknown(Protocol"),
        ("delimiter", after(&band(1, b"0001")), none(), "Unknown(Protocol"),
        ("endless report", open(CAPABILITIES), band(1, &line(b"ok refs/heads/other\n")), "Unknown(Protocol"),
        ("endless text", open(CAPABILITIES), band(2, long.as_bytes()), "Unknown(TimedOut"),
        ("endless silence", open(CAPABILITIES), band(1, b""), "Unknown(TimedOut"),
        ("empty report", after(&band(1, b"0000")), none(), "Unknown(Protocol"),
        ("another branch", after(&report(&["unpack ok\n", "ok refs/heads/main2\n"])), none(), "Unknown(Protocol"),
        ("error line", after(&line(b"ERR out of order\n")), none(), "Unknown(Refused"),
        ("fatal", after(&band(3, b"fatal: out of luck\n")), none(), "Unknown(Refused"),
        ("other commit", after(&report(&["unpack ok", "ok refs/heads/main", &other])), none(), "Unknown(Unsupported"),
        (
            "other name",
            after(&report(&["unpack ok", "ok refs/heads/main", "option refname refs/heads/x"])),
            none(),
            "Unknown(Unsupported",
        ),
        (
            "unpack",
            after(&report(&["unpack index-pack abnormal exit\n", "ng refs/heads/main unpacker error\n"])),
            none(),
            "Refused { reason: \"the pack could not be stored: index-pack abnormal exit\"",
        ),
        (
            "protected",
            after(&report(&["unpack ok\n", "ng refs/heads/main protected branch hook declined\n"])),
            none(),
            "Refused { reason: \"protected branch hook declined\"",
        ),
        (
            "escapes",
            after(&report(&["unpack ok\n", "ng refs/heads/main \x1b[2J\x07no\n"])),
            none(),
            "Refused { reason: \"\\\\u{1b}[2J\\\\u{7}no\"",
        ),
        (
            "unwritable",
            after(
                &[
                    band(2, b"error: cannot open: Permission denied\n"),
                    report(&["unpack ok", "ng refs/heads/main failed to update ref"]),
                ]
                .concat(),
            ),
            none(),
            "Refused { reason: \"failed to update ref\"",
        ),
        ("fetch first", after(&report(&["unpack ok\n", "ng refs/heads/main fetch first\n"])), none(), "Stale"),
        ("stale info", after(&report(&["unpack ok\n", "ng refs/heads/main stale info\n"])), none(), "Stale"),
        (
            "locked",
            after(&report(&["unpack ok\n", "ng refs/heads/main cannot lock ref 'refs/heads/main'\n"])),
            none(),
            "Stale",
        ),
        // In the end one that is only chatty.
        (
            "chatty",
            after(
                &[
                    band(2, b"hello"),
                    band(1, b""),
                    report(&["unpack ok", "ok refs/heads/other", &other, "ok refs/heads/main", &same]),
                ]
                .concat(),
            ),
            none(),
            "fine",
        ),
    ];
    for (name, once, again, expected) in cases {
        proxy.cut(Cut::Says(once, again));
        let begun = Instant::now();
        let outcome = repository.push(&draft, Deadline::from_now(Duration::from_secs(2)), Duration::from_secs(2));
        assert!(begun.elapsed() < Duration::from_secs(30), "{name}");
        match outcome {
            Ok(()) => assert_eq!(expected, "fine", "{name}"),
            Err(error) => {
                assert!(format!("{error:?}").starts_with(expected), "{name}: {error:?}");
                assert!(error.to_string().len() < 5000 && !error.to_string().contains(char::is_control), "{name}");
                assert_eq!(repository.commit().unwrap().id, base, "{name}");
            }
        }
    }
    assert_eq!(repository.commit().unwrap().id, tip);
    assert_eq!(server.git("zones.git", &["rev-parse", "main"]).trim(), base.to_string());
}

#[test]
fn a_server_that_wants_whole_objects_gets_them() {
    let (server, work) = begin();
    work.write("zone", zone_text(1, 2000));
    work.push("a zone");
    let proxy = Proxy::start(server.port.number());
    let mut repository = fetched(&proxied(&proxy));
    proxy.ended();
    let mut draft = repository.draft().unwrap();
    commit(&mut draft, &repository, "a line", &[("zone", Some(&zone_text(2, 2000)))]);
    for (capabilities, least, most) in
        [(String::from(CAPABILITIES), 300, 1000), (format!("{CAPABILITIES} no-thin"), 10_000, 40_000)]
    {
        let report = [&line(b"unpack ok\n")[..], &line(b"ng refs/heads/main no\n"), b"0000"].concat();
        let says = [greeting(draft.base(), &capabilities), line(&[b"\x01", &report[..]].concat())].concat();
        proxy.cut(Cut::Says(says, Vec::new()));
        assert!(matches!(push(&mut repository, &draft), Err(PushError::Refused { .. })));
        let (sent, _) = proxy.ended();
        assert!((least..most).contains(&sent), "{sent} octets");
    }
}

const CAPABILITIES: &str = "report-status report-status-v2 side-band-64k quiet object-format=sha1 agent=fake";

/// What a server says to a push first.
fn greeting(tip: ObjectId, capabilities: &str) -> Vec<u8> {
    [line(format!("{tip} refs/heads/main\0{capabilities}\n").as_bytes()), b"0000".to_vec()].concat()
}
