//! A template as tokens: text outside of `{{ }}`, and words inside.

use super::{TemplateError, line_and_byte, value::Value};

/// A token and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) at: usize,
    /// As it is written.
    pub(super) text: String,
    pub(super) kind: TokenKind,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    /// Text outside of actions.
    Outside,
    /// `{{`
    Open,
    /// `}}`
    Close,
    /// Space between the words of an action.
    Space,
    /// `.`
    Dot,
    /// `.Name`; without its dot.
    Field(String),
    /// `$` or `$name`.
    Variable(String),
    /// A keyword or the name of a function.
    Word,
    /// A constant.
    Constant(Value),
    /// `(`, `)`, `|`, `,`, or a letter that means nothing here
    Mark(char),
    /// `:=`
    Declare,
    /// `=`
    Assign,
}

const OPEN: &str = "{{";
const CLOSE: &str = "}}";

/// Reads all of `source`.
pub(super) fn tokens(source: &str) -> Result<Vec<Token>, TemplateError> {
    let mut lexer = Lexer { source, at: 0, tokens: Vec::new() };
    lexer.run()?;
    Ok(lexer.tokens)
}

/// An error at a byte of the source.
pub(super) fn error(source: &str, at: usize, reason: impl Into<String>) -> TemplateError {
    TemplateError { place: line_and_byte(source, at).0.to_string(), reason: reason.into() }
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn run(&mut self) -> Result<(), TemplateError> {
        let mut trim = false;
        while self.at < self.source.len() {
            let end = self.rest().find(OPEN).map_or(self.source.len(), |found| self.at + found);
            let inner = &self.source[(end + OPEN.len()).min(self.source.len())..];
            let trims_before = inner.starts_with('-') && inner[1..].starts_with(is_space);
            let mut text = &self.source[self.at..end];
            if trim {
                text = text.trim_start_matches(is_space);
            }
            if trims_before {
                text = text.trim_end_matches(is_space);
            }
            if !text.is_empty() {
                self.push(self.at, text.to_owned(), TokenKind::Outside);
            }
            self.at = end;
            if end == self.source.len() {
                return Ok(());
            }
            trim = self.action(trims_before)?;
        }
        Ok(())
    }

    /// From `{{` to `}}`; whether the text after it is trimmed.
    fn action(&mut self, trims_before: bool) -> Result<bool, TemplateError> {
        let open = self.at;
        self.at += OPEN.len() + usize::from(trims_before);
        let body = self.rest().trim_start_matches(is_space);
        if body.starts_with("/*") {
            return self.comment(open, self.source.len() - body.len());
        }
        self.push(open, OPEN.to_owned(), TokenKind::Open);
        loop {
            let rest = self.rest();
            if let Some(after) = rest.trim_start_matches(is_space).strip_prefix("-}}")
                && rest.starts_with(is_space)
            {
                let at = self.source.len() - after.len();
                self.push(at - CLOSE.len(), CLOSE.to_owned(), TokenKind::Close);
                self.at = at;
                return Ok(true);
            }
            if rest.starts_with(CLOSE) {
                self.push(self.at, CLOSE.to_owned(), TokenKind::Close);
                self.at += CLOSE.len();
                return Ok(false);
            }
            self.word(open)?;
        }
    }

    fn comment(&mut self, open: usize, begin: usize) -> Result<bool, TemplateError> {
        let Some(length) = self.source[begin..].find("*/") else {
            return Err(error(self.source, open, "unclosed comment"));
        };
        self.at = begin + length + "*/".len();
        let rest = self.rest();
        if rest.starts_with(CLOSE) {
            self.at += CLOSE.len();
            return Ok(false);
        }
        match rest.trim_start_matches(is_space).strip_prefix("-}}") {
            Some(after) if rest.starts_with(is_space) => {
                self.at = self.source.len() - after.len();
                Ok(true)
            }
            _ => Err(error(self.source, open, "comment ends before closing delimiter")),
        }
    }

    fn word(&mut self, open: usize) -> Result<(), TemplateError> {
        let begin = self.at;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Err(error(self.source, open, "unclosed action"));
        };
        let kind = match first {
            _ if is_space(first) => {
                self.at += rest.len() - rest.trim_start_matches(is_space).len();
                TokenKind::Space
            }
            '"' | '`' | '\'' => self.quoted(first)?,
            ':' if rest.starts_with(":=") => self.step(2, TokenKind::Declare),
            '=' => self.step(1, TokenKind::Assign),
            '(' | ')' | '|' | ',' => self.step(1, TokenKind::Mark(first)),
            '.' if !rest[1..].starts_with(|letter: char| letter.is_ascii_digit()) => {
                self.at += 1;
                match self.name() {
                    "" => TokenKind::Dot,
                    name => {
                        let name = name.to_owned();
                        self.ends()?;
                        TokenKind::Field(name)
                    }
                }
            }
            '$' => {
                self.at += 1;
                let name = format!("${}", self.name());
                self.ends()?;
                TokenKind::Variable(name)
            }
            '0'..='9' | '+' | '-' | '.' => self.number()?,
            _ if is_name(first) => {
                let kind = match self.name() {
                    "true" => TokenKind::Constant(Value::Bool(true)),
                    "false" => TokenKind::Constant(Value::Bool(false)),
                    "nil" => TokenKind::Constant(Value::Missing),
                    _ => TokenKind::Word,
                };
                self.ends()?;
                kind
            }
            '!'..='~' if first != ':' => self.step(1, TokenKind::Mark(first)),
            ':' => return Err(error(self.source, begin, "expected :=")),
            _ => return Err(self.bad_character(first)),
        };
        let text = self.source[begin..self.at].to_owned();
        self.push(begin, text, kind);
        Ok(())
    }

    /// A quoted constant, from its quotation mark on.
    fn quoted(&mut self, mark: char) -> Result<TokenKind, TemplateError> {
        let begin = self.at;
        let what = match mark {
            '"' => "unterminated quoted string",
            '`' => "unterminated raw quoted string",
            _ => "unterminated character constant",
        };
        let mut text = String::new();
        let mut letters = self.source[begin + 1..].char_indices();
        while let Some((offset, letter)) = letters.next() {
            match letter {
                _ if letter == mark => {
                    self.at = begin + 1 + offset + 1;
                    return self.constant(mark, text, begin);
                }
                '\n' if mark != '`' => break,
                '\\' if mark != '`' => {
                    let escaped = escape(&mut letters)
                        .ok_or_else(|| error(self.source, begin, "invalid syntax in a quoted string"))?;
                    text.push(escaped);
                }
                _ => text.push(letter),
            }
        }
        Err(error(self.source, begin, what))
    }

    fn constant(&self, mark: char, text: String, begin: usize) -> Result<TokenKind, TemplateError> {
        if mark != '\'' {
            return Ok(TokenKind::Constant(Value::Text(text)));
        }
        let mut letters = text.chars();
        match (letters.next(), letters.next()) {
            (Some(letter), None) => Ok(TokenKind::Constant(Value::Int(i64::from(u32::from(letter))))),
            _ => Err(error(self.source, begin, format!("malformed character constant: '{text}'"))),
        }
    }

    fn number(&mut self) -> Result<TokenKind, TemplateError> {
        let begin = self.at;
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_');
        let mut length = 0;
        let mut before = ' ';
        for letter in self.rest().chars() {
            let sign = matches!(letter, '+' | '-');
            let hexadecimal = self.source[begin..begin + length].contains(['x', 'X']);
            if !(is_part(letter) || sign && (length == 0 || matches!(before, 'e' | 'E') && !hexadecimal)) {
                break;
            }
            length += letter.len_utf8();
            before = letter;
        }
        self.at += length;
        let written = &self.source[begin..self.at];
        let bad = || error(self.source, begin, format!("bad number syntax: {written:?}"));
        number(written).map(TokenKind::Constant).ok_or_else(bad)
    }

    /// Checks that what follows a name cannot be meant to belong to it.
    fn ends(&self) -> Result<(), TemplateError> {
        let rest = self.rest();
        match rest.chars().next() {
            None => Ok(()),
            Some(letter) if is_space(letter) || ".,|:()".contains(letter) || rest.starts_with(CLOSE) => {
                Ok(())
            }
            Some(letter) => Err(self.bad_character(letter)),
        }
    }

    fn bad_character(&self, letter: char) -> TemplateError {
        error(self.source, self.at, format!("bad character U+{:04X} '{letter}'", u32::from(letter)))
    }

    fn step(&mut self, bytes: usize, kind: TokenKind) -> TokenKind {
        self.at += bytes;
        kind
    }

    /// The name that begins here; it may be empty.
    fn name(&mut self) -> &str {
        let rest = &self.source[self.at..];
        let end = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn push(&mut self, at: usize, text: String, kind: TokenKind) {
        self.tokens.push(Token { at, text, kind });
    }
}

/// What follows a backslash.
fn escape(letters: &mut std::str::CharIndices<'_>) -> Option<char> {
    let kind = letters.next()?.1;
    let mut hexadecimal = |digits: usize| {
        let mut value = 0;
        for _ in 0..digits {
            value = value * 16 + letters.next()?.1.to_digit(16)?;
        }
        char::from_u32(value)
    };
    Some(match kind {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'v' => '\u{b}',
        'x' => hexadecimal(2)?,
        'u' => hexadecimal(4)?,
        'U' => hexadecimal(8)?,
        '\\' | '"' | '\'' => kind,
        _ => return None,
    })
}

/// `12`, `-1_000`, `0x1f`, `0b11`, `0o7`, `1.5`, `1e3`.
fn number(written: &str) -> Option<Value> {
    let (negative, digits) = match written.strip_prefix(['+', '-']) {
        Some(digits) => (written.starts_with('-'), digits),
        None => (false, written),
    };
    let plain = digits.replace('_', "");
    let lower = plain.to_ascii_lowercase();
    let based = [("0x", 16), ("0b", 2), ("0o", 8)]
        .iter()
        .find_map(|(prefix, base)| lower.strip_prefix(prefix).map(|rest| (rest.to_owned(), *base)));
    let whole = match &based {
        Some((rest, _)) if rest.starts_with(['+', '-']) => None,
        Some((rest, base)) => i64::from_str_radix(rest, *base).ok(),
        None if lower.bytes().all(|byte| byte.is_ascii_digit()) => lower.parse().ok(),
        None => None,
    };
    if let Some(whole) = whole {
        return Some(Value::Int(if negative { -whole } else { whole }));
    }
    let is_decimal =
        based.is_none() && lower.bytes().all(|byte| byte.is_ascii_digit() || b".e+-".contains(&byte));
    let value: f64 = is_decimal.then(|| lower.parse().ok()).flatten()?;
    Some(Value::Float(if negative { -value } else { value }))
}

fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n')
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}
