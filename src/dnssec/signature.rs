//! Signatures of RRsets: their fields, the octets that they cover, and their verification (RFC 4034 §3, RFC 4035 §5.3).

use std::fmt;

use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};

use super::key::{KeyAlgorithm, PublicKey};
use crate::dns::{Serial, Type, canonical_form, name};

/// The length of the fields before the signer's name, in octets.
const FIXED: usize = 18;

/// The data of an RRSIG record (RFC 4034 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rrsig<'r> {
    /// The type covered.
    pub covered: Type,
    /// The algorithm.
    pub algorithm: KeyAlgorithm,
    /// The number of labels of the owner, without the root and a leading asterisk.
    pub labels: u8,
    /// The TTL of the RRset that was signed, in seconds.
    pub original_ttl: u32,
    /// The end of its validity, in seconds since 1970 modulo 2³².
    pub expiration: u32,
    /// The start of its validity, in seconds since 1970 modulo 2³².
    pub inception: u32,
    /// The tag of the key.
    pub key_tag: u16,
    /// The name of the zone that has the key, in wire form.
    pub signer: &'r [u8],
    /// The signature itself, in the form of its algorithm.
    pub octets: &'r [u8],
}

/// The reason why a signature is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// The algorithm is not supported here, so the signature cannot be verified.
    Unsupported(KeyAlgorithm),
    /// The key's octets are not a key of its algorithm.
    MalformedKey,
    /// The signature does not cover these records, or is of another key.
    Mismatch,
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(algorithm) => write!(f, "algorithm {algorithm} is not supported"),
            Self::MalformedKey => f.write_str("the key is malformed"),
            Self::Mismatch => f.write_str("the signature does not match the records"),
        }
    }
}

impl std::error::Error for SignatureError {}

impl<'r> Rrsig<'r> {
    /// Reads the data of an RRSIG record; `None` if it is malformed.
    #[must_use]
    pub fn new(data: &'r [u8]) -> Option<Self> {
        let (fixed, rest) = data.split_first_chunk::<FIXED>()?;
        let (signer, octets) = rest.split_at_checked(name::wire_len(rest)?)?;
        let u32_at = |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        Some(Self {
            covered: Type(u16::from_be_bytes([fixed[0], fixed[1]])),
            algorithm: KeyAlgorithm(fixed[2]),
            labels: fixed[3],
            original_ttl: u32_at(4),
            expiration: u32_at(8),
            inception: u32_at(12),
            key_tag: u16::from_be_bytes([fixed[16], fixed[17]]),
            signer,
            octets,
        })
    }

    /// Returns the data of the RRSIG record.
    #[must_use]
    pub fn to_data(&self) -> Vec<u8> {
        let mut data = self.fields();
        data.extend_from_slice(self.octets);
        data
    }

    /// Returns the data without the signature itself, the signer in lower case.
    fn fields(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(FIXED + self.signer.len() + self.octets.len());
        data.extend(self.covered.0.to_be_bytes());
        data.extend([self.algorithm.0, self.labels]);
        for number in [self.original_ttl, self.expiration, self.inception] {
            data.extend(number.to_be_bytes());
        }
        data.extend(self.key_tag.to_be_bytes());
        data.extend(self.signer.to_ascii_lowercase());
        data
    }

    /// Returns whether `unix` lies within the validity (RFC 4034 §3.1.5: serial number arithmetic).
    #[must_use]
    pub fn is_valid_at(&self, unix: u32) -> bool {
        !Serial(self.inception).is_newer_than(Serial(unix)) && !Serial(unix).is_newer_than(Serial(self.expiration))
    }

    /// Returns the octets that a signature of an RRset covers (RFC 4034 §3.1.8.1), or `None` if the owner has fewer labels
    /// than the signature says.
    ///
    /// `owner` is in wire form; if it has more labels, a wildcard was expanded. `data` is that of the records in any order.
    pub fn signed_octets<'d>(&self, owner: &[u8], data: impl Iterator<Item = &'d [u8]>) -> Option<Vec<u8>> {
        let labels = usize::from(self.labels);
        let count = label_count(owner);
        let mut canonical = match count.checked_sub(labels)? {
            0 => owner.to_vec(),
            _ => [b"\x01*", name::suffix(owner, labels)].concat(),
        };
        canonical.make_ascii_lowercase();
        let mut records: Vec<_> = data.map(|data| canonical_form(self.covered, data)).collect();
        records.sort_unstable();
        records.dedup();
        let mut octets = self.fields();
        for record in records {
            octets.extend_from_slice(&canonical);
            octets.extend(self.covered.0.to_be_bytes());
            octets.extend([0, 1]);
            octets.extend(self.original_ttl.to_be_bytes());
            octets.extend((record.len() as u16).to_be_bytes());
            octets.extend_from_slice(&record);
        }
        Some(octets)
    }

    /// Verifies the signature of an RRset with a key, whatever the time.
    ///
    /// # Errors
    ///
    /// The signature is not good, or the algorithm is not supported.
    pub fn verify<'d>(
        &self,
        owner: &[u8],
        data: impl Iterator<Item = &'d [u8]>,
        key: PublicKey<'_>,
    ) -> Result<(), SignatureError> {
        if self.algorithm != key.algorithm() {
            return Err(SignatureError::Mismatch);
        }
        let octets = self.signed_octets(owner, data).ok_or(SignatureError::Mismatch)?;
        verify(key, &octets, self.octets)
    }
}

/// Returns the number of labels as RRSIG records count them: without the root and a leading asterisk (RFC 4034 §3.1.3).
pub(super) fn label_count(owner: &[u8]) -> usize {
    name::labels(owner).count() - usize::from(owner.starts_with(b"\x01*"))
}

/// Verifies a signature of some octets.
fn verify(key: PublicKey<'_>, octets: &[u8], signed: &[u8]) -> Result<(), SignatureError> {
    let of_curve = |algorithm: &'static signature::EcdsaVerificationAlgorithm, len: usize| {
        if key.octets().len() != len {
            return Err(SignatureError::MalformedKey);
        }
        // RFC 6605 §4: without the octet that says "uncompressed".
        let point = [&[4], key.octets()].concat();
        UnparsedPublicKey::new(algorithm, point).verify(octets, signed).map_err(|_| SignatureError::Mismatch)
    };
    match key.algorithm() {
        KeyAlgorithm::RSASHA256 => rsa(key, &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, octets, signed),
        KeyAlgorithm::RSASHA512 => rsa(key, &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, octets, signed),
        KeyAlgorithm::ECDSAP256SHA256 => of_curve(&signature::ECDSA_P256_SHA256_FIXED, 64),
        KeyAlgorithm::ECDSAP384SHA384 => of_curve(&signature::ECDSA_P384_SHA384_FIXED, 96),
        KeyAlgorithm::ED25519 if key.octets().len() != 32 => Err(SignatureError::MalformedKey),
        KeyAlgorithm::ED25519 => UnparsedPublicKey::new(&signature::ED25519, key.octets())
            .verify(octets, signed)
            .map_err(|_| SignatureError::Mismatch),
        other => Err(SignatureError::Unsupported(other)),
    }
}

/// Verifies with a key in the form of RFC 3110 §2: the length of the exponent, the exponent, the modulus.
fn rsa(
    key: PublicKey<'_>,
    parameters: &'static signature::RsaParameters,
    octets: &[u8],
    signed: &[u8],
) -> Result<(), SignatureError> {
    let (len, rest) = match key.octets() {
        [0, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [len, rest @ ..] => (usize::from(*len), rest),
        [] => return Err(SignatureError::MalformedKey),
    };
    let (e, n) = rest.split_at_checked(len).ok_or(SignatureError::MalformedKey)?;
    let leading_zeros = |number: &'_ [u8]| number.iter().position(|&octet| octet != 0).unwrap_or(number.len());
    let (e, n) = (&e[leading_zeros(e)..], &n[leading_zeros(n)..]);
    RsaPublicKeyComponents { n, e }.verify(parameters, octets, signed).map_err(|_| SignatureError::Mismatch)
}
