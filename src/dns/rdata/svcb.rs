//! The parameters of SVCB and HTTPS records (RFC 9460 §2.1, §7, §14.3.2).

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::encoding;

/// The registered keys, by number.
const KEYS: &[&str] =
    &["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp"];

/// Parses a key: its name, or `key` and a number without leading zeros.
fn key(word: &[u8]) -> Option<u16> {
    if let Some(at) = KEYS.iter().position(|name| name.as_bytes() == word) {
        return u16::try_from(at).ok();
    }
    let number = word.strip_prefix(b"key")?;
    let value = encoding::number(number, 65_534)?;
    (number.len() == 1 || number[0] != b'0').then_some(value as u16)
}

/// Parses one parameter, `key` or `key=value`, with escapes still in the value. Returns its key and the octets of its
/// value; the error is what was expected.
pub(super) fn parameter(name: &[u8], value: Option<&[u8]>) -> Result<(u16, Vec<u8>), &'static str> {
    let key = key(name).ok_or("the name of a service parameter")?;
    let mut octets = Vec::new();
    let has_value = value.is_some_and(|value| !value.is_empty());
    let mut plain = Vec::new();
    encoding::push_unescaped(value.unwrap_or_default(), &mut plain).ok_or("a value with valid escapes")?;
    let text = std::str::from_utf8(&plain).unwrap_or_default();
    // The value of a key that is given by number is in wire form (RFC 9460 §2.1).
    if name.starts_with(b"key") {
        return if is_value(key, &plain) { Ok((key, plain)) } else { Err("a value in wire form") };
    }
    match key {
        0 => {
            let mut keys = Vec::new();
            for name in plain.split(|&octet| octet == b',') {
                // RFC 9460 §8: the list excludes `mandatory` itself and has no duplicates.
                let mandatory = self::key(name).filter(|&key| key != 0 && !keys.contains(&key));
                keys.push(mandatory.ok_or("a list of names of other parameters, without duplicates")?);
            }
            keys.sort_unstable();
            octets.extend(keys.iter().flat_map(|key| key.to_be_bytes()));
        }
        1 => push_protocols(&plain, &mut octets).ok_or("a list of protocols, each of 1 to 255 octets")?,
        2 | 8 if has_value => return Err("a parameter without a value"),
        2 | 8 => {}
        3 => {
            let port = encoding::number(&plain, 65_535).ok_or("a port from 0 to 65535")?;
            octets.extend_from_slice(&(port as u16).to_be_bytes());
        }
        4 => {
            for address in text.split(',') {
                octets.extend(Ipv4Addr::from_str(address).map_err(|_| "a list of IPv4 addresses")?.octets());
            }
        }
        5 => octets = encoding::base64(&plain).filter(|ech| !ech.is_empty()).ok_or("base64")?,
        6 => {
            for address in text.split(',') {
                octets.extend(Ipv6Addr::from_str(address).map_err(|_| "a list of IPv6 addresses")?.octets());
            }
        }
        7 if !has_value => return Err("a path template"),
        _ => octets = plain,
    }
    Ok((key, octets))
}

/// Appends comma-separated protocols, each with its length octet; `\,` and `\\` are escapes (RFC 9460 §A.1).
fn push_protocols(list: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut item = Vec::new();
    let mut octets = list.iter();
    loop {
        match octets.next() {
            Some(b'\\') => item.push(*octets.next()?),
            Some(&octet) if octet != b',' => item.push(octet),
            end => {
                out.push(u8::try_from(item.len()).ok().filter(|&len| len > 0)?);
                out.append(&mut item);
                if end.is_none() {
                    return Some(());
                }
            }
        }
    }
}

/// Returns whether parameters in wire form fill the data, have keys in ascending order (RFC 9460 §2.2) and have values
/// that are valid for their keys.
pub(super) fn is_well_formed(data: &[u8]) -> bool {
    let mut last = None;
    parameters(data).all(|parameter| {
        parameter.is_some_and(|(key, value)| {
            let ascending = last.is_none_or(|last| last < key);
            last = Some(key);
            ascending && is_value(key, value)
        })
    })
}

/// Checks well-formed parameters against each other; the error is the reason.
pub(super) fn rules(data: &[u8]) -> Result<(), Cow<'static, str>> {
    let has = |required: u16| parameters(data).flatten().any(|(key, _)| key == required);
    if let Some((0, mandatory)) = parameters(data).flatten().next() {
        let missing = mandatory.as_chunks::<2>().0.iter().map(|key| u16::from_be_bytes(*key)).find(|&key| !has(key));
        if let Some(missing) = missing {
            let name = Key(missing);
            return Err(format!("`mandatory` lists {name}, but that parameter is missing (RFC 9460 §8)").into());
        }
    }
    let path = parameters(data).flatten().find(|&(key, _)| key == 7);
    if path.is_some_and(|(_, path)| !is_path_template(path)) {
        return Err("`dohpath` must be a path with the variable `dns`, like /dns-query{?dns} (RFC 9461 §5)".into());
    }
    if has(2) && !has(1) {
        return Err("`no-default-alpn` has no meaning without `alpn` (RFC 9460 §7.1.1)".into());
    }
    Ok(())
}

/// Formats well-formed parameters.
pub(super) fn print(data: &[u8]) -> Option<String> {
    let mut text = String::new();
    for parameter in parameters(data) {
        let (key, value) = parameter?;
        if !text.is_empty() {
            text.push(' ');
        }
        let name = Key(key);
        let list = |items: Vec<String>| items.join(",");
        let octets = match key {
            0 => list(value.as_chunks::<2>().0.iter().map(|key| Key(u16::from_be_bytes(*key)).to_string()).collect()),
            1 => {
                let mut octets = Vec::new();
                let mut rest = value;
                while let Some((&len, tail)) = rest.split_first() {
                    let (item, after) = tail.split_at_checked(usize::from(len))?;
                    for &octet in item {
                        if matches!(octet, b',' | b'\\') {
                            octets.push(b'\\');
                        }
                        octets.push(octet);
                    }
                    if !after.is_empty() {
                        octets.push(b',');
                    }
                    rest = after;
                }
                let _ = write!(text, "{name}=");
                super::print::push_quoted(&octets, &mut text);
                continue;
            }
            3 => u16::from_be_bytes(*value.first_chunk::<2>()?).to_string(),
            4 => list(value.as_chunks::<4>().0.iter().map(|octets| Ipv4Addr::from(*octets).to_string()).collect()),
            5 => data_encoding::BASE64.encode(value),
            6 => list(value.as_chunks::<16>().0.iter().map(|octets| Ipv6Addr::from(*octets).to_string()).collect()),
            _ if value.is_empty() => {
                let _ = write!(text, "{name}");
                continue;
            }
            _ => {
                let _ = write!(text, "{name}=");
                super::print::push_quoted(value, &mut text);
                continue;
            }
        };
        let _ = write!(text, "{name}={octets}");
    }
    Some(text)
}

/// Returns whether octets are a relative URI template with the variable `dns` (RFC 9461 §5, RFC 6570 §2).
fn is_path_template(path: &[u8]) -> bool {
    let Some(mut rest) = std::str::from_utf8(path).ok().filter(|path| path.starts_with('/')) else { return false };
    let mut has_dns = false;
    while let Some(at) = rest.find(['{', '%']) {
        let brace = rest.as_bytes()[at] == b'{';
        rest = &rest[at + 1..];
        if !brace {
            if !starts_with_hex(rest) {
                return false;
            }
            continue;
        }
        let Some((expression, after)) = rest.split_once('}') else { return false };
        let list = expression.strip_prefix(['+', '#', '.', '/', ';', '?', '&']).unwrap_or(expression);
        for variable in list.split(',') {
            let name = match variable.split_once(':') {
                Some((name, max_len)) if matches!(max_len.len(), 1..=4) && !max_len.starts_with('0') => {
                    if !max_len.bytes().all(|octet| octet.is_ascii_digit()) {
                        return false;
                    }
                    name
                }
                Some(_) => return false,
                None => variable.strip_suffix('*').unwrap_or(variable),
            };
            if !is_variable(name) {
                return false;
            }
            has_dns |= name == "dns";
        }
        rest = after;
    }
    has_dns
}

/// Returns whether a word is a variable name (RFC 6570 §2.3), except that dots are not allowed, as in BIND.
fn is_variable(name: &str) -> bool {
    let mut rest = name;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        match letter {
            '%' if starts_with_hex(rest) => rest = &rest[2..],
            '_' | '0'..='9' | 'A'..='Z' | 'a'..='z' => {}
            _ => return false,
        }
    }
    !name.is_empty()
}

fn starts_with_hex(text: &str) -> bool {
    text.as_bytes().first_chunk::<2>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// Returns whether octets are a valid value for a key.
fn is_value(key: u16, value: &[u8]) -> bool {
    match key {
        0 => {
            let (keys, rest) = value.as_chunks::<2>();
            !keys.is_empty() && rest.is_empty() && keys[0] != [0, 0] && keys.is_sorted_by(|a, b| a < b)
        }
        1 => {
            let mut rest = value;
            while let Some((&len, tail)) = rest.split_first() {
                match tail.get(usize::from(len)..) {
                    Some(after) if len > 0 => rest = after,
                    _ => return false,
                }
            }
            !value.is_empty()
        }
        2 | 8 => value.is_empty(),
        3 => value.len() == 2,
        4 => !value.is_empty() && value.len().is_multiple_of(4),
        5 | 7 => !value.is_empty(),
        6 => !value.is_empty() && value.len().is_multiple_of(16),
        _ => true,
    }
}

/// Iterates over parameters in wire form; yields `None` for a truncated parameter.
fn parameters(data: &[u8]) -> impl Iterator<Item = Option<(u16, &[u8])>> {
    let mut rest = data;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let parameter = rest.split_first_chunk::<4>().and_then(|(&[k0, k1, l0, l1], tail)| {
            let (value, after) = tail.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
            rest = after;
            Some((u16::from_be_bytes([k0, k1]), value))
        });
        if parameter.is_none() {
            rest = &[];
        }
        Some(parameter)
    })
}

/// A key that displays as its name, or as `key` and its number.
struct Key(u16);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match KEYS.get(usize::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "key{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::dns::rdata::svcb::*;

    /// RFC 9460 §A.1, §D.2.
    #[test]
    fn values() {
        assert_eq!(parameter(b"alpn", Some(b"h2,h3-19")), Ok((1, b"\x02h2\x05h3-19".to_vec())));
        assert_eq!(parameter(b"alpn", Some(br"f\\\\oo\\,bar,h2")), Ok((1, b"\x08f\\oo,bar\x02h2".to_vec())));
        assert_eq!(parameter(b"key667", Some(br"hello\210qoo")), Ok((667, b"hello\xd2qoo".to_vec())));
        assert_eq!(parameter(b"mandatory", Some(b"ipv4hint,alpn")), Ok((0, b"\0\x01\0\x04".to_vec())));
        assert_eq!(parameter(b"port", Some(b"53")), Ok((3, b"\0\x35".to_vec())));
        assert_eq!(parameter(b"key3", Some(br"\000\053")), Ok((3, b"\0\x35".to_vec())));
        assert_eq!(parameter(b"no-default-alpn", None), Ok((2, Vec::new())));
        for (key, value) in [
            ("alpn", None),
            ("alpn", Some("")),
            ("alpn", Some("h2,,h3")),
            ("port", None),
            ("port", Some("65536")),
            ("key3", Some("443")),
            ("ipv4hint", Some("")),
            ("ipv6hint", Some("192.0.2.1")),
            ("no-default-alpn", Some("abc")),
            ("mandatory", Some("mandatory")),
            ("mandatory", Some("key123,key123")),
            ("key01", None),
            ("key65535", None),
            ("ECH", Some("AA==")),
        ] {
            assert!(parameter(key.as_bytes(), value.map(str::as_bytes)).is_err(), "{key}={value:?}");
        }
    }
}
