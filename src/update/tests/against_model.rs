//! Random updates of random zones, compared with a model that follows the RFC's text literally.
//!
//! The model stores a zone as a set of lines in lower case and does what RFC 2136 §3.2 and §3.4.2 specify and
//! `docs/updates.md` adds. The zone-file reader decides whether the resulting zone is valid.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::zone::difference;

const OWNERS: &[&str] = &["@", "www", "WWW", "a.www", "d", "x.d", "sub", "Ns.sub", "d.sub", "y.d.sub"];

const DATA: &[&str] = &[
    "A 192.0.2.1",
    "A 192.0.2.2",
    "TXT \"x\"",
    "MX 1 www.example.org.",
    "MX 1 WWW.example.org.",
    "CNAME x.",
    "CNAME X.",
    "CNAME y.",
    "NS ns.example.org.",
    "NS Ns.example.org.",
    "NS x.",
    "DNAME x.",
    "DNAME y.",
    "NSEC a. A",
    "RRSIG A 13 3 60 20300101000000 20200101000000 1 example.org. abcd",
    "RRSIG A 13 3 60 20300101000000 20200101000000 2 example.org. abcd",
    "RRSIG TXT 13 3 60 20300101000000 20200101000000 1 example.org. abcd",
    "NSEC3 2 0 0 - 0G",
    "WKS \\# 5 C000020106",
    "WKS \\# 6 C000020106FF",
];

const SOAS: &[&str] = &[
    "SOA ns.example.org. host.example.org. 7 1 1 1 1",
    "SOA NS.example.org. host.example.org. 7 1 1 1 1",
    "SOA ns.example.org. host.example.org. 6 1 1 1 1",
    "SOA ns.example.org. host.example.org. 8 1 1 1 1",
    "SOA ns.example.org. host.example.org. 2147483655 1 1 1 1",
];

/// A record of the prerequisite or update section: the operation and its operands.
type RecordSpec = (&'static str, &'static str, u32, &'static str);

fn any_data() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => prop::sample::select(DATA), 1 => prop::sample::select(SOAS)]
}

fn any_operation() -> impl Strategy<Value = RecordSpec> {
    let owner = prop_oneof![3 => prop::sample::select(OWNERS), 1 => Just("@")];
    let verb = prop::sample::select(&["add", "add", "add", "delete RRset", "delete name", "delete record"][..]);
    // The owner of an NSEC3 record must begin with a hash.
    (verb, owner, prop::sample::select(&[60, 5][..]), any_data())
        .prop_map(|(verb, owner, ttl, data)| (verb, if data.starts_with("NSEC3") { "00.d" } else { owner }, ttl, data))
}

fn any_prerequisite() -> impl Strategy<Value = RecordSpec> {
    let verb = prop::sample::select(&["exists", "absent", "exists RRset", "absent RRset", "has"][..]);
    (verb, prop::sample::select(OWNERS), Just(0), any_data())
        .prop_map(|(verb, owner, ttl, data)| (verb, if data.starts_with("NSEC3") { "00.d" } else { owner }, ttl, data))
}

/// Returns the input lines of [`super::encode`] for records.
fn lines(records: &[RecordSpec]) -> Vec<String> {
    let line = |&(verb, owner, ttl, data): &RecordSpec| {
        let kind = data.split(' ').next().unwrap();
        match verb {
            "add" => format!("+ {owner} {ttl} {data}"),
            "delete RRset" => format!("- {owner} {kind}"),
            "delete name" => format!("- {owner}"),
            "delete record" => format!("- {owner} {data}"),
            "exists RRset" | "absent RRset" => format!("{} {owner} {kind}", verb.replace(" RRset", "")),
            "exists" | "absent" => format!("{verb} {owner}"),
            _ => format!("has {owner} {data}"),
        }
    };
    records.iter().map(line).collect()
}

fn readable(text: &str) -> Option<Zone> {
    read(&apex(), "example.org", text.as_bytes()).zone
}

/// The records of a zone as text.
fn text(zone: &Zone) -> String {
    let mut text = String::new();
    for node in zone.iter() {
        for rrset in node.rrsets() {
            for data in rrset.rdata() {
                text += &(print::record(node.owner(), rrset.ttl(), rrset.rtype(), data) + "\n");
            }
        }
    }
    text
}

/// A zone of as many of the records as are compatible.
fn zone_of(records: &[RecordSpec]) -> Zone {
    let mut text = "@ 60 SOA ns host 7 1 1 1 1\n@ 60 NS ns\n".to_string();
    for (_, owner, ttl, data) in records.iter().filter(|record| !record.3.starts_with("SOA")) {
        let longer = format!("{text}{owner} {ttl} {data}\n");
        if readable(&longer).is_some() {
            text = longer;
        }
    }
    readable(&text).unwrap()
}

/// A record: owner, type, TTL, data.
type Line = (String, String, u32, String);

/// A zone in lower case.
#[derive(Clone, Default)]
struct Model {
    lines: BTreeSet<Line>,
    deleted: bool,
}

impl Model {
    fn of(zone: &Zone) -> Self {
        let mut lines = BTreeSet::new();
        for node in zone.iter() {
            for rrset in node.rrsets() {
                for data in rrset.rdata() {
                    let owner = Name::from_wire(node.owner()).unwrap().to_canonical().to_string();
                    let data = print::data(rrset.rtype(), data).to_lowercase();
                    lines.insert((owner, rrset.rtype().to_string(), rrset.ttl(), data));
                }
            }
        }
        Self { lines, deleted: false }
    }

    fn text(&self) -> String {
        self.lines.iter().map(|(owner, kind, ttl, data)| format!("{owner} {ttl} {kind} {data}\n")).collect()
    }

    /// Returns the records of an owner; of all types for `ANY`.
    fn rrset<'a>(&'a self, owner: &'a str, kind: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| line.0 == owner && (line.1 == kind || kind == "ANY"))
    }

    fn has(&self, owner: &str, kind: &str) -> bool {
        self.rrset(owner, kind).next().is_some()
    }

    /// §3.2.5.
    fn check_prerequisites(&self, prerequisites: &[Line], verbs: &[&str]) -> Result<(), Rcode> {
        let mut temp: BTreeSet<(String, String, String)> = BTreeSet::new();
        for ((owner, kind, _, data), verb) in prerequisites.iter().zip(verbs) {
            match *verb {
                "exists" if !self.has(owner, "ANY") => return Err(Rcode::NAME_ERROR),
                "exists RRset" if !self.has(owner, kind) => return Err(Rcode::NX_RRSET),
                "absent" if self.has(owner, "ANY") => return Err(Rcode::YX_DOMAIN),
                "absent RRset" if self.has(owner, kind) => return Err(Rcode::YX_RRSET),
                "has" => {
                    temp.insert((owner.clone(), kind.clone(), data.clone()));
                }
                _ => {}
            }
        }
        for (owner, kind, _) in &temp {
            let required: BTreeSet<_> = temp.iter().filter(|t| (&t.0, &t.1) == (owner, kind)).map(|t| &t.2).collect();
            if self.rrset(owner, kind).map(|line| &line.3).collect::<BTreeSet<_>>() != required {
                return Err(Rcode::NX_RRSET);
            }
        }
        Ok(())
    }

    /// §3.4.2.7, one iteration of the loop.
    fn apply_record(&mut self, verb: &str, line: Line, first: &Self) {
        const APEX: &str = "example.org.";
        let (owner, kind, ttl, data) = &line;
        let (owner, kind) = (owner.as_str(), kind.as_str());
        match verb {
            "add" => {
                // RFC 4034 §2.5: DNSSEC records at a CNAME do not count.
                let is_other = |line: &&Line| !matches!(&*line.1, "CNAME" | "NSEC" | "RRSIG");
                if kind == "CNAME" {
                    if self.rrset(owner, "ANY").any(|line| is_other(&line)) {
                        return;
                    }
                } else if self.has(owner, "CNAME") && is_other(&&line) {
                    return;
                }
                if kind == "SOA" {
                    if owner != APEX {
                        return;
                    }
                    // Deviation: a missing zone is created.
                    self.deleted = false;
                    let serial = |data: &str| data.split(' ').nth(2).unwrap().parse::<u32>().unwrap();
                    // Deviation: the serial must also be newer than before the update.
                    let old = |zone: &Self| zone.rrset(owner, "SOA").next().map(|line| serial(&line.3));
                    let distance = |old: u32| serial(data).wrapping_sub(old);
                    let older = |old: u32| distance(old) == 0 || distance(old) >= 0x8000_0000;
                    if old(self).is_some_and(older) || old(first).is_some_and(older) {
                        return;
                    }
                }
                let replaced = |other: &Line| match kind {
                    "CNAME" | "SOA" | "DNAME" => true,
                    // `\# 5` and ten digits.
                    "WKS" => other.3[5..15] == data[5..15],
                    _ => other.3 == *data,
                };
                self.lines.retain(|other| !(other.0 == owner && other.1 == kind && replaced(other)));
                self.lines.insert((owner.into(), kind.into(), *ttl, data.clone()));
                // RFC 2181 §5.2; signatures have the TTL of the RRset they cover (RFC 4034 §3).
                let covered = |data: &str| (kind == "RRSIG").then(|| data.split(' ').next().map(str::to_string));
                let is_same = |other: &&Line| covered(&other.3) == covered(data);
                let others: Vec<Line> = self.rrset(owner, kind).filter(is_same).cloned().collect();
                for other in others {
                    self.lines.remove(&other);
                    self.lines.insert((other.0, other.1, *ttl, other.3));
                }
            }
            "delete name" => {
                self.lines.retain(|line| line.0 != owner || owner == APEX && matches!(&*line.1, "SOA" | "NS"));
            }
            "delete RRset" => match (owner, kind) {
                (APEX, "SOA") => self.deleted = true,
                (APEX, "NS") => {}
                _ => self.lines.retain(|line| !(line.0 == owner && line.1 == kind)),
            },
            _ => {
                if (owner, kind) == (APEX, "SOA") {
                    let matches = self.rrset(owner, kind).any(|line| line.3 == *data);
                    self.deleted |= matches;
                } else if (owner, kind) != (APEX, "NS") || self.rrset(owner, kind).count() > 1 {
                    self.lines.retain(|line| !(line.0 == owner && line.1 == kind && line.3 == *data));
                }
            }
        }
    }
}

/// Returns a record in the model's form.
fn line(&(_, owner, ttl, text): &RecordSpec) -> Line {
    let (kind, rest) = text.split_once(' ').unwrap();
    let rtype = Type::from_text(kind.as_bytes()).unwrap();
    let data = print::data(rtype, &data(rtype, rest)).to_lowercase();
    (name(owner).to_canonical().to_string(), rtype.to_string(), ttl, data)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn matches_the_model(
        there in proptest::option::weighted(0.9, proptest::collection::vec(any_operation(), 0..16)),
        prerequisites in proptest::collection::vec(any_prerequisite(), 0..2),
        operations in proptest::collection::vec(any_operation(), 0..8),
        new_zone in any::<bool>(),
        scope in prop::sample::select(vec![Scope::Records, Scope::Zones]),
    ) {
        let zone = there.map(|records| zone_of(&records));
        let mut operations = operations;
        if zone.is_none() && new_zone {
            operations.splice(0..0, [("add", "@", 60, SOAS[0]), ("add", "@", 60, "NS x.")]);
        }
        let all = [lines(&prerequisites), lines(&operations)].concat();
        let update = update(&all.iter().map(String::as_str).collect::<Vec<_>>());
        let effect = update.apply(zone.as_ref(), scope).map_err(|refusal| refusal.rcode);

        let mut model = zone.as_ref().map_or_else(Model::default, Model::of);
        let before = model.clone();
        let adds_soa = operations.iter().any(|o| (o.0, o.1) == ("add", "@") && o.3.starts_with("SOA"));
        if zone.is_none() && (!adds_soa || scope == Scope::Records) {
            prop_assert_eq!(effect, Err(Rcode::NOT_AUTHORITATIVE));
            return Ok(());
        }
        let verbs: Vec<_> = prerequisites.iter().map(|record| record.0).collect();
        if let Err(rcode) = model.check_prerequisites(&prerequisites.iter().map(line).collect::<Vec<_>>(), &verbs) {
            prop_assert_eq!(effect, Err(rcode));
            return Ok(());
        }
        for operation in &operations {
            model.apply_record(operation.0, line(operation), &before);
        }
        let Some(zone) = zone else {
            if !model.has("example.org.", "SOA") {
                prop_assert_eq!(effect, Err(Rcode::NOT_AUTHORITATIVE));
            } else {
                match (readable(&model.text()), effect) {
                    (None, effect) => prop_assert_eq!(effect, Err(Rcode::REFUSED)),
                    (Some(expected), Ok(Effect::Created(amendments))) => {
                        let created = Zone::of(apex(), &amendments).unwrap();
                        prop_assert!(difference(&created, &expected).is_empty(), "{:?}", records_of(&created));
                    }
                    (_, other) => prop_assert!(false, "{:?}", other),
                }
            }
            return Ok(());
        };
        if model.deleted && !adds_soa && scope == Scope::Zones {
            prop_assert_eq!(effect, Ok(Effect::Deleted));
        } else if model.lines == before.lines {
            prop_assert_eq!(effect, Ok(Effect::Unchanged));
        } else {
            match (readable(&model.text()), effect) {
                (None, effect) => prop_assert_eq!(effect, Err(Rcode::REFUSED)),
                (Some(expected), Ok(Effect::Amended(amendments))) => {
                    let amended = zone.amend(&amendments).unwrap();
                    let difference = difference(&expected, &amended);
                    let only_soa = difference.changes.iter().all(|change| change.rtype == Type::SOA);
                    let raised = only_soa && (expected.serial().0, amended.serial().0) == (7, 8);
                    prop_assert!(difference.is_empty() || raised, "{:?} {:?}", difference, records_of(&amended));
                    prop_assert!(amended.serial().is_newer_than(zone.serial()));
                    prop_assert_eq!(&crate::zone::difference(&zone, &amended).amendments(&amended), &amendments);
                }
                (_, other) => prop_assert!(false, "{:?}", other),
            }
        }
    }

    /// Any octets are parsed or refused, and applying a parsed update yields a valid zone.
    #[test]
    fn any_octets_never_panic(
        octets in proptest::collection::vec(any::<u8>(), 0..80),
        prerequisites in proptest::collection::vec(any_prerequisite(), 0..2),
        operations in proptest::collection::vec(any_operation(), 0..4),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let _ = Update::parse(&octets);
        let encode = |records: &[RecordSpec]| lines(records).iter().map(|line| super::encode(line)).collect::<Vec<_>>();
        let mut message = of_example(&encode(&prerequisites), &encode(&operations));
        for (at, octet) in changes {
            let at = at.index(message.len());
            message[at] = octet;
        }
        message.extend(&octets[..octets.len() / 8]);
        match Update::parse(&message) {
            Ok(update) => {
                let _ = update.apply(None, Scope::Zones);
                let zone = zone("www A 192.0.2.1\nd DNAME x.\nsub NS ns.sub\nns.sub A 192.0.2.2\n");
                if *update.zone() == apex() && let Ok(Effect::Amended(amendments)) = update.apply(Some(&zone), Scope::Zones) {
                    let amended = zone.amend(&amendments).unwrap();
                    let again = readable(&text(&amended));
                    prop_assert!(again.is_some_and(|again| difference(&amended, &again).is_empty()));
                }
            }
            Err(refusal) => prop_assert!(refusal.reason.len() <= MAX_REASON && refusal.reason.is_ascii()),
        }
    }
}
