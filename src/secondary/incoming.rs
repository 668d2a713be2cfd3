//! One transfer received: its messages in, a zone out (RFC 5936 §2.2, RFC 1995 §4).

use std::sync::Arc;

use super::differences::{Differences, is_same_soa};
use super::error::TransferError;
use crate::dns::message::{Rcode, Reader, Record, Section, class, opcode, request};
use crate::dns::{Diagnostic, Name, Serial, Severity, Type, check_data, check_data_form, check_owner};
use crate::notify::serial_of;
use crate::tsig::{ChainVerifier, Key, sign};
use crate::zone::{Assembly, Zone};

/// The largest TTL; what is larger counts as 0 (RFC 2181 §8).
const MAX_TTL: u32 = 0x7fff_ffff;

/// What a transfer may take at most, so that no primary can exhaust memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many records there may be in all of its messages.
    pub records: usize,
    /// How many octets of memory the records may take while they are gathered.
    pub octets: usize,
}

impl Default for Bounds {
    /// Ten million records and one GiB.
    fn default() -> Self {
        Self { records: 10_000_000, octets: 1 << 30 }
    }
}

/// What has come of a transfer so far.
#[derive(Debug)]
pub enum Progress {
    /// There are more messages to come.
    More,
    /// That was the last message.
    Finished(Outcome),
}

/// What a transfer has brought.
#[derive(Debug)]
pub enum Outcome {
    /// The primary has nothing newer than this serial number (RFC 1995 §2).
    UpToDate(Serial),
    /// A zone, whole and sound.
    Zone {
        /// The zone.
        zone: Zone,
        /// What should be looked at.
        remarks: Vec<Diagnostic>,
        /// It is the zone held before with differences applied.
        incremental: bool,
    },
}

/// A transfer under way.
#[derive(Debug)]
pub struct Incoming {
    apex: Name,
    id: u16,
    qtype: Type,
    held: Option<Arc<Zone>>,
    chain: Option<ChainVerifier>,
    bounds: Bounds,
    records: usize,
    /// How many records other servers may be unable to read, and what is wrong with the first.
    doubtful: (usize, String),
    state: State,
}

#[derive(Debug)]
enum State {
    /// No record has come.
    First,
    /// The first SOA record has come; the next record tells differences from a whole zone (RFC 1995 §4).
    Undecided(Record),
    /// The zone itself comes, with this SOA record at both ends.
    Whole(Record, Box<Assembly>),
    /// Differences come.
    Differences(Differences),
    /// The last SOA record has come.
    Ended(Ended),
    /// The transfer has ended, well or badly.
    Over,
}

/// What is to become of the records once the last message is known to be good.
#[derive(Debug)]
enum Ended {
    Whole(Box<Assembly>),
    Differences(Differences),
}

impl Incoming {
    /// Begins the transfer of a whole zone (RFC 5936 §2.1); returns the request, too.
    ///
    /// `id` is random, `unix` the time in seconds since 1970. Returns `None` if the request cannot be signed.
    #[must_use]
    pub fn whole(apex: &Name, key: Option<&Arc<Key>>, bounds: Bounds, id: u16, unix: u64) -> Option<(Self, Vec<u8>)> {
        Self::begin(request(id, 0, apex, Type::AXFR), apex, Type::AXFR, None, key, bounds, unix)
    }

    /// Begins the transfer of what differs from the version held (RFC 1995 §3), as [`Self::whole`].
    #[must_use]
    pub fn differences(
        held: &Arc<Zone>,
        key: Option<&Arc<Key>>,
        bounds: Bounds,
        id: u16,
        unix: u64,
    ) -> Option<(Self, Vec<u8>)> {
        let soa = held.node(held.apex())?.rrset(Type::SOA)?.rdata().next()?;
        let mut message = request(id, 0, held.apex(), Type::IXFR);
        message[9] = 1;
        message.extend(b"\xc0\x0c\x00\x06\x00\x01\x00\x00\x00\x00");
        message.extend(u16::try_from(soa.len()).ok()?.to_be_bytes());
        message.extend_from_slice(soa);
        Self::begin(message, held.apex(), Type::IXFR, Some(held.clone()), key, bounds, unix)
    }

    fn begin(
        mut message: Vec<u8>,
        apex: &Name,
        qtype: Type,
        held: Option<Arc<Zone>>,
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
            held,
            chain,
            bounds,
            records: 0,
            doubtful: (0, String::new()),
            state: State::First,
        };
        Some((incoming, message))
    }

    /// Takes the next message, as it came, at the time `unix` in seconds since 1970.
    ///
    /// After [`Progress::Finished`] or an error nothing more is taken. Making the zone of the records happens here, at
    /// the last message.
    ///
    /// # Errors
    ///
    /// The transfer has failed, and nothing has come of it.
    pub fn message(&mut self, octets: &[u8], unix: u64) -> Result<Progress, TransferError> {
        let result = self.take(octets, unix);
        if !matches!(result, Ok(Progress::More)) {
            self.state = State::Over;
        }
        result
    }

    fn take(&mut self, octets: &[u8], unix: u64) -> Result<Progress, TransferError> {
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
        if let (State::Undecided(soa), Some(held)) = (&self.state, &self.held) {
            let serial = serial_of(&soa.data).unwrap_or(held.serial());
            if !serial.is_newer_than(held.serial()) {
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
            return unexpected("a message is no reply to the request");
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
            _ => unexpected("a message is the reply to another question"),
        }
    }

    fn record(&mut self, mut record: Record) -> Result<(), TransferError> {
        let unexpected = |what| Err(TransferError::Unexpected(what));
        if record.class != class::IN {
            return unexpected("a record is not of class IN");
        }
        if record.rtype.is_meta() {
            return unexpected("a record is of a type that no zone can have");
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
        // What a primary serves is served on: only it can mend its data, and a zone that stands still harms more.
        let sound = check_data(record.rtype, &record.data);
        if let Err(wrong) = sound.and_then(|()| check_owner(record.rtype, record.owner.as_wire())) {
            if self.doubtful.0 == 0 {
                self.doubtful.1 = format!("{} {}: {wrong}", record.owner, record.rtype);
            }
            self.doubtful.0 += 1;
        }
        let is_soa = record.rtype == Type::SOA && record.owner == self.apex;
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::First if !is_soa => return unexpected("the transfer does not begin with the zone's SOA record"),
            State::First if self.held.is_some() => State::Undecided(record),
            State::First => self.begin_whole(record)?,
            State::Undecided(first) => self.decide(first, record, is_soa)?,
            State::Whole(first, assembly) if is_soa => {
                if !is_same_soa(&first, &record) {
                    return unexpected("the transfer ends with another SOA record than it began with");
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
            State::Ended(_) | State::Over => return unexpected("there are records behind the last SOA record"),
        };
        Ok(())
    }

    fn begin_whole(&self, soa: Record) -> Result<State, TransferError> {
        let mut assembly = Box::new(Assembly::new(&self.apex));
        self.push(&mut assembly, &soa)?;
        Ok(State::Whole(soa, assembly))
    }

    /// Tells by the second record what the transfer is of (RFC 1995 §4).
    fn decide(&self, first: Record, record: Record, is_soa: bool) -> Result<State, TransferError> {
        let held = self.held.as_ref().filter(|held| is_soa && serial_of(&record.data) == Some(held.serial()));
        if let Some(held) = held {
            return Ok(State::Differences(Differences::new(held.clone(), first)));
        }
        let same = is_soa && is_same_soa(&first, &record);
        match self.begin_whole(first)? {
            State::Whole(_, assembly) if same => Ok(State::Ended(Ended::Whole(assembly))),
            State::Whole(..) if is_soa => {
                Err(TransferError::Mismatch("they begin at another serial number than ours".into()))
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

    /// Sees to it that the last message was signed, which proves those before (RFC 8945 §5.3.1).
    fn end_of_chain(&mut self) -> Result<(), TransferError> {
        Ok(self.chain.take().map_or(Ok(()), ChainVerifier::finish)?)
    }

    /// Returns a warning if other servers may refuse the zone.
    fn doubts(&self) -> Option<Diagnostic> {
        let (count, first) = &self.doubtful;
        (*count > 0).then(|| Diagnostic {
            file: self.apex.to_string(),
            line: 0,
            column: 0,
            severity: Severity::Warning,
            reason: format!("invalid records in the transfer, for which other servers may refuse the zone: {count}, the first {first}"),
            hint: Some("fix them at the primary".to_owned()),
        })
    }

    fn finish(&mut self) -> Result<Outcome, TransferError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Ended(Ended::Whole(assembly)) => match assembly.finish(&self.apex.to_string()) {
                Ok((zone, mut remarks)) => {
                    remarks.extend(self.doubts());
                    Ok(Outcome::Zone { zone, remarks, incremental: false })
                }
                Err(found) => {
                    let errors = found.iter().filter(|finding| finding.severity == Severity::Error);
                    let reason = errors.map(|finding| finding.reason.clone()).next();
                    Err(TransferError::Unsound(reason.unwrap_or_else(|| "it has no SOA record".into())))
                }
            },
            State::Ended(Ended::Differences(differences)) => {
                let remarks = self.doubts().into_iter().collect();
                Ok(Outcome::Zone { zone: differences.finish()?, remarks, incremental: true })
            }
            _ => Err(TransferError::Unexpected("the transfer has not ended")),
        }
    }
}
