//! Zones of several files, and what updates of one do to the others.

use crate::zonefile;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::dns::Type;
use crate::git::{CommitInfo, File, blob_id};
use crate::primary::{Commit, Origin, SerialPolicy};
use crate::tsig::Key;
use crate::update::Update;
use crate::zone::{Zone, difference};

/// A commit: its files, and what else is at its root.
#[derive(Clone, Debug, Default)]
struct Tree {
    files: BTreeMap<String, String>,
    links: BTreeMap<String, String>,
    odd: BTreeSet<String>,
}

impl Base for Tree {
    type Error = &'static str;

    fn read(&self, id: &ObjectId) -> Result<Vec<u8>, Self::Error> {
        let found = self.files.values().find(|text| blob_id(text.as_bytes()) == *id);
        found.map(|text| text.clone().into_bytes()).ok_or("no such blob")
    }

    fn names(&self) -> Result<Vec<String>, Self::Error> {
        let top = self.paths().map(|path| path.split('/').next().unwrap().to_string());
        Ok(top.chain(self.odd.iter().cloned()).collect::<BTreeSet<_>>().into_iter().collect())
    }
}

impl Tree {
    fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| (path.to_string(), text.to_string()));
        Tree { files: files.collect(), ..Tree::default() }
    }

    fn load_into(&self, primary: &mut Primary) {
        let file = |(path, text): (&String, &String), is_link: bool| {
            let link = is_link.then(|| text.clone());
            File { path: path.clone(), id: blob_id(text.as_bytes()), link }
        };
        let files = self.files.iter().map(|entry| file(entry, false));
        let links = self.links.iter().map(|entry| file(entry, true));
        primary.load(files.chain(links).collect(), |id| self.read(id));
    }

    fn paths(&self) -> impl Iterator<Item = &String> {
        self.files.keys().chain(self.links.keys())
    }

    fn linked(mut self, links: &[(&str, &str)]) -> Self {
        self.links = links.iter().map(|(path, target)| (path.to_string(), target.to_string())).collect();
        self
    }

    fn loaded(&self) -> Primary {
        let mut primary = Primary::new(SerialPolicy::Bump, KEYS.map(key).to_vec());
        self.load_into(&mut primary);
        primary
    }

    fn with(&self, commit: &Commit) -> Self {
        let mut tree = self.clone();
        for (path, text) in commit.files() {
            match text {
                Some(text) => tree.files.insert(path.clone(), String::from_utf8(text.clone()).unwrap()),
                None => tree.files.remove(path),
            };
        }
        tree
    }

    /// Returns the files a file leads to, itself among them, told by the words of their lines alone.
    fn reach(&self, path: &str) -> BTreeSet<String> {
        let (mut reached, mut todo) = (BTreeSet::new(), vec![path.to_string()]);
        while let Some(path) = todo.pop() {
            if reached.insert(path.clone()) {
                todo.extend(self.links.get(&path).cloned());
                if let Some(("ln", rest)) = path.split_once('/') {
                    todo.push(format!("parts/{rest}"));
                }
                let text = self.files.get(&path).map_or("", String::as_str);
                todo.extend(text.lines().filter_map(|line| line.strip_prefix("$INCLUDE ")).map(str::to_string));
            }
        }
        reached
    }
}

const KEYS: [&str; 5] =
    ["k._update", "k._update.example", "k._update.a.example", "k._update.b.example", "k._update.w1.a.example"];

fn key(name: &str) -> Arc<Key> {
    Arc::new(Key::parse_argument(&format!("{name}:hmac-sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")).unwrap())
}

fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

/// One line of an update: `+ owner TYPE data` or `- owner [TYPE [data]]`, names relative to the zone.
fn operation(zone: &Name, line: &str) -> Vec<u8> {
    let mut words = line.splitn(4, ' ');
    let (sign, owner) = (words.next().unwrap(), words.next().unwrap());
    let owner = if owner == "@" { zone.clone() } else { name(&format!("{owner}.{zone}")) };
    let (rtype, data) = (words.next(), words.next());
    let rtype = rtype.map_or(Type::ANY, |rtype| Type::from_text(rtype.as_bytes()).unwrap());
    let data = data.map_or(Vec::new(), |data| {
        let text = format!("$TTL 60\n@ SOA ns host 1 1 1 1 1\n@ NS ns\nx {rtype} {data}\n");
        let apex = if rtype == Type::SOA { name("x") } else { zone.clone() };
        let text = if rtype == Type::SOA { format!("$TTL 60\n@ SOA {data}\n@ NS ns\n") } else { text };
        let zone = zonefile::read(&apex, "x", text.as_bytes()).zone.unwrap();
        let owner = if rtype == Type::SOA { apex } else { name(&format!("x.{apex}")) };
        let node = zone.node(&owner).unwrap();
        node.rrset(rtype).unwrap().rdata().next().unwrap().to_vec()
    });
    let (class, ttl) = match sign {
        "+" => (1u16, 60u32),
        _ if data.is_empty() => (255, 0),
        _ => (254, 0),
    };
    let mut wire = owner.as_wire().to_vec();
    wire.extend(rtype.0.to_be_bytes());
    wire.extend(class.to_be_bytes());
    wire.extend(ttl.to_be_bytes());
    wire.extend((data.len() as u16).to_be_bytes());
    wire.extend(data);
    wire
}

fn update(zone: &str, lines: &[&str]) -> Update {
    let zone = name(zone);
    let mut message = vec![0, 1, 0x28, 0, 0, 1, 0, 0];
    message.extend((lines.len() as u16).to_be_bytes());
    message.extend([0, 0]);
    message.extend(zone.as_wire());
    message.extend([0, 6, 0, 1]);
    lines.iter().for_each(|line| message.extend(operation(&zone, line)));
    Update::parse(&message).unwrap()
}

fn prepare(primary: &Primary, tree: &Tree, key: &str, update: &Update) -> Result<Option<Commit>, Refusal> {
    let origin = Origin { key: &name(key), client: IpAddr::from([192, 0, 2, 1]) };
    primary.prepare(update, origin, tree)
}

/// Returns the files a commit changes, or why there is none.
fn told(tree: &Tree, key: &str, zone: &str, lines: &[&str]) -> String {
    match prepare(&tree.loaded(), tree, key, &update(zone, lines)) {
        Ok(Some(commit)) => commit.files().keys().map(String::as_str).collect::<Vec<_>>().join(" "),
        Ok(None) => "nothing".to_string(),
        Err(refusal) => format!("{}: {refusal}", refusal.rcode),
    }
}

fn zone_text(serial: u32, more: &str) -> String {
    format!("$TTL 60\n@ SOA ns host {serial} 1 1 1 1\n@ NS ns.example.net.\n{more}")
}

const SOA: &str = "+ @ SOA ns host 1 1 1 1 1";
const NS: &str = "+ @ NS ns.example.net.";

#[test]
fn a_zone_that_is_another_zones_file() {
    let tree = Tree::of(&[("a.example", &zone_text(1, "w A 192.0.2.1\n")), ("b.example", "$INCLUDE a.example\n")]);
    let shared = "REFUSED: the file a.example would change, but the zone";
    for (key, zone, other) in [("k._update.a.example", "a.example", "b"), ("k._update.b.example", "b.example", "a")] {
        for line in ["+ w A 192.0.2.2", "- w", "+ @ SOA ns host 9 1 1 1 1"] {
            let told = told(&tree, key, zone, &[line]);
            assert!(told.starts_with(&format!("{shared} {other}.example. uses it too")), "{told}");
        }
    }
    // The zone that is nothing but another's file may go, the other may not.
    assert_eq!(told(&tree, "k._update", "b.example", &["- @ SOA"]), "b.example");
    let told = told(&tree, "k._update", "a.example", &["- @ SOA"]);
    assert!(told.starts_with("REFUSED: the file a.example would be deleted, but the zone b.example."), "{told}");
}

#[test]
fn a_zone_whose_file_is_there_as_something_else() {
    let mut tree = Tree::of(&[
        ("a.example", &zone_text(1, "$INCLUDE shared.example\n$INCLUDE parts/b\n$INCLUDE Case.example\n")),
        ("shared.example", "w A 192.0.2.1\n"),
        ("parts/b", "v A 192.0.2.1\n"),
        ("Case.example", "u A 192.0.2.1\n"),
        ("with.example.zone", "x A 192.0.2.1\n"),
        // Never served, for what it includes is missing.
        ("broken.example", &zone_text(1, "$INCLUDE missing.example\n")),
        ("dir.example/part", ""),
        ("e.example", &zone_text(1, "$INCLUDE with.example.zone\n")),
    ]);
    tree.odd.extend(["link.example", "Module.Example", "\u{212a}.example", "dot.example."].map(str::to_string));
    for zone in ["shared", "case", "with", "dir", "link", "module", "k", "dot"] {
        let told = told(&tree, "k._update", &format!("{zone}.example"), &[SOA, NS]);
        assert!(told.starts_with(&format!("REFUSED: the zone's file would be {zone}.example, but ")), "{zone}: {told}");
        assert!(told.contains("but the repository already has "), "{zone}: {told}");
    }
    let missing = told(&tree, "k._update", "missing.example", &[SOA, NS]);
    assert_eq!(missing, "REFUSED: the file missing.example would be created, but the zone broken.example. includes it");
    assert_eq!(told(&tree, "k._update", "parts.example", &[SOA, NS]), "parts.example");
    for (zone, file) in
        [("a\\.b.example", "a%2Eb.example"), ("a\\/b.example", "a%2Fb.example"), ("*.example", "%2A.example")]
    {
        assert_eq!(told(&tree, "k._update", zone, &[SOA, NS]), file);
    }
    // A file comes or goes, and another is no longer what it was.
    let copies = Tree::of(&[("y.bak", &zone_text(1, "")), ("z", &zone_text(1, "")), ("z.bak", &zone_text(1, ""))]);
    for (zone, lines, reason) in [
        ("y", &[SOA, NS][..], "REFUSED: the file y.bak would be taken for a copy of the new zone's"),
        ("z.old", &[SOA, NS], "REFUSED: the zone's file would be z.old, which would be taken for a copy of another"),
        (
            "z",
            &["- @ SOA"],
            "REFUSED: the file z.bak, a copy of the zone's by its name, would be left and read as a zone",
        ),
    ] {
        let told = told(&copies, "k._update", zone, lines);
        assert!(told.starts_with(reason), "{zone}: {told}");
    }
    for zone in ["x._keys", "_keys", "readme"] {
        if let Ok(zone) = Name::from_text(zone) {
            let told = told(&tree, "k._update", &zone.to_string(), &[SOA, NS]);
            assert!(told.starts_with("REFUSED: a zone of this name cannot have a file"), "{zone}: {told}");
        }
    }
}

#[test]
fn parts_of_one_zone_and_of_several() {
    let with = |more: &str| zone_text(1, &format!("$INCLUDE parts/both\n{more}"));
    let mut tree = Tree::of(&[
        ("a.example", &with("$INCLUDE parts/a\n")),
        ("b.example", &with("")),
        ("parts/a", "w A 192.0.2.1\n$INCLUDE hosts.example\n"),
        ("hosts.example", "v A 192.0.2.1\n"),
        ("parts/both", "u A 192.0.2.1\n"),
    ]);
    let a = |tree: &Tree, line: &str| told(tree, "k._update", "a.example", &[line]);
    assert_eq!(a(&tree, "- w"), "a.example parts/a");
    assert_eq!(a(&tree, "- v"), "a.example hosts.example");
    assert!(a(&tree, "- u").starts_with("REFUSED: the file parts/both would change, but the zone b."));
    // What would be left of it answers SERVFAIL as a zone that never was good.
    let left = "REFUSED: the file hosts.example, a part of the zone, would be left and read as a broken zone; delete both in git";
    assert_eq!(a(&tree, "- @ SOA"), left);
    assert_eq!(told(&tree, "k._update", "b.example", &["- @ SOA"]), "b.example");
    // Zones that are not served use their files, too: one with errors, and one of two files.
    tree.files.insert("c.example".into(), "$INCLUDE parts/a\n".into());
    assert!(a(&tree, "- w").contains("the zone c.example. uses it too"));
    tree.files.insert("c.example".into(), zone_text(1, "$INCLUDE parts/a\n"));
    tree.files.insert("c.example.zone".into(), zone_text(1, ""));
    assert!(a(&tree, "- w").contains("the zone c.example. uses it too"));
    tree.files.retain(|path, _| !path.starts_with("c."));
    assert_eq!(a(&tree, "- w"), "a.example parts/a");
    // Its apex is a long name, so that it is no zone for one name that is too long.
    let long = |front: usize| [front, 63, 63].map(|len| "x".repeat(len)).join(".");
    let part = format!("{}.example", long(56));
    tree.files.insert(part.clone(), zone_text(1, &format!("{} A 192.0.2.1\n", "y".repeat(63))));
    tree.files.insert("d.example".into(), format!("$INCLUDE {part}\n"));
    let delete = format!("- {}", "y".repeat(63));
    let told = told(&tree, "k._update", "d.example", &[&delete]);
    assert!(told.starts_with("REFUSED: the file xxxxx"), "{told}");
}

/// What was pushed meanwhile counts, and so do the commits before in the same push.
#[test]
fn a_commit_is_judged_upon_the_one_before() {
    let mut tree = Tree::of(&[("a.example", &zone_text(1, "$INCLUDE parts/a\n")), ("parts/a", "w A 192.0.2.1\n")]);
    let mut primary = tree.loaded();
    let change = update("a.example", &["- w"]);
    assert!(prepare(&primary, &tree, "k._update", &change).is_ok());
    tree.files.insert("b.example".into(), zone_text(1, "$INCLUDE parts/a\n$INCLUDE new.example\n"));
    tree.load_into(&mut primary);
    assert_eq!(prepare(&primary, &tree, "k._update", &change).unwrap_err().rcode, Rcode::REFUSED);
    // A zone made twice, and a part of a zone that comes.
    let create = update("c.example", &[SOA, NS, "+ w A 192.0.2.1"]);
    let commit = prepare(&primary, &tree, "k._update", &create).unwrap().unwrap();
    tree = tree.with(&commit);
    primary.accept(commit);
    assert!(prepare(&primary, &tree, "k._update", &create).unwrap().is_none(), "it is there");
    assert!(prepare(&primary, &tree, "k._update", &update("new.example", &[SOA, NS])).is_err());
}

/// A serial number that is raised changes no other zone.
#[test]
fn serials_of_several_zones_in_one_file() {
    let mut tree = Tree::of(&[
        ("a.example", "$TTL 60\n$INCLUDE parts/soa\n@ NS ns.example.net.\n"),
        ("b.example", "$TTL 60\n$INCLUDE parts/soa\n@ NS ns.example.net.\n"),
        ("c.example", &zone_text(1, "$INCLUDE parts/own\n")),
        ("parts/soa", "@ SOA ns host 1 1 1 1 1\n"),
        ("parts/own", "w A 192.0.2.1\n"),
    ]);
    let mut primary = tree.loaded();
    for path in ["a.example", "parts/own"] {
        tree.files.get_mut(path).unwrap().push_str("x A 192.0.2.1\n");
    }
    tree.load_into(&mut primary);
    assert_eq!(primary.not_raised().map(Name::to_string).collect::<Vec<_>>(), ["a.example.", "c.example."]);
    let by = CommitInfo { id: blob_id(b""), tree: blob_id(b""), author: String::new(), summary: String::new() };
    let refusal = primary.prepare_raise(&name("a.example"), &by, &tree).unwrap_err();
    assert!(refusal.reason.starts_with("the file parts/soa would change, but the zone b.example."));
    let commit = primary.prepare_raise(&name("c.example"), &by, &tree).unwrap();
    assert_eq!(commit.files().keys().collect::<Vec<_>>(), ["c.example"]);
}

/// A key changes what the links of its zone lead to, and only if that is the zone's alone.
#[test]
fn links_are_followed_and_what_they_lead_to_is_what_changes() {
    let zone = zone_text(1, "w1 A 192.0.2.1\n");
    let with_part = zone_text(1, "$INCLUDE ln/x\n");
    let twice = zone_text(1, "$INCLUDE ln/x\n$INCLUDE parts/x\n");
    let tree = Tree::of(&[
        ("a.example", &zone),
        ("parts/whole", &zone),
        ("d.example", &with_part),
        ("e.example", &zone_text(1, "$INCLUDE parts/y\n")),
        ("f.example", &zone_text(1, "$INCLUDE to-y\n")),
        ("g.example", &twice.replace("/x", "/z")),
        ("parts/x", "w2 A 192.0.2.2\n"),
        ("parts/y", "w2 A 192.0.2.2\n"),
        ("parts/z", "w2 A 192.0.2.2\n"),
    ]);
    let tree = tree.linked(&[
        ("b.example", "a.example"),
        ("c.example", "to-c"),
        ("to-c", "parts/../parts/whole"),
        ("ln", "parts"),
        ("to-y", "./parts/y"),
    ]);
    let served: Vec<String> = apexes(&tree.loaded()).iter().map(ToString::to_string).collect();
    for zone in ["a", "b", "c", "d", "e", "f", "g"] {
        assert!(served.contains(&format!("{zone}.example.")), "{zone}: {served:?}");
    }
    let told = |zone: &str, line: &str| told(&tree, "k._update", zone, &[line]);
    assert_eq!(
        told("c.example", "+ w1 A 192.0.2.2"),
        "REFUSED: the file parts/whole would change, but the zone to-c. uses it too; change it in git and raise the serials of both"
    );
    assert_eq!(told("d.example", "- w2"), "d.example parts/x");
    for (zone, file, other) in
        [("a", "a.example", "b"), ("b", "a.example", "a"), ("e", "parts/y", "f"), ("f", "parts/y", "e")]
    {
        let reason = told(&format!("{zone}.example"), if zone < "c" { "- w1" } else { "- w2" });
        let expected = format!("REFUSED: the file {file} would change, but the zone {other}.example. uses it too");
        assert!(reason.starts_with(&expected), "{zone}: {reason}");
    }
    let reason = told("g.example", "- w2");
    assert!(reason.starts_with("REFUSED: the file parts/z would change, but the zone includes it as "), "{reason}");
    let reason = told("b.example", "- @ SOA");
    assert_eq!(reason, "REFUSED: the file b.example is a symbolic link; delete the zone in git");

    // What is accepted is as it is after a start.
    let tree = Tree::of(&[("parts/whole", &zone)]).linked(&[("c.example", "parts/whole")]);
    let mut primary = tree.loaded();
    let commit = prepare(&primary, &tree, "k._update", &update("c.example", &["- w1"])).unwrap().unwrap();
    assert_eq!(commit.files().keys().collect::<Vec<_>>(), ["parts/whole"]);
    let after = tree.with(&commit);
    primary.accept(commit);
    assert!(same(&primary, &after.loaded(), &name("c.example")));
    after.load_into(&mut primary);
    assert_eq!(primary.not_raised().count(), 0);
}

const ZONES: [&str; 4] = ["a.example", "b.example", "example", "w1.a.example"];
const PARTS: [&str; 5] = ["parts/x", "parts/y", "shared.example", "p.a.example", "gone.example"];
const LINKED: [&str; 3] = ["ln/x", "ln/y", "to-y"];
const NEW: [&str; 6] = ["shared.example", "p.a.example", "gone.example", "new.example", "odd.example", "x.b.example"];

/// The lines of a file: records, and files it includes by number.
fn any_lines() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        3 => (1..4u8, 1..4u8).prop_map(|(owner, last)| format!("w{owner} A 192.0.2.{last}\n")),
        2 => prop::sample::select([&PARTS[..], &LINKED].concat()).prop_map(|path| format!("$INCLUDE {path}\n")),
        1 => prop::sample::select(vec!["$INCLUDE a.example\n", "x A 192.0.2.300\n", "@ TXT x\n"]).prop_map(str::to_string),
    ];
    prop::collection::vec(line, 0..4).prop_map(|lines| lines.concat())
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let zone = prop_oneof![
        6 => any_lines().prop_map(|lines| Some(zone_text(1, &lines))),
        1 => any_lines().prop_map(Some),
        1 => Just(Some("$INCLUDE a.example\n".to_string())),
        1 => Just(Some("$TTL 60\n$INCLUDE parts/soa\n@ NS ns.example.net.\n".to_string())),
        1 => Just(None),
    ];
    let part = prop::option::weighted(0.7, any_lines());
    let zones = prop::collection::vec(zone, ZONES.len());
    let parts = prop::collection::vec(part, PARTS.len());
    let odd = prop::collection::btree_set(prop::sample::select(vec!["Odd.example", "new.Example", "z"]), 0..2);
    let targets = prop::sample::select([&ZONES[..], &PARTS[..2], &["l.example", "m.example", "none"]].concat());
    let links = prop::collection::btree_map(
        prop::sample::select(vec!["l.example", "m.example", "w1.b.example"]),
        targets,
        0..3,
    );
    (zones, parts, prop::bool::weighted(0.1), odd, links).prop_map(|(zones, parts, twice, odd, links)| {
        let files = ZONES.iter().zip(zones).chain(PARTS.iter().zip(parts));
        let mut files: BTreeMap<String, String> =
            files.filter_map(|(path, text)| Some((path.to_string(), text?))).collect();
        files.insert("parts/soa".into(), "@ SOA ns host 1 1 1 1 1\n".into());
        if twice {
            files.insert("b.example.zone".into(), zone_text(1, "$INCLUDE parts/y\n"));
        }
        let mut links: BTreeMap<String, String> =
            links.into_iter().map(|(path, target)| (path.to_string(), target.to_string())).collect();
        links.extend([("ln".into(), "parts".into()), ("to-y".into(), "parts/y".into())]);
        Tree { files, links, odd: odd.into_iter().map(str::to_string).collect() }
    })
}

fn any_update() -> impl Strategy<Value = (&'static str, Update)> {
    let line = prop_oneof![
        4 => (1..4u8, 1..5u8).prop_map(|(owner, last)| format!("+ w{owner} A 192.0.2.{last}")),
        3 => (1..4u8).prop_map(|owner| format!("- w{owner}")),
        1 => (1..4u8, 1..4u8).prop_map(|(owner, last)| format!("- w{owner} A 192.0.2.{last}")),
        1 => Just("+ @ SOA ns host 7 1 1 1 1".to_string()),
        1 => Just("- @ SOA".to_string()),
        1 => Just("- @ TXT".to_string()),
    ];
    let lines = prop_oneof![
        6 => prop::collection::vec(line, 1..4),
        1 => Just(vec!["- @ SOA".to_string()]),
        2 => Just([SOA, NS, "+ w1 A 192.0.2.1"].map(str::to_string).to_vec()),
    ];
    let zones = prop::sample::select([&ZONES[..], &NEW, &["l.example", "m.example"]].concat());
    (prop::sample::select(KEYS.to_vec()), zones, lines)
        .prop_map(|(key, zone, lines)| (key, update(zone, &lines.iter().map(String::as_str).collect::<Vec<_>>())))
}

/// Checks a commit for the zone `apex`: no other zone has other contents, and no file changes that is not its own.
fn check(tree: &Tree, apex: &Name, commit: &Commit) -> Result<Tree, TestCaseError> {
    let (after, before) = (tree.with(commit), tree.loaded());
    let others: BTreeSet<Name> =
        [&before, &after.loaded()].into_iter().flat_map(apexes).filter(|a| a != apex).collect();
    for other in others {
        prop_assert!(same(&before, &after.loaded(), &other), "{} changed with {}: {:?}", other, apex, commit.files());
    }
    let files_of = |apex: &Name| {
        let is_of = |path: &&String| FileRole::of(path) == FileRole::Zone(apex.clone());
        tree.paths().filter(is_of).flat_map(|path| tree.reach(path)).collect::<BTreeSet<_>>()
    };
    for path in commit.files().keys() {
        if tree.files.contains_key(path) {
            prop_assert!(files_of(apex).contains(path), "{} is none of {}", path, apex);
        } else {
            prop_assert_eq!(FileRole::of(path), FileRole::Zone(apex.clone()));
            let taken = tree.names().unwrap().into_iter().find(|name| name.eq_ignore_ascii_case(path));
            prop_assert_eq!(taken, None);
        }
        for other in apexes(&before).iter().filter(|other| *other != apex) {
            prop_assert!(!files_of(other).contains(path), "{} is of {}, too", path, other);
        }
    }
    Ok(after)
}

fn apexes(primary: &Primary) -> Vec<Name> {
    primary.zones().iter().map(|entry| entry.apex().clone()).collect()
}

/// Returns whether two states serve the same under a name.
fn same(one: &Primary, two: &Primary, apex: &Name) -> bool {
    let zone = |primary: &Primary| -> Option<Option<Arc<Zone>>> {
        primary.zones().get(apex).map(|entry| entry.zone().cloned())
    };
    match (zone(one), zone(two)) {
        (None, None) | (Some(None), Some(None)) => true,
        (Some(Some(one)), Some(Some(two))) => difference(&one, &two).is_empty(),
        _ => false,
    }
}

#[test]
fn an_update_changes_one_zone_and_its_files() {
    let (done, refused, raised) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let count = |cell: &Cell<u32>| cell.set(cell.get() + 1);
    let strategy = (any_tree(), prop::collection::vec(any_update(), 1..6), 0..9usize);
    let run = |(mut tree, updates, pushed): (Tree, Vec<(&'static str, Update)>, usize)| {
        let mut primary = tree.loaded();
        for (key, update) in &updates {
            let apex = update.zone();
            match prepare(&primary, &tree, key, update) {
                Ok(None) => {}
                Ok(Some(commit)) => {
                    count(&done);
                    let after = check(&tree, apex, &commit)?;
                    primary.accept(commit);
                    for apex in [&primary, &after.loaded()].into_iter().flat_map(apexes) {
                        prop_assert!(same(&primary, &after.loaded(), &apex), "{} is not as after a start", apex);
                    }
                    tree = after;
                }
                Err(refusal) if refusal.reason.starts_with("the file ") => {
                    count(&refused);
                    // Nothing of the zone's own is refused.
                    let is_of = |path: &&String| FileRole::of(path) == FileRole::Zone(apex.clone());
                    let own: BTreeSet<_> = tree.paths().filter(is_of).flat_map(|path| tree.reach(path)).collect();
                    let is_other = |path: &&String| !is_of(path) && matches!(FileRole::of(path), FileRole::Zone(_));
                    let all = tree.paths().filter(is_other).flat_map(|path| tree.reach(path));
                    let name = apex.to_string().trim_end_matches('.').to_string();
                    let others: BTreeSet<_> = all.collect();
                    let is_linked = tree.links.contains_key(&name) || refusal.reason.contains("includes it as");
                    prop_assert!(
                        is_linked || own.iter().chain([&name]).any(|path| others.contains(path)),
                        "{}: {}",
                        apex,
                        refusal
                    );
                }
                Err(_) => {}
            }
        }
        // Somebody changes a file, and the serials are raised in one push.
        let Some(path) = tree.files.keys().nth(pushed).cloned() else { return Ok(()) };
        tree.files.get_mut(&path).unwrap().push_str("w5 A 192.0.2.5\n");
        tree.load_into(&mut primary);
        let by = CommitInfo { id: blob_id(b""), tree: blob_id(b""), author: String::new(), summary: String::new() };
        for apex in primary.not_raised().cloned().collect::<Vec<_>>() {
            if let Ok(commit) = primary.prepare_raise(&apex, &by, &tree) {
                count(&raised);
                tree = check(&tree, &apex, &commit)?;
                primary.accept(commit);
            }
        }
        Ok(())
    };
    TestRunner::new(Config::with_cases(1500)).run(&strategy, run).unwrap_or_else(|error| panic!("{error}"));
    let counts = [done.get(), refused.get(), raised.get()];
    assert!(counts.iter().all(|count| *count >= 100), "it tries too little: {counts:?}");
}
