//! Validation of whole zones: finds the errors that validators would report (RFC 4035 §5, RFC 5155 §8).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::chain::{self, Member};
use super::digest::{DigestError, check_digest};
use super::key::{DigestType, KeyAlgorithm, PublicKey, delegation_signer};
use super::signature::{Rrsig, SignatureError, label_count};
use crate::dns::nsec3::{self, Hash, Nsec3, Parameters};
use crate::dns::{Serial, Severity, Type, bitmap_types, name};
use crate::zone::{Node, RRset, Zone};

/// The maximum number of findings that are kept with their text; the others are counted.
const MAX_FINDINGS: usize = 20;

/// The time before the end of a signature at which a warning is given, in seconds.
const SOON: u32 = 3 * 86_400;

/// The number of NSEC3 iterations above which validators treat a zone as unsigned (RFC 9276 §3.2).
const MAX_ITERATIONS: u16 = 100;

/// One thing that is wrong with a signed zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// How bad it is: validators reject some or all answers from a zone with an error, and accept one with warnings, but
    /// perhaps not for long, or not all of them.
    pub severity: Severity,
    /// What is wrong and where.
    pub reason: String,
    /// How to fix it.
    pub hint: &'static str,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (hint: {})", self.reason, self.hint)
    }
}

/// The result of the validation of a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validation {
    /// Whether the zone is signed at all; if not, there are no findings.
    pub is_signed: bool,
    /// The findings, at most twenty.
    pub findings: Vec<Flaw>,
    /// The number of errors, including those that are not among the findings.
    pub errors: usize,
    /// The number of warnings, including those that are not among the findings.
    pub warnings: usize,
    /// The number of signatures that were not verified because of the limit.
    pub unverified: usize,
    /// The time when the first signature expires, in seconds since 1970 modulo 2³².
    pub expires: Option<u32>,
}

/// The hint for most findings.
const SIGN_AGAIN: &str = "sign the zone again";

/// Validates a zone at the time `unix`, in seconds since 1970, and verifies at most `limit` signatures,
/// each of which takes up to 0.2 ms.
#[must_use]
pub fn validate(zone: &Zone, unix: u64, limit: usize) -> Validation {
    let Some(apex) = zone.node(zone.apex()) else { return Validation::default() };
    let signed = [Type::DNSKEY, Type::RRSIG, Type::NSEC, Type::NSEC3PARAM];
    if signed.iter().all(|rtype| apex.rrset(*rtype).is_none()) {
        return Validation::default();
    }
    let data: Vec<&[u8]> = apex.rrset(Type::DNSKEY).into_iter().flat_map(|rrset| rrset.rdata()).collect();
    let keys: Vec<_> = data.iter().filter_map(|data| PublicKey::new(data)).filter(|key| key.may_sign()).collect();
    let algorithms = keys.iter().map(|key| key.algorithm()).collect();
    let now = unix as u32;
    let result = Validation { is_signed: true, ..Validation::default() };
    let mut validator = Validator { zone, keys, algorithms, now, limit, result };
    validator.keys(apex);
    if !validator.keys.is_empty() {
        validator.signatures();
        validator.chains(apex);
    }
    validator.digest();
    validator.delegation_signers(apex);
    validator.expiry();
    validator.result
}

struct Validator<'z> {
    zone: &'z Zone,
    keys: Vec<PublicKey<'z>>,
    algorithms: BTreeSet<KeyAlgorithm>,
    now: u32,
    limit: usize,
    result: Validation,
}

impl Validation {
    /// Returns the first error, if there is one.
    #[must_use]
    pub fn first_error(&self) -> Option<&Flaw> {
        self.findings.iter().find(|finding| finding.severity == Severity::Error)
    }

    /// Returns the number of findings that were counted only.
    #[must_use]
    pub fn more(&self) -> usize {
        (self.errors + self.warnings).saturating_sub(self.findings.len())
    }

    /// Returns whether a later validation of the same zone, at the time `unix` in seconds since 1970, may find something
    /// else: the end of a signature is near, or a finding may be about time.
    #[must_use]
    pub fn may_change(&self, unix: u64) -> bool {
        let soon = Serial((unix as u32).wrapping_add(SOON));
        !self.findings.is_empty() || self.expires.is_some_and(|expires| soon.is_newer_than(Serial(expires)))
    }
}

impl<'z> Validator<'z> {
    fn add(&mut self, severity: Severity, reason: String, hint: &'static str) {
        match severity {
            Severity::Error => self.result.errors += 1,
            Severity::Warning => self.result.warnings += 1,
        }
        let finding = Flaw { severity, reason, hint };
        if self.result.findings.len() < MAX_FINDINGS {
            self.result.findings.push(finding);
        } else if severity == Severity::Error
            && let Some(last) = self.result.findings.iter_mut().rev().find(|last| last.severity == Severity::Warning)
        {
            // Errors matter more.
            *last = finding;
        }
    }

    fn error(&mut self, reason: String, hint: &'static str) {
        self.add(Severity::Error, reason, hint);
    }

    fn warning(&mut self, reason: String, hint: &'static str) {
        self.add(Severity::Warning, reason, hint);
    }

    /// Checks the DNSKEY RRset.
    fn keys(&mut self, apex: &Node) {
        if self.keys.is_empty() {
            let reason = format!("{} has signatures, but no DNSKEY record of a zone key", self.zone.apex());
            self.error(reason, "publish the keys that made the signatures, or remove the signatures");
        } else if apex.rrset(Type::RRSIG).is_none() {
            let reason = format!("{} has DNSKEY records, but no signatures", self.zone.apex());
            self.error(reason, "sign the zone, or remove the keys");
        }
        let unsupported: Vec<_> =
            self.algorithms.iter().filter(|algorithm| !algorithm.is_supported()).map(KeyAlgorithm::to_string).collect();
        if !unsupported.is_empty() {
            let reason = format!(
                "signatures of algorithm {} are not verified: the algorithm is not supported here",
                unsupported.join(", ")
            );
            self.warning(reason, "many validators do not support it either; use ECDSAP256SHA256 (13)");
        }
    }

    /// Checks the signatures of all RRsets.
    fn signatures(&mut self) {
        let mut members = chain::members(self.zone).peekable();
        for node in self.zone.iter() {
            let nsec3 = node.rrset(Type::NSEC3);
            if let Some(rrset) = nsec3 {
                self.rrset(node, rrset);
            }
            match members.next_if(|member| member.node.is_same(node)) {
                Some(member) => self.member(&member),
                None if nsec3.is_none() && node.rrset(Type::RRSIG).is_some() => {
                    let owner = name::Display(node.owner());
                    let reason = format!("{owner} has signatures, but the zone does not answer for it");
                    self.warning(reason, "remove them: glue and hidden names are not signed (RFC 4035 §2.2)");
                }
                None => {}
            }
        }
    }

    /// Checks the signatures of a name that the zone answers for.
    fn member(&mut self, member: &Member<'_>) {
        let node = member.node;
        for rrset in node.types().filter(|rrset| member.signs(rrset.rtype()) && rrset.rtype() != Type::NSEC3) {
            self.rrset(node, rrset);
        }
        for signatures in node.rrsets() {
            let Some(covered) = signatures.covers() else { continue };
            let shown = name::Display(node.owner());
            if node.rrset(covered).is_none() {
                let reason = format!("{shown} has a signature of type {covered}, but no such records");
                self.warning(reason, SIGN_AGAIN);
            } else if !member.signs(covered) && covered != Type::NSEC3 {
                let reason = format!("{shown} is delegated, but its {covered} records are signed");
                self.warning(reason, "remove the signature: only DS and NSEC are signed here (RFC 4035 §2.2)");
            }
        }
    }

    /// Checks the signatures of an RRset.
    fn rrset(&mut self, node: &Node, rrset: RRset<'_>) {
        let (rtype, shown) = (rrset.rtype(), name::Display(node.owner()).to_string());
        let signatures: Vec<_> = node.signatures(rtype).into_iter().flat_map(|rrset| rrset.rdata()).collect();
        let (mut good, mut problems) = (BTreeSet::new(), Vec::new());
        for data in &signatures {
            let Some(signature) = Rrsig::new(data) else { continue };
            match self.signature(node, rrset, &signature) {
                Ok(()) => drop(good.insert(signature.algorithm)),
                Err(problem) => problems.push(problem),
            }
        }
        if good.is_empty() {
            let reason = match problems.first() {
                None => format!("the {rtype} records of {shown} are not signed"),
                Some(problem) => format!("the {rtype} records of {shown} have no valid signature: {problem}"),
            };
            return self.error(reason, SIGN_AGAIN);
        }
        for problem in problems {
            self.warning(
                format!("one signature of the {rtype} records of {shown} is not valid: {problem}"),
                SIGN_AGAIN,
            );
        }
        let missing: Vec<_> = self.algorithms.difference(&good).map(KeyAlgorithm::to_string).collect();
        if !missing.is_empty() {
            let reason =
                format!("the {rtype} records of {shown} have no valid signature of algorithm {}", missing.join(", "));
            self.warning(reason, "sign with a key of each algorithm in the DNSKEY records (RFC 4035 §2.2)");
        }
    }

    /// Checks one signature; the error says what is wrong with it.
    fn signature(&mut self, node: &Node, rrset: RRset<'_>, signature: &Rrsig<'_>) -> Result<(), String> {
        let apex = self.zone.apex();
        if !name::eq(signature.signer, apex.as_wire()) {
            return Err(format!("its signer is {}, not {apex}", name::Display(signature.signer)));
        }
        if usize::from(signature.labels) != label_count(node.owner()) {
            return Err(format!("it counts {} labels instead of {}", signature.labels, label_count(node.owner())));
        }
        if signature.original_ttl < rrset.ttl() {
            return Err(format!(
                "the TTL is {}, but the signature allows {} at most",
                rrset.ttl(),
                signature.original_ttl
            ));
        }
        if !signature.is_valid_at(self.now) {
            return Err(if Serial(signature.inception).is_newer_than(Serial(self.now)) {
                format!("it is not valid before {}", date(signature.inception))
            } else {
                format!("it expired at {}", date(signature.expiration))
            });
        }
        if self.result.expires.is_none_or(|first| Serial(first).is_newer_than(Serial(signature.expiration))) {
            self.result.expires = Some(signature.expiration);
        }
        let tag = signature.key_tag;
        let of_tag = self.keys.iter().filter(|key| key.tag() == tag && key.algorithm() == signature.algorithm);
        let keys: Vec<_> = of_tag.copied().collect();
        if keys.is_empty() {
            return Err(format!(
                "its key (tag {tag}, algorithm {}) is not among the DNSKEY records",
                signature.algorithm
            ));
        }
        let mut outcome = Err(SignatureError::Mismatch);
        for key in keys {
            if self.limit == 0 {
                self.result.unverified += 1;
                return Ok(());
            }
            self.limit -= 1;
            outcome = signature.verify(node.owner(), rrset.rdata(), key);
            // A signature of an unsupported algorithm cannot be verified; one warning covers all of them.
            if matches!(outcome, Ok(()) | Err(SignatureError::Unsupported(_))) {
                return Ok(());
            }
        }
        outcome.map_err(|error| format!("{error} (key tag {tag})"))
    }

    /// Checks the chains that prove nonexistence.
    fn chains(&mut self, apex: &Node) {
        let parameters = apex.rrset(Type::NSEC3PARAM).and_then(|rrset| rrset.rdata().find_map(Parameters::of));
        let has_nsec = apex.rrset(Type::NSEC).is_some();
        if has_nsec {
            self.nsec();
        }
        match parameters {
            Some(parameters) => self.nsec3(&parameters),
            None if !has_nsec => {
                let reason = format!("{} has neither NSEC nor NSEC3PARAM records", self.zone.apex());
                self.error(reason, "sign the zone with a chain of NSEC or NSEC3 records");
            }
            None => {}
        }
    }

    /// Checks the NSEC records (RFC 4035 §2.3).
    fn nsec(&mut self) {
        let mut members = chain::members(self.zone).peekable();
        while let Some(member) = members.next() {
            let next = members.peek().map_or(self.zone.apex().as_wire(), |next| next.node.owner());
            let shown = name::Display(member.node.owner());
            let data = member.node.rrset(Type::NSEC).and_then(|rrset| rrset.rdata().next());
            let Some((named, map)) = data.and_then(|data| Some(data.split_at(name::wire_len(data)?))) else {
                self.error(format!("{shown} has no NSEC record"), SIGN_AGAIN);
                continue;
            };
            if !name::eq(named, next) {
                let (named, next) = (name::Display(named), name::Display(next));
                self.error(
                    format!("the NSEC record of {shown} names {named}, but the next name is {next}"),
                    SIGN_AGAIN,
                );
            }
            let mut expected = present(&member);
            expected.insert(Type::NSEC);
            self.bitmap(&format!("NSEC record of {shown}"), map, &expected);
        }
    }

    /// Checks the NSEC3 records with some parameters (RFC 5155 §7.1).
    fn nsec3(&mut self, parameters: &Parameters) {
        if parameters.iterations > MAX_ITERATIONS {
            let reason =
                format!("{} iterations of NSEC3: validators treat the zone as unsigned", parameters.iterations);
            self.error(reason, "use 0 iterations (RFC 9276 §3.1)");
            // Each hash would cost too much.
            return;
        }
        if parameters.iterations > 0 {
            let reason = format!("{} further iterations of NSEC3 only cost time", parameters.iterations);
            self.warning(reason, "use 0 iterations (RFC 9276 §3.1)");
        }
        let mut records: BTreeMap<Hash, Nsec3<'_>> = BTreeMap::new();
        for node in self.zone.iter() {
            let data = node.rrset(Type::NSEC3).into_iter().flat_map(|rrset| rrset.rdata());
            if let (Some(record), Some(hash)) =
                (data.filter_map(|data| parameters.record(data)).last(), nsec3::hash_in(node.owner()))
            {
                records.insert(hash, record);
            }
        }
        let names = chain::hashed(self.zone, parameters);
        let next = records.keys().cycle().skip(1).copied();
        for ((hash, record), next) in records.iter().zip(next.take(records.len()).collect::<Vec<_>>()) {
            let shown = shown(hash);
            if record.next != next {
                let (named, next) = (self::shown(&record.next), self::shown(&next));
                let reason = format!("the NSEC3 record {shown} names {named}, but the next hash is {next}");
                self.error(reason, SIGN_AGAIN);
            }
            match names.binary_search_by_key(hash, |hashed| hashed.hash) {
                Ok(at) => {
                    let expected = names[at].member.as_ref().map(present).unwrap_or_default();
                    self.bitmap(&format!("NSEC3 record {shown}"), record.types, &expected);
                }
                Err(_) => self.warning(format!("the NSEC3 record {shown} matches no name in the zone"), SIGN_AGAIN),
            }
        }
        for hashed in names.iter().filter(|hashed| !records.contains_key(&hashed.hash)) {
            let covering = records.range(..hashed.hash).next_back().or_else(|| records.last_key_value());
            if hashed.is_required || !covering.is_some_and(|(_, record)| record.opt_out) {
                let named = hashed.member.as_ref().map_or("an empty non-terminal".to_string(), |member| {
                    name::Display(member.node.owner()).to_string()
                });
                self.error(format!("{named} has no NSEC3 record (its hash is {})", shown(&hashed.hash)), SIGN_AGAIN);
            }
        }
    }

    /// Compares the types that a record lists with those that are there.
    fn bitmap(&mut self, record: &str, map: &[u8], expected: &BTreeSet<Type>) {
        let listed = &bitmap_types(map).collect();
        let list = |types: std::collections::btree_set::Difference<'_, Type>| {
            types.map(Type::to_string).collect::<Vec<_>>().join(" ")
        };
        let (missing, extra) = (list(expected.difference(listed)), list(listed.difference(expected)));
        if !missing.is_empty() {
            self.error(format!("the {record} does not list {missing}, which exist"), SIGN_AGAIN);
        }
        if !extra.is_empty() {
            self.error(format!("the {record} lists {extra}, which do not exist"), SIGN_AGAIN);
        }
    }

    /// Checks the digest of the zone.
    fn digest(&mut self) {
        match check_digest(self.zone) {
            Ok(()) => {}
            Err(error @ DigestError::Unsupported) => {
                self.warning(error.to_string(), "use scheme 1 and hash algorithm 1")
            }
            Err(error) => {
                self.error(error.to_string(), "sign the zone again after each change, or remove the ZONEMD record")
            }
        }
    }

    /// Checks CDS and CDNSKEY records: each is for a key that signs the keys, or the one record that asks for removal (RFC 7344
    /// §4.1, RFC 8078 §4).
    fn delegation_signers(&mut self, apex: &Node) {
        let zone = self.zone;
        let of = |rtype: Type| apex.rrset(rtype).into_iter().flat_map(|rrset| rrset.rdata());
        let keys: Vec<_> = self.keys.clone();
        for data in of(Type::CDS).filter(|data| **data != [0, 0, 0, 0, 0]) {
            let digest_type = data.get(3).and_then(|number| DigestType::from_number(*number));
            let Some(digest_type) = digest_type else { continue };
            if !keys.iter().any(|key| delegation_signer(zone.apex(), *key, digest_type) == data) {
                let tag = u16::from_be_bytes([data[0], data[1]]);
                let reason = format!("the CDS record with key tag {tag} matches no DNSKEY record");
                self.error(reason, "remove it: the parent must not publish a DS record for it (RFC 7344 §4.1)");
            }
        }
        for data in of(Type::CDNSKEY).filter(|data| **data != [0, 0, 3, 0, 0]) {
            if !keys.iter().any(|key| key.data() == data) {
                let reason =
                    format!("the CDNSKEY record with key tag {} matches no DNSKEY record", super::key::key_tag(data));
                self.error(reason, "remove it: the parent must not publish a DS record for it (RFC 7344 §4.1)");
            }
        }
        let elsewhere = zone.iter().filter(|node| node.owner().len() != apex.owner().len());
        let owners: Vec<_> = elsewhere
            .filter(|node| node.rrset(Type::CDS).or(node.rrset(Type::CDNSKEY)).is_some())
            .map(|node| name::Display(node.owner()).to_string())
            .collect();
        for owner in owners {
            self.warning(
                format!("{owner} has CDS or CDNSKEY records, but is not the apex"),
                "remove them (RFC 7344 §4.1)",
            );
        }
    }

    /// Warns of signatures that expire soon.
    fn expiry(&mut self) {
        let Some(expires) = self.result.expires else { return };
        let left = expires.wrapping_sub(self.now);
        if left < SOON {
            let time = match left {
                0..7_200 => format!("{} minutes", left / 60),
                7_200..172_800 => format!("{} hours", left / 3_600),
                _ => format!("{} days", left / 86_400),
            };
            self.warning(format!("the first signature expires in {time}, at {}", date(expires)), SIGN_AGAIN);
        }
    }
}

/// Returns the types that an NSEC or NSEC3 record of a name must list, except NSEC itself.
fn present(member: &Member<'_>) -> BTreeSet<Type> {
    let types = member.node.types().map(|rrset| rrset.rtype());
    let is_listed = |rtype: &Type| match *rtype {
        Type::NSEC | Type::NSEC3 => false,
        rtype if member.is_cut => matches!(rtype, Type::NS | Type::DS | Type::RRSIG),
        _ => true,
    };
    types.filter(is_listed).collect()
}

/// Returns the first label of a hash's record.
fn shown(hash: &Hash) -> String {
    String::from_utf8_lossy(&nsec3::label(hash)).into_owned()
}

/// Returns a time in seconds since 1970 modulo 2³² as a date and time in UTC.
fn date(unix: u32) -> String {
    jiff::Timestamp::from_second(unix.into()).map_or_else(|_| unix.to_string(), |time| time.to_string())
}
