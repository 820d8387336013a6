//! `.env` files: `KEY=value` lines with `export`, quotes, comments, multi-line quoted values and variables.
//!
//! Values in single quotes are literal; in double quotes escapes count; elsewhere a ` #` starts a comment.
//! A name alone takes its value from the environment. Names and values never appear in findings.

use crate::{
    context::{At, Context},
    template::{self, Variables},
};
use std::collections::BTreeMap;

struct File<'t> {
    rest: &'t str,
    text: &'t str,
    number: u32,
    /// How far lines were counted, in bytes, and the line there.
    counted: (usize, u32),
}

struct Scope<'s> {
    values: &'s BTreeMap<String, String>,
    lookup: &'s dyn Fn(&str) -> Option<String>,
}

impl Variables for Scope<'_> {
    fn value(&mut self, name: &str) -> Option<String> {
        (self.lookup)(name).or_else(|| self.values.get(name).cloned())
    }

    fn unset(&mut self, _name: &str) {}
}

/// Reads `text`, source number `file`, into `values`; later lines win. `lookup` is asked first for every
/// variable inside a value.
pub(crate) fn parse(
    text: &str,
    file: u32,
    lookup: &dyn Fn(&str) -> Option<String>,
    values: &mut BTreeMap<String, String>,
    cx: &mut Context,
) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = File { rest: text, text, number: file, counted: (0, 1) };
    while reader.skip_to_statement() {
        let at = reader.at();
        match reader.statement() {
            Err(message) => {
                cx.error(at, "env-syntax", message);
                reader.skip_line();
            }
            Ok(Statement::Inherit(name)) => {
                if let Some(value) = lookup(name) {
                    cx.assigned(at, name, &value);
                    values.insert(name.to_owned(), value);
                }
            }
            Ok(Statement::Set { name, value, expand }) => {
                let value = if expand {
                    match template::substitute(&value, &mut Scope { values, lookup }) {
                        Ok(value) => value,
                        Err(error) => {
                            cx.error(at, "env-variable", error.to_string());
                            continue;
                        }
                    }
                } else {
                    value
                };
                cx.assigned(at, name, &value);
                values.insert(name.to_owned(), value);
            }
        }
    }
}

/// Reads the lines of a file with `format: raw`: no quotes, no variables.
pub(crate) fn parse_raw(text: &str, values: &mut BTreeMap<String, String>) {
    for line in text.lines() {
        let line = line.trim_start();
        if line.starts_with('#') {
            continue;
        }
        if let Some((name, value)) = line.split_once('=') {
            values.insert(name.trim().to_owned(), value.to_owned());
        }
    }
}

enum Statement<'t> {
    Inherit(&'t str),
    Set { name: &'t str, value: String, expand: bool },
}

impl<'t> File<'t> {
    fn at(&mut self) -> At {
        let (from, line) = self.counted;
        let here = self.text.len() - self.rest.len();
        let passed = self.text[from..here].bytes().filter(|byte| *byte == b'\n').count();
        let line = line.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX));
        self.counted = (here, line);
        At { file: self.number, line, column: 1, length: 0 }
    }

    fn skip_to_statement(&mut self) -> bool {
        loop {
            self.rest = self.rest.trim_start();
            if !self.rest.starts_with('#') {
                return !self.rest.is_empty();
            }
            self.skip_line();
        }
    }

    fn skip_line(&mut self) {
        self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
    }

    fn statement(&mut self) -> Result<Statement<'t>, &'static str> {
        if let Some(after) = self.rest.strip_prefix("export")
            && after.starts_with([' ', '\t'])
        {
            self.rest = after.trim_start_matches([' ', '\t']);
        }
        let end = self.rest.find(['=', ':', '\n']).unwrap_or(self.rest.len());
        let name = self.rest[..end].trim();
        if name.is_empty() {
            return Err("a line without a variable name");
        }
        if name.contains(char::is_whitespace) {
            return Err("a variable name cannot contain a space");
        }
        if !name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']')) {
            return Err("a variable name holds a character that it cannot have");
        }
        let after = &self.rest[end..];
        if after.is_empty() || after.starts_with('\n') {
            self.rest = after;
            return Ok(Statement::Inherit(name));
        }
        let value = after[1..].trim_start_matches([' ', '\t']);
        match value.chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(name, &value[1..], quote),
            _ => {
                let (line, rest) = value.split_once('\n').unwrap_or((value, ""));
                self.rest = rest;
                let line = if line.starts_with('#') { "" } else { line };
                let bare = line.split_once(" #").map_or(line, |(bare, _)| bare);
                Ok(Statement::Set { name, value: bare.trim_end().to_owned(), expand: true })
            }
        }
    }

    fn quoted(&mut self, name: &'t str, text: &'t str, quote: char) -> Result<Statement<'t>, &'static str> {
        let mut value = String::new();
        let mut characters = text.char_indices();
        while let Some((index, character)) = characters.next() {
            if character == quote {
                self.rest = &text[index + 1..];
                // A comment may follow on the line; it is skipped with the next statement.
                return Ok(Statement::Set { name, value, expand: quote == '"' });
            }
            if character != '\\' {
                value.push(character);
                continue;
            }
            match characters.next() {
                Some((_, escaped)) if escaped == quote => value.push(quote),
                Some((_, escaped)) if quote == '"' => match escaped {
                    'n' => value.push('\n'),
                    'r' => value.push('\r'),
                    't' => value.push('\t'),
                    'a' => value.push('\u{7}'),
                    'b' => value.push('\u{8}'),
                    'f' => value.push('\u{c}'),
                    'v' => value.push('\u{b}'),
                    '\\' => value.push('\\'),
                    // The substitution that follows makes one of it again.
                    '$' => value.push_str("$$"),
                    '0' => value.extend(octal(&mut characters)),
                    other => value.extend(['\\', other]),
                },
                Some((_, other)) => value.extend(['\\', other]),
                None => value.push('\\'),
            }
        }
        Err("a quoted value is not closed")
    }
}

/// What `\0123` stands for, of which the backslash and the first 0 were read; `None` where it is no character.
fn octal(characters: &mut std::str::CharIndices<'_>) -> Option<char> {
    const DIGITS_MAX: usize = 3;
    let rest = characters.as_str();
    let digits: String = rest.chars().take(DIGITS_MAX).take_while(|c| c.is_digit(8)).collect();
    let code = if digits.is_empty() { 0 } else { u32::from_str_radix(&digits, 8).ok()? };
    for _ in 0..digits.len() {
        characters.next();
    }
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &[(&str, &str)]) {
        let mut cx = Context::default();
        let mut values = BTreeMap::new();
        let lookup = |name: &str| (name == "SHELL_SET").then(|| "shell".to_owned());
        parse(text, 1, &lookup, &mut values, &mut cx);
        let got: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(got, want, "{text}");
        assert!(!cx.has_errors(), "{text}");
    }

    #[test]
    fn every_form_of_a_value() {
        check(
            "A=1\nB = two words # comment\nexport C=x#y\nD:yaml\nE=\n",
            &[("A", "1"), ("B", "two words"), ("C", "x#y"), ("D", "yaml"), ("E", "")],
        );
        check(
            "A='$B \\n'\nB=\"x\\ny \\\"q\\\" \\$C\" # c\nC=\"two\nlines\"\n",
            &[("A", "$B \\n"), ("B", "x\ny \"q\" $C"), ("C", "two\nlines")],
        );
        check(
            "A=1\nB=${A}2\nC=\"${B:-x}3\"\nD=${SHELL_SET}$X\n",
            &[("A", "1"), ("B", "12"), ("C", "123"), ("D", "shell")],
        );
        check("SHELL_SET\nNOT_SET\nF=1\r\nG=é\n", &[("F", "1"), ("G", "é"), ("SHELL_SET", "shell")]);
        check("\u{feff}A=1\n# only a comment", &[("A", "1")]);
        check("A=\nB=#x\nC= # x\nD='it\\'s'", &[("A", ""), ("B", ""), ("C", ""), ("D", "it's")]);
    }

    #[test]
    fn broken_lines_are_findings_without_their_content() {
        let mut cx = Context::default();
        let file = cx.add_source(".env", "");
        let mut values = BTreeMap::new();
        parse("A=1\n=hunter2\nB C=hunter2\nD=${\nE=\"hunter2\nF!=1", file, &|_| None, &mut values, &mut cx);
        let findings: Vec<_> = cx.into_findings().iter().map(ToString::to_string).collect();
        assert_eq!(values.len(), 1, "{values:?}");
        assert_eq!(findings.len(), 5, "{findings:?}");
        assert!(findings[0].starts_with(".env:2:1: error"), "{findings:?}");
        assert!(!findings.iter().any(|finding| finding.contains("hunter2")));
    }
}
