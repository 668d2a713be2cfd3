//! Zone-file text turned into records with spans (RFC 1035 §5, RFC 2308 §4).
//!
//! The reader is a stream: it yields one record at a time, names and data in wire form in buffers it
//! uses again, with the spans of the text it came from. Who builds a zone drops the spans; who edits the
//! file reads it again and finds in them what to replace. An entry that cannot be read is reported and the
//! reader goes on behind it, so that one look shows all that is wrong.

pub(super) mod lexer;

use std::ops::Range;

use self::lexer::{Lexer, Token};
use super::diagnostic::{Fault, Report};
use super::name::{self, Name};
use super::rdata::read::Source;
use super::rtype::Type;

/// The largest TTL (RFC 2181 §8).
const MAX_TTL: u32 = 0x7fff_ffff;

/// Where a record stands in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The record's type.
    pub(crate) rtype: Type,
    /// The time to live, written or inherited, in seconds.
    pub(crate) ttl: u32,
    /// The whole entry, comments on its lines included, the last line's end excluded.
    pub(crate) entry: Range<usize>,
    /// The type's mnemonic.
    pub(crate) type_at: Range<usize>,
}

impl Record {
    /// Returns the offset to name in a finding about the record: its owner, or its type where that is inherited.
    pub(crate) fn place(&self, text: &[u8]) -> usize {
        if matches!(text[self.entry.start], b' ' | b'\t' | b'(') { self.type_at.start } else { self.entry.start }
    }
}

/// Reads a zone file record by record.
pub(crate) struct Reader<'t> {
    text: &'t [u8],
    lexer: Lexer<'t>,
    tokens: Vec<Token>,
    origin: Vec<u8>,
    owner: Vec<u8>,
    rdata: Vec<u8>,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
}

impl<'t> Reader<'t> {
    /// Begins to read the file of a zone; `text` has less than 4 GiB.
    pub(crate) fn new(apex: &Name, text: &'t [u8]) -> Self {
        Self {
            text,
            lexer: Lexer::new(text),
            tokens: Vec::new(),
            origin: apex.as_wire().to_vec(),
            owner: Vec::new(),
            rdata: Vec::new(),
            default_ttl: None,
            last_ttl: None,
        }
    }

    /// Returns the owner of the record last read, in wire form.
    pub(crate) fn owner(&self) -> &[u8] {
        &self.owner
    }

    /// Returns the data of the record last read, in wire form.
    pub(crate) fn rdata(&self) -> &[u8] {
        &self.rdata
    }

    /// Reads on to the next record; `None` at the end. What cannot be read goes to `report`.
    pub(crate) fn next(&mut self, report: &mut Report) -> Option<Record> {
        // The list of tokens is lent to the methods that read from it.
        let mut tokens = std::mem::take(&mut self.tokens);
        let record = loop {
            let result = match self.lexer.entry(&mut tokens) {
                None => break None,
                Some(Err(fault)) => Err(fault),
                Some(Ok(entry)) => {
                    let first = tokens[0];
                    if !entry.indented && !first.quoted && first.of(self.text).starts_with(b"$") {
                        self.directive(&tokens).map(|()| None)
                    } else {
                        self.record(&entry, &tokens, report).map(Some)
                    }
                }
            };
            match result {
                Ok(None) => {}
                Ok(record) => break record,
                Err(fault) => report.error(fault),
            }
        };
        self.tokens = tokens;
        record
    }

    fn directive(&mut self, tokens: &[Token]) -> Result<(), Fault> {
        let word = tokens[0].of(self.text);
        let argument = || match tokens {
            [_, argument] => Ok(argument),
            [first] => Err(Fault::at(first.at(), format!("{} needs a value", lossy(word)))),
            [_, _, extra, ..] => Err(surplus(extra)),
            [] => unreachable!("an entry has a token"),
        };
        if word.eq_ignore_ascii_case(b"$ORIGIN") {
            let argument = argument()?;
            let mut origin = Vec::new();
            self.push_name(argument, &mut origin)?;
            self.origin = origin;
        } else if word.eq_ignore_ascii_case(b"$TTL") {
            let argument = argument()?;
            self.default_ttl = Some(self.ttl(argument)?);
        } else if word.eq_ignore_ascii_case(b"$INCLUDE") || word.eq_ignore_ascii_case(b"$GENERATE") {
            let reason = format!("{} is not supported yet", lossy(word));
            return Err(Fault::at(tokens[0].at(), reason).hint("write its records into this file"));
        } else {
            let fault = Fault::at(tokens[0].at(), format!("there is no directive {}", lossy(word)));
            return Err(fault.hint("the directives are $ORIGIN and $TTL; a name that begins with `$` is written `\\$`"));
        }
        Ok(())
    }

    fn record(&mut self, entry: &lexer::Entry, tokens: &[Token], report: &mut Report) -> Result<Record, Fault> {
        let mut rest = tokens;
        if !entry.indented {
            rest = &tokens[1..];
            let mut owner = std::mem::take(&mut self.owner);
            owner.clear();
            let result = self.push_name(&tokens[0], &mut owner);
            self.owner = owner;
            result?;
        } else if self.owner.is_empty() {
            let fault = Fault::at(tokens[0].at(), "there is no owner name before this line to inherit");
            return Err(fault.hint("begin the line with a name, or with `@` for the zone itself"));
        }
        let (mut explicit_ttl, mut class) = (None, false);
        let token = loop {
            let Some((token, after)) = rest.split_first() else {
                return Err(self.no_type(tokens, entry));
            };
            let word = token.of(self.text);
            if explicit_ttl.is_none() && word.first().is_some_and(u8::is_ascii_digit) {
                explicit_ttl = Some(self.ttl(token).map_err(|fault| self.hint_at_owner(fault, tokens, entry))?);
            } else if !class && is_class(word) {
                if !word.eq_ignore_ascii_case(b"IN") && !word.eq_ignore_ascii_case(b"CLASS1") {
                    return Err(Fault::at(token.at(), format!("class {} is not served, only IN", lossy(word))));
                }
                class = true;
            } else {
                rest = after;
                break token;
            }
            rest = after;
        };
        let Some(rtype) = Type::from_text(token.of(self.text)) else {
            return Err(self.unknown_type(token, tokens, entry));
        };
        if rtype.is_meta() {
            return Err(Fault::at(token.at(), format!("{rtype} is a type for questions, no record can have it")));
        }
        self.rdata.clear();
        let end = tokens.last().map_or(entry.span.end, |token| token.span().end + usize::from(token.quoted));
        let mut source = Source { text: self.text, origin: &self.origin, tokens: rest, end };
        source.read(rtype, token.at(), &mut self.rdata)?;
        let ttl = self.effective_ttl(rtype, explicit_ttl, token, report)?;
        Ok(Record { rtype, ttl, entry: entry.span.clone(), type_at: token.span() })
    }

    /// Settles the TTL of a record: its own, else that of `$TTL` (RFC 2308 §4), else the last one written
    /// (RFC 1035 §5.1), else for the SOA record, which comes first, its own minimum.
    fn effective_ttl(
        &mut self,
        rtype: Type,
        own: Option<u32>,
        token: &Token,
        report: &mut Report,
    ) -> Result<u32, Fault> {
        if let Some(ttl) = own {
            self.last_ttl = Some(ttl);
            return Ok(ttl);
        }
        if let Some(ttl) = self.default_ttl.or(self.last_ttl) {
            return Ok(ttl);
        }
        let hint = "put `$TTL 3600` at the top of the file";
        if let (Type::SOA, Some(minimum)) = (rtype, self.rdata.last_chunk::<4>()) {
            let ttl = u32::from_be_bytes(*minimum).min(MAX_TTL);
            self.default_ttl = Some(ttl);
            let reason =
                format!("there is no TTL; the SOA record's minimum, {ttl}, is taken for it and for what follows");
            report.warning(Fault::at(token.at(), reason).hint(hint));
            return Ok(ttl);
        }
        Err(Fault::at(token.at(), "the record has no TTL and there is none before to inherit").hint(hint))
    }

    fn push_name(&self, token: &Token, out: &mut Vec<u8>) -> Result<(), Fault> {
        push_name(self.text, token, &self.origin, out)
    }

    fn ttl(&self, token: &Token) -> Result<u32, Fault> {
        match seconds(token.of(self.text)) {
            Some(ttl) if ttl <= MAX_TTL => Ok(ttl),
            Some(_) => Err(Fault::at(token.at(), "a TTL is at most 2147483647 (RFC 2181 §8)")),
            None => {
                let reason = format!("`{}` is no TTL", lossy(token.of(self.text)));
                Err(Fault::at(token.at(), reason).hint("a TTL is a number of seconds, or like 1w2d3h4m5s"))
            }
        }
    }

    fn no_type(&self, tokens: &[Token], entry: &lexer::Entry) -> Fault {
        let fault = Fault::at(tokens[tokens.len() - 1].span().end, "the line ends without a record type");
        self.hint_at_owner(fault, tokens, entry)
    }

    fn unknown_type(&self, token: &Token, tokens: &[Token], entry: &lexer::Entry) -> Fault {
        let word = token.of(self.text);
        let fault = Fault::at(token.at(), format!("there is no record type {}", lossy(word)));
        match Type::nearest(word) {
            Some(nearest) => fault.hint(format!("did you mean {nearest}?")),
            None => self.hint_at_owner(fault, tokens, entry),
        }
    }

    /// Adds the hint that the line should have begun with a blank, when its first word looks like no owner.
    fn hint_at_owner(&self, fault: Fault, tokens: &[Token], entry: &lexer::Entry) -> Fault {
        let first = tokens[0].of(self.text);
        let capitals = !first.iter().any(u8::is_ascii_lowercase);
        if !entry.indented && capitals && (is_class(first) || Type::from_text(first).is_some()) {
            return fault.hint(format!(
                "`{}` in the first column is read as an owner name; begin the line with a blank to inherit the owner",
                lossy(first)
            ));
        }
        fault
    }
}

fn is_class(word: &[u8]) -> bool {
    let classes: [&[u8]; 4] = [b"IN", b"CH", b"HS", b"CS"];
    word.len() == 2 && classes.iter().any(|class| word.eq_ignore_ascii_case(class))
        || word.len() > 5 && word[..5].eq_ignore_ascii_case(b"CLASS") && word[5..].iter().all(u8::is_ascii_digit)
}

/// Appends the name a token spells, `@` being the origin.
pub(super) fn push_name(text: &[u8], token: &Token, origin: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    match token.of(text) {
        b"@" if !token.quoted => {
            out.extend_from_slice(origin);
            Ok(())
        }
        word => name::push_text(word, origin, out).map_err(|error| Fault::at(token.at(), error.to_string())),
    }
}

/// Reads a number of seconds: digits alone, or groups of digits and one of the units `w d h m s`.
pub(super) fn seconds(word: &[u8]) -> Option<u32> {
    let (mut total, mut number, mut digits, mut units) = (0_u32, 0_u32, false, false);
    for &octet in word {
        if octet.is_ascii_digit() {
            number = number.checked_mul(10)?.checked_add(u32::from(octet - b'0'))?;
            digits = true;
            continue;
        }
        let unit = match octet.to_ascii_lowercase() {
            b'w' => 604_800,
            b'd' => 86_400,
            b'h' => 3_600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        if !digits {
            return None;
        }
        total = total.checked_add(number.checked_mul(unit)?)?;
        (number, digits, units) = (0, false, true);
    }
    match (digits, units) {
        (true, false) => Some(number),
        (false, true) => Some(total),
        _ => None,
    }
}

pub(super) fn surplus(token: &Token) -> Fault {
    Fault::at(token.at(), "there is more on the line than belongs to it").hint("a comment begins with `;`")
}

/// Returns a word for showing, cut to a bearable length.
pub(super) fn lossy(word: &[u8]) -> String {
    let shown: String =
        String::from_utf8_lossy(word.get(..40).unwrap_or(word)).chars().flat_map(char::escape_debug).collect();
    if word.len() > 40 { shown + "…" } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, value) in [("0", 0), ("3600", 3600), ("1h", 3600), ("1W2d3H4m5s", 788_645), ("4294967295", u32::MAX)]
        {
            assert_eq!(seconds(text.as_bytes()), Some(value), "{text}");
        }
        for text in ["", "h", "1h30", "1x", "4294967296", "1hh", "8000w", "-1", "+1"] {
            assert_eq!(seconds(text.as_bytes()), None, "{text}");
        }
    }
}
