//! Paths as they are meant: what needs no encoding is decoded, digits are capitals, and dots are resolved.
//!
//! After this, a rule and a server cannot see two different paths in one text.

use crate::rule::encoded;

/// The path as it is meant; none if a percent sign is followed by something else than two digits.
pub(super) fn normalised(path: &str) -> Option<String> {
    if !path.contains('%') {
        return Some(path.to_owned());
    }
    let mut out = String::with_capacity(path.len());
    let bytes = path.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte != b'%' {
            // Bytes past ASCII come in whole characters: the text was one.
            let rest = &path[at..];
            let character = rest.chars().next()?;
            out.push(character);
            at += character.len_utf8();
            continue;
        }
        let value = encoded(bytes.get(at + 1..at + 3)?)?;
        if value.is_ascii_alphanumeric() || b"-._~".contains(&value) {
            out.push(char::from(value));
        } else {
            out.push_str(&format!("%{value:02X}"));
        }
        at += 3;
    }
    Some(out)
}

/// The path without parts that are empty, or stand for here or above.
pub(super) fn resolved(path: String) -> String {
    if path.starts_with('/') && !path.contains("//") && !path.contains("/.") {
        return path;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let open = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    let end = if open && !parts.is_empty() { "/" } else { "" };
    format!("/{}{end}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_what_they_mean() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a//b/", "/a/b/"),
            ("/a/%2e%2e/b", "/b"),
            ("/%2E%2e/%2e%2E/etc", "/etc"),
            ("/a/./b/..", "/a/"),
            ("/a%2fb", "/a%2Fb"),
            ("/%61%20", "/a%20"),
            ("", "/"),
        ] {
            assert_eq!(normalised(path).map(resolved).as_deref(), Some(expected), "{path}");
        }
        for path in ["/%", "/%zz", "/%1"] {
            assert_eq!(normalised(path), None, "{path}");
        }
    }
}
