//! Transfers to secondaries: access control, choice of differences, and the messages.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::complaints::Kind;
use super::queue::Outcome;
use super::retired::Retired;
use super::start::DIFFERENCES;
use super::{Served, Server, past, seconds};
use crate::answer::{self, Context, Framing, ede};
use crate::config::{Config, Networks, Origin};
use crate::dns::message::Rcode;
use crate::dns::{Name, Serial};
use crate::transfer::{Content, Fault, History, NoRoom, Outgoing, Refusal, Request};
use crate::tsig;
use crate::zone::{Zone, Zones};

/// Maximum number of concurrent transfers; each keeps a thread and a snapshot of its zone.
const MOST: usize = 64;

/// The state of transfers.
pub(super) struct Transfers {
    /// The networks that may transfer zones without a key.
    allowed: Networks,
    /// The differences that secondaries may ask for.
    history: Mutex<History>,
    /// Number of transfers in progress.
    running: Arc<AtomicUsize>,
    /// The requests to the thread that looks for differences in git's history; `None` if zones come from primaries.
    pub(super) past: Option<Arc<past::Requests>>,
}

impl Transfers {
    /// Returns them as configured.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            allowed: config.allow_transfer.clone(),
            history: Mutex::new(History::new(DIFFERENCES)),
            running: Arc::default(),
            past: matches!(config.origin, Origin::Git(_)).then(Arc::default),
        }
    }

    /// Returns the differences that secondaries may ask for.
    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The messages of a reply over TCP.
pub(super) struct Stream {
    /// Always `Some` until this is dropped.
    outgoing: Option<Outgoing>,
    chain: Option<tsig::Chain>,
    /// Name of the client in the log.
    client: String,
    /// Takes the version of the zone at the end.
    retired: Arc<Retired>,
    _place: Place,
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(outgoing) = self.outgoing.take() {
            self.retired.put_transfer(outgoing);
        }
    }
}

/// A reserved slot for a transfer.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(count: &Arc<AtomicUsize>) -> Option<Self> {
        let more = |taken| (taken < MOST).then_some(taken + 1);
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Place(Arc::clone(count)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Stream {
    /// Writes the next message and returns its length; `None` after the last.
    pub(super) fn next(&mut self, server: &Server, message: &mut [u8]) -> Result<Option<usize>, NoRoom> {
        let reserve = self.chain.as_ref().map_or(0, tsig::Chain::room);
        let Some(outgoing) = &mut self.outgoing else { return Ok(None) };
        let Some(length) = outgoing.next(message, usize::from(u16::MAX), reserve)? else {
            let (zone, records) = (outgoing.content().zone().apex(), outgoing.records());
            // An unsigned address may be spoofed; a client that holds a key is known.
            let is_signed = self.chain.is_some();
            let level = if is_signed { log::Level::Info } else { server.complain(Kind::TransferUnsigned) };
            log::log!(level, "zone {zone}: sent {} to {}, {records} records", outgoing.content(), self.client);
            return Ok(None);
        };
        match &mut self.chain {
            Some(chain) => chain.sign(message, length, seconds()).map(Some).ok_or(NoRoom),
            None => Ok(Some(length)),
        }
    }
}

/// The result of handling a request.
pub(super) enum Transfer {
    /// It is not a transfer request.
    Other,
    /// The reply is written, without its signature.
    Reply(Option<usize>),
    /// The reply is to be sent message by message.
    Stream(Box<Stream>),
    /// The differences from a serial number to the served version may be in git's history; see [`Server::recall`].
    Unknown { apex: Name, from: Serial },
}

impl Server {
    /// Begins the transfer that a message requests, if it requests one. The signature is already verified and removed.
    /// `may_wait` allows looking for differences that are not known yet.
    pub(super) fn transfer(
        &self,
        served: &Served,
        context: &Context<'_>,
        message: &[u8],
        signed: Option<&tsig::Request>,
        reply: &mut [u8],
        may_wait: bool,
    ) -> Transfer {
        let refuse = |rcode, code, reason: &str, reply: &mut [u8]| {
            let outcome = Outcome { rcode, why: Some((code, reason.into())) };
            log::log!(self.complain(Kind::TransferRefused), "transfer to {}: {outcome}", context.source);
            Transfer::Reply(answer::report(context, message, outcome.verdict(), reply))
        };
        let request = match Request::parse(message, context.transport) {
            Ok(request) => request,
            Err(Fault::NotForTransfer) => return Transfer::Other,
            Err(fault) => return refuse(Rcode::FORMAT_ERROR, 0, &fault.to_string(), reply),
        };
        let Some(zones) = &served.zones else {
            return refuse(Rcode::SERVER_FAILURE, ede::NOT_READY, "zones are not loaded yet", reply);
        };
        let key = signed.map(|signed| &**signed.key());
        let client = match key {
            Some(key) => format!("{} with key {}", context.source, key.name()),
            None => context.source.to_string(),
        };
        let zone = match self.admit(&request, zones, key, context.source) {
            Ok(zone) => zone,
            Err(refusal) => {
                let code = match refusal {
                    Refusal::NotServed => ede::NOT_AUTHORITATIVE,
                    Refusal::Unsigned | Refusal::Key => ede::PROHIBITED,
                    Refusal::Broken => ede::INVALID_DATA,
                };
                let reason = format!("zone {}: {refusal}", request.zone());
                return refuse(refusal.rcode(), code, &reason, reply);
            }
        };
        let outdated = request.outdated_serial(&zone);
        let known = |from| self.transfers.history().chain(from, &zone);
        let differences = outdated.and_then(known);
        if let (Some(from), None) = (outdated, &differences) {
            // A client over UDP does not wait for a git remote; it retries over TCP.
            if may_wait && context.transport.framing == Framing::Stream && self.transfers.past.is_some() {
                return Transfer::Unknown { apex: zone.apex().clone(), from };
            }
        }
        if let Some(held_back) = answer::hold_back(context, message, reply) {
            return Transfer::Reply(held_back);
        }
        let (opt, limit) = answer::envelope(context, message);
        let content = Content::of(&request, zone, differences.as_deref());
        let outgoing = Outgoing::new(request.reply(&opt), content);
        if context.transport.framing == Framing::Datagram {
            let limit = limit.min(reply.len());
            return Transfer::Reply(outgoing.datagram(reply, limit, context.reserve.unwrap_or(0)).ok());
        }
        match Place::take(&self.transfers.running) {
            Some(place) => {
                let chain = signed.map(tsig::Request::chain);
                let (outgoing, retired) = (Some(outgoing), Arc::clone(&self.retired));
                Transfer::Stream(Box::new(Stream { outgoing, chain, client, retired, _place: place }))
            }
            None => refuse(Rcode::SERVER_FAILURE, 0, "too many transfers at a time", reply),
        }
    }

    fn admit(
        &self,
        request: &Request,
        zones: &Zones,
        key: Option<&tsig::Key>,
        source: IpAddr,
    ) -> Result<Arc<Zone>, Refusal> {
        request.admit(zones.get(request.zone()), key, source, |source| self.transfers.allowed.contain(source))
    }
}
