//! Public keys of zones and their digests in the parent (RFC 4034 §2 and §5).

use std::fmt;

use ring::digest;

use crate::dns::{Name, Type, algorithm_name};

/// A DNSSEC algorithm by its number (RFC 8624 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyAlgorithm(pub u8);

impl KeyAlgorithm {
    /// RSA with SHA-256 (RFC 5702).
    pub const RSASHA256: Self = Self(8);
    /// RSA with SHA-512 (RFC 5702).
    pub const RSASHA512: Self = Self(10);
    /// ECDSA on P-256 with SHA-256 (RFC 6605).
    pub const ECDSAP256SHA256: Self = Self(13);
    /// ECDSA on P-384 with SHA-384 (RFC 6605).
    pub const ECDSAP384SHA384: Self = Self(14);
    /// Ed25519 (RFC 8080).
    pub const ED25519: Self = Self(15);
    /// Ed448 (RFC 8080).
    pub const ED448: Self = Self(16);

    /// Returns whether signatures of this algorithm can be verified here.
    #[must_use]
    pub fn is_supported(self) -> bool {
        matches!(
            self,
            Self::RSASHA256 | Self::RSASHA512 | Self::ECDSAP256SHA256 | Self::ECDSAP384SHA384 | Self::ED25519
        )
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match algorithm_name(self.0) {
            Some(mnemonic) => f.write_str(mnemonic),
            None => write!(f, "{}", self.0),
        }
    }
}

/// The data of a DNSKEY or CDNSKEY record (RFC 4034 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey<'k> {
    data: &'k [u8],
}

impl<'k> PublicKey<'k> {
    /// Reads the data of a DNSKEY record; `None` if it is too short.
    #[must_use]
    pub fn new(data: &'k [u8]) -> Option<Self> {
        (data.len() > 4).then_some(Self { data })
    }

    /// Returns the data of the record.
    #[must_use]
    pub fn data(self) -> &'k [u8] {
        self.data
    }

    /// Returns the flags.
    #[must_use]
    pub fn flags(self) -> u16 {
        u16::from_be_bytes([self.data[0], self.data[1]])
    }

    /// Returns whether the key may sign the zone: it is a zone key of protocol 3 and not revoked (RFC 4034 §2.1, RFC 5011 §3).
    #[must_use]
    pub fn may_sign(self) -> bool {
        self.flags() & 0x0180 == 0x0100 && self.data[2] == 3
    }

    /// Returns the algorithm.
    #[must_use]
    pub fn algorithm(self) -> KeyAlgorithm {
        KeyAlgorithm(self.data[3])
    }

    /// Returns the key itself, in the form of its algorithm.
    #[must_use]
    pub fn octets(self) -> &'k [u8] {
        &self.data[4..]
    }

    /// Returns the key tag (RFC 4034 Appendix B).
    #[must_use]
    pub fn tag(self) -> u16 {
        key_tag(self.data)
    }
}

/// Returns the key tag of a DNSKEY record's data (RFC 4034 Appendix B); several keys may share one.
#[must_use]
pub fn key_tag(data: &[u8]) -> u16 {
    if let [_, _, _, 1, .., high, low, _] = *data {
        // Appendix B.1: RSA/MD5 takes it from the modulus.
        return u16::from_be_bytes([high, low]);
    }
    let sum: u32 =
        (0..).zip(data).map(|(at, &octet)| if at % 2 == 0 { u32::from(octet) << 8 } else { octet.into() }).sum();
    (sum + (sum >> 16)) as u16
}

/// The digest algorithm of a DS record (RFC 4034 §5.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestType {
    /// SHA-1, only to be checked (RFC 8624 §3.3).
    Sha1,
    /// SHA-256 (RFC 4509).
    Sha256,
    /// SHA-384 (RFC 6605).
    Sha384,
}

impl DigestType {
    /// Returns the digest type with this number, if it is known.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Sha1),
            2 => Some(Self::Sha256),
            4 => Some(Self::Sha384),
            _ => None,
        }
    }

    /// Returns the number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Sha1 => 1,
            Self::Sha256 => 2,
            Self::Sha384 => 4,
        }
    }
}

/// Returns the data of the DS (or CDS) record for a zone's key (RFC 4034 §5.1).
#[must_use]
pub fn delegation_signer(zone: &Name, key: PublicKey<'_>, digest_type: DigestType) -> Vec<u8> {
    let algorithm = match digest_type {
        DigestType::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        DigestType::Sha256 => &digest::SHA256,
        DigestType::Sha384 => &digest::SHA384,
    };
    let mut context = digest::Context::new(algorithm);
    context.update(zone.to_canonical().as_wire());
    context.update(key.data());
    let mut data = key.tag().to_be_bytes().to_vec();
    data.extend([key.algorithm().0, digest_type.number()]);
    data.extend_from_slice(context.finish().as_ref());
    data
}

/// Returns whether a type is one of DNSSEC's own, which a signer makes and does not take from the zone's source.
pub(super) fn is_generated(rtype: Type) -> bool {
    matches!(rtype, Type::RRSIG | Type::NSEC | Type::NSEC3 | Type::NSEC3PARAM)
}

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, HEXLOWER};

    use super::*;

    fn key(flags: u16, algorithm: u8, text: &str) -> Vec<u8> {
        let mut data = flags.to_be_bytes().to_vec();
        data.extend([3, algorithm]);
        data.extend(BASE64.decode(text.as_bytes()).unwrap());
        data
    }

    /// RFC 6605 §6.1, RFC 8080 §6.1, RFC 4509 §2.3.
    #[test]
    fn digests_of_the_rfcs() {
        let p256 =
            key(257, 13, "GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==");
        let p256_ds = "d960".to_owned() + "0d02" + "b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17";
        let ed25519 = key(257, 15, "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=");
        let ed25519_ds =
            "0e1d".to_owned() + "0f02" + "3aa5ab37efce57f737fc1627013fee07bdf241bd10f3b1964ab55c78e79a304b";
        for (zone, data, expected) in [("example.net", p256, p256_ds), ("example.com", ed25519, ed25519_ds)] {
            let ds =
                delegation_signer(&Name::from_text(zone).unwrap(), PublicKey::new(&data).unwrap(), DigestType::Sha256);
            assert_eq!(HEXLOWER.encode(&ds), expected);
        }
    }
}
