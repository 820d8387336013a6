//! Where words go: results to standard output, errors and warnings to standard error.

use std::io::{IsTerminal as _, Read, Write};

/// Longest line of prose.
const LINE_MAX: usize = 78;

/// What a line that is too long costs, beside what is missing of it.
const TOO_LONG_COST: usize = 100_000;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Json,
    Yaml,
    Raw,
}

impl Format {
    /// By its name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name.to_lowercase().as_str() {
            "table" | "" => Some(Self::Table),
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            "raw" => Some(Self::Raw),
            _ => None,
        }
    }
}

/// The three streams of a command, and how it writes.
pub struct Streams<'a> {
    /// Standard input.
    pub input: &'a mut dyn Read,
    /// Standard output.
    pub output: &'a mut dyn Write,
    /// Standard error.
    pub errors: &'a mut dyn Write,
    /// Whether output is a terminal.
    pub is_terminal: bool,
}

/// What a command writes with.
pub(crate) struct Ui<'a> {
    pub(crate) streams: Streams<'a>,
    pub(crate) format: Format,
    pub(crate) detailed: bool,
    /// Nobody is there to be asked, and standard input is empty.
    pub(crate) quiet: bool,
}

impl Ui<'_> {
    /// A line of the result.
    pub(crate) fn say(&mut self, text: &str) {
        // Where nobody reads any more there is nobody to tell.
        let _ = writeln!(self.streams.output, "{text}");
    }

    /// A value alone: without an end of line, unless a person reads it.
    pub(crate) fn say_raw(&mut self, text: &str) {
        let end = if self.streams.is_terminal { "\n" } else { "" };
        let _ = write!(self.streams.output, "{text}{end}");
    }

    /// An error.
    pub(crate) fn error(&mut self, text: &str) {
        self.coloured("91", text);
    }

    /// A warning.
    pub(crate) fn warn(&mut self, text: &str) {
        self.coloured("93", text);
    }

    fn coloured(&mut self, colour: &str, text: &str) {
        let _ = match self.streams.is_terminal && self.format == Format::Table {
            true => writeln!(self.streams.errors, "\x1b[{colour}m{text}\x1b[0m"),
            false => writeln!(self.streams.errors, "{text}"),
        };
    }

    /// All of standard input, as text.
    pub(crate) fn input(&mut self, bytes_max: u64) -> Result<String, String> {
        if self.quiet {
            return Ok(String::new());
        }
        let mut text = String::new();
        let mut input = (&mut self.streams.input).take(bytes_max + 1);
        input.read_to_string(&mut text).map_err(|error| error.to_string())?;
        if text.len() as u64 > bytes_max {
            return Err(format!("standard input has more than {bytes_max} bytes"));
        }
        Ok(text)
    }

    /// Asks a person for something that is not shown while it is typed.
    pub(crate) fn ask(&mut self, question: &str) -> Result<String, String> {
        let _ = write!(self.streams.errors, "{question}");
        let _ = self.streams.errors.flush();
        let answer = hidden_line();
        let _ = writeln!(self.streams.errors);
        answer
    }
}

/// Reads a line of the terminal at standard input without showing it.
fn hidden_line() -> Result<String, String> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err("file descriptor 0 is not a terminal".to_owned());
    }
    let shown = rustix::termios::tcgetattr(&input).map_err(|error| error.to_string())?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(rustix::termios::LocalModes::ECHO);
    let set = |state| rustix::termios::tcsetattr(&input, rustix::termios::OptionalActions::Now, state);
    set(&hidden).map_err(|error| error.to_string())?;
    let mut line = String::new();
    let read = input.read_line(&mut line);
    set(&shown).map_err(|error| error.to_string())?;
    read.map_err(|error| error.to_string())?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Prose in lines that are not too long.
pub(crate) fn wrapped(text: &str) -> String {
    wrapped_with(text, 0)
}

/// The same with spaces before each line.
///
/// Lines are broken where they come out most even: what is missing of each line but the last, squared, is least.
pub(crate) fn wrapped_with(text: &str, pad: usize) -> String {
    let most = LINE_MAX - pad;
    let words: Vec<&str> = text.trim().split([' ', '\n']).collect();
    let lengths: Vec<usize> = words.iter().map(|word| word.len()).collect();
    // The cost of all lines from a word on, and the word that the line after the first begins with.
    let mut best = vec![(0, words.len()); words.len() + 1];
    for first in (0..words.len()).rev() {
        let rest = lengths[first..].iter().sum::<usize>() + (words.len() - first - 1);
        if rest <= most || first == words.len() - 1 {
            continue;
        }
        let (mut length, mut least) = (0, (usize::MAX, words.len()));
        for next in first + 1..words.len() {
            length += lengths[next - 1] + usize::from(next > first + 1);
            let penalty = if length > most { TOO_LONG_COST } else { 0 };
            let cost = length.abs_diff(most).pow(2).saturating_add(penalty).saturating_add(best[next].0);
            if cost < least.0 {
                least = (cost, next);
            }
        }
        best[first] = least;
    }
    let (mut lines, mut at) = (Vec::new(), 0);
    while at < words.len() {
        lines.push(format!("{}{}", " ".repeat(pad), words[at..best[at].1].join(" ")));
        at = best[at].1;
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_broken_between_words() {
        let text = "word ".repeat(30);
        let lines: Vec<String> = wrapped(text.trim()).lines().map(str::to_owned).collect();
        assert!(lines.len() == 2 && lines.iter().all(|line| line.len() <= LINE_MAX), "{lines:?}");
        assert_eq!(wrapped_with("* a b", 2), "  * a b");
        // Even lines, not the fullest first one.
        let text = ["a".repeat(40), "b".repeat(30), "c".repeat(30), "d".repeat(10)].join(" ");
        assert_eq!(wrapped(&text).lines().map(str::len).collect::<Vec<_>>(), [71, 41]);
    }
}
