//! The events that a secondary handles, the effects it requests, and its limits.

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

/// Limits for concurrency, retries and waiting times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The maximum number of concurrent transfers over all zones.
    pub transfers: usize,
    /// The maximum number of concurrent transfers from one primary.
    pub per_primary: usize,
    /// The maximum number of outstanding SOA queries.
    pub queries: usize,
    /// The timeout of the first SOA query; it doubles with each retry.
    pub timeout: Duration,
    /// The number of SOA queries sent before a transfer is tried without a reply.
    pub tries: u32,
    /// The maximum time without progress in a transfer.
    pub idle: Duration,
    /// The maximum duration of a transfer.
    pub max_duration: Duration,
    /// How long an unreachable primary is skipped.
    pub unreachable: Duration,
    /// The minimum time between two checks of a zone if the second one is triggered by a notification.
    pub interval: Duration,
    /// The minimum REFRESH that is honoured.
    pub min_refresh: Duration,
    /// The minimum RETRY that is honoured.
    pub min_retry: Duration,
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
            max_duration: Duration::from_secs(3600),
            unreachable: Duration::from_secs(10),
            interval: Duration::from_millis(500),
            min_refresh: Duration::from_secs(10),
            min_retry: Duration::from_secs(5),
        }
    }
}

/// A transfer to be performed.
#[derive(Clone, Debug)]
pub struct Order {
    /// The identifier of the transfer in events and effects.
    pub id: u64,
    /// The zone.
    pub apex: Name,
    /// The primary to connect to.
    pub primary: Primary,
    /// The version from which to request differences; `None` to request the whole zone.
    pub held: Option<Arc<Zone>>,
}

impl Order {
    /// Returns the receiver of the reply and the request; see [`Incoming::whole`].
    #[must_use]
    pub fn begin(&self, bounds: Bounds, id: u16, unix: u64) -> Option<(Incoming, Vec<u8>)> {
        let key = self.primary.key.as_ref();
        match &self.held {
            Some(held) => Incoming::differences(held, key, bounds, id, unix),
            None => Incoming::whole(&self.apex, key, bounds, id, unix),
        }
    }
}

/// The reason why a transfer failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection could not be established, for the given reason.
    Unreachable(String),
    /// The connection was lost or timed out, for the given reason.
    Lost(String),
    /// The received messages are invalid.
    Transfer(TransferError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(reason) => write!(f, "cannot connect: {reason}"),
            Self::Lost(reason) => write!(f, "connection lost: {reason}"),
            Self::Transfer(error) => error.fmt(f),
        }
    }
}

/// An event for a [`Secondary`](super::Secondary).
#[derive(Debug)]
pub enum Event<'a> {
    /// Follow a zone, or follow it from other primaries than before.
    Follow {
        /// The zone's name.
        apex: Name,
        /// Its primaries, in the order in which to try them.
        primaries: Vec<Primary>,
    },
    /// Stop following a zone.
    Forget {
        /// The zone's name.
        apex: &'a Name,
    },
    /// An authorized notification arrived; see [`decide`](crate::notify::decide).
    Notified {
        /// The zone's name.
        apex: &'a Name,
        /// Its source address.
        source: IpAddr,
        /// The serial number in it, if any.
        serial: Option<Serial>,
    },
    /// A datagram arrived.
    Reply {
        /// The source address.
        source: SocketAddr,
        /// The message.
        message: &'a [u8],
    },
    /// A transfer received a message; reporting this once per second is enough.
    Progress {
        /// The order's identifier.
        order: u64,
    },
    /// A transfer ended.
    Ended {
        /// The order's identifier.
        order: u64,
        /// The result.
        result: Result<Outcome, Failure>,
    },
    /// Time has passed.
    Tick,
}

/// An action that a [`Secondary`](super::Secondary) requests.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send a datagram, from a port that receives the replies.
    Send {
        /// The destination address.
        to: SocketAddr,
        /// The message.
        message: Vec<u8>,
    },
    /// Perform a transfer over TCP, and report its progress and end.
    Transfer(Order),
    /// Abort a transfer, whose end need not be reported.
    Abort {
        /// The order's identifier.
        order: u64,
    },
    /// Serve this version of a zone, which is new, or current again after it had expired.
    Serve(Arc<Zone>),
    /// Answer SERVFAIL for a zone that expired because no primary answered (RFC 1034 §4.3.5).
    Expire(Name),
    /// Stop serving a zone.
    Withdraw(Name),
    /// Write a log line.
    Log(Level, String),
}
