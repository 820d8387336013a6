//! Points in time, as logs and the API write them: in UTC.

use std::{
    cell::RefCell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const DAY_SECONDS: u64 = 86_400;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

thread_local! {
    /// The last second that was asked for, as text.
    static DATED: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// A point in time by the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Civil {
    year: u64,
    /// From 1.
    month: usize,
    day: u64,
    /// Of the day.
    second: u64,
    nanosecond: u32,
}

impl Civil {
    /// What is before 1970 is 1970.
    fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        // Days are counted from a first of March, so that the odd day is a year's last (Hinnant, "chrono-compatible
        // low-level date algorithms").
        let days = since.as_secs() / DAY_SECONDS + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Self {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month: usize::try_from(month).unwrap_or(1),
            day: day_of_year - (153 * shifted + 2) / 5 + 1,
            second: since.as_secs() % DAY_SECONDS,
            nanosecond: since.subsec_nanos(),
        }
    }

    fn clock(self) -> (u64, u64, u64) {
        (self.second / 3_600, self.second / 60 % 60, self.second % 60)
    }
}

/// `2026-11-22T00:22:39.5Z`: as many digits of a second as there are.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let civil = Civil::of(time);
    let (hour, minute, second) = civil.clock();
    let fraction = match civil.nanosecond {
        0 => String::new(),
        count => format!(".{count:09}").trim_end_matches('0').to_owned(),
    };
    format!(
        "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z",
        civil.year, civil.month, civil.day
    )
}

/// `2026-11-22T00-22-39.500`: for names of files, which are in the order of their times.
pub(crate) fn stamp(time: SystemTime) -> String {
    let civil = Civil::of(time);
    let (hour, minute, second) = civil.clock();
    let (year, month, day, millisecond) = (civil.year, civil.month, civil.day, civil.nanosecond / 1_000_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}.{millisecond:03}")
}

/// Whether a text has the form of [`stamp`].
pub(crate) fn is_stamp(text: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00T00-00-00.000";
    let same = |(byte, form): (u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == *form };
    text.len() == FORM.len() && text.bytes().zip(FORM).all(same)
}

/// `22/Nov/2026:00:22:39 +0000`.
pub(crate) fn common(time: SystemTime) -> String {
    let civil = Civil::of(time);
    let (hour, minute, second) = civil.clock();
    let month = MONTHS[(civil.month - 1) % MONTHS.len()];
    format!("{:02}/{month}/{}:{hour:02}:{minute:02}:{second:02} +0000", civil.day, civil.year)
}

/// `Sun, 22 Nov 2026 00:22:39 GMT`, as headers have it (RFC 9110, section 5.6.7).
pub(crate) fn http(time: SystemTime) -> String {
    let civil = Civil::of(time);
    let (hour, minute, second) = civil.clock();
    let days = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs() / DAY_SECONDS;
    let weekday = WEEKDAYS.get(usize::try_from(days % 7).unwrap_or(0)).copied().unwrap_or_default();
    let month = MONTHS[(civil.month - 1) % MONTHS.len()];
    format!("{weekday}, {:02} {month} {:04} {hour:02}:{minute:02}:{second:02} GMT", civil.day, civil.year)
}

/// The present in that form, made once a second.
pub(crate) fn dated<T>(write: impl FnOnce(&[u8]) -> T) -> T {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    DATED.with_borrow_mut(|(known, text)| {
        if *known != second || text.is_empty() {
            (*known, *text) = (second, http(now));
        }
        write(text.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, nanoseconds, expected) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (951_782_399, 0, "2000-02-28T23:59:59Z"),
            (951_782_400, 500_000_000, "2000-02-29T00:00:00.5Z"),
            (1_767_225_599, 0, "2025-12-31T23:59:59Z"),
            (1_795_306_959, 120, "2026-11-22T00:22:39.00000012Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::new(seconds, nanoseconds)), expected);
        }
        assert_eq!(common(UNIX_EPOCH + Duration::from_secs(1_795_306_959)), "22/Nov/2026:00:22:39 +0000");
        let stamped = stamp(UNIX_EPOCH + Duration::from_millis(1_795_306_959_050));
        assert_eq!(stamped, "2026-11-22T00-22-39.050");
        assert!(is_stamp(&stamped) && !is_stamp("2026-11-22T00:22:39.050") && !is_stamp("2026"));
        assert_eq!(http(UNIX_EPOCH + Duration::from_secs(1_795_306_959)), "Sun, 22 Nov 2026 00:22:39 GMT");
        assert_eq!(http(UNIX_EPOCH), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert!(dated(|text| text.ends_with(b" GMT")));
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
    }
}
