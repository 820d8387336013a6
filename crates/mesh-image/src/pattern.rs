//! Path patterns of recipes: `*` stands for any run of characters within one path component.

/// Whether a path relative to the root matches the pattern, component by component.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let mut patterns = pattern.trim_matches('/').split('/');
    let mut parts = path.trim_matches('/').split('/');
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part)) if component(pattern, part) => {}
            _ => return false,
        }
    }
}

/// Whether the path, or a directory above it, matches.
pub(crate) fn covers(pattern: &str, path: &str) -> bool {
    let depth = pattern.trim_matches('/').split('/').count();
    let head: Vec<&str> = path.trim_matches('/').split('/').take(depth).collect();
    matches(pattern, &head.join("/"))
}

/// Whether one component matches: the greedy scan with one point to return to, so that its time is
/// bounded by the product of the lengths.
fn component(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p, t));
            p += 1;
        } else if pattern.get(p) == text.get(t) {
            p += 1;
            t += 1;
        } else if let Some((star, taken)) = retry {
            retry = Some((star, taken + 1));
            p = star + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stay_within_a_component() {
        for (pattern, path, expected) in [
            ("usr/lib/postgresql/*/bin/*", "usr/lib/postgresql/15/bin/psql", true),
            ("usr/lib/postgresql/*/bin/*", "usr/lib/postgresql/15/bin", false),
            ("usr/lib/*/x", "usr/lib/a/b/x", false),
            ("*lib*so", "libxso", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
        assert!(covers("usr/share/doc", "usr/share/doc/a/b"));
        assert!(!covers("usr/share/doc", "usr/share/docs"));
        assert!(!covers("usr/share/doc", "usr/share"));
    }
}
