//! Our server and its peers on the zones of a world, and who asks them.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use zonule_harness::wire::{self, Connection};
use zonule_harness::{Peer, Remote, Result, RunningPeer, Sandbox, Server, Target};

use crate::question::Question;
use crate::world::World;

/// How long a reply may take; each question is asked three times.
const PATIENCE: Duration = Duration::from_secs(5);

/// Zonule, and the repository it has the zones from.
pub(crate) struct Ours {
    server: Server,
    _remote: Remote,
}

impl Ours {
    /// Starts it and waits until it serves all zones.
    pub(crate) fn start(target: &Target, sandbox: &Sandbox, world: &World) -> Result<Ours> {
        let files = world.zones.iter().map(|zone| (zone.file_name(), zone.text.as_str()));
        let remote = Remote::with_files(sandbox.path(), files)?;
        let mut server = target.boot().remote(&remote).argument("--rate-limit=off").start(sandbox)?;
        for zone in &world.zones {
            server.until_serving(&zone.apex.to_string())?;
        }
        Ok(Ours { server, _remote: remote })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

/// Starts each peer on the zones it takes.
pub(crate) fn start_peers(sandbox: &Sandbox, world: &World) -> Result<Vec<RunningPeer>> {
    let mut peers = Vec::new();
    for peer in Peer::ALL {
        let zones = world.zones.iter().filter(|zone| zone.peers.contains(&peer));
        // The files are those the remote was filled from.
        let zones: Vec<(String, PathBuf)> =
            zones.map(|zone| (zone.apex.to_string(), sandbox.path().join("zones").join(zone.file_name()))).collect();
        if !zones.is_empty() {
            peers.push(peer.start(sandbox.path(), &zones)?);
        }
    }
    Ok(peers)
}

/// A client of one server, with a socket and a connection it keeps.
pub(crate) struct Asker {
    server: SocketAddr,
    socket: UdpSocket,
    connection: Option<Connection>,
    id: u16,
}

impl Asker {
    pub(crate) fn new(server: SocketAddr) -> Asker {
        let socket = UdpSocket::bind((server.ip(), 0)).expect("a free port");
        socket.connect(server).expect("an address of this host");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time above zero");
        Asker { server, socket, connection: None, id: 0 }
    }

    /// Asks, again if nobody answers, and returns the reply.
    pub(crate) fn ask(&mut self, question: &Question) -> std::result::Result<Vec<u8>, String> {
        let mut last = String::new();
        for _ in 0..3 {
            self.id = self.id.wrapping_add(1);
            let query = question.query(self.id);
            let outcome = if question.tcp { self.by_stream(&query) } else { self.by_datagram(&query) };
            match outcome {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => last = "no reply".to_owned(),
                Err(error) => last = error.to_string(),
            }
        }
        Err(last)
    }

    fn by_datagram(&self, query: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
        self.socket.send(query)?;
        let mut reply = vec![0; 65_535];
        loop {
            match self.socket.recv(&mut reply) {
                // Not a late reply to an earlier query.
                Ok(len) if reply[..len].starts_with(&query[..2]) => {
                    reply.truncate(len);
                    return Ok(Some(reply));
                }
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    fn by_stream(&mut self, query: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.server)?,
        };
        connection.set_patience(PATIENCE)?;
        connection.send(query)?;
        let reply = connection.receive()?;
        if let Some(reply) = &reply
            && wire::id(reply) == wire::id(query)
        {
            self.connection = Some(connection);
        }
        Ok(reply)
    }
}
