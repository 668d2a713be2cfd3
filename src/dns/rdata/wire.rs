//! Checks for record data in wire form: where its fields end, and whether it is valid for its type.

use super::rules::Wrong;
use super::{encoding, location, prefixes, svcb};
use crate::dns::{Field, Type, name};

/// Checks that octets are data of a type that every server accepts. Any data of an unknown type is valid (RFC 3597 §3).
pub(crate) fn check(rtype: Type, data: &[u8]) -> Result<(), Wrong> {
    check_form(rtype, data)?;
    rules(rtype, data)
}

/// Checks that octets consist of a type's fields. Any other fault affects only the clients that use the data.
pub(crate) fn check_form(rtype: Type, data: &[u8]) -> Result<(), Wrong> {
    let Some(fields) = rtype.layout() else { return Ok(()) };
    walk(fields, data, |_, _, _| ()).map_err(|(field, reason)| Wrong::new(field, reason))
}

/// Checks data with well-formed fields against the type's rule and against empty last fields.
pub(super) fn rules(rtype: Type, data: &[u8]) -> Result<(), Wrong> {
    let Some(fields) = rtype.layout() else { return Ok(()) };
    if fields.last().is_some_and(|last| matches!(last, Field::Hex | Field::Base64)) {
        let mut last = data;
        // The form of the fields was checked before.
        let _ = walk(fields, data, |_, _, octets| last = octets);
        if last.is_empty() {
            let index = fields.len() - 1;
            let reason = format!("field {} of {} of the data is empty", index + 1, fields.len());
            return Err(Wrong::new(index, reason));
        }
    }
    rtype.rule().map_or(Ok(()), |rule| rule(data))
}

/// Splits data into its fields; returns `None` if it does not consist of them.
pub(crate) fn split<'d>(fields: &[Field], data: &'d [u8]) -> Option<Vec<(Field, &'d [u8])>> {
    let mut parts = Vec::with_capacity(fields.len());
    walk(fields, data, |_, field, octets| parts.push((field, octets))).ok()?;
    Some(parts)
}

/// Calls `visit` for each field of data with its index; an error is the index of a field and the reason.
fn walk<'d>(
    fields: &[Field],
    data: &'d [u8],
    mut visit: impl FnMut(usize, Field, &'d [u8]),
) -> Result<(), (usize, String)> {
    let mut at = 0;
    for (index, &field) in fields.iter().enumerate() {
        let octets = field_len(field, data, at).and_then(|len| data.get(at..at + len));
        let octets = octets.ok_or_else(|| {
            let what = if at == data.len() { "is missing" } else { "is cut short or malformed" };
            (index, format!("field {} of {} of the data {what}", index + 1, fields.len()))
        })?;
        visit(index, field, octets);
        at += octets.len();
    }
    match data.len() - at {
        0 => Ok(()),
        1 => Err((fields.len(), "the data is 1 octet too long".to_owned())),
        more => Err((fields.len(), format!("the data is {more} octets too long"))),
    }
}

/// Returns the length of the field at an offset in octets; `None` if it is malformed. The field may extend past the end
/// of the data.
fn field_len(field: Field, data: &[u8], at: usize) -> Option<usize> {
    let rest = data.get(at..)?;
    let when = |valid: bool| valid.then_some(rest.len());
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
        Field::Octets | Field::Hex | Field::Base64 => Some(rest.len()),
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

/// Returns the length of all strings up to the end, or `None` if there is none or the last one is truncated.
fn strings_len(data: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < data.len() {
        at += usize::from(data[at]) + 1;
    }
    (at == data.len() && at > 0).then_some(at)
}
