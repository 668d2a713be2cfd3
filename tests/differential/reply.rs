//! Replies as all servers' are read: by hickory-proto, into sets of records.

use std::collections::BTreeMap;
use std::fmt;

use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

use crate::name::Name;
use crate::question::type_name;

/// The sections that hold records.
pub(crate) const SECTIONS: [&str; 3] = ["answer", "authority", "additional"];
pub(crate) const ANSWER: usize = 0;
pub(crate) const AUTHORITY: usize = 1;
pub(crate) const ADDITIONAL: usize = 2;

/// What the records of a set have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) owner: Name,
    pub(crate) rtype: u16,
}

/// Records with the same owner and type: each one's data, uncompressed and in canonical letter case
/// (RFC 4034 §6.2), and TTL.
pub(crate) type Set = BTreeMap<Vec<u8>, u32>;

/// A reply, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) len: usize,
    /// The two octets of flags without the response code, as they came.
    pub(crate) flags: u16,
    pub(crate) rcode: u16,
    /// The question section as it came.
    pub(crate) question: Vec<u8>,
    pub(crate) edns: Option<Edns>,
    pub(crate) sections: [BTreeMap<Key, Set>; 3],
    /// The answer's sets in the order of their first records.
    pub(crate) order: Vec<Key>,
    /// A record stands in a section twice.
    pub(crate) doubled: bool,
}

/// What a reply's OPT record says; its options are informational and not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edns {
    pub(crate) version: u8,
    pub(crate) payload: u16,
    pub(crate) dnssec_ok: bool,
}

/// The header's flags (RFC 1035 §4.1.1, RFC 4035 §3.1.6).
pub(crate) const FLAGS: [(&str, u16); 8] = [
    ("qr", 0x8000),
    ("aa", 0x0400),
    ("tc", 0x0200),
    ("rd", 0x0100),
    ("ra", 0x0080),
    ("z", 0x0040),
    ("ad", 0x0020),
    ("cd", 0x0010),
];

/// Types with names in their data that the reader leaves as octets, or in the letter case they came in.
const FOLDED: [u16; 9] = [18, 21, 36, 39, 47, 64, 65, 107, 17];

impl Reply {
    /// Reads a reply to a query with `question` octets of question.
    pub(crate) fn read(octets: &[u8], question: usize) -> Result<Reply, String> {
        let message = Message::from_vec(octets).map_err(|error| error.to_string())?;
        let flags = u16::from_be_bytes([octets[2], octets[3] & 0xf0]);
        let end = if octets[4..6] == [0, 0] { 12 } else { 12 + question };
        let edns = message.edns.as_ref().map(|edns| Edns {
            version: edns.version(),
            payload: edns.max_payload(),
            dnssec_ok: edns.flags().dnssec_ok,
        });
        let mut reply = Reply {
            len: octets.len(),
            flags,
            rcode: message.metadata.response_code.into(),
            question: octets.get(12..end).ok_or("the question is cut off")?.to_vec(),
            edns,
            sections: Default::default(),
            order: Vec::new(),
            doubled: false,
        };
        for (at, records) in [&message.answers, &message.authorities, &message.additionals].into_iter().enumerate() {
            for record in records {
                let owner = record.name.to_bytes().map_err(|error| error.to_string())?;
                let key = Key { owner: Name::from_wire(&owner), rtype: record.record_type().into() };
                if at == ANSWER && !reply.order.contains(&key) {
                    reply.order.push(key.clone());
                }
                let data = canonical(&record.data, key.rtype).map_err(|error| error.to_string())?;
                let before = reply.sections[at].entry(key).or_default().insert(data, record.ttl);
                reply.doubled |= before.is_some();
            }
        }
        Ok(reply)
    }

    pub(crate) fn has(&self, flag: &str) -> bool {
        FLAGS.iter().any(|(name, bit)| *name == flag && self.flags & bit != 0)
    }

    /// The name an alias of the answer section leads to.
    pub(crate) fn alias(&self, owner: &Name) -> Option<Name> {
        let key = Key { owner: owner.clone(), rtype: 5 };
        self.sections[ANSWER].get(&key).and_then(|set| set.keys().next()).map(|data| Name::from_wire(data))
    }

    /// The names the answer passes: the question's and each that an alias leads to, without repetition.
    pub(crate) fn chain(&self, question: &Name) -> Vec<Name> {
        let mut chain = vec![question.clone()];
        while let Some(next) = self.alias(&chain[chain.len() - 1]) {
            if chain.contains(&next) {
                break;
            }
            chain.push(next);
        }
        chain
    }

    /// The names a section's records lead to by their data.
    pub(crate) fn targets(&self, section: usize) -> impl Iterator<Item = Name> {
        self.sections[section].iter().flat_map(|(key, set)| set.keys().filter_map(|data| target(key.rtype, data)))
    }
}

/// The host that a record's data names.
pub(crate) fn target(rtype: u16, data: &[u8]) -> Option<Name> {
    let at = match rtype {
        2 | 5 | 12 | 39 => 0,
        15 | 18 | 21 | 36 | 64 | 65 | 107 => 2,
        33 => 6,
        35 => {
            let mut at = 4;
            for _ in 0..3 {
                at += 1 + usize::from(*data.get(at)?);
            }
            at
        }
        _ => return None,
    };
    let mut end = at;
    while let len @ 1.. = usize::from(*data.get(end)?) {
        end += len + 1;
    }
    Some(Name::from_wire(data.get(at..=end)?))
}

fn canonical(data: &RData, rtype: u16) -> Result<Vec<u8>, hickory_proto::ProtoError> {
    let mut octets = Vec::new();
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_canonical_form(true);
    data.emit(&mut encoder)?;
    if FOLDED.contains(&rtype) {
        octets.make_ascii_lowercase();
    }
    Ok(octets)
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags: Vec<&str> = FLAGS.iter().filter(|(_, bit)| self.flags & bit != 0).map(|(name, _)| *name).collect();
        writeln!(f, "rcode {} flags {} octets {} {:?}", self.rcode, flags.join(" "), self.len, self.edns)?;
        for (name, section) in SECTIONS.iter().zip(&self.sections) {
            for (key, set) in section {
                for (data, ttl) in set.iter().take(6) {
                    let shown = match target(key.rtype, data) {
                        Some(target) => format!("-> {target}"),
                        None => data.iter().take(24).map(|octet| format!("{octet:02x}")).collect(),
                    };
                    writeln!(f, "{name}: {} {ttl} {} {shown}", key.owner, type_name(key.rtype))?;
                }
                if set.len() > 6 {
                    writeln!(f, "{name}: … {} in all", set.len())?;
                }
            }
        }
        Ok(())
    }
}
