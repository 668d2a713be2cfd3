//! What the stack needs of the machine: time and randomness, passed in as functions so that tests can replace them.

pub(crate) use crate::kernel::time::Nanos;

/// One second, in nanoseconds.
pub(crate) const SECOND: Nanos = 1_000_000_000;

/// Fills a slice with unpredictable bytes.
pub(super) type Random = fn(&mut [u8]);

/// The clock and the random number generator that the stack uses.
#[derive(Clone, Copy)]
pub(crate) struct Machine {
    /// The monotonic clock.
    pub(crate) clock: fn() -> Nanos,
    /// Fills a slice with unpredictable bytes.
    pub(crate) random: Random,
}
