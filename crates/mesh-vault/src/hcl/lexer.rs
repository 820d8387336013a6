//! Text to words and signs.

use super::HclError;

/// A word or a sign.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name, `true`, `false`, `null`.
    Word(String),
    /// A text in quotes or a here-document.
    Text(String),
    /// As written.
    Number(String),
    /// One of `{ } [ ] = : ,`.
    Sign(char),
    /// Nothing is left.
    End,
}

/// A token with where it begins.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) line: u32,
    pub(super) column: u32,
}

/// Reads one token after the other.
pub(super) struct Lexer<'a> {
    rest: &'a str,
    line: u32,
    column: u32,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        // A byte-order mark is no part of the text.
        Self { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1, column: 1 }
    }

    pub(super) fn next(&mut self) -> Result<Placed, HclError> {
        self.skip_blank()?;
        let (line, column) = (self.line, self.column);
        let token = match self.peek() {
            None => Token::End,
            Some(sign @ ('{' | '}' | '[' | ']' | '=' | ':' | ',')) => {
                self.advance();
                Token::Sign(sign)
            }
            Some('"') => self.quoted()?,
            Some('<') => self.here_document()?,
            Some(first) if first == '-' || first == '+' || first.is_ascii_digit() => {
                Token::Number(self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+')))
            }
            Some(first) if first.is_alphabetic() || first == '_' => {
                Token::Word(self.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.')))
            }
            Some(other) => return Err(self.error(format!("illegal character {other:?}"))),
        };
        Ok(Placed { token, line, column })
    }

    fn error(&self, problem: impl Into<String>) -> HclError {
        HclError { line: self.line, column: self.column, problem: problem.into() }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        if next == '\n' {
            (self.line, self.column) = (self.line + 1, 1);
        } else {
            self.column += 1;
        }
        Some(next)
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(next) = self.peek().filter(|next| fits(*next)) {
            taken.push(next);
            self.advance();
        }
        taken
    }

    /// Spaces, line ends and comments.
    fn skip_blank(&mut self) -> Result<(), HclError> {
        loop {
            match self.peek() {
                Some(c) if c.is_whitespace() => {
                    self.advance();
                }
                Some('#') => self.skip_line(),
                Some('/') if self.rest.starts_with("//") => self.skip_line(),
                Some('/') if self.rest.starts_with("/*") => {
                    let unclosed = self.error("comment not terminated");
                    while !self.rest.starts_with("*/") {
                        self.advance().ok_or_else(|| unclosed.clone())?;
                    }
                    self.advance();
                    self.advance();
                }
                _ => return Ok(()),
            }
        }
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|c| c != '\n') {
            self.advance();
        }
    }

    fn quoted(&mut self) -> Result<Token, HclError> {
        let unclosed = self.error("literal not terminated");
        self.advance();
        let mut text = String::new();
        loop {
            match self.advance().ok_or_else(|| unclosed.clone())? {
                '"' => return Ok(Token::Text(text)),
                '\n' => return Err(unclosed),
                '\\' => text.push(self.escape()?),
                other => text.push(other),
            }
        }
    }

    fn escape(&mut self) -> Result<char, HclError> {
        let escaped = self.advance();
        Ok(match escaped {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('v') => '\u{b}',
            Some('u') => self.unicode()?,
            Some('U') => char::from_u32(self.hexadecimal(8)?).ok_or_else(|| self.error("illegal escape"))?,
            _ => return Err(self.error("illegal char escape")),
        })
    }

    /// `\uXXXX`, of which two make a character past U+FFFF, as in JSON.
    fn unicode(&mut self) -> Result<char, HclError> {
        let high = self.hexadecimal(4)?;
        if let Some(single) = char::from_u32(high) {
            return Ok(single);
        }
        if !self.rest.starts_with("\\u") {
            return Err(self.error("illegal escape"));
        }
        self.advance();
        self.advance();
        let units = [high, self.hexadecimal(4)?].map(|unit| u16::try_from(unit).unwrap_or(0));
        let decoded = char::decode_utf16(units).next().and_then(Result::ok);
        decoded.ok_or_else(|| self.error("illegal escape"))
    }

    fn hexadecimal(&mut self, digits: u32) -> Result<u32, HclError> {
        let mut value = 0u32;
        for _ in 0..digits {
            let digit = self.advance().and_then(|c| c.to_digit(16));
            value = value << 4 | digit.ok_or_else(|| self.error("illegal char escape"))?;
        }
        Ok(value)
    }

    /// `<<EOF` to a line that has `EOF` alone; with `<<-` its indentation is taken off every line that has it.
    fn here_document(&mut self) -> Result<Token, HclError> {
        let unclosed = self.error("heredoc not terminated");
        if !self.rest.starts_with("<<") {
            return Err(self.error("illegal character '<'"));
        }
        self.advance();
        self.advance();
        let indented = self.peek() == Some('-');
        if indented {
            self.advance();
        }
        let marker = self.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
        self.take_while(|c| c == '\r');
        if marker.is_empty() || self.advance() != Some('\n') {
            return Err(self.error("heredoc needs a marker and a line end"));
        }
        let mut lines = Vec::new();
        loop {
            let line = self.take_while(|c| c != '\n');
            if line.trim() == marker {
                let indentation: String = line.chars().take_while(|c| matches!(c, ' ' | '\t')).collect();
                let strip = |line: &String| match indented {
                    true => line.strip_prefix(&indentation).unwrap_or(line).to_owned(),
                    false => line.clone(),
                };
                return Ok(Token::Text(lines.iter().map(|line| strip(line) + "\n").collect()));
            }
            lines.push(line);
            self.advance().ok_or_else(|| unclosed.clone())?;
        }
    }
}
