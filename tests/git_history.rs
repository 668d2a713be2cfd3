//! The past of a branch, from real git servers and from servers that misbehave.

mod support_git;

use std::{fs::File, time::Duration};
use support_git::{
    Server, Work,
    fake::{BLOB, COMMIT, Pack, TREE, conversation, greeting, id, line, link, serve},
};
use zonule::git::{Error, Fetched, History, Limits, ObjectId, Protocol, Remote, Repository, Timeouts};

const PROTOCOLS: [Protocol; 3] = [Protocol::V0, Protocol::V1, Protocol::V2];
const QUICK: Timeouts =
    Timeouts { connect: Duration::from_secs(5), stall: Duration::from_secs(5), total: Duration::from_secs(60) };

fn try_history(protocol: Protocol, url: &str, tip: ObjectId, depth: u32, limits: &Limits) -> Result<History, Error> {
    History::fetch_with(protocol, &Remote::parse(url).unwrap().into(), tip, depth, limits, Timeouts::default())
}

fn history(protocol: Protocol, url: &str, tip: ObjectId, depth: u32) -> History {
    try_history(protocol, url, tip, depth, &Limits::default()).unwrap()
}

/// Runs `git fast-import`, which makes commits by the hundred.
fn import(work: &Work, script: &str) {
    let path = work.dir.with_extension("script");
    std::fs::write(&path, script).unwrap();
    let mut command = zonule_harness::git(&work.dir);
    command.args(["fast-import", "--quiet", "--force"]).stdin(File::open(path).unwrap());
    assert!(command.status().unwrap().success());
}

/// A commit of `main` for [`import`]; an empty text removes the file.
fn import_commit(message: &str, files: &[(&str, String)]) -> String {
    let mut script = format!(
        "commit refs/heads/main\ncommitter A <a@example.org> 1700000000 +0000\ndata {}\n{message}\n",
        message.len()
    );
    for (path, text) in files {
        if text.is_empty() {
            script += &format!("D {path}\n");
        } else {
            script += &format!("M 100644 inline {path}\ndata {}\n{text}\n", text.len());
        }
    }
    script
}

/// The URL of the working copy itself, which saves the pushes.
fn served_itself(work: &Work) -> String {
    format!("{}.work/.git", work.url())
}

fn tip(work: &Work) -> ObjectId {
    parsed(&work.git(&["rev-parse", "main"]))
}

fn parsed(text: &str) -> ObjectId {
    text.trim().parse().unwrap()
}

fn ids(history: &History) -> Vec<ObjectId> {
    history.commits().iter().map(|commit| commit.id).collect()
}

/// Returns what git has as the first parents of `from`, itself the first.
fn first_parents(work: &Work, from: ObjectId) -> Vec<ObjectId> {
    work.git(&["rev-list", "--first-parent", &from.to_string()]).lines().map(parsed).collect()
}

fn text(history: &History, commit: usize, path: &str) -> Option<String> {
    let id = history.file(commit, path).unwrap()?;
    Some(String::from_utf8(history.read(id).unwrap()).unwrap())
}

/// The text of a zone of 20 hosts, different for each `zone`.
fn zone_text(zone: usize, serial: usize) -> String {
    let mut text = format!("@ 3600 IN SOA ns1 hostmaster {serial} 7200 900 1209600 300\n@ IN NS ns1\n");
    for host in 0..20 {
        let number = (zone * 7919 + host) * 2654435761 % (1 << 24);
        text += &format!("host{host} IN A 10.{}.{}.{}\n", number >> 16, number >> 8 & 255, number & 255);
    }
    text
}

/// Returns text that does not compress well, different for each `seed`.
fn noise(seed: u64, length: usize) -> String {
    let mut random = seed * 2 + 1;
    let mut character = || {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        char::from(b' ' + (random >> 58) as u8)
    };
    (0..length).map(|_| character()).collect()
}

/// Makes commits 1 to `count`; each changes the serial of one of three zones, in turns. Returns the tip.
fn three_zones(work: &Work, count: usize) -> ObjectId {
    let path = |step: usize| format!("{}zone{}.example", ["", "sub/", "sub/sub/"][step % 3], step % 3);
    let commits = (1..=count).map(|step| {
        let mut files = vec![(path(step), zone_text(step % 3, step))];
        if step == 1 {
            files.extend([2, 3].map(|other| (path(other), zone_text(other % 3, 0))));
        }
        let files: Vec<(&str, String)> = files.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
        import_commit("a step", &files)
    });
    import(work, &commits.collect::<String>());
    tip(work)
}

#[test]
fn every_version_of_every_file() {
    let server = Server::start();
    let work = server.repository("zones.git");
    let tip = three_zones(&work, 200);
    let expected = first_parents(&work, tip);
    // As written, and in the longest chains git makes.
    for repack in [false, true] {
        if repack {
            work.git(&["repack", "-q", "-a", "-d", "-f", "--depth=250", "--window=250"]);
        }
        for protocol in PROTOCOLS {
            for (depth, count) in [(0, 1), (1, 1), (2, 2), (50, 50), (200, 200), (5000, 200), (u32::MAX, 200)] {
                let history = history(protocol, &served_itself(&work), tip, depth);
                assert_eq!(ids(&history), expected[..count], "{protocol:?} {depth}");
                for commit in 0..count {
                    let last = 200 - commit;
                    for (zone, path) in
                        ["zone0.example", "sub/zone1.example", "sub/sub/zone2.example"].iter().enumerate()
                    {
                        let serial = (0..3).filter_map(|back| last.checked_sub(back)).find(|n| n % 3 == zone);
                        assert_eq!(text(&history, commit, path), Some(zone_text(zone, serial.unwrap_or(0))));
                    }
                }
            }
        }
    }
}

#[test]
fn the_repository_stays_as_it_is() {
    let server = Server::start();
    let work = server.repository("zones.git");
    let tip = three_zones(&work, 20);
    let remote = Remote::parse(&served_itself(&work)).unwrap();
    let mut repository = Repository::new(remote, Limits::default());
    repository.fetch().unwrap();
    let held = repository.store().len();
    let history = History::fetch(repository.upstream(), tip, 10, &Limits::default(), Timeouts::default()).unwrap();
    assert_eq!(history.commits().len(), 10);
    assert_eq!(repository.store().len(), held);
    assert_eq!(repository.fetch().unwrap(), Fetched::Unchanged);

    fn is_shareable<T: Send + Sync + 'static>() {}
    is_shareable::<History>();
}

#[test]
fn what_is_no_file_is_none() {
    let server = Server::start();
    let work = server.repository("zones.git");
    work.write("sub/zone", "text");
    work.write("run.sh", "#!/bin/sh\n");
    std::os::unix::fs::symlink("zone", work.dir.join("sub/link")).unwrap();
    work.git(&["update-index", "--add", "--cacheinfo", "160000,1111111111111111111111111111111111111111,module"]);
    let tip = parsed(&work.push("first"));
    let history = history(Protocol::V2, &work.url(), tip, 5);
    assert_eq!(text(&history, 0, "sub/zone").as_deref(), Some("text"));
    assert_eq!(text(&history, 0, "run.sh").as_deref(), Some("#!/bin/sh\n"));
    for path in [
        "",
        "/",
        "sub",
        "sub/",
        "/sub/zone",
        "sub//zone",
        "sub/zone/",
        "sub/zone/x",
        "sub/link",
        "module",
        "module/x",
        ".",
        "../zone",
        "sub/../run.sh",
        "zone",
        "SUB/zone",
        "run.s",
        "run.sh2",
    ] {
        assert_eq!(history.file(0, path).unwrap(), None, "{path}");
    }
    assert_eq!(history.file(1, "sub/zone").unwrap(), None);
    let tree = history.commits()[0].tree;
    assert!(matches!(history.read(tree), Err(Error::Object { .. })));
    assert!(matches!(history.read(tip), Err(Error::Object { .. })));
    assert!(matches!(history.read(id(BLOB, b"absent")), Err(Error::Missing { .. })));
}

#[test]
fn merges_are_followed_along_first_parents() {
    let server = Server::start();
    let work = server.repository("zones.git");
    work.write("zone", "0");
    work.commit("start");
    for round in 1..=5 {
        work.git(&["checkout", "-q", "-b", &format!("side{round}")]);
        for step in 0..3 {
            work.write("other", format!("{round}.{step}"));
            work.commit("aside");
        }
        work.git(&["checkout", "-q", "main"]);
        work.write("zone", round.to_string());
        work.commit("ahead");
        work.git(&["merge", "-q", "--no-ff", "-m", "merged", &format!("side{round}")]);
    }
    work.git(&["push", "-q", "origin", "main"]);
    let expected = first_parents(&work, tip(&work));
    assert_eq!(expected.len(), 11);
    for protocol in PROTOCOLS {
        for depth in [1, 2, 5, 8, 11, 50] {
            let history = history(protocol, &work.url(), expected[0], depth);
            assert_eq!(ids(&history), expected[..11.min(depth as usize)], "{protocol:?} {depth}");
            for commit in 0..history.commits().len() {
                let round = 5 - commit / 2;
                assert_eq!(text(&history, commit, "zone"), Some(round.to_string()));
                let merged = if commit % 2 == 0 { round } else { round - 1 };
                let other = Some(format!("{merged}.2")).filter(|_| merged > 0);
                assert_eq!(text(&history, commit, "other"), other, "{commit}");
            }
        }
    }
    // The tip may be a commit that came in by a merge.
    let side = parsed(&work.git(&["rev-parse", "side3"]));
    for protocol in PROTOCOLS {
        let history = history(protocol, &work.url(), side, 4);
        assert_eq!(ids(&history), first_parents(&work, side)[..4], "{protocol:?}");
    }
}

#[test]
fn a_file_has_the_name_it_had() {
    let server = Server::start();
    let work = server.repository("zones.git");
    work.write("old", "1");
    work.commit("first");
    work.write("old", "2");
    work.commit("second");
    work.git(&["mv", "old", "new"]);
    work.commit("renamed");
    work.write("new", "3");
    let tip = parsed(&work.push("third"));
    let history = history(Protocol::V2, &work.url(), tip, 10);
    let of = |path| (0..4).map(|commit| text(&history, commit, path)).collect::<Vec<_>>();
    assert_eq!(of("new"), [Some("3".into()), Some("2".into()), None, None]);
    assert_eq!(of("old"), [None, None, Some("2".into()), Some("1".into())]);
    assert_eq!(history.file(1, "new").unwrap(), history.file(2, "old").unwrap());
}

#[test]
fn the_branch_may_have_moved_on() {
    let server = Server::start();
    let work = server.repository("zones.git");
    let head = three_zones(&work, 150);
    let all = first_parents(&work, head);
    let url = served_itself(&work);
    for protocol in PROTOCOLS {
        for (back, depth) in [(0, 20), (1, 20), (30, 20), (30, 500), (63, 1), (63, 20), (149, 3)] {
            let history = history(protocol, &url, all[back], depth);
            let (from, count) = match protocol {
                // So far from the head that it is not looked for: nobody knows whether it is there at all.
                Protocol::V0 | Protocol::V1 if back == 149 => (0, depth as usize),
                _ => (back, (depth as usize).min(150 - back)),
            };
            assert_eq!(ids(&history), all[from..from + count], "{protocol:?} {back} {depth}");
        }
    }
    // A remote that gives out what it did not list.
    for option in ["uploadpack.allowReachableSHA1InWant", "uploadpack.allowAnySHA1InWant"] {
        work.git(&["config", option, "true"]);
        let history = history(Protocol::V0, &url, all[149], 20);
        assert_eq!(ids(&history), all[149..], "{option}");
        work.git(&["config", "--unset", option]);
    }
}

#[test]
fn the_branch_may_have_been_rewritten() {
    let server = Server::start();
    let work = server.repository("zones.git");
    work.write("zone", "1");
    let first = work.push("first");
    work.write("zone", "lost");
    let lost = parsed(&work.push("lost"));
    work.git(&["reset", "-q", "--hard", &first]);
    work.write("zone", "2");
    let second = parsed(&work.push("second"));
    // The remote has it still, and gives it out in version 2.
    let found = history(Protocol::V2, &work.url(), lost, 10);
    assert_eq!(ids(&found), [lost, parsed(&first)]);
    server.git("zones.git", &["config", "uploadpack.allowReachableSHA1InWant", "true"]);
    server.git("zones.git", &["reflog", "expire", "--expire=now", "--all"]);
    assert_eq!(ids(&history(Protocol::V0, &work.url(), lost, 10)), [second, parsed(&first)]);
    server.git("zones.git", &["gc", "-q", "--prune=now"]);
    for protocol in PROTOCOLS {
        let found = history(protocol, &work.url(), lost, 10);
        assert_eq!(ids(&found), [second, parsed(&first)], "{protocol:?}");
        assert_eq!(text(&found, 0, "zone").as_deref(), Some("2"));
    }
    // Never there.
    for other in [id(BLOB, b"absent"), ObjectId::null(gix_hash::Kind::Sha1)] {
        for protocol in PROTOCOLS {
            assert_eq!(ids(&history(protocol, &work.url(), other, 10)), [second, parsed(&first)], "{protocol:?}");
        }
    }
    // The branch is gone.
    let remote = format!("{}#gone", work.url());
    let error = try_history(Protocol::V2, &remote, second, 10, &Limits::default()).err().unwrap();
    assert!(error.to_string().contains("branch gone does not exist"), "{error}");
}

#[test]
fn a_tag_is_followed_to_its_commit() {
    let server = Server::start();
    let work = server.repository("zones.git");
    let tip = three_zones(&work, 10);
    work.git(&["tag", "-a", "-m", "a tag", "v1", "main"]);
    work.git(&["push", "-q", "origin", "v1"]);
    let url = format!("{}#refs/tags/v1", work.url());
    for protocol in PROTOCOLS {
        assert_eq!(ids(&history(protocol, &url, tip, 4)), first_parents(&work, tip)[..4], "{protocol:?}");
    }
}

#[test]
fn a_shallow_remote_ends_early() {
    let server = Server::start();
    let work = server.repository("zones.git");
    let tip = three_zones(&work, 30);
    let all = first_parents(&work, tip);
    let source = format!("file://{}/.git", work.dir.display());
    support_git::git(&work.dir, &["clone", "-q", "--bare", "--depth=7", &source, "../shallow.git"]);
    let url = work.url().replace("zones.git", "shallow.git");
    for protocol in PROTOCOLS {
        for depth in [1, 6, 7, 8, 100] {
            let history = history(protocol, &url, tip, depth);
            assert_eq!(ids(&history), all[..7.min(depth as usize)], "{protocol:?} {depth}");
            assert!(text(&history, history.commits().len() - 1, "zone0.example").is_some());
        }
        let history = history(protocol, &url, all[3], 100);
        assert_eq!(ids(&history), all[3..7], "{protocol:?}");
    }
}

#[test]
fn bounds_make_history_shorter() {
    let server = Server::start();
    let work = server.repository("zones.git");
    let mut script = String::new();
    for step in 0..64 {
        script += &import_commit("a step", &[("zone", noise(step, 20_000)), ("large", String::new())]);
    }
    import(&work, &script);
    let tip = tip(&work);
    let all = first_parents(&work, tip);
    // Each commit is about 16 kB that no delta makes less.
    type Change = (&'static str, fn(&mut Limits), std::ops::RangeInclusive<usize>);
    let changes: [Change; 5] = [
        ("none", |_| (), 64..=64),
        ("pack", |limits| limits.pack_bytes = 300_000, 16..=16),
        ("store", |limits| limits.store_bytes = 300_000, 16..=16),
        ("objects", |limits| limits.objects = 30, 7..=8),
        ("one", |limits| limits.pack_bytes = 30_000, 1..=1),
    ];
    for protocol in PROTOCOLS {
        for (name, change, expected) in &changes {
            let mut limits = Limits::default();
            change(&mut limits);
            let history = try_history(protocol, &served_itself(&work), tip, 64, &limits).unwrap();
            assert!(expected.contains(&history.commits().len()), "{name}: {}", history.commits().len());
            assert_eq!(ids(&history), all[..history.commits().len()], "{name}");
            assert_eq!(text(&history, history.commits().len() - 1, "zone").unwrap().len(), 20_000);
            assert!(history.size().0 <= limits.store_bytes && history.size().1 <= limits.objects as usize);
            assert!(history.pack_bytes() <= limits.pack_bytes);
        }
        for (change, word) in [
            ((|limits| limits.pack_bytes = 10_000) as fn(&mut Limits), "pack exceeds the bound of 10000 bytes"),
            (|limits| limits.store_bytes = 10_000, "content of the pack exceeds the bound of 10000 compressed bytes"),
            (|limits| limits.object_bytes = 10_000, "object of 20000 bytes exceeds the bound of 10000 bytes"),
            (|limits| limits.objects = 2, "pack of 3 objects exceeds the bound of 2 objects"),
            (|limits| limits.objects = 0, "pack of 3 objects exceeds the bound of 0 objects"),
        ] {
            let mut limits = Limits::default();
            change(&mut limits);
            // Neither at the head nor below it.
            for tip in [tip, all[5]] {
                let error = try_history(protocol, &served_itself(&work), tip, 64, &limits).err().unwrap();
                assert!(error.to_string().contains(word), "{error}");
            }
        }
    }
    // A bound that only an old commit breaks.
    let small = |step| import_commit("small", &[("large", String::new()), ("zone", format!("{step}\n"))]);
    let on_top = import_commit("large", &[("large", noise(99, 200_000))]).replacen(
        "M 100644",
        "from refs/heads/main^0\nM 100644",
        1,
    );
    import(&work, &(on_top + &(0..20).map(small).collect::<String>()));
    let mut limits = Limits::default();
    limits.object_bytes = 100_000;
    let tip = self::tip(&work);
    let history = try_history(Protocol::V2, &served_itself(&work), tip, 64, &limits).unwrap();
    assert_eq!(history.commits().len(), 16);
}

#[test]
fn a_version_costs_what_it_changes() {
    let server = Server::start();
    let work = server.repository("zones.git");
    let paths: Vec<String> = (0..1000).map(|zone| format!("zone{zone}.example")).collect();
    let files: Vec<(&str, String)> =
        paths.iter().enumerate().map(|(zone, path)| (path.as_str(), zone_text(zone, 0))).collect();
    let mut script = import_commit("a thousand zones", &files);
    for step in 1..200 {
        script += &import_commit("a step", &[(&paths[step * 7 % 1000], zone_text(step * 7 % 1000, step))]);
    }
    import(&work, &script);
    work.git(&["repack", "-q", "-a", "-d", "-f"]);
    let tip = tip(&work);
    for protocol in PROTOCOLS {
        let now = history(protocol, &served_itself(&work), tip, 1);
        let past = history(protocol, &served_itself(&work), tip, 200);
        assert_eq!(past.commits().len(), 200);
        let (least, whole) = (now.size().0, past.size().0);
        // A directory alone is 20 kB that do not compress.
        assert!(least > 100_000 && whole < least + 200 * 2_000, "{least} {whole}");
        for step in [1, 50, 120, 199] {
            let zone = step * 7 % 1000;
            assert_eq!(text(&past, 199 - step, &paths[zone]), Some(zone_text(zone, step)));
            assert_eq!(text(&past, 200 - step, &paths[zone]), Some(zone_text(zone, 0)));
        }
    }
}

/// Fetches a history from a server that says no more than this pack.
fn told(tip: ObjectId, pack: &Pack, limits: &Limits) -> Result<History, Error> {
    let says = vec![conversation(tip, &pack.finish()); 3];
    History::fetch(&Remote::parse(&serve(says, false)).unwrap().into(), tip, 2, limits, QUICK)
}

#[test]
fn chains_of_any_length_are_read() {
    for reversed in [false, true] {
        let mut pack = Pack::default();
        pack.chain(5_000, reversed);
        let tip = pack.commit_of(&[("100644", "zone", id(BLOB, link(4_999).as_bytes()))]);
        let mut limits = Limits::for_memory(64 << 20);
        limits.cache_bytes = 0;
        let history = told(tip, &pack, &limits).unwrap();
        assert_eq!(history.size().1, 5_002);
        for n in (0..5_000).rev() {
            assert_eq!(history.read(id(BLOB, link(n).as_bytes())).unwrap(), link(n).as_bytes());
        }
    }
}

#[test]
fn what_makes_no_sense_is_an_error_and_no_more() {
    let limits = &Limits::for_memory(64 << 20);
    let mut pack = Pack::default();
    let blob = pack.object(BLOB, b"text");
    let (absent, broken) = (id(BLOB, b"absent"), pack.object(TREE, b"100644 a\0short"));
    let tip = pack.commit_of(&[
        ("100644", "absent", absent),
        ("40000", "blob", blob),
        ("40000", "broken", broken),
        ("100644", "tree", broken),
        ("40000", "void", absent),
    ]);
    let history = told(tip, &pack, limits).unwrap();
    let file = |path| history.file(0, path).map_err(|error| error.to_string());
    assert_eq!(file("absent"), Ok(Some(absent)));
    assert!(history.read(absent).unwrap_err().to_string().contains("was not sent"));
    assert!(file("blob/x").unwrap_err().contains("it is a blob where a tree is named"));
    assert!(file("broken/x").unwrap_err().contains("cannot be read"));
    assert!(history.read(file("tree").unwrap().unwrap()).unwrap_err().to_string().contains("it is a tree"));
    assert!(file("void/x").unwrap_err().contains("was not sent"));

    for (tip, word) in [(absent, "was not sent"), (blob, "it is a blob where a commit is named")] {
        let error = told(tip, &pack, limits).err().unwrap().to_string();
        assert!(error.contains(word), "{error}");
    }
    let treeless = pack.object(COMMIT, b"author nobody\n\n");
    assert!(told(treeless, &pack, limits).err().unwrap().to_string().contains("a commit without a tree"));
    // A parent that is no commit ends the history where a missing one does, or says so.
    let child = pack.object(COMMIT, format!("tree {broken}\nparent {absent}\n\nmessage\n").as_bytes());
    assert_eq!(told(child, &pack, limits).unwrap().commits().len(), 1);
    let child = pack.object(COMMIT, format!("tree {broken}\nparent {blob}\n\nmessage\n").as_bytes());
    assert!(told(child, &pack, limits).err().unwrap().to_string().contains("it is a blob where a commit is named"));
}

#[test]
fn bombs_are_refused() {
    // Deltas are kept, not what they make: a pack of many is no way to fill memory, and the size of each result is bounded.
    let zeros = vec![0; 1 << 20];
    let mut pack = Pack::default();
    let base = pack.object(BLOB, &zeros);
    let tip = pack.commit_of(&[("100644", "zone", base)]);
    let mut delta = b"\x80\x80\x40\x80\x80\x80\x04".to_vec();
    // Eight mebibytes of the base's one.
    delta.extend([0x80; 128]);
    pack.ref_delta(base, &delta);
    let error = told(tip, &pack, &Limits::for_memory(64 << 20)).err().unwrap();
    assert!(error.to_string().contains("object of 8388608 bytes exceeds the bound of 4194304 bytes"), "{error}");
}

#[test]
fn attempts_come_to_an_end() {
    // Too much whatever is asked for: half as many commits, and half of that, down to one, and no further.
    let mut pack = Pack::default();
    let tip = pack.commit_of(&[]);
    let mut limits = Limits::for_memory(64 << 20);
    limits.pack_bytes = 20;
    for (depth, attempts) in [(1, 1), (2, 2), (1000, 10), (u32::MAX, 16)] {
        let says = vec![conversation(tip, &pack.finish()); attempts];
        let remote = Remote::parse(&serve(says, false)).unwrap();
        let error = History::fetch(&remote.clone().into(), tip, depth, &limits, QUICK).err().unwrap();
        assert!(error.to_string().contains("pack exceeds the bound of 20 bytes"), "{depth}: {error}");
    }
    // Refused, and refused again.
    let mut refusing = greeting(tip);
    refusing.extend(line(b"ERR upload-pack: not our ref"));
    let remote = Remote::parse(&serve(vec![refusing; 2], false)).unwrap();
    let other = id(BLOB, b"absent");
    let error = History::fetch(&remote.clone().into(), other, 10, &limits, QUICK).err().unwrap();
    assert!(matches!(error, Error::Refused { .. }) && error.is_transient(), "{error}");
}

#[test]
fn silence_ends_in_time_and_says_where() {
    let mut pack = Pack::default();
    let tip = pack.commit_of(&[]);
    let (whole, greeting) = (conversation(tip, &pack.finish()), greeting(tip));
    for (says, word) in [(&greeting[..], "waiting for the history"), (&whole[..whole.len() - 40], "receiving the pack")]
    {
        let remote = Remote::parse(&serve(vec![says.to_vec()], true)).unwrap();
        let timeouts = Timeouts { stall: Duration::from_secs(1), ..QUICK };
        let error = History::fetch(&remote.clone().into(), tip, 10, &Limits::default(), timeouts).err().unwrap();
        assert_eq!(error.to_string(), format!("timed out after 1 s while {word}"));
        let remote = Remote::parse(&serve(vec![says.to_vec()], true)).unwrap();
        let timeouts = Timeouts { total: Duration::from_secs(1), ..QUICK };
        let error = History::fetch(&remote.clone().into(), tip, 10, &Limits::default(), timeouts).err().unwrap();
        assert_eq!(error.to_string(), format!("timed out after 1 s while {word}"));
    }
}
