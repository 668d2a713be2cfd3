//! TSIG keys (RFC 8945), as zones' repositories and clients write them down.

use std::fmt;
use std::fs::File;
use std::io::Read as _;

use crate::{Error, Result};

/// The digest of a key's HMAC.
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
    /// All that are served.
    pub const ALL: [Algorithm; 5] =
        [Algorithm::Sha1, Algorithm::Sha224, Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];

    /// The number that stands for it in a key file.
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

/// The name clients give it, for example `hmac-sha256`.
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

/// A key that clients and server share.
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
    /// A key named `name` with a fresh secret, for HMAC-SHA256.
    pub fn new(name: &str) -> Result<Key> {
        Key::with_algorithm(name, Algorithm::Sha256)
    }

    /// A key named `name` with a fresh secret.
    pub fn with_algorithm(name: &str, algorithm: Algorithm) -> Result<Key> {
        let mut octets = [0; 33];
        let source = "/dev/urandom";
        File::open(source).and_then(|mut file| file.read_exact(&mut octets)).map_err(Error::io(source))?;
        Ok(Key { name: name.to_owned(), algorithm, secret: base64(&octets) })
    }

    /// The same name and algorithm with another secret.
    pub fn forged(&self) -> Result<Key> {
        Key::with_algorithm(&self.name, self.algorithm)
    }

    /// The line of a key file that holds it.
    pub fn line(&self) -> String {
        format!("{}. DNSKEY 0 3 {} {}\n", self.name, self.algorithm.number(), self.secret)
    }

    /// The boot argument that holds it.
    pub fn argument(&self) -> String {
        format!("--tsig-key={}:{}:{}", self.name, self.algorithm, self.secret)
    }

    /// As the option `-y` of `nsupdate` and `knsupdate` wants it.
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
