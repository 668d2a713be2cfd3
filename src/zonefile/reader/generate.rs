//! `$GENERATE`: many records from one line, as BIND writes it.
//!
//! `$GENERATE start-stop[/step] owner [TTL] [class] type data`: in the owner and the data, a `$` stands for the
//! number, `${offset,width,base}` for the number plus an offset, filled with zeros to a width and in base `d`, `o`,
//! `x` or `X`, or as nibbles in reverse order with dots between them (`n`, `N`). `$$` and `\$` are a plain `$`.
//! Data of several words stands in quotes.

use std::fmt::Write;

use super::{MAX_REPEATED, Reader, Record, Spans};
use crate::dns::diagnostic::{Fault, Report};
use crate::dns::lexer::{self, Lexer, Token};
use crate::dns::name;
use crate::dns::rdata::read::Source;
use crate::dns::rdata::rules::owner as check_owner;
use crate::dns::words::lossy;

/// The most records one line may make.
const MAX_RECORDS: u32 = 65_536;

/// The most octets one number may take, as BIND has it.
const MAX_NUMBER: usize = 127;

/// The most octets an owner or a record's data may take in text.
const MAX_TEXT: usize = 1 << 18;

/// What a record made counts beside its text, since short ones take memory too.
const RECORD: usize = 64;

/// A `$GENERATE` entry under way.
pub(super) struct Generate {
    numbers: Range,
    owner_pattern: Vec<u8>,
    data_pattern: Vec<u8>,
    record: Record,
    /// The text of the record being made, and its owner in wire form.
    text: Vec<u8>,
    pub(super) owner: Vec<u8>,
}

impl Reader<'_, '_, '_> {
    /// Begins to make records; the first one comes with the next step.
    pub(super) fn begin_generate(
        &mut self,
        entry: &lexer::Entry,
        tokens: &[Token],
        report: &mut Report,
    ) -> Result<(), Fault> {
        let text = self.file.text();
        let missing = |what: &str| Fault::at(tokens[0].at(), format!("$GENERATE needs {what}"));
        let [directive, range, owner, rest @ ..] = tokens else {
            let hint = "it is written `$GENERATE 1-10 host$ A 192.0.2.$`";
            return Err(missing("a range, an owner, a type and data").hint(hint));
        };
        let numbers = Range::from_text(range.of(text)).map_err(|reason| Fault::at(range.at(), reason))?;
        let head = self.head(rest, report)?;
        let Some(rtype_token) = head.rtype else { return Err(missing("a type and data")) };
        let rtype = self.rtype(rtype_token)?;
        let data = match head.data {
            [data] => data,
            [] => return Err(missing("data behind the type")),
            [_, extra, ..] => {
                return Err(Fault::at(extra.at(), "the data of $GENERATE is one word or stands in quotes")
                    .hint("put quotes around it all, and write `\\\"` for a quote in it"));
            }
        };
        let ttl = self.effective_ttl(rtype, head.ttl, directive, report)?;
        self.spans = Spans {
            entry: entry.span.clone(),
            ttl: head.ttl_at,
            class: head.class_at,
            rtype: rtype_token.span(),
            ..Spans::default()
        };
        let place = self.file.base() + directive.at();
        let record = Record { rtype, ttl, place, generated: true };
        let mut data_pattern = data.of(text).to_vec();
        if data.quoted {
            // Within the quotes, an escaped quote is one of the data's own.
            let mut at = 0;
            while at + 1 < data_pattern.len() {
                match (data_pattern[at], data_pattern[at + 1]) {
                    (b'\\', b'"') => {
                        data_pattern.remove(at);
                        at += 1;
                    }
                    (b'\\', _) => at += 2,
                    _ => at += 1,
                }
            }
        }
        let owner_pattern = owner.of(text).to_vec();
        let (text, owner) = (Vec::new(), Vec::new());
        self.generate = Some(Generate { numbers, owner_pattern, data_pattern, record, text, owner });
        Ok(())
    }

    /// Makes the next record of a `$GENERATE` entry.
    pub(super) fn generate(&mut self) -> Result<Option<Record>, Fault> {
        let Some(generate) = &mut self.generate else { return Ok(None) };
        let Some(number) = generate.numbers.next() else { return Ok(None) };
        let place = generate.record.place - self.file.base();
        let fault = |reason: &str| Fault::at(place, format!("for the number {number}: {reason}"));
        let text = &mut generate.text;
        text.clear();
        expand(&generate.owner_pattern, number, text).map_err(fault)?;
        generate.owner.clear();
        match text.as_slice() {
            b"@" => generate.owner.extend_from_slice(&self.state.origin),
            text => name::push_text(text, &self.state.origin, &mut generate.owner)
                .map_err(|error| fault(&format!("the owner `{}`: {error}", lossy(text))))?,
        }
        self.repeated += text.len() + RECORD;
        text.clear();
        expand(&generate.data_pattern, number, text).map_err(fault)?;
        self.repeated += text.len();
        if self.repeated > MAX_REPEATED {
            return Err(fault("the zone's $GENERATE entries and repeated files make more than 64 MiB of text"));
        }
        let mut lexer = Lexer::new(text);
        lexer.entry(&mut self.tokens).transpose().map_err(|inner| fault(&inner.reason))?;
        self.rdata.clear();
        let mut source = Source { text, origin: &self.state.origin, tokens: &self.tokens, end: text.len() };
        let rtype = generate.record.rtype;
        source.read(rtype, 0, &mut self.rdata).map_err(|inner| {
            let shown = fault(&format!("the data `{}`: {}", lossy(text), inner.reason));
            Fault { hint: inner.hint, ..shown }
        })?;
        check_owner(rtype, &generate.owner).map_err(|wrong| fault(&wrong.reason))?;
        Ok(Some(generate.record))
    }
}

/// The numbers to count through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    next: u32,
    stop: u32,
    step: u32,
}

impl Range {
    /// Reads `start-stop[/step]`; an error says what is wrong.
    fn from_text(word: &[u8]) -> Result<Self, &'static str> {
        const FORM: &str = "a range is written `start-stop` or `start-stop/step`, with numbers up to 2147483647";
        let text = std::str::from_utf8(word).map_err(|_| FORM)?;
        let (range, step) = text.split_once('/').unwrap_or((text, "1"));
        let (start, stop) = range.split_once('-').ok_or(FORM)?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
            text.parse::<i32>().ok().filter(|_| digits).map(i32::cast_unsigned).ok_or(FORM)
        };
        let (start, stop, step) = (number(start)?, number(stop)?, number(step)?);
        if start > stop {
            return Err("the range ends before it starts");
        }
        if step == 0 {
            return Err("the range's step is 0");
        }
        if (stop - start) / step >= MAX_RECORDS {
            return Err("the range has more than 65536 numbers");
        }
        Ok(Self { next: start, stop, step })
    }
}

impl Iterator for Range {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let number = self.next;
        // Numbers reach 2³¹ - 1, so this cannot overflow.
        self.next = number.saturating_add(self.step);
        (number <= self.stop).then_some(number)
    }
}

/// Appends a pattern with a number put in; an error says what is wrong with the pattern.
fn expand(pattern: &[u8], number: u32, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let start = out.len();
    let mut rest = pattern;
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        match (octet, after) {
            (b'$', [b'$', after @ ..]) => {
                out.push(b'$');
                rest = after;
            }
            (b'$', [b'{', after @ ..]) => {
                const OPEN: &str = "a `${` is never closed by a `}`";
                let end = after.iter().position(|&octet| octet == b'}').ok_or(OPEN)?;
                push_number(&after[..end], number, out)?;
                rest = &after[end + 1..];
            }
            (b'$', _) => out.extend_from_slice(number.to_string().as_bytes()),
            (b'\\', [next, after @ ..]) => {
                out.extend_from_slice(&[octet, *next]);
                rest = after;
            }
            _ => out.push(octet),
        }
        if out.len() - start > MAX_TEXT {
            return Err("the pattern makes more than 256 KiB of text");
        }
    }
    Ok(())
}

/// Appends a number changed as `offset[,width[,base]]` says.
fn push_number(modifier: &[u8], number: u32, out: &mut Vec<u8>) -> Result<(), &'static str> {
    const FORM: &str = "what stands in `${…}` is an offset, a width and one of `d o x X n N`, like `${-1,3,d}`";
    let mut parts = std::str::from_utf8(modifier).map_err(|_| FORM)?.split(',');
    let offset: i32 = parts.next().and_then(|part| part.parse().ok()).ok_or(FORM)?;
    let width = match parts.next() {
        None => 0,
        Some(part) if part.bytes().all(|octet| octet.is_ascii_digit()) => part.parse::<usize>().map_err(|_| FORM)?,
        Some(_) => return Err(FORM),
    };
    let base = parts.next().unwrap_or("d");
    if parts.next().is_some() {
        return Err(FORM);
    }
    if width > MAX_NUMBER {
        return Err("a number has a width of at most 127");
    }
    let value = i64::from(number) + i64::from(offset);
    if value > i64::from(i32::MAX) {
        return Err("a number becomes larger than 2147483647");
    }
    let mut text = String::new();
    let _ = match (base, u32::try_from(value)) {
        ("d", _) => write!(text, "{value:0width$}"),
        (_, Err(_)) => return Err("a negative number has no form but the decimal one"),
        ("o", Ok(value)) => write!(text, "{value:0width$o}"),
        ("x", Ok(value)) => write!(text, "{value:0width$x}"),
        ("X", Ok(value)) => write!(text, "{value:0width$X}"),
        ("n" | "N", Ok(value)) => {
            push_nibbles(value, width, base == "N", &mut text);
            Ok(())
        }
        _ => return Err(FORM),
    };
    if text.len() > MAX_NUMBER {
        return Err("a number has a width of at most 127");
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Appends hexadecimal digits, the last first, with dots between them; the width counts the dots.
fn push_nibbles(mut value: u32, mut width: usize, capitals: bool, text: &mut String) {
    loop {
        let digit = char::from_digit(value & 15, 16).unwrap_or('0');
        text.push(if capitals { digit.to_ascii_uppercase() } else { digit });
        value >>= 4;
        width = width.saturating_sub(1);
        if width == 0 && value == 0 {
            return;
        }
        // BIND ends an even width in a dot.
        text.push('.');
        width = width.saturating_sub(1);
        if width == 0 && value == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::zonefile::reader::generate::*;

    #[test]
    fn ranges() {
        let numbers = |text: &str| Range::from_text(text.as_bytes()).map(Iterator::collect::<Vec<_>>);
        assert_eq!(numbers("1-3"), Ok(vec![1, 2, 3]));
        assert_eq!(numbers("0-10/4"), Ok(vec![0, 4, 8]));
        assert_eq!(numbers("7-7"), Ok(vec![7]));
        assert_eq!(numbers("2147483646-2147483647").map(|all| all.len()), Ok(2));
        assert_eq!(numbers("1-65536").map(|all| all.len()), Ok(65_536));
        assert_eq!(numbers("0-65536"), Err("the range has more than 65536 numbers"));
        assert_eq!(numbers("0-131071/2").map(|all| all.len()), Ok(65_536));
        assert_eq!(numbers("2-1"), Err("the range ends before it starts"));
        assert_eq!(numbers("1-2/0"), Err("the range's step is 0"));
        for bad in ["", "1", "1-", "-1", "1-2/", "+1-2", "1-2/-1", "1-2147483648", "a-b", "1-2/1/1"] {
            assert!(numbers(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns() {
        let expanded = |pattern: &str, number| {
            let mut out = Vec::new();
            expand(pattern.as_bytes(), number, &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        for (pattern, number, text) in [
            ("a$b", 5, "a5b"),
            ("$.$", 5, "5.5"),
            ("$$\\$\\\\$", 5, "$\\$\\\\5"),
            ("${0}", 5, "5"),
            ("${-7}", 5, "-2"),
            ("${+7,3}", 5, "012"),
            ("${0,3,d}", 5, "005"),
            ("${0,3,o}", 64, "100"),
            ("${0,0,x}-${0,4,X}", 171, "ab-00AB"),
            ("${0,0,n}", 0, "0"),
            ("${0,1,n}", 0, "0"),
            ("${0,3,n}", 0xab, "b.a"),
            ("${0,7,N}", 0xab, "B.A.0.0"),
            ("${0,4,n}", 0xab, "b.a."),
            ("${0,2,n}", 1, "1."),
        ] {
            assert_eq!(expanded(pattern, number), Ok(text.to_string()), "{pattern}");
        }
        for bad in [
            "${",
            "${}",
            "${a}",
            "${0,}x{",
            "${0,x}",
            "${0,1,q}",
            "${0,1,d,}",
            "${0,128}",
            "${-9,0,x}",
            "${2147483647}",
        ] {
            assert!(expanded(bad, 1).is_err(), "{bad}");
        }
    }
}
