//! Hooks after a commit or push: notifies servers of changed zones, and prints which of them acknowledged.
//!
//! Each server has a thread, a socket and a [`Notifier`] of its own, so that an unreachable one delays only its own
//! notifications. One notification makes a Zonule server poll the whole repository; each zone is notified nevertheless,
//! since secondaries of other vendors may be among the servers, and since each acknowledgement shows that the zone is
//! served there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use log::Level;
use zonule::dns::Name;
use zonule::dns::message::{Rcode, Reader};
use zonule::notify::{Effect, Event, Limits, Notifier, Now, Target};

use crate::error::{Error, Result};
use crate::gate::{Pushed, commits_are_served};
use crate::git::Git;
use crate::news::{News, What, news};
use crate::settings::{Server, Settings};
use crate::terminal::say;

/// Retransmission: after half a second, then after one, two and so on, until the patience ends.
const LIMITS: Limits = Limits {
    timeout: Duration::from_millis(500),
    tries: u32::MAX,
    interval: Duration::ZERO,
    outstanding: 64,
    per_target: 64,
};

/// How often the patience may be renewed while acknowledgements keep arriving.
const MAX_PATIENCES: u32 = 10;

/// Maximum number of zones listed per server and outcome; the rest is counted.
const MAX_NAMED: usize = 10;

/// How long to wait after a socket error before reading again.
const PAUSE: Duration = Duration::from_millis(50);

/// The outcome of a notification.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The server acknowledged it.
    Acknowledged,
    /// The server sent another answer, or one that failed authentication: a description.
    Other(String),
    /// No valid answer arrived.
    Silent,
}

/// Sends notifications for the changes of the last commit.
pub(crate) fn post_commit(git: &Git) -> Result<()> {
    let settings = Settings::read(git)?;
    let servers = settings.servers()?;
    if servers.is_empty() || !commits_are_served(git, &settings)? {
        return Ok(());
    }
    let before = git.revision("HEAD^^{tree}")?;
    let (old, new) = (before.map(|old| git.snapshot(&old)).transpose()?, git.snapshot("HEAD")?);
    notify_all(servers, &news(git, old.as_ref(), &new)?, settings.patience()?)
}

/// Sends notifications for the changes of a push.
pub(crate) fn post_receive(git: &Git, pushed: &[Pushed]) -> Result<()> {
    let settings = Settings::read(git)?;
    let servers = settings.servers()?;
    if servers.is_empty() {
        return Ok(());
    }
    let mut all = Vec::new();
    for pushed in pushed {
        if !pushed.is_served(git, &settings)? {
            continue;
        }
        let Some(commit) = &pushed.new else { continue };
        let old = pushed.old.as_ref().map(|old| git.snapshot(old)).transpose()?;
        all.extend(news(git, old.as_ref(), &git.snapshot(commit)?)?);
    }
    notify_all(servers, &all, settings.patience()?)
}

/// Notifies all servers concurrently, and prints the outcomes of each as they arrive.
fn notify_all(servers: Vec<Result<Server>>, news: &[News], patience: Duration) -> Result<()> {
    if news.is_empty() {
        return Ok(());
    }
    let (done, outcomes) = mpsc::sync_channel(1);
    thread::scope(|scope| {
        for server in servers {
            let done = done.clone();
            scope.spawn(move || {
                let said = server.and_then(|server| {
                    let outcomes = tell(&server, news, patience)?;
                    Ok(report(&server, news, &outcomes))
                });
                // The receiver outlives the threads.
                let _ = done.send(said.unwrap_or_else(|error| format!("not notified: {error}\n")));
            });
        }
        drop(done);
        for said in outcomes {
            say(&said);
        }
    });
    Ok(())
}

/// Notifies one server of all zones.
fn tell(server: &Server, news: &[News], patience: Duration) -> Result<BTreeMap<Name, Outcome>> {
    let failed = |error: std::io::Error| Error::Other(format!("{}: {error}", server.title));
    let any: SocketAddr = match server.address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).map_err(failed)?;
    // Connected, so that datagrams of other hosts are dropped.
    socket.connect(server.address).map_err(failed)?;
    let start = Instant::now();
    let now = || Now {
        uptime: start.elapsed(),
        unix: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    };
    // Without random numbers anyone could forge an acknowledgement.
    getrandom::u32().map_err(|error| Error::Other(format!("the system has no random numbers: {error}")))?;
    let random = &mut || getrandom::u32().unwrap_or_default();
    let mut notifier = Notifier::new(LIMITS);
    let mut outcomes: BTreeMap<Name, Outcome> =
        news.iter().map(|news| (news.zone.apex().clone(), Outcome::Silent)).collect();
    for news in news {
        let key = server.key(news.zone.apex()).cloned();
        let targets = vec![Target { address: server.address, key }];
        let effects = notifier.handle(now(), Event::Changed { zone: &news.zone, targets }, random);
        send(&socket, &effects);
    }
    let mut awaited = outcomes.len();
    let mut heard = start;
    let mut buffer = [0; 4096];
    while awaited > 0 {
        let ends = (heard + patience).min(start + patience * MAX_PATIENCES);
        let left = ends.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let wake = notifier.wake().map_or(left, |wake| wake.saturating_sub(start.elapsed()));
        // A timeout of zero would mean to wait indefinitely.
        let wait = wake.min(left).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(wait)).map_err(failed)?;
        let received = match socket.recv(&mut buffer) {
            Ok(len) => Some(&buffer[..len]),
            Err(error) => {
                // Nothing listens there, perhaps temporarily, as while a machine boots.
                if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
                    thread::sleep(PAUSE.min(wait));
                }
                None
            }
        };
        let event = received.map_or(Event::Tick, |message| Event::Reply { source: server.address, message });
        let effects = notifier.handle(now(), event, random);
        send(&socket, &effects);
        if let Some((zone, outcome)) = received.and_then(|message| outcome(message, &effects))
            && let Some(known) = outcomes.get_mut(&zone)
        {
            awaited -= usize::from(*known == Outcome::Silent);
            *known = outcome;
            heard = Instant::now();
        }
    }
    Ok(outcomes)
}

fn send(socket: &UdpSocket, effects: &[Effect]) {
    for effect in effects {
        if let Effect::Send { message, .. } = effect {
            // A datagram that could not be sent is treated as lost and retransmitted.
            let _ = socket.send(message);
        }
    }
}

/// Returns the outcome of a reply and its zone, derived from what the notifier logs.
fn outcome(message: &[u8], effects: &[Effect]) -> Option<(Name, Outcome)> {
    let mut reader = Reader::new(message).ok()?;
    let code = reader.header().rcode();
    let zone = reader.question().ok()??.name;
    let logged = effects.iter().find_map(|effect| match effect {
        Effect::Log(level, text) => Some((*level, text.clone())),
        Effect::Send { .. } => None,
    });
    match (logged, code) {
        (Some((Level::Debug, _)), _) => Some((zone, Outcome::Acknowledged)),
        (Some((_, text)), _) => Some((zone, Outcome::Other(text))),
        // No answer, or a retransmission.
        (None, Rcode::NO_ERROR | Rcode::SERVER_FAILURE) => None,
        // The notifier limits its log lines.
        (None, code) => Some((zone, Outcome::Other(format!("answered {code}")))),
    }
}

/// Describes the outcomes of the notifications of one server.
fn report(server: &Server, news: &[News], outcomes: &BTreeMap<Name, Outcome>) -> String {
    let (mut text, title) = (String::new(), &server.title);
    let mut told = [0_usize; 3];
    for News { what, zone } in news {
        let apex = zone.apex();
        let name = apex.to_string();
        let name = name.strip_suffix('.').filter(|name| !name.is_empty()).unwrap_or(&name);
        let (kind, said) = match (outcomes.get(apex).unwrap_or(&Outcome::Silent), what, server.key(apex)) {
            (Outcome::Acknowledged, ..) => (0, "acknowledged".to_owned()),
            (Outcome::Silent, ..) => (1, "not acknowledged: no answer".to_owned()),
            (Outcome::Other(said), What::Added, Some(_)) if said.contains("NOTAUTH") => {
                (2, "not served there yet, looked for now".to_owned())
            }
            (Outcome::Other(said), What::Added, None) if said.contains("NOTAUTH") => {
                (2, "not served there yet; the notification is not signed, so the next poll brings it".to_owned())
            }
            (Outcome::Other(said), ..) => (2, format!("not acknowledged: {said}")),
        };
        told[kind] += 1;
        if told[kind] <= MAX_NAMED {
            let subject = match what {
                What::Deleted => format!("{name} deleted"),
                What::Keys => format!("{name} keys"),
                What::Added | What::Changed => format!("{name} serial {}", zone.serial()),
            };
            // Infallible: it is a String.
            let _ = writeln!(text, "{title}: {subject} {said}");
        }
    }
    for (count, what) in told.into_iter().zip(["acknowledged", "without answer", "not acknowledged"]) {
        if let Some(more @ 1..) = count.checked_sub(MAX_NAMED) {
            let _ = writeln!(text, "{title}: and {more} more {what}");
        }
    }
    text
}
