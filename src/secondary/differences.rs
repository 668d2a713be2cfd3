//! Differences received (RFC 1995 §4): applied one after the other to the version held, all of them or none.
//!
//! What is not exactly as the differences have it, a record to be deleted that is not there or one to be added that is,
//! means that primary and secondary do not hold the same version; then only a transfer of the whole zone helps.
//!
//! RRsets are taken out of the zone held when first touched. What becomes of them is checked at the end, so that a name
//! may be between two states in between.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::error::TransferError;
use crate::dns::message::Record;
use crate::dns::{Name, Serial, Type, data_cmp, name};
use crate::notify::serial_of;
use crate::zone::{Amendment, Node, Zone};

/// What an RRset takes of memory beside its records' data, and a record beside its own, in octets; rather too much.
const OVERHEAD: usize = 128;

/// Differences being applied.
#[derive(Debug)]
pub(super) struct Differences {
    held: Arc<Zone>,
    /// The SOA record of the version they lead to, which the transfer also ends with.
    target: Record,
    /// The version reached.
    current: Serial,
    /// The SOA record of the version the additions under way lead to.
    next: Option<Record>,
    rrsets: BTreeMap<Key, Records>,
    size: usize,
}

/// An RRset: its owner, its type and, if they are signatures, the type they cover.
type Key = (Name, Type, Option<Type>);

/// The records of an RRset: TTL and data, found by the data in canonical form.
type Records = BTreeMap<Box<[u8]>, (u32, Box<[u8]>)>;

impl Differences {
    /// Begins behind the first two SOA records, the target's and that of the version held.
    pub(super) fn new(held: Arc<Zone>, target: Record) -> Self {
        Self { current: held.serial(), held, target, next: None, rrsets: BTreeMap::new(), size: 0 }
    }

    /// Returns how many octets of memory they take, roughly.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Takes the next record, `is_soa` if it is the zone's SOA record; returns whether it is the last.
    pub(super) fn record(&mut self, record: Record, is_soa: bool) -> Result<bool, TransferError> {
        if !is_soa {
            // As in a transfer of the whole zone, what is not in the zone is left out.
            if record.owner.is_at_or_below(self.held.apex()) {
                self.change(&record)?;
            }
            return Ok(false);
        }
        let serial = serial_of(&record.data).unwrap_or(self.current);
        let Some(next) = &self.next else {
            if !serial.is_newer_than(self.current) {
                return Err(TransferError::Mismatch(format!("serial {serial} follows {}", self.current)));
            }
            self.next = Some(record);
            return Ok(false);
        };
        self.current = serial_of(&next.data).unwrap_or(serial);
        if serial != self.current {
            return Err(TransferError::Mismatch(format!("they go on at serial {serial}, not {}", self.current)));
        }
        if is_same_soa(&record, &self.target) {
            if !is_same_soa(next, &record) {
                return Err(TransferError::Mismatch("they lead to another SOA record than they end with".into()));
            }
            return Ok(true);
        }
        self.next = None;
        Ok(false)
    }

    /// Deletes or adds a record.
    fn change(&mut self, record: &Record) -> Result<(), TransferError> {
        let Record { owner, rtype, ttl, data, .. } = record;
        let rrset = match self.rrsets.entry((owner.clone(), *rtype, rtype.covers(data))) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let held = self.held.node(owner).and_then(|node| node.rrset_covering(*rtype, rtype.covers(data)));
                let mut records = Records::new();
                for (rrset, data) in held.iter().flat_map(|rrset| rrset.rdata().map(move |data| (rrset, data))) {
                    self.size += 2 * data.len() + OVERHEAD;
                    records.insert(canonical(*rtype, data), (rrset.ttl(), data.into()));
                }
                self.size += owner.as_wire().len() + OVERHEAD;
                entry.insert(records)
            }
        };
        let adding = self.next.is_some();
        if adding {
            self.size += 2 * data.len() + OVERHEAD;
            if rrset.insert(canonical(*rtype, data), (*ttl, data.clone())).is_none() {
                return Ok(());
            }
        } else if rrset.remove(&*canonical(*rtype, data)).is_some() {
            return Ok(());
        }
        let what = if adding { "added that is there" } else { "deleted that is not there" };
        Err(TransferError::Mismatch(format!("a {rtype} record of {owner} is to be {what}")))
    }

    /// Makes the zone they lead to.
    pub(super) fn finish(mut self) -> Result<Zone, TransferError> {
        let apex = self.held.apex().clone();
        let soa = (self.target.ttl, self.target.data);
        self.rrsets.insert((apex, Type::SOA, None), Records::from([(Box::default(), soa)]));
        let amendments: Vec<Amendment> = self.rrsets.into_iter().map(amendment).collect();
        let zone = self.held.amend(&amendments);
        let zone = zone.ok_or_else(|| TransferError::Unsound("an RRset has more records than can be".into()))?;
        check(&zone, &amendments)?;
        Ok(zone)
    }
}

fn amendment(((owner, rtype, covers), records): (Key, Records)) -> Amendment {
    // The records of an RRset share the smallest of their TTLs, as in a transfer of the whole zone.
    let ttl = records.values().map(|(ttl, _)| *ttl).min().unwrap_or(0);
    Amendment { owner, rtype, covers, ttl, data: records.into_values().map(|(_, data)| data).collect() }
}

/// Returns data with the names in them in lower case (RFC 4034 §6.2).
fn canonical(rtype: Type, data: &[u8]) -> Box<[u8]> {
    let mut data: Box<[u8]> = data.into();
    if let Some((front, count)) = rtype.names() {
        let mut at = front;
        for _ in 0..count {
            let Some(rest) = data.get_mut(at..) else { break };
            let len = name::wire_len(rest).unwrap_or(0);
            rest[..len].make_ascii_lowercase();
            at += len;
        }
    }
    data
}

/// Checks the names that were touched by what a zone must keep to.
fn check(zone: &Zone, amendments: &[Amendment]) -> Result<(), TransferError> {
    let unsound = |reason: String| Err(TransferError::Unsound(reason));
    for amendments in amendments.chunk_by(|a, b| a.owner == b.owner) {
        let owner = &amendments[0].owner;
        let is_apex = owner == zone.apex();
        if let Some(node) = zone.node(owner) {
            alone(node, owner, is_apex)?;
        }
        if is_apex && zone.node(owner).is_none_or(|node| node.rrset(Type::NS).is_none()) {
            return unsound(format!("there is no NS record at {owner}"));
        }
        if let Some((node, _)) = amendments.iter().find_map(|amendment| amendment.below_dname(zone)) {
            return unsound(format!("{} lies below a DNAME record", name::Display(node.owner())));
        }
    }
    Ok(())
}

/// Checks which records stand together at a name (RFC 2181 §10.1, RFC 6672 §2.4).
fn alone(node: &Node, owner: &Name, is_apex: bool) -> Result<(), TransferError> {
    let unsound = |reason: String| Err(TransferError::Unsound(reason));
    for rrset in node.types() {
        let rtype = rrset.rtype();
        if rtype == Type::SOA && !is_apex {
            return unsound(format!("the SOA record of {owner} does not stand at the top of the zone"));
        }
        if matches!(rtype, Type::SOA | Type::CNAME | Type::DNAME) && rrset.len() > 1 {
            return unsound(format!("{owner} has a second {rtype} record"));
        }
    }
    if node.rrset(Type::CNAME).is_some() && node.types().any(|rrset| !rrset.rtype().goes_with_cname()) {
        return unsound(format!("{owner} has a CNAME record and other data too"));
    }
    Ok(())
}

/// Returns whether two SOA records have the same data.
pub(super) fn is_same_soa(a: &Record, b: &Record) -> bool {
    data_cmp(Type::SOA, &a.data, &b.data).is_eq()
}
