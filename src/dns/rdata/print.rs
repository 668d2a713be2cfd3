//! The presentation form of records (RFC 1035 §5.1).
//!
//! Parsing the output always yields the same octets. Data whose usual form would not (a LOC record with an odd
//! precision, octets that are not valid for the type) is printed in the generic form of RFC 3597 §5.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::{BASE32HEX_NOPAD, BASE64, HEXUPPER};

use super::{encoding, location, prefixes, read, svcb, wire};
use crate::dns::{Field, Type, name};

/// Formats a record of class IN on one line: `www.example.org. 3600 IN A 192.0.2.1`.
///
/// `owner` is a name in wire form, `ttl` in seconds.
#[must_use]
pub fn record(owner: &[u8], ttl: u32, rtype: Type, data: &[u8]) -> String {
    format!("{} {ttl} IN {rtype} {}", name::Display(owner), self::data(rtype, data))
}

/// Formats a record's data on one line, with absolute names.
#[must_use]
pub fn data(rtype: Type, data: &[u8]) -> String {
    let usual = rtype.fields().and_then(|fields| wire::split(fields, data)).and_then(|parts| usual(&parts, data));
    let same = |text: &String| {
        let mut back = Vec::new();
        read::line(rtype, text.as_bytes(), &mut back).is_ok() && back == data
    };
    usual.filter(same).unwrap_or_else(|| {
        if data.is_empty() { "\\# 0".to_string() } else { format!("\\# {} {}", data.len(), HEXUPPER.encode(data)) }
    })
}

/// Formats the fields of data; returns `None` if a field has no text form.
fn usual(parts: &[(Field, &[u8])], data: &[u8]) -> Option<String> {
    let mut text = String::new();
    for &(field, octets) in parts {
        let begin = text.len();
        if begin > 0 {
            text.push(' ');
        }
        let with_blank = text.len();
        push(field, octets, data, &mut text)?;
        // An absent field leaves no blank.
        if text.len() == with_blank {
            text.truncate(begin);
        }
    }
    Some(text)
}

/// Appends one field of data; returns `None` if it has no text form.
pub(crate) fn push(field: Field, octets: &[u8], data: &[u8], out: &mut String) -> Option<()> {
    let _ = match field {
        Field::U8
        | Field::U16
        | Field::U32
        | Field::Seconds
        | Field::Algorithm
        | Field::DigestType
        | Field::CertificateType => write!(out, "{}", number(octets)),
        Field::Ipv4 => write!(out, "{}", Ipv4Addr::from(*octets.first_chunk::<4>()?)),
        Field::Ipv6 => write!(out, "{}", Ipv6Addr::from(*octets.first_chunk::<16>()?)),
        Field::CompressedName | Field::Name => write!(out, "{}", name::Display(octets)),
        Field::String | Field::OptionalString => {
            if let Some((_, string)) = octets.split_first() {
                push_quoted(string, out);
            }
            Ok(())
        }
        Field::Strings => {
            let mut rest = octets;
            while let Some((&len, tail)) = rest.split_first() {
                let (string, after) = tail.split_at_checked(usize::from(len))?;
                push_quoted(string, out);
                if !after.is_empty() {
                    out.push(' ');
                }
                rest = after;
            }
            Ok(())
        }
        Field::Tag => write!(out, "{}", std::str::from_utf8(octets.get(1..)?).ok()?),
        Field::Octets => {
            push_quoted(octets, out);
            Ok(())
        }
        Field::Hex => write!(out, "{}", HEXUPPER.encode(octets)),
        Field::Base64 => write!(out, "{}", BASE64.encode(octets)),
        Field::Salt => match octets.get(1..)? {
            [] => write!(out, "-"),
            salt => write!(out, "{}", HEXUPPER.encode(salt)),
        },
        Field::Base32 => write!(out, "{}", BASE32HEX_NOPAD.encode(octets.get(1..)?)),
        Field::Type => write!(out, "{}", Type(number(octets) as u16)),
        Field::Types => push_types(encoding::bitmap_types(octets), out),
        Field::OldTypes => push_types(encoding::plain_bitmap_types(octets), out),
        Field::Time => write!(out, "{}", encoding::print_time(number(octets))),
        Field::Eui(_) => {
            let groups: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
            write!(out, "{}", groups.join("-"))
        }
        Field::Locator64 => {
            let groups: Vec<String> = octets.chunks(2).map(|group| format!("{:x}", number(group))).collect();
            write!(out, "{}", groups.join(":"))
        }
        Field::Parameters => write!(out, "{}", svcb::print(octets)?),
        Field::Names => {
            let mut rest = octets;
            while !rest.is_empty() {
                let (name, after) = rest.split_at_checked(name::wire_len(rest)?)?;
                let blank = if after.is_empty() { "" } else { " " };
                let _ = write!(out, "{}{blank}", name::Display(name));
                rest = after;
            }
            Ok(())
        }
        Field::Gateway => match data.get(1)? {
            0 => write!(out, "."),
            1 => write!(out, "{}", Ipv4Addr::from(*octets.first_chunk::<4>()?)),
            2 => write!(out, "{}", Ipv6Addr::from(*octets.first_chunk::<16>()?)),
            _ => write!(out, "{}", name::Display(octets)),
        },
        Field::HostIdentity => {
            let (&[tag, algorithm, ..], rest) = octets.split_first_chunk::<4>()?;
            let (tag, key) = rest.split_at_checked(usize::from(tag))?;
            write!(out, "{algorithm} {} {}", HEXUPPER.encode(tag), BASE64.encode(key))
        }
        Field::Location => write!(out, "{}", location::print(octets)?),
        Field::Prefixes => write!(out, "{}", prefixes::print(octets)?),
    };
    Some(())
}

fn number(octets: &[u8]) -> u32 {
    octets.iter().fold(0, |number, &octet| number << 8 | u32::from(octet))
}

fn push_types(types: impl Iterator<Item = Type>, out: &mut String) -> std::fmt::Result {
    for (index, rtype) in types.enumerate() {
        write!(out, "{}{rtype}", if index > 0 { " " } else { "" })?;
    }
    Ok(())
}

/// Appends a character string in quotes.
pub(super) fn push_quoted(string: &[u8], out: &mut String) {
    out.push('"');
    for &octet in string {
        match octet {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(octet));
            }
            0x20..=0x7e => out.push(char::from(octet)),
            _ => {
                let _ = write!(out, "\\{octet:03}");
            }
        }
    }
    out.push('"');
}
