//! What becomes of a zone: prerequisites judged, then the update's records taken in order.
//!
//! A draft holds the names the update touches, as slices of the zone's data and the message's. Each record of the update
//! changes the draft as RFC 2136 §3.4.2 says; at the end the draft is compared with the zone, and what differs is
//! the effect. So what cancels out is no change, and the zone itself is never touched.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Condition, Refusal, Update, shown, sound};
use crate::dns::message::Rcode;
use crate::dns::{Name, Serial, Type, data_cmp};
use crate::zone::{Amendment, RRset, Zone};

/// WKS, whose records replace each other where address and protocol are the same (RFC 2136 §3.4.2.2).
const WKS: Type = Type(11);

/// What an update does to a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: all it says is so already.
    Unchanged,
    /// These RRsets change, in canonical order of owners and then by type; the SOA record with its new serial number is
    /// among them. [`Zone::amend`] gives the new zone.
    Amended(Vec<Amendment>),
    /// The zone comes to be with these RRsets. [`Zone::of`] gives it.
    Created(Vec<Amendment>),
    /// The zone ends.
    Deleted,
}

/// What the sender of an update may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Records of a zone that is there, as RFC 2136 has it.
    Records,
    /// Zones, too: they come and go with their SOA record.
    Zones,
}

/// Returns the serial number that follows, for a zone that changed; never 0, which some take for none.
#[must_use]
pub fn raised(serial: Serial) -> Serial {
    match serial.next() {
        Serial(0) => Serial(1),
        next => next,
    }
}

impl Update {
    /// Returns what the update does to the zone it names, `None` if that is not served.
    ///
    /// An SOA record that is added creates a zone, and one that is deleted, and none added, ends it, if `scope` is
    /// [`Scope::Zones`]; else zones neither come nor go (§3.4.2.2 to §3.4.2.4). All of it is done or nothing. The zone that comes of it is one that [`crate::zonefile::read`] would not refuse.
    ///
    /// # Errors
    ///
    /// NOTAUTH: there is no such zone, and the update does not create it. NXDOMAIN, YXDOMAIN, NXRRSET, YXRRSET: a
    /// prerequisite does not hold. REFUSED: the zone would not be sound.
    pub fn apply(&self, zone: Option<&Zone>, scope: Scope) -> Result<Effect, Refusal> {
        if zone.is_none() && !(self.adds_soa() && scope == Scope::Zones) {
            return Err(self.no_zone(scope));
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
                return Err(self.no_zone(scope));
            }
            if !has(Type::NS) {
                let reason = format!("the new zone {} would have no NS record at its apex", shown(&self.zone));
                return Err(Refusal::new(Rcode::REFUSED, reason));
            }
            let amendments = draft.amendments();
            sound::check(None, &self.zone, &amendments)?;
            return Ok(Effect::Created(amendments));
        };
        if draft.deleted && scope == Scope::Zones && !self.adds_soa() {
            return Ok(Effect::Deleted);
        }
        let mut amendments = draft.amendments();
        if amendments.is_empty() {
            return Ok(Effect::Unchanged);
        }
        // The SOA record only ever changes to a newer one (§3.4.2.2).
        let is_soa = |amendment: &Amendment| amendment.rtype == Type::SOA;
        if !amendments.iter().any(is_soa) {
            amendments.extend(with_serial(zone, raised(zone.serial())));
            amendments.sort_by(|a, b| a.owner.cmp(&b.owner).then(a.key().cmp(&b.key())));
        }
        sound::check(Some(zone), &self.zone, &amendments)?;
        Ok(Effect::Amended(amendments))
    }

    fn no_zone(&self, scope: Scope) -> Refusal {
        let how = match scope {
            Scope::Zones => "to create it, add its SOA and NS records",
            Scope::Records => "creating it needs a key whose grant begins above it",
        };
        let reason = format!("no zone {} is served; {how}", shown(&self.zone));
        Refusal::new(Rcode::NOT_AUTHORITATIVE, reason)
    }

    /// Judges the prerequisites (§3.2).
    fn check_prerequisites(&self, zone: Option<&Zone>) -> Result<(), Refusal> {
        let node = |name: &Name| zone.and_then(|zone| zone.node(name));
        let mut wanted: BTreeMap<(&Name, Type), Vec<&[u8]>> = BTreeMap::new();
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
                Condition::Has(rtype, data) => wanted.entry((name, *rtype)).or_default().push(data),
                _ => {}
            }
        }
        for ((name, rtype), mut data) in wanted {
            data.sort_by(|a, b| data_cmp(rtype, a, b));
            data.dedup_by(|a, b| data_cmp(rtype, a, b).is_eq());
            let rrset = node(name).and_then(|node| node.rrset(rtype));
            if !rrset.is_some_and(|rrset| has_just(&rrset, &data)) {
                let what = if rrset.is_some() { "has other records" } else { "does not exist" };
                return Err(Refusal::new(Rcode::NX_RRSET, format!("prerequisite: {} {rtype} {what}", shown(name))));
            }
        }
        Ok(())
    }
}

/// Returns the SOA record of a zone with another serial number.
fn with_serial(zone: &Zone, serial: Serial) -> Option<Amendment> {
    let soa = zone.soa()?;
    let mut data: Box<[u8]> = soa.rdata().next()?.into();
    data.last_chunk_mut::<20>()?[..4].copy_from_slice(&serial.0.to_be_bytes());
    Some(Amendment { owner: zone.apex().clone(), rtype: Type::SOA, covers: None, ttl: soa.ttl(), data: vec![data] })
}

/// The names an update touches, as they stand after the records taken so far.
struct Draft<'a> {
    zone: Option<&'a Zone>,
    apex: &'a Name,
    owners: BTreeMap<&'a Name, Owner<'a>>,
    /// The zone's SOA record was deleted. It stays all the same, as the apex must have one.
    deleted: bool,
}

/// What tells the RRsets of an owner apart: the type and, for signatures, the type they cover.
type Kind = (Type, Option<Type>);

#[derive(Default)]
struct Owner<'a> {
    /// None is empty.
    rrsets: BTreeMap<Kind, Records<'a>>,
}

#[derive(Default)]
struct Records<'a> {
    ttl: u32,
    /// In canonical order, no two the same.
    data: Vec<&'a [u8]>,
}

impl<'a> Draft<'a> {
    /// Returns an owner as it stands.
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
            if !owner.rrsets.keys().all(|(rtype, _)| rtype.goes_with_cname()) {
                return;
            }
        } else if owner.has(Type::CNAME) && !rtype.goes_with_cname() {
            return;
        }
        if rtype == Type::SOA {
            return self.add_soa(name, ttl, data);
        }
        let records = owner.rrsets.entry((rtype, rtype.covers(data))).or_default();
        // RFC 2181 §5.2: one TTL, and the one just asked for is meant; signatures that cover other types keep theirs.
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

    /// Adds an SOA record: in place of an older one, or the first of a new zone (§3.4.2.2).
    fn add_soa(&mut self, name: &'a Name, ttl: u32, data: &'a [u8]) {
        if name != self.apex {
            return;
        }
        let first = self.zone.map(Zone::serial);
        let owner = self.owner(name);
        let old =
            owner.rrsets.get(&(Type::SOA, None)).and_then(|soa| soa.data.first()).and_then(|data| serial_of(data));
        // Newer than the zone's too: two steps around the circle may lead back, and secondaries would stay behind.
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

    /// Returns the RRsets that are not as in the zone, in canonical order.
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
                if old(kind).is_some_and(|old| old.ttl() == ttl && has_just(&old, data)) {
                    continue;
                }
                // The zone's own spelling stays.
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

/// Returns whether an RRset's records are just these, which are in canonical order.
fn has_just(rrset: &RRset<'_>, data: &[&[u8]]) -> bool {
    let mut pairs = rrset.rdata().zip(data);
    usize::from(rrset.len()) == data.len() && pairs.all(|(a, b)| data_cmp(rrset.rtype(), a, b).is_eq())
}

/// Returns the serial number in an SOA record's data.
fn serial_of(soa: &[u8]) -> Option<Serial> {
    Some(Serial(u32::from_be_bytes(*soa.last_chunk::<20>()?.first_chunk()?)))
}
