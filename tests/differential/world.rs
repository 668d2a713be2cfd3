//! Random zones that are valid and odd: cuts, wildcards, aliases, hidden names, and what they do to each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use zonule_harness::Peer;

use crate::name::{Name, Random};
use crate::sign::Signing;

/// A record as it stands in the file.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) owner: Name,
    pub(crate) ttl: u32,
    pub(crate) rtype: &'static str,
    pub(crate) data: String,
}

/// A zone, as records and as the text of its file.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    pub(crate) apex: Name,
    pub(crate) records: Vec<Record>,
    pub(crate) text: String,
    /// The DS records of its keys, if it is signed.
    pub(crate) anchor: String,
    /// Who takes such a zone.
    pub(crate) peers: Vec<Peer>,
}

/// All zones served at a time.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) zones: Vec<Zone>,
    /// How the zones are signed, if they are; [`Zone::records`] are those before that.
    pub(crate) signing: Option<Signing>,
    types: BTreeMap<Name, BTreeSet<&'static str>>,
    owners: BTreeSet<Name>,
}

/// Labels names are made of; few, so that names meet.
const LABELS: &[&[u8]] = &[
    b"a",
    b"b",
    b"c",
    b"d",
    b"www",
    b"mail",
    b"x",
    b"y",
    b"z",
    b"_sip",
    b"_tcp",
    b"e-f",
    b"a b",
    b"dot.ted",
    b"\0",
    b"\xff",
    &[b'l'; 63],
];

/// Types with data that names nobody, one or two examples each.
const PLAIN: &[(&str, &[&str])] = &[
    ("A", &["192.0.2.1", "192.0.2.2", "198.51.100.255"]),
    ("AAAA", &["2001:db8::1", "::", "2001:db8:ffff::1"]),
    ("TXT", &["\"one\"", "\"two\" \"strings\"", "\"\\000\\255\\\"\"", "\"\""]),
    ("HINFO", &["\"PDP-11\" \"UNIX\""]),
    ("CAA", &["0 issue \"ca.example\"", "128 iodef \"mailto:a@example.org\""]),
    ("TLSA", &["3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"]),
    ("SSHFP", &["4 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"]),
    ("SPF", &["\"v=spf1 -all\""]),
    ("URI", &["10 1 \"https://www.example.org/\""]),
    ("CERT", &["1 0 0 AQIDBAUGBwg="]),
    ("EUI48", &["00-00-5e-00-53-2a"]),
    ("EUI64", &["00-00-5e-ef-10-00-00-2a"]),
    ("NID", &["10 0014:4fff:ff20:ee64"]),
    ("L32", &["10 10.1.2.0"]),
    ("L64", &["10 2001:0db8:1140:1000"]),
    ("TYPE19", &["\\# 13 0c333131303631373030393536"]),
    ("OPENPGPKEY", &["AQIDBAUGBwg="]),
    ("SMIMEA", &["3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"]),
    ("TYPE65280", &["\\# 3 abcdef", "\\# 1 00"]),
];

/// Types whose data ends in the name of a host, and what stands before it.
const NAMING: &[(&str, &[&str])] = &[
    ("MX", &["10", "20", "0"]),
    ("SRV", &["1 1 5060", "2 0 443"]),
    ("NAPTR", &["10 10 \"S\" \"SIP+D2U\" \"\"", "10 20 \"A\" \"\" \"\""]),
    ("SVCB", &["1", "2", "0"]),
    ("HTTPS", &["1", "0"]),
    ("AFSDB", &["1"]),
    ("KX", &["10"]),
    ("RT", &["10"]),
    ("LP", &["10"]),
    ("PTR", &[""]),
];

const TTLS: &[u32] = &[0, 1, 60, 300, 3600, 86_400, 604_800, 2_147_483_647];

impl World {
    /// Zones beside, below and above each other, all of them good for all peers.
    pub(crate) fn random(seed: u64) -> World {
        let mut random = Random::new(seed);
        let apexes = ["alpha.test", "sub.alpha.test", "orphan.alpha.test", "low.deep.alpha.test", "beta.test"];
        let mut world = World::empty(seed);
        world.fill(&mut random, &apexes.map(Name::of), &Peer::ALL, Kinds::Usual);
        world.fill(&mut random, &[Name::of("moved.test")], &Peer::ALL, Kinds::ApexDname);
        world
    }

    /// The root with a few zones below it.
    pub(crate) fn with_root(seed: u64) -> World {
        let mut world = World::empty(seed);
        let apexes = [".", "alpha.test", "sub.alpha.test"].map(Name::of);
        world.fill(&mut Random::new(seed), &apexes, &Peer::ALL, Kinds::Usual);
        world
    }

    /// Zones whose meaning is open, and that some do not take: DNAME records and delegations of wildcards (BIND refuses
    /// the latter).
    pub(crate) fn disputed(seed: u64) -> World {
        let mut world = World::empty(seed);
        let random = &mut Random::new(seed);
        world.fill(random, &[Name::of("dname.test")], &Peer::ALL, Kinds::WildcardDnames);
        world.fill(random, &[Name::of("wild.test")], &[Peer::Nsd, Peer::Knot], Kinds::WildcardCuts);
        world
    }

    fn empty(seed: u64) -> World {
        World { seed, zones: Vec::new(), signing: None, types: BTreeMap::new(), owners: BTreeSet::new() }
    }

    /// The zone a name belongs to.
    pub(crate) fn zone_of(&self, name: &Name) -> Option<&Zone> {
        name.ancestors().find_map(|name| self.zones.iter().find(|zone| zone.apex == name))
    }

    /// The zone with just this name.
    pub(crate) fn zone(&self, apex: &Name) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.apex == *apex)
    }

    /// Names that own records in any zone.
    pub(crate) fn owners(&self) -> &BTreeSet<Name> {
        &self.owners
    }

    fn fill(&mut self, random: &mut Random, apexes: &[Name], peers: &[Peer], kinds: Kinds) {
        let mut drafts: Vec<Draft> = apexes.iter().map(|apex| Draft::random(random, apex, apexes, kinds)).collect();
        // NSD keeps all zones in one tree and refuses what it takes for a name below a DNAME of the same zone.
        let dnames: Vec<Name> = drafts.iter().flat_map(|draft| draft.of(Kind::Dname).cloned()).collect();
        for draft in &mut drafts {
            draft.nodes.retain(|name, _| !dnames.iter().any(|dname| name.is_below(dname)));
        }
        // Targets may lie in any zone: all names must be known before.
        let everywhere = drafts.iter().flat_map(|draft| draft.nodes.keys()).chain(&self.owners);
        let everywhere: Vec<Name> = everywhere.cloned().collect();
        for draft in &mut drafts {
            let records = draft.records(random, &everywhere);
            for record in &records {
                self.owners.insert(record.owner.clone());
                self.types.entry(record.owner.clone()).or_default().insert(record.rtype);
            }
            let text = text(random, &records);
            self.zones.push(Zone {
                apex: draft.apex.clone(),
                records,
                text,
                anchor: String::new(),
                peers: peers.to_vec(),
            });
        }
    }
}

impl Record {
    /// The name that ends the data.
    pub(crate) fn target(&self) -> Name {
        Name::from_text(self.data.rsplit(' ').next().unwrap_or_default())
    }
}

impl Zone {
    /// The name of the zone's file in the repository.
    pub(crate) fn file_name(&self) -> String {
        if self.apex.is_root() { "root".to_owned() } else { self.apex.to_string().trim_end_matches('.').to_owned() }
    }

    /// Records of a name.
    pub(crate) fn at<'z>(&'z self, name: &'z Name) -> impl Iterator<Item = &'z Record> {
        self.records.iter().filter(move |record| record.owner == *name)
    }

    /// Whether a name has records of a type.
    pub(crate) fn has(&self, name: &Name, rtype: &str) -> bool {
        self.at(name).any(|record| record.rtype == rtype)
    }

    /// Whether a name exists, with records or only through names below it.
    pub(crate) fn exists(&self, name: &Name) -> bool {
        self.records.iter().any(|record| record.owner.is_at_or_below(name))
    }

    /// The topmost cut at or above a name.
    pub(crate) fn cut(&self, name: &Name) -> Option<Name> {
        let within = name.ancestors().filter(|above| above.is_below(&self.apex));
        within.filter(|above| self.has(above, "NS")).last()
    }
}

/// What may stand in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kinds {
    Usual,
    /// Nothing but the apex, which has a DNAME record.
    ApexDname,
    /// DNAME records of wildcards.
    WildcardDnames,
    /// Delegations of wildcards.
    WildcardCuts,
}

/// What a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Apex,
    Data,
    /// An RRset that fits no datagram.
    Large,
    Alias,
    Dname,
    Cut,
    /// A cut with many servers.
    WideCut,
    /// The address of a server of a cut.
    Glue,
}

/// A zone whose names are chosen, but not yet their data.
struct Draft {
    apex: Name,
    nodes: BTreeMap<Name, Kind>,
    kinds: Kinds,
}

impl Draft {
    fn random(random: &mut Random, apex: &Name, apexes: &[Name], kinds: Kinds) -> Draft {
        let mut draft = Draft { apex: apex.clone(), nodes: BTreeMap::from([(apex.clone(), Kind::Apex)]), kinds };
        let children: Vec<&Name> = apexes.iter().filter(|other| other.is_below(apex)).collect();
        for child in children {
            // `orphan` is served without being delegated; what is below another child is that one's matter.
            let between = apexes.iter().any(|other| other.is_below(apex) && child.is_below(other));
            if child.label() != b"orphan" && !between {
                let cut =
                    if child.label() == b"low" { child.parent().unwrap_or_else(Name::root) } else { child.clone() };
                draft.add(random, cut, Kind::Cut);
            }
        }
        if kinds == Kinds::ApexDname {
            return draft;
        }
        draft.nodes.insert(apex.child(b"ns1"), Kind::Glue);
        for _ in 0..35 + random.below(30) {
            let name = draft.name(random);
            let kind = match random.below(100) {
                0..50 => Kind::Data,
                50..54 => Kind::Large,
                54..74 => Kind::Alias,
                74..82 => Kind::Dname,
                82..96 => Kind::Cut,
                96..98 => Kind::WideCut,
                _ => Kind::Glue,
            };
            let wild = match random.below(100) {
                0..15 => name.child(b"*"),
                // An empty wildcard, and a name below one.
                15..20 => name.child(b"*").child(b"a"),
                _ => name,
            };
            draft.add(random, wild, kind);
        }
        if kinds == Kinds::WildcardDnames {
            draft.add(random, apex.child(b"r").child(b"*"), Kind::Dname);
        }
        if kinds == Kinds::WildcardCuts {
            for label in [b"p", b"q"] {
                draft.add(random, apex.child(label).child(b"*"), Kind::Cut);
            }
        }
        draft
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Name> {
        self.nodes.iter().filter(move |(_, other)| **other == kind).map(|(name, _)| name)
    }

    /// A name in the zone, often below one that is there.
    fn name(&self, random: &mut Random) -> Name {
        let nodes: Vec<&Name> = self.nodes.keys().collect();
        let mut name = if random.chance(60) { self.apex.clone() } else { random.pick(&nodes).clone() };
        let labels = if random.chance(2) { 4 } else { 1 + random.below(2) };
        for _ in 0..labels {
            let label = random.pick(LABELS);
            // The longest is for a few.
            name = if label.len() < 60 || random.chance(30) { name.child(label) } else { name.child(b"a") };
        }
        name
    }

    /// Adds a name unless it would make the zone one that nobody takes.
    fn add(&mut self, random: &mut Random, name: Name, kind: Kind) {
        let undefined = name.label() == b"*"
            && match kind {
                Kind::Cut | Kind::WideCut => self.kinds != Kinds::WildcardCuts,
                Kind::Dname => self.kinds != Kinds::WildcardDnames,
                _ => false,
            };
        let below_dname = name.ancestors().skip(1).any(|above| self.nodes.get(&above) == Some(&Kind::Dname));
        let above_names = kind == Kind::Dname && self.nodes.keys().any(|other| other.is_below(&name));
        if self.nodes.contains_key(&name) || below_dname || above_names || undefined {
            return;
        }
        if kind == Kind::Cut && random.chance(70) {
            self.nodes.insert(name.child(b"ns1"), Kind::Glue);
        }
        if kind == Kind::WideCut {
            for number in 0..14 {
                self.nodes.insert(name.child(format!("ns{number}").as_bytes()), Kind::Glue);
            }
        }
        self.nodes.insert(name, kind);
    }

    fn records(&self, random: &mut Random, everywhere: &[Name]) -> Vec<Record> {
        let mut records = Vec::new();
        for (owner, kind) in &self.nodes {
            let mut add = |rtype: &'static str, ttl: u32, data: Vec<String>| {
                let data: BTreeSet<String> = data.into_iter().collect();
                records.extend(data.into_iter().map(|data| Record { owner: owner.clone(), ttl, rtype, data }));
            };
            let ttl = random.pick(TTLS);
            match kind {
                Kind::Apex => {
                    let (minimum, apex) = (random.pick(TTLS), &self.apex);
                    let hosts = format!("{} {}", apex.child(b"ns1"), apex.child(b"hostmaster"));
                    add("SOA", ttl, vec![format!("{hosts} 1 7200 900 1209600 {minimum}")]);
                    // BIND refuses a zone some of whose own servers have no address.
                    let mut servers = Vec::new();
                    if !self.apex.is_root() {
                        servers.push("ns.elsewhere.example.".to_owned());
                    }
                    if self.kinds != Kinds::ApexDname {
                        servers.push(self.apex.child(b"ns1").to_string());
                    }
                    add("NS", random.pick(TTLS), servers);
                    if self.kinds == Kinds::ApexDname {
                        add("DNAME", random.pick(TTLS), vec![everywhere[random.below(everywhere.len())].to_string()]);
                    }
                    self.data(random, everywhere, &mut add);
                }
                Kind::Data => self.data(random, everywhere, &mut add),
                Kind::Glue => {
                    let octet = random.below(250);
                    if random.chance(85) || owner.parent().as_ref() == Some(&self.apex) {
                        add("A", ttl, vec![format!("192.0.2.{octet}"), format!("203.0.113.{octet}")]);
                    }
                    if random.chance(60) {
                        add("AAAA", random.pick(TTLS), vec![format!("2001:db8::{octet}")]);
                    }
                }
                Kind::Large => match random.below(4) {
                    0 => add("TXT", ttl, (0..25).map(|n| format!("\"{n} {}\"", "-".repeat(60))).collect()),
                    1 => add("A", ttl, (0..90).map(|n| format!("198.51.100.{n}")).collect()),
                    2 => {
                        let targets = (0..30).map(|n| format!("{n} {}", self.target(random, everywhere)));
                        add("MX", ttl, targets.collect());
                    }
                    _ => {
                        add(
                            "TYPE65280",
                            ttl,
                            (0..7).map(|n| format!("\\# 200 {}", format!("{n:02x}").repeat(200))).collect(),
                        );
                    }
                },
                Kind::Alias => add("CNAME", ttl, vec![self.alias(random, everywhere).to_string()]),
                Kind::Dname => {
                    add("DNAME", ttl, vec![self.alias(random, everywhere).to_string()]);
                    if random.chance(50) {
                        add("TXT", random.pick(TTLS), vec!["\"beside a DNAME\"".to_owned()]);
                    }
                }
                Kind::Cut => {
                    let mut servers = Vec::new();
                    if self.nodes.contains_key(&owner.child(b"ns1")) {
                        servers.push(owner.child(b"ns1"));
                    }
                    if random.chance(40) {
                        let glue: Vec<&Name> = self.of(Kind::Glue).collect();
                        if !glue.is_empty() {
                            servers.push(random.pick(&glue).clone());
                        }
                    }
                    // One with more addresses than a reply holds.
                    if random.chance(10) {
                        servers.extend(self.of(Kind::Large).next().cloned());
                    }
                    if servers.is_empty() || random.chance(30) {
                        servers.push(self.target(random, everywhere));
                    }
                    add("NS", ttl, servers.iter().map(Name::to_string).collect());
                    if random.chance(50) {
                        add("DS", random.pick(TTLS), vec![format!("4711 13 2 {}", "0123456789abcdef".repeat(4))]);
                    }
                    if random.chance(15) {
                        add("TXT", random.pick(TTLS), vec!["\"hidden at the cut\"".to_owned()]);
                    }
                }
                Kind::WideCut => {
                    add("NS", ttl, (0..14).map(|n| owner.child(format!("ns{n}").as_bytes()).to_string()).collect());
                }
            }
        }
        records
    }

    /// Up to four RRsets for one name.
    fn data(&self, random: &mut Random, everywhere: &[Name], add: &mut impl FnMut(&'static str, u32, Vec<String>)) {
        let mut used = BTreeSet::new();
        for _ in 0..1 + random.below(4) {
            let naming = random.chance(45);
            let (rtype, examples) = if naming { random.pick(NAMING) } else { random.pick(PLAIN) };
            if !used.insert(rtype) {
                continue;
            }
            let count = 1 + random.below(examples.len());
            let data = examples[..count].iter().map(|example| {
                if !naming {
                    return (*example).to_owned();
                }
                let target = self.target(random, everywhere);
                // "." means something special in MX, SRV and SVCB.
                let target = if random.chance(5) { Name::root() } else { target };
                let target = random.case(&target.to_string());
                let parameters = match (rtype, *example) {
                    ("SVCB" | "HTTPS", "1") => " alpn=h2 ipv4hint=192.0.2.7",
                    ("SVCB" | "HTTPS", "2") => " port=8443",
                    _ => "",
                };
                format!("{example} {target}{parameters}")
            });
            let data = data.collect();
            add(rtype, random.pick(TTLS), data);
        }
    }

    /// A name for an alias to lead to, now and then below a cut.
    fn alias(&self, random: &mut Random, everywhere: &[Name]) -> Name {
        let cuts: Vec<&Name> = self.of(Kind::Cut).collect();
        if cuts.is_empty() || !random.chance(20) {
            return self.target(random, everywhere);
        }
        random.pick(&cuts).child(b"a")
    }

    /// A name for data to point at: there or not, here or elsewhere.
    fn target(&self, random: &mut Random, everywhere: &[Name]) -> Name {
        let nodes: Vec<&Name> = self.nodes.keys().collect();
        match random.below(100) {
            0..40 => random.pick(&nodes).clone(),
            40..55 => random.pick(&nodes).child(random.pick(LABELS)),
            55..65 => self.name(random),
            65..80 => everywhere[random.below(everywhere.len())].clone(),
            80..90 => everywhere[random.below(everywhere.len())].child(b"a"),
            90..95 => Name::of("www.elsewhere.example"),
            _ => self.apex.clone(),
        }
    }
}

/// The text of a zone's file: SOA first, everything else in random order and letter case.
fn text(random: &mut Random, records: &[Record]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for Record { owner, ttl, rtype, data } in records {
        let owner = if random.chance(20) { random.case(&owner.to_string()) } else { owner.to_string() };
        lines.push(format!("{owner} {ttl} IN {rtype} {data}"));
    }
    for at in (2..lines.len()).rev() {
        lines.swap(at, 1 + random.below(at));
    }
    let soa = lines.iter().position(|line| line.contains(" IN SOA ")).unwrap_or(0);
    lines.swap(0, soa);
    lines.iter().fold(String::new(), |mut text, line| {
        writeln!(text, "{line}").expect("a String accepts all");
        text
    })
}
