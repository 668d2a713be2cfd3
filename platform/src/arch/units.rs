//! Units used on every floor.

/// Nanoseconds, either a duration or the time since the machine's entry.
pub type Nanos = u64;
/// The size of a page.
pub(crate) const PAGE: usize = 4096;
