//! TLS connection errors, for operators.

use super::Fingerprint;
use crate::text::printable;
use jiff::Timestamp;
use rustls::{CertificateError, InvalidMessage};
use std::{fmt, time::SystemTime};

/// The reason why a TLS connection failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsError {
    /// No trusted CA has issued the certificate.
    Untrusted {
        /// The host.
        host: String,
        /// The certificate.
        seen: Fingerprint,
        /// Whether the public web CAs are the trusted ones.
        web: bool,
    },
    /// The certificate has expired.
    Expired {
        /// The host.
        host: String,
        /// The end of its validity, in seconds since 1970.
        not_after: u64,
        /// The time of our clock, in seconds since 1970.
        now: u64,
    },
    /// The certificate is not valid yet.
    NotYetValid {
        /// The host.
        host: String,
        /// The beginning of its validity, in seconds since 1970.
        not_before: u64,
        /// The time of our clock, in seconds since 1970.
        now: u64,
    },
    /// The certificate is for another host.
    OtherName {
        /// The host.
        host: String,
        /// The names it is for.
        presented: Vec<String>,
        /// The certificate.
        seen: Fingerprint,
    },
    /// The certificate does not match the configured fingerprints.
    OtherFingerprint {
        /// The host.
        host: String,
        /// The certificate.
        seen: Fingerprint,
        /// The configured fingerprints.
        wanted: Vec<Fingerprint>,
    },
    /// The certificate is invalid for another reason.
    Unusable {
        /// The host.
        host: String,
        /// The certificate.
        seen: Fingerprint,
        /// The reason.
        what: String,
    },
    /// The peer does not speak TLS.
    NotTls {
        /// `host:port`.
        to: String,
    },
    /// The server did not respond in time.
    TimedOut {
        /// `host:port`.
        to: String,
    },
    /// The handshake failed.
    Failed {
        /// `host:port`.
        to: String,
        /// The cause.
        what: String,
    },
}

impl TlsError {
    /// Returns the error for a certificate that failed verification; `web` if it was verified against the public web
    /// CAs.
    pub(super) fn judged(error: &CertificateError, host: &str, seen: Fingerprint, web: bool) -> Self {
        let host = host.to_string();
        let clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        match error {
            // A CA with the same name but another key, as when it was regenerated, shows only in the signature.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsError::Untrusted { host, seen, web },
            CertificateError::ExpiredContext { time, not_after } => {
                TlsError::Expired { host, not_after: not_after.as_secs(), now: time.as_secs() }
            }
            CertificateError::NotValidYetContext { time, not_before } => {
                TlsError::NotYetValid { host, not_before: not_before.as_secs(), now: time.as_secs() }
            }
            CertificateError::Expired => TlsError::Expired { host, not_after: 0, now: clock() },
            CertificateError::NotValidForNameContext { presented, .. } => {
                const MOST: usize = 10;
                let presented = presented.iter().take(MOST).map(|name| shown(name)).collect();
                TlsError::OtherName { host, presented, seen }
            }
            CertificateError::NotValidForName => TlsError::OtherName { host, presented: Vec::new(), seen },
            CertificateError::Other(other) => {
                let what = match other.0.to_string() {
                    // The self-signed certificates of `openssl req -x509` are CA certificates by default.
                    text if text.contains("CaUsedAsEndEntity") => "it is a CA certificate".into(),
                    text => printable(text.as_bytes()),
                };
                TlsError::Unusable { host, seen, what }
            }
            error => TlsError::Unusable { host, seen, what: printable(error.to_string().as_bytes()) },
        }
    }
}

/// Returns a name from its debug form in a certificate error, `DnsName("…")` or `IpAddress(…)`, without the wrapping.
fn shown(name: &str) -> String {
    let bare = name.split_once('(').map_or(name, |(_, bare)| bare.strip_suffix(')').unwrap_or(bare));
    printable(bare.trim_matches('"').as_bytes())
}

/// Returns the error of the connection to `to` for an error of rustls.
pub(super) fn said_by(error: &rustls::Error, to: String) -> TlsError {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => match other.0.downcast_ref::<TlsError>() {
            Some(judged) => judged.clone(),
            None => TlsError::Failed { to, what: printable(error.to_string().as_bytes()) },
        },
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        ) => TlsError::NotTls { to },
        error => TlsError::Failed { to, what: printable(error.to_string().as_bytes()) },
    }
}

impl fmt::Display for TlsError {
    /// Writes what happened. How to fix it depends on the caller and the purpose of the connection.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Untrusted { host, seen, web } => {
                let authority = if *web { "public web CA" } else { "trusted CA" };
                write!(f, "no {authority} vouches for the certificate of {host}, {seen}")
            }
            TlsError::Expired { host, not_after, now } => write!(
                f,
                "the certificate of {host} was valid until {}, and this machine's clock says {}",
                date(*not_after),
                date(*now)
            ),
            TlsError::NotYetValid { host, not_before, now } => write!(
                f,
                "the certificate of {host} is not valid before {}, and this machine's clock says {}",
                date(*not_before),
                date(*now)
            ),
            TlsError::OtherName { host, presented, .. } => match presented.as_slice() {
                [] => write!(f, "the certificate of {host} names no host (subjectAltName)"),
                names => write!(f, "the certificate of {host} is for {}", names.join(", ")),
            },
            TlsError::OtherFingerprint { host, seen, .. } => {
                write!(f, "the certificate of {host} is {seen}, which is not the expected one")
            }
            TlsError::Unusable { host, what, .. } => write!(f, "the certificate of {host} cannot be verified ({what})"),
            TlsError::NotTls { to } => write!(f, "{to} does not speak TLS"),
            TlsError::TimedOut { to } => write!(f, "TLS handshake with {to} timed out"),
            TlsError::Failed { to, what } => write!(f, "TLS handshake with {to} failed: {what}"),
        }
    }
}

impl std::error::Error for TlsError {}

fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("second {seconds}"), |time| time.to_string())
}
