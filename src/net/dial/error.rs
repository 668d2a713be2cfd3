//! Errors of dialing, for operators.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::dns::message::PORT;

/// The reason why a host was not found or not reached.
#[derive(Debug)]
#[non_exhaustive]
pub enum DialError {
    /// No resolver is configured or known.
    NoResolver {
        /// The name to look up.
        host: String,
    },
    /// The host is neither a valid name nor an address.
    BadName {
        /// The name as given.
        host: String,
        /// The reason.
        reason: String,
    },
    /// No resolver answered.
    Silent {
        /// The name to look up.
        host: String,
        /// The queried resolvers; empty for the system's.
        servers: Vec<SocketAddr>,
        /// The time waited.
        after: Duration,
    },
    /// The name does not exist.
    NoSuchName {
        /// The name.
        host: String,
        /// The resolver that answered.
        by: SocketAddr,
    },
    /// The name has no addresses.
    NoAddresses {
        /// The name.
        host: String,
        /// The resolver that answered; `None` for the system's.
        by: Option<SocketAddr>,
    },
    /// Every resolver failed or sent something other than an answer.
    Failed {
        /// The name to look up.
        host: String,
        /// The failure of each resolver.
        servers: Vec<(SocketAddr, String)>,
    },
    /// The system's resolver found nothing.
    System {
        /// The name to look up.
        host: String,
        /// Its error.
        source: io::Error,
    },
    /// No address accepted a connection.
    Unreachable {
        /// The tried addresses with the error of each.
        tried: Vec<(SocketAddr, io::Error)>,
    },
    /// A thread or socket could not be allocated.
    Resources {
        /// The error of the system.
        source: io::Error,
    },
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoResolver { host } => write!(
                f,
                "cannot look up {host}: no resolver is known; give --resolver=ADDR, configure one with DHCP, or give the host \
                 by its address"
            ),
            Self::BadName { host, reason } => write!(f, "{} is not a valid host: {reason}", host.escape_debug()),
            Self::Silent { host, servers, after } => {
                let listed: Vec<String> = servers.iter().map(|server| shown(*server)).collect();
                let (noun, listed) = match listed.as_slice() {
                    [] => ("the system's resolver", String::new()),
                    [one] => ("resolver", format!(" {one}")),
                    all => ("resolvers", format!(" {}", all.join(", "))),
                };
                write!(f, "cannot look up {host}: {noun}{listed} did not answer within {}", seconds(*after))
            }
            Self::NoSuchName { host, by } => {
                write!(f, "{host} does not exist according to resolver {} (NXDOMAIN)", shown(*by))
            }
            Self::NoAddresses { host, by: Some(by) } => {
                write!(f, "{host} has no addresses according to resolver {}", shown(*by))
            }
            Self::NoAddresses { host, by: None } => {
                write!(f, "{host} has no addresses according to the system's resolver")
            }
            Self::Failed { host, servers } => {
                write!(f, "cannot look up {host}: ")?;
                list(f, servers.iter().map(|(server, what)| format!("resolver {} {what}", shown(*server))))
            }
            Self::System { host, source } => write!(f, "cannot look up {host}: the system's resolver: {source}"),
            Self::Unreachable { tried } => {
                f.write_str("cannot connect to ")?;
                list(f, tried.iter().map(|(to, error)| format!("{} port {}: {error}", to.ip(), to.port())))
            }
            Self::Resources { source } => write!(f, "cannot look up or connect: {source}"),
        }
    }
}

impl std::error::Error for DialError {}

/// Writes the items, separated by semicolons.
fn list(f: &mut fmt::Formatter<'_>, items: impl Iterator<Item = String>) -> fmt::Result {
    f.write_str(&items.collect::<Vec<_>>().join("; "))
}

/// Formats the address of a resolver for messages.
fn shown(server: SocketAddr) -> String {
    match server.port() {
        PORT => server.ip().to_string(),
        port => format!("{} port {port}", server.ip()),
    }
}

/// Formats a duration for messages.
pub(super) fn seconds(duration: Duration) -> String {
    // Round to tenths, so that slightly less than a round number displays as that number.
    match (duration.as_millis() + 50) / 100 {
        tenths if tenths % 10 == 0 => format!("{} s", tenths / 10),
        tenths => format!("{}.{} s", tenths / 10, tenths % 10),
    }
}
