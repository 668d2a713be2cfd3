//! Updates that wait for the writer, and their clients that wait for replies.
//!
//! The thread that receives an update queues it and goes on at once. Whichever thread settles the update also sends the
//! replies; usually that is the writer. The queue is bounded in number and size, and no update stays in it beyond its
//! deadline: the housekeeping thread enforces this even while the writer waits for the remote.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::answer::{ExtendedError, Transport, Verdict, ede};
use crate::dns::message::Rcode;
use crate::net::Promise;
use crate::text;
use crate::tsig::{Key, Request};
use crate::update::Update;

/// Maximum number of waiting updates.
const MOST: usize = 1024;

/// Maximum total size of their messages, in octets.
const MOST_OCTETS: usize = 4 << 20;

/// Maximum number of updates that the writer takes at a time.
const BATCH: usize = 64;

/// Maximum size of a reason sent to a client, in octets.
const MAX_REASON: usize = 300;

/// Maximum number of pending replies to one update: to the first message and its retransmissions.
const WAITERS: usize = 4;

/// An update to be made.
pub(super) struct Job {
    pub(super) update: Update,
    /// The key that signed it.
    pub(super) key: Arc<Key>,
    /// Address of the client.
    pub(super) client: IpAddr,
    /// Latest time until which to wait for the remote.
    pub(super) deadline: Instant,
    /// Size of the message, in octets.
    pub(super) octets: usize,
    pub(super) ticket: Arc<Ticket>,
}

/// The outcome of an update.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) rcode: Rcode,
    /// The reason, as an extended error (RFC 8914): its code and text.
    pub(super) why: Option<(u16, Arc<str>)>,
}

/// The pending replies to an update, and later the outcome that retransmissions get.
pub(super) struct Ticket(Mutex<State>);

enum State {
    /// No client waits yet.
    New,
    Waiting(Waiting),
    Settled(Outcome),
}

/// The clients that wait for one update.
pub(super) struct Waiting {
    /// The message without its signature.
    pub(super) message: Box<[u8]>,
    pub(super) request: Request,
    pub(super) waiters: Vec<Waiter>,
}

/// The destination of a reply that cannot be sent at once.
pub(super) struct Waiter {
    pub(super) transport: Transport,
    pub(super) source: IpAddr,
    pub(super) back: Back,
}

/// The way back to a client.
pub(super) enum Back {
    /// To an address, through a socket.
    Datagram(Arc<UdpSocket>, SocketAddr),
    /// To the thread that owns the connection.
    Stream(Promise),
}

/// The updates that wait.
#[derive(Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    jobs: VecDeque<Job>,
    octets: usize,
    /// Whether a poll of the remote was requested.
    is_poked: bool,
}

impl Ticket {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Ticket(Mutex::new(State::New)))
    }

    /// Records the clients that wait.
    pub(super) fn begin(&self, waiting: Waiting) {
        *self.lock() = State::Waiting(waiting);
    }

    /// Lets the client of a retransmission wait too, or returns the outcome of the update if it is known.
    pub(super) fn outcome_or_wait(&self, waiter: Waiter) -> Result<(), (Outcome, Waiter)> {
        match &mut *self.lock() {
            State::Settled(outcome) => return Err((outcome.clone(), waiter)),
            // The first client is not waiting yet; this one will retransmit.
            State::New => {}
            State::Waiting(waiting) => {
                // A client that retransmits from the same address gets several replies, in case some are lost.
                if waiting.waiters.len() < WAITERS {
                    waiting.waiters.push(waiter);
                }
            }
        }
        Ok(())
    }

    /// Changes the outcome that retransmissions get: it was not known yet when the clients were answered.
    pub(super) fn amend(&self, outcome: &Outcome) {
        let mut state = self.lock();
        if let State::Settled(_) = *state {
            *state = State::Settled(outcome.clone());
        }
    }

    /// Records the outcome of the update and returns the clients that wait for it; `None` if it was settled before.
    pub(super) fn settle(&self, outcome: &Outcome) -> Option<Waiting> {
        let mut state = self.lock();
        if let State::Settled(_) = *state {
            return None;
        }
        match std::mem::replace(&mut *state, State::Settled(outcome.clone())) {
            State::Waiting(waiting) => Some(waiting),
            State::New | State::Settled(_) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Queues an update, or returns it if the queue is full.
    pub(super) fn push(&self, job: Box<Job>) -> Result<(), Box<Job>> {
        let mut inner = self.lock();
        if inner.jobs.len() >= MOST || inner.octets + job.octets > MOST_OCTETS {
            return Err(job);
        }
        inner.octets += job.octets;
        inner.jobs.push_back(*job);
        self.changed.notify_one();
        Ok(())
    }

    /// Makes the writer poll the remote soon.
    pub(super) fn poke(&self) {
        self.lock().is_poked = true;
        self.changed.notify_one();
    }

    /// Returns whether a poll of the remote was requested since the last call.
    pub(super) fn was_poked(&self) -> bool {
        std::mem::take(&mut self.lock().is_poked)
    }

    /// Waits until there are updates, a poll is requested or `until` is reached, and takes up to `BATCH` updates in
    /// order of arrival.
    pub(super) fn take(&self, until: Instant) -> Vec<Job> {
        let left = until.saturating_duration_since(Instant::now());
        let waited =
            self.changed.wait_timeout_while(self.lock(), left, |inner| inner.jobs.is_empty() && !inner.is_poked);
        let mut inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        let count = inner.jobs.len().min(BATCH);
        let jobs: Vec<Job> = inner.jobs.drain(..count).collect();
        inner.octets -= jobs.iter().map(|job| job.octets).sum::<usize>();
        jobs
    }

    /// Removes and returns the expired updates.
    pub(super) fn take_expired(&self) -> Vec<Job> {
        let now = Instant::now();
        let mut inner = self.lock();
        if inner.jobs.iter().all(|job| job.deadline > now) {
            return Vec::new();
        }
        let (left, expired) = std::mem::take(&mut inner.jobs).into_iter().partition(|job| job.deadline > now);
        inner.jobs = left;
        let expired: VecDeque<Job> = expired;
        inner.octets -= expired.iter().map(|job| job.octets).sum::<usize>();
        expired.into()
    }

    /// Returns the time until the next deadline, at most `most`.
    pub(super) fn patience(&self, most: Duration) -> Duration {
        let next = self.lock().jobs.iter().map(|job| job.deadline).min();
        next.map_or(most, |next| next.saturating_duration_since(Instant::now()).min(most))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outcome {
    pub(super) const SUCCESS: Self = Self { rcode: Rcode::NO_ERROR, why: None };

    /// Returns an outcome with a reason: "Prohibited" (RFC 8914 §4.19) for REFUSED, otherwise "Other Error" (§4.1). The
    /// reason may be text from a remote with several lines.
    pub(super) fn because(rcode: Rcode, reason: &str) -> Self {
        let code = if rcode == Rcode::REFUSED { ede::PROHIBITED } else { ede::OTHER };
        let reason = reason.trim().replace("\r\n", "\n").replace('\n', " | ");
        Outcome { rcode, why: Some((code, text::escaped(&reason).into())) }
    }

    /// Returns the contents of the reply; a text that is too long for a message is cut.
    pub(super) fn verdict(&self) -> Verdict<'_> {
        let verdict = Verdict::of(self.rcode);
        let Some((code, text)) = &self.why else { return verdict };
        let end = text.floor_char_boundary(MAX_REASON);
        verdict.because(ExtendedError { code: *code, text: &text[..end] })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Some((_, text)) => write!(f, "{}: {text}", self.rcode),
            None => write!(f, "{}", self.rcode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tsig;

    /// Returns an update of example.org that changes nothing, and its signature.
    fn message() -> (Box<[u8]>, Request) {
        let mut update = b"\0\x01\x28\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x06\0\x01".to_vec();
        let key = Arc::new(
            Key::parse_argument("k._update:hmac-sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap(),
        );
        tsig::sign(&key, &mut update, 1000).unwrap();
        let verified = tsig::verify(&update, |_| Some(key), &tsig::Policy::default(), 1000).unwrap().unwrap();
        (verified.message.into(), verified.request)
    }

    fn job(deadline: Instant, octets: usize) -> Box<Job> {
        let (message, request) = message();
        let update = Update::parse(&message).unwrap();
        let key = Arc::clone(request.key());
        let client = IpAddr::from([192, 0, 2, 1]);
        Box::new(Job { update, key, client, deadline, octets, ticket: Ticket::new() })
    }

    fn waiter(port: u16) -> Waiter {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let client = SocketAddr::from(([127, 0, 0, 1], port));
        Waiter { transport: Transport::UDP, source: client.ip(), back: Back::Datagram(socket, client) }
    }

    #[test]
    fn the_queue_is_bounded_in_number_and_size() {
        let later = Instant::now() + Duration::from_secs(60);
        let queue = Queue::default();
        while queue.push(job(later, 1)).is_ok() {}
        assert_eq!(queue.lock().jobs.len(), MOST);
        assert_eq!(queue.take(later).len(), BATCH);
        assert!(queue.push(job(later, MOST_OCTETS)).is_err());
        assert!(queue.push(job(later, 1)).is_ok());
        let mut taken = BATCH;
        while taken < MOST + 1 {
            taken += queue.take(later).len();
        }
        assert_eq!(queue.lock().octets, 0);
        assert!(queue.push(job(later, MOST_OCTETS)).is_ok());
    }

    #[test]
    fn what_is_over_is_taken_out_by_whoever_looks() {
        let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(60));
        let queue = Queue::default();
        for deadline in [later, now, later, now] {
            queue.push(job(deadline, 10)).unwrap_or_else(|_| panic!("there is room"));
        }
        assert_eq!(queue.patience(Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(queue.take_expired().len(), 2);
        assert!(queue.take_expired().is_empty());
        assert_eq!(queue.patience(Duration::from_secs(1)), Duration::from_secs(1));
        assert_eq!(queue.take(later).len(), 2);
        assert_eq!(queue.lock().octets, 0);
        assert!(queue.take(now).is_empty(), "nobody waits for ever");
    }

    #[test]
    fn a_retransmission_waits_with_the_first_and_is_told_the_same() {
        let ticket = Ticket::new();
        let (message, request) = message();
        ticket.begin(Waiting { message, request, waiters: vec![waiter(1)] });
        for port in [1, 2, 3, 4, 5, 6] {
            assert!(ticket.outcome_or_wait(waiter(port)).is_ok());
        }
        let outcome = Outcome::because(Rcode::YX_RRSET, "it is there");
        assert_eq!(ticket.settle(&outcome).unwrap().waiters.len(), WAITERS);
        assert!(ticket.settle(&Outcome::SUCCESS).is_none(), "it is settled once");
        let (told, _) = ticket.outcome_or_wait(waiter(7)).unwrap_err();
        assert_eq!(told.to_string(), "YXRRSET: it is there");
        ticket.amend(&Outcome::SUCCESS);
        assert_eq!(ticket.outcome_or_wait(waiter(8)).unwrap_err().0.to_string(), "NOERROR");
    }

    #[test]
    fn a_reason_that_is_too_long_is_cut_between_letters() {
        let outcome = Outcome::because(Rcode::REFUSED, &"ü".repeat(400));
        let extended = outcome.verdict().extended.unwrap();
        assert_eq!((extended.code, extended.text.len()), (18, MAX_REASON));
        let outcome = Outcome::because(Rcode::REFUSED, "no:\n\u{202e}txt\u{1b}[2J\n");
        assert_eq!(outcome.verdict().extended.unwrap().text, "no: | \\u{202e}txt\\u{1b}[2J");
    }
}
