//! The argument `--webhook`: the endpoint where forges report pushes.

use super::{Host, values};
use crate::dns::message::PORT;
use crate::git::Secret;

/// The minimum length of a secret in octets; shorter ones can be guessed.
const MIN_SECRET: usize = 8;

/// The maximum length of a secret in octets.
const MAX_SECRET: usize = 256;

/// The endpoint for webhooks.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// The TCP port.
    pub port: u16,
    /// The secret that signs hooks; `None` to accept unsigned ones.
    pub secret: Option<Secret>,
}

/// Parses `PORT[,SECRET]`.
pub(super) fn parse(host: Host, value: &str) -> Result<Webhook, String> {
    let (port, secret) = match value.split_once(',') {
        Some((port, secret)) => (port, Some(secret)),
        None => (value, None),
    };
    // An invalid value may be a secret, so errors do not repeat it.
    let port =
        values::parse_number(port, 1, u16::MAX).map_err(|_| "has no port from 1 to 65535 at the start".to_string())?;
    if host == Host::Machine && port == PORT {
        return Err("has port 53, which DNS uses; choose another".to_string());
    }
    let secret = match secret {
        None => None,
        Some(secret) if !(MIN_SECRET..=MAX_SECRET).contains(&secret.len()) => {
            return Err(format!("has a secret that is not {MIN_SECRET} to {MAX_SECRET} octets long"));
        }
        Some(secret) if secret.bytes().any(|octet| !octet.is_ascii_graphic()) => {
            return Err(
                "has a secret with characters that the command line or a header may change; use ASCII letters, \
                        digits and punctuation"
                    .to_string(),
            );
        }
        Some(secret) => Some(Secret::new(secret.to_string())),
    };
    Ok(Webhook { port, secret })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_and_optional_secret() {
        let webhook = parse(Host::Machine, "8080,a,long=secret").unwrap();
        assert_eq!((webhook.port, webhook.secret.as_ref().map(Secret::reveal)), (8080, Some("a,long=secret")));
        assert!(!format!("{webhook:?}").contains("long"));
        assert!(parse(Host::Process, "53").unwrap().secret.is_none());
        for (bad, why) in [
            ("0", "has no port"),
            ("secret,8080", "has no port"),
            ("65536", "has no port"),
            ("53,longenough", "which DNS uses"),
            ("8080,", "not 8 to 256 octets long"),
            ("8080,short", "not 8 to 256 octets long"),
            ("8080,ümläütsecret", "ASCII"),
        ] {
            let reason = parse(Host::Machine, bad).unwrap_err();
            assert!(reason.contains(why) && !reason.contains("secret,"), "{bad}: {reason}");
        }
    }
}
