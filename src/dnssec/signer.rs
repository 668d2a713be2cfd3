//! Private keys, which are derived from one secret, and deterministic signatures.
//!
//! No key is stored: each is a function of the secret, the zone, the key's role, its algorithm and its generation, so a
//! server that boots anew has the same keys, and a rollover is the next generation.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;
use p256::ecdsa::signature::Signer as _;
use ring::hkdf;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use super::key::{KeyAlgorithm, PublicKey};
use super::signature::Rrsig;
use crate::dns::Name;

/// The length of a secret in octets.
const SECRET: usize = 32;

/// The context that separates derived keys from other uses of the secret.
const CONTEXT: &[u8] = b"zonule dnssec v1";

/// The secret that all private keys are derived from.
#[derive(Clone)]
pub struct MasterSecret(Zeroizing<[u8; SECRET]>);

impl MasterSecret {
    /// Returns the secret with these octets.
    #[must_use]
    pub fn new(octets: [u8; SECRET]) -> Self {
        Self(Zeroizing::new(octets))
    }

    /// Derives octets for one purpose: HKDF with SHA-256 (RFC 5869), without a salt.
    fn derive(&self, info: &[&[u8]]) -> Zeroizing<[u8; SECRET]> {
        let mut octets = Zeroizing::new([0; SECRET]);
        let key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&*self.0);
        // Both fail for lengths above 255 hashes only.
        if let Ok(okm) = key.expand(info, hkdf::HKDF_SHA256) {
            let _ = okm.fill(&mut *octets);
        }
        octets
    }
}

impl FromStr for MasterSecret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let octets = Zeroizing::new(BASE64.decode(text.as_bytes()).map_err(|_| "this is not base64")?);
        let octets = <[u8; SECRET]>::try_from(octets.as_slice()).map_err(|_| "it must have 32 octets")?;
        Ok(Self::new(octets))
    }
}

impl fmt::Debug for MasterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterSecret")
    }
}

/// The records that a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Everything: a combined signing key.
    Csk,
    /// The keys: a key signing key, which the parent's DS record names.
    Ksk,
    /// Everything except the keys: a zone signing key.
    Zsk,
}

impl Role {
    /// Returns the role's flags in a DNSKEY record (RFC 4034 §2.1.1).
    #[must_use]
    pub fn flags(self) -> u16 {
        match self {
            Self::Csk | Self::Ksk => 257,
            Self::Zsk => 256,
        }
    }

    /// Returns whether keys of this role sign the keys.
    #[must_use]
    pub fn signs_keys(self) -> bool {
        self != Self::Zsk
    }

    /// Returns whether keys of this role sign the other records.
    #[must_use]
    pub fn signs_records(self) -> bool {
        self != Self::Ksk
    }

    fn octet(self) -> u8 {
        match self {
            Self::Csk => b'c',
            Self::Ksk => b'k',
            Self::Zsk => b'z',
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Csk => "csk",
            Self::Ksk => "ksk",
            Self::Zsk => "zsk",
        })
    }
}

enum Private {
    P256(Box<p256::ecdsa::SigningKey>),
    Ed25519(Box<Ed25519KeyPair>),
}

/// A key that signs a zone.
pub struct SigningKey {
    role: Role,
    private: Private,
    /// The data of the DNSKEY record.
    data: Vec<u8>,
}

impl SigningKey {
    /// Derives a zone's key from the secret; `None` if no key of the algorithm can be.
    ///
    /// The information of the derivation (RFC 5869 §2.3) consists of the context, the zone's name in canonical wire form,
    /// and seven octets: role (`c`, `k` or `z`), algorithm, generation (4), attempt. The octets are the seed of Ed25519
    /// or the scalar of P-256, big-endian; the next attempt is made in the rare case that they are not one.
    #[must_use]
    pub fn derive(
        secret: &MasterSecret,
        zone: &Name,
        role: Role,
        algorithm: KeyAlgorithm,
        generation: u32,
    ) -> Option<Self> {
        let zone = zone.to_canonical();
        (0..=u8::MAX).find_map(|attempt| {
            let mut tail = [role.octet(), algorithm.0, 0, 0, 0, 0, attempt];
            tail[2..6].copy_from_slice(&generation.to_be_bytes());
            Self::from_octets(role, algorithm, &*secret.derive(&[CONTEXT, zone.as_wire(), &tail]))
        })
    }

    /// Returns the key with this seed or scalar of 32 octets; `None` if it is not valid, or the algorithm cannot sign.
    #[must_use]
    pub fn from_octets(role: Role, algorithm: KeyAlgorithm, octets: &[u8]) -> Option<Self> {
        let mut data = role.flags().to_be_bytes().to_vec();
        data.extend([3, algorithm.0]);
        let private = match algorithm {
            KeyAlgorithm::ECDSAP256SHA256 => {
                let key = p256::ecdsa::SigningKey::from_slice(octets).ok()?;
                let point = key.verifying_key().to_sec1_point(false);
                data.extend_from_slice(point.as_bytes().get(1..)?);
                Private::P256(Box::new(key))
            }
            KeyAlgorithm::ED25519 => {
                let key = Ed25519KeyPair::from_seed_unchecked(octets).ok()?;
                data.extend_from_slice(key.public_key().as_ref());
                Private::Ed25519(Box::new(key))
            }
            _ => return None,
        };
        Some(Self { role, private, data })
    }

    /// Returns the role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Returns the public key.
    ///
    /// # Panics
    ///
    /// Never: the data of a DNSKEY record has more than four octets.
    #[must_use]
    pub fn public(&self) -> PublicKey<'_> {
        PublicKey::new(&self.data).expect("a public key")
    }

    /// Completes a signature of an RRset, of which everything else is given, and returns the data of its RRSIG record.
    ///
    /// `None` if the owner has fewer labels than the signature says.
    #[must_use]
    pub fn sign<'d>(
        &self,
        signature: &Rrsig<'_>,
        owner: &[u8],
        data: impl Iterator<Item = &'d [u8]>,
    ) -> Option<Vec<u8>> {
        let octets = signature.signed_octets(owner, data)?;
        Some(match &self.private {
            Private::P256(key) => {
                // RFC 6979: the nonce is derived from the key and the message.
                let signed: p256::ecdsa::Signature = key.sign(&octets);
                Rrsig { octets: &signed.to_bytes(), ..*signature }.to_data()
            }
            Private::Ed25519(key) => Rrsig { octets: key.sign(&octets).as_ref(), ..*signature }.to_data(),
        })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({} {} {})", self.role, self.public().algorithm(), self.public().tag())
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, HEXLOWER};

    use super::*;

    /// RFC 8080 §6.1 and RFC 6605 §6.1: the public keys of the private ones.
    #[test]
    fn public_keys_of_the_rfcs() {
        for (algorithm, private, public) in [
            (
                KeyAlgorithm::ED25519,
                "ODIyNjAzODQ2MjgwODAxMjI2NDUxOTAyMDQxNDIyNjI=",
                "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
            ),
            (
                KeyAlgorithm::ECDSAP256SHA256,
                "GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=",
                "GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
            ),
        ] {
            let key =
                SigningKey::from_octets(Role::Ksk, algorithm, &BASE64.decode(private.as_bytes()).unwrap()).unwrap();
            assert_eq!(BASE64.encode(key.public().octets()), public);
        }
    }

    /// RFC 8080 §6.1: the signature of the MX record.
    #[test]
    fn signature_of_the_rfc() {
        let seed = BASE64.decode(b"ODIyNjAzODQ2MjgwODAxMjI2NDUxOTAyMDQxNDIyNjI=").unwrap();
        let key = SigningKey::from_octets(Role::Ksk, KeyAlgorithm::ED25519, &seed).unwrap();
        let zone = Name::from_text("example.com").unwrap();
        let signature = Rrsig {
            covered: crate::dns::Type::MX,
            algorithm: KeyAlgorithm::ED25519,
            labels: 2,
            original_ttl: 3600,
            expiration: 1_440_021_600,
            inception: 1_438_207_200,
            key_tag: key.public().tag(),
            signer: zone.as_wire(),
            octets: &[],
        };
        assert_eq!(signature.key_tag, 3613);
        let mx = [&[0, 10, 4][..], b"mail", Name::from_text("example.com").unwrap().as_wire()].concat();
        let data = key.sign(&signature, zone.as_wire(), [mx.as_slice()].into_iter()).unwrap();
        let signed = Rrsig::new(&data).unwrap();
        assert_eq!(
            BASE64.encode(signed.octets),
            "oL9krJun7xfBOIWcGHi7mag5/hdZrKWw15jPGrHpjQeRAvTdszaPD+QLs3fx8A4M3e23mRZ9VrbpMngwcrqNAg=="
        );
        assert_eq!(signed.verify(zone.as_wire(), [mx.as_slice()].into_iter(), key.public()), Ok(()));
    }

    /// Derived keys must never change, since zones are signed with them: these are the keys of an all-zero secret.
    #[test]
    fn derived_keys_stay() {
        let secret = MasterSecret::new([0; 32]);
        let zone = Name::from_text("Example.org").unwrap();
        let tag = |role, algorithm, generation| {
            let key = SigningKey::derive(&secret, &zone, role, algorithm, generation).unwrap();
            HEXLOWER.encode(&key.public().octets()[..8])
        };
        let tags = [
            tag(Role::Csk, KeyAlgorithm::ECDSAP256SHA256, 1),
            tag(Role::Csk, KeyAlgorithm::ECDSAP256SHA256, 2),
            tag(Role::Zsk, KeyAlgorithm::ECDSAP256SHA256, 1),
            tag(Role::Csk, KeyAlgorithm::ED25519, 1),
        ];
        assert_eq!(tags, ["f5efa8f156a2bed4", "817df8b129a896ff", "a5a7635d30ab73de", "d65fb93576a8dd30"]);
    }

    #[test]
    fn secrets_are_32_octets_of_base64() {
        assert!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".parse::<MasterSecret>().is_ok());
        assert_eq!("AAAA".parse::<MasterSecret>().unwrap_err(), "it must have 32 octets");
        assert_eq!("!".parse::<MasterSecret>().unwrap_err(), "this is not base64");
    }
}
