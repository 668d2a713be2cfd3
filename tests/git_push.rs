//! Commits made in memory and pushed to real git servers, and to servers that misbehave.

mod support_git;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use support_git::{
    Server, Work,
    fake::{BLOB, id, line},
    proxy::{Cut, Proxy},
};
use zonule::git::{
    Deadline, Draft, Error, Fate, Fetched, Limits, ObjectId, Protocol, PushError, Remote, Repository, Signature,
    Timeouts,
};

const AMPLE: Duration = Duration::from_secs(60);

fn fetched(url: &str) -> Repository {
    fetched_by(url, Protocol::V2)
}

fn fetched_by(url: &str, protocol: Protocol) -> Repository {
    let mut repository = Repository::new(Remote::parse(url).unwrap(), Limits::default()).with_protocol(protocol);
    repository.fetch().unwrap();
    repository
}

fn author() -> Signature {
    Signature::new("certbot._update.example.org", "hostmaster@example.org", 1_700_000_000)
}

fn committer() -> Signature {
    Signature::new("Zonule <zonule>", "zonule@localhost", 1_700_000_001)
}

/// Adds a commit that writes and removes files.
fn commit(draft: &mut Draft, repository: &Repository, message: &str, changes: &[(&str, Option<&str>)]) -> ObjectId {
    try_commit(draft, repository, message, changes).unwrap()
}

fn try_commit(
    draft: &mut Draft,
    repository: &Repository,
    message: &str,
    changes: &[(&str, Option<&str>)],
) -> Result<ObjectId, Error> {
    let changes: BTreeMap<String, Option<Vec<u8>>> =
        changes.iter().map(|(path, new)| (path.to_string(), new.map(|new| new.as_bytes().to_vec()))).collect();
    draft.commit(repository, &changes, &author(), &committer(), message)
}

/// Returns a draft with one commit that sets the file `a`.
fn one_change(repository: &Repository, content: &str) -> Draft {
    let mut draft = repository.draft().unwrap();
    commit(&mut draft, repository, "set a", &[("a", Some(content))]);
    draft
}

fn push(repository: &mut Repository, draft: &Draft) -> Result<(), PushError> {
    repository.push(draft, Deadline::from_now(AMPLE), AMPLE)
}

fn paths(repository: &Repository) -> Vec<String> {
    repository.files().unwrap().into_iter().map(|file| file.path).collect()
}

/// Checks that the branch at the server is what is held, and that git has nothing to complain of.
fn assert_sound(server: &Server, repository: &Repository) {
    let tip = server.git("zones.git", &["rev-parse", "main"]);
    assert_eq!(tip.trim(), repository.commit().unwrap().id.to_string());
    assert_eq!(server.git("zones.git", &["fsck", "--strict", "--full", "--no-dangling"]), "");
    let listed =
        server.git("zones.git", &["ls-tree", "-r", "-z", "--format=%(objectmode) %(objectname) %(path)", "main"]);
    let files = repository.files().unwrap();
    let regular = |line: &&str| line.starts_with("100");
    let listed: Vec<&str> = listed.split_terminator('\0').filter(regular).map(|line| &line[7..]).collect();
    let mut held: Vec<String> = files.iter().map(|file| format!("{} {}", file.id, file.path)).collect();
    held.sort_by(|a, b| a[41..].cmp(&b[41..]));
    assert_eq!(listed, held);
    for file in files {
        assert_eq!(id(BLOB, &repository.read(file.id).unwrap()), file.id, "{}", file.path);
    }
}

/// A server, and a repository with the files `a`, `run.sh` (executable) and `sub/dir/zone`.
fn begin() -> (Server, Work) {
    let server = Server::start();
    let work = server.repository("zones.git");
    work.write("a", "first\n");
    work.write("run.sh", "#!/bin/sh\n");
    work.write("sub/dir/zone", "nested\n");
    std::os::unix::fs::symlink("a", work.dir.join("link")).unwrap();
    std::fs::set_permissions(work.dir.join("run.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    work.push("begin");
    (server, work)
}

#[test]
fn a_commit_reads_as_if_git_had_made_it() {
    for protocol in [Protocol::V0, Protocol::V1, Protocol::V2] {
        let (server, work) = begin();
        let mut repository = fetched_by(&work.url(), protocol);
        let before = repository.store().len();
        let mut draft = repository.draft().unwrap();
        let message = "example.org: add A for host7 (nsupdate by certbot)\n\n+ host7 A 192.0.2.7\n";
        let id = commit(&mut draft, &repository, message, &[("a", Some("first\nsecond\n"))]);
        assert_eq!((draft.tip(), draft.len(), draft.is_empty()), (id, 1, false));
        push(&mut repository, &draft).unwrap();
        let shown = server.git("zones.git", &["log", "-1", "-p", "--stat", "--date=raw", "--format=fuller", "main"]);
        let expected = format!(
            "commit {id}
Author:     certbot._update.example.org <hostmaster@example.org>
AuthorDate: 1700000000 +0000
Commit:     Zonule zonule <zonule@localhost>
CommitDate: 1700000001 +0000

    example.org: add A for host7 (nsupdate by certbot)
    
    + host7 A 192.0.2.7
---
 a | 1 +
 1 file changed, 1 insertion(+)

diff --git a/a b/a
index 9c59e24..66a52ee 100644
--- a/a
+++ b/a
@@ -1 +1,2 @@
 first
+second
"
        );
        assert_eq!(shown, expected);
        assert_sound(&server, &repository);
        assert_eq!(repository.store().len(), before);
        let commit = repository.commit().unwrap();
        assert_eq!(commit.summary, "example.org: add A for host7 (nsupdate by certbot)");
        assert_eq!(commit.author, "certbot._update.example.org");
        assert_eq!(repository.fetch().unwrap(), Fetched::Unchanged);
    }
}

#[test]
fn several_commits_go_in_one_push() {
    let (server, work) = begin();
    let pushes = server.path("zones.git").join("pushes");
    server.hook("zones.git", "post-receive", &format!("cat >> {}", pushes.display()));
    let mut repository = fetched(&work.url());
    let mut draft = repository.draft().unwrap();
    let ids: Vec<ObjectId> = (0..20)
        .map(|n| commit(&mut draft, &repository, &format!("step {n}"), &[("a", Some(&format!("{n}\n")))]))
        .collect();
    push(&mut repository, &draft).unwrap();
    assert_sound(&server, &repository);
    let log = server.git("zones.git", &["log", "--reverse", "--format=%H %s", &format!("{}..main", draft.base())]);
    let expected: Vec<String> = ids.iter().enumerate().map(|(n, id)| format!("{id} step {n}")).collect();
    assert_eq!(log.lines().collect::<Vec<_>>(), expected);
    zonule_harness::eventually("the hook has run", || {
        std::fs::read_to_string(&pushes).ok().filter(|text| !text.is_empty()).map(|text| {
            assert_eq!(text, format!("{} {} refs/heads/main\n", draft.base(), draft.tip()));
        })
    })
    .unwrap();
}

#[test]
fn trees_change_as_git_would_change_them() {
    let (server, work) = begin();
    let mut repository = fetched(&work.url());
    // Names around a directory's, whose place in a tree is as if they ended in a slash.
    let steps: [&[(&str, Option<&str>)]; 10] = [
        &[
            ("new/deep/er/zone", Some("1\n")),
            ("new/zone", Some("2\n")),
            ("new.zone", Some("3\n")),
            ("new0", Some("4\n")),
        ],
        &[("run.sh", Some("#!/bin/sh\nexit\n")), ("sub/dir/zone", Some("changed\n"))],
        &[("sub/dir/zone", None)],
        &[("new/deep/er/zone", None), ("new-zone", Some("5\n"))],
        &[("new/zone", None)],
        &[("new", Some("a file now\n"))],
        &[("new", None), ("new/a", Some("a directory again\n")), ("new/b", Some("b\n"))],
        &[("absent", None), ("absent/too", None), ("a/below-a-file", None)],
        &[("zürich.example", Some("6\n")), ("A", Some("7\n")), ("~", Some("8\n"))],
        &[("same", Some("first\n"))],
    ];
    let mut draft = repository.draft().unwrap();
    for (n, changes) in steps.iter().enumerate() {
        for (path, content) in *changes {
            let path = work.dir.join(path);
            match content {
                Some(content) => {
                    if path.is_dir() {
                        std::fs::remove_dir(&path).unwrap();
                    }
                    work.write(path.to_str().unwrap(), content);
                }
                None => {
                    let _ = std::fs::remove_file(&path);
                    for directory in path.ancestors().skip(1).take_while(|directory| *directory != work.dir) {
                        let _ = std::fs::remove_dir(directory);
                    }
                }
            }
        }
        let theirs = work.commit("a step");
        let ours = commit(&mut draft, &repository, "a step", changes);
        let names: Vec<String> = draft.files(&repository).unwrap().into_iter().map(|file| file.path).collect();
        // Pushed in pieces of one and two commits.
        if n % 3 != 1 {
            push(&mut repository, &draft).unwrap();
            draft = repository.draft().unwrap();
            assert_eq!(names, paths(&repository));
            let tree = |git: String| git.trim().to_owned();
            assert_eq!(
                tree(server.git("zones.git", &["rev-parse", &format!("{ours}^{{tree}}")])),
                tree(work.git(&["rev-parse", &format!("{theirs}^{{tree}}")])),
                "step {n}: {}",
                server.git("zones.git", &["ls-tree", "-r", "main"])
            );
            assert_sound(&server, &repository);
        }
    }
    assert!(server.git("zones.git", &["ls-tree", "main", "run.sh"]).starts_with("100755 "));
}

#[test]
fn everything_may_be_removed() {
    let server = Server::start();
    let work = server.repository("zones.git");
    work.write("a", "first\n");
    work.push("begin");
    let mut repository = fetched(&work.url());
    let mut draft = repository.draft().unwrap();
    commit(&mut draft, &repository, "remove all", &[("a", None)]);
    push(&mut repository, &draft).unwrap();
    assert_sound(&server, &repository);
    let draft = one_change(&repository, "again\n");
    push(&mut repository, &draft).unwrap();
    assert_sound(&server, &repository);
    assert_eq!(repository.fetch().unwrap(), Fetched::Unchanged);
}

#[test]
fn what_cannot_be_committed_leaves_the_draft_as_it_was() {
    let (server, work) = begin();
    let mut repository = fetched(&work.url());
    let mut draft = one_change(&repository, "second\n");
    let tip = draft.tip();
    for (path, word) in [
        ("", "empty part"),
        ("/a", "empty part"),
        ("b//c", "empty part"),
        ("b/", "empty part"),
        ("../b", "dots"),
        ("b/./c", "dots"),
        (".git/hooks/update", "keeps for itself"),
        ("b/.GIT", "keeps for itself"),
        (".gitmodules", "keeps for itself"),
        ("git~1", "keeps for itself"),
        ("b\nc", "control character"),
        ("b\\c", "backslash"),
        ("sub", "is not a regular file"),
        ("link", "is not a regular file"),
        ("a/b", "not a directory"),
        ("link/b", "not a directory"),
    ] {
        // Beside a change that is good.
        let changes = [("0", Some("good\n")), (path, Some("bad\n"))];
        let error = try_commit(&mut draft, &repository, "bad", &changes).unwrap_err().to_string();
        assert!(error.starts_with("cannot write `") && error.contains(word), "{path}: {error}");
        assert_eq!((draft.tip(), draft.len()), (tip, 1));
    }
    push(&mut repository, &draft).unwrap();
    assert_sound(&server, &repository);
    assert_eq!(server.git("zones.git", &["count-objects"]), server.git("zones.git", &["count-objects"]));

    let mut limits = Limits::default();
    limits.object_bytes = 1000;
    limits.files = 6;
    let mut small = Repository::new(Remote::parse(&work.url()).unwrap(), limits);
    small.fetch().unwrap();
    let mut draft = small.draft().unwrap();
    let large = "x".repeat(1001);
    let error = try_commit(&mut draft, &small, "large", &[("a", Some(&large))]).unwrap_err();
    assert!(error.to_string().contains("object of 1001 bytes exceeds the bound"), "{error}");
    let error = try_commit(&mut draft, &small, "many", &[("b", Some("1")), ("c", Some("2"))]).unwrap_err();
    assert!(error.to_string().contains("number of files exceeds the bound"), "{error}");
    assert!(draft.is_empty());
    push(&mut small, &draft).unwrap();
    work.git(&["pull", "-q", "origin", "main"]);
    work.push("elsewhere");
    small.fetch().unwrap();
    assert!(matches!(try_commit(&mut draft, &small, "late", &[("a", Some("b"))]), Err(Error::NotHeld { .. })));
}

#[test]
fn a_draft_can_be_read_and_taken_back() {
    let (server, work) = begin();
    let mut repository = fetched(&work.url());
    let text = |n: usize| zone_text(n, 400);
    let mut draft = repository.draft().unwrap();
    for n in 0..8 {
        commit(&mut draft, &repository, "grow", &[("zone", Some(&text(n))), ("a", Some(&n.to_string()))]);
    }
    let content = |draft: &Draft, path: &str| {
        let files = draft.files(&repository).unwrap();
        let file = files.into_iter().find(|file| file.path == path).unwrap();
        String::from_utf8(draft.read(&repository, file.id).unwrap()).unwrap()
    };
    assert_eq!((content(&draft, "zone"), content(&draft, "a")), (text(7), "7".into()));
    draft.truncate(5);
    assert_eq!((content(&draft, "zone"), content(&draft, "a"), draft.len()), (text(4), "4".into(), 5));
    draft.truncate(9);
    assert_eq!(draft.len(), 5);
    commit(&mut draft, &repository, "again", &[("zone", Some(&text(7)))]);
    assert_eq!(content(&draft, "zone"), text(7));
    push(&mut repository, &draft).unwrap();
    assert_sound(&server, &repository);
    let mut draft = repository.draft().unwrap();
    commit(&mut draft, &repository, "never pushed", &[("a", None)]);
    draft.truncate(0);
    assert!(draft.is_empty() && draft.tip() == draft.base());
    push(&mut repository, &draft).unwrap();
    assert_eq!(repository.fetch().unwrap(), Fetched::Unchanged);
}

#[test]
fn a_large_file_goes_as_what_changed() {
    let server = Server::start();
    let work = server.repository("zones.git");
    let text = zone_text(1, 100_000);
    work.write("zone", &text);
    for n in 0..300 {
        work.write(&format!("zone{n}.example"), n.to_string());
    }
    work.push("begin");
    let proxy = Proxy::start(server.port.number());
    let mut repository = fetched(&proxied(&proxy));
    proxy.ended();
    let new = text.replacen(" 1 7200", " 2 7200", 1).replacen("host50000 ", "renamed ", 1);
    let mut draft = repository.draft().unwrap();
    commit(&mut draft, &repository, "two lines", &[("zone", Some(&new))]);
    commit(&mut draft, &repository, "one line", &[("zone", Some(&new.replacen("host70000 ", "other ", 1)))]);
    push(&mut repository, &draft).unwrap();
    let (sent, _) = proxy.ended();
    assert!(sent < 3000, "{sent} bytes for {} bytes", text.len());
    assert_sound(&server, &repository);
    // Also where a pack is kept as a pack.
    server.git("zones.git", &["config", "receive.unpackLimit", "1"]);
    let mut draft = repository.draft().unwrap();
    commit(&mut draft, &repository, "back", &[("zone", Some(&text))]);
    commit(&mut draft, &repository, "and forth", &[("zone", Some(&(text + "; end\n")))]);
    push(&mut repository, &draft).unwrap();
    let (sent, _) = proxy.ended();
    assert!(sent < 3000, "{sent} bytes");
    assert_sound(&server, &repository);
}

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
        assert_eq!(said.trim_end(), "example.org: line 7:\n no such [31m type\n\ngoodbye");
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
fn only_branches_are_pushed_to() {
    for protocol in [Protocol::V0, Protocol::V1, Protocol::V2] {
        let (server, work) = begin();
        work.git(&["tag", "light"]);
        work.git(&["tag", "-a", "-m", "a tag", "heavy"]);
        work.git(&["push", "-q", "origin", "light", "heavy"]);
        for tag in ["light", "heavy"] {
            let mut repository = fetched_by(&format!("{}#refs/tags/{tag}", work.url()), protocol);
            let draft = one_change(&repository, "second\n");
            let error = push(&mut repository, &draft).unwrap_err().to_string();
            let expected =
                format!("not pushed: cannot push: refs/tags/{tag} at the remote is no branch; name one with #branch");
            assert_eq!(error, expected);
        }
        // HEAD moves to another branch, and stands for none at all.
        let mut repository = fetched_by(&work.url(), protocol);
        server.git("zones.git", &["branch", "feature/x", "main"]);
        server.git("zones.git", &["symbolic-ref", "HEAD", "refs/heads/feature/x"]);
        assert_eq!(repository.fetch().unwrap(), Fetched::Unchanged);
        let draft = one_change(&repository, "second\n");
        push(&mut repository, &draft).unwrap();
        assert_eq!(server.git("zones.git", &["rev-parse", "feature/x"]).trim(), draft.tip().to_string());
        assert_eq!(server.git("zones.git", &["rev-parse", "main"]).trim(), draft.base().to_string());
        server.git("zones.git", &["update-ref", "--no-deref", "HEAD", &draft.tip().to_string()]);
        assert_eq!(repository.fetch().unwrap(), Fetched::Unchanged);
        let draft = one_change(&repository, "third\n");
        let error = push(&mut repository, &draft).unwrap_err().to_string();
        assert!(error.contains("HEAD at the remote is no branch"), "{error}");
        // A branch by name.
        let mut repository = fetched_by(&format!("{}#feature/x", work.url()), protocol);
        let draft = one_change(&repository, "third\n");
        push(&mut repository, &draft).unwrap();
        assert_eq!(server.git("zones.git", &["rev-parse", "feature/x"]).trim(), draft.tip().to_string());
    }
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
        let there = server.git("zones.git", &["rev-parse", "main"]).trim() == draft.tip().to_string();
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
            "Refused { reason: \" [2J no\"",
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

#[test]
fn pushes_without_end_need_no_more_room() {
    let server = Server::start();
    let work = server.repository("zones.git");
    work.write("a", "first\n");
    work.write("zone", zone_text(1, 200));
    work.write("sub/b", "another\n");
    work.push("begin");
    server.git("zones.git", &["config", "receive.autogc", "false"]);
    let mut repository = fetched(&work.url());
    let mut draft = repository.draft().unwrap();
    commit(&mut draft, &repository, "our compression", &[("zone", Some(&zone_text(1_000_000, 200)))]);
    push(&mut repository, &draft).unwrap();
    let held = (repository.store().len(), repository.store().bytes());
    for n in 0..100 {
        let mut draft = repository.draft().unwrap();
        for m in 0..20 {
            let (path, text) = match m % 3 {
                0 => ("a", format!("{n} {m}\n")),
                1 => ("sub/b", format!("{n} {m}\n")),
                _ => ("zone", zone_text(20 * n + m, 200)),
            };
            commit(&mut draft, &repository, "a step", &[(path, Some(&text))]);
        }
        push(&mut repository, &draft).unwrap();
        assert_eq!(repository.store().len(), held.0);
        if n % 20 == 0 {
            // Somebody else goes on from our commit; what comes is what they changed.
            work.git(&["pull", "-q", "origin", "main"]);
            work.write("b", format!("{n}\n"));
            work.push("theirs");
            let Fetched::Moved { pack_bytes, .. } = repository.fetch().unwrap() else { panic!("not moved") };
            assert!(pack_bytes < 1000, "{pack_bytes}");
            std::fs::remove_file(work.dir.join("b")).unwrap();
            work.push("theirs");
            repository.fetch().unwrap();
        }
        assert_eq!(repository.fetch().unwrap(), Fetched::Unchanged);
    }
    let bytes = repository.store().bytes();
    assert!(bytes < held.1 + 200, "{bytes} bytes after {}", held.1);
    assert_sound(&server, &repository);
    assert_eq!(server.git("zones.git", &["rev-list", "--count", "main"]).trim(), "2012");
}

#[test]
fn what_was_there_long_ago_can_be_fetched_after_a_push() {
    // A remote told that we had all history would leave out a file that comes back.
    let (server, work) = begin();
    let mut repository = fetched(&work.url());
    for _ in 0..2 {
        let draft = one_change(&repository, "second\n");
        push(&mut repository, &draft).unwrap();
        let mut draft = repository.draft().unwrap();
        commit(&mut draft, &repository, "gone", &[("a", None)]);
        push(&mut repository, &draft).unwrap();
    }
    work.git(&["pull", "-q", "origin", "main"]);
    work.write("a", "second\n");
    work.write("b", "first\n");
    work.push("back");
    assert!(matches!(repository.fetch().unwrap(), Fetched::Moved { .. }));
    assert_sound(&server, &repository);
}

#[test]
fn a_draft_may_move_to_a_worker_thread() {
    fn is_send<T: Send + 'static>() {}
    is_send::<Draft>();
    is_send::<PushError>();
}

const CAPABILITIES: &str = "report-status report-status-v2 side-band-64k quiet object-format=sha1 agent=fake";

/// What a server says to a push first.
fn greeting(tip: ObjectId, capabilities: &str) -> Vec<u8> {
    [line(format!("{tip} refs/heads/main\0{capabilities}\n").as_bytes()), b"0000".to_vec()].concat()
}

fn proxied(proxy: &Proxy) -> String {
    format!("git://127.0.0.1:{}/zones.git", proxy.port)
}

/// Returns bytes that do not compress, different for each `seed`.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = seed;
    let mut byte = || {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 56) as u8
    };
    (0..length).map(|_| byte()).collect()
}

/// The text of a zone with `hosts` hosts.
fn zone_text(serial: usize, hosts: usize) -> String {
    let mut text = format!("$TTL 3600\n@ IN SOA ns1 hostmaster {serial} 7200 900 1209600 300\n@ IN NS ns1\n");
    for host in 0..hosts {
        let number = host * 2654435761 % (1 << 24);
        text += &format!("host{host} IN A 10.{}.{}.{}\n", number >> 16, number >> 8 & 255, number & 255);
    }
    text
}
