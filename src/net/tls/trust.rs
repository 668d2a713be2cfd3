//! Which servers to trust: by public web CAs, by configured CAs, or by certificate fingerprints.

use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// Which TLS servers are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those with certificates from public web CAs.
    #[default]
    WebRoots,
    /// Those with certificates from these CAs.
    Authorities(Vec<CertificateDer<'static>>),
    /// Those with one of these certificates. Its names and dates are not checked then, since it is known to be the
    /// right one.
    Fingerprints(Vec<Fingerprint>),
}

impl Trust {
    /// Parses CA certificates: the base64 of DER or of a PEM file, several separated by commas.
    pub fn parse_authorities(value: &str) -> Result<Self, String> {
        const MOST: usize = 100;
        let mut authorities = Vec::new();
        for part in value.split(',') {
            let der = BASE64.decode(part.as_bytes()).map_err(|error| format!("is not base64: {error}"))?;
            if der.starts_with(b"-----") || der.trim_ascii_start().starts_with(b"-----") || is_text(&der) {
                for certificate in CertificateDer::pem_slice_iter(&der) {
                    authorities.push(certificate.map_err(|_| "holds a malformed PEM file".to_string())?);
                }
            } else {
                authorities.push(CertificateDer::from(der));
            }
        }
        let mut roots = RootCertStore::empty();
        for authority in &authorities {
            let added = roots.add(authority.clone());
            added.map_err(|error| format!("holds data other than X.509 certificates: {error}"))?;
        }
        match authorities.len() {
            0 => Err("holds no certificate; give the base64 of a PEM or DER file, such as `base64 -w0 ca.pem`".into()),
            1..=MOST => Ok(Trust::Authorities(authorities)),
            _ => Err(format!("holds more than {MOST} certificates")),
        }
    }

    /// Parses fingerprints of certificates, several separated by commas.
    pub fn parse_fingerprints(value: &str) -> Result<Self, String> {
        value.split(',').map(str::parse).collect::<Result<_, _>>().map(Trust::Fingerprints)
    }
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

/// The SHA-256 of a certificate's DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Returns the fingerprint of a certificate.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Self {
        Fingerprint(Sha256::digest(certificate.as_ref()).into())
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    /// Parses `sha256:` and 64 hexadecimal digits, with or without colons between the octets, as openssl prints them.
    fn from_str(text: &str) -> Result<Self, String> {
        let what = "is not a fingerprint: write sha256: and 64 hexadecimal digits, with or without colons";
        // The output of `openssl x509 -fingerprint -sha256` is accepted unchanged.
        let digits = ["sha256:", "SHA256:", "sha256 Fingerprint=", "SHA256 Fingerprint="]
            .into_iter()
            .find_map(|prefix| text.strip_prefix(prefix))
            .ok_or(what)?;
        let digits = digits.replace(':', "");
        let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| what)?;
        bytes.try_into().map(Fingerprint).map_err(|_| what.into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", HEXLOWER.encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_openssl_prints_them() {
        let plain = format!("sha256:{}", "0a".repeat(32));
        let read = |text: &str| text.parse::<Fingerprint>().map(|fingerprint| fingerprint.to_string());
        assert_eq!(read(&plain), Ok(plain.clone()));
        let colons = vec!["0A"; 32].join(":");
        assert_eq!(read(&format!("sha256:{colons}")), Ok(plain.clone()));
        assert_eq!(read(&format!("sha256 Fingerprint={colons}")), Ok(plain.clone()));
        for wrong in ["", "sha256:", &colons, &format!("{plain}0a"), &plain.replace('a', "x"), "sha1:00"] {
            assert!(read(wrong).unwrap_err().contains("64 hexadecimal digits"), "{wrong}");
        }
        assert!(Trust::parse_fingerprints(&format!("{plain},{plain}")).is_ok());
        assert!(Trust::parse_fingerprints(&format!("{plain},")).is_err());
    }

    #[test]
    fn authorities_must_be_certificates() {
        let encode = |text: &str| BASE64.encode(text.as_bytes());
        for (value, word) in [
            ("x", "is not base64"),
            ("", "holds no certificate"),
            (&*encode("hello"), "holds no certificate"),
            (&*encode("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "X.509"),
            (&*encode("-----BEGIN CERTIFICATE-----\nAAAA\n"), "malformed"),
            ("MAA=", "X.509"),
        ] {
            let reason = Trust::parse_authorities(value).unwrap_err();
            assert!(reason.contains(word), "{value}: {reason}");
        }
    }
}
