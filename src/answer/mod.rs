//! Answers: a query's octets in, a reply's octets out.

use crate::zone::Catalog;

/// How a query arrived, which decides how large its reply may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram: the reply fits the payload size the client advertises.
    Udp,
    /// A stream: the reply may have 65,535 octets.
    Tcp,
}

/// Writes the reply to `query` into `reply` and returns its length, or `None` where silence is right.
///
/// `zones` is `None` until the first zones are loaded.
pub fn respond(zones: Option<&Catalog>, transport: Transport, query: &[u8], reply: &mut [u8]) -> Option<usize> {
    let _ = (zones, transport, query, reply);
    todo!("the answer room")
}
