//! The server side: verifies requests and signs replies (RFC 8945 §5.1–§5.3).

use std::fmt;
use std::sync::Arc;

use super::FUDGE;
use super::algorithm::{Algorithm, AlgorithmError};
use super::key::Key;
use super::record::{Fields, Record, digest_mac, digest_message, error, is_mac_length, max_room};
use crate::dns::Name;
use crate::dns::message::Rcode;

/// Requirements for signatures beyond those of the RFC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The minimum length of a truncated MAC in octets (RFC 8945 §5.2.4); half of the full length is always required.
    pub shortest_mac: usize,
}

impl Default for Policy {
    /// Returns 16 octets, which cannot be guessed and which HMAC-SHA256-128 of RFC 8945 §6 uses.
    fn default() -> Self {
        Self { shortest_mac: 16 }
    }
}

/// A request with a valid signature.
#[derive(Debug)]
pub struct Verified {
    /// The message without its TSIG record; its ID is the one for the reply.
    pub message: Vec<u8>,
    /// The signer, and the state that is needed to sign the reply.
    pub request: Request,
}

/// The signature of a request, which is needed to sign the reply.
#[derive(Clone)]
pub struct Request {
    key: Arc<Key>,
    /// The key's name in the letter case of the request. The reply repeats it, because Knot's tools accept no other.
    name: Name,
    /// The MAC as received, which may be truncated.
    mac: Box<[u8]>,
    /// The full MAC.
    full_mac: Box<[u8]>,
    time: u64,
    fudge: u16,
    original_id: u16,
}

/// Verifies a request at the time `now`; returns `None` if it is not signed.
///
/// `find` returns the key with a name, which is in the letter case of the message. The checks are those of RFC 8945
/// §5.1 and §5.2, in that order.
///
/// # Errors
///
/// Returns what is wrong with the signature, and can sign the reply. A message whose records cannot be parsed is
/// malformed, too.
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
        return Err(Failure::malformed(
            "the MAC is longer than the algorithm allows, or shorter than half of the full length",
        ));
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
    /// Returns the key that signed the request.
    pub fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// Returns the time of signing by the client's clock, in seconds since 1970.
    pub fn time_signed(&self) -> u64 {
        self.time
    }

    /// Returns the fudge of the request in seconds.
    pub fn fudge(&self) -> u16 {
        self.fudge
    }

    /// Returns the full MAC, even if the received one was truncated. It identifies the request: every copy has the same
    /// MAC, and no other request has it.
    pub fn full_mac(&self) -> &[u8] {
        &self.full_mac
    }

    /// Returns the length of a reply's TSIG record in octets.
    ///
    /// If a reply does not fit together with the record, send only the question, with TC set and the code NOERROR (RFC
    /// 8945 §5.3).
    pub fn room(&self) -> usize {
        self.fields(FUDGE, 0, error::NONE, &[]).room(self.key.algorithm().output_len())
    }

    /// Signs the reply of `len` octets at the start of `reply` and returns its new length; returns `None` and changes
    /// nothing if there is no room (RFC 8945 §5.3).
    pub fn sign(&self, reply: &mut [u8], len: usize, now: u64) -> Option<usize> {
        self.append(reply, len, &self.fields(FUDGE, now, error::NONE, &[]), None).map(|(end, _)| end)
    }

    /// Starts a reply of several messages, each of which will be signed.
    pub fn chain(&self) -> Chain {
        Chain { request: self.clone(), previous: None, time: 0 }
    }

    /// Returns the failure for a request that was signed too long ago to be checked for replay.
    pub fn stale(self, now: u64) -> Failure {
        Failure::signed(Cause::Stale, self, now)
    }

    fn fields<'a>(&'a self, fudge: u16, time: u64, error: u16, other: &'a [u8]) -> Fields<'a> {
        Fields { name: &self.name, algorithm: self.key.algorithm().wire(), time, fudge, error, other }
    }

    /// Signs a message of a reply; `previous` is the MAC of the message before, if it is not the first.
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

/// A signer for the messages of a reply; each signature also covers the one before it (RFC 8945 §5.3.1).
#[derive(Debug)]
pub struct Chain {
    request: Request,
    previous: Option<Box<[u8]>>,
    time: u64,
}

impl Chain {
    /// Returns the length of each message's TSIG record in octets.
    pub fn room(&self) -> usize {
        self.request.room()
    }

    /// Signs the next message like [`Request::sign`].
    pub fn sign(&mut self, message: &mut [u8], len: usize, now: u64) -> Option<usize> {
        // Keep the times in order even if the clock is set back.
        let time = now.max(self.time);
        let fields = self.request.fields(FUDGE, time, error::NONE, &[]);
        let (end, mac) = self.request.append(message, len, &fields, self.previous.as_deref())?;
        (self.previous, self.time) = (Some(mac), time);
        Some(end)
    }
}

/// The fault in a request's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The message or its TSIG record is malformed: FORMERR.
    Malformed(&'static str),
    /// The key is unknown: BADKEY.
    UnknownKey,
    /// The request is signed with an algorithm other than the key's: BADKEY.
    Algorithm {
        /// The algorithm of the request.
        asked: Result<Algorithm, AlgorithmError>,
        /// The algorithm of the key.
        of_key: Algorithm,
    },
    /// The MAC is invalid: BADSIG.
    Signature,
    /// The request was signed at another time, or the clocks differ by more than the fudge: BADTIME.
    Time {
        /// How far the client's clock is ahead of ours, in seconds; negative if it is behind.
        ahead: i64,
        /// The fudge of the request in seconds.
        fudge: u16,
    },
    /// The request was signed too long ago to be checked for replay: BADTIME.
    Stale,
    /// The MAC is shorter than the policy allows: BADTRUNC.
    Truncated {
        /// The length of the MAC in octets.
        octets: usize,
    },
}

/// The rejection of a request because of its signature; it displays as a log message.
#[derive(Debug)]
pub struct Failure {
    cause: Cause,
    reply: Reply,
}

/// How the reply to a rejected request is signed.
#[derive(Debug)]
enum Reply {
    /// Without a TSIG record.
    Plain,
    /// With a TSIG record without a MAC, because there is no shared key (RFC 8945 §5.3.2).
    Unsigned { name: Name, algorithm: Box<[u8]>, time: u64, fudge: u16, original_id: u16 },
    /// Like any other reply; the time is that of the rejection.
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

    /// Returns the fault.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Returns the key name in the request, if its TSIG record is well-formed.
    pub fn key_name(&self) -> Option<&Name> {
        match &self.reply {
            Reply::Plain => None,
            Reply::Unsigned { name, .. } => Some(name),
            Reply::Signed { request, .. } => Some(&request.name),
        }
    }

    /// Returns the response code for the reply: FORMERR or NOTAUTH.
    pub fn rcode(&self) -> Rcode {
        match self.cause {
            Cause::Malformed(_) => Rcode::FORMAT_ERROR,
            _ => Rcode::NOT_AUTHORITATIVE,
        }
    }

    /// Returns the error for the reply's TSIG record; a FORMERR reply has none (RFC 8945 §3).
    pub fn error(&self) -> Option<u16> {
        match self.cause {
            Cause::Malformed(_) => None,
            Cause::UnknownKey | Cause::Algorithm { .. } => Some(error::BADKEY),
            Cause::Signature => Some(error::BADSIG),
            Cause::Time { .. } | Cause::Stale => Some(error::BADTIME),
            Cause::Truncated { .. } => Some(error::BADTRUNC),
        }
    }

    /// Returns the maximum number of octets that [`Self::sign`] appends.
    pub fn room(&self) -> usize {
        match &self.reply {
            Reply::Plain => 0,
            Reply::Unsigned { name, algorithm, .. } => name.as_wire().len() + 26 + algorithm.len(),
            Reply::Signed { request, .. } => max_room(&request.key),
        }
    }

    /// Appends the TSIG record with the error to the reply of `len` octets at the start of `reply`, which must have the
    /// code [`Self::rcode`]. Returns the new length, or `None` without any change if there is no room.
    pub fn sign(&self, reply: &mut [u8], len: usize) -> Option<usize> {
        let code = self.error().unwrap_or(error::NONE);
        match &self.reply {
            Reply::Plain => Some(len),
            Reply::Unsigned { name, algorithm, time, fudge, original_id } => {
                let fields = Fields { name, algorithm, time: *time, fudge: *fudge, error: code, other: &[] };
                fields.append(reply, len, &[], *original_id)
            }
            Reply::Signed { request, now } => {
                // RFC 8945 §5.2.3: repeat the client's own time and fudge so that it accepts the time of the reply.
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
            Cause::UnknownKey => f.write_str("unknown key (BADKEY)"),
            Cause::Algorithm { asked: Ok(asked), of_key } => {
                write!(f, "the algorithm of the key is {of_key}, not {asked} (BADKEY)")
            }
            Cause::Algorithm { asked: Err(AlgorithmError::Md5), of_key } => {
                write!(f, "the algorithm of the key is {of_key}; HMAC-MD5 is not supported (BADKEY)")
            }
            Cause::Algorithm { asked: Err(AlgorithmError::Unknown), of_key } => {
                write!(f, "the algorithm of the key is {of_key}; the request has an unknown one (BADKEY)")
            }
            Cause::Signature => f.write_str("invalid signature; do both sides have the same secret? (BADSIG)"),
            Cause::Time { ahead, fudge } => {
                let way = if *ahead < 0 { "behind" } else { "ahead of" };
                let seconds = ahead.unsigned_abs();
                write!(f, "the client's clock is {seconds} s {way} ours, and the request allows {fudge} s (BADTIME)")
            }
            Cause::Stale => f.write_str("signed too long ago to be checked for replay (BADTIME)"),
            Cause::Truncated { octets } => write!(f, "the MAC is truncated to {octets} octets (BADTRUNC)"),
        }
    }
}

impl std::error::Error for Failure {}
