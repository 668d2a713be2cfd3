//! Minimal edits of zone files: only what an update changes is rewritten.
//!
//! ```text
//! text ─ survey ─► records concerned ─ plan ─► what to do where ─ rewrite ─► new text ─ read ─► verified
//! ```
//!
//! Two passes go over the text. The first finds the records that the amendments are about and the places where
//! new ones would go; the plan decides what happens to each; the second pass tracks the state of the old and the new
//! text side by side and turns the plan into replacements of spans, writing out owners and TTLs that can no longer be
//! inherited from a changed record (see [`entries`](super::entries)). All other octets stay. The new text is read again
//! and must yield the intended zone; a bug here costs an update, never data.
//!
//! Time and memory are about twice those of reading the zone; apart from the texts, only records of amended owners
//! are kept.

mod data;
mod fresh;
mod layout;
mod places;
mod plan;
mod rewrite;
mod survey;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use self::plan::Plan;
use self::rewrite::{Rewrite, apply};
use self::survey::{Spot, Survey};
use super::entries::entries;
use super::{IncludeError, read_including};
use crate::dns::{Diagnostic, Name, Severity};
use crate::zone::{Amendment, Zone, difference, is_identical};

pub use fresh::new_file;

/// The files of a zone after an edit.
#[derive(Debug)]
pub struct Edited {
    /// The changed files by path, with their new contents.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The amended zone, as read from the files.
    pub zone: Zone,
}

/// Why the files of a zone cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditError {
    /// The files cannot be read; this is the first error.
    Unreadable(Diagnostic),
    /// An entry that would have to change cannot be edited; says which, why and what to do.
    Fixed(Diagnostic),
    /// The amendments do not make a valid zone, or the new text does not read as intended, for the given reason. The
    /// edit must be discarded.
    Differs(String),
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(diagnostic) | Self::Fixed(diagnostic) => diagnostic.fmt(f),
            Self::Differs(reason) => write!(f, "the edited text would not read as meant: {reason}"),
        }
    }
}

impl std::error::Error for EditError {}

/// Edits the files of the zone `apex` so that they yield `before` with `amendments`.
///
/// `path`, `text` and `open` are as for [`read_including`]; reading them must yield `before`. If an owner and type
/// are amended twice, the last amendment applies.
///
/// # Errors
///
/// See [`EditError`].
pub fn edit(
    apex: &Name,
    path: &str,
    text: &[u8],
    mut open: impl FnMut(&str) -> Result<Vec<u8>, IncludeError>,
    before: &Zone,
    amendments: &[Amendment],
) -> Result<Edited, EditError> {
    let no_zone = || EditError::Differs("the amendments leave no zone".to_string());
    let zone = before.amend(amendments).ok_or_else(no_zone)?;
    let amendments = difference(before, &zone).amendments(&zone);
    if amendments.is_empty() {
        return Ok(Edited { files: BTreeMap::new(), zone });
    }

    // Each included file is opened once, so that all passes see the same text.
    let mut included: BTreeMap<String, Result<Vec<u8>, IncludeError>> = BTreeMap::new();
    let mut survey = Survey::new(before, &amendments, text);
    let first = |path: &str| included.entry(path.to_string()).or_insert_with(|| open(path)).clone();
    let told = entries(apex, path, text, first, |entry| survey.visit(&entry));
    if let Some(error) = told.into_iter().find(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(EditError::Unreadable(error));
    }
    let plan = Plan::of(&mut survey, &amendments);
    let again = |path: &str| included.get(path).cloned().unwrap_or(Err(IncludeError::Missing));
    let mut rewrite = Rewrite::new(&plan, &survey);
    entries(apex, path, text, again, |entry| rewrite.visit(&entry));
    let (changes, fixed) = (rewrite.changes, rewrite.fixed);
    let text_of = |path: &str| match included.get(path) {
        Some(Ok(text)) => text.as_slice(),
        _ => text,
    };
    if let Some((Spot { file, start }, reason)) = plan.fixed.or(fixed) {
        let path = &survey.stack.files[file].0;
        return Err(EditError::Fixed(fixed_at(path, text_of(path), start, reason)));
    }

    let mut files = BTreeMap::new();
    for ((path, _), changes) in survey.stack.files.iter().zip(changes) {
        if !changes.is_empty() {
            files.insert(path.clone(), apply(text_of(path), changes));
        }
    }
    let edited = |path: &str| match files.get(path) {
        Some(text) => Ok(text.clone()),
        None => again(path),
    };
    let reading = read_including(apex, path, files.get(path).map_or(text, Vec::as_slice), edited);
    let Some(read) = reading.zone else {
        let error = reading.diagnostics.iter().find(|diagnostic| diagnostic.severity == Severity::Error);
        return Err(EditError::Differs(error.map_or_else(String::new, ToString::to_string)));
    };
    verify(&zone, &read)?;
    // The amended zone shares everything else with the one before. But the served zone must match the files exactly.
    let zone = if is_identical(&zone, &read) { zone } else { read };
    Ok(Edited { files, zone })
}

/// Checks that a zone that was read is the intended one.
fn verify(meant: &Zone, read: &Zone) -> Result<(), EditError> {
    let difference = difference(meant, read);
    let Some(change) = difference.changes.first() else { return Ok(()) };
    let count = difference.changes.len();
    let differs = match (change.old_ttl, change.new_ttl) {
        (Some(_), None) => "is missing".to_string(),
        (None, _) => "is there but should not be".to_string(),
        (Some(meant), Some(read)) if meant != read => format!("has the TTL {read} instead of {meant}"),
        _ => "has other records".to_string(),
    };
    let more = if count > 1 { format!(", and {} more", count - 1) } else { String::new() };
    Err(EditError::Differs(format!("the RRset {} {} {differs}{more}", change.owner, change.rtype)))
}

fn fixed_at(path: &str, text: &[u8], at: usize, reason: String) -> Diagnostic {
    let line = text[..at.min(text.len())].iter().filter(|octet| **octet == b'\n').count() + 1;
    Diagnostic {
        file: path.to_string(),
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: 1,
        severity: Severity::Error,
        reason,
        hint: Some("change the file by hand, so that each record has a line of its own".to_string()),
    }
}
