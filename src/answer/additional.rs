//! The additional section: records that the client will probably need next (RFC 1034 §4.3.2 step 6).

use super::writer::{Full, Section, Writer};
use crate::dns::rdata::naptr;
use crate::dns::{Additional, Type, name};
use crate::zone::{Key, Lookup, Node, RRset, Zone};

/// The maximum number of hosts whose records are added to an answer.
const MAX_HOSTS: usize = 64;

const ADDRESSES: &[Type] = &[Type::A, Type::AAAA];

/// A host in the data of an answer, and the types of its records to add.
type HostAndTypes<'z> = (&'z [u8], &'static [Type]);

/// Returns whether the data of a type contains hosts whose records belong to the answer.
#[inline]
pub(super) fn is_due(rtype: Type) -> bool {
    rtype.additional() != Additional::None
}

/// Adds the records of the hosts in the data of `owner`'s `rrset`, as far as there is room.
pub(super) fn add(writer: &mut Writer<'_>, zone: &Zone, rrset: RRset<'_>, owner: &[u8], dnssec: bool) {
    let mut added: [&[u8]; MAX_HOSTS] = [&[]; MAX_HOSTS];
    let mut count = 0;
    for (host, types) in rrset.rdata().filter_map(|data| host_and_types(rrset.rtype(), data)) {
        // RFC 9460 §2.5.2: in service mode the root means the owner.
        let host = if host.len() == 1 && matches!(rrset.rtype(), Type::SVCB | Type::HTTPS) { owner } else { host };
        // Several services may run on one host.
        if added[..count].iter().any(|other| name::eq(other, host)) {
            continue;
        }
        if count == MAX_HOSTS || records(writer, zone, host, types, rrset.rtype() == Type::NS, dnssec).is_err() {
            return;
        }
        added[count] = host;
        count += 1;
    }
}

/// Adds the addresses of a host in a delegation, whether below the cut or not.
pub(super) fn glue(writer: &mut Writer<'_>, zone: &Zone, host: &[u8], dnssec: bool) -> Result<(), Full> {
    records(writer, zone, host, ADDRESSES, true, dnssec)
}

/// Returns the host in a record's data and the types to add for it.
fn host_and_types(rtype: Type, data: &[u8]) -> Option<HostAndTypes<'_>> {
    let name_at = |at: usize| data.get(at..).and_then(|rest| rest.get(..name::wire_len(rest)?));
    match rtype.additional() {
        Additional::None => None,
        Additional::Host => Some((name_at(rtype.names()?.0)?, ADDRESSES)),
        // RFC 9460 §4.1; in alias mode (priority 0, §2.4.2) the target has records of the same type, and the root means
        // that there is no service.
        Additional::Service => match (data.first_chunk::<2>()?, name_at(2)?) {
            ([0, 0], [0]) => None,
            ([0, 0], target) if rtype == Type::SVCB => Some((target, &[Type::A, Type::AAAA, Type::SVCB])),
            ([0, 0], target) => Some((target, &[Type::A, Type::AAAA, Type::HTTPS])),
            (_, target) => Some((target, ADDRESSES)),
        },
        // RFC 3403 §4.1: order, preference, flags, services, regular expression, replacement; RFC 3404 §4.2 for the flags.
        Additional::Replacement => {
            let types = match data.get(5..5 + usize::from(*data.get(4)?))? {
                [b'a' | b'A'] => ADDRESSES,
                [b's' | b'S'] => &[Type::SRV],
                _ => return None,
            };
            Some((name_at(naptr::replacement_at(data)?)?, types))
        }
    }
}

/// Adds a host's RRsets of the given types; those below a zone cut only if `glue` is set. Signatures are added if `dnssec`
/// is set and they fit (RFC 4035 §3.1.1).
fn records(
    writer: &mut Writer<'_>,
    zone: &Zone,
    host: &[u8],
    types: &[Type],
    glue: bool,
    dnssec: bool,
) -> Result<(), Full> {
    let Some((node, is_expanded)) = find(zone, host, glue) else { return Ok(()) };
    for rrset in types.iter().filter_map(|rtype| node.rrset(*rtype)) {
        let signatures = if dnssec { node.signatures(rrset.rtype()) } else { None };
        // The signatures of a wildcard prove nothing without the proof that there is no closer name.
        if signatures.is_some() && is_expanded {
            return Ok(());
        }
        writer.rrset(Section::Additional, Some(host), rrset)?;
        if let Some(signatures) = signatures {
            let _ = writer.signatures(Section::Additional, Some(host), signatures, rrset.ttl());
        }
    }
    Ok(())
}

/// Returns the node of a host in the zone, or of the wildcard that matches it and `true`.
fn find<'z>(zone: &'z Zone, host: &[u8], glue: bool) -> Option<(&'z Node, bool)> {
    if !name::is_at_or_below(host, zone.apex().as_wire()) {
        return None;
    }
    let mut key = Key::empty();
    key.set(host);
    match zone.lookup(host, &key) {
        Lookup::Node(node) => Some((node, false)),
        Lookup::Wildcard(node) => Some((node, true)),
        Lookup::Delegation { .. } if glue => zone.node_at(host, &key).map(|node| (node, false)),
        _ => None,
    }
}
