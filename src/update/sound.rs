//! What an update must not make of a zone: all that the reader of zone files refuses.
//!
//! Missing SOA and NS records, second ones of types that stand alone and data beside a CNAME cannot come of the rules
//! of RFC 2136 §3.4.2. Left are RRsets larger than can be counted, and names below a DNAME record: new ones, old
//! ones below a new DNAME, and old ones below an old DNAME that a delegation hid until now. Only what was
//! amended and what lies below is looked at.

use super::{Refusal, shown};
use crate::message::Rcode;
use crate::zone::{Amendment, Key, Lookup, Name, Node, Type, Zone};

/// The most records one RRset may have: as many as a message could count.
const MAX_RRSET: usize = 65_535;

/// Returns whether records of a type may stand beside a CNAME: those that sign it (RFC 2181 §10.1, RFC 4034 §2.5).
pub(super) fn may_stand_beside_cname(rtype: Type) -> bool {
    matches!(rtype, Type::RRSIG | Type::NSEC | Type(24 | 25 | 30))
}

/// Checks what a zone, none for a new one, becomes by amendments.
pub(super) fn check(zone: Option<&Zone>, apex: &Name, amendments: &[Amendment]) -> Result<(), Refusal> {
    let refused = |reason: String| Refusal::new(Rcode::REFUSED, reason);
    for Amendment { owner, rtype, data, .. } in amendments {
        if data.len() > MAX_RRSET {
            let reason =
                format!("{} would have {} {rtype} records, at most {MAX_RRSET} are possible", shown(owner), data.len());
            return Err(refused(reason));
        }
    }
    let amended = match zone {
        Some(zone) => zone.amend(amendments),
        None => Zone::of(apex.clone(), amendments),
    };
    let Some(amended) = amended else { return Err(refused("the zone would have no SOA record".into())) };
    for Amendment { owner, rtype, data, .. } in amendments {
        let may_reveal = match *rtype {
            Type::DNAME => !data.is_empty(),
            Type::NS => data.is_empty() && owner != apex,
            _ => false,
        };
        let below = amended.below(owner.as_wire()).take(if may_reveal { usize::MAX } else { 0 });
        for node in amended.node(owner).into_iter().chain(below) {
            if let Some(dname) = redirected(&amended, node) {
                let name = Name::from_wire(node.owner()).unwrap_or_else(|_| owner.clone());
                let dname = Name::from_wire(dname.owner()).unwrap_or_else(|_| owner.clone());
                let reason = format!("{} would lie below the DNAME record of {}", shown(&name), shown(&dname));
                return Err(refused(reason));
            }
        }
    }
    Ok(())
}

/// Returns the DNAME record's node because of which a node may not be (RFC 6672 §2.4).
fn redirected<'z>(zone: &'z Zone, node: &Node) -> Option<&'z Node> {
    // The records that prove what does not exist stand below the apex, whatever it owns (RFC 5155 §7.1).
    if node.rrsets().all(|rrset| matches!(rrset.rtype(), Type::NSEC3 | Type::RRSIG)) {
        return None;
    }
    match zone.lookup(node.owner(), &Key::new(node.owner())) {
        Lookup::Redirected(dname) => Some(dname),
        _ => None,
    }
}
