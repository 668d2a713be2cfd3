//! Record types: their numbers, mnemonics and the layout of their data.
//!
//! One table says for each type which fields its data consists of. `rdata/` follows it to turn text into octets
//! and octets into text, the reply writer to find the names it may compress.

use std::fmt;

/// A record type (RFC 1035 §3.2.2 and later), known or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Type(pub u16);

/// One field of a type's data, as it is written in text (first) and on the wire (second).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// A decimal number, one octet.
    U8,
    /// A decimal number, two octets.
    U16,
    /// A decimal number, four octets.
    U32,
    /// A number of seconds, units allowed; four octets.
    Seconds,
    /// A dotted quad; four octets.
    Ipv4,
    /// An IPv6 address; sixteen octets.
    Ipv6,
    /// A domain name that may be compressed in a message (RFC 3597 §4).
    CompressedName,
    /// A domain name that must not be compressed.
    Name,
    /// A character string; a length octet and its octets.
    String,
    /// One or more character strings up to the end.
    Strings,
    /// A character string, perhaps absent (ISDN's subaddress).
    OptionalString,
    /// A property tag of letters and digits; a length octet and its octets (RFC 8659 §4.1).
    Tag,
    /// A character string of any length; its octets without a length, up to the end.
    Octets,
    /// Hexadecimal digits, blanks allowed, up to the end.
    Hex,
    /// Base64, blanks allowed, up to the end.
    Base64,
    /// A public key in base64 up to the end; absent if the flags in front say so (RFC 2535 §3.1.2).
    PublicKey,
    /// Hexadecimal digits or `-` for none; a length octet and its octets (RFC 5155 §3.3).
    Salt,
    /// Base32 with the extended hex alphabet; a length octet and its octets (RFC 5155 §3.3).
    Base32,
    /// A type's mnemonic; two octets.
    Type,
    /// Types' mnemonics up to the end; a bitmap (RFC 4034 §4.1.2).
    Types,
    /// A DNSSEC algorithm, number or mnemonic; one octet (RFC 4034 §A.1).
    Algorithm,
    /// The kind of a DS record's digest, number or mnemonic; one octet (RFC 4034 §5.1.3).
    DigestType,
    /// A certificate's kind, number or mnemonic; two octets (RFC 4398 §2.1).
    CertificateType,
    /// A date `YYYYMMDDHHMMSS` or seconds since 1970; four octets (RFC 4034 §3.2).
    Time,
    /// So many groups of two hexadecimal digits joined by hyphens (RFC 7043).
    Eui(u8),
    /// Four groups of up to four hexadecimal digits joined by colons (RFC 6742).
    Locator64,
    /// Service parameters up to the end (RFC 9460 §2.1).
    Parameters,
    /// Domain names up to the end, perhaps none.
    Names,
    /// The types of an NXT record up to the end; a plain bitmap of the types 1 to 127 (RFC 2535 §5.2).
    OldTypes,
    /// A gateway: `.`, an address or a name, as the second octet of the data says (RFC 4025 §2.3 to §2.5).
    Gateway,
    /// A base64 key up to the end, perhaps absent (RFC 4025 §2.6).
    OptionalBase64,
    /// Algorithm, host identity tag and public key; lengths and algorithm stand first (RFC 8005 §5).
    HostIdentity,
    /// All of a LOC record (RFC 1876).
    Location,
    /// Address prefixes up to the end, perhaps none (RFC 3123).
    Prefixes,
}

use Field::{
    Algorithm, Base32, Base64, CertificateType, CompressedName, DigestType, Eui, Gateway, Hex, HostIdentity, Ipv4,
    Ipv6, Location, Locator64, Name, Names, Octets, OldTypes, OptionalBase64, OptionalString, Parameters, Prefixes,
    PublicKey, Salt, Seconds, String, Strings, Tag, Time, Types, U8, U16, U32,
};

/// What is known of a type.
struct Known {
    code: u16,
    mnemonic: &'static str,
    fields: &'static [Field],
}

const fn known(code: u16, mnemonic: &'static str, fields: &'static [Field]) -> Known {
    Known { code, mnemonic, fields }
}

/// The types that can stand in a zone file, by number.
const TABLE: &[Known] = &[
    known(1, "A", &[Ipv4]),
    known(2, "NS", &[CompressedName]),
    known(3, "MD", &[CompressedName]),
    known(4, "MF", &[CompressedName]),
    known(5, "CNAME", &[CompressedName]),
    known(6, "SOA", &[CompressedName, CompressedName, U32, Seconds, Seconds, Seconds, Seconds]),
    known(7, "MB", &[CompressedName]),
    known(8, "MG", &[CompressedName]),
    known(9, "MR", &[CompressedName]),
    known(12, "PTR", &[CompressedName]),
    known(13, "HINFO", &[String, String]),
    known(14, "MINFO", &[CompressedName, CompressedName]),
    known(15, "MX", &[U16, CompressedName]),
    known(16, "TXT", &[Strings]),
    known(17, "RP", &[Name, Name]),
    known(18, "AFSDB", &[U16, Name]),
    known(19, "X25", &[String]),
    known(20, "ISDN", &[String, OptionalString]),
    known(21, "RT", &[U16, Name]),
    known(23, "NSAP-PTR", &[Name]),
    known(24, "SIG", RRSIG),
    known(25, "KEY", DNSKEY),
    known(26, "PX", &[U16, Name, Name]),
    known(27, "GPOS", &[String, String, String]),
    known(28, "AAAA", &[Ipv6]),
    known(29, "LOC", &[Location]),
    known(30, "NXT", &[Name, OldTypes]),
    known(31, "EID", &[Hex]),
    known(32, "NIMLOC", &[Hex]),
    known(33, "SRV", &[U16, U16, U16, Name]),
    known(35, "NAPTR", &[U16, U16, String, String, String, Name]),
    known(36, "KX", &[U16, Name]),
    known(37, "CERT", &[CertificateType, U16, Algorithm, Base64]),
    known(39, "DNAME", &[Name]),
    known(42, "APL", &[Prefixes]),
    known(43, "DS", DS),
    known(44, "SSHFP", &[U8, U8, Hex]),
    known(45, "IPSECKEY", &[U8, U8, U8, Gateway, OptionalBase64]),
    known(46, "RRSIG", RRSIG),
    known(47, "NSEC", &[Name, Types]),
    known(48, "DNSKEY", DNSKEY),
    known(49, "DHCID", &[Base64]),
    known(50, "NSEC3", &[U8, U8, U16, Salt, Base32, Types]),
    known(51, "NSEC3PARAM", &[U8, U8, U16, Salt]),
    known(52, "TLSA", &[U8, U8, U8, Hex]),
    known(53, "SMIMEA", &[U8, U8, U8, Hex]),
    known(55, "HIP", &[HostIdentity, Names]),
    known(56, "NINFO", &[Strings]),
    known(57, "RKEY", DNSKEY),
    known(58, "TALINK", &[Name, Name]),
    known(59, "CDS", DS),
    known(60, "CDNSKEY", DNSKEY),
    known(61, "OPENPGPKEY", &[Base64]),
    known(62, "CSYNC", &[U32, U16, Types]),
    known(63, "ZONEMD", &[U32, U8, U8, Hex]),
    known(64, "SVCB", &[U16, Name, Parameters]),
    known(65, "HTTPS", &[U16, Name, Parameters]),
    known(99, "SPF", &[Strings]),
    known(104, "NID", &[U16, Locator64]),
    known(105, "L32", &[U16, Ipv4]),
    known(106, "L64", &[U16, Locator64]),
    known(107, "LP", &[U16, Name]),
    known(108, "EUI48", &[Eui(6)]),
    known(109, "EUI64", &[Eui(8)]),
    known(256, "URI", &[U16, U16, Octets]),
    known(257, "CAA", &[U8, Tag, Octets]),
    known(258, "AVC", &[Strings]),
    known(261, "RESINFO", &[Strings]),
    known(262, "WALLET", &[Strings]),
    known(32768, "TA", DS),
    known(32769, "DLV", DS),
];

const DS: &[Field] = &[U16, Algorithm, DigestType, Hex];
const DNSKEY: &[Field] = &[U16, U8, Algorithm, PublicKey];
const RRSIG: &[Field] = &[Field::Type, Algorithm, U8, U32, Time, Time, U16, Name, Base64];

/// Types whose data is written in the form of RFC 3597 §5 only: they have no text form, or hardly anyone knew it.
const WITHOUT_TEXT: &[(u16, &str)] = &[
    (10, "NULL"),
    (22, "NSAP"),
    (34, "ATMA"),
    (38, "A6"),
    (40, "SINK"),
    (66, "DSYNC"),
    (259, "DOA"),
    (260, "AMTRELAY"),
];

macro_rules! types {
    ($($name:ident = $code:literal),* $(,)?) => {
        $(#[doc = concat!("The type `", stringify!($name), "`.")] pub const $name: Self = Self($code);)*
    };
}

#[allow(missing_docs, reason = "the macro documents them")]
impl Type {
    types! {
        A = 1, NS = 2, CNAME = 5, SOA = 6, PTR = 12, MX = 15, TXT = 16, AAAA = 28, SRV = 33, NAPTR = 35,
        DNAME = 39, OPT = 41, DS = 43, RRSIG = 46, NSEC = 47, DNSKEY = 48, NSEC3 = 50, SVCB = 64, HTTPS = 65,
        NXNAME = 128, TKEY = 249, TSIG = 250, IXFR = 251, AXFR = 252, MAILB = 253, MAILA = 254, ANY = 255,
    }

    /// Returns whether records of this type may stand where a CNAME record is: it alone and what signs it (RFC 2181 §10.1,
    /// RFC 4034 §2.5).
    pub(crate) fn goes_with_cname(self) -> bool {
        matches!(self, Self::CNAME | Self::RRSIG | Self::NSEC | Self(24 | 25 | 30))
    }

    /// Reads a mnemonic, or `TYPE` and a number (RFC 3597 §5), in any letter case.
    pub fn from_text(text: &[u8]) -> Option<Self> {
        // Nearly all records of nearly all zones are of these.
        match text {
            b"A" => return Some(Self::A),
            b"AAAA" => return Some(Self::AAAA),
            b"NS" => return Some(Self::NS),
            b"PTR" => return Some(Self::PTR),
            _ => {}
        }
        if let Some(known) = TABLE.iter().find(|known| text.eq_ignore_ascii_case(known.mnemonic.as_bytes())) {
            return Some(Self(known.code));
        }
        if let Some((code, _)) = WITHOUT_TEXT.iter().find(|(_, name)| text.eq_ignore_ascii_case(name.as_bytes())) {
            return Some(Self(*code));
        }
        let (word, number) = text.split_at_checked(4)?;
        if !word.eq_ignore_ascii_case(b"TYPE") || number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
            return None;
        }
        std::str::from_utf8(number).ok()?.parse().ok().map(Self)
    }

    /// Iterates over all types whose data has a text form of its own.
    #[cfg(test)]
    pub(crate) fn with_text() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|known| Self(known.code))
    }

    /// Returns the fields of the type's data, or `None` if they are not known.
    pub(crate) fn fields(self) -> Option<&'static [Field]> {
        let index = TABLE.binary_search_by_key(&self.0, |known| known.code).ok()?;
        Some(TABLE[index].fields)
    }

    /// Returns where in the type's data the names lie that may be compressed: how many octets before them and how
    /// many names.
    #[inline]
    pub(crate) fn compressible(self) -> Option<(usize, usize)> {
        match self.0 {
            2..=5 | 7..=9 | 12 => Some((0, 1)),
            6 | 14 => Some((0, 2)),
            15 => Some((2, 1)),
            _ => None,
        }
    }

    /// Returns where in the type's data all names lie: how many octets before them and how many names.
    pub(crate) fn names(self) -> Option<(usize, usize)> {
        match self.0 {
            17 => Some((0, 2)),
            18 | 21 | 36 | 107 => Some((2, 1)),
            24 | 46 => Some((18, 1)),
            26 => Some((2, 2)),
            33 => Some((6, 1)),
            30 | 39 | 47 => Some((0, 1)),
            64 | 65 => Some((2, 1)),
            _ => self.compressible(),
        }
    }

    /// Returns whether the type asks something other than for records of that type, so none can have it
    /// (RFC 6895 §3.1: 0, OPT, and 128 to 255).
    pub fn is_meta(self) -> bool {
        matches!(self.0, 0 | 41 | 128..=255)
    }

    /// Returns the mnemonic nearest to a misspelt one.
    pub(crate) fn nearest(text: &[u8]) -> Option<&'static str> {
        let names = TABLE.iter().map(|known| known.mnemonic);
        let text = text.get(..16).unwrap_or(text).to_ascii_uppercase();
        names
            .map(|name| (distance(&text, name.as_bytes()), name))
            .min()
            .filter(|&(d, name)| d <= 1.max(name.len() / 3))
            .map(|(_, name)| name)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match TABLE.binary_search_by_key(&self.0, |known| known.code) {
            Ok(index) => f.write_str(TABLE[index].mnemonic),
            Err(_) => match WITHOUT_TEXT.iter().find(|(code, _)| *code == self.0) {
                Some((_, name)) => f.write_str(name),
                None => write!(f, "TYPE{}", self.0),
            },
        }
    }
}

/// Returns the number of insertions, deletions and replacements that lead from one word to the other.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_and_its_own_inverse() {
        assert!(TABLE.is_sorted_by(|a, b| a.code < b.code));
        for known in TABLE {
            assert_eq!(Type::from_text(known.mnemonic.to_lowercase().as_bytes()), Some(Type(known.code)));
            assert_eq!(Type(known.code).to_string(), known.mnemonic);
            let names = known.fields.iter().filter(|field| **field == CompressedName).count();
            assert_eq!(Type(known.code).compressible().map_or(0, |(_, n)| n), names, "{}", known.mnemonic);
        }
    }

    /// RFC 3597 §5.
    #[test]
    fn unknown_types() {
        assert_eq!(Type::from_text(b"type65534"), Some(Type(65534)));
        assert_eq!(Type(65534).to_string(), "TYPE65534");
        for bad in ["TYPE", "TYPE65536", "TYPE+1", "TYPEx", "", "Q"] {
            assert_eq!(Type::from_text(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn misspelt() {
        assert_eq!(Type::nearest(b"CNAM"), Some("CNAME"));
        assert_eq!(Type::nearest(b"aaa"), Some("AAAA"));
        assert_eq!(Type::nearest(b"completely-different"), None);
    }
}
