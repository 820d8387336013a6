//! The one place that writes to standard output and standard error.

use std::{
    borrow::Cow,
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

/// A line that stays below all others; only where both streams are one terminal.
static FOOTER: Mutex<Option<String>> = Mutex::new(None);
/// To the line's beginning, and nothing left of it.
const ERASE_LINE: &str = "\r\u{1b}[2K";

/// Shows a line that stays below all others, or no such line any more.
pub(crate) fn set_footer(footer: Option<String>) {
    let mut shown = FOOTER.lock().unwrap_or_else(PoisonError::into_inner);
    if shown.is_some() || footer.is_some() {
        let text = format!("{ERASE_LINE}{}", footer.as_deref().unwrap_or_default());
        let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
    }
    *shown = footer;
}

/// Text with the footer moved below it.
fn above_footer(text: &str) -> Cow<'_, str> {
    let footer = FOOTER.lock().unwrap_or_else(PoisonError::into_inner);
    match footer.as_deref() {
        Some(footer) if text.ends_with('\n') => format!("{ERASE_LINE}{text}{footer}").into(),
        _ => text.into(),
    }
}

/// Writes text to standard output as it is. A reader that went away ends the process quietly, as it
/// would end any other tool in a pipe; a full disk ends it with an error.
pub(crate) fn out(text: &str) {
    let mut stdout = io::stdout().lock();
    let text = above_footer(text);
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        if error.kind() == io::ErrorKind::BrokenPipe {
            std::process::exit(141);
        }
        // Whoever takes what came for all of it would be misled.
        err_line(&format!("error: could not write to standard output: {error}"));
        std::process::exit(1);
    }
}

/// Writes a line to standard output.
pub(crate) fn out_line(text: &str) {
    out(&format!("{text}\n"));
}

/// Writes text to standard error at once; nobody can be told if that fails.
pub(crate) fn err(text: &str) {
    let _ = io::stderr().lock().write_all(above_footer(text).as_bytes());
}

/// Writes a line to standard error; nobody can be told if that fails.
pub(crate) fn err_line(text: &str) {
    err(&format!("{text}\n"));
}

/// `text` with nothing in it that a terminal would act on: what a container said can be anything.
/// Line ends and tabs stay; other control characters are shown as what they are.
pub(crate) fn inert(text: &str) -> String {
    let acted_on = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match acted_on(letter) {
            true => shown.extend(letter.escape_default()),
            false => shown.push(letter),
        }
    }
    shown
}

/// Styles for a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// An error's first word.
    Error,
    /// A warning's first word.
    Warning,
    /// A hint's first word.
    Hint,
    /// Something that is well.
    Good,
    /// Something of less weight.
    Faint,
}

/// `text` in a style, where colours are on.
pub(crate) fn styled(text: &str, style: Style, colour: bool) -> String {
    if !colour {
        return text.to_owned();
    }
    let code = match style {
        Style::Error => "1;31",
        Style::Warning => "1;33",
        Style::Hint => "1;36",
        Style::Good => "32",
        Style::Faint => "2",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}
