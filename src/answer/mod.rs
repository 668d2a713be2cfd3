//! Answers: a query's octets in, a reply's octets out.
//!
//! [`respond`] is a function of the query and its [`Context`]: no clock, no lock to wait for, no allocation, no panic.
//!
//! ```text
//! query octets ─ query, edns ─► Query ─┬ chaos ────────────────────────┬─► limit ─► writer ─► reply octets
//!                                      └ resolve (RFC 1034 §4.3.2),    ┘
//!                                        additional
//! ```
//!
//! Signed messages, updates, notifications and requests for transfers are set aside for who has keys and time: these
//! come back here, signature examined, or with an outcome to `report`.
//!
//! The usual answer is a header, the question as it came and an RRset's octets as the zone holds them, so
//! three copies; all else is built record by record with name compression.

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
use self::limit::Ruling;
use self::query::{Extras, Query, Reason, Rejection};
use self::writer::Writer;
use crate::dns::Type;
use crate::dns::message::{HEADER, Rcode};
use crate::zone::{Fault, Zones};

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

/// The payload size of UDP messages every client takes (RFC 1035 §4.2.1), in octets, and the least there may be.
pub const LEAST_PAYLOAD: u16 = 512;

/// The payload size of UDP messages that passes any path in one piece, in octets.
pub const DEFAULT_PAYLOAD: u16 = 1232;

/// The largest payload size of UDP messages there may be, in octets.
pub const MOST_PAYLOAD: u16 = 4096;

/// The most octets of a text the server tells of itself: it must fit any reply beside the longest question.
pub const MOST_TEXT: usize = 128;

/// What the operator decides about replies.
#[derive(Debug)]
pub struct Settings {
    payload: u16,
    nsid: Option<String>,
    version: Option<String>,
    cookies: Cookies,
    idle: u16,
}

impl Settings {
    /// Returns settings under which nothing is told of the server, and cookies are made with the first of `secrets` and
    /// proved with any.
    #[must_use]
    pub fn new(secrets: &[Secret]) -> Self {
        Self { payload: DEFAULT_PAYLOAD, nsid: None, version: None, cookies: Cookies::new(secrets), idle: 0 }
    }

    /// Replaces the secret that cookies are made with; queries may be answered meanwhile.
    pub fn renew_secret(&self, secret: &Secret) {
        self.cookies.renew(secret);
    }

    /// Sets the payload size of UDP messages that is advertised and never exceeded, in octets.
    #[must_use]
    pub fn payload(self, octets: u16) -> Self {
        Self { payload: octets.clamp(LEAST_PAYLOAD, MOST_PAYLOAD), ..self }
    }

    /// Sets the server's identity (RFC 5001, RFC 4892), of at most [`MOST_TEXT`] octets.
    #[must_use]
    pub fn nsid(self, nsid: Option<String>) -> Self {
        Self { nsid: nsid.filter(|nsid| nsid.len() <= MOST_TEXT), ..self }
    }

    /// Sets what is said of the server's version, of at most [`MOST_TEXT`] octets.
    #[must_use]
    pub fn version(self, version: Option<String>) -> Self {
        Self { version: version.filter(|version| version.len() <= MOST_TEXT), ..self }
    }

    /// Sets how long a TCP connection may be idle (RFC 7828).
    #[must_use]
    pub fn idle(self, idle: Duration) -> Self {
        Self { idle: u16::try_from(idle.as_millis() / 100).unwrap_or(u16::MAX), ..self }
    }
}

/// All that a reply depends on but the query.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// What is served; `None` until the first zones are loaded.
    pub zones: Option<&'a Zones>,
    /// What the operator decided.
    pub settings: &'a Settings,
    /// What limits replies over UDP, if anything does.
    pub limiter: Option<&'a Limiter>,
    /// How the query arrived.
    pub transport: Transport,
    /// Whence it came.
    pub source: IpAddr,
    /// The time since some moment that is the same for all queries.
    pub uptime: Duration,
    /// The time in seconds since 1970, modulo 2³².
    pub unix: u32,
    /// Octets to leave free at the reply's end for a signature; `None` while it is not known whether the message's own
    /// is right, if it has one.
    pub reserve: Option<usize>,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The reply is written and has this many octets.
    Reply(usize),
    /// Silence is right: for what is no query, for what the limiter drops, and where there is no room for a question.
    Silence,
    /// The message is signed and its signature not examined, or it is no query but an update, a notification or a
    /// request for a transfer: none of these is answered at once.
    Aside,
}

impl Answer {
    /// Returns how many octets the reply has that was written, if one was.
    #[must_use]
    pub fn octets(self) -> Option<usize> {
        match self {
            Self::Reply(len) => Some(len),
            Self::Silence | Self::Aside => None,
        }
    }
}

/// Why the answer is what it is, told to clients that speak EDNS (RFC 8914).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExtendedError<'t> {
    pub(crate) code: u16,
    pub(crate) text: &'t str,
}

/// What extended errors are called by (RFC 8914 §4).
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
    const EXPIRED: Self = Self { code: ede::INVALID_DATA, text: "the zone has expired: no primary was heard" };
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

/// What a reply's header and OPT record say, apart from what is copied from the query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict<'t> {
    pub(crate) rcode: Rcode,
    pub(crate) authoritative: bool,
    pub(crate) truncated: bool,
    pub(crate) extended: Option<ExtendedError<'t>>,
}

impl<'t> Verdict<'t> {
    /// A verdict without authority.
    pub(crate) fn of(rcode: Rcode) -> Self {
        Self { rcode, authoritative: false, truncated: false, extended: None }
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
    // Two servers that answer each other's replies would never stop.
    if header[2] & 0x80 != 0 {
        return Answer::Silence;
    }
    let parsed = Query::parse(query);
    let (extras, is_for_others) = match &parsed {
        Ok(query) => (&query.extras, matches!(query.qtype, Type::AXFR | Type::IXFR)),
        Err(rejection) => (&rejection.extras, rejection.reason == Reason::Aside),
    };
    if context.reserve.is_none() && (extras.signed || is_for_others) {
        return Answer::Aside;
    }
    compose(context, header, &parsed, None, reply).map_or(Answer::Silence, Answer::Reply)
}

/// Writes into `reply` what came of a `request`, which has a header, and returns the reply's length, or `None` where
/// silence is right.
///
/// The reply repeats the question, which for an update is the zone (RFC 2136 §3.8).
pub(crate) fn report(context: &Context<'_>, request: &[u8], verdict: Verdict<'_>, reply: &mut [u8]) -> Option<usize> {
    let header = request.first_chunk::<HEADER>()?;
    compose(context, header, &Query::parse(request), Some(verdict), reply)
}

/// Asks the limiter about a reply with records that is written elsewhere, to a `request` for them.
///
/// Returns `None` if it is to be sent; else what takes its place in `reply`: the length of a truncated reply, for which the
/// client comes again over TCP, or nothing.
pub(crate) fn hold_back(context: &Context<'_>, request: &[u8], reply: &mut [u8]) -> Option<Option<usize>> {
    let parsed = Query::parse(request);
    let extras = match &parsed {
        Ok(query) => &query.extras,
        Err(rejection) => &rejection.extras,
    };
    let (opt, standing) = opt(context, extras);
    let verdict = Verdict { authoritative: true, ..Verdict::of(Rcode::NO_ERROR) };
    match rule(context, standing, Kind::of(&verdict)) {
        Ruling::Send => None,
        Ruling::Drop => Some(None),
        Ruling::Slip => {
            let verdict = slipped(&verdict, opt.is_some_and(|opt| opt.cookies.is_some()));
            // It was counted once.
            let context = Context { limiter: None, ..*context };
            Some(report(&context, request, verdict, reply))
        }
    }
}

/// Returns what becomes of a reply of this kind to a client whose cookies came to this.
#[inline]
fn rule(context: &Context<'_>, standing: Standing, kind: Kind) -> Ruling {
    match (context.transport.framing, context.limiter) {
        (Framing::Datagram, Some(limiter)) if standing != Standing::Proven => {
            limiter.rule(context.source, kind, context.uptime)
        }
        _ => Ruling::Send,
    }
}

/// Returns the OPT record of the reply to a `request`, empty if there is none, and how many octets the reply may have,
/// which need not be written as one of ours.
pub(crate) fn envelope(context: &Context<'_>, request: &[u8]) -> (Vec<u8>, usize) {
    let parsed = Query::parse(request);
    let extras = match &parsed {
        Ok(query) => &query.extras,
        Err(rejection) => &rejection.extras,
    };
    let (opt, _) = opt(context, extras);
    let mut record = vec![0; opt.as_ref().map_or(0, Opt::len)];
    if let Some(opt) = opt {
        // It fits: the room was measured by it.
        let _ = opt.write(Rcode::NO_ERROR, None, &mut record);
    }
    (record, most_octets(context, extras))
}

/// Returns what the reply's OPT record says, if there is to be one, and what the client's cookies came to.
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
            // RFC 7828 §3.2.1: over UDP it means nothing.
            keepalive: (edns.keepalive && context.transport.framing == Framing::Stream).then_some(settings.idle),
        }
    });
    (opt, standing)
}

/// Returns the most octets the reply may have.
#[inline]
fn most_octets(context: &Context<'_>, extras: &Extras<'_>) -> usize {
    usize::from(match (context.transport.framing, &extras.edns) {
        (Framing::Stream, _) => u16::MAX,
        (Framing::Datagram, None) => LEAST_PAYLOAD,
        // RFC 6891 §6.2.3: less than the least means the least.
        (Framing::Datagram, Some(edns)) => edns.payload.clamp(LEAST_PAYLOAD, context.settings.payload),
    })
}

/// Writes a reply: with a `verdict` given, or with what the query is due.
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
    let (opt, standing) = opt(context, extras);
    let limit = most_octets(context, extras).min(reply.len()).checked_sub(context.reserve.unwrap_or(0))?;
    let records_end = limit.checked_sub(opt.as_ref().map_or(0, Opt::len))?;
    let mut names = writer::name_table();
    let mut writer = Writer::new(reply, &mut names, records_end, question)?;
    let mut verdict = match (verdict, parsed) {
        (Some(verdict), _) => verdict,
        (None, Ok(query)) => judge(context, query, &mut writer),
        (None, Err(rejection)) => dismiss(rejection, standing),
    };
    let kind = Kind::of(&verdict);
    let with_cookie = opt.is_some_and(|opt| opt.cookies.is_some());
    match rule(context, standing, kind) {
        Ruling::Send => {}
        Ruling::Slip if with_cookie || kind != Kind::Error => {
            writer.clear();
            verdict = slipped(&verdict, with_cookie);
        }
        // Nobody asks again over TCP because of a truncated error.
        Ruling::Drop | Ruling::Slip => return None,
    }
    Some(writer.finish(header, &verdict, opt.as_ref(), limit))
}

/// Returns what a limited client is told: to come again, with the cookie it gets with this reply (RFC 7873 §5.2.3) or
/// over TCP.
#[cold]
fn slipped<'t>(verdict: &Verdict<'t>, with_cookie: bool) -> Verdict<'t> {
    if with_cookie { Verdict::of(Rcode::BAD_COOKIE) } else { Verdict { truncated: true, extended: None, ..*verdict } }
}

/// Decides what a message without a question for us is due.
#[cold]
fn dismiss(rejection: &Rejection<'_>, standing: Standing) -> Verdict<'static> {
    if let Some(verdict) = before_anything_else(&rejection.extras) {
        return verdict;
    }
    if (rejection.reason, standing) == (Reason::CookieOnly, Standing::Bad) {
        return Verdict::of(Rcode::BAD_COOKIE);
    }
    let (rcode, extended) = rejection.reason.verdict();
    Verdict { extended, ..Verdict::of(rcode) }
}

/// Returns the verdict on what is wrong with any message, whatever it asks for.
#[inline]
fn before_anything_else(extras: &Extras<'_>) -> Option<Verdict<'static>> {
    match extras {
        Extras { edns: Some(Edns { version: 1.., .. }), .. } => Some(Verdict::of(Rcode::BAD_VERSION)),
        _ => None,
    }
}

/// Decides what a well-formed query is due and writes the records of its answer.
#[inline]
fn judge(context: &Context<'_>, query: &Query<'_>, writer: &mut Writer<'_>) -> Verdict<'static> {
    const IN: u16 = 1;
    const CHAOS: u16 = 3;
    if let Some(verdict) = before_anything_else(&query.extras) {
        return verdict;
    }
    match query.qtype {
        // RFC 6895 §3.1, RFC 9824 §3.2: nobody asks for these.
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
        (IN, Some(zones)) => resolve::resolve(zones, query, writer),
        (IN, None) => Verdict::of(Rcode::SERVER_FAILURE).because(ExtendedError::NOT_READY),
        (CHAOS, _) => chaos::answer(context.settings, query, writer),
        _ => Verdict::of(Rcode::REFUSED).because(ExtendedError::NOT_SUPPORTED),
    }
}

#[cfg(test)]
mod tests;
