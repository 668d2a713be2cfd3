//! Why there is no connection, in words for an operator.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::dns::message::PORT;

/// Why a host was not found or not reached: who was asked, and what came.
#[derive(Debug)]
#[non_exhaustive]
pub enum DialError {
    /// Nobody is known who could be asked for addresses.
    NoResolver {
        /// The name to be found.
        host: String,
    },
    /// The host is neither a name nor an address.
    BadName {
        /// The name as given.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// No resolver answered.
    Silent {
        /// The name to be found.
        host: String,
        /// The resolvers asked; empty for the system's.
        servers: Vec<SocketAddr>,
        /// How long was waited.
        after: Duration,
    },
    /// There is no such name.
    NoSuchName {
        /// The name.
        host: String,
        /// The resolver that says so.
        by: SocketAddr,
    },
    /// The name has no addresses.
    NoAddresses {
        /// The name.
        host: String,
        /// The resolver that says so; none for the system's.
        by: Option<SocketAddr>,
    },
    /// Every resolver failed or gave something else than an answer.
    Failed {
        /// The name to be found.
        host: String,
        /// What each resolver did.
        servers: Vec<(SocketAddr, String)>,
    },
    /// The system's resolver found nothing.
    System {
        /// The name to be found.
        host: String,
        /// What it said.
        source: io::Error,
    },
    /// No address took the connection.
    Unreachable {
        /// Those tried, and what each said.
        tried: Vec<(SocketAddr, io::Error)>,
    },
    /// There is no memory for a thread, or no socket.
    Resources {
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoResolver { host } => write!(
                f,
                "cannot look up {host}: no resolver is known; give --resolver=ADDR, have DHCP tell one, or name the host \
                 by its address"
            ),
            Self::BadName { host, reason } => write!(f, "{} is no host: {reason}", host.escape_debug()),
            Self::Silent { host, servers, after } => {
                let whom: Vec<String> = servers.iter().map(|server| shown(*server)).collect();
                let (noun, whom) = match whom.as_slice() {
                    [] => ("the system's resolver", String::new()),
                    [one] => ("resolver", format!(" {one}")),
                    all => ("resolvers", format!(" {}", all.join(", "))),
                };
                write!(f, "cannot look up {host}: {noun}{whom} did not answer within {}", seconds(*after))
            }
            Self::NoSuchName { host, by } => write!(f, "{host} does not exist, says {} (NXDOMAIN)", shown(*by)),
            Self::NoAddresses { host, by: Some(by) } => write!(f, "{host} has no addresses, says {}", shown(*by)),
            Self::NoAddresses { host, by: None } => write!(f, "{host} has no addresses, says the system's resolver"),
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

/// Writes the items with semicolons between them.
fn list(f: &mut fmt::Formatter<'_>, items: impl Iterator<Item = String>) -> fmt::Result {
    f.write_str(&items.collect::<Vec<_>>().join("; "))
}

/// Returns a resolver as messages name it.
fn shown(server: SocketAddr) -> String {
    match server.port() {
        PORT => server.ip().to_string(),
        port => format!("{} port {port}", server.ip()),
    }
}

/// Returns a time as messages tell it.
pub(super) fn seconds(duration: Duration) -> String {
    // What is left of a round number says the same as that.
    match (duration.as_millis() + 50) / 100 {
        tenths if tenths % 10 == 0 => format!("{} s", tenths / 10),
        tenths => format!("{}.{} s", tenths / 10, tenths % 10),
    }
}
