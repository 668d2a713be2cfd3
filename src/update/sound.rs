//! What an update must not make of a zone: all that the reader of zone files refuses.
//!
//! Missing SOA and NS records, second ones of types that stand alone and data beside a CNAME cannot come of the rules
//! of RFC 2136 §3.4.2. Left are RRsets larger than can be counted, and names below a DNAME record: new ones, old
//! ones below a new DNAME, and old ones below an old DNAME that a delegation hid until now. Only what was
//! amended and what lies below is looked at.

use super::{Refusal, shown};
use crate::dns::Name;
use crate::dns::message::Rcode;
use crate::zone::{Amendment, Node, Zone};
use crate::zonefile::{TSIG_KEY, is_tsig_key};

/// The most records one RRset may have: as many as a message could count.
const MAX_RRSET: usize = 65_535;

/// Why no zone comes of amendments.
const NO_ZONE: &str = "the zone would have no SOA record, or a name more than 65535 records of one type";

/// Checks what a zone, none for a new one, becomes by amendments.
pub(super) fn check(zone: Option<&Zone>, apex: &Name, amendments: &[Amendment]) -> Result<(), Refusal> {
    let refused = |reason: String| Refusal::new(Rcode::REFUSED, reason);
    for Amendment { owner, rtype, data, .. } in amendments {
        if data.len() > MAX_RRSET {
            let reason =
                format!("{} would have {} {rtype} records, at most {MAX_RRSET} are possible", shown(owner), data.len());
            return Err(refused(reason));
        }
        if data.iter().any(|data| is_tsig_key(*rtype, data)) {
            return Err(refused(format!("{} {rtype}: {TSIG_KEY}", shown(owner))));
        }
    }
    let amended = match zone {
        Some(zone) => zone.amend(amendments),
        None => Zone::of(apex.clone(), amendments),
    };
    let Some(amended) = amended else { return Err(refused(NO_ZONE.into())) };
    for amendment in amendments {
        if let Some((node, dname)) = amendment.below_dname(&amended) {
            let name = |node: &Node| Name::from_wire(node.owner()).unwrap_or_else(|_| amendment.owner.clone());
            let (name, dname) = (name(node), name(dname));
            let reason = format!("{} would lie below the DNAME record of {}", shown(&name), shown(&dname));
            return Err(refused(reason));
        }
    }
    Ok(())
}
