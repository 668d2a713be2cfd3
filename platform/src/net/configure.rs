//! Which addresses and routers we have: what the arguments say, or what the network tells.
//!
//! A `Configuration` lives on the network thread. It is shown every frame the fast path did not answer, sends whole
//! frames of its own, and says what holds now; `Stack::configure` then makes it so.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::discover::NetError;
use super::link::{Link, is_host};
use super::stack::{Machine, Nanos};
use crate::virtio::net::Transmit;

/// How this machine is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetConfig {
    /// Our addresses, with the lengths of their networks' prefixes in bits.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The routers to everywhere else: one of each family counts.
    pub gateways: Vec<IpAddr>,
    /// Whether a DHCP server gives an IPv4 address.
    pub dhcp: bool,
    /// Whether router advertisements give IPv6 addresses and routers.
    pub accept_ra: bool,
    /// The VLAN we live in (IEEE 802.1Q), 1 to 4094; without one, frames carry no tag.
    pub vlan: Option<u16>,
}

impl NetConfig {
    /// Returns what is wrong with it.
    pub(super) fn check(&self) -> Result<(), NetError> {
        if self.addresses.is_empty() && !self.dhcp && !self.accept_ra {
            return Err(NetError::Address);
        }
        if !self.addresses.iter().all(|(address, prefix)| is_host(*address, *prefix)) {
            return Err(NetError::Address);
        }
        let mut link = Link::new([0; 6], 0);
        link.set(&Setting { addresses: self.addresses.clone(), ..Setting::default() });
        let reached = |gateway: &IpAddr| {
            // What gives an address gives its network, too.
            let unknown = if gateway.is_ipv4() { self.dhcp } else { self.accept_ra };
            !link.is_own(*gateway) && (link.is_local(*gateway) || unknown)
        };
        if !self.gateways.iter().all(|gateway| is_host(*gateway, 0) && reached(gateway)) {
            return Err(NetError::Gateway);
        }
        if self.vlan.is_some_and(|vlan| !(1..=4094).contains(&vlan)) {
            return Err(NetError::Vlan);
        }
        Ok(())
    }
}

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

/// What the network thread knows of its configuration.
pub(super) struct Configuration {
    setting: Option<Setting>,
}

impl Configuration {
    /// Begins; `link` has no addresses yet.
    pub(super) fn new(config: &NetConfig, link: &Link, machine: Machine) -> Self {
        let _ = (link, machine);
        let NetConfig { addresses, gateways, .. } = config.clone();
        Self { setting: Some(Setting { addresses, gateways, mtu: None }) }
    }

    /// Tells that the link came up, or went down. Devices that cannot tell are up from the beginning.
    pub(super) fn link(&mut self, up: bool) {
        let _ = up;
    }

    /// Looks at a frame, without VLAN tag, before the stack does; returns whether it was for the configuration alone.
    pub(super) fn receive(&mut self, frame: &[u8]) -> bool {
        let _ = frame;
        false
    }

    /// Sends what is due, in whole frames without VLAN tag.
    pub(super) fn transmit(&mut self, transmit: &mut impl Transmit) {
        let _ = transmit;
    }

    /// Returns when [`transmit`](Self::transmit) has to be called next, at the latest.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        None
    }

    /// Returns what holds, if that changed since it was asked last.
    pub(super) fn changed(&mut self) -> Option<Setting> {
        self.setting.take()
    }
}
