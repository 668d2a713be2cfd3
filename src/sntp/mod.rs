//! The time of day from a server on the network (SNTP, RFC 4330).
//!
//! A client only, and one that steps the clock: a name server needs to be right by seconds, for signatures and
//! certificates, not by microseconds. The servers are asked in turn until one gives a time; of a few answers of that one
//! the one that was under way for the shortest time counts. Nobody is believed who does not repeat the random number of
//! the question, so that only who is on the way can lie.
//!
//! `packet` is octets in, an offset out; here are the sockets, and [`keep`] is what a machine does all its life.

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

/// How many answers of a server are compared.
const SAMPLES: usize = 3;

/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(1);

/// How often a server that is silent is asked before the next.
const TRIES: usize = 2;

/// The time between two looks at the servers' time.
const INTERVAL: Duration = Duration::from_secs(1800);

/// The waits after failures, doubling from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(256));

/// The least correction that is worth a line.
const WORTH_TELLING: i64 = 500_000_000;

/// No clock is right that shows an earlier time, in seconds since 1970: the beginning of 2026, when this was not written yet.
const EARLIEST: u64 = 1_767_225_600;

/// What a server says of our clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// By how much our clock is behind, in nanoseconds; negative if it is ahead.
    pub nanoseconds: i64,
    /// How long the question and its answer were under way: the offset is no more wrong than half of it.
    pub delay: Duration,
    /// How far the server is from a reference clock, 1 to 15.
    pub stratum: u8,
    /// Who says so.
    pub server: SocketAddr,
}

/// Why the time is not known: what each server did.
#[derive(Clone, Debug)]
pub struct NoTime(Vec<(SocketAddr, String)>);

impl fmt::Display for NoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<String> = self.0.iter().map(|(server, what)| format!("{} {what}", shown(*server))).collect();
        f.write_str(&each.join("; "))
    }
}

impl std::error::Error for NoTime {}

/// Returns whether a clock that shows `wall`, since 1970, may be right.
#[must_use]
pub fn is_plausible(wall: Duration) -> bool {
    wall.as_secs() >= EARLIEST
}

/// Asks `servers` in turn for the time until one tells it.
///
/// Takes two seconds for each that is silent.
///
/// # Errors
///
/// What each of them did instead.
pub fn ask(servers: &[SocketAddr]) -> Result<Offset, NoTime> {
    let mut faults = Vec::new();
    for server in servers {
        match ask_one(*server) {
            Ok(Sample { offset, delay, stratum }) => {
                return Ok(Offset { nanoseconds: offset, delay, stratum, server: *server });
            }
            Err(fault) => faults.push((*server, fault)),
        }
    }
    Err(NoTime(faults))
}

/// Keeps a clock right by `servers`, for ever: `shift` sets it forward by nanoseconds, or back by negative ones. The servers
/// are asked at once when `jumped` has something: somebody else has set the clock.
pub fn keep(servers: &[SocketAddr], jumped: &Receiver<()>, mut shift: impl FnMut(i64)) -> ! {
    let begun = Instant::now();
    let (mut failures, mut trouble) = (0, Trouble::default());
    loop {
        let wait = match ask(servers) {
            Ok(offset) => {
                shift(offset.nanoseconds);
                let by = shown(offset.server);
                let seconds = offset.nanoseconds as f64 / 1e9;
                if let Some(over) = trouble.ended(begun.elapsed()) {
                    log::info!("--ntp server {by} answers again after {over}");
                }
                if offset.nanoseconds.abs() >= WORTH_TELLING {
                    log::info!("the clock was corrected by {seconds:+.1} s, by {by} (stratum {})", offset.stratum);
                } else {
                    log::debug!("the clock was corrected by {seconds:+.6} s, by {by}");
                }
                failures = 0;
                INTERVAL
            }
            Err(error) => {
                let wait = RETRY.0.saturating_mul(1 << u32::min(failures, 8)).min(RETRY.1);
                failures += 1;
                let error = error.to_string();
                let is_logged = trouble.failed(begun.elapsed(), &error);
                let level = if is_logged { log::Level::Warn } else { log::Level::Debug };
                log::log!(level, "no --ntp server gives the time: {error}; next try in {}", text::time(wait));
                wait
            }
        };
        match jumped.recv_timeout(wait) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            // Nobody is left who could say so.
            Err(RecvTimeoutError::Disconnected) => thread::sleep(wait),
        }
    }
}

fn ask_one(server: SocketAddr) -> Result<Sample, String> {
    let any = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let cannot = |error: io::Error| format!("cannot be asked: {error}");
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).map_err(cannot)?;
    // From now on nothing comes in but from there.
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
    let best = best.ok_or_else(|| "does not answer".to_string())?;
    let shows = wall() + i128::from(best.offset);
    match u64::try_from(shows) {
        Ok(shows) if is_plausible(Duration::from_nanos(shows)) => Ok(best),
        _ => Err("tells a time before this program was written".to_string()),
    }
}

/// Asks once; `None` if there is no answer.
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
            Err(Fault::NotOurs) => {}
            answer => return Ok(Some(answer)),
        }
    }
}

/// Returns what our clock shows, in nanoseconds since 1970.
fn wall() -> i128 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(wall.as_nanos()).unwrap_or(i128::MAX).min(i64::MAX.into())
}

/// Returns a server as messages name it.
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

    /// A server that makes of each question whatever packets `answer` says.
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

    /// The answer of a server whose clock is `ahead` of ours by seconds.
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
    fn the_first_server_that_knows_is_believed() {
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
        let offset = ask(&[silent, lost, good]).unwrap();
        assert_eq!((offset.server, offset.stratum), (good, 3));
        let seconds = offset.nanoseconds / 1_000_000_000;
        assert!((998..=1001).contains(&seconds), "{offset:?}");
        let error = ask(&[silent, lost]).unwrap_err().to_string();
        let expected = format!(
            "127.0.0.1 port {} does not answer; 127.0.0.1 port {} does not know the time itself",
            silent.port(),
            lost.port()
        );
        assert_eq!(error, expected);
    }

    #[test]
    fn a_time_long_past_is_not_believed() {
        let past = server(|question| vec![answer(question, -40 * 365 * 86_400)]);
        assert!(ask(&[past]).unwrap_err().to_string().ends_with("before this program was written"));
        assert!(!is_plausible(Duration::from_secs(978_307_200)) && is_plausible(Duration::from_secs(1_790_000_000)));
    }
}
