//! Tests for valid and broken catalogs, produced and consumed (RFC 9432 §4, §5).

use std::collections::{BTreeMap, BTreeSet};

use log::Level;
use proptest::prelude::*;

use super::*;
use crate::dns::{Name, Serial, Type};
use crate::zone::Zone;
use crate::zonefile::read;

const UNIX: u64 = 1_800_000_000;

fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

fn names(texts: &[&str]) -> Vec<Name> {
    texts.iter().map(|text| name(text)).collect()
}

/// A catalog with these lines.
fn catalog_of(apex: &str, lines: &str) -> Zone {
    let text = format!("$TTL 0\n@ SOA invalid. invalid. 1 3600 600 2147483646 0\n@ NS invalid.\n{lines}");
    let reading = read(&name(apex), apex, text.as_bytes());
    reading.zone.unwrap_or_else(|| panic!("{:?}", reading.diagnostics))
}

/// The relevant parts of the example in RFC 9432, appendix A.
const EXAMPLE: &str = "version TXT \"2\"\nnj2xg5b.zones PTR example.com.\nnvxxezj.zones PTR example.net.\n\
    group.nvxxezj.zones TXT \"operator-x-foo\"\nnfwxa33.zones PTR example.org.\ncoo.nfwxa33.zones PTR newcatz.invalid.\n\
    group.nfwxa33.zones TXT \"operator-y-bar\"\nmetrics.vendor.ext TXT \"x\"\nx.ext.nj2xg5b.zones TXT \"y\"\n";

/// §4, §4.1, §4.2.1.
#[test]
fn produced() {
    let members = names(&["example.org", "Example.NET", "catalog.invalid", "."]);
    let catalog = produce(&name("catalog.invalid"), &members, None, UNIX).unwrap();
    assert_eq!(catalog.serial(), Serial(UNIX as u32));
    let apex = catalog.node(&name("catalog.invalid")).unwrap();
    let of = |rtype| apex.rrset(rtype).unwrap().rdata().map(<[u8]>::to_vec).collect::<Vec<_>>();
    assert_eq!(of(Type::NS), [b"\x07invalid\0".to_vec()]);
    assert!(of(Type::SOA)[0].starts_with(b"\x07invalid\0\x07invalid\0"));
    let got = consume(&catalog).unwrap();
    let zones: Vec<_> = got.iter().map(|(zone, _)| zone.clone()).collect();
    assert_eq!(zones, names(&[".", "example.net", "example.org"]), "the catalog is not a member of itself");
    // The label depends only on the name in lower case.
    let alone = produce(&name("other.invalid"), &names(&["EXAMPLE.org"]), None, 1).unwrap();
    let alone = consume(&alone).unwrap();
    assert_eq!(alone.get(&name("example.org")).unwrap().label, got.get(&name("example.org")).unwrap().label);
    let label = label_of(b"\x07example\x03org\0");
    assert_eq!(&*alone.get(&name("example.org")).unwrap().label, label.as_bytes());
    let long = name(&format!("{0}.{0}.{0}.{1}", "x".repeat(63), "y".repeat(40)));
    assert_eq!(produce(&long, &[], None, 1).unwrap_err(), CatalogNameTooLong(long));
}

/// The label is half of the name's SHA-256 in hexadecimal. It must never change, because all secondaries would reset
/// the zones (§5.4).
fn label_of(wire: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(wire)[..16].iter().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn serials_rise_with_each_change() {
    let apex = name("catalog.invalid");
    let first = produce(&apex, &names(&["a"]), None, UNIX).unwrap();
    let same = produce(&apex, &names(&["A"]), Some(&first), UNIX + 100).unwrap();
    assert_eq!(same.serial(), first.serial());
    let second = produce(&apex, &names(&["a", "b"]), Some(&first), UNIX).unwrap();
    assert_eq!(second.serial(), first.serial().next(), "in the same second");
    let third = produce(&apex, &names(&["b"]), Some(&second), UNIX - 1000).unwrap();
    assert_eq!(third.serial(), second.serial().next(), "a clock that is set back");
    let fourth = produce(&apex, &names(&[]), Some(&third), UNIX + 1000).unwrap();
    assert_eq!(fourth.serial(), Serial((UNIX + 1000) as u32));
    assert!(consume(&fourth).unwrap().is_empty());
    let rebooted = produce(&apex, &names(&["c"]), None, UNIX + 2000).unwrap();
    assert!(rebooted.serial().is_newer_than(fourth.serial()));
}

#[test]
fn consumed() {
    let members = consume(&catalog_of("catz.invalid", EXAMPLE)).unwrap();
    let consumed: Vec<_> = members
        .iter()
        .map(|(zone, member)| {
            let label = String::from_utf8_lossy(&member.label).into_owned();
            (zone.to_string(), label, member.owner_to_be.as_ref().map(ToString::to_string), member.groups)
        })
        .collect();
    assert_eq!(
        consumed,
        [
            ("example.com.".into(), "nj2xg5b".into(), None, 0),
            ("example.net.".into(), "nvxxezj".into(), None, 1),
            ("example.org.".into(), "nfwxa33".into(), Some("newcatz.invalid.".into()), 1),
        ]
    );
}

/// §5.1: what makes a catalog broken, and what does not.
#[test]
fn broken() {
    let version = "version TXT \"2\"\n";
    let consume = |lines: &str| consume(&catalog_of("catz.invalid", lines)).map(|members| members.len());
    let missing = Err(Broken::NoVersion(name("version.catz.invalid")));
    assert_eq!(consume("a.zones PTR x.\n"), missing);
    assert_eq!(consume("version TXT \"2\"\nversion TXT \"3\"\n"), missing);
    assert_eq!(consume("version A 192.0.2.1\n"), missing);
    for other in ["1", "3", "02", "2 ", ""] {
        assert_eq!(consume(&format!("version TXT \"{other}\"\n")), Err(Broken::OtherVersion));
    }
    assert_eq!(consume("version TXT \"2\" \"2\"\n"), Err(Broken::OtherVersion));
    let many = |at: &str| Err(Broken::ManyNames(name(at)));
    assert_eq!(consume(&format!("{version}a.zones PTR x.\na.zones PTR y.\n")), many("a.zones.catz.invalid"));
    let coo = "a.zones PTR x.\ncoo.a.zones PTR y.\ncoo.a.zones PTR z.\n";
    assert_eq!(consume(&format!("{version}{coo}")), many("coo.a.zones.catz.invalid"));
    assert_eq!(consume(&format!("{version}a.zones PTR x.\nb.zones PTR X.\n")), Err(Broken::Twice(name("x"))));
    // §4.2: unknown names and types are ignored.
    let odd =
        "a.zones TXT x\ncoo.a.zones TXT x\nb.c.d.zones PTR x.\nzones PTR y.\ncoo.zones TXT q\ngroup.e.zones TXT x\n";
    assert_eq!(consume(&format!("{version}{odd}")), Ok(0));
    assert_eq!(consume("VERSION TXT \"2\"\nA.ZONES PTR x.\n"), Ok(1));
}

fn follow(apex: &str, catalog: &str) -> Step {
    Step::Follow { apex: name(apex), catalog: name(catalog) }
}

fn forget(apex: &str) -> Step {
    Step::Forget { apex: name(apex) }
}

/// The steps without log lines, and the number of errors and warnings among the log lines.
fn update(subscription: &mut Subscription, apex: &str, lines: &str) -> (Vec<Step>, usize) {
    let steps = subscription.update(&catalog_of(apex, &format!("version TXT \"2\"\n{lines}")));
    let bad = steps.iter().filter(|step| matches!(step, Step::Log(Level::Warn | Level::Error, _))).count();
    (steps.into_iter().filter(|step| !matches!(step, Step::Log(..))).collect(), bad)
}

/// §5.1, §5.3, §5.4.
#[test]
fn zones_are_added_and_removed() {
    let mut subscription = Subscription::new(BTreeSet::from([name("one"), name("mine")]));
    let lines = "a.zones PTR x.\nb.zones PTR y.\nc.zones PTR one.\nd.zones PTR mine.\n";
    assert_eq!(update(&mut subscription, "one", lines), (vec![follow("x", "one"), follow("y", "one")], 2));
    assert_eq!(update(&mut subscription, "one", lines), (vec![], 0), "clashes are logged once");
    let before = subscription.clone();
    let steps = subscription.update(&catalog_of("one", "a.zones PTR x.\n"));
    assert!(matches!(&steps[..], [Step::Log(Level::Warn, _)]), "{steps:?}");
    assert_eq!(subscription.owner(&name("y")), before.owner(&name("y")));
    let changed =
        update(&mut subscription, "one", "a2.zones PTR x.\nB.zones PTR y.\ng.zones PTR z.\ngroup.g.zones TXT q\n");
    assert_eq!(changed, (vec![forget("x"), follow("x", "one"), follow("z", "one")], 0));
    assert_eq!(update(&mut subscription, "one", ""), (vec![forget("x"), forget("y"), forget("z")], 0));
}

/// §4.3.1, §5.2, §5.5.
#[test]
fn migration() {
    let mut subscription = Subscription::new(BTreeSet::from([name("one"), name("two")]));
    update(&mut subscription, "one", "a.zones PTR x.\nb.zones PTR y.\nc.zones PTR z.\n");
    assert_eq!(update(&mut subscription, "two", "a.zones PTR x.\n"), (vec![], 1), "a clash");
    assert_eq!(subscription.owner(&name("x")), Some(&name("one")));
    let leaving = "a.zones PTR x.\ncoo.a.zones PTR two.\nb.zones PTR y.\ncoo.b.zones PTR two.\nc.zones PTR z.\n";
    assert_eq!(update(&mut subscription, "one", leaving), (vec![], 0), "only the new catalog makes it happen");
    let arrived = update(&mut subscription, "two", "a.zones PTR x.\nother.zones PTR y.\nc.zones PTR z.\n");
    assert_eq!(
        arrived,
        (vec![follow("x", "two"), forget("y"), follow("y", "two")], 1),
        "a state is kept with its label"
    );
    assert_eq!(update(&mut subscription, "one", "").0, [forget("z"), follow("z", "two")]);
    assert_eq!(subscription.owner(&name("x")), Some(&name("two")));
    let steps = update(&mut subscription, "two", "");
    assert_eq!(steps.0.len(), 3);
}

proptest! {
    /// A produced catalog is consumed correctly, whatever the order of the names.
    #[test]
    fn produced_catalogs_are_consumed(numbers in proptest::collection::btree_set(0..1000_u32, 0..30), seed in any::<bool>()) {
        let mut members: Vec<Name> = numbers.iter().map(|n| name(&format!("Z{n}.example"))).collect();
        if seed {
            members.reverse();
        }
        let catalog = produce(&name("catalog.invalid"), &members, None, UNIX).unwrap();
        let got: BTreeSet<Name> = consume(&catalog).unwrap().iter().map(|(zone, _)| zone.clone()).collect();
        prop_assert_eq!(got, members.into_iter().collect::<BTreeSet<_>>());
    }

    /// The steps yield exactly the zones that belong to a catalog, each from its own catalog. A broken catalog changes
    /// nothing. No zone moves without an announced change of ownership.
    #[test]
    fn steps_lead_to_what_is_subscribed(
        versions in proptest::collection::vec((0..2_usize, proptest::collection::vec((0..3_u8, 0..4_u8, 0..4_u8), 0..5), 0..8_u8), 0..20),
    ) {
        let catalogs = ["one", "two"];
        let mut subscription = Subscription::new(BTreeSet::from([name("one"), name("two"), name("z3")]));
        let mut followed: BTreeMap<Name, Name> = BTreeMap::new();
        let mut named: BTreeMap<&str, BTreeSet<Name>> = BTreeMap::new();
        for (which, members, breaks) in versions {
            let mut lines = String::new();
            for (label, zone, coo) in &members {
                lines.push_str(&format!("l{label}.zones PTR z{zone}.\n"));
                if *coo < 2 {
                    lines.push_str(&format!("coo.l{label}.zones PTR {}.\n", catalogs[usize::from(*coo)]));
                }
            }
            if breaks > 0 {
                lines.push_str("version TXT \"2\"\n");
            }
            let zone = catalog_of(catalogs[which], &lines);
            let before = followed.clone();
            let steps = subscription.update(&zone);
            for step in steps {
                match step {
                    Step::Follow { apex, catalog } => drop(followed.insert(apex, catalog)),
                    Step::Forget { apex } => prop_assert!(followed.remove(&apex).is_some()),
                    Step::Log(..) => {}
                }
            }
            match consume(&zone) {
                Ok(members) => drop(named.insert(catalogs[which], members.iter().map(|(zone, _)| zone.clone()).collect())),
                Err(_) => prop_assert_eq!(&before, &followed),
            }
            for (zone, catalog) in &followed {
                prop_assert_eq!(subscription.owner(zone), Some(catalog));
                prop_assert!(named[catalog.to_string().trim_end_matches('.')].contains(zone));
                prop_assert!(*zone != name("z3"));
            }
            // Every zone that a catalog lists is followed, unless it is configured.
            for zone in named.values().flatten().filter(|zone| **zone != name("z3")) {
                prop_assert!(followed.contains_key(zone), "{zone}");
            }
        }
    }
}
