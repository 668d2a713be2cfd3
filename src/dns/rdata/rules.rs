//! Rules for record data beyond the form of its fields, by type.
//!
//! A single record that a secondary cannot parse makes the transfer of the whole zone fail there. Therefore these rules
//! are at least as strict as the message parsers of BIND and Knot DNS, in all their versions. The table in `rtype.rs`
//! assigns a rule to a type. Each rule expects data whose fields are well-formed.

use std::borrow::Cow;
use std::fmt;

use super::{encoding, naptr, svcb};
use crate::dns::{Type, name};

/// A check of one type's data, whose fields must be well-formed.
pub(crate) type Rule = fn(&[u8]) -> Result<(), Wrong>;

/// A fault in record data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The index of the faulty field.
    pub(super) field: usize,
    /// The reason.
    pub(crate) reason: Cow<'static, str>,
    /// How to fix it, if the reason does not already say so.
    pub(super) fix: Option<Cow<'static, str>>,
}

impl Wrong {
    pub(super) fn new(field: usize, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { field, reason: reason.into(), fix: None }
    }

    fn fix(mut self, fix: impl Into<Cow<'static, str>>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Checks that records of a type are allowed at an owner in wire form. The owner of an NSEC3 record begins with a hash
/// (RFC 5155 §3); BIND rejects any message where it does not.
pub(crate) fn owner(rtype: Type, owner: &[u8]) -> Result<(), Wrong> {
    let label = name::labels(owner).next().unwrap_or_default();
    if rtype != Type::NSEC3 || encoding::base32(label).is_some() {
        return Ok(());
    }
    let wrong = Wrong::new(0, "the owner of an NSEC3 record must begin with a hash in base32hex (RFC 5155 §3)");
    Err(wrong.fix("generate NSEC3 records with a signer, or delete this one"))
}

/// The algorithms whose keys and signatures begin with a name or an object identifier (RFC 4034 §A.1.1).
const PRIVATEDNS: u8 = 253;
const PRIVATEOID: u8 = 254;

/// The maximum length of a hash that fits into an owner name in base32: 155 octets, as in BIND.
const MAX_HASHED_NAME: usize = 155;

/// DS, CDS, TA, DLV: tag (2), algorithm, digest type, digest (RFC 4034 §5.1). A CDS record that requests deletion has
/// digest type 0 (RFC 8078 §4).
pub(crate) fn delegation_digest(data: &[u8]) -> Result<(), Wrong> {
    let (&[.., kind], digest) = data.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
    match kind {
        1 => sized(3, "a SHA-1 digest", 20, digest),
        2 => sized(3, "a SHA-256 digest", 32, digest),
        3 => sized(3, "a GOST digest", 32, digest),
        4 => sized(3, "a SHA-384 digest", 48, digest),
        _ => Ok(()),
    }
}

/// ZONEMD: serial (4), scheme, hash, digest (RFC 8976 §2.2).
pub(crate) fn zone_digest(data: &[u8]) -> Result<(), Wrong> {
    let (&[.., hash], digest) = data.split_first_chunk::<6>().unwrap_or((&[0; 6], &[]));
    match hash {
        1 => sized(3, "a SHA-384 digest", 48, digest),
        2 => sized(3, "a SHA-512 digest", 64, digest),
        // RFC 8976 §2.2.4.
        _ if digest.len() < 12 => Err(Wrong::new(
            3,
            format!("a digest has at least 12 octets (RFC 8976 §2.2.4), but this one has {}", digest.len()),
        )),
        _ => Ok(()),
    }
}

/// SSHFP: algorithm, fingerprint type, fingerprint (RFC 4255 §3.1, RFC 6594).
pub(crate) fn fingerprint(data: &[u8]) -> Result<(), Wrong> {
    match data {
        [_, 1, print @ ..] => sized(2, "a SHA-1 fingerprint", 20, print),
        [_, 2, print @ ..] => sized(2, "a SHA-256 fingerprint", 32, print),
        _ => Ok(()),
    }
}

fn sized(field: usize, called: &str, len: usize, octets: &[u8]) -> Result<(), Wrong> {
    if octets.len() == len {
        return Ok(());
    }
    let wrong = Wrong::new(field, format!("{called} has {len} octets, but this one has {}", octets.len()));
    Err(wrong.fix(format!("write all {} hexadecimal digits, or correct the type before them", 2 * len)))
}

/// NSEC: next name, types (RFC 4034 §4.1). The list includes NSEC itself.
pub(crate) fn nsec(data: &[u8]) -> Result<(), Wrong> {
    if name::wire_len(data) != Some(data.len()) {
        return Ok(());
    }
    Err(Wrong::new(1, "an NSEC record lists at least one type")
        .fix("list the types at the owner, including NSEC and RRSIG"))
}

/// NSEC3: hash, flags, iterations (2), salt, next hashed owner, types (RFC 5155 §3.2).
pub(crate) fn nsec3(data: &[u8]) -> Result<(), Wrong> {
    let salt = data.get(4).map_or(0, |&len| usize::from(len));
    let len = data.get(5 + salt).map_or(0, |&len| usize::from(len));
    let reason = match data.first() {
        Some(1) if len != 20 => format!("a SHA-1 hash has 20 octets, but this one has {len}"),
        _ if len > MAX_HASHED_NAME => {
            format!("a hashed name has at most {MAX_HASHED_NAME} octets, but this one has {len}")
        }
        _ => return Ok(()),
    };
    Err(Wrong::new(4, reason).fix("write the complete hash in base32hex, 32 characters for SHA-1"))
}

/// DNSKEY and CDNSKEY: flags (2), protocol, algorithm, key (RFC 4034 §2.1).
pub(crate) fn public_key(data: &[u8]) -> Result<(), Wrong> {
    let (&[.., algorithm], key) = data.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
    private(3, algorithm, key)
}

/// KEY: like DNSKEY. RFC 2535 §3.1.2 defined a form without a key, which RFC 3445 §4 abolished.
pub(crate) fn key(data: &[u8]) -> Result<(), Wrong> {
    if data.first().is_some_and(|flags| flags & 0xc0 == 0xc0) {
        let wrong = Wrong::new(0, "the flags mean `no key`, which RFC 3445 abolished");
        return Err(wrong.fix("write 512 for the key of a host, or delete the record"));
    }
    public_key(data)
}

/// RKEY: like DNSKEY, but its flags are reserved.
pub(crate) fn rkey(data: &[u8]) -> Result<(), Wrong> {
    if !data.starts_with(&[0, 0]) {
        return Err(Wrong::new(0, "the flags of an RKEY record must be 0").fix("write 0"));
    }
    public_key(data)
}

/// SIG: type (2), algorithm, labels, TTL (4), times (8), tag (2), signer, signature (RFC 2535 §4.1).
pub(crate) fn sig(data: &[u8]) -> Result<(), Wrong> {
    // RFC 2931 §3: a SIG record with type 0 signs a message.
    if data.starts_with(&[0, 0]) {
        return Err(Wrong::new(0, "the covered type is 0, which no record has"));
    }
    let signer = data.get(18..).unwrap_or_default();
    let signature = name::wire_len(signer).and_then(|len| signer.get(len..));
    private(8, data.get(2).copied().unwrap_or(0), signature.unwrap_or_default())
}

/// RRSIG: like SIG; a signed name is not above the zone of the signer (RFC 4034 §3.1.3, §3.1.7).
pub(crate) fn rrsig(data: &[u8]) -> Result<(), Wrong> {
    let signer = name::labels(data.get(18..).unwrap_or(&[0])).count();
    let labels = data.get(3).map_or(0, |&labels| usize::from(labels));
    if labels < signer {
        let reason = format!("the signed name has fewer labels ({labels}) than the name of the signer ({signer})");
        return Err(Wrong::new(2, reason).fix("write the number of labels of the owner, without the root and `*`"));
    }
    sig(data)
}

/// Checks that a key or signature of a private algorithm begins with the identifier of the algorithm.
fn private(field: usize, algorithm: u8, octets: &[u8]) -> Result<(), Wrong> {
    match algorithm {
        PRIVATEDNS if name::wire_len(octets).is_none() => Err(Wrong::new(
            field,
            "a key or signature of algorithm 253 must begin with a domain name (RFC 4034 §A.1.1)",
        )),
        PRIVATEOID if !begins_with_oid(octets) => Err(Wrong::new(
            field,
            "a key or signature of algorithm 254 must begin with an object identifier (RFC 4034 §A.1.1)",
        )),
        _ => Ok(()),
    }
}

/// Returns whether octets begin with a length octet and an object identifier in BER of that length.
fn begins_with_oid(octets: &[u8]) -> bool {
    let body = octets.split_first().and_then(|(&len, rest)| rest.get(..usize::from(len)));
    let Some([6, len, parts @ ..]) = body else { return false };
    let whole = parts.len() == usize::from(*len) && parts.len() < 0x80;
    // Each octet holds seven bits. The last octet of each part has no top bit, and the first is not a leading zero.
    let ended = parts.last().is_some_and(|last| last & 0x80 == 0);
    let mut begins = true;
    let minimal = parts.iter().all(|&octet| {
        let padded = begins && octet == 0x80;
        begins = octet & 0x80 == 0;
        !padded
    });
    whole && ended && minimal
}

/// X25: the digits of an address (RFC 1183 §3.1).
pub(crate) fn x25(data: &[u8]) -> Result<(), Wrong> {
    match data {
        [len, digits @ ..] if *len >= 4 && digits.iter().all(u8::is_ascii_digit) => Ok(()),
        _ => Err(Wrong::new(0, "an X.25 address consists of at least 4 digits (RFC 1183 §3.1)")),
    }
}

/// NULL: anything (RFC 1035 §3.3.10), but Knot DNS rejects messages that contain an empty NULL record.
pub(crate) fn null(data: &[u8]) -> Result<(), Wrong> {
    if data.is_empty() { Err(Wrong::new(0, "a NULL record has at least one octet")) } else { Ok(()) }
}

/// LOC: version, size and two precisions (RFC 1876 §2); zero has only one encoding. Only version 0 is defined; Knot DNS
/// requires the same length for all versions.
pub(crate) fn location(data: &[u8]) -> Result<(), Wrong> {
    match data {
        [version, ..] if data.len() != 16 => {
            Err(Wrong::new(0, format!("LOC data has 16 octets, but this data of version {version} has {}", data.len())))
        }
        [0, powers @ ..] if powers.iter().take(3).any(|&power| power >> 4 == 0 && power != 0) => {
            Err(Wrong::new(0, "a size or precision is zero times a power of ten").fix("encode zero as the octet 00"))
        }
        _ => Ok(()),
    }
}

/// NAPTR: two numbers (4), flags, services, substitution expression, name (RFC 3403 §4.1).
pub(crate) fn naptr(data: &[u8]) -> Result<(), Wrong> {
    let string = |at: usize| at + 1 + data.get(at).map_or(0, |&len| usize::from(len));
    let at = string(string(4));
    let expression = data.get(at + 1..string(at)).unwrap_or_default();
    naptr::check(expression).map_err(|reason| {
        Wrong::new(4, reason)
            .fix("write `!pattern!replacement!` (RFC 3402 §3.2); in a zone file, `\\\\1` refers to the first group")
    })
}

/// SVCB and HTTPS: priority (2), target, parameters (RFC 9460 §2.2).
pub(crate) fn service(data: &[u8]) -> Result<(), Wrong> {
    let rest = data.get(2..).unwrap_or_default();
    let parameters = name::wire_len(rest).and_then(|len| rest.get(len..)).unwrap_or_default();
    svcb::rules(parameters).map_err(|reason| Wrong::new(2, reason))
}

/// WKS: address (4), protocol, bitmap of ports (RFC 1035 §3.4.2).
pub(crate) fn wks(data: &[u8]) -> Result<(), Wrong> {
    match data.get(5..).unwrap_or_default() {
        [.., 0] => Err(Wrong::new(2, "the bitmap of ports ends with a zero octet").fix("omit trailing zero octets")),
        bits if bits.len() > 8192 => Err(Wrong::new(2, "the bitmap has more than 65536 ports")),
        _ => Ok(()),
    }
}

/// ATMA: format, address; format 1 is a telephone number (AF-DANS-0152).
pub(crate) fn atma(data: &[u8]) -> Result<(), Wrong> {
    match data {
        [1, digits @ ..] if !digits.iter().all(u8::is_ascii_digit) => {
            Err(Wrong::new(1, "an ATM address of format 1 must consist of ASCII digits"))
        }
        _ => Ok(()),
    }
}

/// A6: prefix length, the rest of the address, the name from which the prefix is taken (RFC 2874 §3.1).
pub(crate) fn a6(data: &[u8]) -> Result<(), Wrong> {
    let (&prefix, rest) = data.split_first().unwrap_or((&0, &[]));
    if prefix > 128 {
        return Err(Wrong::new(0, format!("a prefix has at most 128 bits, but this one has {prefix}")));
    }
    let len = (128 - usize::from(prefix)).div_ceil(8);
    let Some((suffix, name)) = rest.split_at_checked(len) else {
        return Err(Wrong::new(
            1,
            format!("a prefix length of {prefix} bits must be followed by {len} octets of address"),
        ));
    };
    // The bits that belong to the prefix must be zero; there are none if the prefix ends at an octet boundary.
    if prefix % 8 > 0 && suffix.first().is_some_and(|first| first >> (8 - prefix % 8) != 0) {
        return Err(Wrong::new(1, "the bits of the prefix are not zero"));
    }
    let is_valid = if prefix == 0 { name.is_empty() } else { name::wire_len(name) == Some(name.len()) };
    if is_valid {
        Ok(())
    } else {
        Err(Wrong::new(
            1,
            "a nonzero prefix length requires exactly one prefix name, and a prefix length of 0 allows none",
        ))
    }
}

/// AMTRELAY: precedence, discovery bit and relay type, relay (RFC 8777 §4.2). Any octets are valid for unknown relay
/// types.
pub(crate) fn relay(data: &[u8]) -> Result<(), Wrong> {
    let [_, kind, relay @ ..] = data else { return Ok(()) };
    let (what, is_valid) = match kind & 0x7f {
        0 => ("empty", relay.is_empty()),
        1 => ("an IPv4 address", relay.len() == 4),
        2 => ("an IPv6 address", relay.len() == 16),
        3 => ("a domain name", name::wire_len(relay) == Some(relay.len())),
        _ => return Ok(()),
    };
    if is_valid {
        Ok(())
    } else {
        Err(Wrong::new(2, format!("the relay must be {what} because its type is {}", kind & 0x7f)))
    }
}
