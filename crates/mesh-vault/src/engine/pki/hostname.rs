//! Host names as Vault judges them, internationalized ones included, and shell-like patterns.

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// Characters of a name that are looked at at all.
const NAME_BYTES_MAX: usize = 1_024;

/// The form with which DNS works: ASCII as it is, all else as Punycode.
///
/// # Errors
/// The name with what is wrong about it, in Go's words.
pub(super) fn to_ascii(name: &str) -> Result<String, String> {
    let invalid = || format!("idna: invalid label {name:?}");
    if name.len() > NAME_BYTES_MAX {
        return Err(invalid());
    }
    let encoded =
        name.split('.').any(|label| label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--")));
    let ascii = if name.is_ascii() && !encoded {
        name.to_owned()
    } else {
        let converted =
            Uts46::new().to_ascii(name.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow, DnsLength::Ignore);
        converted.map_err(|_| invalid())?.into_owned()
    };
    let relative = ascii.strip_suffix('.').unwrap_or(&ascii);
    if let Some(long) = relative.split('.').find(|label| label.len() > 63) {
        return Err(format!("idna: invalid label {long:?}"));
    }
    let sound = (1..=253).contains(&relative.len()) && relative.split('.').all(|label| !label.is_empty());
    if sound { Ok(ascii) } else { Err(invalid()) }
}

/// Letters, digits and hyphens, the latter not at an end.
fn is_label(label: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !label.is_empty() && label.bytes().all(sound) && !label.starts_with('-') && !label.ends_with('-')
}

/// Labels with dots between them; `*.` may stand before, a dot behind.
pub(super) fn is_hostname(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    name.strip_suffix('.').unwrap_or(name).split('.').all(is_label)
}

/// A label with one `*` in it, and nothing else that a label cannot have (RFC 6125, 6.4.3).
pub(super) fn is_wildcard_label(label: &str) -> bool {
    match label.split_once('*') {
        Some((before, after)) => {
            (before.is_empty() || is_label(before)) && (after.is_empty() || is_label(after))
        }
        None => false,
    }
}

/// The label with the wildcard and the rest of the name, if there is one wildcard and it is in the first label.
pub(super) fn split_wildcard(name: &str) -> Option<(&str, &str)> {
    if name.matches('*').count() > 1 {
        return None;
    }
    match name.split_once('.') {
        None => Some((name, "")),
        Some((_, rest)) if rest.contains('*') => None,
        Some(parts) => Some(parts),
    }
}

/// Whether the whole text matches a pattern in which `*` stands for anything.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, expected) in [
            ("a.example.com", true),
            ("*.example.com", true),
            ("example.com.", true),
            ("localhost", true),
            ("a_b.example.com", false),
            ("-a.example.com", false),
            ("a..b", false),
            ("", false),
            ("*", false),
            ("a.*.b", false),
            ("a b", false),
        ] {
            assert_eq!(is_hostname(name), expected, "{name}");
        }
        assert_eq!(to_ascii("bücher.example").unwrap(), "xn--bcher-kva.example");
        assert_eq!(to_ascii("Example.com").unwrap(), "Example.com");
        for wrong in ["", "a..b", ".", "xn--\u{0}", &"a".repeat(64), &"a.".repeat(127)] {
            assert!(to_ascii(wrong).is_err() || wrong.len() == 254, "{wrong}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("ftp*.example.com", "ftp1.example.com", true),
            ("ftp*.example.com", "ftp1.example.org", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*b*", "abc", true),
            ("a**c", "abc", true),
            ("abc", "abc", true),
            ("", "x", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
        for (label, expected) in
            [("*", true), ("a*", true), ("*a", true), ("a*b", true), ("-*", false), ("ab", false)]
        {
            assert_eq!(is_wildcard_label(label), expected, "{label}");
        }
        assert_eq!(split_wildcard("*.a.b"), Some(("*", "a.b")));
        assert_eq!(split_wildcard("a.*.b"), None);
    }
}
