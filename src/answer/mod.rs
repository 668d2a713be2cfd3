//! Answers: a query's octets in, a reply's octets out.
//!
//! [`respond`] is a function of the query and its [`Context`]: no clock, no lock to wait for, no allocation, no panic.
//!
//! ```text
//! query octets ─ query, edns, tsig ─► Query ─┬ chaos ────────────────────────┬─► limit ─► writer ─► reply octets
//!                                            └ resolve (RFC 1034 §4.3.2),    ┘
//!                                              additional
//! ```
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
mod tsig;
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
use crate::zone::{Catalog, Type};

/// How a query arrived, which decides how large its reply may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram: the reply fits the payload size the client advertises.
    Udp,
    /// A stream: the reply may have 65,535 octets.
    Tcp,
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
#[derive(Clone, Debug)]
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
    pub zones: Option<&'a Catalog>,
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
}

/// A response code with EDNS's upper bits (RFC 1035 §4.1.1, RFC 6895 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rcode(u16);

impl Rcode {
    pub(crate) const NO_ERROR: Self = Self(0);
    pub(crate) const FORMAT_ERROR: Self = Self(1);
    pub(crate) const SERVER_FAILURE: Self = Self(2);
    pub(crate) const NAME_ERROR: Self = Self(3);
    pub(crate) const NOT_IMPLEMENTED: Self = Self(4);
    pub(crate) const REFUSED: Self = Self(5);
    pub(crate) const YX_DOMAIN: Self = Self(6);
    pub(crate) const YX_RRSET: Self = Self(7);
    pub(crate) const NX_RRSET: Self = Self(8);
    pub(crate) const NOT_AUTHORITATIVE: Self = Self(9);
    pub(crate) const NOT_ZONE: Self = Self(10);
    pub(crate) const BAD_VERSION: Self = Self(16);
    pub(crate) const BAD_COOKIE: Self = Self(23);
}

/// Why the answer is what it is, told to clients that speak EDNS (RFC 8914).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExtendedError {
    code: u16,
    text: &'static str,
}

impl ExtendedError {
    const QUESTION_COUNT: Self = Self { code: 0, text: "not exactly one question" };
    const NOT_READY: Self = Self { code: 14, text: "zones are not loaded yet" };
    const PROHIBITED: Self = Self { code: 18, text: "" };
    const NOT_AUTHORITATIVE: Self = Self { code: 20, text: "" };
    const NOT_SUPPORTED: Self = Self { code: 21, text: "" };
    const INVALID_DATA: Self = Self { code: 24, text: "the zone's file has errors" };
    /// RFC 9824 §3.2.
    const INVALID_TYPE: Self = Self { code: 30, text: "" };
}

/// What a reply's header and OPT record say, apart from what is copied from the query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    pub(crate) rcode: Rcode,
    pub(crate) authoritative: bool,
    pub(crate) truncated: bool,
    pub(crate) extended: Option<ExtendedError>,
}

impl Verdict {
    /// A verdict without authority.
    pub(crate) fn of(rcode: Rcode) -> Self {
        Self { rcode, authoritative: false, truncated: false, extended: None }
    }

    fn because(self, extended: ExtendedError) -> Self {
        Self { extended: Some(extended), ..self }
    }
}

/// Writes the reply to `query` into `reply` and returns its length, or `None` where silence is right: for what is
/// no query, for what the limiter drops, and when `reply` has no room for a question.
///
/// The reply never has more octets than `reply` holds; give it 65,535 for a stream and at least the settings' payload
/// size for a datagram.
pub fn respond(context: &Context<'_>, query: &[u8], reply: &mut [u8]) -> Option<usize> {
    let header = query.first_chunk::<{ query::HEADER }>()?;
    // Two servers that answer each other's replies would never stop.
    if header[2] & 0x80 != 0 {
        return None;
    }
    let settings = context.settings;
    let parsed = Query::parse(query);
    let (question, extras) = match &parsed {
        Ok(query) => (query.question, &query.extras),
        Err(rejection) => (&[][..], &rejection.extras),
    };
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
            keepalive: (edns.keepalive && context.transport == Transport::Tcp).then_some(settings.idle),
        }
    });
    let limit = match (context.transport, &extras.edns) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, None) => LEAST_PAYLOAD,
        // RFC 6891 §6.2.3: less than the least means the least.
        (Transport::Udp, Some(edns)) => edns.payload.clamp(LEAST_PAYLOAD, settings.payload),
    };
    let limit = usize::from(limit).min(reply.len());
    let records_end = limit.checked_sub(opt.as_ref().map_or(0, Opt::len))?;
    let mut names = writer::name_table();
    let mut writer = Writer::new(reply, &mut names, records_end, question)?;
    let mut verdict = match &parsed {
        Ok(query) => judge(context, query, &mut writer),
        Err(rejection) => dismiss(rejection, standing),
    };
    if let (Transport::Udp, Some(limiter)) = (context.transport, context.limiter)
        && standing != Standing::Proven
    {
        let kind = Kind::of(&verdict);
        let with_cookie = opt.is_some_and(|opt| opt.cookies.is_some());
        match limiter.rule(context.source, kind, context.uptime) {
            Ruling::Send => {}
            Ruling::Slip if with_cookie || kind != Kind::Error => {
                writer.clear();
                verdict = slipped(&verdict, with_cookie);
            }
            // Nobody asks again over TCP because of a truncated error.
            Ruling::Drop | Ruling::Slip => return None,
        }
    }
    let len = writer.finish(header, &verdict, opt.as_ref(), limit);
    Some(match &extras.tsig {
        Some(tsig) if verdict.rcode == Rcode::NOT_AUTHORITATIVE => tsig.refuse(query, reply, len, limit),
        _ => len,
    })
}

/// Returns what a limited client is told: to come again, with the cookie it gets with this reply (RFC 7873 §5.2.3) or
/// over TCP.
#[cold]
fn slipped(verdict: &Verdict, with_cookie: bool) -> Verdict {
    if with_cookie { Verdict::of(Rcode::BAD_COOKIE) } else { Verdict { truncated: true, extended: None, ..*verdict } }
}

/// Decides what a message without a question for us is due.
#[cold]
fn dismiss(rejection: &Rejection<'_>, standing: Standing) -> Verdict {
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
fn before_anything_else(extras: &Extras<'_>) -> Option<Verdict> {
    match extras {
        Extras { edns: Some(Edns { version: 1.., .. }), .. } => Some(Verdict::of(Rcode::BAD_VERSION)),
        Extras { tsig: Some(_), .. } => Some(Verdict::of(Rcode::NOT_AUTHORITATIVE)),
        _ => None,
    }
}

/// Decides what a well-formed query is due and writes the records of its answer.
#[inline]
fn judge(context: &Context<'_>, query: &Query<'_>, writer: &mut Writer<'_>) -> Verdict {
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
