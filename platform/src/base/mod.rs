//! The base of every floor above `arch`: messages, locks and per-processor state.
//!
//! The heap and the page tables need locks, and every floor may print messages, so this floor is below `memory`. What
//! it needs from higher floors is registered with it.

pub mod lock;
pub(crate) mod percpu;
pub mod report;
