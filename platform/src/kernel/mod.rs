//! Threads, what they sleep on, the time they see, and the descriptors they read and write by.

pub(crate) mod console;
pub mod fd;
pub mod thread;
pub mod time;
