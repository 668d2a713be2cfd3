//! An SNTP client that sets the clock from a server on the network (RFC 4330).
//!
//! The client steps the clock: a name server needs an accuracy of seconds, for signatures and certificates, not of
//! microseconds. It queries the servers in order until one returns the time, and uses the sample with the shortest
//! round trip of a few from that server. An answer must repeat the random number in the request, so only an attacker on
//! the path can forge one.
//!
//! `packet` converts octets to an offset without I/O. This module has the sockets, and [`keep`] runs for the lifetime
//! of a machine.

mod packet;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use packet::{Fault, PACKET, Sample};

use crate::net::is_timeout;
use crate::telemetry::Trouble;
use crate::text;

/// The number of answers of a server that are compared.
const SAMPLES: usize = 3;

/// The timeout for an answer.
const ANSWER: Duration = Duration::from_secs(1);

/// The number of requests to a silent server before the next one is tried.
const TRIES: usize = 2;

/// The polling interval.
const INTERVAL: Duration = Duration::from_secs(1800);

/// The minimum and maximum wait after a failure; it doubles with each failure.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(256));

/// The minimum correction that is logged at level info, in nanoseconds.
const MIN_LOGGED: i64 = 500_000_000;

/// The earliest plausible time, in seconds since 1970: the beginning of 2026, before this program was written.
const EARLIEST: u64 = 1_767_225_600;

/// The offset of our clock according to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// How far our clock is behind, in nanoseconds; negative if it is ahead.
    pub nanoseconds: i64,
    /// The round-trip time; the error of the offset is at most half of it.
    pub delay: Duration,
    /// The stratum of the server: its distance from a reference clock, 1 to 15.
    pub stratum: u8,
    /// The server.
    pub server: SocketAddr,
}

/// The error that no server returned the time, with the failure of each.
#[derive(Clone, Debug)]
pub struct NoTime(Vec<(SocketAddr, String)>);

impl fmt::Display for NoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<String> = self.0.iter().map(|(server, what)| format!("{} {what}", shown(*server))).collect();
        f.write_str(&each.join("; "))
    }
}

impl std::error::Error for NoTime {}

/// Returns whether the time `wall`, since 1970, is plausible.
#[must_use]
pub fn is_plausible(wall: Duration) -> bool {
    wall.as_secs() >= EARLIEST
}

/// Queries `servers` in order until one returns the time.
///
/// This takes two seconds for each silent server.
///
/// # Errors
///
/// Returns the failure of each server.
pub fn query(servers: &[SocketAddr]) -> Result<Offset, NoTime> {
    let mut faults = Vec::new();
    for server in servers {
        match query_server(*server) {
            Ok(Sample { offset, delay, stratum }) => {
                return Ok(Offset { nanoseconds: offset, delay, stratum, server: *server });
            }
            Err(fault) => faults.push((*server, fault)),
        }
    }
    Err(NoTime(faults))
}

/// Keeps a clock synchronized with `servers` and never returns: `shift` moves the clock forward by nanoseconds, or back
/// if they are negative. The servers are queried immediately when `jumped` receives a message, because the clock was
/// set by something else.
pub fn keep(servers: &[SocketAddr], jumped: &Receiver<()>, mut shift: impl FnMut(i64)) -> ! {
    let started = Instant::now();
    let (mut failures, mut trouble) = (0, Trouble::default());
    loop {
        let wait = match query(servers) {
            Ok(offset) => {
                shift(offset.nanoseconds);
                let by = shown(offset.server);
                let seconds = offset.nanoseconds as f64 / 1e9;
                if let Some(over) = trouble.ended(started.elapsed()) {
                    log::info!("--ntp server {by} answers again after {over}");
                }
                if offset.nanoseconds.abs() >= MIN_LOGGED {
                    log::info!("the clock was corrected by {seconds:+.1} s from {by}, stratum {}", offset.stratum);
                } else {
                    log::debug!("the clock was corrected by {seconds:+.6} s from {by}");
                }
                failures = 0;
                INTERVAL
            }
            Err(error) => {
                let wait = RETRY.0.saturating_mul(1 << u32::min(failures, 8)).min(RETRY.1);
                failures += 1;
                let error = error.to_string();
                let is_logged = trouble.failed(started.elapsed(), &error);
                let level = if is_logged { log::Level::Warn } else { log::Level::Debug };
                log::log!(level, "no --ntp server returned the time: {error}; retrying in {}", text::time(wait));
                wait
            }
        };
        match jumped.recv_timeout(wait) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            // The sender is gone, so no message can arrive.
            Err(RecvTimeoutError::Disconnected) => thread::sleep(wait),
        }
    }
}

fn query_server(server: SocketAddr) -> Result<Sample, String> {
    let any = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let cannot = |error: io::Error| format!("cannot be queried: {error}");
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).map_err(cannot)?;
    // From now on the socket receives only from the server.
    socket.connect(server).map_err(cannot)?;
    let mut best: Option<Sample> = None;
    let (mut samples, mut silent) = (0, 0);
    while samples < SAMPLES {
        match exchange(&socket).map_err(cannot)? {
            Some(Ok(sample)) => {
                samples += 1;
                if best.is_none_or(|best| sample.delay < best.delay) {
                    best = Some(sample);
                }
            }
            Some(Err(fault)) => return best.ok_or_else(|| fault.to_string()),
            None if silent + 1 < TRIES => silent += 1,
            None => break,
        }
    }
    let best = best.ok_or_else(|| "did not answer".to_string())?;
    let shows = wall() + i128::from(best.offset);
    match u64::try_from(shows) {
        Ok(shows) if is_plausible(Duration::from_nanos(shows)) => Ok(best),
        _ => Err("returned a time before this program was written".to_string()),
    }
}

/// Sends one request; returns `None` if there is no answer.
fn exchange(socket: &UdpSocket) -> io::Result<Option<Result<Sample, Fault>>> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let cookie = u64::from_ne_bytes(random);
    let (sent, begun) = (wall() as i64, Instant::now());
    socket.send(&packet::question(cookie))?;
    let mut buffer = [0; 2 * PACKET];
    loop {
        let left = ANSWER.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Ok(None);
        }
        socket.set_read_timeout(Some(left))?;
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if is_timeout(&error) => continue,
            Err(error) => return Err(error),
        };
        match packet::read(&buffer[..length], cookie, sent, begun.elapsed()) {
            Err(Fault::Unrelated) => {}
            answer => return Ok(Some(answer)),
        }
    }
}

/// Returns the time of our clock, in nanoseconds since 1970.
fn wall() -> i128 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(wall.as_nanos()).unwrap_or(i128::MAX).min(i64::MAX.into())
}

/// Returns a server as displayed in messages.
fn shown(server: SocketAddr) -> String {
    const NTP: u16 = 123;
    match server.port() {
        NTP => server.ip().to_string(),
        port => format!("{} port {port}", server.ip()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each request with the packets that `answer` returns.
    fn server(mut answer: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 100];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                assert_eq!(length, PACKET);
                for packet in answer(&buffer[..length]) {
                    socket.send_to(&packet, client).unwrap();
                }
            }
        });
        address
    }

    /// The answer of a server whose clock is `ahead` seconds ahead of ours.
    fn answer(question: &[u8], ahead: i64) -> Vec<u8> {
        let mut packet = vec![0; PACKET];
        packet[..2].copy_from_slice(&[0x24, 3]);
        packet[24..32].copy_from_slice(&question[40..]);
        let seconds = (wall() / 1_000_000_000) as i64 + ahead + 2_208_988_800;
        packet[32..36].copy_from_slice(&(seconds as u32).to_be_bytes());
        packet[40..44].copy_from_slice(&(seconds as u32).to_be_bytes());
        packet
    }

    #[test]
    fn the_first_synchronized_server_is_used() {
        let silent = server(|_| Vec::new());
        let lost = server(|question| {
            let mut packet = answer(question, 0);
            packet[0] |= 0xc0;
            vec![packet]
        });
        let good = server(|question| {
            let mut forged = answer(question, 86_400);
            forged[24] ^= 1;
            vec![forged, answer(question, 1000)]
        });
        let offset = query(&[silent, lost, good]).unwrap();
        assert_eq!((offset.server, offset.stratum), (good, 3));
        let seconds = offset.nanoseconds / 1_000_000_000;
        assert!((998..=1001).contains(&seconds), "{offset:?}");
        let error = query(&[silent, lost]).unwrap_err().to_string();
        let expected = format!(
            "127.0.0.1 port {} did not answer; 127.0.0.1 port {} is not synchronized",
            silent.port(),
            lost.port()
        );
        assert_eq!(error, expected);
    }

    #[test]
    fn a_time_long_past_is_rejected() {
        let past = server(|question| vec![answer(question, -40 * 365 * 86_400)]);
        assert!(query(&[past]).unwrap_err().to_string().ends_with("before this program was written"));
        assert!(!is_plausible(Duration::from_secs(978_307_200)) && is_plausible(Duration::from_secs(1_790_000_000)));
    }
}
