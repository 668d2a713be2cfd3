//! `$GENERATE`: many records from one line, as BIND writes it.
//!
//! `$GENERATE start-stop[/step] owner [TTL] [class] type data`: in the owner and the data, a `$` stands for the
//! number, `${offset,width,base}` for the number plus an offset, filled with zeros to a width and in base `d`, `o`,
//! `x` or `X`, or as nibbles in reverse order with dots between them (`n`, `N`). `$$` and `\$` are a plain `$`.
//! Data of several words stands in quotes.

use std::fmt::Write;

/// The most records one line may make.
pub(super) const MAX_RECORDS: u32 = 65_536;

/// The most octets one number may take, as BIND has it.
const MAX_NUMBER: usize = 127;

/// The most octets an owner or a record's data may take in text.
const MAX_TEXT: usize = 1 << 18;

/// The numbers to count through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    next: u32,
    stop: u32,
    step: u32,
}

impl Range {
    /// Reads `start-stop[/step]`; an error says what is wrong.
    pub(super) fn from_text(word: &[u8]) -> Result<Self, &'static str> {
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
pub(super) fn expand(pattern: &[u8], number: u32, out: &mut Vec<u8>) -> Result<(), &'static str> {
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
    use super::*;

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
