//! What happens to a secondary, what it wants done, and within which limits.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use log::Level;

use super::error::TransferError;
use super::incoming::{Bounds, Incoming, Outcome};
use super::sources::Primary;
use crate::dns::{Name, Serial};
use crate::zone::Zone;

/// How much is done at a time, how often, and how long is waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many transfers there are at a time, over all zones.
    pub transfers: usize,
    /// How many transfers there are at a time from one primary.
    pub per_primary: usize,
    /// How many replies to SOA queries are awaited at a time.
    pub queries: usize,
    /// How long to wait for the reply to an SOA query; each further wait is twice as long as the one before.
    pub timeout: Duration,
    /// How often an SOA query is sent before the transfer is tried without one.
    pub tries: u32,
    /// How long a transfer may go without progress.
    pub idle: Duration,
    /// How long a transfer may take.
    pub longest: Duration,
    /// For how long a primary that cannot be reached is passed over.
    pub unreachable: Duration,
    /// How long after one look for changes of a zone a notification may bring about the next at the earliest.
    pub interval: Duration,
    /// The shortest time between looks that a zone's SOA record may ask for (REFRESH).
    pub least_refresh: Duration,
    /// The shortest time between looks after a failure that a zone's SOA record may ask for (RETRY).
    pub least_retry: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            transfers: 16,
            per_primary: 8,
            queries: 256,
            timeout: Duration::from_secs(1),
            tries: 3,
            idle: Duration::from_secs(60),
            longest: Duration::from_secs(3600),
            unreachable: Duration::from_secs(10),
            interval: Duration::from_millis(500),
            least_refresh: Duration::from_secs(10),
            least_retry: Duration::from_secs(5),
        }
    }
}

/// A transfer to be made.
#[derive(Clone, Debug)]
pub struct Order {
    /// What the transfer is called in events and effects.
    pub id: u64,
    /// The zone.
    pub apex: Name,
    /// Whom to connect to.
    pub primary: Primary,
    /// The version that differences are wanted from; `None` for the whole zone.
    pub held: Option<Arc<Zone>>,
}

impl Order {
    /// Makes the request, and what takes the reply; see [`Incoming::whole`].
    #[must_use]
    pub fn begin(&self, bounds: Bounds, id: u16, unix: u64) -> Option<(Incoming, Vec<u8>)> {
        let key = self.primary.key.as_ref();
        match &self.held {
            Some(held) => Incoming::differences(held, key, bounds, id, unix),
            None => Incoming::whole(&self.apex, key, bounds, id, unix),
        }
    }
}

/// Why a transfer has brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be made; the reason follows.
    Unreachable(String),
    /// The connection broke, or nothing came for too long; the reason follows.
    Lost(String),
    /// What came is no good.
    Transfer(TransferError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(reason) => write!(f, "it cannot be reached: {reason}"),
            Self::Lost(reason) => write!(f, "the connection is lost: {reason}"),
            Self::Transfer(error) => error.fmt(f),
        }
    }
}

/// What happens to a [`Secondary`](super::Secondary).
#[derive(Debug)]
pub enum Event<'a> {
    /// A zone is to be followed, or from other primaries than before.
    Follow {
        /// The zone's name.
        apex: Name,
        /// Its primaries, in the order in which they are to be tried.
        primaries: Vec<Primary>,
    },
    /// A zone is not to be followed any more.
    Forget {
        /// The zone's name.
        apex: &'a Name,
    },
    /// A notification has come that may be acted upon; see [`decide`](crate::notify::decide).
    Notified {
        /// The zone's name.
        apex: &'a Name,
        /// Whence it came.
        source: IpAddr,
        /// The serial number it tells.
        serial: Option<Serial>,
    },
    /// A datagram has come.
    Reply {
        /// Whence.
        source: SocketAddr,
        /// Its octets.
        message: &'a [u8],
    },
    /// A transfer has got a message; once a second is often enough.
    Progress {
        /// The order's identifier.
        order: u64,
    },
    /// A transfer has ended.
    Ended {
        /// The order's identifier.
        order: u64,
        /// What it has brought.
        result: Result<Outcome, Failure>,
    },
    /// Nothing but that time has passed.
    Tick,
}

/// What a [`Secondary`](super::Secondary) wants done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send a datagram, from a port that replies come in at.
    Send {
        /// Whither.
        to: SocketAddr,
        /// Its octets.
        message: Vec<u8>,
    },
    /// Make a transfer over TCP, and tell of its progress and end.
    Transfer(Order),
    /// Break a transfer off. Its end need not be told any more.
    Abort {
        /// The order's identifier.
        order: u64,
    },
    /// Serve this version of a zone, new or fresh again after it had expired.
    Serve(Arc<Zone>),
    /// Answer SERVFAIL for a zone: no primary was heard for too long (RFC 1034 §4.3.5).
    Expire(Name),
    /// Serve a zone no more.
    Withdraw(Name),
    /// Write a line to the log.
    Log(Level, String),
}
