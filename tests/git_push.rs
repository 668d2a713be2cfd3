//! Commits made in memory and pushed to real git servers: what git then finds.

mod support_git;

use support_git::{
    Server,
    drafts::{
        assert_sound, begin, commit, fetched, fetched_by, noise, one_change, paths, proxied, push, try_commit,
        zone_text,
    },
    proxy::Proxy,
};
use zonule::git::{Draft, Error, Fetched, Limits, ObjectId, Protocol, PushError, Remote, Repository};

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
        (&"d/".repeat(100_000), "too deep"),
        (&"d/".repeat(65), "too deep"),
        (&"l".repeat(4097), "too long"),
    ] {
        // Beside a change that is good.
        let changes = [("0", Some("good\n")), (path, Some("bad\n"))];
        let error = try_commit(&mut draft, &repository, "bad", &changes).unwrap_err().to_string();
        assert!(error.starts_with("cannot write `") && error.contains(word), "{path}: {error}");
        assert_eq!((draft.tip(), draft.len()), (tip, 1));
    }
    push(&mut repository, &draft).unwrap();
    assert_sound(&server, &repository);
    // Nothing of what failed was sent: the files of the first commit, and a commit, a directory and a file.
    assert_eq!(server.git("zones.git", &["count-objects"]).split(' ').next(), Some("11"));

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
            let expected = format!(
                "not pushed: cannot push: refs/tags/{tag} at the remote is not a branch; choose one with #branch"
            );
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
        assert!(error.contains("HEAD at the remote is not a branch"), "{error}");
        // A branch by name.
        let mut repository = fetched_by(&format!("{}#feature/x", work.url()), protocol);
        let draft = one_change(&repository, "third\n");
        push(&mut repository, &draft).unwrap();
        assert_eq!(server.git("zones.git", &["rev-parse", "feature/x"]).trim(), draft.tip().to_string());
    }
}

#[test]
fn pushes_without_end_need_no_more_room() {
    let server = Server::start();
    let work = server.repository("zones.git");
    work.write("a", "first\n");
    work.write("zone", zone_text(1, 60));
    work.write("sub/b", "another\n");
    work.push("begin");
    server.git("zones.git", &["config", "receive.autogc", "false"]);
    let mut repository = fetched(&work.url());
    let mut draft = repository.draft().unwrap();
    commit(&mut draft, &repository, "our compression", &[("zone", Some(&zone_text(1_000_000, 60)))]);
    push(&mut repository, &draft).unwrap();
    let held = (repository.store().len(), repository.store().bytes());
    for n in 0..25 {
        let mut draft = repository.draft().unwrap();
        for m in 0..80 {
            let (path, text) = match m % 3 {
                0 => ("a", format!("{n} {m}\n")),
                1 => ("sub/b", format!("{n} {m}\n")),
                _ => ("zone", zone_text(80 * n + m, 60)),
            };
            commit(&mut draft, &repository, "a step", &[(path, Some(&text))]);
        }
        push(&mut repository, &draft).unwrap();
        assert_eq!(repository.store().len(), held.0);
        if n % 5 == 0 {
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
    work.write("noise", noise(1, 50_000));
    work.push("what a whole clone would bring again");
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
    let Fetched::Moved { pack_bytes, .. } = repository.fetch().unwrap() else { panic!("not moved") };
    assert!(pack_bytes < 1000, "{pack_bytes} bytes");
    assert_sound(&server, &repository);
}

#[test]
fn a_draft_may_move_to_a_worker_thread() {
    fn is_send<T: Send + 'static>() {}
    is_send::<Draft>();
    is_send::<PushError>();
}
