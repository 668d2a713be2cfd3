//! The data of APL records, lists of address prefixes (RFC 3123).

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Parses one item, `[!]family:address/prefix`, and appends its wire form.
pub(super) fn push(word: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let text = std::str::from_utf8(word).ok()?;
    let (negated, text) = text.strip_prefix('!').map_or((0, text), |rest| (0x80, rest));
    let (family, rest) = text.split_once(':')?;
    let (address, prefix) = rest.split_once('/')?;
    let prefix = super::encoding::number(prefix.as_bytes(), 128)? as u8;
    let (family, octets) = match family {
        "1" if prefix <= 32 => (1, Ipv4Addr::from_str(address).ok()?.octets().to_vec()),
        "2" => (2, Ipv6Addr::from_str(address).ok()?.octets().to_vec()),
        _ => return None,
    };
    // RFC 3123 §4: trailing zero octets are not sent.
    let len = octets.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
    out.extend_from_slice(&[0, family, prefix, negated | len as u8]);
    out.extend_from_slice(&octets[..len]);
    Some(())
}

/// Formats a list; returns `None` if it is malformed or has a family without a text form.
pub(super) fn print(data: &[u8]) -> Option<String> {
    let mut text = String::new();
    for item in items(data) {
        let (family, prefix, negated, part) = item?;
        let mut octets = [0; 16];
        octets.get_mut(..part.len())?.copy_from_slice(part);
        let negated = if negated { "!" } else { "" };
        let blank = if text.is_empty() { "" } else { " " };
        let _ = match family {
            1 => write!(text, "{blank}{negated}1:{}/{prefix}", Ipv4Addr::from(*octets.first_chunk::<4>()?)),
            2 => write!(text, "{blank}{negated}2:{}/{prefix}", Ipv6Addr::from(octets)),
            _ => return None,
        };
    }
    Some(text)
}

/// Returns whether octets are a complete list whose items are valid for their families (RFC 3123 §4).
pub(super) fn is_well_formed(data: &[u8]) -> bool {
    items(data).all(|item| {
        item.is_some_and(|(family, prefix, _, part)| {
            let fits = match family {
                1 => prefix <= 32 && part.len() <= 4,
                2 => prefix <= 128 && part.len() <= 16,
                _ => true,
            };
            fits && part.last() != Some(&0)
        })
    })
}

/// Iterates over the items (family, prefix, negation, address); yields `None` for a truncated item.
fn items(data: &[u8]) -> impl Iterator<Item = Option<(u16, u8, bool, &[u8])>> {
    let mut rest = data;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let item = rest.split_first_chunk::<4>().and_then(|(&[f0, f1, prefix, len], tail)| {
            let (part, after) = tail.split_at_checked(usize::from(len & 0x7f))?;
            rest = after;
            Some((u16::from_be_bytes([f0, f1]), prefix, len & 0x80 != 0, part))
        });
        if item.is_none() {
            rest = &[];
        }
        Some(item)
    })
}
