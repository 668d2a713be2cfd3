//! The difference between two versions of a zone: records removed and added.
//!
//! The walk skips subtrees that both versions share, so comparing a zone with its amendment costs only what was
//! amended. Names are compared without regard to letter case, in owners and in data; records that differ only in case
//! are equal here, but [`differ_in_case`] finds them.

use std::cmp::Ordering;

use super::amendment::Amendment;
use super::node::{Node, RRset};
use crate::dns::{Name, Serial, Type, data_cmp};
use crate::zone::Zone;

/// The difference between an old and a new version of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The serial number of the old version.
    pub old: Serial,
    /// The serial number of the new version.
    pub new: Serial,
    /// The RRsets that differ, by owner in canonical order (RFC 4034 §6.1), then by type and by type covered.
    pub changes: Vec<Change>,
}

/// The difference in an RRset.
///
/// Its records share a TTL; where it changes, all of the old records are removed and all of the new are added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The owner.
    pub owner: Name,
    /// The type.
    pub rtype: Type,
    /// The type that the records cover, if they are signatures.
    pub covers: Option<Type>,
    /// The time to live of the old RRset in seconds; `None` if there was none.
    pub old_ttl: Option<u32>,
    /// The time to live of the new RRset in seconds; `None` if there is none.
    pub new_ttl: Option<u32>,
    /// The data of the records removed, in wire form and canonical order.
    pub removed: Vec<Box<[u8]>>,
    /// The data of the records added, in wire form and canonical order.
    pub added: Vec<Box<[u8]>>,
}

/// Returns the difference between two versions of a zone.
#[must_use]
pub fn difference(old: &Zone, new: &Zone) -> Difference {
    let mut changes = Vec::new();
    compare(old, new, |old, new| compare_nodes(old, new, &mut changes));
    Difference { old: old.serial(), new: new.serial(), changes }
}

/// Returns the difference between two versions of a zone; `None` if more records than `most` are removed and added.
///
/// It never stores many more than that, however much differs.
#[must_use]
pub fn difference_within(old: &Zone, new: &Zone, most: usize) -> Option<Difference> {
    let (mut changes, mut counted, mut records) = (Vec::new(), 0, 0);
    compare(old, new, |old, new| {
        if records <= most {
            compare_nodes(old, new, &mut changes);
            let more = changes[counted..].iter().map(|change: &Change| change.removed.len() + change.added.len());
            records += more.sum::<usize>();
            counted = changes.len();
        }
    });
    (records <= most).then(|| Difference { old: old.serial(), new: new.serial(), changes })
}

/// Returns whether a record that both versions have is written in other letters, in its owner or its data.
///
/// A [`Difference`] does not include this: applying it to the old version yields the new one in the old letter case.
#[must_use]
pub fn differ_in_case(old: &Zone, new: &Zone) -> bool {
    let mut differ = old.apex().as_wire() != new.apex().as_wire();
    compare(old, new, |old, new| {
        if let (Some(old), Some(new)) = (old, new) {
            differ = differ || old.owner() != new.owner() || nodes_differ_in_case(old, new);
        }
    });
    differ
}

fn nodes_differ_in_case(old: &Node, new: &Node) -> bool {
    new.rrsets().any(|new| {
        let Some(old) = old.rrset_covering(new.rtype(), new.covers()).filter(|old| old.image() != new.image()) else {
            return false;
        };
        let (mut a, mut b) = (old.rdata().peekable(), new.rdata().peekable());
        while let (Some(old), Some(data)) = (a.peek(), b.peek()) {
            match data_cmp(new.rtype(), old, data) {
                Ordering::Less => drop(a.next()),
                Ordering::Greater => drop(b.next()),
                Ordering::Equal if old != data => return true,
                Ordering::Equal => drop((a.next(), b.next())),
            }
        }
        false
    })
}

/// Returns whether two versions are the same to the octet: the same records, in the same letters, with the same TTLs.
#[must_use]
pub fn is_identical(old: &Zone, new: &Zone) -> bool {
    let mut identical = old.apex().as_wire() == new.apex().as_wire();
    compare(old, new, |old, new| identical = identical && old.zip(new).is_some_and(|(old, new)| old.is_equal(new)));
    identical
}

/// Visits the nodes that may differ.
fn compare<'z>(old: &'z Zone, new: &'z Zone, mut visit: impl FnMut(Option<&'z Node>, Option<&'z Node>)) {
    old.compare(new, |old, new| {
        if let (Some(old), Some(new)) = (old, new)
            && old.is_same(new)
        {
            return;
        }
        visit(old, new);
    });
}

impl Difference {
    /// Returns whether the versions are equal but for letter case.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Returns the amendments that make the old version the new one; `new` must be the new version.
    #[must_use]
    pub fn amendments(&self, new: &Zone) -> Vec<Amendment> {
        let amendment = |change: &Change| {
            let rrset = new.node(&change.owner).and_then(|node| node.rrset_covering(change.rtype, change.covers));
            Amendment {
                owner: change.owner.clone(),
                rtype: change.rtype,
                covers: change.covers,
                ttl: rrset.map_or(0, |rrset| rrset.ttl()),
                data: rrset.map_or_else(Vec::new, |rrset| rrset.rdata().map(Box::from).collect()),
            }
        };
        self.changes.iter().map(amendment).collect()
    }
}

fn compare_nodes(old: Option<&Node>, new: Option<&Node>, changes: &mut Vec<Change>) {
    let Some(owner) = new.or(old).map(Node::owner) else { return };
    let mut old = old.into_iter().flat_map(Node::rrsets).peekable();
    let mut new = new.into_iter().flat_map(Node::rrsets).peekable();
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => (old.rtype(), old.covers()).cmp(&(new.rtype(), new.covers())),
        };
        let a = if order.is_le() { old.next() } else { None };
        let b = if order.is_ge() { new.next() } else { None };
        changes.extend(compare_rrsets(owner, a, b));
    }
}

fn compare_rrsets(owner: &[u8], old: Option<RRset<'_>>, new: Option<RRset<'_>>) -> Option<Change> {
    let (rtype, covers) = (new.or(old)?.rtype(), new.or(old)?.covers());
    let (old_ttl, new_ttl) = (old.map(|rrset| rrset.ttl()), new.map(|rrset| rrset.ttl()));
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    match (old, new) {
        (Some(old), Some(new)) if old.image() == new.image() => return None,
        (Some(old), Some(new)) if old_ttl == new_ttl => {
            let (mut old, mut new) = (old.rdata().peekable(), new.rdata().peekable());
            loop {
                let order = match (old.peek(), new.peek()) {
                    (None, None) => break,
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (Some(a), Some(b)) => data_cmp(rtype, a, b),
                };
                let a = if order.is_le() { old.next() } else { None };
                let b = if order.is_ge() { new.next() } else { None };
                if order.is_ne() {
                    removed.extend(a.map(Box::from));
                    added.extend(b.map(Box::from));
                }
            }
            if removed.is_empty() && added.is_empty() {
                return None;
            }
        }
        _ => {
            removed.extend(old.iter().flat_map(RRset::rdata).map(Box::from));
            added.extend(new.iter().flat_map(RRset::rdata).map(Box::from));
        }
    }
    let owner = Name::from_wire(owner).ok()?;
    Some(Change { owner, rtype, covers, old_ttl, new_ttl, removed, added })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dns::print;
    use crate::zone::node::Marks;
    use crate::zonefile::read;

    const HEAD: &str = "$TTL 60\n@ SOA ns host 7 1 1 1 1\n@ NS ns\n";

    /// Records that share names, types and data with each other often.
    const LINES: &[&str] = &[
        "a 60 A 192.0.2.1\n",
        "A 60 A 192.0.2.1\n",
        "a 60 A 192.0.2.2\n",
        "a 5 A 192.0.2.1\n",
        "a 60 MX 1 B.example.org.\n",
        "a 60 MX 1 b.example.org.\n",
        "b.a 60 TXT x\n",
        "*.w 60 TXT x\n",
        "*.w 60 A 192.0.2.9\n",
        "sub NS ns.sub\n",
        "ns.sub AAAA ::1\n",
        "@ 60 NS NS2\n",
        "@ 60 NS ns2\n",
        "d DNAME x.test.\n",
        "c CNAME a\n",
        "a 60 RRSIG A 13 3 60 20300101000000 20200101000000 1 example.org. AQID\n",
        "a 5 RRSIG A 13 3 60 20300101000000 20200101000000 2 example.org. AQID\n",
        "a 5 RRSIG TXT 13 3 5 20300101000000 20200101000000 1 example.org. AQID\n",
        "a 0 RRSIG MX 13 3 0 20300101000000 20200101000000 1 example.org. AQID\n",
        "a 7 RRSIG MX 13 3 0 20300101000000 20200101000000 1 example.org. AQID\n",
    ];

    fn apex() -> Name {
        Name::from_text("example.org").unwrap()
    }

    fn zone(lines: &str) -> Zone {
        let reading = read(&apex(), "example.org", format!("{HEAD}{lines}").as_bytes());
        reading.zone.unwrap_or_else(|| panic!("{:?}", reading.diagnostics))
    }

    /// Returns all externally visible content of a zone, octet by octet except for letter case.
    fn content(zone: &Zone) -> Vec<u8> {
        let mut content = format!("{zone:?}").into_bytes();
        for node in zone.iter() {
            content.extend(node.owner().to_ascii_lowercase());
            content.extend([Marks::CUT, Marks::DNAME, Marks::CNAME].map(|mark| u8::from(node.marks().has(mark))));
            for rrset in node.rrsets() {
                content.extend(rrset.len().to_be_bytes());
                content.extend(rrset.image());
            }
        }
        content.to_ascii_lowercase()
    }

    fn any_lines() -> impl Strategy<Value = String> {
        proptest::collection::vec(prop::sample::select(LINES), 0..8).prop_map(|lines| lines.concat())
    }

    proptest! {
        /// The difference of two versions leads from one to the other, and matches the difference of the texts.
        #[test]
        fn leads_from_old_to_new(a in any_lines(), b in any_lines()) {
            let (old, new) = (zone(&a), zone(&b));
            let difference = difference(&old, &new);
            let amended = old.amend(&difference.amendments(&new)).unwrap();
            prop_assert_eq!(content(&amended), content(&new));
            prop_assert!(super::difference(&amended, &new).is_empty());
            prop_assert!(super::difference(&new, &amended).is_empty());
            prop_assert_eq!(&super::difference(&old, &amended), &difference);
            let records = difference.changes.iter().map(|change| change.removed.len() + change.added.len()).sum();
            prop_assert_eq!(&difference_within(&old, &new, records), &Some(difference.clone()));
            prop_assert!(records == 0 || difference_within(&old, &new, records - 1).is_none());
            prop_assert_eq!(content(&old), content(&zone(&a)), "the old version is as it was");
            // In any order, and with duplicate records.
            let mut shuffled = difference.amendments(&new);
            shuffled.reverse();
            for amendment in &mut shuffled {
                amendment.data.extend(amendment.data.first().cloned());
                amendment.data.reverse();
            }
            prop_assert_eq!(content(&old.amend(&shuffled).unwrap()), content(&new));
            // The same as sets of lines.
            let lines = |zone: &Zone| -> std::collections::BTreeSet<String> {
                zone.iter().flat_map(|node| node.rrsets().flat_map(move |rrset| rrset.rdata().map(move |data| {
                    print::record(node.owner(), rrset.ttl(), rrset.rtype(), data).to_lowercase()
                }).collect::<Vec<_>>())).collect()
            };
            let all = |ttl: fn(&Change) -> Option<u32>, data: fn(&Change) -> &Vec<Box<[u8]>>| -> std::collections::BTreeSet<String> {
                difference.changes.iter().flat_map(|change| data(change).iter().map(move |data| {
                    print::record(change.owner.as_wire(), ttl(change).unwrap(), change.rtype, data).to_lowercase()
                })).collect()
            };
            let (a, b) = (lines(&old), lines(&new));
            prop_assert_eq!(all(|c| c.old_ttl, |c| &c.removed), a.difference(&b).cloned().collect());
            prop_assert_eq!(all(|c| c.new_ttl, |c| &c.added), b.difference(&a).cloned().collect());
            let order = |change: &Change| (change.owner.clone(), change.rtype, change.covers);
            prop_assert!(difference.changes.is_sorted_by(|a, b| order(a) < order(b)));
        }
    }

    /// Only letter case decides between equal and identical.
    #[test]
    fn letter_case_is_seen() {
        let same = |a: &str, b: &str| {
            let (a, b) = (zone(a), zone(b));
            (difference(&a, &b).is_empty(), differ_in_case(&a, &b), is_identical(&a, &b))
        };
        assert_eq!(same("a A 192.0.2.1\n", "a A 192.0.2.1\n"), (true, false, true));
        assert_eq!(same("a A 192.0.2.1\n", "A A 192.0.2.1\n"), (true, true, false));
        assert_eq!(same("a MX 1 b\na MX 2 c\n", "a MX 1 b\na MX 2 C\n"), (true, true, false));
        assert_eq!(same("a MX 1 b\na MX 2 c\n", "a MX 1 b\na MX 3 C\n"), (false, false, false));
        assert_eq!(same("a TXT x\n", "a TXT X\n"), (false, false, false), "text is not a name");
        assert_eq!(same("a A 192.0.2.1\na TXT x\n", "A A 192.0.2.1\n"), (false, true, false));
        assert_eq!(same("a A 192.0.2.1\n", ""), (false, false, false));
    }

    #[test]
    fn serials_and_wildcards_follow() {
        let (old, new) = (zone(""), zone("*.w TXT x\n"));
        let mut amendments = difference(&old, &new).amendments(&new);
        let soa = Amendment {
            owner: apex(),
            rtype: Type::SOA,
            covers: None,
            ttl: 60,
            data: vec![b"\0\0\0\0\0\x08\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01".as_slice().into()],
        };
        amendments.push(soa.clone());
        let amended = old.amend(&amendments).unwrap();
        assert_eq!((amended.serial(), amended.record_count()), (Serial(8), 3));
        let name = Name::from_text("x.w.example.org").unwrap();
        let key = crate::zone::Key::new(name.as_wire());
        assert!(matches!(amended.lookup(name.as_wire(), &key), crate::zone::Lookup::Wildcard(_)));
    }

    #[test]
    fn what_would_be_no_zone() {
        let old = zone("");
        let amendment = |owner: &str, rtype, data: Vec<Box<[u8]>>| Amendment {
            owner: Name::from_text(owner).unwrap(),
            rtype,
            covers: None,
            ttl: 1,
            data,
        };
        assert!(old.amend(&[amendment("example.org", Type::SOA, vec![])]).is_none());
        assert!(old.amend(&[amendment("example.net", Type::TXT, vec![Box::from(*b"\0")])]).is_none());
        assert!(old.amend(&[amendment("a.example.org", Type::TXT, vec![vec![0; 65_536].into()])]).is_none());
        let last = [
            amendment("example.org", Type::SOA, vec![]),
            amendment("example.org", Type::SOA, vec![vec![0; 22].into()]),
        ];
        assert_eq!(old.amend(&last).unwrap().serial(), Serial(0), "the last holds");
    }
}
