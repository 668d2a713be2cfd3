//! Absolute domain names in wire form, and their canonical order.
//!
//! A name is stored as the octets of its wire form (RFC 1035 §3.1): length-prefixed labels and the root's zero octet,
//! in the original letter case. The functions on octet slices below work on complete, valid, uncompressed names
//! wherever they are stored (a query, a node of a zone), so that the answer path compares names in place. They rely on
//! one fact: a label's length octet is at most 63 and therefore never an ASCII letter, so a whole name can be compared
//! case-insensitively in one pass.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// The maximum length of a name in wire form, in octets (RFC 1035 §3.1).
pub(crate) const MAX_NAME: usize = 255;

/// The maximum length of a label, in octets (RFC 1035 §3.1).
pub(crate) const MAX_LABEL: usize = 63;

/// The maximum number of labels in a name: 127 labels of one octet each.
pub(crate) const MAX_LABELS: usize = 127;

/// An absolute domain name.
///
/// Equality, hashing and order ignore ASCII case; the order is the canonical order of RFC 4034 §6.1.
#[derive(Clone)]
pub struct Name(Box<[u8]>);

/// The reason why octets or text are not a domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// The text is empty.
    Empty,
    /// A label is empty: two dots in a row, or a leading dot.
    EmptyLabel,
    /// A label has more than 63 octets.
    LabelTooLong,
    /// The name has more than 255 octets in wire form.
    NameTooLong,
    /// A backslash is not followed by a character or by three digits up to 255.
    BadEscape,
    /// The octets end inside the name, continue after it, or contain a compression pointer.
    BadWire,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the name is empty",
            Self::EmptyLabel => "the name has an empty label (two dots in a row, or a leading dot)",
            Self::LabelTooLong => "a label of the name is longer than 63 octets",
            Self::NameTooLong => "the name is longer than 255 octets",
            Self::BadEscape => "a backslash must be followed by one character or by three digits up to 255",
            Self::BadWire => "the octets are not exactly one uncompressed name",
        })
    }
}

impl std::error::Error for NameError {}

impl Name {
    /// Returns the root, `.`.
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// Parses a name in the text form of RFC 1035 §5.1, with `\.` and `\DDD` escapes.
    ///
    /// The name is absolute whether or not it ends in a dot.
    ///
    /// # Errors
    ///
    /// Any [`NameError`] except [`NameError::BadWire`].
    pub fn from_text(text: &str) -> Result<Self, NameError> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        push_text(text.as_bytes(), &[0], &mut wire)?;
        Ok(Self(wire.into()))
    }

    /// Parses a name in uncompressed wire form, which must fill `octets`.
    ///
    /// # Errors
    ///
    /// [`NameError::BadWire`] or [`NameError::NameTooLong`].
    pub fn from_wire(octets: &[u8]) -> Result<Self, NameError> {
        if octets.len() > MAX_NAME {
            return Err(NameError::NameTooLong);
        }
        match wire_len(octets) {
            Some(len) if len == octets.len() => Ok(Self(octets.into())),
            _ => Err(NameError::BadWire),
        }
    }

    /// Returns the wire form, including the root's zero octet.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// Returns the number of labels; the root has none.
    pub fn label_count(&self) -> usize {
        labels(&self.0).count()
    }

    /// Returns whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// Returns the name without its first label, or `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        Some(parent(&self.0)).filter(|parent| !parent.is_empty()).map(|parent| Self(parent.into()))
    }

    /// Returns whether this name is `ancestor` or lies below it.
    pub fn is_at_or_below(&self, ancestor: &Self) -> bool {
        is_at_or_below(&self.0, &ancestor.0)
    }

    /// Returns the name in lower case, as DNSSEC and TSIG hash it (RFC 4034 §6.2).
    pub fn to_canonical(&self) -> Self {
        Self(self.0.to_ascii_lowercase().into())
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        eq(&self.0, &other.0)
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for octet in &self.0 {
            state.write_u8(octet.to_ascii_lowercase());
        }
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        canonical_cmp(&self.0, &other.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display(&self.0).fmt(f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// A wire-form name that displays as the escaped text form of RFC 1035 §5.1, with the final dot.
pub(crate) struct Display<'n>(pub(crate) &'n [u8]);

impl fmt::Display for Display<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        if self.0.len() <= 1 {
            return f.write_char('.');
        }
        for label in labels(self.0) {
            for &octet in label {
                match octet {
                    b'.' | b';' | b'"' | b'(' | b')' | b'\\' | b'@' | b'$' => {
                        f.write_char('\\')?;
                        f.write_char(char::from(octet))?;
                    }
                    0x21..=0x7e => f.write_char(char::from(octet))?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
            f.write_char('.')?;
        }
        Ok(())
    }
}

/// Returns the length of the uncompressed name at the start of `octets`, or `None` if there is none.
pub(crate) fn wire_len(octets: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match usize::from(*octets.get(at)?) {
            0 => return Some(at + 1),
            label if label <= MAX_LABEL => at += label + 1,
            _ => return None,
        }
        if at >= MAX_NAME {
            return None;
        }
    }
}

/// Iterates over the labels of a wire-form name, first label first, without the root label.
pub(crate) fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (&len, tail) = rest.split_first()?;
        let (label, after) = tail.split_at_checked(usize::from(len))?;
        rest = after;
        (len > 0).then_some(label)
    })
}

/// Returns whether two wire-form names, or parts of names, are equal apart from letter case.
///
/// Every answer compares names several times, and most are equal including case. Comparing eight octets at a time takes
/// a sixth of the time of the standard library's comparison by octet.
#[inline]
pub(crate) fn eq(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let same = |a: &[u8; 8], b: &[u8; 8]| {
        let (a, b) = (u64::from_ne_bytes(*a), u64::from_ne_bytes(*b));
        a == b || lower_case(a) == lower_case(b)
    };
    match (a.last_chunk::<8>(), b.last_chunk::<8>()) {
        // The last eight octets cover the remainder after whole groups of eight.
        (Some(a_last), Some(b_last)) => {
            same(a_last, b_last) && a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0).all(|(a, b)| same(a, b))
        }
        _ => a.iter().zip(b).all(|(a, b)| a.eq_ignore_ascii_case(b)),
    }
}

/// Converts the ASCII capitals among eight octets to lower case.
#[inline]
fn lower_case(octets: u64) -> u64 {
    const ALL: u64 = 0x0101_0101_0101_0101;
    let seven_bits = octets & (0x7f * ALL);
    // The additions carry into an octet's top bit if it is at least `A`, or above `Z`.
    let from_a = seven_bits + (0x80 - b'A' as u64) * ALL;
    let above_z = seven_bits + (0x7f - b'Z' as u64) * ALL;
    let capitals = (from_a ^ above_z) & !octets & (0x80 * ALL);
    octets | capitals >> 2
}

/// Returns whether `name` is `ancestor` or lies below it.
pub(crate) fn is_at_or_below(name: &[u8], ancestor: &[u8]) -> bool {
    let Some(above) = name.len().checked_sub(ancestor.len()) else { return false };
    let mut at = 0;
    while at < above {
        at += usize::from(name[at]) + 1;
    }
    at == above && eq(&name[at..], ancestor)
}

/// Returns the suffix of a wire-form name that consists of its last `keep` labels.
pub(crate) fn suffix(name: &[u8], keep: usize) -> &[u8] {
    let mut rest = name;
    for _ in keep..labels(name).count() {
        rest = &rest[usize::from(rest[0]) + 1..];
    }
    rest
}

/// Returns a wire-form name without its first label; nothing for the root.
#[inline]
pub(crate) fn parent(name: &[u8]) -> &[u8] {
    name.get(1 + usize::from(name[0])..).unwrap_or_default()
}

/// Writes the name of the wildcard directly below a wire-form name (RFC 4592 §2.1.1) and returns it, or `None` if it would
/// be too long.
pub(crate) fn wildcard<'b>(encloser: &[u8], buffer: &'b mut [u8; MAX_NAME]) -> Option<&'b [u8]> {
    let wildcard = buffer.get_mut(..encloser.len() + 2)?;
    wildcard[..2].copy_from_slice(b"\x01*");
    wildcard[2..].copy_from_slice(encloser);
    Some(wildcard)
}

/// Returns the number of labels, counted from the root, that two wire-form names have in common.
pub(crate) fn common_labels(a: &[u8], b: &[u8]) -> usize {
    let (a_at, b_at) = (LabelOffsets::of(a), LabelOffsets::of(b));
    let pairs = a_at.as_slice().iter().rev().zip(b_at.as_slice().iter().rev());
    pairs.take_while(|&(&i, &j)| eq(label_at(a, i), label_at(b, j))).count()
}

/// Compares two wire-form names in the canonical order of RFC 4034 §6.1.
pub(crate) fn canonical_cmp(a: &[u8], b: &[u8]) -> Ordering {
    let (a_at, b_at) = (LabelOffsets::of(a), LabelOffsets::of(b));
    let (a_at, b_at) = (a_at.as_slice(), b_at.as_slice());
    for (&i, &j) in a_at.iter().rev().zip(b_at.iter().rev()) {
        let lower = |label: &'_ [u8], at: usize| label[at].to_ascii_lowercase();
        let (x, y) = (label_at(a, i), label_at(b, j));
        for at in 0..x.len().min(y.len()) {
            match lower(x, at).cmp(&lower(y, at)) {
                Ordering::Equal => {}
                unequal => return unequal,
            }
        }
        match x.len().cmp(&y.len()) {
            Ordering::Equal => {}
            unequal => return unequal,
        }
    }
    a_at.len().cmp(&b_at.len())
}

/// Appends the name written in `text` (RFC 1035 §5.1) to `out` in wire form, relative to `origin` unless it ends in a
/// dot. On an error `out` is unchanged.
pub(crate) fn push_text(text: &[u8], origin: &[u8], out: &mut Vec<u8>) -> Result<(), NameError> {
    let start = out.len();
    let result = push_labels(text, origin, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn push_labels(text: &[u8], origin: &[u8], out: &mut Vec<u8>) -> Result<(), NameError> {
    match text {
        [] => return Err(NameError::Empty),
        b"." => {
            out.push(0);
            return Ok(());
        }
        _ => {}
    }
    let start = out.len();
    let mut label = start;
    out.push(0);
    let mut at = 0;
    let mut absolute = false;
    while at < text.len() {
        match text[at] {
            b'.' => {
                close_label(out, label)?;
                label = out.len();
                absolute = at + 1 == text.len();
                if !absolute {
                    out.push(0);
                }
                at += 1;
            }
            b'\\' => {
                let (octet, len) = unescape(&text[at..]).ok_or(NameError::BadEscape)?;
                out.push(octet);
                at += len;
            }
            octet => {
                out.push(octet);
                at += 1;
            }
        }
        // Check the limit in the loop so that a huge token costs no memory.
        if out.len() - start > MAX_NAME + 1 {
            return Err(if out.len() - label > MAX_LABEL + 1 {
                NameError::LabelTooLong
            } else {
                NameError::NameTooLong
            });
        }
    }
    if absolute {
        out.push(0);
    } else {
        close_label(out, label)?;
        out.extend_from_slice(origin);
    }
    if out.len() - start > MAX_NAME { Err(NameError::NameTooLong) } else { Ok(()) }
}

/// Sets the length octet at `label`; the label ends where `out` ends.
fn close_label(out: &mut [u8], label: usize) -> Result<(), NameError> {
    let len = out.len() - label - 1;
    match u8::try_from(len) {
        Ok(0) => Err(NameError::EmptyLabel),
        Ok(len) if usize::from(len) <= MAX_LABEL => {
            out[label] = len;
            Ok(())
        }
        _ => Err(NameError::LabelTooLong),
    }
}

/// Reads the escape at the start of `text` (`\X` or `\DDD`); returns the octet and the length of the escape.
pub(crate) fn unescape(text: &[u8]) -> Option<(u8, usize)> {
    match *text {
        [b'\\', a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
            let value = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
            Some((u8::try_from(value).ok()?, 4))
        }
        [b'\\', b'0'..=b'9', ..] => None,
        [b'\\', octet, ..] => Some((octet, 2)),
        _ => None,
    }
}

/// The offsets at which the labels of a name begin, first label first, without the root label.
pub(crate) struct LabelOffsets {
    at: [u8; MAX_LABELS + 1],
    len: u8,
}

impl LabelOffsets {
    /// Finds the labels of a wire-form name.
    #[inline]
    pub(crate) fn of(wire: &[u8]) -> Self {
        let mut offsets = Self { at: [0; MAX_LABELS + 1], len: 0 };
        let mut at = 0_usize;
        while let Some(&label @ 1..) = wire.get(at) {
            offsets.at[usize::from(offsets.len) & MAX_LABELS] = at as u8;
            offsets.len += 1;
            at += usize::from(label) + 1;
        }
        offsets
    }

    /// Returns the offsets.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.at[..usize::from(self.len) & MAX_LABELS]
    }
}

#[inline]
pub(crate) fn label_at(wire: &[u8], at: u8) -> &[u8] {
    let at = usize::from(at);
    &wire[at + 1..at + 1 + usize::from(wire[at])]
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::dns::name::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    /// The example of RFC 4034 §6.1.
    #[test]
    fn canonical_order() {
        let sorted = [
            "example",
            "a.example",
            "yljkjljk.a.example",
            "Z.a.example",
            "zABC.a.EXAMPLE",
            "z.example",
            "\\001.z.example",
            "*.z.example",
            "\\200.z.example",
        ];
        let mut names: Vec<_> = sorted.iter().map(|text| name(text)).collect();
        names.reverse();
        names.sort();
        assert_eq!(names, sorted.map(name));
    }

    /// RFC 1035 §5.1: escapes; §3.1: limits.
    #[test]
    fn text_form() {
        assert_eq!(name("www.Example.org").to_string(), "www.Example.org.");
        assert_eq!(name(".").to_string(), ".");
        assert_eq!(name("a\\.b.c").as_wire(), b"\x03a.b\x01c\x00");
        assert_eq!(name("a\\.b.c").to_string(), "a\\.b.c.");
        assert_eq!(name("\\000\\255").to_string(), "\\000\\255.");
        for (text, error) in [
            ("", NameError::Empty),
            ("a..b", NameError::EmptyLabel),
            (".a", NameError::EmptyLabel),
            ("..", NameError::EmptyLabel),
            ("a\\25", NameError::BadEscape),
            ("a\\256", NameError::BadEscape),
            ("a\\", NameError::BadEscape),
        ] {
            assert_eq!(Name::from_text(text), Err(error), "{text}");
        }
        let label = "a".repeat(63);
        assert!(Name::from_text(&label).is_ok());
        assert_eq!(Name::from_text(&format!("{label}a.")), Err(NameError::LabelTooLong));
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(name(&longest).as_wire().len(), 255);
        assert_eq!(Name::from_text(&format!("{longest}a")), Err(NameError::NameTooLong));
        assert_eq!(Name::from_text(&"a.".repeat(127)).unwrap().label_count(), 127);
        assert_eq!(Name::from_text(&"a.".repeat(128)), Err(NameError::NameTooLong));
    }

    #[test]
    fn wire_form() {
        assert_eq!(Name::from_wire(b"\x01a\x00").unwrap(), name("A"));
        for bad in [&b""[..], b"\x01a", b"\x01a\x00\x00", b"\xc0\x0c", b"\x40", b"\x05ab\x00"] {
            assert_eq!(Name::from_wire(bad), Err(NameError::BadWire));
        }
    }

    #[test]
    fn ancestry() {
        assert!(name("a.b.c").is_at_or_below(&name("B.c")));
        assert!(name("a.b.c").is_at_or_below(&Name::root()));
        assert!(!name("ab.c").is_at_or_below(&name("b.c")));
        assert!(!name("c").is_at_or_below(&name("b.c")));
        assert_eq!(name("a.b").parent(), Some(name("b")));
        assert_eq!(Name::root().parent(), None);
        assert_eq!(common_labels(name("x.b.c").as_wire(), name("y.B.c").as_wire()), 2);
    }

    /// Names that often share labels, or differ from each other only in letter case or length.
    fn few_labels() -> impl Strategy<Value = Name> {
        let octet = prop::sample::select(b"aAbB[\0".as_slice());
        proptest::collection::vec(proptest::collection::vec(octet, 1..3), 0..4).prop_map(|labels| {
            let mut wire: Vec<u8> = labels.iter().flat_map(|l| [&[l.len() as u8], l.as_slice()].concat()).collect();
            wire.push(0);
            Name::from_wire(&wire).unwrap()
        })
    }

    /// A name of up to six labels of any octets.
    pub(crate) fn any_name() -> impl Strategy<Value = Name> {
        names_of(any::<u8>(), 1..8, 0..6)
    }

    /// A name with the given numbers of labels and octets per label.
    pub(crate) fn names_of(
        octet: impl Strategy<Value = u8>,
        octets: std::ops::Range<usize>,
        labels: std::ops::Range<usize>,
    ) -> impl Strategy<Value = Name> {
        proptest::collection::vec(proptest::collection::vec(octet, octets), labels).prop_map(|labels| {
            let mut wire = Vec::new();
            for label in labels {
                wire.push(label.len() as u8);
                wire.extend(label);
            }
            wire.push(0);
            Name::from_wire(&wire).unwrap()
        })
    }

    proptest! {
        /// Printing a name and reading it back is the identity, letter case included.
        #[test]
        fn text_round_trip(name in any_name()) {
            let back = Name::from_text(&name.to_string()).unwrap();
            prop_assert_eq!(back.as_wire(), name.as_wire());
        }

        /// RFC 4034 §6.1: labels are compared from the right, in lower case, as octets; a missing label sorts first.
        #[test]
        fn canonical_order_as_defined(a in few_labels(), b in few_labels()) {
            let by_definition = |name: &Name| {
                let mut labels: Vec<Vec<u8>> = labels(name.as_wire()).map(<[u8]>::to_ascii_lowercase).collect();
                labels.reverse();
                labels
            };
            prop_assert_eq!(a.cmp(&b), by_definition(&a).cmp(&by_definition(&b)));
        }

        #[test]
        fn eight_octets_at_a_time(a in proptest::collection::vec(any::<u8>(), 0..30), flips in any::<u32>(), at in any::<prop::sample::Index>(), value: u8) {
            let mut b = a.clone();
            for (index, octet) in b.iter_mut().enumerate().filter(|(index, _)| flips >> index & 1 == 1) {
                *octet = if index % 2 == 0 { octet.to_ascii_uppercase() } else { octet.to_ascii_lowercase() };
            }
            prop_assert!(eq(&a, &b));
            if !b.is_empty() {
                let at = at.index(b.len());
                b[at] = value;
            }
            prop_assert_eq!(eq(&a, &b), a.eq_ignore_ascii_case(&b));
        }

        #[test]
        fn text_never_panics(text in ".*") {
            if let Ok(name) = Name::from_text(&text) {
                prop_assert!(name.as_wire().len() <= 255);
                prop_assert_eq!(wire_len(name.as_wire()), Some(name.as_wire().len()));
            }
        }
    }
}
