//! Signing of zones: a pure function of the zone, its keys, the policy and the day.

use std::fmt;

use super::chain::{self, Member};
use super::digest::zone_digest;
use super::key::{DigestType, delegation_signer, is_generated};
use super::signature::{Rrsig, label_count};
use super::signer::SigningKey;
use crate::dns::nsec3::{Parameters, SHA1};
use crate::dns::{Name, Type};
use crate::zone::node::RECORD_HEAD;
use crate::zone::{Amendment, Node, RRset, Zone};

/// One day in seconds.
const DAY: u32 = 86_400;

/// The number of days after which a signature is renewed; each day, the signatures of one group of names are renewed.
const PERIOD: u32 = 7;

/// The time by which the inception of a signature precedes its day, in seconds: clocks of validators may be slow.
const SLACK: u32 = 3_600;

/// The method by which a zone proves nonexistence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DenialMethod {
    /// By NSEC records (RFC 4034 §4).
    #[default]
    Nsec,
    /// By NSEC3 records without salt and further iterations (RFC 9276 §3.1).
    Nsec3 {
        /// Whether unsigned delegations are left out (RFC 5155 §6).
        opt_out: bool,
    },
}

/// How a zone is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SigningPolicy {
    /// The method by which the zone proves nonexistence.
    pub denial: DenialMethod,
    /// Whether CDS and CDNSKEY records are published for the keys that the parent's DS records should name (RFC 7344).
    pub cds: bool,
    /// Whether a digest of the whole zone is published (RFC 8976).
    pub zonemd: bool,
}

/// The reason why a zone cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignError {
    /// The zone's name is too long for the owners of NSEC3 records.
    LongName,
    /// An RRset would become too large.
    Large,
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LongName => "its name is too long for NSEC3 records; use NSEC",
            Self::Large => "a name would have too many records",
        })
    }
}

impl std::error::Error for SignError {}

/// The inputs that all signatures of a zone share.
struct Signer<'s> {
    zone: &'s Zone,
    keys: &'s [SigningKey],
    day: u32,
    /// How long signatures are valid after they are made, in seconds.
    validity: u32,
    /// The zone as it was signed last, if it was: its signatures are used again where they fit.
    before: Option<&'s Zone>,
}

/// Signs a zone for a day, which is counted from 1970.
///
/// Records of earlier signing are replaced; DNSKEY, CDS and CDNSKEY records of the zone are kept in addition to ours, for zones
/// with several signers (RFC 8901). Signatures are valid from the start of the day for at least the SOA record's expire time
/// and a week; those of a name are renewed every seventh day. Equal input gives equal output; `before` only saves
/// work: it is the zone as signed last, possibly with other content.
///
/// # Errors
///
/// The signed zone could not be served.
pub fn sign(
    zone: &Zone,
    keys: &[SigningKey],
    policy: &SigningPolicy,
    day: u32,
    before: Option<&Zone>,
) -> Result<Zone, SignError> {
    let soa = zone.soa();
    let minimum = soa.and_then(|soa| soa.rdata().next()?.last_chunk::<4>().copied()).map_or(0, u32::from_be_bytes);
    let expire = soa.and_then(|soa| soa.rdata().next()?.last_chunk::<8>().copied());
    let expire = expire.map_or(0, |[a, b, c, d, ..]| u32::from_be_bytes([a, b, c, d]));
    let soa_ttl = soa.map_or(0, |soa| soa.ttl());
    // RFC 9077 §3.
    let denial_ttl = soa_ttl.min(minimum);

    let plain = without_generated(zone).ok_or(SignError::Large)?;
    let plain = plain.amend(&apex_records(&plain, keys, policy, soa_ttl)).ok_or(SignError::Large)?;
    let chained = plain.amend(&chain(&plain, policy, denial_ttl)?).ok_or(SignError::Large)?;
    // A signature must outlive the time for which secondaries serve the zone without contact to a primary.
    let validity = (PERIOD * DAY).saturating_add(expire.clamp(PERIOD * DAY, 366 * DAY));
    let signer = Signer { zone: &chained, keys, day, validity, before };
    let mut signatures = Vec::new();
    for member in chain::members(&chained) {
        signer.member(&member, &mut signatures);
    }
    for node in chained.iter().filter(|node| node.rrset(Type::NSEC3).is_some()) {
        signer.rrset(node, Type::NSEC3, &mut signatures);
    }
    let signed = chained.amend(&signatures).ok_or(SignError::Large)?;
    if policy.zonemd { with_digest(&signed, &signer) } else { Ok(signed) }
}

/// Returns a zone without the records of earlier signing.
fn without_generated(zone: &Zone) -> Option<Zone> {
    let mut amendments = Vec::new();
    for node in zone.iter() {
        for rrset in node.rrsets().filter(|rrset| is_generated(rrset.rtype())) {
            let Ok(owner) = Name::from_wire(node.owner()) else { continue };
            let (rtype, covers) = (rrset.rtype(), rrset.covers());
            amendments.push(Amendment { owner, rtype, covers, ttl: 0, data: Vec::new() });
        }
    }
    if amendments.is_empty() { Some(zone.clone()) } else { zone.amend(&amendments) }
}

/// Returns an amendment that adds data to an RRset, or creates it with a TTL.
fn added(zone: &Zone, rtype: Type, ttl: u32, new: impl Iterator<Item = Vec<u8>>) -> Amendment {
    let old = zone.node(zone.apex()).and_then(|node| node.rrset(rtype));
    let ttl = old.map_or(ttl, |rrset| rrset.ttl());
    let data = old.into_iter().flat_map(|rrset| rrset.rdata().map(Box::from)).chain(new.map(Vec::into_boxed_slice));
    Amendment { owner: zone.apex().clone(), rtype, covers: None, ttl, data: data.collect() }
}

/// Returns the amendments of the apex that describe how the zone is signed.
fn apex_records(zone: &Zone, keys: &[SigningKey], policy: &SigningPolicy, ttl: u32) -> Vec<Amendment> {
    let public = |key: &SigningKey| key.public().data().to_vec();
    let mut amendments = vec![added(zone, Type::DNSKEY, ttl, keys.iter().map(public))];
    if policy.cds {
        let entry_points = || keys.iter().filter(|key| key.role().signs_keys());
        let ds = |key: &SigningKey| delegation_signer(zone.apex(), key.public(), DigestType::Sha256);
        amendments.push(added(zone, Type::CDS, ttl, entry_points().map(ds)));
        amendments.push(added(zone, Type::CDNSKEY, ttl, entry_points().map(public)));
    }
    let mut replaced = |rtype, ttl, data: Vec<Box<[u8]>>| {
        amendments.push(Amendment { owner: zone.apex().clone(), rtype, covers: None, ttl, data });
    };
    if let DenialMethod::Nsec3 { .. } = policy.denial {
        replaced(Type::NSEC3PARAM, 0, vec![[SHA1, 0, 0, 0, 0].into()]);
    }
    if policy.zonemd {
        // The digest comes last, but the type must be in the bitmap.
        replaced(Type::ZONEMD, ttl, vec![Box::from([0; 54])]);
    }
    amendments
}

/// Returns the chain of NSEC or NSEC3 records of a zone.
fn chain(zone: &Zone, policy: &SigningPolicy, ttl: u32) -> Result<Vec<Amendment>, SignError> {
    let links = match policy.denial {
        DenialMethod::Nsec => {
            let names = chain::members(zone).filter_map(|member| {
                let owner = Name::from_wire(member.node.owner()).ok()?;
                Some((owner.to_canonical(), member.types()))
            });
            chain::nsec(&names.collect::<Vec<_>>())
        }
        DenialMethod::Nsec3 { opt_out } => {
            let parameters = Parameters::default();
            let types = |member: &Member<'_>| {
                let mut types = member.types();
                if member.node.owner().len() == zone.apex().as_wire().len() {
                    types.insert(Type::NSEC3PARAM);
                }
                // RFC 5155 §7.1 step 3: only signed names list RRSIG.
                if types.iter().any(|rtype| member.signs(*rtype)) {
                    types.insert(Type::RRSIG);
                }
                types
            };
            let mut hashes = chain::hashed(zone, &parameters);
            hashes.retain(|hashed| hashed.is_required || !opt_out);
            chain::nsec3(zone, &hashes, &parameters, opt_out, types).ok_or(SignError::LongName)?
        }
    };
    let rtype = if policy.denial == DenialMethod::Nsec { Type::NSEC } else { Type::NSEC3 };
    let amendment =
        |(owner, data): (Name, Vec<u8>)| Amendment { owner, rtype, covers: None, ttl, data: vec![data.into()] };
    Ok(links.into_iter().map(amendment).collect())
}

/// Returns a signed zone with its digest and the signatures of that.
fn with_digest(zone: &Zone, signer: &Signer<'_>) -> Result<Zone, SignError> {
    let apex = zone.apex();
    let ttl = zone.soa().map_or(0, |soa| soa.ttl());
    let data = vec![zone_digest(zone).into_boxed_slice()];
    let digest = Amendment { owner: apex.clone(), rtype: Type::ZONEMD, covers: None, ttl, data };
    let digested = zone.amend(&[digest]).ok_or(SignError::Large)?;
    let mut signatures = Vec::new();
    if let Some(node) = digested.node(apex) {
        signer.rrset(node, Type::ZONEMD, &mut signatures);
    }
    digested.amend(&signatures).ok_or(SignError::Large)
}

impl Signer<'_> {
    /// Signs the RRsets of a name that the zone answers for.
    fn member(&self, member: &Member<'_>, signatures: &mut Vec<Amendment>) {
        let types = member.node.types().map(|rrset| rrset.rtype());
        for rtype in types.filter(|rtype| member.signs(*rtype) && *rtype != Type::NSEC3) {
            self.rrset(member.node, rtype, signatures);
        }
    }

    /// Signs an RRset with the keys of its kind.
    fn rrset(&self, node: &Node, rtype: Type, signatures: &mut Vec<Amendment>) {
        let (Some(rrset), Ok(owner)) = (node.rrset(rtype), Name::from_wire(node.owner())) else { return };
        // RFC 7344 §4.1: the parent's signer asks for keys that the DS record vouches for.
        let is_about_keys = matches!(rtype, Type::DNSKEY | Type::CDS | Type::CDNSKEY);
        let keys = self
            .keys
            .iter()
            .filter(|key| if is_about_keys { key.role().signs_keys() } else { key.role().signs_records() });
        let renewed = self.renewed(node.owner()) * DAY;
        let (inception, expiration) = (renewed.saturating_sub(SLACK), renewed.saturating_add(self.validity));
        let data = keys.filter_map(|key| {
            let signature = Rrsig {
                covered: rtype,
                algorithm: key.public().algorithm(),
                labels: label_count(node.owner()) as u8,
                original_ttl: rrset.ttl(),
                expiration,
                inception,
                key_tag: key.public().tag(),
                signer: self.zone.apex().as_wire(),
                octets: &[],
            };
            let again = self.before.and_then(|before| signed_before(before, &owner, rrset, &signature));
            again.or_else(|| key.sign(&signature, node.owner(), rrset.rdata())).map(Vec::into_boxed_slice)
        });
        let data: Vec<Box<[u8]>> = data.collect();
        signatures.push(Amendment { owner, rtype: Type::RRSIG, covers: Some(rtype), ttl: rrset.ttl(), data });
    }

    /// Returns the last day, up to today, on which signatures at a name were renewed.
    fn renewed(&self, owner: &[u8]) -> u32 {
        // The groups are of the name, so that they are the same on all servers (FNV-1a).
        let hash = owner.iter().fold(0x811c_9dc5_u32, |hash, octet| {
            (hash ^ u32::from(octet.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
        });
        let group = (hash ^ hash >> 16) % PERIOD;
        self.day.saturating_sub((self.day + PERIOD - group) % PERIOD)
    }
}

/// Returns the data of the signature of an RRset as it was made before, if it would be the same now.
fn signed_before(before: &Zone, owner: &Name, rrset: RRset<'_>, signature: &Rrsig<'_>) -> Option<Vec<u8>> {
    let node = before.node(owner)?;
    let old = node.rrset(rrset.rtype())?;
    // Letter case counts in some data.
    if old.image() != rrset.image() {
        return None;
    }
    let fields = signature.to_data();
    let signatures = node.signatures(rrset.rtype())?;
    signatures.records().map(|record| &record[RECORD_HEAD..]).find(|data| data.starts_with(&fields)).map(<[u8]>::to_vec)
}
