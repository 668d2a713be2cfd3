//! Who we are on the link: the hardware address, IP addresses with their networks, routers.
//!
//! A `Link` is a value. The stack owns the one that holds; the network thread keeps a copy for the fast path and takes
//! a new one whenever the configuration changed.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses and routers that hold now, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Setting {
    /// Our addresses with the lengths of their prefixes, the one to prefer first. The link-local address is added to
    /// other IPv6 addresses; without any it must be among them to be had ([`Link::link_local`]).
    pub(super) addresses: Vec<(IpAddr, u8)>,
    /// The routers to everywhere else, the one to prefer first.
    pub(super) gateways: Vec<IpAddr>,
    /// The largest IP packet the network carries, in bytes, where it said so and it is less than the device's.
    pub(super) mtu: Option<usize>,
}

/// The most addresses of our own, the link-local one among them: what the stack's tables hold.
pub(crate) const ADDRESS_LIMIT: usize = 8;
/// The least MTU believed of what a network says: of IPv4, by which DNS still works (RFC 791 §3.2), and of IPv6
/// (RFC 8200 §5).
const LEAST_MTU: usize = 576;
const LEAST_MTU_V6: usize = 1280;
/// The length of the prefix of link-local addresses (RFC 4291 §2.5.6).
const LINK_LOCAL_PREFIX: u8 = 64;

/// Who we are on the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Our hardware address.
    pub(crate) hardware: [u8; 6],
    /// The largest IP packet, in bytes.
    pub(crate) mtu: usize,
    /// The largest the device carries.
    device_mtu: usize,
    /// Our addresses with the lengths of their networks' prefixes, the one to prefer first.
    pub(crate) addresses: Vec<(IpAddr, u8)>,
    /// The routers to everywhere else, at most one of each family.
    pub(crate) gateways: Vec<IpAddr>,
}

impl Link {
    /// Makes a link without addresses.
    pub(crate) fn new(hardware: [u8; 6], mtu: usize) -> Self {
        Self { hardware, mtu, device_mtu: mtu, addresses: Vec::new(), gateways: Vec::new() }
    }

    /// Takes over a setting.
    ///
    /// With the first IPv6 address comes the link-local one, which neighbour discovery needs (RFC 4291 §2.8). What
    /// cannot be a host's address is left out, and of the routers the first of each family stays.
    pub(super) fn set(&mut self, Setting { addresses, gateways, mtu }: &Setting) {
        let least = if addresses.iter().any(|(address, _)| address.is_ipv6()) { LEAST_MTU_V6 } else { LEAST_MTU };
        self.mtu = mtu.map_or(self.device_mtu, |mtu| mtu.max(least).min(self.device_mtu));
        self.addresses.clear();
        let own = (IpAddr::V6(self.link_local()), LINK_LOCAL_PREFIX);
        let link_local = addresses.iter().any(|(address, _)| address.is_ipv6()).then_some(own);
        for (address, prefix) in addresses.iter().copied().chain(link_local) {
            let known = self.addresses.iter().any(|(known, _)| *known == address);
            if !known && is_host(address, prefix) && self.addresses.len() < ADDRESS_LIMIT {
                self.addresses.push((address, prefix));
            }
        }
        self.gateways.clear();
        for gateway in gateways {
            let second = self.gateways.iter().any(|known| known.is_ipv4() == gateway.is_ipv4());
            if !second && self.is_peer(*gateway) {
                self.gateways.push(*gateway);
            }
        }
    }

    /// Returns the address of this interface that holds on this link alone, made of the hardware address.
    pub(crate) fn link_local(&self) -> Ipv6Addr {
        with_interface_identifier(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), self.hardware)
    }

    /// Returns whether `address` is one of ours.
    #[inline]
    pub(crate) fn is_own(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(own, _)| *own == address)
    }

    /// Returns whether we have an address of this family.
    pub(crate) fn speaks(&self, v6: bool) -> bool {
        self.addresses.iter().any(|(own, _)| own.is_ipv6() == v6)
    }

    /// Returns whether `address` can be one peer's own address: no broadcast, no multicast, not ours.
    #[inline]
    pub(crate) fn is_peer(&self, address: IpAddr) -> bool {
        is_unicast(address) && !self.is_own(address) && !self.is_broadcast(address)
    }

    /// Returns whether `address` is on a network of ours.
    pub(crate) fn is_local(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(own, prefix)| is_within(address, *own, *prefix))
    }

    /// Returns whether `address` is the broadcast address of a network of ours, or of all.
    #[inline]
    pub(crate) fn is_broadcast(&self, address: IpAddr) -> bool {
        let IpAddr::V4(v4) = address else { return false };
        v4 == Ipv4Addr::BROADCAST || self.addresses.iter().any(|network| is_broadcast_of(v4, *network))
    }

    /// Returns which of our addresses speaks to `address`, by the rules of RFC 6724 §5 that apply to us.
    pub(crate) fn source_for(&self, address: IpAddr) -> Option<IpAddr> {
        let scope = is_link_local(address);
        let rank = |(own, prefix): (IpAddr, u8)| {
            let hop = self.gateway(address).is_some_and(|gateway| is_within(gateway, own, prefix));
            (
                is_within(address, own, prefix),
                is_unique_local(address) == is_unique_local(own),
                hop,
                common(address, own),
            )
        };
        let mut best: Option<(IpAddr, u8)> = None;
        for network in self.addresses.iter().copied() {
            let fits = network.0.is_ipv6() == address.is_ipv6() && is_link_local(network.0) == scope;
            // Of equals the first stays.
            if fits && best.is_none_or(|best| rank(network) > rank(best)) {
                best = Some(network);
            }
        }
        best.map(|(own, _)| own)
    }

    /// Returns the router to `address`, which is on no network of ours.
    pub(crate) fn gateway(&self, address: IpAddr) -> Option<IpAddr> {
        self.gateways.iter().copied().find(|gateway| gateway.is_ipv4() == address.is_ipv4())
    }

    /// Returns who a packet to `address` is handed to, if anybody.
    pub(crate) fn next_hop(&self, address: IpAddr) -> Option<IpAddr> {
        if self.is_local(address) { Some(address) } else { self.gateway(address).filter(|_| !is_link_local(address)) }
    }
}

/// Returns whether `address` can be a host's in a network whose prefix is `prefix` bits long.
pub(crate) fn is_host(address: IpAddr, prefix: u8) -> bool {
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let broadcast = matches!(address, IpAddr::V4(v4) if is_broadcast_of(v4, (address, prefix)));
    prefix <= bits && is_unicast(address) && !broadcast
}

/// Returns how many of their first bits two IPv6 addresses share. Of IPv4 ones only the network counts.
fn common(a: IpAddr, b: IpAddr) -> u32 {
    match (a, b) {
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => 0,
    }
}

fn is_unique_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unique_local())
}

/// Returns whether two addresses agree in their first `prefix` bits.
pub(crate) fn is_within(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            (a.to_bits() ^ b.to_bits()) & mask == 0
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            (a.to_bits() ^ b.to_bits()) & mask == 0
        }
        _ => false,
    }
}

/// Returns the address in the network of `prefix` (64 bits) that the hardware address makes (RFC 4291, appendix A).
pub(crate) fn with_interface_identifier(prefix: Ipv6Addr, hardware: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = hardware;
    let identifier = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Addr::from_bits(prefix.to_bits() >> 64 << 64 | u128::from(identifier))
}

/// Returns whether `address` holds on one link only, so that no router is asked to lead there.
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let first = v4.octets()[0];
            first != 0 && first != 127 && first < 224
        }
        // An IPv4 address in IPv6's clothes must not appear on a wire (RFC 4942 §2.2).
        IpAddr::V6(v6) => {
            !v6.is_unspecified() && !v6.is_loopback() && !v6.is_multicast() && v6.to_ipv4_mapped().is_none()
        }
    }
}

fn is_broadcast_of(address: Ipv4Addr, (own, prefix): (IpAddr, u8)) -> bool {
    // Networks of one or two addresses have no broadcast address (RFC 3021).
    let hosts = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    prefix < 31 && is_within(address.into(), own, prefix) && address.to_bits() & hosts == hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn link(addresses: &[(&str, u8)]) -> Link {
        let mut link = Link::new([0x52, 0x54, 0, 0x12, 0x34, 0x56], 1500);
        link.set(&setting(addresses, &[]));
        link
    }

    fn setting(addresses: &[(&str, u8)], gateways: &[&str]) -> Setting {
        Setting {
            addresses: addresses.iter().map(|(address, prefix)| (ip(address), *prefix)).collect(),
            gateways: gateways.iter().map(|gateway| ip(gateway)).collect(),
            mtu: None,
        }
    }

    #[test]
    fn broadcast_addresses_of_networks() {
        let is_broadcast = |prefix, address| link(&[("10.0.2.15", prefix)]).is_broadcast(ip(address));
        assert!(is_broadcast(24, "10.0.2.255"));
        assert!(!is_broadcast(24, "10.0.3.255"));
        assert!(!is_broadcast(31, "10.0.2.255"));
        assert!(!link(&[("2001:db8::1", 64)]).is_broadcast(ip("2001:db8::ffff:ffff:ffff:ffff")));
        assert!(link(&[("10.0.2.15", 0)]).is_local(ip("1.2.3.4")));
        assert!(!link(&[("10.0.2.15", 32)]).is_local(ip("10.0.2.14")));
    }

    #[test]
    fn ipv6_brings_the_link_local_address() {
        assert!(!link(&[("10.0.2.15", 24)]).speaks(true));
        let link = link(&[("10.0.2.15", 24), ("2001:db8::53", 64)]);
        assert!(link.is_own(ip("fe80::5054:ff:fe12:3456")), "{link:?}");
        assert!(link.is_local(ip("fe80::1")) && link.is_local(ip("2001:db8::1")));
    }

    #[test]
    fn no_hosts_are_left_out() {
        let none: [(&str, u8); 8] = [
            ("10.0.2.255", 24),
            ("127.0.0.1", 8),
            ("224.0.0.1", 4),
            ("10.0.0.1", 33),
            ("::", 64),
            ("::1", 128),
            ("ff02::1", 64),
            ("::ffff:10.0.0.1", 96),
        ];
        let link = link(&none);
        assert!(link.addresses.iter().all(|(address, _)| is_link_local(*address)), "{link:?}");
    }

    #[test]
    fn routers_are_of_both_families_and_for_what_is_not_ours() {
        let mut link = link(&[]);
        let both = [("10.0.2.15", 24), ("2001:db8::53", 64)];
        link.set(&setting(&both, &["10.0.2.15", "10.0.2.2", "fe80::1", "10.0.2.3"]));
        assert_eq!(link.gateways, [ip("10.0.2.2"), ip("fe80::1")]);
        assert_eq!(link.next_hop(ip("192.0.2.1")), Some(ip("10.0.2.2")));
        assert_eq!(link.next_hop(ip("10.0.2.9")), Some(ip("10.0.2.9")));
        assert_eq!(link.next_hop(ip("2001:db8:1::1")), Some(ip("fe80::1")));
        link.set(&setting(&both[..1], &["10.0.2.2"]));
        assert_eq!((link.next_hop(ip("2001:db8:1::1")), link.next_hop(ip("fe80::1"))), (None, None));
    }

    #[test]
    fn sources() {
        let all =
            [("10.0.2.15", 24), ("10.1.0.1", 16), ("2001:db8::53", 64), ("fd00::53", 64), ("2001:db8:0:1::53", 64)];
        let mut link = link(&[]);
        link.set(&setting(&all, &["10.1.0.2"]));
        for (to, from) in [
            ("10.0.2.2", "10.0.2.15"),
            ("10.1.2.2", "10.1.0.1"),
            ("192.0.2.1", "10.1.0.1"),
            ("2001:db8:0:1::1", "2001:db8:0:1::53"),
            ("2600::1", "2001:db8::53"),
            ("fdaa::1", "fd00::53"),
            ("fe80::1", "fe80::5054:ff:fe12:3456"),
        ] {
            assert_eq!(link.source_for(ip(to)), Some(ip(from)), "{to}");
        }
        link.set(&setting(&[("fe80::7", 64)], &[]));
        assert_eq!(link.source_for(ip("2600::1")), None);
    }

    #[test]
    fn networks_lower_the_mtu_within_reason() {
        let mut link = link(&[]);
        for (told, v4, v6) in
            [(None, 1500, 1500), (Some(1400), 1400, 1400), (Some(9000), 1500, 1500), (Some(9), 576, 1280)]
        {
            link.set(&Setting { mtu: told, ..setting(&[("10.0.2.15", 24)], &[]) });
            assert_eq!(link.mtu, v4, "{told:?}");
            link.set(&Setting { mtu: told, ..setting(&[("2001:db8::53", 64)], &[]) });
            assert_eq!(link.mtu, v6, "{told:?}");
        }
    }
}
