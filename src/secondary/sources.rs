//! The sources of zones: primaries, configured or named by keys.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::dns::Name;
use crate::dns::message::PORT;
use crate::keys::{Addresses, Grant, Keyring};
use crate::tsig::Key;

/// A server from which zones are transferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primary {
    /// The address.
    pub address: SocketAddr,
    /// The key that signs requests and verifies replies; `None` for unsigned messages.
    pub key: Option<Arc<Key>>,
}

/// Returns the zones in the names of transfer keys, each with its primaries in the order of their addresses.
///
/// Such a name is `<primary>.<secondary>._transfer.<zone>` or `<any>.<primary>._transfer.<zone>`. If it contains a
/// secondary, that must be one of the addresses in `own`, unless `own` is empty. A key for all zones adds none.
#[must_use]
pub fn named_by_keys(keys: &Keyring, own: &[IpAddr]) -> BTreeMap<Name, Vec<Primary>> {
    let mut zones: BTreeMap<Name, Vec<Primary>> = BTreeMap::new();
    for key in keys.iter() {
        let (Some(grant), Some(addresses)) = (Grant::of(key.name()), Addresses::of(key.name())) else { continue };
        let for_us = |secondary| own.is_empty() || own.iter().any(|own| own.to_canonical() == IpAddr::V4(secondary));
        if grant.subtree().is_root() || !addresses.secondary.is_none_or(for_us) {
            continue;
        }
        let primary = Primary { address: SocketAddr::new(addresses.primary.into(), PORT), key: Some(key.clone()) };
        zones.entry(grant.subtree().to_canonical()).or_default().push(primary);
    }
    for primaries in zones.values_mut() {
        let name = |primary: &Primary| primary.key.as_ref().map(|key| key.name().clone());
        primaries.sort_by(|a, b| a.address.cmp(&b.address).then_with(|| name(a).cmp(&name(b))));
        primaries.dedup_by(|a, b| a.address == b.address);
    }
    zones
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tsig::Algorithm;

    #[test]
    fn zones_and_primaries_of_keys() {
        let key =
            |name: &str| Arc::new(Key::new(Name::from_text(name).unwrap(), Algorithm::Sha256, vec![7; 32]).unwrap());
        let keys = [
            key("192.0.2.2.198.51.100.1._transfer.example.org"),
            key("192.0.2.1.198.51.100.1._transfer.Example.ORG"),
            key("x.192.0.2.1.198.51.100.1._transfer.example.org"),
            key("192.0.2.1.198.51.100.9._transfer.example.com"),
            key("192.0.2.3._transfer.example.net"),
            key("192.0.2.4._transfer"),
            key("192.0.2.5._update.example.net"),
        ];
        let (keys, _) = Keyring::load(&keys, []);
        let shown = |own: &[IpAddr]| -> Vec<String> {
            let zones = named_by_keys(&keys, own);
            let primaries =
                |primaries: &[Primary]| -> Vec<_> { primaries.iter().map(|p| p.address.ip().to_string()).collect() };
            zones.iter().map(|(zone, p)| format!("{zone} {}", primaries(p).join(" "))).collect()
        };
        let ours = ["example.net. 192.0.2.3", "example.org. 192.0.2.1 192.0.2.2"];
        assert_eq!(shown(&["198.51.100.1".parse().unwrap()]), ours);
        assert_eq!(shown(&[]), ["example.com. 192.0.2.1", ours[0], ours[1]]);
    }
}
