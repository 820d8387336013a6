//! Paths with `*` at their end and `+` for a part, and which of several that match is the most exact.

use std::cmp::Ordering;

/// What a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// This path.
    Exact(String),
    /// All paths that begin so.
    Prefix(String),
    /// Some parts are anything.
    Segments(Segments),
}

/// A pattern with `+`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segments {
    /// As written, with a `*` that may be at its end.
    pub text: String,
    parts: Vec<String>,
    prefix: bool,
}

/// How exact a pattern is. Greater is more exact: the first wildcard further right, then no glob at the end, then
/// fewer wildcards, then longer, then by letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exactness {
    first_wildcard: usize,
    prefix: bool,
    wildcards: usize,
    text: String,
}

impl Exactness {
    /// Of a plain prefix.
    #[must_use]
    pub fn of_prefix(prefix: &str) -> Self {
        Self { first_wildcard: prefix.len(), prefix: true, wildcards: 0, text: prefix.to_owned() }
    }
}

impl PartialOrd for Exactness {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Exactness {
    fn cmp(&self, other: &Self) -> Ordering {
        self.first_wildcard
            .cmp(&other.first_wildcard)
            .then_with(|| other.prefix.cmp(&self.prefix))
            .then_with(|| other.wildcards.cmp(&self.wildcards))
            .then_with(|| self.text.len().cmp(&other.text.len()))
            .then_with(|| self.text.cmp(&other.text))
    }
}

impl Pattern {
    /// Reads a rule's path. `None` where `+*` is in it, which Vault forbids.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/').unwrap_or(path);
        if path.contains("+*") {
            return None;
        }
        if path == "+" || path.contains("/+") || path.starts_with("+/") {
            return Some(Self::Segments(Segments::new(path)));
        }
        Some(match path.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.to_owned()),
            None => Self::Exact(path.to_owned()),
        })
    }
}

impl Segments {
    fn new(text: &str) -> Self {
        let (bare, prefix) = match text.strip_suffix('*') {
            Some(bare) => (bare, true),
            None => (text, false),
        };
        let parts = bare.split('/').map(str::to_owned).collect();
        Self { text: text.to_owned(), parts, prefix }
    }

    /// Whether a path is one of those meant.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let mut given = path.split('/');
        let last = self.parts.len() - 1;
        for (index, part) in self.parts.iter().enumerate() {
            let Some(found) = given.next() else { return false };
            if part == "+" || part == found {
                continue;
            }
            return self.prefix && index == last && found.starts_with(part.as_str());
        }
        self.prefix || given.next().is_none()
    }

    /// See [`Exactness`].
    #[must_use]
    pub fn exactness(&self) -> Exactness {
        let bare = self.text.strip_suffix('*').unwrap_or(&self.text);
        Exactness {
            first_wildcard: self.text.find('+').unwrap_or(self.text.len()),
            prefix: self.prefix,
            wildcards: self.parts.iter().filter(|part| *part == "+").count(),
            text: bare.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    fn matches(pattern: &str, path: &str) -> bool {
        match Pattern::parse(pattern) {
            Some(Pattern::Segments(segments)) => segments.matches(path),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn parts_that_are_anything() {
        for (pattern, path, expected) in [
            ("secret/+/db", "secret/a/db", true),
            ("secret/+/db", "secret/a/b/db", false),
            ("secret/+/db", "secret/a/dbx", false),
            ("secret/+/db*", "secret/a/dbx", true),
            ("secret/+/db*", "secret/a/dbx/y/z", true),
            ("secret/+/db*", "secret/a", false),
            ("secret/+/*", "secret/a/b/c", true),
            ("secret/+/*", "secret/a/", true),
            ("secret/+", "secret/a", true),
            ("secret/+", "secret/a/", false),
            ("+/a", "x/a", true),
            ("+", "x", true),
            ("+", "x/y", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn what_vault_forbids() {
        assert_eq!(Pattern::parse("secret/+*"), None);
        assert_eq!(Pattern::parse("/a/b"), Some(Pattern::Exact("a/b".to_owned())));
        assert_eq!(Pattern::parse("a/b*"), Some(Pattern::Prefix("a/b".to_owned())));
    }
}
