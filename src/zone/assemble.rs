//! Records put together into a zone.
//!
//! The reader's records are gathered in one buffer, sorted by name in canonical order, type and data, and
//! built into nodes and trie from left to right; nothing is searched and nothing copied twice. Sorting by
//! data too makes a zone's form independent of the file's order, so that two versions can be compared
//! octet by octet.

use std::cmp::Ordering;

use super::check;
use super::diagnostic::{Diagnostic, Fault, Report, Severity};
use super::files::{Files, IncludeError};
use super::key::Key;
use super::name::{self, Name};
use super::node::NodeBuilder;
use super::reader::{MAX_TEXT, Open, Reader};
use super::role;
use super::rtype::Type;
use super::stray;
use super::trie::Builder;
use super::zone::Zone;

/// What reading a zone's files gives.
#[derive(Debug)]
pub struct Reading {
    /// The zone, unless there was an error.
    pub zone: Option<Zone>,
    /// All that was found, in the order of the files and their texts; bounded, the last one telling how many were left
    /// out.
    pub diagnostics: Vec<Diagnostic>,
    /// The paths of the files that are included, those that are not there too: should one change or come, the zone
    /// may read otherwise.
    pub included: Vec<String>,
}

/// Reads the zone `apex` from a file that includes no other.
///
/// `path` is what the file is called in the diagnostics. The text need not be UTF-8.
pub fn read(apex: &Name, path: &str, text: &[u8]) -> Reading {
    read_including(apex, path, text, |_| Err(IncludeError::Missing))
}

/// Reads the zone `apex` from a file and the files it includes, which `open` gets by their paths.
///
/// `path` is the file's own; all paths begin at the root of the repository. The texts need not be UTF-8.
pub fn read_including(
    apex: &Name,
    path: &str,
    text: &[u8],
    mut open: impl FnMut(&str) -> Result<Vec<u8>, IncludeError>,
) -> Reading {
    let mut report = Report::default();
    let files = Files::new(path, text);
    let mut included = Vec::new();
    let other = stray::other_text(text);
    let is_other = other.is_some();
    let zone = if text.len() > MAX_TEXT {
        report.error(Fault::file("the file is larger than 1 GiB"));
        None
    } else if let Some(other) = other {
        report.error(Fault::file(other.reason).hint(other.hint));
        None
    } else {
        let mut records = Records::default();
        included = records.gather(apex, &files, &mut open, &mut report);
        records.assemble(apex, &mut report)
    };
    let zone = zone.filter(|_| !report.has_errors());
    let mut diagnostics = report.finish(&files);
    if let (None, false, Some(hint)) = (&zone, is_other, stray::hint_of_name(path)) {
        // One word about a file that should not be there, not one about each line of it.
        let first = diagnostics.into_iter().find(|found| found.severity == Severity::Error);
        let reason = first.map_or_else(String::new, |first| {
            if first.line > 0 {
                format!(" (line {}: {})", first.line, first.reason)
            } else {
                format!(" ({})", first.reason)
            }
        });
        let reason = format!("this is no zone of that name{reason}");
        let (file, severity) = (path.to_string(), Severity::Error);
        diagnostics = vec![Diagnostic { file, line: 0, column: 0, severity, reason, hint: Some(hint) }];
    }
    Reading { zone, diagnostics, included }
}

/// A record gathered: where its name and data lie in the buffer, and what it is sorted by.
pub(super) struct Gathered {
    /// The first symbols of the name below the apex, which settle nearly every comparison.
    order: u128,
    owner: u32,
    data: u32,
    /// The place for findings about the record.
    pub(super) place: u32,
    pub(super) ttl: u32,
    data_len: u16,
    pub(super) rtype: Type,
    owner_len: u8,
}

/// What became of a record to be gathered.
pub(super) enum Added {
    /// It is among the others.
    Yes,
    /// It is left out: its owner is not in the zone.
    OutOfZone,
    /// There can be no more.
    Full,
}

/// Where the last owner lies, which the next record may share.
pub(super) struct Owners {
    apex: Name,
    key: Key,
    apex_len: usize,
    /// The place in the buffer, the length, and the first symbols of the name.
    last: Option<(u32, u8, u128)>,
}

impl Owners {
    /// Begins with a zone's name.
    pub(super) fn new(apex: &Name) -> Self {
        let key = Key::new(apex.as_wire());
        Self { apex: apex.clone(), apex_len: key.len(), key, last: None }
    }
}

/// All records of a file and the octets of their names and data.
#[derive(Default)]
pub(super) struct Records {
    octets: Vec<u8>,
    list: Vec<Gathered>,
}

impl Records {
    /// Returns a record's owner name in wire form.
    pub(super) fn owner(&self, record: &Gathered) -> &[u8] {
        &self.octets[record.owner as usize..][..usize::from(record.owner_len)]
    }

    /// Returns a record's data in wire form.
    pub(super) fn data(&self, record: &Gathered) -> &[u8] {
        &self.octets[record.data as usize..][..usize::from(record.data_len)]
    }

    /// Gathers the records of a zone's files; returns the paths of the files included.
    fn gather<'r>(
        &mut self,
        apex: &Name,
        files: &Files<'_>,
        open: &'r mut Open<'r>,
        report: &mut Report,
    ) -> Vec<String> {
        let mut reader = Reader::new(apex, files, open);
        let mut owners = Owners::new(apex);
        while let Some(record) = reader.next(report) {
            // All texts together have less than 4 GiB.
            let place = record.place as u32;
            let owner = reader.owner();
            let is_key = role::is_tsig_key(record.rtype, reader.rdata());
            match self.add(&mut owners, owner, record.rtype, record.ttl, reader.rdata(), place) {
                Added::Yes if is_key => {
                    let hint =
                        "keep keys in `<zone>._keys`, which is never served; replace this key, others may know it";
                    report.error(Fault::at(place as usize, role::TSIG_KEY).hint(hint));
                }
                Added::Yes => {}
                Added::OutOfZone => {
                    let reason = format!("{} is not in the zone {apex} and left out", name::Display(owner));
                    let hint = "the zone's name is the file's name; a name without a final dot ends in $ORIGIN";
                    report.warning(Fault::at(place as usize, reason).hint(hint));
                }
                Added::Full => {
                    report.error(Fault::at(place as usize, "the zone's data is larger than 4 GiB"));
                    break;
                }
            }
        }
        reader.into_included()
    }

    /// Adds a record with at most 65,535 octets of data.
    pub(super) fn add(
        &mut self,
        owners: &mut Owners,
        owner: &[u8],
        rtype: Type,
        ttl: u32,
        rdata: &[u8],
        place: u32,
    ) -> Added {
        let same = owners.last.filter(|&(at, len, _)| self.octets[at as usize..][..usize::from(len)] == *owner);
        let (owner_at, owner_len, order) = match same {
            Some(same) => same,
            None => {
                if !name::is_at_or_below(owner, owners.apex.as_wire()) {
                    return Added::OutOfZone;
                }
                owners.key.set(owner);
                let at = self.octets.len() as u32;
                self.octets.extend_from_slice(owner);
                let new = (at, owner.len() as u8, owners.key.packed(owners.apex_len));
                owners.last = Some(new);
                new
            }
        };
        let data = self.octets.len() as u32;
        self.octets.extend_from_slice(rdata);
        if self.octets.len() > u32::MAX as usize - (1 << 17) {
            return Added::Full;
        }
        self.list.push(Gathered {
            order,
            owner: owner_at,
            data,
            place,
            ttl,
            data_len: rdata.len() as u16,
            rtype,
            owner_len,
        });
        Added::Yes
    }

    /// Returns how many octets of memory the records take.
    pub(super) fn size(&self) -> usize {
        self.octets.len() + self.list.len() * size_of::<Gathered>()
    }

    fn compare(&self, a: &Gathered, b: &Gathered) -> Ordering {
        let names = || {
            if a.owner == b.owner { Ordering::Equal } else { name::canonical_cmp(self.owner(a), self.owner(b)) }
        };
        let data = || canonical_data_cmp(a.rtype, self.data(a), self.data(b));
        a.order.cmp(&b.order).then_with(names).then(a.rtype.cmp(&b.rtype)).then_with(data).then(a.place.cmp(&b.place))
    }

    /// Sorts and checks the records and builds the zone of them.
    pub(super) fn assemble(mut self, apex: &Name, report: &mut Report) -> Option<Zone> {
        let readable = !report.has_errors();
        let mut list = std::mem::take(&mut self.list);
        let records = self;
        list.sort_unstable_by(|a, b| records.compare(a, b));
        // What cannot be read may be just the record that seems to be missing.
        if readable {
            check::apex(&records, &list, apex, report);
        }

        let mut above = check::Above::new(&records, &list);
        let mut nodes = Builder::new();
        let mut builder = NodeBuilder::default();
        for node in list.chunk_by(|a, b| a.order == b.order && name::eq(records.owner(a), records.owner(b))) {
            let owner = records.owner(&node[0]);
            let is_apex = owner.len() == apex.as_wire().len();
            check::node(&records, node, is_apex, report);
            above.node(node, is_apex, report);
            builder.begin(owner);
            for rrset in node.chunk_by(|a, b| a.rtype == b.rtype) {
                let rtype = rrset[0].rtype;
                let covers = |record: &Gathered| rtype.covers(records.data(record));
                builder.begin_rrset(rtype);
                let (mut before, mut ttl): (Option<&Gathered>, u32) = (None, 0);
                for (at, record) in rrset.iter().enumerate() {
                    let data = records.data(record);
                    if before.is_none_or(|before| covers(before) != covers(record)) {
                        let same = rrset[at..].iter().take_while(|other| covers(other) == covers(record)).count();
                        ttl = check::ttl(&rrset[at..at + same], &records, report);
                    }
                    if before.is_some_and(|b| canonical_data_cmp(rtype, records.data(b), data).is_eq()) {
                        check::duplicate(record, rtype, report);
                        continue;
                    }
                    builder.push(rtype, ttl, data);
                    before = Some(record);
                }
            }
            if !report.has_errors() {
                nodes.push(builder.finish(is_apex));
            }
        }
        if report.has_errors() {
            return None;
        }
        let zone = Zone::new(apex.clone(), nodes.finish())?;
        check::targets(&records, &list, &zone, report);
        Some(zone)
    }
}

/// Compares two records' data in canonical form and order (RFC 4034 §6.2, §6.3): names in lower case, all else as
/// it is.
pub(crate) fn canonical_data_cmp(rtype: Type, a: &[u8], b: &[u8]) -> Ordering {
    let Some((front, count)) = rtype.names() else { return a.cmp(b) };
    let split = |data: &[u8]| {
        let (front, mut rest) = data.split_at_checked(front).unwrap_or((data, &[]));
        let mut names = Vec::new();
        for _ in 0..count {
            let (name, after) = rest.split_at(name::wire_len(rest).unwrap_or(0));
            names.extend(name.to_ascii_lowercase());
            rest = after;
        }
        (front.to_vec(), names, rest.to_vec())
    };
    split(a).cmp(&split(b))
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "include_tests.rs"]
mod include_tests;
