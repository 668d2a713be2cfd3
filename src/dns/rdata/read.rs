//! The parser for record data: converts text to wire form field by field, as the table of types defines.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::rules::Wrong;
use super::{encoding, location, prefixes, svcb, wire};
use crate::dns::diagnostic::Fault;
use crate::dns::lexer::{Lexer, Token};
use crate::dns::words::{lossy, push_name, seconds, surplus};
use crate::dns::{Field, Type, name};

/// The maximum length of a record's data, in octets (RFC 1035 §3.2.1).
const MAX_RDATA: usize = 65_535;

/// The input from which record data is read.
pub(crate) struct Source<'a> {
    pub(crate) text: &'a [u8],
    /// The origin of relative names, in wire form.
    pub(crate) origin: &'a [u8],
    /// The tokens of the entry that follow the type.
    pub(crate) tokens: &'a [Token],
    /// The end of the entry's last token, the position of errors about missing tokens.
    pub(crate) end: usize,
}

/// Parses `text`, which is one entry with absolute names, and appends the data of a record of `rtype` to `out`.
pub(crate) fn line(rtype: Type, text: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut tokens = Vec::new();
    let mut lexer = Lexer::new(text);
    lexer.entry(&mut tokens).transpose()?;
    let end = text.len();
    let mut source = Source { text, origin: &[0], tokens: &tokens, end };
    source.read(rtype, end, out)?;
    match lexer.entry(&mut Vec::new()) {
        None => Ok(()),
        Some(_) => Err(Fault::at(end, "the text contains more than one entry")),
    }
}

/// Returns whether data that begins with these words is in the generic form of RFC 3597 §5.
///
/// In a TXT record, `\#` can also be an escaped `#`. Like BIND and NSD, this function decides by whether a number
/// follows.
pub(crate) fn is_generic(rtype: Type, first: &[u8], second: Option<&[u8]>) -> bool {
    let number = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    first == b"\\#" && (rtype != Type::TXT || second.is_some_and(number))
}

/// Returns the finding about wrong data at an offset.
pub(crate) fn wrong_at(at: usize, wrong: Wrong) -> Fault {
    let fault = Fault::at(at, wrong.reason);
    match wrong.fix {
        Some(fix) => fault.hint(fix),
        None => fault,
    }
}

impl Source<'_> {
    /// Reads the data of a record of `rtype`, whose mnemonic is at `type_at`, and appends it to `out`.
    pub(crate) fn read(&mut self, rtype: Type, type_at: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        let generic = self.is_generic(rtype);
        self.read_data(rtype, type_at, out).map_err(|fault| {
            // For data of a single field, the error itself says what is expected.
            let several = generic || rtype.layout().is_some_and(|fields| fields.len() > 1);
            match rtype.example().filter(|_| fault.hint.is_none() && several) {
                Some(example) => fault.hint(format!("a valid record is, for example, `{rtype} {example}`")),
                None => fault,
            }
        })
    }

    fn read_data(&mut self, rtype: Type, type_at: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        let first = self.tokens.first().copied();
        if self.is_generic(rtype) {
            self.read_generic(rtype, out)?;
        } else {
            let fields = rtype.fields().ok_or_else(|| {
                let fault = Fault::at(type_at, format!("the data of type {rtype} can only be written in generic form"));
                fault.hint(match rtype.example() {
                    Some(example) => format!("write it in hexadecimal (RFC 3597 §5), for example `{rtype} {example}`"),
                    None => "write it as `\\#`, its length and hexadecimal digits (RFC 3597 §5)".to_owned(),
                })
            })?;
            let (start, tokens) = (out.len(), self.tokens);
            for &field in fields {
                self.field(field, start, out)?;
            }
            if let Err(wrong) = wire::rules(rtype, &out[start..]) {
                let read = Source { text: self.text, origin: self.origin, tokens, end: self.end };
                return Err(wrong_at(read.place(fields, wrong.field), wrong));
            }
        }
        if let Some(extra) = self.tokens.first() {
            return Err(surplus(extra));
        }
        if out.len() > MAX_RDATA {
            let at = first.map_or(self.end, |token| token.at());
            return Err(Fault::at(at, format!("the data has {} octets; the maximum is 65535", out.len())));
        }
        Ok(())
    }

    /// Returns whether the data is in the generic form of RFC 3597 §5.
    fn is_generic(&self, rtype: Type) -> bool {
        let Some((first, rest)) = self.tokens.split_first().filter(|(first, _)| !first.quoted) else { return false };
        let second = rest.first().filter(|second| !second.quoted);
        is_generic(rtype, first.of(self.text), second.map(|second| second.of(self.text)))
    }

    /// Returns the offset of the field with an index, in data that was read successfully.
    fn place(mut self, fields: &[Field], index: usize) -> usize {
        let mut octets = Vec::new();
        for &field in &fields[..index.min(fields.len())] {
            // These fields were read successfully before, so they cannot fail here.
            let _ = self.field(field, 0, &mut octets);
        }
        self.tokens.first().map_or(self.end, Token::at)
    }

    /// Reads data in generic form, `\# length hex…` (RFC 3597 §5).
    fn read_generic(&mut self, rtype: Type, out: &mut Vec<u8>) -> Result<(), Fault> {
        let marker = self.token("`\\#`")?;
        let length = self.token("a length")?;
        let Some(len) = encoding::number(length.of(self.text), MAX_RDATA as u32) else {
            return Err(self.bad(&length, "a length from 0 to 65535"));
        };
        let octets = if len == 0 { Vec::new() } else { self.rest("hexadecimal digits", encoding::hex)? };
        if octets.len() != len as usize {
            return Err(Fault::at(length.at(), format!("the length is {len} but {} octets follow", octets.len())));
        }
        wire::check(rtype, &octets).map_err(|wrong| wrong_at(marker.at(), wrong))?;
        out.extend_from_slice(&octets);
        Ok(())
    }

    /// Reads one field of the data that begins at offset `start` of `out`.
    fn field(&mut self, field: Field, start: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        match field {
            Field::U8 => out.push(self.parse("a number from 0 to 255", |w| encoding::number(w, 255))? as u8),
            Field::U16 => {
                let number = self.parse("a number from 0 to 65535", |w| encoding::number(w, 65_535))?;
                out.extend_from_slice(&(number as u16).to_be_bytes());
            }
            Field::U32 => {
                let number = self.parse("a number from 0 to 4294967295", |w| encoding::number(w, u32::MAX))?;
                out.extend_from_slice(&number.to_be_bytes());
            }
            Field::Seconds => {
                let seconds = self.parse("a number of seconds, or like 1w2d3h4m5s", seconds)?;
                out.extend_from_slice(&seconds.to_be_bytes());
            }
            Field::Ipv4 => {
                let address =
                    self.parse("an IPv4 address", |w| Ipv4Addr::from_str(std::str::from_utf8(w).ok()?).ok())?;
                out.extend_from_slice(&address.octets());
            }
            Field::Ipv6 => {
                let address =
                    self.parse("an IPv6 address", |w| Ipv6Addr::from_str(std::str::from_utf8(w).ok()?).ok())?;
                out.extend_from_slice(&address.octets());
            }
            Field::CompressedName | Field::Name => {
                let token = self.token("a domain name")?;
                push_name(self.text, &token, self.origin, out)?;
            }
            Field::String => self.string("a string", out)?,
            Field::Strings => {
                self.string("a string", out)?;
                while !self.tokens.is_empty() {
                    self.string("a string", out)?;
                    if out.len() > MAX_RDATA {
                        return Ok(());
                    }
                }
            }
            Field::OptionalString => {
                if !self.tokens.is_empty() {
                    self.string("a string", out)?;
                }
            }
            Field::Tag => {
                let tag = self.parse("a property tag of letters and digits", |w| {
                    (w.len() <= 255 && !w.is_empty() && w.iter().all(u8::is_ascii_alphanumeric)).then_some(w)
                })?;
                out.push(tag.len() as u8);
                out.extend_from_slice(tag);
            }
            Field::Octets => {
                let token = self.token("a string")?;
                if encoding::push_unescaped(token.of(self.text), out).is_none() {
                    return Err(self.bad_escape(&token));
                }
            }
            Field::Hex => out.extend(self.rest("hexadecimal digits, two per octet", encoding::hex)?),
            Field::Base64 => out.extend(self.rest("base64", encoding::base64)?),
            Field::DigestType => out.push(self.parse("a digest's number or mnemonic", encoding::digest_type)?),
            Field::Salt => {
                let salt = self.parse("a salt of up to 255 octets in hexadecimal, or `-`", |w| {
                    if w == b"-" { Some(Vec::new()) } else { encoding::hex(w).filter(|salt| salt.len() <= 255) }
                })?;
                out.push(salt.len() as u8);
                out.extend(salt);
            }
            Field::Base32 => {
                let hash =
                    self.parse("a hash in base32", |w| encoding::base32(w).filter(|h| matches!(h.len(), 1..=255)))?;
                out.push(hash.len() as u8);
                out.extend(hash);
            }
            Field::Type => {
                let rtype = self.parse("a record type", Type::from_text)?;
                out.extend_from_slice(&rtype.0.to_be_bytes());
            }
            Field::Types => {
                let mut types = Vec::new();
                while !self.tokens.is_empty() {
                    types.push(self.parse("a record type", Type::from_text)?);
                }
                encoding::push_type_bitmap(types, out);
            }
            Field::Algorithm => out.push(self.parse("an algorithm's number or mnemonic", encoding::algorithm)?),
            Field::CertificateType => {
                let kind = self.parse("a certificate type's number or mnemonic", encoding::certificate_type)?;
                out.extend_from_slice(&kind.to_be_bytes());
            }
            Field::Time => {
                let time = self.parse("a time YYYYMMDDHHMMSS", encoding::time)?;
                out.extend_from_slice(&time.to_be_bytes());
            }
            Field::Eui(groups) => {
                let start = out.len();
                let token = self.token("an EUI")?;
                if encoding::push_eui(token.of(self.text), groups, out).is_none() {
                    out.truncate(start);
                    return Err(self.bad(&token, "pairs of hexadecimal digits joined by hyphens"));
                }
            }
            Field::Locator64 => {
                let token = self.token("four groups of hexadecimal digits")?;
                if encoding::push_locator64(token.of(self.text), out).is_none() {
                    return Err(self.bad(&token, "four groups of hexadecimal digits joined by colons"));
                }
            }
            Field::Parameters => self.parameters(out)?,
            Field::Names => {
                while let Some((token, rest)) = self.tokens.split_first() {
                    push_name(self.text, token, self.origin, out)?;
                    self.tokens = rest;
                    if out.len() - start > MAX_RDATA {
                        return Ok(());
                    }
                }
            }
            Field::OldTypes => {
                let mut map = [0_u8; 16];
                while !self.tokens.is_empty() {
                    let rtype = self.parse("a record type from 1 to 127", |w| {
                        Type::from_text(w).filter(|rtype| matches!(rtype.0, 1..=127))
                    })?;
                    map[usize::from(rtype.0) / 8] |= 0x80 >> (rtype.0 % 8);
                }
                let len = map.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
                if len == 0 {
                    return Err(Fault::at(self.end, "a record type is missing here"));
                }
                out.extend_from_slice(&map[..len]);
            }
            Field::Gateway => self.gateway(out[start + 1], out)?,
            Field::HostIdentity => {
                let algorithm = self.parse("a number from 0 to 255", |w| encoding::number(w, 255))?;
                let what = "a host identity tag of up to 255 octets in hexadecimal";
                let tag = self.parse(what, |w| encoding::hex(w).filter(|tag| matches!(tag.len(), 1..=255)))?;
                let key =
                    self.parse("base64", |w| encoding::base64(w).filter(|key| matches!(key.len(), 1..=65_535)))?;
                out.extend_from_slice(&[tag.len() as u8, algorithm as u8]);
                out.extend_from_slice(&(key.len() as u16).to_be_bytes());
                out.extend(tag);
                out.extend(key);
            }
            Field::Location => {
                let tokens = std::mem::take(&mut self.tokens);
                // No LOC record has more than 12 words.
                let words: Vec<_> = tokens.iter().take(13).map(|token| token.of(self.text)).collect();
                location::read(&words, out).map_err(|(index, what)| match tokens.get(index) {
                    Some(token) => self.bad(token, what),
                    None => Fault::at(self.end, format!("{what} is missing here")),
                })?;
            }
            Field::Prefixes => {
                while !self.tokens.is_empty() {
                    let token = self.token("a prefix")?;
                    if prefixes::push(token.of(self.text), out).is_none() {
                        return Err(self.bad(&token, "a prefix like 1:192.0.2.0/24 or !2:2001:db8::/32"));
                    }
                    if out.len() - start > MAX_RDATA {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads the gateway of an IPSECKEY record; `kind` is the gateway type that precedes it (RFC 4025 §2.3).
    fn gateway(&mut self, kind: u8, out: &mut Vec<u8>) -> Result<(), Fault> {
        let address = |w: &[u8]| std::str::from_utf8(w).ok().map(str::to_owned);
        match kind {
            0 => drop(self.parse("`.`, since the gateway's type is 0", |w| (w == b".").then_some(()))?),
            1 => {
                let what = "an IPv4 address, since the gateway's type is 1";
                out.extend(self.parse(what, |w| Ipv4Addr::from_str(&address(w)?).ok())?.octets());
            }
            2 => {
                let what = "an IPv6 address, since the gateway's type is 2";
                out.extend(self.parse(what, |w| Ipv6Addr::from_str(&address(w)?).ok())?.octets());
            }
            3 => {
                let token = self.token("a domain name")?;
                push_name(self.text, &token, self.origin, out)?;
            }
            _ => {
                let token = self.token("a gateway")?;
                return Err(Fault::at(token.at(), format!("gateway type {kind} is unknown; valid types are 0 to 3")));
            }
        }
        Ok(())
    }

    /// Reads service parameters and sorts them by key (RFC 9460 §2.2).
    fn parameters(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut parameters: Vec<(u16, usize, Vec<u8>)> = Vec::new();
        while let Some((token, rest)) = self.tokens.split_first() {
            self.tokens = rest;
            let word = token.of(self.text);
            let (name, value) = match word.iter().position(|&octet| octet == b'=') {
                None => (word, None),
                // A quoted value is a separate token that begins directly after the equals sign.
                Some(equals) if equals + 1 == word.len() => match rest.split_first() {
                    Some((value, rest)) if value.quoted && value.at() == token.span().end + 1 => {
                        self.tokens = rest;
                        (&word[..equals], Some(value.of(self.text)))
                    }
                    _ => (&word[..equals], Some(&word[..0])),
                },
                Some(equals) => (&word[..equals], Some(&word[equals + 1..])),
            };
            let (key, octets) = svcb::parameter(name, value).map_err(|what| self.bad(token, what))?;
            parameters.push((key, token.at(), octets));
        }
        parameters.sort_by_key(|&(key, ..)| key);
        if let Some([_, (_, at, _)]) = parameters.array_windows::<2>().find(|[a, b]| a.0 == b.0) {
            return Err(Fault::at(*at, "this parameter is repeated"));
        }
        for (key, _, octets) in parameters {
            let len = u16::try_from(octets.len())
                .map_err(|_| Fault::at(self.end, "a parameter is longer than 65535 octets"))?;
            out.extend_from_slice(&key.to_be_bytes());
            out.extend_from_slice(&len.to_be_bytes());
            out.extend(octets);
        }
        Ok(())
    }

    /// Takes the next token; `what` names the expected token in errors.
    fn token(&mut self, what: &str) -> Result<Token, Fault> {
        let Some((token, rest)) = self.tokens.split_first() else {
            return Err(Fault::at(self.end, format!("{what} is missing here")));
        };
        self.tokens = rest;
        Ok(*token)
    }

    /// Takes the next token and parses it; `what` names the expected token in errors.
    fn parse<'s, T>(&'s mut self, what: &str, parse: impl FnOnce(&'s [u8]) -> Option<T>) -> Result<T, Fault> {
        let token = self.token(what)?;
        let text = self.text;
        parse(token.of(text)).ok_or_else(|| self.bad(&token, what))
    }

    /// Takes all remaining tokens, joins them and decodes them to one or more octets.
    fn rest(&mut self, what: &str, decode: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Result<Vec<u8>, Fault> {
        let Some(first) = self.tokens.first().copied() else { return self.token(what).map(|_| Vec::new()) };
        let tokens = std::mem::take(&mut self.tokens);
        let joined = tokens.iter().flat_map(|token| token.of(self.text)).copied().collect::<Vec<_>>();
        decode(&joined).filter(|octets| !octets.is_empty()).ok_or_else(|| self.bad(&first, what))
    }

    /// Reads one character string (RFC 1035 §3.3).
    fn string(&mut self, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
        let token = self.token(what)?;
        let length = out.len();
        out.push(0);
        if encoding::push_unescaped(token.of(self.text), out).is_none() {
            return Err(self.bad_escape(&token));
        }
        let len = out.len() - length - 1;
        out[length] = u8::try_from(len).map_err(|_| {
            let fault = Fault::at(token.at(), format!("the string has {len} octets; the maximum is 255"));
            fault.hint("split it into several quoted strings")
        })?;
        Ok(())
    }

    fn bad(&self, token: &Token, what: &str) -> Fault {
        Fault::at(token.at(), format!("expected {what}, not `{}`", lossy(token.of(self.text))))
    }

    fn bad_escape(&self, token: &Token) -> Fault {
        let word = token.of(self.text);
        let mut at = 0;
        while at < word.len() {
            match (word[at], name::unescape(&word[at..])) {
                (b'\\', None) => break,
                (b'\\', Some((_, len))) => at += len,
                _ => at += 1,
            }
        }
        Fault::at(token.at() + at, name::NameError::BadEscape.to_string())
    }
}
