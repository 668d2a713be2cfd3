//! Reading zone files, from text to zone.

mod include;

use crate::dns::Type;
use proptest::prelude::*;

use crate::zonefile::read::*;

const HEAD: &str = "$TTL 1h\n@ SOA ns host 7 1h 15m 1w 5m\n@ NS ns\nns A 192.0.2.1\n";

fn reading(text: &[u8]) -> Reading {
    read(&Name::from_text("example.org").unwrap(), "example.org", text)
}

fn diagnostics(text: &str) -> Vec<String> {
    reading(text.as_bytes()).diagnostics.iter().map(ToString::to_string).collect()
}

/// What a zone with `lines` has at `owner` of `rtype`: TTL and data.
fn data(lines: &str, owner: &str, rtype: Type) -> Vec<(u32, Vec<u8>)> {
    let reading = reading(format!("{HEAD}{lines}").as_bytes());
    assert!(reading.diagnostics.is_empty(), "{:?}", reading.diagnostics);
    let zone = reading.zone.unwrap();
    let node = zone.node(&Name::from_text(owner).unwrap()).expect(owner);
    let rrset = node.rrset(rtype).expect("the RRset");
    rrset.rdata().map(|data| (rrset.ttl(), data.to_vec())).collect()
}

fn one(lines: &str, rtype: &str) -> Vec<u8> {
    let mut all = data(lines, "a.example.org", Type::from_text(rtype.as_bytes()).unwrap());
    assert_eq!(all.len(), 1);
    all.remove(0).1
}

#[test]
fn language() {
    let reading = reading(HEAD.replace('\n', "\r\n").trim_end().as_bytes());
    let zone = reading.zone.unwrap();
    assert_eq!((zone.serial().0, zone.record_count()), (7, 3));
    assert_eq!(zone.iter().map(|node| node.owner().len()).collect::<Vec<_>>(), [13, 16]);

    // Class and TTL in either order, both, neither; inherited owner; parentheses over lines; relative names.
    let lines = "a 60 IN A 192.0.2.1\na IN 60 A 192.0.2.2\n  in 60 a (\n 192.0.2.3 ; c\n)\n 60 A 192.0.2.4\n";
    let all = data(lines, "a.example.org", Type::A);
    assert_eq!(all, [1, 2, 3, 4].map(|n| (60, vec![192, 0, 2, n])));
    let all =
        data("$ORIGIN b\n$TTL 1d\na A 192.0.2.1\n$ORIGIN example.org.\nc A 192.0.2.2", "a.b.example.org", Type::A);
    assert_eq!(all, [(86_400, vec![192, 0, 2, 1])]);
}

#[test]
fn types() {
    for (line, rtype, expected) in [
        ("AAAA 2001:db8::1", "AAAA", b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01".to_vec()),
        ("CNAME b.Example.", "CNAME", b"\x01b\x07Example\0".to_vec()),
        ("CNAME @", "CNAME", b"\x07example\x03org\0".to_vec()),
        ("MX 10 .", "MX", b"\0\x0a\0".to_vec()),
        ("TXT \"a \\\"b\\\"\" c\\065 \"\"", "TXT", b"\x05a \"b\"\x02cA\0".to_vec()),
        ("SRV 1 2 443 b.", "SRV", b"\0\x01\0\x02\x01\xbb\x01b\0".to_vec()),
        ("NAPTR 1 2 \"u\" \"E2U\" \"!^.*$!x!\" .", "NAPTR", b"\0\x01\0\x02\x01u\x03E2U\x08!^.*$!x!\0".to_vec()),
        ("CAA 0 issue \"ca.example; a=b\"", "CAA", b"\0\x05issueca.example; a=b".to_vec()),
        ("TLSA 3 1 1 ab CD\n", "TLSA", b"\x03\x01\x01\xab\xcd".to_vec()),
        ("SSHFP 4 3 00ff", "SSHFP", b"\x04\x03\x00\xff".to_vec()),
        ("DS 60485 RSASHA1 9 ( 2BB1\n 83AF )", "DS", b"\xec\x45\x05\x09\x2b\xb1\x83\xaf".to_vec()),
        ("DNSKEY 257 3 13 AQ ID", "DNSKEY", b"\x01\x01\x03\x0d\x01\x02\x03".to_vec()),
        ("URI 10 1 \"ftp://x\"", "URI", b"\0\x0a\0\x01ftp://x".to_vec()),
        ("EUI48 00-00-5e-00-53-2a", "EUI48", b"\0\0\x5e\0\x53\x2a".to_vec()),
        ("L64 10 2001:0DB8:1140:1000", "L64", b"\0\x0a\x20\x01\x0d\xb8\x11\x40\x10\0".to_vec()),
        ("NSEC3PARAM 1 0 0 -", "NSEC3PARAM", b"\x01\0\0\0\0".to_vec()),
        ("TYPE65534 \\# 3 ab cdef", "TYPE65534", b"\xab\xcd\xef".to_vec()),
        ("TYPE65534 \\# 0", "TYPE65534", b"".to_vec()),
        ("TYPE1 \\# 4 C0000201", "A", b"\xc0\0\x02\x01".to_vec()),
        ("HTTPS \\# 3 000100", "HTTPS", b"\0\x01\0".to_vec()),
        ("HTTPS 1 . port=53 alpn=\"h2,h3\"", "HTTPS", b"\0\x01\0\0\x01\0\x06\x02h2\x02h3\0\x03\0\x02\0\x35".to_vec()),
        ("SVCB 0 b.", "SVCB", b"\0\0\x01b\0".to_vec()),
    ] {
        assert_eq!(one(&format!("a {line}"), rtype), expected, "{line}");
    }
}

#[test]
fn faults_name_their_place() {
    for (line, expected) in [
        ("a A 192.0.2", "5:5: error: expected an IPv4 address, not `192.0.2`"),
        ("a A", "5:4: error: an IPv4 address is missing here"),
        ("a A 192.0.2.1 x", "5:15: error: unexpected text at the end of the line (hint: a comment begins with `;`)"),
        (
            "a MX ten b",
            "5:6: error: expected a number from 0 to 65535, not `ten` (hint: a valid record is, for example, `MX 10 mail.example.org.`)",
        ),
        ("a CNAM b", "5:3: error: there is no record type CNAM (hint: did you mean CNAME?)"),
        ("a CH A 192.0.2.1", "5:3: error: class CH is not supported, only IN"),
        ("a 9x A 192.0.2.1", "5:3: error: `9x` is not a TTL (hint: a TTL is a number of seconds, or like 1w2d3h4m5s)"),
        (
            "a 2147483648 A 192.0.2.1",
            "5:3: warning: the TTL 2147483648 is larger than 2147483647 and is treated as 0 (RFC 2181 §8)",
        ),
        (
            "x NSEC3 2 0 0 - 00 A",
            "5:1: error: the owner of an NSEC3 record must begin with a hash in base32hex (RFC 5155 §3) (hint: generate NSEC3 records with a signer, or delete this one)",
        ),
        ("a..b A 192.0.2.1", "5:1: error: the name has an empty label (two dots in a row, or a leading dot)"),
        ("a TXT a\\999", "5:8: error: a backslash must be followed by one character or by three digits up to 255"),
        ("a TYPE255 x", "5:3: error: TYPE255 is a query type that no record can have"),
        ("a", "5:2: error: the line ends without a record type"),
        (
            "$FOO",
            "5:1: error: there is no directive $FOO (hint: the directives are $ORIGIN, $TTL, $INCLUDE and $GENERATE; a name that begins with `$` is written `\\$`)",
        ),
        ("$TTL", "5:1: error: $TTL needs a value"),
        (
            "a TYPE1 \\# 3 000000",
            "5:9: error: field 1 of 1 of the data is cut short or malformed (hint: a valid record is, for example, `A 192.0.2.1`)",
        ),
        (
            "a TYPE99 \\# 3 0000",
            "5:13: error: the length is 3 but 2 octets follow (hint: a valid record is, for example, `SPF \"v=spf1 -all\"`)",
        ),
        (
            "a NULL 1 .",
            "5:3: error: the data of type NULL can only be written in generic form (hint: write it in hexadecimal (RFC 3597 §5), for example `NULL \\# 3 010203`)",
        ),
        (
            "a.example.com. A 192.0.2.1",
            "5:1: warning: a.example.com. is not in the zone example.org. and left out (hint: the zone's name is the file's name; a name without a final dot ends in $ORIGIN)",
        ),
        ("a SOA b c 1 2 3 4 5", "5:1: error: the SOA record of a.example.org. is not at the apex of the zone"),
        ("@ SOA b c 1 2 3 4 5", "5:1: error: example.org. has more than one SOA record (hint: it can have only one)"),
        (
            "a CNAME b\na A 192.0.2.1",
            "5:1: error: a.example.org. has a CNAME record and other data (A) too (hint: an alias has no records of its own (RFC 2181 §10.1))",
        ),
        (
            "a CNAME b\n CNAME c",
            "6:2: error: a.example.org. has more than one CNAME record (hint: it can have only one)",
        ),
        (
            "a A 192.0.2.1\n 5 A 192.0.2.2",
            "5:1: warning: the A records of a.example.org. have different TTLs; 5 is used for all (hint: give them the same TTL (RFC 2181 §5.2))",
        ),
        ("a A 192.0.2.1\nA A 192.0.2.1", "6:1: warning: this A record is a duplicate"),
        (
            "a NS ns.a",
            "5:1: warning: the host of this NS record, ns.a.example.org., has no address, and no other server can provide it (hint: add its A or AAAA record, or, if the name is absolute, end it with a dot)",
        ),
        (
            "a SRV 1 1 1 b\nb CNAME c.",
            "5:1: warning: the host of this SRV record, b.example.org., is an alias (hint: name the host itself (RFC 2181 §10.3))",
        ),
        (
            "a DNAME c.\n00.a NSEC3 2 0 0 - 00 A\nb.00.a A 192.0.2.1",
            "7:1: error: b.00.a.example.org. lies below the DNAME record of a.example.org. (hint: all names below it are redirected, so none can have records (RFC 6672 §2.4))",
        ),
        (
            "a NS ns.b.a\n DS 1 8 9 00\nns.b.a A 192.0.2.1\nw.a A 192.0.2.1",
            "8:1: warning: w.a.example.org. lies below the delegation of a.example.org., so its A record is never shown (hint: move it to the zone a.example.org., or remove the delegation's NS records)",
        ),
        (
            "a NS a\n A 192.0.2.1\n MX 0 .",
            "7:2: warning: a.example.org. has been delegated, so its MX record is never shown (hint: move it to the zone a.example.org., or remove the delegation's NS records)",
        ),
        (
            "*.a NS b.",
            "5:1: warning: the wildcard *.a.example.org. is delegated (hint: its meaning is not defined (RFC 4592 §4.2))",
        ),
        (
            "a TXT x\n$ORIGIN b\n TXT y",
            "7:2: warning: after an $ORIGIN this record still belongs to a.example.org., the owner before it (hint: begin the line with a name, or with `@` for the new origin)",
        ),
        (
            "a MX 1 b\nb CNAME c.",
            "5:1: warning: the host of this MX record, b.example.org., is an alias (hint: name the host itself (RFC 2181 §10.3))",
        ),
    ] {
        let text = format!("{HEAD}{line}\n");
        assert_eq!(diagnostics(&text), [format!("example.org:{expected}")], "{line}");
        assert_eq!(reading(text.as_bytes()).zone.is_none(), expected.contains("error"), "{line}");
    }
    assert_eq!(
        diagnostics("IN A 192.0.2.1\n A 192.0.2.1\n")[0],
        "example.org:1:4: error: the record has no TTL and there is none before to inherit (hint: put `$TTL 3600` at the top of the file)"
    );
    assert!(diagnostics("$TTL 1\nIN 3 IN\n")[0].contains("begin the line with a blank to inherit the owner"));
    assert_eq!(
        diagnostics(" A 192.0.2.1"),
        [
            "example.org:1:2: error: there is no owner name before this line to inherit (hint: begin the line with a name, or with `@` for the zone itself)"
        ]
    );
    let empty = diagnostics("; nothing\n");
    assert!(empty.len() == 2 && empty[0].starts_with("example.org: error: there is no SOA record"), "{empty:?}");
}

#[test]
fn the_number_of_errors_is_bounded() {
    let text = format!("{HEAD}{}", "x A nonsense\n".repeat(100));
    let shown = diagnostics(&text);
    assert_eq!(shown.len(), 21);
    assert_eq!(shown[20], "example.org: error: and 80 more errors");
    // A monstrous word is shown in part.
    let long = self::diagnostics(&format!("{HEAD}a A {}", "9".repeat(100_000)));
    assert!(long.iter().all(|line| line.len() < 300), "{long:?}");
}

#[test]
fn large_rrsets() {
    let lines = |count: usize| (0..count).map(|n| format!("a A 10.{}.{}.1\n", n / 256, n % 256)).collect::<String>();
    let taken = reading(format!("{HEAD}{}", lines(3_000)).as_bytes());
    assert!(taken.diagnostics.is_empty(), "{:?}", taken.diagnostics);
    let many = reading(format!("{HEAD}{}", lines(10_000)).as_bytes());
    assert_eq!(many.zone.unwrap().record_count(), 10_003);
    assert!(many.diagnostics[0].to_string().contains("may not fit into one message"), "{:?}", many.diagnostics);
    let most = reading(format!("{HEAD}{}", lines(65_536)).as_bytes());
    assert!(most.diagnostics[0].reason.contains("the maximum is 65535"), "{:?}", most.diagnostics);
}

#[test]
fn soa_minimum_is_the_ttl_of_last_resort() {
    let text = "@ SOA ns h 1 2 3 4 77\n@ NS ns\nns A 192.0.2.1\n";
    let reading = reading(text.as_bytes());
    assert_eq!(reading.diagnostics.len(), 1);
    let zone = reading.zone.unwrap();
    assert!(
        zone.iter().flat_map(|node| node.rrsets().map(|rrset| rrset.ttl()).collect::<Vec<_>>()).all(|ttl| ttl == 77)
    );
}

#[test]
fn root_zone() {
    let text = "$TTL 1\n. SOA a. b. 1 2 3 4 5\n. NS a.\na. A 192.0.2.1\norg. NS ns.org.\nns.org. A 192.0.2.2\n";
    let reading = read(&Name::root(), "root", text.as_bytes());
    assert!(reading.diagnostics.is_empty(), "{:?}", reading.diagnostics);
    assert_eq!(reading.zone.unwrap().record_count(), 5);
}

#[test]
fn order_of_lines_does_not_matter() {
    let mut lines: Vec<_> = (0..200).map(|n| format!("h{} 60 A 192.0.2.{}", n % 50, n % 256)).collect();
    let image = |lines: &[String]| {
        let zone = reading(format!("{HEAD}{}", lines.join("\n")).as_bytes()).zone.unwrap();
        zone.iter()
            .map(|node| format!("{node:?}{:?}", node.rrsets().map(|r| r.image().to_vec()).collect::<Vec<_>>()))
            .collect::<Vec<_>>()
    };
    let forward = image(&lines);
    lines.reverse();
    assert_eq!(forward, image(&lines));
}

proptest! {
    #[test]
    fn any_octets_never_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        reading(&text);
    }

    /// Text made of what zone files are made of; what is read is printed and read again.
    #[test]
    fn likely_text_is_read_and_printed(words in proptest::collection::vec(
        prop_oneof![
            Just("a"), Just("@"), Just("\n"), Just(" "), Just("\t"), Just("("), Just(")"), Just("\""), Just(";"), Just("\\"),
            Just("IN "), Just("60 "), Just("SOA "), Just("A "), Just("TXT "), Just("NS "), Just("MX "), Just("CNAME "),
            Just("192.0.2.1 "), Just("$TTL "), Just("$ORIGIN "), Just("\\# "), Just("4 "), Just("00 "), Just("NSEC "),
            Just("RRSIG "), Just("DS "), Just("b.example.org. "), Just("\\."), Just("\\046"), Just("\r\n"),
            Just("\n$GENERATE 1-3 "), Just("${1,2,n}"), Just("$$"), Just("\na TXT "), Just("\nb 60 A 192.0.2.7"),
            Just("\n TXT \""), Just("\nc TYPE65280 \\# 1 "), Just("\n x\\"),
        ], 0..60)) {
        let text = format!("{HEAD}{}", words.concat());
        let reading = reading(text.as_bytes());
        let errors = reading.diagnostics.iter().any(|d| d.severity == crate::dns::Severity::Error);
        prop_assert_eq!(errors, reading.zone.is_none());
        let printed = |zone: &Zone| {
            let mut lines = Vec::new();
            for node in zone.iter() {
                for rrset in node.rrsets() {
                    let record = |data| crate::dns::print::record(node.owner(), rrset.ttl(), rrset.rtype(), data);
                    lines.extend(rrset.rdata().map(record));
                }
            }
            lines.join("\n")
        };
        if let Some(zone) = reading.zone {
            let lines = printed(&zone);
            let again = self::reading(lines.as_bytes());
            prop_assert!(again.zone.is_some(), "{:?}\n{}", again.diagnostics, lines);
            prop_assert_eq!(again.zone.map(|zone| printed(&zone)), Some(lines));
        }
    }
}

/// RFC 4034 §3: a signature has the TTL of the RRset it covers, whatever the TTLs of other signatures of the owner.
#[test]
fn signatures_keep_their_ttls() {
    let sig = |ttl: u32, rtype: &str, tag: u32| {
        format!(" {ttl} RRSIG {rtype} 13 2 {ttl} 20300101000000 20200101000000 {tag} example.org. AQID\n")
    };
    let lines = [sig(0, "NSEC3PARAM", 1), sig(3600, "SOA", 1), sig(300, "TXT", 1), sig(3600, "SOA", 2)].concat();
    let reading = reading(format!("{HEAD}@ TXT x\n{lines}").as_bytes());
    assert!(reading.diagnostics.is_empty(), "{:?}", reading.diagnostics);
    let zone = reading.zone.unwrap();
    let node = zone.node(zone.apex()).unwrap();
    let sets = node.rrsets().filter(|rrset| rrset.rtype() == Type::RRSIG);
    let sets: Vec<_> = sets.map(|rrset| (rrset.covers().unwrap().to_string(), rrset.len(), rrset.ttl())).collect();
    let expected = [("SOA", 2, 3600), ("TXT", 1, 300), ("NSEC3PARAM", 1, 0)];
    assert_eq!(sets, expected.map(|(rtype, count, ttl)| (rtype.to_string(), count, ttl)));
    assert_eq!(node.rrset(Type::RRSIG).unwrap().len(), 4);

    let differ = self::reading(format!("{HEAD}{}{}", sig(60, "SOA", 1), sig(61, "SOA", 2)).as_bytes());
    let shown = differ.diagnostics.iter().map(ToString::to_string).collect::<String>();
    assert!(
        shown.contains("the RRSIG records of ns.example.org. that cover SOA have different TTLs; 60 is"),
        "{shown}"
    );
}

/// An update edits the text of a zone that is served. Whatever the text begins with then, it stays a zone.
#[test]
fn valid_zones_are_accepted_whatever_their_first_octets() {
    assert!(reading(format!("; \0\n{HEAD}").as_bytes()).zone.is_some());
    let own = format!("{HEAD}$INCLUDE part\n");
    let with_part = |part: &[u8]| {
        read_including(&Name::from_text("example.org").unwrap(), "example.org", own.as_bytes(), |_| Ok(part.to_vec()))
    };
    for part in [&b"--- A 192.0.2.9\n"[..], b"diff A 192.0.2.9\n", b"; \0\nx A 192.0.2.9\n"] {
        let reading = with_part(part);
        assert!(reading.zone.is_some(), "{:?}", reading.diagnostics);
    }
    for (part, what) in [(&b"\xff\xfea\0\n\0"[..], "UTF-16"), (b"\x1f\x8b\x08\0\n\nx", "compressed")] {
        let reading = with_part(part);
        let [only] = reading.diagnostics.as_slice() else { panic!("{:?}", reading.diagnostics) };
        assert!(only.file == "part" && only.line == 0 && only.reason.contains(what), "{only}");
    }
}
