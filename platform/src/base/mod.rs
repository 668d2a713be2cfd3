//! What every floor above the processor stands on: messages, locks, and what is kept for each processor.
//!
//! The heap and the page tables need locks, and everything may have something to say. So this lies below memory, and what it
//! needs of the floors above is registered with it.

pub mod lock;
pub(crate) mod percpu;
pub mod report;
