//! Times as Go writes and reads them.

use std::fmt;

const SECOND: i128 = 1_000_000_000;
/// Longest time that Go can say, in nanoseconds.
const MAX: i128 = i64::MAX as i128;

/// A time in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Duration(i64);

impl Duration {
    /// So many seconds.
    pub(crate) fn seconds(seconds: i64) -> Self {
        Self::of(i128::from(seconds) * SECOND)
    }

    fn of(nanoseconds: i128) -> Self {
        Self(i64::try_from(nanoseconds.clamp(-MAX, MAX)).unwrap_or(i64::MAX))
    }

    /// Reads `1h30m`, `1.5s`, `2d`, or seconds; `system` is a time below 0.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let text = if text == "system" { "-1" } else { text };
        let wrong = || format!("time: invalid duration {text:?}");
        if text.is_empty() {
            return Ok(Self(0));
        }
        if let Ok(seconds) = text.parse::<i64>() {
            return Ok(Self::seconds(seconds));
        }
        if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<i64>().ok()) {
            return Ok(Self::of(i128::from(days) * 86_400 * SECOND));
        }
        let (sign, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let mut sum: i128 = 0;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, unit) = rest.split_at(end);
            let end = unit.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit.len());
            let (unit, after) = unit.split_at(end);
            let scale = match unit {
                "ns" => 1,
                "us" | "µs" | "μs" => 1_000,
                "ms" => 1_000_000,
                "s" => SECOND,
                "m" => 60 * SECOND,
                "h" => 3600 * SECOND,
                "" => return Err(format!("time: missing unit in duration {text:?}")),
                other => return Err(format!("time: unknown unit {other:?} in duration {text:?}")),
            };
            sum = sum.saturating_add(scaled(number, scale).ok_or_else(wrong)?);
            rest = after;
        }
        if sum > MAX {
            return Err(wrong());
        }
        Ok(Self::of(sign * sum))
    }

    /// Whether it is 0.
    pub(crate) const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether it is below 0.
    pub(crate) const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Whole seconds, of less than one none.
    pub(crate) fn whole_seconds(self) -> i64 {
        (i128::from(self.0) / SECOND).try_into().unwrap_or(0).max(0)
    }

    /// Without zeros that say nothing: `1h`, `1m30s`.
    pub(crate) fn human(self) -> String {
        let mut text = self.to_string();
        if text.ends_with("m0s") {
            text.truncate(text.len() - 2);
        }
        if let Some(at) = text.find("h0m").filter(|at| *at > 0) {
            text.replace_range(at + 1..at + 3, "");
        }
        text
    }
}

/// Digits with a point, times a scale.
fn scaled(number: &str, scale: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut sum = whole.checked_mul(scale)?;
    let mut part = scale;
    for digit in fraction.chars() {
        part /= 10;
        sum = sum.checked_add(part * i128::from(digit.to_digit(10)?))?;
    }
    Some(sum)
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = i128::from(self.0).unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let second = SECOND.unsigned_abs();
        let point = |value: u128, unit: u128, digits: usize| {
            let fraction = format!("{:0digits$}", value % unit);
            let fraction = fraction.trim_end_matches('0');
            let joint = if fraction.is_empty() { "" } else { "." };
            format!("{}{joint}{fraction}", value / unit)
        };
        match total {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{sign}{total}ns"),
            1_000..1_000_000 => write!(f, "{sign}{}µs", point(total, 1_000, 3)),
            1_000_000..1_000_000_000 => write!(f, "{sign}{}ms", point(total, 1_000_000, 6)),
            _ => {
                let (hours, rest) = (total / (3600 * second), total % (3600 * second));
                let (minutes, rest) = (rest / (60 * second), rest % (60 * second));
                f.write_str(sign)?;
                if hours > 0 {
                    write!(f, "{hours}h")?;
                }
                if hours > 0 || minutes > 0 {
                    write!(f, "{minutes}m")?;
                }
                write!(f, "{}s", point(rest, second, 9))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_as_go_does() {
        for (text, written, human) in [
            ("0", "0s", "0s"),
            ("", "0s", "0s"),
            ("30", "30s", "30s"),
            ("90s", "1m30s", "1m30s"),
            ("1h", "1h0m0s", "1h"),
            ("768h", "768h0m0s", "768h"),
            ("1h30s", "1h0m30s", "1h30s"),
            ("2d", "48h0m0s", "48h"),
            ("1.5s", "1.5s", "1.5s"),
            ("1m0.25s", "1m0.25s", "1m0.25s"),
            ("10ms", "10ms", "10ms"),
            ("system", "-1s", "-1s"),
            ("-1h", "-1h0m0s", "-1h"),
        ] {
            let duration = Duration::parse(text).unwrap();
            assert_eq!(
                (duration.to_string().as_str(), duration.human().as_str()),
                (written, human),
                "{text}"
            );
        }
        for wrong in ["x", "1x", "1h2", ".", "h", "1..2s", "99999999999h"] {
            assert!(Duration::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Duration::parse("90m").unwrap().whole_seconds(), 5400);
        assert_eq!(Duration::parse("10ms").unwrap().whole_seconds(), 0);
    }
}
