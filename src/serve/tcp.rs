//! Queries over TCP (RFC 7766): one small thread per connection, pipelining, bounds on everything.
//!
//! A thread costs its stack and two buffers; in return, handling a connection is straight-line code. When all places
//! are taken, `net::connections` decides which connection gives up its place, by its last query or its last progress of
//! a transfer. Half a query and unread replies do not count, since they cost a stranger nothing. Only waiting for the
//! outcome of an update or for git's history protects a connection, and only holders of keys and clients that may
//! transfer a zone can do that.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use super::Server;
use super::aside::Done;
use super::complaints::Kind;
use super::queue::Back;
use crate::answer::{Answer, Transport};
use crate::net::connections::{Connection, Connections, STACK};
use crate::net::framing::{FRAME, Inbox, PREFIX, seal, send};
use crate::net::{Promise, Tcp};

/// How long a connection may stay idle without a query (RFC 7766 §6.2.3).
pub(super) const IDLE: Duration = Duration::from_secs(10);

/// How long it may take to receive a query, from its first octet to its last, and to send a batch of replies.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take to send one message of a transfer. A system reports free space in its buffers only when there
/// is much of it, so to a client that reads slowly but steadily nothing is sent for long periods.
const STREAMING: Duration = Duration::from_secs(60);

/// How long a connection waits for the outcome of an update. After that it is closed, since the outcome is unknown.
const OUTCOME: Duration = Duration::from_secs(300);

/// Size of the buffer for queries that is kept between them, in octets.
const INBOX: usize = 2048;

/// Number of octets from which replies are sent together.
const BATCH: usize = 16 * 1024;

/// Maximum cost of a connection in octets: stack, buffers for the longest query and for replies, and the socket's own.
const COST: u64 = (STACK + FRAME + BATCH + FRAME + 24 * 1024) as u64;

/// Maximum number of connections unless configured. Their sockets fit the usual limit of descriptors of a process.
const MOST: u64 = 512;

/// Minimum number of connections, however little memory there is.
const FEWEST: u64 = 16;

/// Returns an empty table for `most` connections, or for as many as fit into a quarter of `memory` octets.
pub(super) fn connections(most: Option<usize>, memory: Option<u64>) -> Arc<Connections> {
    let fitting = memory.map_or(MOST, |memory| (memory / 4 / COST).clamp(FEWEST, MOST));
    Connections::new("tcp", most.unwrap_or(usize::try_from(fitting).unwrap_or(usize::MAX)))
}

/// Accepts connections on `listener`, indefinitely.
pub(super) fn run(server: &Arc<Server>, listener: &TcpListener, connections: &Arc<Connections>) {
    let serving = Arc::clone(server);
    connections.serve(listener, || server.complain(Kind::Thread), move |connection| converse(&serving, connection));
}

/// Answers the queries of one connection until it ends.
fn converse(server: &Server, connection: &Connection) -> io::Result<()> {
    let (stream, source) = (connection.socket(), connection.client());
    stream.set_nodelay(true)?;
    let mut inbox = Inbox::new(Tcp::over(stream, IDLE), INBOX).patience(PATIENCE);
    let mut outlet = Tcp::over(stream, PATIENCE);
    let mut outbox = vec![0; BATCH + FRAME];
    let mut filled = 0;
    // A client that has closed its sending side may still read: its last queries are answered before the end is seen.
    while let Some(query) = inbox.message()? {
        connection.touch();
        let message = &mut outbox[filled + PREFIX..];
        let room = message.len().min(FRAME - PREFIX);
        let message = &mut message[..room];
        let length = match server.respond(Transport::TCP, source, query, message) {
            Answer::Reply(length) => Some(length),
            Answer::Silence => None,
            Answer::Aside => {
                let wait = Arc::default();
                connection.begin_wait(&wait);
                let back = Back::Stream(Promise::new(&wait));
                let done = server.deal_with(Transport::TCP, source, query, message, back);
                if !matches!(done, Done::Later) {
                    connection.end_wait();
                }
                match done {
                    Done::Reply(length) => Some(length),
                    Done::Silence => None,
                    Done::Stream(mut messages) => {
                        send(&mut outlet, &outbox[..filled], PATIENCE, || {})?;
                        filled = 0;
                        let progress = || connection.touch();
                        while let Some(length) =
                            messages.next(server, &mut outbox[PREFIX..FRAME]).map_err(io::Error::other)?
                        {
                            seal(&mut outbox, length)?;
                            send(&mut outlet, &outbox[..PREFIX + length], STREAMING, progress)?;
                        }
                        continue;
                    }
                    Done::Later => {
                        // Send the replies to earlier queries first: they need not wait for this one.
                        send(&mut outlet, &outbox[..filled], PATIENCE, || {})?;
                        filled = 0;
                        let reply = wait.reply(OUTCOME);
                        connection.end_wait();
                        reply.map(|reply| {
                            outbox[PREFIX..PREFIX + reply.len()].copy_from_slice(&reply);
                            reply.len()
                        })
                    }
                }
            }
        };
        if let Some(length) = length {
            seal(&mut outbox[filled..], length)?;
            filled += PREFIX + length;
        }
        if filled >= BATCH || length.is_none() || !inbox.has_message() {
            send(&mut outlet, &outbox[..filled], PATIENCE, || {})?;
            filled = 0;
        }
        // Silence is right for a message that is not a query; on a stream, nothing sensible can follow it.
        if length.is_none() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpStream};
    use std::thread;

    /// Returns a query for `example.org. A` with the message ID `id`, framed for a stream.
    fn query(id: u16) -> Vec<u8> {
        let mut message = id.to_be_bytes().to_vec();
        message.extend_from_slice(b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01");
        let mut framed = u16::try_from(message.len()).unwrap().to_be_bytes().to_vec();
        framed.append(&mut message);
        framed
    }

    fn start(most: usize) -> (std::net::SocketAddr, Arc<Connections>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = connections(Some(most), None);
        let (server, all) = (crate::serve::tests::server(&[], 1), Arc::clone(&connections));
        thread::spawn(move || run(&server, &listener, &all));
        (address, connections)
    }

    /// Reads one reply and returns its message ID.
    fn reply_id(stream: &mut TcpStream) -> io::Result<u16> {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut message)?;
        Ok(u16::from_be_bytes([message[0], message[1]]))
    }

    fn ask(stream: &mut TcpStream, id: u16) {
        stream.write_all(&query(id)).unwrap();
        assert_eq!(reply_id(stream).unwrap(), id);
    }

    #[test]
    fn queries_in_one_segment_are_all_answered_in_order() {
        let (address, _) = start(4);
        let mut stream = TcpStream::connect(address).unwrap();
        let many: Vec<u8> = (0..2000).flat_map(query).collect();
        let mut writer = stream.try_clone().unwrap();
        let writing = thread::spawn(move || writer.write_all(&many).unwrap());
        for id in 0..2000 {
            assert_eq!(reply_id(&mut stream).unwrap(), id);
        }
        writing.join().unwrap();
    }

    #[test]
    fn a_query_in_segments_of_one_octet_is_answered() {
        let (address, _) = start(4);
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        for octet in query(7) {
            stream.write_all(&[octet]).unwrap();
        }
        assert_eq!(reply_id(&mut stream).unwrap(), 7);
    }

    #[test]
    fn the_connection_idle_longest_makes_room() {
        let (address, connections) = start(2);
        let mut first = TcpStream::connect(address).unwrap();
        let mut second = TcpStream::connect(address).unwrap();
        ask(&mut first, 1);
        ask(&mut second, 2);
        ask(&mut first, 3);
        let mut third = TcpStream::connect(address).unwrap();
        ask(&mut third, 4);
        assert!(reply_id(&mut second).is_err(), "the second had been idle longest");
        ask(&mut first, 5);
        assert_eq!(connections.count(), 2);
    }

    #[test]
    fn what_is_no_query_ends_the_connection_but_not_before_earlier_queries_are_answered() {
        let (address, _) = start(2);
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&[query(1), query(2), b"\x00\x05hello".to_vec()].concat()).unwrap();
        assert_eq!((reply_id(&mut stream).unwrap(), reply_id(&mut stream).unwrap()), (1, 2));
        assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0);
    }

    #[test]
    fn a_client_that_has_said_all_gets_all_replies() {
        let (address, _) = start(2);
        for count in [1, 3, 500] {
            let mut stream = TcpStream::connect(address).unwrap();
            // In one piece with the end of the stream, followed by half a query that is never completed.
            let mut all: Vec<u8> = (0..count).flat_map(query).collect();
            all.extend(&query(count)[..9]);
            stream.write_all(&all).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            for id in 0..count {
                assert_eq!(reply_id(&mut stream).unwrap(), id);
            }
            assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0);
        }
    }

    #[test]
    fn long_queries_are_taken_and_leave_no_room_behind() {
        let (address, _) = start(2);
        let mut stream = TcpStream::connect(address).unwrap();
        for length in [65_535_u16, 13, 30_000] {
            let mut message = vec![0; usize::from(length)];
            message[..2].copy_from_slice(&length.to_be_bytes());
            stream.write_all(&length.to_be_bytes()).unwrap();
            stream.write_all(&message).unwrap();
            assert_eq!(reply_id(&mut stream).unwrap(), length);
        }
        ask(&mut stream, 5);
    }

    #[test]
    fn one_that_reads_nothing_holds_nobody_up() {
        let (address, connections) = start(2);
        let mut greedy = TcpStream::connect(address).unwrap();
        greedy.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let many: Vec<u8> = (0..2000).flat_map(query).collect();
        // Until all buffers in between are full.
        while greedy.write_all(&many).is_ok() {}
        let mut other = TcpStream::connect(address).unwrap();
        ask(&mut other, 1);
        // It has asked nothing recently, so it is replaced when there is no place left.
        let mut third = TcpStream::connect(address).unwrap();
        ask(&mut third, 2);
        ask(&mut other, 3);
        assert_eq!(connections.count(), 2);
    }

    #[test]
    fn memory_decides_how_many_there_may_be() {
        assert_eq!(connections(None, None).most(), 512);
        assert_eq!(connections(Some(3), Some(1 << 40)).most(), 3);
        assert_eq!(connections(None, Some(1 << 40)).most(), 512);
        assert_eq!(connections(None, Some(1 << 20)).most(), 16);
        let most = connections(None, Some(64 << 20)).most() as u64;
        assert!(most * COST <= 16 << 20 && most > 50, "{most}");
    }
}
