//! Beneath which domains an expression for hosts finds its names: `^[a-z]+\.shop\.test$` beneath `shop.test`. Pure.
//!
//! Who vouches for names has to be told before anybody asks for one. So the text at the end of an expression that is
//! always the same is looked for; a name that the expression takes and that is not beneath it has no certificate of its
//! own. A period without a backslash is taken for the one that was meant. Templates of the second version are read too.

/// Most alternatives of an expression that are looked at.
const ALTERNATIVES_MAX: usize = 64;

/// What an expression takes: names, and domains as `*.shop.test`, in small letters.
pub(super) fn names(pattern: &str) -> Vec<String> {
    let alternatives = alternatives(pattern);
    alternatives.into_iter().take(ALTERNATIVES_MAX).filter_map(|end| end.name()).collect()
}

/// The end of an alternative that is always the same.
#[derive(Debug, Default)]
struct End {
    text: String,
    /// Something comes before it that is not.
    open: bool,
}

impl End {
    /// What came so far may be anything.
    fn forget(&mut self) {
        self.text.clear();
        self.open = true;
    }

    fn name(&self) -> Option<String> {
        if !self.open {
            return self.text.contains('.').then(|| self.text.clone());
        }
        // The label that the text may begin in the middle of is not known as a whole.
        let (_, domain) = self.text.split_once('.')?;
        (!domain.is_empty()).then(|| format!("*.{domain}"))
    }
}

fn alternatives(pattern: &str) -> Vec<End> {
    let mut all = vec![End::default()];
    let mut rest = pattern;
    for flags in ["(?i)", "(?-i)"] {
        rest = rest.strip_prefix(flags).unwrap_or(rest);
    }
    while let Some(character) = rest.chars().next() {
        let after = &rest[character.len_utf8()..];
        let Some(end) = all.last_mut() else { return all };
        rest = match character {
            '\\' => escape(after, end),
            // Of both versions: of the third that repeats, of the second that stands for something.
            '*' | '+' | '?' => forgetting(end, after),
            '[' => forgetting(end, past_class(after)),
            '(' => forgetting(end, past(after, '(', ')')),
            '{' => forgetting(end, past(after, '{', '}')),
            '|' => {
                all.push(End::default());
                after
            }
            '^' | '$' => after,
            character if is_plain(character) => {
                end.text.push(character.to_ascii_lowercase());
                after
            }
            _ => forgetting(end, after),
        };
    }
    all
}

fn forgetting<'p>(end: &mut End, after: &'p str) -> &'p str {
    end.forget();
    after
}

fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_')
}

/// What an escape means: a character that stands for itself, or something.
fn escape<'p>(after: &'p str, end: &mut End) -> &'p str {
    let Some(character) = after.chars().next() else { return "" };
    match character {
        '.' | '-' | '_' => end.text.push(character),
        // The end of the text.
        'z' => {}
        _ => end.forget(),
    }
    &after[character.len_utf8()..]
}

/// What follows the bracket that closes the one before this text; nothing without one.
fn past(text: &str, open: char, close: char) -> &str {
    let (mut level, mut escaped, mut inside) = (1_usize, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ']' => inside = false,
            _ if inside => {}
            '[' => inside = true,
            character if character == open => level += 1,
            character if character == close => {
                level -= 1;
                if level == 0 {
                    return &text[at + character.len_utf8()..];
                }
            }
            _ => {}
        }
    }
    ""
}

/// What follows the end of a class, behind whose bracket this text begins.
fn past_class(text: &str) -> &str {
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            // One that comes first is meant as itself.
            ']' if at > 0 && text[..at] != *"^" => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn what_an_expression_ends_with_is_its_domain() {
        for (pattern, want) in [
            (r"^[a-z]+\.shop\.test$", &["*.shop.test"][..]),
            (r"^.+\.shop\.test$", &["*.shop.test"]),
            (r".+.shop.test", &["*.shop.test"]),
            (r"(?i)^[a-z0-9-]{1,9}\.Shop\.Test\z", &["*.shop.test"]),
            (r"^(api|app)\.shop\.test$", &["*.shop.test"]),
            (r"^[^.\]]+-app\.shop\.test$", &["*.shop.test"]),
            (r"^a\.test$|^[a-z]+\.b\.test$", &["a.test", "*.b.test"]),
            (r"^shop\.test$", &["shop.test"]),
            (r"^(?:[a-z]+\.)?shop\.test$", &["*.test"]),
            (r"^[]a]\.shop\.test$", &["*.shop.test"]),
            ("{sub:[a-z]+}.shop.test", &["*.shop.test"]),
            ("{sub:(a|b){2}}.shop.test", &["*.shop.test"]),
            ("{any}.{other}.test", &["*.test"]),
            ("shop.{tld:.+}", &[]),
            (r"^.+$", &[]),
            (r"^shop\.(test|example)$", &[]),
            ("web", &[]),
            ("(", &[]),
            ("[", &[]),
            ("\\", &[]),
            ("{", &[]),
            ("", &[]),
            ("é.shop.test", &["*.shop.test"]),
        ] {
            assert_eq!(names(pattern), want, "{pattern}");
        }
    }
}
