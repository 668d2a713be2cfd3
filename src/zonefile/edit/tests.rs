//! What an edit does to a text, rule by rule.

mod random;

use crate::dns::Type;
use crate::zonefile::edit::*;
use crate::zonefile::read_including;

type Files<'f> = &'f [(&'f str, &'f str)];

/// The head of most texts here.
const HEAD: &str = "$TTL 1h\n@ SOA ns.example.net. host.example.net. 7 1 1 1 1\n@ NS ns.example.net.\n";

fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

fn apex() -> Name {
    name("example.org")
}

fn open<'f>(files: Files<'f>) -> impl FnMut(&str) -> Result<Vec<u8>, IncludeError> + 'f {
    |path| match files.iter().find(|(name, _)| *name == path) {
        Some((_, text)) => Ok(text.as_bytes().to_vec()),
        None => Err(IncludeError::Missing),
    }
}

fn zone(files: Files<'_>) -> Zone {
    let reading = read_including(&apex(), files[0].0, files[0].1.as_bytes(), open(files));
    reading.zone.unwrap_or_else(|| panic!("{:?}", reading.diagnostics))
}

/// Applies lines `+ owner TTL type data` and `- owner type [data]` to a zone; names are absolute without a final dot.
///
/// Without a TTL, an RRset keeps the one it has.
fn amendments(before: &Zone, changes: &[&str]) -> Vec<Amendment> {
    let mut all: Vec<Amendment> = Vec::new();
    for change in changes {
        let mut words = change.split(' ');
        let adds = words.next() == Some("+");
        let owner = match words.next().unwrap() {
            "@" => apex(),
            owner => name(&format!("{owner}.example.org")),
        };
        let mut word = words.next().unwrap();
        let ttl = word.parse().ok();
        if ttl.is_some() {
            word = words.next().unwrap();
        }
        let rtype = Type::from_text(word.as_bytes()).unwrap();
        let text = words.collect::<Vec<_>>().join(" ");
        let mut data = Vec::new();
        if !text.is_empty() {
            crate::dns::rdata::read::line(rtype, text.as_bytes(), &mut data).unwrap();
        }
        let covers = rtype.covers(&data);
        let index = all.iter().position(|a| a.owner == owner && a.key() == (rtype, covers)).unwrap_or_else(|| {
            let rrset = before.node(&owner).and_then(|node| node.rrset_covering(rtype, covers));
            let data = rrset.map_or_else(Vec::new, |rrset| rrset.rdata().map(Box::from).collect());
            all.push(Amendment { owner, rtype, covers, ttl: rrset.map_or(3600, |rrset| rrset.ttl()), data });
            all.len() - 1
        });
        let amendment = &mut all[index];
        amendment.ttl = ttl.unwrap_or(amendment.ttl);
        match (adds, text.is_empty()) {
            (true, true) => {}
            (true, false) => amendment.data.push(data.into()),
            (false, true) => amendment.data.clear(),
            (false, false) => amendment.data.retain(|other| **other != *data),
        }
    }
    all
}

fn try_edit(files: Files<'_>, changes: &[&str]) -> Result<BTreeMap<String, String>, EditError> {
    let before = zone(files);
    let amendments = amendments(&before, changes);
    let edited = edit(&apex(), files[0].0, files[0].1.as_bytes(), open(files), &before, &amendments)?;
    Ok(edited.files.into_iter().map(|(path, text)| (path, String::from_utf8(text).unwrap())).collect())
}

/// Edits one text behind [`HEAD`] and returns what becomes of it.
fn edited(text: &str, changes: &[&str]) -> String {
    let text = format!("{HEAD}{text}");
    let files = try_edit(&[("example.org", &text)], changes).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let new = files.get("example.org").cloned().unwrap_or(text);
    new.strip_prefix(HEAD).unwrap_or(&new).to_string()
}

#[track_caller]
fn check(text: &str, changes: &[&str], expected: &str) {
    let new = edited(text, changes);
    assert!(new == expected, "--- is\n{new}--- should be\n{expected}---");
}

#[test]
fn a_record_goes_after_its_rrset() {
    check(
        "www\t\tA\t192.0.2.1 ; one\n\t\tAAAA\t::1\n; comment\nmail\t\tA\t192.0.2.9\n",
        &["+ www A 192.0.2.2"],
        "www\t\tA\t192.0.2.1 ; one\n\t\tA\t192.0.2.2\n\t\tAAAA\t::1\n; comment\nmail\t\tA\t192.0.2.9\n",
    );
}

#[test]
fn otherwise_after_its_owner() {
    check(
        "www A 192.0.2.1\nwww AAAA ::1\nzzz A 192.0.2.9\n",
        &["+ www TXT x"],
        "www A 192.0.2.1\nwww AAAA ::1\nwww TXT \"x\"\nzzz A 192.0.2.9\n",
    );
}

#[test]
fn only_the_digits_of_the_serial_change() {
    let text = "\
$TTL 1h
@\tIN SOA ns host ( ; 7 lines
\t\t7 ; serial
\t\t2h ; refresh
\t\t900\t; retry
\t\t2W ; expire
\t\t5m ) ; minimum
@ NS ns
ns A 192.0.2.53
";
    for (soa, lines) in [
        ("8 7200 900 1209600 300", &["\t\t8 ; serial"][..]),
        ("10 7200 1800 1209600 300", &["\t\t10 ; serial", "\t\t1800\t; retry"]),
        ("8 3600 900 604800 90", &["\t\t8 ; serial", "\t\t1h ; refresh", "\t\t1W ; expire", "\t\t1m30s ) ; minimum"]),
    ] {
        let soa = format!("+ @ 3600 SOA ns.example.org. HOST.example.org. {soa}");
        let new = try_edit(&[("example.org", text)], &["- @ SOA", &soa]).unwrap().remove("example.org").unwrap();
        assert_eq!(changed(text, &new).1, lines);
    }
    // One line; its TTL is added; the names change as they are written.
    check_all(
        "$TTL 1h\n@ SOA ns.example.org. host 7 1 1 1 1 ; c\n@ NS ns\nns A 192.0.2.53\n",
        &["- @ SOA", "+ @ 60 SOA ns2.example.org. root.example.org. 8 1 1 1 1"],
        "$TTL 1h\n@ 60 SOA ns2.example.org. root 8 1 1 1 1 ; c\n@ NS ns\nns A 192.0.2.53\n",
    );
    check_all(
        "@ 60 SOA \\# 22 00 00 00000007 ( 00000001\n 00000001 00000001 00000001 ) ; c\n@ NS ns\nns A 192.0.2.53\n",
        &["- @ SOA", "+ @ 60 SOA . . 8 1 1 1 1"],
        "@ 60 SOA \\# 22 00 00 00000008 ( 00000001\n 00000001 00000001 00000001 ) ; c\n@ NS ns\nns A 192.0.2.53\n",
    );
}

/// Without a `$TTL` the SOA record's minimum is one; if it changes, the others keep theirs.
#[test]
fn a_minimum_that_is_the_ttl_of_all() {
    check_all(
        "; head\n@ SOA ns host 7 1 1 1 300\n@ NS ns\nns A 192.0.2.53\nb 60 A 192.0.2.1\nc A 192.0.2.1\n",
        &["- @ SOA", "+ @ 300 SOA ns.example.org. host.example.org. 8 1 1 1 60"],
        "; head\n$TTL 300\n@ SOA ns host 8 1 1 1 60\n@ NS ns\nns A 192.0.2.53\nb 60 A 192.0.2.1\nc A 192.0.2.1\n",
    );
    check_all(
        "@ SOA ns host 7 1 1 1 300\n@ NS ns\nns A 192.0.2.53\n",
        &["- @ SOA", "+ @ 300 SOA ns.example.org. host.example.org. 8 1 1 1 300", "+ ns A 192.0.2.54"],
        "@ SOA ns host 8 1 1 1 300\n@ NS ns\nns A 192.0.2.53\nns A 192.0.2.54\n",
    );
}

#[test]
fn columns_are_the_neighbours() {
    // Tabs.
    check(
        "www\t\t5m\tIN\tA\t192.0.2.1\nmail\t\t\tIN\tA\t192.0.2.2\n",
        &["+ mail AAAA ::1", "+ www 300 A 192.0.2.3"],
        "www\t\t5m\tIN\tA\t192.0.2.1\nwww\t\t5m\tIN\tA\t192.0.2.3\nmail\t\t\tIN\tA\t192.0.2.2\nmail\t\t\tIN\tAAAA\t::1\n",
    );
    // Blanks; what is too long moves what is behind it.
    check(
        "www     IN  A     192.0.2.1\n        IN  AAAA  ::1\n",
        &["+ www TXT x", "+ www HINFO a b", "+ www TLSA 3 1 1 0a"],
        "www     IN  A     192.0.2.1\n        IN  AAAA  ::1\n        IN  HINFO \"a\" \"b\"\n        IN  TXT   \"x\"\n        IN  TLSA  3 1 1 0A\n",
    );
    // One blank means nothing; unless the line before shows that it does.
    check("a A 192.0.2.1\n", &["+ a AAAA ::1"], "a A 192.0.2.1\na AAAA ::1\n");
    check(
        "a    A     192.0.2.1\nlong CNAME a\nb    A     192.0.2.1\n",
        &["+ long2 CNAME a.example.org."],
        "a    A     192.0.2.1\nlong CNAME a\nlong2 CNAME a\nb    A     192.0.2.1\n",
    );
    // The type in small letters, the class as it is.
    check("a in a 192.0.2.1\n", &["+ a AAAA ::1"], "a in a 192.0.2.1\na in aaaa ::1\n");
    // A TTL where the neighbour has none.
    check("www\t\t\tA\t192.0.2.1\n", &["+ www 60 AAAA ::1"], "www\t\t\tA\t192.0.2.1\nwww\t\t60\tAAAA\t::1\n");
    check("www        A 192.0.2.1\n", &["+ www 60 AAAA ::1"], "www        A 192.0.2.1\nwww     60 AAAA ::1\n");
}

/// Where the neighbour's line is broken up, the last orderly one is the example.
#[test]
fn lines_without_columns() {
    check(
        "a   A     192.0.2.1\nb ( IN\n A 192.0.2.2 )\n",
        &["+ b TXT x"],
        "a   A     192.0.2.1\nb ( IN\n A 192.0.2.2 )\nb   TXT   \"x\"\n",
    );
    check("( b ) A 192.0.2.2\n", &["+ b TXT x"], "( b ) A 192.0.2.2\nb\tTXT\t\"x\"\n");
}

#[test]
fn names_are_written_as_the_neighbours() {
    check("a MX 10 mail\n", &["+ a MX 20 backup.example.org."], "a MX 10 mail\na MX 20 backup\n");
    check(
        "a.example.org. MX 10 mail.example.org.\n",
        &["+ a MX 20 backup.example.org.", "+ a2 MX 1 a.example.org."],
        "a.example.org. MX 10 mail.example.org.\na.example.org. MX 20 backup.example.org.\na2.example.org. MX 1 a.example.org.\n",
    );
    check("A CNAME b\n", &["+ a TXT x", "- a CNAME"], "A TXT \"x\"\n");
    check(
        "a TLSA 3 1 1 abcd\n",
        &["+ a TLSA 3 1 1 ef01", "+ a TXT \"a;b\" c"],
        "a TLSA 3 1 1 abcd\na TLSA 3 1 1 ef01\na TXT \"a;b\" \"c\"\n",
    );
    check(
        "$ORIGIN .\na.example.org A 192.0.2.1\n",
        &["+ a NS b.c."],
        "$ORIGIN .\na.example.org A 192.0.2.1\na.example.org NS b.c\n",
    );
}

#[test]
fn a_new_name_goes_to_its_canonical_place() {
    check(
        "a A 192.0.2.1\n; c\nc A 192.0.2.3\n",
        &["+ b A 192.0.2.2"],
        "a A 192.0.2.1\nb A 192.0.2.2\n; c\nc A 192.0.2.3\n",
    );
    check(
        "a A 192.0.2.1\n\nc A 192.0.2.3\n; end\n",
        &["+ d A 192.0.2.4"],
        "a A 192.0.2.1\n\nc A 192.0.2.3\nd A 192.0.2.4\n; end\n",
    );
    check(
        "a A 192.0.2.1\n$ORIGIN sub\nb A 192.0.2.1\nd A 192.0.2.1\n$ORIGIN example.org.\nz A 192.0.2.1\n",
        &["+ c.sub A 192.0.2.2"],
        "a A 192.0.2.1\n$ORIGIN sub\nb A 192.0.2.1\nc A 192.0.2.2\nd A 192.0.2.1\n$ORIGIN example.org.\nz A 192.0.2.1\n",
    );
}

#[test]
fn otherwise_next_to_related_names() {
    let text = "www A 192.0.2.1\n AAAA ::1\nhost9 A 192.0.2.9\nhost10 A 192.0.2.10\nhost12 A 192.0.2.12\nmail A 192.0.2.2\n_25._tcp.mail TLSA 3 1 1 00\n";
    let added = |owner: &str| {
        let new = edited(text, &[&format!("+ {owner} A 192.0.2.99")]);
        let at = new.lines().position(|line| line.ends_with(".99")).unwrap();
        (new.lines().nth(at - 1).unwrap().to_string(), new.lines().nth(at).unwrap().to_string())
    };
    for (owner, behind) in [
        ("_acme-challenge.www", " AAAA ::1"),
        ("host11", "host10 A 192.0.2.10"),
        ("host13", "host12 A 192.0.2.12"),
        ("host8", "host12 A 192.0.2.12"),
        ("mail2", "mail A 192.0.2.2"),
        ("_443._tcp.mail", "_25._tcp.mail TLSA 3 1 1 00"),
        ("other", "_25._tcp.mail TLSA 3 1 1 00"),
    ] {
        assert_eq!(added(owner), (behind.to_string(), format!("{owner} A 192.0.2.99")));
    }
    // Counting goes before spelling.
    check(
        "host8 A 192.0.2.8\nhost9 A 192.0.2.9\nz A 192.0.2.1\n",
        &["+ host11 A 192.0.2.11", "+ host10 A 192.0.2.10"],
        "host8 A 192.0.2.8\nhost9 A 192.0.2.9\nhost10 A 192.0.2.10\nhost11 A 192.0.2.11\nz A 192.0.2.1\n",
    );
    check(
        "host1 A 192.0.2.8\nhost10 A 192.0.2.9\nhost2 A 192.0.2.1\n",
        &["+ host11 A 192.0.2.11"],
        "host1 A 192.0.2.8\nhost10 A 192.0.2.9\nhost11 A 192.0.2.11\nhost2 A 192.0.2.1\n",
    );
}

/// Many new names at one place have one order, whatever they look like.
#[test]
fn many_new_names() {
    let owners: Vec<String> = (0..300)
        .map(|n| format!("{}{}{}", ["h", "h1", "", "h0"][n % 4], n * 7919 % 300, ["", "a", ".x"][n % 3]))
        .collect();
    let changes: Vec<String> = owners.iter().map(|owner| format!("+ {owner} TXT x")).collect();
    let new = edited("z A 192.0.2.1\nb A 192.0.2.1\n", &changes.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(new.lines().filter(|line| line.ends_with("TXT \"x\"")).count(), 300);
    check(
        "z A 192.0.2.1\nb A 192.0.2.1\n",
        &["+ h10 A 192.0.2.3", "+ h1a A 192.0.2.4", "+ h2 A 192.0.2.2", "+ h A 192.0.2.1", "+ c.h A 192.0.2.5"],
        "z A 192.0.2.1\nb A 192.0.2.1\nh A 192.0.2.1\nh2 A 192.0.2.2\nh10 A 192.0.2.3\nh1a A 192.0.2.4\nc.h A 192.0.2.5\n",
    );
}

#[test]
fn otherwise_at_the_end() {
    check(
        "z A 192.0.2.1\nb A 192.0.2.2\n$ORIGIN sub\nx A 192.0.2.3\n; end",
        &["+ m A 192.0.2.4", "+ y.sub A 192.0.2.5"],
        "z A 192.0.2.1\nb A 192.0.2.2\n$ORIGIN sub\nx A 192.0.2.3\ny A 192.0.2.5\n; end\nm.example.org. A 192.0.2.4\n",
    );
    check(
        "z A 192.0.2.1\nb A 192.0.2.2\n; end\n\n",
        &["+ m A 192.0.2.4"],
        "z A 192.0.2.1\nb A 192.0.2.2\n; end\nm A 192.0.2.4\n\n",
    );
    check(
        "z A 192.0.2.1\r\nb A 192.0.2.2",
        &["+ m 9 A 192.0.2.4"],
        "z A 192.0.2.1\r\nb A 192.0.2.2\r\nm 9 A 192.0.2.4\r\n",
    );
}

#[test]
fn deleted_lines_go_whole() {
    check(
        "a A 192.0.2.1 ; c\n; b\nb A ( 192.0.2.2 ; c\n ; d\n )\n\nc A 192.0.2.3\n",
        &["- b A"],
        "a A 192.0.2.1 ; c\n; b\n\nc A 192.0.2.3\n",
    );
    check("a A 192.0.2.1\r\nb A 192.0.2.2\r\n", &["- a A"], "b A 192.0.2.2\r\n");
    check("a A 192.0.2.1\nb A 192.0.2.2", &["- b A"], "a A 192.0.2.1\n");
    check("a A 192.0.2.1\nb A 192.0.2.2", &["- a A"], "b A 192.0.2.2");
    check("a A 192.0.2.1\na A 192.0.2.1\nb A 192.0.2.2\n", &["- a A"], "b A 192.0.2.2\n");
}

#[test]
fn an_inherited_owner_is_written_out() {
    check("www\tA\t192.0.2.1\n\tAAAA\t::1\n\tTXT\tx\n", &["- www A"], "www\tAAAA\t::1\n\tTXT\tx\n");
    check("www     A 192.0.2.1\n  60    TXT x\n", &["- www A"], "www 60    TXT x\n");
    check("Www A 192.0.2.1\n (\n TXT x )\n", &["- www A"], "Www (\n TXT x )\n");
    check("www A 192.0.2.1\n$ORIGIN sub\n TXT x\n", &["- www A"], "$ORIGIN sub\nwww.example.org. TXT x\n");
    check("www A 192.0.2.1\n TXT x\n AAAA ::1\n", &["- www TXT"], "www A 192.0.2.1\n AAAA ::1\n");
    check("a A 192.0.2.1\n TXT x\nb A 192.0.2.1\n TXT y\n", &["- a A", "- a TXT", "- b A"], "b TXT y\n");
    check("www A 192.0.2.1\n TXT x\n", &["- www A", "- www TXT", "+ www CNAME x."], "www CNAME x.\n");
}

#[test]
fn an_inherited_ttl_is_written_out() {
    let head = "@ 60 SOA ns.example.net. host.example.net. 7 1 1 1 1\n@ NS ns.example.net.\n";
    let check = |text: &str, changes: &[&str], expected: &str| {
        check_all(&format!("{head}{text}"), changes, &format!("{head}{expected}"));
    };
    check("a 5 A 192.0.2.1\nb A 192.0.2.2\nc A 192.0.2.3\n", &["- a A"], "b 5 A 192.0.2.2\nc A 192.0.2.3\n");
    check(
        "a A 192.0.2.1\nb A 192.0.2.2\nc A 192.0.2.3\n",
        &["+ a 9 TXT x"],
        "a A 192.0.2.1\na 9 TXT \"x\"\nb 60 A 192.0.2.2\nc A 192.0.2.3\n",
    );
    check(
        "a A 192.0.2.1\nb A 192.0.2.2\nc A 192.0.2.3\n",
        &["+ a TXT x", "- a 60 TXT y"],
        "a A 192.0.2.1\na TXT \"x\"\nb A 192.0.2.2\nc A 192.0.2.3\n",
    );
    check(
        "a 5 A 192.0.2.1\n$GENERATE 1-2 b$ A 192.0.2.$\nc A 192.0.2.3\n",
        &["- a A"],
        "$GENERATE 1-2 b$ 5 A 192.0.2.$\nc A 192.0.2.3\n",
    );
    check("a 5 A 192.0.2.1\n\tTXT\tx\n", &["- a A"], "a\t5\tTXT\tx\n");
    check("a 5 A 192.0.2.1\n\t\tTXT\tx\n", &["- a A"], "a\t5\tTXT\tx\n");
}

#[test]
fn a_ttl_changes_for_all_of_an_rrset() {
    check(
        "a 5m A 192.0.2.1 ; c\na A 192.0.2.2\na TXT x\nb\t\tA\t192.0.2.3\n",
        &["+ a 600 A", "+ b 5 A"],
        "a 10m A 192.0.2.1 ; c\na 600 A 192.0.2.2\na TXT x\nb\t5\tA\t192.0.2.3\n",
    );
    // What disagrees stays so until it is touched.
    check(
        "a 5 A 192.0.2.1\na A 192.0.2.2\nb 5 A 192.0.2.1\nb A 192.0.2.2\n",
        &["+ b 5 A 192.0.2.3"],
        "a 5 A 192.0.2.1\na A 192.0.2.2\nb 5 A 192.0.2.1\nb 5 A 192.0.2.2\nb 5 A 192.0.2.3\n",
    );
}

#[test]
fn data_changes_in_place() {
    check("a A ( 192.0.2.1 ) ; c\n", &["- a A", "+ a A 192.0.2.2"], "a A ( 192.0.2.2 ) ; c\n");
    check(
        "a A 192.0.2.1 ; one\na A 192.0.2.2 ; two\na A 192.0.2.3 ; three\n",
        &["- a A 192.0.2.1", "- a A 192.0.2.3", "+ a A 192.0.2.4", "+ a A 192.0.2.5"],
        "a A 192.0.2.4 ; one\na A 192.0.2.2 ; two\na A 192.0.2.5 ; three\n",
    );
    check("a MX 010 mail ; c\n", &["- a MX", "+ a MX 20 mail.example.org."], "a MX 20 mail ; c\n");
    check("a MX 010 Mail ; c\n", &["- a MX", "+ a MX 10 mail2.example.org."], "a MX 010 mail2 ; c\n");
    check(
        "a TXT ( one ; 1\n \"two\" ; 2\n three ) ; 3\n",
        &["- a TXT", "+ a TXT one 2 three"],
        "a TXT ( \"one\" ; 1\n \"2\" ; 2\n \"three\" ) ; 3\n",
    );
    check("a TXT one two\n", &["- a TXT", "+ a TXT x"], "a TXT \"x\"\n");
    check("a TXT one\n", &["- a TXT", "+ a TXT x y"], "a TXT \"x\" \"y\"\n");
    check("a TYPE1 \\# 4 c0000201 ; c\n", &["- a A", "+ a A 192.0.2.2"], "a TYPE1 \\# 4 c0000202 ; c\n");
    check("a APL\n", &["- a APL", "+ a APL 1:192.0.2.0/24"], "a APL 1:192.0.2.0/24\n");
    check("a HTTPS 1 . alpn=\"h2,h3\" ; c\n", &["- a HTTPS", "+ a HTTPS 1 . alpn=h2"], "a HTTPS 1 . alpn=\"h2\" ; c\n");
}

#[test]
fn letter_case_stays() {
    check("WWW CNAME Target\n", &["- www CNAME", "+ www CNAME target.example.org."], "WWW CNAME Target\n");
    check("WWW A 192.0.2.1\n", &["+ www A 192.0.2.2"], "WWW A 192.0.2.1\nWWW A 192.0.2.2\n");
}

#[test]
fn records_of_generate() {
    let text = "$GENERATE 1-3 h$ A 192.0.2.$ ; c\nz A 192.0.2.9\n";
    check(text, &["- h1 A", "- h2 A", "- h3 A"], "z A 192.0.2.9\n");
    check(text, &["+ h1 TXT x"], "$GENERATE 1-3 h$ A 192.0.2.$ ; c\nh1 TXT \"x\"\nz A 192.0.2.9\n");
    check(text, &["+ h1 A 192.0.2.7"], "$GENERATE 1-3 h$ A 192.0.2.$ ; c\nh1 A 192.0.2.7\nz A 192.0.2.9\n");
    for change in ["- h1 A", "+ h1 5 A", "+ h1 7200 A"] {
        let whole = format!("{HEAD}{text}");
        let error = try_edit(&[("example.org", &whole)], &[change]).unwrap_err();
        assert!(matches!(&error, EditError::Fixed(d) if d.line == 4 && d.file == "example.org"), "{change}: {error}");
    }
}

#[test]
fn included_files() {
    let main = format!("{HEAD}a A 192.0.2.1\n$INCLUDE part\nb A 192.0.2.2\n$INCLUDE twice x\n$INCLUDE twice y\n");
    let files = [
        ("example.org", main.as_str()),
        ("part", "p A 192.0.2.3\nq A 192.0.2.4\n  TXT x"),
        ("twice", "t A 192.0.2.5\n"),
    ];
    let edit = |changes: &[&str]| try_edit(&files, changes);
    let only = |path: &str, text: &str| Ok(BTreeMap::from([(path.to_string(), text.to_string())]));
    assert_eq!(edit(&["- p A", "+ p A 192.0.2.9"]), only("part", "p A 192.0.2.9\nq A 192.0.2.4\n  TXT x"));
    assert_eq!(edit(&["- q A"]), only("part", "p A 192.0.2.3\nq TXT x"));
    // The zone's own file takes what it can.
    assert_eq!(
        edit(&["+ q AAAA ::1"]),
        only("example.org", &main.replace("b A 192.0.2.2\n", "b A 192.0.2.2\nq AAAA ::1\n"))
    );
    let error = edit(&["- t.x A"]).unwrap_err().to_string();
    assert!(error.starts_with("twice:1:1: error: this file is included more than once"), "{error}");
}

#[test]
fn amendments_that_make_no_zone() {
    let text = format!("{HEAD}a A 192.0.2.1\n");
    let error = try_edit(&[("example.org", &text)], &["- @ SOA"]).unwrap_err();
    assert!(matches!(error, EditError::Differs(_)));
    let error = try_edit(&[("example.org", &text)], &["+ a CNAME b."]).unwrap_err();
    assert!(matches!(error, EditError::Differs(reason) if reason.contains("has a CNAME record and other data")));
}

/// Adding one record to each of the example zones adds one line and changes that of the serial; and back again.
#[test]
fn example_zones() {
    let directory = zonule_harness::workspace().join("zones-example");
    for (zone, owner, line) in [
        ("example.org", "www", "\t\t5m\tA\t192.0.2.99"),
        ("example.org", "chat3", "chat3\t\t\tA\t192.0.2.99"),
        ("example.org", "_acme-challenge.www", "_acme-challenge.www\tA\t192.0.2.99"),
        ("example.net", "shop2", "shop2\tIN A   192.0.2.99"),
        ("sub.example.org", "printer", "\tA\t192.0.2.99"),
        ("2.0.192.in-addr.arpa", "91", "91\tA\t192.0.2.99"),
        (
            "8.b.d.0.1.0.0.2.ip6.arpa",
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0",
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0\tA\t192.0.2.99",
        ),
    ] {
        let apex = name(zone);
        let text = std::fs::read(directory.join(zone)).unwrap();
        let open = |path: &str| std::fs::read(directory.join(path)).map_err(|_| IncludeError::Missing);
        let before = read_including(&apex, zone, &text, open).zone.unwrap();
        let rrset = |owner: &Name, rtype| {
            let rrset = before.node(owner).and_then(|node| node.rrset(rtype));
            let data: Vec<Box<[u8]>> = rrset.map_or_else(Vec::new, |rrset| rrset.rdata().map(Box::from).collect());
            Amendment {
                owner: owner.clone(),
                rtype,
                covers: None,
                ttl: rrset.map_or_else(|| before.soa().unwrap().ttl(), |rrset| rrset.ttl()),
                data,
            }
        };
        let mut soa = rrset(&apex, Type::SOA);
        let at = soa.data[0].len() - 20;
        soa.data[0][at..at + 4].copy_from_slice(&before.serial().next().0.to_be_bytes());
        let mut a = rrset(&name(&format!("{owner}.{zone}")), Type::A);
        a.data.push([192, 0, 2, 99].into());
        let new = edit(&apex, zone, &text, open, &before, &[soa, a]).unwrap();
        assert_eq!(new.files.len(), 1);
        let back = difference(&new.zone, &before).amendments(&before);
        let back = edit(&apex, zone, &new.files[zone], open, &new.zone, &back).unwrap();
        assert!(back.files[zone] == text, "{zone} {owner}");
        let (old, new) = (String::from_utf8(text).unwrap(), String::from_utf8(new.files[zone].clone()).unwrap());
        let (gone, come) = changed(&old, &new);
        assert_eq!((gone.len(), come.len()), (1, 2), "{zone}: {gone:?} {come:?}");
        assert_eq!(come[1], line);
        assert_eq!(come[0], gone[0].replace(&before.serial().to_string(), &before.serial().next().to_string()));
    }
}

/// What a certificate client does, and undoes, in a file as they are.
#[test]
fn a_challenge_comes_and_goes() {
    let text = "\
; web
@                  IN  A      192.0.2.80    ; the front
                   IN  AAAA   2001:db8::80
www           300  IN  CNAME  @

; mail
mail               IN  A      192.0.2.25
_dmarc             IN  TXT    \"v=DMARC1\"
";
    let line = "_acme-challenge.www 60 IN TXT \"abc\"\n";
    let with = text.replace("CNAME  @\n", &format!("CNAME  @\n{line}"));
    check(text, &["+ _acme-challenge.www 60 TXT abc"], &with);
    check(&with, &["- _acme-challenge.www TXT"], text);
    let two = with.replace(line, &format!("{line}{line}").replacen("abc", "xyz", 2).replacen("xyz", "abc", 1));
    check(&with, &["+ _acme-challenge.www TXT xyz"], &two);
}

#[test]
fn a_new_file() {
    let text = "$TTL 300\n@ SOA ns host 1 2 3 4 5\n@ NS ns\n@ 60 A 192.0.2.1\nns A 192.0.2.2\nns AAAA ::1\na.very.long.name.that.needs.much.room TXT x\n";
    let zone = zone(&[("example.org", text)]);
    let new = new_file(&zone);
    let expected = "\
$TTL 300
@\t\t\t\t\tSOA\tns host (
\t\t\t1          ; serial
\t\t\t2          ; refresh
\t\t\t3          ; retry
\t\t\t4          ; expire
\t\t\t5          ) ; minimum
\t\t\t\t\tNS\tns
\t\t\t\t60\tA\t192.0.2.1
ns\t\t\t\t\tA\t192.0.2.2
\t\t\t\t\tAAAA\t::1
a.very.long.name.that.needs.much.room\t\tTXT\t\"x\"
";
    assert_eq!(new, expected);
    let read = self::zone(&[("example.org", &new)]);
    assert!(difference(&zone, &read).is_empty());
}

/// The lines that are gone and those that came, by the longest common subsequence.
fn changed<'t>(old: &'t str, new: &'t str) -> (Vec<&'t str>, Vec<&'t str>) {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let mut longest = vec![vec![0; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i][j] =
                if old[i] == new[j] { longest[i + 1][j + 1] + 1 } else { longest[i + 1][j].max(longest[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut gone, mut come) = (0, 0, Vec::new(), Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && longest[i + 1][j] >= longest[i][j + 1] {
            gone.push(old[i]);
            i += 1;
        } else {
            come.push(new[j]);
            j += 1;
        }
    }
    (gone, come)
}

#[track_caller]
fn check_all(text: &str, changes: &[&str], expected: &str) {
    let files = try_edit(&[("example.org", text)], changes).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let new = files.get("example.org").map_or(text, String::as_str);
    assert!(new == expected, "--- is\n{new}--- should be\n{expected}---");
}
