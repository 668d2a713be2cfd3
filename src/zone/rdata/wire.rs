//! Record data on the wire: where its fields end, and whether it is what its type allows.

use std::borrow::Cow;

use super::{encoding, location, prefixes, svcb};
use crate::zone::name;
use crate::zone::rtype::{Field, Type};

/// Checks that octets can be the data of a type; an error says why not. Of unknown types any data is right.
pub(crate) fn check(rtype: Type, data: &[u8]) -> Result<(), Cow<'static, str>> {
    let Some(fields) = rtype.fields() else { return Ok(()) };
    if split(fields, data).is_none() {
        return Err(format!("these octets are no data of type {rtype}").into());
    }
    rules(rtype, data)
}

/// Checks what data whose fields are sound must keep to beyond; an error says what is wrong.
pub(super) fn rules(rtype: Type, data: &[u8]) -> Result<(), Cow<'static, str>> {
    // DS and its kin: tag (2), algorithm, digest's kind, digest; ZONEMD: serial (4), scheme, hash, digest.
    let (kind, digest) = match (rtype.0, data) {
        (43 | 59 | 32768 | 32769, [_, _, _, kind, digest @ ..]) => (*kind, digest),
        (63, [_, _, _, _, _, hash, digest @ ..]) => (*hash | 0x80, digest),
        (64 | 65, [_, _, rest @ ..]) => {
            return svcb::rules(rest.get(name::wire_len(rest).unwrap_or(0)..).unwrap_or(rest));
        }
        _ => return Ok(()),
    };
    let (called, len) = match kind {
        1 => ("SHA-1", 20),
        2 => ("SHA-256", 32),
        3 => ("GOST", 32),
        4 => ("SHA-384", 48),
        0x81 => ("SHA-384", 48),
        0x82 => ("SHA-512", 64),
        _ => return Ok(()),
    };
    if digest.len() == len {
        return Ok(());
    }
    Err(format!("a digest of {called} has {len} octets, this one has {}", digest.len()).into())
}

/// Cuts data into its fields; `None` if it does not consist of them.
pub(in crate::zone) fn split<'d>(fields: &[Field], data: &'d [u8]) -> Option<Vec<(Field, &'d [u8])>> {
    let mut at = 0;
    let mut parts = Vec::with_capacity(fields.len());
    for &field in fields {
        let len = field_len(field, data, at)?;
        parts.push((field, data.get(at..at + len)?));
        at += len;
    }
    (at == data.len()).then_some(parts)
}

/// Returns how long the field at an offset is; `None` if it is not sound. It may reach beyond the end of the data.
fn field_len(field: Field, data: &[u8], at: usize) -> Option<usize> {
    let rest = data.get(at..)?;
    let when = |sound: bool| sound.then_some(rest.len());
    match field {
        Field::U8 | Field::Algorithm | Field::DigestType => Some(1),
        Field::U16 | Field::Type | Field::CertificateType => Some(2),
        Field::U32 | Field::Seconds | Field::Ipv4 | Field::Time => Some(4),
        Field::Locator64 => Some(8),
        Field::Ipv6 => Some(16),
        Field::Eui(groups) => Some(usize::from(groups)),
        Field::CompressedName | Field::Name => name::wire_len(rest),
        Field::String | Field::Salt => rest.first().map(|&len| usize::from(len) + 1),
        Field::Base32 => rest.first().filter(|&&len| len > 0).map(|&len| usize::from(len) + 1),
        Field::Tag => {
            let tag = rest.get(1..=usize::from(*rest.first()?)).filter(|tag| !tag.is_empty())?;
            tag.iter().all(u8::is_ascii_alphanumeric).then_some(tag.len() + 1)
        }
        Field::OptionalString => Some(rest.first().map_or(0, |&len| usize::from(len) + 1)),
        Field::Strings => strings_len(rest),
        Field::Octets | Field::Hex | Field::Base64 | Field::PublicKey | Field::OptionalBase64 => Some(rest.len()),
        Field::Types => when(encoding::is_bitmap(rest)),
        Field::OldTypes => {
            when(matches!(rest, [first, ..] if first & 0x80 == 0) && rest.len() <= 16 && rest.last() != Some(&0))
        }
        Field::Parameters => when(svcb::is_well_formed(rest)),
        Field::Names => {
            let mut len = 0;
            while len < rest.len() {
                len += name::wire_len(&rest[len..])?;
            }
            Some(len)
        }
        Field::Gateway => match data.get(1)? {
            0 => Some(0),
            1 => Some(4),
            2 => Some(16),
            3 => name::wire_len(rest),
            _ => None,
        },
        Field::HostIdentity => {
            let &[tag, _, k0, k1] = rest.first_chunk::<4>()?;
            let key = usize::from(u16::from_be_bytes([k0, k1]));
            (tag > 0 && key > 0).then_some(4 + usize::from(tag) + key)
        }
        Field::Location => when(location::is_well_formed(rest)),
        Field::Prefixes => when(prefixes::is_well_formed(rest)),
    }
}

/// Returns the length of all strings up to the end, or `None` if there is none or the last is cut short.
fn strings_len(data: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < data.len() {
        at += usize::from(data[at]) + 1;
    }
    (at == data.len() && at > 0).then_some(at)
}
