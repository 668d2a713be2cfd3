//! Diagnostics for zone files: where a problem is, what it is and how to fix it.

use std::borrow::Cow;
use std::fmt;

use crate::dns::source::{File, Files};
use crate::text;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The zone is rejected.
    Error,
    /// The zone is served, but the zone author should look at the finding.
    Warning,
}

/// One finding in a zone file.
///
/// Shown as `example.org:12:8: error: … (hint: …)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The path of the file, as the caller named it.
    pub file: String,
    /// The line, from 1; 0 when the finding is about the whole file.
    pub line: u32,
    /// The column in characters, from 1; 0 when the finding is about the whole file.
    pub column: u32,
    /// The severity.
    pub severity: Severity,
    /// A description of the problem.
    pub reason: String,
    /// How to fix it.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // File names are untrusted input, and so may be parts of the reason and the hint.
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

/// A finding whose position has not yet been converted to line and column.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// The offset in a text, or the position in all of a zone's files; `None` for the whole zone.
    pub(crate) at: Option<usize>,
    pub(crate) reason: Cow<'static, str>,
    pub(crate) hint: Option<Cow<'static, str>>,
}

impl Fault {
    /// Returns a finding about the text at an offset.
    pub(crate) fn at(at: usize, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { at: Some(at), reason: reason.into(), hint: None }
    }

    /// Converts the offset in a text to a position in all files; the text begins at position `base`.
    pub(crate) fn from(mut self, base: usize) -> Self {
        self.at = self.at.map(|at| base + at);
        self
    }

    /// Returns a finding about the whole zone.
    pub(crate) fn file(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { at: None, reason: reason.into(), hint: None }
    }

    /// Adds a hint about how to fix the problem.
    pub(crate) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The maximum number of findings of one severity that are reported for one zone; the rest are only counted.
const MAX_REPORTED: usize = 20;

/// Collects the findings of one zone.
#[derive(Default)]
pub(crate) struct Report {
    reported: Vec<(Severity, Fault)>,
    errors: usize,
    warnings: usize,
}

impl Report {
    /// Adds an error: the zone will be rejected.
    pub(crate) fn error(&mut self, fault: Fault) {
        if self.is_reported(&fault) {
            return;
        }
        self.errors += 1;
        if self.errors <= MAX_REPORTED {
            self.reported.push((Severity::Error, fault));
        }
    }

    /// Adds a warning.
    pub(crate) fn warning(&mut self, fault: Fault) {
        if self.is_reported(&fault) {
            return;
        }
        self.warnings += 1;
        if self.warnings <= MAX_REPORTED {
            self.reported.push((Severity::Warning, fault));
        }
    }

    /// Returns whether this finding was already reported: a file that is included twice is checked twice.
    fn is_reported(&self, fault: &Fault) -> bool {
        fault.at.is_some()
            && self.reported.iter().any(|(_, reported)| reported.at == fault.at && reported.reason == fault.reason)
    }

    /// Returns whether there was an error.
    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Returns the findings by file and position, findings about the whole zone last.
    pub(crate) fn finish(mut self, files: &Files<'_>) -> Vec<Diagnostic> {
        self.reported.sort_by_key(|(_, fault)| fault.at.unwrap_or(usize::MAX));
        let file = files.first().path();
        let mut diagnostics = Vec::with_capacity(self.reported.len() + 2);
        let mut cursor = Cursor::of(files.first());
        for (severity, fault) in self.reported {
            let (file, (line, column)) = match fault.at {
                None => (file, (0, 0)),
                Some(at) => {
                    let file = files.at(at);
                    if !std::ptr::eq(file, cursor.file) {
                        cursor = Cursor::of(file);
                    }
                    (file.path(), cursor.find(at - file.base()))
                }
            };
            let hint = fault.hint.map(Cow::into_owned);
            let reason = fault.reason.into();
            diagnostics.push(Diagnostic { file: file.into(), line, column, severity, reason, hint });
        }
        for (count, severity, word) in
            [(self.errors, Severity::Error, "error"), (self.warnings, Severity::Warning, "warning")]
        {
            if let Some(more @ 1..) = count.checked_sub(MAX_REPORTED) {
                let reason = format!("and {more} more {word}{}", if more == 1 { "" } else { "s" });
                diagnostics.push(Diagnostic { file: file.into(), line: 0, column: 0, severity, reason, hint: None });
            }
        }
        diagnostics
    }
}

/// A cursor that converts ascending offsets to lines and columns in one pass over a file.
struct Cursor<'f, 't> {
    file: &'f File<'t>,
    line: u32,
    line_start: usize,
    at: usize,
}

impl<'f, 't> Cursor<'f, 't> {
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
        // Octets 10xxxxxx continue a UTF-8 character and do not count as a column.
        let characters = text[self.line_start..at].iter().filter(|octet| *octet & 0xc0 != 0x80).count();
        (self.line, u32::try_from(characters).unwrap_or(u32::MAX - 1) + 1)
    }
}

#[cfg(test)]
mod tests {
    use crate::dns::diagnostic::*;

    #[test]
    fn positions_and_limits() {
        let text = "äb\nc d\n".as_bytes();
        let files = Files::new("z", text);
        let mut report = Report::default();
        report.warning(Fault::at(6, "w").hint("h"));
        report.error(Fault::at(2, "e"));
        report.error(Fault::file("f"));
        let reported: Vec<_> = report.finish(&files).iter().map(ToString::to_string).collect();
        assert_eq!(reported, ["z:1:2: error: e", "z:2:3: warning: w (hint: h)", "z: error: f"]);

        let mut report = Report::default();
        for n in 0..25 {
            report.error(Fault::at(0, n.to_string()));
        }
        let reported = report.finish(&files);
        assert_eq!(reported.len(), 21);
        assert_eq!(reported[20].to_string(), "z: error: and 5 more errors");
    }
}
