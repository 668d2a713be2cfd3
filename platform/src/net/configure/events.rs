//! What happens to the machine's addresses, in words for whoever reads the log.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Something that happened to how the machine is reached. As text it says what, and what to do where something can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetEvent {
    /// The network device says that its link is down.
    LinkDown,
    /// The network device says that its link is up again.
    LinkUp,
    /// A DHCP server leased an address that was not ours before, or other particulars with it.
    Leased(Lease),
    /// A DHCP server leased the same address for longer.
    Renewed(Lease),
    /// The server that leased the address does not renew it; all others are asked.
    NotRenewed {
        /// The address.
        address: Ipv4Addr,
        /// The server.
        server: Ipv4Addr,
        /// Seconds until the lease ends.
        left: u64,
    },
    /// A DHCP server said that the address is not ours, or not any more.
    Refused {
        /// The address we had, or that was offered.
        address: Ipv4Addr,
        /// The server.
        server: Ipv4Addr,
        /// Why, in the server's words; may be empty.
        text: String,
    },
    /// The lease ended and nobody renewed it.
    Expired {
        /// The address we had.
        address: Ipv4Addr,
        /// The server that leased it.
        server: Ipv4Addr,
    },
    /// A DHCP server offers something nobody can use.
    Unusable {
        /// The server.
        server: Ipv4Addr,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No DHCP server has given an address for a while.
    NoLease {
        /// Seconds since we ask.
        waited: u64,
    },
    /// An address was made of an advertised prefix.
    Advertised {
        /// The address.
        address: Ipv6Addr,
        /// The router that advertised it.
        router: Ipv6Addr,
        /// Seconds for which it is valid; `None` for ever.
        lifetime: Option<u64>,
    },
    /// An advertised prefix ended, and the address with it.
    Withdrawn {
        /// The address.
        address: Ipv6Addr,
    },
    /// A router offered to lead everywhere.
    Router {
        /// The router.
        address: Ipv6Addr,
        /// Seconds for which it does.
        lifetime: u64,
    },
    /// A router leads nowhere any more.
    RouterGone {
        /// The router.
        address: Ipv6Addr,
    },
    /// Name servers became known by router advertisements, or were forgotten.
    Nameservers(Vec<IpAddr>),
    /// A router advertises no prefix to make addresses of.
    Unadvertised {
        /// The router.
        router: Ipv6Addr,
        /// Whether it says that addresses are given by DHCPv6.
        managed: bool,
    },
    /// No router has advertised itself for a while.
    NoRouter {
        /// Seconds since we ask.
        waited: u64,
    },
}

/// A lease as the log tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub address: Ipv4Addr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// The server that leased it.
    pub server: Ipv4Addr,
    /// Seconds; `None` for ever.
    pub lifetime: Option<u32>,
    /// The router.
    pub router: Option<Ipv4Addr>,
    /// The name servers.
    pub nameservers: Vec<Ipv4Addr>,
    /// The address that was ours until now, if it was another.
    pub instead_of: Option<Ipv4Addr>,
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It happens all the time.
    Detail,
    /// It is good to know.
    Notice,
    /// Something is to be looked at.
    Warning,
    /// The machine cannot be reached as it was.
    Failure,
}

impl NetEvent {
    /// Returns how much it matters.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::Renewed(_) => Severity::Detail,
            Self::LinkUp
            | Self::Leased(_)
            | Self::Advertised { .. }
            | Self::Router { .. }
            | Self::Nameservers(_)
            | Self::Unadvertised { managed: false, .. } => Severity::Notice,
            Self::LinkDown
            | Self::NotRenewed { .. }
            | Self::Refused { .. }
            | Self::Unusable { .. }
            | Self::NoLease { .. }
            | Self::Withdrawn { .. }
            | Self::RouterGone { .. }
            | Self::Unadvertised { managed: true, .. }
            | Self::NoRouter { .. } => Severity::Warning,
            Self::Expired { .. } => Severity::Failure,
        }
    }
}

impl fmt::Display for NetEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LinkDown => f.write_str("the link is down: nothing can be sent or received"),
            Self::LinkUp => f.write_str("the link is up again"),
            Self::Leased(lease) => {
                write!(f, "lease of {lease}")?;
                match lease.router {
                    Some(router) => write!(f, ", router {router}")?,
                    None => f.write_str(", no router: only its own network is reached")?,
                }
                if !lease.nameservers.is_empty() {
                    write!(f, ", DNS {}", List(&lease.nameservers))?;
                }
                match lease.instead_of {
                    Some(before) => write!(f, "; {before} is given up, and the connections to it with it"),
                    None => Ok(()),
                }
            }
            Self::Renewed(lease) => write!(f, "renewed lease of {lease}"),
            Self::NotRenewed { address, server, left } => write!(
                f,
                "{server} does not renew the lease of {address}, which ends in {left} s: all DHCP servers are asked"
            ),
            Self::Refused { address, server, text } => {
                write!(f, "{server} refuses {address}")?;
                if !text.is_empty() {
                    write!(f, " ({text})")?;
                }
                f.write_str(": another address is asked for")
            }
            Self::Expired { address, server } => write!(
                f,
                "the lease of {address} from {server} has ended, and no DHCP server renewed it: this machine has no \
                 IPv4 address until one does"
            ),
            Self::Unusable { server, reason } => write!(f, "the offer of the DHCP server {server} {reason}"),
            Self::NoLease { waited } => write!(
                f,
                "no lease after {waited} s: is there a DHCP server on this network, does it know this machine, and is \
                 the network the right one (bridge, --vlan)? It is asked on"
            ),
            Self::Advertised { address, router, lifetime } => {
                write!(f, "address {address} of a prefix that the router {router} advertises, ")?;
                match lifetime {
                    Some(lifetime) => write!(f, "valid for {lifetime} s"),
                    None => f.write_str("valid for ever"),
                }
            }
            Self::Withdrawn { address } => write!(
                f,
                "the address {address} has ended: no router advertises its prefix any more; connections to it end"
            ),
            Self::Router { address, lifetime } => write!(f, "IPv6 router {address} for {lifetime} s"),
            Self::RouterGone { address } => write!(f, "{address} is no IPv6 router any more"),
            Self::Nameservers(servers) if servers.is_empty() => f.write_str("no IPv6 router tells of DNS any more"),
            Self::Nameservers(servers) => write!(f, "DNS {} by router advertisement", List(servers)),
            Self::Unadvertised { router, managed: true } => write!(
                f,
                "the router {router} says that addresses are given by DHCPv6, which this machine does not speak: give \
                 it one by --ip"
            ),
            Self::Unadvertised { router, managed: false } => {
                write!(f, "the router {router} advertises no prefix to make an address of: give one by --ip")
            }
            Self::NoRouter { waited } => write!(
                f,
                "no router advertisement after {waited} s: does a router of this network send them, and is the \
                 network the right one (bridge, --vlan)? It is asked on"
            ),
        }
    }
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} from {} ", self.address, self.prefix, self.server)?;
        match self.lifetime {
            Some(seconds) => write!(f, "for {seconds} s"),
            None => f.write_str("for ever"),
        }
    }
}

/// Addresses with spaces between.
struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{item}")?;
        }
        Ok(())
    }
}
