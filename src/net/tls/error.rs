//! Why a TLS connection did not come about, in words.

use super::Fingerprint;
use crate::text::printable;
use jiff::Timestamp;
use rustls::{CertificateError, InvalidMessage};
use std::{fmt, time::SystemTime};

/// Why a TLS connection did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsError {
    /// None of the authorities we believe vouches for the certificate.
    Untrusted {
        /// The host.
        host: String,
        /// The certificate.
        seen: Fingerprint,
        /// Whether it is the web's authorities that we believe.
        web: bool,
    },
    /// The certificate is not valid any more.
    Expired {
        /// The host.
        host: String,
        /// The end of its validity, in seconds since 1970.
        not_after: u64,
        /// What our clock says.
        now: u64,
    },
    /// The certificate is not valid yet.
    NotYetValid {
        /// The host.
        host: String,
        /// The beginning of its validity, in seconds since 1970.
        not_before: u64,
        /// What our clock says.
        now: u64,
    },
    /// The certificate is somebody else's.
    OtherName {
        /// The host.
        host: String,
        /// The names it is for.
        presented: Vec<String>,
        /// The certificate.
        seen: Fingerprint,
    },
    /// The certificate is not the one we were told.
    OtherFingerprint {
        /// The host.
        host: String,
        /// The certificate.
        seen: Fingerprint,
        /// Those we were told.
        wanted: Vec<Fingerprint>,
    },
    /// The certificate has another fault.
    Unusable {
        /// The host.
        host: String,
        /// The certificate.
        seen: Fingerprint,
        /// The fault.
        what: String,
    },
    /// What answers speaks something else.
    NotTls {
        /// `host:port`.
        to: String,
    },
    /// The server was silent for too long.
    TimedOut {
        /// `host:port`.
        to: String,
    },
    /// The two sides did not come to terms.
    Failed {
        /// `host:port`.
        to: String,
        /// How it went.
        what: String,
    },
}

impl TlsError {
    /// Returns what the judgement on a certificate comes down to; `web` if it was by the web's authorities.
    pub(super) fn judged(error: &CertificateError, host: &str, seen: Fingerprint, web: bool) -> Self {
        let host = host.to_string();
        let clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        match error {
            // An authority of the same name with another key, as one made anew has it, shows in the signature only.
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
                    // What `openssl req -x509` makes of itself.
                    text if text.contains("CaUsedAsEndEntity") => "it says that it is an authority's own".into(),
                    text => printable(text.as_bytes()),
                };
                TlsError::Unusable { host, seen, what }
            }
            error => TlsError::Unusable { host, seen, what: printable(error.to_string().as_bytes()) },
        }
    }
}

/// Returns a name as a certificate's reader has it, `DnsName("…")` or `IpAddress(…)`, without what stands around it.
fn shown(name: &str) -> String {
    let bare = name.split_once('(').map_or(name, |(_, bare)| bare.strip_suffix(')').unwrap_or(bare));
    printable(bare.trim_matches('"').as_bytes())
}

/// Returns what an error of rustls means for the connection to `to`.
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
    /// Writes what happened. What to do about it depends on who connects, and why.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Untrusted { host, seen, web } => {
                let authority = if *web { "web authority" } else { "authority that is believed" };
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
                write!(f, "the certificate of {host} is {seen}, which is another than the one known")
            }
            TlsError::Unusable { host, what, .. } => write!(f, "the certificate of {host} cannot be judged ({what})"),
            TlsError::NotTls { to } => write!(f, "{to} speaks no TLS"),
            TlsError::TimedOut { to } => write!(f, "no TLS with {to}: it was silent for too long"),
            TlsError::Failed { to, what } => write!(f, "no TLS with {to}: {what}"),
        }
    }
}

impl std::error::Error for TlsError {}

fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("second {seconds}"), |time| time.to_string())
}
