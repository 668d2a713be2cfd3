//! A message of a reply, built record by record.

use super::names::Names;
use crate::dns::Type;
use crate::dns::message::HEADER;
use crate::dns::name::wire_len;

/// The error that a record does not fit into the rest of the message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full;

/// The owner of consecutive records, and the offset where it was first written.
pub(super) struct Owner<'n> {
    name: &'n [u8],
    at: Option<u16>,
}

impl<'n> Owner<'n> {
    pub(super) fn new(name: &'n [u8]) -> Self {
        Self { name, at: None }
    }
}

/// A message that is being built.
pub(super) struct Message<'m> {
    /// The buffer, up to the limit for records.
    octets: &'m mut [u8],
    at: usize,
    names: &'m mut Names,
    /// The number of records in the answer section.
    records: u16,
}

impl<'m> Message<'m> {
    /// Starts a message in `octets` with the given question.
    pub(super) fn new(octets: &'m mut [u8], names: &'m mut Names, question: &[u8]) -> Result<Self, Full> {
        names.clear();
        let mut message = Self { octets, at: HEADER, names, records: 0 };
        if let Some((name, rest)) = question.split_at_checked(question.len().saturating_sub(4))
            && !name.is_empty()
        {
            message.name(name)?;
            message.put(rest)?;
        }
        message.octets.get(..message.at).ok_or(Full)?;
        Ok(message)
    }

    /// Returns the length of the message in octets.
    pub(super) fn len(&self) -> usize {
        self.at
    }

    /// Returns the number of records.
    pub(super) fn records(&self) -> u16 {
        self.records
    }

    /// Adds a record; `head` is type, class, TTL and the length of the data, which is corrected if the data is
    /// compressed.
    #[inline]
    pub(super) fn record(
        &mut self,
        owner: &mut Owner<'_>,
        rtype: Type,
        head: &[u8; 10],
        data: &[u8],
    ) -> Result<(), Full> {
        let start = self.at;
        let result = self.parts(owner, rtype, head, data);
        match result {
            Ok(()) => self.records += 1,
            Err(Full) => self.at = start,
        }
        result
    }

    #[inline]
    fn parts(&mut self, owner: &mut Owner<'_>, rtype: Type, head: &[u8; 10], data: &[u8]) -> Result<(), Full> {
        match owner.at {
            Some(at) => self.put(&(0xc000 | at).to_be_bytes())?,
            None => owner.at = self.name(owner.name)?,
        }
        self.put(head)?;
        match rtype.compressible() {
            None => self.put(data),
            Some((front, names)) => self.compressed(front, names, data),
        }
    }

    fn compressed(&mut self, front: usize, names: usize, data: &[u8]) -> Result<(), Full> {
        let start = self.at;
        let (front, mut rest) = data.split_at_checked(front).unwrap_or((data, &[]));
        self.put(front)?;
        for _ in 0..names {
            let Some((name, after)) = wire_len(rest).and_then(|len| rest.split_at_checked(len)) else { break };
            self.name(name)?;
            rest = after;
        }
        self.put(rest)?;
        let len = (self.at - start) as u16;
        self.octets[start - 2..start].copy_from_slice(&len.to_be_bytes());
        Ok(())
    }

    /// Writes a name and returns the offset for pointers to it.
    #[inline]
    fn name(&mut self, name: &[u8]) -> Result<Option<u16>, Full> {
        let written = self.names.write(self.octets, self.at, name).ok_or(Full)?;
        self.at = written.end;
        Ok(written.at)
    }

    #[inline]
    fn put(&mut self, octets: &[u8]) -> Result<(), Full> {
        let end = self.at + octets.len();
        self.octets.get_mut(self.at..end).ok_or(Full)?.copy_from_slice(octets);
        self.at = end;
        Ok(())
    }
}
