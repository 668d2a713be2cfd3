//! Random files, random amendments: the edit reads as meant and leaves alone what need not change.

use proptest::prelude::*;

use crate::dns::{Type, data_cmp, name, print, rdata};
use crate::zonefile::edit::*;
use crate::zonefile::entries::{Content, Entry};
use crate::zonefile::read;

/// The beginnings of files: with `$TTL`, with only last TTLs, with the SOA record's minimum as the TTL of all.
const HEADS: &[&str] = &[
    "$TTL 1h\n@ IN SOA ns host ( 7 ; serial\n\t1h 1 1 ; c\n 60 )\n@ NS ns.example.net.\n",
    "; c\n@ 3600 SOA ns host 7 1 1 1 60\n NS ns.example.net.\n",
    "@ SOA ns host 7 1 1 1 3600 ; c\n@ NS ns.example.net.\n",
    "@ 60 SOA \\# 22 00 00 ( 00000007 00000001\n 00000001 00000001 00000001 )\n\tNS\tns.example.net.\n$TTL 60\n",
    "$INCLUDE soa\n",
];

/// Lines of many kinds; nearly all stand for themselves in any order.
const LINES: &[&str] = &[
    "a 60 IN A 192.0.2.1 ; c\n",
    "a\t\t\tA\t192.0.2.2\n",
    "A       IN 1h  TXT   \"x ; y\" z\n",
    "b IN 60 TXT \"x ; y\" z\n",
    "b.a A 192.0.2.1\n",
    "host1 A 192.0.2.1\n",
    "host2 A 192.0.2.2\n",
    "host10\tA\t192.0.2.10\n",
    "\t60 A 192.0.2.3\r\n",
    "  A 192.0.2.4\n",
    " AAAA ::1 ; c\n",
    "\t\tin\ttxt\tx\n",
    "@ MX ( 10 ; first\n\n mail ) ; last\n",
    "@ TXT ( one\n ; two\n \"three\" )\n",
    "a.example.org. MX 10 b.example.org.\n",
    "c CNAME @\n",
    "d.example.net. A 192.0.2.1\n",
    "\n",
    "; a comment\n",
    "   \t\n",
    "$ORIGIN sub\n",
    "$ORIGIN example.org.\n",
    "$ORIGIN .\n",
    "$TTL 1m\n",
    "$TTL 1h ; c\n",
    "$GENERATE 1-3 host$ A 192.0.2.$\n",
    "$GENERATE 1-2 g$ 60 TXT $ ; c\n",
    "$INCLUDE other\n",
    "$INCLUDE other sub ; c\n",
    "$INCLUDE more\n",
    "( b ) A \\# 4 00000000\n",
    "e TYPE65280 \\# 2 00\t( 01 )\n",
    "f APL\n",
    "f HTTPS 1 . alpn=\"h2,h3\" port=53\n",
    "   ( TXT \"\" )\n",
    " (\n A 192.0.2.9 ) ; c\n",
    "a 5 A 192.0.2.1\n",
    "B.Example.ORG. 60 SRV 1 2 3 A\n",
    "\"q r\" A 192.0.2.1\n",
    "\\097 A 192.0.2.5\n",
    "\\$x.\\@ A 192.0.2.1\n",
    "(\n a 60 A 192.0.2.6 ) ; c\n",
    "a TXT \"a\"\"b\"c\n",
    "a 60 NSEC b A ( MX\n TXT )\n",
    "a CLASS1 5 a 192.0.2.7;c\n",
    "a 5 RRSIG A 13 3 5 20300101000000 20200101000000 1 example.org. AQID\n",
    "\t60 RRSIG TXT 13 3 60 20300101000000 20200101000000 1 example.org. AQID ; c\n",
    " RRSIG TXT 13 3 60 20300101000000 20200101000000 2 example.org. AQID\n",
];

/// Data of many types.
const DATA: &[(&str, &str)] = &[
    ("A", "192.0.2.1"),
    ("A", "192.0.2.2"),
    ("A", "192.0.2.3"),
    ("A", "192.0.2.99"),
    ("AAAA", "::1"),
    ("AAAA", "2001:db8::1"),
    ("TXT", "x \"y z\""),
    ("TXT", "one two three"),
    ("TXT", "\"\""),
    ("MX", "10 mail.example.org."),
    ("MX", "20 mail.example.org."),
    ("MX", "10 a.b.example.net."),
    ("SRV", "1 2 4 a.example.org."),
    ("SRV", "1 2 3 ."),
    ("APL", ""),
    ("APL", "1:192.0.2.0/24"),
    ("HTTPS", "1 . alpn=h2"),
    ("TYPE65280", "\\# 2 0002"),
    ("TYPE65280", "\\# 0"),
    ("CNAME", "b.example.org."),
    ("NS", "ns2.example.net."),
    ("NSEC", "a.example.org. A MX TYPE1234"),
    ("RRSIG", "A 13 3 5 20300101000000 20200101000000 2 example.org. AQID"),
    ("RRSIG", "TXT 13 3 5 20300101000000 20200101000000 2 example.org. AQID"),
    ("RRSIG", "MX 13 3 5 20300101000000 20200101000000 2 example.org. AQID"),
];

const OWNERS: &[&str] = &[
    "",
    "a.",
    "b.",
    "c.",
    "b.a.",
    "a.b.",
    "host1.",
    "host3.",
    "host11.",
    "x.sub.",
    "a.sub.",
    "sub.",
    "_acme-challenge.a.",
    "zz.",
    "*.w.",
    "g1.",
];

/// A change of an RRset, in the order: which owner, which data, what to do, which TTL.
type Change = (prop::sample::Index, prop::sample::Index, u8, u8);

fn apex() -> Name {
    Name::from_text("example.org").unwrap()
}

/// Turns random numbers into amendments, half of them of RRsets that are there.
fn amendments(before: &Zone, changes: &[Change], bump: bool) -> Vec<Amendment> {
    let rrset = |owner: &Name, rtype: Type, covers: Option<Type>| {
        let rrset = before.node(owner).and_then(|node| node.rrset_covering(rtype, covers));
        let data: Vec<Box<[u8]>> = rrset.map_or_else(Vec::new, |rrset| rrset.rdata().map(Box::from).collect());
        Amendment { owner: owner.clone(), rtype, covers, ttl: rrset.map_or(3600, |rrset| rrset.ttl()), data }
    };
    let there: Vec<(Name, Type, Option<Type>)> = before
        .iter()
        .flat_map(|node| {
            node.rrsets().map(|rrset| (Name::from_wire(node.owner()).unwrap(), rrset.rtype(), rrset.covers()))
        })
        .filter(|(_, rtype, _)| *rtype != Type::SOA)
        .collect();
    let mut all: Vec<Amendment> = Vec::new();
    for (owner, data, what, ttl) in changes {
        let (rtype, text) = DATA[data.index(DATA.len())];
        let rtype = Type::from_text(rtype.as_bytes()).unwrap();
        let encoded = |rtype: Type, text: &str| {
            let mut data = Vec::new();
            rdata::read::line(rtype, text.as_bytes(), &mut data).ok().map(|()| data)
        };
        let covered = |rtype: Type, text: &str| encoded(rtype, text).and_then(|data| rtype.covers(&data));
        let (owner, rtype, covers) = if what & 1 == 0 {
            there[owner.index(there.len())].clone()
        } else {
            (
                Name::from_text(&format!("{}example.org", OWNERS[owner.index(OWNERS.len())])).unwrap(),
                rtype,
                covered(rtype, text),
            )
        };
        let of_type: Vec<&str> = DATA
            .iter()
            .filter(|(other, text)| Type::from_text(other.as_bytes()) == Some(rtype) && covered(rtype, text) == covers)
            .map(|(_, text)| *text)
            .collect();
        let text = if of_type.contains(&text) { text } else { of_type.first().copied().unwrap_or("") };
        let new = encoded(rtype, text);
        let readable = new.is_some();
        let new = new.unwrap_or_default();
        let index = all.iter().position(|a| a.owner == owner && a.key() == (rtype, covers)).unwrap_or_else(|| {
            all.push(rrset(&owner, rtype, covers));
            all.len() - 1
        });
        let amendment = &mut all[index];
        let last = amendment.data.len().saturating_sub(1);
        match what >> 1 & 7 {
            0 => amendment.data.clear(),
            1 => amendment.data.truncate(last),
            2 if readable => amendment.data = vec![new.clone().into()],
            3 if readable && !amendment.data.is_empty() => amendment.data[last] = new.clone().into(),
            4 => {}
            _ if readable => amendment.data.push(new.into()),
            _ => {}
        }
        amendment.data.sort();
        amendment.data.dedup();
        if what >> 4 & 3 == 0 {
            amendment.ttl = [5, 60, 3600, 7200][usize::from(ttl % 4)];
        }
    }
    if bump {
        let mut soa = rrset(&apex(), Type::SOA, None);
        let at = soa.data[0].len() - 20;
        soa.data[0][at..at + 4].copy_from_slice(&before.serial().next().0.to_be_bytes());
        if changes.len() == 3 {
            let end = soa.data[0].len();
            soa.data[0][end - 1] = 7;
        }
        all.push(soa);
    }
    all
}

/// Returns whether a zone reads back from the text of its records: some amendments make zones that are refused.
fn is_sound(zone: &Zone) -> bool {
    let mut text = String::new();
    for node in zone.iter() {
        for rrset in node.rrsets() {
            for data in rrset.rdata() {
                text.push_str(&print::record(node.owner(), rrset.ttl(), rrset.rtype(), data));
                text.push('\n');
            }
        }
    }
    read(zone.apex(), "printed", text.as_bytes()).zone.is_some()
}

/// Returns the lines of the old files that an edit has no reason to touch, by file and in order.
fn untouchable(
    text: &[u8],
    open: impl Fn(&str) -> Result<Vec<u8>, IncludeError>,
    changes: &[crate::zone::Change],
) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut files: BTreeMap<String, (Vec<u8>, Vec<Range>)> = BTreeMap::new();
    type Range = std::ops::Range<usize>;
    entries(&apex(), "example.org", text, open, |entry: Entry<'_>| {
        let file = files.entry(entry.path.to_string()).or_insert_with(|| (entry.text.to_vec(), Vec::new()));
        let Content::Record { owner, ttl, rtype, data, spans, .. } = &entry.content else { return };
        let of_owner = changes.iter().filter(|change| name::eq(change.owner.as_wire(), owner));
        let has = |list: &[Box<[u8]>]| list.iter().any(|other| data_cmp(*rtype, other, data).is_eq());
        let amended = of_owner.clone().any(|change| {
            let stays = change.new_ttl == Some(*ttl) && (!has(&change.removed) || has(&change.added));
            (change.rtype, change.covers) == (*rtype, rtype.covers(data)) && !stays
        });
        let owner_goes = of_owner.clone().any(|change| !change.removed.is_empty());
        let leans = spans.owner.is_none() && owner_goes || spans.ttl.is_none() && !entry.before.has_default_ttl();
        if amended || leans {
            file.1.push(spans.entry.clone());
        }
    });
    let kept = |(text, touched): (Vec<u8>, Vec<Range>)| {
        let mut at = 0;
        let mut lines = Vec::new();
        for line in text.split_inclusive(|&octet| octet == b'\n') {
            let end = at + line.len();
            if !touched.iter().any(|span| span.start < end && at < span.end.max(span.start + 1)) {
                lines.push(line.to_vec());
            }
            at = end;
        }
        lines
    };
    files.into_iter().map(|(path, file)| (path, kept(file))).collect()
}

fn is_subsequence(lines: &[Vec<u8>], text: &[u8]) -> bool {
    let mut new = text.split_inclusive(|&octet| octet == b'\n');
    // Only a last line may lack its end, and only behind it may it get one.
    lines.iter().all(|line| {
        new.any(|other| {
            other == line || other.strip_suffix(b"\r\n").or(other.strip_suffix(b"\n")) == Some(line.as_slice())
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_global_rejects: 1_000_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn edits_read_as_meant_and_touch_no_more(
        head in prop::sample::select(HEADS),
        lines in proptest::collection::vec(prop::sample::select(LINES), 0..14),
        other in proptest::collection::vec(prop::sample::select(LINES), 0..4),
        more in proptest::collection::vec(prop::sample::select(LINES), 0..4),
        changes in proptest::collection::vec(any::<Change>(), 1..5),
        bump: bool,
        form in 0_u8..16,
    ) {
        let finish = |text: String| {
            let text = if form & 3 == 1 { text.replace("\r\n", "\n").replace('\n', "\r\n") } else { text };
            if form & 12 == 4 { text.trim_end_matches(['\n', '\r']).to_string() } else { text }
        };
        let text = finish(format!("{head}{}", lines.concat()));
        let text = if form == 15 { format!("\u{feff}{text}") } else { text };
        let parts = [("other", finish(other.concat())), ("more", finish(more.concat())), ("soa", finish(HEADS[1 + usize::from(form & 1)].to_string()))];
        let open = |path: &str| match parts.iter().find(|(name, _)| *name == path) {
            Some((_, text)) => Ok(text.clone().into_bytes()),
            None => Err(IncludeError::Missing),
        };
        let reading = read_including(&apex(), "example.org", text.as_bytes(), open);
        prop_assume!(reading.zone.is_some());
        let before = reading.zone.unwrap();
        let amendments = amendments(&before, &changes, bump);
        let meant = before.amend(&amendments);
        prop_assume!(meant.as_ref().is_some_and(is_sound));
        let difference = difference(&before, meant.as_ref().unwrap());
        let shown = || format!("{difference:?}\n{text}\n--- other\n{}\n--- more\n{}", parts[0].1, parts[1].1);
        match edit(&apex(), "example.org", text.as_bytes(), open, &before, &amendments) {
            Ok(edited) => {
                let new = |path: &str| edited.files.get(path).map(|text| String::from_utf8_lossy(text).into_owned());
                let untouchable = untouchable(text.as_bytes(), open, &difference.changes);
                for (path, lines) in untouchable {
                    if let Some(new) = edited.files.get(&path) {
                        prop_assert!(is_subsequence(&lines, new), "{path}\n{}\n{}", shown(), String::from_utf8_lossy(new));
                    }
                }
                for (path, text) in parts.iter().map(|(path, text)| (*path, text)).chain([("example.org", &text)]) {
                    let Some(new) = new(path) else { continue };
                    let added: usize = difference.changes.iter().map(|change| change.added.len()).sum();
                    prop_assert!(new.lines().count() <= text.lines().count() + added, "{}\n{new}", shown());
                    prop_assert!(new != **text);
                }
            }
            Err(EditError::Fixed(diagnostic)) => {
                let fixed = ["$GENERATE", "included more than once"].iter().any(|why| diagnostic.reason.contains(why));
                prop_assert!(fixed && diagnostic.line > 0, "{diagnostic}\n{}", shown());
            }
            Err(error) => prop_assert!(false, "{error}\n{}", shown()),
        }
    }
    /// The files of one zone can be edited to read as any other.
    #[test]
    fn any_zone_becomes_any_other(
        head in prop::sample::select(HEADS),
        lines in proptest::collection::vec(prop::sample::select(LINES), 0..14),
        other in proptest::collection::vec(prop::sample::select(LINES), 0..4),
        new_head in prop::sample::select(&HEADS[..3]),
        new_lines in proptest::collection::vec(prop::sample::select(LINES), 0..14),
    ) {
        let parts = [("other", other.concat()), ("more", String::new()), ("soa", HEADS[1].to_string())];
        let open = |path: &str| match parts.iter().find(|(name, _)| *name == path) {
            Some((_, text)) => Ok(text.clone().into_bytes()),
            None => Err(IncludeError::Missing),
        };
        let (text, new_text) = (format!("{head}{}", lines.concat()), format!("{new_head}{}", new_lines.concat()));
        let zone = |text: &str| read_including(&apex(), "example.org", text.as_bytes(), open).zone;
        let (before, after) = (zone(&text), zone(&new_text));
        prop_assume!(before.is_some() && after.is_some());
        let (before, after) = (before.unwrap(), after.unwrap());
        let amendments = difference(&before, &after).amendments(&after);
        let fresh = read(&apex(), "fresh", new_file(&after).as_bytes()).zone;
        prop_assert!(fresh.is_some_and(|fresh| difference(&fresh, &after).is_empty()), "{}", new_file(&after));
        match edit(&apex(), "example.org", text.as_bytes(), open, &before, &amendments) {
            Ok(edited) => prop_assert!(difference(&edited.zone, &after).is_empty()),
            Err(EditError::Fixed(_)) => {}
            Err(error) => prop_assert!(false, "{error}\n{text}\n--- other\n{}\n--- new\n{new_text}", parts[0].1),
        }
    }
}
