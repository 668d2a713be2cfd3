//! The arguments for the network of a machine: `--ip`, `--gateway`, `--accept-ra` and `--vlan`.
//!
//! Each argument is first parsed on its own. Combinations are checked when all arguments are known, so their order does
//! not matter. IPv6 is off unless an IPv6 address or `--accept-ra=yes` enables it: the address of a server is published
//! in zones, so it should never be one that nobody chose.

use crate::dns::message::PORT;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{ArgumentError, error};

/// The maximum number of configured addresses, including a lease; the network stack has additional room for those from
/// router advertisements.
const MAX_ADDRESSES: usize = 5;

/// An address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The host's own address.
    pub address: IpAddr,
    /// The length of the network prefix, in bits, 1 to 32 or to 128.
    pub prefix: u8,
}

/// The network configuration of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// The static addresses, in the given order.
    pub addresses: Vec<Cidr>,
    /// Whether to request an IPv4 address, a router and name servers by DHCP (RFC 2131).
    pub dhcp: bool,
    /// The default routers, at most one per family.
    pub gateways: Vec<IpAddr>,
    /// Whether to accept IPv6 addresses, routers and name servers from router advertisements (RFC 4861, RFC 4862).
    pub accept_ra: bool,
    /// The VLAN tag of its frames (IEEE 802.1Q), 1 to 4094.
    pub vlan: Option<u16>,
}

/// A comma-separated part of an `--ip` argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Dhcp,
    Static(Cidr),
}

/// The given arguments.
#[derive(Debug, Default)]
pub(super) struct Given {
    sources: Vec<Source>,
    gateways: Vec<IpAddr>,
    pub(super) accept_ra: bool,
    pub(super) vlan: Option<u16>,
}

impl Given {
    /// Adds the value of `--ip`.
    pub(super) fn add_sources(&mut self, value: &str) -> Result<(), String> {
        value.split(',').try_for_each(|part| self.add_source(part))
    }

    /// Adds the value of `--gateway`.
    pub(super) fn add_gateways(&mut self, value: &str) -> Result<(), String> {
        value.split(',').try_for_each(|part| self.add_gateway(part))
    }

    fn add_source(&mut self, part: &str) -> Result<(), String> {
        let source = match part {
            "dhcp" => Source::Dhcp,
            _ => Source::Static(part.parse()?),
        };
        let same = |other: &Source| match (source, other) {
            (Source::Dhcp, Source::Dhcp) => true,
            (Source::Static(ours), Source::Static(other)) => ours.address == other.address,
            _ => false,
        };
        if self.sources.iter().any(same) {
            return Err(format!("gives {} twice; give it only once", part.escape_debug()));
        }
        if self.sources.len() >= MAX_ADDRESSES {
            return Err(format!("is one address too many; a machine has at most {MAX_ADDRESSES}"));
        }
        self.sources.push(source);
        Ok(())
    }

    fn add_gateway(&mut self, part: &str) -> Result<(), String> {
        let gateway: IpAddr =
            part.parse().map_err(|_| "is not an address, such as 192.0.2.1 or fe80::1".to_string())?;
        if self.gateways.iter().any(|other| other.is_ipv4() == gateway.is_ipv4()) {
            return Err(format!("is a second {} router; give only one", family(gateway)));
        }
        self.gateways.push(gateway);
        Ok(())
    }

    /// Returns the network configuration; the error is an argument that is missing or contradicts another.
    pub(super) fn finish(self) -> Result<Network, ArgumentError> {
        let mut network =
            Network { gateways: self.gateways, accept_ra: self.accept_ra, vlan: self.vlan, ..Network::default() };
        for source in self.sources {
            match source {
                Source::Dhcp => network.dhcp = true,
                Source::Static(cidr) => network.addresses.push(cidr),
            }
        }
        if network.addresses.is_empty() && !network.dhcp && !network.accept_ra {
            return Err(error(
                "--ip",
                "is required: this machine's address, such as --ip=192.0.2.53/24 or --ip=2001:db8::53/64, or --ip=dhcp; \
                 or give --accept-ra=yes to use IPv6 prefixes from router advertisements",
            ));
        }
        if network.dhcp
            && let Some(cidr) = network.addresses.iter().find(|cidr| cidr.address.is_ipv4())
        {
            return Err(error(
                "--ip=dhcp",
                format!(
                    "and --ip={cidr} exclude each other, because the lease is the IPv4 address; remove one of them"
                ),
            ));
        }
        network.gateways.iter().try_for_each(|gateway| network.check_gateway(*gateway))?;
        Ok(network)
    }
}

impl Network {
    /// Returns whether IPv6 is enabled.
    #[must_use]
    pub fn has_ipv6(&self) -> bool {
        self.accept_ra || self.addresses.iter().any(|cidr| cidr.address.is_ipv6())
    }

    /// Returns whether IPv4 is enabled.
    #[must_use]
    pub fn has_ipv4(&self) -> bool {
        self.dhcp || self.addresses.iter().any(|cidr| cidr.address.is_ipv4())
    }

    /// Returns the wildcard addresses to listen on.
    pub(super) fn listen(&self) -> Vec<SocketAddr> {
        let v4 = self.has_ipv4().then(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)));
        let v6 = self.has_ipv6().then(|| SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)));
        v4.into_iter().chain(v6).collect()
    }

    /// Returns the machine's addresses if they are all static, and none otherwise.
    pub(super) fn own(&self) -> Vec<IpAddr> {
        if self.dhcp || self.accept_ra {
            return Vec::new();
        }
        self.addresses.iter().map(|cidr| cidr.address).collect()
    }

    fn check_gateway(&self, gateway: IpAddr) -> Result<(), ArgumentError> {
        let wrong = |reason: String| Err(error(&format!("--gateway={gateway}"), reason));
        if !is_host(gateway) {
            return wrong("cannot be the address of a router".to_string());
        }
        if self.addresses.iter().any(|cidr| cidr.address == gateway) {
            return wrong("is this machine's own address; give that of the router".to_string());
        }
        match gateway {
            IpAddr::V4(_) if self.dhcp => wrong(
                "is not needed with --ip=dhcp, because the DHCP server announces the router; remove it".to_string(),
            ),
            IpAddr::V6(_) if !self.has_ipv6() => wrong(
                "is an IPv6 router, but there is neither an IPv6 --ip nor --accept-ra=yes; add one of them".to_string(),
            ),
            IpAddr::V6(address) if address.is_unicast_link_local() => Ok(()),
            _ if self.addresses.iter().any(|cidr| cidr.contains(gateway)) => Ok(()),
            _ => {
                let same = self.addresses.iter().filter(|cidr| cidr.address.is_ipv4() == gateway.is_ipv4());
                let networks: Vec<String> = same.map(|cidr| format!("--ip={cidr}")).collect();
                let link_local = if gateway.is_ipv6() { "; or give its link-local address, fe80::…" } else { "" };
                if networks.is_empty() {
                    return wrong(format!(
                        "is not in any network, because there is no {} --ip; add one{link_local}",
                        family(gateway)
                    ));
                }
                let networks = networks.join(" and ");
                wrong(format!("is outside the network of {networks}; the router must be inside it{link_local}"))
            }
        }
    }
}

/// Formats the configured addresses for the log.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dhcp = self.dhcp.then(|| "DHCP".to_string());
        let configured = self.addresses.iter().map(Cidr::to_string);
        let advertised = self.accept_ra.then(|| "router advertisements".to_string());
        let parts: Vec<String> = dhcp.into_iter().chain(configured).chain(advertised).collect();
        f.write_str(&parts.join(", "))
    }
}

impl Cidr {
    /// Returns whether `address` is in this network.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let common = match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => (ours.to_bits() ^ other.to_bits()).leading_zeros(),
            (IpAddr::V6(ours), IpAddr::V6(other)) => (ours.to_bits() ^ other.to_bits()).leading_zeros(),
            _ => return false,
        };
        common >= u32::from(self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((address, prefix)) = text.split_once('/') else {
            return Err(match text.parse() {
                Ok(IpAddr::V4(address)) => format!("has no prefix length; write it as {address}/24"),
                Ok(IpAddr::V6(address)) => format!("has no prefix length; write it as {address}/64"),
                Err(_) => "is not an address with a prefix length, such as 192.0.2.53/24, nor dhcp".to_string(),
            });
        };
        let address: IpAddr = address.parse().map_err(|_| {
            "is not an address with a prefix length, such as 192.0.2.53/24 or 2001:db8::53/64, nor dhcp".to_string()
        })?;
        let prefix = super::values::parse_number(prefix, 1, if address.is_ipv4() { 32 } else { 128 })
            .map_err(|reason| format!("has a prefix length that {reason}"))?;
        let cidr = Cidr { address, prefix };
        match address {
            _ if !is_host(address) => Err("cannot be the address of a machine".to_string()),
            IpAddr::V4(address) => {
                // RFC 3021: a network of 31 bits has neither a network nor a broadcast address.
                let mask = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
                let host = address.to_bits() & mask;
                if prefix < 31 && (host == 0 || host == mask) {
                    return Err(
                        "is the address of the network itself or its broadcast address; give that of a machine"
                            .to_string(),
                    );
                }
                Ok(cidr)
            }
            IpAddr::V6(address) => {
                if address.is_unicast_link_local() {
                    return Err("is a link-local address, which the machine configures itself; remove it".to_string());
                }
                if address.to_ipv4_mapped().is_some() {
                    return Err("is an IPv4-mapped IPv6 address; write the IPv4 address".to_string());
                }
                // RFC 4291 §2.6.1; RFC 6164: not on a point-to-point link.
                let mask = u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
                if prefix < 127 && address.to_bits() & mask == 0 {
                    return Err(
                        "is the anycast address of all routers of the network; give that of a machine".to_string()
                    );
                }
                Ok(cidr)
            }
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Returns whether a single host can have the address.
fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !matches!(address.octets(), [0 | 127 | 224.., ..]),
        IpAddr::V6(address) => !address.is_unspecified() && !address.is_loopback() && !address.is_multicast(),
    }
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

#[cfg(test)]
mod tests {
    use super::super::{Command, Host, parse};
    use super::*;

    fn network(words: &[(&str, &str)]) -> Result<Network, String> {
        let words = words.iter().map(|(name, value)| format!("--{name}={value}"));
        let remote = "--git-remote=git://192.0.2.1/zones".to_string();
        match parse(Host::Machine, words.chain([remote])).map_err(|error| error.to_string())? {
            Command::Serve(config) => Ok(config.network.unwrap()),
            Command::Help(text) => panic!("{text}"),
        }
    }

    #[test]
    fn addresses_of_both_families() {
        let apart = network(&[("ip", "192.0.2.53/24"), ("ip", "2001:db8::53/64"), ("gateway", "192.0.2.1")]).unwrap();
        let mut together = network(&[("gateway", "192.0.2.1"), ("ip", "192.0.2.53/24,2001:db8::53/64")]).unwrap();
        assert_eq!(apart, together);
        assert_eq!(apart.to_string(), "192.0.2.53/24, 2001:db8::53/64");
        assert_eq!(apart.listen(), ["0.0.0.0:53".parse().unwrap(), "[::]:53".parse().unwrap()]);
        assert!(!apart.dhcp && !apart.accept_ra && apart.vlan.is_none());
        together = network(&[("ip", "192.0.2.53/32,198.51.100.1/31"), ("gateway", "198.51.100.0")]).unwrap();
        assert_eq!(together.listen(), ["0.0.0.0:53".parse().unwrap()]);
        assert_eq!(together.own().len(), 2);
    }

    #[test]
    fn dhcp_and_router_advertisements_replace_addresses() {
        let dhcp =
            network(&[("ip", "dhcp"), ("ip", "2001:db8::53/64"), ("gateway", "fe80::1"), ("vlan", "7")]).unwrap();
        assert!(dhcp.dhcp && dhcp.has_ipv4() && dhcp.has_ipv6() && !dhcp.accept_ra);
        assert_eq!((dhcp.vlan, dhcp.to_string().as_str()), (Some(7), "DHCP, 2001:db8::53/64"));
        assert!(dhcp.own().is_empty(), "a lease may be any address");
        let advertised = network(&[("accept-ra", "yes")]).unwrap();
        assert!(!advertised.has_ipv4() && advertised.has_ipv6());
        assert_eq!(advertised.listen(), ["[::]:53".parse().unwrap()]);
        assert!(!network(&[("ip", "dhcp"), ("accept-ra", "no")]).unwrap().has_ipv6());
    }

    #[test]
    fn invalid_combinations_are_reported() {
        let ours = ("ip", "192.0.2.53/24,2001:db8::53/64");
        for (words, reason) in [
            (&[("vlan", "7")][..], "argument --ip: is required: this machine's address, such as --ip=192.0.2.53/24"),
            (&[("accept-ra", "no")], "--accept-ra=yes"),
            (&[("ip", "dhcp,192.0.2.53/24")], "argument --ip=dhcp: and --ip=192.0.2.53/24 exclude each other"),
            (&[("ip", "dhcp"), ("ip", "dhcp")], "gives dhcp twice"),
            (&[("ip", "192.0.2.53/24,192.0.2.53/25")], "gives 192.0.2.53/25 twice"),
            (&[("ip", "10.0.0.1/8,10.0.0.2/8,10.0.0.3/8,10.0.0.4/8,10.0.0.5/8,10.0.0.6/8")], "has at most 5"),
            (&[("ip", "dhcp"), ("gateway", "192.0.2.1")], "the DHCP server announces the router"),
            (&[ours, ("gateway", "192.0.3.1")], "outside the network of --ip=192.0.2.53/24; the router must be inside"),
            (&[ours, ("gateway", "2001:db9::1")], "outside the network of --ip=2001:db8::53/64; the router"),
            (&[ours, ("gateway", "192.0.2.53")], "this machine's own address"),
            (&[ours, ("gateway", "ff02::2")], "cannot be the address of a router"),
            (&[ours, ("gateway", "192.0.2.1,192.0.2.2")], "is a second IPv4 router"),
            (&[("ip", "192.0.2.53/24"), ("gateway", "fe80::1")], "there is neither an IPv6 --ip nor --accept-ra=yes"),
            (&[("accept-ra", "yes"), ("gateway", "192.0.2.1")], "is not in any network, because there is no IPv4 --ip"),
            (&[("accept-ra", "yes"), ("gateway", "2001:db8::1")], "or give its link-local address"),
            (&[ours, ("gateway", "router")], "is not an address, such as 192.0.2.1 or fe80::1"),
            (&[("accept-ra", "maybe")], "is neither yes nor no"),
            (&[("accept-ra", "yes"), ("accept-ra", "no")], "is given twice"),
            (&[("vlan", "4095")], "is not a number from 1 to 4094"),
        ] {
            let text = network(words).unwrap_err();
            assert!(text.contains(reason), "{words:?}: {text}");
        }
    }

    #[test]
    fn addresses_that_no_machine_can_have_are_rejected() {
        for (text, reason) in [
            ("10.0.0.2", "write it as 10.0.0.2/24"),
            ("2001:db8::2", "write it as 2001:db8::2/64"),
            ("10.0.0.2/33", "prefix length that is not a number from 1 to 32"),
            ("2001:db8::2/129", "prefix length that is not a number from 1 to 128"),
            ("10.0.0.0/24", "the network itself"),
            ("10.0.0.255/24", "broadcast"),
            ("127.0.0.1/8", "cannot be the address of a machine"),
            ("255.255.255.255/32", "cannot be the address of a machine"),
            ("::1/128", "cannot be the address of a machine"),
            ("ff02::1/64", "cannot be the address of a machine"),
            ("fe80::1/64", "link-local"),
            ("::ffff:192.0.2.1/96", "write the IPv4 address"),
            ("2001:db8::/64", "all routers"),
            ("ten/24", "is not an address with a prefix length"),
            ("DHCP", "nor dhcp"),
        ] {
            let error = text.parse::<Cidr>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        for text in ["10.0.0.0/31", "10.0.0.255/32", "2001:db8::/127", "2001:db8::1/1"] {
            assert!(text.parse::<Cidr>().is_ok(), "{text}");
        }
    }
}
