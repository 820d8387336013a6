//! Names of backups: the second, in UTC, in which one was begun.

use crate::words;

/// `20251121_091530` has so many letters.
const LETTERS: usize = 15;
/// Where the line between day and time is.
const LINE_AT: usize = 8;

/// The name for a moment in milliseconds since 1970.
pub(super) fn of_moment(unix_ms: u64) -> String {
    // `2025-11-21 09:15:30 +0000 UTC`
    let text = words::timestamp(unix_ms);
    let digits: String = text.chars().filter(char::is_ascii_digit).take(LETTERS - 1).collect();
    let (day, time) = digits.split_at(LINE_AT.min(digits.len()));
    format!("{day}_{time}")
}

/// Whether a text is such a name; it is one part of a path then.
pub(super) fn is_name(text: &str) -> bool {
    text.len() == LETTERS
        && text.bytes().enumerate().all(|(at, byte)| match at {
            LINE_AT => byte == b'_',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_when_and_sorts_by_it() {
        for (unix_ms, want) in [
            (0, "19700101_000000"),
            (1_763_716_530_999, "20251121_091530"),
            (1_709_164_800_000, "20240229_000000"),
        ] {
            assert_eq!(of_moment(unix_ms), want);
            assert!(is_name(want));
        }
        for no in
            ["", "20251121-091530", "20251121_09153", "../1121_091530", "20251121_0915300", "2025112x_091530"]
        {
            assert!(!is_name(no), "{no}");
        }
    }
}
