//! Where forges tell of pushes: the argument `--webhook`.

use super::{Host, values};
use crate::dns::message::PORT;
use crate::git::Secret;

/// The shortest secret: one that is shorter can be guessed.
const LEAST: usize = 8;

/// The longest secret.
const MOST: usize = 256;

/// Where hooks come in.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// The TCP port.
    pub port: u16,
    /// What hooks are signed with; `None` to take them from anybody.
    pub secret: Option<Secret>,
}

/// Reads `PORT[,SECRET]`.
pub(super) fn parse(host: Host, value: &str) -> Result<Webhook, String> {
    let (port, secret) = match value.split_once(',') {
        Some((port, secret)) => (port, Some(secret)),
        None => (value, None),
    };
    // What cannot be read may be a secret, so it is not repeated.
    let port =
        values::parse_number(port, 1, u16::MAX).map_err(|_| "has no port from 1 to 65535 in front".to_string())?;
    if host == Host::Machine && port == PORT {
        return Err("has port 53, where DNS is served".to_string());
    }
    let secret = match secret {
        None => None,
        Some(secret) if !(LEAST..=MOST).contains(&secret.len()) => {
            return Err(format!("has a secret that is not {LEAST} to {MOST} octets long"));
        }
        Some(secret) if secret.bytes().any(|octet| !octet.is_ascii_graphic()) => {
            return Err("has a secret with characters that the command line or a header may change: use letters, \
                        digits and punctuation of ASCII"
                .to_string());
        }
        Some(secret) => Some(Secret::new(secret.to_string())),
    };
    Ok(Webhook { port, secret })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_and_perhaps_a_secret() {
        let webhook = parse(Host::Machine, "8080,a,long=secret").unwrap();
        assert_eq!((webhook.port, webhook.secret.as_ref().map(Secret::reveal)), (8080, Some("a,long=secret")));
        assert!(!format!("{webhook:?}").contains("long"));
        assert!(parse(Host::Process, "53").unwrap().secret.is_none());
        for (bad, why) in [
            ("0", "has no port"),
            ("secret,8080", "has no port"),
            ("65536", "has no port"),
            ("53,longenough", "where DNS is served"),
            ("8080,", "not 8 to 256 octets long"),
            ("8080,short", "not 8 to 256 octets long"),
            ("8080,ümläütsecret", "ASCII"),
        ] {
            let reason = parse(Host::Machine, bad).unwrap_err();
            assert!(reason.contains(why) && !reason.contains("secret,"), "{bad}: {reason}");
        }
    }
}
