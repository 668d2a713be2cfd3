//! What record data must keep to beyond the form of its fields, type by type.
//!
//! A zone is only as good as its secondaries find it: one record that a secondary cannot read stops the transfer of the
//! whole zone there. So these rules are at least as strict as BIND's and Knot's readers of messages are, in all their
//! versions. The table in `rtype.rs` says which rule a type has. Each takes data whose fields are sound.

use std::borrow::Cow;
use std::fmt;

use super::{encoding, naptr, svcb};
use crate::dns::{Type, name};

/// Checks data of one type whose fields are sound.
pub(crate) type Rule = fn(&[u8]) -> Result<(), Wrong>;

/// What is wrong with record data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The index of the field at fault.
    pub(super) field: usize,
    /// What is wrong.
    pub(crate) reason: Cow<'static, str>,
    /// How to fix it, if there is more to say than what is wrong.
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

/// Checks that a type's records can stand at an owner in wire form: those of NSEC3 have a hash for a name
/// (RFC 5155 §3), without which BIND can read no message that they are in.
pub(crate) fn owner(rtype: Type, owner: &[u8]) -> Result<(), Wrong> {
    let label = name::labels(owner).next().unwrap_or_default();
    if rtype != Type::NSEC3 || encoding::base32(label).is_some() {
        return Ok(());
    }
    let wrong = Wrong::new(0, "the owner of an NSEC3 record begins with a hash in base32hex (RFC 5155 §3)");
    Err(wrong.fix("have a signer make NSEC3 records, or delete this one"))
}

/// The algorithms whose keys and signatures begin with a name or an object identifier (RFC 4034 §A.1.1).
const PRIVATEDNS: u8 = 253;
const PRIVATEOID: u8 = 254;

/// The longest hash an owner name of base32 has room for: 155 octets, as BIND counts.
const MAX_HASHED_NAME: usize = 155;

/// DS, CDS, TA, DLV: tag (2), algorithm, digest type, digest (RFC 4034 §5.1). A CDS record that asks for deletion has
/// a digest of type 0 (RFC 8078 §4).
pub(crate) fn delegation_digest(data: &[u8]) -> Result<(), Wrong> {
    let (&[.., kind], digest) = data.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
    match kind {
        1 => sized(3, "a digest of SHA-1", 20, digest),
        2 => sized(3, "a digest of SHA-256", 32, digest),
        3 => sized(3, "a digest of GOST", 32, digest),
        4 => sized(3, "a digest of SHA-384", 48, digest),
        _ => Ok(()),
    }
}

/// ZONEMD: serial (4), scheme, hash, digest (RFC 8976 §2.2).
pub(crate) fn zone_digest(data: &[u8]) -> Result<(), Wrong> {
    let (&[.., hash], digest) = data.split_first_chunk::<6>().unwrap_or((&[0; 6], &[]));
    match hash {
        1 => sized(3, "a digest of SHA-384", 48, digest),
        2 => sized(3, "a digest of SHA-512", 64, digest),
        // RFC 8976 §2.2.4.
        _ if digest.len() < 12 => Err(Wrong::new(
            3,
            format!("a digest has at least 12 octets (RFC 8976 §2.2.4), this one has {}", digest.len()),
        )),
        _ => Ok(()),
    }
}

/// SSHFP: algorithm, fingerprint type, fingerprint (RFC 4255 §3.1, RFC 6594).
pub(crate) fn fingerprint(data: &[u8]) -> Result<(), Wrong> {
    match data {
        [_, 1, print @ ..] => sized(2, "a fingerprint of SHA-1", 20, print),
        [_, 2, print @ ..] => sized(2, "a fingerprint of SHA-256", 32, print),
        _ => Ok(()),
    }
}

fn sized(field: usize, called: &str, len: usize, octets: &[u8]) -> Result<(), Wrong> {
    if octets.len() == len {
        return Ok(());
    }
    let wrong = Wrong::new(field, format!("{called} has {len} octets, this one has {}", octets.len()));
    Err(wrong.fix(format!("write all of its {} hexadecimal digits, or the right type in front", 2 * len)))
}

/// NSEC: next name, types (RFC 4034 §4.1). The record itself is one of the types.
pub(crate) fn nsec(data: &[u8]) -> Result<(), Wrong> {
    if name::wire_len(data) != Some(data.len()) {
        return Ok(());
    }
    Err(Wrong::new(1, "an NSEC record lists at least one type")
        .fix("list the owner's types, NSEC and RRSIG among them"))
}

/// NSEC3: hash, flags, iterations (2), salt, next hashed owner, types (RFC 5155 §3.2).
pub(crate) fn nsec3(data: &[u8]) -> Result<(), Wrong> {
    let salt = data.get(4).map_or(0, |&len| usize::from(len));
    let len = data.get(5 + salt).map_or(0, |&len| usize::from(len));
    let reason = match data.first() {
        Some(1) if len != 20 => format!("a hash of SHA-1 has 20 octets, this one has {len}"),
        _ if len > MAX_HASHED_NAME => format!("a hashed name has at most {MAX_HASHED_NAME} octets, this one has {len}"),
        _ => return Ok(()),
    };
    Err(Wrong::new(4, reason).fix("write all of the hash in base32hex, 32 characters for SHA-1"))
}

/// DNSKEY and CDNSKEY: flags (2), protocol, algorithm, key (RFC 4034 §2.1).
pub(crate) fn public_key(data: &[u8]) -> Result<(), Wrong> {
    let (&[.., algorithm], key) = data.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
    private(3, algorithm, key)
}

/// KEY: as DNSKEY. RFC 2535 §3.1.2 had a form without a key, which RFC 3445 §4 ended.
pub(crate) fn key(data: &[u8]) -> Result<(), Wrong> {
    if data.first().is_some_and(|flags| flags & 0xc0 == 0xc0) {
        let wrong = Wrong::new(0, "the flags say that there is no key; such records ended with RFC 3445");
        return Err(wrong.fix("write 512 for a host's key, or delete the record"));
    }
    public_key(data)
}

/// RKEY: as DNSKEY, its flags are reserved.
pub(crate) fn rkey(data: &[u8]) -> Result<(), Wrong> {
    if !data.starts_with(&[0, 0]) {
        return Err(Wrong::new(0, "the flags of an RKEY record are 0").fix("write 0"));
    }
    public_key(data)
}

/// SIG: type (2), algorithm, labels, TTL (4), times (8), tag (2), signer, signature (RFC 2535 §4.1).
pub(crate) fn sig(data: &[u8]) -> Result<(), Wrong> {
    // RFC 2931 §3: with type 0, a SIG record signs a message.
    if data.starts_with(&[0, 0]) {
        return Err(Wrong::new(0, "the type that is signed is 0, which no record has"));
    }
    let signer = data.get(18..).unwrap_or_default();
    let signature = name::wire_len(signer).and_then(|len| signer.get(len..));
    private(8, data.get(2).copied().unwrap_or(0), signature.unwrap_or_default())
}

/// RRSIG: as SIG; a name that is signed is not above its zone (RFC 4034 §3.1.3, §3.1.7).
pub(crate) fn rrsig(data: &[u8]) -> Result<(), Wrong> {
    let signer = name::labels(data.get(18..).unwrap_or(&[0])).count();
    let labels = data.get(3).map_or(0, |&labels| usize::from(labels));
    if labels < signer {
        let reason = format!("the signed name has fewer labels ({labels}) than the signer's ({signer})");
        return Err(Wrong::new(2, reason).fix("the number of labels is that of the owner, without root and `*`"));
    }
    sig(data)
}

/// Checks what a key or signature of a private algorithm begins with.
fn private(field: usize, algorithm: u8, octets: &[u8]) -> Result<(), Wrong> {
    match algorithm {
        PRIVATEDNS if name::wire_len(octets).is_none() => {
            Err(Wrong::new(field, "what belongs to algorithm 253 begins with a domain name (RFC 4034 §A.1.1)"))
        }
        PRIVATEOID if !begins_with_identifier(octets) => {
            Err(Wrong::new(field, "what belongs to algorithm 254 begins with an object identifier (RFC 4034 §A.1.1)"))
        }
        _ => Ok(()),
    }
}

/// Returns whether octets begin with a length and as many octets that are an object identifier in BER.
fn begins_with_identifier(octets: &[u8]) -> bool {
    let body = octets.split_first().and_then(|(&len, rest)| rest.get(..usize::from(len)));
    let Some([6, len, parts @ ..]) = body else { return false };
    let whole = parts.len() == usize::from(*len) && parts.len() < 0x80;
    // Seven bits an octet; the last of each part has no top bit, the first is not a leading zero.
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
        _ => Err(Wrong::new(0, "an X.25 address has at least 4 digits and nothing else (RFC 1183 §3.1)")),
    }
}

/// NULL: anything (RFC 1035 §3.3.10), but Knot DNS reads no message with a NULL record without data.
pub(crate) fn null(data: &[u8]) -> Result<(), Wrong> {
    if data.is_empty() { Err(Wrong::new(0, "a NULL record has at least one octet")) } else { Ok(()) }
}

/// LOC: version, size and two precisions (RFC 1876 §2); zero has one spelling. Only version 0 is defined; of another,
/// Knot DNS takes no other length.
pub(crate) fn location(data: &[u8]) -> Result<(), Wrong> {
    match data {
        [version, ..] if data.len() != 16 => {
            Err(Wrong::new(0, format!("LOC data has 16 octets, this of version {version} has {}", data.len())))
        }
        [0, powers @ ..] if powers.iter().take(3).any(|&power| power >> 4 == 0 && power != 0) => {
            Err(Wrong::new(0, "a size or precision of nothing times a power of ten").fix("zero is the octet 00"))
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
            .fix("it reads `!pattern!replacement!` (RFC 3402 §3.2); in a zone file `\\\\1` is a reference")
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
        [.., 0] => {
            Err(Wrong::new(2, "the bitmap of ports ends with a zero octet").fix("leave zero octets at the end out"))
        }
        bits if bits.len() > 8192 => Err(Wrong::new(2, "the bitmap has more than 65536 ports")),
        _ => Ok(()),
    }
}

/// ATMA: format, address; format 1 is a telephone number (AF-DANS-0152).
pub(crate) fn atma(data: &[u8]) -> Result<(), Wrong> {
    match data {
        [1, digits @ ..] if !digits.iter().all(u8::is_ascii_digit) => {
            Err(Wrong::new(1, "an ATM address of format 1 is of ASCII digits"))
        }
        _ => Ok(()),
    }
}

/// A6: prefix length, the rest of the address, the name that has the prefix (RFC 2874 §3.1).
pub(crate) fn a6(data: &[u8]) -> Result<(), Wrong> {
    let (&prefix, rest) = data.split_first().unwrap_or((&0, &[]));
    if prefix > 128 {
        return Err(Wrong::new(0, format!("a prefix has at most 128 bits, this one has {prefix}")));
    }
    let len = (128 - usize::from(prefix)).div_ceil(8);
    let Some((suffix, name)) = rest.split_at_checked(len) else {
        return Err(Wrong::new(1, format!("behind a prefix of {prefix} bits are {len} octets of address")));
    };
    // The bits that belong to the prefix are zero; on the octet's border there are none.
    if prefix % 8 > 0 && suffix.first().is_some_and(|first| first >> (8 - prefix % 8) != 0) {
        return Err(Wrong::new(1, "the bits of the prefix are not zero"));
    }
    let sound = if prefix == 0 { name.is_empty() } else { name::wire_len(name) == Some(name.len()) };
    if sound { Ok(()) } else { Err(Wrong::new(1, "a prefix has a name, and no prefix has none")) }
}

/// AMTRELAY: precedence, discovery bit and relay type, relay (RFC 8777 §4.2). Of unknown relay types any octets will do.
pub(crate) fn relay(data: &[u8]) -> Result<(), Wrong> {
    let [_, kind, relay @ ..] = data else { return Ok(()) };
    let (what, sound) = match kind & 0x7f {
        0 => ("none", relay.is_empty()),
        1 => ("an IPv4 address", relay.len() == 4),
        2 => ("an IPv6 address", relay.len() == 16),
        3 => ("a domain name", name::wire_len(relay) == Some(relay.len())),
        _ => return Ok(()),
    };
    if sound {
        Ok(())
    } else {
        Err(Wrong::new(2, format!("the relay is not {what}, as its type {} says", kind & 0x7f)))
    }
}
