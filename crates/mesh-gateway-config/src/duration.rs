//! Spans of time as Go writes and reads them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, time::Duration};

/// A span of time: `1h30m`, `100ms`, or a bare number of seconds. May be negative, which stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    nanoseconds: i64,
}

const UNITS: &[(&str, f64)] = &[
    ("ns", 1.0),
    ("us", 1e3),
    ("\u{b5}s", 1e3),
    ("\u{3bc}s", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 6e10),
    ("h", 3.6e12),
];

impl Span {
    /// So many thousandths of a second.
    pub const fn milliseconds(count: i64) -> Self {
        Self { nanoseconds: count * 1_000_000 }
    }

    /// So many seconds.
    pub const fn seconds(count: i64) -> Self {
        Self::milliseconds(count * 1_000)
    }

    /// None for nothing and for less.
    pub fn get(self) -> Option<Duration> {
        u64::try_from(self.nanoseconds).ok().filter(|count| *count > 0).map(Duration::from_nanos)
    }

    /// Reads a span as Go writes it; none for what is no span.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(seconds) = text.parse::<i64>() {
            return Some(Self { nanoseconds: seconds.checked_mul(1_000_000_000)? });
        }
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest.is_empty() {
            return None;
        }
        let mut total = 0.0;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let count: f64 = rest[..end].parse().ok()?;
            rest = &rest[end..];
            let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
            let (_, unit) = UNITS.iter().find(|(name, _)| *name == &rest[..end])?;
            total += count * unit;
            rest = &rest[end..];
        }
        // Past the largest, the conversion stops at the largest.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it saturates, and fractions of a nanosecond are none"
        )]
        let nanoseconds = total.round() as i64;
        Some(Self { nanoseconds: if negative { -nanoseconds } else { nanoseconds } })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.nanoseconds.unsigned_abs();
        if self.nanoseconds < 0 {
            f.write_str("-")?;
        }
        let decimal = |f: &mut fmt::Formatter<'_>, unit: u64, name: &str| {
            let (whole, rest) = (total % (unit * 60).max(1) / unit, total % unit);
            let digits = unit.ilog10() as usize;
            let fraction = if digits == 0 { String::new() } else { format!("{rest:0digits$}") };
            let fraction = fraction.trim_end_matches('0');
            let point = if fraction.is_empty() { "" } else { "." };
            write!(f, "{whole}{point}{fraction}{name}")
        };
        match total {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{total}ns"),
            1_000..1_000_000 => small(f, total, 1_000, "\u{b5}s"),
            1_000_000..1_000_000_000 => small(f, total, 1_000_000, "ms"),
            _ => {
                let minutes = total / 60_000_000_000;
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                decimal(f, 1_000_000_000, "s")
            }
        }
    }
}

fn small(f: &mut fmt::Formatter<'_>, total: u64, unit: u64, name: &str) -> fmt::Result {
    let digits = unit.ilog10() as usize;
    let fraction = format!("{:0digits$}", total % unit);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    write!(f, "{}{point}{fraction}{name}", total / unit)
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("time: invalid duration {text:?}")))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_gos() {
        for (text, expected) in [
            ("10", "10s"),
            ("90s", "1m30s"),
            ("1h", "1h0m0s"),
            ("100ms", "100ms"),
            ("1.5s", "1.5s"),
            ("1h0.5s", "1h0m0.5s"),
            ("1500us", "1.5ms"),
            ("-1s", "-1s"),
            ("0", "0s"),
            ("15ns", "15ns"),
        ] {
            assert_eq!(Span::parse(text).expect(text).to_string(), expected);
        }
        for text in ["", "s", "1", "1x", "-", "1.s.", "9223372036854775807"] {
            assert_eq!(Span::parse(text).is_some(), text == "1", "{text}");
        }
    }
}
