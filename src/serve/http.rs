//! Hooks and health checks over HTTP: one small thread per connection, one request each, bounds on everything.
//!
//! A connection has a deadline for everything it does. The number of connections is small; when all places are taken,
//! the oldest connection is closed: a forge needs milliseconds, and a client that holds connections open for long is
//! not a forge.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::Server;
use super::complaints::Kind;
use crate::config::Webhook;
use crate::git::Secret;
use crate::http::{Denial, Hook, MOST_HEAD, Reply, Request, Status, Wish, route};
use crate::net::connections::{Connection, Connections, STACK};
use crate::net::{Deadline, Tcp, is_timeout};

/// Minimum interval between polls of the remote requested by senders that prove nothing.
pub(super) const UNPROVEN: Duration = Duration::from_secs(10);

/// Maximum number of connections.
const MOST: usize = 16;

/// How long a connection may take from its first octet to its last.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to keep reading from a client that continues to send after the reply, so that it receives the reply.
const LINGER: Duration = Duration::from_secs(2);

/// Maximum number of octets read during that time.
const CHATTER: usize = 2 << 20;

/// State shared by all connections.
struct Office {
    server: Arc<Server>,
    secret: Option<Secret>,
    /// The git remote, without secrets; `None` in a secondary.
    remote: Option<String>,
}

/// Listens on `port` at all addresses: with one socket if it accepts both families, otherwise with one socket for each
/// available family.
pub(super) fn listen(port: u16) -> io::Result<Vec<TcpListener>> {
    let v6 = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => {
            return Err(error);
        }
        other => other.ok(),
    };
    match (TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)), v6) {
        (v4, None) => v4.map(|listener| vec![listener]),
        (Ok(v4), Some(v6)) => Ok(vec![v6, v4]),
        // The first socket has the port for both families.
        (Err(_), Some(v6)) => Ok(vec![v6]),
    }
}

/// Starts the threads that accept requests on `listeners`.
pub(super) fn start(
    server: &Arc<Server>,
    listeners: Vec<TcpListener>,
    webhook: Webhook,
    remote: Option<String>,
) -> io::Result<()> {
    let Webhook { port, secret } = webhook;
    log::info!("webhook: listening on port {port}");
    if secret.is_none() && remote.is_some() {
        log::warn!(
            "webhook: without a secret, whoever reaches port {port} has the remote looked at, every {} s; give one as \
             --webhook={port},SECRET",
            UNPROVEN.as_secs()
        );
    }
    let office = Arc::new(Office { server: Arc::clone(server), secret, remote });
    let connections = Connections::new("webhook", MOST);
    for listener in listeners {
        let (office, connections) = (Arc::clone(&office), Arc::clone(&connections));
        let thread = thread::Builder::new().name("webhook".to_string()).stack_size(STACK);
        thread.spawn(move || run(&office, &listener, &connections))?;
    }
    Ok(())
}

/// Accepts requests on `listener`, indefinitely.
fn run(office: &Arc<Office>, listener: &TcpListener, connections: &Arc<Connections>) {
    let attending = Arc::clone(office);
    connections.serve(
        listener,
        || office.server.complain(Kind::Thread),
        move |connection| attending.attend(connection),
    );
}

impl Office {
    /// Replies to the one request of a connection.
    fn attend(&self, connection: &Connection) -> io::Result<()> {
        let (client, mut line) = (connection.client(), Line::new(connection.socket()));
        let mut head = Vec::with_capacity(1024);
        let (reply, whole) = loop {
            match Request::read(&head) {
                Ok(Some(request)) => {
                    let (length, whole) = (request.length, request.method != "HEAD");
                    match self.reply(&request, &head[length..], &mut line, client) {
                        Err(error) if is_timeout(&error) => break (line.late(), whole),
                        reply => break (reply?, whole),
                    }
                }
                Ok(None) => {}
                Err(reply) => break (reply, true),
            }
            let mut piece = [0; 1024];
            let room = piece.len().min(MOST_HEAD + 1 - head.len());
            match line.tcp.read(&mut piece[..room]) {
                Ok(0) if head.is_empty() => return Ok(()),
                Ok(0) => break (Reply::text(400, "the request ends within its head"), true),
                Ok(count) => head.extend_from_slice(&piece[..count]),
                Err(error) if is_timeout(&error) && !head.is_empty() => break (line.late(), true),
                Err(error) => return Err(error),
            }
        };
        log::debug!("webhook: {client} is told {}", reply.status());
        line.tcp.write_all(&reply.octets(whole))?;
        line.part()
    }

    /// Carries out a request and returns the reply.
    fn reply(&self, request: &Request<'_>, begun: &[u8], line: &mut Line<'_>, client: IpAddr) -> io::Result<Reply> {
        match route(request) {
            Ok(Wish::Hook) => self.hook(request, begun, line, client),
            Ok(Wish::Status(after)) => Ok(self.with_status(|status| status.page(after))),
            Ok(Wish::Health) => Ok(self.with_status(|status| status.health())),
            Err(reply) => Ok(reply),
        }
    }

    /// Handles a hook; `begun` holds the octets of the body received so far.
    fn hook(&self, request: &Request<'_>, begun: &[u8], line: &mut Line<'_>, client: IpAddr) -> io::Result<Reply> {
        if self.remote.is_none() {
            return Ok(Reply::text(
                404,
                "this server gets its zones from other servers and has no git remote to look at",
            ));
        }
        let mut hook = match Hook::begin(request, self.secret.as_ref().map(Secret::reveal)) {
            Ok(hook) => hook,
            Err(denial) => return Ok(self.deny(denial, client)),
        };
        let mut left = request.body;
        let begun = &begun[..begun.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        hook.update(begun);
        left -= begun.len() as u64;
        if request.expects && left > 0 {
            line.tcp.write_all(Reply::CONTINUE)?;
        }
        let mut piece = [0; 4096];
        while left > 0 {
            let room = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match line.tcp.read(&mut piece[..room])? {
                0 => return Ok(Reply::text(400, "the body is shorter than its Content-Length")),
                count => {
                    hook.update(&piece[..count]);
                    left -= count as u64;
                }
            }
        }
        let sender = hook.sender();
        match hook.finish() {
            Ok(true) => {
                self.look(client, sender);
                Ok(Reply::text(202, "looking at the remote"))
            }
            Ok(false) => Ok(Reply::text(200, "this is no push: nothing to do")),
            Err(denial) => Ok(self.deny(denial, client)),
        }
    }

    fn deny(&self, denial: Denial, client: IpAddr) -> Reply {
        log::log!(self.server.complain(Kind::Hook), "webhook: a hook from {client} is {denial}");
        Reply::text(403, &format!("the hook is {denial}"))
    }

    /// Makes the writer poll the remote: at once if hooks prove to know a secret, otherwise when the next poll of this
    /// kind is due.
    fn look(&self, client: IpAddr, sender: &str) {
        log::debug!("webhook: a push, says {client} ({sender})");
        if self.secret.is_some() {
            return self.server.updates.queue.poke();
        }
        self.server.polling.unproven().want();
        self.server.poll_for_unproven();
    }

    fn with_status(&self, tell: impl FnOnce(&Status<'_>) -> Reply) -> Reply {
        let served = self.server.served.load_full();
        let commit = served.origin.as_ref().map(|source| source.commit.to_string());
        let fetched = self.server.polling.agreed();
        let error = self.server.updates.obstacle();
        tell(&Status {
            catalog: served.zones.as_ref(),
            remote: self.remote.as_deref(),
            commit: commit.as_deref(),
            fetched,
            error: error.as_deref(),
        })
    }
}

impl Server {
    /// Polls the remote if a sender that proves nothing has requested it and the poll is due.
    pub(super) fn poll_for_unproven(&self) {
        let mut trigger = self.polling.unproven();
        if trigger.begin(self.clock.now().0) {
            trigger.finished();
            self.updates.queue.poke();
        }
    }
}

/// A connection on which every wait ends at a deadline.
struct Line<'s> {
    tcp: Tcp<&'s TcpStream>,
    socket: &'s TcpStream,
}

impl<'s> Line<'s> {
    fn new(socket: &'s TcpStream) -> Self {
        let mut line = Line { tcp: Tcp::over(socket, PATIENCE), socket };
        line.end_in(PATIENCE);
        line
    }

    fn end_in(&mut self, patience: Duration) {
        self.tcp.set_deadline(Some(Deadline::from_now(patience)));
    }

    /// Returns the reply to a client that is too slow, and sets a short deadline for sending it.
    fn late(&mut self) -> Reply {
        self.end_in(LINGER);
        Reply::text(408, "the request takes too long")
    }

    /// Closes the connection so that the client receives the reply even if it is still sending (RFC 9112 §9.6).
    fn part(&mut self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)?;
        self.end_in(LINGER);
        let (mut piece, mut heard) = ([0; 4096], 0);
        while heard < CHATTER {
            match self.tcp.read(&mut piece)? {
                0 => return Ok(()),
                count => heard += count,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_listened_to() {
        let listeners = listen(0).unwrap();
        let port = listeners[0].local_addr().unwrap().port();
        // Two sockets have different ports if the system chooses them.
        if listeners.len() == 1 {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            assert_eq!(listen(port).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        }
    }
}
