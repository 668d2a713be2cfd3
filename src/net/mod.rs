//! Streams on which nothing waits for ever, and the way to whom they lead.
//!
//! [`Tcp`] is a connection with an end to every wait; [`framing`] cuts what comes on it into messages; [`tls`] makes one of
//! it that nobody reads along. [`connections`] are those of clients, with bounds, and [`Wait`] what the thread of one waits
//! for while others work. [`dial`] finds the addresses of a host and connects.

pub mod connections;
pub mod dial;
pub mod framing;
mod stream;
pub mod tls;
mod wait;

pub use dial::{DialError, Dialer};
pub(crate) use stream::is_timeout;
pub use stream::{Deadline, Tcp, Timeouts, endpoint};
pub use wait::{Promise, Wait};
