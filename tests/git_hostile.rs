//! Packs, repositories and servers made to harm: each is refused with an error, and what was held stays.

mod support_git;

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};
use support_git::{
    Server,
    fake::{
        BLOB, OFS_DELTA, Pack, REF_DELTA, TREE, conversation, deflate, greeting, id, line, replacing_delta, seal, serve,
    },
};
use zonule::git::{
    Deadline, Error, Limits, ObjectId, Remote, Repository, Timeouts,
    pack::{Unpacked, unpack},
    store::Store,
};

const QUICK: Timeouts =
    Timeouts { connect: Duration::from_millis(500), stall: Duration::from_millis(300), total: Duration::from_secs(20) };

fn unpack_with(pack: &[u8], limits: &Limits) -> Result<Unpacked, Error> {
    let deadline = Deadline::from_now(Duration::from_secs(60));
    unpack(&mut &pack[..], &Store::default(), limits, deadline, &|source| Error::Lost { doing: "testing", source })
}

/// Returns the message with which a pack is refused.
fn refusal(pack: &[u8]) -> String {
    match unpack_with(pack, &Limits::for_memory(64 << 20)) {
        Ok(unpacked) => panic!("accepted with {} objects", unpacked.objects.len()),
        Err(error) => error.to_string(),
    }
}

fn quick(url: &str) -> Repository {
    Repository::new(Remote::parse(url).unwrap(), Limits::for_memory(64 << 20)).with_timeouts(QUICK)
}

/// Returns the message with which a repository is refused that consists of this pack.
fn refused(tip: ObjectId, pack: &Pack) -> String {
    let mut repository = quick(&serve(vec![conversation(tip, &pack.finish())], false));
    let message = repository.fetch().unwrap_err().to_string();
    assert!(repository.commit().is_none() && repository.store().is_empty());
    message
}

fn bare(kind: u8, size: u64, base: &[u8], stream: &[u8]) -> Vec<u8> {
    let mut pack = Pack::default();
    pack.entry(kind, size, base, stream);
    pack.finish()
}

#[test]
fn damaged_packs_are_refused() {
    let good = bare(BLOB, 5, &[], &deflate(b"hello"));
    assert_eq!(unpack_with(&good, &Limits::default()).unwrap().bytes, good.len() as u64);

    let mut wrong_sum = good.clone();
    *wrong_sum.last_mut().unwrap() ^= 1;
    let mut wrong_check = deflate(b"hello");
    *wrong_check.last_mut().unwrap() ^= 1;
    let mut unfinished = deflate(b"hello");
    unfinished.truncate(4);
    unfinished.extend_from_slice(&[0xff; 40]);
    let mut version4 = b"PACK\0\0\0\x04\0\0\0\0".to_vec();
    seal(&mut version4);
    let mut too_few = Pack::default();
    too_few.object(BLOB, b"hello");

    for (name, pack, word) in [
        ("checksum", wrong_sum, "wrong checksum"),
        ("zlib checksum", bare(BLOB, 5, &[], &wrong_check), "broken zlib stream"),
        ("zlib", bare(BLOB, 5, &[], &unfinished), "damaged pack at byte"),
        ("no zlib", bare(BLOB, 5, &[], b"hello, this is not zlib"), "broken zlib stream"),
        ("longer", bare(BLOB, 4, &[], &deflate(b"hello")), "more data than declared"),
        ("longer than nothing", bare(BLOB, 0, &[], &deflate(b"hello")), "more data than declared"),
        ("shorter", bare(BLOB, 6, &[], &deflate(b"hello")), "less data than declared"),
        ("type 0", bare(0, 5, &[], &deflate(b"hello")), "unknown type 0"),
        ("type 5", bare(5, 5, &[], &deflate(b"hello")), "unknown type 5"),
        ("size", bare(BLOB, u64::MAX, &[], &deflate(b"hello")), "exceeds the bound"),
        ("no pack", b"<html><body>404</body></html>".to_vec(), "not recognized"),
        ("version", version4, "Unsupported pack version"),
        ("count too high", too_few.finish_with_count(2), "damaged pack"),
        ("count too low", too_few.finish_with_count(0), "wrong checksum"),
        ("count absurd", too_few.finish_with_count(u32::MAX), "4294967295 objects exceeds the bound of 32768 objects"),
        ("distance 0", bare(OFS_DELTA, 5, &[0], &deflate(b"hello")), "not an entry of the pack"),
        ("distance beyond", bare(OFS_DELTA, 5, &[0x40], &deflate(b"hello")), "not an entry of the pack"),
        ("distance endless", bare(OFS_DELTA, 5, &[0xff; 30], &deflate(b"hello")), "damaged pack"),
        ("header endless", bare(0xff, 5, &[0xff; 30], &deflate(b"hello")), "overflow"),
    ] {
        let message = refusal(&pack);
        assert!(message.contains(word), "{name}: {message}");
    }
    for length in 0..good.len() {
        assert!(unpack_with(&good[..length], &Limits::default()).is_err());
    }
}

#[test]
fn delta_lies_are_refused() {
    let base = id(BLOB, b"hello");
    for (delta, word) in [
        (&b"\x04\x01\x01a"[..], "base of another size"),
        (b"\x05\x09\x01a", "fewer bytes than declared"),
        (b"\x05\x01\x02ab", "more bytes than declared"),
        (b"\x05\x05\x91\x01\x05", "outside its base"),
        (b"\x05\x80\x80\x80\x80\x10\x01a", "object of 4294967296 bytes exceeds the bound of 4194304 bytes"),
        (b"\x05", "ends within a size"),
        (b"", "ends within a size"),
    ] {
        for base_first in [true, false] {
            let mut pack = Pack::default();
            if base_first {
                pack.object(BLOB, b"hello");
            }
            pack.ref_delta(base, delta);
            if !base_first {
                pack.object(BLOB, b"hello");
            }
            let message = refusal(&pack.finish());
            assert!(message.contains(word), "{delta:?}: {message}");
        }
    }
}

#[test]
fn deltas_may_come_in_any_order_but_not_in_circles() {
    // Bases after their deltas, two levels deep, by id.
    let mut pack = Pack::default();
    let (one, two) = (replacing_delta(5, b"second"), replacing_delta(6, b"third"));
    pack.ref_delta(id(BLOB, b"second"), &two);
    pack.ref_delta(id(BLOB, b"hello"), &one);
    pack.object(BLOB, b"hello");
    let unpacked = unpack_with(&pack.finish(), &Limits::default()).unwrap();
    assert_eq!(unpacked.objects.len(), 3);

    // A delta against an entry that itself waits.
    let mut pack = Pack::default();
    let start = pack.entry(REF_DELTA, one.len() as u64, id(BLOB, b"hello").as_slice(), &deflate(&one));
    let here = pack.entry(BLOB, 1, &[], &deflate(b"x"));
    let after = here + 1 + deflate(b"x").len() as u64;
    pack.entry(OFS_DELTA, two.len() as u64, &[(after - start) as u8], &deflate(&two));
    pack.object(BLOB, b"hello");
    assert_eq!(unpack_with(&pack.finish(), &Limits::default()).unwrap().objects.len(), 4);

    // Two that lean on each other, and one whose base is nowhere.
    let mut pack = Pack::default();
    pack.ref_delta(id(BLOB, b"a"), &replacing_delta(1, b"b"));
    pack.ref_delta(id(BLOB, b"b"), &replacing_delta(1, b"a"));
    assert!(refusal(&pack.finish()).contains("was not sent by the remote"));
}

#[test]
fn a_chain_of_ten_thousand_deltas_is_resolved() {
    for reversed in [false, true] {
        let mut pack = Pack::default();
        pack.chain(10_000, reversed);
        let mut limits = Limits::for_memory(64 << 20);
        limits.cache_bytes = 0;
        assert_eq!(unpack_with(&pack.finish(), &limits).unwrap().objects.len(), 10_000);
    }
}

#[test]
fn bombs_are_refused() {
    // One object of 10 GB: refused for its declared size, before anything is inflated.
    let zeros = deflate(&vec![0; 1 << 20]);
    let message = refusal(&bare(BLOB, 10_000_000_000, &[], &zeros));
    assert!(message.contains("object of 10000000000 bytes exceeds the bound of 4194304 bytes"), "{message}");
    // Declared small, inflating large.
    assert!(refusal(&bare(BLOB, 10, &[], &zeros)).contains("more data than declared"));
    // A small pack of many deltas, each of which makes another large object that does not compress.
    let mut random = 7u64;
    let mut noise = || {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 56) as u8
    };
    let base: Vec<u8> = (0..1 << 20).map(|_| noise()).collect();
    let mut pack = Pack::default();
    let base_id = pack.object(BLOB, &base);
    for n in 0..100u8 {
        let mut delta = b"\x80\x80\x40\x82\x80\x40".to_vec();
        // The whole base in sixteen copies, then two bytes of its own.
        for part in 0..16u8 {
            delta.extend_from_slice(&[0x84, part]);
        }
        delta.extend_from_slice(&[2, n, n]);
        pack.ref_delta(base_id, &delta);
    }
    let pack = pack.finish();
    assert!(pack.len() < 1 << 21);
    let message = refusal(&pack);
    assert!(message.contains("content of the pack exceeds the bound of 8388608 compressed bytes"), "{message}");
    // A stream that goes on and on without making a byte is cut at the pack's bound.
    let mut endless = b"\x78\x01".to_vec();
    for _ in 0..1 << 20 {
        endless.extend_from_slice(b"\x00\x00\x00\xff\xff");
    }
    let mut limits = Limits::for_memory(64 << 20);
    limits.pack_bytes = 1 << 20;
    let error = unpack_with(&bare(BLOB, 1, &[], &endless), &limits).err().unwrap();
    assert!(error.to_string().contains("pack exceeds the bound"), "{error}");
}

#[test]
fn work_ends_at_the_deadline() {
    let mut pack = Pack::default();
    pack.object(BLOB, b"hello");
    let pack = pack.finish();
    let over = Deadline::from_now(Duration::ZERO);
    let lost = |source| Error::Lost { doing: "testing", source };
    let result = unpack(&mut &pack[..], &Store::default(), &Limits::default(), over, &lost);
    assert!(matches!(result, Err(Error::TimedOut { .. })));
}

#[test]
fn trees_that_make_no_sense_are_refused() {
    let file = |pack: &mut Pack| pack.object(BLOB, b"text");
    for name in ["..", ".", "", "a/b"] {
        let mut pack = Pack::default();
        let blob = file(&mut pack);
        let tip = pack.commit_of(&[("100644", name, blob)]);
        let message = refused(tip, &pack);
        assert!(message.contains(&format!("must not be named `{name}`")), "{message}");
    }
    for names in [["b", "a"], ["a", "a"]] {
        let mut pack = Pack::default();
        let blob = file(&mut pack);
        let tip = pack.commit_of(&[("100644", names[0], blob), ("100644", names[1], blob)]);
        assert!(refused(tip, &pack).contains("out of order at `a`"));
    }
    for content in [&b"100644 a"[..], b"100644 a\0short", b"999999 a\0aaaaaaaaaaaaaaaaaaaa", b"\0", b"100644"] {
        let mut pack = Pack::default();
        let tree = pack.object(TREE, content);
        let tip = pack.commit(tree);
        assert!(refused(tip, &pack).contains("cannot be read"));
    }
    // A file where a directory is named, a directory where a file is named, a commit without a tree, no commit at all.
    let mut pack = Pack::default();
    let blob = file(&mut pack);
    let tip = pack.commit_of(&[("40000", "a", blob)]);
    assert!(refused(tip, &pack).contains("it is a blob where a tree is named"));
    let mut pack = Pack::default();
    let tree = pack.tree(&[]);
    let tip = pack.commit_of(&[("100644", "a", tree)]);
    assert!(refused(tip, &pack).contains("it is a tree where a blob is named"));
    let mut pack = Pack::default();
    let tip = pack.object(1, b"author nobody\n\n");
    assert!(refused(tip, &pack).contains("a commit without a tree"));
    let mut pack = Pack::default();
    let tip = file(&mut pack);
    assert!(refused(tip, &pack).contains("which is not a commit"));
    // Something is missing.
    let absent = id(BLOB, b"absent");
    let mut pack = Pack::default();
    let tip = pack.commit_of(&[("100644", "a", absent)]);
    assert!(refused(tip, &pack).contains(&format!("object {absent} was not sent")));
    assert!(refused(absent, &pack).contains(&format!("object {absent} was not sent")));
    // A tree of trees of trees, each ten times the same: ten billion paths in twelve objects.
    let mut pack = Pack::default();
    let mut tree = pack.tree(&[]);
    let names: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    for _ in 0..10 {
        let entries: Vec<_> = names.iter().map(|name| ("40000", name.as_str(), tree)).collect();
        tree = pack.tree(&entries);
    }
    let tip = pack.commit(tree);
    assert!(refused(tip, &pack).contains("number of files exceeds the bound of 32768"));
    let mut pack = Pack::default();
    let blob = file(&mut pack);
    let tip = pack.commit_of(&[("100644", &"x".repeat(5000), blob)]);
    assert!(refused(tip, &pack).contains("path of 5000 bytes exceeds the bound of 4096"));
}

#[test]
fn unusual_but_sound_repositories_are_accepted() {
    let mut pack = Pack::default();
    let blob = pack.object(BLOB, b"text");
    // An empty commit, an executable, a group-writable file as old gits made them, a name that is special on disk only.
    for entries in [
        vec![],
        vec![("100644", ".git", blob), ("100664", "old", blob), ("100755", "run", blob)],
        vec![("160000", "module", id(BLOB, b"elsewhere"))],
    ] {
        let tip = pack.commit_of(&entries);
        let mut repository = quick(&serve(vec![conversation(tip, &pack.finish())], false));
        repository.fetch().unwrap();
        assert_eq!(repository.files().unwrap().len(), entries.iter().filter(|entry| entry.0 != "160000").count());
    }
    let nameless = pack.commit_of(&[]);
    let tree = id(TREE, b"");
    let tip = pack.object(1, format!("tree {tree}\n\x1b[31mmessage").as_bytes());
    let mut repository = quick(&serve(vec![conversation(tip, &pack.finish())], false));
    repository.fetch().unwrap();
    assert_ne!(repository.commit().unwrap().id, nameless);
    assert_eq!(repository.commit().unwrap().author, "");
}

#[test]
fn silence_ends_in_time_and_says_where() {
    let mut pack = Pack::default();
    let tip = pack.commit_of(&[]);
    let whole = conversation(tip, &pack.finish());
    let greeting = greeting(tip);
    for (says, word) in [
        (&b""[..], "opening the repository"),
        (b"00", "opening the repository"),
        (&greeting[..greeting.len() - 10], "looking up the branch"),
        (&greeting[..], "waiting for the pack"),
        (&whole[..whole.len() - 40], "receiving the pack"),
    ] {
        let timeouts = Timeouts { stall: Duration::from_secs(1), ..QUICK };
        let error = quick(&serve(vec![says.to_vec()], true)).with_timeouts(timeouts).fetch().unwrap_err();
        assert_eq!(error.to_string(), format!("timed out after 1 s while {word}"));
        assert!(error.is_transient());
        let error = quick(&serve(vec![says.to_vec()], false)).fetch().unwrap_err();
        assert_eq!(error.to_string(), format!("the remote closed the connection while {word}"));
        assert!(error.is_transient());
    }
}

#[test]
fn a_slow_server_does_not_hold_us_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("git://{}/z", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let dripping = line(&[b'x'; 60_000]);
        for byte in dripping {
            if std::io::Write::write_all(&mut stream, &[byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let timeouts = Timeouts { total: Duration::from_secs(2), ..QUICK };
    let mut repository = Repository::new(Remote::parse(&url).unwrap(), Limits::default()).with_timeouts(timeouts);
    let start = Instant::now();
    assert_eq!(repository.fetch().unwrap_err().to_string(), "timed out after 2 s while opening the repository");
    // Without the bound this takes twenty minutes.
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn servers_of_something_else_are_recognised() {
    for says in [
        &b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"[..],
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        b"220 mail.example.org ESMTP\r\n",
        b"ffff",
        b"fff0",
        b"0003",
        b"0004",
        b"0001",
        b"0009hello",
        b"000cversion 3",
        &[0; 100],
        &[0xff; 100],
    ] {
        let error = quick(&serve(vec![says.to_vec()], false)).fetch().unwrap_err();
        let message = error.to_string();
        assert!(message.contains("while opening the repository"), "{says:?}: {message}");
        assert!(!message.contains(char::is_control));
    }
}

#[test]
fn what_the_server_complains_about_is_passed_on() {
    let mut pack = Pack::default();
    let tip = pack.commit_of(&[]);
    let err = line(b"ERR upload-pack: not our ref\x1b[31m \xff\n");
    let error = quick(&serve(vec![[greeting(tip), err].concat()], false)).fetch().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the remote refused while waiting for the pack: upload-pack: not our ref\\u{1b}[31m \u{fffd}"
    );
    assert!(error.is_transient(), "a branch that moved in between");
    let band = [line(b"packfile\n"), line(b"\x02fatal: no room\n"), line(b"\x03aborting due to corruption\n")].concat();
    let error = quick(&serve(vec![[greeting(tip), band].concat()], false)).fetch().unwrap_err();
    assert_eq!(error.to_string(), "the remote refused while receiving the pack: aborting due to corruption");
    // Wherever in the pack it comes.
    let mut pack = Pack::default();
    let blob = pack.object(BLOB, b"text");
    pack.ref_delta(blob, &replacing_delta(4, b"other"));
    let tip = pack.commit_of(&[("100644", "a", blob)]);
    let pack = pack.finish();
    let says = (1..pack.len()).map(|cut| {
        let part = line(&[b"\x01", &pack[..cut]].concat());
        [greeting(tip), line(b"packfile\n"), part, line(b"\x03disk on fire\n")].concat()
    });
    let url = serve(says.collect(), false);
    for cut in 1..pack.len() {
        let message = quick(&url).fetch().unwrap_err().to_string();
        assert_eq!(message, "the remote refused while receiving the pack: disk on fire", "{cut}");
    }
    let sha256 = [line(b"version 2\n"), line(b"object-format=sha256\n"), b"0000".to_vec()].concat();
    let error = quick(&serve(vec![sha256], false)).fetch().unwrap_err();
    assert_eq!(error.to_string(), "not supported yet: a repository with sha256 object names");
}

#[test]
fn a_failed_fetch_changes_nothing() {
    let mut first = Pack::default();
    let blob = first.object(BLOB, b"one");
    let one = first.commit_of(&[("100644", "a", blob)]);
    let mut second = Pack::default();
    let blob = second.object(BLOB, b"two");
    let two = second.commit_of(&[("100644", "a", blob), ("100644", "b", blob)]);
    let whole = conversation(two, &second.finish());

    let mut says = vec![conversation(one, &first.finish())];
    let cuts: Vec<usize> = (0..whole.len() - 4).step_by(3).collect();
    says.extend(cuts.iter().map(|cut| whole[..*cut].to_vec()));
    says.push(whole);
    let mut repository = quick(&serve(says, false));
    repository.fetch().unwrap();
    for cut in cuts {
        // Everything but the closing flush is there in the last cuts.
        if repository.fetch().is_ok() {
            panic!("accepted with {cut} bytes");
        }
        assert_eq!(repository.commit().unwrap().id, one);
        assert_eq!(repository.store().len(), 3);
        let files = repository.files().unwrap();
        assert_eq!(files.len(), 1);
        assert_eq!(repository.read(files[0].id).unwrap(), b"one");
    }
    repository.fetch().unwrap();
    assert_eq!(repository.commit().unwrap().id, two);
    assert_eq!(repository.read(repository.files().unwrap()[1].id).unwrap(), b"two");
    assert!(matches!(repository.read(id(BLOB, b"one")), Err(Error::NotHeld { .. })));
}

#[test]
fn a_thin_pack_without_its_base_leads_to_a_whole_clone() {
    let mut first = Pack::default();
    let blob = first.object(BLOB, b"one");
    let one = first.commit_of(&[("100644", "a", blob)]);
    let mut thin = Pack::default();
    let two = id(BLOB, b"two");
    let delta = replacing_delta(4, b"two");
    let start = thin.entry(REF_DELTA, delta.len() as u64, id(BLOB, b"zero").as_slice(), &deflate(&delta));
    // One more that leans on the first by its place.
    let distance = 1 + 20 + deflate(&delta).len() as u64;
    assert_eq!(start, 12);
    let delta = replacing_delta(3, b"three");
    thin.entry(OFS_DELTA, delta.len() as u64, &[distance as u8], &deflate(&delta));
    let tip = thin.commit_of(&[("100644", "a", two)]);
    let mut whole = Pack::default();
    whole.object(BLOB, b"two");
    whole.commit_of(&[("100644", "a", two)]);
    let says =
        vec![conversation(one, &first.finish()), conversation(tip, &thin.finish()), conversation(tip, &whole.finish())];
    let mut repository = quick(&serve(says, false));
    repository.fetch().unwrap();
    repository.fetch().unwrap();
    assert_eq!(repository.commit().unwrap().id, tip);
}

#[test]
fn mutated_packs_never_panic() {
    let server = Server::start();
    let work = server.repository("zones.git");
    let mut text = String::new();
    for n in 0..400 {
        text += &format!("host{n} IN A 192.0.2.{n}\n");
    }
    for n in 0..6 {
        work.write(&format!("dir{}/zone{n}", n % 2), format!("{text}{n}"));
        text = text.replacen("IN A", "IN AAAA", 1);
    }
    work.push("zones");
    server.git("zones.git", &["repack", "-q", "-a", "-d", "-f"]);
    let dir = server.git("zones.git", &["rev-parse", "--absolute-git-dir"]);
    let packs = std::fs::read_dir(format!("{}/objects/pack", dir.trim())).unwrap();
    let path = packs.map(|entry| entry.unwrap().path()).find(|path| path.extension().unwrap() == "pack").unwrap();
    let good = std::fs::read(path).unwrap();
    let limits = Limits::for_memory(64 << 20);
    assert_eq!(unpack_with(&good, &limits).unwrap().objects.len(), 10);

    let mut random = Random(0x5eed);
    let mut refused = 0;
    for _ in 0..4000 {
        let mut bad = good[..good.len() - 20].to_vec();
        random.mutate(&mut bad);
        // A right checksum, so that it is not what saves us.
        seal(&mut bad);
        refused += u32::from(unpack_with(&bad, &limits).is_err());
    }
    assert!(refused > 3900, "{refused}");
}

#[test]
fn mutated_conversations_never_panic() {
    let mut pack = Pack::default();
    let blob = pack.object(BLOB, b"text");
    pack.ref_delta(blob, &replacing_delta(4, b"other"));
    let tree = pack.tree(&[("100644", "a", blob), ("40000", "d", id(TREE, b""))]);
    pack.tree(&[]);
    let tip = pack.commit(tree);
    let pack = pack.finish();
    let version2 = conversation(tip, &pack);
    let mut version0 = line(format!("{tip} HEAD\0side-band-64k shallow symref=HEAD:refs/heads/main\n").as_bytes());
    version0.extend(line(format!("{tip} refs/heads/main\n").as_bytes()));
    version0.extend(line(format!("{tip} refs/tags/v1^{{}}\n").as_bytes()));
    version0.extend_from_slice(b"0000");
    version0.extend(line(format!("shallow {tip}").as_bytes()));
    version0.extend_from_slice(b"0000");
    version0.extend(line(b"NAK\n"));
    version0.extend(line(&[b"\x01", &pack[..]].concat()));
    version0.extend_from_slice(b"0000");

    for whole in [version2, version0] {
        quick(&serve(vec![whole.clone()], false)).fetch().unwrap();
        let mut random = Random(0xfeed);
        let says: Vec<Vec<u8>> = (0..300)
            .map(|_| {
                let mut says = whole.clone();
                random.mutate(&mut says);
                says
            })
            .collect();
        let mut refused = 0;
        let url = serve(says, false);
        for _ in 0..300 {
            // A new repository for each, so that none is spared the work by a good one before.
            refused += u32::from(quick(&url).fetch().is_err());
        }
        assert!(refused > 100, "{refused}");
    }
}

/// A generator that is the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }

    /// Changes, removes, repeats or inserts bytes in a few places.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            let length = self.below(8).min(bytes.len() - at);
            match self.below(5) {
                0 => bytes[at] = self.below(256) as u8,
                1 => bytes[at] ^= 1 << self.below(8),
                2 => drop(bytes.drain(at..at + length)),
                3 => {
                    let piece = bytes[at..at + length].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => bytes.insert(at, self.below(256) as u8),
            }
        }
    }
}
