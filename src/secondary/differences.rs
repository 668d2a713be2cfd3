//! Received differences, applied in order to the current version, all or none (RFC 1995 §4).
//!
//! If a record to be deleted does not exist, or one to be added already does, primary and secondary do not have the
//! same version, and only a transfer of the whole zone helps.
//!
//! RRsets are copied from the current version when they are first changed. The result is checked at the end, so that
//! intermediate states may be invalid.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::error::TransferError;
use crate::dns::message::Record;
use crate::dns::{Name, Serial, Type, data_cmp, name};
use crate::notify::serial_of;
use crate::zone::{Amendment, Node, Zone};

/// The memory overhead of an RRset, and of a record, in octets; a high estimate.
const OVERHEAD: usize = 128;

/// Differences that are being applied.
#[derive(Debug)]
pub(super) struct Differences {
    current_zone: Arc<Zone>,
    /// The SOA record of the final version, which also ends the transfer.
    target: Record,
    /// The serial number reached so far.
    reached: Serial,
    /// The SOA record of the version that the current additions lead to.
    next: Option<Record>,
    rrsets: BTreeMap<Key, Records>,
    size: usize,
}

/// An RRset: its owner, its type and, for signatures, the type they cover.
type Key = (Name, Type, Option<Type>);

/// The records of an RRset: TTL and data, keyed by the data in canonical form.
type Records = BTreeMap<Box<[u8]>, (u32, Box<[u8]>)>;

impl Differences {
    /// Starts after the first two SOA records, those of the target and of the current version.
    pub(super) fn new(current_zone: Arc<Zone>, target: Record) -> Self {
        Self { reached: current_zone.serial(), current_zone, target, next: None, rrsets: BTreeMap::new(), size: 0 }
    }

    /// Returns the approximate memory that the differences take, in octets.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Processes the next record; `is_soa` if it is the zone's SOA record. Returns whether it is the last.
    pub(super) fn record(&mut self, record: Record, is_soa: bool) -> Result<bool, TransferError> {
        if !is_soa {
            // As in a transfer of the whole zone, records outside the zone are ignored.
            if record.owner.is_at_or_below(self.current_zone.apex()) {
                self.change(&record)?;
            }
            return Ok(false);
        }
        let serial = serial_of(&record.data).unwrap_or(self.reached);
        let Some(next) = &self.next else {
            if !serial.is_newer_than(self.reached) {
                return Err(TransferError::Mismatch(format!("serial {serial} follows {}", self.reached)));
            }
            self.next = Some(record);
            return Ok(false);
        };
        self.reached = serial_of(&next.data).unwrap_or(serial);
        if serial != self.reached {
            return Err(TransferError::Mismatch(format!(
                "the next one starts at serial {serial}, not {}",
                self.reached
            )));
        }
        if is_same_soa(&record, &self.target) {
            if !is_same_soa(next, &record) {
                return Err(TransferError::Mismatch(
                    "the last difference leads to another SOA record than the final one".into(),
                ));
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
                let current = self.current_zone.node(owner);
                let current = current.and_then(|node| node.rrset_covering(*rtype, rtype.covers(data)));
                let mut records = Records::new();
                for (rrset, data) in current.iter().flat_map(|rrset| rrset.rdata().map(move |data| (rrset, data))) {
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
        let what = if adding { "a record to be added already exists" } else { "a record to be deleted does not exist" };
        Err(TransferError::Mismatch(format!("{what}: {owner} {rtype}")))
    }

    /// Builds the resulting zone.
    pub(super) fn finish(mut self) -> Result<Zone, TransferError> {
        let apex = self.current_zone.apex().clone();
        let soa = (self.target.ttl, self.target.data);
        self.rrsets.insert((apex, Type::SOA, None), Records::from([(Box::default(), soa)]));
        let amendments: Vec<Amendment> = self.rrsets.into_iter().map(amendment).collect();
        let zone = self.current_zone.amend(&amendments);
        let zone = zone.ok_or_else(|| TransferError::Invalid("an RRset has more than 65535 records".into()))?;
        check(&zone, &amendments)?;
        Ok(zone)
    }
}

fn amendment(((owner, rtype, covers), records): (Key, Records)) -> Amendment {
    // All records of an RRset get the smallest of their TTLs, as in a transfer of the whole zone.
    let ttl = records.values().map(|(ttl, _)| *ttl).min().unwrap_or(0);
    Amendment { owner, rtype, covers, ttl, data: records.into_values().map(|(_, data)| data).collect() }
}

/// Returns data with its names in lower case (RFC 4034 §6.2).
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

/// Checks the changed names against the rules for zones.
fn check(zone: &Zone, amendments: &[Amendment]) -> Result<(), TransferError> {
    let invalid = |reason: String| Err(TransferError::Invalid(reason));
    for amendments in amendments.chunk_by(|a, b| a.owner == b.owner) {
        let owner = &amendments[0].owner;
        let is_apex = owner == zone.apex();
        if let Some(node) = zone.node(owner) {
            check_node(node, owner, is_apex)?;
        }
        if is_apex && zone.node(owner).is_none_or(|node| node.rrset(Type::NS).is_none()) {
            return invalid(format!("there is no NS record at {owner}"));
        }
        if let Some((node, _)) = amendments.iter().find_map(|amendment| amendment.below_dname(zone)) {
            return invalid(format!("{} is below a DNAME record", name::Display(node.owner())));
        }
    }
    Ok(())
}

/// Checks that the RRsets at a name may coexist (RFC 2181 §10.1, RFC 6672 §2.4).
fn check_node(node: &Node, owner: &Name, is_apex: bool) -> Result<(), TransferError> {
    let invalid = |reason: String| Err(TransferError::Invalid(reason));
    for rrset in node.types() {
        let rtype = rrset.rtype();
        if rtype == Type::SOA && !is_apex {
            return invalid(format!("the SOA record of {owner} is not at the apex of the zone"));
        }
        if matches!(rtype, Type::SOA | Type::CNAME | Type::DNAME) && rrset.len() > 1 {
            return invalid(format!("{owner} has more than one {rtype} record"));
        }
    }
    if node.rrset(Type::CNAME).is_some() && node.types().any(|rrset| !rrset.rtype().may_coexist_with_cname()) {
        return invalid(format!("{owner} has a CNAME record and other data"));
    }
    Ok(())
}

/// Returns whether two SOA records have the same data.
pub(super) fn is_same_soa(a: &Record, b: &Record) -> bool {
    data_cmp(Type::SOA, &a.data, &b.data).is_eq()
}
