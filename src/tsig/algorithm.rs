//! The algorithms of TSIG and their names (RFC 8945 §6).

use std::fmt;

use crate::dns::name;

/// A TSIG algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// HMAC-SHA1: not recommended, but mandatory to implement.
    Sha1,
    /// HMAC-SHA224.
    Sha224,
    /// HMAC-SHA256: recommended.
    Sha256,
    /// HMAC-SHA384.
    Sha384,
    /// HMAC-SHA512.
    Sha512,
}

/// The reason why a name or number is not a supported algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlgorithmError {
    /// The algorithm is HMAC-MD5, which must not be used (RFC 8945 §6).
    Md5,
    /// The algorithm is unknown.
    Unknown,
}

impl fmt::Display for AlgorithmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Md5 => "HMAC-MD5 is broken and not supported (RFC 8945 §6); generate a new key for hmac-sha256",
            Self::Unknown => {
                "the algorithm is unknown; use one of hmac-sha1, hmac-sha224, hmac-sha256, hmac-sha384, hmac-sha512"
            }
        })
    }
}

impl std::error::Error for AlgorithmError {}

/// The name of HMAC-MD5 in wire form.
const MD5: &[u8] = b"\x08hmac-md5\x07sig-alg\x03reg\x03int\x00";

impl Algorithm {
    /// All algorithms.
    pub const ALL: [Self; 5] = [Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Returns the name in wire form and in lower case.
    pub fn wire(self) -> &'static [u8] {
        match self {
            Self::Sha1 => b"\x09hmac-sha1\x00",
            Self::Sha224 => b"\x0bhmac-sha224\x00",
            Self::Sha256 => b"\x0bhmac-sha256\x00",
            Self::Sha384 => b"\x0bhmac-sha384\x00",
            Self::Sha512 => b"\x0bhmac-sha512\x00",
        }
    }

    /// Returns the length of an untruncated MAC in octets.
    pub fn output_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Returns the minimum length of a truncated MAC in octets (RFC 8945 §5.2.2.1).
    pub fn shortest_mac(self) -> usize {
        (self.output_len() / 2).max(10)
    }

    /// Returns the algorithm number in the DNSKEY records of key files, as in the MirageOS DNS servers.
    pub fn dnskey_number(self) -> u8 {
        match self {
            Self::Sha1 => 161,
            Self::Sha224 => 162,
            Self::Sha256 => 163,
            Self::Sha384 => 164,
            Self::Sha512 => 165,
        }
    }

    /// Returns the algorithm with a name in uncompressed wire form, in any letter case.
    ///
    /// # Errors
    ///
    /// The algorithm is unknown, or it is HMAC-MD5.
    pub fn from_wire(wire: &[u8]) -> Result<Self, AlgorithmError> {
        match Self::ALL.into_iter().find(|algorithm| name::eq(algorithm.wire(), wire)) {
            Some(algorithm) => Ok(algorithm),
            None if name::eq(wire, MD5) => Err(AlgorithmError::Md5),
            None => Err(AlgorithmError::Unknown),
        }
    }

    /// Parses a name such as `hmac-sha256`, `HMAC-SHA256.` or `sha256`.
    ///
    /// # Errors
    ///
    /// The algorithm is unknown, or it is HMAC-MD5.
    pub fn from_text(text: &str) -> Result<Self, AlgorithmError> {
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        match text.strip_prefix("hmac-").unwrap_or(&text) {
            "sha1" => Ok(Self::Sha1),
            "sha224" => Ok(Self::Sha224),
            "sha256" => Ok(Self::Sha256),
            "sha384" => Ok(Self::Sha384),
            "sha512" => Ok(Self::Sha512),
            "md5" | "md5.sig-alg.reg.int" => Err(AlgorithmError::Md5),
            _ => Err(AlgorithmError::Unknown),
        }
    }

    /// Returns the algorithm with a number in a key file's DNSKEY record.
    ///
    /// # Errors
    ///
    /// The algorithm is unknown, or it is HMAC-MD5, whose number was 157.
    pub fn from_dnskey_number(number: u8) -> Result<Self, AlgorithmError> {
        match Self::ALL.into_iter().find(|algorithm| algorithm.dnskey_number() == number) {
            Some(algorithm) => Ok(algorithm),
            None if number == 157 => Err(AlgorithmError::Md5),
            None => Err(AlgorithmError::Unknown),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "hmac-sha1",
            Self::Sha224 => "hmac-sha224",
            Self::Sha256 => "hmac-sha256",
            Self::Sha384 => "hmac-sha384",
            Self::Sha512 => "hmac-sha512",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Name;

    #[test]
    fn names_and_numbers() {
        for algorithm in Algorithm::ALL {
            let text = algorithm.to_string();
            let wire = Name::from_text(&text).unwrap();
            assert_eq!(algorithm.wire(), wire.as_wire());
            assert_eq!(Algorithm::from_wire(&wire.as_wire().to_ascii_uppercase()), Ok(algorithm));
            for text in [&text, &format!("{text}."), &text.to_uppercase(), text.trim_start_matches("hmac-")] {
                assert_eq!(Algorithm::from_text(text), Ok(algorithm), "{text}");
            }
            assert_eq!(Algorithm::from_dnskey_number(algorithm.dnskey_number()), Ok(algorithm));
        }
        for text in ["md5", "hmac-md5", "HMAC-MD5.SIG-ALG.REG.INT."] {
            assert_eq!(Algorithm::from_text(text), Err(AlgorithmError::Md5), "{text}");
        }
        let md5 = Name::from_text("hmac-md5.sig-alg.reg.int").unwrap();
        assert_eq!(Algorithm::from_wire(md5.as_wire()), Err(AlgorithmError::Md5));
        assert_eq!(Algorithm::from_dnskey_number(157), Err(AlgorithmError::Md5));
        for text in ["", ".", "sha", "sha256..", "hmac-", "hmac-hmac-sha256", "gss-tsig"] {
            assert_eq!(Algorithm::from_text(text), Err(AlgorithmError::Unknown), "{text}");
        }
        assert_eq!(Algorithm::from_dnskey_number(8), Err(AlgorithmError::Unknown));
    }

    /// RFC 8945 §5.2.2.1: at least ten octets and at least half of the output.
    #[test]
    fn shortest_macs() {
        assert_eq!(Algorithm::ALL.map(Algorithm::shortest_mac), [10, 14, 16, 24, 32]);
    }
}
