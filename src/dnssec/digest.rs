//! Digests of whole zones (RFC 8976).

use std::fmt;

use ring::digest;

use crate::dns::{Type, canonical_form};
use crate::zone::node::RECORD_HEAD;
use crate::zone::{Node, Zone};

/// The scheme that covers the records in canonical order (RFC 8976 §2.2.2).
const SIMPLE: u8 = 1;

/// The number of the hash algorithm SHA-384 (RFC 8976 §2.2.3).
const SHA384: u8 = 1;

/// The number of the hash algorithm SHA-512.
const SHA512: u8 = 2;

/// The reason why a zone's digest is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestError {
    /// The ZONEMD records are for another serial number.
    Serial(u32),
    /// No ZONEMD record has a known scheme and hash algorithm, so the digest cannot be checked.
    Unsupported,
    /// The digest is not that of the zone.
    Mismatch,
}

impl fmt::Display for DigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial(serial) => write!(f, "the ZONEMD record is for serial {serial}"),
            Self::Unsupported => f.write_str("no ZONEMD record has a known scheme and hash algorithm"),
            Self::Mismatch => f.write_str("the digest of the ZONEMD record is not that of the zone"),
        }
    }
}

impl std::error::Error for DigestError {}

/// Returns the data of the zone's ZONEMD record with the scheme SIMPLE and SHA-384 (RFC 8976 §2.2).
#[must_use]
pub fn zone_digest(zone: &Zone) -> Vec<u8> {
    let mut data = zone.serial().0.to_be_bytes().to_vec();
    data.extend([SIMPLE, SHA384]);
    data.extend_from_slice(simple(zone, &digest::SHA384).as_ref());
    data
}

/// Checks the digest of a zone, if it has one (RFC 8976 §4).
///
/// # Errors
///
/// No ZONEMD record is for this zone.
pub fn check_digest(zone: &Zone) -> Result<(), DigestError> {
    let Some(rrset) = zone.node(zone.apex()).and_then(|node| node.rrset(Type::ZONEMD)) else { return Ok(()) };
    let mut error = DigestError::Unsupported;
    for data in rrset.rdata() {
        let Some(([s0, s1, s2, s3, SIMPLE, hash], expected)) = data.split_first_chunk::<6>() else { continue };
        let serial = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
        let algorithm = match *hash {
            SHA384 => &digest::SHA384,
            SHA512 => &digest::SHA512,
            _ => continue,
        };
        if serial != zone.serial().0 {
            error = DigestError::Serial(serial);
        } else if simple(zone, algorithm).as_ref() == expected {
            return Ok(());
        } else {
            error = DigestError::Mismatch;
        }
    }
    Err(error)
}

/// Returns the digest with the scheme SIMPLE (RFC 8976 §3.3).
fn simple(zone: &Zone, algorithm: &'static digest::Algorithm) -> digest::Digest {
    let mut context = digest::Context::new(algorithm);
    for node in zone.iter() {
        add(node, zone.apex().as_wire(), &mut context);
    }
    context.finish()
}

/// Adds the records of a node in canonical order, but not the digests themselves and their signatures (§3.3.1).
fn add(node: &Node, apex: &[u8], context: &mut digest::Context) {
    let owner = node.owner().to_ascii_lowercase();
    let is_apex = owner.len() == apex.len();
    for rrset in node.types() {
        let rtype = rrset.rtype();
        let is_excluded = |data: &[u8]| {
            is_apex && (rtype == Type::ZONEMD || rtype == Type::RRSIG && rtype.covers(data) == Some(Type::ZONEMD))
        };
        let mut records: Vec<_> = rrset
            .records()
            .filter(|record| !is_excluded(&record[RECORD_HEAD..]))
            .map(|record| (canonical_form(rtype, &record[RECORD_HEAD..]), &record[..RECORD_HEAD - 2]))
            .collect();
        records.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        for (data, head) in records {
            context.update(&owner);
            // Type, class and TTL.
            context.update(&head[2..]);
            context.update(&(data.len() as u16).to_be_bytes());
            context.update(&data);
        }
    }
}
