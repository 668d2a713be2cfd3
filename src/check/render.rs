//! Output formats of findings: for people, for programs, and for reviewers of a pull request.

use std::fmt::Write as _;

use super::{Finding, Findings, Kind};
use crate::dns::{Diagnostic, Severity};
use crate::text::{escaped, json_string};

impl Kind {
    /// Returns the name of the kind in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Zone => "zone",
            Self::Serial => "serial",
            Self::Deletion => "deletion",
            Self::Ambiguous => "ambiguous",
            Self::Misnamed => "misnamed",
            Self::Keys => "keys",
            Self::Shared => "shared",
            Self::Dnssec => "dnssec",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Findings {
    /// Returns the findings for people, each with its line, a caret and how to fix it.
    ///
    /// `colour` adds terminal colours and changes nothing else. Without findings the text is empty.
    #[must_use]
    pub fn text(&self, colour: bool) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            push_text(finding, &Palette::of(colour), &mut text);
        }
        text
    }

    /// Returns a one-line summary of what was read and the number of errors and warnings.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = counted(self.zones, "zone");
        if self.key_files > 0 {
            text += &format!(" and {}", counted(self.key_files, "key file"));
        }
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let counts = [(errors, "error"), (warnings, "warning")].into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, word)| counted(count, word)).collect();
        text + " read: " + &if counts.is_empty() { "nothing is wrong".to_string() } else { counts.join(", ") }
    }

    /// Returns the findings as one JSON document; `docs/checking.md` describes it.
    #[must_use]
    pub fn json(&self) -> String {
        let mut text = format!(
            "{{\"errors\":{},\"warnings\":{},\"zones\":{},\"key_files\":{},\"findings\":[",
            self.count(Severity::Error),
            self.count(Severity::Warning),
            self.zones,
            self.key_files
        );
        for (index, finding) in self.findings.iter().enumerate() {
            text.push_str(if index > 0 { ",\n" } else { "\n" });
            push_json(finding, &mut text);
        }
        text.push_str(if self.findings.is_empty() { "]}\n" } else { "\n]}\n" });
        text
    }

    /// Returns the findings as GitHub workflow commands, which annotate the changed lines.
    #[must_use]
    pub fn github(&self) -> String {
        let mut text = String::new();
        for Finding { diagnostic, .. } in &self.findings {
            let _ = write!(text, "::{} file={}", severity(diagnostic), escape(&diagnostic.file, true));
            if diagnostic.line > 0 {
                let _ = write!(text, ",line={},col={}", diagnostic.line, diagnostic.column);
            }
            let hint = diagnostic.hint.as_ref().map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
            let _ = writeln!(text, "::{}", escape(&escaped(&format!("{}{hint}", diagnostic.reason)), false));
        }
        text
    }
}

/// The sequences that switch colours on and off (ECMA-48 §8.3.117).
struct Palette {
    error: &'static str,
    warning: &'static str,
    aside: &'static str,
    bold: &'static str,
    off: &'static str,
}

impl Palette {
    fn of(colour: bool) -> Self {
        if colour {
            Self { error: "\x1b[1;31m", warning: "\x1b[1;33m", aside: "\x1b[36m", bold: "\x1b[1m", off: "\x1b[0m" }
        } else {
            Self { error: "", warning: "", aside: "", bold: "", off: "" }
        }
    }
}

fn push_text(finding: &Finding, palette: &Palette, text: &mut String) {
    let Palette { bold, aside, off, .. } = palette;
    let Diagnostic { file, line, column, reason, hint, .. } = &finding.diagnostic;
    let mark = match finding.diagnostic.severity {
        Severity::Error => palette.error,
        Severity::Warning => palette.warning,
    };
    let place = if *line > 0 { format!(":{line}:{column}") } else { String::new() };
    let (file, reason) = (escaped(file), escaped(reason));
    let _ = writeln!(text, "{bold}{file}{place}:{off} {mark}{}:{off} {reason}", severity(&finding.diagnostic));
    let mut margin = 4;
    if let Some(source) = &finding.source {
        let number = line.to_string();
        margin = margin.max(number.len());
        let _ = writeln!(text, "  {aside}{number:>margin$} |{off} {}", source.line);
        // Tabs are repeated, so that the caret stands below its character however wide they are.
        let front = source.line.chars().map(|letter| if letter == '\t' { '\t' } else { ' ' });
        let front: String = front.chain(std::iter::repeat(' ')).take(source.caret).collect();
        let _ = writeln!(text, "  {aside}{:>margin$} |{off} {front}{mark}^{off}", "");
    }
    if let Some(hint) = hint {
        let _ = writeln!(text, "  {aside}{:>margin$} ={off} {}", "", escaped(hint));
    }
}

fn push_json(Finding { kind, zone, diagnostic, source, .. }: &Finding, text: &mut String) {
    let Diagnostic { file, line, column, reason, hint, .. } = diagnostic;
    let or_null = |value: Option<String>| value.unwrap_or_else(|| "null".to_string());
    let number = |value: u32| or_null(Some(value).filter(|value| *value > 0).map(|value| value.to_string()));
    let members = [
        ("kind", json_string(kind.word())),
        ("severity", json_string(severity(diagnostic))),
        ("zone", or_null(zone.as_ref().map(|zone| json_string(&zone.to_string())))),
        ("file", json_string(file)),
        ("line", number(*line)),
        ("column", number(*column)),
        ("reason", json_string(reason)),
        ("hint", or_null(hint.as_deref().map(json_string))),
        ("source", or_null(source.as_ref().map(|source| json_string(&source.line)))),
    ];
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    let _ = write!(text, "{{{}}}", members.join(","));
}

/// Escapes text for a workflow command; properties also end at colons and commas.
fn escape(value: &str, is_property: bool) -> String {
    let mut text = value.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    if is_property {
        text = text.replace(':', "%3A").replace(',', "%2C");
    }
    text
}

fn severity(diagnostic: &Diagnostic) -> &'static str {
    match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}
