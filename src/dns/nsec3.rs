//! Hashed owner names of NSEC3 records (RFC 5155 §5).

use data_encoding::BASE32_DNSSEC;
use sha1::{Digest as _, Sha1};

use super::name::MAX_NAME;

/// The length of a hash in octets.
pub const HASH: usize = 20;

/// The length of a hash in base32hex, in octets: the first label of an NSEC3 record's owner.
pub const LABEL: usize = 32;

/// The number of the only hash algorithm, SHA-1 (RFC 5155 §11).
pub const SHA1: u8 = 1;

/// Returns the hash of a name in wire form and any letter case; `salt` has at most 255 octets.
#[must_use]
pub fn hash(name: &[u8], iterations: u16, salt: &[u8]) -> [u8; HASH] {
    let mut lower = [0; MAX_NAME];
    let name = match lower.get_mut(..name.len()) {
        Some(lower) => {
            lower.copy_from_slice(name);
            // The lengths of labels are below the letters.
            lower.make_ascii_lowercase();
            &*lower
        }
        None => name,
    };
    let digest =
        |octets: &[u8]| -> [u8; HASH] { Sha1::new().chain_update(octets).chain_update(salt).finalize().into() };
    (0..iterations).fold(digest(name), |hash, _| digest(&hash))
}

/// Returns the hash in base32hex without padding, in lower case.
#[must_use]
pub fn label(hash: &[u8; HASH]) -> [u8; LABEL] {
    let mut label = [0; LABEL];
    BASE32_DNSSEC.encode_mut(hash, &mut label);
    label
}

/// Returns the hash that a label spells, if it does.
#[must_use]
pub fn hash_of_label(label: &[u8]) -> Option<[u8; HASH]> {
    let mut hash = [0; HASH];
    (label.len() == LABEL).then(|| BASE32_DNSSEC.decode_mut(label, &mut hash).ok())??;
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Name;

    /// RFC 5155 Appendix A.
    #[test]
    fn hashes_of_the_rfc() {
        for (name, expected) in [
            ("example", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"),
            ("a.Example", "35mthgpgcu1qg68fab165klnsnk3dpvl"),
            ("*.w.example", "r53bq7cc2uvmubfu5ocmm6pers9tk9en"),
            ("xx.example", "t644ebqk9bibcna874givr6joj62mlhv"),
        ] {
            let name = Name::from_text(name).unwrap();
            assert_eq!(label(&hash(name.as_wire(), 12, b"\xaa\xbb\xcc\xdd")), *expected.as_bytes());
        }
    }
}
