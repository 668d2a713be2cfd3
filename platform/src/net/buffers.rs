//! The memory sockets may take, all together.
//!
//! Every stranger who opens a connection costs buffers, so their sum has a limit that leaves most of the machine to
//! the zones. Allocation is fallible: a machine that is full refuses connections and goes on.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use smoltcp::socket::tcp;

/// Bytes of receive buffer of an accepted connection: a client's question is small.
pub(crate) const ACCEPTED_RECEIVE: usize = 8 << 10;
/// Bytes of send buffer of an accepted connection, at least and at most: a zone transfer is not small, and over a long
/// path no faster than one buffer each round trip.
pub(crate) const ACCEPTED_SEND: RangeInclusive<usize> = 16 << 10..=128 << 10;
/// Bytes of receive buffer of an own connection, at least and at most: packs come this way, over long paths.
pub(crate) const CONNECTED_RECEIVE: RangeInclusive<usize> = 128 << 10..=1 << 20;
/// Bytes of send buffer of an own connection.
pub(crate) const CONNECTED_SEND: usize = 32 << 10;
/// Bytes of receive buffer of a UDP socket.
pub(crate) const DATAGRAM_RECEIVE: usize = 32 << 10;
/// Bytes of send buffer of a UDP socket; it holds the longest datagram the stack can fragment.
pub(crate) const DATAGRAM_SEND: usize = 16 << 10;
/// Datagrams a UDP socket queues in each direction.
pub(crate) const DATAGRAM_COUNT: usize = 64;

/// What is taken and what may be.
#[derive(Debug)]
pub(crate) struct Budget {
    taken: usize,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { taken: 0, limit }
    }

    /// Returns the most bytes that may be taken.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Takes `bytes`, or refuses.
    #[must_use]
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let fits = self.taken.saturating_add(bytes) <= self.limit;
        if fits {
            self.taken += bytes;
        }
        fits
    }

    /// Gives back what was taken.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.taken);
        self.taken = self.taken.saturating_sub(bytes);
    }

    /// Returns the buffers for a connection a stranger has opened.
    pub(crate) fn accepted(&self) -> Buffers {
        Buffers { receive: ACCEPTED_RECEIVE, send: self.share(128, ACCEPTED_SEND) }
    }

    /// Returns the buffers for an own connection.
    pub(crate) fn connected(&self) -> Buffers {
        Buffers { receive: self.share(32, CONNECTED_RECEIVE), send: CONNECTED_SEND }
    }

    /// Returns a fraction of the limit within bounds, and once a quarter of all is taken their lower one: many
    /// connections are served slower rather than not.
    fn share(&self, fraction: usize, bounds: RangeInclusive<usize>) -> usize {
        let (&least, &most) = (bounds.start(), bounds.end());
        if self.taken > self.limit / 4 { least } else { (self.limit / fraction).clamp(least, most) }
    }

    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }
}

/// The sizes of a connection's buffers, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffers {
    pub(crate) receive: usize,
    pub(crate) send: usize,
}

impl Buffers {
    /// What they take off the budget.
    pub(crate) fn bytes(self) -> usize {
        self.receive + self.send
    }

    /// Allocates them for a socket that is not used yet.
    pub(crate) fn socket(self) -> Option<tcp::Socket<'static>> {
        let (receive, send) = (allocate(self.receive)?, allocate(self.send)?);
        let mut socket = tcp::Socket::new(tcp::SocketBuffer::new(receive), tcp::SocketBuffer::new(send));
        // Until there is more to send than a first flight.
        socket.set_congestion_control(tcp::CongestionControl::None);
        Some(socket)
    }
}

/// Allocates a zeroed buffer, or refuses.
pub(crate) fn allocate(bytes: usize) -> Option<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes).ok()?;
    buffer.resize(bytes, 0);
    Some(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_more_of_a_large_machine_and_least_when_there_are_many() {
        let sizes = |mib: usize| {
            let budget = Budget::new(mib << 20);
            (budget.accepted().send >> 10, budget.connected().receive >> 10)
        };
        assert_eq!([sizes(4), sizes(8), sizes(16), sizes(64)], [(32, 128), (64, 256), (128, 512), (128, 1024)]);
        let mut budget = Budget::new(32 << 20);
        assert!(budget.take(9 << 20));
        assert_eq!((budget.accepted().send, budget.connected().receive), (16 << 10, 128 << 10));
    }
}
