//! Record data: its text turned into wire form, field by field as the table of types says.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::lexer::Token;
use super::{encoding, lossy, push_name, seconds, surplus};
use crate::zone::diagnostic::Fault;
use crate::zone::name;
use crate::zone::rtype::{Field, Type};

/// The most octets a record's data may have (RFC 1035 §3.2.1).
const MAX_RDATA: usize = 65_535;

/// What record data is read from.
pub(super) struct Source<'a> {
    pub(super) text: &'a [u8],
    /// The name relative names end in, in wire form.
    pub(super) origin: &'a [u8],
    /// What stands on the entry behind the type.
    pub(super) tokens: &'a [Token],
    /// Where the entry's last token ends, for what is missing.
    pub(super) end: usize,
}

impl Source<'_> {
    /// Appends the data of a record of `rtype`, which `mnemonic` names, to `out`.
    pub(super) fn read(&mut self, rtype: Type, mnemonic: &Token, out: &mut Vec<u8>) -> Result<(), Fault> {
        let first = self.tokens.first().copied();
        if first.is_some_and(|token| !token.quoted && token.of(self.text) == b"\\#") {
            self.read_generic(rtype, out)?;
        } else {
            let fields = rtype.fields().ok_or_else(|| {
                let fault =
                    Fault::at(mnemonic.at(), format!("the data of type {rtype} cannot be read in its text form"));
                fault.hint("write it as `\\#`, its length and hexadecimal digits (RFC 3597 §5)")
            })?;
            for &field in fields {
                self.field(field, out)?;
            }
        }
        if let Some(extra) = self.tokens.first() {
            return Err(surplus(extra));
        }
        if out.len() > MAX_RDATA {
            let at = first.map_or(self.end, |token| token.at());
            return Err(Fault::at(at, format!("the data has {} octets, at most 65535 are possible", out.len())));
        }
        Ok(())
    }

    /// Reads `\# length hex…` (RFC 3597 §5).
    fn read_generic(&mut self, rtype: Type, out: &mut Vec<u8>) -> Result<(), Fault> {
        let sign = self.token("`\\#`")?;
        let length = self.token("a length")?;
        let Some(len) = encoding::number(length.of(self.text), MAX_RDATA as u32) else {
            return Err(self.bad(&length, "a length from 0 to 65535"));
        };
        let octets = if len == 0 { Vec::new() } else { self.rest("hexadecimal digits", encoding::hex)? };
        if octets.len() != len as usize {
            return Err(Fault::at(length.at(), format!("the length says {len} but {} octets follow", octets.len())));
        }
        if !rtype.fields().is_none_or(|fields| is_well_formed(fields, &octets)) {
            return Err(Fault::at(sign.at(), format!("these octets are no data of type {rtype}")));
        }
        out.extend_from_slice(&octets);
        Ok(())
    }

    fn field(&mut self, field: Field, out: &mut Vec<u8>) -> Result<(), Fault> {
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
            Field::Hex => out.extend(self.rest("hexadecimal digits, two an octet", encoding::hex)?),
            Field::Base64 => out.extend(self.rest("base64", encoding::base64)?),
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
        }
        Ok(())
    }

    /// Takes the next token; `what` should be there.
    fn token(&mut self, what: &str) -> Result<Token, Fault> {
        let Some((token, rest)) = self.tokens.split_first() else {
            return Err(Fault::at(self.end, format!("{what} is missing here")));
        };
        self.tokens = rest;
        Ok(*token)
    }

    /// Takes the next token and turns it into a value.
    fn parse<'s, T>(&'s mut self, what: &str, parse: impl FnOnce(&'s [u8]) -> Option<T>) -> Result<T, Fault> {
        let token = self.token(what)?;
        let text = self.text;
        parse(token.of(text)).ok_or_else(|| self.bad(&token, what))
    }

    /// Takes all tokens left, joined, and turns them into octets, at least one.
    fn rest(&mut self, what: &str, decode: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Result<Vec<u8>, Fault> {
        let Some(first) = self.tokens.first().copied() else { return self.token(what).map(|_| Vec::new()) };
        let tokens = std::mem::take(&mut self.tokens);
        let joined = tokens.iter().flat_map(|token| token.of(self.text)).copied().collect::<Vec<_>>();
        decode(&joined).filter(|octets| !octets.is_empty()).ok_or_else(|| self.bad(&first, what))
    }

    /// Takes one character string (RFC 1035 §3.3).
    fn string(&mut self, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
        let token = self.token(what)?;
        let length = out.len();
        out.push(0);
        if encoding::push_unescaped(token.of(self.text), out).is_none() {
            return Err(self.bad_escape(&token));
        }
        let len = out.len() - length - 1;
        out[length] = u8::try_from(len).map_err(|_| {
            let fault = Fault::at(token.at(), format!("the string has {len} octets, at most 255 are possible"));
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

/// Returns whether octets given in the generic form are data of a type with these fields.
fn is_well_formed(fields: &[Field], data: &[u8]) -> bool {
    let mut rest = data;
    fields.iter().all(|field| {
        let len = match field {
            Field::U8 | Field::Algorithm => Some(1),
            Field::U16 | Field::Type | Field::CertificateType => Some(2),
            Field::U32 | Field::Seconds | Field::Ipv4 | Field::Time => Some(4),
            Field::Locator64 => Some(8),
            Field::Ipv6 => Some(16),
            Field::Eui(groups) => Some(usize::from(*groups)),
            Field::CompressedName | Field::Name => name::wire_len(rest),
            Field::String | Field::Tag | Field::Salt | Field::Base32 => rest.first().map(|&len| usize::from(len) + 1),
            Field::OptionalString => Some(rest.first().map_or(0, |&len| usize::from(len) + 1)),
            Field::Strings => strings_len(rest),
            Field::Octets | Field::Hex | Field::Base64 | Field::Types => Some(rest.len()),
        };
        match len.and_then(|len| rest.split_at_checked(len)) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        }
    }) && rest.is_empty()
}

/// Returns the length of all strings up to the end, or `None` if there is none or the last is cut short.
fn strings_len(data: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < data.len() {
        at += usize::from(data[at]) + 1;
    }
    (at == data.len() && at > 0).then_some(at)
}
