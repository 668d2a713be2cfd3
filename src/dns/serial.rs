//! SOA serial numbers and their circular order (RFC 1982).

use std::fmt;

/// The serial number of a zone, compared by serial number arithmetic (RFC 1982).
///
/// It is deliberately not `Ord`: serial comparison is not transitive and some pairs have no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Serial(pub u32);

impl Serial {
    /// Returns whether `self` comes after `other` (RFC 1982 §3.2); false for equal and for undefined pairs.
    pub fn is_newer_than(self, other: Self) -> bool {
        matches!(self.0.wrapping_sub(other.0), 1..=0x7fff_ffff)
    }

    /// Returns the next serial, by serial number addition (RFC 1982 §3.1).
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// Compares as RFC 1982 §3.2 defines; `None` where the RFC leaves the order undefined (exactly 2³¹ apart).
impl PartialOrd for Serial {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        use std::cmp::Ordering::{Equal, Greater, Less};
        match self.0.wrapping_sub(other.0) {
            0 => Some(Equal),
            1..=0x7fff_ffff => Some(Greater),
            0x8000_0000 => None,
            _ => Some(Less),
        }
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use crate::dns::serial::*;

    /// The 8-bit examples of RFC 1982 §5.2, scaled to 32 bits.
    #[test]
    fn wraps_around_the_circle() {
        let s = |top: u32| Serial(top << 24);
        assert!(s(1) > s(0) && s(44) > s(0) && s(100) > s(44) && s(200) > s(100));
        assert!(s(255) > s(200) && s(0) > s(255) && s(100) > s(255) && s(44) > s(200));
        assert_eq!(s(128).partial_cmp(&s(0)), None);
        assert!(Serial(0).is_newer_than(Serial(u32::MAX)));
        assert!(!Serial(7).is_newer_than(Serial(7)));
        assert_eq!(Serial(u32::MAX).next(), Serial(0));
    }
}
