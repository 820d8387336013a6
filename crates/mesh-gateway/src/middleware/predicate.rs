//! The small language in which breakers and repetitions are told their conditions: comparisons of what functions say
//! with numbers and texts, `&&`, `||` and brackets, as Go writes them.

use std::fmt;

/// Longest expression, in bytes, and deepest nesting.
const TEXT_BYTES_MAX: usize = 4 << 10;
const DEPTH_LEVELS_MAX: usize = 32;

/// Why an expression is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PredicateError {
    #[error("expression is longer than {TEXT_BYTES_MAX} bytes or too deep")]
    TooLarge,
    #[error("expression: unexpected {0:?}")]
    Unexpected(String),
    #[error("expression ends where something should follow")]
    End,
    #[error("unsupported function: {0}")]
    Function(String),
    #[error("{0} takes other arguments")]
    Arguments(String),
    #[error("{0} is compared with something else than it says")]
    Kinds(String),
}

/// What a function says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Text,
    Truth,
}

/// A function: its name, what it says, and how many numbers it takes.
pub(super) type Function = (&'static str, Kind, usize);

/// A value of a function, or one that it is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Text(String),
    Truth(bool),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Predicate {
    All(Vec<Predicate>),
    Any(Vec<Predicate>),
    Is(Call),
    Compare(Call, Comparison, Value),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) arguments: Vec<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    Number(f64),
    Text(String),
    Mark(&'static str),
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(text) | Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Mark(mark) => f.write_str(mark),
        }
    }
}

const MARKS: &[&str] = &["&&", "||", "==", "!=", "<=", ">=", "<", ">", "(", ")", ","];

impl Predicate {
    pub(super) fn parse(text: &str, known: &'static [Function]) -> Result<Self, PredicateError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(PredicateError::TooLarge);
        }
        let mut parser = Parser { tokens: tokens(text)?, at: 0, known };
        let parsed = parser.any(0)?;
        match parser.tokens.get(parser.at) {
            None => Ok(parsed),
            Some(token) => Err(PredicateError::Unexpected(token.to_string())),
        }
    }

    /// Whether it holds, by what functions say now.
    pub(super) fn holds(&self, value: &dyn Fn(&Call) -> Value) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(value)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(value)),
            Self::Is(call) => value(call) == Value::Truth(true),
            Self::Compare(call, comparison, with) => match (value(call), with) {
                (Value::Number(found), Value::Number(with)) => comparison.holds(found.partial_cmp(with)),
                (Value::Text(found), Value::Text(with)) => comparison.holds(Some(found.cmp(with))),
                _ => false,
            },
        }
    }
}

impl Comparison {
    fn holds(self, order: Option<std::cmp::Ordering>) -> bool {
        let Some(order) = order else { return false };
        match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::More => order.is_gt(),
            Self::MoreOrEqual => order.is_ge(),
        }
    }

    fn of(mark: &str) -> Option<Self> {
        Some(match mark {
            "==" => Self::Equal,
            "!=" => Self::Unequal,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::More,
            ">=" => Self::MoreOrEqual,
            _ => return None,
        })
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, PredicateError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = |wanted: fn(char) -> bool| rest.find(|letter| !wanted(letter)).unwrap_or(rest.len());
        let length = if first.is_ascii_alphabetic() || first == '_' {
            let end = end(|letter| letter.is_ascii_alphanumeric() || letter == '_');
            tokens.push(Token::Name(rest[..end].to_owned()));
            end
        } else if first.is_ascii_digit() || first == '.' {
            let end = end(|letter| letter.is_ascii_digit() || letter == '.');
            let number =
                rest[..end].parse().map_err(|_| PredicateError::Unexpected(rest[..end].to_owned()))?;
            tokens.push(Token::Number(number));
            end
        } else if first == '"' || first == '`' {
            let text = rest[1..].split(first).next().unwrap_or_default();
            if rest.len() < text.len() + 2 {
                return Err(PredicateError::End);
            }
            tokens.push(Token::Text(text.to_owned()));
            text.len() + 2
        } else if let Some(mark) = MARKS.iter().find(|mark| rest.starts_with(**mark)) {
            tokens.push(Token::Mark(mark));
            mark.len()
        } else {
            return Err(PredicateError::Unexpected(first.to_string()));
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    known: &'static [Function],
}

impl Parser {
    fn next(&mut self) -> Result<Token, PredicateError> {
        let token = self.tokens.get(self.at).cloned().ok_or(PredicateError::End)?;
        self.at += 1;
        Ok(token)
    }

    fn takes(&mut self, mark: &str) -> bool {
        let there = matches!(self.tokens.get(self.at), Some(Token::Mark(found)) if *found == mark);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, mark: &str) -> Result<(), PredicateError> {
        if self.takes(mark) {
            return Ok(());
        }
        let token = self.next()?;
        Err(PredicateError::Unexpected(token.to_string()))
    }

    fn any(&mut self, depth: usize) -> Result<Predicate, PredicateError> {
        if depth > DEPTH_LEVELS_MAX {
            return Err(PredicateError::TooLarge);
        }
        let mut parts = vec![self.all(depth)?];
        while self.takes("||") {
            parts.push(self.all(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Predicate::Any(parts) })
    }

    fn all(&mut self, depth: usize) -> Result<Predicate, PredicateError> {
        let mut parts = vec![self.one(depth)?];
        while self.takes("&&") {
            parts.push(self.one(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Predicate::All(parts) })
    }

    fn one(&mut self, depth: usize) -> Result<Predicate, PredicateError> {
        if self.takes("(") {
            let inner = self.any(depth + 1)?;
            self.expect(")")?;
            return Ok(inner);
        }
        let (call, kind) = self.call()?;
        let comparison = match self.tokens.get(self.at) {
            Some(Token::Mark(mark)) => Comparison::of(mark),
            _ => None,
        };
        let Some(comparison) = comparison else {
            let truth = kind == Kind::Truth;
            return if truth {
                Ok(Predicate::Is(call))
            } else {
                Err(PredicateError::Kinds(call.name.to_owned()))
            };
        };
        self.at += 1;
        let value = match self.next()? {
            Token::Number(number) if kind == Kind::Number => Value::Number(number),
            Token::Text(text)
                if kind == Kind::Text && matches!(comparison, Comparison::Equal | Comparison::Unequal) =>
            {
                Value::Text(text)
            }
            Token::Number(_) | Token::Text(_) => return Err(PredicateError::Kinds(call.name.to_owned())),
            other => return Err(PredicateError::Unexpected(other.to_string())),
        };
        Ok(Predicate::Compare(call, comparison, value))
    }

    fn call(&mut self) -> Result<(Call, Kind), PredicateError> {
        let name = match self.next()? {
            Token::Name(name) => name,
            other => return Err(PredicateError::Unexpected(other.to_string())),
        };
        let found = self.known.iter().find(|(known, ..)| *known == name);
        let (name, kind, count) = *found.ok_or(PredicateError::Function(name))?;
        self.expect("(")?;
        let mut arguments = Vec::new();
        while !self.takes(")") {
            if !arguments.is_empty() {
                self.expect(",")?;
            }
            match self.next()? {
                Token::Number(number) if arguments.len() < count => arguments.push(number),
                _ => return Err(PredicateError::Arguments(name.to_owned())),
            }
        }
        if arguments.len() != count {
            return Err(PredicateError::Arguments(name.to_owned()));
        }
        Ok((Call { name, arguments }, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Function] = &[
        ("Count", Kind::Number, 0),
        ("At", Kind::Number, 1),
        ("Method", Kind::Text, 0),
        ("Down", Kind::Truth, 0),
    ];

    #[test]
    fn conditions_hold_as_they_say() {
        let value = |call: &Call| match call.name {
            "Count" => Value::Number(3.0),
            "At" => Value::Number(call.arguments[0] * 2.0),
            "Method" => Value::Text("GET".to_owned()),
            _ => Value::Truth(false),
        };
        for (text, expected) in [
            ("Count() > 2", true),
            ("Count() >= 3 && Count() <= 3 && Count() == 3", true),
            ("Count() < 3 || Down()", false),
            ("Count() != 3 || (At(50.0) > 99 && Method() == \"GET\")", true),
            ("Method() == `POST` || Down()", false),
            ("Count() > 1 || Count() > 9 && Down()", true),
        ] {
            let parsed = Predicate::parse(text, KNOWN).expect(text);
            assert_eq!(parsed.holds(&value), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        let deep = format!("{}Down(){}", "(".repeat(100), ")".repeat(100));
        for text in [
            "",
            "Count()",
            "Count() >",
            "Count() > \"a\"",
            "At() > 1",
            "At(1, 2) > 1",
            "Nobody() > 1",
            "Down() Down()",
            "Method() < \"a\"",
            "3 < Count()",
            "Count() > 2 &&",
            "!Down()",
            "Count( > 2",
            "Method() == \"a",
            &deep,
            &"a".repeat(5_000),
            "é",
            "Count() > 1.2.3",
        ] {
            assert!(Predicate::parse(text, KNOWN).is_err(), "{text}");
        }
    }
}
