//! The Internet checksum (RFC 1071), over slices, fast.
//!
//! Sums are kept in the machine's byte order: the ones' complement sum is the same in either order once its two
//! bytes are stored the way they were loaded (RFC 1071 §2(B)). So words are loaded as they stand and nothing is swapped.

/// A running sum, to be finished by [`Sum::finish`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    /// Adds bytes that start at an even offset of what is summed.
    #[inline]
    pub(crate) fn add(mut self, bytes: &[u8]) -> Self {
        // 2^32 chunks fit before the upper half could overflow; no packet comes near.
        let (chunks, rest) = bytes.as_chunks::<4>();
        for chunk in chunks {
            self.0 += u64::from(u32::from_ne_bytes(*chunk));
        }
        let mut tail = [0; 4];
        tail[..rest.len()].copy_from_slice(rest);
        self.0 += u64::from(u32::from_ne_bytes(tail));
        self
    }

    /// Adds a 16-bit number.
    #[inline]
    pub(crate) fn add_word(mut self, word: u16) -> Self {
        self.0 += u64::from(u16::from_ne_bytes(word.to_be_bytes()));
        self
    }

    /// Returns the checksum in the byte order it is stored in.
    #[inline]
    pub(crate) fn finish(self) -> [u8; 2] {
        let mut sum = self.0;
        sum = (sum & 0xffff_ffff) + (sum >> 32);
        sum = (sum & 0xffff_ffff) + (sum >> 32);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        (!(sum as u16)).to_ne_bytes()
    }

    /// Returns whether data that includes its own checksum is intact.
    #[inline]
    pub(crate) fn is_intact(self) -> bool {
        self.finish() == [0, 0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_the_book(bytes: &[u8]) -> [u8; 2] {
        let mut sum: u32 = bytes.chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(*c.get(1).unwrap_or(&0))).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (!(sum as u16)).to_be_bytes()
    }

    #[test]
    fn example_of_the_rfc() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::default().add(&bytes).finish(), (!0xddf2u16).to_be_bytes());
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(bytes in proptest::collection::vec(any::<u8>(), 0..2000), word in any::<u16>()) {
            prop_assert_eq!(Sum::default().add(&bytes).finish(), by_the_book(&bytes));
            let mut with_word = word.to_be_bytes().to_vec();
            with_word.extend(&bytes);
            prop_assert_eq!(Sum::default().add_word(word).add(&bytes).finish(), by_the_book(&with_word));
        }
    }
}
