//! The names of a zone that are signed or denied, and the chains of NSEC and NSEC3 records over them (RFC 4034 §4, RFC
//! 5155 §7.1).

use std::collections::{BTreeMap, BTreeSet};

use super::bitmap;
use super::key::is_generated;
use crate::dns::name::{self, MAX_NAME};
use crate::dns::{Name, Type, nsec3};
use crate::zone::node::Marks;
use crate::zone::{Node, Zone};

/// A name with authority in a zone, or a delegation from it.
pub(super) struct Member<'z> {
    /// The node.
    pub(super) node: &'z Node,
    /// Whether the node delegates its name: only its DS and NSEC records are signed (RFC 4035 §2.2).
    pub(super) is_cut: bool,
}

impl Member<'_> {
    /// Returns whether an RRset of the node is signed.
    pub(super) fn signs(&self, rtype: Type) -> bool {
        rtype != Type::RRSIG && (!self.is_cut || matches!(rtype, Type::DS | Type::NSEC))
    }

    /// Returns whether the node delegates a name without a DS record: opt-out may leave it out (RFC 5155 §6).
    pub(super) fn is_unsigned_cut(&self) -> bool {
        self.is_cut && self.node.rrset(Type::DS).is_none()
    }

    /// Returns the types of the node's RRsets that the zone answers for, without those that a signer generates.
    pub(super) fn types(&self) -> BTreeSet<Type> {
        let types = self.node.types().map(|rrset| rrset.rtype()).filter(|rtype| !is_generated(*rtype));
        types.filter(|rtype| !self.is_cut || matches!(*rtype, Type::NS | Type::DS)).collect()
    }
}

/// Visits, in canonical order, the nodes that are not hidden below a delegation or a DNAME record, except those that own
/// records of a signer only.
pub(super) fn members(zone: &Zone) -> impl Iterator<Item = Member<'_>> {
    let mut above: Option<&Node> = None;
    zone.iter().filter_map(move |node| {
        if above.is_some_and(|above| name::is_at_or_below(node.owner(), above.owner())) {
            return None;
        }
        above = node.marks().has(Marks::CUT | Marks::DNAME).then_some(node);
        if node.types().all(|rrset| is_generated(rrset.rtype())) {
            return None;
        }
        Some(Member { node, is_cut: node.marks().has(Marks::CUT) })
    })
}

/// A name in a chain, with the types that its record lists.
pub(super) type Listed = (Name, BTreeSet<Type>);

/// A record of a chain: its owner and data.
pub(super) type Link = (Name, Vec<u8>);

/// Returns the NSEC records of a chain over names in canonical order, each with its types; NSEC and RRSIG are added.
pub(super) fn nsec(names: &[Listed]) -> Vec<Link> {
    let next = names.iter().cycle().skip(1);
    let link = |((owner, types), (next, _)): (&Listed, &Listed)| {
        let mut types = types.clone();
        types.extend([Type::NSEC, Type::RRSIG]);
        let mut data = next.as_wire().to_vec();
        bitmap::push(&types, &mut data);
        (owner.clone(), data)
    };
    names.iter().zip(next).map(link).collect()
}

/// The parameters of NSEC3 records (RFC 5155 §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) opt_out: bool,
    pub(super) iterations: u16,
    pub(super) salt: Vec<u8>,
}

/// Returns the hashes of a chain of NSEC3 records with the types of each: those of the names, of the empty non-terminals
/// above them (RFC 5155 §7.1 step 4), and without unsigned delegations if `opt_out` is set.
pub(super) fn hashed(
    zone: &Zone,
    names: impl Iterator<Item = (Vec<u8>, BTreeSet<Type>, bool)>,
    parameters: &Parameters,
) -> BTreeMap<[u8; nsec3::HASH], BTreeSet<Type>> {
    let apex = zone.apex().as_wire();
    let hash = |name: &[u8]| nsec3::hash(name, parameters.iterations, &parameters.salt);
    let mut hashes = BTreeMap::new();
    for (owner, types, is_unsigned_cut) in names {
        if is_unsigned_cut && parameters.opt_out {
            continue;
        }
        let mut above = owner.as_slice();
        while above.len() > apex.len() {
            above = &above[1 + usize::from(above[0])..];
            // All ancestors of a name that was there before are there, too.
            if above.len() <= apex.len() || hashes.contains_key(&hash(above)) {
                break;
            }
            hashes.insert(hash(above), BTreeSet::new());
        }
        hashes.entry(hash(&owner)).or_insert_with(BTreeSet::new).extend(types);
    }
    hashes
}

/// Returns the NSEC3 records of a chain; `None` if their owners would be too long.
pub(super) fn nsec3(
    zone: &Zone,
    hashes: &BTreeMap<[u8; nsec3::HASH], BTreeSet<Type>>,
    parameters: &Parameters,
) -> Option<Vec<Link>> {
    let next = hashes.keys().cycle().skip(1);
    let link = |((hash, types), next): ((&[u8; nsec3::HASH], &BTreeSet<Type>), &[u8; nsec3::HASH])| {
        let mut data = vec![nsec3::SHA1, u8::from(parameters.opt_out)];
        data.extend(parameters.iterations.to_be_bytes());
        data.push(parameters.salt.len() as u8);
        data.extend_from_slice(&parameters.salt);
        data.push(nsec3::HASH as u8);
        data.extend_from_slice(next);
        bitmap::push(types, &mut data);
        Some((hashed_owner(hash, zone.apex())?, data))
    };
    hashes.iter().zip(next).map(link).collect()
}

/// Returns the owner of the NSEC3 record with a hash; `None` if it were too long.
pub(super) fn hashed_owner(hash: &[u8; nsec3::HASH], apex: &Name) -> Option<Name> {
    let mut wire = Vec::with_capacity(MAX_NAME);
    wire.push(nsec3::LABEL as u8);
    wire.extend(nsec3::label(hash));
    wire.extend_from_slice(apex.as_wire());
    Name::from_wire(&wire).ok()
}
