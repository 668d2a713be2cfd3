//! The client side: signs requests and verifies replies (RFC 8945 §5.3.1, §5.4).

use crate::dns::message::HEADER;
use std::fmt;
use std::sync::Arc;

use super::FUDGE;
use super::algorithm::Algorithm;
use super::key::{Digest, Key};
use super::record::{Fields, Record, digest_mac, digest_message, error, id, is_mac_length};

/// The maximum number of consecutive unsigned messages in a reply (RFC 8945 §5.3.1).
const MAX_UNSIGNED: usize = 99;

/// A signed request, which is needed to verify its reply.
#[derive(Clone)]
pub struct Sent {
    key: Arc<Key>,
    /// The MAC as it was sent.
    pub(super) mac: Box<[u8]>,
}

/// Signs a request at the time `now` by appending a TSIG record.
///
/// Returns `None` and changes nothing if the message has no header or would exceed 65,535 octets.
pub fn sign(key: &Arc<Key>, message: &mut Vec<u8>, now: u64) -> Option<Sent> {
    let (name, algorithm) = (key.name(), key.algorithm().wire());
    let fields = Fields { name, algorithm, time: now, fudge: FUDGE, error: error::NONE, other: &[] };
    let original_id = id(message)?;
    let mut digest = key.digest();
    digest_message(&mut digest, message, original_id);
    fields.digest(&mut digest, false);
    let mac = digest.finish();
    let len = message.len();
    message.resize(len + fields.room(mac.as_slice().len()), 0);
    let end = fields.append(message, len, mac.as_slice(), original_id);
    message.truncate(end.unwrap_or(len));
    end.map(|_| Sent { key: key.clone(), mac: mac.as_slice().into() })
}

/// The reason why a reply is rejected.
///
/// A forged reply must not end the wait for the genuine one; [`Self::is_authentic`] tells the two apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// The reply or its TSIG record is malformed.
    Malformed(&'static str),
    /// The reply is not signed.
    Unsigned,
    /// The reply is signed with another key or algorithm.
    OtherKey,
    /// The signature is wrong.
    Signature,
    /// The reply was signed at another time, or the clocks differ by more than the fudge.
    Time {
        /// How far the server's clock is ahead of ours, in seconds; negative if it is behind.
        ahead: i64,
    },
    /// The server reports an unknown key or algorithm (BADKEY); this reply is unsigned.
    BadKey,
    /// The server reports an invalid signature (BADSIG); this reply is unsigned.
    BadSignature,
    /// The server reports that the clocks differ too much (BADTIME).
    BadTime {
        /// The time of the server's clock, in seconds since 1970.
        server: Option<u64>,
    },
    /// The server reports that our MAC is too short (BADTRUNC).
    BadTruncation,
    /// The server reports another error.
    Other(u16),
    /// More than 99 consecutive messages of a reply are unsigned, or the first or last one is.
    Gap,
}

impl ReplyError {
    /// Returns whether the reply has a valid signature of the server.
    pub fn is_authentic(&self) -> bool {
        matches!(self, Self::BadTime { .. } | Self::BadTruncation | Self::Other(_) | Self::Time { .. })
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(reason) => f.write_str(reason),
            Self::Unsigned => f.write_str("the reply is not signed"),
            Self::OtherKey => f.write_str("the reply is signed with another key or algorithm than the request"),
            Self::Signature => f.write_str("the signature of the reply is invalid"),
            Self::Time { ahead } => {
                write!(f, "the server's clock is {ahead} s ahead of ours, more than the signature allows")
            }
            Self::BadKey => f.write_str("the server does not know the key, or uses it with another algorithm (BADKEY)"),
            Self::BadSignature => {
                f.write_str("the server rejects the signature; do both sides have the same secret? (BADSIG)")
            }
            Self::BadTime { server: Some(server) } => {
                write!(f, "the server rejects our time; its clock shows {server} s since 1970 (BADTIME)")
            }
            Self::BadTime { server: None } => f.write_str("the server rejects our time (BADTIME)"),
            Self::BadTruncation => f.write_str("the server requires a longer MAC (BADTRUNC)"),
            Self::Other(code) => write!(f, "the server reports TSIG error {code}"),
            Self::Gap => {
                f.write_str("too many consecutive messages of the reply are unsigned, or the first or last one is")
            }
        }
    }
}

impl std::error::Error for ReplyError {}

impl Sent {
    /// Returns the key.
    pub fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// Verifies the reply at the time `now` and returns it without its TSIG record (RFC 8945 §5.4).
    ///
    /// # Errors
    ///
    /// The signature is missing or invalid, or the server reports an error.
    pub fn verify(&self, reply: &[u8], now: u64) -> Result<Vec<u8>, ReplyError> {
        let record = Record::find(reply).map_err(ReplyError::Malformed)?.ok_or(ReplyError::Unsigned)?;
        let mut digest = self.key.digest();
        digest_mac(&mut digest, &self.mac);
        check(&self.key, digest, &record, reply, false, now)
    }

    /// Starts the verification of a reply of several messages.
    pub fn chain(&self) -> ChainVerifier {
        let mut digest = self.key.digest();
        digest_mac(&mut digest, &self.mac);
        ChainVerifier { key: self.key.clone(), digest, first: true, unsigned: 0 }
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sent({:?})", self.key)
    }
}

/// A verifier for the messages of a reply; each signature also covers the one before it (RFC 8945 §5.3.1).
///
/// After an error, the rest of the reply cannot be trusted and the connection should be closed.
pub struct ChainVerifier {
    key: Arc<Key>,
    /// The digest of the last MAC and the unsigned messages after it.
    digest: Digest,
    first: bool,
    /// The number of messages since the last signed one.
    unsigned: usize,
}

impl ChainVerifier {
    /// Verifies the next message and returns it without its TSIG record.
    ///
    /// An unsigned message is returned unchanged and is authenticated by the next signed one. The caller must not act
    /// on any part of the reply before [`Self::finish`] succeeds.
    ///
    /// # Errors
    ///
    /// See [`Sent::verify`]; also if too many consecutive messages are unsigned.
    pub fn verify(&mut self, message: &[u8], now: u64) -> Result<Vec<u8>, ReplyError> {
        let Some(record) = Record::find(message).map_err(ReplyError::Malformed)? else {
            self.unsigned += 1;
            if self.first || self.unsigned > MAX_UNSIGNED {
                return Err(ReplyError::Gap);
            }
            self.digest.update(message);
            return Ok(message.to_vec());
        };
        let mut next = self.key.digest();
        digest_mac(&mut next, record.mac);
        let digest = std::mem::replace(&mut self.digest, next);
        let stripped = check(&self.key, digest, &record, message, !self.first, now)?;
        (self.first, self.unsigned) = (false, 0);
        Ok(stripped)
    }

    /// Ends the reply.
    ///
    /// # Errors
    ///
    /// There was no message, or the last one is not signed.
    pub fn finish(self) -> Result<(), ReplyError> {
        if self.first || self.unsigned > 0 { Err(ReplyError::Gap) } else { Ok(()) }
    }
}

impl fmt::Debug for ChainVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainVerifier({:?})", self.key)
    }
}

/// Verifies a message against a digest of everything before it.
fn check(
    key: &Key,
    mut digest: Digest,
    record: &Record<'_>,
    message: &[u8],
    timers_only: bool,
    now: u64,
) -> Result<Vec<u8>, ReplyError> {
    const NOT_AUTH: u8 = 9;
    if record.name != *key.name() || Algorithm::from_wire(record.algorithm) != Ok(key.algorithm()) {
        return Err(ReplyError::OtherKey);
    }
    let is_refusal = message.first_chunk::<HEADER>().is_some_and(|header| header[3] & 0xf == NOT_AUTH);
    if is_refusal && record.mac.is_empty() {
        match record.error {
            error::BADKEY => return Err(ReplyError::BadKey),
            error::BADSIG => return Err(ReplyError::BadSignature),
            // NSD does this for BADTIME.
            _ => {
                return Err(ReplyError::Malformed(
                    "the server reports an error that must be signed, without a signature",
                ));
            }
        }
    }
    // A server sends full MACs even if the request's MAC was truncated.
    if !is_mac_length(key.algorithm(), record.mac.len()) {
        return Err(ReplyError::Malformed("the MAC of the reply is too long or too short"));
    }
    let stripped = record.strip(message);
    record.digest(&mut digest, key, &stripped, timers_only);
    digest.verify(record.mac).ok_or(ReplyError::Signature)?;
    match record.error {
        error::NONE => {}
        error::BADTIME => {
            let server = <[u8; 6]>::try_from(record.other).ok();
            let server = server.map(|[a, b, c, d, e, f]| u64::from_be_bytes([0, 0, a, b, c, d, e, f]));
            return Err(ReplyError::BadTime { server });
        }
        error::BADTRUNC => return Err(ReplyError::BadTruncation),
        code => return Err(ReplyError::Other(code)),
    }
    if record.is_out_of_time(now) {
        let ahead = i64::try_from(record.time).unwrap_or(i64::MAX).saturating_sub_unsigned(now);
        return Err(ReplyError::Time { ahead });
    }
    Ok(stripped)
}
