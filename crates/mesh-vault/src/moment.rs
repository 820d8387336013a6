//! Times and durations as Go writes them, which is what Vault's clients read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Go's zero time, which Vault answers for "never".
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

/// The last second that has a four-digit year: 9999-12-31T23:59:59Z.
const SECONDS_MAX: u64 = 253_402_300_799;
const NANOS_A_SECOND: u64 = 1_000_000_000;

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
    let seconds = (nanos / NANOS_A_SECOND).min(SECONDS_MAX);
    let time = UNIX_EPOCH + Duration::new(seconds, u32::try_from(nanos % NANOS_A_SECOND).unwrap_or(0));
    let text = humantime::format_rfc3339_nanos(time).to_string();
    let digits = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    format!("{digits}Z")
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
    fn durations_are_written_as_go_writes_them() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (90, "1m30s"), (3_600, "1h0m0s"), (12_319, "3h25m19s"), (u64::MAX, "")]
        {
            assert!(go_duration(seconds).ends_with(text), "{seconds}");
        }
    }
}
