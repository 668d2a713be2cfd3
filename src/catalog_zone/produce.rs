//! The producer: builds a catalog from the names of zones (RFC 9432 §4).

use std::collections::BTreeSet;
use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::dns::{Name, Serial, Type, name};
use crate::zone::{Amendment, Zone, difference};

/// The number of octets of a name's hash in its label: enough to rule out collisions.
const HASHED: usize = 16;

/// REFRESH, RETRY, EXPIRE and MINIMUM in seconds, as in RFC 9432, appendix A; the catalog practically never expires.
const TIMERS: [u32; 4] = [3600, 600, 2_147_483_646, 0];

/// The name `invalid.` (RFC 6761 §6.4), used for server and mailbox (RFC 9432 §4).
const INVALID: &[u8] = b"\x07invalid\0";

/// The error that a catalog's name is too long: member names below it would exceed 255 octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogNameTooLong(pub Name);

impl fmt::Display for CatalogNameTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the catalog name {} is too long: member names below it would exceed 255 octets; choose a shorter name",
            self.0
        )
    }
}

impl std::error::Error for CatalogNameTooLong {}

/// Builds the catalog with the given name and member zones, of which the catalog itself is not one.
///
/// `previous` is the last catalog, which is returned if the members are unchanged. A new catalog has the serial number
/// `unix`, the time in seconds since 1970, or the one after `previous` if that is newer. So the serial rises with each
/// change, and across a reboot if there was less than one change per second before it and the clock was not set back.
///
/// A member's label depends only on its name, so it is stable across changes and reboots and never triggers a reset
/// (§5.6).
///
/// # Errors
///
/// [`CatalogNameTooLong`].
pub fn produce<'n>(
    catalog: &Name,
    members: impl IntoIterator<Item = &'n Name>,
    previous: Option<&Zone>,
    unix: u64,
) -> Result<Zone, CatalogNameTooLong> {
    let unproducible = || CatalogNameTooLong(catalog.clone());
    let members: BTreeSet<&Name> = members.into_iter().filter(|member| *member != catalog).collect();
    let below = |labels: &[&[u8]]| below(catalog, labels).ok_or_else(unproducible);
    let mut amendments =
        vec![amendment(catalog.clone(), Type::NS, INVALID), amendment(below(&[b"version"])?, Type::TXT, b"\x012")];
    // A catalog without members must also have room for them.
    below(&[&[b'0'; 2 * HASHED], b"zones"])?;
    for member in members {
        let label = label(member);
        amendments.push(amendment(below(&[label.as_bytes(), b"zones"])?, Type::PTR, member.as_wire()));
    }
    let with_serial = |serial: Serial| {
        let mut amendments = amendments.clone();
        amendments.push(amendment(catalog.clone(), Type::SOA, &soa(serial)));
        amendments.sort_by(|a, b| a.owner.cmp(&b.owner));
        Zone::of(catalog.clone(), &amendments).ok_or_else(unproducible)
    };
    let clock = Serial(unix as u32);
    let Some(previous) = previous.filter(|previous| previous.apex() == catalog) else { return with_serial(clock) };
    if difference(previous, &with_serial(previous.serial())?).is_empty() {
        return Ok(previous.clone());
    }
    let next = previous.serial().next();
    with_serial(if clock.is_newer_than(next) { clock } else { next })
}

/// Returns the label of a member zone.
fn label(member: &Name) -> String {
    let hash = Sha256::digest(member.to_canonical().as_wire());
    HEXLOWER.encode(&hash[..HASHED])
}

/// Returns a name below the catalog, or `None` if it would be too long.
fn below(catalog: &Name, labels: &[&[u8]]) -> Option<Name> {
    let mut wire = Vec::new();
    for label in labels {
        wire.push(u8::try_from(label.len()).ok()?);
        wire.extend_from_slice(label);
    }
    wire.extend_from_slice(catalog.as_wire());
    if wire.len() > name::MAX_NAME {
        return None;
    }
    Name::from_wire(&wire).ok()
}

fn amendment(owner: Name, rtype: Type, data: &[u8]) -> Amendment {
    Amendment { owner, rtype, covers: None, ttl: 0, data: vec![data.into()] }
}

fn soa(serial: Serial) -> Vec<u8> {
    let mut soa = [INVALID, INVALID].concat();
    soa.extend(serial.0.to_be_bytes());
    soa.extend(TIMERS.iter().flat_map(|timer| timer.to_be_bytes()));
    soa
}
