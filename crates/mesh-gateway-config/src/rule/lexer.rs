//! Words and signs of a rule.

use super::tree::SyntaxError;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    And,
    Or,
    Not,
    Open,
    Close,
    Comma,
    Name(String),
    Text(String),
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And => f.write_str("&&"),
            Self::Or => f.write_str("||"),
            Self::Not => f.write_str("!"),
            Self::Open => f.write_str("("),
            Self::Close => f.write_str(")"),
            Self::Comma => f.write_str(","),
            Self::Name(name) => f.write_str(name),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// Reads tokens, one ahead.
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
    next: (Token, usize),
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Result<Self, SyntaxError> {
        let mut lexer = Self { text, at: 0, next: (Token::End, 0) };
        lexer.next = lexer.read()?;
        Ok(lexer)
    }

    pub(super) fn peek(&self) -> &Token {
        &self.next.0
    }

    /// The next token, and the byte it begins at.
    pub(super) fn next(&mut self) -> Result<(Token, usize), SyntaxError> {
        let following = self.read()?;
        Ok(std::mem::replace(&mut self.next, following))
    }

    fn read(&mut self) -> Result<(Token, usize), SyntaxError> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        let begin = self.at;
        let rest = &self.text[begin..];
        let Some(first) = rest.chars().next() else { return Ok((Token::End, begin)) };
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            '!' => (Token::Not, 1),
            '&' if rest.starts_with("&&") => (Token::And, 2),
            '|' if rest.starts_with("||") => (Token::Or, 2),
            '`' => self.raw(begin)?,
            '"' => self.quoted(begin)?,
            first if first.is_alphabetic() || first == '_' => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                (Token::Name(rest[..end].to_owned()), end)
            }
            character => return Err(SyntaxError::Character { character, at: begin }),
        };
        self.at += length;
        Ok((token, begin))
    }

    fn raw(&self, begin: usize) -> Result<(Token, usize), SyntaxError> {
        let inside = &self.text[begin + 1..];
        let end = inside.find('`').ok_or(SyntaxError::OpenString { at: begin })?;
        // Go leaves carriage returns out of raw strings.
        Ok((Token::Text(inside[..end].replace('\r', "")), end + 2))
    }

    fn quoted(&self, begin: usize) -> Result<(Token, usize), SyntaxError> {
        let mut value: Vec<u8> = Vec::new();
        let mut characters = self.text[begin + 1..].char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    let text = String::from_utf8(value).map_err(|_| SyntaxError::Escape { at: begin })?;
                    return Ok((Token::Text(text), at + 2));
                }
                '\n' => break,
                '\\' => escape(&mut characters, &mut value).ok_or(SyntaxError::Escape { at: begin })?,
                character => value.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        Err(SyntaxError::OpenString { at: begin })
    }
}

/// What follows a backslash (Go's specification, "Rune literals").
fn escape(characters: &mut std::str::CharIndices<'_>, value: &mut Vec<u8>) -> Option<()> {
    let (_, kind) = characters.next()?;
    let mut digits = |count: usize, radix: u32, first: u32| {
        (0..count).try_fold(first, |number, _| {
            let digit = characters.next()?.1.to_digit(radix)?;
            number.checked_mul(radix)?.checked_add(digit)
        })
    };
    let byte = match kind {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '"' => b'"',
        'x' => u8::try_from(digits(2, 16, 0)?).ok()?,
        '0'..='7' => u8::try_from(digits(2, 8, kind.to_digit(8)?)?).ok()?,
        'u' | 'U' => {
            let number = digits(if kind == 'u' { 4 } else { 8 }, 16, 0)?;
            value.extend_from_slice(char::from_u32(number)?.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(());
        }
        _ => return None,
    };
    value.push(byte);
    Some(())
}
