//! One conversation with one resolver: both questions side by side, over UDP and where need be TCP.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::lookup::{self, Family, Reply};
use crate::dns::Name;
use crate::net::is_timeout;

/// How long the first question is waited for before it is asked again; then twice as long.
const AGAIN: Duration = Duration::from_millis(1500);

/// The longest datagram taken in; without EDNS none has more than 512 octets (RFC 1035 §4.2.1).
const DATAGRAM: usize = 1232;

/// How many datagrams that answer something else are taken before somebody must be guessing.
const FOREIGN: u32 = 200;

/// A question on its way.
struct Question {
    family: Family,
    id: u16,
    message: Vec<u8>,
    is_open: bool,
}

/// Asks `server` for the addresses of `name` in both families, and tells each answer as soon as it is there.
///
/// What is not answered by `deadline`, or when `enough` says so, is not told of.
pub(super) fn ask(
    server: SocketAddr,
    name: &Name,
    families: &[Family],
    deadline: Instant,
    enough: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(Family, Reply),
) {
    let mut questions = match prepare(name, families) {
        Ok(questions) => questions,
        Err(error) => return families.iter().for_each(|family| tell(*family, failed(&error))),
    };
    if let Err(error) = converse(server, name, &mut questions, deadline, enough, tell) {
        for question in questions.iter().filter(|question| question.is_open) {
            tell(question.family, failed(&error));
        }
    }
}

fn failed(error: &io::Error) -> Reply {
    Reply::Failed(format!("cannot be asked: {error}"))
}

/// Makes the questions, with identifiers that nobody can foretell (RFC 5452 §9.2).
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

fn converse(
    server: SocketAddr,
    name: &Name,
    questions: &mut [Question],
    deadline: Instant,
    enough: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(Family, Reply),
) -> io::Result<()> {
    let any = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    // From now on nothing comes in but from there (RFC 5452 §9.1).
    socket.connect(server)?;
    let mut buffer = [0; DATAGRAM];
    let (mut foreign, mut interval) = (0, AGAIN);
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
            // Whether it is enough is looked at now and then.
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
                foreign += 1;
                log::debug!("resolver {server}: a datagram that answers nothing asked");
                if foreign >= FOREIGN {
                    return Err(io::Error::other("too many of its answers are to other questions"));
                }
                continue;
            };
            question.is_open = false;
            let (family, id) = (question.family, question.id);
            let reply = match reply {
                Reply::Truncated => by_stream(server, name, question, deadline).unwrap_or_else(|error| {
                    log::debug!("resolver {server}, over TCP, question {id}: {error}");
                    Reply::Failed(format!("wants to be asked over TCP, and there: {error}"))
                }),
                reply => reply,
            };
            tell(family, reply);
        }
    }
    Ok(())
}

/// Asks one question over TCP (RFC 7766).
fn by_stream(server: SocketAddr, name: &Name, question: &Question, deadline: Instant) -> io::Result<Reply> {
    let left = || until(deadline).ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut));
    let mut stream = TcpStream::connect_timeout(&server, left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    let mut framed = (question.message.len() as u16).to_be_bytes().to_vec();
    framed.extend(&question.message);
    stream.write_all(&framed)?;
    let mut message = vec![0; 2];
    let mut filled = 0;
    while filled < message.len() {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut message[filled..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
        if filled == 2 && message.len() == 2 {
            message.resize(2 + usize::from(u16::from_be_bytes([message[0], message[1]])), 0);
        }
    }
    match lookup::read(&message[2..], question.id, name, question.family) {
        Some(Reply::Truncated) | None => Err(io::Error::other("it sent something else than an answer")),
        Some(reply) => Ok(reply),
    }
}

/// Returns the time left until then, unless there is none.
fn until(then: Instant) -> Option<Duration> {
    let left = then.saturating_duration_since(Instant::now());
    (!left.is_zero()).then_some(left)
}
