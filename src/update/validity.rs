//! Checks that the result of an update is a zone that the zone-file reader would accept.
//!
//! The rules of RFC 2136 §3.4.2 already prevent missing SOA and NS records, multiple records of singleton types and
//! other data at a CNAME. The remaining cases are oversized RRsets and names below a DNAME record: new names, existing
//! names below a new DNAME, and existing names below an existing DNAME that a delegation hid so far. Only the amended
//! names and the names below them are checked.

use super::{Refusal, shown};
use crate::dns::Name;
use crate::dns::message::Rcode;
use crate::zone::{Amendment, Node, Zone};
use crate::zonefile::{TSIG_KEY, is_tsig_key};

/// The maximum number of records in an RRset: as many as a message can count.
const MAX_RRSET: usize = 65_535;

/// The reason if the amendments do not result in a zone.
const NO_ZONE: &str = "the zone would have no SOA record, or a name more than 65535 records of one type";

/// Checks the zone that results from amendments; `zone` is `None` for a new zone.
pub(super) fn check(zone: Option<&Zone>, apex: &Name, amendments: &[Amendment]) -> Result<(), Refusal> {
    let refused = |reason: String| Refusal::new(Rcode::REFUSED, reason);
    for Amendment { owner, rtype, data, .. } in amendments {
        if data.len() > MAX_RRSET {
            let reason =
                format!("{} would have {} {rtype} records; the maximum is {MAX_RRSET}", shown(owner), data.len());
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
            let reason = format!("{} would be below the DNAME record of {}", shown(&name), shown(&dname));
            return Err(refused(reason));
        }
    }
    Ok(())
}
