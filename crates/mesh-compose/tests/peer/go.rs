//! Strings of Go source: those in backquotes and those in double quotes, with where they stand.

/// A string of a file.
#[derive(Debug, Clone)]
pub(crate) struct Literal {
    pub(crate) text: String,
    pub(crate) line: usize,
    /// In backquotes.
    pub(crate) raw: bool,
    /// Number of the top-level function it stands in.
    pub(crate) function: usize,
    /// What stands right before it, without spaces.
    pub(crate) before: String,
}

/// Bytes kept of what stands before a string.
const BEFORE_BYTES_MAX: usize = 24;

/// Every string of `source`, in order.
pub(crate) fn literals(source: &str) -> Vec<Literal> {
    let bytes = source.as_bytes();
    let (mut found, mut at, mut line, mut function) = (Vec::new(), 0, 1, 0);
    while at < bytes.len() {
        let rest = &source[at..];
        let length = match bytes[at] {
            b'/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            b'\'' => rune(rest),
            quote @ (b'"' | b'`') => {
                let length = quoted(rest, quote);
                let inside = rest.get(1..length.saturating_sub(1)).unwrap_or_default();
                let text = if quote == b'`' { Some(inside.to_owned()) } else { unescaped(inside) };
                if let Some(text) = text {
                    let before = before(&source[..at]);
                    found.push(Literal { text, line, raw: quote == b'`', function, before });
                }
                length
            }
            _ => {
                function += usize::from(rest.starts_with("\nfunc "));
                rest.chars().next().map_or(1, char::len_utf8)
            }
        };
        line += source[at..at + length].matches('\n').count();
        at += length;
    }
    found
}

fn before(source: &str) -> String {
    let mut start = source.len().saturating_sub(BEFORE_BYTES_MAX);
    while !source.is_char_boundary(start) {
        start += 1;
    }
    source[start..].chars().filter(|c| !c.is_whitespace()).collect()
}

fn rune(rest: &str) -> usize {
    let mut escaped = false;
    for (index, character) in rest.char_indices().skip(1) {
        match character {
            '\\' if !escaped => escaped = true,
            '\'' if !escaped => return index + 1,
            '\n' => return index,
            _ => escaped = false,
        }
    }
    rest.len()
}

fn quoted(rest: &str, quote: u8) -> usize {
    let mut escaped = false;
    for (index, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            b'\\' if quote == b'"' && !escaped => escaped = true,
            byte if byte == quote && !escaped => return index + 1,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// The text of a string in double quotes; `None` for escapes that no test of the suites has.
fn unescaped(inside: &str) -> Option<String> {
    let mut text = String::new();
    let mut characters = inside.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        text.push(match characters.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            other @ ('"' | '\\' | '\'') => other,
            _ => return None,
        });
    }
    Some(text)
}
