//! Record types: their numbers, mnemonics and the layout of their data.
//!
//! Each type is one row of [`TABLE`]: its mnemonic, the fields of its data, how the names among them are handled, and
//! the hosts whose addresses a reply adds. `rdata/` uses the row to convert between text and octets, and the reply
//! writer uses it to find the names that it may compress.

use std::fmt;

use super::rdata::rules::{self, Rule};

/// A record type, known or unknown (RFC 1035 §3.2.2 and later).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Type(pub u16);

/// A field of a type's data; each variant states its text form, then its wire form.
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
    /// An optional character string (the subaddress of ISDN).
    OptionalString,
    /// A property tag of letters and digits; a length octet and its octets (RFC 8659 §4.1).
    Tag,
    /// A character string of any length; its octets without a length octet, up to the end.
    Octets,
    /// Hexadecimal digits, blanks allowed, up to the end; at least one octet.
    Hex,
    /// Base64, blanks allowed, up to the end; at least one octet.
    Base64,
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
    /// The digest type of a DS record, number or mnemonic; one octet (RFC 4034 §5.1.3).
    DigestType,
    /// A certificate type, number or mnemonic; two octets (RFC 4398 §2.1).
    CertificateType,
    /// A date `YYYYMMDDHHMMSS` or seconds since 1970; four octets (RFC 4034 §3.2).
    Time,
    /// The given number of groups of two hexadecimal digits, joined by hyphens (RFC 7043).
    Eui(u8),
    /// Four groups of up to four hexadecimal digits joined by colons (RFC 6742).
    Locator64,
    /// Service parameters up to the end (RFC 9460 §2.1).
    Parameters,
    /// Zero or more domain names up to the end.
    Names,
    /// The types of an NXT record up to the end; a plain bitmap of the types 1 to 127 (RFC 2535 §5.2).
    OldTypes,
    /// A gateway: `.`, an address or a name, depending on the second octet of the data (RFC 4025 §2.3 to §2.5).
    Gateway,
    /// Algorithm, host identity tag and public key; on the wire, lengths and algorithm come first (RFC 8005 §5).
    HostIdentity,
    /// The whole data of a LOC record (RFC 1876).
    Location,
    /// Zero or more address prefixes up to the end (RFC 3123).
    Prefixes,
}

use Field::{
    Algorithm, Base32, Base64, CertificateType, CompressedName, DigestType, Eui, Gateway, Hex, HostIdentity, Ipv4,
    Ipv6, Location, Locator64, Name, Names, Octets, OldTypes, OptionalString, Parameters, Prefixes, Salt, Seconds,
    String, Strings, Tag, Time, Types, U8, U16, U32,
};

/// The properties of a known type.
struct Known {
    code: u16,
    mnemonic: &'static str,
    /// Example data in zone-file form, used in hints.
    example: &'static str,
    /// The fields of the data.
    fields: &'static [Field],
    /// Whether the data has a text form in addition to the generic one of RFC 3597 §5.
    has_text: bool,
    /// The rule that the data must satisfy beyond the form of each field.
    rule: Option<Rule>,
    /// The position of the data's first names: the number of octets before them and the number of consecutive names. It
    /// is derived from the fields; both are 0 if the fields before the names have no fixed length.
    names: (u8, u8),
    /// How the names in the data are handled.
    handling: Handling,
    /// The hosts in the data whose records a reply adds.
    additional: Additional,
    /// Whether records of the type may exist at the owner of a CNAME record.
    coexists_with_cname: bool,
}

/// How the domain names in a type's data are handled; each variant includes the ones above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Handling {
    /// Names keep their letter case, in canonical form too (RFC 3597 §4 and §7, RFC 6840 §5.1).
    Verbatim,
    /// Names are in lower case in canonical form (RFC 4034 §6.2).
    LowerCase,
    /// Other servers may send names compressed (RFC 3597 §4).
    Expanded,
    /// Replies may compress names (RFC 1035 §3.3).
    Compressed,
}

/// The hosts in a type's data whose records a reply adds (RFC 1034 §4.3.2 step 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Additional {
    /// No hosts.
    None,
    /// The first name is a host; its addresses are added.
    Host,
    /// The target of a service binding (RFC 9460 §4.1).
    Service,
    /// The replacement of a NAPTR record, depending on its flags (RFC 3403 §4.1).
    Replacement,
}

/// Returns a row with defaults for everything that depends on the fields only.
const fn known(code: u16, mnemonic: &'static str, example: &'static str, fields: &'static [Field]) -> Known {
    let (names, handling) = names(fields);
    Known {
        code,
        mnemonic,
        example,
        fields,
        has_text: true,
        rule: None,
        names,
        handling,
        additional: Additional::None,
        coexists_with_cname: false,
    }
}

/// Returns the position of the first names in data with these fields, and their default handling.
const fn names(fields: &[Field]) -> ((u8, u8), Handling) {
    let (mut front, mut count, mut at) = (0, 0, 0);
    let mut handling = Handling::Verbatim;
    while at < fields.len() {
        let octets = match fields[at] {
            CompressedName => {
                handling = Handling::Compressed;
                count += 1;
                0
            }
            Name => {
                count += 1;
                0
            }
            U8 | Algorithm | DigestType => 1,
            U16 | CertificateType | Field::Type => 2,
            U32 | Seconds | Ipv4 | Time => 4,
            Locator64 => 8,
            Ipv6 => 16,
            Eui(groups) => groups,
            _ => break,
        };
        if octets > 0 && count > 0 {
            break;
        }
        front += octets;
        at += 1;
    }
    if count == 0 { ((0, 0), handling) } else { ((front, count), handling) }
}

impl Known {
    fn place(&self) -> (usize, usize) {
        (usize::from(self.names.0), usize::from(self.names.1))
    }

    /// Allows only the form of RFC 3597 §5 in text: the type has no text form, or none that is widely known.
    const fn in_generic_form(mut self) -> Self {
        self.has_text = false;
        self
    }

    const fn with(mut self, rule: Rule) -> Self {
        self.rule = Some(rule);
        self
    }

    /// Marks the names in the data as possibly compressed by other servers.
    const fn expanded(mut self) -> Self {
        self.handling = Handling::Expanded;
        self
    }

    /// Marks the names in the data as lower case in canonical form.
    const fn lower_case(mut self) -> Self {
        self.handling = Handling::LowerCase;
        self
    }

    /// Sets the hosts in the data whose records a reply adds.
    const fn adding(mut self, additional: Additional) -> Self {
        self.additional = additional;
        self
    }

    const fn coexists_with_cname(mut self) -> Self {
        self.coexists_with_cname = true;
        self
    }
}

/// The types that a zone file may contain, by number.
const TABLE: &[Known] = &[
    known(1, "A", "192.0.2.1", &[Ipv4]),
    known(2, "NS", "ns.example.org.", &[CompressedName]).adding(Additional::Host),
    known(3, "MD", "mail.example.org.", &[CompressedName]),
    known(4, "MF", "mail.example.org.", &[CompressedName]),
    known(5, "CNAME", "www.example.org.", &[CompressedName]).coexists_with_cname(),
    known(
        6,
        "SOA",
        "ns.example.org. hostmaster.example.org. 1 2h 15m 2w 5m",
        &[CompressedName, CompressedName, U32, Seconds, Seconds, Seconds, Seconds],
    ),
    known(7, "MB", "mail.example.org.", &[CompressedName]),
    known(8, "MG", "user.example.org.", &[CompressedName]),
    known(9, "MR", "user.example.org.", &[CompressedName]),
    known(10, "NULL", "\\# 3 010203", &[Octets]).in_generic_form().with(rules::null),
    known(11, "WKS", "\\# 6 C0000201 06 40", &[Ipv4, U8, Octets]).in_generic_form().with(rules::wks),
    known(12, "PTR", "www.example.org.", &[CompressedName]),
    known(13, "HINFO", "amd64 Linux", &[String, String]),
    known(14, "MINFO", "owner.example.org. errors.example.org.", &[CompressedName, CompressedName]),
    known(15, "MX", "10 mail.example.org.", &[U16, CompressedName]).adding(Additional::Host),
    known(16, "TXT", "\"any text\"", &[Strings]),
    known(17, "RP", "user.example.org. info.example.org.", &[Name, Name]).expanded(),
    known(18, "AFSDB", "1 afs.example.org.", &[U16, Name]).expanded(),
    known(19, "X25", "311061700956", &[String]).with(rules::x25),
    known(20, "ISDN", "150862028003217 004", &[String, OptionalString]),
    known(21, "RT", "10 relay.example.org.", &[U16, Name]).expanded(),
    known(22, "NSAP", "\\# 3 470005", &[Hex]).in_generic_form(),
    known(23, "NSAP-PTR", "www.example.org.", &[Name]),
    known(24, "SIG", "A 8 3 300 20300101000000 20200101000000 12345 example.org. AQID", RRSIG)
        .with(rules::sig)
        .expanded()
        .coexists_with_cname(),
    known(25, "KEY", "512 3 8 AQID", DNSKEY).with(rules::key).coexists_with_cname(),
    known(26, "PX", "10 example.org. px.example.org.", &[U16, Name, Name]).expanded(),
    known(27, "GPOS", "-32.6882 116.8652 10.0", &[String, String, String]),
    known(28, "AAAA", "2001:db8::1", &[Ipv6]),
    known(29, "LOC", "52 22 23 N 4 53 32 E -2m 1m 10000m 10m", &[Location]).with(rules::location),
    known(30, "NXT", "www.example.org. A NXT", &[Name, OldTypes]).expanded().coexists_with_cname(),
    known(31, "EID", "0123", &[Hex]),
    known(32, "NIMLOC", "0123", &[Hex]),
    known(33, "SRV", "0 5 5060 sip.example.org.", &[U16, U16, U16, Name]).expanded().adding(Additional::Host),
    known(34, "ATMA", "\\# 5 01 31323334", &[U8, Hex]).in_generic_form().with(rules::atma),
    known(35, "NAPTR", "100 10 u E2U+sip \"!^.*$!sip:info@example.org!\" .", &[U16, U16, String, String, String, Name])
        .with(rules::naptr)
        .expanded()
        .adding(Additional::Replacement),
    known(36, "KX", "10 kx.example.org.", &[U16, Name]).lower_case(),
    known(37, "CERT", "PKIX 12345 8 AQID", &[CertificateType, U16, Algorithm, Base64]),
    known(38, "A6", "\\# 12 40 0000000000000001 016100", &[U8, Octets]).in_generic_form().with(rules::a6).lower_case(),
    known(39, "DNAME", "example.net.", &[Name]).lower_case(),
    known(40, "SINK", "\\# 4 01 02 03 04", &[U8, U8, U8, Octets]).in_generic_form(),
    known(42, "APL", "1:192.0.2.0/24 !2:2001:db8::/32", &[Prefixes]),
    known(43, "DS", "12345 13 2 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", DS)
        .with(rules::delegation_digest),
    known(44, "SSHFP", "4 2 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", &[U8, U8, Hex])
        .with(rules::fingerprint),
    known(45, "IPSECKEY", "10 1 2 192.0.2.1 AQID", &[U8, U8, U8, Gateway, Base64]),
    known(46, "RRSIG", "A 13 3 300 20300101000000 20200101000000 12345 example.org. AQID", RRSIG)
        .with(rules::rrsig)
        .lower_case()
        .coexists_with_cname(),
    known(47, "NSEC", "www.example.org. A RRSIG NSEC", &[Name, Types]).with(rules::nsec).coexists_with_cname(),
    known(48, "DNSKEY", "256 3 13 AQID", DNSKEY).with(rules::public_key),
    known(49, "DHCID", "AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=", &[Base64]),
    known(50, "NSEC3", "1 0 0 - 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A RRSIG", &[U8, U8, U16, Salt, Base32, Types])
        .with(rules::nsec3),
    known(51, "NSEC3PARAM", "1 0 0 -", &[U8, U8, U16, Salt]),
    known(52, "TLSA", "3 1 1 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", &[U8, U8, U8, Hex]),
    known(53, "SMIMEA", "3 1 1 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", &[U8, U8, U8, Hex]),
    known(55, "HIP", "2 200100107B1A AQID rvs.example.org.", &[HostIdentity, Names]),
    known(56, "NINFO", "\"any text\"", &[Strings]),
    known(57, "RKEY", "0 3 8 AQID", DNSKEY).with(rules::rkey),
    known(58, "TALINK", "a.example.org. c.example.org.", &[Name, Name]),
    known(59, "CDS", "12345 13 2 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", DS)
        .with(rules::delegation_digest),
    known(60, "CDNSKEY", "257 3 13 AQID", DNSKEY).with(rules::public_key),
    known(61, "OPENPGPKEY", "AQID", &[Base64]),
    known(62, "CSYNC", "1 3 A NS AAAA", &[U32, U16, Types]),
    known(
        63,
        "ZONEMD",
        "1 1 1 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F202122232425262728292A2B2C2D2E2F",
        &[U32, U8, U8, Hex],
    )
    .with(rules::zone_digest),
    known(64, "SVCB", "1 www.example.org. alpn=h2 port=8443", &[U16, Name, Parameters])
        .with(rules::service)
        .adding(Additional::Service),
    known(65, "HTTPS", "1 . alpn=h2,h3 ipv4hint=192.0.2.1", &[U16, Name, Parameters])
        .with(rules::service)
        .adding(Additional::Service),
    known(66, "DSYNC", "\\# 10 003B 01 0035 03777777 00", &[Field::Type, U8, U16, Name]).in_generic_form(),
    known(67, "HHIT", "AQID", &[Base64]),
    known(68, "BRID", "AQID", &[Base64]),
    known(99, "SPF", "\"v=spf1 -all\"", &[Strings]),
    known(104, "NID", "10 14:4fff:ff20:ee64", &[U16, Locator64]),
    known(105, "L32", "10 192.0.2.1", &[U16, Ipv4]),
    known(106, "L64", "10 2001:db8:0:1", &[U16, Locator64]),
    known(107, "LP", "10 l64.example.org.", &[U16, Name]),
    known(108, "EUI48", "00-00-5e-00-53-2a", &[Eui(6)]),
    known(109, "EUI64", "00-00-5e-ef-10-00-00-2a", &[Eui(8)]),
    known(256, "URI", "10 1 \"https://www.example.org/\"", &[U16, U16, Octets]),
    known(257, "CAA", "0 issue \"ca.example.net\"", &[U8, Tag, Octets]),
    known(258, "AVC", "\"any text\"", &[Strings]),
    known(259, "DOA", "\\# 13 00000001 00000002 03 0161 0102", &[U32, U32, U8, String, Octets]).in_generic_form(),
    known(260, "AMTRELAY", "\\# 6 0A01 C0000201", &[U8, U8, Octets]).in_generic_form().with(rules::relay),
    known(261, "RESINFO", "qnamemin", &[Strings]),
    known(262, "WALLET", "XMR address", &[Strings]),
    known(32768, "TA", "12345 13 2 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", DS)
        .with(rules::delegation_digest),
    known(32769, "DLV", "12345 13 2 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", DS)
        .with(rules::delegation_digest),
];

/// [`ROWS`] covers the codes below this one.
const DENSE: usize = 264;

/// The row number of each code, counted from 1; 0 for unknown types.
static ROWS: [u8; DENSE] = rows();

const fn rows() -> [u8; DENSE] {
    let mut rows = [0; DENSE];
    let mut row = 0;
    while row < TABLE.len() {
        if (TABLE[row].code as usize) < DENSE {
            rows[TABLE[row].code as usize] = row as u8 + 1;
        }
        row += 1;
    }
    rows
}

const DS: &[Field] = &[U16, Algorithm, DigestType, Hex];
const DNSKEY: &[Field] = &[U16, U8, Algorithm, Base64];
const RRSIG: &[Field] = &[Field::Type, Algorithm, U8, U32, Time, Time, U16, Name, Base64];

macro_rules! types {
    ($($name:ident = $code:literal),* $(,)?) => {
        $(#[doc = concat!("The type `", stringify!($name), "`.")] pub const $name: Self = Self($code);)*
    };
}

#[allow(missing_docs, reason = "the macro documents them")]
impl Type {
    types! {
        A = 1, NS = 2, CNAME = 5, SOA = 6, PTR = 12, MX = 15, TXT = 16, AAAA = 28, SRV = 33, NAPTR = 35,
        A6 = 38, DNAME = 39, OPT = 41, DS = 43, RRSIG = 46, NSEC = 47, DNSKEY = 48, NSEC3 = 50, NSEC3PARAM = 51, CDS = 59, CDNSKEY = 60,
        ZONEMD = 63, SVCB = 64, HTTPS = 65,
        NXNAME = 128, TKEY = 249, TSIG = 250, IXFR = 251, AXFR = 252, MAILB = 253, MAILA = 254, ANY = 255,
    }

    /// Returns whether records of this type may exist at the owner of a CNAME record (RFC 2181 §10.1, RFC 4034 §2.5).
    pub(crate) fn may_coexist_with_cname(self) -> bool {
        self.known().is_some_and(|known| known.coexists_with_cname)
    }

    /// Returns the type that a record with this data covers, if this is a signature type (RFC 4034 §3.1.1, RFC 2535
    /// §4.1.1); missing octets count as zero.
    #[inline]
    pub fn covers(self, data: &[u8]) -> Option<Self> {
        let octet = |at| data.get(at).copied().unwrap_or(0);
        matches!(self, Self::RRSIG | Self(24)).then(|| Self(u16::from_be_bytes([octet(0), octet(1)])))
    }

    /// Parses a mnemonic, or `TYPE` and a number (RFC 3597 §5), in any letter case.
    pub fn from_text(text: &[u8]) -> Option<Self> {
        // Most records of most zones have one of these types.
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
        let (word, number) = text.split_at_checked(4)?;
        if !word.eq_ignore_ascii_case(b"TYPE") || number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
            return None;
        }
        std::str::from_utf8(number).ok()?.parse().ok().map(Self)
    }

    /// Iterates over all types that have a mnemonic.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|known| Self(known.code))
    }

    /// Returns example data of the type in zone-file form, such as `10 mail.example.org.`; `None` if the type is
    /// unknown.
    pub fn example(self) -> Option<&'static str> {
        self.known().map(|known| known.example)
    }

    #[inline]
    fn known(self) -> Option<&'static Known> {
        match ROWS.get(usize::from(self.0)) {
            Some(&row) => TABLE.get(usize::from(row).wrapping_sub(1)),
            None => TABLE.iter().rev().find(|known| known.code == self.0),
        }
    }

    /// Returns the fields of the type's text form, or `None` if only the generic form exists.
    pub(crate) fn fields(self) -> Option<&'static [Field]> {
        self.known().filter(|known| known.has_text).map(|known| known.fields)
    }

    /// Returns the fields of the type's wire form, or `None` if the type is unknown.
    pub(crate) fn layout(self) -> Option<&'static [Field]> {
        self.known().map(|known| known.fields)
    }

    /// Returns the rule that the type's data must satisfy beyond the form of its fields.
    pub(crate) fn rule(self) -> Option<Rule> {
        self.known().and_then(|known| known.rule)
    }

    /// Returns the position in the type's data of names that a reply may compress: the number of octets before them and
    /// the number of names.
    #[inline]
    pub(crate) fn compressible(self) -> Option<(usize, usize)> {
        self.known().filter(|known| known.handling == Handling::Compressed).map(Known::place)
    }

    /// Returns the position in the type's data of names that other servers may send compressed (RFC 3597 §4), if it is
    /// fixed.
    pub(crate) fn expandable(self) -> Option<(usize, usize)> {
        self.known().filter(|known| known.handling >= Handling::Expanded && known.names.1 > 0).map(Known::place)
    }

    /// Returns whether the names in the type's data are in lower case in canonical form (RFC 4034 §6.2, RFC 6840 §5.1).
    pub(crate) fn has_lower_case_names(self) -> bool {
        self.known().is_some_and(|known| known.handling >= Handling::LowerCase)
    }

    /// Returns the position of the first names in the type's data, if it is fixed: the number of octets before them and
    /// the number of consecutive names.
    pub(crate) fn names(self) -> Option<(usize, usize)> {
        self.known().filter(|known| known.names.1 > 0).map(Known::place)
    }

    /// Returns the hosts in the type's data whose records a reply adds.
    #[inline]
    pub(crate) fn additional(self) -> Additional {
        self.known().map_or(Additional::None, |known| known.additional)
    }

    /// Returns whether the type is a query type or meta-type, which no record in a zone can have (RFC 6895 §3.1: 0,
    /// OPT, and 128 to 255).
    pub fn is_meta(self) -> bool {
        matches!(self.0, 0 | 41 | 128..=255)
    }

    /// Returns the mnemonic that is closest to a misspelt one.
    pub(crate) fn nearest(text: &[u8]) -> Option<&'static str> {
        let names = TABLE.iter().map(|known| known.mnemonic);
        let text = std::string::String::from_utf8_lossy(text.get(..16).unwrap_or(text)).to_ascii_uppercase();
        names
            .map(|name| (strsim::levenshtein(&text, name), name))
            .min()
            .filter(|&(d, name)| d <= 1.max(name.len() / 3))
            .map(|(_, name)| name)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some(known) => f.write_str(known.mnemonic),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::dns::rtype::*;

    #[test]
    fn table_is_sorted_and_its_own_inverse() {
        assert!(TABLE.is_sorted_by(|a, b| a.code < b.code));
        for known in TABLE {
            assert_eq!(Type::from_text(known.mnemonic.to_lowercase().as_bytes()), Some(Type(known.code)));
            assert_eq!(Type(known.code).to_string(), known.mnemonic);
            let names = known.fields.iter().filter(|field| **field == CompressedName).count();
            assert_eq!(Type(known.code).compressible().map_or(0, |(_, n)| n), names, "{}", known.mnemonic);
        }
        assert_eq!(Type(54).known().map(|known| known.code), None);
        assert_eq!(Type(u16::MAX).known().map(|known| known.code), None);
    }

    /// RFC 3597 §4 lists the types, in addition to those of RFC 1035, whose names may be received compressed.
    #[test]
    fn name_positions_follow_from_the_fields() {
        let place = |text: &str| Type::from_text(text.as_bytes()).unwrap();
        for (text, names) in [
            ("A", None),
            ("SOA", Some((0, 2))),
            ("MX", Some((2, 1))),
            ("RRSIG", Some((18, 1))),
            ("PX", Some((2, 2))),
            ("SRV", Some((6, 1))),
            ("NSEC", Some((0, 1))),
            ("SVCB", Some((2, 1))),
            ("NAPTR", None),
            ("HIP", None),
        ] {
            assert_eq!(place(text).names(), names, "{text}");
        }
        let expandable: Vec<_> =
            Type::all().filter(|rtype| rtype.expandable().is_some() && rtype.compressible().is_none()).collect();
        assert_eq!(expandable, ["RP", "AFSDB", "RT", "SIG", "PX", "NXT", "SRV"].map(place));
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
    fn nearest_mnemonic() {
        assert_eq!(Type::nearest(b"CNAM"), Some("CNAME"));
        assert_eq!(Type::nearest(b"aaa"), Some("AAAA"));
        assert_eq!(Type::nearest(b"completely-different"), None);
    }
}
