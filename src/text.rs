//! Text from outside, made fit to be shown to a person.
//!
//! What remotes, clients and files say ends up in logs, errors and replies. There it must not move a terminal's cursor,
//! begin a line of its own or change the order in which a line is read. Characters that could do so, and those that show
//! nothing, are written as Rust writes them: `\u{202e}`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

/// The most octets of a remark that are shown in a line.
const MOST: usize = 300;

/// Returns whether a character may be shown as it is: not if it is a control, a bidirectional control, invisible, a space
/// other than the usual one, a private one or none at all.
#[must_use]
pub fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    // Letters and marks that have no shape of their own.
    let is_blank = matches!(character,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}');
    // The standard library knows the others, which are to be escaped: Cc, Cf, Cn, Co, Cs, Zl, Zp, Zs. The letter in front
    // makes it leave combining marks alone.
    let mut text = [b'a'; 5];
    let length = 1 + character.encode_utf8(&mut text[1..]).len();
    let is_escaped = std::str::from_utf8(&text[..length]).is_ok_and(|text| text.escape_debug().nth(1) == Some('\\'));
    !is_blank && !is_escaped
}

/// Returns a text as one line, every character that is not printable escaped.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\t' => line.push(' '),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            character if is_printable(character) => line.push(character),
            character => line.extend(character.escape_unicode()),
        }
    }
    Cow::Owned(line)
}

/// Returns a text as a string of JSON with its quotes (RFC 8259 §7); characters that are not printable are escaped.
#[must_use]
pub fn json_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if is_printable(character) => quoted.push(character),
            character => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(quoted, "\\u{unit:04x}");
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Returns a remark from outside as one line of at most some 300 octets: line ends become spaces, other characters that
/// are not printable are escaped.
#[must_use]
pub fn printable(text: &[u8]) -> String {
    printable_up_to(text, MOST)
}

/// Does as [`printable`] with another bound in octets, before characters are escaped.
#[must_use]
pub fn printable_up_to(text: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(most)]);
    let spaced = text.trim().replace(['\n', '\r', '\t'], " ");
    escaped(&spaced).into_owned()
}

/// Returns a time as people say it, in at most two units: `0.5 s`, `45 s`, `12 min`, `3 h 12 min`, `2 d 4 h`.
#[must_use]
pub fn time(duration: Duration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    let seconds = u64::try_from((tenths + 5) / 10).unwrap_or(u64::MAX);
    let two = |first: u64, unit: &str, second: u64, other: &str| match second {
        0 => format!("{first} {unit}"),
        _ => format!("{first} {unit} {second} {other}"),
    };
    match seconds {
        _ if tenths < 100 && !tenths.is_multiple_of(10) => format!("{}.{} s", tenths / 10, tenths % 10),
        0..=120 => format!("{seconds} s"),
        121..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds / 60 % 60, "min"),
        _ => two(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_printable_is_escaped_as_json_has_it() {
        assert_eq!(json_string("a\"\n\u{202e}\u{e0041}ü"), "\"a\\\"\\u000a\\u202e\\udb40\\udc41ü\"");
    }

    #[test]
    fn what_does_harm_is_escaped_and_languages_are_not() {
        for text in
            ["plain \"text\" 'as' \\it is", "Zoë Grüß", "दिल्ली", "e\u{301}", "東京", "مرحبا", "שלום", "🦀", "\u{fffd}"]
        {
            assert_eq!(escaped(text), text);
        }
        let harmful = (0x202a..=0x202e).chain(0x2066..=0x2069).chain(0x200b..=0x200f).chain([0x61c, 0x2028, 0x2029]);
        let others =
            [0, 7, 8, 0x1b, 0x7f, 0x85, 0x9b, 0xa0, 0xad, 0x180e, 0x2060, 0x3164, 0xe000, 0xfeff, 0xe0041, 0x10ffff];
        for code in harmful.chain(others) {
            let character = char::from_u32(code).unwrap();
            assert_eq!(escaped(&character.to_string()), format!("\\u{{{code:x}}}"));
        }
        assert_eq!(escaped("a\r\nb\tc"), "a\\r\\nb c");
    }

    #[test]
    fn remarks_are_one_line_of_bounded_length() {
        assert_eq!(printable(b" The branch\nis protected\r\n"), "The branch is protected");
        assert_eq!(printable("\u{1b}[2Jx\u{202e}y\0".as_bytes()), "\\u{1b}[2Jx\\u{202e}y\\u{0}");
        assert_eq!(printable(&[0xff; 1000]).chars().count(), MOST);
        assert_eq!(printable_up_to("äöü".as_bytes(), 3), "ä\u{fffd}");
    }

    #[test]
    fn times_are_said_in_two_units() {
        for (milliseconds, said) in [
            (0, "0 s"),
            (500, "0.5 s"),
            (1_000, "1 s"),
            (7_420, "7.4 s"),
            (59_990, "60 s"),
            (60_000, "60 s"),
            (120_000, "120 s"),
            (720_000, "12 min"),
            (754_000, "12 min 34 s"),
            (11_520_000, "3 h 12 min"),
            (187_200_000, "2 d 4 h"),
        ] {
            assert_eq!(time(Duration::from_millis(milliseconds)), said);
        }
    }

    proptest! {
        #[test]
        fn nothing_unprintable_is_left(text in any::<String>(), octets in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(escaped(&text).chars().all(is_printable));
            prop_assert!(printable(&octets).chars().all(is_printable));
        }
    }
}
