//! The data of LOC records, the location of a host (RFC 1876).

use std::fmt::Write;

/// The length of LOC data of version 0, in octets.
pub(super) const LEN: usize = 16;

/// The value of the equator and of the prime meridian; latitude and longitude count thousandths of an arc second from
/// it.
const ORIGIN: u32 = 1 << 31;

/// The altitude of the WGS 84 ellipsoid, in centimetres above the reference 100 km below it.
const ELLIPSOID: i64 = 10_000_000;

const MINUTE: u32 = 60_000;
const DEGREE: u32 = 60 * MINUTE;

/// The defaults for size, horizontal and vertical precision: 1 m, 10 km, 10 m (RFC 1876 §3).
const DEFAULTS: [u8; 3] = [0x12, 0x16, 0x13];

/// Parses the words of a record's data. An error is the index of the faulty word (or the number of words, if one is
/// missing) and what is expected there.
pub(super) fn read(words: &[&[u8]], out: &mut Vec<u8>) -> Result<(), (usize, &'static str)> {
    let mut at = 0;
    let latitude = angle(words, &mut at, 90, *b"NS")?;
    let longitude = angle(words, &mut at, 180, *b"EW")?;
    let what = "an altitude in metres, -100000.00 to 42849672.95";
    let altitude = words.get(at).and_then(|word| centimetres(word)).map(|cm| cm + ELLIPSOID);
    let altitude = altitude.and_then(|cm| u32::try_from(cm).ok()).ok_or((at, what))?;
    let mut precision = DEFAULTS;
    let rest = words.get(at + 1..).unwrap_or_default();
    for (index, (octet, word)) in precision.iter_mut().zip(rest).enumerate() {
        let what = "a size or precision in metres, 0 to 90000000.00";
        *octet = centimetres(word).and_then(to_power).ok_or((at + 1 + index, what))?;
    }
    if rest.len() > DEFAULTS.len() {
        return Err((at + 1 + DEFAULTS.len(), "the end of the line"));
    }
    out.push(0);
    out.extend_from_slice(&precision);
    for number in [latitude, longitude, altitude] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    Ok(())
}

/// Parses `degrees [minutes [seconds]] N|S` (or `E|W`).
fn angle(words: &[&[u8]], at: &mut usize, max: u32, signs: [u8; 2]) -> Result<u32, (usize, &'static str)> {
    let sign = |word: &[u8]| match word {
        [octet] if octet.eq_ignore_ascii_case(&signs[0]) => Some(true),
        [octet] if octet.eq_ignore_ascii_case(&signs[1]) => Some(false),
        _ => None,
    };
    let parts: [(u32, &'static str); 3] = [
        (DEGREE, if max == 90 { "degrees from 0 to 90" } else { "degrees from 0 to 180" }),
        (MINUTE, "minutes from 0 to 59, or the hemisphere"),
        (1, "seconds from 0 to 59.999, or the hemisphere"),
    ];
    let hemisphere = if max == 90 { "`N` or `S`" } else { "`E` or `W`" };
    let mut sum = 0;
    for (index, (unit, what)) in parts.into_iter().enumerate() {
        let word = words.get(*at).copied().ok_or((*at, what))?;
        if index > 0 && sign(word).is_some() {
            break;
        }
        let limit = [max, 59, 59_999][index];
        let value = if index == 2 { decimal(word, 3) } else { decimal(word, 0) };
        let value = value.and_then(|value| u32::try_from(value).ok()).filter(|&value| value <= limit);
        sum += value.ok_or((*at, what))? * unit;
        *at += 1;
    }
    if sum > max * DEGREE {
        return Err((*at - 1, "an angle of at most 90 (north, south) or 180 (east, west) degrees"));
    }
    let word = words.get(*at).copied().ok_or((*at, hemisphere))?;
    let positive = sign(word).ok_or((*at, hemisphere))?;
    *at += 1;
    Ok(if positive { ORIGIN + sum } else { ORIGIN - sum })
}

/// Parses a number of metres with up to two decimals and an optional `m`; returns centimetres.
fn centimetres(word: &[u8]) -> Option<i64> {
    let word = word.strip_suffix(b"m").or(word.strip_suffix(b"M")).unwrap_or(word);
    match word.split_first() {
        Some((b'-', word)) => decimal(word, 2).map(|value| -value),
        Some((b'+', word)) => decimal(word, 2),
        _ => decimal(word, 2),
    }
}

/// Parses a decimal number with up to `decimals` decimals; returns it in units of the last one.
fn decimal(word: &[u8], decimals: usize) -> Option<i64> {
    let (whole, fraction) = match word.iter().position(|&octet| octet == b'.') {
        Some(dot) if decimals > 0 => (&word[..dot], &word[dot + 1..]),
        Some(_) => return None,
        None => (word, &word[..0]),
    };
    if whole.is_empty() || whole.len() > 10 || fraction.len() > decimals {
        return None;
    }
    let zeros = std::iter::repeat_n(&b'0', decimals - fraction.len());
    whole
        .iter()
        .chain(fraction)
        .chain(zeros)
        .try_fold(0_i64, |number, octet| octet.is_ascii_digit().then(|| number * 10 + i64::from(octet - b'0')))
}

/// Encodes centimetres as one digit and a power of ten, truncating the other digits (RFC 1876 §2).
fn to_power(centimetres: i64) -> Option<u8> {
    let mut mantissa = u64::try_from(centimetres).ok()?;
    let mut exponent = 0;
    while mantissa > 9 {
        mantissa /= 10;
        exponent += 1;
    }
    (exponent <= 9).then_some((mantissa as u8) << 4 | exponent)
}

/// Formats data of version 0; returns `None` if it is malformed.
pub(super) fn print(data: &[u8]) -> Option<String> {
    if !is_well_formed(data) || data[0] != 0 {
        return None;
    }
    let number = |at: usize| data[at..].first_chunk::<4>().map_or(0, |octets| u32::from_be_bytes(*octets));
    let mut text = String::new();
    for (value, signs) in [(number(4), ['N', 'S']), (number(8), ['E', 'W'])] {
        let (sum, sign) = if value >= ORIGIN { (value - ORIGIN, signs[0]) } else { (ORIGIN - value, signs[1]) };
        let (degrees, minutes, rest) = (sum / DEGREE, sum % DEGREE / MINUTE, sum % MINUTE);
        let _ = write!(text, "{degrees} {minutes} {}.{:03} {sign} ", rest / 1000, rest % 1000);
    }
    let altitude = i64::from(number(12)) - ELLIPSOID;
    let sign = if altitude < 0 { "-" } else { "" };
    let _ = write!(text, "{sign}{}.{:02}m", altitude.abs() / 100, altitude.abs() % 100);
    for octet in &data[1..4] {
        let value = u64::from(octet >> 4) * 10_u64.pow(u32::from(octet & 15));
        let _ = write!(text, " {}.{:02}m", value / 100, value % 100);
    }
    Some(text)
}

/// Returns whether octets are well-formed LOC data; any data of a version other than 0 is (RFC 1876 §2).
pub(super) fn is_well_formed(data: &[u8]) -> bool {
    let Some((&version, rest)) = data.split_first() else { return false };
    if version != 0 {
        return true;
    }
    let within = |at: usize, max: u32| {
        let number = data.get(at..at + 4).and_then(|octets| octets.first_chunk::<4>());
        number.is_some_and(|octets| u32::from_be_bytes(*octets).abs_diff(ORIGIN) <= max * DEGREE)
    };
    data.len() == LEN && rest[..3].iter().all(|o| o >> 4 <= 9 && o & 15 <= 9) && within(4, 90) && within(8, 180)
}
