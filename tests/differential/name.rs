//! Domain names and random numbers of the tests' own: a second opinion must not lean on the code under test.

use std::fmt;

/// A domain name, absolute; ordered and compared in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(Vec<u8>);

impl Name {
    /// The root.
    pub(crate) fn root() -> Name {
        Name(vec![0])
    }

    /// Reads a name of plain labels, with or without a final dot.
    pub(crate) fn of(text: &str) -> Name {
        let labels = text.split('.').filter(|label| !label.is_empty()).rev();
        labels.fold(Name::root(), |name, label| name.child(label.as_bytes()))
    }

    /// Reads a name as [`fmt::Display`] writes it.
    pub(crate) fn from_text(text: &str) -> Name {
        let (mut labels, mut label, mut octets) = (Vec::new(), Vec::new(), text.bytes());
        while let Some(octet) = octets.next() {
            match octet {
                b'.' => labels.push(std::mem::take(&mut label)),
                b'\\' => {
                    let number = octets.by_ref().take(3).fold(0_u32, |n, digit| n * 10 + u32::from(digit - b'0'));
                    label.push(u8::try_from(number).expect("three digits make an octet"));
                }
                _ => label.push(octet),
            }
        }
        labels.iter().rev().filter(|label| !label.is_empty()).fold(Name::root(), |name, label| name.child(label))
    }

    /// A name in wire form, uncompressed, folded to lower case.
    pub(crate) fn from_wire(wire: &[u8]) -> Name {
        // Lengths of labels are no letters.
        Name(wire.to_ascii_lowercase())
    }

    /// The name with a label in front; itself if that were longer than a name can be.
    pub(crate) fn child(&self, label: &[u8]) -> Name {
        if label.is_empty() || label.len() > 63 || self.0.len() + label.len() >= 255 {
            return self.clone();
        }
        Name([&[label.len() as u8], label.to_ascii_lowercase().as_slice(), &self.0].concat())
    }

    /// The name without its first label; the root has no parent.
    pub(crate) fn parent(&self) -> Option<Name> {
        (!self.is_root()).then(|| Name(self.0[usize::from(self.0[0]) + 1..].to_vec()))
    }

    pub(crate) fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// The first label; empty for the root.
    pub(crate) fn label(&self) -> &[u8] {
        &self.0[1..=usize::from(self.0[0])]
    }

    /// The name itself, its parent and so on up to the root.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = Name> {
        std::iter::successors(Some(self.clone()), Name::parent)
    }

    pub(crate) fn is_at_or_below(&self, other: &Name) -> bool {
        self.0.len() >= other.0.len() && self.ancestors().any(|name| name == *other)
    }

    pub(crate) fn is_below(&self, other: &Name) -> bool {
        self != other && self.is_at_or_below(other)
    }

    /// The wire form, in lower case.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.0
    }
}

/// As master files spell it (RFC 1035 §5.1).
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for name in self.ancestors().filter(|name| !name.is_root()) {
            for &octet in name.label() {
                match octet {
                    b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'*' => write!(f, "{}", char::from(octet))?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A source of random numbers that says the same for the same seed for ever (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True in `percent` of a hundred cases.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// The text with letters in random case.
    pub(crate) fn case(&mut self, text: &str) -> String {
        text.chars().map(|c| if self.chance(50) { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect()
    }
}
