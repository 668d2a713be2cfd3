//! Checks of a state of the repository before it reaches the server.
//!
//! ```text
//! Tree (old), Tree (new) ─ check ─► Findings ─ text, json, github ─► whoever made the change
//! ```
//!
//! [`check()`] reads files as [`Primary::load`](crate::primary::Primary::load) does, with the same reader, and reports
//! what the server would report. It also reports a zone that changed without a higher serial number, and a deleted zone.
//! Nothing here depends on git or a file system; a [`Tree`] is anything that has files.

mod bump;
mod changes;
mod diff;
mod excerpt;
mod keys;
mod query;
mod render;
mod shared;
mod state;
#[cfg(test)]
mod tests;

pub use bump::{bump, next_serial};
pub use changes::{ZoneChange, zone_changes};
pub use diff::diff;
pub use excerpt::Source;
pub use query::{Answered, QueryError, query};

use std::collections::BTreeSet;

use self::state::{Now, Pair, State, changed_paths, compare};
use crate::dns::{Diagnostic, Name, Serial, Severity, Type};
use crate::dnssec::validate;
use crate::git::{File, ObjectId};
use crate::update::raised;
use crate::zone;
use crate::zonefile::entries::{Content, entries};
use crate::zonefile::{Reading, TSIG_KEY};

/// One state of a repository: its files by path, read on demand.
pub trait Tree {
    /// Returns all regular files, paths from the root; those with the same id have the same content.
    fn files(&self) -> Vec<File>;

    /// Reads a file's content.
    ///
    /// # Errors
    ///
    /// Fails with the reason if it cannot be read.
    fn read(&self, id: &ObjectId) -> Result<Vec<u8>, String>;
}

/// The options of a check.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether zones may be deleted.
    pub allow_deletion: bool,
    /// The hint of a deletion finding: how to confirm that the deletion is intended.
    pub deletion_hint: String,
    /// The time at which signatures must be valid, in seconds since 1970; `None` to leave DNSSEC out.
    pub unix: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        let deletion_hint = "restore the file, or confirm the deletion".to_string();
        Self { allow_deletion: false, deletion_hint, unix: None }
    }
}

/// The kind of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An error or warning in a zone's file or one it includes.
    Zone,
    /// A zone changed without a higher serial number.
    Serial,
    /// A zone was deleted.
    Deletion,
    /// Several files have the name of the same zone.
    Ambiguous,
    /// A file looks like a zone, but its name is not a domain name.
    Misnamed,
    /// An error or warning in a key file.
    Keys,
    /// A file is part of several zones, so updates cannot change it.
    Shared,
    /// Validators would reject answers from a signed zone.
    Dnssec,
    /// A file cannot be read.
    Unreadable,
}

/// A finding of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The kind of finding.
    pub kind: Kind,
    /// The zone it was found in; `None` for key files and misnamed ones.
    pub zone: Option<Name>,
    /// For [`Kind::Serial`], the serial number that must be exceeded.
    pub above: Option<Serial>,
    /// The place, the reason and how to fix it.
    pub diagnostic: Diagnostic,
    /// The line it is about; `None` where there is none or it may be secret.
    pub source: Option<Source>,
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The findings in order of file, line and column; those about a whole file come last for that file.
    pub findings: Vec<Finding>,
    /// The number of zones read.
    pub zones: usize,
    /// The number of key files read.
    pub key_files: usize,
}

impl Findings {
    /// Returns whether there is an error: the change should be refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Returns the number of findings of a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.diagnostic.severity == severity).count()
    }

    /// Prefixes every file's path with a directory.
    #[must_use]
    pub fn below(mut self, directory: &str) -> Self {
        for finding in &mut self.findings {
            finding.diagnostic.file = format!("{}/{}", directory.trim_end_matches('/'), finding.diagnostic.file);
        }
        self
    }
}

/// Checks the state `new` against the previous state `old`.
///
/// Only zones with a changed file, own or included, are read; all of them if `old` is `None`.
#[must_use]
pub fn check(old: Option<&dyn Tree>, new: &dyn Tree, options: &Options) -> Findings {
    let (old, new) = (old.map(State::of), State::of(new));
    let changed = changed_paths(old.as_ref(), &new);
    let mut checker = Checker { new: &new, changed: &changed, options, zones: 0 };
    let mut found = Vec::new();
    for (path, reason) in new.misnamed.iter().filter(|(path, _)| changed.contains(path)) {
        let hint = "rename it, or move it to a sub-directory if it is not a zone";
        let mut finding = whole(Kind::Misnamed, None, Severity::Warning, path, reason, hint);
        // Recognised files come with their own hint.
        finding.diagnostic.hint = finding.diagnostic.hint.filter(|_| !reason.contains("remove it"));
        found.push(finding);
    }
    for (path, apex, reason) in new.broken.iter().filter(|(path, ..)| changed.contains(path)) {
        let mut finding = whole(Kind::Unreadable, apex.as_ref(), Severity::Error, path, reason, "");
        finding.diagnostic.hint = None;
        found.push(finding);
    }
    // Findings in files that never were valid zones: reported unless the files turn out to be parts of others.
    let mut suspects: Vec<(Name, &[String], Vec<Finding>)> = Vec::new();
    let mut good: BTreeSet<Name> = BTreeSet::new();
    let included = compare(old.as_ref(), &new, &changed, |pair| {
        let is_zone = match &pair.now {
            Now::Gone(_) => true,
            Now::Read(_, _, reading) => reading.zone.is_some(),
            Now::Ambiguous(_) | Now::Unreadable => false,
        };
        if let Now::Read(_, _, Reading { zone: Some(_), .. }) = &pair.now {
            good.insert(pair.apex.clone());
        }
        let apex = pair.apex.clone();
        let files = new.zones.get(pair.apex).filter(|_| pair.before.is_none() && !is_zone);
        let mut of_zone = checker.zone(pair);
        match files {
            Some(files) => suspects.push((apex, files, of_zone)),
            None => found.append(&mut of_zone),
        }
    });
    let mut parts: BTreeSet<Name> = BTreeSet::new();
    for (apex, files, mut of_zone) in suspects {
        if files.iter().all(|path| included.contains_key(path)) {
            parts.insert(apex);
        } else {
            found.append(&mut of_zone);
        }
    }
    found.extend(shared::check(&new, &changed, &included, &good, &parts));
    let zones = checker.zones;
    let (key_files, findings) = keys::check(&new, &changed);
    found.extend(findings);
    let before = old.iter().flat_map(|old| old.failures());
    let before = before.map(|(path, reason)| (path, format!("the previous version cannot be read: {reason}")));
    for (path, reason) in new.failures().into_iter().chain(before) {
        let hint = "check its permissions, and the repository with `git fsck`";
        found.push(whole(Kind::Unreadable, None, Severity::Error, &path, &reason, hint));
    }
    found.sort_by(|a, b| order(&a.diagnostic).cmp(&order(&b.diagnostic)));
    // A file included by several zones yields the same finding for each.
    found.dedup_by(|a, b| a.diagnostic == b.diagnostic);
    Findings { findings: found, zones, key_files }
}

/// The sort key of findings.
fn order(diagnostic: &Diagnostic) -> (&str, u32, u32, &str) {
    let line = if diagnostic.line > 0 { diagnostic.line } else { u32::MAX };
    (&diagnostic.file, line, diagnostic.column, &diagnostic.reason)
}

/// Creates a finding about a whole file.
fn whole(kind: Kind, zone: Option<&Name>, severity: Severity, file: &str, reason: &str, hint: &str) -> Finding {
    let (reason, hint) = (reason.to_string(), Some(hint.to_string()));
    let diagnostic = Diagnostic { file: file.to_string(), line: 0, column: 0, severity, reason, hint };
    Finding { kind, zone: zone.cloned(), above: None, diagnostic, source: None }
}

/// Returns the findings for which validators would reject a signed zone.
fn dnssec(apex: &Name, path: &str, zone: &zone::Zone, unix: u64) -> Vec<Finding> {
    let validation = validate(zone, unix, usize::MAX);
    let more = validation.more();
    let finding = |severity, reason: &str, hint: &str| whole(Kind::Dnssec, Some(apex), severity, path, reason, hint);
    let mut found: Vec<Finding> = validation
        .findings
        .iter()
        .map(|found| finding(found.severity, &format!("DNSSEC: {}", found.reason), found.hint))
        .collect();
    if more > 0 {
        let reason = format!("DNSSEC: and {more} more findings");
        found.push(finding(Severity::Warning, &reason, "fix the ones above first"));
    }
    found
}

struct Checker<'c, 't> {
    new: &'c State<'t>,
    changed: &'c BTreeSet<String>,
    options: &'c Options,
    zones: usize,
}

impl Checker<'_, '_> {
    /// Returns the findings of a zone that may have changed.
    fn zone(&mut self, pair: Pair<'_>) -> Vec<Finding> {
        let Pair { apex, before, now } = pair;
        let error = |kind, file: &str, reason: &str, hint: &str| {
            vec![whole(kind, Some(apex), Severity::Error, file, reason, hint)]
        };
        match now {
            // Deleting a zone that never was valid loses nothing.
            Now::Gone(_) if before.is_none() || self.options.allow_deletion => Vec::new(),
            Now::Gone(files) => {
                let file = files.first().map_or("", String::as_str);
                let reason = format!("the zone {apex} is deleted");
                error(Kind::Deletion, file, &reason, &self.options.deletion_hint)
            }
            Now::Ambiguous(files) => {
                let file = files.iter().find(|path| self.changed.contains(*path)).or(files.first());
                let reason = format!("{} all name the zone {apex}", files.join(", "));
                error(Kind::Ambiguous, file.map_or("", String::as_str), &reason, "keep one of them")
            }
            // Reported with all other unreadable files.
            Now::Unreadable => Vec::new(),
            Now::Read(path, text, reading) => {
                self.zones += 1;
                let mut found = Vec::new();
                let diagnostics = reading.diagnostics.into_iter();
                found.extend(diagnostics.map(|diagnostic| self.finding(Kind::Zone, apex, path, &text, diagnostic)));
                if let (Some(unix), Some(zone)) = (self.options.unix, &reading.zone) {
                    found.extend(dnssec(apex, path, zone, unix));
                }
                if let (Some(before), Some(after)) = (before, reading.zone) {
                    found.extend(self.serial(apex, path, &text, &before, &after));
                }
                found
            }
        }
    }

    /// Reports a zone that changed without a higher serial number.
    fn serial(&self, apex: &Name, path: &str, text: &[u8], before: &zone::Zone, after: &zone::Zone) -> Option<Finding> {
        let (from, to) = (before.serial(), after.serial());
        if to.is_newer_than(from) || zone::difference(before, after).is_empty() {
            return None;
        }
        let reason = if from == to {
            format!("the zone {apex} changed, but its serial is still {from}")
        } else {
            format!("the zone {apex} changed, but its serial went from {from} to {to}, which is not higher (RFC 1982)")
        };
        let hint = format!("make it {}, for instance; secondaries would keep the old zone", raised(from));
        let mut place = None;
        entries(
            apex,
            path,
            text,
            |path| self.new.open(path),
            |entry| {
                if let Content::Record { owner, rtype: Type::SOA, spans, .. } = &entry.content
                    && place.is_none()
                    && Name::from_wire(owner).is_ok_and(|owner| owner == *apex)
                {
                    let at = excerpt::third_word(entry.text, spans.data.clone());
                    place = Some((entry.path.to_string(), excerpt::place(entry.text, at)));
                }
            },
        );
        let (file, (line, column)) = place.unwrap_or((path.to_string(), (0, 0)));
        let diagnostic = Diagnostic { file, line, column, severity: Severity::Error, reason, hint: Some(hint) };
        let finding = self.finding(Kind::Serial, apex, path, text, diagnostic);
        Some(Finding { above: Some(from), ..finding })
    }

    /// Adds the line that a diagnostic is about.
    fn finding(&self, kind: Kind, apex: &Name, path: &str, text: &[u8], diagnostic: Diagnostic) -> Finding {
        let Diagnostic { file, line, column, .. } = &diagnostic;
        let source = if *line == 0 || diagnostic.reason == TSIG_KEY {
            None
        } else if file == path {
            Source::of(text, *line, *column)
        } else {
            self.new.text(file).and_then(|text| Source::of(&text, *line, *column))
        };
        Finding { kind, zone: Some(apex.clone()), above: None, diagnostic, source }
    }
}
