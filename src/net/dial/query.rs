//! Queries to one resolver: both questions in parallel, over UDP and if necessary TCP.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::lookup::{self, Family, Reply};
use crate::dns::Name;
use crate::net::framing::{Inbox, framed};
use crate::net::{Deadline, Tcp, is_timeout};

/// The time before the first retransmission; it doubles with each further one.
const RETRANSMIT: Duration = Duration::from_millis(1500);

/// The maximum length of a received datagram; without EDNS the limit is 512 octets (RFC 1035 §4.2.1).
const DATAGRAM: usize = 1232;

/// The number of unrelated datagrams after which a spoofing attempt is assumed.
const MAX_UNRELATED: u32 = 200;

/// An outstanding question.
struct Question {
    family: Family,
    id: u16,
    message: Vec<u8>,
    is_open: bool,
}

/// Queries `server` for the addresses of `name` in the given families, and reports each answer as soon as it arrives.
///
/// Questions that are unanswered at `deadline`, or when `enough` returns true, are not reported.
pub(super) fn query(
    server: SocketAddr,
    name: &Name,
    families: &[Family],
    deadline: Instant,
    enough: &dyn Fn() -> bool,
    report: &mut dyn FnMut(Family, Reply),
) {
    let mut questions = match prepare(name, families) {
        Ok(questions) => questions,
        Err(error) => return families.iter().for_each(|family| report(*family, failed(&error))),
    };
    if let Err(error) = exchange(server, name, &mut questions, deadline, enough, report) {
        for question in questions.iter().filter(|question| question.is_open) {
            report(question.family, failed(&error));
        }
    }
}

fn failed(error: &io::Error) -> Reply {
    Reply::Failed(format!("cannot be queried: {error}"))
}

/// Builds the questions, with unpredictable IDs (RFC 5452 §9.2).
fn prepare(name: &Name, families: &[Family]) -> io::Result<Vec<Question>> {
    let mut questions: Vec<Question> = Vec::new();
    for family in families {
        let mut octets = [0; 2];
        getrandom::fill(&mut octets).map_err(io::Error::other)?;
        let id = u16::from_ne_bytes(octets);
        questions.push(Question { family: *family, id, message: lookup::query(id, name, *family), is_open: true });
    }
    Ok(questions)
}

fn exchange(
    server: SocketAddr,
    name: &Name,
    questions: &mut [Question],
    deadline: Instant,
    enough: &dyn Fn() -> bool,
    report: &mut dyn FnMut(Family, Reply),
) -> io::Result<()> {
    let any = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    // From now on the socket receives only from the server (RFC 5452 §9.1).
    socket.connect(server)?;
    let mut buffer = [0; DATAGRAM];
    let (mut unrelated, mut interval) = (0, RETRANSMIT);
    while questions.iter().any(|question| question.is_open) {
        for question in questions.iter().filter(|question| question.is_open) {
            socket.send(&question.message)?;
        }
        let again = deadline.min(Instant::now() + interval);
        interval *= 2;
        while questions.iter().any(|question| question.is_open) {
            if enough() || Instant::now() >= deadline {
                return Ok(());
            }
            let Some(wait) = until(again) else { break };
            // Wake up regularly to check `enough`.
            socket.set_read_timeout(Some(wait.min(Duration::from_millis(500))))?;
            let length = match socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if is_timeout(&error) || error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let message = &buffer[..length];
            let open = questions.iter_mut().filter(|question| question.is_open);
            let answered = open
                .filter_map(|question| Some((lookup::read(message, question.id, name, question.family)?, question)));
            let Some((reply, question)) = answered.into_iter().next() else {
                unrelated += 1;
                log::debug!("resolver {server}: received a datagram that answers no outstanding question");
                if unrelated >= MAX_UNRELATED {
                    return Err(io::Error::other("too many of its datagrams answer other questions"));
                }
                continue;
            };
            question.is_open = false;
            let (family, id) = (question.family, question.id);
            let reply = match reply {
                Reply::Truncated => by_stream(server, name, question, deadline).unwrap_or_else(|error| {
                    log::debug!("resolver {server}: question {id} over TCP failed: {error}");
                    Reply::Failed(format!("requires TCP, over which the query failed: {error}"))
                }),
                reply => reply,
            };
            report(family, reply);
        }
    }
    Ok(())
}

/// Sends one question over TCP (RFC 7766).
fn by_stream(server: SocketAddr, name: &Name, question: &Question, deadline: Instant) -> io::Result<Reply> {
    let left = || until(deadline).ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut));
    let socket = TcpStream::connect_timeout(&server, left()?)?;
    // The whole may take no longer than a wait.
    let bound = left()?;
    let mut stream = Tcp::over(socket, bound);
    stream.set_deadline(Some(Deadline::from_now(bound)));
    stream.write_all(&framed(&question.message)?)?;
    let mut inbox = Inbox::new(stream, DATAGRAM);
    let message = inbox.message()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    match lookup::read(message, question.id, name, question.family) {
        Some(Reply::Truncated) | None => Err(io::Error::other("it sent something other than an answer")),
        Some(reply) => Ok(reply),
    }
}

/// Returns the time left until `then`, or `None` if it has passed.
fn until(then: Instant) -> Option<Duration> {
    let left = then.saturating_duration_since(Instant::now());
    (!left.is_zero()).then_some(left)
}
