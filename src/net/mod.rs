//! Streams on which nothing waits for ever, and the way to whom they lead.
//!
//! [`Tcp`] is a connection with an end to every wait; [`tls`] makes one that nobody reads along of it. [`dial`] finds the
//! addresses of a host and connects.

pub mod dial;
mod stream;
pub mod tls;

pub use dial::{DialError, Dialer};
pub(crate) use stream::is_timeout;
pub use stream::{Deadline, Tcp, Timeouts, endpoint};
