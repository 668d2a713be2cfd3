//! The messages of a reply to AXFR or IXFR, one at a time.
//!
//! The state of a reply is a step and a position in it, so each message is built when it can be sent, and nothing runs
//! in between. The position in the zone is a node and a record index; resuming costs one descent of the trie per
//! message.
//!
//! ```text
//! AXFR          SOA, the zone without it, SOA                                        RFC 5936 §2.2
//! IXFR          new SOA, old SOA, records removed, new SOA, records added, new SOA   RFC 1995 §4
//! up to date    SOA                                                                  RFC 1995 §2
//! ```
//!
//! The first message repeats the question and the others omit it, as RFC 5936 §2.2.2 allows. Only the first message has
//! an OPT record (§2.2.5). Records are in canonical order, and an RRset may be split over messages.

use std::fmt;
use std::sync::Arc;

use super::condense::condense;
use super::message::{Full, Message, Owner};
use super::names::Names;
use super::request::{Kind, Reply, Request};
use crate::dns::message::HEADER;
use crate::dns::{Name, Serial, Type};
use crate::zone::node::{Node, RECORD_HEAD};
use crate::zone::{Change, Difference, RRset, Zone};

/// The content of a reply; its display form is for the log.
#[derive(Clone)]
pub enum Content {
    /// The whole zone.
    Zone(Arc<Zone>),
    /// The difference from the client's version to the zone.
    Difference(Arc<Zone>, Arc<Difference>),
    /// Only the SOA record: the client is up to date, or must retry over TCP.
    Soa(Arc<Zone>),
}

impl Content {
    /// Returns the content of the reply to a request. `differences` are the ones from the client's version to the zone,
    /// oldest first, or `None` if unknown.
    ///
    /// The whole zone is sent if the differences do not connect the two versions, or if they have more records than the
    /// zone (RFC 1995 §4).
    pub fn of(request: &Request, zone: Arc<Zone>, differences: Option<&[Arc<Difference>]>) -> Self {
        let Kind::Ixfr(serial) = request.kind() else { return Self::Zone(zone) };
        if serial == zone.serial() || serial.is_newer_than(zone.serial()) {
            return Self::Soa(zone);
        }
        let difference = differences.and_then(|differences| match differences {
            [one] => Some(one.clone()),
            several => condense(several).map(Arc::new),
        });
        match difference {
            Some(difference) if leads(&difference, serial, &zone) && size(&difference) <= zone.record_count() => {
                Self::Difference(zone, difference)
            }
            _ => Self::Zone(zone),
        }
    }

    /// Returns the zone.
    pub fn zone(&self) -> &Arc<Zone> {
        match self {
            Self::Zone(zone) | Self::Difference(zone, _) | Self::Soa(zone) => zone,
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let serial = self.zone().serial();
        match self {
            Self::Zone(_) => write!(f, "the whole zone, serial {serial}"),
            Self::Difference(_, difference) => write!(f, "the differences from serial {} to {serial}", difference.old),
            Self::Soa(_) => write!(f, "the SOA record only, serial {serial}"),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({}: {self})", self.zone().apex())
    }
}

/// Returns whether a difference leads from a serial number to a zone, judged by the SOA records.
fn leads(difference: &Difference, from: Serial, zone: &Zone) -> bool {
    let added = soa_change(difference, zone.apex()).and_then(|change| change.added.first());
    let soa = zone.soa().and_then(|soa| soa.rdata().next());
    difference.old == from && difference.new == zone.serial() && added.map(|data| &**data) == soa
}

/// Returns the number of records that a difference removes and adds, without the SOA records.
fn size(difference: &Difference) -> usize {
    let changes = difference.changes.iter().filter(|change| change.rtype != Type::SOA);
    changes.map(|change| change.removed.len() + change.added.len()).sum()
}

/// Returns the change of the SOA record, if a difference has exactly one before and one after.
fn soa_change<'d>(difference: &'d Difference, apex: &Name) -> Option<&'d Change> {
    let mut changes = difference.changes.iter().filter(|change| change.rtype == Type::SOA);
    let change = changes.next().filter(|change| change.owner == *apex)?;
    (changes.next().is_none() && change.removed.len() == 1 && change.added.len() == 1).then_some(change)
}

/// The error that a record or the question does not fit into a message of its own.
///
/// This cannot happen with messages of maximum size, because zones with longer records are rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record or the question of the transfer does not fit into a message")
    }
}

impl std::error::Error for NoRoom {}

/// A reply that is being sent.
pub struct Outgoing {
    reply: Reply,
    content: Content,
    step: Step,
    names: Names,
    records: u64,
}

/// The next step of a reply.
#[derive(Clone, Debug)]
enum Step {
    /// The SOA record at the start of the first message.
    First,
    /// The zone from this node (or the apex) onwards, starting at this type and record index.
    Zone {
        node: Option<Node>,
        rtype: Type,
        record: usize,
    },
    /// The client's SOA record.
    Old,
    /// The removed records from this change onwards, starting at this record index.
    Removed {
        change: usize,
        record: usize,
    },
    /// The SOA record between the removed and the added records.
    New,
    /// The added records from this change onwards, starting at this record index.
    Added {
        change: usize,
        record: usize,
    },
    /// The SOA record at the end of the reply.
    Last,
    Done,
}

impl Outgoing {
    /// Starts a reply.
    pub fn new(reply: Reply, content: Content) -> Self {
        Self { reply, content, step: Step::First, names: Names::new(), records: 0 }
    }

    /// Returns the content of the reply.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Returns the number of records written so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Returns whether the last message was written.
    pub fn is_done(&self) -> bool {
        matches!(self.step, Step::Done)
    }

    /// Writes the next message of at most `limit` octets, of which the last `reserve` octets are left for its
    /// signature, and returns its length without signature; returns `None` after the last.
    ///
    /// `message` should have 65,535 octets; a shorter buffer lowers the limit. Over TCP an IXFR, like an AXFR, may have
    /// any number of messages (RFC 1995 §4).
    ///
    /// # Errors
    ///
    /// There is no room for a single record; the reply cannot continue.
    pub fn next(&mut self, message: &mut [u8], limit: usize, reserve: usize) -> Result<Option<usize>, NoRoom> {
        if self.is_done() {
            return Ok(None);
        }
        let is_first = matches!(self.step, Step::First);
        let (question, opt) = if is_first { (&*self.reply.question, &*self.reply.opt) } else { (&[][..], &[][..]) };
        let limit = limit.min(message.len()).min(usize::from(u16::MAX));
        let end = limit.checked_sub(reserve + opt.len()).ok_or(NoRoom)?;
        let mut writer = Message::new(&mut message[..end], &mut self.names, question).map_err(|Full| NoRoom)?;
        let filled = fill(&self.content, &mut self.step, &mut writer);
        let (len, records) = (writer.len(), writer.records());
        if filled.is_err() && records == 0 {
            return Err(NoRoom);
        }
        self.records += u64::from(records);
        let len = finish(&self.reply, is_first, false, records, &mut message[..limit], len);
        Ok(Some(len))
    }

    /// Writes the whole reply into one datagram like [`Self::next`] and returns its length.
    ///
    /// If it does not fit, only the SOA record is sent, so that the client retries over TCP (RFC 1995 §2); if that does
    /// not fit either, the message is truncated.
    ///
    /// # Errors
    ///
    /// There is no room for the question.
    pub fn datagram(mut self, message: &mut [u8], limit: usize, reserve: usize) -> Result<usize, NoRoom> {
        for content in [self.content.clone(), Content::Soa(self.content.zone().clone())] {
            (self.content, self.step) = (content, Step::First);
            if let Ok(Some(len)) = self.next(message, limit, reserve)
                && self.is_done()
            {
                return Ok(len);
            }
        }
        let limit = limit.min(message.len());
        let end = limit.checked_sub(reserve + self.reply.opt.len()).ok_or(NoRoom)?;
        let empty = Message::new(&mut message[..end], &mut self.names, &self.reply.question);
        let len = empty.map_err(|Full| NoRoom)?.len();
        Ok(finish(&self.reply, true, true, 0, &mut message[..limit], len))
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outgoing({}: {}, {} records written)", self.content.zone().apex(), self.content, self.records)
    }
}

/// Completes a message with the header and, if it is the first, with the OPT record, for which there must be room;
/// returns its length.
fn finish(reply: &Reply, is_first: bool, truncated: bool, records: u16, message: &mut [u8], len: usize) -> usize {
    const QR: u8 = 0x80;
    const AA: u8 = 0x04;
    const TC: u8 = 0x02;
    let opt: &[u8] = if is_first { &reply.opt } else { &[] };
    let end = len + opt.len();
    message[len..end].copy_from_slice(opt);
    let header = &mut message[..HEADER];
    header[..2].copy_from_slice(&reply.id.to_be_bytes());
    header[2] = QR | AA | if truncated { TC } else { 0 } | u8::from(reply.recursion_desired);
    header[3] = 0;
    let question = u16::from(is_first && !reply.question.is_empty());
    for (at, count) in [question, records, 0, u16::from(!opt.is_empty())].into_iter().enumerate() {
        header[4 + 2 * at..6 + 2 * at].copy_from_slice(&count.to_be_bytes());
    }
    end
}

/// Writes as much as fits and advances `step`.
fn fill(content: &Content, step: &mut Step, message: &mut Message<'_>) -> Result<(), Full> {
    let zone = content.zone();
    loop {
        *step = match (&mut *step, content) {
            (Step::First, _) => {
                current_soa(zone, message)?;
                match content {
                    Content::Zone(_) => Step::Zone { node: None, rtype: Type(0), record: 0 },
                    Content::Difference(..) => Step::Old,
                    Content::Soa(_) => Step::Done,
                }
            }
            (Step::Zone { node, rtype, record }, _) => {
                body(zone, (node, rtype, record), message)?;
                Step::Last
            }
            (Step::Old, Content::Difference(_, difference)) => {
                if let Some(change) = soa_change(difference, zone.apex()) {
                    record(message, change, change.old_ttl, &change.removed[0])?;
                }
                Step::Removed { change: 0, record: 0 }
            }
            (Step::Removed { change, record }, Content::Difference(_, difference)) => {
                changes(difference, |change| (change.old_ttl, &change.removed), (change, record), message)?;
                Step::New
            }
            (Step::New, _) => {
                current_soa(zone, message)?;
                Step::Added { change: 0, record: 0 }
            }
            (Step::Added { change, record }, Content::Difference(_, difference)) => {
                changes(difference, |change| (change.new_ttl, &change.added), (change, record), message)?;
                Step::Last
            }
            (Step::Last, _) => {
                current_soa(zone, message)?;
                Step::Done
            }
            _ => return Ok(()),
        };
    }
}

/// Writes the SOA record of the zone.
fn current_soa(zone: &Zone, message: &mut Message<'_>) -> Result<(), Full> {
    let mut owner = Owner::new(zone.apex().as_wire());
    zone.soa().into_iter().try_for_each(|soa| {
        soa.records().take(1).try_for_each(|image| stored_record(message, &mut owner, Type::SOA, image))
    })
}

/// Writes a record in the form that a node stores.
#[inline]
fn stored_record(message: &mut Message<'_>, owner: &mut Owner<'_>, rtype: Type, image: &[u8]) -> Result<(), Full> {
    let (head, data) = image.split_at(RECORD_HEAD);
    match head.last_chunk() {
        Some(head) => message.record(owner, rtype, head, data),
        None => Ok(()),
    }
}

/// Writes the zone without its SOA record from a position onwards.
fn body(
    zone: &Zone,
    (from, from_type, from_record): (&mut Option<Node>, &mut Type, &mut usize),
    message: &mut Message<'_>,
) -> Result<(), Full> {
    let (apex, start) = (zone.apex().as_wire(), from.take());
    let (mut first_type, mut first_record) = (*from_type, *from_record);
    for node in zone.starting_at(start.as_ref().map_or(apex, Node::owner)) {
        let mut owner = Owner::new(node.owner());
        let is_apex = node.owner().len() == apex.len();
        let is_due = |rrset: &RRset<'_>| rrset.rtype() >= first_type && !(is_apex && rrset.rtype() == Type::SOA);
        for rrset in node.types().filter(is_due) {
            let rtype = rrset.rtype();
            let skip = if rtype == first_type { first_record } else { 0 };
            for (number, image) in rrset.records().enumerate().skip(skip) {
                if let Err(full) = stored_record(message, &mut owner, rtype, image) {
                    (*from, *from_type, *from_record) = (Some(node.clone()), rtype, number);
                    return Err(full);
                }
            }
        }
        (first_type, first_record) = (Type(0), 0);
    }
    Ok(())
}

/// Writes the removed or the added records of a difference, without SOA records, from a position onwards.
fn changes(
    difference: &Difference,
    records_of: impl Fn(&Change) -> (Option<u32>, &Vec<Box<[u8]>>),
    (at, number): (&mut usize, &mut usize),
    message: &mut Message<'_>,
) -> Result<(), Full> {
    while let Some(change) = difference.changes.get(*at) {
        let (ttl, records) = records_of(change);
        let records = if change.rtype == Type::SOA { &[][..] } else { records };
        while let Some(data) = records.get(*number) {
            record(message, change, ttl, data)?;
            *number += 1;
        }
        (*at, *number) = (*at + 1, 0);
    }
    Ok(())
}

/// Writes a removed or added record.
fn record(message: &mut Message<'_>, change: &Change, ttl: Option<u32>, data: &[u8]) -> Result<(), Full> {
    let mut head = [0; 10];
    head[..2].copy_from_slice(&change.rtype.0.to_be_bytes());
    head[3] = 1; // class IN
    head[4..8].copy_from_slice(&ttl.unwrap_or(0).to_be_bytes());
    head[8..].copy_from_slice(&(data.len() as u16).to_be_bytes());
    message.record(&mut Owner::new(change.owner.as_wire()), change.rtype, &head, data)
}
