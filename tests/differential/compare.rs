//! Two replies to one question, put side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use zonule_harness::Peer;

use crate::name::Name;
use crate::question::{Question, type_name};
use crate::reply::{ADDITIONAL, ANSWER, AUTHORITY, FLAGS, Key, Reply, SECTIONS, Set};
use crate::rules::{RRSIG, RULES};
use crate::world::World;

/// A question with our reply and a peer's.
pub(crate) struct Case<'c> {
    pub(crate) world: &'c World,
    pub(crate) question: &'c Question,
    pub(crate) peer: Peer,
    pub(crate) ours: &'c Reply,
    pub(crate) theirs: &'c Reply,
}

/// One thing in which two replies differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Difference {
    Rcode,
    Flag(&'static str),
    Question,
    Edns,
    /// They have these records, we do not.
    Missing(usize, Key),
    /// We have these records, they do not.
    Extra(usize, Key),
    /// Not the same records of a set.
    Content(usize, Key),
    Ttl(usize, Key),
}

impl Difference {
    /// The section and the records it is about.
    pub(crate) fn place(&self) -> Option<(usize, &Key)> {
        match self {
            Difference::Missing(section, key)
            | Difference::Extra(section, key)
            | Difference::Content(section, key)
            | Difference::Ttl(section, key) => Some((*section, key)),
            _ => None,
        }
    }

    fn kind(&self) -> String {
        let (word, place) = match self {
            Difference::Rcode => ("rcode", None),
            Difference::Flag(flag) => (*flag, None),
            Difference::Question => ("question", None),
            Difference::Edns => ("edns", None),
            Difference::Missing(..) => ("missing in", self.place()),
            Difference::Extra(..) => ("extra in", self.place()),
            Difference::Content(..) => ("content in", self.place()),
            Difference::Ttl(..) => ("ttl in", self.place()),
        };
        place.map_or_else(|| word.to_owned(), |(at, key)| format!("{word} {} {}", SECTIONS[at], type_name(key.rtype)))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind())?;
        self.place().map_or(Ok(()), |(_, key)| write!(f, " of {}", key.owner))
    }
}

/// All differences of a case.
pub(crate) fn differences(case: &Case<'_>) -> Vec<Difference> {
    let (ours, theirs) = (case.ours, case.theirs);
    let mut found = Vec::new();
    if ours.rcode != theirs.rcode {
        found.push(Difference::Rcode);
    }
    found.extend(
        FLAGS.iter().filter(|(_, bit)| (ours.flags ^ theirs.flags) & bit != 0).map(|(name, _)| Difference::Flag(name)),
    );
    if ours.question != theirs.question {
        found.push(Difference::Question);
    }
    if ours.edns != theirs.edns {
        found.push(Difference::Edns);
    }
    // What a truncated reply still holds is nobody's business (RFC 2181 §9).
    if ours.has("tc") || theirs.has("tc") {
        return found;
    }
    for section in [ANSWER, AUTHORITY, ADDITIONAL] {
        // Signatures over what only one of the replies has differ with it.
        let both = |owner: &Name, rtype| {
            let key = Key { owner: owner.clone(), rtype };
            ours.sections[section].contains_key(&key) && theirs.sections[section].contains_key(&key)
        };
        // Those that were asked for are compared as they are.
        let is_asked = section == ANSWER && case.question.qtype == RRSIG;
        let a = &comparable(&ours.sections[section], is_asked, &both);
        let b = &comparable(&theirs.sections[section], is_asked, &both);
        for (key, set) in a {
            match b.get(key) {
                None => found.push(Difference::Extra(section, key.clone())),
                Some(other) if !set.keys().eq(other.keys()) => found.push(Difference::Content(section, key.clone())),
                Some(other) if set != other => found.push(Difference::Ttl(section, key.clone())),
                Some(_) => {}
            }
        }
        let missing = b.keys().filter(|key| !a.contains_key(key));
        found.extend(missing.map(|key| Difference::Missing(section, key.clone())));
    }
    found
}

/// The sets of a section without the signatures over sets that not both replies have, unless they were asked for.
fn comparable(sets: &BTreeMap<Key, Set>, is_asked: bool, both: &impl Fn(&Name, u16) -> bool) -> BTreeMap<Key, Set> {
    let mut sets = sets.clone();
    if !is_asked {
        for (key, set) in sets.iter_mut().filter(|(key, _)| key.rtype == RRSIG) {
            set.retain(|data, _| both(&key.owner, u16::from_be_bytes([data[0], data[1]])));
        }
        sets.retain(|_, set| !set.is_empty());
    }
    sets
}

/// What must hold for our reply whatever others say; the fault, if there is one.
pub(crate) fn fault(question: &Question, ours: &Reply) -> Option<String> {
    if ours.len > question.limit() {
        return Some(format!("{} octets, {} are allowed", ours.len, question.limit()));
    }
    if ours.question != question.octets() {
        return Some("the question is not the one asked (RFC 1034 §3.7.1)".to_owned());
    }
    if ours.doubled {
        return Some("a record stands in a section twice (RFC 2181 §5)".to_owned());
    }
    if question.tcp && ours.has("tc") {
        return Some("truncated although it was a stream".to_owned());
    }
    // Aliases come in the order they are followed, so that a client needs to look once.
    let mut expected = BTreeSet::from([question.name.clone()]);
    for key in &ours.order {
        // A DNAME record stands above the names that it redirects.
        if key.rtype == 39 || key.rtype == 46 && ours.sections[ANSWER].contains_key(&Key { rtype: 39, ..key.clone() }) {
            continue;
        }
        if !expected.contains(&key.owner) {
            return Some(format!("{} is in the answer, but nothing before leads there", key.owner));
        }
        expected.extend(ours.alias(&key.owner));
    }
    None
}

/// What the comparison of many cases found.
#[derive(Default)]
pub(crate) struct Findings {
    /// How often each rule explained a difference to each peer, and the first question.
    explained: BTreeMap<(&'static str, Peer), (u64, String)>,
    /// Cases by the differences nobody explained, with some of them in full.
    unexplained: BTreeMap<(Peer, Vec<String>), (u64, Vec<String>)>,
    faults: Vec<String>,
    questions: u64,
    cases: u64,
}

impl Findings {
    /// Counts a question asked.
    pub(crate) fn asked(&mut self, question: &Question, ours: &Reply) {
        self.questions += 1;
        if let Some(fault) = fault(question, ours) {
            self.faults.push(format!("{question}: {fault}\n{ours}"));
        }
    }

    /// Notes something that is wrong whatever the rules say.
    pub(crate) fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    /// Compares a peer's reply with ours.
    pub(crate) fn compare(&mut self, case: &Case<'_>) {
        self.cases += 1;
        let mut left = Vec::new();
        for difference in differences(case) {
            let rule = RULES.iter().find(|rule| rule.peers.contains(&case.peer) && (rule.explains)(case, &difference));
            match rule {
                Some(rule) => {
                    let entry = self.explained.entry((rule.name, case.peer));
                    entry.or_insert_with(|| (0, case.question.to_string())).0 += 1;
                }
                None => left.push(difference),
            }
        }
        if left.is_empty() {
            return;
        }
        let mut kinds: Vec<String> = left.iter().map(Difference::kind).collect();
        kinds.sort();
        kinds.dedup();
        let (count, shown) = self.unexplained.entry((case.peer, kinds)).or_default();
        *count += 1;
        if shown.len() < 2 {
            shown.push(show(case, &left));
        }
    }

    /// Prints which rules were needed how often.
    pub(crate) fn print(&self) {
        println!("{} questions, {} replies compared", self.questions, self.cases);
        for ((rule, peer), (count, question)) in &self.explained {
            println!("{count:6} × {peer}: {rule}, first by {question}");
        }
    }

    /// Rules and peers nothing was explained with.
    pub(crate) fn unused(&self) -> Vec<String> {
        let all = RULES.iter().flat_map(|rule| rule.peers.iter().map(|peer| (rule.name, *peer)));
        all.filter(|pair| !self.explained.contains_key(pair)).map(|(rule, peer)| format!("{rule} ({peer})")).collect()
    }

    /// What is wrong, if anything is.
    pub(crate) fn wrong(&self) -> Option<String> {
        if self.unexplained.is_empty() && self.faults.is_empty() {
            return None;
        }
        let mut text = String::new();
        for fault in self.faults.iter().take(10) {
            writeln!(text, "FAULT: {fault}").expect("a String accepts all");
        }
        if self.faults.len() > 10 {
            writeln!(text, "… {} faults in all", self.faults.len()).expect("a String accepts all");
        }
        let mut groups: Vec<_> = self.unexplained.iter().collect();
        groups.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        for ((peer, kinds), (count, shown)) in groups {
            writeln!(text, "\n==== {count} × {peer}: {}\n{}", kinds.join(", "), shown.join("\n"))
                .expect("a String accepts all");
        }
        Some(text)
    }
}

/// The question, both replies side by side, and what of the zones bears on them.
fn show(case: &Case<'_>, left: &[Difference]) -> String {
    let Case { world, question, peer, ours, theirs } = case;
    let left: Vec<String> = left.iter().map(Difference::to_string).collect();
    let mut text = format!("seed {}: {question}\n  differs: {}\n", world.seed, left.join("; "));
    let (a, b) = (format!("Zonule\n{ours}"), format!("{peer}\n{theirs}"));
    let (mut a, mut b) = (a.lines(), b.lines());
    loop {
        let (one, other) = (a.next(), b.next());
        if one.is_none() && other.is_none() {
            break;
        }
        writeln!(text, "  {:<75} | {}", one.unwrap_or_default(), other.unwrap_or_default())
            .expect("a String accepts all");
    }
    let mut names: BTreeSet<Name> = question.name.ancestors().collect();
    for reply in [ours, theirs] {
        names.extend(reply.chain(&question.name).iter().flat_map(Name::ancestors));
        names.extend(reply.targets(AUTHORITY));
    }
    let wildcards: Vec<Name> = names.iter().map(|name| name.child(b"*")).collect();
    names.extend(wildcards);
    for record in
        world.zones.iter().flat_map(|zone| &zone.records).filter(|record| names.contains(&record.owner)).take(60)
    {
        let data: String = record.data.chars().take(60).collect();
        writeln!(text, "  zone: {} {} {} {data}", record.owner, record.ttl, record.rtype)
            .expect("a String accepts all");
    }
    text
}
