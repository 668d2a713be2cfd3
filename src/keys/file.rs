//! Key files read: DNSKEY records in a zone file's syntax.

use zeroize::Zeroizing;

use crate::dns::{Diagnostic, Name, NameError, Severity, Type};
use crate::tsig::{Algorithm, Key};
use crate::zonefile::entries::{Content, Entry, entries};
use crate::zonefile::{IncludeError, zone_of_file};

/// How a key is written, for hints.
const FORM: &str = "a key is written `name DNSKEY 0 3 163 <base64>`, where 163 is HMAC-SHA256";

/// What is put in front of a file's text: keys need no TTL, but the zone-file reader wants one.
const PREAMBLE: &[u8] = b"$TTL 0\n";

/// Returns the name relative names of a key file end in, and below which all of its keys are.
fn zone_of(path: &str) -> Result<Name, NameError> {
    match path.strip_suffix("._keys") {
        Some(zone) => zone_of_file(zone),
        None => Ok(Name::root()),
    }
}

/// A key read, or why it is none, with the offset in the text.
struct Line {
    at: usize,
    /// The name is written up to the root.
    absolute: bool,
    key: Result<Key, String>,
    /// Something to be looked at, though the key is good.
    remark: Option<&'static str>,
}

/// Reads a key file: its keys with the lines and columns they begin at, from 1.
pub(super) fn read(path: &str, text: &[u8], findings: &mut Findings) -> Vec<(Key, u32, u32)> {
    let zone = match zone_of(path) {
        Ok(zone) => zone,
        Err(error) => {
            let reason = format!("the file's name is no zone's name with `._keys`: {error}; none of its keys is used");
            findings.error(0, 0, reason, None);
            return Vec::new();
        }
    };
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let whole = Zeroizing::new([PREAMBLE, text].concat());
    let mut lines = Vec::new();
    let closed = |_: &str| Err(IncludeError::Missing);
    let told = entries(&zone, path, &whole, closed, |entry| {
        // All that one $GENERATE entry makes is found wrong once.
        let line = line(&zone, entry);
        lines.extend(line.filter(|line| lines.last().is_none_or(|last: &Line| last.at != line.at)));
    });

    // A line that cannot be read may have been an $ORIGIN, or have swallowed one.
    let has_origin = text.windows(7).any(|word| word.eq_ignore_ascii_case(b"$origin"));
    let mut doubtful_from = u32::MAX;
    for diagnostic in told.iter().filter(|diagnostic| diagnostic.severity == Severity::Error) {
        if let Some(more) = counted(&diagnostic.reason) {
            findings.errors += more;
            continue;
        }
        let line = diagnostic.line.saturating_sub(1);
        let written = text.split(|&octet| octet == b'\n').nth((line as usize).saturating_sub(1)).unwrap_or_default();
        let (reason, hint) = redact(&diagnostic.reason, written);
        findings.error(line, if line > 0 { diagnostic.column } else { 0 }, reason, hint);
        if has_origin && line > 0 {
            doubtful_from = doubtful_from.min(line);
        }
    }
    let mut keys = Vec::new();
    let mut place = Place::new(text);
    for Line { at, absolute, key, remark } in lines {
        let (line, column) = place.find(at.saturating_sub(PREAMBLE.len()));
        match key {
            Ok(_) if !absolute && line > doubtful_from => {
                let reason = "the name may end in another one, since a line further up cannot be read";
                findings.error(line, column, reason.into(), Some("mend that, or write the name up to its final dot"));
            }
            Ok(key) => {
                if let Some(remark) = remark {
                    findings.warning(line, column, remark.into(), None);
                }
                keys.push((key, line, column));
            }
            Err(reason) => findings.error(line, column, reason, Some(FORM)),
        }
    }
    keys
}

/// Turns an entry of a key file into a key.
fn line(zone: &Name, entry: Entry<'_>) -> Option<Line> {
    let Content::Record { owner, rtype, data, spans, generated, .. } = entry.content else { return None };
    let written = spans.owner.clone().and_then(|span| entry.text.get(span));
    let at = spans.owner.as_ref().map_or(spans.rtype.start, |span| span.start);
    let mut remark = None;
    let key = if generated {
        Err("a key is not made by $GENERATE".to_string())
    } else if rtype != Type::DNSKEY {
        Err(format!("a key is a DNSKEY record, not {rtype}"))
    } else if written.is_none() {
        // The owner of a line before that cannot be read would not be the one this line means.
        Err("a key's line begins with its name".to_string())
    } else {
        key(zone, owner, data, &mut remark)
    };
    let absolute = written.is_some_and(|name| name.ends_with(b".") && !name.ends_with(b"\\."));
    Some(Line { at, absolute, key, remark })
}

fn key(zone: &Name, owner: &[u8], data: &[u8], remark: &mut Option<&'static str>) -> Result<Key, String> {
    let name = Name::from_wire(owner).map_err(|error| error.to_string())?;
    if !name.is_at_or_below(zone) {
        return Err(format!("the key {name} does not belong to the file of {zone}"));
    }
    let Some((&[f0, f1, protocol, number], secret)) = data.split_first_chunk() else {
        return Err("the data is too short".to_string());
    };
    if protocol != 3 {
        return Err(format!("the protocol is 3, not {protocol}"));
    }
    if [f0, f1] != [0, 0] {
        *remark = Some("the flags of a key mean nothing; they should be 0");
    }
    let algorithm = Algorithm::from_dnskey_number(number).map_err(|error| format!("algorithm {number}: {error}"))?;
    Key::new(name, algorithm, secret.to_vec()).map_err(|error| error.to_string())
}

/// Returns how many errors more there are, if the reader says just that.
fn counted(reason: &str) -> Option<usize> {
    reason.strip_prefix("and ")?.split_once(" more error")?.0.parse().ok()
}

/// What the fields of a DNSKEY record are to the zone-file reader, in front of `is missing here` and the like.
const FIELDS: [&str; 4] =
    ["a number from 0 to 65535", "a number from 0 to 255", "an algorithm's number or mnemonic", "base64"];

/// What the zone-file reader may say without repeating a word of the text.
const PLAIN: [&str; 8] = [
    "there is no owner name before this line to inherit",
    "the line ends without a record type",
    "unexpected text at the end of the line",
    "this parenthesis is not closed",
    "this closing parenthesis has no opening one",
    "this quoted string is not closed",
    "this entry is longer than 1 MiB",
    "the file is larger than 1 GiB",
];

/// Says again what the zone-file reader found in a line, with nothing of it: any word may be part of a secret.
fn redact(reason: &str, line: &[u8]) -> (String, Option<&'static str>) {
    let begins = |word: &[u8]| line.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let names = [
        NameError::Empty,
        NameError::EmptyLabel,
        NameError::LabelTooLong,
        NameError::NameTooLong,
        NameError::BadEscape,
    ];
    if begins(b"$INCLUDE") {
        return ("a key file includes no other".to_string(), None);
    }
    if PLAIN.contains(&reason) || names.iter().any(|error| error.to_string() == reason) {
        return (reason.to_string(), Some(FORM));
    }
    for field in FIELDS {
        if reason.strip_prefix(field) == Some(" is missing here") {
            return (reason.to_string(), Some(FORM));
        }
        let wrong = reason.strip_prefix("expected ").and_then(|rest| rest.strip_prefix(field));
        if wrong.is_some_and(|rest| rest.starts_with(", not `")) {
            return (format!("expected {field}"), Some(FORM));
        }
    }
    let what = match reason {
        _ if begins(b"$") => "this directive cannot be read",
        _ if reason.starts_with("there is no record type") => "this is no record type",
        _ => "this cannot be read as a key",
    };
    (what.to_string(), Some(FORM))
}

/// The most findings of one severity that are told about one file; the rest are counted.
const MAX_TOLD: usize = 20;

/// Collects the findings of one file.
pub(super) struct Findings {
    file: String,
    told: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
}

impl Findings {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_string(), told: Vec::new(), errors: 0, warnings: 0 }
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn error(&mut self, line: u32, column: u32, reason: String, hint: Option<&str>) {
        self.errors += 1;
        if self.errors <= MAX_TOLD {
            self.tell(Severity::Error, line, column, reason, hint);
        }
    }

    pub(super) fn warning(&mut self, line: u32, column: u32, reason: String, hint: Option<&str>) {
        self.warnings += 1;
        if self.warnings <= MAX_TOLD {
            self.tell(Severity::Warning, line, column, reason, hint);
        }
    }

    fn tell(&mut self, severity: Severity, line: u32, column: u32, reason: String, hint: Option<&str>) {
        let (file, hint) = (self.file.clone(), hint.map(str::to_string));
        self.told.push(Diagnostic { file, line, column, severity, reason, hint });
    }

    /// Returns the findings line by line, those about the whole file last.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.told.sort_by_key(|diagnostic| if diagnostic.line > 0 { diagnostic.line } else { u32::MAX });
        for (count, severity, word) in
            [(self.errors, Severity::Error, "error"), (self.warnings, Severity::Warning, "warning")]
        {
            if let Some(more @ 1..) = count.checked_sub(MAX_TOLD) {
                let reason = format!("and {more} more {word}{}", if more == 1 { "" } else { "s" });
                self.tell(severity, 0, 0, reason, None);
            }
        }
        self.told
    }
}

/// Turns ascending offsets into lines and columns in one pass over a text.
struct Place<'t> {
    text: &'t [u8],
    at: usize,
    line: u32,
    line_start: usize,
}

impl<'t> Place<'t> {
    fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0, line: 1, line_start: 0 }
    }

    fn find(&mut self, at: usize) -> (u32, u32) {
        let at = at.min(self.text.len());
        for (offset, _) in self.text[self.at..at].iter().enumerate().filter(|(_, octet)| **octet == b'\n') {
            self.line += 1;
            self.line_start = self.at + offset + 1;
        }
        self.at = at;
        // Octets 10xxxxxx continue a UTF-8 character and take no column.
        let column = self.text[self.line_start..at].iter().filter(|octet| *octet & 0xc0 != 0x80).count();
        (self.line, u32::try_from(column).unwrap_or(u32::MAX - 1) + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a file: its keys as `name algorithm secret's length line:column`, and what is found.
    fn read_all(path: &str, text: &str) -> (Vec<String>, Vec<String>) {
        let mut findings = Findings::new(path);
        let keys = read(path, text.as_bytes(), &mut findings);
        let shown = |(key, line, column): &(Key, u32, u32)| {
            format!("{} {} {} {line}:{column}", key.name(), key.algorithm(), key.secret_len())
        };
        (keys.iter().map(shown).collect(), findings.finish().iter().map(|finding| finding.to_string()).collect())
    }

    #[test]
    fn example() {
        let path = zonule_harness::workspace().join("zones-example/example.org._keys");
        let (keys, findings) = read_all("example.org._keys", &std::fs::read_to_string(path).unwrap());
        assert_eq!(findings, [""; 0]);
        assert_eq!(
            keys,
            [
                "laptop._update.example.org. hmac-sha256 32 6:1",
                "certbot._update._acme-challenge.www.example.org. hmac-sha256 32 9:1",
                "192.0.2.53.198.51.100.53._transfer.example.org. hmac-sha256 32 12:1",
            ]
        );
    }

    #[test]
    fn forms() {
        let text = "\u{feff}a._update 3600 IN DNSKEY 0 3 161 c2Vj cmV0 ; comment\r\n\
            $ORIGIN sub\n\
            b IN 1h DNSKEY ( 0 3\n 162 c2VjcmV0 )\n\
            $TTL 1h\n\
            c.sub.example.org. dnskey 0 3 163 c2VjcmV0\n\
            @ DNSKEY \\# 6 0000 03a4 7365\n\
            d DNSKEY 0 3 165 c2VjcmV0";
        let (keys, findings) = read_all("example.org._keys", text);
        assert_eq!(findings, [""; 0]);
        assert_eq!(
            keys,
            [
                "a._update.example.org. hmac-sha1 6 1:1",
                "b.sub.example.org. hmac-sha224 6 3:1",
                "c.sub.example.org. hmac-sha256 6 6:1",
                "sub.example.org. hmac-sha384 2 7:1",
                "d.sub.example.org. hmac-sha512 6 8:1",
            ]
        );
        assert_eq!(read_all("_keys", "x DNSKEY 0 3 163 c2VjcmV0").0, ["x. hmac-sha256 6 1:1"]);
        assert_eq!(read_all("a..b._keys", "x DNSKEY 0 3 163 c2VjcmV0").0, [""; 0]);
    }

    /// Good lines take effect, the others are told.
    #[test]
    fn faults() {
        let lines = [
            ("a DNSKEY 0 3 163 c2VjcmV0", None),
            ("b DNSKEY 0 3 163 c2VjcmV", Some("18: error: expected base64")),
            ("c DNSKEY 0 3 163", Some("17: error: base64 is missing here")),
            ("c DNSKEY 0 3", Some("13: error: an algorithm's number or mnemonic is missing here")),
            ("d DNSKEY 0 3 c2VjcmV0", Some("14: error: expected an algorithm's number or mnemonic")),
            ("e DNSKEY 0 3 8 c2VjcmV0", Some("1: error: algorithm 8: the algorithm is unknown")),
            ("f DNSKEY 0 3 157 c2VjcmV0", Some("1: error: algorithm 157: HMAC-MD5 is broken")),
            ("g DNSKEY 0 2 163 c2VjcmV0", Some("1: error: the protocol is 3, not 2")),
            ("h DNSKEY 0 3 163", Some("17: error: base64 is missing here")),
            ("i A 192.0.2.1", Some("1: error: a key is a DNSKEY record, not A")),
            (" DNSKEY 0 3 163 c2VjcmV0", Some("2: error: a key's line begins with its name")),
            ("j.example.net. DNSKEY 0 3 163 c2VjcmV0", Some("1: error: the key j.example.net. does not belong")),
            ("$INCLUDE c2VjcmV0", Some("10: error: a key file includes no other")),
            ("$c2VjcmV0", Some("1: error: this directive cannot be read")),
            ("k c2VjcmV0", Some("3: error: this is no record type")),
            ("k 0c2VjcmV0 DNSKEY", Some("3: error: this cannot be read as a key")),
            ("c2VjcmV0", Some("9: error: the line ends without a record type")),
            ("l..m DNSKEY 0 3 163 c2VjcmV0", Some("1: error: the name has an empty label")),
            ("$GENERATE 1-9 n$ DNSKEY \"0 3 163 c2VjcmV0\"", Some(": error: a key is not made by $GENERATE")),
            ("z._update DNSKEY 0 3 163 c2VjcmV0", None),
        ];
        let text: String = lines.iter().flat_map(|(line, _)| [line, "\n"]).collect();
        let (keys, findings) = read_all("example.org._keys", &text);
        assert_eq!(keys, ["a.example.org. hmac-sha256 6 1:1", "z._update.example.org. hmac-sha256 6 20:1"]);
        let mut told = findings.iter();
        for (number, (line, finding)) in lines.iter().enumerate() {
            let Some(finding) = finding else { continue };
            let told = told.next().unwrap();
            assert!(told.starts_with(&format!("example.org._keys:{}:", number + 1)), "{line}: {told}");
            assert!(told.contains(finding), "{line}: {told}");
            assert!(!told.contains("c2V") && !told.contains("secret!"), "{told}");
        }
        assert_eq!(told.next(), None);

        let (keys, findings) = read_all("_keys", &"x\n".repeat(30));
        assert_eq!((keys.len(), findings.len()), (0, 21));
        assert!(findings[20].starts_with("_keys: error: and 10 more errors"), "{findings:?}");
    }

    /// Behind a line that cannot be read, a relative name may not be what was meant.
    #[test]
    fn doubtful_names() {
        let rest = "a._update DNSKEY 0 3 163 c2VjcmV0\nb._update.example.org. DNSKEY 0 3 163 c2VjcmV0\n";
        for bad in ["$ORIGIN sub..example.org.\n", "x ( DNSKEY\n$ORIGIN sub\n\"\n)\n", "x\n$ORIGIN sub\n"] {
            let (keys, findings) = read_all("example.org._keys", &format!("{bad}{rest}"));
            assert_eq!(keys.len(), 1, "{bad}");
            assert!(keys[0].starts_with("b._update.example.org."), "{keys:?}");
            assert!(findings.iter().any(|finding| finding.contains("may end in another one")), "{findings:?}");
        }
        assert_eq!(read_all("example.org._keys", &format!("x\n{rest}")).0.len(), 2);
        assert_eq!(read_all("example.org._keys", &format!("{rest}x\n$ORIGIN y\n")).0.len(), 2);
    }

    proptest! {
        /// However a line is garbled, no piece of its secret is told.
        #[test]
        fn secrets_are_not_told(
            words in proptest::collection::vec(
                prop::sample::select(&[
                    "k", "._update", "DNSKEY", "0", "3", "163", " ", "\t", "\n", "(", ")", "\"", "\\", "`", ";", "IN", "CH",
                    "$ORIGIN", "$TTL", "$GENERATE 1-2", "$INCLUDE", "TXT", "CLASS", "TYPE", " is missing here", ", not `",
                    "expected base64", "SeCrEt0pIeCe", "SeCrEt0pIeCe", "SeCrEt0pIeCe=", "/SeCrEt0pIeCe+",
                ][..]),
                0..20,
            ),
            blanks: u32,
        ) {
            let mut text = String::new();
            for (index, word) in words.iter().enumerate() {
                text += word;
                if blanks >> index & 1 == 1 {
                    text.push(' ');
                }
            }
            let (keys, findings) = read_all("example.org._keys", &text);
            for finding in findings {
                // A name is no secret, wherever it came from; only of those that are keys it is told.
                let named = finding.contains("the key ");
                prop_assert!(named || !finding.to_lowercase().contains("secret0"), "{finding}\n{text}");
            }
            prop_assert!(keys.len() <= words.len());
        }
    }
}
