//! Conversion of nanoseconds to timer ticks without division.

/// A ratio as a fixed-point number with 32 fractional bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale(u64);

/// Nanoseconds in a second.
const SECOND: u128 = 1_000_000_000;

impl Scale {
    /// Returns a counter's ticks per nanosecond.
    pub(super) fn per_nano(hertz: u64) -> Self {
        Self(((u128::from(hertz) << 32) / SECOND) as u64)
    }

    /// Returns the ratio in its stored form.
    pub(super) fn raw(self) -> u64 {
        self.0
    }

    /// Restores a ratio from [`Self::raw`].
    pub(super) fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Converts `count`, rounding up by more than the ratio's own error, saturating at the largest value.
    #[inline]
    pub(super) fn ticks(self, count: u64) -> u64 {
        let ticks = (u128::from(count) * u128::from(self.0)) >> 32;
        u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_never_end_before_their_time() {
        for hertz in [1_000_000, 62_500_000, 1_000_000_000, 3_000_000_000] {
            for nanos in [0, 1, 999, 10_000_000, 3_600_000_000_000] {
                let ticks = Scale::per_nano(hertz).ticks(nanos);
                assert!(
                    u128::from(ticks) * SECOND >= u128::from(nanos) * u128::from(hertz) - u128::from(nanos),
                    "{hertz} {nanos}"
                );
            }
        }
    }

    #[test]
    fn the_far_future_saturates() {
        assert_eq!(Scale::per_nano(3_000_000_000).ticks(u64::MAX), u64::MAX);
    }
}
