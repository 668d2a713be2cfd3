//! Reading a zone from its files.

use super::files::IncludeError;
use super::reader::{MAX_TEXT, Open, Reader};
use super::{role, stray};
use crate::dns::diagnostic::{Diagnostic, Fault, Report, Severity};
use crate::dns::source::Files;
use crate::dns::{Name, name};
use crate::zone::Zone;
use crate::zone::records::{Added, Owners, Records};

/// The result of reading a zone's files.
#[derive(Debug)]
pub struct Reading {
    /// The zone, unless there was an error.
    pub zone: Option<Zone>,
    /// All diagnostics in the order of the files and their lines; if there are too many, the last one counts those
    /// left out.
    pub diagnostics: Vec<Diagnostic>,
    /// The paths of all included files, including missing ones: if one of them changes or appears, the zone may
    /// change.
    pub included: Vec<String>,
}

/// Reads the zone `apex` from a single file.
///
/// `path` is the file's name in diagnostics. The text need not be UTF-8.
pub fn read(apex: &Name, path: &str, text: &[u8]) -> Reading {
    read_including(apex, path, text, |_| Err(IncludeError::Missing))
}

/// Reads the zone `apex` from a file and the files it includes, which `open` reads by path.
///
/// `path` is the file's own; all paths are relative to the root of the repository. The texts need not be UTF-8.
pub fn read_including(
    apex: &Name,
    path: &str,
    text: &[u8],
    mut open: impl FnMut(&str) -> Result<Vec<u8>, IncludeError>,
) -> Reading {
    let mut report = Report::default();
    let files = Files::new(path, text);
    let mut included = Vec::new();
    let zone = if text.len() > MAX_TEXT {
        report.error(Fault::file("the file is larger than 1 GiB"));
        None
    } else {
        let mut records = Records::default();
        included = gather(&mut records, apex, &files, &mut open, &mut report);
        records.assemble(apex, &mut report)
    };
    let zone = zone.filter(|_| !report.has_errors());
    let mut diagnostics = report.finish(&files);
    let is_other = zone.is_none() && stray::other_text(text).is_some();
    if zone.is_none() {
        diagnostics = recognise(diagnostics, &files);
    }
    if let (None, false, Some(hint)) = (&zone, is_other, stray::hint_of_name(path)) {
        // Report a file that should not be there once, not once for each of its lines.
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

/// Replaces all diagnostics about a file that is not a zone file at all with one error that says what it is.
///
/// Only files with errors are examined: a file that reads as a zone is one, so editing a served zone can never make
/// its file look like something else.
fn recognise(diagnostics: Vec<Diagnostic>, files: &Files<'_>) -> Vec<Diagnostic> {
    let has_errors =
        |path: &str| diagnostics.iter().any(|found| found.file == path && found.severity == Severity::Error);
    let others: Vec<Diagnostic> = files
        .iter()
        .filter(|file| has_errors(file.path()))
        .filter_map(|file| {
            let other = stray::other_text(file.text())?;
            let (file, severity) = (file.path().to_string(), Severity::Error);
            let (reason, hint) = (other.reason.to_string(), Some(other.hint.to_string()));
            Some(Diagnostic { file, line: 0, column: 0, severity, reason, hint })
        })
        .collect();
    if others.is_empty() {
        return diagnostics;
    }
    let rest = diagnostics.into_iter().filter(|found| others.iter().all(|other| other.file != found.file));
    let rest: Vec<_> = rest.collect();
    others.into_iter().chain(rest).collect()
}

/// Collects the records of a zone's files; returns the paths of the included files.
fn gather<'r>(
    records: &mut Records,
    apex: &Name,
    files: &Files<'_>,
    open: &'r mut Open<'r>,
    report: &mut Report,
) -> Vec<String> {
    let mut reader = Reader::new(apex, files, open);
    let mut owners = Owners::new(apex);
    while let Some(record) = reader.next(report) {
        // All texts together are smaller than 4 GiB.
        let place = record.place as u32;
        let owner = reader.owner();
        let is_key = role::is_tsig_key(record.rtype, reader.rdata());
        match records.add(&mut owners, owner, record.rtype, record.ttl, reader.rdata(), place) {
            Added::Yes if is_key => {
                let hint = "keep keys in `<zone>._keys`, which is never served; replace this key, others may know it";
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

#[cfg(test)]
mod tests;
