//! Dynamic updates without I/O: a message and a zone in, the changed RRsets out (RFC 2136).
//!
//! ```text
//! octets ─ parse (§3.1, §3.4.1: form) ─► Update ─ apply (§3.2, §3.4.2: content) ─► Effect: amendments
//! ```
//!
//! [`Update::parse`] finds every error that does not depend on the zone, so that [`Update::apply`] can be repeated on a
//! newer version of the zone after a lost race. Neither knows who sent the update: authorization and replay protection
//! are up to the caller.
//!
//! `docs/updates.md` documents choices that the RFC leaves open, and deviations from it.

mod apply;
mod commit_message;
mod validity;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

pub use apply::{Effect, Scope, raised};
pub use commit_message::{commit_message, serial_message};

use crate::dns::message::{Rcode, Reader, Record, Section, class, opcode};
use crate::dns::{Name, Type, check_data, check_owner};

/// The maximum length of a refusal's reason in octets: it must fit into any reply and a log line.
pub const MAX_REASON: usize = 200;

/// The maximum length of a name within a reason in octets, which leaves room for the rest.
const MAX_NAME_LEN: usize = 70;

/// The maximum TTL in seconds; a larger one counts as 0 (RFC 2181 §8).
const MAX_TTL: u32 = 0x7fff_ffff;

/// A well-formed update.
///
/// It takes less than 4 MB, however the message compresses its names (see [`crate::dns::message`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    zone: Name,
    prerequisites: Vec<Prerequisite>,
    operations: Vec<Operation>,
}

/// A prerequisite of an update (RFC 2136 §2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Prerequisite {
    name: Name,
    condition: Condition,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    /// The name owns records (§2.4.4).
    InUse,
    /// The name owns no records (§2.4.5).
    NotInUse,
    /// There is an RRset of this type (§2.4.1).
    Exists(Type),
    /// There is no RRset of this type (§2.4.3).
    Absent(Type),
    /// The RRset consists of exactly the records that are given as prerequisites, of which this is one (§2.4.2).
    Has(Type, Box<[u8]>),
}

/// A record of the update section (RFC 2136 §2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Operation {
    name: Name,
    action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    /// Add a record (§2.5.1).
    Add { rtype: Type, ttl: u32, data: Box<[u8]> },
    /// Delete an RRset (§2.5.2).
    DeleteRRset(Type),
    /// Delete all RRsets of the name (§2.5.3).
    DeleteAll,
    /// Delete a record (§2.5.4).
    DeleteRecord { rtype: Type, data: Box<[u8]> },
}

/// The rejection of an update.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The response code.
    pub(crate) rcode: Rcode,
    /// The reason, in printable ASCII of at most [`MAX_REASON`] octets.
    pub reason: Cow<'static, str>,
}

impl Refusal {
    /// Creates a refusal; truncates a long reason and replaces characters that are not printable ASCII.
    pub(crate) fn new(rcode: Rcode, reason: impl Into<Cow<'static, str>>) -> Self {
        let reason = reason.into();
        let printable = |octet: &u8| matches!(octet, b' '..=b'~');
        if reason.len() <= MAX_REASON && reason.as_bytes().iter().all(printable) {
            return Self { rcode, reason };
        }
        let shown = |letter: char| if matches!(letter, ' '..='~') { letter } else { '?' };
        let mut text: String = reason.chars().map(shown).take(MAX_REASON - 3).collect();
        text.push_str("...");
        Self { rcode, reason: text.into() }
    }

    fn malformed(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Rcode::FORMAT_ERROR, reason)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rcode, self.reason)
    }
}

impl std::error::Error for Refusal {}

impl Update {
    /// Parses an update whose TSIG record was removed.
    ///
    /// # Errors
    ///
    /// FORMERR, NOTZONE, or NOTAUTH for a class other than IN: errors that do not depend on the zone's content.
    pub fn parse(message: &[u8]) -> Result<Self, Refusal> {
        let (mut prerequisites, mut operations) = (Vec::new(), Vec::new());
        let zone = walk(message, |record| match record {
            UpdateRecord::Prerequisite(prerequisite) => prerequisites.push(prerequisite),
            UpdateRecord::Operation(operation) => operations.push(operation),
        })?;
        Ok(Self { zone, prerequisites, operations })
    }

    /// Checks the form of an update without storing it.
    ///
    /// # Errors
    ///
    /// Those of [`parse`](Self::parse).
    pub fn check_form(message: &[u8]) -> Result<(), Refusal> {
        walk(message, drop).map(drop)
    }

    /// Returns the name of the zone to be updated.
    pub fn zone(&self) -> &Name {
        &self.zone
    }

    /// Iterates over the names whose records the update may change, in canonical order.
    ///
    /// The SOA record gets a new serial number even if the apex is not among them.
    pub fn owners(&self) -> impl Iterator<Item = &Name> {
        self.operations.iter().map(|operation| &operation.name).collect::<BTreeSet<_>>().into_iter()
    }

    /// Returns whether the update adds an SOA record at the apex, which creates a zone if it does not exist.
    pub fn adds_soa(&self) -> bool {
        self.at_apex().any(|action| matches!(action, Action::Add { rtype: Type::SOA, .. }))
    }

    /// Returns whether the update deletes the SOA record at the apex, which may delete the zone if the update adds no
    /// other.
    pub fn deletes_soa(&self) -> bool {
        let deletes = |action: &Action| {
            matches!(action, Action::DeleteRRset(Type::SOA) | Action::DeleteRecord { rtype: Type::SOA, .. })
        };
        self.at_apex().any(deletes)
    }

    fn at_apex(&self) -> impl Iterator<Item = &Action> {
        self.operations.iter().filter(|operation| operation.name == self.zone).map(|operation| &operation.action)
    }
}

/// A parsed record of an update.
enum UpdateRecord {
    Prerequisite(Prerequisite),
    Operation(Operation),
}

/// Parses an update record by record and returns the name of its zone.
fn walk(message: &[u8], mut visit: impl FnMut(UpdateRecord)) -> Result<Name, Refusal> {
    let malformed = |fault: crate::dns::message::Malformed| Refusal::malformed(fault.to_string());
    let mut reader = Reader::new(message).map_err(malformed)?;
    if reader.header().opcode() != opcode::UPDATE {
        return Err(Refusal::malformed("the opcode is not UPDATE"));
    }
    // §3.1.1.
    if reader.header().counts[0] != 1 {
        return Err(Refusal::malformed("the zone section does not have exactly one record"));
    }
    let zone = reader.question().map_err(malformed)?.ok_or_else(|| Refusal::malformed("the zone section is empty"))?;
    if zone.qtype != Type::SOA {
        return Err(Refusal::malformed(format!("the type in the zone section is {}, not SOA", zone.qtype)));
    }
    if zone.qclass != class::IN {
        return Err(Refusal::new(Rcode::NOT_AUTHORITATIVE, "only zones of class IN are served"));
    }
    while let Some((section, record)) = reader.record().map_err(malformed)? {
        match section {
            Section::Answer => visit(UpdateRecord::Prerequisite(Prerequisite::of(record, &zone.name)?)),
            Section::Authority => visit(UpdateRecord::Operation(Operation::of(record, &zone.name)?)),
            // Glue for information only (§2.6), and OPT.
            Section::Additional => {}
        }
    }
    Ok(zone.name)
}

impl Prerequisite {
    /// Parses a record of the prerequisite section (§2.4, §3.2.5).
    fn of(record: Record, zone: &Name) -> Result<Self, Refusal> {
        let Record { owner: name, rtype, class, ttl, data } = record;
        let fault = |what: &str| Err(Refusal::malformed(format!("prerequisite: {} {rtype}: {what}", shown(&name))));
        if ttl != 0 {
            return fault("the TTL is not 0");
        }
        within(&name, zone, "prerequisite")?;
        let condition = match class {
            class::ANY | class::NONE if !data.is_empty() => return fault("the data is not empty"),
            class::ANY if rtype == Type::ANY => Condition::InUse,
            class::NONE if rtype == Type::ANY => Condition::NotInUse,
            class::ANY | class::NONE | class::IN if rtype.is_meta() => {
                return fault("this is a query type or meta-type");
            }
            class::ANY => Condition::Exists(rtype),
            class::NONE => Condition::Absent(rtype),
            class::IN => match check_data(rtype, &data).and_then(|()| check_owner(rtype, name.as_wire())) {
                Ok(()) => Condition::Has(rtype, data),
                Err(wrong) => return fault(&wrong.reason),
            },
            _ => return fault("the class is not IN, ANY or NONE"),
        };
        Ok(Self { name, condition })
    }
}

impl Operation {
    /// Parses a record of the update section (§2.5, §3.4.1).
    fn of(record: Record, zone: &Name) -> Result<Self, Refusal> {
        let Record { owner: name, rtype, class, ttl, data } = record;
        let fault = |what: &str| Err(Refusal::malformed(format!("update: {} {rtype}: {what}", shown(&name))));
        within(&name, zone, "update")?;
        let action = match class {
            class::ANY | class::NONE if ttl != 0 => return fault("the TTL of a deletion is not 0"),
            class::ANY if !data.is_empty() => return fault("the deletion of an RRset has data"),
            class::ANY if rtype == Type::ANY => Action::DeleteAll,
            class::ANY | class::NONE | class::IN if rtype.is_meta() => {
                return fault("this is a query type or meta-type");
            }
            class::ANY => Action::DeleteRRset(rtype),
            class::NONE | class::IN => {
                // The message reader accepts empty data.
                if let Err(wrong) = check_data(rtype, &data) {
                    return fault(&wrong.reason);
                }
                if class == class::IN
                    && let Err(wrong) = check_owner(rtype, name.as_wire())
                {
                    return fault(&wrong.reason);
                }
                let ttl = if ttl <= MAX_TTL { ttl } else { 0 };
                if class == class::IN { Action::Add { rtype, ttl, data } } else { Action::DeleteRecord { rtype, data } }
            }
            _ => return fault("the class is not IN, ANY or NONE"),
        };
        Ok(Self { name, action })
    }
}

fn within(name: &Name, zone: &Name, section: &str) -> Result<(), Refusal> {
    if name.is_at_or_below(zone) {
        return Ok(());
    }
    let reason = format!("{section}: {} is not in the zone {}", shown(name), shown(zone));
    Err(Refusal::new(Rcode::NOT_ZONE, reason))
}

/// Returns a name as displayed in a reason, truncated to [`MAX_NAME_LEN`] octets.
fn shown(name: &Name) -> String {
    let mut text = name.to_string();
    if text.len() > MAX_NAME_LEN {
        text.truncate(MAX_NAME_LEN - 3);
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests;
