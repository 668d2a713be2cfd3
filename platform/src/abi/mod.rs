//! The C symbols std calls, each with the meaning POSIX and Linux give it.
//!
//! What the image has no use for answers with the error Linux gives for it; nothing pretends to have worked.

#[cfg(not(test))]
mod absent;
#[cfg(not(test))]
pub mod errno;
#[cfg(not(test))]
mod files;
#[cfg(not(test))]
mod heap;
#[cfg(not(test))]
mod memory;
#[cfg(not(test))]
mod misc;
#[cfg(not(test))]
mod socket;
#[cfg(not(test))]
mod socket_options;
#[cfg(not(test))]
mod syscall;
#[cfg(not(test))]
mod texts;
#[cfg(not(test))]
mod threads;
#[cfg(not(test))]
mod time;

#[cfg(not(test))]
pub(crate) use misc::{end, environment};
