//! TSIG keys (RFC 8945), in the notations of zone repositories and clients.

use std::fmt;
use std::fs::File;
use std::io::Read as _;

use crate::{Error, Result};

/// The HMAC algorithm of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC-SHA1.
    Sha1,
    /// HMAC-SHA224.
    Sha224,
    /// HMAC-SHA256.
    Sha256,
    /// HMAC-SHA384.
    Sha384,
    /// HMAC-SHA512.
    Sha512,
}

impl Algorithm {
    /// All supported algorithms.
    pub const ALL: [Algorithm; 5] =
        [Algorithm::Sha1, Algorithm::Sha224, Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];

    /// Returns its number in a key file.
    pub fn number(self) -> u8 {
        match self {
            Algorithm::Sha1 => 161,
            Algorithm::Sha224 => 162,
            Algorithm::Sha256 => 163,
            Algorithm::Sha384 => 164,
            Algorithm::Sha512 => 165,
        }
    }
}

/// Returns its name in clients, for example `hmac-sha256`.
impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Algorithm::Sha1 => "hmac-sha1",
            Algorithm::Sha224 => "hmac-sha224",
            Algorithm::Sha256 => "hmac-sha256",
            Algorithm::Sha384 => "hmac-sha384",
            Algorithm::Sha512 => "hmac-sha512",
        })
    }
}

/// A key shared by clients and the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name, without the final dot.
    pub name: String,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Its secret in base64.
    pub secret: String,
}

impl Key {
    /// Returns a key named `name` with a random secret, for HMAC-SHA256.
    pub fn new(name: &str) -> Result<Key> {
        Key::with_algorithm(name, Algorithm::Sha256)
    }

    /// Returns a key named `name` with a random secret.
    pub fn with_algorithm(name: &str, algorithm: Algorithm) -> Result<Key> {
        let mut octets = [0; 33];
        let source = "/dev/urandom";
        File::open(source).and_then(|mut file| file.read_exact(&mut octets)).map_err(Error::io(source))?;
        Ok(Key { name: name.to_owned(), algorithm, secret: base64(&octets) })
    }

    /// Returns a key with the same name and algorithm and another secret.
    pub fn forged(&self) -> Result<Key> {
        Key::with_algorithm(&self.name, self.algorithm)
    }

    /// Returns its line of a key file.
    pub fn line(&self) -> String {
        format!("{}. DNSKEY 0 3 {} {}\n", self.name, self.algorithm.number(), self.secret)
    }

    /// Returns its boot argument.
    pub fn argument(&self) -> String {
        format!("--tsig-key={}:{}:{}", self.name, self.algorithm, self.secret)
    }

    /// Returns it in the form of the option `-y` of `nsupdate` and `knsupdate`.
    pub fn option(&self) -> String {
        format!("{}:{}:{}", self.algorithm, self.name, self.secret)
    }
}

/// The base64 of whole groups of three octets: no padding ever.
fn base64(octets: &[u8; 33]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = octets.chunks_exact(3).map(|group| u32::from_be_bytes([0, group[0], group[1], group[2]]));
    groups.flat_map(|bits| [18, 12, 6, 0].map(|shift| char::from(DIGITS[(bits >> shift & 63) as usize]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_base64() {
        assert_eq!(base64(b"Many hands make light work. Amen!"), "TWFueSBoYW5kcyBtYWtlIGxpZ2h0IHdvcmsuIEFtZW4h");
        assert_ne!(Key::new("a").unwrap(), Key::new("a").unwrap());
    }
}
