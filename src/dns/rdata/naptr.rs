//! Substitution expressions of NAPTR records (RFC 3402 §3.2).
//!
//! The pattern is a POSIX extended regular expression. Constructs that POSIX leaves undefined, such as `a**`, are
//! rejected: other servers reject them, and clients may interpret them differently.

/// The POSIX character classes.
const CLASSES: &[&str] =
    &["alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit"];

/// Returns the offset of the replacement in NAPTR data, which follows two numbers and three strings (RFC 3403 §4.1);
/// `None` if the data ends before it.
pub(crate) fn replacement_at(data: &[u8]) -> Option<usize> {
    let string = |at: usize| Some(at + 1 + usize::from(*data.get(at)?));
    string(string(string(4)?)?)
}

/// Checks a substitution expression, which may be empty; the error is the reason.
pub(super) fn check(expression: &[u8]) -> Result<(), &'static str> {
    let Some((&delimiter, rest)) = expression.split_first() else { return Ok(()) };
    if expression.contains(&0) {
        return Err("the substitution expression contains a zero octet");
    }
    if matches!(delimiter, b'0'..=b'9' | b'\\' | b'i') {
        return Err("the delimiter of the substitution expression is a digit, a backslash or `i`");
    }
    let parts = split(rest, delimiter).ok_or("the substitution expression does not have three delimiters")?;
    let (pattern, replacement, flags) = parts;
    if flags.iter().any(|&flag| flag != b'i') {
        return Err("the substitution expression has a flag other than `i`");
    }
    let mut parser = Pattern { rest: pattern, groups: 0, depth: 0 };
    parser.alternatives().ok_or("the substitution expression's pattern is not a POSIX extended regular expression")?;
    let mut octets = replacement.iter();
    while let Some(octet) = octets.next() {
        if *octet != b'\\' {
            continue;
        }
        match octets.next() {
            Some(&digit @ b'0'..=b'9') if !(1..=parser.groups).contains(&usize::from(digit - b'0')) => {
                return Err("the substitution expression refers to a group that its pattern does not have");
            }
            _ => {}
        }
    }
    Ok(())
}

/// Splits the expression into pattern, replacement and flags; a backslash in the first two escapes a delimiter.
fn split(rest: &[u8], delimiter: u8) -> Option<(&[u8], &[u8], &[u8])> {
    let (pattern, rest) = until(rest, delimiter)?;
    let (replacement, flags) = until(rest, delimiter)?;
    Some((pattern, replacement, flags))
}

fn until(text: &[u8], delimiter: u8) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    loop {
        match *text.get(at)? {
            octet if octet == delimiter => return Some((&text[..at], &text[at + 1..])),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// A pattern being parsed. It has at most 255 octets, so nested groups do not exhaust the stack.
struct Pattern<'p> {
    rest: &'p [u8],
    /// The number of groups opened so far.
    groups: usize,
    /// The number of groups that are still open.
    depth: usize,
}

impl Pattern<'_> {
    /// Parses alternatives up to the end of the pattern or to the parenthesis that closes the group.
    fn alternatives(&mut self) -> Option<()> {
        let mut alone = true;
        loop {
            let mut empty = true;
            while let Some(octet) = self.peek() {
                if octet == b'|' || octet == b')' && self.depth > 0 {
                    break;
                }
                self.piece()?;
                empty = false;
            }
            let alternatives_follow = self.peek() == Some(b'|');
            // `()` is a valid group, but an alternative must not be empty.
            if empty && !(alone && self.depth > 0 && !alternatives_follow) {
                return None;
            }
            if !alternatives_follow {
                return (self.depth > 0 || self.rest.is_empty()).then_some(());
            }
            self.next();
            alone = false;
        }
    }

    /// Parses an atom and at most one repetition.
    fn piece(&mut self) -> Option<()> {
        match self.next()? {
            b'*' | b'+' | b'?' => return None,
            b'{' if self.peek().is_some_and(|next| next.is_ascii_digit()) => return None,
            b'^' | b'$' => return (!self.repeats()).then_some(()),
            b'\\' => match self.next()? {
                digit @ b'1'..=b'9' if usize::from(digit - b'0') > self.groups => return None,
                _ => {}
            },
            b'[' => self.bracket()?,
            b'(' => {
                self.groups += 1;
                self.depth += 1;
                self.alternatives()?;
                self.depth -= 1;
                self.next().filter(|&octet| octet == b')')?;
            }
            _ => {}
        }
        if !self.repeats() {
            return Some(());
        }
        if self.next()? == b'{' {
            self.bound()?;
        }
        (!self.repeats()).then_some(())
    }

    /// Returns whether a repetition follows.
    fn repeats(&self) -> bool {
        match self.rest {
            [b'*' | b'+' | b'?', ..] => true,
            [b'{', digit, ..] => digit.is_ascii_digit(),
            _ => false,
        }
    }

    /// Parses `n}`, `n,}` or `n,m}`.
    fn bound(&mut self) -> Option<()> {
        let low = self.number()?;
        let high = match self.peek()? {
            b',' => {
                self.next();
                if self.peek()? == b'}' { None } else { Some(self.number()?) }
            }
            _ => None,
        };
        self.next().filter(|&octet| octet == b'}')?;
        high.is_none_or(|high| low <= high).then_some(())
    }

    fn number(&mut self) -> Option<u32> {
        let mut number = None;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            self.next();
            let value = number.unwrap_or(0) * 10 + u32::from(digit - b'0');
            number = Some(value).filter(|&value| value <= 255);
            number?;
        }
        number
    }

    /// Parses a bracket expression after its opening bracket.
    fn bracket(&mut self) -> Option<()> {
        if self.peek() == Some(b'^') {
            self.next();
        }
        let (mut first, mut after_range) = (true, false);
        loop {
            let octet = self.next()?;
            match (octet, self.peek()) {
                (b']', _) if !first => return Some(()),
                (b'[', Some(kind @ (b':' | b'=' | b'.'))) => {
                    self.next();
                    let end = self.rest.array_windows::<2>().position(|pair| *pair == [kind, b']'])?;
                    let content = &self.rest[..end];
                    let is_valid = match kind {
                        b':' => CLASSES.iter().any(|class| class.as_bytes() == content),
                        _ => content.len() == 1,
                    };
                    if !is_valid {
                        return None;
                    }
                    self.rest = &self.rest[end + 2..];
                    self.expect_no_range()?;
                }
                (b'[', _) => self.expect_no_range()?,
                (b'-', _) if after_range => return None,
                // A hyphen at the end stands for itself.
                (from, Some(b'-')) if self.rest.get(1) != Some(&b']') => {
                    self.next();
                    let to = self.next()?;
                    if to < from || to == b'[' && matches!(self.peek(), Some(b':' | b'=' | b'.')) {
                        return None;
                    }
                    after_range = true;
                }
                _ => after_range = false,
            }
            first = false;
        }
    }

    /// Checks that the element just parsed does not begin a range.
    fn expect_no_range(&self) -> Option<()> {
        (!matches!(self.rest, [b'-', next, ..] if *next != b']')).then_some(())
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use crate::dns::rdata::naptr::*;

    #[test]
    fn expressions() {
        for good in [
            "",
            "!^.*$!sip:info@example.org!",
            r"!^(\+441632960083)$!sip:\1@example.org!i",
            r"!^\+44(16|17)(.*)$!\2.\1!",
            "/[a-z_][[:digit:]x-]*(){1,3}|b{2,}/x/",
            "!a!!",
            "![]a-]+[^]]!x!",
            "!a{,3})!x!",
        ] {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in [
            "!",
            "!a",
            "!a!b",
            "!a!b!x",
            "!a!b!i!",
            "!!b!",
            "1a1b1",
            "iaibi",
            r"\a\b\",
            r"!a!\1!",
            r"!(a)!\0!",
            r"!(a)!\2!",
            r"!\1(a)!x!",
            "!*!x!",
            "!a**!x!",
            "!^*!x!",
            "!a{2}{3}!x!",
            "!a{3,2}!x!",
            "!a{256}!x!",
            "!a{2!x!",
            "!(a!x!",
            "!|a!x!",
            "!(a|)!x!",
            "![a!x!",
            "![b-a]!x!",
            "![a-c-e]!x!",
            "![[:letter:]]!x!",
            "!a\0!x!",
            r"!a!x\",
        ] {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
