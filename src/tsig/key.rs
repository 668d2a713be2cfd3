//! Keys: a name, an algorithm and a secret that is never displayed.

use std::fmt;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use super::algorithm::{Algorithm, AlgorithmError};
use crate::dns::{Name, NameError};

/// The maximum length of a secret in octets. HMAC hashes secrets longer than its block size, so longer secrets are not
/// stronger.
const MAX_SECRET: usize = 1024;

/// A shared secret with its name and algorithm; the secret is wiped from memory when the key is dropped.
#[derive(Clone)]
pub struct Key {
    name: Name,
    algorithm: Algorithm,
    secret: Zeroizing<Vec<u8>>,
}

/// The reason why a key is invalid. It contains no part of the secret, nor of anything that may be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The key's name is not a domain name.
    Name(NameError),
    /// The key's name is the root.
    Root,
    /// The algorithm is unknown or not supported.
    Algorithm(AlgorithmError),
    /// The secret is empty.
    Empty,
    /// The secret has more than 1024 octets.
    TooLong,
    /// The secret is not padded base64.
    Base64,
    /// The argument does not have the three parts `name:algorithm:base64`.
    Parts,
    /// The argument begins with the algorithm, as in nsupdate's `-y`.
    Order,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => write!(f, "the key's name is not a domain name: {error}"),
            Self::Root => f.write_str("the root cannot be the name of a key"),
            Self::Algorithm(error) => error.fmt(f),
            Self::Empty => f.write_str("the secret is empty"),
            Self::TooLong => write!(f, "the secret is longer than {MAX_SECRET} octets"),
            Self::Base64 => f.write_str("the secret is not base64; `openssl rand -base64 32` generates a valid one"),
            Self::Parts => f.write_str("a key must have the form name:algorithm:base64"),
            Self::Order => f.write_str("a key must have the form name:algorithm:base64, with the name first"),
        }
    }
}

impl std::error::Error for KeyError {}

impl Key {
    /// Creates a key.
    ///
    /// # Errors
    ///
    /// [`KeyError::Root`], [`KeyError::Empty`] or [`KeyError::TooLong`].
    pub fn new(name: Name, algorithm: Algorithm, secret: Vec<u8>) -> Result<Self, KeyError> {
        let secret = Zeroizing::new(secret);
        match secret.len() {
            _ if name.is_root() => Err(KeyError::Root),
            0 => Err(KeyError::Empty),
            len if len > MAX_SECRET => Err(KeyError::TooLong),
            _ => Ok(Self { name, algorithm, secret }),
        }
    }

    /// Parses a key of the form `name:algorithm:base64`.
    ///
    /// # Errors
    ///
    /// Any [`KeyError`].
    pub fn parse_argument(text: &str) -> Result<Self, KeyError> {
        // Only the name may contain a colon.
        let mut parts = text.rsplitn(3, ':');
        let (Some(secret), Some(algorithm), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Parts);
        };
        let algorithm = Algorithm::from_text(algorithm).map_err(|error| match Algorithm::from_text(name) {
            Err(AlgorithmError::Unknown) => KeyError::Algorithm(error),
            _ => KeyError::Order,
        })?;
        let name = Name::from_text(name).map_err(KeyError::Name)?;
        let secret = BASE64.decode(secret.as_bytes()).map_err(|_| KeyError::Base64)?;
        Self::new(name, algorithm, secret)
    }

    /// Returns the name by which both ends identify the key.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Returns the only algorithm for which the key is valid.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the length of the secret in octets.
    pub fn secret_len(&self) -> usize {
        self.secret.len()
    }

    /// Starts the computation of a MAC.
    pub(super) fn digest(&self) -> Digest {
        // HMAC accepts secrets of any length, so none of these fails.
        const ANY_LENGTH: &str = "HMAC accepts a secret of any length";
        match self.algorithm {
            Algorithm::Sha1 => Digest::Sha1(Hmac::new_from_slice(&self.secret).expect(ANY_LENGTH)),
            Algorithm::Sha224 => Digest::Sha224(Hmac::new_from_slice(&self.secret).expect(ANY_LENGTH)),
            Algorithm::Sha256 => Digest::Sha256(Hmac::new_from_slice(&self.secret).expect(ANY_LENGTH)),
            Algorithm::Sha384 => Digest::Sha384(Hmac::new_from_slice(&self.secret).expect(ANY_LENGTH)),
            Algorithm::Sha512 => Digest::Sha512(Hmac::new_from_slice(&self.secret).expect(ANY_LENGTH)),
        }
    }
}

/// Keys are equal if name, algorithm and secret are. Both keys are configured, so a comparison in variable time leaks
/// nothing.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.algorithm == other.algorithm && *self.secret == *other.secret
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} {})", self.name, self.algorithm)
    }
}

/// The maximum length of a MAC in octets.
const MAX_MAC: usize = 64;

/// A computed MAC. A MAC is public once it is sent, but one that a peer is expected to send is secret.
#[derive(Clone)]
pub(super) struct MacOctets {
    octets: Zeroizing<[u8; MAX_MAC]>,
    len: usize,
}

impl MacOctets {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

/// A MAC that is being computed.
#[derive(Clone)]
pub(super) enum Digest {
    Sha1(Hmac<Sha1>),
    Sha224(Hmac<Sha224>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

/// Evaluates an expression for the HMAC of any algorithm.
macro_rules! each {
    ($digest:expr, $mac:ident => $then:expr) => {
        match $digest {
            Digest::Sha1($mac) => $then,
            Digest::Sha224($mac) => $then,
            Digest::Sha256($mac) => $then,
            Digest::Sha384($mac) => $then,
            Digest::Sha512($mac) => $then,
        }
    };
}

impl Digest {
    pub(super) fn update(&mut self, octets: &[u8]) {
        each!(self, mac => mac.update(octets));
    }

    /// Returns the full MAC.
    pub(super) fn finish(self) -> MacOctets {
        let mut octets = Zeroizing::new([0; MAX_MAC]);
        let len = each!(self, mac => {
            let output = mac.finalize();
            let output = output.as_bytes();
            octets[..output.len()].copy_from_slice(output);
            output.len()
        });
        MacOctets { octets, len }
    }

    /// Returns the full MAC if the received one equals it or a prefix of it. Compares in constant time.
    pub(super) fn verify(self, received: &[u8]) -> Option<MacOctets> {
        let full = self.clone().finish();
        each!(self, mac => mac.verify_truncated_left(received)).ok()?;
        Some(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let key = Key::parse_argument("A\\.b._update.example:HMAC-SHA256.:c2VjcmV0").unwrap();
        assert_eq!(key.name().to_string(), "A\\.b._update.example.");
        assert_eq!((key.algorithm(), key.secret_len()), (Algorithm::Sha256, 6));
        assert_eq!(format!("{key:?}"), "Key(A\\.b._update.example. hmac-sha256)");
        assert_eq!(key, Key::new(key.name().to_canonical(), Algorithm::Sha256, b"secret".to_vec()).unwrap());
        assert_eq!(Key::parse_argument("2001:db8::1:sha1:c2VjcmV0").unwrap().name().to_string(), "2001:db8::1.");
        for (text, error) in [
            ("", KeyError::Parts),
            ("a:c2VjcmV0", KeyError::Parts),
            (":sha1:c2VjcmV0", KeyError::Name(NameError::Empty)),
            (".:sha1:c2VjcmV0", KeyError::Root),
            ("a..b:sha1:c2VjcmV0", KeyError::Name(NameError::EmptyLabel)),
            ("a:md5:c2VjcmV0", KeyError::Algorithm(AlgorithmError::Md5)),
            ("a:c2VjcmV0:sha1", KeyError::Algorithm(AlgorithmError::Unknown)),
            ("hmac-sha256:a:c2VjcmV0", KeyError::Order),
            ("hmac-md5:a:c2VjcmV0", KeyError::Order),
            ("a:sha1:", KeyError::Empty),
            ("a:sha1:c2VjcmV", KeyError::Base64),
            ("a:sha1:c2Vj cmV0", KeyError::Base64),
            ("a:sha1:secret!", KeyError::Base64),
        ] {
            assert_eq!(Key::parse_argument(text), Err(error), "{text}");
            for part in ["c2V", "secret"] {
                assert!(!text.contains(part) || !error.to_string().contains(&text[text.find(part).unwrap()..]));
            }
        }
        let long = |len| Key::new(Name::from_text("a").unwrap(), Algorithm::Sha1, vec![1; len]).map(|_| ());
        assert_eq!((long(1024), long(1025)), (Ok(()), Err(KeyError::TooLong)));
    }
}
