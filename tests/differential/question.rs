//! Questions: what is asked, how, and in which octets.

use std::fmt;

use crate::name::{Name, Random};
use crate::world::{World, Zone};

/// A question and everything else a query says.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) name: Name,
    /// The name as it is sent, letter case and all.
    spelled: Vec<u8>,
    pub(crate) qtype: u16,
    pub(crate) edns: Option<Edns>,
    pub(crate) tcp: bool,
    pub(crate) recursion_desired: bool,
    pub(crate) checking_disabled: bool,
}

/// What the OPT record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edns {
    pub(crate) payload: u16,
    pub(crate) dnssec_ok: bool,
}

/// Types by number, and their names.
pub(crate) const TYPES: &[(u16, &str)] = &[
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (12, "PTR"),
    (13, "HINFO"),
    (15, "MX"),
    (16, "TXT"),
    (18, "AFSDB"),
    (19, "TYPE19"),
    (21, "RT"),
    (28, "AAAA"),
    (33, "SRV"),
    (35, "NAPTR"),
    (36, "KX"),
    (37, "CERT"),
    (39, "DNAME"),
    (43, "DS"),
    (44, "SSHFP"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (52, "TLSA"),
    (53, "SMIMEA"),
    (61, "OPENPGPKEY"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (99, "SPF"),
    (104, "NID"),
    (105, "L32"),
    (106, "L64"),
    (107, "LP"),
    (108, "EUI48"),
    (109, "EUI64"),
    (255, "ANY"),
    (256, "URI"),
    (257, "CAA"),
    (65280, "TYPE65280"),
    (65281, "TYPE65281"),
];

/// The types asked for where they are not expected, some more often.
const INTERESTING: &[&str] = &[
    "A",
    "A",
    "AAAA",
    "NS",
    "NS",
    "CNAME",
    "CNAME",
    "SOA",
    "MX",
    "TXT",
    "DNAME",
    "DS",
    "DS",
    "ANY",
    "ANY",
    "NSEC",
    "RRSIG",
    "DNSKEY",
    "SRV",
    "HTTPS",
    "TYPE65280",
    "TYPE65281",
];

/// The name of a type.
pub(crate) fn type_name(number: u16) -> String {
    let known = TYPES.iter().find(|(other, _)| *other == number);
    known.map_or_else(|| format!("TYPE{number}"), |(_, name)| (*name).to_owned())
}

/// The number of a type of [`TYPES`].
pub(crate) fn type_number(name: &str) -> u16 {
    TYPES.iter().find(|(_, other)| *other == name).map(|(number, _)| *number).expect("a type of the table")
}

/// Questions about each name of the world, and names near to it; `effort` is how many types each is asked for.
pub(crate) fn questions(world: &World, zone: &Zone, effort: usize) -> Vec<Question> {
    let mut random = Random::new(world.seed ^ 0x5eed);
    let mut questions = Vec::new();
    for owner in world.owners().iter().filter(|owner| world.zone_of(owner).is_some_and(|home| home.apex == zone.apex)) {
        let mut types: Vec<&str> = zone.at(owner).map(|record| record.rtype).collect();
        types.dedup();
        // What one alias leads to is worth more than what it is.
        while types.len() < effort + 1 {
            types.push(random.pick(INTERESTING));
        }
        for rtype in types {
            questions.push(Question::random(&mut random, owner.clone(), type_number(rtype), world.signing.is_some()));
        }
        let mut names = near(&mut random, owner);
        if zone.has(owner, "DNAME") || random.chance(5) {
            // As long as a name can be.
            names.push((0..4).fold(owner.clone(), |name, _| name.child(&[b'q'; 61])));
        }
        for name in names {
            for _ in 0..effort.div_ceil(2) {
                let rtype = random.pick(INTERESTING);
                questions.push(Question::random(
                    &mut random,
                    name.clone(),
                    type_number(rtype),
                    world.signing.is_some(),
                ));
            }
        }
    }
    questions
}

/// Names around a name.
fn near(random: &mut Random, name: &Name) -> Vec<Name> {
    let labels: &[&[u8]] = &[b"a", b"b", b"c", b"www", b"*", b"nx", b"ns1", b"zz", b"\x01", b"low", b"sub"];
    let mut near = vec![name.child(random.pick(labels)), name.child(random.pick(labels)).child(random.pick(labels))];
    if let Some(parent) = name.parent() {
        near.push(parent.child(random.pick(labels)));
        near.push(parent);
    }
    near
}

impl Question {
    fn random(random: &mut Random, name: Name, qtype: u16, signed: bool) -> Question {
        let tcp = random.chance(25);
        let edns = random.chance(70).then(|| Edns {
            payload: random.pick(&[512, 1232, 1232, 4096]),
            dnssec_ok: random.chance(if signed { 80 } else { 40 }),
        });
        let mut spelled = name.wire().to_vec();
        if random.chance(30) {
            // Lengths of labels are below the letters.
            spelled.iter_mut().filter(|octet| octet.is_ascii_lowercase()).for_each(|octet| {
                if random.chance(50) {
                    *octet = octet.to_ascii_uppercase();
                }
            });
        }
        let (recursion_desired, checking_disabled) = (random.chance(30), random.chance(5));
        Question { name, spelled, qtype, edns, tcp, recursion_desired, checking_disabled }
    }

    /// The same question in a stream, with signatures.
    pub(crate) fn over_tcp(&self) -> Question {
        Question { tcp: true, edns: Some(Edns { payload: 1232, dnssec_ok: true }), ..self.clone() }
    }

    /// The question section.
    pub(crate) fn octets(&self) -> Vec<u8> {
        [self.spelled.as_slice(), &self.qtype.to_be_bytes(), &[0, 1]].concat()
    }

    /// The whole query.
    pub(crate) fn query(&self, id: u16) -> Vec<u8> {
        let flags = [u8::from(self.recursion_desired), u8::from(self.checking_disabled) << 4];
        let counts = [0, 1, 0, 0, 0, 0, 0, u8::from(self.edns.is_some())];
        let mut query = [&id.to_be_bytes()[..], &flags, &counts, &self.octets()].concat();
        if let Some(Edns { payload, dnssec_ok }) = self.edns {
            query.extend([0, 0, 41]);
            query.extend(payload.to_be_bytes());
            query.extend([0, 0, u8::from(dnssec_ok) << 7, 0, 0, 0]);
        }
        query
    }

    /// The most octets a reply may have.
    pub(crate) fn limit(&self) -> usize {
        match (self.tcp, self.edns) {
            (true, _) => 65_535,
            (false, None) => 512,
            (false, Some(edns)) => usize::from(edns.payload.clamp(512, 1232)),
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, type_name(self.qtype), if self.tcp { "tcp" } else { "udp" })?;
        if let Some(Edns { payload, dnssec_ok }) = self.edns {
            write!(f, " edns={payload}{}", if dnssec_ok { " do" } else { "" })?;
        }
        let flags = [(self.recursion_desired, " rd"), (self.checking_disabled, " cd")];
        flags.iter().filter(|(set, _)| *set).try_for_each(|(_, flag)| f.write_str(flag))
    }
}
