//! Parsers for single words of a zone file.

use super::lexer::Token;
use crate::dns::diagnostic::Fault;
use crate::dns::name;

/// Returns whether a word is a class: a mnemonic or `CLASS` and a number (RFC 3597 §5).
pub(crate) fn is_class(word: &[u8]) -> bool {
    let classes: [&[u8]; 4] = [b"IN", b"CH", b"HS", b"CS"];
    word.len() == 2 && classes.iter().any(|class| word.eq_ignore_ascii_case(class))
        || word.len() > 5 && word[..5].eq_ignore_ascii_case(b"CLASS") && word[5..].iter().all(u8::is_ascii_digit)
}

/// Appends the domain name that a token denotes; `@` is the origin.
pub(crate) fn push_name(text: &[u8], token: &Token, origin: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    match token.of(text) {
        b"@" if !token.quoted => {
            out.extend_from_slice(origin);
            Ok(())
        }
        word => name::push_text(word, origin, out).map_err(|error| Fault::at(token.at(), error.to_string())),
    }
}

/// Parses a number of seconds: digits alone, or groups of digits each followed by one of the units `w d h m s`.
pub(crate) fn seconds(word: &[u8]) -> Option<u32> {
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

/// Returns the finding about a token after the end of a record or directive.
pub(crate) fn surplus(token: &Token) -> Fault {
    Fault::at(token.at(), "unexpected text at the end of the line").hint("a comment begins with `;`")
}

/// Returns a word for display, escaped and cut to 40 octets.
pub(crate) fn lossy(word: &[u8]) -> String {
    let shown: String =
        String::from_utf8_lossy(word.get(..40).unwrap_or(word)).chars().flat_map(char::escape_debug).collect();
    if word.len() > 40 { shown + "…" } else { shown }
}

#[cfg(test)]
mod tests {
    use crate::dns::words::*;

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
