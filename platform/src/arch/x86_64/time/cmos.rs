//! A PC's CMOS clock: the time of day to the second.

use crate::arch::x86_64::masking::InterruptsOff;
use crate::arch::x86_64::port::{in8, out8};
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
use core::time::Duration;

/// How many times the clock is polled for the end of an update.
const MAX_POLLS: u32 = 5_000;
/// How many readings may disagree before the clock is given up on.
const ATTEMPTS: usize = 8;

/// The century register, zero if there is none.
static CENTURY: AtomicU8 = AtomicU8::new(0);

/// Stores the number of the century register, if there is one; called once.
pub(super) fn start(century: Option<u8>) {
    CENTURY.store(century.unwrap_or(0), Relaxed);
}

/// The raw registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    second: u8,
    minute: u8,
    hour: u8,
    day: u8,
    month: u8,
    year: u8,
    /// Zero if there is no such register.
    century: u8,
    /// Status register B: bit 2 set for binary, bit 1 for 24 hours.
    format: u8,
}

/// Returns the time since 1970, assuming that the clock runs on UTC; `None` if there is no clock or its reading is
/// invalid.
pub(super) fn read() -> Option<Duration> {
    if !is_present() {
        return None;
    }
    // Two readings that agree are sound regardless of the update flag: an emulated clock has been seen to signal an
    // update for a very long time.
    let mut previous = read_registers();
    for _ in 0..ATTEMPTS {
        let reading = read_registers();
        if reading == previous
            && let Some(seconds) = reading.seconds()
        {
            return Some(Duration::from_secs(seconds));
        }
        previous = reading;
    }
    None
}

/// Returns the raw seconds register, which changes every second; `None` if there is no clock.
pub(super) fn second() -> Option<u8> {
    is_present().then(|| register(0))
}

fn is_present() -> bool {
    // The lower bits of status register D are zero (MC146818A data sheet): all ones mean that there is no clock.
    register(0x0d) & 0x7f == 0
}

/// Reads all registers, if possible while no update is in progress.
fn read_registers() -> Reading {
    let _ = (0..MAX_POLLS).find(|_| register(0x0a) & 0x80 == 0);
    Reading {
        second: register(0),
        minute: register(2),
        hour: register(4),
        day: register(7),
        month: register(8),
        year: register(9),
        century: Some(CENTURY.load(Relaxed)).filter(|&century| century != 0).map_or(0, register),
        format: register(0x0b),
    }
}

fn register(number: u8) -> u8 {
    // One access at a time: the index is shared.
    let _interrupts = InterruptsOff::new();
    // SAFETY: the clock's own index and data ports; bit 7 keeps the NMI masked as firmware leaves it.
    unsafe {
        out8(0x70, number | 0x80);
        in8(0x71)
    }
}

impl Reading {
    /// Returns the seconds since 1970, or `None` if the registers hold no valid date.
    fn seconds(self) -> Option<u64> {
        let binary = self.format & 4 != 0;
        let number = |value: u8| if binary { value } else { (value >> 4) * 10 + (value & 15) };
        let mut hour = number(self.hour & 0x7f);
        if self.format & 2 == 0 {
            hour = hour % 12 + if self.hour & 0x80 != 0 { 12 } else { 0 };
        }
        let century = Some(number(self.century)).filter(|century| (19..=29).contains(century)).unwrap_or(20);
        let year = u64::from(century) * 100 + u64::from(number(self.year));
        let (month, day) = (number(self.month), number(self.day));
        let (minute, second) = (number(self.minute), number(self.second));
        let valid = (1970..3000).contains(&year)
            && number(self.year) < 100
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 61;
        valid.then(|| {
            let days = days_since_1970(year, month.into(), day.into());
            ((days * 24 + u64::from(hour)) * 60 + u64::from(minute)) * 60 + u64::from(second)
        })
    }
}

/// Returns the days since 1970 in the Gregorian calendar; `year` is 1970 or later.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    // Years begin in March, so that the leap day comes last; 719468 days lie between 0000-03-01 and 1970.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECEMBER_31: Reading = Reading {
        second: 0x59,
        minute: 0x59,
        hour: 0x23,
        day: 0x31,
        month: 0x12,
        year: 0x99,
        century: 0x19,
        format: 2,
    };

    #[test]
    fn reads_decimal_and_binary() {
        assert_eq!(DECEMBER_31.seconds(), Some(946_684_799));
        let binary = Reading { second: 0, minute: 30, hour: 9, day: 29, month: 2, year: 24, century: 20, format: 6 };
        assert_eq!(binary.seconds(), Some(1_709_199_000));
    }

    #[test]
    fn reads_twelve_hours() {
        let at = |hour| {
            Reading { hour, minute: 0, second: 0, format: 0, ..DECEMBER_31 }.seconds().map(|s| s % 86_400 / 3600)
        };
        assert_eq!([at(0x12), at(0x01), at(0x92), at(0x91)], [Some(0), Some(1), Some(12), Some(23)]);
    }

    #[test]
    fn refuses_invalid_dates() {
        let nothing = Reading {
            second: 0xff,
            minute: 0xff,
            hour: 0xff,
            day: 0xff,
            month: 0xff,
            year: 0xff,
            century: 0xff,
            format: 0xff,
        };
        assert_eq!(nothing.seconds(), None);
    }

    #[test]
    fn assumes_this_century_without_a_century_register() {
        let reading = Reading { century: 0, year: 0x26, ..DECEMBER_31 };
        assert_eq!(reading.seconds().map(|s| s / 86_400), Some(days_since_1970(2026, 12, 31)));
    }
}
