//! The units of every floor.

/// Nanoseconds, as a duration or since the machine was entered.
pub type Nanos = u64;
/// The size of a page.
pub(crate) const PAGE: usize = 4096;
