//! Why the network did not start.

use crate::drivers::discover::NicError;

/// Why the network did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetError {
    /// No network device was found.
    NoDevice,
    /// The network device does not work.
    Device(NicError),
    /// There is no address, or one cannot be a host's.
    Address,
    /// A gateway is not a host on a network of ours.
    Gateway,
    /// The VLAN's number is none.
    Vlan,
}

impl core::fmt::Display for NetError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoDevice => f.write_str("no virtio network device was found; give the machine one"),
            Self::Device(error) => write!(f, "the network device does not work: {error}"),
            Self::Address => f.write_str("an address is no host's address in its network"),
            Self::Gateway => f.write_str("a gateway is no host on a network of the addresses'"),
            Self::Vlan => f.write_str("a VLAN's number is between 1 and 4094"),
        }
    }
}

impl core::error::Error for NetError {}
