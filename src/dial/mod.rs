//! Finding the addresses of a host, and connecting to the first that answers.

mod error;

use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

pub use error::DialError;

/// Finds the addresses of a host and connects to the first that answers (RFC 8305). Clones share what they learn.
#[derive(Clone, Debug)]
pub struct Dialer {
    way: Arc<Way>,
}

/// Who is asked for addresses.
#[derive(Debug)]
enum Way {
    /// The operating system.
    System,
    /// These servers.
    Servers(Vec<SocketAddr>),
    /// The servers that this file tells, read for each look-up.
    File(String),
}

impl Dialer {
    /// Has the operating system look names up.
    pub fn system() -> Self {
        Self::by(Way::System)
    }

    /// Asks these resolvers, in this order.
    pub fn with_servers(servers: Vec<SocketAddr>) -> Self {
        Self::by(Way::Servers(servers))
    }

    /// Asks the resolvers that a file in the manner of `/etc/resolv.conf` names at that time.
    pub fn from_file(path: &str) -> Self {
        Self::by(Way::File(path.to_string()))
    }

    fn by(way: Way) -> Self {
        Dialer { way: Arc::new(way) }
    }

    /// Connects to `port` of `host`, a name or a numeric address, within `patience`.
    ///
    /// # Errors
    ///
    /// Who was asked for addresses or for a connection, and what came.
    pub fn connect(&self, host: &str, port: u16, patience: Duration) -> Result<TcpStream, DialError> {
        let begun = Instant::now();
        let addresses = match (host.parse::<IpAddr>(), &*self.way) {
            (Ok(address), _) => vec![SocketAddr::new(address, port)],
            (Err(_), Way::System) => by_system(host, port, patience)?,
            (Err(_), Way::Servers(_) | Way::File(_)) => return Err(DialError::NoResolver { host: host.to_string() }),
        };
        let mut tried = Vec::new();
        for address in addresses {
            let left = patience.saturating_sub(begun.elapsed()).max(Duration::from_millis(1));
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => return Ok(stream),
                Err(error) => tried.push((address, error)),
            }
        }
        Err(DialError::Unreachable { tried })
    }
}

/// Has the system look a name up, for which it may take as long as it likes, but not while we wait.
fn by_system(host: &str, port: u16, patience: Duration) -> Result<Vec<SocketAddr>, DialError> {
    let (tell, told) = channel();
    let name = host.to_string();
    let asking = thread::Builder::new().name("resolve".to_string()).spawn(move || {
        // Nobody may be waiting any more.
        let _ = tell.send((name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>));
    });
    asking.map_err(|source| DialError::Resources { source })?;
    match told.recv_timeout(patience) {
        Ok(Ok(addresses)) if addresses.is_empty() => Err(DialError::NoAddresses { host: host.to_string(), by: None }),
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(source)) => Err(DialError::System { host: host.to_string(), source }),
        Err(_) => Err(DialError::Silent { host: host.to_string(), servers: Vec::new(), after: patience }),
    }
}
