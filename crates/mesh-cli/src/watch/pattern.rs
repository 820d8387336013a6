//! Patterns in the manner of `.dockerignore`: what they match is decided as Docker decides it.
//!
//! Matching takes time in proportion to the lengths of pattern and path, whatever the pattern.

use std::path::{Component, Path, PathBuf};

/// One piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// This byte.
    Byte(u8),
    /// One byte that is no slash.
    One,
    /// Any bytes without a slash.
    Some,
    /// Any bytes.
    Any,
    /// Nothing, or whole directories.
    Directories,
    /// One byte of a set, or of none of it.
    Set { ranges: Vec<(u8, u8)>, without: bool },
}

impl Piece {
    /// Whether it is this one byte.
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Byte(wanted) => byte == *wanted,
            Self::One => byte != b'/',
            Self::Set { ranges, without } => {
                byte != b'/' && ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != *without
            }
            Self::Some | Self::Any | Self::Directories => false,
        }
    }
}

/// Steps in which a match is tried in ways that may be many.
const STEPS_MAX: u32 = 2000;

/// A pattern, and whether what it matches is taken out of what those before it matched.
#[derive(Debug, Clone)]
struct Pattern {
    pieces: Vec<Piece>,
    takes_out: bool,
}

/// A list of patterns below one directory. The last one that matches decides.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patterns(Vec<Pattern>);

impl Patterns {
    /// Patterns relative to `root`; `**` alone and the like mean everything below it.
    pub(crate) fn new<'text>(root: &Path, patterns: impl IntoIterator<Item = &'text str>) -> Self {
        let mut patterns: Vec<&str> =
            patterns.into_iter().map(str::trim).filter(|text| !text.is_empty()).collect();
        // As Docker's: with `*` among them only what takes out is left, so nothing is matched.
        if patterns.contains(&"*") {
            patterns.retain(|text| text.starts_with('!'));
        }
        Self(patterns.into_iter().map(|text| Pattern::new(root, text)).collect())
    }

    /// The patterns of a file such as `.dockerignore`.
    pub(crate) fn of_file(root: &Path, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim);
        let relative = lines.map(|line| match line.strip_prefix('!') {
            Some(rest) => format!("!{}", rest.trim().trim_start_matches('/')),
            None => line.trim_start_matches('/').to_owned(),
        });
        let relative: Vec<String> = relative.collect();
        Self::new(root, relative.iter().map(String::as_str))
    }

    /// Whether the path, or a directory that it is in, is meant.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        let mut matched = false;
        for pattern in &self.0 {
            if pattern.takes_out == matched && path.ancestors().any(|path| pattern.matches(path)) {
                matched = !pattern.takes_out;
            }
        }
        matched
    }

    /// Whether everything in a directory is meant, so that it needs no look.
    pub(crate) fn matches_whole(&self, directory: &Path) -> bool {
        self.matches(directory) && !self.0.iter().any(|pattern| pattern.takes_out)
    }
}

impl Pattern {
    fn new(root: &Path, text: &str) -> Self {
        let (text, takes_out) = text.strip_prefix('!').map_or((text, false), |rest| (rest.trim(), true));
        let path = clean(&root.join(text));
        Self { pieces: compile(&path.to_string_lossy()), takes_out }
    }

    fn matches(&self, path: &Path) -> bool {
        let text = path.as_os_str().as_encoded_bytes();
        let mut steps = STEPS_MAX;
        attempt(&self.pieces, text, &mut steps).unwrap_or_else(|| self.matches_surely(text))
    }

    /// The same in a time that is known.
    fn matches_surely(&self, text: &[u8]) -> bool {
        // For each place of the text: whether the pieces so far can end there.
        let mut ends = vec![false; text.len() + 1];
        ends[0] = true;
        for piece in &self.pieces {
            ends = step(piece, text, &ends);
        }
        ends[text.len()]
    }
}

/// Tries one way after the other, which is quick where the first letters differ. `None`: there were too
/// many ways.
fn attempt(pieces: &[Piece], text: &[u8], steps: &mut u32) -> Option<bool> {
    let (mut pieces, mut text) = (pieces, text);
    loop {
        *steps = steps.checked_sub(1)?;
        let Some((piece, rest)) = pieces.split_first() else { return Some(text.is_empty()) };
        let starts: Vec<usize> = match piece {
            Piece::Byte(_) | Piece::One | Piece::Set { .. } => {
                match text.split_first() {
                    Some((byte, after)) if piece.takes(*byte) => (pieces, text) = (rest, after),
                    _ => return Some(false),
                }
                continue;
            }
            Piece::Any if rest.is_empty() => return Some(true),
            Piece::Any => (0..=text.len()).collect(),
            Piece::Some => {
                let part = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
                (0..=part).collect()
            }
            Piece::Directories => {
                let slashes = text.iter().enumerate().filter(|(_, byte)| **byte == b'/');
                std::iter::once(0).chain(slashes.map(|(at, _)| at + 1)).collect()
            }
        };
        for start in starts {
            if attempt(rest, &text[start..], steps)? {
                return Some(true);
            }
        }
        return Some(false);
    }
}

/// Where a piece can end that begins where the ones before it ended.
fn step(piece: &Piece, text: &[u8], begins: &[bool]) -> Vec<bool> {
    let mut ends = vec![false; begins.len()];
    match piece {
        Piece::Byte(_) | Piece::One | Piece::Set { .. } => {
            for (at, byte) in text.iter().enumerate() {
                ends[at + 1] = begins[at] && piece.takes(*byte);
            }
        }
        Piece::Some | Piece::Any => {
            ends.copy_from_slice(begins);
            for (at, byte) in text.iter().enumerate() {
                ends[at + 1] |= ends[at] && (*piece == Piece::Any || *byte != b'/');
            }
        }
        Piece::Directories => {
            ends.copy_from_slice(begins);
            let mut within = false;
            for (at, byte) in text.iter().enumerate() {
                within |= begins[at];
                ends[at + 1] |= within && *byte == b'/';
            }
        }
    }
    ends
}

/// The pieces of a pattern.
fn compile(text: &str) -> Vec<Piece> {
    let bytes = text.as_bytes();
    let (mut pieces, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        pieces.push(match byte {
            b'*' if bytes.get(at) == Some(&b'*') => {
                at += 1;
                if bytes.get(at) == Some(&b'/') {
                    at += 1;
                }
                if at >= bytes.len() { Piece::Any } else { Piece::Directories }
            }
            b'*' => Piece::Some,
            b'?' => Piece::One,
            b'\\' if at < bytes.len() => {
                at += 1;
                Piece::Byte(bytes[at - 1])
            }
            b'[' => match set(&bytes[at..]) {
                Some((set, length)) => {
                    at += length;
                    set
                }
                None => Piece::Byte(b'['),
            },
            byte => Piece::Byte(*byte),
        });
    }
    pieces
}

/// A set and its length, from behind its opening bracket.
fn set(text: &[u8]) -> Option<(Piece, usize)> {
    let without = text.first() == Some(&b'^');
    let mut at = usize::from(without);
    let mut ranges = Vec::new();
    loop {
        let low = *text.get(at)?;
        if low == b']' && !ranges.is_empty() {
            return Some((Piece::Set { ranges, without }, at + 1));
        }
        let high = match (text.get(at + 1), text.get(at + 2)) {
            (Some(b'-'), Some(high)) if *high != b']' => {
                at += 2;
                *high
            }
            _ => low,
        };
        ranges.push((low, high));
        at += 1;
    }
}

/// A path without `.` and with `..` taken back, by its letters alone.
fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(cleaned.pop()),
            part => cleaned.push(part),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], path: &str, want: bool) {
        let patterns = Patterns::new(Path::new("/app"), patterns.iter().copied());
        assert_eq!(patterns.matches(&Path::new("/app").join(path)), want, "{patterns:?} {path}");
    }

    #[test]
    fn patterns_match_as_docker_s() {
        for (pattern, path, want) in [
            ("node_modules/", "node_modules/x/y", true),
            ("node_modules", "src/node_modules", false),
            ("**/node_modules", "src/deep/node_modules/x", true),
            ("**/node_modules", "node_modules", true),
            ("*.log", "a.log", true),
            ("*.log", "deep/a.log", false),
            ("**/*.log", "deep/er/a.log", true),
            ("src/**", "src/deep/a", true),
            ("src/**", "srcs/a", false),
            ("**/.#*", "deep/.#file", true),
            ("**/*~", "file~", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("a\\*c", "a*c", true),
            ("a\\*c", "abc", false),
            ("./src/../lib", "lib/x", true),
            ("src/**/test", "src/test", true),
            ("src/**/test", "src/a/b/test/x", true),
            ("", "x", false),
            ("a[", "a[", true),
        ] {
            check(&[pattern], path, want);
        }
        check(&["src", "!src/keep"], "src/keep/x", false);
        check(&["src", "!src/keep"], "src/other", true);
        check(&["!src/keep", "src"], "src/keep", true);
        check(&["*", "!src"], "other", false);
    }

    #[test]
    fn files_of_patterns_have_comments_and_roots() {
        let text = "\u{feff}# comment\n/build\n\n ! /build/keep \n*.tmp\n";
        let patterns = Patterns::of_file(Path::new("/app"), text);
        for (path, want) in [("build/x", true), ("build/keep", false), ("x.tmp", true), ("# comment", false)]
        {
            assert_eq!(patterns.matches(&Path::new("/app").join(path)), want, "{path}");
        }
        assert!(!patterns.matches_whole(Path::new("/app/build")));
        let whole = Patterns::of_file(Path::new("/app"), "/build");
        assert!(whole.matches_whole(Path::new("/app/build/deep")));
    }

    #[test]
    fn no_pattern_takes_long() {
        let pattern = format!("{}z", "**/*a".repeat(60));
        let path = "a/".repeat(500);
        check(&[&pattern], &format!("{path}b"), false);
        check(&[&"*a".repeat(60)], &"a".repeat(70), true);
    }
}
