//! Go's text templates, as far as `--format` takes them.
//!
//! Actions, pipelines, variables, `if`, `with`, `range`, `break`, `continue`, comments and trimming, the
//! comparisons and `printf` of Go, and the functions that Docker adds (`json`, `join`, `split`, `lower`,
//! `upper`, `title`, `pad`, `truncate`). Errors are in Go's words. A template is short, nests to a bounded
//! depth, takes a bounded number of steps and writes a bounded text. Deliberately absent: `define`,
//! `block`, `template` and `call`, for which a format of one line has no use.

mod execute;
mod functions;
mod json;
mod lexer;
mod parser;
mod printf;
mod value;

pub(crate) use printf::{quoted, significant};
pub(crate) use value::{Subject, Value};

use parser::Node;

/// Longest template, in bytes.
const SOURCE_BYTES_MAX: usize = 64 << 10;
/// Deepest nesting of actions and parentheses.
const DEPTH_MAX: u32 = 50;
/// Most steps of one execution.
const STEPS_MAX: u32 = 1_000_000;
/// Longest text of one execution, and of any value in it, in bytes.
const OUTPUT_BYTES_MAX: usize = 16 << 20;

/// Why a template is refused, or was not executed to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template: :{place}: {reason}")]
pub(crate) struct TemplateError {
    /// Line, and the byte in it where that is known.
    place: String,
    /// What is wrong.
    reason: String,
}

/// What the functions are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// For rows: they work.
    Rows,
    /// For the header of a table: those that change a text leave it as it is.
    Header,
}

/// A template that can be executed.
#[derive(Debug)]
pub(crate) struct Template {
    source: String,
    nodes: Vec<Node>,
}

impl Template {
    /// Reads a template.
    pub(crate) fn parse(source: &str) -> Result<Self, TemplateError> {
        if source.len() > SOURCE_BYTES_MAX {
            let reason = format!("it is longer than {SOURCE_BYTES_MAX} bytes");
            return Err(TemplateError { place: "1".to_owned(), reason });
        }
        Ok(Self { source: source.to_owned(), nodes: parser::parse(source)? })
    }

    /// Executes it with `.` being `subject`. What was written before an error is in `text` all the same.
    pub(crate) fn execute(
        &self,
        subject: &Value,
        purpose: Purpose,
        text: &mut String,
    ) -> Result<(), TemplateError> {
        execute::execute(&self.source, &self.nodes, subject, purpose, text)
    }
}

/// Line of the byte `at`, from 1, and its place in that line, from 0.
fn line_and_byte(source: &str, at: usize) -> (usize, usize) {
    let before = source.as_bytes().get(..at).unwrap_or_default();
    let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    (before.iter().filter(|byte| **byte == b'\n').count() + 1, at - begin)
}

#[cfg(test)]
mod tests;
