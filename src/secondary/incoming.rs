//! An incoming transfer: messages in, a zone out (RFC 5936 §2.2, RFC 1995 §4).

use std::sync::Arc;

use super::differences::{Differences, is_same_soa};
use super::error::TransferError;
use crate::dns::message::{Rcode, Reader, Record, Section, class, opcode, request};
use crate::dns::{Diagnostic, Name, Serial, Severity, Type, check_data, check_data_form, check_owner};
use crate::notify::serial_of;
use crate::tsig::{ChainVerifier, Key, sign};
use crate::zone::{Assembly, Zone};

/// The maximum TTL in seconds; a larger one counts as 0 (RFC 2181 §8).
const MAX_TTL: u32 = 0x7fff_ffff;

/// Limits on a transfer, so that a primary cannot exhaust memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The maximum number of records in all messages together.
    pub records: usize,
    /// The maximum memory for the collected records, in octets.
    pub octets: usize,
}

impl Default for Bounds {
    /// Allows ten million records and one GiB.
    fn default() -> Self {
        Self { records: 10_000_000, octets: 1 << 30 }
    }
}

/// The progress of a transfer.
#[derive(Debug)]
pub enum Progress {
    /// More messages are expected.
    More,
    /// That was the last message.
    Finished(Outcome),
}

/// The outcome of a successful transfer.
#[derive(Debug)]
pub enum Outcome {
    /// The primary has nothing newer than this serial number (RFC 1995 §2).
    UpToDate(Serial),
    /// A complete and valid zone.
    Zone {
        /// The zone.
        zone: Zone,
        /// Warnings about the zone.
        remarks: Vec<Diagnostic>,
        /// Whether the zone is the previous version with differences applied.
        incremental: bool,
    },
}

/// An incoming transfer in progress.
#[derive(Debug)]
pub struct Incoming {
    apex: Name,
    id: u16,
    qtype: Type,
    current_zone: Option<Arc<Zone>>,
    chain: Option<ChainVerifier>,
    bounds: Bounds,
    records: usize,
    /// The number of records that other servers may reject, and what is wrong with the first one.
    questionable: (usize, String),
    state: State,
}

#[derive(Debug)]
enum State {
    /// No record has been received.
    First,
    /// The first SOA record was received; the next record distinguishes differences from a whole zone (RFC 1995 §4).
    Undecided(Record),
    /// The whole zone is being received, with this SOA record at both ends.
    Whole(Record, Box<Assembly>),
    /// Differences are being received.
    Differences(Differences),
    /// The last SOA record was received.
    Ended(Ended),
    /// The transfer has ended, successfully or not.
    Over,
}

/// The received records, waiting for the last message to be verified.
#[derive(Debug)]
enum Ended {
    Whole(Box<Assembly>),
    Differences(Differences),
}

impl Incoming {
    /// Starts the transfer of a whole zone (RFC 5936 §2.1); also returns the request.
    ///
    /// `id` must be random; `unix` is the time in seconds since 1970. Returns `None` if the request cannot be signed.
    #[must_use]
    pub fn whole(apex: &Name, key: Option<&Arc<Key>>, bounds: Bounds, id: u16, unix: u64) -> Option<(Self, Vec<u8>)> {
        Self::begin(request(id, 0, apex, Type::AXFR), apex, Type::AXFR, None, key, bounds, unix)
    }

    /// Starts the transfer of differences from the current version (RFC 1995 §3), like [`Self::whole`].
    #[must_use]
    pub fn differences(
        current_zone: &Arc<Zone>,
        key: Option<&Arc<Key>>,
        bounds: Bounds,
        id: u16,
        unix: u64,
    ) -> Option<(Self, Vec<u8>)> {
        let soa = current_zone.node(current_zone.apex())?.rrset(Type::SOA)?.rdata().next()?;
        let mut message = request(id, 0, current_zone.apex(), Type::IXFR);
        message[9] = 1;
        message.extend(b"\xc0\x0c\x00\x06\x00\x01\x00\x00\x00\x00");
        message.extend(u16::try_from(soa.len()).ok()?.to_be_bytes());
        message.extend_from_slice(soa);
        Self::begin(message, current_zone.apex(), Type::IXFR, Some(current_zone.clone()), key, bounds, unix)
    }

    fn begin(
        mut message: Vec<u8>,
        apex: &Name,
        qtype: Type,
        current_zone: Option<Arc<Zone>>,
        key: Option<&Arc<Key>>,
        bounds: Bounds,
        unix: u64,
    ) -> Option<(Self, Vec<u8>)> {
        let id = u16::from_be_bytes([message[0], message[1]]);
        let chain = match key {
            Some(key) => Some(sign(key, &mut message, unix)?.chain()),
            None => None,
        };
        let incoming = Self {
            apex: apex.clone(),
            id,
            qtype,
            current_zone,
            chain,
            bounds,
            records: 0,
            questionable: (0, String::new()),
            state: State::First,
        };
        Some((incoming, message))
    }

    /// Processes the next received message at the time `unix` in seconds since 1970.
    ///
    /// After [`Progress::Finished`] or an error, further messages are rejected. The last message builds the zone, which
    /// may take long.
    ///
    /// # Errors
    ///
    /// The transfer failed without a result.
    pub fn message(&mut self, octets: &[u8], unix: u64) -> Result<Progress, TransferError> {
        let result = self.process(octets, unix);
        if !matches!(result, Ok(Progress::More)) {
            self.state = State::Over;
        }
        result
    }

    fn process(&mut self, octets: &[u8], unix: u64) -> Result<Progress, TransferError> {
        let verified = match &mut self.chain {
            Some(chain) => Some(chain.verify(octets, unix)?),
            None => None,
        };
        let mut reader = Reader::new(verified.as_deref().unwrap_or(octets))?;
        self.header(&mut reader)?;
        let mut empty = true;
        while let Some((section, record)) = reader.record()? {
            if section == Section::Answer {
                empty = false;
                self.record(record)?;
            }
        }
        if empty {
            return Err(TransferError::Unexpected("a message has no records"));
        }
        if let (State::Undecided(soa), Some(current_zone)) = (&self.state, &self.current_zone) {
            let serial = serial_of(&soa.data).unwrap_or(current_zone.serial());
            if !serial.is_newer_than(current_zone.serial()) {
                self.end_of_chain()?;
                return Ok(Progress::Finished(Outcome::UpToDate(serial)));
            }
        }
        if matches!(self.state, State::Ended(_)) {
            self.end_of_chain()?;
            return self.finish().map(Progress::Finished);
        }
        Ok(Progress::More)
    }

    /// Checks a message's header and question (RFC 5936 §2.2.1, §2.2.2).
    fn header(&self, reader: &mut Reader<'_>) -> Result<(), TransferError> {
        let header = *reader.header();
        let unexpected = |what| Err(TransferError::Unexpected(what));
        if header.id != self.id || !header.is_response() || header.opcode() != opcode::QUERY {
            return unexpected("a message is not a reply to the request");
        }
        if header.rcode() != Rcode::NO_ERROR {
            return Err(TransferError::Refused(header.rcode()));
        }
        if header.is_truncated() {
            return unexpected("a message is truncated");
        }
        match (header.counts[0], reader.question()?) {
            (0, _) => Ok(()),
            (1, Some(question))
                if question.name == self.apex && question.qtype == self.qtype && question.qclass == class::IN =>
            {
                Ok(())
            }
            _ => unexpected("a message is a reply to another question"),
        }
    }

    fn record(&mut self, mut record: Record) -> Result<(), TransferError> {
        let unexpected = |what| Err(TransferError::Unexpected(what));
        if record.class != class::IN {
            return unexpected("a record is not of class IN");
        }
        if record.rtype.is_meta() {
            return unexpected("a record has a query type or meta-type");
        }
        if record.data.is_empty() && check_data_form(record.rtype, &[]).is_err() {
            return unexpected("a record has no data");
        }
        if record.ttl > MAX_TTL {
            record.ttl = 0;
        }
        self.records += 1;
        if self.records > self.bounds.records {
            return Err(TransferError::TooLarge("it has too many records"));
        }
        // Records that only other servers may reject are served: only the primary can fix its data, and a zone that is
        // no longer updated does more harm.
        let validity = check_data(record.rtype, &record.data);
        if let Err(wrong) = validity.and_then(|()| check_owner(record.rtype, record.owner.as_wire())) {
            if self.questionable.0 == 0 {
                self.questionable.1 = format!("{} {}: {wrong}", record.owner, record.rtype);
            }
            self.questionable.0 += 1;
        }
        let is_soa = record.rtype == Type::SOA && record.owner == self.apex;
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::First if !is_soa => return unexpected("the transfer does not begin with the zone's SOA record"),
            State::First if self.current_zone.is_some() => State::Undecided(record),
            State::First => self.begin_whole(record)?,
            State::Undecided(first) => self.decide(first, record, is_soa)?,
            State::Whole(first, assembly) if is_soa => {
                if !is_same_soa(&first, &record) {
                    return unexpected("the last SOA record differs from the first");
                }
                State::Ended(Ended::Whole(assembly))
            }
            State::Whole(first, mut assembly) => {
                self.push(&mut assembly, &record)?;
                State::Whole(first, assembly)
            }
            State::Differences(mut differences) => {
                let ended = differences.record(record, is_soa)?;
                if differences.size() > self.bounds.octets {
                    return Err(TransferError::TooLarge("its records take too much memory"));
                }
                if ended { State::Ended(Ended::Differences(differences)) } else { State::Differences(differences) }
            }
            State::Ended(_) | State::Over => return unexpected("there are records after the last SOA record"),
        };
        Ok(())
    }

    fn begin_whole(&self, soa: Record) -> Result<State, TransferError> {
        let mut assembly = Box::new(Assembly::new(&self.apex));
        self.push(&mut assembly, &soa)?;
        Ok(State::Whole(soa, assembly))
    }

    /// Decides by the second record between a whole zone and differences (RFC 1995 §4).
    fn decide(&self, first: Record, record: Record, is_soa: bool) -> Result<State, TransferError> {
        let current_zone = self
            .current_zone
            .as_ref()
            .filter(|current_zone| is_soa && serial_of(&record.data) == Some(current_zone.serial()));
        if let Some(current_zone) = current_zone {
            return Ok(State::Differences(Differences::new(current_zone.clone(), first)));
        }
        let same = is_soa && is_same_soa(&first, &record);
        match self.begin_whole(first)? {
            State::Whole(_, assembly) if same => Ok(State::Ended(Ended::Whole(assembly))),
            State::Whole(..) if is_soa => {
                Err(TransferError::Mismatch("they start at another serial number than ours".into()))
            }
            State::Whole(first, mut assembly) => {
                self.push(&mut assembly, &record)?;
                Ok(State::Whole(first, assembly))
            }
            other => Ok(other),
        }
    }

    fn push(&self, assembly: &mut Assembly, record: &Record) -> Result<(), TransferError> {
        assembly.push(&record.owner, record.rtype, record.ttl, &record.data).map_err(TransferError::TooLarge)?;
        if assembly.size() > self.bounds.octets {
            return Err(TransferError::TooLarge("its records take too much memory"));
        }
        Ok(())
    }

    /// Checks that the last message was signed, which authenticates those before it (RFC 8945 §5.3.1).
    fn end_of_chain(&mut self) -> Result<(), TransferError> {
        Ok(self.chain.take().map_or(Ok(()), ChainVerifier::finish)?)
    }

    /// Returns a warning if other servers may reject the zone.
    fn warning(&self) -> Option<Diagnostic> {
        let (count, first) = &self.questionable;
        (*count > 0).then(|| Diagnostic {
            file: self.apex.to_string(),
            line: 0,
            column: 0,
            severity: Severity::Warning,
            reason: format!("invalid records in the transfer, because of which other servers may reject the zone: {count}; first: {first}"),
            hint: Some("fix them at the primary".to_owned()),
        })
    }

    fn finish(&mut self) -> Result<Outcome, TransferError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Ended(Ended::Whole(assembly)) => match assembly.finish(&self.apex.to_string()) {
                Ok((zone, mut remarks)) => {
                    remarks.extend(self.warning());
                    Ok(Outcome::Zone { zone, remarks, incremental: false })
                }
                Err(found) => {
                    let errors = found.iter().filter(|finding| finding.severity == Severity::Error);
                    let reason = errors.map(|finding| finding.reason.clone()).next();
                    Err(TransferError::Invalid(reason.unwrap_or_else(|| "it has no SOA record".into())))
                }
            },
            State::Ended(Ended::Differences(differences)) => {
                let remarks = self.warning().into_iter().collect();
                Ok(Outcome::Zone { zone: differences.finish()?, remarks, incremental: true })
            }
            _ => Err(TransferError::Unexpected("the transfer has not ended")),
        }
    }
}
