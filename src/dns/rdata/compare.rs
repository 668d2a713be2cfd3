//! Equality, order and canonical form of record data.
//!
//! Two comparisons are easily confused. Updates, transfers and zone files treat data as equal if it differs only in the
//! letter case of names, for all types ([`data_cmp`]). Signatures and digests cover the canonical form
//! ([`canonical_form`]), in which only the names of some old types are in lower case.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::dns::{Type, name};

/// Compares the data of two records of one type, names case-insensitively, everything else octet by octet.
///
/// Names after fields of variable length are compared as octets.
pub(crate) fn data_cmp(rtype: Type, a: &[u8], b: &[u8]) -> Ordering {
    let Some((front, count)) = rtype.names() else { return a.cmp(b) };
    let (Some((a_front, mut a_rest)), Some((b_front, mut b_rest))) =
        (a.split_at_checked(front), b.split_at_checked(front))
    else {
        return a.cmp(b);
    };
    let mut order = a_front.cmp(b_front);
    for _ in 0..count {
        let (Some(a_len), Some(b_len)) = (name::wire_len(a_rest), name::wire_len(b_rest)) else { break };
        let ((a_name, a_after), (b_name, b_after)) = (a_rest.split_at(a_len), b_rest.split_at(b_len));
        let names = || {
            let (a_octets, b_octets) = (a_name.iter(), b_name.iter());
            a_octets.map(u8::to_ascii_lowercase).cmp(b_octets.map(u8::to_ascii_lowercase))
        };
        order = order.then_with(names);
        (a_rest, b_rest) = (a_after, b_after);
    }
    order.then_with(|| a_rest.cmp(b_rest))
}

/// Returns data in the canonical form that signatures and digests cover (RFC 4034 §6.2 as amended by RFC 6840 §5.1):
/// names of the types listed there in lower case, everything else unchanged.
#[must_use]
pub fn canonical_form(rtype: Type, data: &[u8]) -> Cow<'_, [u8]> {
    let Some((front, count)) =
        Some(rtype).filter(|rtype| rtype.has_lower_case_names()).and_then(|_| names_in(rtype, data))
    else {
        return data.into();
    };
    let mut end = front;
    for _ in 0..count {
        end += data.get(end..).and_then(name::wire_len).unwrap_or(0);
    }
    match data.get(front..end) {
        Some(names) if names.iter().any(u8::is_ascii_uppercase) => {
            let mut data = data.to_vec();
            data[front..end].make_ascii_lowercase();
            data.into()
        }
        _ => data.into(),
    }
}

/// Compares the data of two records of one type in canonical order: as octet strings in canonical form (RFC 4034 §6.3).
#[must_use]
pub fn canonical_cmp(rtype: Type, a: &[u8], b: &[u8]) -> Ordering {
    canonical_form(rtype, a).cmp(&canonical_form(rtype, b))
}

/// Returns the position of names in data: the number of octets before them and the number of names.
fn names_in(rtype: Type, data: &[u8]) -> Option<(usize, usize)> {
    match rtype {
        Type::NAPTR => Some((super::naptr::replacement_at(data)?, 1)),
        // Prefix length, the rest of the address, the prefix's name (RFC 2874 §3.1).
        Type::A6 => Some((1 + (128 - usize::from((*data.first()?).min(128))).div_ceil(8), 1)),
        _ => rtype.names(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The types of RFC 4034 §6.2 without NSEC (RFC 6840 §5.1) and HINFO, which has no name.
    const LISTED: &[&str] = &[
        "NS", "MD", "MF", "CNAME", "SOA", "MB", "MG", "MR", "PTR", "MINFO", "MX", "RP", "AFSDB", "RT", "SIG", "PX",
        "NXT", "NAPTR", "KX", "SRV", "DNAME", "A6", "RRSIG",
    ];

    /// The example data of the types that have a text form, and the same data with names in upper case.
    fn examples() -> impl Iterator<Item = (Type, Vec<u8>, Vec<u8>)> {
        let data = |rtype: Type, text: &str| {
            let mut octets = Vec::new();
            crate::dns::rdata::read::line(rtype, text.as_bytes(), &mut octets).ok().map(|()| octets)
        };
        Type::all().filter_map(move |rtype| {
            let example = match rtype {
                Type::NAPTR => "100 10 u E2U+sip \"\" sip.example.org.",
                _ => rtype.example()?,
            };
            let upper_case = example.replace("example.org.", "EXAMPLE.ORG.").replace("example.net.", "EXAMPLE.NET.");
            Some((rtype, data(rtype, example)?, data(rtype, &upper_case)?))
        })
    }

    #[test]
    fn canonical_form_has_names_of_the_listed_types_in_lower_case() {
        let mut seen = Vec::new();
        for (rtype, data, upper_case) in examples() {
            if data == upper_case {
                continue;
            }
            let is_listed = LISTED.contains(&rtype.to_string().as_str());
            assert_eq!(canonical_form(rtype, &upper_case) == data.as_slice(), is_listed, "{rtype}");
            assert_eq!(canonical_cmp(rtype, &upper_case, &data).is_eq(), is_listed, "{rtype}");
            seen.push(rtype.to_string());
        }
        // A6 has no text form.
        let unseen: Vec<_> = LISTED.iter().filter(|listed| !seen.iter().any(|seen| seen == *listed)).collect();
        assert_eq!(unseen, [&"A6"]);
        let a6 = |name: &[u8]| [&[64, 0, 0, 0, 0, 0, 0, 0, 1], name].concat();
        assert_eq!(*canonical_form(Type::A6, &a6(b"\x01A\x00")), a6(b"\x01a\x00"));
    }

    #[test]
    fn names_of_all_types_compare_case_insensitively() {
        for (rtype, data, upper_case) in examples() {
            let has_fixed_names = rtype.names().is_some();
            assert_eq!(data_cmp(rtype, &data, &upper_case).is_eq(), has_fixed_names || data == upper_case, "{rtype}");
        }
    }

    #[test]
    fn other_fields_keep_their_letter_case() {
        let text = |word: &[u8]| [&[word.len() as u8], word].concat();
        assert!(data_cmp(Type::TXT, &text(b"a"), &text(b"A")).is_gt());
        assert!(canonical_cmp(Type::TXT, &text(b"a"), &text(b"A")).is_gt());
    }
}
