//! How to fix a failed TLS connection to the remote.

use super::TlsError;
use std::fmt;

/// The first second of 2026: a clock before it was never set.
const NOT_BEFORE: u64 = 1_767_225_600;

/// Writes what failed and which arguments fix it.
pub(super) fn write_with_hint(error: &TlsError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        TlsError::Untrusted { host, seen, web: false } => write!(
            f,
            "no CA of --git-tls-ca vouches for the certificate of {host}, {seen}: give the CA that issued it, \
             or, if that is the right certificate, --git-tls-fingerprint={seen} instead"
        ),
        TlsError::OtherFingerprint { host, seen, wanted } => {
            let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
            let wanted = wanted.join(" or ");
            write!(
                f,
                "the certificate of {host} is {seen}, but --git-tls-fingerprint wants {wanted}: was it renewed, or is this \
                 somebody else?"
            )
        }
        TlsError::Untrusted { seen, web: true, .. } => write!(
            f,
            "{error}: if that is the right one, give its CA with --git-tls-ca=BASE64, or \
             --git-tls-fingerprint={seen}"
        ),
        TlsError::Expired { .. } => write!(f, "{error}: the server needs a new one, unless the clock is wrong"),
        TlsError::NotYetValid { now, .. } if *now < NOT_BEFORE => {
            write!(f, "{error}: the clock is wrong; set the machine's clock, or give --ntp=ADDR")
        }
        TlsError::NotYetValid { .. } => {
            write!(f, "{error}: one of the two clocks is wrong; --ntp=ADDR keeps this one correct")
        }
        TlsError::OtherName { seen, .. } => write!(
            f,
            "{error}: use that name in --git-remote, or, if {seen} is the right certificate, give --git-tls-fingerprint={seen}"
        ),
        TlsError::Unusable { seen, .. } => write!(
            f,
            "{error}: give the server a valid certificate, or, if {seen} is the right one, give --git-tls-fingerprint={seen}"
        ),
        TlsError::NotTls { .. } => {
            write!(f, "{error}: is that the port of https, or should the remote be http://?")
        }
        error => write!(f, "{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Error;
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_is_reported() {
        let not_yet = |now| TlsError::NotYetValid { host: "h".into(), not_before: 1_800_000_000, now };
        let error = |now| Error::Tls(not_yet(now)).to_string();
        let text = error(100);
        assert!(text.contains("before 2027-01-15T08:00:00Z") && text.contains("says 1970-01-01T00:01:40Z"), "{text}");
        assert!(text.contains("the clock is wrong") && text.contains("--ntp"), "{text}");
        assert!(error(1_790_000_000).contains("one of the two clocks is wrong"));
    }
}
