//! Places in texts, and printable excerpts of their lines.

use std::ops::Range;

use crate::text::is_printable;

/// A line of a file, as far as it is shown in a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The line, or the part of a long one around the place: printable except for tabs, one character a column.
    pub line: String,
    /// The column of `line` the finding is about, from 0.
    pub caret: usize,
}

/// The maximum number of columns shown, and how many of them are before the place in a long line.
const MOST: usize = 160;
const IN_FRONT: usize = 80;

impl Source {
    /// Returns the line of a text, both numbers from 1, as diagnostics have them; `None` if there is no such line.
    pub(super) fn of(text: &[u8], line: u32, column: u32) -> Option<Self> {
        let index = (line as usize).checked_sub(1)?;
        let octets = text.split(|octet| *octet == b'\n').nth(index)?;
        let octets = octets.strip_suffix(b"\r").unwrap_or(octets);
        let caret = (column as usize).saturating_sub(1);
        let begin = if caret < MOST { 0 } else { caret - IN_FRONT };
        let mut columns = columns(octets).skip(begin);
        let mut line: String = if begin > 0 { "…".to_string() } else { String::new() };
        line.extend(columns.by_ref().skip(usize::from(begin > 0)).take(MOST));
        if columns.next().is_some() {
            line.push('…');
        }
        // A place may also be the end of the line, which is not shown.
        let caret = (caret - begin).min(line.chars().count());
        Some(Self { line, caret })
    }
}

/// Iterates over a line's columns: each octet that does not continue a UTF-8 character begins one.
fn columns(line: &[u8]) -> impl Iterator<Item = char> {
    let is_begin = |octet: &u8| octet & 0xc0 != 0x80;
    let first = line.iter().position(is_begin).unwrap_or(line.len());
    line[first..].chunk_by(move |_, next| !is_begin(next)).map(|octets| {
        let letter = std::str::from_utf8(octets).ok().and_then(|text| text.chars().next());
        letter.map_or(char::REPLACEMENT_CHARACTER, printable)
    })
}

/// Returns the character to show: never one that controls the terminal.
fn printable(letter: char) -> char {
    if letter == '\t' || is_printable(letter) { letter } else { char::REPLACEMENT_CHARACTER }
}

/// Returns the line and the column of an offset in a text, both from 1.
pub(super) fn place(text: &[u8], at: usize) -> (u32, u32) {
    let before = &text[..at.min(text.len())];
    let line = before.iter().filter(|octet| **octet == b'\n').count() + 1;
    let start = before.iter().rposition(|octet| *octet == b'\n').map_or(0, |end| end + 1);
    let column = before[start..].iter().filter(|octet| *octet & 0xc0 != 0x80).count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// Returns where the third word of a record's data begins, the serial number in an SOA record; the start of the data if there is none.
pub(super) fn third_word(text: &[u8], data: Range<usize>) -> usize {
    let (mut words, mut at) = (0, data.start);
    let is_blank = |octet: u8| matches!(octet, b' ' | b'\t' | b'\r' | b'\n' | b'(' | b')');
    while at < data.end.min(text.len()) {
        match text[at] {
            octet if is_blank(octet) => at += 1,
            b';' => at += text[at..].iter().position(|octet| *octet == b'\n').unwrap_or(text.len() - at),
            _ => {
                words += 1;
                if words == 3 {
                    return at;
                }
                while at < data.end.min(text.len()) && !is_blank(text[at]) && text[at] != b';' {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
            }
        }
    }
    data.start
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// For any file content, the caret is at a column of the line or just after its last.
        #[test]
        fn any_text(text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b' '), Just(b'\\'), any::<u8>()], 0..600), at in 0..600_usize) {
            let (line, column) = place(&text, at);
            let source = Source::of(&text, line, column).unwrap();
            prop_assert!(source.caret <= source.line.chars().count());
            prop_assert!(source.line.chars().all(|letter| letter == '\t' || !letter.is_control()));
            prop_assert!(third_word(&text, at.min(text.len())..text.len()) <= text.len());
            let _ = Source::of(&text, column, line);
        }
    }

    #[test]
    fn excerpts() {
        let of = |text: &str, line, column| Source::of(text.as_bytes(), line, column).map(|s| (s.line, s.caret));
        assert_eq!(of("a\n\tb c\r\nd", 2, 4), Some(("\tb c".to_string(), 3)));
        assert_eq!(of("a\n", 2, 1), Some((String::new(), 0)));
        assert_eq!(of("a\n", 3, 1), None);
        assert_eq!(of("a", 0, 0), None);
        assert_eq!(of("a\r\n", 1, 3), Some(("a".to_string(), 1)));
        assert_eq!(of("ä\x1b[31m\u{202e}", 1, 2), Some(("ä\u{fffd}[31m\u{fffd}".to_string(), 1)));
        let invalid = Source::of(b"\x80a\xffb\xe2\x82c", 1, 2).unwrap();
        assert_eq!((invalid.line.as_str(), invalid.caret), ("a\u{fffd}b\u{fffd}c", 1));
        let long = format!("{}x{}", "a".repeat(500), "b".repeat(500));
        let (line, caret) = of(&long, 1, 501).unwrap();
        assert_eq!((line.chars().nth(caret), line.chars().count()), (Some('x'), 162));
        assert!(line.starts_with("…a") && line.ends_with("b…"));
    }

    #[test]
    fn places() {
        let text = "ä b\n c (d ;x y z\n 7 )";
        assert_eq!(place(text.as_bytes(), 3), (1, 3));
        let at = third_word(text.as_bytes(), 6..text.len());
        assert_eq!((&text[at..=at], place(text.as_bytes(), at)), ("7", (3, 2)));
        assert_eq!(third_word(b"a\\ b c", 0..6), 0);
        assert_eq!(third_word(b"a\\ b c d", 0..8), 7);
    }
}
