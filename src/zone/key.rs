//! Names as trie keys: strings of six-bit symbols that sort in canonical order.
//!
//! Canonical order (RFC 4034 §6.1) compares labels from the root, octets in lower case, and puts a name
//! before all names below it. A key spells a name in just that order: for each label from the root its
//! octets, then [`END`]; beyond its last symbol a key reads as `END` indefinitely. `END` is the smallest
//! symbol, so shorter labels and upper names come first; an empty label does not occur, so two `END`
//! in a row mean the end of the name and nothing else.
//!
//! A branch of the trie indexes its twigs by a 64-bit map, so a symbol must be below 64. The octets
//! that host names are made of (letters, digits, hyphen, underscore, and the asterisk and slash) have a
//! symbol of their own; the rest share, by runs of up to 63 neighbours, an introducer and take a second
//! symbol. So a usual name costs one symbol an octet, and order is kept.

use crate::dns::name::{LabelOffsets, label_at};

/// The symbol that ends a label, and every symbol beyond a key's end.
pub(crate) const END: u8 = 0;

/// The maximum number of symbols of a key, rounded up to a power of two: 2 × 253 octets and their `END`s.
const CAPACITY: usize = 512;

/// A name spelled as symbols.
pub(crate) struct Key {
    symbols: [u8; CAPACITY],
    len: usize,
}

impl Key {
    /// Spells a wire-form name.
    pub(crate) fn new(name: &[u8]) -> Self {
        let mut key = Self::empty();
        key.push_labels(name);
        key
    }

    /// Returns the root's key, to be [set](Self::set): the key is large, and unlike [`Self::new`] this never copies it.
    #[inline]
    pub(crate) fn empty() -> Self {
        Self { symbols: [END; CAPACITY], len: 0 }
    }

    /// Spells another name into the same place.
    #[inline]
    pub(crate) fn set(&mut self, name: &[u8]) {
        self.symbols[..self.len].fill(END);
        self.len = 0;
        self.push_labels(name);
    }

    #[inline]
    fn push_labels(&mut self, name: &[u8]) {
        let offsets = LabelOffsets::of(name);
        let mut len = 0;
        for &at in offsets.as_slice().iter().rev() {
            for &octet in label_at(name, at) {
                let pair = SYMBOLS[usize::from(octet)];
                // Writing both and counting one or two spares a branch; the next symbol overwrites an unused one.
                if let Some(place) = self.symbols.get_mut(len..len + 2) {
                    place.copy_from_slice(&pair);
                }
                len += 1 + usize::from(pair[1] != END);
            }
            self.symbols[len % CAPACITY] = END;
            len += 1;
        }
        self.len = len;
    }

    /// Returns the symbol at a position, `END` beyond the last.
    #[inline]
    pub(crate) fn symbol(&self, at: u16) -> u8 {
        self.symbols[usize::from(at) % CAPACITY]
    }

    /// Returns whether a position is where a label would begin: at the start or right after an `END`.
    #[inline]
    pub(crate) fn at_label(&self, at: u16) -> bool {
        at == 0 || self.symbols[usize::from(at - 1) % CAPACITY] == END
    }

    /// Returns the first position at which two keys differ, or `None` if they spell the same name.
    pub(crate) fn difference(&self, other: &Self) -> Option<u16> {
        let longer = self.len.max(other.len);
        let at = self.symbols[..longer].iter().zip(&other.symbols[..longer]).position(|(a, b)| a != b)?;
        u16::try_from(at).ok()
    }

    /// Returns how many symbols the key has.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the 20 symbols from `start` on packed into a number that sorts as they do.
    pub(crate) fn packed(&self, start: usize) -> u128 {
        (start..start + 20).fold(0, |number, at| number << 6 | u128::from(*self.symbols.get(at).unwrap_or(&END)))
    }
}

/// The symbols of each octet; a second symbol of `END` means there is only one.
static SYMBOLS: [[u8; 2]; 256] = symbols();

const fn has_own_symbol(octet: u8) -> bool {
    matches!(octet, b'*' | b'-' | b'/' | b'_' | b'0'..=b'9' | b'a'..=b'z')
}

const fn symbols() -> [[u8; 2]; 256] {
    let mut table = [[END; 2]; 256];
    let mut last = END;
    let mut second = 0;
    let mut octet = 0;
    while octet < 256 {
        // Capitals take the symbols of their small letters, so they are no octets of their own here.
        if !(octet as u8).is_ascii_uppercase() {
            if has_own_symbol(octet as u8) {
                last += 1;
                second = 0;
                table[octet] = [last, END];
            } else {
                if second == 0 || second == 63 {
                    last += 1;
                    second = 0;
                }
                second += 1;
                table[octet] = [last, second];
            }
        }
        octet += 1;
    }
    assert!(last < 64);
    let mut capital = b'A' as usize;
    while capital <= b'Z' as usize {
        table[capital] = table[capital + 32];
        capital += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Name;
    use crate::dns::name::tests::names_of;
    use proptest::prelude::*;

    fn spelled(name: &Name) -> Vec<u8> {
        let key = Key::new(name.as_wire());
        key.symbols[..key.len].to_vec()
    }

    #[test]
    fn longest_name_fits() {
        for label in [1, 63] {
            let mut wire = Vec::new();
            while wire.len() + label + 2 <= 255 {
                wire.push(label as u8);
                wire.extend(std::iter::repeat_n(0xff, label));
            }
            wire.push(0);
            let key = Key::new(&wire);
            assert!(key.len() < CAPACITY - 2, "{}", key.len());
        }
    }

    fn any_name() -> impl Strategy<Value = Name> {
        let octet = prop_oneof![any::<u8>(), Just(b'a'), Just(b'B'), Just(0), Just(b'[')];
        names_of(octet, 1..4, 0..4)
    }

    proptest! {
        /// The keys' plain order is the names' canonical order (RFC 4034 §6.1).
        #[test]
        fn order_is_kept(a in any_name(), b in any_name()) {
            prop_assert_eq!(spelled(&a).cmp(&spelled(&b)), a.cmp(&b));
            let (x, y) = (Key::new(a.as_wire()), Key::new(b.as_wire()));
            prop_assert_eq!(x.difference(&y).is_none(), a == b);
            if let Some(at) = x.difference(&y) {
                prop_assert_eq!(x.symbol(at).cmp(&y.symbol(at)), a.cmp(&b));
            }
        }

        #[test]
        fn reuse_leaves_nothing_behind(a in any_name(), b in any_name()) {
            let mut key = Key::new(a.as_wire());
            key.set(b.as_wire());
            prop_assert!(key.symbols == Key::new(b.as_wire()).symbols);
        }
    }
}
