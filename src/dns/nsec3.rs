//! Hashes of names, as the owners and the data of NSEC3 records contain them (RFC 5155 §3 to §5).

use data_encoding::BASE32_DNSSEC;
use sha1::{Digest as _, Sha1};

use super::name::{self, MAX_NAME};

/// The length of a hash in octets.
pub const HASH: usize = 20;

/// The length of a hash in base32hex, in octets: the first label of an NSEC3 record's owner.
pub const LABEL: usize = 32;

/// The number of the only hash algorithm, SHA-1 (RFC 5155 §11).
pub const SHA1: u8 = 1;

/// A hash of a name.
pub type Hash = [u8; HASH];

/// The parameters of hashes (RFC 5155 §3.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// The number of further iterations.
    pub iterations: u16,
    /// The salt, of at most 255 octets.
    pub salt: Box<[u8]>,
}

/// The data of an NSEC3 record (RFC 5155 §3.2), without its parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nsec3<'r> {
    /// Whether names of unsigned delegations may be left out between this hash and the next.
    pub(crate) opt_out: bool,
    /// The next hash in the chain.
    pub(crate) next: Hash,
    /// The bitmap of the name's types.
    pub(crate) types: &'r [u8],
}

impl Parameters {
    /// Reads the data of an NSEC3PARAM record; `None` if the record cannot be used (RFC 5155 §4.1).
    #[must_use]
    pub fn of(data: &[u8]) -> Option<Self> {
        let &[SHA1, 0, i0, i1, len, ref salt @ ..] = data else { return None };
        let iterations = u16::from_be_bytes([i0, i1]);
        (salt.len() == usize::from(len)).then(|| Self { iterations, salt: salt.into() })
    }

    /// Reads the data of an NSEC3 record; `None` if it has other parameters.
    pub(crate) fn record<'r>(&self, data: &'r [u8]) -> Option<Nsec3<'r>> {
        let &[SHA1, flags, i0, i1, len, ref rest @ ..] = data else { return None };
        let (salt, rest) = rest.split_at_checked(usize::from(len))?;
        let (&len, rest) = rest.split_first()?;
        let (next, types) = rest.split_first_chunk::<HASH>()?;
        let is_ours = u16::from_be_bytes([i0, i1]) == self.iterations && *salt == *self.salt;
        (is_ours && usize::from(len) == HASH).then_some(Nsec3 { opt_out: flags & 1 != 0, next: *next, types })
    }

    /// Returns the hash of a name in wire form and any letter case.
    #[must_use]
    pub fn hash(&self, name: &[u8]) -> Hash {
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
            |octets: &[u8]| -> Hash { Sha1::new().chain_update(octets).chain_update(&self.salt).finalize().into() };
        (0..self.iterations).fold(digest(name), |hash, _| digest(&hash))
    }
}

/// Returns the hash in base32hex without padding, in lower case.
#[must_use]
pub fn label(hash: &Hash) -> [u8; LABEL] {
    let mut label = [0; LABEL];
    BASE32_DNSSEC.encode_mut(hash, &mut label);
    label
}

/// Writes the owner of the NSEC3 record of a hash in the zone `apex` and returns it, or `None` if it would be too long.
pub(crate) fn owner<'b>(hash: &Hash, apex: &[u8], buffer: &'b mut [u8; MAX_NAME]) -> Option<&'b [u8]> {
    let owner = buffer.get_mut(..1 + LABEL + apex.len())?;
    owner[0] = LABEL as u8;
    owner[1..=LABEL].copy_from_slice(&label(hash));
    owner[1 + LABEL..].copy_from_slice(apex);
    Some(owner)
}

/// Returns the hash that the first label of a wire-form name spells, if it does.
pub(crate) fn hash_in(owner: &[u8]) -> Option<Hash> {
    let label = name::labels(owner).next().filter(|label| label.len() == LABEL)?;
    let mut hash = [0; HASH];
    BASE32_DNSSEC.decode_mut(label, &mut hash).ok()?;
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
            let parameters = Parameters { iterations: 12, salt: (*b"\xaa\xbb\xcc\xdd").into() };
            assert_eq!(label(&parameters.hash(name.as_wire())), *expected.as_bytes());
        }
    }
}
