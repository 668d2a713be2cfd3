//! The network: what is answered below the sockets, and the stack above.

mod buffers;
mod checksum;
mod datagram;
mod device;
mod errno;
mod frame;
mod listener;
mod responder;
mod socket;
mod stack;
mod stream;
#[cfg(test)]
mod tests;
mod waiters;

pub use responder::{UdpResponder, Verdict};
