//! Network streams on which every wait is bounded, and how to connect them.
//!
//! [`Tcp`] is a connection on which every wait ends; [`framing`] splits its octets into messages; [`tls`] encrypts it.
//! [`connections`] is the bounded table of client connections, and a [`Wait`] is what the thread of a connection waits
//! for while other threads work. [`dial`] looks up the addresses of a host and connects.

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
