//! The lexer for zone files: splits the text into entries and tokens (RFC 1035 §5.1).
//!
//! An entry is one line, or several lines joined by parentheses. Tokens are spans of the text with escapes still in
//! place, so that later findings can name line and column and an editor can replace only what changes.

use std::ops::Range;

use crate::dns::diagnostic::Fault;

/// The maximum number of octets in one entry, including comments and blanks within parentheses. The largest possible
/// record data takes a quarter of it with every octet escaped.
const MAX_ENTRY: usize = 1 << 20;

/// A word or a quoted string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    start: u32,
    end: u32,
    /// Whether the token was quoted; the quotes are not part of the span.
    pub(crate) quoted: bool,
}

impl Token {
    /// Returns the offset of the token's first octet.
    pub(crate) fn at(&self) -> usize {
        self.start as usize
    }

    /// Returns the span of the token, without its quotes.
    pub(crate) fn span(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Returns the token as written, escapes included.
    pub(crate) fn of<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        &text[self.span()]
    }
}

/// An entry of a zone file.
pub(crate) struct Entry {
    /// The span from the first octet of the first line to the end of the last line, without the line ending.
    pub(crate) span: Range<usize>,
    /// Whether the entry begins with a blank, so that it inherits the previous owner.
    pub(crate) indented: bool,
}

/// A lexer that splits a text into entries.
pub(crate) struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Lexer<'t> {
    /// Creates a lexer at the start of `text`, which must be shorter than 4 GiB.
    pub(crate) fn new(text: &'t [u8]) -> Self {
        // A byte-order mark is not part of the first owner.
        let at = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Self { text, at }
    }

    /// Finds the next entry and stores its tokens, at least one, in `tokens`; returns `None` at the end of the text.
    ///
    /// After an error, the next call continues after the faulty line or after the parentheses that contain it.
    pub(crate) fn entry(&mut self, tokens: &mut Vec<Token>) -> Option<Result<Entry, Fault>> {
        tokens.clear();
        let mut start = self.at;
        let mut open: Vec<usize> = Vec::new();
        loop {
            let Some(&octet) = self.text.get(self.at) else {
                if let Some(&first) = open.first() {
                    return Some(Err(Fault::at(first, "this parenthesis is not closed").hint("add the missing `)`")));
                }
                return (!tokens.is_empty()).then(|| Ok(self.finish(start, self.at)));
            };
            match octet {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\n' => {
                    self.at += 1;
                    if open.is_empty() {
                        if !tokens.is_empty() {
                            return Some(Ok(self.finish(start, self.at - 1)));
                        }
                        start = self.at;
                    }
                }
                b';' => self.at = self.line_end(),
                b'(' => {
                    open.push(self.at);
                    self.at += 1;
                }
                b')' => {
                    if open.pop().is_none() {
                        return Some(Err(
                            self.fail(false, Fault::at(self.at, "this closing parenthesis has no opening one"))
                        ));
                    }
                    self.at += 1;
                }
                b'"' => match self.quoted() {
                    Ok(token) => tokens.push(token),
                    Err(fault) => return Some(Err(self.fail(!open.is_empty(), fault))),
                },
                _ => tokens.push(self.word()),
            }
            if self.at - start > MAX_ENTRY {
                if open.is_empty() && tokens.is_empty() {
                    start = self.at;
                    continue;
                }
                let place = open.first().copied().unwrap_or(start);
                let fault = Fault::at(place, "this entry is longer than 1 MiB").hint("is a `)` missing?");
                return Some(Err(self.fail(!open.is_empty(), fault)));
            }
        }
    }

    fn finish(&self, start: usize, end: usize) -> Entry {
        let end = if end > start && self.text[end - 1] == b'\r' { end - 1 } else { end };
        Entry { span: start..end, indented: matches!(self.text[start], b' ' | b'\t') }
    }

    /// Skips the faulty line; within parentheses, skips to the end of the line that closes them.
    fn fail(&mut self, in_parentheses: bool, fault: Fault) -> Fault {
        if in_parentheses {
            let rest = &self.text[self.at..];
            self.at += rest.iter().position(|&octet| octet == b')').unwrap_or(rest.len());
        }
        self.at = self.line_end();
        fault
    }

    fn line_end(&self) -> usize {
        let rest = &self.text[self.at..];
        self.at + rest.iter().position(|&octet| octet == b'\n').unwrap_or(rest.len())
    }

    fn word(&mut self) -> Token {
        let start = self.at;
        while let Some(&octet) = self.text.get(self.at) {
            match octet {
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')' | b'"' => break,
                // An escaped character never ends a word; a line ending cannot be escaped.
                b'\\' if !matches!(self.text.get(self.at + 1), None | Some(b'\n' | b'\r')) => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.token(start, self.at, false)
    }

    fn quoted(&mut self) -> Result<Token, Fault> {
        let quote = self.at;
        self.at += 1;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(self.token(quote + 1, self.at - 1, true));
                }
                None | Some(b'\n') => {
                    return Err(Fault::at(quote, "this quoted string is not closed")
                        .hint("a quoted string must end on the line where it begins"));
                }
                Some(b'\\') if self.text.get(self.at + 1).is_some_and(|&next| next != b'\n') => self.at += 2,
                Some(_) => self.at += 1,
            }
        }
    }

    fn token(&self, start: usize, end: usize, quoted: bool) -> Token {
        // The constructor requires a text shorter than 4 GiB.
        Token { start: start as u32, end: end as u32, quoted }
    }
}

#[cfg(test)]
mod tests {
    use crate::dns::lexer::*;

    fn cut(text: &str) -> Vec<Result<(bool, Vec<String>), String>> {
        let mut lexer = Lexer::new(text.as_bytes());
        let mut tokens = Vec::new();
        let mut all = Vec::new();
        while let Some(entry) = lexer.entry(&mut tokens) {
            all.push(match entry {
                Ok(entry) => {
                    let words = tokens.iter().map(|t| String::from_utf8_lossy(t.of(text.as_bytes())).into_owned());
                    Ok((entry.indented, words.collect()))
                }
                Err(fault) => Err(format!("{}: {}", fault.at.unwrap(), fault.reason)),
            });
        }
        all
    }

    #[test]
    fn entries() {
        let words = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            cut("a b ; c\r\n\n ; d\n\tA (1\n ; e\n\"2 ;\" 3) 4"),
            [Ok((false, words(&["a", "b"]))), Ok((true, words(&["A", "1", "2 ;", "3", "4"])))]
        );
        assert_eq!(cut("a\\;b\\\"c \"\\\"\""), [Ok((false, words(&["a\\;b\\\"c", "\\\""])))]);
        assert_eq!(cut("\u{feff}a\n"), [Ok((false, words(&["a"])))]);
        assert_eq!(cut(" ; nothing\n\n"), []);
    }

    #[test]
    fn an_error_skips_only_its_line() {
        let rest = || Ok((false, vec!["x".to_string()]));
        assert_eq!(cut("a )\nx"), [Err("2: this closing parenthesis has no opening one".into()), rest()]);
        assert_eq!(cut("a \"b\nx"), [Err("2: this quoted string is not closed".into()), rest()]);
        assert_eq!(cut("a ( \"b\nc )\nx"), [Err("4: this quoted string is not closed".into()), rest()]);
        assert_eq!(cut("x\na ( b\nc"), [rest(), Err("4: this parenthesis is not closed".into())]);
    }
}
