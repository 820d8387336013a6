//! How a text stands in YAML: bare, in quotes, or as a block.
//!
//! The rules are those of Go's YAML encoder: bare where any reader takes it for a text, in double quotes
//! where it would be read as another type, in single quotes where a mark of YAML stands in it.

/// The way a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// What a text holds that matters for its style.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "independent findings about one text")]
struct Traits {
    indicator: bool,
    breaks: bool,
    space_at_edge: bool,
    break_at_edge: bool,
    trailing_space: bool,
    break_then_space: bool,
    space_then_break: bool,
    tab: bool,
    special: bool,
}

/// The style of a value.
pub(super) fn of_value(text: &str) -> Style {
    if text.contains('\n') {
        let traits = Traits::of(text);
        let block = text.chars().any(|c| !c.is_whitespace())
            && !(traits.special || traits.space_then_break || traits.trailing_space)
            // The first line decides the depth of all, so that it must not be deeper.
            && !(text.starts_with('\n') && text.trim_start_matches('\n').starts_with(' '));
        return if block { Style::Literal } else { Style::Double };
    }
    of_line(text)
}

/// The style of a key; a key stands on one line.
pub(super) fn of_key(text: &str) -> Style {
    if text.contains(is_break) { Style::Double } else { of_line(text) }
}

fn of_line(text: &str) -> Style {
    if !reads_as_text(text) {
        return Style::Double;
    }
    let traits = Traits::of(text);
    if traits.tab || traits.special || traits.breaks || traits.break_then_space || traits.space_then_break {
        return Style::Double;
    }
    if traits.indicator || traits.space_at_edge || traits.break_at_edge {
        return Style::Single;
    }
    Style::Plain
}

impl Traits {
    fn of(text: &str) -> Self {
        let mut traits = Self {
            indicator: text.starts_with("---") || text.starts_with("..."),
            trailing_space: text.ends_with(' '),
            space_at_edge: text.starts_with(' ') || text.ends_with(' '),
            break_at_edge: text.starts_with(is_break) || text.ends_with(is_break),
            ..Self::default()
        };
        let mut before = None;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            let blank_follows = characters.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
            traits.indicator |= match before {
                None => is_indicator_at_start(character, blank_follows),
                Some(_) if character == ':' => blank_follows,
                Some(before) if character == '#' => before == '\t' || before == ' ' || is_break(before),
                Some(_) => false,
            };
            traits.tab |= character == '\t';
            traits.special |= character != '\t' && !is_printable(character);
            traits.breaks |= is_break(character);
            traits.break_then_space |= character == ' ' && before.is_some_and(is_break);
            traits.space_then_break |= is_break(character) && before == Some(' ');
            before = Some(character);
        }
        traits
    }
}

fn is_indicator_at_start(character: char, blank_follows: bool) -> bool {
    match character {
        '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => {
            true
        }
        '?' | ':' | '-' => blank_follows,
        _ => false,
    }
}

pub(super) fn is_break(character: char) -> bool {
    matches!(character, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether the encoder writes a character as it is; it escapes all beyond the basic plane.
pub(super) fn is_printable(character: char) -> bool {
    matches!(character, '\n' | ' '..='~' | '\u{a0}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

/// Whether a bare text is read as a text everywhere, also by readers of YAML 1.1.
fn reads_as_text(text: &str) -> bool {
    let Some(first) = text.bytes().next() else { return false };
    match first {
        b'0'..=b'9' | b'+' | b'-' => {
            !(is_timestamp(text)
                || is_integer(text)
                || is_float(text)
                || is_base_60(text)
                || is_infinite(text))
        }
        b'.' => !(is_float(text) || is_infinite(text) || matches!(text, ".nan" | ".NaN" | ".NAN")),
        _ => !matches!(
            text,
            "true"
                | "True"
                | "TRUE"
                | "false"
                | "False"
                | "FALSE"
                | "null"
                | "Null"
                | "NULL"
                | "~"
                | "<<"
                | "y"
                | "Y"
                | "yes"
                | "Yes"
                | "YES"
                | "on"
                | "On"
                | "ON"
                | "n"
                | "N"
                | "no"
                | "No"
                | "NO"
                | "off"
                | "Off"
                | "OFF"
        ),
    }
}

fn is_infinite(text: &str) -> bool {
    matches!(text.trim_start_matches(['+', '-']), ".inf" | ".Inf" | ".INF") && text.len() < 6
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

/// Digits with underscores, of any base that Go knows, up to 64 bits.
fn is_integer(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    let digits = unsigned(&plain);
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0o" | "0O") => (8, &digits[2..]),
        Some("0b" | "0B") => (2, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    digits.starts_with(|c: char| c.is_digit(radix)) && u64::from_str_radix(digits, radix).is_ok()
}

/// `1`, `1.`, `.5`, `1.5e-3`.
fn is_float(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    let text = unsigned(&plain);
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(unsigned(exponent))),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

/// `1:30`, `12:30:45.5`: numbers to the base of 60 in YAML 1.1.
fn is_base_60(text: &str) -> bool {
    let text = unsigned(text);
    let text = match text.split_once('.') {
        Some((text, fraction)) if fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_') => text,
        Some(_) => return false,
        None => text,
    };
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let rest: Vec<&str> = parts.collect();
    first.starts_with(|c: char| c.is_ascii_digit())
        && first.bytes().all(|b| b.is_ascii_digit() || b == b'_')
        && !rest.is_empty()
        && rest
            .iter()
            .all(|part| digits(part) && part.parse::<u8>().is_ok_and(|part| part < 60) && part.len() < 3)
}

/// `2001-12-14`, also with a time.
fn is_timestamp(text: &str) -> bool {
    let Some((year, rest)) = text.split_once('-') else { return false };
    let Some((month, rest)) = rest.split_once('-') else { return false };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (day, time) = rest.split_at(end);
    if year.len() != 4 || !year.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let within = |text: &str, last: u32| {
        (1..=2).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && text.parse::<u32>().is_ok_and(|value| value <= last)
    };
    let date = within(month, 12)
        && within(day, days(year, month))
        && !matches!(month, "0" | "00")
        && !matches!(day, "0" | "00");
    date && match time.chars().next() {
        None => true,
        Some(' ') => clock(&time[1..], within).is_some_and(str::is_empty),
        Some('T' | 't') => clock(&time[1..], within).is_some_and(is_zone),
        Some(_) => false,
    }
}

fn days(year: &str, month: &str) -> u32 {
    let leap = year.parse::<u32>().is_ok_and(|year| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    match month.trim_start_matches('0') {
        "4" | "6" | "9" | "11" => 30,
        "2" if leap => 29,
        "2" => 28,
        _ => 31,
    }
}

/// What follows on `15:4:5.9`, if that is a time of day.
fn clock(text: &str, within: impl Fn(&str, u32) -> bool) -> Option<&str> {
    let (hour, rest) = text.split_once(':')?;
    let (minute, rest) = rest.split_once(':')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (second, rest) = rest.split_at(end);
    let rest = match rest.strip_prefix(['.', ',']) {
        Some(fraction) if fraction.starts_with(|c: char| c.is_ascii_digit()) => {
            fraction.trim_start_matches(|c: char| c.is_ascii_digit())
        }
        _ => rest,
    };
    (within(hour, 23) && within(minute, 59) && within(second, 59)).then_some(rest)
}

/// `Z` or `+01:00`.
fn is_zone(text: &str) -> bool {
    let Some(offset) = text.strip_prefix(['+', '-']) else { return text == "Z" };
    offset.split_once(':').is_some_and(|(hours, minutes)| {
        [(hours, 24), (minutes, 60)].iter().all(|(part, last)| {
            part.len() == 2 && part.parse::<u8>().is_ok_and(|part| part <= *last) && !part.starts_with('+')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_in_the_style_of_go() {
        let table: [(Style, &[&str]); 4] = [
            (
                Style::Plain,
                &[
                    "a",
                    "a b",
                    "a:b",
                    "a#b",
                    "-c",
                    "--flag",
                    ":80",
                    "?x",
                    "=",
                    "é☃",
                    "1.2.3",
                    "22:99",
                    "0x",
                    "08x",
                    "2024-13-01",
                    "1_a",
                    "_1",
                    "a\u{a0}b",
                    "2001-12-14 21:59:43.10 -5",
                ],
            ),
            (
                Style::Single,
                &[
                    "- a",
                    "a: b",
                    "a:",
                    "#a",
                    "a #b",
                    " a",
                    "a ",
                    "*x",
                    "!x",
                    "%x",
                    "@x",
                    "`x",
                    "{a}",
                    "---x",
                    "...",
                    "-",
                    "?",
                    "it's a: 'b'",
                    "'",
                ],
            ),
            (
                Style::Double,
                &[
                    "",
                    "yes",
                    "No",
                    "on",
                    "null",
                    "~",
                    "true",
                    "<<",
                    "1",
                    "1.",
                    ".5",
                    "1e3",
                    "0x1f",
                    "017",
                    "08",
                    "1_000",
                    "12:30",
                    "190:20:30.15",
                    "2024-01-01",
                    "2024-1-1T1:2:3Z",
                    "2024-02-29 01:02:03.5",
                    "-.inf",
                    ".nan",
                    "a\tb",
                    "\u{7}",
                    "\n",
                    "a\n ",
                    "a \nb",
                    "a\r\nb",
                    "😀",
                    "\u{feff}x",
                    "\u{2028}",
                    "\n  a",
                ],
            ),
            (Style::Literal, &["a\nb", "a\nb\n", "\na", "  a\nb", "a\n\n", "#a\nb", "a\n b", "\ta\nb"]),
        ];
        for (want, texts) in table {
            for text in texts {
                assert_eq!(of_value(text), want, "{text:?}");
            }
        }
        assert_eq!(of_key("a\nb"), Style::Double);
        assert_eq!(of_key("N"), Style::Double);
    }
}
