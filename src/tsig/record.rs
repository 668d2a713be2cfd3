//! The TSIG record: finding it in a message, digesting it, appending it (RFC 8945 §4).

use std::cmp::Ordering;

use super::algorithm::Algorithm;
use super::key::{Digest, Key};
use crate::dns::Name;
use crate::dns::message::{HEADER, class};
use crate::dns::name::{MAX_NAME, wire_len};

/// The type code of TSIG.
const TSIG: u16 = 250;

/// TSIG error codes (RFC 8945 §3).
pub(super) mod error {
    pub(in crate::tsig) const NONE: u16 = 0;
    pub(in crate::tsig) const BADSIG: u16 = 16;
    pub(in crate::tsig) const BADKEY: u16 = 17;
    pub(in crate::tsig) const BADTIME: u16 = 18;
    pub(in crate::tsig) const BADTRUNC: u16 = 22;
}

/// The TSIG record of a received message.
pub(super) struct Record<'m> {
    /// The offset of the record, which is the length of the message without it.
    pub(super) start: usize,
    /// The key's name, in the letter case of the message.
    pub(super) name: Name,
    /// The algorithm's name in wire form.
    pub(super) algorithm: &'m [u8],
    pub(super) time: u64,
    pub(super) fudge: u16,
    pub(super) mac: &'m [u8],
    pub(super) original_id: u16,
    pub(super) error: u16,
    pub(super) other: &'m [u8],
}

impl<'m> Record<'m> {
    /// Finds the record of a message, if it is signed; the error is the reason why the message or its record is
    /// malformed.
    pub(super) fn find(message: &'m [u8]) -> Result<Option<Self>, &'static str> {
        const TRUNCATED: &str = "the message ends within a record";
        let header = message.first_chunk::<HEADER>().ok_or("the message has no header")?;
        let count = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
        let mut at = HEADER;
        // Questions and records take at least five octets, so the message length bounds this loop.
        for _ in 0..count(4) {
            at = skip_name(message, at).ok_or(TRUNCATED)? + 4;
        }
        let (others, additional) = (count(6) + count(8), count(10));
        for index in 0..others + additional {
            let start = at;
            let fixed = skip_name(message, at).ok_or(TRUNCATED)?;
            let Some((head, tail)) = message.get(fixed..).and_then(|rest| rest.split_first_chunk::<10>()) else {
                return Err(TRUNCATED);
            };
            let [t0, t1, c0, c1, ttl @ .., l0, l1] = *head;
            let (data, rest) = tail.split_at_checked(usize::from(u16::from_be_bytes([l0, l1]))).ok_or(TRUNCATED)?;
            at = message.len() - rest.len();
            if u16::from_be_bytes([t0, t1]) != TSIG {
                continue;
            }
            if index + 1 != others + additional || additional == 0 || !rest.is_empty() {
                return Err("the TSIG record is not the last record");
            }
            if u16::from_be_bytes([c0, c1]) != class::ANY || ttl != [0; 4] {
                return Err("the TSIG record does not have class ANY and TTL 0");
            }
            let name = expand(message, start).ok_or("the name of the TSIG record is malformed")?;
            return Self::parse(start, name, data).ok_or("the data of the TSIG record is malformed").map(Some);
        }
        match at.cmp(&message.len()) {
            Ordering::Equal => Ok(None),
            Ordering::Less => Err("there are octets after the last record of the message"),
            Ordering::Greater => Err("the message ends within a question"),
        }
    }

    fn parse(start: usize, name: Name, data: &'m [u8]) -> Option<Self> {
        let (algorithm, rest) = data.split_at(wire_len(data)?);
        let (&[a, b, c, d, e, f], rest) = rest.split_first_chunk()?;
        let (&fudge, rest) = rest.split_first_chunk()?;
        let (mac, rest) = split_counted(rest)?;
        let (&original_id, rest) = rest.split_first_chunk()?;
        let (&error, rest) = rest.split_first_chunk()?;
        let (other, rest) = split_counted(rest)?;
        rest.is_empty().then_some(Self {
            start,
            name,
            algorithm,
            time: u64::from_be_bytes([0, 0, a, b, c, d, e, f]),
            fudge: u16::from_be_bytes(fudge),
            mac,
            original_id: u16::from_be_bytes(original_id),
            error: u16::from_be_bytes(error),
            other,
        })
    }

    /// Returns the message without this record, which is the last one.
    pub(super) fn strip(&self, message: &[u8]) -> Vec<u8> {
        let mut stripped = message[..self.start].to_vec();
        let additional = u16::from_be_bytes([stripped[10], stripped[11]]) - 1;
        stripped[10..HEADER].copy_from_slice(&additional.to_be_bytes());
        stripped
    }

    /// Adds the message and the variables of this record to a digest (RFC 8945 §4.3.2, §4.3.3).
    pub(super) fn digest(&self, digest: &mut Digest, key: &Key, stripped: &[u8], timers_only: bool) {
        digest_message(digest, stripped, self.original_id);
        self.fields(key).digest(digest, timers_only);
    }

    /// Returns whether the signer's clock and `now` differ by more than the fudge.
    pub(super) fn is_out_of_time(&self, now: u64) -> bool {
        self.time.abs_diff(now) > u64::from(self.fudge)
    }

    fn fields(&self, key: &Key) -> Fields<'_> {
        let algorithm = key.algorithm().wire();
        Fields { algorithm, time: self.time, fudge: self.fudge, error: self.error, other: self.other, name: &self.name }
    }
}

/// The fields of a TSIG record without the MAC and the original message ID.
pub(super) struct Fields<'a> {
    pub(super) name: &'a Name,
    pub(super) algorithm: &'a [u8],
    pub(super) time: u64,
    pub(super) fudge: u16,
    pub(super) error: u16,
    pub(super) other: &'a [u8],
}

impl Fields<'_> {
    fn timers(&self) -> [u8; 8] {
        // 48 bits of seconds and 16 bits of fudge; no real clock exceeds 48 bits.
        (self.time << 16 | u64::from(self.fudge)).to_be_bytes()
    }

    /// Adds the variables to a digest, with names in lower case (RFC 8945 §4.3.3); for all but the first of several
    /// messages these are only the timers (§5.3.1).
    pub(super) fn digest(&self, digest: &mut Digest, timers_only: bool) {
        if timers_only {
            return digest.update(&self.timers());
        }
        digest.update(self.name.to_canonical().as_wire());
        digest.update(&class::ANY.to_be_bytes());
        digest.update(&[0; 4]);
        digest.update(self.algorithm);
        digest.update(&self.timers());
        digest.update(&self.error.to_be_bytes());
        digest.update(&(self.other.len() as u16).to_be_bytes());
        digest.update(self.other);
    }

    /// Returns the length of the record in octets.
    pub(super) fn room(&self, mac: usize) -> usize {
        self.name.as_wire().len() + 10 + self.data_len(mac)
    }

    fn data_len(&self, mac: usize) -> usize {
        self.algorithm.len() + 16 + mac + self.other.len()
    }

    /// Appends the record to the message of `len` octets at the start of `message`, counts it in the header and returns
    /// the new length of the message; returns `None` and changes nothing if there is no room.
    pub(super) fn append(&self, message: &mut [u8], len: usize, mac: &[u8], original_id: u16) -> Option<usize> {
        let end = len.checked_add(self.room(mac.len()))?;
        let additional = additional(message.get(..len)?)?.checked_add(1)?;
        let mut room = message.get_mut(len..end).filter(|_| end <= usize::from(u16::MAX))?;
        let mut put = |octets: &[u8]| {
            let (head, tail) = std::mem::take(&mut room).split_at_mut(octets.len());
            head.copy_from_slice(octets);
            room = tail;
        };
        put(self.name.as_wire());
        put(&TSIG.to_be_bytes());
        put(&class::ANY.to_be_bytes());
        put(&[0; 4]);
        put(&(self.data_len(mac.len()) as u16).to_be_bytes());
        put(self.algorithm);
        put(&self.timers());
        put(&(mac.len() as u16).to_be_bytes());
        put(mac);
        put(&original_id.to_be_bytes());
        put(&self.error.to_be_bytes());
        put(&(self.other.len() as u16).to_be_bytes());
        put(self.other);
        message[10..HEADER].copy_from_slice(&additional.to_be_bytes());
        Some(end)
    }
}

/// Returns the maximum length in octets of a record signed with a key, which only a BADTIME reply reaches.
pub(super) fn max_room(key: &Key) -> usize {
    const OTHER: usize = 6;
    key.name().as_wire().len() + 26 + key.algorithm().wire().len() + key.algorithm().output_len() + OTHER
}

/// Adds the MAC of the request or of the preceding message to a digest (RFC 8945 §4.3.1).
pub(super) fn digest_mac(digest: &mut Digest, mac: &[u8]) {
    digest.update(&(mac.len() as u16).to_be_bytes());
    digest.update(mac);
}

/// Adds a message without TSIG record and its original ID to a digest.
pub(super) fn digest_message(digest: &mut Digest, message: &[u8], original_id: u16) {
    digest.update(&original_id.to_be_bytes());
    digest.update(message.get(2..).unwrap_or_default());
}

/// Returns whether a length in octets is valid for a MAC (RFC 8945 §5.2.2.1).
pub(super) fn is_mac_length(algorithm: Algorithm, len: usize) -> bool {
    (algorithm.shortest_mac()..=algorithm.output_len()).contains(&len)
}

/// Returns the ID of a message.
pub(super) fn id(message: &[u8]) -> Option<u16> {
    message.first_chunk().map(|&id| u16::from_be_bytes(id))
}

fn additional(message: &[u8]) -> Option<u16> {
    let header = message.first_chunk::<HEADER>()?;
    Some(u16::from_be_bytes([header[10], header[11]]))
}

/// Splits off the octets that a 16-bit length precedes; returns them and the rest.
fn split_counted(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = octets.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(len)))
}

/// Returns the offset after the name at `at`, which may end in a compression pointer.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match usize::from(*message.get(at)?) {
            0 => return Some(at + 1),
            0xc0.. => return Some(at + 2),
            label if label < 64 => at += label + 1,
            _ => return None,
        }
    }
}

/// Returns the decompressed name at `at` (RFC 1035 §4.1.4).
fn expand(message: &[u8], mut at: usize) -> Option<Name> {
    let mut wire = Vec::new();
    let mut before = at;
    loop {
        let octet = *message.get(at)?;
        if octet >= 0xc0 {
            let to = usize::from(octet & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
            // Pointers must point backwards, so this loop ends.
            if to >= before {
                return None;
            }
            (at, before) = (to, to);
            continue;
        }
        let label = message.get(at..at + 1 + usize::from(octet)).filter(|_| octet < 64)?;
        wire.extend_from_slice(label);
        at += label.len();
        if wire.len() > MAX_NAME {
            return None;
        }
        if octet == 0 {
            return Name::from_wire(&wire).ok();
        }
    }
}
