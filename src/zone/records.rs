//! Building a zone from records.
//!
//! The records are gathered in one buffer, sorted by name in canonical order, type and data, and built into nodes and
//! trie from left to right; nothing is searched and nothing copied twice. Sorting by data too makes a zone's form
//! independent of the order they came in, so that two versions can be compared octet by octet.

use std::cmp::Ordering;

use super::check;
use super::key::Key;
use super::node::NodeBuilder;
use super::trie::Builder;
use super::zone::Zone;
use crate::dns::diagnostic::Report;
use crate::dns::{Name, Type, data_cmp, name};

/// A collected record: the place of its name and data in the buffer, and its sort key.
pub(crate) struct Gathered {
    /// The first symbols of the name below the apex, which decide nearly every comparison.
    order: u128,
    owner: u32,
    data: u32,
    /// The place reported in findings about the record.
    pub(crate) place: u32,
    pub(crate) ttl: u32,
    data_len: u16,
    pub(crate) rtype: Type,
    owner_len: u8,
}

/// The outcome of adding a record.
pub(crate) enum Added {
    /// It was added.
    Yes,
    /// It was left out: its owner is not in the zone.
    OutOfZone,
    /// The size limit was reached.
    Full,
}

/// The place of the last owner, which the next record may share.
pub(crate) struct Owners {
    apex: Name,
    key: Key,
    apex_len: usize,
    /// The place in the buffer, the length, and the first symbols of the name.
    last: Option<(u32, u8, u128)>,
}

impl Owners {
    /// Begins with a zone's name.
    pub(crate) fn new(apex: &Name) -> Self {
        let key = Key::new(apex.as_wire());
        Self { apex: apex.clone(), apex_len: key.len(), key, last: None }
    }
}

/// All records of a file and the octets of their names and data.
#[derive(Default)]
pub(crate) struct Records {
    octets: Vec<u8>,
    list: Vec<Gathered>,
}

impl Records {
    /// Returns a record's owner name in wire form.
    pub(crate) fn owner(&self, record: &Gathered) -> &[u8] {
        &self.octets[record.owner as usize..][..usize::from(record.owner_len)]
    }

    /// Returns a record's data in wire form.
    pub(crate) fn data(&self, record: &Gathered) -> &[u8] {
        &self.octets[record.data as usize..][..usize::from(record.data_len)]
    }

    /// Adds a record with at most 65,535 octets of data.
    pub(crate) fn add(
        &mut self,
        owners: &mut Owners,
        owner: &[u8],
        rtype: Type,
        ttl: u32,
        rdata: &[u8],
        place: u32,
    ) -> Added {
        let same = owners.last.filter(|&(at, len, _)| self.octets[at as usize..][..usize::from(len)] == *owner);
        let (owner_at, owner_len, order) = match same {
            Some(same) => same,
            None => {
                if !name::is_at_or_below(owner, owners.apex.as_wire()) {
                    return Added::OutOfZone;
                }
                owners.key.set(owner);
                let at = self.octets.len() as u32;
                self.octets.extend_from_slice(owner);
                let new = (at, owner.len() as u8, owners.key.packed(owners.apex_len));
                owners.last = Some(new);
                new
            }
        };
        let data = self.octets.len() as u32;
        self.octets.extend_from_slice(rdata);
        if self.octets.len() > u32::MAX as usize - (1 << 17) {
            return Added::Full;
        }
        self.list.push(Gathered {
            order,
            owner: owner_at,
            data,
            place,
            ttl,
            data_len: rdata.len() as u16,
            rtype,
            owner_len,
        });
        Added::Yes
    }

    /// Returns how many octets of memory the records take.
    pub(crate) fn size(&self) -> usize {
        self.octets.len() + self.list.len() * size_of::<Gathered>()
    }

    fn compare(&self, a: &Gathered, b: &Gathered) -> Ordering {
        let names = || {
            if a.owner == b.owner { Ordering::Equal } else { name::canonical_cmp(self.owner(a), self.owner(b)) }
        };
        let data = || data_cmp(a.rtype, self.data(a), self.data(b));
        a.order.cmp(&b.order).then_with(names).then(a.rtype.cmp(&b.rtype)).then_with(data).then(a.place.cmp(&b.place))
    }

    /// Sorts and checks the records and builds the zone of them.
    pub(crate) fn assemble(mut self, apex: &Name, report: &mut Report) -> Option<Zone> {
        let readable = !report.has_errors();
        let mut list = std::mem::take(&mut self.list);
        let records = self;
        list.sort_unstable_by(|a, b| records.compare(a, b));
        // An unreadable record may be the one that seems to be missing.
        if readable {
            check::apex(&records, &list, apex, report);
        }

        let mut above = check::Above::new(&records, &list);
        let mut nodes = Builder::new();
        let mut builder = NodeBuilder::default();
        for node in list.chunk_by(|a, b| a.order == b.order && name::eq(records.owner(a), records.owner(b))) {
            let owner = records.owner(&node[0]);
            let is_apex = owner.len() == apex.as_wire().len();
            check::node(&records, node, is_apex, report);
            above.node(node, is_apex, report);
            builder.begin(owner);
            for rrset in node.chunk_by(|a, b| a.rtype == b.rtype) {
                let rtype = rrset[0].rtype;
                let covers = |record: &Gathered| rtype.covers(records.data(record));
                builder.begin_rrset(rtype);
                let (mut before, mut ttl): (Option<&Gathered>, u32) = (None, 0);
                for (at, record) in rrset.iter().enumerate() {
                    let data = records.data(record);
                    if before.is_none_or(|before| covers(before) != covers(record)) {
                        let same = rrset[at..].iter().take_while(|other| covers(other) == covers(record)).count();
                        ttl = check::ttl(&rrset[at..at + same], &records, report);
                    }
                    if before.is_some_and(|b| data_cmp(rtype, records.data(b), data).is_eq()) {
                        check::duplicate(record, rtype, report);
                        continue;
                    }
                    builder.push(rtype, ttl, data);
                    before = Some(record);
                }
            }
            if !report.has_errors() {
                nodes.push(builder.finish(is_apex));
            }
        }
        if report.has_errors() {
            return None;
        }
        let zone = Zone::new(apex.clone(), nodes.finish())?;
        check::targets(&records, &list, &zone, report);
        Some(zone)
    }
}
