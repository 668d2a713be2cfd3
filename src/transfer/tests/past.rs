//! Tests for condensed, stored and reconstructed differences.

use super::*;

/// Versions whose serial numbers mostly rise, but sometimes stay or fall.
fn unsteady_serials() -> impl Strategy<Value = Vec<Arc<Zone>>> {
    let lines = proptest::collection::vec(prop::sample::select(&LINES[..19]), 0..6);
    let step = prop_oneof![12 => Just(1), 2 => Just(2), 1 => Just(0), 1 => Just(-1), 1 => Just(-2)];
    proptest::collection::vec((step, lines), 1..14).prop_map(|versions| {
        let versions = versions.iter().scan(20_u32, |serial, (step, lines)| {
            *serial = serial.wrapping_add_signed(*step);
            Some(zone(*serial, &format!("$GENERATE 1-20 base A 192.0.2.$\n{}", lines.concat())))
        });
        versions.collect()
    })
}

/// Versions whose serial numbers rise.
fn rising_serials() -> impl Strategy<Value = Vec<Arc<Zone>>> {
    let lines = proptest::collection::vec(prop::sample::select(&LINES[..19]), 0..6);
    proptest::collection::vec(lines, 2..9)
        .prop_map(|versions| versions.iter().zip(1..).map(|(lines, serial)| zone(serial, &lines.concat())).collect())
}

fn chain_of(versions: &[Arc<Zone>]) -> Vec<Arc<Difference>> {
    versions.windows(2).map(|pair| Arc::new(difference(&pair[0], &pair[1]))).collect()
}

/// Returns whether no step removes and adds more records than the resulting zone has; larger ones are not kept.
fn are_useful(versions: &[Arc<Zone>]) -> bool {
    versions.windows(2).all(|pair| {
        let changes = difference(&pair[0], &pair[1]).changes;
        let others = changes.iter().filter(|change| change.rtype != Type::SOA);
        others.map(|change| change.removed.len() + change.added.len()).sum::<usize>() <= pair[1].record_count()
    })
}

const LARGE: Limits = Limits { octets: usize::MAX, differences: usize::MAX };

fn sizes(history: &History, zone: &Zone) -> usize {
    history.chain_len(zone.apex())
}

proptest! {
    /// RFC 1995 §5: the condensed difference is that of the first and last version.
    #[test]
    fn condensed_equals_direct_difference(versions in rising_serials(), at in any::<prop::sample::Index>()) {
        let chain = chain_of(&versions);
        let whole = condense(&chain).unwrap();
        prop_assert_eq!(&whole, &difference(&versions[0], &versions[versions.len() - 1]));
        let (front, back) = chain.split_at(at.index(chain.len()));
        let parts: Vec<_> = [front, back].into_iter().filter_map(condense).map(Arc::new).collect();
        prop_assert_eq!(condense(&parts), Some(whole));
    }

    /// Whatever the serial numbers do, a difference starts only at a serial number with a single content.
    #[test]
    fn never_a_wrong_difference(versions in unsteady_serials(), max in 0_usize..9, octets in 0_usize..9000) {
        for limits in [LARGE, Limits { octets, differences: max }] {
            let mut history = History::new(limits);
            for (at, pair) in versions.windows(2).enumerate() {
                history.add(&pair[0], &pair[1]);
                prop_assert!(history.octets() <= limits.octets);
                prop_assert!(sizes(&history, &pair[1]) <= limits.differences);
                let current = &pair[1];
                for old in &versions[..=at] {
                    let Some(chain) = history.chain(old.serial(), current) else { continue };
                    prop_assert_eq!(condense(&chain), Some(difference(old, current)));
                }
            }
        }
    }

    /// With rising_serials serial numbers and within the limits, all useful differences are known.
    #[test]
    fn stored_differences_are_found(versions in rising_serials(), max in 0_usize..9) {
        let mut history = History::new(Limits { octets: usize::MAX, differences: max });
        versions.windows(2).for_each(|pair| history.add(&pair[0], &pair[1]));
        let current = &versions[versions.len() - 1];
        for (at, old) in versions.iter().enumerate() {
            let steps = versions.len() - 1 - at;
            let is_known = (1..=max).contains(&steps) && are_useful(&versions[at..]);
            let expected = is_known.then_some(steps);
            prop_assert_eq!(history.chain(old.serial(), current).map(|chain| chain.len()), expected);
        }
        // A snapshot that is no longer the newest has a history, too.
        if max >= 2 && versions.len() > 2 && are_useful(&versions[versions.len() - 3..]) {
            let (old, then) = (&versions[versions.len() - 3], &versions[versions.len() - 2]);
            prop_assert_eq!(history.chain(old.serial(), then).map(|chain| chain.len()), Some(1));
        }
    }

    /// Differences found in past versions lead to the current one and equal those stored at the time of each change.
    #[test]
    fn past_versions(versions in rising_serials(), from in 0_u32..10, split in any::<prop::sample::Index>()) {
        let (current, older) = versions.split_last().unwrap();
        let newest_first = || older.iter().rev().flat_map(|zone| [zone, zone]).map(|zone| Past::Served(Zone::clone(zone)));
        let found = from_versions(current, newest_first(), Serial(from), usize::MAX);
        let at = older.iter().position(|version| version.serial() == Serial(from));
        prop_assert_eq!(found.is_some(), at.is_some_and(|at| are_useful(&versions[at..])));
        prop_assert!(from_versions(current, newest_first(), Serial(from), 10).is_none());
        let Some(found) = found else { return Ok(()) };
        let kept: Vec<_> = chain_of(&versions[from as usize - 1..]);
        prop_assert!(found.iter().eq(kept.iter().map(|difference| &**difference)));

        // Add them to a history that has only the last few.
        let mut history = History::new(LARGE);
        let known = split.index(versions.len());
        versions[known..].windows(2).for_each(|pair| history.add(&pair[0], &pair[1]));
        history.extend(&apex(), found);
        prop_assert_eq!(history.chain(Serial(from), current), Some(kept));
    }

    /// Whatever the past versions are, the result starts at every read version with that serial number.
    #[test]
    fn ambiguous_past(versions in unsteady_serials(), from in 19_u32..26) {
        let (current, older) = versions.split_last().unwrap();
        let mut taken = Vec::new();
        let newest_first = older.iter().rev().map(|zone| Past::Served(Zone::clone(zone))).inspect(|past| if let Past::Served(zone) = past { taken.push(zone.clone()) });
        let Some(found) = from_versions(current, newest_first, Serial(from), usize::MAX) else { return Ok(()) };
        let found: Vec<_> = found.into_iter().map(Arc::new).collect();
        for version in taken.iter().filter(|version| version.serial() == Serial(from)) {
            prop_assert_eq!(condense(&found), Some(difference(version, current)));
        }
        prop_assert!(taken.iter().any(|version| version.serial() == Serial(from)));
    }

    /// The limits hold for all zones together, and the bookkeeping is correct.
    #[test]
    fn bounds_of_many_zones(steps in proptest::collection::vec((0_usize..4, 0_usize..4), 1..60), octets in 500_usize..4000) {
        let mut history = History::new(Limits { octets, differences: 4 });
        let versions: Vec<Vec<Zone>> = (0..4).map(|number| (1..=30).map(|serial| {
            let apex = name(&format!("zone{number}.example"));
            let text = format!("$TTL 60\n@ SOA ns host {serial} 1 1 1 1\n@ NS ns\na TXT \"{}\"\n", "x".repeat(serial as usize * 7));
            read(&apex, "", text.as_bytes()).zone.unwrap()
        }).collect()).collect();
        let mut at = [0; 4];
        for (zone, action) in steps {
            let now = at[zone];
            match action {
                0 => history.remove(&versions[zone][now]),
                1 => {
                    let past = versions[zone][..=now].windows(2).map(|pair| difference(&pair[0], &pair[1]));
                    history.extend(versions[zone][0].apex(), past.collect());
                }
                _ if now < 29 => {
                    history.add(&versions[zone][now], &versions[zone][now + 1]);
                    at[zone] += 1;
                }
                _ => {}
            }
            prop_assert!(history.octets() <= octets);
            history.check_invariants();
            for (versions, &now) in versions.iter().zip(&at) {
                let known = (0..now).filter_map(|old| history.chain(versions[old].serial(), &versions[now]).map(|chain| (old, chain)));
                for (old, chain) in known {
                    prop_assert_eq!(condense(&chain), Some(difference(&versions[old], &versions[now])));
                }
            }
        }
    }
}

#[test]
fn broken_chains_are_not_condensed() {
    let versions = [zone(1, ""), zone(2, "a A 192.0.2.1\n"), zone(3, ""), zone(4, "")];
    let chain = chain_of(&versions);
    assert_eq!(condense(&[]), None);
    assert_eq!(condense(&[chain[0].clone(), chain[2].clone()]), None);
    let added_and_removed = condense(&chain[..2]).unwrap();
    assert_eq!(added_and_removed.changes.len(), 1, "the SOA record only");
}

/// Serial numbers must rise from version to version.
#[test]
fn serials_that_step_back() {
    let past = |serials: &[u32], from| {
        let older =
            serials.iter().map(|serial| Past::Served(Zone::clone(&zone(*serial, &format!("a TXT {serial}\n")))));
        from_versions(&zone(10, "a TXT 10\n"), older, Serial(from), usize::MAX).map(|chain| chain.len())
    };
    assert_eq!(past(&[9, 8, 7], 8), Some(2));
    assert_eq!(past(&[9, 8], 8), Some(2));
    assert_eq!(past(&[12, 9, 8], 8), Some(2), "another server is ahead");
    assert_eq!(past(&[9, 12, 8, 7], 8), None);
    assert_eq!(past(&[9, 8, 12], 8), Some(2), "8 stands for one version, whatever was before");
    assert_eq!(past(&[9, 12], 12), None);
    assert_eq!(past(&[9, 8, 7, 12], 8), Some(2), "whoever has 8 has no other");
    assert_eq!(past(&[9, 8, 7, 8], 8), Some(2), "the same 8 again");
    assert_eq!(past(&[9, 8, 7], 10), None);
    assert_eq!(past(&[], 9), None);

    // A serial number with two contents, however old.
    let versions = [zone(9, ""), zone(8, "a A 192.0.2.1\n"), zone(7, ""), zone(12, ""), zone(8, "b A 192.0.2.1\n")];
    let past = |from| {
        from_versions(
            &zone(10, ""),
            versions.iter().map(|zone| Past::Served(Zone::clone(zone))),
            Serial(from),
            usize::MAX,
        )
    };
    assert!(past(8).is_none() && past(7).is_none());
    assert_eq!(past(9).map(|chain| chain.len()), Some(1));

    // A difference does not start at a version that only may have been served, and an unreadable version may have had
    // any content.
    let served = |serial, lines: &str| Past::Served(Zone::clone(&zone(serial, lines)));
    let doubtful = |serial, lines: &str| Past::Doubtful(Zone::clone(&zone(serial, lines)));
    let past = |older: Vec<Past>, from| from_versions(&zone(10, ""), older, Serial(from), usize::MAX).is_some();
    assert!(past(vec![served(9, ""), doubtful(8, ""), served(7, "")], 7));
    assert!(!past(vec![served(9, ""), doubtful(8, ""), served(7, "")], 8));
    assert!(past(vec![served(9, ""), doubtful(8, ""), served(8, "")], 8));
    assert!(!past(vec![served(9, ""), doubtful(8, "a TXT 1\n"), served(8, "")], 8));
    assert!(!past(vec![served(9, ""), served(8, ""), doubtful(8, "a TXT 1\n")], 8));
    assert!(!past(vec![served(9, ""), Past::Unknown], 9));
    assert!(past(vec![served(12, ""), served(11, "a TXT 1\n"), served(9, "")], 9), "another server is ahead");
}

/// A full transfer preserves letter case, so a difference must not omit a change of it.
#[test]
fn letter_case_makes_another_version() {
    let current = zone(4, "c A 192.0.2.1\nB MX 1 X\n");
    let past = |older: &[(u32, &str)], from| {
        let older = older.iter().map(|(serial, lines)| Past::Served(Zone::clone(&zone(*serial, lines))));
        from_versions(&current, older, Serial(from), usize::MAX)
    };
    assert_eq!(past(&[(3, "B MX 1 X\n")], 3).map(|chain| chain.len()), Some(1));
    assert!(past(&[(3, "B MX 1 x\n")], 3).is_none());
    assert!(past(&[(3, "b MX 1 X\n")], 3).is_none());
    assert!(past(&[(3, "B MX 1 X\n"), (3, "B MX 1 x\n")], 3).is_none(), "3 stands for two");

    let mut history = History::new(LARGE);
    history.add(&zone(2, "B MX 1 x\n"), &zone(3, "B MX 1 X\n"));
    assert!(history.chain(Serial(2), &zone(3, "B MX 1 X\n")).is_none());
    history.add(&zone(3, "B MX 1 X\n"), &current);
    assert!(history.chain(Serial(3), &current).is_some() && history.chain(Serial(2), &current).is_none());
    history.add(&current, &zone(4, "C A 192.0.2.1\nB MX 1 X\n"));
    assert!(history.chain(Serial(3), &current).is_none(), "4 stands for two");

    // A record is removed and added again in another letter case.
    for lines in ["c A 192.0.2.1\n", "C A 192.0.2.1\n"] {
        let versions = [zone(1, "c A 192.0.2.1\n"), zone(2, ""), zone(3, lines)];
        assert_eq!(condense(&chain_of(&versions)).is_some(), lines.starts_with('c'));
    }
    for lines in ["c MX 1 d\nc A 192.0.2.1\n", "c MX 1 D\nc A 192.0.2.1\n"] {
        let versions = [zone(1, "c MX 1 d\nc A 192.0.2.1\n"), zone(2, "c A 192.0.2.1\n"), zone(3, lines)];
        assert_eq!(condense(&chain_of(&versions)).is_some(), lines.starts_with("c MX 1 d"));
    }
}

/// A serial number that was used twice, and all older ones, are not trusted until the serial numbers are beyond it.
#[test]
fn serials_used_twice() {
    let a = |serial, host: &str| zone(serial, &format!("{host} A 192.0.2.1\n"));
    let mut history = History::new(LARGE);
    history.add(&a(1, "a"), &a(2, "b"));
    history.add(&a(2, "b"), &a(2, "c"));
    assert!(history.chain(Serial(1), &a(2, "c")).is_none());
    history.add(&a(2, "c"), &a(3, "d"));
    assert!(history.chain(Serial(2), &a(3, "d")).is_none(), "the client may have b or c");
    history.add(&a(3, "d"), &a(4, "e"));
    assert!(history.chain(Serial(3), &a(4, "e")).is_some());

    // The serial numbers start over with the zone.
    history.remove(&a(4, "e"));
    history.add(&a(3, "f"), &a(4, "g"));
    history.add(&a(4, "g"), &a(5, "h"));
    assert!(history.chain(Serial(4), &a(5, "h")).is_none(), "the client may have e");
    history.add(&a(5, "h"), &a(6, "i"));
    assert!(history.chain(Serial(5), &a(6, "i")).is_some());
    let gap = [difference(&a(3, "x"), &a(4, "g"))];
    history.extend(&apex(), gap.to_vec());
    assert!(history.chain(Serial(3), &a(6, "i")).is_none());

    // Serial number arithmetic wraps (RFC 1982): a serial that was far behind is now ahead.
    let mut history = History::new(LARGE);
    let around = [7, 0x7000_0000, 0xe000_0000, 7, 8];
    let around: Vec<_> = around.iter().zip(["a", "b", "c", "d", "e"]).map(|(serial, host)| a(*serial, host)).collect();
    around.windows(2).for_each(|pair| history.add(&pair[0], &pair[1]));
    assert!(history.chain(Serial(7), &around[4]).is_none(), "it is there twice");
    assert!(history.chain(Serial(7), &around[1]).is_none());
    assert!(history.chain(Serial(0xe000_0000), &around[4]).is_some());
}
