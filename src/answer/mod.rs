//! Answers to queries: the octets of a query in, the octets of a reply out.
//!
//! [`respond`] is a pure function of the query and its [`Context`]: it has no clock, never waits for a lock, never
//! allocates and never panics.
//!
//! ```text
//! query octets ─ query, edns ─► Query ─┬ chaos ────────────────────────┬─► limit ─► writer ─► reply octets
//!                                      └ resolve (RFC 1034 §4.3.2),    ┘
//!                                        additional
//! ```
//!
//! Signed messages, updates, notifications and transfer requests are set aside for a slower path, which has the keys.
//! They return here after their signature is verified, or with an outcome for `report`.
//!
//! The usual answer consists of three copies: a header, the question, and the octets of an RRset as stored in the zone.
//! Everything else is built record by record with name compression.

mod additional;
mod chaos;
mod cookie;
mod edns;
mod limit;
mod query;
mod resolve;
mod writer;

use std::net::IpAddr;
use std::time::Duration;

pub use self::cookie::Secret;
pub use self::limit::{Event, Kind, Limiter, Network, RateLimit};

use self::cookie::{Cookies, Standing};
use self::edns::{Edns, Opt};
use self::limit::LimitAction;
use self::query::{Extras, Query, Reason, Rejection};
use self::writer::Writer;
use crate::dns::message::{HEADER, Rcode, class};
use crate::dns::{Name, Serial, Type, name};
use crate::zone::{Fault, Zone, Zones};

/// How a query arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// What a message travels in.
    pub framing: Framing,
    /// Who can read along.
    pub channel: Channel,
}

impl Transport {
    /// DNS over UDP (RFC 1035 §4.2.1).
    pub const UDP: Transport = Transport { framing: Framing::Datagram, channel: Channel::Clear };

    /// DNS over TCP (RFC 7766).
    pub const TCP: Transport = Transport { framing: Framing::Stream, channel: Channel::Clear };
}

/// What a message travels in, which decides how large a reply may be, and whether its client is where it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A datagram: the reply fits the payload size the client advertises, and anybody may have sent the query.
    Datagram,
    /// A stream: the reply may have 65,535 octets, and replies reach the client.
    Stream,
}

/// Who can read along, which decides what a reply need not hide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Everybody on the way.
    Clear,
    /// Nobody: a message's length is all that shows.
    Encrypted,
}

/// The minimum UDP payload size, which every client accepts (RFC 1035 §4.2.1), in octets.
pub const MIN_PAYLOAD: u16 = 512;

/// The default UDP payload size, which avoids fragmentation on any path, in octets.
pub const DEFAULT_PAYLOAD: u16 = 1232;

/// The maximum UDP payload size, in octets.
pub const MAX_PAYLOAD: u16 = 4096;

/// The maximum length of the identity and version texts, in octets: they must fit into any reply together with the
/// longest question.
pub const MAX_TEXT: usize = 128;

/// The operator's settings for replies.
#[derive(Debug)]
pub struct Settings {
    payload: u16,
    nsid: Option<String>,
    version: Option<String>,
    cookies: Cookies,
    idle: u16,
    report_channel: Option<Name>,
}

impl Settings {
    /// Returns settings that reveal nothing about the server, and that generate cookies with the first of `secrets` and
    /// verify them with all.
    #[must_use]
    pub fn new(secrets: &[Secret]) -> Self {
        Self {
            payload: DEFAULT_PAYLOAD,
            nsid: None,
            version: None,
            cookies: Cookies::new(secrets),
            idle: 0,
            report_channel: None,
        }
    }

    /// Replaces the secret that generates cookies, possibly while queries are answered.
    pub fn renew_secret(&self, secret: &Secret) {
        self.cookies.renew(secret);
    }

    /// Sets the UDP payload size that is advertised and never exceeded, in octets.
    #[must_use]
    pub fn payload(self, octets: u16) -> Self {
        Self { payload: octets.clamp(MIN_PAYLOAD, MAX_PAYLOAD), ..self }
    }

    /// Sets the server's identity (RFC 5001, RFC 4892), of at most [`MAX_TEXT`] octets.
    #[must_use]
    pub fn nsid(self, nsid: Option<String>) -> Self {
        Self { nsid: nsid.filter(|nsid| nsid.len() <= MAX_TEXT), ..self }
    }

    /// Sets the version text, of at most [`MAX_TEXT`] octets.
    #[must_use]
    pub fn version(self, version: Option<String>) -> Self {
        Self { version: version.filter(|version| version.len() <= MAX_TEXT), ..self }
    }

    /// Sets the agent domain that resolvers report errors to (RFC 9567).
    #[must_use]
    pub fn report_channel(self, agent: Option<Name>) -> Self {
        Self { report_channel: agent, ..self }
    }

    /// Sets the idle timeout of TCP connections (RFC 7828).
    #[must_use]
    pub fn idle(self, idle: Duration) -> Self {
        Self { idle: u16::try_from(idle.as_millis() / 100).unwrap_or(u16::MAX), ..self }
    }
}

/// Everything except the query that a reply depends on.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The served zones; `None` until the first ones are loaded.
    pub zones: Option<&'a Zones>,
    /// The operator's settings.
    pub settings: &'a Settings,
    /// The rate limiter for replies over UDP, if any.
    pub limiter: Option<&'a Limiter>,
    /// The transport of the query.
    pub transport: Transport,
    /// The source address of the query.
    pub source: IpAddr,
    /// The monotonic time since a fixed moment.
    pub uptime: Duration,
    /// The time in seconds since 1970, modulo 2³².
    pub unix: u32,
    /// The number of octets to reserve for a signature at the end of the reply; `None` while the signature of the
    /// message, if any, is not yet verified.
    pub reserve: Option<usize>,
}

/// The outcome for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The reply was written and has this length in octets.
    Reply(usize),
    /// No reply must be sent: the message is not a query, the limiter dropped the reply, or there is no room for the
    /// question.
    Silence,
    /// The message needs the slower path: its signature is not yet verified, or it is an update, a notification or a
    /// transfer request.
    Aside,
}

impl Answer {
    /// Returns the length of the written reply in octets, if there is one.
    #[must_use]
    pub fn octets(self) -> Option<usize> {
        match self {
            Self::Reply(len) => Some(len),
            Self::Silence | Self::Aside => None,
        }
    }
}

/// An extended error, which explains the answer to clients with EDNS (RFC 8914).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExtendedError<'t> {
    pub(crate) code: u16,
    pub(crate) text: &'t str,
}

/// Codes of extended errors (RFC 8914 §4).
pub(crate) mod ede {
    pub(crate) const OTHER: u16 = 0;
    pub(crate) const NOT_READY: u16 = 14;
    pub(crate) const PROHIBITED: u16 = 18;
    pub(crate) const NOT_AUTHORITATIVE: u16 = 20;
    pub(crate) const NOT_SUPPORTED: u16 = 21;
    pub(crate) const INVALID_DATA: u16 = 24;
    /// RFC 9824 §3.2.
    pub(crate) const INVALID_TYPE: u16 = 30;
}

impl ExtendedError<'_> {
    const QUESTION_COUNT: Self = Self { code: ede::OTHER, text: "not exactly one question" };
    const NOT_READY: Self = Self { code: ede::NOT_READY, text: "zones are not loaded yet" };
    const PROHIBITED: Self = Self { code: ede::PROHIBITED, text: "" };
    const NOT_AUTHORITATIVE: Self = Self { code: ede::NOT_AUTHORITATIVE, text: "" };
    const NOT_SUPPORTED: Self = Self { code: ede::NOT_SUPPORTED, text: "" };
    const INVALID_DATA: Self = Self { code: ede::INVALID_DATA, text: "the zone's file has errors" };
    const EXPIRED: Self = Self { code: ede::INVALID_DATA, text: "the zone has expired: no primary answered" };
    const AWAITED: Self = Self { code: ede::NOT_READY, text: "the zone is not transferred yet" };
    const INVALID_TYPE: Self = Self { code: ede::INVALID_TYPE, text: "" };
}

impl From<&Fault> for ExtendedError<'_> {
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::Errors => Self::INVALID_DATA,
            Fault::Awaited => Self::AWAITED,
            Fault::Expired => Self::EXPIRED,
        }
    }
}

/// The parts of a reply's header and OPT record that are not copied from the query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict<'t> {
    pub(crate) rcode: Rcode,
    pub(crate) authoritative: bool,
    pub(crate) truncated: bool,
    pub(crate) extended: Option<ExtendedError<'t>>,
    /// The version of the zone that the answer to the question begins in, if the client requests it.
    pub(crate) zone_version: Option<ZoneVersion>,
}

/// The version of a zone (RFC 9660 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ZoneVersion {
    /// The number of labels of the zone's name, without the root.
    labels: u8,
    serial: Serial,
}

impl ZoneVersion {
    fn of(zone: &Zone) -> Self {
        // A name has at most 127 labels.
        Self { labels: zone.apex().label_count() as u8, serial: zone.serial() }
    }
}

impl<'t> Verdict<'t> {
    /// Returns a non-authoritative verdict.
    pub(crate) fn of(rcode: Rcode) -> Self {
        Self { rcode, authoritative: false, truncated: false, extended: None, zone_version: None }
    }

    pub(crate) fn because(self, extended: ExtendedError<'t>) -> Self {
        Self { extended: Some(extended), ..self }
    }
}

/// Writes the reply to `query` into `reply`.
///
/// The reply never has more octets than `reply` holds; give it 65,535 for a stream and at least the settings' payload
/// size for a datagram.
#[inline]
pub fn respond(context: &Context<'_>, query: &[u8], reply: &mut [u8]) -> Answer {
    let Some(header) = query.first_chunk::<HEADER>() else { return Answer::Silence };
    // Replying to replies could cause endless loops between servers.
    if header[2] & 0x80 != 0 {
        return Answer::Silence;
    }
    let parsed = Query::parse(query);
    let (extras, is_transfer_or_aside) = match &parsed {
        Ok(query) => (&query.extras, matches!(query.qtype, Type::AXFR | Type::IXFR)),
        Err(rejection) => (&rejection.extras, rejection.reason == Reason::Aside),
    };
    if context.reserve.is_none() && (extras.signed || is_transfer_or_aside) {
        return Answer::Aside;
    }
    compose(context, header, &parsed, None, reply).map_or(Answer::Silence, Answer::Reply)
}

/// Writes the reply with the outcome of a `request` into `reply` and returns its length, or `None` if no reply must be
/// sent.
///
/// The reply repeats the question, which is the zone section of an update (RFC 2136 §3.8).
pub(crate) fn report(context: &Context<'_>, request: &[u8], verdict: Verdict<'_>, reply: &mut [u8]) -> Option<usize> {
    let header = request.first_chunk::<HEADER>()?;
    compose(context, header, &Query::parse(request), Some(verdict), reply)
}

/// Asks the limiter about a reply with records to this `request`, for replies that are written elsewhere.
///
/// Returns `None` if the reply is to be sent. Otherwise returns what to send instead: the length of a truncated reply in
/// `reply`, which makes the client retry over TCP, or `None` for no reply.
pub(crate) fn hold_back(context: &Context<'_>, request: &[u8], reply: &mut [u8]) -> Option<Option<usize>> {
    let parsed = Query::parse(request);
    let extras = match &parsed {
        Ok(query) => &query.extras,
        Err(rejection) => &rejection.extras,
    };
    let (opt, standing) = opt(context, extras);
    let verdict = Verdict { authoritative: true, ..Verdict::of(Rcode::NO_ERROR) };
    match limit_action(context, standing, Kind::of(&verdict)) {
        LimitAction::Send => None,
        LimitAction::Drop => Some(None),
        LimitAction::Slip => {
            let verdict = slip(&verdict, opt.is_some_and(|opt| opt.cookies.is_some()));
            // The reply has already been counted.
            let context = Context { limiter: None, ..*context };
            Some(report(&context, request, verdict, reply))
        }
    }
}

/// Returns the limiter's decision about a reply of this kind to a client with cookies of this standing.
#[inline]
fn limit_action(context: &Context<'_>, standing: Standing, kind: Kind) -> LimitAction {
    match (context.transport.framing, context.limiter) {
        (Framing::Datagram, Some(limiter)) if standing != Standing::Verified => {
            limiter.decide(context.source, kind, context.uptime)
        }
        _ => LimitAction::Send,
    }
}

/// Returns the OPT record for the reply to a `request` (empty if there must be none) and the maximum length of the
/// reply in octets, for replies that are written elsewhere.
pub(crate) fn envelope(context: &Context<'_>, request: &[u8]) -> (Vec<u8>, usize) {
    let parsed = Query::parse(request);
    let extras = match &parsed {
        Ok(query) => &query.extras,
        Err(rejection) => &rejection.extras,
    };
    let (opt, _) = opt(context, extras);
    let mut record = vec![0; opt.as_ref().map_or(0, Opt::len)];
    if let Some(opt) = opt {
        // The record fits, because the buffer has exactly its length.
        let _ = opt.write(&Verdict::of(Rcode::NO_ERROR), &mut record);
    }
    (record, max_octets(context, extras))
}

/// Returns the content of the reply's OPT record, if there must be one, and the standing of the client by its cookies.
#[inline]
fn opt<'s>(context: &Context<'s>, extras: &Extras<'_>) -> (Option<Opt<'s>>, Standing) {
    let settings = context.settings;
    let mut standing = Standing::New;
    let opt = extras.edns.as_ref().map(|edns| {
        let checked = edns.cookies.and_then(|data| settings.cookies.check(data, context.source, context.unix));
        if let Some(checked) = &checked {
            standing = checked.standing;
        }
        Opt {
            payload: settings.payload,
            dnssec_ok: edns.dnssec_ok,
            nsid: settings.nsid.as_deref().filter(|_| edns.nsid).map(str::as_bytes),
            cookies: checked.map(|checked| checked.octets),
            // RFC 7828 §3.2.1: the option has no meaning over UDP.
            keepalive: (edns.keepalive && context.transport.framing == Framing::Stream).then_some(settings.idle),
            zone_version: edns.zone_version,
            report_channel: None,
        }
    });
    (opt, standing)
}

/// Returns the maximum length of the reply in octets.
#[inline]
fn max_octets(context: &Context<'_>, extras: &Extras<'_>) -> usize {
    usize::from(match (context.transport.framing, &extras.edns) {
        (Framing::Stream, _) => u16::MAX,
        (Framing::Datagram, None) => MIN_PAYLOAD,
        // RFC 6891 §6.2.3: values below the minimum mean the minimum.
        (Framing::Datagram, Some(edns)) => edns.payload.clamp(MIN_PAYLOAD, context.settings.payload),
    })
}

/// Writes a reply with the given `verdict`, or otherwise with the answer to the query.
#[inline]
fn compose(
    context: &Context<'_>,
    header: &[u8; HEADER],
    parsed: &Result<Query<'_>, Rejection<'_>>,
    verdict: Option<Verdict<'_>>,
    reply: &mut [u8],
) -> Option<usize> {
    let (question, extras) = match parsed {
        Ok(query) => (query.question, &query.extras),
        Err(rejection) => (rejection.question, &rejection.extras),
    };
    let (mut opt, standing) = opt(context, extras);
    let limit = max_octets(context, extras).min(reply.len()).checked_sub(context.reserve.unwrap_or(0))?;
    let records_end = limit.checked_sub(opt.as_ref().map_or(0, Opt::len))?;
    let mut names = writer::name_table();
    let mut writer = Writer::new(reply, &mut names, records_end, question)?;
    let mut verdict = match (verdict, parsed) {
        (Some(verdict), _) => verdict,
        (None, Ok(query)) => answer_query(context, query, &mut writer),
        (None, Err(rejection)) => reject(rejection, standing),
    };
    let kind = Kind::of(&verdict);
    let with_cookie = opt.is_some_and(|opt| opt.cookies.is_some());
    match limit_action(context, standing, kind) {
        LimitAction::Send => {}
        LimitAction::Slip if with_cookie || kind != Kind::Error => {
            writer.clear();
            verdict = slip(&verdict, with_cookie);
        }
        // A truncated error would not make clients retry over TCP.
        LimitAction::Drop | LimitAction::Slip => return None,
    }
    if let (Some(opt), Some(agent), Ok(query)) = (&mut opt, &context.settings.report_channel, parsed)
        && matches!(verdict.rcode, Rcode::NO_ERROR | Rcode::NAME_ERROR | Rcode::YX_DOMAIN)
        && query.qclass == class::IN
    {
        // RFC 9567: reports must not cause further reports.
        opt.report_channel = Some(agent.as_wire()).filter(|agent| !name::is_at_or_below(query.name, agent));
    }
    Some(writer.finish(header, &verdict, opt.as_ref(), limit))
}

/// Returns the verdict for a rate-limited client: it makes the client retry with the cookie in this reply (RFC 7873
/// §5.2.3) or over TCP.
#[cold]
fn slip<'t>(verdict: &Verdict<'t>, with_cookie: bool) -> Verdict<'t> {
    if with_cookie { Verdict::of(Rcode::BAD_COOKIE) } else { Verdict { truncated: true, extended: None, ..*verdict } }
}

/// Returns the verdict on a message without a question to answer.
#[cold]
fn reject(rejection: &Rejection<'_>, standing: Standing) -> Verdict<'static> {
    if let Some(verdict) = precedent_error(&rejection.extras) {
        return verdict;
    }
    if (rejection.reason, standing) == (Reason::CookieOnly, Standing::Bad) {
        return Verdict::of(Rcode::BAD_COOKIE);
    }
    let (rcode, extended) = rejection.reason.verdict();
    Verdict { extended, ..Verdict::of(rcode) }
}

/// Returns the verdict on errors that take precedence over everything else.
#[inline]
fn precedent_error(extras: &Extras<'_>) -> Option<Verdict<'static>> {
    match extras {
        Extras { edns: Some(Edns { version: 1.., .. }), .. } => Some(Verdict::of(Rcode::BAD_VERSION)),
        _ => None,
    }
}

/// Answers a well-formed query: writes the records and returns the verdict.
#[inline]
fn answer_query(context: &Context<'_>, query: &Query<'_>, writer: &mut Writer<'_>) -> Verdict<'static> {
    const CHAOS: u16 = 3;
    if let Some(verdict) = precedent_error(&query.extras) {
        return verdict;
    }
    match query.qtype {
        // RFC 6895 §3.1, RFC 9824 §3.2: these are not valid query types.
        Type::OPT | Type::NXNAME | Type::TKEY | Type::TSIG => {
            return Verdict::of(Rcode::FORMAT_ERROR).because(ExtendedError::INVALID_TYPE);
        }
        Type::MAILA | Type::MAILB => {
            return Verdict::of(Rcode::NOT_IMPLEMENTED).because(ExtendedError::NOT_SUPPORTED);
        }
        Type::AXFR | Type::IXFR => return Verdict::of(Rcode::REFUSED).because(ExtendedError::NOT_SUPPORTED),
        _ => {}
    }
    match (query.qclass, context.zones) {
        (class::IN, Some(zones)) => resolve::resolve(zones, query, writer),
        (class::IN, None) => Verdict::of(Rcode::SERVER_FAILURE).because(ExtendedError::NOT_READY),
        (CHAOS, _) => chaos::answer(context.settings, query, writer),
        _ => Verdict::of(Rcode::REFUSED).because(ExtendedError::NOT_SUPPORTED),
    }
}

#[cfg(test)]
mod tests;
