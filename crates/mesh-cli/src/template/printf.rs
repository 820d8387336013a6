//! Go's `fmt`: `print`, `println`, `printf`, quoted texts and numbers.

use super::{OUTPUT_BYTES_MAX, value::Value};

/// Widest field and greatest precision of a verb; Go has the same.
const WIDTH_MAX: usize = 1_000_000;
/// Most digits behind the point of a number.
const DECIMALS_MAX: usize = 1_000;
/// Exponents from which on `%v` and `%g` of a shortest number write one.
const SHORTEST_EXPONENT_MAX: i32 = 21;

/// `fmt.Sprint`: spaces between operands of which neither is a text.
pub(super) fn print(values: &[Value]) -> String {
    let mut text = String::new();
    let mut after_text = true;
    for (number, value) in values.iter().enumerate() {
        let is_text = matches!(value, Value::Text(_));
        if number > 0 && !is_text && !after_text {
            text.push(' ');
        }
        text.push_str(&operand(value));
        after_text = is_text;
    }
    text
}

/// `fmt.Sprintln`: spaces between all, and an end of the line.
pub(super) fn println(values: &[Value]) -> String {
    let shown: Vec<String> = values.iter().map(operand).collect();
    format!("{}\n", shown.join(" "))
}

/// `fmt` calls nothing `<nil>`, templates call it `<no value>`.
fn operand(value: &Value) -> String {
    match value {
        Value::Missing => "<nil>".to_owned(),
        other => other.shown(),
    }
}

/// Flags, width and precision of a verb.
#[derive(Debug, Default, Clone, Copy)]
struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    zero: bool,
    space: bool,
    width: usize,
    precision: Option<usize>,
}

/// `fmt.Sprintf`.
pub(super) fn printf(format: &str, values: &[Value]) -> Result<String, String> {
    let mut text = String::new();
    let mut letters = format.chars().peekable();
    let mut next = 0;
    while let Some(letter) = letters.next() {
        if text.len() > OUTPUT_BYTES_MAX {
            return Err(format!("a text is longer than {OUTPUT_BYTES_MAX} bytes"));
        }
        if letter != '%' {
            text.push(letter);
            continue;
        }
        let spec = read_spec(&mut letters, values, &mut next);
        match letters.next() {
            None => text.push_str("%!(NOVERB)"),
            Some('%') => text.push('%'),
            Some(verb) => match values.get(next) {
                None => text.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => {
                    next += 1;
                    text.push_str(&verbed(verb, spec, value));
                }
            },
        }
    }
    if next < values.len() {
        let extra = |value: &Value| match value {
            Value::Missing => "<nil>".to_owned(),
            other => format!("{}={}", other.kind(), other.shown()),
        };
        let rest: Vec<String> = values[next..].iter().map(extra).collect();
        text.push_str(&format!("%!(EXTRA {})", rest.join(", ")));
    }
    Ok(text)
}

fn read_spec(
    letters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    values: &[Value],
    next: &mut usize,
) -> Spec {
    let mut spec = Spec::default();
    while let Some(flag) = letters.peek() {
        match flag {
            '-' => spec.minus = true,
            '+' => spec.plus = true,
            '#' => spec.sharp = true,
            '0' => spec.zero = true,
            ' ' => spec.space = true,
            _ => break,
        }
        letters.next();
    }
    if let Some(width) = read_number(letters, values, next) {
        spec.minus |= width < 0;
        spec.width = usize::try_from(width.unsigned_abs()).unwrap_or(0).min(WIDTH_MAX);
    }
    if letters.peek() == Some(&'.') {
        letters.next();
        let precision = read_number(letters, values, next).unwrap_or(0);
        spec.precision = usize::try_from(precision).ok().map(|precision| precision.min(WIDTH_MAX));
    }
    spec
}

/// Digits, or `*`, which takes an argument.
fn read_number(
    letters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    values: &[Value],
    next: &mut usize,
) -> Option<i64> {
    if letters.peek() == Some(&'*') {
        letters.next();
        *next += 1;
        return match values.get(*next - 1) {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        };
    }
    let mut number = None;
    while let Some(digit) = letters.peek().and_then(|letter| letter.to_digit(10)) {
        number = Some(number.unwrap_or(0_i64).saturating_mul(10).saturating_add(i64::from(digit)));
        letters.next();
    }
    number
}

fn verbed(verb: char, spec: Spec, value: &Value) -> String {
    let plain = match (verb, value) {
        ('T', _) => Some(value.kind().to_owned()),
        ('v', Value::Text(text)) if spec.sharp => Some(quoted(text)),
        ('v', Value::Missing) => Some("<nil>".to_owned()),
        ('v', Value::Int(number)) => return integer(10, spec, *number, false),
        ('v', Value::Float(number)) => return float('g', spec, *number),
        ('v', other) => Some(cut(spec, &other.shown())),
        ('s', Value::Text(text)) => Some(cut(spec, text)),
        ('q', Value::Text(text)) => Some(quoted(&cut(spec, text))),
        ('x' | 'X', Value::Text(text)) => {
            let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            Some(if verb == 'X' { digits.to_uppercase() } else { digits })
        }
        ('t', Value::Bool(value)) => Some(value.to_string()),
        ('d', Value::Int(number)) => return integer(10, spec, *number, false),
        ('x', Value::Int(number)) => return integer(16, spec, *number, false),
        ('X', Value::Int(number)) => return integer(16, spec, *number, true),
        ('o', Value::Int(number)) => return integer(8, spec, *number, false),
        ('b', Value::Int(number)) => return integer(2, spec, *number, false),
        ('c' | 'q', Value::Int(number)) => {
            let letter = u32::try_from(*number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
            Some(if verb == 'c' { letter.to_string() } else { format!("'{letter}'") })
        }
        ('e' | 'E' | 'f' | 'F' | 'g' | 'G', Value::Float(number)) => return float(verb, spec, *number),
        ('s' | 'd' | 'q' | 'x', Value::List(values)) => {
            let shown: Vec<String> = values.iter().map(|value| verbed(verb, spec, value)).collect();
            return format!("[{}]", shown.join(" "));
        }
        _ => None,
    };
    match (plain, value) {
        (Some(text), _) => padded(spec, &text),
        (None, Value::Missing) => format!("%!{verb}(<nil>)"),
        (None, other) => format!("%!{verb}({}={})", other.kind(), other.shown()),
    }
}

/// A text cut to the precision, in letters.
fn cut(spec: Spec, text: &str) -> String {
    match spec.precision {
        Some(most) => text.chars().take(most).collect(),
        None => text.to_owned(),
    }
}

fn padded(spec: Spec, text: &str) -> String {
    let missing = spec.width.saturating_sub(text.chars().count());
    match spec.minus {
        true => format!("{text}{}", " ".repeat(missing)),
        false => format!("{}{text}", " ".repeat(missing)),
    }
}

fn integer(base: u32, spec: Spec, number: i64, upper: bool) -> String {
    let magnitude = number.unsigned_abs();
    let digits = match (base, upper) {
        (2, _) => format!("{magnitude:b}"),
        (8, _) => format!("{magnitude:o}"),
        (16, false) => format!("{magnitude:x}"),
        (16, true) => format!("{magnitude:X}"),
        _ => magnitude.to_string(),
    };
    let prefix = match (spec.sharp, base) {
        (true, 16) if upper => "0X",
        (true, 16) => "0x",
        (true, 8) => "0",
        (true, 2) => "0b",
        _ => "",
    };
    let least = spec.precision.unwrap_or(0);
    let digits = format!("{}{digits}", "0".repeat(least.saturating_sub(digits.len())));
    signed(
        Spec { zero: spec.zero && spec.precision.is_none(), ..spec },
        number < 0,
        &format!("{prefix}{digits}"),
    )
}

fn float(verb: char, spec: Spec, number: f64) -> String {
    let magnitude = number.abs();
    let precision = spec.precision.map(|precision| precision.min(DECIMALS_MAX));
    let digits = match verb {
        'e' => exponential(magnitude, precision.unwrap_or(6)),
        'E' => exponential(magnitude, precision.unwrap_or(6)).to_uppercase(),
        'f' | 'F' => format!("{magnitude:.*}", precision.unwrap_or(6)),
        _ => match precision {
            Some(precision) => significant(magnitude, precision),
            None => shortest(magnitude),
        },
    };
    signed(spec, number.is_sign_negative(), &digits)
}

/// With its sign, and filled to the width.
fn signed(spec: Spec, negative: bool, digits: &str) -> String {
    let sign = match (negative, spec.plus, spec.space) {
        (true, _, _) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    };
    let missing = spec.width.saturating_sub(sign.len() + digits.len());
    match spec.zero && !spec.minus {
        true => format!("{sign}{}{digits}", "0".repeat(missing)),
        false => padded(spec, &format!("{sign}{digits}")),
    }
}

/// `1.5e+00`.
fn exponential(magnitude: f64, precision: usize) -> String {
    let text = format!("{magnitude:.precision$e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    with_exponent(digits, exponent)
}

fn with_exponent(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

/// The number with as few digits as tell it: Go's `%v`.
pub(super) fn shortest(number: f64) -> String {
    if !number.is_finite() {
        return match (number.is_nan(), number > 0.0) {
            (true, _) => "NaN".to_owned(),
            (false, true) => "+Inf".to_owned(),
            (false, false) => "-Inf".to_owned(),
        };
    }
    let text = format!("{number:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    match (-4..SHORTEST_EXPONENT_MAX).contains(&exponent) {
        true => number.to_string(),
        false => with_exponent(digits, exponent),
    }
}

/// The number with so many digits that count, without zeros at the end: Go's `%.3g`.
pub(crate) fn significant(number: f64, digits: usize) -> String {
    if !number.is_finite() {
        return shortest(number);
    }
    let digits = digits.max(1);
    let text = format!("{number:.*e}", digits - 1);
    let exponent: i32 = text.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    let counted = i32::try_from(digits).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= counted {
        let mantissa = text.split('e').next().unwrap_or_default();
        return with_exponent(&trim(mantissa), exponent);
    }
    let decimals = usize::try_from(counted - 1 - exponent).unwrap_or(0);
    trim(&format!("{number:.decimals$}"))
}

/// A text in quotation marks, as Go writes one.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() + 2);
    shown.push('"');
    for letter in text.chars() {
        match letter {
            '"' => shown.push_str("\\\""),
            '\\' => shown.push_str("\\\\"),
            '\u{7}' => shown.push_str("\\a"),
            '\u{8}' => shown.push_str("\\b"),
            '\u{c}' => shown.push_str("\\f"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            '\u{b}' => shown.push_str("\\v"),
            '\0'..='\u{1f}' | '\u{7f}' => shown.push_str(&format!("\\x{:02x}", u32::from(letter))),
            _ if letter.is_control() || letter.is_whitespace() && letter != ' ' => {
                shown.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            _ => shown.push(letter),
        }
    }
    shown.push('"');
    shown
}
