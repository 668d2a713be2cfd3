//! The server's end: requests verified, replies signed (RFC 8945 §5.1–§5.3).

use std::fmt;
use std::sync::Arc;

use super::FUDGE;
use super::algorithm::{Algorithm, AlgorithmError};
use super::key::Key;
use super::record::{Fields, Record, digest_mac, digest_message, error, is_mac_length, most_room};
use crate::dns::Name;
use crate::dns::message::Rcode;

/// What is asked of signatures beyond what the RFC does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The fewest octets a truncated MAC must have (RFC 8945 §5.2.4); half of its full length in any case.
    pub shortest_mac: usize,
}

impl Default for Policy {
    /// 16 octets are beyond all guessing, and what RFC 8945 §6 has as HMAC-SHA256-128.
    fn default() -> Self {
        Self { shortest_mac: 16 }
    }
}

/// A request whose signature is right.
#[derive(Debug)]
pub struct Verified {
    /// The message without its TSIG record, as if it had never had one; its identifier is the one to reply with.
    pub message: Vec<u8>,
    /// Who signed it, and what the reply's signature needs.
    pub request: Request,
}

/// What is left of a request's signature: by it the reply is signed.
#[derive(Clone)]
pub struct Request {
    key: Arc<Key>,
    /// The key's name in the letter case of the request, and so of the reply: Knot's tools know it in no other.
    name: Name,
    /// The MAC as it came, which may be truncated.
    mac: Box<[u8]>,
    /// The MAC in full length.
    full_mac: Box<[u8]>,
    time: u64,
    fudge: u16,
    original_id: u16,
}

/// Verifies a request at the time `now`; `None` if it is not signed.
///
/// `find` returns the key of a name, which stands in the letter case of the message. The checks are those of RFC 8945
/// §5.1 and §5.2, in that order.
///
/// # Errors
///
/// What is wrong with the signature, from which the reply can be made. A message that cannot be read as far as a
/// signature could stand is malformed, too.
pub fn verify(
    message: &[u8],
    find: impl FnOnce(&Name) -> Option<Arc<Key>>,
    policy: &Policy,
    now: u64,
) -> Result<Option<Verified>, Failure> {
    let record = match Record::find(message) {
        Ok(Some(record)) => record,
        Ok(None) => return Ok(None),
        Err(reason) => return Err(Failure::malformed(reason)),
    };
    let Some(key) = find(&record.name) else { return Err(Failure::unsigned(Cause::UnknownKey, &record)) };
    let asked = Algorithm::from_wire(record.algorithm);
    if asked != Ok(key.algorithm()) {
        return Err(Failure::unsigned(Cause::Algorithm { asked, of_key: key.algorithm() }, &record));
    }
    if !is_mac_length(key.algorithm(), record.mac.len()) {
        return Err(Failure::malformed("the MAC is longer than the algorithm's, or shorter than half of that"));
    }
    let stripped = record.strip(message);
    let mut digest = key.digest();
    record.digest(&mut digest, &key, &stripped, false);
    let Some(full_mac) = digest.verify(record.mac) else {
        return Err(Failure::unsigned(Cause::Signature, &record));
    };
    let request = Request {
        mac: record.mac.into(),
        full_mac: full_mac.as_slice().into(),
        time: record.time,
        fudge: record.fudge,
        original_id: record.original_id,
        name: record.name.clone(),
        key,
    };
    if record.is_out_of_time(now) {
        let ahead = i64::try_from(record.time).unwrap_or(i64::MAX).saturating_sub_unsigned(now);
        return Err(Failure::signed(Cause::Time { ahead, fudge: record.fudge }, request, now));
    }
    if record.mac.len() < policy.shortest_mac.min(request.key.algorithm().output_len()) {
        return Err(Failure::signed(Cause::Truncated { octets: record.mac.len() }, request, now));
    }
    Ok(Some(Verified { message: stripped, request }))
}

impl Request {
    /// Returns the key it is signed with.
    pub fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// Returns when it was signed, by the client's clock.
    pub fn time_signed(&self) -> u64 {
        self.time
    }

    /// Returns by how many seconds the client would have the clocks differ at most.
    pub fn fudge(&self) -> u16 {
        self.fudge
    }

    /// Returns the MAC in full length, also if it came truncated: the same request always has the same, and no other
    /// request has it.
    pub fn full_mac(&self) -> &[u8] {
        &self.full_mac
    }

    /// Returns how many octets the signature of a reply takes.
    ///
    /// A reply that does not fit with it is to be sent as the question alone, with TC set and the code NOERROR (RFC 8945
    /// §5.3).
    pub fn room(&self) -> usize {
        self.fields(FUDGE, 0, error::NONE, &[]).room(self.key.algorithm().output_len())
    }

    /// Signs the reply of `len` octets at the start of `reply` and returns its new length; `None`, with nothing changed,
    /// if there is no room for it (RFC 8945 §5.3).
    pub fn sign(&self, reply: &mut [u8], len: usize, now: u64) -> Option<usize> {
        self.append(reply, len, &self.fields(FUDGE, now, error::NONE, &[]), None).map(|(end, _)| end)
    }

    /// Begins a reply of several messages, each of which is to be signed.
    pub fn chain(&self) -> Chain {
        Chain { request: self.clone(), previous: None, time: 0 }
    }

    /// Makes of a request that is signed too long ago to know whether it was seen before the failure to tell.
    pub fn stale(self, now: u64) -> Failure {
        Failure::signed(Cause::Stale, self, now)
    }

    fn fields<'a>(&'a self, fudge: u16, time: u64, error: u16, other: &'a [u8]) -> Fields<'a> {
        Fields { name: &self.name, algorithm: self.key.algorithm().wire(), time, fudge, error, other }
    }

    /// Signs a reply, as the one behind that with the MAC `previous` if it is not the first.
    fn append(
        &self,
        reply: &mut [u8],
        len: usize,
        fields: &Fields<'_>,
        previous: Option<&[u8]>,
    ) -> Option<(usize, Box<[u8]>)> {
        let mut digest = self.key.digest();
        digest_mac(&mut digest, previous.unwrap_or(&self.mac));
        digest_message(&mut digest, reply.get(..len)?, self.original_id);
        fields.digest(&mut digest, previous.is_some());
        let mac = digest.finish();
        let end = fields.append(reply, len, mac.as_slice(), self.original_id)?;
        Some((end, mac.as_slice().into()))
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({:?} at {})", self.key, self.time)
    }
}

/// Signs the messages of a reply one after the other, each together with the signature before (RFC 8945 §5.3.1).
#[derive(Debug)]
pub struct Chain {
    request: Request,
    previous: Option<Box<[u8]>>,
    time: u64,
}

impl Chain {
    /// Returns how many octets the signature of each message takes.
    pub fn room(&self) -> usize {
        self.request.room()
    }

    /// Signs the next message as [`Request::sign`] does.
    pub fn sign(&mut self, message: &mut [u8], len: usize, now: u64) -> Option<usize> {
        // A clock that is set back must not break the order.
        let time = now.max(self.time);
        let fields = self.request.fields(FUDGE, time, error::NONE, &[]);
        let (end, mac) = self.request.append(message, len, &fields, self.previous.as_deref())?;
        (self.previous, self.time) = (Some(mac), time);
        Some(end)
    }
}

/// What is wrong with a request's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The message or its TSIG record cannot be read: FORMERR.
    Malformed(&'static str),
    /// There is no such key: BADKEY.
    UnknownKey,
    /// It is signed by another algorithm than the key is for: BADKEY.
    Algorithm {
        /// What it is signed by.
        asked: Result<Algorithm, AlgorithmError>,
        /// What the key is for.
        of_key: Algorithm,
    },
    /// The MAC is not right: BADSIG.
    Signature,
    /// It was signed at another time, or the clocks differ too much: BADTIME.
    Time {
        /// By how many seconds the client's clock is ahead of ours; negative if it is behind.
        ahead: i64,
        /// By how many it said they may differ.
        fudge: u16,
    },
    /// It was signed too long ago to know whether it was seen before: BADTIME.
    Stale,
    /// The MAC is shorter than the policy allows: BADTRUNC.
    Truncated {
        /// How many octets it has.
        octets: usize,
    },
}

/// Why a request is refused for its signature; shown, it is a line for the log.
#[derive(Debug)]
pub struct Failure {
    cause: Cause,
    reply: Reply,
}

/// How the reply to a refused request is signed.
#[derive(Debug)]
enum Reply {
    /// Not at all: there is nothing to sign for.
    Plain,
    /// By a record without a MAC, because there is no key both ends have (RFC 8945 §5.3.2).
    Unsigned { name: Name, algorithm: Box<[u8]>, time: u64, fudge: u16, original_id: u16 },
    /// As any other; the time is that of the refusal.
    Signed { request: Request, now: u64 },
}

impl Failure {
    fn malformed(reason: &'static str) -> Self {
        Self { cause: Cause::Malformed(reason), reply: Reply::Plain }
    }

    fn unsigned(cause: Cause, record: &Record<'_>) -> Self {
        let &Record { time, fudge, original_id, .. } = record;
        let (name, algorithm) = (record.name.clone(), record.algorithm.into());
        Self { cause, reply: Reply::Unsigned { name, algorithm, time, fudge, original_id } }
    }

    fn signed(cause: Cause, request: Request, now: u64) -> Self {
        Self { cause, reply: Reply::Signed { request, now } }
    }

    /// Returns what is wrong.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Returns the name of the key that was used or named, if the record can be read.
    pub fn key_name(&self) -> Option<&Name> {
        match &self.reply {
            Reply::Plain => None,
            Reply::Unsigned { name, .. } => Some(name),
            Reply::Signed { request, .. } => Some(&request.name),
        }
    }

    /// Returns the reply's response code: FORMERR or NOTAUTH.
    pub fn rcode(&self) -> Rcode {
        match self.cause {
            Cause::Malformed(_) => Rcode::FORMAT_ERROR,
            _ => Rcode::NOT_AUTHORITATIVE,
        }
    }

    /// Returns the error in the reply's TSIG record, which has none for FORMERR (RFC 8945 §3).
    pub fn error(&self) -> Option<u16> {
        match self.cause {
            Cause::Malformed(_) => None,
            Cause::UnknownKey | Cause::Algorithm { .. } => Some(error::BADKEY),
            Cause::Signature => Some(error::BADSIG),
            Cause::Time { .. } | Cause::Stale => Some(error::BADTIME),
            Cause::Truncated { .. } => Some(error::BADTRUNC),
        }
    }

    /// Returns how many octets [`Self::sign`] takes at most.
    pub fn room(&self) -> usize {
        match &self.reply {
            Reply::Plain => 0,
            Reply::Unsigned { name, algorithm, .. } => name.as_wire().len() + 26 + algorithm.len(),
            Reply::Signed { request, .. } => most_room(&request.key),
        }
    }

    /// Adds the TSIG record that tells the client to the reply of `len` octets at the start of `reply`, which has the
    /// code [`Self::rcode`], and returns its new length; `None`, with nothing changed, if there is no room for it.
    pub fn sign(&self, reply: &mut [u8], len: usize) -> Option<usize> {
        let code = self.error().unwrap_or(error::NONE);
        match &self.reply {
            Reply::Plain => Some(len),
            Reply::Unsigned { name, algorithm, time, fudge, original_id } => {
                let fields = Fields { name, algorithm, time: *time, fudge: *fudge, error: code, other: &[] };
                fields.append(reply, len, &[], *original_id)
            }
            Reply::Signed { request, now } => {
                // RFC 8945 §5.2.3: the client's own time and fudge, so that its clock finds the reply in time.
                let server_time = now.to_be_bytes();
                let fields = match code {
                    error::BADTIME => request.fields(request.fudge, request.time, code, &server_time[2..]),
                    _ => request.fields(FUDGE, *now, code, &[]),
                };
                request.append(reply, len, &fields, None).map(|(end, _)| end)
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.key_name() {
            write!(f, "key {name}: ")?;
        }
        match &self.cause {
            Cause::Malformed(reason) => f.write_str(reason),
            Cause::UnknownKey => f.write_str("there is no such key (BADKEY)"),
            Cause::Algorithm { asked: Ok(asked), of_key } => write!(f, "it is for {of_key}, not {asked} (BADKEY)"),
            Cause::Algorithm { asked: Err(AlgorithmError::Md5), of_key } => {
                write!(f, "it is for {of_key}, and HMAC-MD5 is refused (BADKEY)")
            }
            Cause::Algorithm { asked: Err(AlgorithmError::Unknown), of_key } => {
                write!(f, "it is for {of_key}, not an unknown algorithm (BADKEY)")
            }
            Cause::Signature => f.write_str("the signature is wrong; is it the same secret on both sides? (BADSIG)"),
            Cause::Time { ahead, fudge } => {
                let way = if *ahead < 0 { "behind" } else { "ahead of" };
                let seconds = ahead.unsigned_abs();
                write!(f, "the client's clock is {seconds} s {way} ours, of {fudge} s it allows for (BADTIME)")
            }
            Cause::Stale => f.write_str("signed before what can be told from a replay (BADTIME)"),
            Cause::Truncated { octets } => write!(f, "the MAC is truncated to {octets} octets (BADTRUNC)"),
        }
    }
}

impl std::error::Error for Failure {}
