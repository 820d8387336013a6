//! Times and durations as Go writes them, which is what Vault's clients read.

use std::time::{SystemTime, UNIX_EPOCH};

/// Go's zero time, which Vault answers for "never".
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

const NANOS_A_SECOND: u64 = 1_000_000_000;
const SECONDS_A_DAY: u64 = 86_400;
/// Letters of a time with all digits of its fraction.
const LETTERS_MAX: usize = 30;

/// Nanoseconds since 1970; a time before is 1970, one after 2554 the last that can be counted.
pub(crate) fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Seconds in nanoseconds.
pub(crate) fn seconds(seconds: u64) -> u64 {
    seconds.saturating_mul(NANOS_A_SECOND)
}

/// RFC 3339 in UTC with as many digits of the fraction as there are (Go's `RFC3339Nano`).
pub(crate) fn rfc3339(nanos: u64) -> String {
    let (seconds, fraction) = (nanos / NANOS_A_SECOND, nanos % NANOS_A_SECOND);
    let (year, month, day) = date(seconds / SECONDS_A_DAY);
    let second = seconds % SECONDS_A_DAY;
    let mut text = String::with_capacity(LETTERS_MAX);
    for (number, digits, after) in [
        (year, 4, '-'),
        (month, 2, '-'),
        (day, 2, 'T'),
        (second / 3_600, 2, ':'),
        (second / 60 % 60, 2, ':'),
        (second % 60, 2, '.'),
        (fraction, 9, 'Z'),
    ] {
        push_digits(&mut text, number, digits);
        text.push(after);
    }
    text.pop();
    let digits = text.trim_end_matches('0').trim_end_matches('.').len();
    // A time without a fraction ends in `.000000000`, whose point tells its zeros from those of the seconds.
    text.truncate(digits);
    text.push('Z');
    text
}

fn push_digits(text: &mut String, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = number / 10_u64.pow(place) % 10;
        text.push(char::from(b'0' + u8::try_from(digit).unwrap_or(0)));
    }
}

/// Year, month and day of a day since 1970, in the Gregorian calendar. Years are counted from March here, in cycles of
/// 400 of them, so that the day that not every year has is a cycle's last.
fn date(days: u64) -> (u64, u64, u64) {
    // From the first of March of the year 0.
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (400 * cycle + year + u64::from(month <= 2), month, day)
}

/// Whole seconds as Go prints a duration: `0s`, `90s` is `1m30s`, an hour is `1h0m0s`.
pub(crate) fn go_duration(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::{go_duration, rfc3339};

    #[test]
    fn times_are_written_as_go_writes_them() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_500_000_000_000_000_000, "2017-07-14T02:40:00Z"),
            (1_500_000_000_120_000_000, "2017-07-14T02:40:00.12Z"),
            (1_500_000_000_000_000_007, "2017-07-14T02:40:00.000000007Z"),
            (1_500_000_010_000_000_000, "2017-07-14T02:40:10Z"),
        ] {
            assert_eq!(rfc3339(nanos), text);
        }
        assert!(rfc3339(u64::MAX).starts_with("2554-"));
    }

    #[test]
    fn every_day_has_its_date() {
        const DAY: u64 = 86_400 * 1_000_000_000;
        let last = u64::MAX / DAY;
        let own = (0..=last).map(|day| rfc3339(day * DAY));
        let other = (0..=last)
            .map(|day| std::time::UNIX_EPOCH + std::time::Duration::from_secs(day * 86_400))
            .map(|time| humantime::format_rfc3339_seconds(time).to_string());
        for (own, other) in own.zip(other) {
            assert_eq!(own, other);
        }
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (90, "1m30s"), (3_600, "1h0m0s"), (12_319, "3h25m19s"), (u64::MAX, "")]
        {
            assert!(go_duration(seconds).ends_with(text), "{seconds}");
        }
    }
}
