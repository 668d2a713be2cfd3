//! Applies updates: checks the prerequisites, then processes the records of the update in order.
//!
//! A draft contains the names that the update touches, as slices of the zone's data and the message. Each record of the
//! update changes the draft as RFC 2136 §3.4.2 specifies. At the end the draft is compared with the zone, and the
//! difference is the effect. Operations that cancel each other out are therefore no change, and the zone itself is
//! never modified.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Condition, Refusal, Update, shown, validity};
use crate::dns::message::Rcode;
use crate::dns::{Name, Serial, Type, data_cmp};
use crate::zone::{Amendment, RRset, Zone};

/// The type WKS: an added record replaces one with the same address and protocol (RFC 2136 §3.4.2.2).
const WKS: Type = Type(11);

/// The effect of an update on a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// No change: the zone already has the requested content.
    Unchanged,
    /// These RRsets change, in canonical order of owners and then by type, including the SOA record with its new serial
    /// number. [`Zone::amend`] returns the new zone.
    Amended(Vec<Amendment>),
    /// The zone is created with these RRsets. [`Zone::of`] returns it.
    Created(Vec<Amendment>),
    /// The zone is deleted.
    Deleted,
}

/// What the sender of an update may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Records of existing zones, as in RFC 2136.
    Records,
    /// Records and zones: adding or deleting the SOA record creates or deletes a zone.
    Zones,
}

/// Returns the next serial number for a changed zone, skipping 0, which some software treats as no serial.
#[must_use]
pub fn raised(serial: Serial) -> Serial {
    match serial.next() {
        Serial(0) => Serial(1),
        next => next,
    }
}

impl Update {
    /// Returns the effect of the update on its zone; `zone` is `None` if the zone does not exist.
    ///
    /// If `scope` is [`Scope::Zones`], adding an SOA record creates a zone, and deleting it without adding another
    /// deletes the zone; otherwise zones are neither created nor deleted (§3.4.2.2 to §3.4.2.4). The update is atomic.
    /// [`crate::zonefile::read`] would accept the resulting zone.
    ///
    /// # Errors
    ///
    /// NOTAUTH: the zone does not exist, and the update does not create it. NXDOMAIN, YXDOMAIN, NXRRSET, YXRRSET: a
    /// prerequisite is not met. REFUSED: the resulting zone would be invalid.
    pub fn apply(&self, zone: Option<&Zone>, scope: Scope) -> Result<Effect, Refusal> {
        if zone.is_none() && !(self.adds_soa() && scope == Scope::Zones) {
            return Err(self.missing_zone(scope));
        }
        self.check_prerequisites(zone)?;
        let mut draft = Draft { zone, apex: &self.zone, owners: BTreeMap::new(), deleted: false };
        for operation in &self.operations {
            let name = &operation.name;
            match &operation.action {
                Action::Add { rtype, ttl, data } => draft.add(name, *rtype, *ttl, data),
                Action::DeleteRRset(rtype) => draft.delete_rrset(name, *rtype),
                Action::DeleteAll => draft.delete_all(name),
                Action::DeleteRecord { rtype, data } => draft.delete_record(name, *rtype, data),
            }
        }
        let has = |rtype| draft.owners.get(&self.zone).is_some_and(|owner| owner.has(rtype));
        let Some(zone) = zone else {
            if !has(Type::SOA) {
                return Err(self.missing_zone(scope));
            }
            if !has(Type::NS) {
                let reason = format!("the new zone {} would have no NS record at its apex", shown(&self.zone));
                return Err(Refusal::new(Rcode::REFUSED, reason));
            }
            let amendments = draft.amendments();
            validity::check(None, &self.zone, &amendments)?;
            return Ok(Effect::Created(amendments));
        };
        if draft.deleted && scope == Scope::Zones && !self.adds_soa() {
            return Ok(Effect::Deleted);
        }
        let mut amendments = draft.amendments();
        if amendments.is_empty() {
            return Ok(Effect::Unchanged);
        }
        // The SOA record only changes to one with a newer serial (§3.4.2.2).
        let is_soa = |amendment: &Amendment| amendment.rtype == Type::SOA;
        if !amendments.iter().any(is_soa) {
            amendments.extend(with_serial(zone, raised(zone.serial())));
            amendments.sort_by(|a, b| a.owner.cmp(&b.owner).then(a.key().cmp(&b.key())));
        }
        validity::check(Some(zone), &self.zone, &amendments)?;
        Ok(Effect::Amended(amendments))
    }

    fn missing_zone(&self, scope: Scope) -> Refusal {
        let how = match scope {
            Scope::Zones => "to create it, add its SOA and NS records",
            Scope::Records => "to create it, use a key whose grant covers a parent of it",
        };
        let reason = format!("the zone {} does not exist here; {how}", shown(&self.zone));
        Refusal::new(Rcode::NOT_AUTHORITATIVE, reason)
    }

    /// Checks the prerequisites (§3.2).
    fn check_prerequisites(&self, zone: Option<&Zone>) -> Result<(), Refusal> {
        let node = |name: &Name| zone.and_then(|zone| zone.node(name));
        let mut required: BTreeMap<(&Name, Type), Vec<&[u8]>> = BTreeMap::new();
        for prerequisite in &self.prerequisites {
            let name = &prerequisite.name;
            let node = node(name);
            let has = |rtype: Type| node.is_some_and(|node| node.rrset(rtype).is_some());
            let fails = |rcode, what: String| Err(Refusal::new(rcode, format!("prerequisite: {}{what}", shown(name))));
            match &prerequisite.condition {
                Condition::InUse if node.is_none() => return fails(Rcode::NAME_ERROR, " has no records".into()),
                Condition::NotInUse if node.is_some() => return fails(Rcode::YX_DOMAIN, " has records".into()),
                Condition::Exists(rtype) if !has(*rtype) => {
                    return fails(Rcode::NX_RRSET, format!(" {rtype} does not exist"));
                }
                Condition::Absent(rtype) if has(*rtype) => return fails(Rcode::YX_RRSET, format!(" {rtype} exists")),
                Condition::Has(rtype, data) => required.entry((name, *rtype)).or_default().push(data),
                _ => {}
            }
        }
        for ((name, rtype), mut data) in required {
            data.sort_by(|a, b| data_cmp(rtype, a, b));
            data.dedup_by(|a, b| data_cmp(rtype, a, b).is_eq());
            let rrset = node(name).and_then(|node| node.rrset(rtype));
            if !rrset.is_some_and(|rrset| has_exactly(&rrset, &data)) {
                let what = if rrset.is_some() { "has other records" } else { "does not exist" };
                return Err(Refusal::new(Rcode::NX_RRSET, format!("prerequisite: {} {rtype} {what}", shown(name))));
            }
        }
        Ok(())
    }
}

/// Returns the SOA record of a zone with the serial number replaced.
fn with_serial(zone: &Zone, serial: Serial) -> Option<Amendment> {
    let soa = zone.soa()?;
    let mut data: Box<[u8]> = soa.rdata().next()?.into();
    data.last_chunk_mut::<20>()?[..4].copy_from_slice(&serial.0.to_be_bytes());
    Some(Amendment { owner: zone.apex().clone(), rtype: Type::SOA, covers: None, ttl: soa.ttl(), data: vec![data] })
}

/// The names that an update touches, with their state after the records processed so far.
struct Draft<'a> {
    zone: Option<&'a Zone>,
    apex: &'a Name,
    owners: BTreeMap<&'a Name, Owner<'a>>,
    /// Whether the zone's SOA record was deleted. It stays in the draft, because the apex must have one.
    deleted: bool,
}

/// The key of an RRset of an owner: the type and, for signatures, the type they cover.
type Kind = (Type, Option<Type>);

#[derive(Default)]
struct Owner<'a> {
    /// The RRsets, none of them empty.
    rrsets: BTreeMap<Kind, Records<'a>>,
}

#[derive(Default)]
struct Records<'a> {
    ttl: u32,
    /// The data in canonical order, without duplicates.
    data: Vec<&'a [u8]>,
}

impl<'a> Draft<'a> {
    /// Returns the current state of an owner.
    fn owner(&mut self, name: &'a Name) -> &mut Owner<'a> {
        let zone = self.zone;
        self.owners.entry(name).or_insert_with(|| {
            let node = zone.and_then(|zone| zone.node(name));
            let rrsets = node.into_iter().flat_map(|node| node.rrsets());
            let records = |rrset: RRset<'a>| Records { ttl: rrset.ttl(), data: rrset.rdata().collect() };
            Owner { rrsets: rrsets.map(|rrset| ((rrset.rtype(), rrset.covers()), records(rrset))).collect() }
        })
    }

    /// Adds a record (§3.4.2.2).
    fn add(&mut self, name: &'a Name, rtype: Type, ttl: u32, data: &'a [u8]) {
        let owner = self.owner(name);
        if rtype == Type::CNAME {
            if !owner.rrsets.keys().all(|(rtype, _)| rtype.may_coexist_with_cname()) {
                return;
            }
        } else if owner.has(Type::CNAME) && !rtype.may_coexist_with_cname() {
            return;
        }
        if rtype == Type::SOA {
            return self.add_soa(name, ttl, data);
        }
        let records = owner.rrsets.entry((rtype, rtype.covers(data))).or_default();
        // RFC 2181 §5.2: an RRset has one TTL, here the last one requested; signatures that cover other types keep theirs.
        records.ttl = ttl;
        if rtype == WKS
            && let Some(service) = data.get(..5)
        {
            records.data.retain(|other| other.get(..5) != Some(service));
        }
        let Err(at) = records.find(rtype, data) else { return };
        if matches!(rtype, Type::CNAME | Type::DNAME) {
            records.data = vec![data];
        } else {
            records.data.insert(at, data);
        }
    }

    /// Adds an SOA record: replaces an older one, or adds the first one of a new zone (§3.4.2.2).
    fn add_soa(&mut self, name: &'a Name, ttl: u32, data: &'a [u8]) {
        if name != self.apex {
            return;
        }
        let first = self.zone.map(Zone::serial);
        let owner = self.owner(name);
        let old =
            owner.rrsets.get(&(Type::SOA, None)).and_then(|soa| soa.data.first()).and_then(|data| serial_of(data));
        // The serial must also be newer than the zone's: two steps in serial arithmetic may lead back to it, and
        // secondaries would not update.
        if serial_of(data).is_some_and(|new| old.into_iter().chain(first).all(|old| new.is_newer_than(old))) {
            owner.rrsets.insert((Type::SOA, None), Records { ttl, data: vec![data] });
        }
    }

    /// Deletes an RRset (§3.4.2.3).
    fn delete_rrset(&mut self, name: &'a Name, rtype: Type) {
        match rtype {
            Type::SOA if name == self.apex => self.deleted = true,
            Type::NS if name == self.apex => {}
            _ => {
                self.owner(name).rrsets.retain(|(other, _), _| *other != rtype);
            }
        }
    }

    /// Deletes all RRsets of a name (§3.4.2.3).
    fn delete_all(&mut self, name: &'a Name) {
        let is_apex = name == self.apex;
        self.owner(name).rrsets.retain(|(rtype, _), _| is_apex && matches!(*rtype, Type::SOA | Type::NS));
    }

    /// Deletes a record (§3.4.2.4).
    fn delete_record(&mut self, name: &'a Name, rtype: Type, data: &'a [u8]) {
        let is_apex = name == self.apex;
        let owner = self.owner(name);
        let kind = (rtype, rtype.covers(data));
        let Some(records) = owner.rrsets.get_mut(&kind) else { return };
        let Ok(at) = records.find(rtype, data) else { return };
        match rtype {
            Type::SOA if is_apex => self.deleted = true,
            Type::NS if is_apex && records.data.len() == 1 => {}
            _ if records.data.len() == 1 => {
                owner.rrsets.remove(&kind);
            }
            _ => {
                records.data.remove(at);
            }
        }
    }

    /// Returns the RRsets that differ from the zone, in canonical order.
    fn amendments(&self) -> Vec<Amendment> {
        let mut amendments = Vec::new();
        for (name, owner) in &self.owners {
            let node = self.zone.and_then(|zone| zone.node(name));
            let old = |(rtype, covers)| node.and_then(|node| node.rrset_covering(rtype, covers));
            let old_kinds =
                node.into_iter().flat_map(|node| node.rrsets().map(|rrset| (rrset.rtype(), rrset.covers())));
            let kinds: BTreeSet<Kind> = old_kinds.chain(owner.rrsets.keys().copied()).collect();
            for kind in kinds {
                let (ttl, data) = match owner.rrsets.get(&kind) {
                    Some(records) => (records.ttl, &*records.data),
                    None => (0, &[][..]),
                };
                if old(kind).is_some_and(|old| old.ttl() == ttl && has_exactly(&old, data)) {
                    continue;
                }
                // The letter case of the zone is kept.
                let owner = node.and_then(|node| Name::from_wire(node.owner()).ok()).unwrap_or_else(|| (*name).clone());
                let data = data.iter().map(|data| Box::from(*data)).collect();
                let (rtype, covers) = kind;
                amendments.push(Amendment { owner, rtype, covers, ttl, data });
            }
        }
        amendments
    }
}

impl Owner<'_> {
    fn has(&self, rtype: Type) -> bool {
        self.rrsets.keys().any(|(other, _)| *other == rtype)
    }
}

impl Records<'_> {
    fn find(&self, rtype: Type, data: &[u8]) -> Result<usize, usize> {
        self.data.binary_search_by(|other| data_cmp(rtype, other, data))
    }
}

/// Returns whether an RRset consists of exactly these records, which are in canonical order.
fn has_exactly(rrset: &RRset<'_>, data: &[&[u8]]) -> bool {
    let mut pairs = rrset.rdata().zip(data);
    usize::from(rrset.len()) == data.len() && pairs.all(|(a, b)| data_cmp(rrset.rtype(), a, b).is_eq())
}

/// Returns the serial number in an SOA record's data.
fn serial_of(soa: &[u8]) -> Option<Serial> {
    Some(Serial(u32::from_be_bytes(*soa.last_chunk::<20>()?.first_chunk()?)))
}
