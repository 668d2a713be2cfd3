//! Requests for the time and their answers: octets and clock readings in, an offset out (RFC 4330 §5).

use std::fmt;
use std::time::Duration;

/// The length of a packet without extensions, in octets (RFC 5905 §7.3).
pub(super) const PACKET: usize = 48;

/// The number of seconds from 1900, the NTP epoch, to 1970.
const FROM_1900: i64 = 2_208_988_800;

/// The length of an NTP era in seconds; the next one begins in 2036.
const ERA: i64 = 1 << 32;

/// The maximum root distance of a server (RFC 5905 §A.5.5.3, with more tolerance).
const MAX_DISTANCE: Duration = Duration::from_secs(3);

const SECOND: i64 = 1_000_000_000;

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// How far our clock is behind, in nanoseconds; negative if it is ahead.
    pub(super) offset: i64,
    /// The round-trip time; the error of the offset is at most half of it.
    pub(super) delay: Duration,
    /// The stratum of the server: its distance from a reference clock, 1 to 15.
    pub(super) stratum: u8,
}

/// The reason why an answer is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The packet is not the answer to our request, which may still arrive.
    Unrelated,
    /// The server sent a kiss-of-death packet with this code (RFC 4330 §8).
    KissOfDeath(String),
    /// The server is not synchronized.
    Unsynchronized,
    /// The root distance of the server is too large.
    Inaccurate(Duration),
    /// The answer is invalid.
    Invalid(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unrelated => f.write_str("sent something other than the answer"),
            Self::KissOfDeath(code) => write!(f, "refused to answer ({code})"),
            Self::Unsynchronized => f.write_str("is not synchronized"),
            Self::Inaccurate(by) => write!(f, "is inaccurate by up to {:.1} s", by.as_secs_f64()),
            Self::Invalid(what) => f.write_str(what),
        }
    }
}

/// Returns a request that `cookie` identifies; it replaces our time, so the request does not reveal it.
pub(super) fn question(cookie: u64) -> [u8; PACKET] {
    let mut packet = [0; PACKET];
    // No leap warning, version 4, mode 3 (client).
    packet[0] = 0x23;
    packet[40..].copy_from_slice(&cookie.to_be_bytes());
    packet
}

/// Parses the answer to the request with `cookie` that was sent at `sent` by our clock, in nanoseconds since 1970, and
/// that took `elapsed` to be answered.
pub(super) fn read(packet: &[u8], cookie: u64, sent: i64, elapsed: Duration) -> Result<Sample, Fault> {
    let packet: &[u8; PACKET] = packet.first_chunk().ok_or(Fault::Unrelated)?;
    let word = |at: usize| u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
    let stamp = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
    let (leap, version, mode, stratum) = (packet[0] >> 6, packet[0] >> 3 & 7, packet[0] & 7, packet[1]);
    if mode != 4 || stamp(24) != cookie {
        return Err(Fault::Unrelated);
    }
    if !(3..=4).contains(&version) {
        return Err(Fault::Invalid("answered in another version of NTP"));
    }
    if stratum == 0 {
        let code = packet[12..16].iter().map(|octet| if octet.is_ascii_graphic() { char::from(*octet) } else { '.' });
        return Err(Fault::KissOfDeath(code.collect()));
    }
    if leap == 3 || stratum > 15 {
        return Err(Fault::Unsynchronized);
    }
    let distance = short(word(4)) / 2 + short(word(8));
    if distance > MAX_DISTANCE {
        return Err(Fault::Inaccurate(distance));
    }
    let (received, answered) = (stamp(32), stamp(40));
    if received == 0 || answered == 0 {
        return Err(Fault::Invalid("answered without a time"));
    }
    let (received, answered) = (since_1970(received), since_1970(answered));
    let elapsed = i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX);
    let processing = answered - received;
    if processing < 0 || processing > elapsed.saturating_add(SECOND) {
        return Err(Fault::Invalid("answered with inconsistent times"));
    }
    let delay = (elapsed - processing).max(0);
    // i128 is wide enough for any two clocks.
    let behind = |ours: i64, theirs: i64| i128::from(theirs) - i128::from(ours);
    let offset = (behind(sent, received) + behind(sent.saturating_add(elapsed), answered)) / 2;
    let offset = i64::try_from(offset).map_err(|_| Fault::Invalid("answered with a time that is centuries off"))?;
    Ok(Sample { offset, delay: Duration::from_nanos(delay.unsigned_abs()), stratum })
}

/// Converts a timestamp to nanoseconds since 1970; those whose highest bit is clear belong to the era after 2036 (RFC
/// 4330 §3).
fn since_1970(stamp: u64) -> i64 {
    let (seconds, fraction) = ((stamp >> 32) as i64, stamp & 0xffff_ffff);
    let seconds = if seconds >= ERA / 2 { seconds } else { seconds + ERA };
    (seconds - FROM_1900) * SECOND + ((fraction * 1_000_000_000) >> 32) as i64
}

/// Converts a duration from the short format, seconds and 65536ths of them.
fn short(word: u32) -> Duration {
    Duration::from_nanos((u64::from(word) * 1_000_000_000) >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COOKIE: u64 = 0x0123_4567_89ab_cdef;

    /// 2026-09-21T14:13:20Z.
    const NOW: i64 = 1_790_000_000 * SECOND;

    fn stamp(time: i64) -> [u8; 8] {
        let seconds = (time / SECOND + FROM_1900) as u32;
        let fraction = ((time % SECOND) << 32) / SECOND;
        (u64::from(seconds) << 32 | fraction as u64).to_be_bytes()
    }

    /// The answer of a server of stratum 2 that received the question at `received` and took 10 ms.
    fn answer(received: i64) -> [u8; PACKET] {
        let mut packet = [0; PACKET];
        packet[..4].copy_from_slice(&[0x24, 2, 6, 0xec]);
        packet[4..12].copy_from_slice(&[0, 0, 0x10, 0, 0, 0, 0x20, 0]);
        packet[24..32].copy_from_slice(&COOKIE.to_be_bytes());
        packet[32..40].copy_from_slice(&stamp(received));
        packet[40..].copy_from_slice(&stamp(received + SECOND / 100));
        packet
    }

    fn changed(change: impl FnOnce(&mut [u8; PACKET])) -> Result<Sample, Fault> {
        let mut packet = answer(NOW);
        change(&mut packet);
        read(&packet, COOKIE, NOW, Duration::from_millis(50))
    }

    #[test]
    fn the_offset_assumes_symmetric_delays() {
        let elapsed = Duration::from_millis(50);
        let close = |sample: Result<Sample, Fault>, offset: i64| {
            let sample = sample.unwrap();
            assert!((sample.offset - offset).abs() < 100, "{sample:?}");
            assert!(sample.delay.abs_diff(Duration::from_millis(40)) < Duration::from_nanos(100), "{sample:?}");
            assert_eq!(sample.stratum, 2);
        };
        // 20 ms in each direction.
        for offset in [0, 5 * SECOND, -5 * SECOND, 800_000_000 * SECOND, -800_000_000 * SECOND] {
            let answer = answer(NOW + SECOND / 50);
            close(read(&answer, COOKIE, NOW - offset, elapsed), offset);
        }
        // The next era.
        let later = 2_200_000_000 * SECOND;
        close(read(&answer(later + SECOND / 50), COOKIE, later, elapsed), 0);
    }

    #[test]
    fn unrelated_packets_are_ignored() {
        assert!(changed(|_| ()).is_ok());
        assert_eq!(changed(|packet| packet[31] ^= 1), Err(Fault::Unrelated));
        assert_eq!(changed(|packet| packet[0] = 0x23), Err(Fault::Unrelated));
        assert_eq!(read(&answer(NOW)[..47], COOKIE, NOW, Duration::ZERO), Err(Fault::Unrelated));
        assert_eq!(read(&question(COOKIE), COOKIE, NOW, Duration::ZERO), Err(Fault::Unrelated));
    }

    #[test]
    fn unusable_answers_are_rejected() {
        assert_eq!(changed(|packet| packet[0] |= 0xc0), Err(Fault::Unsynchronized));
        assert_eq!(changed(|packet| packet[1] = 16), Err(Fault::Unsynchronized));
        let kiss = changed(|packet| {
            packet[1] = 0;
            packet[12..16].copy_from_slice(b"RAT\n");
        });
        assert_eq!(kiss.unwrap_err().to_string(), "refused to answer (RAT.)");
        let vague = changed(|packet| packet[9] = 5).unwrap_err();
        assert_eq!(vague.to_string(), "is inaccurate by up to 5.2 s");
        assert!(matches!(changed(|packet| packet[40..].fill(0)), Err(Fault::Invalid(_))));
        assert!(matches!(changed(|packet| packet[43] ^= 0x80), Err(Fault::Invalid(_))));
        assert!(matches!(changed(|packet| packet[0] = 0x0c), Err(Fault::Invalid(_))));
    }

    proptest! {
        /// Any packet and any time of our clock: no panic, and the offset leads to the server's time.
        #[test]
        fn any_octets_never_panic(
            noise in proptest::collection::vec(any::<u8>(), PACKET),
            sent in any::<i64>(),
            elapsed in any::<u64>(),
            received in 0..4_000_000_000_i64,
        ) {
            let elapsed = Duration::from_nanos(elapsed);
            let mut packet = noise;
            let _ = read(&packet, COOKIE, sent, elapsed);
            packet[24..32].copy_from_slice(&COOKIE.to_be_bytes());
            packet[..2].copy_from_slice(&[0x24, 1]);
            let _ = read(&packet, COOKIE, sent, elapsed);
            let received = received * SECOND;
            if let Ok(sample) = read(&answer(received), COOKIE, received - 7 * SECOND, Duration::from_millis(10)) {
                prop_assert!((sample.offset - 7 * SECOND).abs() < 100);
            }
        }
    }
}
