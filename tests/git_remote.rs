//! Fetching from real git servers, and from servers that misbehave.

mod support_git;

use support_git::{Server, Work, free_port};
use zonule::git::{Error, Fetched, Limits, Protocol, Remote, Repository};

fn repository(url: &str) -> Repository {
    Repository::new(Remote::parse(url).unwrap(), Limits::default())
}

fn paths(repository: &Repository) -> Vec<String> {
    repository.files().unwrap().into_iter().map(|file| file.path).collect()
}

/// Checks that what is held is what git has at `commit`: every file, byte by byte, and nothing else.
fn assert_holds(repository: &Repository, work: &Work, commit: &str) {
    assert_eq!(repository.commit().unwrap().id.to_string(), commit);
    let listed = work.git(&["ls-tree", "-r", "-z", "--full-tree", commit]);
    let mut expected: Vec<(String, String)> = listed
        .split_terminator('\0')
        .map(|line| line.split_once('\t').unwrap())
        .filter(|(meta, _)| !meta.starts_with("160"))
        .map(|(meta, path)| (path.to_string(), meta.rsplit(' ').next().unwrap().to_string()))
        .collect();
    expected.sort();
    let files = repository.files().unwrap();
    let found: Vec<(String, String)> = files.iter().map(|file| (file.path.clone(), file.id.to_string())).collect();
    assert_eq!(found, expected);
    for file in files {
        let content = repository.read(file.id).unwrap();
        let place = work.dir.join(&file.path);
        match file.link {
            Some(target) => assert_eq!(std::fs::read_link(place).unwrap(), std::path::Path::new(&target)),
            None => assert_eq!(content, std::fs::read(place).unwrap(), "{}", file.path),
        }
    }
}

/// Returns the size of the pack of a fetch that must have moved to `commit`.
fn moved(fetched: Fetched, to: &str) -> u64 {
    match fetched {
        Fetched::Moved { commit, pack_bytes, .. } if commit == to => pack_bytes,
        other => panic!("not moved to {to}: {other:?}"),
    }
}

#[test]
fn clones_the_newest_commit_only() {
    let server = Server::start();
    let work = server.repository("zones.git");
    work.write("example.org", "old\n");
    work.write("removed", noise(200_000));
    let old = work.push("first");
    std::fs::remove_file(work.dir.join("removed")).unwrap();
    work.write("example.org", "new\n");
    work.write("sub/dir/example.net", "nested\n");
    work.write("run.sh", "#!/bin/sh\n");
    std::os::unix::fs::symlink("example.org", work.dir.join("link")).unwrap();
    let new = work.push("second\n\nwith a body");

    for protocol in [Protocol::V0, Protocol::V1, Protocol::V2] {
        let mut repository = repository(&work.url()).with_protocol(protocol);
        assert!(repository.commit().is_none());
        assert!(matches!(repository.files(), Err(Error::NotFetched)));
        let pack_bytes = moved(repository.fetch().unwrap(), &new);
        assert!(pack_bytes < 2000, "{protocol:?}: history came along, {pack_bytes} bytes");
        assert_holds(&repository, &work, &new);
        let commit = repository.commit().unwrap();
        assert_eq!((commit.author.as_str(), commit.summary.as_str()), ("Zone Editor", "second"));
        assert_eq!(paths(&repository), ["example.org", "link", "run.sh", "sub/dir/example.net"]);
        // The commit, three directories, three files and the link: neither the first commit nor its file.
        assert_eq!(repository.store().len(), 8, "{protocol:?}");
        assert!(repository.read(old.parse().unwrap()).is_err());
        assert_eq!(repository.fetch().unwrap(), Fetched::Unchanged);
    }
}

#[test]
fn a_repository_may_move_to_a_worker_thread() {
    fn is_send<T: Send + 'static>() {}
    is_send::<Repository>();
    is_send::<Error>();
}

#[test]
fn finds_the_host_by_name() {
    let server = Server::start();
    let work = server.repository("with space#.git");
    work.write("a", "a");
    let tip = work.push("first");
    // The name may have an IPv6 address first, where nobody listens.
    let url = format!("git://localhost:{}/with%20space%23.git", server.port.number());
    moved(repository(&url).fetch().unwrap(), &tip);
}

#[test]
fn follows_the_branch_it_is_told() {
    let server = Server::start();
    let work = server.repository("zones.git");
    work.write("a", "main");
    let main = work.push("on main");
    work.git(&["tag", "-a", "-m", "a tag", "v1"]);
    work.git(&["push", "-q", "origin", "v1"]);
    work.git(&["checkout", "-q", "-b", "feature/x"]);
    work.write("a", "feature");
    let feature = work.push("on feature");

    for protocol in [Protocol::V0, Protocol::V1, Protocol::V2] {
        for (branch, commit) in [
            ("", &main),
            ("#main", &main),
            ("#feature/x", &feature),
            ("#refs/heads/feature/x", &feature),
            ("#refs/tags/v1", &main),
        ] {
            let mut repository = repository(&format!("{}{branch}", work.url())).with_protocol(protocol);
            moved(repository.fetch().unwrap(), commit);
            assert_eq!(repository.store().len(), 3, "{branch}");
            assert_eq!(repository.fetch().unwrap(), Fetched::Unchanged, "{branch}");
        }
        let error = repository(&format!("{}#feature", work.url())).with_protocol(protocol).fetch().unwrap_err();
        assert_eq!(
            error.to_string(),
            "branch feature does not exist at the remote, which has: feature/x, main; write #feature/x if you mean that branch"
        );
        assert!(!error.is_transient());
    }
}

#[test]
fn hints_at_the_reference_that_was_meant() {
    let server = Server::start();
    let work = server.repository("zones.git");
    work.write("a", "main");
    work.push("on main");
    work.git(&["tag", "-a", "-m", "a tag", "v1"]);
    work.git(&["push", "-q", "origin", "v1"]);
    for protocol in [Protocol::V0, Protocol::V1, Protocol::V2] {
        for (branch, hint) in [
            ("v1", "v1 is a tag: write #refs/tags/v1"),
            ("heads/main", "write #main"),
            ("HEAD", "HEAD points to main: write #main"),
            ("origin/main", "write #main"),
            ("refs/tags/main", "write #main"),
            ("refs/tags/v2", "write #refs/tags/v1"),
            ("master", "write #main"),
            ("MAIN", "write #main"),
        ] {
            let remote = format!("{}#{branch}", work.url());
            let error = repository(&remote).with_protocol(protocol).fetch().unwrap_err().to_string();
            assert!(error.contains("at the remote, which has: main; ") && error.contains(hint), "{branch}: {error}");
        }
        let error = repository(&format!("{}#production", work.url())).with_protocol(protocol).fetch().unwrap_err();
        assert_eq!(error.to_string(), "branch production does not exist at the remote, which has: main");
    }
}

#[test]
fn a_deleted_branch_is_no_empty_repository() {
    let server = Server::start();
    let work = server.repository("zones.git");
    work.write("a", "main");
    let main = work.push("on main");
    for protocol in [Protocol::V0, Protocol::V2] {
        server.git("zones.git", &["update-ref", "refs/heads/main", &main]);
        let remote = format!("{}#main", work.url());
        let mut before = repository(&remote).with_protocol(protocol);
        before.fetch().unwrap();
        server.git("zones.git", &["update-ref", "-d", "refs/heads/main"]);
        // All references are gone; one that never saw the branch cannot know that there was any.
        let gone = "branch main was deleted at the remote, which has no branches; push it again, or choose another with #branch";
        assert_eq!(before.fetch().unwrap_err().to_string(), gone);
        assert_eq!(before.commit().unwrap().id.to_string(), main);
        let fetch = || repository(&remote).with_protocol(protocol).fetch().unwrap_err().to_string();
        assert_eq!(fetch(), "the repository is empty: push a first commit");
        // Another's reference is left, and then the record of what was served from it.
        server.git("zones.git", &["update-ref", "refs/notes/x", &main]);
        assert_eq!(fetch(), "branch main does not exist at the remote, which has no branches");
        server.git("zones.git", &["update-ref", "refs/zonule/served/main", &main]);
        assert_eq!(fetch(), gone);
        for reference in ["refs/notes/x", "refs/zonule/served/main"] {
            server.git("zones.git", &["update-ref", "-d", reference]);
        }
    }
}

#[test]
fn follows_head_wherever_it_points() {
    let server = Server::start();
    let work = server.repository("zones.git");
    work.write("a", "main");
    let main = work.push("on main");
    work.git(&["checkout", "-q", "-b", "other"]);
    work.write("a", "other");
    let other = work.push("on other");
    for protocol in [Protocol::V0, Protocol::V2] {
        server.git("zones.git", &["symbolic-ref", "HEAD", "refs/heads/main"]);
        let mut repository = repository(&work.url()).with_protocol(protocol);
        moved(repository.fetch().unwrap(), &main);
        server.git("zones.git", &["symbolic-ref", "HEAD", "refs/heads/other"]);
        moved(repository.fetch().unwrap(), &other);
        server.git("zones.git", &["update-ref", "--no-deref", "HEAD", &main]);
        moved(repository.fetch().unwrap(), &main);
        server.git("zones.git", &["symbolic-ref", "HEAD", "refs/heads/nowhere"]);
        assert_eq!(
            repository.fetch().unwrap_err().to_string(),
            "HEAD at the remote no longer points to a branch; choose one with #branch: main, other"
        );
        assert_eq!(repository.commit().unwrap().id.to_string(), main);
        assert_eq!(paths(&repository), ["a"]);
    }
}

#[test]
fn says_what_is_missing_at_the_remote() {
    let server = Server::start();
    let work = server.repository("zones.git");
    for protocol in [Protocol::V0, Protocol::V1, Protocol::V2] {
        for branch in ["", "#main"] {
            let mut repository = repository(&format!("{}{branch}", work.url())).with_protocol(protocol);
            let error = repository.fetch().unwrap_err();
            assert_eq!(error.to_string(), "the repository is empty: push a first commit");
        }
        let error =
            repository(&format!("git://127.0.0.1:{}/absent", server.port.number())).with_protocol(protocol).fetch();
        let error = error.unwrap_err();
        assert!(error.to_string().contains("access denied or repository not exported: /absent"), "{error}");
        assert!(!error.is_transient());
    }
    let port = free_port();
    let error = repository(&format!("git://127.0.0.1:{port}/zones.git")).fetch().unwrap_err();
    assert!(error.to_string().starts_with(&format!("connection refused by 127.0.0.1:{port}")), "{error}");
    assert!(error.is_transient());
    let error = repository("git://host.invalid/zones.git").fetch().unwrap_err();
    assert!(matches!(error, Error::Dial(_)), "{error}");
    assert!(error.is_transient());
}

#[test]
fn later_fetches_bring_only_what_changed() {
    let server = Server::start();
    let work = server.repository("zones.git");
    for zone in 0..1000 {
        work.write(&format!("zone{zone}.example"), zone_text(zone, 20));
    }
    work.write("big.example", zone_text(5000, 20_000));
    let first = work.push("a thousand zones");
    for protocol in [Protocol::V0, Protocol::V1, Protocol::V2] {
        work.git(&["reset", "-q", "--hard", &first]);
        work.git(&["push", "-q", "-f", "origin", "main"]);
        let mut repository = repository(&work.url()).with_protocol(protocol);
        let whole = moved(repository.fetch().unwrap(), &first);
        assert!(whole > 200_000, "{whole}");
        // One line in the largest file: the delta leans on the file held, or the pack would hold the file.
        work.write("big.example", zone_text(5000, 20_000) + "new 60 IN A 192.0.2.1\n");
        work.write("zone7.example", "changed\n");
        let second = work.push("a small change");
        let part = moved(repository.fetch().unwrap(), &second);
        assert!(part < 3_000, "{protocol:?}: {part} of {whole} bytes");
        assert_holds(&repository, &work, &second);
        // Several commits at once.
        for step in 0..5 {
            work.write("zone8.example", format!("step {step}\n"));
            work.commit("a step");
        }
        work.git(&["rm", "-q", "zone9.example"]);
        let third = work.push("the last step");
        let part = moved(repository.fetch().unwrap(), &third);
        assert!(part < 3_000, "{protocol:?}: {part} of {whole} bytes");
        assert_holds(&repository, &work, &third);
    }
}

#[test]
fn history_may_be_rewritten() {
    let server = Server::start();
    let work = server.repository("zones.git");
    work.write("a", "1");
    work.write("kept", "kept");
    let first = work.push("first");
    work.write("a", "2");
    let second = work.push("second");
    let mut repository = repository(&format!("{}#main", work.url()));
    moved(repository.fetch().unwrap(), &second);
    // Back to an ancestor.
    work.git(&["reset", "-q", "--hard", &first]);
    work.git(&["push", "-q", "-f", "origin", "main"]);
    moved(repository.fetch().unwrap(), &first);
    assert_holds(&repository, &work, &first);
    // To a commit without any relation, with what we have gone from the server for good.
    work.git(&["checkout", "-q", "--orphan", "new"]);
    work.write("b", "unrelated");
    work.git(&["add", "-A"]);
    let orphan = work.commit("a new beginning");
    work.git(&["push", "-q", "-f", "origin", "new:main"]);
    server.git("zones.git", &["reflog", "expire", "--expire=now", "--all"]);
    server.git("zones.git", &["gc", "-q", "--prune=now"]);
    moved(repository.fetch().unwrap(), &orphan);
    assert_holds(&repository, &work, &orphan);
    // An amended commit.
    work.write("b", "amended");
    work.git(&["commit", "-q", "-a", "--amend", "-m", "amended"]);
    let amended = work.git(&["rev-parse", "HEAD"]).trim().to_string();
    work.git(&["push", "-q", "-f", "origin", "new:main"]);
    moved(repository.fetch().unwrap(), &amended);
    assert_holds(&repository, &work, &amended);
    // The branch goes, and comes back.
    server.git("zones.git", &["update-ref", "refs/heads/other", &amended]);
    server.git("zones.git", &["update-ref", "-d", "refs/heads/main"]);
    let error = repository.fetch().unwrap_err();
    assert_eq!(
        error.to_string(),
        "branch main was deleted at the remote, which has: other; push it again, or choose another with #branch"
    );
    assert_holds(&repository, &work, &amended);
    server.git("zones.git", &["update-ref", "refs/heads/main", &amended]);
    assert_eq!(repository.fetch().unwrap(), Fetched::Unchanged);
}

#[test]
fn memory_does_not_grow_with_fetches() {
    let server = Server::start();
    let work = server.repository("zones.git");
    for zone in 0..20 {
        work.write(&format!("dir{}/zone{zone}", zone % 3), zone_text(zone, 50));
    }
    work.commit("start");
    // The working copy is served itself, which saves three hundred pushes.
    let url = format!("{}.work/.git", work.url());
    let mut followed = repository(&url);
    followed.fetch().unwrap();
    let mut tip = String::new();
    for step in 0..300 {
        work.write(&format!("dir{}/zone{}", step % 3, step % 20), zone_text(step, 50));
        if step % 10 == 0 {
            work.write("new", format!("{step}"));
        }
        tip = work.commit("a step");
        moved(followed.fetch().unwrap(), &tip);
    }
    assert_holds(&followed, &work, &tip);
    let mut fresh = repository(&url);
    fresh.fetch().unwrap();
    assert_eq!(followed.store().len(), fresh.store().len());
    let (followed, fresh) = (followed.store().bytes(), fresh.store().bytes());
    assert!(followed < fresh * 5 / 4, "{followed} bytes against {fresh}");
}

#[test]
fn deltas_of_an_aggressively_packed_repository() {
    let server = Server::start();
    let work = server.repository("zones.git");
    // Revisions of one file as files of one commit, so that the chain is sent, and as history, so that it is not.
    let mut text = zone_text(1, 4000);
    for revision in 0..120 {
        text = text.replacen(&format!("host{} ", revision * 30), &format!("renamed{revision} "), 1);
        work.write(&format!("revision{revision:03}"), &text);
        work.write("history", &text);
        if revision % 20 == 0 {
            work.commit("a revision");
        }
    }
    let tip = work.push("all revisions");
    server.git("zones.git", &["repack", "-q", "-a", "-d", "-f", "--depth=100", "--window=50"]);
    let verified = server.git("zones.git", &["verify-pack", "-v", &pack_index(&server)]);
    assert!(verified.contains("chain length = 10:"), "the server holds chains");
    for cache_bytes in [0, 1 << 20] {
        let mut limits = Limits::default();
        limits.cache_bytes = cache_bytes;
        let mut repository = Repository::new(Remote::parse(&work.url()).unwrap(), limits);
        moved(repository.fetch().unwrap(), &tip);
        assert_holds(&repository, &work, &tip);
    }
}

#[test]
fn names_that_are_not_utf8_are_left_out() {
    use std::os::unix::ffi::OsStrExt;
    let server = Server::start();
    let work = server.repository("zones.git");
    work.write("plain", "1");
    work.write("zürich.example", "2");
    std::fs::write(work.dir.join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "3").unwrap();
    // A submodule: a commit of another repository, which is not there.
    work.git(&["update-index", "--add", "--cacheinfo", "160000,1111111111111111111111111111111111111111,module"]);
    let tip = work.push("odd names");
    let mut repository = repository(&work.url());
    moved(repository.fetch().unwrap(), &tip);
    assert_eq!(paths(&repository), ["plain", "zürich.example"]);
}

#[test]
fn bounds_hold_and_keep_what_was_there() {
    let server = Server::start();
    let work = server.repository("zones.git");
    work.write("a", "small");
    let small = work.push("small");
    let noise = noise(300_000);
    type Change = (&'static str, fn(&mut Limits), fn(&Work, &[u8]), &'static str);
    let changes: [Change; 7] = [
        (
            "pack",
            |l| l.pack_bytes = 100_000,
            |w, noise| w.write("noise", noise),
            "pack exceeds the bound of 100000 bytes",
        ),
        (
            "object",
            |l| l.object_bytes = 200_000,
            |w, noise| w.write("noise", noise),
            "object of 300000 bytes exceeds the bound of 200000 bytes",
        ),
        (
            "store",
            |l| l.store_bytes = 200_000,
            |w, noise| w.write("noise", noise),
            "content of the pack exceeds the bound of 200000 compressed bytes",
        ),
        (
            "objects",
            |l| l.objects = 20,
            |w, _| (0..30).for_each(|n| w.write(&format!("f{n}"), n.to_string())),
            "objects exceeds the bound of 20 objects",
        ),
        (
            "files",
            |l| l.files = 20,
            |w, _| (0..30).for_each(|n| w.write(&format!("f{n}"), "same")),
            "number of files exceeds the bound of 20 files and directories",
        ),
        (
            "paths",
            |l| l.path_bytes = 500,
            |w, _| (0..10).for_each(|n| w.write(&format!("{n}{}", "x".repeat(100)), "same")),
            "length of all paths exceeds the bound of 500 bytes",
        ),
        (
            "depth",
            |l| l.tree_depth = 4,
            |w, _| w.write("1/2/3/4/5", "deep"),
            "depth of directories exceeds the bound of 4 levels",
        ),
    ];
    for (name, limit, change, message) in changes {
        work.git(&["checkout", "-q", "-f", "-B", name, &small]);
        work.git(&["push", "-q", "-f", "origin", name]);
        let mut limits = Limits::default();
        limit(&mut limits);
        let remote = Remote::parse(&format!("{}#{name}", work.url())).unwrap();
        let mut repository = Repository::new(remote, limits);
        moved(repository.fetch().unwrap(), &small);
        change(&work, &noise);
        work.push("too much");
        for _ in 0..2 {
            let error = repository.fetch().unwrap_err();
            assert!(error.to_string().contains(message), "{name}: {error}");
            assert!(!error.is_transient(), "{name}");
            assert_eq!(repository.commit().unwrap().id.to_string(), small);
            assert_eq!(paths(&repository), ["a"]);
            assert_eq!(repository.store().len(), 3);
        }
        work.git(&["checkout", "-q", "-f", "-B", name, &small]);
        work.write("b", "small again");
        let again = work.push("small again");
        moved(repository.fetch().unwrap(), &again);
        assert_holds(&repository, &work, &again);
    }
}

/// Returns bytes that do not compress, the same in every run.
fn noise(length: usize) -> Vec<u8> {
    let mut random = 1u64;
    let mut byte = || {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 56) as u8
    };
    (0..length).map(|_| byte()).collect()
}

/// The text of a zone with `hosts` hosts, different for each `seed`.
fn zone_text(seed: usize, hosts: usize) -> String {
    let mut text = format!("$TTL 3600\n@ IN SOA ns1 hostmaster {seed} 7200 900 1209600 300\n@ IN NS ns1\n");
    for host in 0..hosts {
        let number = (seed * 7919 + host) * 2654435761 % (1 << 24);
        text += &format!("host{host} IN A 10.{}.{}.{}\n", number >> 16, number >> 8 & 255, number & 255);
    }
    text
}

/// Returns the path of the index of the server's one pack.
fn pack_index(server: &Server) -> String {
    let dir = server.git("zones.git", &["rev-parse", "--absolute-git-dir"]);
    let mut packs = std::fs::read_dir(format!("{}/objects/pack", dir.trim())).unwrap();
    let path = packs.find_map(|entry| Some(entry.unwrap().path()).filter(|path| path.extension().unwrap() == "idx"));
    path.unwrap().to_str().unwrap().into()
}
