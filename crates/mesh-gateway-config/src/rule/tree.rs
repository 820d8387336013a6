//! The rule language: calls of matchers, `&&`, `||`, `!` and brackets, to a tree.
//!
//! The grammar is what Go's expressions have of it, since rules are written for a parser of Go: `&&` binds closer than
//! `||`, strings stand in backticks or in double quotes with Go's escapes. Newlines are white space here; Go would
//! end an expression at some of them. A `!` is carried down to the matchers, so that trees have none.

use super::lexer::{Lexer, Token};

/// Longest rule, in bytes.
const RULE_BYTES_MAX: usize = 64 << 10;
/// Deepest nesting of brackets and negations.
const DEPTH_LEVELS_MAX: usize = 64;
/// Most matchers of one rule.
const MATCHERS_MAX: usize = 1_024;

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// More bytes than are read.
    #[error("the rule is longer than {RULE_BYTES_MAX} bytes")]
    TooLong,
    /// More brackets and negations in each other than are read.
    #[error("the rule is nested deeper than {DEPTH_LEVELS_MAX} levels")]
    TooDeep,
    /// More matchers than are read.
    #[error("the rule has more than {MATCHERS_MAX} matchers")]
    TooMany,
    /// Something stands where it cannot.
    #[error("expected {expected} at byte {at}, found {found}")]
    Unexpected {
        /// What could stand there.
        expected: &'static str,
        /// What does.
        found: String,
        /// The byte it begins at.
        at: usize,
    },
    /// A string without its end.
    #[error("the string that begins at byte {at} has no end")]
    OpenString {
        /// The byte it begins at.
        at: usize,
    },
    /// A string with an escape that Go does not have.
    #[error("unknown escape sequence in the string at byte {at}")]
    Escape {
        /// The byte the string begins at.
        at: usize,
    },
    /// A character that begins no word and is no sign.
    #[error("unexpected character {character:?} at byte {at}")]
    Character {
        /// The character.
        character: char,
        /// The byte it is at.
        at: usize,
    },
    /// A matcher that is not known.
    #[error("unsupported function: {name}")]
    UnknownMatcher {
        /// As the rule spells it.
        name: String,
    },
    /// Nothing in a matcher's brackets.
    #[error("no args for matcher {name}")]
    NoArguments {
        /// The matcher.
        name: &'static str,
    },
    /// An empty text in a matcher's brackets.
    #[error("empty args for matcher {name}, {values:?}")]
    EmptyArgument {
        /// The matcher.
        name: &'static str,
        /// All that is in its brackets.
        values: Vec<String>,
    },
}

/// A parsed rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    /// Both have to hold.
    And(Box<Tree>, Box<Tree>),
    /// One of them has to hold.
    Or(Box<Tree>, Box<Tree>),
    /// A matcher has to hold.
    Matcher(Call),
}

/// One matcher with what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// As the table of matchers spells it.
    pub name: &'static str,
    /// Whether it is to hold for what does not match.
    pub negated: bool,
    /// The texts in its brackets.
    pub values: Vec<String>,
}

impl Call {
    /// That there is something in the brackets, and nothing empty.
    ///
    /// # Errors
    /// Which of both is not so.
    pub fn check(&self) -> Result<(), SyntaxError> {
        if self.values.is_empty() {
            return Err(SyntaxError::NoArguments { name: self.name });
        }
        if self.values.iter().any(String::is_empty) {
            return Err(SyntaxError::EmptyArgument { name: self.name, values: self.values.clone() });
        }
        Ok(())
    }
}

impl Tree {
    /// Parses a rule over these matchers.
    ///
    /// # Errors
    /// The first thing that no rule has.
    pub fn parse(text: &str, matchers: &[&'static str]) -> Result<Self, SyntaxError> {
        if text.len() > RULE_BYTES_MAX {
            return Err(SyntaxError::TooLong);
        }
        let mut parser = Parser { lexer: Lexer::new(text)?, matchers, depth: 0, calls: 0 };
        let tree = parser.alternatives()?;
        match parser.lexer.next()? {
            (Token::End, _) => Ok(tree),
            (found, at) => Err(unexpected("the end of the rule", &found, at)),
        }
    }

    /// What is given to the matchers of this name anywhere in the rule, in small letters.
    pub fn values_of(&self, name: &str) -> Vec<String> {
        self.written(name).iter().map(|value| value.to_lowercase()).collect()
    }

    /// The same, as it stands there.
    pub fn written(&self, name: &str) -> Vec<&str> {
        match self {
            Self::And(left, right) | Self::Or(left, right) => {
                let mut values = left.written(name);
                values.extend(right.written(name));
                values
            }
            Self::Matcher(call) if call.name == name => call.values.iter().map(String::as_str).collect(),
            Self::Matcher(_) => Vec::new(),
        }
    }

    fn inverted(self) -> Self {
        match self {
            Self::And(left, right) => Self::Or(Box::new(left.inverted()), Box::new(right.inverted())),
            Self::Or(left, right) => Self::And(Box::new(left.inverted()), Box::new(right.inverted())),
            Self::Matcher(call) => Self::Matcher(Call { negated: !call.negated, ..call }),
        }
    }
}

struct Parser<'t, 'm> {
    lexer: Lexer<'t>,
    matchers: &'m [&'static str],
    depth: usize,
    calls: usize,
}

impl Parser<'_, '_> {
    fn alternatives(&mut self) -> Result<Tree, SyntaxError> {
        let mut left = self.conjunction()?;
        while self.lexer.peek() == &Token::Or {
            self.lexer.next()?;
            left = Tree::Or(Box::new(left), Box::new(self.conjunction()?));
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Tree, SyntaxError> {
        let mut left = self.term()?;
        while self.lexer.peek() == &Token::And {
            self.lexer.next()?;
            left = Tree::And(Box::new(left), Box::new(self.term()?));
        }
        Ok(left)
    }

    fn term(&mut self) -> Result<Tree, SyntaxError> {
        self.depth += 1;
        if self.depth > DEPTH_LEVELS_MAX {
            return Err(SyntaxError::TooDeep);
        }
        let tree = match self.lexer.next()? {
            (Token::Not, _) => self.term()?.inverted(),
            (Token::Open, _) => {
                let inside = self.alternatives()?;
                self.expect(&Token::Close, "a closing bracket")?;
                inside
            }
            (Token::Name(name), _) => Tree::Matcher(self.call(&name)?),
            (found, at) => return Err(unexpected("a matcher", &found, at)),
        };
        self.depth -= 1;
        Ok(tree)
    }

    fn call(&mut self, written: &str) -> Result<Call, SyntaxError> {
        self.calls += 1;
        if self.calls > MATCHERS_MAX {
            return Err(SyntaxError::TooMany);
        }
        let Some(name) = self.matchers.iter().find(|name| spells(written, name)) else {
            return Err(SyntaxError::UnknownMatcher { name: written.to_owned() });
        };
        self.expect(&Token::Open, "an opening bracket")?;
        let mut values = Vec::new();
        loop {
            match self.lexer.next()? {
                (Token::Close, _) => break,
                (Token::Text(value), _) => values.push(value),
                (found, at) => return Err(unexpected("a string", &found, at)),
            }
            match self.lexer.next()? {
                (Token::Close, _) => break,
                (Token::Comma, _) => {}
                (found, at) => return Err(unexpected("a comma or a closing bracket", &found, at)),
            }
        }
        Ok(Call { name, negated: false, values })
    }

    fn expect(&mut self, wanted: &Token, expected: &'static str) -> Result<(), SyntaxError> {
        match self.lexer.next()? {
            (found, _) if found == *wanted => Ok(()),
            (found, at) => Err(unexpected(expected, &found, at)),
        }
    }
}

fn unexpected(expected: &'static str, found: &Token, at: usize) -> SyntaxError {
    SyntaxError::Unexpected { expected, found: found.to_string(), at }
}

/// A matcher is known by its name, and by that in small letters, in capitals, and with one capital at the front.
fn spells(written: &str, name: &str) -> bool {
    if written == name || written == name.to_uppercase() {
        return true;
    }
    let small = name.to_lowercase();
    written == small
        || (written.get(1..) == small.get(1..)
            && written.get(..1) == name.get(..1).map(str::to_uppercase).as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] = &["Host", "HostRegexp", "Path"];

    /// A tree as one line, with brackets around every pair.
    fn shown(text: &str) -> String {
        fn show(tree: &Tree) -> String {
            match tree {
                Tree::And(left, right) => format!("({} && {})", show(left), show(right)),
                Tree::Or(left, right) => format!("({} || {})", show(left), show(right)),
                Tree::Matcher(call) => {
                    format!("{}{}[{}]", if call.negated { "!" } else { "" }, call.name, call.values.join(","))
                }
            }
        }
        match Tree::parse(text, NAMES) {
            Ok(tree) => show(&tree),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn rules_become_trees() {
        for (text, expected) in [
            ("Host(`a`)", "Host[a]"),
            ("Host(`a`, \"b\",)", "Host[a,b]"),
            (r#"Path("\x2fa\t\u00e9")"#, "Path[/a\t\u{e9}]"),
            (
                "HOSTREGEXP(`a`) || hostregexp(`b`) || Hostregexp(`c`)",
                "((HostRegexp[a] || HostRegexp[b]) || HostRegexp[c])",
            ),
            ("Host(`a`) || Host(`b`) && Path(`/`)", "(Host[a] || (Host[b] && Path[/]))"),
            ("!(Host(`a`) || !Path(`/`))", "(!Host[a] && Path[/])"),
            ("!!Host(`a`)", "Host[a]"),
            ("Host(`a`)\n  && Path(`/`)", "(Host[a] && Path[/])"),
            ("Host()", "Host[]"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_rule_says_where() {
        for (text, expected) in [
            ("", "expected a matcher at byte 0, found the end"),
            ("Host(`a`) &&", "expected a matcher at byte 12, found the end"),
            ("Host(`a`", "expected a comma or a closing bracket at byte 8, found the end"),
            ("Host(`a", "the string that begins at byte 5 has no end"),
            ("Host(`a`) Path(`/`)", "expected the end of the rule at byte 10, found Path"),
            ("Host", "expected an opening bracket at byte 4, found the end"),
            ("hOst(`a`)", "unsupported function: hOst"),
            ("Host('a')", "unexpected character '\\'' at byte 5"),
            (r#"Host("\q")"#, "unknown escape sequence in the string at byte 5"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let deep = format!("{}Host(`a`){}", "(".repeat(DEPTH_LEVELS_MAX), ")".repeat(DEPTH_LEVELS_MAX));
        assert_eq!(Tree::parse(&deep, NAMES), Err(SyntaxError::TooDeep));
        let many = vec!["Host(`a`)"; MATCHERS_MAX + 1].join("||");
        assert_eq!(Tree::parse(&many, NAMES), Err(SyntaxError::TooMany));
        let long = format!("Host(`{}`)", "a".repeat(RULE_BYTES_MAX));
        assert_eq!(Tree::parse(&long, NAMES), Err(SyntaxError::TooLong));
        assert!(Tree::parse(&vec!["Host(`a`)"; MATCHERS_MAX].join("||"), NAMES).is_ok());
    }
}
