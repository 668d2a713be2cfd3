//! The writer of replies, which works in the caller's buffer.
//!
//! Records are written as whole RRsets: one that does not fit is not written at all (RFC 2181 §9). Names are compressed
//! against all names written before, starting with the question (RFC 1035 §4.1.4). The table of their offsets has a
//! fixed size, so a huge reply compresses slightly less, but not more slowly.

use super::Verdict;
use super::edns::Opt;
use crate::dns::message::HEADER;
use crate::dns::{Type, name};
use crate::zone::RRset;
use crate::zone::node::{QUESTION_POINTER, RECORD_HEAD};

/// The error that there is no room left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full;

/// A section of records, in the order of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    Answer,
    Authority,
    Additional,
}

/// The largest offset a compression pointer reaches.
const MAX_POINTER: usize = 0x3fff;

/// The maximum number of names in the table for compression.
const MAX_NAMES: usize = 64;

/// The offsets of written names, with their uncompressed lengths.
pub(super) type NameTable = [(u16, u16); MAX_NAMES];

/// Returns an empty table for a [`Writer`].
///
/// The caller owns the table, so that the writer itself is small enough to be moved.
#[inline]
pub(super) fn name_table() -> NameTable {
    [(0, 0); MAX_NAMES]
}

/// A reply that is being written.
pub(super) struct Writer<'r> {
    message: &'r mut [u8],
    at: usize,
    /// The limit for records; the OPT record follows.
    limit: usize,
    /// The length of the question in octets; 0 if there is none.
    question: usize,
    counts: [u16; 3],
    names: &'r mut NameTable,
    names_len: usize,
    /// The offset of the last data written by [`Self::data`].
    data_at: usize,
}

impl<'r> Writer<'r> {
    /// Starts a reply that repeats the question, if there is one, and whose records end at or before `limit`.
    ///
    /// Returns `None` if `message` has no room for header and question, which take less than 300 octets.
    #[inline]
    pub(super) fn new(message: &'r mut [u8], names: &'r mut NameTable, limit: usize, question: &[u8]) -> Option<Self> {
        let at = HEADER + question.len();
        if at > limit {
            return None;
        }
        message[HEADER..at].copy_from_slice(question);
        Some(Self { message, at, limit, question: question.len(), counts: [0; 3], names, names_len: 0, data_at: 0 })
    }

    /// Adds an RRset whose owner is the name in the question.
    #[inline]
    pub(super) fn answer(&mut self, rrset: RRset<'_>) -> Result<(), Full> {
        if rrset.rtype().compressible().is_some() {
            return self.rrset(Section::Answer, None, rrset);
        }
        let image = rrset.image();
        let end = self.at + image.len();
        if end > self.limit {
            return Err(Full);
        }
        self.message[self.at..end].copy_from_slice(image);
        self.at = end;
        self.counts[Section::Answer as usize] += rrset.len();
        Ok(())
    }

    /// Adds an RRset owned by `owner`, or by the name in the question if that is `None`.
    pub(super) fn rrset(&mut self, section: Section, owner: Option<&[u8]>, rrset: RRset<'_>) -> Result<(), Full> {
        self.atomically(|writer| {
            let mut pointer = match owner {
                None => Some(QUESTION_POINTER),
                Some(_) => None,
            };
            for record in rrset.records() {
                writer.owner(owner, &mut pointer)?;
                writer.put(&record[2..RECORD_HEAD])?;
                writer.data(rrset.rtype(), &record[RECORD_HEAD..])?;
                writer.counts[section as usize] += 1;
            }
            Ok(())
        })
    }

    /// Adds an RRset and its signatures, if any: both or neither (RFC 4035 §3.1.1).
    #[inline]
    pub(super) fn signed(
        &mut self,
        section: Section,
        owner: Option<&[u8]>,
        rrset: RRset<'_>,
        signatures: Option<RRset<'_>>,
    ) -> Result<(), Full> {
        let Some(signatures) = signatures else { return self.rrset(section, owner, rrset) };
        self.atomically(|writer| {
            writer.rrset(section, owner, rrset)?;
            writer.signatures(section, owner, signatures, rrset.ttl())
        })
    }

    /// Adds signatures with the TTL of the RRset that they cover (RFC 4034 §3).
    pub(super) fn signatures(
        &mut self,
        section: Section,
        owner: Option<&[u8]>,
        signatures: RRset<'_>,
        ttl: u32,
    ) -> Result<(), Full> {
        self.atomically(|writer| {
            let mut pointer = owner.is_none().then_some(QUESTION_POINTER);
            for record in signatures.records() {
                writer.owner(owner, &mut pointer)?;
                let fixed = writer.at;
                writer.put(&record[2..])?;
                writer.message[fixed + 4..fixed + 8].copy_from_slice(&ttl.to_be_bytes());
                writer.counts[section as usize] += 1;
            }
            Ok(())
        })
    }

    /// Adds the SOA RRset for a negative answer and its signatures, if any, with the TTL of RFC 2308 §5.
    pub(super) fn negative(&mut self, apex: &[u8], soa: RRset<'_>, signatures: Option<RRset<'_>>) -> Result<(), Full> {
        let Some(minimum) = soa.rdata().next().and_then(|data| data.last_chunk::<4>()) else { return Ok(()) };
        let ttl = soa.ttl().min(u32::from_be_bytes(*minimum));
        self.atomically(|writer| {
            writer.name(apex)?;
            let fixed = writer.at;
            for record in soa.records().take(1) {
                writer.put(&record[2..RECORD_HEAD])?;
                writer.message[fixed + 4..fixed + 8].copy_from_slice(&ttl.to_be_bytes());
                writer.data(Type::SOA, &record[RECORD_HEAD..])?;
                writer.counts[Section::Authority as usize] += 1;
            }
            match signatures {
                Some(signatures) => writer.signatures(Section::Authority, Some(apex), signatures, ttl),
                None => Ok(()),
            }
        })
    }

    /// Adds the CNAME record that is synthesized from a DNAME record (RFC 6672 §3.1).
    pub(super) fn synthesized(&mut self, owner: Option<&[u8]>, target: &[u8], ttl: u32) -> Result<(), Full> {
        self.atomically(|writer| {
            let mut pointer = owner.is_none().then_some(QUESTION_POINTER);
            writer.owner(owner, &mut pointer)?;
            writer.put(&Type::CNAME.0.to_be_bytes())?;
            writer.put(&[0, 1])?;
            writer.put(&ttl.to_be_bytes())?;
            writer.put(&[0, 0])?;
            writer.data(Type::CNAME, target)?;
            writer.counts[Section::Answer as usize] += 1;
            Ok(())
        })
    }

    /// Adds a TXT record of class CHAOS, owned by the name in the question, with one text of at most 255 octets.
    pub(super) fn chaos_text(&mut self, text: &[u8]) -> Result<(), Full> {
        self.atomically(|writer| {
            writer.put(&QUESTION_POINTER)?;
            // TTL 0: resolvers must not cache the text, because another server may answer differently.
            writer.put(&[0, 16, 0, 3, 0, 0, 0, 0])?;
            writer.put(&(text.len() as u16 + 1).to_be_bytes())?;
            writer.put(&[text.len() as u8])?;
            writer.put(text)?;
            writer.counts[Section::Answer as usize] += 1;
            Ok(())
        })
    }

    /// Removes all records.
    pub(super) fn clear(&mut self) {
        self.at = HEADER + self.question;
        self.counts = [0; 3];
        self.names_len = 0;
    }

    /// Completes the message, which has at most `limit` octets, and returns its length.
    #[inline]
    pub(super) fn finish(
        self,
        query: &[u8; HEADER],
        verdict: &Verdict<'_>,
        opt: Option<&Opt<'_>>,
        limit: usize,
    ) -> usize {
        let mut end = self.at;
        let mut additional = self.counts[Section::Additional as usize];
        // Its room was reserved at the start.
        if let Some(opt) = opt
            && let Some(len) = self.message.get_mut(end..limit).and_then(|room| opt.write(verdict, room))
        {
            end += len;
            additional += 1;
        }
        let header = &mut self.message[..HEADER];
        header[..2].copy_from_slice(&query[..2]);
        // QR, the opcode, AA, TC, RD as asked; RA, Z, AD and, by RFC 4035 §3.1.6, CD clear.
        header[2] = 0x80 | query[2] & 0x79 | u8::from(verdict.authoritative) << 2 | u8::from(verdict.truncated) << 1;
        header[3] = verdict.rcode.flags() as u8;
        let question = u16::from(self.question > 0);
        for (at, count) in [question, self.counts[0], self.counts[1], additional].into_iter().enumerate() {
            header[4 + 2 * at..6 + 2 * at].copy_from_slice(&count.to_be_bytes());
        }
        end
    }

    /// Returns where the next record will begin, with its owner.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Returns the offset of the last record's data, which is the target in the case of an alias.
    pub(super) fn data_at(&self) -> usize {
        self.data_at
    }

    /// Returns whether the name at offset `at` equals `name`.
    pub(super) fn name_is(&self, at: usize, wanted_name: &[u8]) -> bool {
        let (mut at, mut rest) = (at, wanted_name);
        // The names of the question, which are the most frequent suffixes, are uncompressed.
        if self.message.get(at..at + wanted_name.len()).is_some_and(|piece| name::eq(piece, wanted_name)) {
            return true;
        }
        // Every label and pointer belongs to a name of at most 255 octets, so this loop ends.
        for _ in 0..2 * name::MAX_NAME {
            let Some(&len) = self.message.get(at) else { return false };
            if len >= 0xc0 {
                let Some(&low) = self.message.get(at + 1) else { return false };
                at = usize::from(len & 0x3f) << 8 | usize::from(low);
                continue;
            }
            let label = usize::from(len) + 1;
            match (self.message.get(at..at + label), rest.get(..label)) {
                (Some(ours), Some(theirs)) if name::eq(ours, theirs) => {}
                _ => return false,
            }
            if len == 0 {
                return true;
            }
            at += label;
            rest = &rest[label..];
        }
        false
    }

    /// Runs `write` and undoes everything if it fails.
    fn atomically(&mut self, write: impl FnOnce(&mut Self) -> Result<(), Full>) -> Result<(), Full> {
        let before = (self.at, self.counts, self.names_len);
        let result = write(self);
        if result.is_err() {
            (self.at, self.counts, self.names_len) = before;
        }
        result
    }

    #[inline]
    fn put(&mut self, octets: &[u8]) -> Result<(), Full> {
        let end = self.at + octets.len();
        if end > self.limit {
            return Err(Full);
        }
        self.message[self.at..end].copy_from_slice(octets);
        self.at = end;
        Ok(())
    }

    /// Writes the owner of a record: the pointer if there is one, or the name, to which `pointer` is then set.
    fn owner(&mut self, owner: Option<&[u8]>, pointer: &mut Option<[u8; 2]>) -> Result<(), Full> {
        match (*pointer, owner) {
            (Some(pointer), _) => self.put(&pointer),
            (None, None) => self.put(&QUESTION_POINTER),
            (None, Some(owner)) => {
                let start = self.at;
                self.name(owner)?;
                let written = &self.message[start..self.at];
                *pointer = match *written {
                    [high, low] if high >= 0xc0 => Some([high, low]),
                    _ if start <= MAX_POINTER => Some((0xc000 | start as u16).to_be_bytes()),
                    _ => None,
                };
                Ok(())
            }
        }
    }

    /// Writes a record's data and corrects the length in the two octets before it if the data is compressed.
    fn data(&mut self, rtype: Type, data: &[u8]) -> Result<(), Full> {
        let Some((front, names)) = rtype.compressible() else { return self.put(data) };
        let start = self.at;
        self.data_at = start;
        let (front, mut rest) = data.split_at_checked(front).unwrap_or((data, &[]));
        self.put(front)?;
        for _ in 0..names {
            let Some((name, after)) = name::wire_len(rest).and_then(|len| rest.split_at_checked(len)) else { break };
            self.name(name)?;
            rest = after;
        }
        self.put(rest)?;
        let len = (self.at - start) as u16;
        self.message[start - 2..start].copy_from_slice(&len.to_be_bytes());
        Ok(())
    }

    /// Writes a name with compression.
    fn name(&mut self, name: &[u8]) -> Result<(), Full> {
        if self.names_len == 0 {
            self.add_question_names();
        }
        let mut rest = name;
        while let Some(&label @ 1..) = rest.first() {
            if let Some(pointer) = self.find(rest) {
                return self.put(&(0xc000 | pointer).to_be_bytes());
            }
            self.add_name(self.at, rest.len());
            let (label, after) = rest.split_at(usize::from(label) + 1);
            self.put(label)?;
            rest = after;
        }
        self.put(&[0])
    }

    fn add_question_names(&mut self) {
        let (mut at, end) = (HEADER, HEADER + self.question.saturating_sub(4));
        while at + 1 < end {
            self.add_name(at, end - at);
            at += usize::from(self.message[at]) + 1;
        }
    }

    fn add_name(&mut self, at: usize, len: usize) {
        if let (true, Some(slot)) = (at <= MAX_POINTER, self.names.get_mut(self.names_len)) {
            *slot = (at as u16, len as u16);
            self.names_len += 1;
        }
    }

    /// Returns the offset where a name was already written.
    fn find(&self, name: &[u8]) -> Option<u16> {
        let same_length = self.names[..self.names_len].iter().filter(|&&(_, len)| usize::from(len) == name.len());
        same_length.map(|&(at, _)| at).find(|&at| self.name_is(usize::from(at), name))
    }
}
