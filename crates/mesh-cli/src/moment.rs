//! Times as they are typed after `--since` and `--until`, as Docker reads them.

use crate::{failure::CliError, words};

/// Nanoseconds since 1970 of the value of `--since` or `--until`.
pub(crate) fn moment(flag: &str, text: Option<&str>) -> Result<Option<u64>, CliError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let now = words::now_unix_ns();
    if let Some(ago) = duration(text) {
        let moment = i128::from(now) - ago;
        return Ok(Some(u64::try_from(moment.max(0)).unwrap_or(u64::MAX)));
    }
    words::instant(text, now).map(Some).ok_or_else(|| {
        let flag = flag.trim_start_matches('-');
        CliError::said(format!(
            "invalid value for \"{flag}\": failed to parse value as time or duration: \"{text}\""
        ))
        .with_hint("write 2026-11-21T12:00:00Z, seconds since 1970, or how long ago, as in 1h30m")
    })
}

/// A duration in nanoseconds as Go writes it: `1h30m`, `1.5s`, `-10ms`.
fn duration(text: &str) -> Option<i128> {
    let (mut rest, sign) = match text.strip_prefix('-') {
        Some(rest) => (rest, -1),
        None => (text.strip_prefix('+').unwrap_or(text), 1),
    };
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_i128;
    while !rest.is_empty() {
        let length = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, after) = rest.split_at(length);
        let units = [
            ("ns", 1),
            ("us", 1_000),
            ("µs", 1_000),
            ("ms", 1_000_000),
            ("s", 1_000_000_000),
            ("m", 60_000_000_000),
            ("h", 3_600_000_000_000),
        ];
        let unit_length =
            after.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_length);
        let (_, size) = units.into_iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(scaled(number, size)?)?;
        rest = after;
    }
    Some(sign * total)
}

/// A number with or without a fraction, times a size.
fn scaled(number: &str, size: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let parse = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<i128>().ok() };
    let places = u32::try_from(fraction.len()).ok().filter(|places| *places <= 18)?;
    let part = parse(fraction)?.checked_mul(size)? / 10_i128.pow(places);
    parse(whole)?.checked_mul(size)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_go_s() {
        for (text, want) in [
            ("10m", Some(600_000_000_000)),
            ("1h30m", Some(5_400_000_000_000)),
            ("1.5s", Some(1_500_000_000)),
            (".5s", Some(500_000_000)),
            ("-10ms", Some(-10_000_000)),
            ("1µs2ns", Some(1_002)),
            ("10", None),
            ("m", None),
            ("1d", None),
            (".s", None),
            ("1m2", None),
            ("", None),
            ("99999999999999999999999999999999999999h", None),
        ] {
            assert_eq!(duration(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_told_in_docker_s_words() {
        let error = moment("--since", Some("soon")).unwrap_err().to_string();
        assert_eq!(error, "invalid value for \"since\": failed to parse value as time or duration: \"soon\"");
        assert_eq!(moment("--since", Some("1700000000")).unwrap(), Some(1_700_000_000_000_000_000));
        assert_eq!(moment("--until", None).unwrap(), None);
    }
}
