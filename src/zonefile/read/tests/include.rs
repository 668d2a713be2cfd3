//! Zones of several files, and of records made from patterns.

use crate::dns::{Type, print};
use crate::zonefile::read::*;

/// Reads `example.org` from files; the first one is the zone's own.
fn reading(files: &[(&str, &str)]) -> Reading {
    let apex = Name::from_text("example.org").unwrap();
    let open = |path: &str| match files.iter().find(|(name, _)| *name == path) {
        Some((_, "unreadable")) => Err(IncludeError::Unreadable("bad luck".into())),
        Some((_, text)) => Ok(text.as_bytes().to_vec()),
        None => Err(IncludeError::Missing),
    };
    read_including(&apex, files[0].0, files[0].1.as_bytes(), open)
}

fn diagnostics(files: &[(&str, &str)]) -> Vec<String> {
    reading(files).diagnostics.iter().map(ToString::to_string).collect()
}

/// The records of a zone that was read, but SOA and NS.
fn records(reading: &Reading) -> Vec<String> {
    let zone = reading.zone.as_ref().unwrap_or_else(|| panic!("{:?}", reading.diagnostics));
    let mut all = Vec::new();
    for node in zone.iter() {
        for rrset in node.rrsets().filter(|rrset| !matches!(rrset.rtype(), Type::SOA | Type::NS)) {
            all.extend(rrset.rdata().map(|data| print::record(node.owner(), rrset.ttl(), rrset.rtype(), data)));
        }
    }
    all
}

const HEAD: &str = "$TTL 1h\n@ SOA ns host 7 1h 15m 1w 5m\n@ NS ns.example.net.\n";

fn generated(lines: &str) -> Vec<String> {
    let text = format!("{HEAD}{lines}");
    let reading = reading(&[("z", &text)]);
    assert!(reading.diagnostics.is_empty(), "{:?}", reading.diagnostics);
    records(&reading)
}

/// RFC 1035 §5.1: the origin may be given and is as before behind the file, like the owner; TTLs stay.
#[test]
fn origin_and_owner_are_restored() {
    let main = format!(
        "{HEAD}a TXT main\n$INCLUDE parts/one sub ; c\n HINFO still a\nb TXT b\n$INCLUDE \"parts/../two\"\n HINFO still b\n"
    );
    let files = [
        ("example.org", main.as_str()),
        ("parts/one", " TXT of-a\n@ TXT sub\nx TXT x\n$ORIGIN deep\ny TXT y\n$TTL 2h\n"),
        ("two", "z TXT z"),
    ];
    let reading = reading(&files);
    let shown: Vec<_> = reading.diagnostics.iter().map(ToString::to_string).collect();
    assert!(shown.len() == 1 && shown[0].starts_with("parts/one:1:2: warning: after an $ORIGIN"), "{shown:?}");
    assert_eq!(reading.included, ["parts/one", "two"]);
    let expected = [
        "a.example.org. 3600 IN TXT \"main\"",
        "a.example.org. 3600 IN TXT \"of-a\"",
        "a.example.org. 7200 IN HINFO \"still\" \"a\"",
        "b.example.org. 7200 IN TXT \"b\"",
        "b.example.org. 7200 IN HINFO \"still\" \"b\"",
        "sub.example.org. 3600 IN TXT \"sub\"",
        "y.deep.sub.example.org. 3600 IN TXT \"y\"",
        "x.sub.example.org. 3600 IN TXT \"x\"",
        "z.example.org. 7200 IN TXT \"z\"",
    ];
    let mut found = records(&reading);
    found.sort();
    let mut sorted = expected.map(str::to_string).to_vec();
    sorted.sort();
    assert_eq!(found, sorted);
}

#[test]
fn faults_name_the_file_they_are_in() {
    let main = format!("{HEAD}$INCLUDE one\na A x\n");
    assert_eq!(
        diagnostics(&[("example.org", &main), ("one", "\nb A y\n$INCLUDE two\n"), ("two", "c A z")]),
        [
            "example.org:5:5: error: expected an IPv4 address, not `x`",
            "one:2:5: error: expected an IPv4 address, not `y`",
            "two:1:5: error: expected an IPv4 address, not `z`",
        ]
    );
    // An error in a file that is included twice is reported once.
    let main = format!("{HEAD}$INCLUDE one a\n$INCLUDE one b\n");
    assert_eq!(diagnostics(&[("example.org", &main), ("one", "b A y\n")]).len(), 1);
    // Findings beyond the text have their place, too.
    let main = format!("{HEAD}$INCLUDE one\na TXT b\n");
    assert_eq!(
        diagnostics(&[("example.org", &main), ("one", "\na CNAME b\n")]),
        [
            "one:2:1: error: a.example.org. has a CNAME record and other data (TXT) too (hint: an alias has no records of its own (RFC 2181 §10.1))"
        ]
    );
}

#[test]
fn invalid_includes() {
    for (line, others, expected) in [
        ("$INCLUDE", &[][..], "4:1: error: $INCLUDE needs the path of a file"),
        (
            "$INCLUDE a b c",
            &[],
            "4:14: error: unexpected text at the end of the line (hint: a comment begins with `;`)",
        ),
        (
            "$INCLUDE gone",
            &[],
            "4:10: error: there is no file gone in the repository (hint: a path begins at the root of the repository)",
        ),
        (
            "$INCLUDE /etc/passwd",
            &[],
            "4:10: error: an absolute path leads out of the repository (hint: a path begins at the root of the repository)",
        ),
        (
            "$INCLUDE a/../../b",
            &[],
            "4:10: error: the path leads out of the repository (hint: a path begins at the root of the repository)",
        ),
        ("$INCLUDE one", &[("one", "unreadable")], "4:10: error: the file one cannot be read: bad luck"),
        (
            "$INCLUDE one a..b",
            &[("one", "")],
            "4:14: error: the name has an empty label (two dots in a row, or a leading dot)",
        ),
        ("$INCLUDE ./example.org", &[], "4:10: error: example.org includes itself: example.org → example.org"),
    ] {
        let main = format!("{HEAD}{line}\n");
        let files = [&[("example.org", main.as_str())], others].concat();
        assert_eq!(diagnostics(&files), [format!("example.org:{expected}")]);
    }
    let main = format!("{HEAD}$INCLUDE one\n");
    assert_eq!(
        diagnostics(&[("example.org", &main), ("one", "; c\n$INCLUDE two"), ("two", "$INCLUDE one")]),
        ["two:1:10: error: one includes itself: example.org → one → two → one"]
    );
    let reading = reading(&[("example.org", &main), ("one", "$INCLUDE two")]);
    assert_eq!(reading.included, ["one", "two"], "one that may come is to be waited for");
}

#[test]
fn includes_have_bounds() {
    let apex = Name::from_text("example.org").unwrap();
    let main = format!("{HEAD}$INCLUDE 1\n");
    // Each file includes the next one, indefinitely.
    let next = |path: &str| Ok(format!("$INCLUDE {}\n", path.parse::<u32>().unwrap() + 1).into_bytes());
    let reading = read_including(&apex, "z", main.as_bytes(), next);
    let shown = reading.diagnostics[0].to_string();
    assert!(shown.starts_with("15:1:10: error: more than 16 files include each other: z → 1 → 2 →"), "{shown}");
    // A large file, again and again.
    let large = format!("; {}\n", "x".repeat(1 << 20));
    let text = format!("{HEAD}{}", "$INCLUDE large\n".repeat(70));
    let reading = read_including(&apex, "z", text.as_bytes(), |_| Ok(large.clone().into_bytes()));
    assert!(
        reading.diagnostics[0].to_string().starts_with("z:68:10: error: the zone's $GENERATE entries and repeated")
    );
    // Very many files, one after the other.
    let all: String = (0..9_000).map(|n| format!("$INCLUDE {n}\n")).collect();
    let reading =
        read_including(
            &apex,
            "z",
            format!("{HEAD}{all}").as_bytes(),
            |path| Ok(format!("a TXT {path}\n").into_bytes()),
        );
    assert_eq!((reading.zone.unwrap().record_count(), reading.included.len()), (9_002, 9_000));
    // Each file includes the next one many times.
    let many = |path: &str| {
        let next = path.parse::<u32>().unwrap() + 1;
        Ok(if next < 15 { format!("$INCLUDE {next}\n").repeat(9).into_bytes() } else { b"a TXT x\n".to_vec() })
    };
    let reading = read_including(&apex, "z", main.as_bytes(), many);
    assert!(reading.zone.is_none());
    assert!(reading.diagnostics.iter().any(|d| d.reason.contains("10000th $INCLUDE")), "{:?}", reading.diagnostics);
}

#[test]
fn generate() {
    assert_eq!(
        generated("$GENERATE 1-3/2 host$ 60 IN A 192.0.2.$\n"),
        ["host1.example.org. 60 IN A 192.0.2.1", "host3.example.org. 60 IN A 192.0.2.3"]
    );
    assert_eq!(
        generated("$GENERATE 9-10 ${-8,3} IN 5m CNAME x${1,0,x}.${0,3,n}\n"),
        ["001.example.org. 300 IN CNAME xa.9.0.example.org.", "002.example.org. 300 IN CNAME xb.a.0.example.org.",]
    );
    // Quotes hold several words together; escaped quotes are the data's.
    assert_eq!(
        generated("$GENERATE 1-1 @ RP \". $mail$$\\$\"\n$GENERATE 2-2 t TXT \"\\\"a $\\\" ( b\\\\$ )\" ; c\n"),
        ["example.org. 3600 IN RP . 1mail\\$\\$.example.org.", "t.example.org. 3600 IN TXT \"a 2\" \"b\\\\2\""]
    );
    // The owner a later line inherits is not that of a record made.
    assert_eq!(
        generated("a TXT x\n$GENERATE 1-1 h$ TXT y\n TXT z\n"),
        ["a.example.org. 3600 IN TXT \"x\"", "a.example.org. 3600 IN TXT \"z\"", "h1.example.org. 3600 IN TXT \"y\"",]
    );
    assert_eq!(generated("$GENERATE 0-65535 h$ A 10.0.0.1\n").len(), 65_536);
}

#[test]
fn generate_faults() {
    for (line, expected) in [
        ("$GENERATE 1-2 a", "4:1: error: $GENERATE needs a type and data"),
        (
            "$GENERATE 1-2",
            "4:1: error: $GENERATE needs a range, an owner, a type and data (hint: it is written `$GENERATE 1-10 host$ A 192.0.2.$`)",
        ),
        ("$GENERATE 1-2 a A", "4:1: error: $GENERATE needs data after the type"),
        (
            "$GENERATE 1..2 a A 192.0.2.$",
            "4:11: error: a range is written `start-stop` or `start-stop/step`, with numbers up to 2147483647",
        ),
        ("$GENERATE 0-65536 a A 192.0.2.$", "4:11: error: the range has more than 65536 numbers"),
        (
            "$GENERATE 1-2 a MX 10 b",
            "4:23: error: the data of $GENERATE is one word or stands in quotes (hint: put quotes around it all, and write `\\\"` for a quote in it)",
        ),
        (
            "$GENERATE 255-257 a$ A 192.0.2.$",
            "4:1: error: for the number 256: the data `192.0.2.256`: expected an IPv4 address, not `192.0.2.256`",
        ),
        (
            "$GENERATE 1-2 $..a A 192.0.2.$",
            "4:1: error: for the number 1: the owner `1..a`: the name has an empty label (two dots in a row, or a leading dot)",
        ),
        ("$GENERATE 1-2 ${0 A 192.0.2.$", "4:1: error: for the number 1: a `${` is never closed by a `}`"),
        ("$GENERATE 1-2 a ANY $", "4:17: error: ANY is a query type that no record can have"),
    ] {
        // `ANY` has no mnemonic of its own here.
        let line = line.replace("ANY", "TYPE255");
        let expected = expected.replace("ANY", "TYPE255");
        assert_eq!(diagnostics(&[("z", &format!("{HEAD}{line}\n"))]), [format!("z:{expected}")], "{line}");
    }
    // A million records of large data are too much.
    let words = format!("$ {} ", "x".repeat(250)).repeat(8);
    let line = format!("$GENERATE 1-65536 a TXT \"{words}\"\n");
    let shown = diagnostics(&[("z", &format!("{HEAD}{line}"))]);
    assert!(shown.iter().any(|line| line.contains("make more than 64 MiB of text")), "{shown:?}");
}

/// Keys are never served, however the path of their file is written, and whatever the name of the file.
#[test]
fn keys_are_not_part_of_a_zone() {
    let key = "k._update DNSKEY 0 3 163 c2VjcmV0\n";
    let files =
        |path: &'static str| [("example.org", HEAD.to_string() + "$INCLUDE " + path), ("_keys", key.to_string())];
    for path in ["_keys", "./_keys", "a/../_keys", ".//_keys", "\"_keys\"", "\\095keys", "\\_keys sub", "b/.././_keys"]
    {
        let files = files(path);
        let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let reading = reading(&files);
        let shown: Vec<_> = reading.diagnostics.iter().map(ToString::to_string).collect();
        let expected = "error: _keys is a key file, whose secrets would be served to everybody (hint: ";
        assert!(
            shown.len() == 1 && shown[0].contains(expected) && shown[0].starts_with("example.org:4:1"),
            "{path}: {shown:?}"
        );
        assert!(reading.zone.is_none() && reading.included.is_empty(), "{path}");
    }
    for path in ["example.org._keys", "x/_KEYS", "example.org._keys.bak", "Kexample.org.+013+1.private", "README.md"] {
        let main = HEAD.to_string() + "$INCLUDE in\n";
        let inner = format!("$INCLUDE {path}\n");
        let shown = diagnostics(&[("example.org", main.as_str()), ("in", &inner), (path, "x A 192.0.2.1\n")]);
        assert!(shown.len() == 1 && shown[0].starts_with(&format!("in:1:10: error: {path} ")), "{path}: {shown:?}");
    }
    // Under another name, and in the zone's own file: a key is recognised by its algorithm.
    let main = HEAD.to_string() + "$INCLUDE tsig\n";
    for record in [
        key,
        "@ KEY 512 3 157 c2VjcmV0",
        "@ CDNSKEY 0 3 165 c2Vj",
        "@ TYPE48 \\# 6 0000 03a1 7365",
        "@ RKEY 0 3 161 c2Vj",
    ] {
        for (files, file) in [
            ([("example.org", main.as_str()), ("tsig", record)], "tsig:1:"),
            ([("example.org", &(HEAD.to_string() + record)), ("", "")], "example.org:4:"),
        ] {
            let shown = diagnostics(&files);
            assert!(shown.len() == 1 && shown[0].starts_with(file), "{shown:?}");
            assert!(shown[0].contains("error: this record is a TSIG key") && !shown[0].contains("c2Vj"), "{shown:?}");
        }
    }
    let zone = HEAD.to_string() + "@ DNSKEY 257 3 13 c2VjcmV0\n@ DNSKEY 257 3 253 AANmb28=\n";
    assert_eq!(diagnostics(&[("example.org", &zone)]), [""; 0]);
}
