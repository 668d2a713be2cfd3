//! A proxy between a server and its git remote that adds delay or faults at chosen points.
//!
//! A [`Proxy`] forwards the traffic and parses it only as far as needed: the first packet line of
//! a connection of git's own protocol tells a push from a fetch, and after the flush packet that ends a push's commands
//! comes the pack. Faults strike pushes there, or all connections.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::{Error, Port, Remote, Result, namespace};

/// A fault of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Connections are closed as soon as they are accepted.
    Closed,
    /// Connections are accepted, and then nothing happens.
    Silent,
    /// A push is cut off at its request.
    BeforePush,
    /// A push is cut off in the middle of its pack, of which the remote gets some octets.
    InPack,
    /// A push arrives and is carried out, and then the connection is closed: the remote's report never arrives.
    BeforeReport,
    /// The same, and from then on everything is [`Fault::Closed`].
    BeforeReportThenClosed,
}

/// A proxy in front of a remote's daemon; it ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    port: Port,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

/// The state shared by the threads.
#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    round_trip: Duration,
    /// The fault, and the number of connections it still applies to.
    fault: Mutex<Option<(Fault, usize)>>,
    pushes: AtomicUsize,
    struck: AtomicUsize,
    ended: AtomicBool,
    /// Both ends of all connections, to close them.
    streams: Mutex<Vec<TcpStream>>,
    /// The connections without traffic.
    silent: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A proxy to the daemon of `remote`, without delay and without fault.
    pub fn to(remote: &Remote) -> Result<Proxy> {
        Proxy::delayed(remote, Duration::ZERO)
    }

    /// A proxy that is `round_trip` away from the daemon of `remote`: data arrives after half of it, and opening a
    /// connection takes one.
    pub fn delayed(remote: &Remote, round_trip: Duration) -> Result<Proxy> {
        Proxy::to_address(remote.address(), round_trip)
    }

    /// As [`Proxy::delayed`], to any server at `target`, whose protocol is not parsed.
    pub fn to_address(target: SocketAddr, round_trip: Duration) -> Result<Proxy> {
        let port = Port::new();
        let ip = if namespace::inside() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        let listener = TcpListener::bind((ip, port.number())).map_err(Error::io("the proxy cannot listen"))?;
        let shared = Arc::new(Shared {
            target,
            round_trip,
            fault: Mutex::default(),
            pushes: AtomicUsize::new(0),
            struck: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            streams: Mutex::default(),
            silent: Mutex::default(),
        });
        let listening = Arc::clone(&shared);
        let listener = thread::spawn(move || listening.listen(&listener));
        Ok(Proxy { port, shared, listener: Some(listener) })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The URL of the remote's repository by this way, for a server that sees this machine as `host`.
    pub fn url(&self, host: &str) -> String {
        format!("git://{host}:{}/zones.git", self.port.number())
    }

    /// Applies a fault this many `times`; connections (for the general faults) or pushes count.
    pub fn fail(&self, fault: Fault, times: usize) {
        *lock(&self.shared.fault) = Some((fault, times));
        if matches!(fault, Fault::Closed | Fault::Silent) {
            cut(&self.shared.streams);
        }
    }

    /// Applies a fault until [`Proxy::repair`].
    pub fn fail_always(&self, fault: Fault) {
        self.fail(fault, usize::MAX);
    }

    /// Removes the fault. Connections with [`Fault::Silent`] are closed.
    pub fn repair(&self) {
        *lock(&self.shared.fault) = None;
        cut(&self.shared.silent);
    }

    /// Closes all current connections.
    pub fn cut(&self) {
        cut(&self.shared.streams);
    }

    /// Returns how many pushes were attempted, complete or not.
    pub fn pushes(&self) -> usize {
        self.shared.pushes.load(Ordering::SeqCst)
    }

    /// Returns how many connections a fault affected.
    pub fn struck(&self) -> usize {
        self.shared.struck.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        cut(&self.shared.streams);
        cut(&self.shared.silent);
        // Wakes the listener.
        let _ = TcpStream::connect(self.port.address());
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
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
            thread::spawn(move || shared.connection(client));
        }
    }

    fn connection(&self, client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        if self.take(Fault::Closed) {
            return client.shutdown(Shutdown::Both);
        }
        if self.take(Fault::Silent) {
            remember(&self.silent, &client)?;
            let mut client = client;
            io::copy(&mut client, &mut io::sink())?;
            return Ok(());
        }
        let daemon = match TcpStream::connect(self.target) {
            Ok(daemon) => daemon,
            Err(_) => return client.shutdown(Shutdown::Both),
        };
        daemon.set_nodelay(true)?;
        remember(&self.streams, &client)?;
        remember(&self.streams, &daemon)?;
        let deaf = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let outcome = self.requests(&client, &daemon, &deaf);
                end(outcome, &client, &daemon);
            });
            scope.spawn(|| {
                let passed = self.pass(&daemon, &client, Duration::ZERO, |octets| {
                    Ok(if deaf.load(Ordering::SeqCst) { 0 } else { octets.len() })
                });
                // The daemon sends no more: the client is informed, and the daemon's side is closed, too.
                if deaf.load(Ordering::SeqCst) {
                    let _ = client.shutdown(Shutdown::Both);
                }
                end(passed, &daemon, &client);
            });
        });
        Ok(())
    }

    /// Forwards the client's data, up to a fault.
    fn requests(&self, client: &TcpStream, daemon: &TcpStream, deaf: &AtomicBool) -> io::Result<()> {
        let mut reader = PushReader::default();
        let mut in_pack = 0_usize;
        // The delay of opening a connection is spent here, before the first octet.
        self.pass(client, daemon, self.round_trip, |octets| {
            let before = reader.stage;
            let pack = reader.read(octets);
            if before == Stage::Request && reader.stage != Stage::Request && reader.is_push {
                self.pushes.fetch_add(1, Ordering::SeqCst);
                if self.take(Fault::BeforePush) {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
            if pack == 0 {
                return Ok(octets.len());
            }
            if in_pack == 0 {
                if self.take(Fault::BeforeReport) {
                    deaf.store(true, Ordering::SeqCst);
                } else if self.take(Fault::BeforeReportThenClosed) {
                    deaf.store(true, Ordering::SeqCst);
                    *lock(&self.fault) = Some((Fault::Closed, usize::MAX));
                } else if self.take(Fault::InPack) {
                    in_pack = usize::MAX;
                    // The pack's header and a little more.
                    return Ok(octets.len() - pack + pack.min(20));
                }
            } else if in_pack == usize::MAX {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            in_pack = in_pack.saturating_add(pack);
            Ok(octets.len())
        })
    }

    /// Passes octets on from one to the other until the end, each after half a round trip; the first ones after
    /// `before`, too. `allow` says how many of the octets that came may pass; fewer than all, and nothing follows.
    fn pass(
        &self,
        from: &TcpStream,
        to: &TcpStream,
        before: Duration,
        mut allow: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let (sender, receiver) = mpsc::sync_channel::<(Instant, Vec<u8>)>(4096);
        let (mut from, mut to) = (from, to);
        thread::scope(|scope| {
            let writer = scope.spawn(move || {
                for (due, octets) in receiver {
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    to.write_all(&octets)?;
                }
                Ok(())
            });
            let begin = Instant::now() + before;
            let mut buffer = vec![0; 65_536];
            let outcome = loop {
                let count = match from.read(&mut buffer) {
                    Ok(0) => break Ok(()),
                    Ok(count) => count,
                    Err(error) => break Err(error),
                };
                let allowed = match allow(&buffer[..count]) {
                    Ok(allowed) => allowed,
                    Err(error) => break Err(error),
                };
                let due = Instant::now().max(begin) + self.round_trip / 2;
                if sender.send((due, buffer[..allowed].to_vec())).is_err() {
                    break Ok(());
                }
                if allowed < count && allowed > 0 {
                    break Err(io::ErrorKind::ConnectionAborted.into());
                }
            };
            drop(sender);
            let written = writer.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
            outcome.and(written)
        })
    }

    /// Returns whether `fault` strikes now, and counts it.
    fn take(&self, fault: Fault) -> bool {
        let mut current = lock(&self.fault);
        let Some((set, times)) = *current else { return false };
        if set != fault || times == 0 {
            return false;
        }
        *current = (times > 1).then_some((set, times - 1));
        self.struck.fetch_add(1, Ordering::SeqCst);
        true
    }
}

fn remember(streams: &Mutex<Vec<TcpStream>>, stream: &TcpStream) -> io::Result<()> {
    let mut streams = lock(streams);
    // Remove those that have ended.
    streams.retain(|stream| stream.peer_addr().is_ok());
    streams.push(stream.try_clone()?);
    Ok(())
}

/// Ends all these connections.
fn cut(streams: &Mutex<Vec<TcpStream>>) {
    for stream in lock(streams).drain(..) {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// After one direction's end: the other side is told, and after a fault, both are.
fn end(outcome: io::Result<()>, from: &TcpStream, to: &TcpStream) {
    let _ = match outcome {
        Ok(()) => to.shutdown(Shutdown::Write),
        Err(_) => from.shutdown(Shutdown::Both).and(to.shutdown(Shutdown::Both)),
    };
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The position in a client's data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// The first packet line.
    #[default]
    Request,
    /// The packet lines up to a flush packet.
    Commands,
    /// The rest.
    Pack,
}

/// Parses the data of a push.
#[derive(Debug, Default)]
struct PushReader {
    stage: Stage,
    is_push: bool,
    /// The current packet line.
    line: Vec<u8>,
}

impl PushReader {
    /// Reads on, and returns how many of the last octets are in the pack.
    fn read(&mut self, octets: &[u8]) -> usize {
        for (index, octet) in octets.iter().enumerate() {
            if self.stage == Stage::Pack {
                return octets.len() - index;
            }
            self.line.push(*octet);
            let length = self.line.get(..4).and_then(|digits| std::str::from_utf8(digits).ok());
            let Some(length) = length.and_then(|digits| usize::from_str_radix(digits, 16).ok()) else { continue };
            if self.line.len() < length.max(4) {
                continue;
            }
            match self.stage {
                Stage::Request => {
                    self.is_push = self.line[4..].starts_with(b"git-receive-pack ");
                    self.stage = Stage::Commands;
                }
                // A fetch has flush packets in many places.
                _ if length == 0 && self.is_push => self.stage = Stage::Pack,
                _ => {}
            }
            self.line.clear();
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_pack_in_a_push() {
        let push = b"0025git-receive-pack /zones.git\0host=0008old 0000PACK....";
        for cut in 0..push.len() {
            let mut reader = PushReader::default();
            let pack = reader.read(&push[..cut]) + reader.read(&push[cut..]);
            assert!(reader.is_push);
            assert_eq!(pack, 8, "cut at {cut}");
        }
        let mut reader = PushReader::default();
        assert_eq!(reader.read(b"0024git-upload-pack /zones.git\0host=0000PACK"), 0);
        assert!(!reader.is_push);
    }
}
