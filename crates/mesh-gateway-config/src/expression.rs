//! Regular expressions in Go's syntax.
//!
//! Both languages have RE2's; what differs is translated: `\d`, `\w`, `\s` and `\b` are ASCII in Go, `\Q…\E` quotes, and
//! inside brackets Go knows no `[`, `&&`, `--` or `~~`. Compiled size is bounded.

use regex::{Regex, RegexBuilder};

/// Most memory that one compiled expression takes, in bytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Why a text is no expression.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{pattern:?} is not a valid regular expression")]
pub struct ExpressionError {
    pattern: String,
    #[source]
    source: regex::Error,
}

/// Compiles an expression written for Go.
///
/// # Errors
/// It is none, or too large.
pub fn compile(pattern: &str) -> Result<Regex, ExpressionError> {
    let mut builder = RegexBuilder::new(&translated(pattern));
    builder.size_limit(COMPILED_BYTES_MAX).dfa_size_limit(COMPILED_BYTES_MAX);
    builder.build().map_err(|source| ExpressionError { pattern: pattern.to_owned(), source })
}

fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut inside = false;
    while let Some(character) = rest.chars().next() {
        let after = &rest[character.len_utf8()..];
        rest = match character {
            '\\' => escape(after, inside, &mut out),
            '[' if inside => {
                // `[:alpha:]` is a class in both.
                let posix = after.starts_with(':').then(|| after.find(":]")).flatten();
                out.push_str(if posix.is_some() { "[" } else { "\\[" });
                let (class, after) = after.split_at(posix.map_or(0, |end| end + 2));
                out.push_str(class);
                after
            }
            '[' => {
                inside = true;
                out.push('[');
                let negated = after.strip_prefix('^');
                out.push_str(if negated.is_some() { "^" } else { "" });
                let after = negated.unwrap_or(after);
                // A bracket that comes first is meant as itself.
                let literal = after.strip_prefix(']');
                out.push_str(if literal.is_some() { "\\]" } else { "" });
                literal.unwrap_or(after)
            }
            ']' => {
                inside = false;
                out.push(']');
                after
            }
            '{' if !inside && !is_repetition(after) => {
                out.push_str("\\{");
                after
            }
            '&' | '~' if inside => {
                out.push('\\');
                out.push(character);
                after
            }
            character => {
                out.push(character);
                after
            }
        };
    }
    out
}

/// Whether a brace counts, as in `{2,3}`; in Go, one that does not stands for itself.
fn is_repetition(after: &str) -> bool {
    let Some((counts, _)) = after.split_once('}') else { return false };
    let (least, most) = counts.split_once(',').unwrap_or((counts, ""));
    !least.is_empty() && [least, most].iter().all(|count| count.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Writes what an escape means, and returns what follows it.
fn escape<'p>(after: &'p str, inside: bool, out: &mut String) -> &'p str {
    let Some(kind) = after.chars().next() else {
        out.push('\\');
        return after;
    };
    let rest = &after[kind.len_utf8()..];
    match kind {
        'Q' if !inside => {
            let end = rest.find("\\E");
            out.push_str(&regex::escape(&rest[..end.unwrap_or(rest.len())]));
            return end.map_or("", |end| &rest[end + 2..]);
        }
        'd' | 'w' | 's' => {
            let class = match kind {
                'd' => "0-9",
                'w' => "0-9A-Za-z_",
                _ => r"\t\n\x0C\r ",
            };
            out.push_str(&if inside { class.to_owned() } else { format!("[{class}]") });
        }
        'D' => out.push_str("[^0-9]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        'S' => out.push_str(r"[^\t\n\x0C\r ]"),
        'b' | 'B' if !inside => out.push_str(&format!("(?-u:\\{kind})")),
        _ => {
            out.push('\\');
            out.push(kind);
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_mean_what_they_mean_in_go() {
        for (pattern, text, expected) in [
            (r"^\d+$", "12", true),
            (r"^\d+$", "\u{0661}", false),
            (r"^[\w-]+$", "a_b-1", true),
            (r"^[^\s/]+$", "a b", false),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"^[a[]+$", "a[", true),
            (r"^[]a]+$", "]a", true),
            (r"^[a&&b]+$", "a&b", true),
            (r"^[[:alpha:]]+$", "ab", true),
            (r"(?i)^host$", "HOST", true),
            (r"\bapi\b", "/api/", true),
            (r"^[\D]+$", "ab", true),
            (r"^{a:b}c{2}$", "{a:b}cc", true),
        ] {
            assert_eq!(compile(pattern).expect("compiles").is_match(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for pattern in ["(", "a{2,1}", "(?!a)", r"\", "[z-a]", "(a{1000}){1000}"] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }
}
