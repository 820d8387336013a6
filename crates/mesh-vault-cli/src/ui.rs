//! Where words go: results to standard output, errors and warnings to standard error.

use rustix::termios::{self, LocalModes, OptionalActions, Termios};
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

/// Most letters of what is typed unseen.
const HIDDEN_BYTES_MAX: usize = 64 << 10;

/// What is said of a person who did not want to answer.
pub(crate) const INTERRUPTED: &str = "user interrupted";

/// A terminal that is put back as it was when this ends.
struct Terminal {
    input: std::io::Stdin,
    shown: Termios,
}

impl Terminal {
    /// Lets the terminal hand on each key unseen, those that would end the program too.
    fn hidden() -> Result<Self, String> {
        let input = std::io::stdin();
        if !input.is_terminal() {
            return Err("file descriptor 0 is not a terminal".to_owned());
        }
        let shown = termios::tcgetattr(&input).map_err(|error| error.to_string())?;
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        termios::tcsetattr(&input, OptionalActions::Now, &hidden).map_err(|error| error.to_string())?;
        Ok(Self { input, shown })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // There is nothing else that could be done about it.
        let _ = termios::tcsetattr(&self.input, OptionalActions::Now, &self.shown);
    }
}

/// Reads a line of the terminal at standard input without showing it.
fn hidden_line() -> Result<String, String> {
    let terminal = Terminal::hidden()?;
    let mut line = Vec::new();
    loop {
        let mut key = [0];
        let count = terminal.input.lock().read(&mut key).map_err(|error| error.to_string())?;
        match key[0] {
            // Control and c, or the terminal is gone.
            3 => return Err(INTERRUPTED.to_owned()),
            b'\r' | b'\n' => break,
            // Control and d.
            4 if line.is_empty() => return Err("EOF".to_owned()),
            4 => break,
            _ if count == 0 => return Err("EOF".to_owned()),
            8 | 127 => drop(line.pop()),
            // Control and u.
            21 => line.clear(),
            _ if line.len() >= HIDDEN_BYTES_MAX => return Err("it is too long".to_owned()),
            key => line.push(key),
        }
    }
    String::from_utf8(line).map_err(|_| "it is no text".to_owned())
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
