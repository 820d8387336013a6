//! Lists of policies' names.

/// Names in lower case, sorted, each once, without empty ones; `root` makes all others pointless. `default` is added
/// where it is wanted.
#[must_use]
pub fn sanitize<I>(names: I, add_default: bool) -> Vec<String>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let mut found: Vec<String> = names
        .into_iter()
        .map(|name| name.as_ref().trim().to_lowercase())
        .filter(|name| !name.is_empty())
        .collect();
    if found.iter().any(|name| name == super::ROOT) {
        return vec![super::ROOT.to_owned()];
    }
    if add_default {
        found.push(super::DEFAULT.to_owned());
    }
    found.sort();
    found.dedup();
    found
}

/// Whether a text is what a glob says: `*` stands for anything, anywhere in it.
#[must_use]
pub fn glob_matches(glob: &str, text: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(first) = parts.next() else { return false };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether one of several globs matches.
#[must_use]
pub fn globs_contain(globs: &[String], text: &str) -> bool {
    globs.iter().any(|glob| glob_matches(glob, text))
}

#[cfg(test)]
mod tests {
    use super::{glob_matches, sanitize};

    #[test]
    fn globs() {
        for (glob, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*b*c", "aXbYc", true),
            ("a*a", "a", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("*b*", "abc", true),
            ("ab*bc", "abc", false),
        ] {
            assert_eq!(glob_matches(glob, text), expected, "{glob} {text}");
        }
    }

    #[test]
    fn root_is_alone() {
        assert_eq!(sanitize(["a", "root", "default"], true), ["root"]);
        assert_eq!(sanitize([" B ", "a", "b", ""], true), ["a", "b", "default"]);
        assert_eq!(sanitize(["b"], false), ["b"]);
    }
}
