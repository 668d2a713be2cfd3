//! The open connections of clients: a bounded table, and which connection is closed when it is full.
//!
//! Each connection has a small thread, so handling it is straight-line code. When all places are taken, a new
//! connection replaces another:
//!
//! * the least recently used one ([`Connection::touch`]); connections that are never used go in order of age;
//! * but not one that waits for something other than its client ([`Connection::begin_wait`]), unless such connections
//!   hold more than three quarters of the places; then the one that has waited longest.
//!
//! The replaced connection is marked, so that the next new connection replaces another one, and its wait is ended.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::wait::Wait;

/// Stack of a connection's thread, in octets.
pub const STACK: usize = 64 * 1024;

/// How long a new connection waits for the replaced one to leave.
const ROOM: Duration = Duration::from_secs(1);

/// The table of open connections.
#[derive(Debug)]
pub struct Connections {
    /// Name of the connections in the log.
    name: &'static str,
    most: usize,
    clock: Clock,
    table: Mutex<Table>,
    left: Condvar,
}

/// Counter of uses, which orders connections by their last use.
type Clock = Arc<AtomicU64>;

#[derive(Debug, Default)]
struct Table {
    next: u64,
    open: BTreeMap<u64, Arc<Connection>>,
}

/// A connection with a place in the table.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    client: SocketAddr,
    clock: Clock,
    /// The last use, as a count that grows with each use of any connection.
    used: AtomicU64,
    /// What its thread waits for, if that is something other than the client.
    wait: Mutex<Option<Arc<Wait>>>,
    /// Whether it is about to end because its place is needed.
    is_leaving: AtomicBool,
}

impl Connection {
    fn new(socket: TcpStream, client: SocketAddr, clock: &Clock) -> Self {
        let connection = Connection {
            socket,
            client,
            clock: Arc::clone(clock),
            used: AtomicU64::new(0),
            wait: Mutex::default(),
            is_leaving: AtomicBool::new(false),
        };
        connection.touch();
        connection
    }

    /// Returns the socket.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Returns the client's address. A socket for both families reports IPv4 clients as IPv4-mapped IPv6 addresses;
    /// this returns plain IPv4 addresses.
    pub fn client(&self) -> IpAddr {
        self.client.ip().to_canonical()
    }

    /// Marks the connection as just used.
    pub fn touch(&self) {
        self.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Records what the thread is about to wait for, so that the wait ends when the place is needed.
    pub fn begin_wait(&self, wait: &Arc<Wait>) {
        *self.wait() = Some(Arc::clone(wait));
        if self.is_leaving.load(Ordering::SeqCst) {
            wait.end();
        }
    }

    /// Records that the thread waits only for the client again.
    pub fn end_wait(&self) {
        *self.wait() = None;
    }

    fn is_waiting(&self) -> bool {
        self.wait().is_some()
    }

    /// Ends the connection: its thread notices wherever it waits, and exits.
    fn end(&self) {
        self.is_leaving.store(true, Ordering::SeqCst);
        // An error means that the connection is closed already.
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some(wait) = &*self.wait() {
            wait.end();
        }
    }

    fn wait(&self) -> MutexGuard<'_, Option<Arc<Wait>>> {
        self.wait.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    /// Returns an empty table for `most` connections; `name` is their name in the log.
    pub fn new(name: &'static str, most: usize) -> Arc<Self> {
        Arc::new(Connections { name, most, clock: Clock::default(), table: Mutex::default(), left: Condvar::new() })
    }

    /// Returns the maximum number of connections.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Accepts connections on `listener`, indefinitely, and starts a thread for each that calls `attend`.
    ///
    /// If a thread cannot be started, that is logged at the level that `complain` returns.
    pub fn serve(
        self: &Arc<Self>,
        listener: &TcpListener,
        complain: impl Fn() -> log::Level,
        attend: impl Fn(&Connection) -> io::Result<()> + Clone + Send + 'static,
    ) {
        let name = self.name;
        loop {
            let (socket, client) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) => {
                    log::debug!("{name}: accepting a connection: {error}");
                    // Either the peer is gone already, or descriptors are exhausted: then closing another connection
                    // frees one.
                    if error.kind() != io::ErrorKind::ConnectionAborted {
                        self.lock().make_room(self.most);
                    }
                    thread::sleep(Duration::from_millis(10));
                    continue;
                }
            };
            let Some((number, connection)) = self.enter(socket, client) else {
                log::debug!("{name}: no room for a connection");
                continue;
            };
            let (all, attend) = (Arc::clone(self), attend.clone());
            let thread = thread::Builder::new().name(format!("{name} connection")).stack_size(STACK).spawn(move || {
                if let Err(error) = attend(&connection) {
                    log::debug!("{name}: a connection from {} ended: {error}", connection.client);
                }
                all.leave(number);
            });
            if let Err(error) = thread {
                log::log!(complain(), "{name}: cannot start a thread for a connection: {error}");
                self.leave(number);
            }
        }
    }

    /// Adds a connection, replacing another if all places are taken; returns `None` if no place becomes free in time.
    fn enter(&self, socket: TcpStream, client: SocketAddr) -> Option<(u64, Arc<Connection>)> {
        let mut table = self.lock();
        if table.open.len() >= self.most {
            table.make_room(self.most);
            let full = |table: &mut Table| table.open.len() >= self.most;
            let waited = self.left.wait_timeout_while(table, ROOM, full).unwrap_or_else(PoisonError::into_inner);
            if waited.1.timed_out() {
                return None;
            }
            table = waited.0;
        }
        table.next += 1;
        let number = table.next;
        let connection = Arc::new(Connection::new(socket, client, &self.clock));
        table.open.insert(number, Arc::clone(&connection));
        Some((number, connection))
    }

    fn leave(&self, number: u64) {
        self.lock().open.remove(&number);
        self.left.notify_one();
    }

    /// Returns the number of connections.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.lock().open.len()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Ends one connection that is not about to end already; `most` is the maximum number of connections.
    fn make_room(&self, most: usize) {
        if let Some(connection) = self.dispensable(most) {
            connection.end();
        }
    }

    /// Returns the connection to be replaced next.
    fn dispensable(&self, most: usize) -> Option<&Connection> {
        let staying = self.open.values().filter(|connection| !connection.is_leaving.load(Ordering::SeqCst));
        let (waiting, others): (Vec<&Connection>, Vec<&Connection>) =
            staying.map(|connection| &**connection).partition(|connection| connection.is_waiting());
        // Waiting connections must leave some places where others can come and go.
        let from = if others.is_empty() || waiting.len() > most * 3 / 4 { waiting } else { others };
        from.into_iter().min_by_key(|connection| connection.used.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    /// Returns a full table of `most` connections, of which those in `waiting` wait, and the clients' ends.
    fn table(most: usize, waiting: &[usize]) -> (Arc<Connections>, Vec<Arc<Connection>>, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connections = Connections::new("test", most);
        let (mut open, mut clients) = (Vec::new(), Vec::new());
        for number in 0..most {
            clients.push(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
            let (socket, client) = listener.accept().unwrap();
            let (_, connection) = connections.enter(socket, client).unwrap();
            if waiting.contains(&number) {
                connection.begin_wait(&Arc::default());
            }
            open.push(connection);
        }
        (connections, open, clients)
    }

    /// Returns which connections are about to end after `count` calls of `make_room`.
    fn ended(most: usize, waiting: &[usize], count: usize) -> Vec<usize> {
        let (connections, open, _clients) = table(most, waiting);
        for _ in 0..count {
            connections.lock().make_room(most);
        }
        (0..most).filter(|number| open[*number].is_leaving.load(Ordering::SeqCst)).collect()
    }

    #[test]
    fn a_stuck_connection_is_not_chosen_again_and_waiting_is_not_idle() {
        assert_eq!(ended(4, &[], 2), [0, 1], "the next one is chosen, though the first has not left");
        assert_eq!(ended(4, &[0, 1], 1), [2]);
        assert_eq!(ended(4, &[0, 1], 2), [2, 3]);
        assert_eq!(ended(4, &[0, 1, 2], 1), [3], "three quarters may wait");
        assert_eq!(ended(4, &[0, 1, 2, 3], 1), [0], "but no more, so that others can come");
        assert_eq!(ended(8, &[0, 1, 2, 3, 4, 5, 6], 1), [0]);
        assert_eq!(ended(1, &[0], 1), [0]);
        assert_eq!(ended(4, &[0, 1, 2, 3], 9), [0, 1, 2, 3]);
    }

    #[test]
    fn a_wait_ends_when_its_slot_is_needed_in_either_order() {
        let (_, open, _clients) = table(2, &[]);
        let wait = Arc::new(Wait::default());
        open[0].begin_wait(&wait);
        open[0].end();
        assert_eq!(wait.reply(LONG), None);
        open[1].end();
        let wait = Arc::new(Wait::default());
        open[1].begin_wait(&wait);
        assert_eq!(wait.reply(LONG), None);
    }

    #[test]
    fn recently_used_connections_stay_and_the_oldest_unused_is_closed() {
        let (connections, open, _clients) = table(3, &[]);
        open[0].touch();
        connections.lock().make_room(3);
        connections.lock().make_room(3);
        let is_leaving = |number: usize| open[number].is_leaving.load(Ordering::SeqCst);
        assert_eq!([0, 1, 2].map(is_leaving), [false, true, true]);
    }
}
