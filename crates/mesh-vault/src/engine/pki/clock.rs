//! Points in time as certificates and answers write them. Seconds since 1970; never before.

use super::der::{self, Malformed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second that a certificate can name: the end of 9999 (RFC 5280, 4.1.2.5).
const LAST: u64 = 253_402_300_799;

/// Seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).min(LAST)
}

fn system(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.min(LAST))
}

/// `2026-11-21T18:00:00Z`.
pub(super) fn rfc3339(seconds: u64) -> String {
    humantime::format_rfc3339_seconds(system(seconds)).to_string()
}

/// Reads RFC 3339, with `Z` or an offset.
pub(super) fn parse_rfc3339(text: &str) -> Option<u64> {
    let (moment, offset) = match text.len().checked_sub(6).and_then(|at| text.split_at_checked(at)) {
        Some((moment, offset)) if offset.starts_with(['+', '-']) => {
            (format!("{moment}Z"), offset_seconds(offset)?)
        }
        _ => (text.to_owned(), 0),
    };
    let parsed = seconds(humantime::parse_rfc3339(&moment).ok()?);
    parsed.checked_add_signed(-offset)
}

fn offset_seconds(offset: &str) -> Option<i64> {
    let (sign, rest) = offset.split_at(1);
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let seconds = hours * 3_600 + minutes * 60;
    (hours < 24 && minutes < 60).then_some(if sign == "-" { -seconds } else { seconds })
}

/// `Time`: `UTCTime` before 2050, `GeneralizedTime` from then on (RFC 5280, 4.1.2.5).
pub(super) fn encode(seconds: u64) -> Vec<u8> {
    let digits = digits(seconds);
    if digits.as_str() < "2050" {
        der::element(der::UTC_TIME, format!("{}Z", &digits[2..]).as_bytes())
    } else {
        generalized(seconds)
    }
}

/// `GeneralizedTime`.
pub(super) fn generalized(seconds: u64) -> Vec<u8> {
    der::element(der::GENERALIZED_TIME, format!("{}Z", digits(seconds)).as_bytes())
}

/// `20261121180000`.
fn digits(seconds: u64) -> String {
    rfc3339(seconds).chars().filter(char::is_ascii_digit).collect()
}

/// Reads a `Time`. What is before 1970 is 1970.
pub(super) fn decode(element: der::Element<'_>) -> Result<u64, Malformed> {
    let text = std::str::from_utf8(element.content).map_err(|_| Malformed)?;
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let digits = match (element.tag, digits) {
        (der::UTC_TIME, Some(digits)) if digits.len() == 12 => {
            // RFC 5280: 50 to 99 are of the last century.
            let century = if digits < "50" { "20" } else { "19" };
            format!("{century}{digits}")
        }
        (der::GENERALIZED_TIME, Some(digits)) if digits.len() == 14 => digits.to_owned(),
        _ => return Err(Malformed),
    };
    if digits.as_str() < "1970" {
        return Ok(0);
    }
    let (date, time) = digits.split_at(8);
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &time[..2],
        &time[2..4],
        &time[4..]
    );
    humantime::parse_rfc3339(&text).map(seconds).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_times_there_and_back() {
        for moment in [0, 951_782_400, 1_800_000_000, 2_524_607_999, 2_524_608_000, LAST] {
            let encoded = encode(moment);
            assert_eq!(decode(der::Reader::new(&encoded).next().unwrap()).unwrap(), moment);
        }
        assert_eq!(encode(2_524_607_999)[0], der::UTC_TIME);
        assert_eq!(encode(2_524_608_000)[0], der::GENERALIZED_TIME);
    }

    #[test]
    fn offsets_are_taken_off() {
        assert_eq!(parse_rfc3339("2030-01-01T02:00:00+02:00"), parse_rfc3339("2030-01-01T00:00:00Z"));
        assert_eq!(parse_rfc3339("2029-12-31T19:00:00-05:00"), parse_rfc3339("2030-01-01T00:00:00Z"));
        for wrong in [
            "",
            "2030",
            "2030-01-01",
            "2030-13-01T00:00:00Z",
            "2030-01-01T00:00:00+99:00",
            "ü-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(wrong), None, "{wrong}");
        }
    }
}
