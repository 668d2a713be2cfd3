//! The memory sockets may take, all together.
//!
//! Every stranger who opens a connection costs buffers, so their sum has a limit that leaves most of the machine to
//! the zones. Allocation is fallible: a machine that is full refuses connections and goes on.

use alloc::vec::Vec;

/// Bytes of receive buffer of an accepted connection: a client's question is small.
pub(crate) const ACCEPTED_RECEIVE: usize = 8 << 10;
/// Bytes of send buffer of an accepted connection: a zone transfer is not.
pub(crate) const ACCEPTED_SEND: usize = 16 << 10;
/// Bytes of receive buffer of an own connection: packs come this way, over long paths.
pub(crate) const CONNECTED_RECEIVE: usize = 128 << 10;
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

    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }
}

/// Allocates a zeroed buffer, or refuses.
pub(crate) fn allocate(bytes: usize) -> Option<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes).ok()?;
    buffer.resize(bytes, 0);
    Some(buffer)
}
