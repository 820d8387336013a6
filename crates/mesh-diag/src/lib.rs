//! Findings about user files: what is wrong, where, how it could be mended, and how that is shown.
//!
//! A loader collects every finding of one reading in a [`Findings`] and hands it on whole; nothing here
//! decides whether to go on. Sources are kept beside the findings only for the renderer, and only those
//! the loader chose to attach. Deliberately absent: reading files, writing to a terminal.

mod render;

pub use render::{Style, render};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// Largest number of findings one reading keeps; nobody mends more at once.
pub const FINDINGS_MAX: usize = 500;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file cannot be used as it is.
    Error,
    /// The file can be used, but not all of it means what it says.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// A place in a text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Name of the file, as it is shown.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in characters.
    pub column: u32,
    /// Length in characters, where the thing meant ends on the same line.
    pub length: Option<u32>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// Stable name of the kind of finding, such as `unknown-key`.
    pub code: &'static str,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where, if it is at a place.
    pub place: Option<Place>,
    /// How it could be mended.
    pub hint: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}: {}", self.severity, self.message)
    }
}

/// The findings of one reading, in the order they were made, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    items: Vec<Finding>,
    sources: BTreeMap<Arc<str>, Arc<str>>,
}

impl Findings {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, unless the same one is there already. Past [`FINDINGS_MAX`] only a first error is kept.
    pub fn push(&mut self, finding: Finding) {
        let first_error = finding.severity == Severity::Error && !self.has_errors();
        if (self.items.len() < FINDINGS_MAX || first_error) && !self.items.contains(&finding) {
            self.items.push(finding);
        }
    }

    /// Whether no further finding would be kept.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.items.len() >= FINDINGS_MAX && self.has_errors()
    }

    /// Keeps the text of a file, so that the renderer can show lines of it.
    pub fn attach_source(&mut self, file: Arc<str>, text: Arc<str>) {
        self.sources.insert(file, text);
    }

    /// The text attached under a name.
    #[must_use]
    pub fn source(&self, file: &str) -> Option<&str> {
        self.sources.get(file).map(AsRef::as_ref)
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.items.iter()
    }

    /// Those that are errors.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.items.iter().filter(|finding| finding.severity == Severity::Error)
    }

    /// Whether one of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Puts them in the order of files and lines; those without a place come first. Files keep the
    /// order given, and what is not named there follows.
    pub fn sort(&mut self, files: &[Arc<str>]) {
        let rank = |file: &Arc<str>| files.iter().position(|known| known == file).unwrap_or(files.len());
        self.items.sort_by_cached_key(|finding| {
            finding.place.as_ref().map(|place| (rank(&place.file), place.line, place.column))
        });
    }
}

impl<'a> IntoIterator for &'a Findings {
    type Item = &'a Finding;
    type IntoIter = std::slice::Iter<'a, Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(file: &str, line: u32) -> Finding {
        Finding {
            severity: Severity::Warning,
            code: "test",
            message: format!("line {line}"),
            place: Some(Place { file: file.into(), line, column: 1, length: None }),
            hint: None,
        }
    }

    #[test]
    fn findings_are_kept_once_and_sorted_by_file_then_line() {
        let mut findings = Findings::new();
        for finding in [at("b", 2), at("a", 9), at("b", 1), at("b", 2)] {
            findings.push(finding);
        }
        findings.sort(&["b".into(), "a".into()]);
        let shown: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["b:1:1: warning: line 1", "b:2:1: warning: line 2", "a:9:1: warning: line 9"]);
        assert!(!findings.has_errors());
    }
}
