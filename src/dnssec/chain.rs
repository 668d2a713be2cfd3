//! The names of a zone that are signed or denied, and the chains of NSEC and NSEC3 records over them (RFC 4034 §4, RFC
//! 5155 §7.1).

use std::collections::BTreeSet;

use super::key::is_generated;
use crate::dns::name::{self, MAX_NAME};
use crate::dns::nsec3::{self, Hash, Parameters};
use crate::dns::{Name, Type, push_type_bitmap};
use crate::zone::node::Marks;
use crate::zone::{Node, Zone};

/// A name with authority in a zone, or a delegation from it.
#[derive(Clone, Copy)]
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
        push_type_bitmap(types.into_iter().collect(), &mut data);
        (owner.clone(), data)
    };
    names.iter().zip(next).map(link).collect()
}

/// A name of a chain of NSEC3 records.
pub(super) struct Hashed<'z> {
    /// The hash of the name.
    pub(super) hash: Hash,
    /// The name, unless it is an empty non-terminal.
    pub(super) member: Option<Member<'z>>,
    /// Whether the chain needs a record for the name even with opt-out: it is not an unsigned delegation, nor an empty
    /// non-terminal that only exists because of such (RFC 5155 §7.1).
    pub(super) is_required: bool,
}

/// Returns the names of a zone's chain of NSEC3 records with these parameters, by hash.
pub(super) fn hashed<'z>(zone: &'z Zone, parameters: &Parameters) -> Vec<Hashed<'z>> {
    let apex = zone.apex().label_count();
    let mut hashes = Vec::new();
    // The last name, and the last required one: the ancestors that another name shares with it are there already.
    let (mut last, mut last_required) = (zone.apex().as_wire(), zone.apex().as_wire());
    for member in members(zone) {
        let owner = member.node.owner();
        let is_required = !member.is_unsigned_cut();
        let shared = name::common_labels(if is_required { last_required } else { last }, owner).max(apex);
        hashes.push(Hashed { hash: parameters.hash(owner), member: Some(member), is_required });
        let mut above = name::parent(owner);
        while name::labels(above).count() > shared {
            hashes.push(Hashed { hash: parameters.hash(above), member: None, is_required });
            above = name::parent(above);
        }
        last = owner;
        if is_required {
            last_required = owner;
        }
    }
    hashes.sort_by_key(|hashed| hashed.hash);
    hashes.dedup_by(|again, first| {
        let is_same = again.hash == first.hash;
        if is_same {
            first.is_required |= again.is_required;
            first.member = first.member.or(again.member);
        }
        is_same
    });
    hashes
}

/// Returns the NSEC3 records of a chain, each with the types that `types` returns; `None` if their owners would be too
/// long.
pub(super) fn nsec3(
    zone: &Zone,
    hashes: &[Hashed<'_>],
    parameters: &Parameters,
    opt_out: bool,
    types: impl Fn(&Member<'_>) -> BTreeSet<Type>,
) -> Option<Vec<Link>> {
    let next = hashes.iter().cycle().skip(1);
    let link = |(hashed, next): (&Hashed<'_>, &Hashed<'_>)| {
        let mut data = vec![nsec3::SHA1, u8::from(opt_out)];
        data.extend(parameters.iterations.to_be_bytes());
        data.push(parameters.salt.len() as u8);
        data.extend_from_slice(&parameters.salt);
        data.push(nsec3::HASH as u8);
        data.extend_from_slice(&next.hash);
        let types = hashed.member.as_ref().map(&types).unwrap_or_default();
        push_type_bitmap(types.into_iter().collect(), &mut data);
        let mut buffer = [0; MAX_NAME];
        let owner = nsec3::owner(&hashed.hash, zone.apex().as_wire(), &mut buffer)?;
        Some((Name::from_wire(owner).ok()?, data))
    };
    hashes.iter().zip(next).map(link).collect()
}
