//! Writing record data into a file: as new text, or in place of another record's data.

use std::ops::Range;

use super::layout::{is_relative, seconds_like, spell};
use crate::dns::lexer::{Lexer, Token};
use crate::dns::rdata::read::{Source, is_generic};
use crate::dns::rdata::wire;
use crate::dns::{Field, Type, data_cmp, name, print};
use crate::zonefile::entries::Spans;

/// The style in which data is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// Whether names below the origin are relative to it.
    pub(super) relative: bool,
    /// Whether hexadecimal digits are lowercase.
    pub(super) small: bool,
}

/// A record in a file.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    pub(super) text: &'a [u8],
    pub(super) spans: &'a Spans,
    pub(super) origin: &'a [u8],
    pub(super) rtype: Type,
    pub(super) data: &'a [u8],
}

/// Returns a record's data as text that reads as the same data, apart from letter case.
pub(super) fn text(rtype: Type, data: &[u8], origin: &[u8], style: Style) -> String {
    let parts = rtype.fields().and_then(|fields| wire::split(fields, data)).and_then(|parts| {
        parts.iter().map(|&(field, octets)| part(field, octets, data, origin, style)).collect::<Option<Vec<_>>>()
    });
    let text = parts.map(|parts| join(&parts));
    text.filter(|text| reads_as(text, rtype, data, origin)).unwrap_or_else(|| print::data(rtype, data))
}

fn part(field: Field, octets: &[u8], data: &[u8], origin: &[u8], style: Style) -> Option<String> {
    let mut text = String::new();
    match field {
        Field::CompressedName | Field::Name => text = spell(octets, origin, style.relative),
        _ => print::push(field, octets, data, &mut text)?,
    }
    if field == Field::Hex && style.small {
        text.make_ascii_lowercase();
    }
    Some(text)
}

fn join(parts: &[String]) -> String {
    let there: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    there.join(" ")
}

fn reads_as(text: &str, rtype: Type, data: &[u8], origin: &[u8]) -> bool {
    let mut tokens = Vec::new();
    if !matches!(Lexer::new(text.as_bytes()).entry(&mut tokens), None | Some(Ok(_))) {
        return false;
    }
    let mut source = Source { text: text.as_bytes(), origin, tokens: &tokens, end: text.len() };
    let mut back = Vec::new();
    source.read(rtype, 0, &mut back).is_ok() && data_cmp(rtype, &back, data).is_eq()
}

impl Written<'_> {
    /// Returns the spans of the words of the data, including quotes.
    fn words(&self) -> Vec<Range<usize>> {
        let entry = &self.text[self.spans.entry.clone()];
        let base = self.spans.entry.start;
        let mut tokens: Vec<Token> = Vec::new();
        if !matches!(Lexer::new(entry).entry(&mut tokens), Some(Ok(_))) {
            return Vec::new();
        }
        let word = |token: &Token| {
            let (span, quote) = (token.span(), usize::from(token.quoted));
            base + span.start - quote..base + span.end + quote
        };
        tokens.iter().map(word).filter(|word| word.start >= self.spans.data.start).collect()
    }

    fn fields(&self) -> Option<Vec<(Field, &[u8])>> {
        wire::split(self.rtype.fields()?, self.data)
    }

    /// Returns the style of the data; `relative` is the default if its names do not show which form they use.
    pub(super) fn style(&self, relative: bool) -> Style {
        let mut style = Style { relative, small: false };
        let words = self.words();
        if self.is_generic(&words) {
            return style;
        }
        let Some(fields) = self.fields() else { return style };
        let mut seen = None;
        for (word, (field, octets)) in words.iter().zip(fields) {
            let written = &self.text[word.clone()];
            match field {
                Field::CompressedName | Field::Name => seen = seen.or(is_relative(written, octets, self.origin)),
                Field::Hex => {
                    style.small =
                        written.iter().any(u8::is_ascii_lowercase) && !written.iter().any(u8::is_ascii_uppercase);
                }
                field if !is_one_word(field) => break,
                _ => {}
            }
        }
        style.relative = seen.unwrap_or(relative);
        style
    }

    fn is_generic(&self, words: &[Range<usize>]) -> bool {
        let mut texts = words.iter().map(|word| &self.text[word.clone()]);
        let (sign, second) = (texts.next(), texts.next());
        sign.is_some_and(|sign| is_generic(self.rtype, sign, second))
    }

    /// Returns the replacements that turn the data into other data, word by word where the words agree.
    pub(super) fn replace(&self, data: &[u8], relative: bool) -> Vec<(Range<usize>, Vec<u8>)> {
        let words = self.words();
        let style = self.style(relative);
        if words.is_empty() {
            let text = text(self.rtype, data, self.origin, style);
            let at = self.spans.rtype.end;
            return vec![(at..at, format!(" {text}").into_bytes())];
        }
        if self.is_generic(&words) {
            let digits: String = data.iter().map(|octet| format!("{octet:02X}")).collect();
            let held: usize = words.iter().skip(2).map(ExactSizeIterator::len).sum();
            if held == digits.len() {
                return self.replace_digits(words.get(2..).unwrap_or_default(), &digits);
            }
            let all = ["\\#".to_string(), data.len().to_string(), digits];
            let new = all.into_iter().filter(|word| !word.is_empty()).map(String::into_bytes).collect();
            return self.replace_words(&words, new);
        }
        self.replace_fields(&words, data, style).unwrap_or_else(|| {
            let whole = text(self.rtype, data, self.origin, style);
            self.replace_words(&words, vec![whole.into_bytes()])
        })
    }

    /// Returns the replacements that substitute the same number of hexadecimal digits, split into the same words.
    fn replace_digits(&self, words: &[Range<usize>], digits: &str) -> Vec<(Range<usize>, Vec<u8>)> {
        let mut rest = digits.as_bytes();
        let mut edits = Vec::new();
        for word in words {
            let (new, after) = rest.split_at(word.len());
            rest = after;
            let old = &self.text[word.clone()];
            if !old.eq_ignore_ascii_case(new) {
                let small = old.iter().any(u8::is_ascii_lowercase) && !old.iter().any(u8::is_ascii_uppercase);
                edits.push((word.clone(), if small { new.to_ascii_lowercase() } else { new.to_vec() }));
            }
        }
        edits
    }

    fn replace_fields(
        &self,
        words: &[Range<usize>],
        data: &[u8],
        style: Style,
    ) -> Option<Vec<(Range<usize>, Vec<u8>)>> {
        // Data that cannot be written field by field is written as a whole.
        let whole = text(self.rtype, data, self.origin, style);
        if whole.starts_with("\\#") {
            return None;
        }
        let (old, new) = (self.fields()?, wire::split(self.rtype.fields()?, data)?);
        let mut edits = Vec::new();
        for (at, (&(field, was), &(_, is))) in old.iter().zip(&new).enumerate() {
            let same = match field {
                Field::CompressedName | Field::Name => name::eq(was, is),
                _ => was == is,
            };
            if !is_one_word(field) {
                let rest = |fields: &[(Field, &[u8])]| fields[at..].iter().all(|(field, _)| *field == Field::Strings);
                if old[at..] == new[at..] {
                    break;
                }
                let texts = if rest(&new) {
                    strings(is)
                } else {
                    let parts: Option<Vec<_>> = new[at..]
                        .iter()
                        .map(|&(field, octets)| part(field, octets, data, self.origin, style))
                        .collect();
                    let text = join(&parts?);
                    if text.is_empty() { Vec::new() } else { vec![text] }
                };
                let texts: Vec<_> = texts.into_iter().map(String::into_bytes).collect();
                if at >= words.len() {
                    let end = self.spans.data.end;
                    let text = [b" ".to_vec(), texts.join(&b' ')].concat();
                    edits.push((end..end, text));
                } else {
                    edits.extend(self.replace_words(&words[at..], texts));
                }
                break;
            }
            let word = words.get(at)?.clone();
            if same {
                continue;
            }
            let written = &self.text[word.clone()];
            let new = match field {
                Field::Seconds => seconds_like(written, u32::from_be_bytes(is.try_into().ok()?)),
                Field::CompressedName | Field::Name => {
                    let relative = is_relative(written, was, self.origin).unwrap_or(style.relative);
                    spell(is, self.origin, relative).into_bytes()
                }
                _ => part(field, is, data, self.origin, style)?.into_bytes(),
            };
            edits.push((word, new));
        }
        Some(edits)
    }

    /// Returns the replacements of words by words; comments and parentheses between them stay.
    fn replace_words(&self, old: &[Range<usize>], mut new: Vec<Vec<u8>>) -> Vec<(Range<usize>, Vec<u8>)> {
        if new.len() > old.len() {
            let rest = new.split_off(old.len() - 1);
            new.push(rest.join(&b' '));
        }
        let mut edits = Vec::new();
        for (at, word) in old.iter().enumerate() {
            match new.get(at) {
                Some(text) if *text == self.text[word.clone()] => {}
                Some(text) => edits.push((word.clone(), text.clone())),
                None => {
                    let end = if at == 0 { self.spans.rtype.end } else { old[at - 1].end };
                    let gap = &self.text[end..word.start];
                    let blank = gap.iter().all(|octet| matches!(octet, b' ' | b'\t'));
                    edits.push((if blank { end..word.end } else { word.clone() }, Vec::new()));
                }
            }
        }
        edits
    }
}

/// Returns whether a field is always one word; other fields may take all remaining words.
fn is_one_word(field: Field) -> bool {
    !matches!(
        field,
        Field::OptionalString
            | Field::Strings
            | Field::Hex
            | Field::Base64
            | Field::Types
            | Field::OldTypes
            | Field::Parameters
            | Field::Names
            | Field::HostIdentity
            | Field::Location
            | Field::Prefixes
    )
}

/// Returns the text of each of several strings.
fn strings(octets: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    let mut rest = octets;
    while let Some(string) = rest.first().and_then(|&len| rest.get(..=usize::from(len))) {
        let mut text = String::new();
        let _ = print::push(Field::String, string, octets, &mut text);
        all.push(text);
        rest = &rest[string.len()..];
    }
    all
}
