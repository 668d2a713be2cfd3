//! The C symbols std calls, each with the meaning POSIX and Linux give it.
//!
//! What the image has no use for answers with the error Linux gives for it; nothing pretends to have worked.

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
mod strings;
#[cfg(not(test))]
mod syscall;
#[cfg(not(test))]
mod threads;
#[cfg(not(test))]
mod time;
