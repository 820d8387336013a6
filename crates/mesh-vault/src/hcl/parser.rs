//! Words and signs to entries.

use super::{
    Body, DEPTH_MAX, Entry, HclError, Node,
    lexer::{Lexer, Placed, Token},
};
use serde_json::{Number, Value};
use std::collections::HashSet;

/// Reads a whole text.
pub(super) fn parse(text: &str) -> Result<Body, HclError> {
    let mut lexer = Lexer::new(text);
    let ahead = lexer.next()?;
    let mut parser = Parser { lexer, ahead, depth: 0 };
    let json = parser.ahead.token == Token::Sign('{');
    let body = if json { parser.object()? } else { parser.body(&Token::End)? };
    match parser.ahead.token {
        Token::End => Ok(body),
        _ => Err(parser.error("nothing may follow here")),
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    ahead: Placed,
    depth: usize,
}

impl Parser<'_> {
    fn error(&self, problem: impl Into<String>) -> HclError {
        HclError { line: self.ahead.line, column: self.ahead.column, problem: problem.into() }
    }

    fn take(&mut self) -> Result<Placed, HclError> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.ahead, next))
    }

    fn skip(&mut self, sign: char) -> Result<bool, HclError> {
        let found = self.ahead.token == Token::Sign(sign);
        if found {
            self.take()?;
        }
        Ok(found)
    }

    /// `{ ... }`
    fn object(&mut self) -> Result<Body, HclError> {
        self.deeper()?;
        self.take()?;
        let body = self.body(&Token::Sign('}'))?;
        self.take()?;
        self.depth -= 1;
        Ok(body)
    }

    fn deeper(&mut self) -> Result<(), HclError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(format!("nested more than {DEPTH_MAX} deep")));
        }
        Ok(())
    }

    /// Entries up to `end`, which is left.
    fn body(&mut self, end: &Token) -> Result<Body, HclError> {
        let mut body = Body::default();
        let mut attributes = HashSet::new();
        while self.ahead.token != *end {
            let place = self.ahead.clone();
            let entry = self.entry()?;
            if !entry.block && !attributes.insert(entry.key.clone()) {
                let problem =
                    format!("the argument {:?} was already set; it can be defined once only", entry.key);
                return Err(HclError { line: place.line, column: place.column, problem });
            }
            body.entries.push(entry);
            self.skip(',')?;
        }
        Ok(body)
    }

    /// `key = value`, `"key": value`, or `key "label" { ... }`.
    fn entry(&mut self) -> Result<Entry, HclError> {
        let placed = self.take()?;
        let (Token::Word(key) | Token::Text(key)) = placed.token else {
            let problem = format!("expected a key, found {}", name(&placed.token));
            return Err(HclError { line: placed.line, column: placed.column, problem });
        };
        let line = placed.line;
        if self.skip('=')? || self.skip(':')? {
            let value = self.value()?;
            return Ok(Entry { key, labels: Vec::new(), value, line, block: false });
        }
        let mut labels = Vec::new();
        while let Token::Word(label) | Token::Text(label) = &self.ahead.token {
            let label = label.clone();
            // As JSON each of them is an object of its own.
            self.deeper()?;
            labels.push(label);
            self.take()?;
        }
        if self.ahead.token != Token::Sign('{') {
            let found = name(&self.ahead.token);
            return Err(self.error(format!("expected '=' or '{{' after key {key:?}, found {found}")));
        }
        let value = Node::Object(self.object()?);
        self.depth -= labels.len();
        Ok(Entry { key, labels, value, line, block: true })
    }

    fn value(&mut self) -> Result<Node, HclError> {
        match &self.ahead.token {
            Token::Sign('{') => return self.object().map(Node::Object),
            Token::Sign('[') => return self.list().map(Node::List),
            _ => {}
        }
        let value = match &self.ahead.token {
            Token::Text(text) => Value::String(text.clone()),
            Token::Number(text) => {
                let number = number(text).ok_or_else(|| self.error(format!("{text:?} is no number")))?;
                Value::Number(number)
            }
            Token::Word(word) => match word.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "null" => Value::Null,
                word => return Err(self.error(format!("unknown value {word:?}: a text needs quotes"))),
            },
            token => return Err(self.error(format!("expected a value, found {}", name(token)))),
        };
        self.take()?;
        Ok(Node::Scalar(value))
    }

    fn list(&mut self) -> Result<Vec<Node>, HclError> {
        self.deeper()?;
        self.take()?;
        let mut values = Vec::new();
        while !self.skip(']')? {
            values.push(self.value()?);
            if !self.skip(',')? && self.ahead.token != Token::Sign(']') {
                return Err(self.error("expected ',' or ']' in a list"));
            }
        }
        self.depth -= 1;
        Ok(values)
    }
}

fn number(text: &str) -> Option<Number> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return i64::from_str_radix(hex, 16).ok().map(|value| Number::from(sign * value));
    }
    if let Ok(value) = text.parse::<i64>() {
        return Some(Number::from(value));
    }
    // Rust reads "inf" and "nan" too.
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
    text.parse::<f64>().ok().filter(|_| plain).and_then(Number::from_f64)
}

fn name(token: &Token) -> String {
    match token {
        Token::Word(word) => format!("{word:?}"),
        Token::Text(_) => "a text".to_owned(),
        Token::Number(number) => format!("number {number}"),
        Token::Sign(sign) => format!("{sign:?}"),
        Token::End => "the end".to_owned(),
    }
}
