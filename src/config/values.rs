//! Parsers for values of boot arguments, with errors for invalid ones.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::Author;
use crate::answer::{MAX_TEXT, RateLimit, Secret};
use crate::config::BogusPolicy;
use crate::dns::Name;
use crate::dns::message::PORT;
use crate::primary::SerialPolicy;
use crate::tsig::Key;

/// The maximum number of cookie secrets: the previous, current and next one, and a spare.
const MAX_SECRETS: usize = 4;

/// A set of networks, by their prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<(IpAddr, u8)>);

/// Another server in an argument: its address and the name of a key.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) key: Option<Name>,
}

/// Parses `ADDR[:PORT][,KEY]`.
pub(super) fn parse_peer(value: &str) -> Result<Peer, String> {
    let (address, key) = match value.split_once(',') {
        Some((address, key)) => (address, Some(parse_name(key)?)),
        None => (value, None),
    };
    let address = parse_address(address, PORT)?;
    Ok(Peer { address, key })
}

/// Parses `ADDR[:PORT]`, with `port` as the default.
pub(super) fn parse_address(value: &str, port: u16) -> Result<SocketAddr, String> {
    let bare = value.strip_prefix('[').and_then(|value| value.strip_suffix(']')).unwrap_or(value);
    match (value.parse(), bare.parse::<IpAddr>()) {
        (Ok(address), _) => Ok(address),
        (_, Ok(address)) => Ok(SocketAddr::new(address, port)),
        _ => Err(format!("is not an address, such as 192.0.2.1, 192.0.2.1:5{port} or [2001:db8::1]:{port}")),
    }
}

/// Another server: its address and its key, if any.
pub(super) type Resolved = (SocketAddr, Option<Arc<Key>>);

impl Peer {
    /// Returns the address and the key with that name.
    pub(super) fn with_key(self, keys: &[Arc<Key>]) -> Result<Resolved, String> {
        let Some(name) = self.key else { return Ok((self.address, None)) };
        match keys.iter().find(|key| *key.name() == name) {
            Some(key) => Ok((self.address, Some(Arc::clone(key)))),
            None => Err(format!("names the key {name}, but there is no such --tsig-key; add it")),
        }
    }
}

/// Parses a domain name, with or without its final dot.
pub(super) fn parse_name(value: &str) -> Result<Name, String> {
    Name::from_text(value)
        .map_err(|error| format!("has \"{}\", which is not a domain name: {error}", value.escape_debug()))
}

/// Parses domain names separated by commas.
pub(super) fn parse_names(value: &str) -> Result<Vec<Name>, String> {
    value.split(',').map(parse_name).collect()
}

pub(super) fn parse_listen(value: &str) -> Result<SocketAddr, String> {
    value.parse().map_err(|_| match value.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(address)) => format!("has no port; write --listen={address}:53"),
        Ok(std::net::IpAddr::V6(address)) => format!("has no port; write --listen=[{address}]:53"),
        Err(_) => "is not an address and port, such as 127.0.0.1:53 or [::1]:53".to_string(),
    })
}

/// Parses `yes` or `no`.
pub(super) fn yes_or_no(value: &str) -> Result<bool, String> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("is neither yes nor no".to_string()),
    }
}

/// Parses a number of seconds from 1 to `max`.
pub(super) fn parse_seconds(value: &str, max: u64) -> Result<Duration, String> {
    match value.parse::<u64>() {
        Ok(seconds) if (1..=max).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("is not a number of seconds from 1 to {max}")),
    }
}

pub(super) fn parse_serial(value: &str) -> Result<SerialPolicy, String> {
    match value {
        "bump" => Ok(SerialPolicy::Bump),
        "strict" => Ok(SerialPolicy::Strict),
        _ => Err("is neither bump nor strict".to_string()),
    }
}

pub(super) fn parse_bogus(value: &str) -> Result<BogusPolicy, String> {
    match value {
        "warn" => Ok(BogusPolicy::Warn),
        "refuse" => Ok(BogusPolicy::Refuse),
        _ => Err("is neither warn nor refuse".to_string()),
    }
}

/// Parses `NAME<MAIL>`.
pub(super) fn parse_author(value: &str) -> Result<Author, String> {
    let parts = value.strip_suffix('>').and_then(|value| value.split_once('<'));
    let Some((name, email)) = parts.map(|(name, email)| (name.trim(), email.trim())) else {
        return Err("is not a name and an email address, such as Zonule<dns@example.org>".to_string());
    };
    let odd = |c: char| c.is_control() || matches!(c, '<' | '>');
    if name.is_empty() || email.is_empty() || name.contains(odd) || email.contains(odd) || value.len() > 200 {
        return Err(
            "has an empty name or email address, or one that is too long or has characters that git does not allow"
                .to_string(),
        );
    }
    Ok(Author { name: name.to_string(), email: email.to_string() })
}

/// Parses a number from `min` to `max`.
pub(super) fn parse_number<T: FromStr + PartialOrd + fmt::Display>(value: &str, min: T, max: T) -> Result<T, String> {
    match value.parse() {
        Ok(number) if (&min..=&max).contains(&&number) => Ok(number),
        _ => Err(format!("is not a number from {min} to {max}")),
    }
}

pub(super) fn parse_text(value: &str) -> Result<String, String> {
    match value.len() {
        ..=MAX_TEXT => Ok(value.to_string()),
        _ => Err(format!("has more than {MAX_TEXT} octets")),
    }
}

pub(super) fn parse_secrets(value: &str) -> Result<Vec<Secret>, String> {
    let secrets: Option<Vec<Secret>> = value
        .split(',')
        .map(|digits| {
            data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?.try_into().ok().map(Secret::new)
        })
        .collect();
    match secrets {
        None => Err("is not a list of secrets; write 32 hexadecimal digits for each, separated by commas".to_string()),
        Some(secrets) if secrets.len() > MAX_SECRETS => Err(format!("has more than {MAX_SECRETS} secrets")),
        Some(secrets) => Ok(secrets),
    }
}

/// Parses `N[,slip=N][,prefix4=BITS][,prefix6=BITS]`, or `off`.
pub(super) fn parse_rate_limit(value: &str) -> Result<Option<RateLimit>, String> {
    if value == "off" {
        return Ok(None);
    }
    let mut parts = value.split(',');
    let mut limit = RateLimit::default();
    let within = |what: &'static str| move |reason: String| format!("has {what} that {reason}");
    limit.per_second = parse_number(parts.next().unwrap_or_default(), 1, 1_000_000)
        .map_err(|reason| format!("has a rate that {reason} replies per second, nor off"))?;
    for part in parts {
        match part.split_once('=') {
            Some(("slip", number)) => limit.slip = parse_number(number, 0, 10).map_err(within("a slip"))?,
            Some(("prefix4", bits)) => limit.prefix4 = parse_number(bits, 8, 32).map_err(within("a prefix4"))?,
            Some(("prefix6", bits)) => limit.prefix6 = parse_number(bits, 16, 128).map_err(within("a prefix6"))?,
            _ => {
                let part = part.escape_debug();
                return Err(format!("has the part \"{part}\"; only slip=, prefix4= and prefix6= may follow the rate"));
            }
        }
    }
    Ok(Some(limit))
}

impl Networks {
    /// Returns whether `address` is in one of these networks.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|&(network, prefix)| match (network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(prefix)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(prefix)
            }
            _ => false,
        })
    }
}

/// Parses networks and single addresses of both families, separated by commas.
impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let one = |part: &str| {
            let (address, prefix) = match part.split_once('/') {
                Some((address, prefix)) => (address, Some(prefix)),
                None => (part, None),
            };
            let shown = part.escape_debug();
            let address: IpAddr = address.parse().map_err(|_| {
                format!("has \"{shown}\", which is not a network; write 192.0.2.0/24, 2001:db8::/32 or an address")
            })?;
            let max = if address.is_ipv4() { 32 } else { 128 };
            let prefix = prefix.map_or(Ok(max), |prefix| parse_number(prefix, 0, max));
            Ok((address, prefix.map_err(|_| format!("has \"{shown}\", whose prefix length is not from 0 to {max}"))?))
        };
        text.split(',').map(one).collect::<Result<_, String>>().map(Networks)
    }
}
