//! What a plain scalar means: YAML 1.2's core schema with the integer forms that Go's yaml package adds.
//!
//! `yes`, `no`, `on` and `off` are text (`restart: no`); `0o17`, `017` and `0b11` are numbers.

use crate::node::Value;

/// The value of an unquoted scalar.
pub(crate) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let first = text.as_bytes().first().copied().unwrap_or_default();
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) {
        return Value::Text(text.to_owned());
    }
    if let Some(value) = integer(text) {
        return Value::Int(value);
    }
    float(text).map_or_else(|| Value::Text(text.to_owned()), Value::Float)
}

fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0o" | "0O") => (8, &digits[2..]),
        Some("0b" | "0B") => (2, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    // A second sign would be accepted by the parser of the standard library.
    if !digits.starts_with(|first: char| first.is_digit(radix)) || digits.ends_with('_') {
        return None;
    }
    let digits: String = digits.chars().filter(|digit| *digit != '_').collect();
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

fn float(text: &str) -> Option<f64> {
    let unsigned = text.trim_start_matches(['+', '-']);
    match unsigned {
        ".inf" | ".Inf" | ".INF" => {
            return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        _ => {}
    }
    let numeric =
        unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    let has_digit = unsigned.bytes().any(|b| b.is_ascii_digit());
    (numeric && has_digit).then(|| text.parse().ok()).flatten().filter(|value: &f64| value.is_finite())
}

/// A float as Compose prints it: the shortest form, with an exponent where it is very large or small.
pub(crate) fn float_text(value: f64) -> String {
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_have_the_types_that_compose_gives_them() {
        for (text, want) in [
            ("no", "Text(\"no\")"),
            ("yes", "Text(\"yes\")"),
            ("True", "Bool(true)"),
            ("~", "Null"),
            ("42", "Int(42)"),
            ("-7", "Int(-7)"),
            ("0x1F", "Int(31)"),
            ("0o17", "Int(15)"),
            ("0644", "Int(420)"),
            ("1_000", "Int(1000)"),
            ("08", "Float(8.0)"),
            ("1.10", "Float(1.1)"),
            ("1e3", "Float(1000.0)"),
            ("22:22", "Text(\"22:22\")"),
            ("1.2.3", "Text(\"1.2.3\")"),
            ("--1", "Text(\"--1\")"),
            ("+-1", "Text(\"+-1\")"),
            ("-", "Text(\"-\")"),
            (".", "Text(\".\")"),
            ("2024-01-01", "Text(\"2024-01-01\")"),
            ("99999999999999999999", "Float(1e20)"),
        ] {
            assert_eq!(format!("{:?}", resolve(text)), want, "{text}");
        }
    }

    #[test]
    fn floats_are_printed_short() {
        for (value, want) in [(1.1, "1.1"), (3.0, "3"), (1e6, "1e+06"), (0.00001, "1e-05"), (0.5, "0.5")] {
            assert_eq!(float_text(value), want);
        }
    }
}
