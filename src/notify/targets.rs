//! The targets of notifications, computed from the zones and keys.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::peer;
use crate::dns::message::PORT;
use crate::dns::{Name, Type, name};
use crate::keys::{Addresses, Grant, Keyring, Operation};
use crate::tsig::Key;
use crate::zone::{Node, Zone, Zones};

/// The maximum number of targets of a zone, since zone authors decide who gets messages from this server.
const MAX_TARGETS: usize = 100;

/// A server to notify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The address.
    pub address: SocketAddr,
    /// The key that signs notifications; `None` to send them unsigned.
    pub key: Option<Arc<Key>>,
}

/// A server to notify as configured: its key may be one of the repository, whose keys change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configured {
    /// The address.
    pub address: SocketAddr,
    /// The name of the key that signs notifications; `None` to send them unsigned.
    pub key: Option<Name>,
}

impl Configured {
    /// Returns the server with its key.
    ///
    /// # Errors
    ///
    /// Returns a message to log if the key does not exist; nothing is sent without it.
    pub fn resolve(&self, keys: &Keyring) -> Result<Target, String> {
        let address = self.address;
        let Some(name) = &self.key else { return Ok(Target { address, key: None }) };
        let key = keys.get(name).cloned().ok_or_else(|| {
            format!(
                "--notify={address},{name}: there is no key {name}, so {address} is not notified; add the key to the \
                 repository (`_keys` or `<zone>._keys`) or as --tsig-key"
            )
        })?;
        Ok(Target { address, key: Some(key) })
    }
}

/// Returns the targets for changes of a zone, ordered by address, at most a hundred.
///
/// The targets are the following; if an address occurs more than once, the first one with a key is used:
///
/// 1. the `configured` ones;
/// 2. the secondaries in the names of transfer keys (see [`Addresses`]), signed with that key, the key of the closest
///    subtree first;
/// 3. the zone's name servers except the primary in its SOA record (RFC 1996 §2.1), unsigned, if their addresses are in
///    the zone (including glue) or in another of `zones`.
///
/// Addresses for which `is_excluded` returns true are omitted, for example those of this server.
#[must_use]
pub fn targets(
    zone: &Zone,
    zones: &Zones,
    keys: &Keyring,
    configured: &[Target],
    is_excluded: impl Fn(SocketAddr) -> bool,
) -> Vec<Target> {
    let mut found = Found { is_excluded, targets: BTreeMap::new() };
    for target in configured {
        found.add(target.address, target.key.as_ref());
    }
    for (address, key) in named_by_keys(zone.apex(), keys) {
        found.add(address, Some(&key));
    }
    let mut addresses = Vec::new();
    for server in servers(zone) {
        addresses_of(&server, zone, zones, &mut addresses);
    }
    for address in addresses {
        found.add(SocketAddr::new(address, PORT), None);
    }
    found.targets.into_values().collect()
}

struct Found<S> {
    is_excluded: S,
    targets: BTreeMap<SocketAddr, Target>,
}

impl<S: Fn(SocketAddr) -> bool> Found<S> {
    fn add(&mut self, address: SocketAddr, key: Option<&Arc<Key>>) {
        let ip = address.ip().to_canonical();
        let is_invalid = ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        if is_invalid || address.port() == 0 {
            return;
        }
        let full = self.targets.len() >= MAX_TARGETS;
        match self.targets.get_mut(&peer(address)) {
            Some(target) if target.key.is_none() => target.key = key.cloned(),
            Some(_) => {}
            None if full || (self.is_excluded)(address) => {}
            None => drop(self.targets.insert(peer(address), Target { address, key: key.cloned() })),
        }
    }
}

/// Returns the secondaries in the names of a zone's transfer keys.
fn named_by_keys(apex: &Name, keys: &Keyring) -> Vec<(SocketAddr, Arc<Key>)> {
    let mut named: Vec<_> = keys
        .iter()
        .filter_map(|key| {
            let grant = Grant::of(key.name()).filter(|grant| grant.allows(Operation::Transfer, apex))?;
            let secondary = Addresses::of(key.name())?.secondary?;
            Some((grant.subtree().label_count(), SocketAddr::new(secondary.into(), PORT), key.clone()))
        })
        .collect();
    named.sort_by(|(a_labels, _, a), (b_labels, _, b)| b_labels.cmp(a_labels).then_with(|| a.name().cmp(b.name())));
    named.into_iter().map(|(_, address, key)| (address, key)).collect()
}

/// Returns the names of a zone's servers except its primary.
fn servers(zone: &Zone) -> Vec<Name> {
    let Some(apex) = zone.node(zone.apex()) else { return Vec::new() };
    let soa = apex.rrset(Type::SOA).and_then(|soa| soa.rdata().next()).unwrap_or_default();
    let primary = soa.get(..name::wire_len(soa).unwrap_or(0)).and_then(|primary| Name::from_wire(primary).ok());
    let names = apex.rrset(Type::NS).into_iter().flat_map(|servers| servers.rdata());
    names.filter_map(|name| Name::from_wire(name).ok()).filter(|name| Some(name) != primary.as_ref()).collect()
}

/// Adds the addresses of a server: those in the zone, or otherwise those in the closest enclosing zone that has any.
fn addresses_of(server: &Name, zone: &Zone, zones: &Zones, addresses: &mut Vec<IpAddr>) {
    let before = addresses.len();
    if server.is_at_or_below(zone.apex()) {
        addresses_at(zone.node(server), addresses);
    }
    let mut above = Some(server.clone());
    while let (Some(apex), true) = (above, addresses.len() == before) {
        if let Some(zone) = zones.get(&apex).and_then(|entry| entry.zone()) {
            addresses_at(zone.node(server), addresses);
        }
        above = apex.parent();
    }
}

fn addresses_at(node: Option<&Node>, addresses: &mut Vec<IpAddr>) {
    let Some(node) = node else { return };
    let data = |rtype| node.rrset(rtype).into_iter().flat_map(|rrset| rrset.rdata());
    let v4 = data(Type::A).filter_map(|data| <[u8; 4]>::try_from(data).ok());
    addresses.extend(v4.map(|octets| IpAddr::V4(Ipv4Addr::from(octets))));
    let v6 = data(Type::AAAA).filter_map(|data| <[u8; 16]>::try_from(data).ok());
    addresses.extend(v6.map(|octets| IpAddr::V6(Ipv6Addr::from(octets))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tsig::Algorithm;
    use crate::zonefile::read;

    fn zone(name: &str, text: &str) -> Arc<Zone> {
        let reading = read(&Name::from_text(name).unwrap(), name, text.as_bytes());
        Arc::new(reading.zone.unwrap_or_else(|| panic!("{:?}", reading.diagnostics)))
    }

    fn key(name: &str) -> Arc<Key> {
        Arc::new(Key::new(Name::from_text(name).unwrap(), Algorithm::Sha256, vec![7; 32]).unwrap())
    }

    fn shown(targets: &[Target]) -> Vec<String> {
        let key = |target: &Target| target.key.as_ref().map_or("-".into(), |key| key.name().to_string());
        targets.iter().map(|target| format!("{} {}", target.address, key(target))).collect()
    }

    /// RFC 1996 §2.1: the servers except the primary in the SOA; addresses in the zone, as glue, and in another zone.
    #[test]
    fn name_servers_with_known_addresses() {
        let org = zone(
            "example.org",
            "$TTL 1\n@ SOA ns h 1 1 1 1 1\n@ NS NS\n@ NS a\n@ NS ns.sub\n@ NS b.example.net.\n@ NS c.unknown.\n\
             ns A 192.0.2.1\na A 192.0.2.2\na AAAA 2001:db8::2\nsub NS ns.sub\nns.sub A 192.0.2.3\n",
        );
        let net = zone("example.net", "$TTL 1\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.9\nb A 192.0.2.4\n");
        let mut zones = Zones::default();
        zones.insert(org.clone());
        zones.insert(net);
        let keys = Keyring::default();
        let all = ["192.0.2.2:53 -", "192.0.2.3:53 -", "192.0.2.4:53 -", "[2001:db8::2]:53 -"];
        assert_eq!(shown(&targets(&org, &zones, &keys, &[], |_| false)), all);
        let own: [SocketAddr; 2] = ["192.0.2.2:53".parse().unwrap(), "[::ffff:192.0.2.3]:53".parse().unwrap()];
        let is_own = |address| own.iter().any(|own| peer(*own) == peer(address));
        assert_eq!(shown(&targets(&org, &zones, &keys, &[], is_own)), all[2..]);
        assert_eq!(shown(&targets(&org, &Zones::default(), &keys, &[], |_| false)).len(), 3);
    }

    #[test]
    fn secondaries_from_key_names_and_signed_targets_win() {
        let org = zone("example.org", "$TTL 1\n@ SOA ns h 1 1 1 1 1\n@ NS a\n@ NS b\na A 192.0.2.2\nb A 192.0.2.5\n");
        let keys = [
            key("192.0.2.1.192.0.2.2._transfer.example.org"),
            key("x.192.0.2.1.192.0.2.2._transfer"),
            key("192.0.2.1.192.0.2.3._transfer.org"),
            key("192.0.2.1.192.0.2.4._transfer.example.net"),
            key("192.0.2.1.192.0.2.7._update.example.org"),
            key("192.0.2.8._transfer.example.org"),
        ];
        let (keys, _) = Keyring::load(&keys, []);
        let configured = [
            Target { address: "192.0.2.5:53".parse().unwrap(), key: Some(key("k")) },
            Target { address: "192.0.2.2:5300".parse().unwrap(), key: None },
            Target { address: "192.0.2.3:53".parse().unwrap(), key: None },
            Target { address: "0.0.0.0:53".parse().unwrap(), key: None },
        ];
        assert_eq!(
            shown(&targets(&org, &Zones::default(), &keys, &configured, |_| false)),
            [
                "192.0.2.2:53 192.0.2.1.192.0.2.2._transfer.example.org.",
                "192.0.2.2:5300 -",
                "192.0.2.3:53 192.0.2.1.192.0.2.3._transfer.org.",
                "192.0.2.5:53 k.",
            ]
        );
    }
}
