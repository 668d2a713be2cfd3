//! The network: what is answered below the sockets, and the stack above.
//!
//! Frames come in on the network thread (`worker`). Datagrams for a registered responder are answered in place
//! (`responder`, `frame`, `checksum`); everything else goes to the stack (`stack` and its neighbours), whose sockets
//! applications use through `blocking` and the C symbols in `abi::socket`. Who we are is a `link`; `configure` says
//! which addresses it has.

pub(crate) mod blocking;
mod buffers;
pub(crate) mod configure;
mod cookies;
mod datagram;
mod device;
pub(crate) mod errno;
mod error;
mod extensions;
mod frame;
mod icmp;
mod link;
mod listener;
mod machine;
mod neighbors;
mod outbound;
mod reassembly;
mod responder;
mod sequence;
mod shared;
pub(crate) mod socket;
mod stack;
mod stream;
#[cfg(test)]
mod tests;
mod vlan;
mod waiters;
mod worker;

pub use configure::board::{Readiness, next_event, wait_for_addresses};
pub use configure::{Lease, NetConfig, NetEvent, Severity};
pub use error::NetError;
#[cfg(test)]
pub(crate) use frame::{Datagram, tests as frame_tests};
pub use responder::{UdpResponder, Verdict};
pub use worker::{serve_udp, start};
