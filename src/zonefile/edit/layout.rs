//! Line layout that follows the neighbouring lines: columns, tabs or blanks, class, letter case.

use std::ops::Range;

use crate::dns::name;
use crate::zonefile::entries::Spans;

/// A field's place on a line.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The column it begins in, from 0; a tab reaches to the next multiple of 8.
    column: usize,
    /// Whether tabs precede it.
    tabs: bool,
    /// Whether exactly one blank separates it from the previous field.
    loose: bool,
}

/// How a record's line is laid out.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    ttl: Option<Place>,
    /// The class as written.
    class: Option<(Place, Vec<u8>)>,
    rtype: Place,
    data: Place,
    class_first: bool,
    /// Whether mnemonics are lowercase.
    small: bool,
    /// The TTL as written, or empty.
    ttl_text: Vec<u8>,
}

impl Default for Layout {
    /// Returns the layout of a line without an example: tabs between the fields.
    fn default() -> Self {
        let tab = Place { column: 0, tabs: true, loose: true };
        Self { ttl: None, class: None, rtype: tab, data: tab, class_first: false, small: false, ttl_text: Vec::new() }
    }
}

impl Layout {
    /// Returns the layout of the record at `spans` of `text`, unless parentheses break it up.
    ///
    /// `padded` is an earlier one in the file with more than one blank between fields.
    pub(super) fn of(text: &[u8], spans: &Spans, padded: Option<&Spans>) -> Option<Self> {
        let start = spans.entry.start;
        let mnemonic = &text[spans.rtype.clone()];
        let small = mnemonic.iter().any(u8::is_ascii_lowercase) && !mnemonic.iter().any(u8::is_ascii_uppercase);
        let ttl_text = spans.ttl.clone().map_or_else(Vec::new, |span| text[span].to_vec());
        let class_text = |span: &Range<usize>| text[span.clone()].to_vec();
        let class_first = match (&spans.class, &spans.ttl) {
            (Some(class), Some(ttl)) => class.start < ttl.start,
            _ => false,
        };
        // The columns of the padded record, which had room to spare; this one may have outgrown them.
        let kept = |of: fn(&Spans) -> Option<&Range<usize>>| {
            let other = padded?;
            let span = of(other).filter(|span| text[..span.start].ends_with(b"  "))?;
            Some(column(&text[other.entry.start..span.start], 0))
        };
        let placed = |gap: &[u8], column: usize, kept: Option<usize>| {
            let kept = kept.filter(|&kept| gap == b" " && kept <= column);
            let loose = gap == b" " && kept.is_none();
            Place { column: kept.unwrap_or(column), tabs: gap.contains(&b'\t'), loose }
        };
        let mut gap_start = spans.owner.as_ref().map_or(start, |owner| owner.end);
        let mut plain = spans.owner.as_ref().is_none_or(|owner| owner.start == start);
        let mut place = |of: fn(&Spans) -> Option<&Range<usize>>| {
            let span = of(spans)?;
            let gap = &text[gap_start..span.start];
            plain &= is_blank(gap);
            gap_start = span.end;
            Some(placed(gap, column(&text[start..span.start], 0), kept(of)))
        };
        let first = class_first.then(|| place(|spans| spans.class.as_ref())).flatten();
        let ttl = place(|spans| spans.ttl.as_ref());
        let class = if class_first { first } else { place(|spans| spans.class.as_ref()) };
        let rtype = place(|spans| Some(&spans.rtype)).unwrap_or_default();
        let class = class.zip(spans.class.as_ref().map(class_text));
        if !plain {
            return None;
        }
        // The text after the type need not be data: it may be a parenthesis.
        let behind = &text[spans.rtype.end..spans.entry.end];
        let blanks = blanks(behind);
        let column = column(&text[start..spans.rtype.end + blanks], 0);
        let data = placed(&behind[..blanks], column, kept(|spans| Some(&spans.data)));
        let data = if matches!(behind.get(blanks), None | Some(b'\n' | b'\r' | b';')) { rtype } else { data };
        Some(Self { ttl, class, rtype, data, class_first, small, ttl_text })
    }

    /// Returns whether the TTL is written.
    pub(super) fn has_ttl(&self) -> bool {
        self.ttl.is_some()
    }

    /// Returns a line without its line ending; without `owner` it begins with a blank.
    pub(super) fn line(&self, owner: Option<&[u8]>, ttl: Option<u32>, rtype: &str, data: &[u8]) -> Vec<u8> {
        let mut line = owner.map_or_else(Vec::new, <[u8]>::to_vec);
        let mnemonic = if self.small { rtype.to_ascii_lowercase() } else { rtype.to_string() };
        let ttl = ttl.map(|ttl| seconds_like(&self.ttl_text, ttl));
        let class = self.class.as_ref();
        let ttl_place = |next: Place| {
            let text = ttl.as_deref()?;
            Some((self.ttl.unwrap_or_else(|| before(next, text.len())), text))
        };
        let mut fields: Vec<(Place, &[u8])> = Vec::new();
        if self.class_first {
            fields.extend(class.map(|(place, text)| (*place, text.as_slice())));
            fields.extend(ttl_place(self.rtype));
        } else {
            fields.extend(ttl_place(class.map_or(self.rtype, |(place, _)| *place)));
            fields.extend(class.map(|(place, text)| (*place, text.as_slice())));
        }
        fields.push((self.rtype, mnemonic.as_bytes()));
        if !data.is_empty() {
            fields.push((self.data, data));
        }
        for (place, text) in fields {
            pad(&mut line, place);
            line.extend_from_slice(text);
        }
        line
    }
}

/// Returns the place of a field of the given length before another field that must not move.
fn before(next: Place, len: usize) -> Place {
    let column = next.column.saturating_sub(len + 1);
    Place { column: if next.tabs { column / 8 * 8 } else { column }, ..next }
}

/// Pads a line up to a place with at least one blank or tab.
fn pad(line: &mut Vec<u8>, place: Place) {
    let mut at = column(line, 0);
    if at >= place.column || place.loose && at > 0 {
        line.push(if place.tabs { b'\t' } else { b' ' });
        return;
    }
    while place.tabs && (at / 8 + 1) * 8 <= place.column {
        line.push(b'\t');
        at = (at / 8 + 1) * 8;
    }
    line.resize(line.len() + (place.column - at), b' ');
}

/// Returns the column after a text that begins in the given column.
fn column(text: &[u8], from: usize) -> usize {
    // Octets 10xxxxxx continue a UTF-8 character and take no column.
    text.iter().fold(from, |at, &octet| match octet {
        b'\t' => (at / 8 + 1) * 8,
        0x80..=0xbf => at,
        _ => at + 1,
    })
}

fn is_blank(gap: &[u8]) -> bool {
    gap.iter().all(|octet| matches!(octet, b' ' | b'\t'))
}

fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count()
}

/// Returns the replacements that write an owner, a TTL or both into a record that inherited them.
pub(super) fn rehead(
    text: &[u8],
    spans: &Spans,
    owner: Option<&[u8]>,
    ttl: Option<u32>,
) -> Vec<(Range<usize>, Vec<u8>)> {
    let start = spans.entry.start;
    let next = spans.class.as_ref().map_or(spans.rtype.start, |class| class.start.min(spans.rtype.start));
    let gap_start = spans.owner.as_ref().map_or(start, |owner| owner.end);
    let ttl = ttl.map(|ttl| ttl.to_string());
    if let Some(ttl) = &ttl
        && is_blank(&text[gap_start..next])
    {
        let gap = &text[gap_start..next];
        let loose = gap == b" " && spans.owner.is_some();
        let place = Place { column: column(&text[start..next], 0), tabs: gap.contains(&b'\t'), loose };
        let mut line = owner.map_or_else(|| text[start..gap_start].to_vec(), <[u8]>::to_vec);
        let kept = if owner.is_some() { 0 } else { line.len() };
        pad(&mut line, before(place, ttl.len()));
        line.extend_from_slice(ttl.as_bytes());
        pad(&mut line, place);
        return vec![(gap_start..next, line.split_off(kept))];
    }
    let mut edits = Vec::new();
    if let Some(owner) = owner {
        let gap = blanks(&text[start..]);
        let blank = &text[start..start + gap];
        let place = Place { column: column(blank, 0), tabs: blank.contains(&b'\t'), loose: false };
        let mut line = owner.to_vec();
        pad(&mut line, place);
        edits.push((start..start + gap, line));
    }
    if let Some(ttl) = ttl {
        edits.push((next..next, format!("{ttl} ").into_bytes()));
    }
    edits
}

/// Returns a number of seconds as text, with units if the model has them.
pub(super) fn seconds_like(model: &[u8], seconds: u32) -> Vec<u8> {
    if seconds == 0 || model.iter().all(u8::is_ascii_digit) {
        return seconds.to_string().into_bytes();
    }
    let mut text = String::new();
    let mut rest = seconds;
    for (unit, letter) in [(604_800, 'w'), (86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')] {
        if rest >= unit {
            text.push_str(&(rest / unit).to_string());
            text.push(letter);
            rest %= unit;
        }
    }
    if model.iter().any(u8::is_ascii_uppercase) {
        text.make_ascii_uppercase();
    }
    text.into_bytes()
}

/// Returns a name as text, relative to the origin if requested and possible.
pub(super) fn spell(name: &[u8], origin: &[u8], relative: bool) -> String {
    if !relative || !name::is_at_or_below(name, origin) {
        return name::Display(name).to_string();
    }
    let mut front = name[..name.len() - origin.len()].to_vec();
    if front.is_empty() {
        return "@".to_string();
    }
    front.push(0);
    let mut text = name::Display(&front).to_string();
    text.pop();
    text
}

/// Returns whether a name was written relative to the origin; `None` if it could not have been.
pub(super) fn is_relative(written: &[u8], name: &[u8], origin: &[u8]) -> Option<bool> {
    let escapes = |front: &[u8]| front.iter().rev().take_while(|octet| **octet == b'\\').count();
    let absolute = written.split_last().is_some_and(|(last, front)| *last == b'.' && escapes(front) % 2 == 0);
    name::is_at_or_below(name, origin).then_some(!absolute)
}
