//! The network: what is answered below the sockets, and the stack above.
//!
//! Frames come in on the network thread (`worker`). Datagrams for a registered responder are answered in place
//! (`responder`, `frame`, `checksum`); everything else goes to the stack (`stack` and its neighbours), whose sockets
//! applications use through `blocking` and the C symbols in `abi::socket`.

#[cfg(not(test))]
pub(crate) mod blocking;
mod buffers;
mod checksum;
mod datagram;
mod device;
#[cfg(not(test))]
mod discover;
pub(crate) mod errno;
mod frame;
mod listener;
mod responder;
pub(crate) mod socket;
mod stack;
mod stream;
#[cfg(test)]
mod tests;
mod waiters;
#[cfg(not(test))]
mod worker;

#[cfg(not(test))]
pub use discover::{NetError, discover};
pub use responder::{UdpResponder, Verdict};
#[cfg(not(test))]
pub use worker::{NetConfig, serve_udp, start};
