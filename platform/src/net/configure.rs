//! Which addresses and routers we have: what the arguments say, or what the network tells.
//!
//! A `Configuration` lives on the network thread. It is shown every frame the fast path did not answer, sends whole
//! frames of its own, and says what holds now; `Stack::configure` then makes it so. It brings together a DHCP client
//! (`dhcp`, `message`), what routers advertise (`routers`, `advertisement`) and the arguments. What happened
//! (`events`) and which name servers there are goes to a board that applications read (`board`).
//!
//! The machine is up whatever the network says: without a lease it asks on, and a lease that ends takes its address
//! and the connections from it along, but no listener.

mod advertisement;
pub(crate) mod board;
mod dhcp;
mod events;
mod message;
mod patience;
mod routers;

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use self::advertisement::Advertisement;
use self::board::{News, Readiness};
use self::dhcp::Client;
pub use self::events::{Lease, NetEvent, Severity};
use self::message::Reply;
use self::routers::Routers;
use super::error::NetError;
use super::link::{Link, Setting, is_host};
use super::machine::{Machine, Nanos};
use crate::drivers::nic::Transmit;

/// The least MTU that a network may tell: of IPv4 (RFC 791 §3.2), and with IPv6 (RFC 8200 §5).
const LEAST_MTU: usize = 576;
const LEAST_MTU_IPV6: usize = 1280;
/// The length of the prefix of link-local addresses (RFC 4291 §2.5.6).
const LINK_LOCAL_PREFIX: u8 = 64;
/// The most events kept until somebody takes them.
const EVENTS: usize = 64;

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

/// What the network thread knows of its configuration.
pub(super) struct Configuration {
    machine: Machine,
    config: NetConfig,
    hardware: [u8; 6],
    link_local: Ipv6Addr,
    mtu: usize,
    up: bool,
    dhcp: Option<Client>,
    routers: Option<Routers>,
    events: Vec<NetEvent>,
    /// What was said to hold, and whether something may have changed since.
    setting: Option<Setting>,
    unsettled: bool,
    news: bool,
    /// When there is something to do.
    due: Nanos,
}

impl Configuration {
    /// Begins; `link` has no addresses yet.
    pub(super) fn new(config: &NetConfig, link: &Link, machine: Machine) -> Self {
        let now = (machine.clock)();
        let (hardware, mtu, link_local) = (link.hardware, link.mtu, link.link_local());
        Self {
            machine,
            config: config.clone(),
            hardware,
            link_local,
            mtu,
            up: true,
            dhcp: config.dhcp.then(|| Client::new(hardware, mtu, machine.random, now)),
            routers: config.accept_ra.then(|| Routers::new(hardware, link_local, now)),
            events: Vec::new(),
            setting: None,
            unsettled: true,
            news: true,
            due: now,
        }
    }

    /// Tells that the link came up, or went down. Devices that cannot tell are up from the beginning.
    pub(super) fn link(&mut self, up: bool) {
        if up == self.up {
            return;
        }
        self.up = up;
        let now = (self.machine.clock)();
        self.events.push(if up { NetEvent::LinkUp } else { NetEvent::LinkDown });
        if up {
            // It may be another network.
            self.dhcp.iter_mut().for_each(|client| client.link_up(now));
            self.routers.iter_mut().for_each(|routers| routers.link_up(now));
        }
        (self.news, self.due) = (true, now);
    }

    /// Looks at a frame, without VLAN tag, before the stack does; returns whether it was for the configuration alone.
    pub(super) fn receive(&mut self, frame: &[u8]) -> bool {
        let now = (self.machine.clock)();
        let taken = if let Some(client) = &mut self.dhcp
            && let Some(reply) = Reply::parse(frame, self.hardware)
        {
            client.receive(reply, now, &mut self.events);
            true
        } else if let Some(routers) = &mut self.routers
            && let Some(advertisement) = Advertisement::parse(frame)
        {
            routers.receive(&advertisement, now, &mut self.events);
            true
        } else {
            false
        };
        if taken {
            (self.unsettled, self.news, self.due) = (true, true, now);
        }
        taken
    }

    /// Sends what is due, in whole frames without VLAN tag.
    pub(super) fn transmit(&mut self, transmit: &mut impl Transmit) {
        let now = (self.machine.clock)();
        if now < self.due {
            return;
        }
        let Self { dhcp, routers, events, up, .. } = self;
        let before = events.len();
        let mut due = Nanos::MAX;
        if let Some(client) = dhcp {
            client.transmit(now, *up, transmit, events);
            due = due.min(client.deadline(*up));
        }
        if let Some(routers) = routers {
            routers.transmit(now, *up, transmit, events);
            due = due.min(routers.deadline(*up));
        }
        self.news |= events.len() > before;
        (self.unsettled, self.due) = (true, due);
    }

    /// Returns when [`transmit`](Self::transmit) has to be called next, at the latest.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        (self.due < Nanos::MAX).then_some(self.due)
    }

    /// Returns what holds, if that changed since it was asked last.
    pub(super) fn changed(&mut self) -> Option<Setting> {
        if !core::mem::take(&mut self.unsettled) {
            return None;
        }
        let setting = self.current();
        if self.setting.as_ref() == Some(&setting) {
            return None;
        }
        self.setting = Some(setting.clone());
        Some(setting)
    }

    /// Returns what is to be told since it was asked last.
    pub(super) fn news(&mut self) -> Option<News> {
        if !core::mem::take(&mut self.news) {
            return None;
        }
        let mut events = core::mem::take(&mut self.events);
        events.truncate(EVENTS);
        Some(News { events, nameservers: self.nameservers(), readiness: self.readiness() })
    }

    fn current(&self) -> Setting {
        let NetConfig { mut addresses, mut gateways, .. } = self.config.clone();
        let mut mtu = self.mtu;
        if let Some(lease) = self.dhcp.as_ref().and_then(Client::lease) {
            addresses.push((lease.address.into(), lease.prefix));
            gateways.extend(lease.router.map(IpAddr::V4));
            mtu = mtu.min(lease.mtu.map(usize::from).filter(|told| *told >= LEAST_MTU).unwrap_or(mtu));
        }
        if let Some(routers) = &self.routers {
            addresses.extend(routers.addresses().map(|(address, prefix)| (address.into(), prefix)));
            // Routers are asked from this address before there is any other.
            addresses.push((self.link_local.into(), LINK_LOCAL_PREFIX));
            gateways.extend(routers.router().map(IpAddr::V6));
            mtu = mtu.min(routers.mtu().unwrap_or(mtu));
        }
        if addresses.iter().any(|(address, _)| address.is_ipv6()) {
            mtu = mtu.max(LEAST_MTU_IPV6);
        }
        Setting { addresses, gateways, mtu: (mtu < self.mtu).then_some(mtu) }
    }

    fn nameservers(&self) -> Vec<IpAddr> {
        let leased = self.dhcp.iter().filter_map(Client::lease).flat_map(|lease| &lease.nameservers);
        let advertised = self.routers.iter().flat_map(Routers::nameservers);
        leased.copied().map(IpAddr::V4).chain(advertised.map(IpAddr::V6)).collect()
    }

    fn readiness(&self) -> Readiness {
        let leased = self.dhcp.as_ref().map(|client| client.lease().is_some());
        let advertised = self.routers.as_ref().map(|routers| routers.addresses().next().is_some());
        let told = (!self.config.addresses.is_empty()).then_some(true);
        let sources = [told, leased, advertised];
        let mut sources = sources.into_iter().flatten();
        match (sources.clone().all(|ready| ready), sources.any(|ready| ready)) {
            (true, _) => Readiness::All,
            (_, true) => Readiness::Some,
            _ => Readiness::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::advertisement::tests::{ROUTER, advertise, nameservers, prefix};
    use super::message::tests::reply;
    use super::*;
    use crate::net::responder::tests::Wire;
    use core::net::Ipv4Addr;
    use std::string::ToString;

    const OURS: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
    const MACHINE: Machine = Machine { clock: || 5, random: |bytes| bytes.fill(7) };
    const DNS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 3);

    fn configuration(config: NetConfig) -> Configuration {
        config.check().unwrap();
        Configuration::new(&config, &Link::new(OURS, 1500), MACHINE)
    }

    fn text(setting: &Setting) -> Vec<std::string::String> {
        setting.addresses.iter().map(|(address, prefix)| std::format!("{address}/{prefix}")).collect()
    }

    #[test]
    fn addresses_told_hold_from_the_beginning() {
        let addresses = vec![("192.0.2.53".parse().unwrap(), 24), ("2001:db8::53".parse().unwrap(), 64)];
        let gateways: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap(), "fe80::1".parse().unwrap()];
        let mut told = configuration(NetConfig { addresses, gateways: gateways.clone(), ..NetConfig::default() });
        let setting = told.changed().unwrap();
        assert_eq!(
            (text(&setting), setting.gateways),
            (vec!["192.0.2.53/24".into(), "2001:db8::53/64".into()], gateways)
        );
        assert_eq!(told.news().unwrap().readiness, Readiness::All);
        assert!(told.changed().is_none() && told.news().is_none());
        let mut wire = Wire::new(9);
        told.transmit(&mut wire);
        assert!(wire.sent.is_empty() && told.deadline().is_none());
        // What routers and servers say is not for those who did not ask.
        assert!(!told.receive(&advertise(ROUTER, 1800, 0, &[&prefix(DNS, 600, 300)])));
        assert!(!told.receive(&reply(5, 0x0707_0707, Ipv4Addr::new(10, 0, 0, 9), &[])));
        told.link(true);
        assert!(told.news().is_none(), "it was up");
        told.link(false);
        assert_eq!(told.news().unwrap().events, [NetEvent::LinkDown]);
    }

    #[test]
    fn both_ways_of_being_told_come_together() {
        let gateways = vec!["fe80::9".parse().unwrap()];
        let mut both = configuration(NetConfig { dhcp: true, accept_ra: true, gateways, ..NetConfig::default() });
        assert_eq!(text(&both.changed().unwrap()), ["fe80::5054:ff:fe12:3456/64"]);
        assert_eq!(both.news().unwrap().readiness, Readiness::None);
        let mut wire = Wire::new(9);
        both.transmit(&mut wire);
        assert_eq!(wire.sent.len(), 2, "a discovery and a solicitation");

        let prefix = prefix(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0), 600, 300);
        let mtu = [5, 1, 0, 0, 0, 0, 5, 120];
        assert!(both.receive(&advertise(ROUTER, 1800, 0, &[&prefix, &mtu, &nameservers(&[DNS], 600)])));
        let address = Ipv4Addr::new(192, 0, 2, 7);
        let options: [&[u8]; 3] = [
            &[1, 4, 255, 255, 255, 0, 51, 4, 0, 0, 14, 16],
            &[3, 4, 192, 0, 2, 1],
            &[6, 4, 192, 0, 2, 2, 26, 2, 2, 88],
        ];
        assert!(both.receive(&reply(2, 0x0707_0707, address, &options)));
        both.transmit(&mut wire);
        assert!(both.receive(&reply(5, 0x0707_0707, address, &options)));
        let setting = both.changed().unwrap();
        assert_eq!(text(&setting), ["192.0.2.7/24", "2001:db8:0:1:5054:ff:fe12:3456/64", "fe80::5054:ff:fe12:3456/64"]);
        let gateways: Vec<_> = setting.gateways.iter().map(ToString::to_string).collect();
        assert_eq!(gateways, ["fe80::9", "192.0.2.1", "fe80::1"], "what was told comes first");
        assert_eq!(setting.mtu, Some(1280), "IPv6 allows no less");
        let news = both.news().unwrap();
        let servers: Vec<_> = news.nameservers.iter().map(ToString::to_string).collect();
        assert_eq!((news.readiness, servers), (Readiness::All, vec!["192.0.2.2".into(), DNS.to_string()]));
        assert!(both.deadline().is_some());
    }
}
