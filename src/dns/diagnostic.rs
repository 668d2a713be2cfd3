//! What is wrong with a zone file: where, why and what to do.

use std::borrow::Cow;
use std::fmt;

use crate::dns::source::{File, Files};
use crate::text;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The zone is refused.
    Error,
    /// The zone is served; someone should look.
    Warning,
}

/// One finding in a zone file.
///
/// Shown as `example.org:12:8: error: … (hint: …)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, as named by who had it read.
    pub file: String,
    /// The line, from 1; 0 when the finding is about the whole file.
    pub line: u32,
    /// The column in characters, from 1; 0 when the finding is about the whole file.
    pub column: u32,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names of files come from outside, and so may parts of the rest.
        f.write_str(&text::escaped(&self.file))?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, ": {severity}: {}", text::escaped(&self.reason))?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {})", text::escaped(hint)),
            None => Ok(()),
        }
    }
}

/// A finding before its place is turned into line and column.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// The offset in a text, or the place in all of a zone's files; `None` for the whole zone.
    pub(crate) at: Option<usize>,
    pub(crate) reason: Cow<'static, str>,
    pub(crate) hint: Option<Cow<'static, str>>,
}

impl Fault {
    /// Makes a finding about the text at an offset.
    pub(crate) fn at(at: usize, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { at: Some(at), reason: reason.into(), hint: None }
    }

    /// Turns the offset in a text into a place; the text begins at `base`.
    pub(crate) fn from(mut self, base: usize) -> Self {
        self.at = self.at.map(|at| base + at);
        self
    }

    /// Makes a finding about the whole zone.
    pub(crate) fn file(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { at: None, reason: reason.into(), hint: None }
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The most findings of one severity that are told about one zone; the rest are counted.
const MAX_TOLD: usize = 20;

/// Collects the findings of one zone.
#[derive(Default)]
pub(crate) struct Report {
    told: Vec<(Severity, Fault)>,
    errors: usize,
    warnings: usize,
}

impl Report {
    /// Adds an error: the zone will be refused.
    pub(crate) fn error(&mut self, fault: Fault) {
        if self.is_told(&fault) {
            return;
        }
        self.errors += 1;
        if self.errors <= MAX_TOLD {
            self.told.push((Severity::Error, fault));
        }
    }

    /// Adds a warning.
    pub(crate) fn warning(&mut self, fault: Fault) {
        if self.is_told(&fault) {
            return;
        }
        self.warnings += 1;
        if self.warnings <= MAX_TOLD {
            self.told.push((Severity::Warning, fault));
        }
    }

    /// Returns whether just this was told before: a file that is included twice is found wrong twice.
    fn is_told(&self, fault: &Fault) -> bool {
        fault.at.is_some() && self.told.iter().any(|(_, told)| told.at == fault.at && told.reason == fault.reason)
    }

    /// Returns whether there was an error.
    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Returns the findings in the order of the files and their texts, findings about the whole zone last.
    pub(crate) fn finish(mut self, files: &Files<'_>) -> Vec<Diagnostic> {
        self.told.sort_by_key(|(_, fault)| fault.at.unwrap_or(usize::MAX));
        let file = files.first().path();
        let mut diagnostics = Vec::with_capacity(self.told.len() + 2);
        let mut place = Place::of(files.first());
        for (severity, fault) in self.told {
            let (file, (line, column)) = match fault.at {
                None => (file, (0, 0)),
                Some(at) => {
                    let file = files.at(at);
                    if !std::ptr::eq(file, place.file) {
                        place = Place::of(file);
                    }
                    (file.path(), place.find(at - file.base()))
                }
            };
            let hint = fault.hint.map(Cow::into_owned);
            let reason = fault.reason.into();
            diagnostics.push(Diagnostic { file: file.into(), line, column, severity, reason, hint });
        }
        for (count, severity, word) in
            [(self.errors, Severity::Error, "error"), (self.warnings, Severity::Warning, "warning")]
        {
            if let Some(more @ 1..) = count.checked_sub(MAX_TOLD) {
                let reason = format!("and {more} more {word}{}", if more == 1 { "" } else { "s" });
                diagnostics.push(Diagnostic { file: file.into(), line: 0, column: 0, severity, reason, hint: None });
            }
        }
        diagnostics
    }
}

/// Turns ascending offsets into lines and columns in one pass over a file.
struct Place<'f, 't> {
    file: &'f File<'t>,
    line: u32,
    line_start: usize,
    at: usize,
}

impl<'f, 't> Place<'f, 't> {
    fn of(file: &'f File<'t>) -> Self {
        Self { file, line: 1, line_start: 0, at: 0 }
    }

    fn find(&mut self, at: usize) -> (u32, u32) {
        let text = self.file.text();
        let at = at.min(text.len());
        for (offset, _) in text[self.at..at].iter().enumerate().filter(|(_, octet)| **octet == b'\n') {
            self.line += 1;
            self.line_start = self.at + offset + 1;
        }
        self.at = at;
        // Octets 10xxxxxx continue a UTF-8 character and take no column.
        let characters = text[self.line_start..at].iter().filter(|octet| *octet & 0xc0 != 0x80).count();
        (self.line, u32::try_from(characters).unwrap_or(u32::MAX - 1) + 1)
    }
}

#[cfg(test)]
mod tests {
    use crate::dns::diagnostic::*;

    #[test]
    fn places_and_bounds() {
        let text = "äb\nc d\n".as_bytes();
        let files = Files::new("z", text);
        let mut report = Report::default();
        report.warning(Fault::at(6, "w").hint("h"));
        report.error(Fault::at(2, "e"));
        report.error(Fault::file("f"));
        let told: Vec<_> = report.finish(&files).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["z:1:2: error: e", "z:2:3: warning: w (hint: h)", "z: error: f"]);

        let mut report = Report::default();
        for n in 0..25 {
            report.error(Fault::at(0, n.to_string()));
        }
        let told = report.finish(&files);
        assert_eq!(told.len(), 21);
        assert_eq!(told[20].to_string(), "z: error: and 5 more errors");
    }
}
