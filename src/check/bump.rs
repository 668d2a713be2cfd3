//! Raising serial numbers in zone files with a minimal edit.

use crate::dns::{Name, Serial, Type};
use crate::update::raised;
use crate::zone::{Amendment, Zone};
use crate::zonefile::IncludeError;
use crate::zonefile::edit::{EditError, Edited, edit};

/// Raises the serial number of the zone `apex` in its files above `above`, and changes nothing else.
///
/// `path`, `text` and `open` are as for [`read_including`](crate::zonefile::read_including), which must yield `zone`. `above` is
/// its serial number, or that of the version before. `today` is the date as the number YYYYMMDD. The file changed is
/// usually the zone's own, but an SOA record may stand in an included one.
///
/// # Errors
///
/// See [`EditError`].
pub fn bump(
    apex: &Name,
    path: &str,
    text: &[u8],
    open: impl FnMut(&str) -> Result<Vec<u8>, IncludeError>,
    zone: &Zone,
    above: Serial,
    today: u32,
) -> Result<Edited, EditError> {
    let no_soa = || EditError::Differs("there is no SOA record".to_string());
    let soa = zone.soa().ok_or_else(no_soa)?;
    let mut data = soa.rdata().next().ok_or_else(no_soa)?.to_vec();
    let serial = data.len().checked_sub(20).and_then(|at| data.get_mut(at..at + 4)).ok_or_else(no_soa)?;
    serial.copy_from_slice(&next_serial(above, today).0.to_be_bytes());
    let amendment =
        Amendment { owner: apex.clone(), rtype: Type::SOA, covers: None, ttl: soa.ttl(), data: vec![data.into()] };
    edit(apex, path, text, open, zone, &[amendment])
}

/// Returns the successor of `serial`: today's first number if `serial` looks like YYYYMMDDnn, otherwise the next number.
///
/// `today` is the date as the number YYYYMMDD.
#[must_use]
pub fn next_serial(serial: Serial, today: u32) -> Serial {
    let first = today.checked_mul(100).and_then(|day| day.checked_add(1)).map(Serial);
    match first {
        Some(first) if is_dated(serial) && first.is_newer_than(serial) => first,
        _ => raised(serial),
    }
}

/// Returns whether a serial number looks like YYYYMMDDnn.
fn is_dated(Serial(serial): Serial) -> bool {
    let (year, month, day) = (serial / 1_000_000, serial / 10_000 % 100, serial / 100 % 100);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 => 29,
        2 => 28,
        _ => 31,
    };
    (1980..2100).contains(&year) && (1..=12).contains(&month) && (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zonefile::read;

    #[test]
    fn dates_and_counts() {
        let next = |serial| next_serial(Serial(serial), 20_261_120).0;
        for (serial, expected) in [
            (1, 2),
            (u32::MAX, 1),
            (2_026_111_907, 2_026_112_001),
            (2_026_112_000, 2_026_112_001),
            (2_026_112_001, 2_026_112_002),
            (2_026_112_099, 2_026_112_100),
            (2_027_010_105, 2_027_010_106),
            (2_026_130_100, 2_026_130_101),
            (2_026_022_900, 2_026_022_901),
            (2_024_022_900, 2_026_112_001),
            (1_700_000_000, 1_700_000_001),
        ] {
            assert_eq!(next(serial), expected, "{serial}");
        }
    }

    #[test]
    fn only_the_serial_changes() {
        let apex = Name::from_text("example.org").unwrap();
        let text =
            "$TTL 1h\n@ SOA ns host ( ; here\n\t2026111901 ; serial\n 2h 15m 2w 1h )\n  NS  ns ; kept\nns A 192.0.2.1";
        let none = |_: &str| Err(IncludeError::Missing);
        let zone = read(&apex, "example.org", text.as_bytes()).zone.unwrap();
        let edited = bump(&apex, "example.org", text.as_bytes(), none, &zone, zone.serial(), 20_261_120).unwrap();
        let new = text.replace("2026111901", "2026112001");
        assert_eq!(edited.files.into_iter().collect::<Vec<_>>(), [("example.org".to_string(), new.into_bytes())]);
        assert_eq!(edited.zone.serial(), Serial(2_026_112_001));
    }
}
