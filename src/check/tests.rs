use crate::zonefile;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::*;
use crate::git::blob_id;

/// A repository's files, and how many of them were read.
#[derive(Default)]
pub(super) struct Memory {
    files: BTreeMap<String, ObjectId>,
    texts: HashMap<ObjectId, Rc<[u8]>>,
    reads: Cell<usize>,
}

impl Memory {
    pub(super) fn of<P: AsRef<str>, T: AsRef<[u8]>>(files: impl IntoIterator<Item = (P, T)>) -> Self {
        let mut memory = Memory::default();
        files.into_iter().for_each(|(path, text)| memory.put(path.as_ref(), text.as_ref()));
        memory
    }

    fn put(&mut self, path: &str, text: &[u8]) {
        self.files.insert(path.to_string(), blob_id(text));
        self.texts.insert(blob_id(text), text.into());
    }

    pub(super) fn with<'a>(&self, changes: impl IntoIterator<Item = (&'a str, Option<String>)>) -> Self {
        let mut next = Memory { files: self.files.clone(), texts: self.texts.clone(), reads: Cell::new(0) };
        for (path, text) in changes {
            match text {
                Some(text) => next.put(path, text.as_bytes()),
                None => drop(next.files.remove(path)),
            }
        }
        next
    }
}

impl Tree for Memory {
    fn files(&self) -> Vec<File> {
        self.files.iter().map(|(path, id)| File { path: path.clone(), id: *id, link: None }).collect()
    }

    fn read(&self, id: &ObjectId) -> Result<Vec<u8>, String> {
        self.reads.set(self.reads.get() + 1);
        let found = self.texts.get(id).filter(|text| ***text != *b"unreadable");
        found.map(|text| text.to_vec()).ok_or("it is damaged".to_string())
    }
}

pub(super) fn zone(serial: u32, more: &str) -> String {
    format!(
        "$TTL 60\n@ SOA ns hostmaster (\n\t{serial} ; serial\n\t3600 600 86400 60 )\n@ NS ns\nns A 192.0.2.1\n{more}"
    )
}

fn checked(old: Option<&Memory>, new: &Memory) -> String {
    check(old.map(|old| old as &dyn Tree), new, &Options::default()).text(false)
}

pub(super) const A: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Each kind of mistake, by its whole message.
#[test]
fn mistakes() {
    let good = zone(7, "");
    let key = |name: &str, number: u32| format!("{name} DNSKEY 0 3 {number} {A}\n");
    let old = Memory::of([("example.org", good.as_str()), ("b._keys", &key("k._update", 163))]);
    for (changes, expected) in [
        // What cannot be read.
        (
            vec![("example.org", Some(zone(8, "www\tAA 192.0.2.1\nmail A 192.0.2\n")))],
            "example.org:7:5: error: there is no record type AA
     7 | www\tAA 192.0.2.1
       |    \t^
       = did you mean A?
example.org:8:8: error: expected an IPv4 address, not `192.0.2`
     8 | mail A 192.0.2
       |        ^
",
        ),
        // What can, but makes no sound zone.
        (
            vec![("example.net", Some("$TTL 60\n@ NS ns.example.org.\n".to_string()))],
            "example.net: error: there is no SOA record at example.net.
       = a zone begins with `@ SOA` and its data; the zone is example.net. by its file's name
",
        ),
        // Serials.
        (vec![("example.org", Some(zone(7, "; a remark\n")))], ""),
        (vec![("example.org", Some(zone(8, "www A 192.0.2.2\n")))], ""),
        (vec![("example.org", Some(zone(7, "www A 192.0.2.2\n")))], "example.org:3:2: error: the zone example.org. changed, but its serial is still 7
     3 | \t7 ; serial
       | \t^
       = make it 8, for instance; secondaries would keep the old zone
"),
        (vec![("example.org", Some(zone(6, "")))], "example.org:3:2: error: the zone example.org. changed, but its serial went from 7 to 6, which is not higher (RFC 1982)
     3 | \t6 ; serial
       | \t^
       = make it 8, for instance; secondaries would keep the old zone
"),
        (vec![("example.org", Some(zone(7 + (1 << 31), "")))], "example.org:3:2: error: the zone example.org. changed, but its serial went from 7 to 2147483655, which is not higher (RFC 1982)
     3 | \t2147483655 ; serial
       | \t^
       = make it 8, for instance; secondaries would keep the old zone
"),
        (vec![("example.org", Some(zone(6 + (1 << 31), "")))], ""),
        // Zones that go.
        (vec![("example.org", None)], "example.org: error: the zone example.org. is deleted
       = restore the file, or confirm the deletion
"),
        (vec![("example.org", None), ("old/example.org", Some(good.clone()))], "example.org: error: the zone example.org. is deleted
       = restore the file, or confirm the deletion
"),
        (vec![("example.org", None), ("example.org.zone", Some(good.clone()))], ""),
        (vec![("Example.org.zone", Some(good.clone()))], "Example.org.zone: error: Example.org.zone, example.org all name the zone Example.org.
       = keep one of them
"),
        // Files that are none of ours, and those that look as if they were.
        (vec![("README.md", Some("A".to_string())), ("docs/zone", Some("(".to_string()))], ""),
        (vec![("notes (old)", Some("A".to_string()))], "notes (old): warning: a zone's file bears the zone's name, which has no ' '
       = rename it, or move it to a sub-directory if it is not a zone
"),
        (vec![("notes", Some("Remember:\n".to_string()))], "notes:1:10: error: the line ends without a record type
     1 | Remember:
       |          ^
"),
        (vec![("example.net", Some("unreadable".to_string()))], "example.net: error: it is damaged
       = check its permissions, and the repository with `git fsck`
"),
        // Keys, whose lines are never shown.
        (vec![("_keys", Some(format!("one DNSKEY 0 3 163 {A}x\n{}", key("two._update", 8))))], "_keys:1:20: error: expected base64
       = a key is written `name DNSKEY 0 3 163 <base64>`, where 163 is HMAC-SHA256
_keys:2:1: error: algorithm 8: the algorithm is unknown; use one of hmac-sha1, hmac-sha224, hmac-sha256, hmac-sha384, hmac-sha512
       = a key is written `name DNSKEY 0 3 163 <base64>`, where 163 is HMAC-SHA256
"),
        (vec![("_keys", Some(key("k._update.b", 164)))], "_keys:1:1: error: the key k._update.b. is also in b._keys:1 with another algorithm; neither is used
       = keep only one of them, or rename one
"),
        (vec![("c._keys", Some(key("k._update", 163))), ("a..b._keys", Some(String::new()))], "a..b._keys: error: the file's name is not a zone's name followed by `._keys`: the name has an empty label (two dots in a row, or a leading dot); none of its keys are used
"),
        (vec![("example.org", Some(zone(8, "$INCLUDE b._keys\n")))], "example.org:7:10: error: b._keys is a key file, whose secrets would be served to everybody
     7 | $INCLUDE b._keys
       |          ^
       = remove this line; the server finds key files by their names
"),
        (vec![("example.org", Some(zone(8, "$INCLUDE copied\n"))), ("copied", Some(key("k._update", 163)))], "copied:1:1: error: this record is a TSIG key, whose secret would be served to everybody
       = keep keys in `<zone>._keys`, which is never served; replace this key, others may know it
"),
        (vec![("example.org", Some(zone(8, "$INCLUDE x\nMX 1 ns\n")))], "example.org:7:10: error: there is no file x in the repository
     7 | $INCLUDE x
       |          ^
       = a path begins at the root of the repository
example.org:8:8: error: a domain name is missing here
     8 | MX 1 ns
       |        ^
"),
        (vec![("example.org", Some("unreadable".to_string()))], "example.org: error: it is damaged
       = check its permissions, and the repository with `git fsck`
"),
    ] {
        let new = old.with(changes.clone());
        assert_eq!(checked(Some(&old), &new), expected, "{changes:?}");
    }
}

#[test]
fn deletion_is_allowed_on_request_or_if_the_zone_was_never_valid() {
    let old = Memory::of([("example.org", zone(1, "").as_str()), ("broken", "x")]);
    let new = old.with([("example.org", None), ("broken", None)]);
    let check = |options: &Options| check(Some(&old), &new, options);
    let hint = "push with -o zonule.allow-deletion".to_string();
    let found = check(&Options { deletion_hint: hint.clone(), ..Options::default() });
    assert_eq!(found.findings.len(), 1);
    assert_eq!((found.findings[0].kind, found.findings[0].diagnostic.hint.as_ref()), (Kind::Deletion, Some(&hint)));
    assert_eq!(check(&Options { allow_deletion: true, ..Options::default() }).findings, []);
}

/// What a finding about a serial number knows is what it takes to mend it.
#[test]
fn following_the_hint_fixes_the_serial() {
    let old = Memory::of([("example.org", zone(2_026_111_903, ""))]);
    let text = zone(5, "www A 192.0.2.1\n");
    let new = old.with([("example.org", Some(text.clone()))]);
    let found = check(Some(&old), &new, &Options::default());
    let [Finding { kind: Kind::Serial, zone: Some(apex), above: Some(above), .. }] = found.findings.as_slice() else {
        panic!("{found:?}")
    };
    let none = |_: &str| Err(zonefile::IncludeError::Missing);
    let zone = zonefile::read(apex, "example.org", text.as_bytes()).zone.unwrap();
    let edited = bump(apex, "example.org", text.as_bytes(), none, &zone, *above, 20_261_120).unwrap();
    let fixed = String::from_utf8(edited.files["example.org"].clone()).unwrap();
    assert_eq!(fixed, text.replace("\t5 ;", "\t2026112001 ;"));
    assert_eq!(checked(Some(&old), &old.with([("example.org", Some(fixed))])), "");
}

#[test]
fn a_change_of_a_part_is_one_of_the_zones_that_include_it() {
    let with = |serial| zone(serial, "$INCLUDE parts/mail\n");
    let old = Memory::of([
        ("a.example", with(1).as_str()),
        ("b.example", &with(2)),
        ("c.example", &zone(3, "")),
        ("parts/mail", "$INCLUDE parts/inner"),
        ("parts/inner", "@ MX 1 mail.example.net.\n"),
    ]);
    let part = |text: &str| ("parts/inner", Some(text.to_string()));
    assert_eq!(checked(Some(&old), &old.with([part("@ MX 1 mail.example.net. ; here\n")])), "");
    let two = old.with([part("@ MX 2 mail.example.net.\n"), ("b.example", Some(with(3)))]);
    let expected = "a.example:3:2: error: the zone a.example. changed, but its serial is still 1
     3 | \t1 ; serial
       | \t^
       = make it 2, for instance; secondaries would keep the old zone
";
    assert_eq!(checked(Some(&old), &two), expected);
    // Findings in a part are reported once, however many zones include it.
    let expected = "parts/inner:1:6: error: expected a number from 0 to 65535, not `x`
     1 | @ MX x
       |      ^
       = a valid record is, for example, `MX 10 mail.example.org.`
";
    assert_eq!(checked(Some(&old), &old.with([part("@ MX x\n")])), expected);
    let expected = "parts/mail:1:10: error: there is no file parts/inner in the repository
     1 | $INCLUDE parts/inner
       |          ^
       = a path begins at the root of the repository
";
    assert_eq!(checked(Some(&old), &old.with([("parts/inner", None)])), expected);
    assert_eq!(checked(None, &old.with([("parts/inner", None)])), expected);
}

/// As [`Primary::load`](crate::primary::Primary::load) has it: a part at the top of the repository is no broken zone.
#[test]
fn a_file_that_is_only_a_part_of_zones_is_none_itself() {
    let (with, without) = (zone(1, "$INCLUDE mail\n"), zone(2, ""));
    let old = Memory::of([("mail", "@ MX 1 mail.example.net.\n"), ("z.example", &with), ("a.example", &without)]);
    let broken = "mail:1:3: error: the record has no TTL and there is none before to inherit
     1 | @ MX 1 mail.example.net.
       |   ^
       = put `$TTL 3600` at the top of the file
";
    assert_eq!(checked(None, &old), "");
    assert_eq!(checked(Some(&old), &old.with([("README.md", Some("x".to_string()))])), "");
    let changed = ("mail", Some("@ MX 2 mail.example.net.\n".to_string()));
    let expected = "z.example:3:2: error: the zone z.example. changed, but its serial is still 1
     3 | \t1 ; serial
       | \t^
       = make it 2, for instance; secondaries would keep the old zone
";
    assert_eq!(checked(Some(&old), &old.with([changed.clone()])), expected, "changed");
    let raised = ("z.example", Some(with.replace("\t1 ;", "\t2 ;")));
    assert_eq!(checked(Some(&old), &old.with([changed, raised])), "", "changed, and its zone with it");
    let left = ("z.example", Some(without.clone()));
    let found = checked(Some(&old), &old.with([left.clone()]));
    assert_eq!(found, broken, "nobody includes it now");
    let taken = ("a.example", Some(zone(3, "$INCLUDE mail\n")));
    assert_eq!(checked(Some(&old), &old.with([left, taken])), "", "another does");
    // Making a zone of it is a change of those that include it.
    let found = checked(Some(&old), &old.with([("mail", Some(zone(5, "x A 192.0.2.9\n")))]));
    let expected = "mail:2:1: error: z.example. has more than one SOA record
     2 | @ SOA ns hostmaster (
       | ^
       = it can have only one
";
    assert!(found.starts_with(expected), "{found}");
    let fresh = ("new", Some("@ MX x\n".to_string()));
    let found = checked(Some(&old), &old.with([fresh]));
    assert!(found.starts_with("new:1:6: error: expected a number"), "{found}");
}

/// The check warns that updates could be refused because of it, and says how to change the file.
#[test]
fn files_of_several_zones() {
    let hint = "
       = change it in git and raise the serials of these zones; keep records that updates change in a zone's own file
";
    let warning = |file: &str, zones: &str| {
        format!("{file}: warning: {file} is part of several zones ({zones}), so updates cannot change it{hint}")
    };
    let files = [
        ("a.example", zone(1, "$INCLUDE parts/all\n$INCLUDE p.example\n")),
        ("b.example", zone(1, "$INCLUDE parts/all\n$INCLUDE parts/b\n")),
        ("c.example", "$INCLUDE d.example\n".to_string()),
        ("d.example", zone(1, "$INCLUDE parts/all\n")),
        ("e.example", zone(1, "$INCLUDE parts/all\n")),
        ("p.example", "p A 192.0.2.1\n$INCLUDE parts/b\n".to_string()),
        ("q.example", zone(1, "$INCLUDE p.example\n")),
        ("parts/all", "x A 192.0.2.1\n".to_string()),
        ("parts/b", "y A 192.0.2.1\n".to_string()),
        ("only.example", zone(1, "$INCLUDE parts/only\n")),
        ("parts/only", "y A 192.0.2.1\n".to_string()),
    ];
    let new = Memory::of(files);
    assert_eq!(checked(None, &new), "", "nobody can update");
    let notify = new.with([("_keys", Some(format!("k._transfer DNSKEY 0 3 163 {A}\n")))]);
    assert_eq!(checked(None, &notify), "");
    let all = new.with([("_keys", Some(format!("k._update.example DNSKEY 0 3 163 {A}\n")))]);
    let everything = [
        warning("d.example", "c.example., d.example."),
        warning("p.example", "a.example., q.example."),
        warning("parts/all", "a.example., b.example., c.example. and 2 more"),
        warning("parts/b", "a.example., b.example., q.example."),
    ];
    assert_eq!(checked(None, &all), everything.concat());
    let one = new.with([("b.example._keys", Some(format!("k._update.w DNSKEY 0 3 163 {A}\n")))]);
    assert_eq!(checked(None, &one), everything[2..].concat());
    let changed = all.with([("parts/b", Some("y A 192.0.2.2\n".to_string()))]);
    let found = check(Some(&all), &changed, &Options::default());
    let shared: Vec<_> = found.findings.iter().filter(|finding| finding.kind == Kind::Shared).collect();
    assert!(shared.len() == 1 && shared[0].diagnostic.file == "parts/b", "{shared:?}");
}

#[test]
fn only_what_changed_is_read() {
    let names: Vec<String> = (0..10_000).map(|n| format!("z{n}.example")).collect();
    let mut files: Vec<(String, String)> = names.iter().map(|name| (name.clone(), zone(1, ""))).collect();
    // Files with the same content would be one object.
    files.iter_mut().for_each(|(name, text)| text.push_str(&format!("; {name}\n")));
    files.extend(
        names.iter().take(100).map(|name| (format!("{name}._keys"), format!("k DNSKEY 0 3 163 {A} ; {name}\n"))),
    );
    files[5_000].1.push_str("$INCLUDE parts/one\n");
    files[6_000].1.push_str("$INCLUDE common\n");
    files.push(("common".to_string(), "y A 192.0.2.1\n".to_string()));
    files.push(("parts/one".to_string(), "x A 192.0.2.1\n".to_string()));
    let old = Memory::of(files);
    for (changes, reads) in [
        (vec![], 0),
        (vec![("z7.example", Some(zone(2, "www A 192.0.2.1\n")))], 1 + 1),
        (vec![("z7.example", Some("x".to_string()))], 1 + 1),
        (vec![("z6000.example", Some(zone(2, "$INCLUDE common\n")))], 2 + 2),
        (vec![("z7.example", Some(zone(2, "")))], 1 + 1),
        (vec![("new.example", Some(zone(2, "")))], 1),
        (vec![("z7.example._keys", Some(format!("k DNSKEY 0 3 163 {A}\n")))], 1),
        (vec![("_keys", Some(format!("k DNSKEY 0 3 163 {A}\n")))], 101),
        // Who includes it must be looked for among all zones' files and one part; then of one zone are read its part,
        // both files it was, and the part again for where its serial number stands.
        (vec![("parts/one", Some("x A 192.0.2.2\n".to_string()))], 10_001 + 1 + 1 + 2 + 1),
        (vec![("README.md", Some("x".to_string()))], 0),
    ] {
        let new = old.with(changes.clone());
        old.reads.set(0);
        let _ = check(Some(&old), &new, &Options::default());
        // The line of a finding is read again only if it stands in another file.
        assert_eq!(old.reads.get() + new.reads.get(), reads, "{changes:?}");
    }
}

#[test]
fn json_and_github_formats() {
    let old = Memory::of([("example.org", zone(1, ""))]);
    let changes = [("example.org", Some(zone(2, "w\tTXT \"x\n"))), ("a,b: 1%", Some(String::new()))];
    let found = check(Some(&old), &old.with(changes), &Options::default()).below("zones/");
    let expected = r#"{"errors":1,"warnings":1,"zones":1,"key_files":0,"findings":[
{"kind":"misnamed","severity":"warning","zone":null,"file":"zones/a,b: 1%","line":null,"column":null,"reason":"a zone's file bears the zone's name, which has no ','","hint":"rename it, or move it to a sub-directory if it is not a zone","source":null},
{"kind":"zone","severity":"error","zone":"example.org.","file":"zones/example.org","line":7,"column":7,"reason":"this quoted string is not closed","hint":"a quoted string must end on the line where it begins","source":"w\u0009TXT \"x"}
]}
"#;
    assert_eq!(found.json(), expected);
    let expected =
        "::warning file=zones/a%2Cb%3A 1%25::a zone's file bears the zone's name, which has no ',' (hint: rename it, \
        or move it to a sub-directory if it is not a zone)
::error file=zones/example.org,line=7,col=7::this quoted string is not closed (hint: a quoted string must end on the line where it begins)
";
    assert_eq!(found.github(), expected);
    assert_eq!(found.summary(), "1 zone read: 1 error, 1 warning");
    let coloured = found.text(true);
    assert!(coloured.contains("\x1b[1;31merror:\x1b[0m this quote"), "{coloured}");
    assert_eq!(
        Findings::default().json(),
        "{\"errors\":0,\"warnings\":0,\"zones\":0,\"key_files\":0,\"findings\":[]}\n"
    );
}
