//! Why a TLS connection did not come about, in words for an operator.

use super::Fingerprint;
use crate::text::printable;
use jiff::Timestamp;
use rustls::{CertificateError, InvalidMessage};
use std::{fmt, time::SystemTime};

/// The first second of 2026: a clock that is before it has not been set.
const NOT_BEFORE: u64 = 1_767_225_600;

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
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Untrusted { host, seen, web: true } => write!(
                f,
                "no web authority vouches for the certificate of {host}, {seen}: if that is the right one, give its \
                 authority with --git-tls-ca=BASE64, or --git-tls-fingerprint={seen}"
            ),
            TlsError::Untrusted { host, seen, web: false } => write!(
                f,
                "no authority of --git-tls-ca vouches for the certificate of {host}, {seen}: give the authority that \
                 made it, or, if that is the right one, --git-tls-fingerprint={seen} in its place"
            ),
            TlsError::Expired { host, not_after, now } => {
                write!(
                    f,
                    "the certificate of {host} was valid until {}, and this machine's clock says {}",
                    date(*not_after),
                    date(*now)
                )?;
                f.write_str(": the server needs a new one, unless the clock is wrong")
            }
            TlsError::NotYetValid { host, not_before, now } => {
                write!(
                    f,
                    "the certificate of {host} is not valid before {}, and this machine's clock says {}",
                    date(*not_before),
                    date(*now)
                )?;
                f.write_str(if *now < NOT_BEFORE {
                    ": the clock is wrong; set the machine's, or give --ntp=ADDR"
                } else {
                    ": one of the two clocks is wrong; --ntp=ADDR keeps this one right"
                })
            }
            TlsError::OtherName { host, presented, seen } => {
                match presented.as_slice() {
                    [] => write!(f, "the certificate of {host} names no host (subjectAltName)")?,
                    names => write!(f, "the certificate of {host} is for {}", names.join(", "))?,
                }
                write!(
                    f,
                    ": name the host so in --git-remote, or, if {seen} is the right one, give --git-tls-fingerprint={seen}"
                )
            }
            TlsError::OtherFingerprint { host, seen, wanted } => {
                let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "the certificate of {host} is {seen}, but --git-tls-fingerprint wants {}: was it renewed, or is this \
                     somebody else?",
                    wanted.join(" or ")
                )
            }
            TlsError::Unusable { host, seen, what } => write!(
                f,
                "the certificate of {host} cannot be judged ({what}): give the server a proper one, or, if {seen} is the \
                 right one, --git-tls-fingerprint={seen}"
            ),
            TlsError::NotTls { to } => {
                write!(f, "{to} speaks no TLS: is that the port of https, or does the remote want http://?")
            }
            TlsError::Failed { to, what } => write!(f, "no TLS with {to}: {what}"),
        }
    }
}

impl std::error::Error for TlsError {}

fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("second {seconds}"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_is_blamed() {
        let error = |now| TlsError::NotYetValid { host: "h".into(), not_before: 1_800_000_000, now }.to_string();
        let text = error(100);
        assert!(text.contains("before 2027-01-15T08:00:00Z") && text.contains("says 1970-01-01T00:01:40Z"), "{text}");
        assert!(text.contains("the clock is wrong") && text.contains("--ntp"), "{text}");
        assert!(error(1_790_000_000).contains("one of the two clocks is wrong"));
    }
}
