//! The network: what is answered below the sockets, and the stack above.

mod checksum;
mod frame;
mod responder;

pub use responder::{UdpResponder, Verdict};
