//! The types of NSEC and NSEC3 records (RFC 4034 §4.1.2, RFC 5155 §3.2.1).

use std::collections::BTreeSet;

use crate::dns::Type;

/// Appends the bitmap of a set of types.
pub(super) fn push(types: &BTreeSet<Type>, out: &mut Vec<u8>) {
    let mut types = types.iter().map(|rtype| rtype.0.to_be_bytes()).peekable();
    while let Some(&[window, _]) = types.peek() {
        let mut bits = [0_u8; 32];
        let mut len = 0;
        while let Some([_, low]) = types.next_if(|[other, _]| *other == window) {
            bits[usize::from(low / 8)] |= 0x80 >> (low % 8);
            len = low / 8 + 1;
        }
        out.extend([window, len]);
        out.extend_from_slice(&bits[..usize::from(len)]);
    }
}

/// Returns the types of a bitmap; what follows a malformed window is left out.
pub(super) fn types(mut map: &[u8]) -> BTreeSet<Type> {
    let mut types = BTreeSet::new();
    while let [window, len, rest @ ..] = map
        && let Some((bits, after)) = rest.split_at_checked(usize::from(*len))
    {
        for (at, octet) in bits.iter().enumerate() {
            let low = (0..8).filter(|bit| octet & 0x80 >> bit != 0).map(|bit| at * 8 + bit);
            types.extend(low.map(|low| Type(u16::from(*window) << 8 | low as u16)));
        }
        map = after;
    }
    types
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bitmaps_round_trip(numbers in proptest::collection::btree_set(any::<u16>(), 0..40)) {
            let expected: BTreeSet<Type> = numbers.into_iter().map(Type).collect();
            let mut octets = Vec::new();
            push(&expected, &mut octets);
            prop_assert_eq!(types(&octets), expected);
        }
    }
}
