//! The connections that clients hold open: a bounded table, and who goes when it is full.
//!
//! Each connection has a small thread, in which it is a straight line of code. When all places are taken, a new connection
//! replaces another:
//!
//! * the one that was used longest ago ([`Connection::touch`]); one that never is, in order of age;
//! * but not one that waits for something other than its client ([`Connection::begin_wait`]), unless these hold more than
//!   three quarters of the places; then the one that has waited longest.
//!
//! The connection replaced is marked, so that the next new connection replaces another one, and its wait is ended.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::wait::Wait;

/// The stack of a connection's thread, in octets.
pub const STACK: usize = 64 * 1024;

/// How long a new connection waits for the one that makes room.
const ROOM: Duration = Duration::from_secs(1);

/// The connections there are.
#[derive(Debug)]
pub struct Connections {
    /// What they are called in the log.
    name: &'static str,
    most: usize,
    clock: Clock,
    table: Mutex<Table>,
    left: Condvar,
}

/// Counts uses, to order connections by them.
type Clock = Arc<AtomicU64>;

#[derive(Debug, Default)]
struct Table {
    next: u64,
    open: BTreeMap<u64, Arc<Connection>>,
}

/// A connection that has a place.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    client: SocketAddr,
    clock: Clock,
    /// When it was used last, as a count that grows with the uses of any connection.
    used: AtomicU64,
    /// What its thread waits for, if that is something other than the client.
    wait: Mutex<Option<Arc<Wait>>>,
    /// Its place is needed: it is about to end.
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

    /// Returns its socket.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Returns whence it comes. A socket for both families shows IPv4 clients in IPv6's clothes; here they have their own.
    pub fn client(&self) -> IpAddr {
        self.client.ip().to_canonical()
    }

    /// Notes that it is of use just now.
    pub fn touch(&self) {
        self.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Notes what its thread is going to wait for, so that it ends when the place is needed.
    pub fn begin_wait(&self, wait: &Arc<Wait>) {
        *self.wait() = Some(Arc::clone(wait));
        if self.is_leaving.load(Ordering::SeqCst) {
            wait.end();
        }
    }

    /// Notes that its thread waits for nothing but the client any more.
    pub fn end_wait(&self) {
        *self.wait() = None;
    }

    fn is_waiting(&self) -> bool {
        self.wait().is_some()
    }

    /// Ends it: its thread sees that wherever it waits, and leaves.
    fn end(&self) {
        self.is_leaving.store(true, Ordering::SeqCst);
        // An error means that it is gone already.
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
    /// Returns an empty table for `most` connections, which the log calls `name`.
    pub fn new(name: &'static str, most: usize) -> Arc<Self> {
        Arc::new(Connections { name, most, clock: Clock::default(), table: Mutex::default(), left: Condvar::new() })
    }

    /// Returns how many there may be.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Accepts connections on `listener`, for ever, and gives each a thread in which `attend` deals with it.
    ///
    /// Where a thread cannot be had, `complain` tells how loudly to say so.
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
                    // The peer is gone already, or descriptors are short: another connection has one.
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

    /// Takes a connection in, at the cost of another when all places are taken; `None` if none becomes free in time.
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

    /// Returns how many there are.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.lock().open.len()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Ends a connection, of `most` there may be, that is not about to end already.
    fn make_room(&self, most: usize) {
        if let Some(connection) = self.dispensable(most) {
            connection.end();
        }
    }

    /// Returns the connection whose place is given to the next.
    fn dispensable(&self, most: usize) -> Option<&Connection> {
        let staying = self.open.values().filter(|connection| !connection.is_leaving.load(Ordering::SeqCst));
        let (waiting, others): (Vec<&Connection>, Vec<&Connection>) =
            staying.map(|connection| &**connection).partition(|connection| connection.is_waiting());
        // Those that wait leave some places where others can come and go.
        let from = if others.is_empty() || waiting.len() > most * 3 / 4 { waiting } else { others };
        from.into_iter().min_by_key(|connection| connection.used.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    /// A table of `most` places, all taken by connections of which those of `waiting` wait; and the clients' ends.
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

    /// Which of `open` are about to end after room was made for `count` more.
    fn ended(most: usize, waiting: &[usize], count: usize) -> Vec<usize> {
        let (connections, open, _clients) = table(most, waiting);
        for _ in 0..count {
            connections.lock().make_room(most);
        }
        (0..most).filter(|number| open[*number].is_leaving.load(Ordering::SeqCst)).collect()
    }

    #[test]
    fn one_that_cannot_leave_is_not_chosen_again_and_waiting_is_not_idle() {
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
    fn a_wait_ends_when_the_place_is_needed_whichever_comes_first() {
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
    fn whoever_was_used_lately_stays_and_the_oldest_of_those_never_used_goes() {
        let (connections, open, _clients) = table(3, &[]);
        open[0].touch();
        connections.lock().make_room(3);
        connections.lock().make_room(3);
        let is_leaving = |number: usize| open[number].is_leaving.load(Ordering::SeqCst);
        assert_eq!([0, 1, 2].map(is_leaving), [false, true, true]);
    }
}
