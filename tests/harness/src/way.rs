//! A proxy between two name servers that records, drops or breaks traffic, also in the middle of a transfer.
//!
//! A [`Way`] forwards DNS messages over UDP and TCP to one server and records the requests and the form of the answers.
//! So a test can verify on the wire, independent of the servers' logs, that a transfer was incremental.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::update::Transport;
use crate::wire::{self, frame, kind, opcode};
use crate::{Error, Port, Result, namespace};

/// How long a datagram may be answered, at most.
const DATAGRAM_PATIENCE: Duration = Duration::from_secs(10);

/// How soon a thread notices that the proxy was dropped.
const TICK: Duration = Duration::from_millis(100);

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// No answer yet, or too little of it to classify.
    Nothing,
    /// With an error, by its number.
    Failed(u8),
    /// With no record or a single one: an acknowledgement, an answer, "up to date", "use TCP".
    Single,
    /// With the differences from one version to another (RFC 1995 §4).
    Incremental,
    /// With the whole zone.
    Whole,
}

/// A forwarded request, and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The transport.
    pub transport: Transport,
    /// What it is: a query, or see [`opcode`].
    pub opcode: u8,
    /// The name in the question, in lower case and without its final dot.
    pub name: String,
    /// The type in the question, by number.
    pub kind: u16,
    /// Whether it was dropped.
    pub lost: bool,
    /// How it was answered.
    pub form: Form,
    /// How many messages the answer was.
    pub messages: usize,
    /// The octets of the answer.
    pub octets: usize,
}

/// A proxy in front of a name server; it ends when dropped.
#[derive(Debug)]
pub struct Way {
    address: SocketAddr,
    /// Reserved as long as the way lives, where it is one of ours.
    _port: Option<Port>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// The faults to apply.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    /// Number of notifications still to be dropped.
    notifications: usize,
    /// How many answers are still to be cut off, each after so many octets.
    cuts: usize,
    cut_after: usize,
    /// Whether all traffic is blocked.
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    target: Mutex<SocketAddr>,
    faults: Mutex<Faults>,
    passed: Mutex<Vec<Passed>>,
    /// How many of them are forgotten.
    forgotten: AtomicUsize,
    ended: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Way {
    /// Returns a proxy to the server at `target`, without faults.
    pub fn to(target: SocketAddr) -> Result<Way> {
        let port = Port::new();
        let ip = if namespace::inside() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        let mut way = Way::begin((ip, port.number()).into(), target)?;
        (way.address, way._port) = (port.address(), Some(port));
        Ok(way)
    }

    /// The same, from an address and a port that others expect it at; in a namespace of one's own.
    pub fn at(address: SocketAddr, target: SocketAddr) -> Result<Way> {
        Way::begin(address, target)
    }

    fn begin(address: SocketAddr, target: SocketAddr) -> Result<Way> {
        let listen = || Error::io(format!("the way cannot listen at {address}"));
        let listener = TcpListener::bind(address).map_err(listen())?;
        let socket = UdpSocket::bind(address).map_err(listen())?;
        socket.set_read_timeout(Some(TICK)).map_err(listen())?;
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            faults: Mutex::default(),
            passed: Mutex::default(),
            forgotten: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            streams: Mutex::default(),
        });
        let (by_tcp, by_udp) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads =
            vec![thread::spawn(move || by_tcp.listen(&listener)), thread::spawn(move || by_udp.datagrams(&socket))];
        Ok(Way { address, _port: None, shared, threads })
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the target server.
    pub fn lead_to(&self, target: SocketAddr) {
        *lock(&self.shared.target) = target;
    }

    /// Loses the next `count` notifications.
    pub fn lose_notifications(&self, count: usize) {
        lock(&self.shared.faults).notifications = count;
    }

    /// Breaks the next `count` connections when so many octets of an answer have passed.
    pub fn cut_after(&self, octets: usize, count: usize) {
        let mut faults = lock(&self.shared.faults);
        (faults.cut_after, faults.cuts) = (octets, count);
    }

    /// How many connections are still to be broken.
    pub fn cuts_left(&self) -> usize {
        lock(&self.shared.faults).cuts
    }

    /// Blocks or unblocks all traffic.
    pub fn set_closed(&self, closed: bool) {
        lock(&self.shared.faults).closed = closed;
        if closed {
            for stream in lock(&self.shared.streams).drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Returns the requests so far.
    pub fn passed(&self) -> Vec<Passed> {
        lock(&self.shared.passed)[self.shared.forgotten.load(Ordering::SeqCst)..].to_vec()
    }

    /// Discards the requests recorded so far.
    pub fn forget(&self) {
        // They are kept in place, since some may still be in progress.
        self.shared.forgotten.store(lock(&self.shared.passed).len(), Ordering::SeqCst);
    }

    /// The forms in which transfers of `zone` were answered, without those that were not needed.
    pub fn transfers(&self, zone: &str) -> Vec<Form> {
        let passed = self.passed();
        let transfers = passed.iter().filter(|passed| {
            passed.name == zone && passed.opcode == opcode::QUERY && [kind::AXFR, kind::IXFR].contains(&passed.kind)
        });
        transfers.map(|passed| passed.form).filter(|form| *form != Form::Single && *form != Form::Nothing).collect()
    }

    /// The notifications of `zone`, those that were lost too.
    pub fn notifications(&self, zone: &str) -> Vec<Passed> {
        let mut passed = self.passed();
        passed.retain(|passed| passed.name == zone && passed.opcode == opcode::NOTIFY);
        passed
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        for stream in lock(&self.shared.streams).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn listen(self: &Arc<Shared>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            let Ok(client) = client else { continue };
            let shared = Arc::clone(self);
            // If it fails, the connection ends, and both sides notice that.
            thread::spawn(move || shared.connection(&client));
        }
    }

    fn connection(&self, client: &TcpStream) -> io::Result<()> {
        if lock(&self.faults).closed {
            return client.shutdown(Shutdown::Both);
        }
        let target = *lock(&self.target);
        let server = match TcpStream::connect(target) {
            Ok(server) => server,
            Err(_) => return client.shutdown(Shutdown::Both),
        };
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        {
            let mut streams = lock(&self.streams);
            streams.retain(|stream| stream.peer_addr().is_ok());
            streams.extend([client.try_clone()?, server.try_clone()?]);
        }
        let open = Mutex::default();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = self.requests(client, &server, &open);
                let _ = server.shutdown(Shutdown::Write);
            });
            if self.answers(&server, client, &open).is_err() {
                let _ = server.shutdown(Shutdown::Both);
            }
            let _ = client.shutdown(Shutdown::Both);
        });
        Ok(())
    }

    /// Forwards the client's data.
    fn requests(
        &self,
        mut client: &TcpStream,
        mut server: &TcpStream,
        open: &Mutex<HashMap<u16, Answer>>,
    ) -> io::Result<()> {
        while let Some(message) = receive(&mut client)? {
            if let Some((id, place)) = self.note(&message, Transport::Tcp, false) {
                lock(open).insert(id, Answer { place, second: None, records: 0 });
            }
            server.write_all(&frame(&message))?;
        }
        Ok(())
    }

    /// Forwards the server's data, up to a cut.
    fn answers(
        &self,
        mut server: &TcpStream,
        mut client: &TcpStream,
        open: &Mutex<HashMap<u16, Answer>>,
    ) -> io::Result<()> {
        let mut octets = 0;
        while let Some(message) = receive(&mut server)? {
            if let Some(answer) = wire::id(&message).and_then(|id| lock(open).get(&id).copied()) {
                let answer = self.answered(answer, &message);
                lock(open).insert(wire::id(&message).unwrap_or_default(), answer);
            }
            let framed = frame(&message);
            let cut = {
                let mut faults = lock(&self.faults);
                let cut = faults.cuts > 0 && octets + framed.len() > faults.cut_after;
                faults.cuts -= usize::from(cut);
                cut.then(|| faults.cut_after - octets)
            };
            if let Some(allowed) = cut {
                client.write_all(&framed[..allowed])?;
                return Err(ErrorKind::ConnectionAborted.into());
            }
            octets += framed.len();
            client.write_all(&framed)?;
        }
        Ok(())
    }

    fn datagrams(self: &Arc<Shared>, socket: &UdpSocket) {
        let mut buffer = vec![0; 65_535];
        while !self.ended.load(Ordering::SeqCst) {
            let Ok((length, client)) = socket.recv_from(&mut buffer) else { continue };
            let message = buffer[..length].to_vec();
            let lost = {
                let mut faults = lock(&self.faults);
                let lost = faults.notifications > 0 && wire::opcode_of(&message) == Some(opcode::NOTIFY);
                faults.notifications -= usize::from(lost);
                lost || faults.closed
            };
            let place = self.note(&message, Transport::Udp, lost);
            let Ok(back) = socket.try_clone() else { continue };
            if !lost {
                let shared = Arc::clone(self);
                thread::spawn(move || shared.datagram(&message, place, client, &back));
            }
        }
    }

    /// Forwards a datagram and the answer.
    fn datagram(
        &self,
        message: &[u8],
        place: Option<(u16, usize)>,
        client: SocketAddr,
        back: &UdpSocket,
    ) -> io::Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(*lock(&self.target))?;
        socket.send(message)?;
        socket.set_read_timeout(Some(TICK))?;
        let begin = Instant::now();
        let mut buffer = vec![0; 65_535];
        while begin.elapsed() < DATAGRAM_PATIENCE && !self.ended.load(Ordering::SeqCst) {
            match socket.recv(&mut buffer) {
                Ok(length) => {
                    if let Some((_, place)) = place {
                        self.answered(Answer { place, second: None, records: 0 }, &buffer[..length]);
                    }
                    back.send_to(&buffer[..length], client)?;
                    return Ok(());
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                // No server is there, so nothing comes back, as on a real network.
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Records a request; returns its id and its index.
    fn note(&self, message: &[u8], transport: Transport, lost: bool) -> Option<(u16, usize)> {
        let (name, kind) = wire::question(message)?;
        let mut passed = lock(&self.passed);
        passed.push(Passed {
            transport,
            opcode: wire::opcode_of(message)?,
            name: name.to_ascii_lowercase(),
            kind,
            lost,
            form: Form::Nothing,
            messages: 0,
            octets: 0,
        });
        Some((wire::id(message)?, passed.len() - 1))
    }

    /// Records a message of an answer.
    fn answered(&self, mut answer: Answer, message: &[u8]) -> Answer {
        let records: Vec<_> = wire::records(message).collect();
        let before = answer.records;
        answer.records += records.len();
        if answer.second.is_none() && answer.records >= 2 {
            answer.second = Some(records[1 - before].kind);
        }
        let mut passed = lock(&self.passed);
        let passed = &mut passed[answer.place];
        passed.messages += 1;
        passed.octets += message.len();
        passed.form = match (wire::rcode(message), answer.second) {
            (Some(code), _) if code != 0 => Form::Failed(code),
            (_, Some(kind::SOA)) => Form::Incremental,
            (_, Some(_)) => Form::Whole,
            (_, None) => Form::Single,
        };
        answer
    }
}

/// The progress of an answer.
#[derive(Clone, Copy, Debug)]
struct Answer {
    /// The index of its request.
    place: usize,
    /// The type of its second record, which distinguishes incremental transfers from others.
    second: Option<u16>,
    records: usize,
}

/// The next message, or nothing at the end.
fn receive(stream: &mut &TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 2];
    match stream.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(Some(message))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
