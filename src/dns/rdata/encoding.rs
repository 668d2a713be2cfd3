//! Text encodings of octets and numbers in record data.

use data_encoding::{BASE32HEX_NOPAD, BASE64, HEXUPPER_PERMISSIVE};

use crate::dns::Type;
use crate::dns::name::unescape;

/// Parses a decimal number up to `max`.
pub(super) fn number(word: &[u8], max: u32) -> Option<u32> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0_u32, |number, &octet| {
        let digit = octet.is_ascii_digit().then(|| u32::from(octet - b'0'))?;
        number.checked_mul(10)?.checked_add(digit).filter(|&number| number <= max)
    })
}

/// Appends a string with its escapes resolved; returns `None` at an invalid escape.
pub(crate) fn push_unescaped(word: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = word;
    while let Some(&octet) = rest.first() {
        let (octet, len) = if octet == b'\\' { unescape(rest)? } else { (octet, 1) };
        out.push(octet);
        rest = &rest[len..];
    }
    Some(())
}

/// Decodes hexadecimal digits of either case, two per octet.
pub(super) fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    HEXUPPER_PERMISSIVE.decode(digits).ok()
}

/// Decodes base64 with padding.
pub(super) fn base64(digits: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(digits).ok()
}

/// Decodes base32hex without padding, in either case.
pub(super) fn base32(digits: &[u8]) -> Option<Vec<u8>> {
    BASE32HEX_NOPAD.decode(&digits.to_ascii_uppercase()).ok()
}

/// Parses a time: `YYYYMMDDHHMMSS` in UTC or a number of seconds since 1970 (RFC 4034 §3.2).
pub(super) fn time(word: &[u8]) -> Option<u32> {
    if word.len() != 14 {
        return number(word, u32::MAX);
    }
    let part = |range: std::ops::Range<usize>| i8::try_from(number(&word[range], 99)?).ok();
    let year = i16::try_from(number(&word[..4], 9999)?).ok()?;
    let date =
        jiff::civil::DateTime::new(year, part(4..6)?, part(6..8)?, part(8..10)?, part(10..12)?, part(12..14)?, 0);
    let timestamp = jiff::tz::TimeZone::UTC.to_timestamp(date.ok()?).ok()?;
    // Times are compared by serial arithmetic, so only the low 32 bits count (RFC 4034 §3.1.5).
    Some(timestamp.as_second() as u32)
}

/// Formats a 32-bit time as the date counted from 1970.
pub(super) fn print_time(seconds: u32) -> String {
    match jiff::Timestamp::from_second(i64::from(seconds)) {
        Ok(timestamp) => timestamp.strftime("%Y%m%d%H%M%S").to_string(),
        Err(_) => seconds.to_string(),
    }
}

/// Appends groups of two hexadecimal digits joined by hyphens (RFC 7043 §3.2).
pub(super) fn push_eui(word: &[u8], groups: u8, out: &mut Vec<u8>) -> Option<()> {
    let mut count = 0;
    for group in word.split(|&octet| octet == b'-') {
        out.push(*hex(group).filter(|octets| octets.len() == 1)?.first()?);
        count += 1;
    }
    (count == groups).then_some(())
}

/// Appends four groups of one to four hexadecimal digits joined by colons (RFC 6742 §2.1.2).
pub(super) fn push_locator64(word: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut count = 0;
    for group in word.split(|&octet| octet == b':') {
        let digits = std::str::from_utf8(group).ok().filter(|digits| !digits.starts_with('+'))?;
        let value = u16::from_str_radix(digits, 16).ok().filter(|_| digits.len() <= 4)?;
        out.extend_from_slice(&value.to_be_bytes());
        count += 1;
    }
    (count == 4).then_some(())
}

/// Appends the bitmap of a list of types (RFC 4034 §4.1.2).
pub(crate) fn push_type_bitmap(mut types: Vec<Type>, out: &mut Vec<u8>) {
    types.sort();
    for window in types.chunk_by(|a, b| a.0 >> 8 == b.0 >> 8) {
        let mut map = [0_u8; 32];
        let mut len = 0;
        for rtype in window {
            let low = usize::from(rtype.0 & 0xff);
            map[low / 8] |= 0x80 >> (low % 8);
            len = low / 8 + 1;
        }
        out.push((window[0].0 >> 8) as u8);
        out.push(len as u8);
        out.extend_from_slice(&map[..len]);
    }
}

/// Iterates over the types of a bitmap.
pub(crate) fn bitmap_types(mut map: &[u8]) -> impl Iterator<Item = Type> {
    std::iter::from_fn(move || {
        let (&[window, len], tail) = map.split_first_chunk::<2>()?;
        let (bits, after) = tail.split_at_checked(usize::from(len))?;
        map = after;
        Some(plain_bitmap_types(bits).map(move |low| Type(u16::from(window) << 8 | low.0)))
    })
    .flatten()
}

/// Iterates over the types whose bits are set; the top bit of the first octet is type 0.
pub(super) fn plain_bitmap_types(bits: &[u8]) -> impl Iterator<Item = Type> {
    bits.iter().enumerate().flat_map(|(at, octet)| {
        (0..8).filter(move |bit| octet & 0x80 >> bit != 0).map(move |bit| Type(at as u16 * 8 + bit))
    })
}

/// Returns whether octets are a valid bitmap: windows ascend, and none is empty or ends in a zero octet.
pub(super) fn is_bitmap(mut map: &[u8]) -> bool {
    let mut last = None;
    while let Some((&[window, len], tail)) = map.split_first_chunk::<2>() {
        let Some((bits, after)) = tail.split_at_checked(usize::from(len)) else { return false };
        if len == 0 || len > 32 || bits.last() == Some(&0) || last.is_some_and(|last| last >= window) {
            return false;
        }
        last = Some(window);
        map = after;
    }
    map.is_empty()
}

/// The mnemonics of DNSSEC algorithms, the usual one of each first (RFC 4034 §A.1 and the IANA registry).
const ALGORITHMS: &[(&str, u8)] = &[
    ("RSAMD5", 1),
    ("DH", 2),
    ("DSA", 3),
    ("RSASHA1", 5),
    ("DSA-NSEC3-SHA1", 6),
    ("NSEC3DSA", 6),
    ("RSASHA1-NSEC3-SHA1", 7),
    ("NSEC3RSASHA1", 7),
    ("RSASHA256", 8),
    ("RSASHA512", 10),
    ("ECC-GOST", 12),
    ("ECCGOST", 12),
    ("ECDSAP256SHA256", 13),
    ("ECDSAP384SHA384", 14),
    ("ED25519", 15),
    ("ED448", 16),
    ("INDIRECT", 252),
    ("PRIVATEDNS", 253),
    ("PRIVATEOID", 254),
];

/// Returns the mnemonic of a DNSSEC algorithm, if it has one.
pub(crate) fn algorithm_name(number: u8) -> Option<&'static str> {
    ALGORITHMS.iter().find(|(_, other)| *other == number).map(|(name, _)| *name)
}

/// Parses a DNSSEC algorithm, number or mnemonic.
pub(super) fn algorithm(word: &[u8]) -> Option<u8> {
    mnemonic(word, ALGORITHMS).or_else(|| u8::try_from(number(word, 255)?).ok())
}

/// Parses a digest type, number or mnemonic (RFC 4034 §A.2 and the IANA registry).
pub(super) fn digest_type(word: &[u8]) -> Option<u8> {
    const NAMES: &[(&str, u8)] =
        &[("SHA-1", 1), ("SHA1", 1), ("SHA-256", 2), ("SHA256", 2), ("GOST", 3), ("SHA-384", 4), ("SHA384", 4)];
    mnemonic(word, NAMES).or_else(|| u8::try_from(number(word, 255)?).ok())
}

/// Parses a certificate type, number or mnemonic (RFC 4398 §2.1).
pub(super) fn certificate_type(word: &[u8]) -> Option<u16> {
    const NAMES: &[(&str, u16)] = &[
        ("PKIX", 1),
        ("SPKI", 2),
        ("PGP", 3),
        ("IPKIX", 4),
        ("ISPKI", 5),
        ("IPGP", 6),
        ("ACPKIX", 7),
        ("IACPKIX", 8),
        ("URI", 253),
        ("OID", 254),
    ];
    mnemonic(word, NAMES).or_else(|| u16::try_from(number(word, 65_535)?).ok())
}

fn mnemonic<N: Copy>(word: &[u8], names: &[(&str, N)]) -> Option<N> {
    names.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes())).map(|&(_, number)| number)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use crate::dns::rdata::encoding::*;

    #[test]
    fn times() {
        // The example signature of RFC 4034 §3.3.
        assert_eq!(time(b"20030322173103"), Some(1_048_354_263));
        assert_eq!(time(b"1048354263"), Some(1_048_354_263));
        assert_eq!(time(b"20031322173103"), None);
    }

    /// The example of RFC 4034 §4.3: A MX RRSIG NSEC TYPE1234.
    #[test]
    fn bitmap() {
        let mut out = Vec::new();
        push_type_bitmap([1234, 1, 15, 46, 47, 1].map(Type).to_vec(), &mut out);
        let mut expected = vec![0, 6, 0x40, 1, 0, 0, 0, 3, 4, 27];
        expected.extend([0; 26]);
        expected.push(0x20);
        assert_eq!(out, expected);
    }

    proptest! {
        #[test]
        fn bitmaps_round_trip(numbers in proptest::collection::btree_set(any::<u16>(), 0..40)) {
            let expected: BTreeSet<Type> = numbers.into_iter().map(Type).collect();
            let mut octets = Vec::new();
            push_type_bitmap(expected.iter().copied().collect(), &mut octets);
            prop_assert_eq!(bitmap_types(&octets).collect::<BTreeSet<_>>(), expected);
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(number(b"65535", 65_535), Some(65_535));
        for bad in [&b"65536"[..], b"", b"+1", b"0x1", b"99999999999"] {
            assert_eq!(number(bad, 65_535), None);
        }
    }
}
