//! Signed queries (RFC 8945), which are told that their key is not known.
//!
//! There are no keys yet, so no signature can be right. To answer as if there were none would leave the client to guess
//! why the reply is unsigned.

use super::query::HEADER;
use crate::zone::name::{MAX_NAME, wire_len};

/// The error that says the key is not known (RFC 8945 §3).
const BAD_KEY: u16 = 17;

/// Where a query's TSIG record is.
///
/// Hardly any query has one, so it is small, and read again when it is needed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tsig {
    /// Where the key's name begins in the message; it may be compressed.
    owner: u16,
    /// Where the data begin.
    data: u16,
}

/// What of a TSIG record's data comes back (RFC 8945 §4.2).
struct Parts<'q> {
    algorithm: &'q [u8],
    /// When it was signed, and by how much the clocks may differ.
    time_and_fudge: &'q [u8; 8],
    original_id: &'q [u8; 2],
}

impl Tsig {
    /// Reads the record of `message` whose owner begins at `owner` and whose data are `data`, the last of the message;
    /// `None` if it cannot be interpreted (RFC 8945 §5.1).
    #[cold]
    pub(super) fn parse(message: &[u8], owner: usize, class: u16, data: &[u8]) -> Option<Self> {
        const CLASS_ANY: u16 = 255;
        Parts::parse(data).filter(|_| class == CLASS_ANY)?;
        expand(message, owner)?;
        Some(Self { owner: u16::try_from(owner).ok()?, data: u16::try_from(message.len() - data.len()).ok()? })
    }

    /// Adds to a reply of `len` octets the unsigned TSIG record that says the key is not known (RFC 8945 §5.2.1,
    /// §5.3.2), and returns how long the reply is then; where there is no room for it, the reply says it is truncated.
    pub(super) fn refuse(self, query: &[u8], reply: &mut [u8], len: usize, limit: usize) -> usize {
        match self.write(query, reply, len, limit) {
            Some(end) => {
                let additional = u16::from_be_bytes([reply[10], reply[11]]) + 1;
                reply[10..HEADER].copy_from_slice(&additional.to_be_bytes());
                end
            }
            None => {
                reply[2] |= 2;
                len
            }
        }
    }

    fn write(self, query: &[u8], reply: &mut [u8], len: usize, limit: usize) -> Option<usize> {
        let (key, key_len) = expand(query, usize::from(self.owner))?;
        let Parts { algorithm, time_and_fudge, original_id } = Parts::parse(query.get(usize::from(self.data)..)?)?;
        let data = algorithm.len() + 16;
        let parts: [&[u8]; 8] = [
            &key[..key_len],
            // TSIG, class ANY, TTL 0.
            &[0, 250, 0, 255, 0, 0, 0, 0],
            &(data as u16).to_be_bytes(),
            algorithm,
            time_and_fudge,
            // No MAC.
            &[0, 0],
            original_id,
            &[(BAD_KEY >> 8) as u8, BAD_KEY as u8, 0, 0],
        ];
        let mut at = len;
        let room = reply.get_mut(..limit)?;
        for part in parts {
            room.get_mut(at..at + part.len())?.copy_from_slice(part);
            at += part.len();
        }
        Some(at)
    }
}

impl<'q> Parts<'q> {
    fn parse(data: &'q [u8]) -> Option<Self> {
        let (algorithm, rest) = data.split_at(wire_len(data)?);
        let (time_and_fudge, rest) = rest.split_first_chunk::<8>()?;
        let rest = skip_counted(rest)?;
        let (original_id, rest) = rest.split_first_chunk::<2>()?;
        let (_error, rest) = rest.split_first_chunk::<2>()?;
        skip_counted(rest)?.is_empty().then_some(Self { algorithm, time_and_fudge, original_id })
    }
}

/// Returns the name at `at` in a message, written out, and its length.
fn expand(message: &[u8], at: usize) -> Option<([u8; MAX_NAME], usize)> {
    let mut name = [0; MAX_NAME];
    let (mut len, mut at, mut start) = (0, at, at);
    loop {
        let octet = *message.get(at)?;
        if octet >= 0xc0 {
            let to = usize::from(octet & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
            // A pointer leads back (RFC 1035 §4.1.4), so this ends.
            if to >= start {
                return None;
            }
            (at, start) = (to, to);
            continue;
        }
        let label = message.get(at..at + 1 + usize::from(octet)).filter(|_| octet < 64)?;
        name.get_mut(len..len + label.len())?.copy_from_slice(label);
        len += label.len();
        at += label.len();
        if octet == 0 {
            return Some((name, len));
        }
    }
}

/// Returns what follows octets that their number precedes.
fn skip_counted(octets: &[u8]) -> Option<&[u8]> {
    let (len, rest) = octets.split_first_chunk::<2>()?;
    rest.get(usize::from(u16::from_be_bytes(*len))..)
}
