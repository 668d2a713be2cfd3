//! Messages set aside by the threads that answer at once: signed messages, updates, notifications and transfer
//! requests.
//!
//! A signed query is answered here and the reply signed. A notification is acknowledged and passed on to the thread
//! that polls. An update is checked as far as the served zones allow and put into the queue of the
//! [writer](super::writer); the reply is sent once it is settled.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::complaints::Kind;
use super::queue::{Back, Job, Outcome, Ticket, Waiter, Waiting};
use super::transfers::{Stream, Transfer};
use super::{Served, Server, follower, seconds};
use crate::answer::{self, Context, ExtendedError, MAX_PAYLOAD, Transport, Verdict, ede};
use crate::dns::message::{Rcode, opcode};
use crate::dns::{Name, Serial};
use crate::keys::Grant;
use crate::notify::{self, Notification};
use crate::tsig::{self, Cause, Failure, Policy, Replay, Request, Verified};
use crate::update::{Refusal, Update};

/// The result of handling a message that was set aside.
pub(super) enum Done {
    /// The reply is written and has this many octets.
    Reply(usize),
    /// There is no reply.
    Silence,
    /// The reply is sent later, by the given way back.
    Later,
    /// The reply is sent message by message, over TCP.
    Stream(Box<Stream>),
}

/// The result of handling a message other than an update.
enum Replied {
    Done(Done),
    /// The message asks for the differences from a serial number to the served version, which may be in git's history.
    Unknown {
        apex: Name,
        from: Serial,
    },
}

impl Server {
    /// Handles a message that [`Server::respond`] has set aside; `back` is the way back for a reply that is sent later.
    pub(super) fn deal_with(
        &self,
        transport: Transport,
        source: IpAddr,
        message: &[u8],
        reply: &mut [u8],
        back: Back,
    ) -> Done {
        let source = source.to_canonical();
        let served = self.served.load();
        let verified = match tsig::verify(message, |name| served.keys.get(name).cloned(), &Policy::default(), seconds())
        {
            Ok(verified) => verified,
            Err(failure) if self.awaits_keys(&served, &failure) => {
                // RFC 8945 has no error for this: BADKEY would mean that the client's key is wrong. No key can sign the
                // reply.
                let context = self.context(&served, transport, source, Some(0));
                let level = self.complain(Kind::Signature);
                let name = failure.key_name().map(Name::to_string).unwrap_or_default();
                log::log!(
                    level,
                    "a signed message from {source}: key {name}: no keys are loaded yet; answering SERVFAIL"
                );
                let why = ExtendedError { code: ede::NOT_READY, text: "no keys are loaded yet" };
                return answer::report(&context, message, Verdict::of(Rcode::SERVER_FAILURE).because(why), reply)
                    .into();
            }
            Err(failure) => {
                let context = self.context(&served, transport, source, Some(failure.room()));
                return self.reject(&context, message, &failure, reply).into();
            }
        };
        let opcode = message.get(2).map_or(0, |octet| octet >> 3 & 0xf);
        let (message, request) = match verified {
            None if opcode == opcode::UPDATE => {
                // The form is checked first, for every sender; nothing of the message is kept.
                let outcome = match Update::check_form(message) {
                    Ok(()) => Outcome::because(Rcode::REFUSED, "updates must be signed (TSIG)"),
                    Err(refusal) => Outcome::from(refusal),
                };
                let context = self.context(&served, transport, source, Some(0));
                return answer::report(&context, message, outcome.verdict(), reply).into();
            }
            None => (Cow::Borrowed(message), None),
            Some(Verified { message, request }) if opcode == opcode::UPDATE => {
                return self.take_in(&served, message.into(), request, Waiter { transport, source, back }, reply);
            }
            Some(Verified { message, request }) => (Cow::Owned(message), Some(request)),
        };
        let first = self.reply_to(&served, transport, source, &message, request.as_ref(), reply, true);
        // Hold nothing of what is served while other threads work.
        drop(served);
        let replied = match (first, &back) {
            (Replied::Unknown { apex, from }, Back::Stream(promise)) => {
                self.recall(apex, from, promise.wait());
                self.reply_to(&self.served.load(), transport, source, &message, request.as_ref(), reply, false)
            }
            (replied, _) => replied,
        };
        match replied {
            Replied::Done(done) => done,
            // Unreachable: the lookup is requested only once, and only over TCP.
            Replied::Unknown { .. } => Done::Silence,
        }
    }

    /// Replies to a message other than an update; its signature is already verified and removed. `may_wait` allows
    /// looking for differences that are not known yet.
    #[expect(clippy::too_many_arguments, reason = "the parts of one message")]
    fn reply_to(
        &self,
        served: &Served,
        transport: Transport,
        source: IpAddr,
        message: &[u8],
        request: Option<&Request>,
        reply: &mut [u8],
        may_wait: bool,
    ) -> Replied {
        let mut context = self.context(served, transport, source, Some(request.map_or(0, Request::room)));
        if request.is_some() {
            // A client that holds a key is not spoofed; replies to bad signatures are rate-limited.
            context.limiter = None;
        }
        let opcode = message.get(2).map_or(0, |octet| octet >> 3 & 0xf);
        let length = if opcode == opcode::NOTIFY {
            self.notified(served, &context, message, request, reply)
        } else {
            match self.transfer(served, &context, message, request, reply, may_wait) {
                Transfer::Stream(stream) => return Replied::Done(Done::Stream(stream)),
                Transfer::Unknown { apex, from } => return Replied::Unknown { apex, from },
                Transfer::Reply(length) => length,
                Transfer::Other => answer::respond(&context, message, reply).octets(),
            }
        };
        let signed = |length| match request {
            Some(request) => request.sign(reply, length, seconds()),
            None => Some(length),
        };
        Replied::Done(length.and_then(signed).into())
    }

    /// Acknowledges a notification and requests a poll of the zone's source (RFC 1996 §3.11).
    fn notified(
        &self,
        served: &Served,
        context: &Context<'_>,
        message: &[u8],
        request: Option<&Request>,
        reply: &mut [u8],
    ) -> Option<usize> {
        let notification = match Notification::parse(message) {
            Ok(notification) => notification,
            Err(rcode) => return answer::report(context, message, Verdict::of(rcode), reply),
        };
        let (apex, source) = (&notification.zone, context.source);
        let grant = request.and_then(|request| Grant::of(request.key().name()));
        let sender = match request {
            Some(_) => notify::Sender::Signed(grant.as_ref()),
            None => {
                let allowed = self.polling.allows(source);
                notify::Sender::Unsigned { allowed }
            }
        };
        let is_served = served.zones.as_ref().is_some_and(|zones| zones.get(apex).is_some());
        let decision = notify::decide(&notification, sender, is_served);
        let rcode = decision.rcode;
        let kind = if rcode == Rcode::NO_ERROR { Kind::Notification } else { Kind::NotificationRefused };
        log::log!(self.complain(kind), "notification from {source}: {notification}: {rcode}");
        if decision.check {
            match &self.polling.follower {
                // The follower has no other zones, and the number of names that are not served is unbounded.
                Some(_) if !is_served => {}
                Some(calls) => follower::notify(calls, apex, source, notification.serial),
                None => self.updates.queue.poke(),
            }
        }
        let authoritative = rcode == Rcode::NO_ERROR;
        answer::report(context, message, Verdict { authoritative, ..Verdict::of(rcode) }, reply)
    }

    /// Returns whether a signature cannot be verified because the keys that come with the zones are not loaded yet.
    fn awaits_keys(&self, served: &Served, failure: &Failure) -> bool {
        // A secondary has all its keys from the start.
        *failure.cause() == Cause::UnknownKey && served.zones.is_none() && self.polling.follower.is_none()
    }

    /// Replies to a message with an invalid signature.
    fn reject(&self, context: &Context<'_>, message: &[u8], failure: &Failure, reply: &mut [u8]) -> Option<usize> {
        log::log!(self.complain(Kind::Signature), "a signed message from {}: {failure}", context.source);
        let verdict = Verdict::of(failure.rcode());
        let length = answer::report(context, message, verdict, reply)?;
        failure.sign(reply, length)
    }

    /// Queues an update with a valid signature, or replies to it if it cannot be made.
    fn take_in(&self, served: &Served, message: Box<[u8]>, request: Request, waiter: Waiter, reply: &mut [u8]) -> Done {
        let key = Arc::clone(request.key());
        let (client, octets) = (waiter.source, message.len());
        let update = match self.examine(served, &message, client) {
            Ok(update) => update,
            Err(refusal) => {
                let outcome = Outcome::from(refusal);
                log::log!(self.complain(Kind::Update), "update by {} from {client}: {outcome}", key.name());
                return self.compose(&message, &request, &waiter, &outcome, reply).into();
            }
        };
        let mut replays = self.updates.replays();
        let ticket = match replays.check(&request, seconds(), Ticket::new) {
            Replay::New(ticket) => Arc::clone(ticket),
            Replay::Seen(ticket) => {
                let ticket = Arc::clone(ticket);
                drop(replays);
                return match ticket.outcome_or_wait(waiter) {
                    Ok(()) => Done::Later,
                    Err((outcome, waiter)) => self.compose(&message, &request, &waiter, &outcome, reply).into(),
                };
            }
            Replay::TooOld => {
                drop(replays);
                let failure = request.stale(seconds());
                let context = self.context(served, waiter.transport, client, Some(failure.room()));
                return self.reject(&context, &message, &failure, reply).into();
            }
        };
        drop(replays);
        ticket.begin(Waiting { message, request, waiters: vec![waiter] });
        let deadline = Instant::now() + self.updates.patience;
        let job = Box::new(Job { update, key, client, deadline, octets, ticket });
        if let Err(job) = self.updates.queue.push(job) {
            self.settle(&job, &Outcome::because(Rcode::SERVER_FAILURE, "too many updates are waiting"));
        }
        Done::Later
    }

    /// Parses an update and checks what can be checked at once.
    fn examine(&self, served: &Served, message: &[u8], client: IpAddr) -> Result<Update, Refusal> {
        let refused = |rcode, reason: &'static str| Err(Refusal::new(rcode, reason));
        let update = Update::parse(message)?;
        if self.updates.allowed.as_ref().is_some_and(|networks| !networks.contain(client)) {
            return refused(Rcode::REFUSED, "updates are not taken from this address (--allow-update)");
        }
        if self.polling.follower.is_some() {
            return refused(Rcode::NOT_IMPLEMENTED, "this is a secondary: send updates to the primary");
        }
        if served.zones.is_none() {
            return refused(Rcode::SERVER_FAILURE, "zones are not loaded yet");
        }
        Ok(update)
    }

    /// Sends the outcome of an update to all clients that wait for it.
    pub(super) fn settle(&self, job: &Job, outcome: &Outcome) {
        let Some(Waiting { message, request, waiters }) = job.ticket.settle(outcome) else { return };
        let zone = job.update.zone();
        if outcome.rcode == Rcode::NO_ERROR {
            log::debug!("update of {zone} by {} from {}: {outcome}", job.key.name(), job.client);
        } else {
            let level = self.complain(Kind::Update);
            log::log!(level, "update of {zone} by {} from {}: {outcome}", job.key.name(), job.client);
        }
        for waiter in waiters {
            let mut reply = vec![0; usize::from(MAX_PAYLOAD)];
            let Some(length) = self.compose(&message, &request, &waiter, outcome, &mut reply) else { continue };
            reply.truncate(length);
            match waiter.back {
                Back::Datagram(socket, client) => {
                    if let Err(error) = socket.send_to(&reply, client) {
                        log::debug!("replying to {client}: {error}");
                    }
                }
                Back::Stream(promise) => promise.keep(reply),
            }
        }
    }

    /// Writes the signed reply with the outcome of an update.
    fn compose(
        &self,
        message: &[u8],
        request: &Request,
        waiter: &Waiter,
        outcome: &Outcome,
        reply: &mut [u8],
    ) -> Option<usize> {
        let served = self.served.load();
        let mut context = self.context(&served, waiter.transport, waiter.source, Some(request.room()));
        context.limiter = None;
        let length = answer::report(&context, message, outcome.verdict(), reply)?;
        request.sign(reply, length, seconds())
    }
}

impl From<Option<usize>> for Done {
    fn from(length: Option<usize>) -> Self {
        length.map_or(Done::Silence, Done::Reply)
    }
}
